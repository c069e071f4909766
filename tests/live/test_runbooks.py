"""Each shipped runbook ends the incident that it is for, on a real server with real Workers."""

import pytest

from incidents import code_changed_under_orders, everybody_loses_their_points, orders_to_interrupt
from shop.models import Case, Customer
from steps import Bench

pytestmark = pytest.mark.timeout(300)
INCIDENT = "INC-12"


def carried_out(bench: Bench, name: str, *flags: str, code: int = 0, **parameters: str | list[str]):
    result = bench.tool.run("exec", *bench.tool.shipped(name, **parameters), "--yes", *flags, seconds=150)
    return bench.performed(result, code)


def test_loyalty_points(make_stage, tool_for):
    """Customer 123 has 500 points again, and so does everybody have theirs."""
    stage = make_stage("loyalty")
    bench = Bench(tool_for(stage))
    points = everybody_loses_their_points(stage)
    runs = {number: stage.look(number).run_id for number in points}
    given = {"signal": "spend_points", "which": "last", "incident": INCIDENT}
    dry = bench.tool.run("exec", *bench.tool.shipped("loyalty-points", **given), "--dry-run")
    assert dry.code == 0 and stage.query("123", "points") == 0, dry
    assert "add_points" in dry.stdout + dry.stderr, f"the dry run names no good Signal that is lost\n{dry}"

    performed = carried_out(bench, "loyalty-points", **given)
    assert stage.query("123", "account") == {"user_id": 123, "points": 500}
    assert {number: stage.query(number, "points") for number in points} == points, performed
    for number, run in runs.items():
        now = stage.look(number)
        if number == "900":
            assert now.run_id == run, performed
        else:
            made_from, reason = stage.ask(stage.service.reset_base(number, now.run_id))
            assert made_from == run and INCIDENT in reason, performed

    again = carried_out(bench, "loyalty-points", **given)
    assert {number: stage.query(number, "points") for number in points} == points, again
    assert all(each["state"] != "done" for each in again.workflows), again


def test_non_determinism(make_stage, tool_for):
    """Only what failed with a non-determinism error is reset, onto the fix."""
    stage = make_stage("non-determinism", builds=("good", "bad", "safe"), versioned=True)
    bench = Bench(tool_for(stage))
    runs = code_changed_under_orders(stage)
    given = {"type": "OrderProcessing", "version": "orders:safe", "incident": INCIDENT}
    performed = carried_out(bench, "non-determinism", **given)
    for name, run in runs.items():
        look = stage.look(name)
        assert (look.run_id != run) == name.startswith("changed"), performed
        if name.startswith("changed"):
            assert look.override == "safe" and stage.query(name, "state")["points"] == 7, performed
            stage.signal(name, "finish")
            assert stage.result(name)["points"] == 7


def test_reset_to_event(stage, tool_for):
    """An event that is no reset point stops before any write and names the valid ones; one of these then works."""
    bench = Bench(tool_for(stage))
    run = stage.ask(stage.shop.start("LoyaltyProgram", Customer(7), "one")).first_execution_run_id
    for points in (100, 10, 1):
        stage.calm("one")
        stage.signal("one", "add_points", {"points": points})
    stage.calm("one")
    stage.until(lambda: stage.ask(stage.service.find("WorkflowId = 'one'")), "Visibility")
    valid = [str(event_id) for event_id, name in stage.events("one") if name == "WORKFLOW_TASK_COMPLETED"]
    given = {"workflow": "one", "reason": INCIDENT, "reapply": "none"}
    refused = carried_out(bench, "reset-to-event", event="5", code=1, **given)
    assert "WF_1001" in refused.text and all(each in refused.text for each in valid[:2]), refused
    assert stage.look("one").run_id == run
    performed = carried_out(bench, "reset-to-event", event=valid[1], **given)
    assert stage.query("one", "points") == 100, performed
    stage.terminate("one")


