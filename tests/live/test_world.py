"""The suite's own ground: the world is as its table says, before any tool touches it."""

from collections import Counter

import pytest

from checks import FEWEST, ROWS, difference
from world import LEAVE

ON_BAD = "TemporalWorkerDeploymentVersion = 'orders:bad' AND TemporalWorkflowVersioningBehavior = 'Pinned'"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("rollout", ["current", "ramping"])
def test_the_world_holds_enough_of_every_row_and_is_quiet(make_world, rollout):
    world = make_world(f"world-{rollout}", rollout=rollout, closing=False)
    rows = Counter(member.row for member in world.members)
    assert all(rows[row] >= FEWEST for row in ROWS), rows
    affected = [member for member in world.members if member.recovery != LEAVE]
    assert len(affected) >= 60 and len({member.kind.type for member in affected}) >= 6

    found = {workflow_id for workflow_id, _ in world.ask(world.service.find(ON_BAD))}
    assert {member.workflow_id for member in world.members if member.row in ROWS} <= found
    untouched = {member.workflow_id for member in world.members if member.row in ("on good", "AutoUpgrade")}
    assert not untouched & found

    routing = world.ask(world.service.routing())
    assert routing["ramping" if rollout == "ramping" else "current"] == "bad"
    assert difference(world.before, world.ask(world.service.snapshot())) == []
