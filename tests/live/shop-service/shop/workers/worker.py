"""Builds a Worker from its settings, and runs it until it is told to stop."""

import asyncio
import logging
import os
import signal
from concurrent.futures import Executor, ThreadPoolExecutor

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from shop import activities, release, workflows
from shop.client.connect import connect
from shop.workers.settings import Settings

log = logging.getLogger(__name__)
PARENT_SECONDS = 1


def versioning(settings: Settings) -> WorkerDeploymentConfig | None:
    """Workflows are pinned unless their type says otherwise."""
    if not settings.deployment:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment, settings.build),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


def make(client: Client, settings: Settings, threads: Executor) -> Worker:
    """Every Workflow and Activity of the shop on one task queue."""
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=workflows.ALL,
        activities=activities.ALL,
        activity_executor=threads,
        max_concurrent_activities=settings.activity_threads,
        graceful_shutdown_timeout=settings.graceful_shutdown,
        deployment_config=versioning(settings),
        debug_mode=True,  # no deadlock detector: a busy machine is not a bug
    )


async def run(settings: Settings) -> None:
    """One Worker until SIGTERM, SIGINT or, where wanted, its parent's end; then a graceful shutdown."""
    release.choose(settings.build)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await connect(settings.connection)
    with ThreadPoolExecutor(settings.activity_threads) as threads:
        async with make(client, settings, threads):
            log.info("%s works on %s", settings.connection.identity, settings.task_queue)
            await until_stopped(stop, settings.exit_with_parent)
            log.info("stopping: no more tasks; Activities have %s to end", settings.graceful_shutdown)
    log.info("stopped")


async def until_stopped(stop: asyncio.Event, with_parent: bool) -> None:
    parent = os.getppid()
    while not stop.is_set() and (not with_parent or os.getppid() == parent):
        try:
            await asyncio.wait_for(stop.wait(), PARENT_SECONDS if with_parent else None)
        except asyncio.TimeoutError:
            continue
