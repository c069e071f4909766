"""The disk is full in the middle of a recovery: the tool stops before the service hears of what is not
written down, says so, and goes on when there is room."""

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import server
from crowd import Crowd, records, recovery
from tool import binary

RATE = 60
SMALL = 64 * 1024  # bytes: some way into the recovery
CROWD = {"running": 100, "completed": 20}
pytestmark = pytest.mark.timeout(300)


def assert_stopped_in_time(crowd: Crowd, journal: Path, result_code: int, said: str) -> None:
    """Nothing reached the service that is not announced on the disk, and the message helps."""
    assert result_code == 1, said
    assert "journal" in said and "make room" in said and "runbook resume" in said, said
    announced, sent = len(records(journal, "intent")), sum(map(len, crowd.resets().values()))
    assert sent <= announced < len(crowd.names) and announced > 0, (sent, announced)
    assert not records(journal, "ended")


def test_no_file_may_grow_any_more(address, tool_for):
    """RLIMIT_FSIZE, which everybody may set: a write beyond it fails."""

    def limited() -> None:
        server.die_with_parent()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, resource.RLIM_INFINITY))

    with Crowd(address, "full", **CROWD) as crowd:
        tool = tool_for(crowd)
        path = tool.folder / "state" / "runbook" / "rb-full.jsonl"
        command = [str(binary()), "exec", recovery(tool, RATE), *tool.connection(), "--yes", "--state", str(path)]
        done = subprocess.run(command, env=tool.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=90, preexec_fn=limited)
        assert_stopped_in_time(crowd, path, done.returncode, done.stderr)
        again = tool.run("resume", str(path), "--yes", seconds=120)
        assert again.code == 0, again
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])


# A disk of its own that only this shell sees; it is gone with it.
SCRIPT = r"""
mount -t tmpfs -o size=$SMALL none "$DISK" || exit 99
"$RUNBOOK" "$@" --state "$DISK/rb-full.jsonl" 2>"$OUT/err.0"; echo $? >"$OUT/code.0"
cp "$DISK/rb-full.jsonl" "$OUT/journal.0"
"$RUNBOOK" resume "$DISK/rb-full.jsonl" --yes 2>"$OUT/err.1"; echo $? >"$OUT/code.1"
cp "$DISK/rb-full.jsonl" "$OUT/journal.1"
touch "$OUT/stopped"
while [ ! -e "$OUT/go" ]; do sleep 0.1; done
mount -o remount,size=64m "$DISK" || exit 98
"$RUNBOOK" resume "$DISK/rb-full.jsonl" --yes 2>"$OUT/err.2"; echo $? >"$OUT/code.2"
mkdir -p "$STATE" && cp "$DISK/rb-full.jsonl" "$STATE/rb-full.jsonl"
"""


def own_mounts() -> list[str]:
    """The command that gives a shell mounts of its own; empty where this machine has none to give."""
    for way in (["unshare", "-m"], ["unshare", "-Urm"]):
        probe = [*way, "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]
        if shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0:
            return way
    return []


def test_a_small_disk_is_full(address, tool_for, tmp_path):
    way = own_mounts()
    if not way:
        pytest.skip("THE SMALL DISK DID NOT RUN: neither root nor a user namespace may mount here; "
                    "the test with RLIMIT_FSIZE did")
    with Crowd(address, "small", **CROWD) as crowd:
        tool = tool_for(crowd)
        disk, out, state = tmp_path / "disk", tmp_path / "out", tool.folder / "state" / "runbook"
        disk.mkdir()
        out.mkdir()
        given = {"DISK": str(disk), "OUT": str(out), "STATE": str(state), "RUNBOOK": str(binary()), "SMALL": str(SMALL)}
        command = [*way, "sh", "-c", SCRIPT, "sh", "exec", recovery(tool, RATE), *tool.connection(), "--yes"]
        shell = subprocess.Popen(command, env=tool.environment(**given), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, start_new_session=True, preexec_fn=server.die_with_parent)
        try:
            until = time.monotonic() + 120
            while not (out / "stopped").exists():
                assert shell.poll() is None and time.monotonic() < until, (shell.poll(), sorted(out.iterdir()))
                time.sleep(0.1)
            assert_stopped_in_time(crowd, out / "journal.0", int((out / "code.0").read_text()), (out / "err.0").read_text())
            sent = crowd.resets()
            said = (out / "err.1").read_text()
            assert int((out / "code.1").read_text()) == 1 and "No space left" in said and str(disk) in said, said
            assert crowd.resets() == sent, "a resume on a full disk wrote to the service"
            (out / "go").touch()
            assert shell.wait(150) == 0
        finally:
            server.stop_group(shell)
        assert int((out / "code.2").read_text()) == 0, (out / "err.2").read_text()
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])
