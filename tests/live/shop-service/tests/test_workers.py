"""A Worker process's settings, and how it ends; no server needed."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shop.workers import worker
from shop.workers.settings import Settings, parse


def test_settings_come_from_the_command_line():
    line = "--address 127.0.0.1:1 --namespace n --task-queue q --build bad --deployment orders --graceful-shutdown 3"
    settings = parse(line.split())
    assert (settings.connection.address, settings.connection.namespace) == ("127.0.0.1:1", "n")
    assert (settings.task_queue, settings.build, settings.deployment) == ("q", "bad", "orders")
    assert settings.connection.identity == "bad-worker"
    assert settings.graceful_shutdown == timedelta(seconds=3)


def test_defaults_are_those_of_the_settings():
    parsed = parse([])
    assert (parsed.task_queue, parsed.build, parsed.deployment) == ("shop", "good", "")
    assert parsed.graceful_shutdown == Settings().graceful_shutdown


def test_an_unknown_release_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--build", "v2"])
    assert ended.value.code == 2 and "v2" in capsys.readouterr().err


def test_a_worker_without_a_deployment_has_no_version():
    assert worker.versioning(Settings()) is None
    versioned = worker.versioning(Settings(deployment="orders", build="safe"))
    assert versioned.use_worker_versioning
    assert (versioned.version.deployment_name, versioned.version.build_id) == ("orders", "safe")


class Idle:
    """Stands in for a connected Worker; keeps when it was entered and left."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __aenter__(self) -> "Idle":
        self.seen.append("started")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.seen.append("shut down")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_shuts_the_worker_down(monkeypatch, number):
    idle, pools = Idle(), []

    async def connected(_: object) -> None:
        return None

    def made(_: object, __: Settings, threads: ThreadPoolExecutor) -> Idle:
        pools.append(threads)
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
        return idle

    monkeypatch.setattr(worker, "connect", connected)
    monkeypatch.setattr(worker, "make", made)
    asyncio.run(asyncio.wait_for(worker.run(Settings()), 10))
    assert idle.seen == ["started", "shut down"]
    with pytest.raises(RuntimeError):  # the threads of Activities are gone, too
        pools[0].submit(print)
