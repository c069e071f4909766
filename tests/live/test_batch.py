"""`via: batch`: the service's own batch jobs, started once, followed to the end, their failures found by name."""

import signal
from collections import Counter

import pytest

from shop.models import Customer, Order
from steps import step

pytestmark = pytest.mark.timeout(240)
REASON = "INC-11"


def customers(stage, group: str, count: int) -> list[str]:
    """So many, idle and visible; `group` begins their Workflow IDs."""
    names = [f"{group}-{n}" for n in range(count)]
    stage.each(names, lambda name: stage.shop.start("LoyaltyProgram", Customer(1), name))
    for name in names:
        stage.calm(name)
    stage.until(lambda: len(stage.ask(stage.service.find(of(group)))) == count, "Visibility")
    return names


def of(group: str) -> str:
    return f"WorkflowId STARTS_WITH '{group}-' AND ExecutionStatus = 'Running'"


def gift(group: str, points: int = 10) -> dict:
    return step("gift", "workflows.signal", select={"query": of(group)}, name="add_points",
                input={"points": points}, via="batch")


def undo(group: str) -> dict:
    return step("undo", "workflows.reset", select={"query": of(group)}, to="first_workflow_task", reapply="none",
                reason=REASON, via="batch")


def assert_each_reset_once(stage, performed, bases: dict[str, str]) -> None:
    """Two runs of each Workflow: the base, which ended, and the one that was made from it."""
    assert {each["workflow_id"] for each in performed.workflows if each["state"] == "done"} == set(bases), performed
    runs = Counter(name for name, _ in stage.ask(stage.service.find()) if name in bases)
    assert set(runs.values()) == {2}, runs
    looks = stage.each(list(bases), lambda name: stage.service.look(name, bases[name]))
    assert all(each.status == "TERMINATED" and each.reset_run_id for each in looks), looks


def jobs(stage, temporal_for) -> list[dict]:
    answer = temporal_for(stage).run("batch", "list", "--output", "json")
    assert answer.code == 0, answer
    return answer.data()


def started(stage, temporal_for, before: list[dict]) -> list[str]:
    """Ids of the jobs that were not there before."""
    known = {job["jobId"] for job in before}
    return [job["jobId"] for job in jobs(stage, temporal_for) if job["jobId"] not in known]


def test_a_signal_reaches_all_once(stage, bench, temporal_for):
    before, names = jobs(stage, temporal_for), customers(stage, "signal", 12)
    performed = bench.perform(gift("signal"))
    assert set(performed.states().values()) == {"done"} and len(performed.workflows) == 12, performed
    assert [stage.query(name, "points") for name in names] == [10] * 12
    assert len(started(stage, temporal_for, before)) == 1
    stage.terminate(*names)


@pytest.mark.parametrize("action, status", [("cancel", "CANCELED"), ("terminate", "TERMINATED")])
def test_an_interruption_ends_all(stage, bench, action, status):
    names = [f"{action}-{n}" for n in range(6)]
    for name in names:
        stage.ask(stage.shop.order(Order(name)))
    for name in names:
        stage.calm(name)
    stage.until(lambda: len(stage.ask(stage.service.find(of(action)))) == 6, "Visibility")
    performed = bench.perform(
        step("stop", f"workflows.{action}", select={"query": of(action)}, reason=REASON, via="batch")
    )
    assert set(performed.states().values()) == {"done"}, performed
    stage.until(lambda: {stage.look(name).status for name in names} == {status}, f"all to be {status}")


def test_a_reset_takes_each_once_and_names_what_it_could_not(stage, bench):
    names = customers(stage, "undo", 6)
    for name in names:
        stage.signal(name, "add_points", {"points": 5})
    bases = {name: stage.calm(name).run_id for name in names}
    stage.ask(stage.service.client.start_workflow("LoyaltyProgram", Customer(1), id="undo-never", task_queue="nobody"))
    stage.until(lambda: len(stage.ask(stage.service.find(of("undo")))) == 7, "Visibility")
    performed = bench.perform(undo("undo"), code=None)
    for name in names:
        look = stage.look(name)
        assert look.run_id != bases[name] and stage.look(name, bases[name]).reset_run_id == look.run_id, performed
        assert stage.query(name, "points") == 0
    assert performed.states()["undo-never"] in ("failed", "refused", "unknown"), performed
    assert stage.look("undo-never").reset_run_id == ""
    stage.terminate(*names, "undo-never")


