"""The Worker processes of one namespace: started, stopped, and never outliving the suite.

The Workers themselves are the project `shop-service` beside this file.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import server

PROJECT = Path(__file__).parent / "shop-service"


class Workers:
    """Processes by Build ID; versioned where a Worker Deployment is named."""

    def __init__(self, address: str, namespace: str, task_queue: str, deployment: str = "") -> None:
        self.processes: dict[str, subprocess.Popen] = {}
        self.arguments = ["--address", address, "--namespace", namespace, "--task-queue", task_queue]
        if deployment:
            self.arguments += ["--deployment", deployment]

    def start(self, build: str) -> None:
        self.processes[build] = subprocess.Popen(
            [sys.executable, "-B", "-m", "shop.workers", *self.arguments, "--build", build, "--exit-with-parent"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if not os.environ.get("RUNBOOK_TEST_VERBOSE") else None,
            start_new_session=True,
            preexec_fn=server.die_with_parent,
        )

    def stop(self, build: str, patience: float = 15) -> int | None:
        """SIGTERM, as an operator's orchestrator would; answers the exit code, if there was a Worker."""
        process = self.processes.pop(build, None)
        if process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        server.stop_group(process, patience)
        return process.returncode

    def replace(self, old: str, new: str) -> None:
        """A rolling upgrade of one."""
        self.stop(old)
        self.start(new)

    def close(self) -> None:
        for build in list(self.processes):
            self.stop(build, patience=5)
