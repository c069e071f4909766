"""SIGKILL at ten instants of one recovery, then `resume` to the end: nothing twice, nothing lost.

The binary kills itself at a named point when `RUNBOOK_TEST_KILL` says so: `after_intent:N` (the
N-th intent of this process is durable, its call not sent), `after_effect:N` (the call is answered,
the outcome not written), `before_intent:N`, `record:N`.
"""

import signal

import pytest

from checks import assert_bad_is_gone, assert_everything_ends, assert_recovered
from test_recover import YES
from tool import INCIDENT, bad_workers_stop_when_drained

# The first is `exec`; each of the others is a `resume`. Counts start anew in each process.
INSTANTS = [
    "after_intent:1",
    "after_effect:1",
    "after_intent:4",
    "after_effect:7",
    "before_intent:3",
    "after_intent:9",
    "after_effect:5",
    "record:12",
    "after_intent:2",
    "after_effect:3",
]


WORLD = {"rollout": "ramping"}


@pytest.mark.timeout(1200)
def test_ten_kills_and_a_resume_recover_everything_once(world, world_tool):
    tool, killed = world_tool, 0
    with bad_workers_stop_when_drained(world):
        result = tool.run("exec", *tool.flagship(), *YES, seconds=300, RUNBOOK_TEST_KILL=INSTANTS[0])
        for instant in [*INSTANTS[1:], ""]:
            if result.code != -signal.SIGKILL:
                break
            killed += 1
            again = ["resume", tool.run_id(), *YES]
            result = tool.run(*again, seconds=600, **({"RUNBOOK_TEST_KILL": instant} if instant else {}))
    assert killed == len(INSTANTS), f"killed {killed} times only:\n{result}"
    assert result.code == 0, result
    print(assert_recovered(world, INCIDENT))
    assert_bad_is_gone(world)


@pytest.mark.timeout(300)
def test_then_every_workflow_ends_well(world):
    assert_everything_ends(world)
