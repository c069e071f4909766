"""No parameter's value can change what a query means to the server."""

import pytest

from tool import Tool
from world import World

pytestmark = pytest.mark.xdist_group("filter")  # they share a world

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


@pytest.fixture(scope="module")
def world(address):
    with World(address, "filter", only="order-idle") as made:
        yield made


@pytest.mark.timeout(240)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_matches_nothing(world, tmp_path, value):
    tool = Tool(world, tmp_path)
    path = tmp_path / "count.yaml"
    path.write_text(RUNBOOK)
    given = ["-p", f"wanted={value}"]
    result = tool.run("exec", str(path), *given, *tool.connection(), "--output", "json")
    assert result.code == 0, result


@pytest.mark.timeout(240)
def test_an_ordinary_value_matches_its_workflows(world, tmp_path):
    tool = Tool(world, tmp_path)
    path = tmp_path / "count.yaml"
    path.write_text(RUNBOOK.replace("== 0", "> 0"))
    result = tool.run("exec", str(path), "-p", "wanted=OrderProcessing", *tool.connection())
    assert result.code == 0, result
