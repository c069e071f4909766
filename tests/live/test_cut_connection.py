"""The connection between the tool and the service is cut, slowed, truncated and half closed, at random
instants of one recovery: nothing twice, nothing lost."""

import os
import random
import time

import pytest

from crowd import Crowd, Growth, journal_of, records, recovery, wait
from proxy import CALM, Proxy, Trouble

RATE = 12
ROUNDS = 2  # of all troubles, each round in an order of its own
pytestmark = pytest.mark.timeout(420)


@pytest.fixture
def dice():
    seed = int(os.environ.get("RUNBOOK_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed} (RUNBOOK_TEST_SEED)")
    return random.Random(seed)


def for_a_while(trouble: Trouble, low: float, high: float):
    def happens(proxy: Proxy, dice: random.Random) -> None:
        proxy.be(trouble)
        time.sleep(dice.uniform(low, high))
        proxy.be(CALM)

    return happens


def lost_replies(proxy: Proxy, dice: random.Random) -> None:
    """Requests arrive, replies do not, and then the connection is gone."""
    proxy.be(Trouble(lose_replies=True))
    time.sleep(dice.uniform(0.1, 0.6))
    proxy.drop()
    proxy.be(CALM)


TROUBLES = {
    "drop": lambda proxy, dice: proxy.drop(),
    "drop again and again": lambda proxy, dice: [(proxy.drop(), time.sleep(dice.uniform(0, 0.1))) for _ in range(10)],
    "truncate": lambda proxy, dice: proxy.truncate(),
    "half close": lambda proxy, dice: proxy.half_close(),
    "lose replies": lost_replies,
    "delay": for_a_while(Trouble(delay=0.3), 0.5, 1.5),
    "hold replies": for_a_while(Trouble(hold_replies=True), 0.2, 3.0),
    "hold requests": for_a_while(Trouble(hold_requests=True), 0.2, 3.0),
    "refuse": for_a_while(Trouble(refuse=True), 0.2, 3.0),
}


def test_whatever_happens_to_the_connection(address, tool_for, dice):
    with Crowd(address, "cut", running=180, completed=30) as crowd, Proxy(address, dice.randrange(1 << 32)) as proxy:
        tool = tool_for(crowd)
        there = ["--address", proxy.address, "--namespace", crowd.namespace]
        with tool.begin("exec", recovery(tool, RATE), *there, "--yes") as process:
            for _ in range(ROUNDS):
                for name in dice.sample(sorted(TROUBLES), len(TROUBLES)):
                    grown = Growth(journal_of(tool))
                    wait(lambda: grown.by(tool, b'"intent"') or process.poll() is not None, f"it to write before: {name}")
                    time.sleep(dice.uniform(0, 0.3))
                    assert process.poll() is None, f"it ended by itself before: {name}"
                    TROUBLES[name](proxy, dice)
            proxy.be(CALM)
            process.wait(200)
        assert process.returncode == 0, (tool.folder / "log.txt").read_text()[-6000:]
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])
        print(f"{len(records(journal_of(tool), 'settled'))} writes were in doubt and settled")
