"""What a run shows on a terminal while it goes on, and what it leaves behind. On the simulator; no server."""

import json
import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from screen import Screen
from simulated import Simulated
from tool import Tool, binary

pytestmark = pytest.mark.timeout(240)

COUNT = 120
RUNBOOK = {
    "schema": "runbook/v1",
    "name": "points",
    "title": "Points for all",
    "params": {"pause": {"type": "duration", "default": "3s", "description": "How long it waits in the end"}},
    "steps": [
        {"id": "audience", "title": "Count them", "action": "workflows.count", "with": {"query": "WorkflowType = 'Loyalty'"}},
        {
            "id": "send",
            "title": "Send the Signal",
            "action": "workflows.signal",
            "with": {"select": {"query": "WorkflowType = 'Loyalty'"}, "name": "add_points", "input": {"points": 1}},
            "pace": {"rate": 20},
        },
        {"id": "rest", "title": "Let it sink in", "action": "wait", "with": {"for": "${{ params.pause }}"}},
        {"id": "again", "action": "workflows.count", "with": {"query": "WorkflowType = 'Loyalty'"}},
    ],
}
REHEARSAL = {
    "schema": "rehearsal/v1",
    "world": {
        "deployments": {"loyalty": {"current": "v1", "versions": {"v1": {"task_queues": ["loyalty"], "behaves": "idle"}}}},
        "workflows": [{"type": "Loyalty", "id": "customer", "count": COUNT, "task": "none"}],
    },
    "scenarios": {"all": {"title": "All", "expect": {}}},
}
STEPS = ("audience", "send", "rest", "again")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("points")
    (folder / "points.yaml").write_text(json.dumps(RUNBOOK))
    (folder / "points.rehearsal.yaml").write_text(json.dumps(REHEARSAL))
    return folder


@pytest.fixture
def run(files, tmp_path):
    """The command, and an environment of the test's own."""
    with Simulated(files / "points.yaml", "all", tmp_path) as simulated:
        tool = Tool(None, tmp_path / "tool")
        there = ["--address", simulated.address, "--namespace", simulated.namespace]
        environment = {key: value for key, value in tool.environment().items() if key not in ("LANG", "NO_COLOR")}
        yield [str(binary()), "exec", str(files / "points.yaml"), *there, "--yes"], environment


def ended(screen: Screen, code: int = 0) -> str:
    """The transcript of a run that came to its end; each line once, and nothing that is drawn over."""
    assert screen.to_the_end() == code, screen.transcript()
    assert not screen.leftovers(), screen.transcript()
    lines = [line for line in screen.lines() if re.match(r"\d\d:\d\d:\d\dZ ", line)]
    twice = {line: times for line, times in Counter(lines).items() if times > 1}
    assert not twice, screen.transcript()
    text = " ".join(screen.transcript().split())
    # Once as a line, and nowhere else with that time.
    assert len(re.findall(r"\d\dZ . send succeeded", text)) == 1, text
    for step in STEPS:
        assert f"{step} succeeded" in text, text
    return text


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_whole_run_is_shown_and_a_transcript_is_left(run, columns):
    command, environment = run
    with Screen(command, environment, columns, 24) as screen:
        shown = screen.until("done in")
        assert f"of {COUNT}" in shown and ("/s" in shown or columns == 40), shown
        for step in STEPS:
            assert re.search(rf"^\W+{step}\b", shown, re.M), shown
        assert re.search(r"^ ?✓ audience", shown, re.M) and "· again" in shown, shown
        assert "waits" in screen.until("waits"), screen.text()
        ended(screen)


def test_the_window_changes_while_it_runs(run):
    command, environment = run
    with Screen(command, environment, 120, 30) as screen:
        screen.until("done in")
        # The emulator does not move its cursor when rows are taken away, as terminals do: only columns change.
        for columns in [60, 38, 100, 30, 80]:
            screen.resize(columns, 30)
            until = time.monotonic() + 0.7
            while time.monotonic() < until:
                screen.read(0.1)
            widest = max(len(line) for line in screen.text().splitlines())
            assert widest <= columns, screen.text()
            assert "send" in screen.text(), screen.text()
        assert screen.to_the_end() == 0
        # On a terminal that cuts lines, what was above is cut too; nothing of the drawn part may be left.
        assert not screen.leftovers(), screen.transcript()


def test_a_locale_without_utf_8_gets_ascii(run):
    command, environment = run
    with Screen(command, environment | {"LANG": "C", "LC_ALL": "C"}, 80, 24) as screen:
        shown = screen.until("done in")
        assert "#" in shown and "+ audience" in shown, shown
        ended(screen)
        assert screen.written.isascii(), screen.transcript()


def test_a_dumb_terminal_gets_lines(run):
    command, environment = run
    with Screen(command, environment | {"TERM": "dumb"}, 80, 24) as screen:
        ended(screen)
        assert b"\x1b" not in screen.written, screen.transcript()
        assert "send begins: Send the Signal" in screen.transcript(), screen.transcript()


