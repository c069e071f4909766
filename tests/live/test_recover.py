"""The flagship on a real server: everything recovered once, and a second complete run writes nothing."""

import pytest

from checks import assert_bad_is_gone, assert_everything_ends, assert_recovered, difference
from tool import INCIDENT, bad_workers_stop_when_drained

YES = ["--yes", "--confirm", "clean_up=bad"]


@pytest.mark.timeout(900)
def test_everything_is_recovered_once(world, world_tool):
    with bad_workers_stop_when_drained(world):
        first = world_tool.run("exec", *world_tool.flagship(), *YES, seconds=600)
    assert first.code == 0, first
    print(assert_recovered(world, INCIDENT))
    assert_bad_is_gone(world)
    for named in ("invoice-superseded-0", "fulfilment-with-failed-child-0-child"):
        shown = world_tool.run("show", world_tool.run_id(), "--workflows").stdout
        assert named in first.stdout + first.stderr or named in shown


@pytest.mark.timeout(180)
def test_a_second_run_has_nothing_to_ask_and_writes_nothing(world, world_tool):
    before = world.ask(world.service.snapshot())
    second = world_tool.run("exec", *world_tool.flagship(), seconds=120)
    assert second.code == 0, second
    assert difference(before, world.ask(world.service.snapshot())) == []


@pytest.mark.timeout(300)
def test_then_every_workflow_ends_well(world):
    assert_everything_ends(world)
