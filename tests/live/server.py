"""A real Temporal server on loopback, in memory or in a file, with short drainage times.

Owns the server's process and its configuration, and makes namespaces on it. Knows nothing of
Workflows. Every wait here is bounded and every process started here is stopped by `Server.stop`;
should this process be killed, the kernel stops the server (Linux).
"""

import asyncio
import contextlib
import ctypes
import datetime
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    ListWorkflowExecutionsRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

START_SECONDS = 90
NAMESPACE_SECONDS = 60

# `maxConnLifetime: 24h`: when the one connection closes, a database in memory is gone.
CONFIG = """
log: {{ stdout: true, level: warn }}
persistence:
  defaultStore: sqlite
  visibilityStore: sqlite
  numHistoryShards: 1
  datastores:
    sqlite:
      sql:
        pluginName: sqlite
        databaseName: "{database}"
        connectAddr: localhost
        connectProtocol: tcp
        connectAttributes: {{ {attributes} }}
        maxConns: 1
        maxIdleConns: 1
        maxConnLifetime: 24h
global:
  membership: {{ maxJoinDuration: 30s, broadcastAddress: 127.0.0.1 }}
services:
  frontend: {{ rpc: {{ grpcPort: {ports[0]}, membershipPort: {ports[1]}, bindOnIP: 127.0.0.1 }} }}
  matching: {{ rpc: {{ grpcPort: {ports[2]}, membershipPort: {ports[3]}, bindOnIP: 127.0.0.1 }} }}
  history: {{ rpc: {{ grpcPort: {ports[4]}, membershipPort: {ports[5]}, bindOnIP: 127.0.0.1 }} }}
  worker: {{ rpc: {{ grpcPort: {ports[6]}, membershipPort: {ports[7]}, bindOnIP: 127.0.0.1 }} }}
clusterMetadata:
  enableGlobalNamespace: false
  failoverVersionIncrement: 10
  masterClusterName: active
  currentClusterName: active
  clusterInformation:
    active:
      enabled: true
      initialFailoverVersion: 1
      rpcName: frontend
      rpcAddress: 127.0.0.1:{ports[0]}
publicClient: {{ hostPort: "127.0.0.1:{ports[0]}" }}
dynamicConfigClient: {{ filepath: "{dynamic}", pollInterval: 60s }}
"""

# Where a server holds what it is told: gone with the process, unless it is `on_disk`.
IN_MEMORY = {"database": "runbook", "attributes": "mode: memory, cache: shared"}

# A poller's memory below the 60 s of a long poll would delete a Version under a live Worker.
DYNAMIC = """
matching.wv.VersionDrainageStatusVisibilityGracePeriod: [ { value: 10s } ]
matching.wv.VersionDrainageStatusRefreshInterval: [ { value: 5s } ]
matching.PollerHistoryTTL: [ { value: 75s } ]
"""


def cache_folder() -> Path:
    """Where tests/run installs what the suite needs."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("RUNBOOK_CACHE") or f"{home}/runbook")


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; all are held until the last is chosen, so they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def die_with_parent() -> None:
    """In a child, before exec: ask Linux for SIGTERM when the parent is gone."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop_group(process: subprocess.Popen, patience: float = 10) -> None:
    """SIGTERM to the process's group; SIGKILL to what is left after `patience` seconds."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sig)
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue


class Server:
    """`with Server() as server:` — up and usable inside the block, gone after it.

    `dynamic` is its dynamic configuration, where it is not the suite's; `on_disk`: what it holds is in
    a file, so that it survives `kill` and `start_again`.
    """

    def __init__(self, dynamic: str = DYNAMIC, on_disk: bool = False) -> None:
        self.dynamic = dynamic
        self.on_disk = on_disk
        self.folder = Path(tempfile.mkdtemp(prefix="runbook-live-"))
        self.ports = free_ports(8)
        self.address = f"127.0.0.1:{self.ports[0]}"
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Server":
        try:
            self._start()
            self._wait_until_usable()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        dynamic, config = self.folder / "dynamic.yaml", self.folder / "server.yaml"
        dynamic.write_text(self.dynamic)
        # `setup` makes the tables, and does not mind that they are there.
        in_a_file = {"database": self.folder / "temporal.db", "attributes": "mode: rwc, setup: true"}
        store = in_a_file if self.on_disk else IN_MEMORY
        config.write_text(CONFIG.format(ports=self.ports, dynamic=dynamic, **store))
        binary = os.environ.get("RUNBOOK_TEMPORAL_SERVER") or str(cache_folder() / "bin" / "server")
        self.process = subprocess.Popen(
             ["nice", binary, "--config-file", str(config), "--allow-no-auth", "start"],
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "server.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def _wait_until_usable(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the Temporal server ended at once:\n{self._log_tail()}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.ports[0]), 1).close()
                try:
                    asyncio.run(make_namespace(self.address, "warm-up"))
                    return
                except (RPCError, RuntimeError):
                    pass
            time.sleep(0.3)
        raise RuntimeError(f"no usable Temporal server in {START_SECONDS} s:\n{self._log_tail()}")

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def start_again(self) -> None:
        """At the same address, with what it held. Returns when it takes calls."""
        self._start()
        self._wait_until_usable()

    def _log_tail(self) -> str:
        log = self.folder / "server.log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else "(no log)"

    def stop(self) -> None:
        """Stops the server and removes its folder; a second call does nothing."""
        if self.process is not None:
            stop_group(self.process)
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)


async def make_namespace(address: str, name: str) -> None:
    """Registers a namespace and returns when it takes reads and writes. Two days of retention."""
    client = await Client.connect(address, namespace=name)
    service = client.workflow_service
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromTimedelta(datetime.timedelta(days=2))
    until = time.monotonic() + NAMESPACE_SECONDS
    registered = False
    while True:
        try:
            if not registered:
                try:
                    await service.register_namespace(request)
                except RPCError as error:
                    if "already" not in str(error):
                        raise
                registered = True
            await service.describe_namespace(DescribeNamespaceRequest(namespace=name))
            await service.list_workflow_executions(ListWorkflowExecutionsRequest(namespace=name, page_size=1))
            return
        except RPCError as error:
            if time.monotonic() > until:
                raise RuntimeError(f"namespace {name} is not usable: {error}") from error
            await asyncio.sleep(0.3)


def stop_on_signals() -> None:
    """SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that what was started is stopped."""

    def unwind(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, unwind)
    signal.signal(signal.SIGHUP, unwind)
