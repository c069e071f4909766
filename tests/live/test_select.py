"""Each way to name Workflows, on a real server: what is taken, what is left alone, what is counted."""

import json

import pytest

from shop.models import Case, Customer
from steps import Bench, step

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def customers(stage):
    """Six of them, c-0 to c-5."""
    names = [f"c-{n}" for n in range(6)]
    for n, name in enumerate(names):
        stage.ask(stage.shop.start("LoyaltyProgram", Customer(n), name))
    for name in names:
        stage.calm(name)
    stage.until(lambda: len(stage.ask(stage.service.find("WorkflowType = 'LoyaltyProgram'"))) == 6, "Visibility")
    return names


def gift(points: int, **select: object) -> dict:
    return step("gift", "workflows.signal", select=select, name="add_points", input={"points": points})


def given(stage, customers, points: int) -> set[str]:
    """Who has a Signal with so many points in its history."""
    found = set()
    for name in customers:
        for event in stage.ask(stage.service.events(name, "")):
            for payload in event.workflow_execution_signaled_event_attributes.input.payloads:
                if json.loads(payload.data)["points"] == points:
                    found.add(name)
    return found


def test_a_query_less_an_exclusion(stage, bench, customers):
    performed = bench.perform(
        gift(1, query="WorkflowType = 'LoyaltyProgram'", exclude={"ids": ["c-0", {"id": "c-1"}, "c-99"]})
    )
    assert given(stage, customers, 1) == {"c-2", "c-3", "c-4", "c-5"}, performed


def test_names_with_and_without_a_run(stage, bench, customers):
    run = stage.look("c-1").run_id
    performed = bench.perform(gift(2, ids=["c-0", {"id": "c-1", "run": run}]))
    assert given(stage, customers, 2) == {"c-0", "c-1"}, performed


@pytest.mark.parametrize("form", ["lines", "pairs", "tabs", "cli"])
def test_a_file_in_each_form(stage, bench, customers, temporal_for, form):
    points = {"lines": 11, "pairs": 12, "tabs": 13, "cli": 14}[form]
    runs = {name: stage.look(name).run_id for name in ("c-2", "c-3")}
    if form == "cli":
        listed = temporal_for(stage).run(
            "workflow", "list", "--query", "WorkflowId IN ('c-2', 'c-3')", "--output", "jsonl"
        )
        assert listed.code == 0, listed
        text = listed.stdout
    else:
        text = {
            "lines": "\ufeff# who to give to\r\nc-2\r\n\r\nc-3",
            "pairs": "".join(f"{name},{run}\n" for name, run in runs.items()),
            "tabs": "".join(f"{name}\t{run}\n" for name, run in runs.items()),
        }[form]
    (bench.tool.folder / "who.txt").write_text(text, newline="")
    performed = bench.perform(gift(points, file="who.txt"))
    assert given(stage, customers, points) == {"c-2", "c-3"}, performed


def test_bad_lines_are_all_named_before_anything_is_done(stage, bench, customers):
    (bench.tool.folder / "who.txt").write_text("c-2\nc-5,a,b\nc-3,not a run,more\nc-4\n")
    performed = bench.tool.run("exec", bench.write(gift(20, file="who.txt")), *bench.tool.connection(), "--yes")
    assert performed.code not in (0, 3, 70), performed
    for line in ("2", "3"):
        assert f":{line}" in performed.stderr or f"line {line}" in performed.stderr, performed
    assert given(stage, customers, 20) == set()


def test_what_an_earlier_step_had(stage, bench, customers):
    first = gift(31, ids=["c-0", "c-1", "c-nobody"])
    again = {"id": "again", "action": "workflows.signal", "with": first["with"] | {
        "select": {"ledger": ["gift"], "exclude": {"ids": ["c-0"]}}, "input": {"points": 32}}}
    performed = bench.perform(first, again)
    assert given(stage, customers, 31) == {"c-0", "c-1"}, performed
    assert given(stage, customers, 32) == {"c-1"}, performed


def test_a_limit_and_a_sample_take_so_many(stage, bench, customers):
    query = "WorkflowType = 'LoyaltyProgram'"
    bench.perform(gift(41, query=query, limit=2))
    assert len(given(stage, customers, 41)) == 2
    bench.perform(gift(42, query=query, sample=3))
    assert len(given(stage, customers, 42)) == 3


def test_only_those_that_failed_with_a_non_determinism_error(make_stage, tool_for):
    stage = make_stage("only")
    bench = Bench(tool_for(stage))
    for name, trouble in (("changed", "rewritten"), ("waiting", "rewritten")):
        stage.ask(stage.shop.checkout(Case(name, trouble=trouble)))
    for name in ("changed", "waiting"):
        stage.until(lambda: len(stage.query(name, "state")["steps"]) == 2, "the reservation")
    stage.workers.replace("good", "bad")
    stage.signal("changed", "approve")
    stage.failing("changed")
    stage.workers.replace("bad", "safe")
    select = {"query": "WorkflowType = 'Checkout'", "only": "non_deterministic"}
    performed = bench.perform(
        step("undo", "workflows.reset", select=select, to="first_workflow_task", reapply="all", reason="INC-9")
    )
    done = [each["workflow_id"] for each in performed.workflows if each["state"] == "done"]
    assert done == ["changed"], performed
    stage.until(lambda: stage.query("changed", "state")["steps"][-1:] == ["charge"], "the fix")
    assert stage.look("waiting").reset_run_id == ""
