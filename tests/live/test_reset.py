"""Every place that a reset can go to, on a real server, and what it keeps or loses."""

import json

import pytest

from shop.models import Case, Customer, Meter, Parcel
from steps import Bench, step

pytestmark = pytest.mark.timeout(180)
REASON = "INC-7"


def reset(workflow_id: str, to: object, reapply: str = "all", **more: object) -> dict:
    return step("undo", "workflows.reset", select={"query": f"WorkflowId = '{workflow_id}'"}, to=to, reapply=reapply, reason=REASON, **more)


def customer(stage, number: int, *changes: tuple[str, int]) -> str:
    """A customer with these Signals, each in a Workflow Task of its own; answers the run."""
    handle = stage.ask(stage.shop.loyalty(number))
    who = str(number)
    for name, points in changes:
        stage.calm(who)
        stage.signal(who, name, {"points": points})
    stage.calm(who)
    return handle.first_execution_run_id


def completed_tasks(stage, workflow_id: str, run_id: str = "") -> list[int]:
    return [event_id for event_id, name in stage.events(workflow_id, run_id) if name == "WORKFLOW_TASK_COMPLETED"]


def assert_reset_once(stage, performed, workflow_id: str, base: str) -> str:
    """One new run, made from `base`, which ended; the reason and the run's id are in its history."""
    entry = performed.of(workflow_id)
    assert entry["state"] == "done", performed
    new = entry["new_run_id"]
    assert stage.look(workflow_id).run_id == new
    assert stage.look(workflow_id, base).reset_run_id == new
    made_from, reason = stage.ask(stage.service.reset_base(workflow_id, new))
    assert made_from == base
    assert REASON in reason and "rb-" in reason, reason
    return new


def test_before_a_signal_undoes_it(stage, bench):
    base = customer(stage, 1, ("add_points", 300), ("add_points", 200), ("spend_points", 500))
    assert stage.query("1", "points") == 0
    performed = bench.perform(reset("1", {"before": {"event": "signal", "name": "spend_points"}}, "none"))
    assert stage.query("1", "points") == 500
    assert_reset_once(stage, performed, "1", base)
    assert stage.look("1", base).status == "TERMINATED"


def test_before_the_last_signal_keeps_the_earlier_ones_and_reapplies_nothing(stage, bench):
    customer(stage, 2, ("spend_points", 1), ("add_points", 300), ("spend_points", 300), ("add_points", 9))
    to = {"before": {"event": "signal", "name": "spend_points", "which": "last"}}
    bench.perform(reset("2", to, "none"))
    assert stage.query("2", "points") == 300
    assert stage.count("2", "WORKFLOW_EXECUTION_SIGNALED") == 2


def test_two_matching_signals_are_refused_where_one_is_meant(stage, bench):
    base = customer(stage, 3, ("spend_points", 1), ("spend_points", 2))
    performed = bench.perform(reset("3", {"before": {"event": "signal", "name": "spend_points"}}, "none"))
    assert performed.of("3")["state"] == "refused", performed
    assert stage.look("3").run_id == base and stage.look("3").status == "RUNNING"


def test_signals_are_reapplied_where_wanted(stage, bench):
    customer(stage, 4, ("add_points", 300), ("add_points", 200))
    performed = bench.perform(reset("4", "first_workflow_task", "all"))
    assert " refused" not in performed.text, performed  # what its own reset made is none to refuse
    assert stage.query("4", "points") == 500
    assert stage.count("4", "WORKFLOW_EXECUTION_SIGNALED") == 2


def test_an_event_id_is_taken_exactly(stage, bench):
    base = customer(stage, 5, ("add_points", 300), ("add_points", 200))
    point = completed_tasks(stage, "5")[1]
    performed = bench.perform(reset("5", {"event": point}, "none"))
    new = assert_reset_once(stage, performed, "5", base)
    assert stage.query("5", "points") == 300
    failed = [event_id for event_id, name in stage.events("5", new) if name == "WORKFLOW_TASK_FAILED"]
    assert failed == [point]


@pytest.mark.parametrize("event_id", [2, 999])
def test_an_invalid_event_id_names_the_valid_ones_and_writes_nothing(stage, bench, event_id):
    who = str(60 + event_id)
    base = customer(stage, int(who), ("add_points", 300), ("add_points", 200))
    before = stage.events(who)
    performed = bench.perform(reset(who, {"event": event_id}), code=1)
    assert "WF_1001" in performed.text, performed
    for valid in completed_tasks(stage, who):
        assert str(valid) in performed.text, performed
    shown = bench.tool.run("show", bench.tool.run_id(), "--output", "json")
    assert "WF_1001" in shown.stdout and "valid_reset_events" in shown.stdout, shown
    assert stage.look(who).run_id == base and stage.events(who) == before


def test_a_dry_run_says_where_it_would_go_and_writes_nothing(stage, bench):
    base = customer(stage, 7, ("add_points", 300), ("spend_points", 300))
    before = stage.events("7")
    undo = reset("7", {"before": {"event": "signal", "name": "spend_points"}}, "none")
    dry = bench.tool.run("exec", bench.write(undo), *bench.tool.connection(), "--dry-run")
    assert dry.code == 0, dry
    point = completed_tasks(stage, "7")[1]
    for said in (base, str(point), "spend_points"):
        assert said in dry.stdout + dry.stderr, f"{said} is not in\n{dry}"
    assert stage.look("7").run_id == base and stage.events("7") == before


