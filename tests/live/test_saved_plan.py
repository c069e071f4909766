"""Saved plans on a real server: refused when somebody moved something, carried out once; and a world for
rehearsals that counts as the service does."""

import json
import shutil
import stat

import pytest

from simulated import Simulated
from steps import runbook, step
from tool import FLAGSHIP

WORLD = {"closing": False}
RAMP = ("worker", "deployment", "set-ramping-version", "--deployment-name", "orders", "--yes")


def counts(plan: dict) -> dict[str, dict[str, int]]:
    """By table and row, and what no row takes by type."""
    tables = {}
    for table in plan["tables"]:
        rows = {row["row"]: row["count"] for row in table["rows"]}
        left = {f"(no row) {kind}": left["count"] for kind, left in table["unmatched"].items()}
        tables[table["name"]] = rows | left
    return tables


def would(plan: dict) -> dict[str, dict[str, dict[str, int]]]:
    """What looks said would be done, by table and row."""
    return {table["name"]: {row["row"]: row["looked"]["would"] for row in table["rows"]} for table in plan["tables"]}


@pytest.mark.timeout(240)
def test_a_world_counts_as_the_service_does_and_can_be_rehearsed(world, tool_for):
    tool = tool_for(world)
    book = tool.folder / "recover.yaml"
    shutil.copy(FLAGSHIP, book)
    flagship = tool.flagship()[1:]
    parameters = flagship[: flagship.index("--address")]
    made = tool.run("plan", str(book), *flagship, "--world", "recover.rehearsal.yaml", "--output", "json")
    assert made.code == 0, made
    text = (tool.folder / "recover.rehearsal.yaml").read_text()
    assert "order-stuck-0" not in text, text
    with Simulated(book, "as_it_is", tool.folder) as simulated:
        place = ("--address", simulated.address, "--namespace", world.namespace)
        again = tool.run("plan", str(book), *parameters, *place, "--output", "json")
    assert again.code == 0, again
    assert counts(again.data()) == counts(made.data()), text
    rehearsed = tool.run("rehearse", str(book), seconds=120)
    assert rehearsed.code in (0, 1), rehearsed
    assert "as_it_is" in rehearsed.stdout and "recover" in rehearsed.stdout, rehearsed


@pytest.mark.timeout(180)
def test_a_plan_is_refused_when_the_routing_moved_and_carried_out_once(world, tool_for, temporal_for):
    tool, temporal = tool_for(world), temporal_for(world)
    book = tool.folder / "greet.yaml"
    tickers = {"query": "WorkflowType = 'Ticker' AND ExecutionStatus = 'Running'"}
    greet = step("greet", "workflows.signal", select=tickers, name="greet", input={"points": 0})
    book.write_text(runbook(greet, params={"bad": {"type": "version"}}))
    made = tool.run("plan", str(book), "-p", "bad=orders:bad", *tool.connection(), "--out", "plan.json")
    assert made.code == 0, made
    assert stat.S_IMODE((tool.folder / "plan.json").stat().st_mode) == 0o600
    book.unlink()

    ramped = temporal.run(*RAMP, "--build-id", "safe", "--percentage", "5")
    assert ramped.code == 0, ramped
    refused = tool.run("exec", "plan.json", "--yes")
    assert refused.code == 4, refused
    assert "orders: Ramping" in refused.stderr and "orders:safe, 5 %" in refused.stderr, refused
    diff = tool.run("plan", "--diff", "plan.json", "--output", "json")
    assert diff.code == 4 and not diff.data()["within"], diff
    # Which leaves a ramp of 0 %: it looks unset, and is not.
    assert temporal.run(*RAMP, "--build-id", "safe", "--delete").code == 0
    still = tool.run("exec", "plan.json", "--dry-run")
    assert still.code == 4 and "orders:safe, 0 %" in still.stderr, str(still)
    unset = temporal.run(*RAMP, "--delete")
    assert unset.code == 0, unset

    dry = tool.run("exec", "plan.json", "--dry-run")
    assert dry.code == 0, str(dry)
    done = tool.run("exec", "plan.json", "--yes", "--output", "json")
    assert done.code == 0, done
    outcomes = [json.loads(line)["body"]["kind"] for line in done.stdout.splitlines()]
    assert outcomes.count("outcome") == 2, done
    again = tool.run("exec", "plan.json", "--yes")
    assert again.code == 4 and "was carried out already" in again.stderr, again
    elsewhere = tool.run("exec", "plan.json", "--namespace", "default")
    assert elsewhere.code == 4 and "is of namespace" in elsewhere.stderr, elsewhere
