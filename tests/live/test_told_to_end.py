"""SIGTERM, a closed terminal, and Ctrl-C once and twice: the run stops, is on record, and goes on."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import time

import pytest

import server
from crowd import Crowd, Growth, journal_of, records, recovery, wait
from proxy import CALM, Proxy, Trouble
from tool import binary

pytestmark = pytest.mark.timeout(240)


def goes_on(crowd: Crowd, tool) -> None:
    last = tool.run("resume", tool.run_id(), "--yes", "--rate", "200", seconds=120)
    assert last.code == 0, last
    problems = crowd.problems(tool)
    assert not problems, "\n".join(problems[:40])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_ends_a_run_in_good_order(address, tool_for, name):
    with Crowd(address, "told", running=40) as crowd:
        tool = tool_for(crowd)
        with tool.begin("exec", recovery(tool, rate=12), *tool.connection(), "--yes") as process:
            wait(lambda: len(records(journal_of(tool), "intent")) > 3, "it to write")
            process.send_signal(signal.Signals[name])
            _, said = process.communicate(timeout=60)
            assert process.returncode == 130, said
            assert f"runbook resume {tool.run_id()}" in said, said
        [interrupted] = records(journal_of(tool), "interrupted")
        assert interrupted["signal"] == ("Ctrl-C" if name == "SIGINT" else name)
        decided = [each["ordinal"] for kind in ("outcome", "settled") for each in records(journal_of(tool), kind)]
        open_ = {each["ordinal"] for each in records(journal_of(tool), "intent")} - set(decided)
        assert not open_, f"what was in flight was not waited for: {open_}"
        goes_on(crowd, tool)


def test_a_terminal_that_is_closed_ends_a_run_in_good_order(address, tool_for):
    """The kernel sends SIGHUP to the process whose terminal it is, and nothing can be written there any more."""
    with Crowd(address, "hung-up", running=40) as crowd:
        tool = tool_for(crowd)
        control, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))

        def its_own_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            server.die_with_parent()

        command = [str(binary()), "exec", recovery(tool, rate=12), *tool.connection(), "--yes"]
        process = subprocess.Popen(command, cwd=tool.folder, env=tool.environment(TERM="xterm-256color"), stdin=terminal,
                                   stdout=terminal, stderr=terminal, start_new_session=True, preexec_fn=its_own_terminal)
        try:
            os.close(terminal)
            grown = Growth(journal_of(tool))
            wait(lambda: grown.by(tool, b'"outcome"'), "it to write")
            os.close(control)
            assert process.wait(60) == 130
        finally:
            server.stop_group(process)
        assert [each["signal"] for each in records(journal_of(tool), "interrupted")] == ["SIGHUP"]
        goes_on(crowd, tool)


def test_ctrl_c_waits_for_writes_and_a_second_one_does_not(address, tool_for):
    with Crowd(address, "twice", running=40) as crowd, Proxy(address) as proxy:
        tool = tool_for(crowd)
        there = ["--address", proxy.address, "--namespace", crowd.namespace]
        with tool.begin("exec", recovery(tool, rate=25), *there, "--yes") as process:
            wait(lambda: records(journal_of(tool), "intent"), "it to write")
            proxy.be(Trouble(delay=0.3))
            time.sleep(1)
            held(tool, proxy)
            process.send_signal(signal.SIGINT)
            time.sleep(1.5)
            assert process.poll() is None, "it did not wait for its writes"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
            assert process.returncode == 130 and "interrupted twice" in said, said
        proxy.be(CALM)
        resumed = tool.run("resume", tool.run_id(), "--yes", "--rate", "200", *there, seconds=120)
        assert resumed.code == 0, resumed
        assert records(journal_of(tool), "settled"), "no write was in flight"
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])


def held(tool, proxy: Proxy) -> None:
    """Holds replies until a write is among them."""
    for _ in range(20):
        grown = Growth(journal_of(tool))
        wait(lambda: grown.by(tool, b'"intent"'), "it to write")
        proxy.be(Trouble(hold_replies=True))
        time.sleep(0.2)
        intents = [each["ordinal"] for each in records(journal_of(tool), "intent")]
        ended = {each["ordinal"] for kind in ("outcome", "settled") for each in records(journal_of(tool), kind)}
        if set(intents) - ended:
            return
        proxy.be(Trouble(delay=0.3))
    raise AssertionError("no write was caught in flight")


def test_ctrl_c_does_not_wait_for_a_service_that_is_away(address, tool_for):
    """What only reads is given up at once: it would be tried for a minute."""
    with Crowd(address, "away", running=40) as crowd, Proxy(address) as proxy:
        tool = tool_for(crowd)
        there = ["--address", proxy.address, "--namespace", crowd.namespace]
        with tool.begin("exec", recovery(tool, rate=25), *there, "--yes") as process:
            wait(lambda: len(records(journal_of(tool), "outcome")) > 3, "it to write")
            proxy.be(Trouble(refuse=True))
            time.sleep(3)  # writes that were in flight have failed by now
            assert process.poll() is None, "it gave up"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=15)
            assert process.returncode == 130, said
        proxy.be(CALM)
        resumed = tool.run("resume", tool.run_id(), "--yes", "--rate", "200", *there, seconds=120)
        assert resumed.code == 0, resumed
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])
