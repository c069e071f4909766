"""Requests, or replies, of writes arrive after the tool gave up waiting for them, and before it looks what
became of them."""

import time

import pytest

from crowd import Crowd, journal_of, records, recovery, wait
from proxy import CALM, Proxy, Trouble

RATE = 25
DEADLINE = 10  # of a write, in the tool; it looks ten seconds after that
pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("held", ["hold_requests", "hold_replies"])
def test_what_is_held_beyond_the_deadline(address, tool_for, held):
    """`hold_requests`: the service hears of them late; `hold_replies`: it did them in time."""
    with Crowd(address, "held", running=60, completed=10) as crowd, Proxy(address) as proxy:
        tool = tool_for(crowd)
        there = ["--address", proxy.address, "--namespace", crowd.namespace]
        with tool.begin("exec", recovery(tool, RATE), *there, "--yes") as process:
            wait(lambda: len(records(journal_of(tool), "intent")) >= 5, "it to write")
            # Each piece takes a moment, so that several writes are under way when the road is closed.
            proxy.be(Trouble(delay=0.3))
            time.sleep(1.5)
            proxy.be(Trouble(**{held: True}))
            time.sleep(DEADLINE + 3)  # and before it looks what became of them
            proxy.be(CALM)
            process.wait(120)
        assert process.returncode == 0, (tool.folder / "log.txt").read_text()[-6000:]
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])
        doubts = records(journal_of(tool), "settled")
        print(f"{len(doubts)} writes were in doubt and settled")
        assert doubts
