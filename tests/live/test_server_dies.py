"""The Temporal server is killed in the middle of a recovery, and comes back with what it held.

The tool lives through it, or halts and is resumed; either way each Workflow is reset once.
"""

import os
import random
import signal
import time

import pytest

from crowd import Crowd, Growth, journal_of, records, recovery, wait
from server import Server

RATE = 15
DEATHS = 3
SECONDS_DEAD = (0.0, 4.0)
SECONDS_BETWEEN = (0.2, 2.0)


@pytest.fixture(scope="module")
def mortal():
    with Server(on_disk=True) as server:
        yield server


@pytest.fixture
def dice():
    seed = int(os.environ.get("RUNBOOK_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed} (RUNBOOK_TEST_SEED)")
    return random.Random(seed)


def dies(server, crowd, dice) -> None:
    """Kills the server, keeps it dead for a while, and starts it again."""
    server.kill()
    time.sleep(dice.uniform(*SECONDS_DEAD))
    server.start_again()
    crowd.again()


@pytest.mark.timeout(300)
def test_the_tool_runs_on_while_the_server_dies(mortal, tool_for, dice):
    with Crowd(mortal.address, "dies", running=120, completed=20) as crowd:
        tool = tool_for(crowd)
        with tool.begin("exec", recovery(tool, RATE), *tool.connection(), "--yes") as process:
            for _ in range(DEATHS):
                grown = Growth(journal_of(tool))
                wait(lambda: grown.by(tool, b'"intent"') or process.poll() is not None, "it to write")
                time.sleep(dice.uniform(*SECONDS_BETWEEN))
                assert process.poll() is None, "it gave up"
                dies(mortal, crowd, dice)
            process.wait(150)
        assert process.returncode == 0, (tool.folder / "log.txt").read_text()[-6000:]
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])
        print(f"{len(records(journal_of(tool), 'settled'))} writes were in doubt and settled")


@pytest.mark.timeout(300)
def test_a_halted_tool_is_resumed_when_the_server_is_back(mortal, tool_for, dice):
    """The server dies, the tool is interrupted or killed meanwhile; it is resumed at once, while nobody answers, and again."""
    with Crowd(mortal.address, "halts", running=50, completed=10) as crowd:
        tool = tool_for(crowd)
        command = ["exec", recovery(tool, RATE), *tool.connection(), "--yes"]
        for end in (signal.SIGKILL, signal.SIGINT):
            with tool.begin(*command) as process:
                grown = Growth(journal_of(tool))
                wait(lambda: grown.by(tool, b'"intent"'), "it to write")
                time.sleep(dice.uniform(0.1, 0.8))
                mortal.kill()
                time.sleep(dice.uniform(0.0, 0.5))
                process.send_signal(end)
                process.wait(90)
                assert process.returncode == (130 if end == signal.SIGINT else -end)
            command = ["resume", tool.run_id(), "--yes"]
            nobody = tool.run(*command, seconds=90)
            assert nobody.code == 1 and crowd.address in nobody.stderr, nobody
            mortal.start_again()
            crowd.again()
        last = tool.run(*command, seconds=120)
        assert last.code == 0, last
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])
        print(f"{len(records(journal_of(tool), 'settled'))} writes were in doubt and settled")