def test_a_reset_of_closed_ones_is_refused_unless_repeats_are_accepted(stage, bench, temporal_for):
    names = customers(stage, "closed", 2)
    stage.terminate(*names)
    before = jobs(stage, temporal_for)
    query = "WorkflowId STARTS_WITH 'closed-' AND ExecutionStatus = 'Terminated'"
    again = step("undo", "workflows.reset", select={"query": query}, to="first_workflow_task", reapply="none",
                 reason=REASON, via="batch")
    result = bench.tool.run("exec", bench.write(again), *bench.tool.connection(), "--yes")
    assert result.code not in (0, 70), result
    assert "repeats" in result.stdout + result.stderr, result
    assert started(stage, temporal_for, before) == []


@pytest.mark.parametrize("kill", ["after_intent:1", "after_effect:1", "record:8"])
def test_a_killed_run_finds_its_job_again(stage, bench, temporal_for, kill):
    group = f"kill-{kill.replace(':', '-').replace('_', '-')}"
    before, names = jobs(stage, temporal_for), customers(stage, group, 8)
    bases = {name: stage.look(name).run_id for name in names}
    killed = bench.tool.run("exec", bench.write(undo(group)), *bench.tool.connection(), "--yes", RUNBOOK_TEST_KILL=kill)
    assert killed.code == -signal.SIGKILL, killed
    performed = bench.performed(bench.tool.run("resume", bench.tool.run_id(), "--yes", seconds=120))
    assert_each_reset_once(stage, performed, bases)
    assert len(started(stage, temporal_for, before)) == 1
    stage.terminate(*names)


def test_a_run_killed_in_the_middle_of_a_long_job_follows_it_to_its_end(stage, bench, temporal_for):
    before, names = jobs(stage, temporal_for), customers(stage, "long", 150)
    bases = {name: stage.look(name).run_id for name in names}
    with bench.tool.begin("exec", bench.write(undo("long")), *bench.tool.connection(), "--yes") as process:
        stage.until(lambda: started(stage, temporal_for, before) or process.poll() is not None, "the job", 60)
        assert process.poll() is None, "it ended before its job was seen"
        process.kill()
        process.wait(10)
    performed = bench.performed(bench.tool.run("resume", bench.tool.run_id(), "--yes", seconds=120))
    assert_each_reset_once(stage, performed, bases)
    assert len(started(stage, temporal_for, before)) == 1
    stage.each(names, lambda name: stage.handle(name).terminate("the test is over"))


def test_jobs_are_described_listed_and_stopped(stage, bench, temporal_for):
    names = customers(stage, "stop", 150)
    cli = temporal_for(stage)
    start = cli.run("workflow", "signal", "--query", of("stop"), "--name", "add_points", "--input", '{"points": 1}',
                    "--reason", "by hand", "--rps", "10", "--yes", "--output", "json")
    assert start.code == 0, start
    job = start.data()["batchJobId"]
    performed = bench.perform(
        step("seen", "batch.describe", job_id=job),
        step("listed", "batch.list"),
        step("both", "assert", that=f"${{{{ '{job}' in steps.listed.running and steps.seen.state == 'running' }}}}", message="it runs"),
        step("stopped", "batch.terminate", job_id=job, reason=REASON),
        step("ended", "assert", that="${{ steps.stopped.stopped == 1 and steps.stopped.state == 'failed' }}", message="it ended"),
    )
    assert "stays done" in performed.text or "stay done" in performed.text, performed
    assert next(each for each in jobs(stage, temporal_for) if each["jobId"] == job)["state"].endswith("FAILED")
    stage.each(names, lambda name: stage.handle(name).terminate("the test is over"))
