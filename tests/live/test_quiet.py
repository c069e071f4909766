"""What only reads, refuses or asks leaves a world as it was; and no parameter's value changes a query."""

from collections import Counter

import pytest

from checks import FEWEST, ROWS, difference
from terminal import Terminal
from test_recover import YES
from world import LEAVE

WORLD = {"closing": False}
pytestmark = pytest.mark.timeout(420)

ON_BAD = "TemporalWorkerDeploymentVersion = 'orders:bad' AND TemporalWorkflowVersioningBehavior = 'Pinned'"


@pytest.fixture
def untouched(world):
    """Compares all histories and the routing before and after a test."""
    yield
    assert difference(world.before, world.ask(world.service.snapshot())) == []


def test_the_world_holds_enough_of_every_row(world, untouched):
    rows = Counter(member.row for member in world.members)
    assert all(rows[row] >= FEWEST for row in ROWS), rows
    affected = [member for member in world.members if member.recovery != LEAVE]
    assert len(affected) >= 60 and len({member.kind.type for member in affected}) >= 6

    found = {workflow_id for workflow_id, _ in world.ask(world.service.find(ON_BAD))}
    assert {member.workflow_id for member in world.members if member.row in ROWS} <= found
    others = {member.workflow_id for member in world.members if member.row in ("on good", "AutoUpgrade")}
    assert not others & found

    routing = world.ask(world.service.routing())
    assert routing["ramping" if world.rollout == "ramping" else "current"] == "bad"


def test_plan_explain_and_dry_run_write_nothing(world, tool_for, untouched):
    tool = tool_for(world)
    plan = tool.run("plan", *tool.flagship())
    assert plan.code == 0, plan
    explained = tool.run("explain", *tool.flagship(), "--workflow", "order-stuck-0")
    assert explained.code == 0 and "stuck_restartable" in explained.stdout + explained.stderr, explained
    dry = tool.run("exec", *tool.flagship(), "--dry-run", seconds=120)
    assert dry.code == 0, dry
    assert "would change" in dry.stdout + dry.stderr, dry


def test_without_a_terminal_and_without_yes_it_parks_before_its_first_write(world, tool_for, untouched):
    tool = tool_for(world)
    parked = tool.run("exec", *tool.flagship())
    assert parked.code == 3, parked
    assert f"runbook resume {tool.run_id()}" in parked.stdout + parked.stderr, parked
    tool.unlock()


def test_a_mistyped_version_is_an_error(world, tool_for, untouched):
    tool = tool_for(world)
    arguments = [part.replace("bad=orders:bad", "bad=orders:bda") for part in tool.flagship()]
    result = tool.run("exec", *arguments, *YES)
    assert result.code not in (0, 3, 70), result
    assert "bda" in result.stderr, result


def test_a_person_declines(world, tool_for, untouched):
    tool = tool_for(world)
    with Terminal(tool, "exec", *tool.flagship()) as terminal:
        code = terminal.talk(90, yes="n")
    assert code in (1, 3), terminal.screen[-4000:]
    assert terminal.questions, terminal.screen[-4000:]
    tool.unlock()


RUNBOOK = """\
schema: runbook/v1
name: count-by-owner
title: Count the Workflows of a type
params:
  wanted: { type: string, description: A Workflow Type }
queries:
  mine: WorkflowType = ${{ params.wanted }}
steps:
  - id: count
    action: workflows.count
    with: { query: "${{ queries.mine }}" }
  - id: as_expected
    action: assert
    with: { that: "${{ steps.count.count == 0 }}", message: a value changed the meaning of the query }
"""

HOSTILE = [
    "' OR 1=1",
    "' OR ExecutionStatus = 'Running",
    "x' OR WorkflowType != '",
    'x" OR WorkflowType != "',
    "\\' OR WorkflowType != '",
    "x\\",
    "\\",
    "'",
    "''",
    "line\nbreak' OR WorkflowType != 'x",
    "tab\tand 'quote'",
    "`OrderProcessing`",
    "Ünïcödé ' 工作流 \u202e",
    "${{ params.wanted }}",
    "OrderProcessing') OR (WorkflowType != 'x",
    "%",
    "",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_matches_nothing(world, tool_for, tmp_path, value):
    tool = tool_for(world)
    path = tmp_path / "count.yaml"
    path.write_text(RUNBOOK)
    result = tool.run("exec", str(path), "-p", f"wanted={value}", *tool.connection(), "--output", "json")
    # The service takes quotes off both ends of a text, so nobody can ask it for such a one.
    if value.startswith("'") or value.endswith("'"):
        assert result.code == 1 and "begins or ends with a single quote" in result.stderr, result
    else:
        assert result.code == 0, result


def test_an_ordinary_value_matches_its_workflows(world, tool_for, tmp_path):
    tool = tool_for(world)
    path = tmp_path / "count.yaml"
    path.write_text(RUNBOOK.replace("== 0", "> 0"))
    result = tool.run("exec", str(path), "-p", "wanted=OrderProcessing", *tool.connection())
    assert result.code == 0, result