def test_without_signals_keeps_updates(stage, bench):
    stage.ask(stage.shop.journey(Case("j-updates")))
    stage.until(lambda: "stopped over" in stage.query("j-updates", "state")["steps"], "the journey to wait")
    first = completed_tasks(stage, "j-updates")[-1]
    stage.signal("j-updates", "note", "one")
    stage.ask(stage.handle("j-updates").execute_update("visit", "Delft"))
    bench.perform(reset("j-updates", {"event": first}, "without_signals"))
    stage.until(lambda: stage.query("j-updates", "state")["steps"][3:] == ["visited Delft"], "the Update again")
    stage.terminate("j-updates")


def test_a_parent_is_not_reset_to_before_its_running_child(stage, bench):
    base = stage.ask(stage.shop.journey(Case("j-parent", child="Journey"))).first_execution_run_id
    stage.until(lambda: "child started" in stage.query("j-parent", "state")["steps"], "the child")
    child = stage.look("j-parent-child").run_id
    performed = bench.perform(reset("j-parent", "first_workflow_task", "none"))
    entry = performed.of("j-parent")
    assert (entry["state"], entry["code"]) == ("refused", "running_child"), performed
    assert stage.look("j-parent").run_id == base

    stage.signal("j-parent", "note", "after the child")
    stage.until(lambda: "note after the child" in stage.query("j-parent", "state")["steps"], "the note")
    performed = bench.perform(reset("j-parent", "last_workflow_task", "none"))
    assert performed.of("j-parent")["state"] == "done", performed
    assert stage.look("j-parent-child").run_id == child and stage.look("j-parent-child").status == "RUNNING"
    stage.terminate("j-parent", "j-parent-child")


def test_the_last_continued_as_new_runs_that_run_again(stage, bench):
    first = stage.ask(stage.shop.meter(Meter("m-chain"))).first_execution_run_id
    stage.signal("m-chain", "read", 5)
    stage.calm("m-chain")
    stage.signal("m-chain", "roll_over")
    stage.until(lambda: stage.query("m-chain", "state") == {"total": 5, "generation": 2}, "the second run")
    second = stage.look("m-chain").run_id
    stage.signal("m-chain", "read", 100)
    stage.calm("m-chain")
    bench.perform(reset("m-chain", "last_continued_as_new", "none"))
    # The task that continued as new runs again, so there is a second run anew, without the hundred.
    stage.until(lambda: stage.query("m-chain", "state") == {"total": 5, "generation": 2}, "the chain to go on")
    assert stage.look("m-chain").run_id not in (first, second)
    assert stage.look("m-chain", second).status == "TERMINATED"
    assert stage.look("m-chain", first).reset_run_id
    stage.terminate("m-chain")


def test_what_was_never_dispatched_and_a_cron_between_runs_say_why_not(stage, bench):
    stage.ask(stage.shop.nightly_report("nightly-report"))
    stage.ask(stage.service.client.start_workflow("LoyaltyProgram", Customer(9), id="unpolled", task_queue="nobody"))
    for who in ("nightly-report", "unpolled"):
        performed = bench.perform(reset(who, "first_workflow_task"))
        entry = performed.of(who)
        assert entry["state"] == "refused" and entry["code"] == "never_dispatched", performed
        assert stage.look(who).status == "RUNNING"
    stage.terminate("nightly-report", "unpolled")


def test_a_failed_task_keeps_what_an_activity_did_meanwhile(make_stage, tool_for):
    stage = make_stage("failed-task", builds=("bad",))
    bench = Bench(tool_for(stage))
    for who in ("kept", "lost"):
        stage.ask(stage.shop.packing(Parcel(who, packing_seconds=4, trouble="heavy")))
    for who in ("kept", "lost"):
        stage.until(lambda: stage.look(who).waits_for == 1, "the packing to begin")
        stage.signal(who, "weigh")
    for who in ("kept", "lost"):
        stage.until(lambda: stage.count(who, "ACTIVITY_TASK_COMPLETED"), "the Activity's end")
    for who in ("kept", "lost"):
        stage.failing(who)
    stage.workers.replace("bad", "safe")
    bench.perform(reset("kept", "failed_task", "all"))
    bench.perform(reset("lost", "last_workflow_task", "all"))
    for who in ("kept", "lost"):
        stage.until(lambda: len(stage.query(who, "state")["steps"]) == 2, f"{who} to go on")
    # Kept: the result is in the new run's history, copied. Lost: the Activity was scheduled anew, after the reset.
    for who, wanted in (("kept", True), ("lost", False)):
        last = {name: event_id for event_id, name in stage.events(who)}
        assert (last["ACTIVITY_TASK_COMPLETED"] < last["WORKFLOW_TASK_FAILED"]) is wanted, stage.events(who)


def test_reset_points_lists_what_lies_between(stage, bench):
    stage.ask(stage.shop.journey(Case("j-points", child="Journey")))
    stage.until(lambda: "child started" in stage.query("j-points", "state")["steps"], "the child")
    stage.signal("j-points", "note", "one")
    stage.calm("j-points-child")
    stage.ask(stage.handle("j-points").execute_update("visit", "Delft"))
    stage.calm("j-points")
    shown = bench.tool.run("reset-points", "j-points", *bench.tool.connection())
    assert shown.code == 0, shown
    for said in ("note", "visit", "perform", "Stop", "Journey"):
        assert said in shown.stdout, f"{said} is not in\n{shown}"
    data = bench.tool.run("reset-points", "j-points", *bench.tool.connection(), "--output", "json")
    assert data.code == 0, data
    listed = json.dumps(data.data())
    for valid in completed_tasks(stage, "j-points"):
        assert str(valid) in listed, data
    missing = bench.tool.run("reset-points", "nobody", *bench.tool.connection())
    assert missing.code not in (0, 70) and "nobody" in missing.stderr, missing
    stage.terminate("j-points", "j-points-child")
