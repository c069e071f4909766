"""Ten processes resume one run at the same instant: one goes on, nine are refused."""

import os
import signal
import subprocess
import time

import pytest

import server
from crowd import Crowd, Growth, journal_of, recovery, wait
from tool import binary

RACERS = 10


@pytest.mark.timeout(240)
def test_ten_resumes_at_once(address, tool_for):
    with Crowd(address, "racers", running=50, completed=10) as crowd:
        tool = tool_for(crowd)
        with tool.begin("exec", recovery(tool, rate=0.5), *tool.connection(), "--yes") as process:
            grown = Growth(journal_of(tool))
            wait(lambda: grown.by(tool, b'"intent"'), "it to write")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        # So slow that who goes on is still there when the last of them asks.
        starts = time.time() + 1.0
        racers = [start(tool, starts) for _ in range(RACERS)]
        try:
            wait(lambda: sum(each.poll() is not None for each in racers) >= RACERS - 1, "nine of them to end")
            winners = [each for each in racers if each.poll() is None]
            assert len(winners) == 1, [(each.returncode, each.communicate()) for each in racers]
            for each in racers:
                if each is not winners[0]:
                    _, said = each.communicate(timeout=10)
                    assert each.returncode == 4, said
                    assert "is in use by" in said and "wait until it ends" in said, said
                    assert f"process {winners[0].pid}" in said or "another process" in said, said
            winners[0].send_signal(signal.SIGINT)
            _, said = winners[0].communicate(timeout=60)
            assert winners[0].returncode == 130, said
        finally:
            for each in racers:
                server.stop_group(each)
        last = tool.run("resume", tool.run_id(), "--yes", "--rate", "200", seconds=90)
        assert last.code == 0, last
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])


def start(tool, at: float) -> subprocess.Popen:
    """A `resume` that begins at a given instant, as all of them do."""
    line = 'sleep "$0"; exec "$@"'
    wait_for = f"{max(0.0, at - time.time()):.3f}"
    command = ["sh", "-c", line, wait_for, str(binary()), "resume", tool.run_id(), "--yes"]
    return subprocess.Popen(command, cwd=tool.folder, env=tool.environment(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, preexec_fn=server.die_with_parent)
