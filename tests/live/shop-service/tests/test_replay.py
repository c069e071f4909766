"""Recorded histories, replayed by each release: which ones still fit the code."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from shop import release, workflows

HISTORIES = Path(__file__).parent / "histories"


@pytest.fixture(autouse=True)
def good_again():
    yield
    release.choose(release.GOOD)


def replay(name: str) -> None:
    """Replays one recorded history in the sandbox; raises what a Worker would fail the task with."""
    history = WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())
    asyncio.run(asyncio.wait_for(Replayer(workflows=workflows.ALL).replay_workflow(history), 30))


@pytest.mark.parametrize(
    "build, name", [("good", "checkout"), ("good", "checkout-rewritten"), ("safe", "checkout")]
)
def test_what_good_recorded_fits(build, name):
    release.choose(build)
    replay(name)


@pytest.mark.parametrize(
    "build, name", [("bad", "checkout"), ("bad", "checkout-rewritten"), ("safe", "checkout-rewritten")]
)
def test_what_good_recorded_does_not_fit_changed_code(build, name):
    release.choose(build)
    with pytest.raises(NondeterminismError):
        replay(name)
