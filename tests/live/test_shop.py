"""The shop's own ground on a real server: each Workflow Type does what the runbooks' tests count on."""

import time

import pytest
from temporalio.client import WorkflowFailureError

from shop.models import Case, Meter, Order, Parcel, PointsChange

pytestmark = pytest.mark.timeout(180)


def test_a_customer_collects_and_spends(stage):
    stage.ask(stage.shop.loyalty(123))
    stage.signal("123", "add_points", PointsChange(600, "spring"))
    stage.signal("123", "spend_points", {"points": 100})
    assert stage.query("123", "account") == {"user_id": 123, "points": 500}
    stage.signal("123", "leave")
    assert stage.result("123")["points"] == 500


def test_a_cancelled_order_stops_picking_and_refunds(stage):
    stage.ask(stage.shop.order(Order("cancelled", picking_seconds=60)))
    stage.until(lambda: stage.look("cancelled").waits_for == 1 and stage.query("cancelled", "state")["steps"], "picking")
    stage.ask(stage.handle("cancelled").cancel())
    with pytest.raises(WorkflowFailureError):
        stage.result("cancelled")
    assert stage.look("cancelled").status == "CANCELED"
    assert stage.query("cancelled", "state")["steps"] == ["charge", "refund"]
    assert stage.count("cancelled", "ACTIVITY_TASK_CANCELED") == 1


def test_an_order_may_ignore_a_cancellation(stage):
    stage.ask(stage.shop.order(Order("stubborn", on_cancel="ignore")))
    stage.calm("stubborn")
    stage.ask(stage.handle("stubborn").cancel())
    stage.until(lambda: stage.query("stubborn", "state")["ignored_cancellations"] == 1, "the ignored cancellation")
    assert stage.look("stubborn").status == "RUNNING"
    stage.terminate("stubborn")


def test_the_signal_cancel_order_ends_an_order_with_a_refund(stage):
    stage.ask(stage.shop.order(Order("recalled")))
    stage.signal("recalled", "cancelOrder", {"reason": "Product recall"})
    done = stage.result("recalled")
    assert (done["steps"], done["cancelled_because"]) == (["charge", "refund"], "Product recall")


def test_a_journey_has_something_of_everything(stage):
    stage.ask(stage.shop.journey(Case("journey", child="Journey")))
    stage.until(lambda: "child started" in stage.query("journey", "state")["steps"], "the child")
    stage.signal("journey", "note", "one")
    stage.ask(stage.handle("journey").execute_update("visit", "Delft"))
    kinds = {name for _, name in stage.events("journey")}
    assert {
        "ACTIVITY_TASK_COMPLETED",
        "TIMER_FIRED",
        "CHILD_WORKFLOW_EXECUTION_COMPLETED",
        "CHILD_WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_EXECUTION_SIGNALED",
        "WORKFLOW_EXECUTION_UPDATE_COMPLETED",
    } <= kinds
    assert stage.look("journey-child").parent == "journey"
    stage.terminate("journey", "journey-child")


def test_a_chain_continues_as_new_with_its_sum(stage):
    first = stage.ask(stage.shop.meter(Meter("meter")))
    stage.signal("meter", "read", 5)
    stage.signal("meter", "roll_over")
    stage.until(lambda: stage.query("meter", "state") == {"total": 5, "generation": 2}, "the second run")
    assert stage.look("meter").first_run_id == first.first_execution_run_id
    assert stage.look("meter", first.first_execution_run_id).status == "CONTINUED_AS_NEW"
    stage.terminate("meter")


def test_a_cron_waits_between_its_runs(stage):
    stage.ask(stage.shop.nightly_report("nightly"))
    assert (stage.look("nightly").status, stage.look("nightly").history_length) == ("RUNNING", 1)
    stage.terminate("nightly")


def test_changed_code_fails_tasks_as_non_deterministic_until_the_fix(make_stage):
    stage = make_stage("releases")
    for name, trouble in (("plain", ""), ("rewritten", "rewritten")):
        stage.ask(stage.shop.checkout(Case(name, trouble=trouble)))
    for name in ("plain", "rewritten"):
        stage.calm(name)
        assert stage.query(name, "state")["steps"] == ["validate", "reserve"]
    stage.workers.replace("good", "bad")
    for name in ("plain", "rewritten"):
        stage.signal(name, "approve")
    for name in ("plain", "rewritten"):
        stage.failing(name)
        assert stage.ask(stage.service.last_failure(name)) == "NON_DETERMINISTIC_ERROR"
    stage.workers.replace("bad", "safe")
    stage.until(lambda: stage.query("plain", "state")["steps"] == ["validate", "reserve", "charge"], "the fix to replay")
    assert stage.look("rewritten").attempt > 1


def test_an_activity_finishes_while_the_task_fails(make_stage):
    stage = make_stage("packing", builds=("bad",))
    stage.ask(stage.shop.packing(Parcel("heavy", packing_seconds=4, trouble="heavy")))
    stage.until(lambda: stage.look("heavy").waits_for == 1, "the packing to begin")
    stage.signal("heavy", "weigh")
    stage.until(lambda: stage.count("heavy", "ACTIVITY_TASK_COMPLETED"), "the Activity's end")
    stage.failing("heavy")
    last = {name: event_id for event_id, name in stage.events("heavy")}
    print(stage.events("heavy"))
    assert last["WORKFLOW_TASK_COMPLETED"] < last["ACTIVITY_TASK_COMPLETED"]
    assert last["WORKFLOW_TASK_COMPLETED"] < last["WORKFLOW_TASK_FAILED"]


def test_a_worker_that_stops_hands_its_activity_over(make_stage):
    stage = make_stage("hand-over")
    stage.ask(stage.shop.order(Order("handed-over", picking_seconds=6)))
    stage.until(lambda: stage.look("handed-over").waits_for == 1 and len(stage.events("handed-over")) > 10, "picking")
    time.sleep(1)
    began = time.monotonic()
    assert stage.workers.stop("good") == 0
    assert time.monotonic() - began < 10
    stage.workers.start("safe")
    stage.until(lambda: len(stage.query("handed-over", "state")["steps"]) == 2, "the second Worker")
    stage.signal("handed-over", "ship")
    assert stage.result("handed-over")["steps"] == ["charge", "handed-over picked", "ship"]
