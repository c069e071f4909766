"""The flagship on a real server: everything recovered once, and a second complete run writes nothing."""

import pytest

from checks import assert_bad_is_gone, assert_everything_ends, assert_recovered, difference
from tool import INCIDENT, bad_workers_stop_when_drained

YES = ["--yes", "--confirm", "clean_up=bad"]


@pytest.mark.timeout(900)
def test_everything_is_recovered_once_and_again_is_a_no_op(make_world, tool_for):
    world = make_world("recover")
    tool = tool_for(world)
    with bad_workers_stop_when_drained(world):
        first = tool.run("exec", *tool.flagship(), *YES, seconds=600)
    assert first.code == 0, first
    print(assert_recovered(world, INCIDENT))
    assert_bad_is_gone(world)
    for named in ("invoice-superseded-0", "fulfilment-with-failed-child-0-child"):
        assert named in first.stdout + first.stderr or named in tool.run("show", tool.run_id(), "--workflows").stdout

    before = world.ask(world.service.snapshot())
    # No --yes and no word: a second run has nothing to ask.
    second = tool.run("exec", *tool.flagship(), seconds=120)
    assert second.code == 0, second
    assert difference(before, world.ask(world.service.snapshot())) == []
    assert_everything_ends(world)


@pytest.mark.timeout(240)
def test_without_a_terminal_and_without_yes_it_parks_before_its_first_write(make_world, tool_for):
    world = make_world("park", closing=False)
    tool = tool_for(world)
    parked = tool.run("exec", *tool.flagship())
    assert parked.code == 3, parked
    assert f"runbook resume {tool.run_id()}" in parked.stdout + parked.stderr, parked
    assert difference(world.before, world.ask(world.service.snapshot())) == []


@pytest.mark.timeout(240)
def test_a_mistyped_version_is_an_error(make_world, tool_for):
    world = make_world("mistyped", closing=False)
    tool = tool_for(world)
    arguments = [part.replace("bad=orders:bad", "bad=orders:bda") for part in tool.flagship()]
    result = tool.run("exec", *arguments, *YES)
    assert result.code not in (0, 3, 70), result
    assert "bda" in result.stderr, result
    assert difference(world.before, world.ask(world.service.snapshot())) == []
