"""Fixtures: one server for the whole suite; a world, or a stage, that a module's tests share.

The tests of a module run in one process, one after the other; modules run side by side.
"""

import contextlib
import os
from pathlib import Path

import pytest

import tool as tools
from server import Server
from stage import Stage
from steps import Bench
from temporal_cli import TemporalCli
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


@pytest.fixture(scope="module")
def world(address, request):
    """The module's world after a bad rollout; a module says more in `WORLD`, a dict of arguments."""
    with World(address, name_of(request.module), **getattr(request.module, "WORLD", {})) as made:
        yield made


@pytest.fixture(scope="module")
def stage(address, request):
    """The module's namespace with one Worker, on release good."""
    with Stage(address, name_of(request.module)) as made:
        yield made


@pytest.fixture
def make_stage(address):
    """`make_stage(name, builds=…)`: a namespace of the test's own, where it changes Workers."""
    with contextlib.ExitStack() as stages:
        yield lambda name, **more: stages.enter_context(Stage(address, name, **more))


@pytest.fixture
def temporal_for(tmp_path: Path):
    """`temporal_for(world)`: the official command."""
    return lambda where: TemporalCli(where, tmp_path)


@pytest.fixture
def tool_for(tmp_path: Path):
    """`tool_for(world)`: the built binary, with a folder of the test's own."""
    return lambda where: made_tool(where, tmp_path / "tool")


@pytest.fixture
def bench(stage, tool_for):
    """Performs steps on the module's stage."""
    return Bench(tool_for(stage))


@pytest.fixture(scope="module")
def world_tool(world, tmp_path_factory):
    """The tool on the module's world, one for all its tests."""
    return made_tool(world, tmp_path_factory.mktemp("tool"))


def made_tool(where, folder: Path) -> tools.Tool:
    """Fails, rather than skips, where nothing is built."""
    assert tools.binary().exists(), f"{tools.binary()} is not built: cargo build, or set RUNBOOK_BIN"
    return tools.Tool(where, folder)


def name_of(module) -> str:
    return module.__name__.removeprefix("test_").replace("_", "-")


def pytest_collection_modifyitems(items):
    """The modules with the longest tests first: what runs side by side then ends together."""

    def budget(item) -> int:
        marker = item.get_closest_marker("timeout")
        return marker.args[0] if marker else 0

    longest: dict[str, int] = {}
    for item in items:
        longest[item.module.__name__] = max(longest.get(item.module.__name__, 0), budget(item))
    items.sort(key=lambda item: (-longest[item.module.__name__], item.module.__name__))
