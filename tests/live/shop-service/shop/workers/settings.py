"""What a Worker process is told on its command line."""

import argparse
from dataclasses import dataclass, field
from datetime import timedelta

from shop.client.connect import Connection
from shop.release import GOOD, RELEASES


@dataclass(frozen=True)
class Settings:
    """All of it, with defaults fit for a laptop."""

    connection: Connection = field(default_factory=Connection)
    task_queue: str = "shop"
    build: str = GOOD
    deployment: str = ""  # of Worker Versioning; "" is a Worker without a Version
    activity_threads: int = 8
    graceful_shutdown: timedelta = timedelta(seconds=10)
    exit_with_parent: bool = False


def parse(arguments: list[str]) -> Settings:
    """Exits with a usage message on what it does not know."""
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m shop.workers", description="One Worker, until SIGTERM or SIGINT.")
    parser.add_argument("--address", default=defaults.connection.address)
    parser.add_argument("--namespace", default=defaults.connection.namespace)
    parser.add_argument("--task-queue", default=defaults.task_queue)
    parser.add_argument("--build", choices=RELEASES, default=defaults.build, help="release, and Build ID")
    parser.add_argument("--deployment", default="", help="Worker Deployment; without it the Worker is unversioned")
    parser.add_argument("--activity-threads", type=int, default=defaults.activity_threads)
    parser.add_argument("--graceful-shutdown", type=float, metavar="SECONDS", default=10.0)
    parser.add_argument("--exit-with-parent", action="store_true", help="also stop when the parent process ends")
    given = parser.parse_args(arguments)
    identity = f"{given.build}-worker"
    return Settings(
        connection=Connection(given.address, given.namespace, identity),
        task_queue=given.task_queue,
        build=given.build,
        deployment=given.deployment,
        activity_threads=given.activity_threads,
        graceful_shutdown=timedelta(seconds=given.graceful_shutdown),
        exit_with_parent=given.exit_with_parent,
    )
