"""A runbook's lock, kept by a real server: two processes at once, a holder that is killed, `unlock`, `resume`."""

import json
import signal
import time
import uuid

import pytest

from steps import runbook, step
from tool import Tool

NAME = "live lock"
PAUSE = "15s"


def book(tool: Tool, name: str, **wait: str) -> str:
    """A runbook that holds its lock for a while, and writes once."""
    path = tool.folder / "locked.yaml"
    path.write_text(
        runbook(
            step("pause", "wait", for_=wait.get("pause", PAUSE)),
            step("tell", "manual.task", instructions="Say that it is done."),
            lock=name,
        )
    )
    return str(path)


@pytest.fixture
def two(stage, tmp_path):
    """Two people on two machines: two folders, two states."""
    return Tool(stage, tmp_path / "ana"), Tool(stage, tmp_path / "ben")


@pytest.fixture
def name() -> str:
    """A lock of the test's own."""
    return f"{NAME} {uuid.uuid4().hex[:6]}"


def lease(stage, name: str):
    """What the server says of the lease; the current run."""

    async def ask():
        handle = stage.service.client.get_workflow_handle(f"runbook-lock:{name}")
        found = await handle.describe()
        memo = await found.memo()
        return found, memo

    return stage.ask(ask(), 20)


@pytest.mark.timeout(120)
def test_of_two_at_once_one_wins(stage, two, name):
    ana, ben = two
    files = [book(each, name) for each in two]
    with ana.begin("exec", files[0], *ana.connection(), "--yes") as first:
        with ben.begin("exec", files[1], *ben.connection(), "--yes") as second:
            codes = sorted(process.wait(90) for process in (first, second))
    assert codes == [0, 4]
    found, _ = lease(stage, name)
    assert found.status.name == "TERMINATED", "given back"


@pytest.mark.timeout(240)
def test_a_killed_holder_keeps_it_until_somebody_unlocks_and_resume_takes_it_again(stage, two, name):
    ana, ben = two
    file = book(ana, name)
    with ana.begin("exec", file, *ana.connection(), "--yes") as process:
        until_held(stage, name)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    run = ana.run_id()
    found, memo = lease(stage, name)
    assert found.workflow_type == "runbook.lock" and found.status.name == "RUNNING"
    assert memo["run"] == run and memo["user"] and memo["host"] and memo["since"], memo

    refused = ben.run("exec", book(ben, name), *ben.connection(), "--yes")
    assert refused.code == 4, refused
    assert run in refused.stderr and "last sign of life" in refused.stderr, refused
    assert f"runbook unlock '{name}'" in refused.stderr, refused
    assert not (ben.folder / "state").exists(), "it left nothing"

    wrong = ben.run("unlock", name, *ben.connection(), "--confirm", "rb-not-this-one")
    assert wrong.code == 4, wrong
    assert lease(stage, name)[0].status.name == "RUNNING", "nothing was changed"
    unlocked = ben.run("unlock", name, *ben.connection(), "--confirm", run, "--output", "json")
    assert unlocked.code == 0, unlocked
    said = json.loads(unlocked.stdout)
    assert said["unlocked"] and said["lock"]["holder"]["run"] == run, said
    free = ben.run("unlock", name, *ben.connection())
    assert free.code == 0 and "is free" in free.stderr, free

    resumed = ana.run("resume", run, "--yes", seconds=90)
    assert resumed.code == 0, resumed
    assert "was broken" in resumed.stderr and "runbook unlock" in resumed.stderr, resumed
    assert lease(stage, name)[0].status.name == "TERMINATED", "given back"


@pytest.mark.timeout(240)
def test_a_run_whose_lock_is_broken_halts_within_a_minute_and_its_sign_of_life_is_seen(stage, two, name):
    ana, ben = two
    file = book(ana, name, pause="10m")
    with ana.begin("exec", file, *ana.connection(), "--yes") as process:
        until_held(stage, name)
        time.sleep(65)
        refused = ben.run("exec", book(ben, name), *ben.connection(), "--yes")
        assert refused.code == 4, refused
        found, _ = lease(stage, name)
        assert found.history_length == 3, "started, its task scheduled, one sign of life"
        done = ben.run("unlock", name, *ben.connection(), "--confirm", name)
        assert done.code == 0, done
        began = time.monotonic()
        assert process.wait(90) == 1
        assert time.monotonic() - began < 70
    log = (ana.folder / "log.txt").read_text()
    assert "was broken" in log and "runbook unlock by" in log, log[-3000:]


def until_held(stage, name: str) -> None:
    """The lease is there within half a minute."""
    end = time.monotonic() + 30
    while True:
        try:
            lease(stage, name)
            return
        except Exception:  # not found yet
            assert time.monotonic() < end, "nobody took the lock"
            time.sleep(0.2)