def test_interrupt(stage, tool_for):
    """All are asked to cancel; who ignores it is terminated after a word; closed and unknown ones are named."""
    bench = Bench(tool_for(stage))
    does = orders_to_interrupt(stage, "stop")
    stage.ask(stage.shop.start("LoyaltyProgram", Customer(8), "stop-closed"))
    stage.terminate("stop-closed")
    ids = [*does, "stop-closed", "stop-nobody"]
    given = {"ids": ids, "patience": "5s", "reason": INCIDENT}
    performed = carried_out(bench, "interrupt", "--confirm", "terminate_rest=terminate", **given)
    for name, on_cancel in does.items():
        wanted = "CANCELED" if on_cancel == "clean_up" else "TERMINATED"
        assert stage.look(name).status == wanted, performed
        assert stage.query(name, "state")["steps"][-1:] == (["refund"] if on_cancel == "clean_up" else ["charge"])
    words = {each["workflow_id"]: each["message"] for each in performed.workflows if each["step"] == "cancel"}
    assert "closed" in words["stop-closed"] and "not found" in words["stop-nobody"], performed


def test_signal_campaign(make_stage, tool_for):
    """Each gets the Signal once, though the run is killed on the way; who is spared gets none."""
    stage = make_stage("campaign")
    bench = Bench(tool_for(stage))
    names = [f"c-{n}" for n in range(12)]
    stage.each(names, lambda name: stage.shop.start("LoyaltyProgram", Customer(1), name))
    for name in names:
        stage.calm(name)
    stage.until(lambda: len(stage.ask(stage.service.find("WorkflowType = 'LoyaltyProgram'"))) == 12, "Visibility")
    given = bench.tool.shipped("signal-campaign", type="LoyaltyProgram", points="10", note="spring", spare=["c-0", "c-1"])
    killed = bench.tool.run("exec", *given, "--yes", RUNBOOK_TEST_KILL="after_effect:7")
    assert killed.code == -9, killed
    performed = bench.performed(bench.tool.run("resume", bench.tool.run_id(), "--yes", seconds=120))
    counts = {name: stage.count(name, "WORKFLOW_EXECUTION_SIGNALED") for name in names}
    assert counts == {name: 0 if name in ("c-0", "c-1") else 1 for name in names}, performed


def test_batch_jobs(make_stage, tool_for, temporal_for):
    """A job that runs away is stopped, then a job of the tool's moves what is on a Version."""
    stage = make_stage("batch-jobs", builds=("good", "safe"), versioned=True)
    bench, cli = Bench(tool_for(stage)), temporal_for(stage)
    names, others = [f"o-{n}" for n in range(20)], [f"c-{n}" for n in range(300)]
    stage.each(names, lambda name: stage.shop.start("OrderProcessing", Case(name), name))
    stage.each(others, lambda name: stage.shop.start("LoyaltyProgram", Customer(1), name))
    on_good = "WorkflowType = 'OrderProcessing' AND TemporalWorkerDeploymentVersion = 'orders:good'"
    stage.until(lambda: len(stage.ask(stage.service.find(on_good))) == 20, "Visibility")
    many = "WorkflowType = 'LoyaltyProgram'"
    stage.until(lambda: len(stage.ask(stage.service.find(many))) == 300, "Visibility")
    slow = ("--name", "add_points", "--input", '{"points": 1}', "--rps", "5", "--reason", "by mistake", "--yes", "--output", "json")
    started = cli.run("workflow", "signal", "--query", many, *slow)
    assert started.code == 0, started
    job = started.data()["batchJobId"]
    given = {"incident": INCIDENT, "from": "orders:good", "to": "orders:safe", "workflow_type": "OrderProcessing"}
    performed = carried_out(bench, "batch-jobs", "--confirm", f"stop={job}", runaway=job, **given)
    assert {stage.look(name).override for name in names} == {"safe"}, performed
    jobs = {each["jobId"]: each["state"] for each in cli.run("batch", "list", "--output", "json").data()}
    assert len(jobs) == 2 and jobs[job].endswith("FAILED"), jobs
