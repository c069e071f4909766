"""The tool's process is suspended in the middle of its writes, as a laptop's is, and woken.

Meanwhile somebody else resets some of the Workflows by the official command: what the tool knew of
them is old, and none is reset again. Answers of the service wait in the socket all the while.
"""

import os
import random
import signal
import time

import pytest

from crowd import Crowd, Growth, journal_of, records, recovery, wait
from proxy import CALM, Proxy, Trouble

RATE = 8
# A look may be 2 s old, a call may take 10 s, and a write in doubt is looked into 10 s after that.
SHORT = [3, 5, 12, 25]
LONG = 65
OTHERS = 4  # Workflows that somebody else resets during each suspension
pytestmark = pytest.mark.timeout(420)


@pytest.fixture
def dice():
    seed = int(os.environ.get("RUNBOOK_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed} (RUNBOOK_TEST_SEED)")
    return random.Random(seed)


@pytest.mark.parametrize("lengths", [SHORT, [LONG]], ids=["short", "long"])
def test_what_was_seen_before_it_slept_is_looked_at_again(address, tool_for, temporal_for, dice, lengths):
    with Crowd(address, "slept", running=100) as crowd, Proxy(address, dice.randrange(1 << 32)) as proxy:
        tool, cli = tool_for(crowd), temporal_for(crowd)
        there = ["--address", proxy.address, "--namespace", crowd.namespace]
        by_hand: list[str] = []
        with tool.begin("exec", recovery(tool, RATE), *there, "--yes") as process:
            wait(lambda: records(journal_of(tool), "intent"), "it to write")
            for length in lengths:
                grown = Growth(journal_of(tool))
                wait(lambda: grown.by(tool, b'"intent"'), "it to write")
                # Looks and writes are in flight, and what the service answered is on its way.
                proxy.be(Trouble(hold_replies=True))
                time.sleep(dice.uniform(0.3, 0.6))
                process.send_signal(signal.SIGSTOP)
                proxy.be(CALM)
                begun = time.monotonic()
                by_hand += reset_by_somebody_else(crowd, tool, cli, by_hand)
                time.sleep(max(0.0, length - (time.monotonic() - begun)))
                process.send_signal(signal.SIGCONT)
            process.wait(150)
        log = (tool.folder / "log.txt").read_text()[-6000:]
        assert process.returncode in (0, 1), log
        print(f"{by_hand} by hand; {len(records(journal_of(tool), 'settled'))} settled; exit {process.returncode}")
        problems = crowd.problems(tool, tuple(by_hand))
        assert not problems, "\n".join([*problems[:40], log])


def reset_by_somebody_else(crowd: Crowd, tool, cli, before: list[str]) -> list[str]:
    """Resets the next ones in the tool's queue: those it is looking at, or has looked at, without an intent."""
    journal = journal_of(tool)
    taken = {each["ordinal"] for kind in ("intent", "outcome", "released") for each in records(journal, kind)}
    claims = [claim for page in records(journal, "page") for claim in page["claims"]]
    free = [claim["id"] for claim in claims if claim["ordinal"] not in taken]
    others = [name for name in free if name not in before][:OTHERS]
    assert len(others) == OTHERS, "hardly anything is left"
    for name in others:
        done = cli.run("workflow", "reset", "--workflow-id", name, "--run-id", crowd.bases[name], "--type",
                       "FirstWorkflowTask", "--reason", "somebody else")
        assert done.code == 0, done
    return others
