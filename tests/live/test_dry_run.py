"""Whatever only reads leaves histories and routing as they were."""

import pytest

from checks import difference


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rollout", ["current", "ramping"])
def test_plan_explain_and_dry_run_write_nothing(make_world, tool_for, rollout):
    world = make_world(f"dry-{rollout}", rollout=rollout, closing=False)
    tool = tool_for(world)
    plan = tool.run("plan", *tool.flagship())
    assert plan.code == 0, plan
    explained = tool.run("explain", *tool.flagship(), "--workflow", "order-stuck-0")
    assert explained.code == 0 and "stuck_restartable" in explained.stdout + explained.stderr, explained
    dry = tool.run("exec", *tool.flagship(), "--dry-run", seconds=120)
    assert dry.code == 0, dry
    assert "would change" in dry.stdout + dry.stderr, dry
    assert difference(world.before, world.ask(world.service.snapshot())) == []
