"""SIGKILL at fifty random instants of one recovery, `resume` after each: nothing twice, nothing lost."""

import os
import random
import signal
import time

import pytest

from crowd import Crowd, Growth, journal_of, records, recovery

KILLS = 50
RATE = 5  # writes a second: the fifty lives together have not the time for the whole crowd
# So long after its beginning, or after its first intent, a life is killed; and how many in ten.
START, WRITES, CALL = (0.0, 0.8), (0.0, 1.0), (0.0, 0.02)
MOMENTS = [START] * 2 + [WRITES] * 4 + [CALL] * 4
CROWD = {"running": 140, "completed": 40}


@pytest.mark.timeout(600)
def test_fifty_kills_and_a_resume_reset_everything_once(address, tool_for):
    seed = int(os.environ.get("RUNBOOK_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed} (RUNBOOK_TEST_SEED)")
    dice = random.Random(seed)
    with Crowd(address, "killed", **CROWD) as crowd:
        tool = tool_for(crowd)
        command = ["exec", recovery(tool, RATE), *tool.connection(), "--yes"]
        lives = []
        for _ in range(KILLS):
            lives.append(one_life(tool, command, dice))
            if journal_of(tool).exists() and records(journal_of(tool), "opened"):
                command = ["resume", tool.run_id(), "--yes"]
        intents = len(records(journal_of(tool), "intent"))
        left = len(crowd.names) - len(records(journal_of(tool), "outcome"))
        assert left > 0, "the recovery did not outlast the kills"
        print(f"{intents} intents in {KILLS} lives: {lives}; {left} left at most")
        assert sum(lives) > KILLS // 2, "hardly any life got to write"
        last = tool.run("resume", tool.run_id(), "--yes", "--rate", "100", seconds=240)
        assert last.code == 0, last
        problems = crowd.problems(tool)
        assert not problems, "\n".join([f"seed {seed}", *problems[:40]])
        doubts = len(records(journal_of(tool), "settled"))
        print(f"{doubts} writes were in doubt and settled")


def one_life(tool, command: list[str], dice: random.Random) -> int:
    """Runs the tool until it is killed; answers how many intents it wrote."""
    before = len(records(journal_of(tool), "intent"))
    grown = Growth(journal_of(tool))
    moment = dice.choice(MOMENTS)
    delay = dice.uniform(*moment)
    with tool.begin(*command) as process:
        end = time.monotonic() + 60
        while moment is not START and not grown.by(tool, b'"intent"'):
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < end, "it does not come to write"
            time.sleep(0.001)
        time.sleep(delay)
        assert process.poll() is None, "it ended by itself"
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    return len(records(journal_of(tool), "intent")) - before
