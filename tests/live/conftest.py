"""Fixtures: one server for the whole suite, a world for each test that wants one."""

import contextlib
import os
from pathlib import Path

import pytest

import tool as tools
from server import Server
from world import World


@pytest.fixture(scope="session")
def address():
    """The server that `suite.py` started for all processes, or one of this process's own."""
    given = os.environ.get("RUNBOOK_TEST_ADDRESS")
    if given:
        yield given
        return
    with Server() as own:
        yield own.address


@pytest.fixture
def make_world(address):
    """`make_world(name, rollout=…, closing=…)`; all Workers end with the test."""
    with contextlib.ExitStack() as worlds:
        yield lambda name, **more: worlds.enter_context(World(address, name, **more))


@pytest.fixture
def tool_for(tmp_path: Path):
    """`tool_for(world)`: the built binary; fails, rather than skips, where there is none."""
    assert tools.binary().exists(), f"{tools.binary()} is not built: cargo build, or set RUNBOOK_BIN"
    return lambda world: tools.Tool(world, tmp_path / "tool")


def pytest_collection_modifyitems(items):
    """The longest first: what runs side by side then ends together."""

    def budget(item):
        marker = item.get_closest_marker("timeout")
        return marker.args[0] if marker else 0

    items.sort(key=budget, reverse=True)
