"""Cancel, terminate, signal and query on a real server; what is closed or gone is never a silent success."""

import pytest

from shop.models import Customer, Order
from steps import step

pytestmark = pytest.mark.timeout(180)
REASON = "INC-8"


def named(*names: str) -> dict:
    return {"query": f"WorkflowId IN ({', '.join(map(repr, names))})"}


def seen(stage, *names: str) -> None:
    """Waits until Visibility has them."""
    stage.until(lambda: len(stage.ask(stage.service.find(named(*names)["query"]))) == len(names), "Visibility")


def orders(stage, *names: str, **more: object) -> None:
    for name in names:
        stage.ask(stage.shop.order(Order(name, **more)))
    for name in names:
        stage.calm(name)
    seen(stage, *names)


def cancel(*names: str, **more: object) -> dict:
    return step("stop", "workflows.cancel", select=named(*names), reason=REASON, **more)


def test_a_cancel_lets_an_order_clean_up(stage, bench):
    orders(stage, "c-1", "c-2")
    performed = bench.perform(cancel("c-1", "c-2"))
    assert performed.states() == {"c-1": "done", "c-2": "done"}, performed
    for who in ("c-1", "c-2"):
        stage.until(lambda: stage.look(who).status == "CANCELED", "the clean-up")
        assert stage.query(who, "state")["steps"] == ["charge", "refund"]
        assert stage.count(who, "WORKFLOW_EXECUTION_CANCEL_REQUESTED") == 1


def test_closed_and_missing_ones_are_skipped_by_name(stage, bench):
    orders(stage, "c-open", "c-closed")
    stage.terminate("c-closed")
    performed = bench.perform(step("stop", "workflows.cancel", select={"ids": ["c-open", "c-closed", "c-nobody"]}, reason=REASON))
    assert performed.of("c-open")["state"] == "done", performed
    for who, why in (("c-closed", "already closed"), ("c-nobody", "not found")):
        entry = performed.of(who)
        assert entry["state"] == "skipped" and why in entry["message"], performed
    assert stage.count("c-closed", "WORKFLOW_EXECUTION_CANCEL_REQUESTED") == 0


def test_terminate_says_why_in_the_history(stage, bench):
    orders(stage, "t-1")
    performed = bench.perform(step("stop", "workflows.terminate", select=named("t-1"), reason=REASON))
    assert performed.of("t-1")["state"] == "done", performed
    assert stage.look("t-1").status == "TERMINATED"
    last = stage.ask(stage.service.events("t-1", ""))[-1].workflow_execution_terminated_event_attributes
    assert REASON in last.reason and "rb-" in last.reason


def test_a_signal_with_json_is_what_the_sdk_expects(stage, bench):
    orders(stage, "s-1", "s-2")
    recall = {"reason": "Product recall; 'quoted', ünïcödé"}
    steps = step("recall", "workflows.signal", select=named("s-1", "s-2"), name="cancelOrder", input=recall)
    performed = bench.perform(steps)
    for who in ("s-1", "s-2"):
        assert performed.of(who)["state"] == "done", performed
        assert stage.result(who)["cancelled_because"] == recall["reason"]
        assert stage.count(who, "WORKFLOW_EXECUTION_SIGNALED") == 1


@pytest.mark.parametrize("kill", ["after_intent:1", "after_effect:1", "after_effect:3", "record:6"])
def test_a_killed_signal_campaign_signals_each_once(stage, bench, kill):
    names = [f"s-kill-{kill.replace(':', '-')}-{n}" for n in range(4)]
    for n, name in enumerate(names):
        stage.ask(stage.shop.start("LoyaltyProgram", Customer(n), name))
    for name in names:
        stage.calm(name)
    seen(stage, *names)
    path = bench.write(step("gift", "workflows.signal", select=named(*names), name="add_points", input={"points": 10}))
    killed = bench.tool.run("exec", path, *bench.tool.connection(), "--yes", RUNBOOK_TEST_KILL=kill)
    assert killed.code == -9, killed
    performed = bench.performed(bench.tool.run("resume", bench.tool.run_id(), "--yes", seconds=90), code=None)
    assert performed.result.code in (0, 1), performed
    for name in names:
        state, points = performed.of(name)["state"], stage.query(name, "points")
        # In doubt is never sent again blindly: then the tool says that it does not know.
        assert (state, points) in (("done", 10), ("unknown", 0), ("unknown", 10)), performed
    stage.terminate(*names)


def test_who_ignores_a_cancel_is_terminated_after_a_word(stage, bench):
    orders(stage, "c-polite")
    orders(stage, "c-stubborn", on_cancel="ignore")
    steps = (
        cancel("c-polite", "c-stubborn"),
        step("closed", "workflows.wait_closed", ledger=["stop"], wait="5s"),
        {
            "id": "force",
            "action": "workflows.terminate",
            "when": "${{ steps.closed.open > 0 }}",
            "with": {"select": {"ledger": ["stop"]}, "reason": REASON},
            "confirm": {"type": "terminate"},
        },
    )
    performed = bench.perform(*steps, flags=("--yes", "--confirm", "force=terminate"))
    assert stage.look("c-polite").status == "CANCELED", performed
    assert stage.look("c-stubborn").status == "TERMINATED", performed
    assert stage.count("c-stubborn", "WORKFLOW_EXECUTION_CANCEL_REQUESTED") == 1


def test_queries_are_answered_or_say_why_not(stage, bench):
    orders(stage, "q-1")
    ask = step("ask", "workflows.query", select={"ids": ["q-1", "q-nobody"]}, name="state", timeout="5s")
    check = step("right", "assert", that="${{ steps.ask.answered == 1 and steps.ask.failed == 1 }}", message="counts")
    bench.perform(ask, check, flags=())
    one = step("ask", "workflows.query", select={"ids": ["q-1"]}, name="state")
    check = step("right", "assert", that="${{ steps.ask.answer.steps == ['charge'] }}", message="steps")
    bench.perform(one, check, flags=())
    wrong = step("ask", "workflows.query", select={"ids": ["q-1"]}, name="nonsense")
    check = step("right", "assert", that="${{ steps.ask.failed == 1 }}", message="a Query that nobody knows")
    bench.perform(wrong, check, flags=())
    stage.terminate("q-1")
