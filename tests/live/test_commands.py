"""The `temporal` command that stands beside a write does what the tool does.

Two like Workflows: the tool writes to one, the real CLI runs the printed command on the other.
Then both must have the same history, but for who wrote and when.
"""

import pytest

from shop.models import Customer, Order
from steps import Bench, step

pytestmark = pytest.mark.timeout(180)
REASON = "INC-10: it's \"quoted\" $HOME `x`"


def command_of(bench: Bench, steps: list[dict]) -> str:
    """The one command in the plan."""
    planned = bench.tool.run("plan", bench.write(*steps), *bench.tool.connection(), "--output", "json")
    assert planned.code == 0, planned
    found = sorted(commands(planned.data()))
    assert len(found) == 1, f"{found}\n{planned}"
    return found[0]


def commands(data: object) -> set[str]:
    """All command lines in a JSON document."""
    if isinstance(data, dict):
        return {each for value in data.values() for each in commands(value)}
    if isinstance(data, list):
        return {each for value in data for each in commands(value)}
    return {data} if isinstance(data, str) and data.startswith("temporal ") else set()


def outline(stage, workflow_id: str) -> list[str]:
    return [name for _, name in stage.events(workflow_id)]


def both(stage, bench, temporal, twins: tuple[str, str], action: str, **more: object) -> None:
    """The tool on the first, the command on the second, and the same history in the end."""
    by_tool, by_hand = ([step("it", action, select={"query": f"WorkflowId = '{who}'"}, **more)] for who in twins)
    command = command_of(bench, by_hand)
    performed = bench.perform(*by_tool)
    assert "done" in [each["state"] for each in performed.workflows], performed
    answer = temporal.line(command)
    assert answer.code == 0, f"{command}\n{answer}"
    stage.until(lambda: alike(stage, *twins), f"like histories after {command}")


def alike(stage, one: str, other: str) -> bool:
    """Nothing is pending, and the same events happened."""
    looks = [stage.look(who) for who in (one, other)]
    return all(each.attempt == 0 == each.waits_for for each in looks) and outline(stage, one) == outline(stage, other)


@pytest.fixture
def twins(stage, request):
    """Two customers with the same past, whom Visibility knows."""
    names = (f"{request.node.name[:40]}-tool", f"{request.node.name[:40]}-hand")
    for name in names:
        stage.ask(stage.shop.start("LoyaltyProgram", Customer(1), name))
        for points in (300, 200):
            stage.calm(name)
            stage.signal(name, "add_points", {"points": points})
        stage.calm(name)
        stage.until(lambda: stage.ask(stage.service.find(f"WorkflowId = '{name}'")), "Visibility")
    yield names
    stage.terminate(*names)


def test_a_signal(stage, bench, temporal_for, twins):
    given = {"points": 7, "note": "it's $5 \"off\" ü"}
    both(stage, bench, temporal_for(stage), twins, "workflows.signal", name="add_points", input=given)
    assert [stage.query(who, "points") for who in twins] == [507, 507]


def test_a_cancel(stage, bench, temporal_for, twins):
    both(stage, bench, temporal_for(stage), twins, "workflows.cancel", reason=REASON)
    assert [stage.look(who).status for who in twins] == ["CANCELED", "CANCELED"]


def test_a_terminate(stage, bench, temporal_for, twins):
    both(stage, bench, temporal_for(stage), twins, "workflows.terminate", reason=REASON)
    reasons = [
        stage.ask(stage.service.events(who, ""))[-1].workflow_execution_terminated_event_attributes.reason
        for who in twins
    ]
    assert all(REASON in each for each in reasons), reasons


@pytest.mark.parametrize("to, reapply, points", [("first_workflow_task", "none", 0), ("last_workflow_task", "all", 500)])
def test_a_reset(stage, bench, temporal_for, twins, to, reapply, points):
    both(stage, bench, temporal_for(stage), twins, "workflows.reset", to=to, reapply=reapply, reason=REASON)
    assert [stage.query(who, "points") for who in twins] == [points, points]


def test_moving_to_a_version(make_stage, tool_for, temporal_for):
    stage = make_stage("commands-moved", builds=("good", "safe"), versioned=True)
    bench, names = Bench(tool_for(stage)), ("tool", "hand")
    for name in names:
        stage.ask(stage.shop.order(Order(name)))
        stage.calm(name)
    both(stage, bench, temporal_for(stage), names, "workflows.update_options", version="orders:safe")
    assert [stage.look(who).override for who in names] == ["safe", "safe"]


def test_stopping_a_rollout(make_stage, tool_for, temporal_for):
    """The question shows what to do by hand; done by hand, the tool finds nothing to do."""
    stage = make_stage("commands-rollout", builds=("good", "bad"), versioned=True)
    bench = Bench(tool_for(stage))
    stage.ask(stage.service.set_ramping("bad", 50))
    stop = step("it", "deployment.stop_rollout", version="orders:bad", revert_to="orders:good")
    parked = bench.perform(stop, flags=(), code=3)
    told = bench.tool.run("show", bench.tool.run_id()).stdout
    shown = [line.strip() for line in told.splitlines() if line.strip().startswith("temporal ")]
    assert len(set(shown)) == 1, f"{parked}\n{told}"
    answer = temporal_for(stage).line(shown[0])
    assert answer.code == 0, answer
    routing = stage.ask(stage.service.routing())
    assert (routing["current"], routing["ramping"]) == ("good", ""), answer
    again = bench.perform(stop)
    assert stage.ask(stage.service.routing()) == routing, again


def test_the_plan_says_what_the_command_does_not_do(stage, bench, twins):
    """A reset by query takes again what was reset: the tool skips it, the command does not."""
    steps = [step("it", "workflows.reset", select={"query": f"WorkflowId = '{twins[0]}'"}, to="first_workflow_task",
                  reapply="none", reason=REASON)]
    planned = bench.tool.run("plan", bench.write(*steps), *bench.tool.connection())
    assert planned.code == 0, planned
    assert "temporal workflow reset" in planned.stdout and "twice" in planned.stdout, planned