def test_no_color_draws_without_colours(run):
    command, environment = run
    with Screen(command, environment | {"NO_COLOR": "1"}, 80, 24) as screen:
        screen.until("done in")
        ended(screen)
        assert not re.search(rb"\x1b\[\d*m", screen.written)


def test_a_pipe_gets_lines_and_is_never_silent(run):
    command, environment = run
    begun = time.monotonic()
    process = subprocess.Popen(
        [*command, "-p", "pause=32s"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    silent, last, lines = 0.0, begun, []
    for line in process.stderr:
        silent, last = max(silent, time.monotonic() - last), time.monotonic()
        lines.append(line.decode())
    assert process.wait(30) == 0, lines
    assert silent < 30, lines
    assert not any("\x1b" in line for line in lines), lines
    assert sum("rest" in line for line in lines) >= 3, lines


def test_records_on_stdout_and_the_run_on_the_terminal(run):
    command, environment = run
    with Screen([*command, "--output", "json"], environment, 80, 24, stdout=subprocess.PIPE) as screen:
        screen.until("done in")
        lines = []
        os.set_blocking(screen.process.stdout.fileno(), False)
        while screen.read(0.1):
            lines.append(screen.process.stdout.read() or b"")
            if screen.process.poll() is not None:
                break
        lines.append(screen.process.stdout.read() or b"")
        assert screen.to_the_end() == 0, screen.transcript()
        records = [json.loads(line) for line in b"".join(lines).splitlines()]
        assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
        assert records[0]["body"]["kind"] == "opened" and any(r["body"]["kind"] == "ended" for r in records)
        assert not screen.leftovers(), screen.transcript()


def test_a_reader_that_goes_away_stops_nothing(run):
    command, environment = run
    with Screen([*command, "--output", "json"], environment, 80, 24, stdout=subprocess.PIPE) as screen:
        assert json.loads(screen.process.stdout.readline())["seq"] == 1
        screen.process.stdout.close()
        ended(screen)


def test_records_and_the_run_on_one_terminal(run):
    command, environment = run
    with Screen([*command, "--output", "json"], environment, 200, 40) as screen:
        assert screen.to_the_end() == 0
        lines = screen.written.decode().replace("\r", "")
        assert not screen.leftovers(), screen.transcript()
        assert '"kind":"ended"' in lines, lines[-2000:]


def a_shell(run, columns: int = 100):
    command, environment = run
    shell = ["bash", "--norc", "--noediting", "-i"]
    screen = Screen(shell, environment | {"PS1": "shell> ", "HISTFILE": ""}, columns, 30)
    screen.until("shell>")
    screen.type(" ".join(command) + " -p pause=6s; echo it ended with $?\r")
    return screen


def suspend(screen: Screen) -> None:
    """Ctrl-Z, between two frames: the kernel throws away what is written and not yet read when it comes."""
    size = -1
    while len(screen.written) > size:
        size = len(screen.written)
        screen.read(0.05)
    screen.type("\x1a")


def test_it_is_suspended_and_goes_on(run):
    with a_shell(run) as screen:
        screen.until("done in")
        suspend(screen)
        shown = screen.until("Stopped")
        assert "⠋" not in shown and "░" not in shown and "──" not in shown, shown
        screen.type("echo something else\r")
        screen.until("\nsomething else")
        screen.type("fg\r")
        screen.until("succeeded.", seconds=60)
        assert not screen.leftovers(), screen.transcript()
        assert "something else" in screen.transcript()
        for step in STEPS:
            assert len(re.findall(rf"Z ✓ {step} succeeded", screen.transcript())) == 1, screen.transcript()


def test_in_the_background_it_leaves_the_terminal_to_the_shell(run):
    with a_shell(run) as screen:
        screen.until("done in")
        suspend(screen)
        screen.until("Stopped")
        screen.type("stty tostop; bg\r")
        until = time.monotonic() + 3
        while time.monotonic() < until:
            screen.read(0.1)
        assert not screen.leftovers(), screen.transcript()
        screen.type("echo the shell answers\r")
        screen.until("\nthe shell answers")
        screen.type("stty -tostop\r")
        screen.until("again succeeded", seconds=60)
        assert not screen.leftovers(), screen.transcript()


def test_a_prompt_whose_terminal_vanishes_ends(files, tmp_path):
    """No signal says so: the terminal is not the process's own."""
    runbook = RUNBOOK | {"params": {"pause": {"type": "duration", "description": "It has no default"}}}
    (tmp_path / "asks.yaml").write_text(json.dumps(runbook))
    tool = Tool(None, tmp_path / "tool")
    control, terminal = os.openpty()
    process = subprocess.Popen(
        [str(binary()), "plan", str(tmp_path / "asks.yaml")], env=tool.environment(TERM="xterm"),
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )
    try:
        os.close(terminal)
        written = b""
        while b"pause:" not in written:
            written += os.read(control, 4096)
        os.close(control)
        assert process.wait(20) == 2
    finally:
        process.kill()
        process.wait(10)
