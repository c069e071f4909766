"""The built `runbook`, run as a user would run it.

Owns its process, its state folder and its arguments. Knows nothing of Temporal.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import server
from world import CLASSES, WRONG, World

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "runbooks"
FLAGSHIP = RUNBOOKS / "recover-pinned-workflows.yaml"
INCIDENT = "INC-1"


def binary() -> Path:
    return Path(os.environ.get("RUNBOOK_BIN") or ROOT / "target" / "debug" / "runbook")


@dataclass(frozen=True)
class Result:
    """How a process ended; -9 is SIGKILL."""

    arguments: list[str]
    code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        tail = f"--- stdout\n{self.stdout[-6000:]}\n--- stderr\n{self.stderr[-6000:]}"
        return f"runbook {' '.join(self.arguments)}\n--- exit code {self.code}\n{tail}"

    def data(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.stdout)


class Tool:
    """The tool on one world, with a state folder of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def environment(self, **more: str) -> dict[str, str]:
        """Hermetic: no profile, no colour, no state of the user's."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "RUST_BACKTRACE") if key in os.environ}
        home = {"HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state")}
        return kept | home | {"XDG_CONFIG_HOME": str(self.folder / "config"), "NO_COLOR": "1"} | more

    def connection(self) -> list[str]:
        return ["--address", self.world.address, "--namespace", self.world.namespace]

    def flagship(self) -> list[str]:
        """The shipped runbook with this world's parameters."""
        given = {"bad": "orders:bad", "previous": "orders:good", "safe": "orders:safe", "incident": INCIDENT}
        given |= {f"classes.{kind}": name for kind, name in CLASSES.items()}
        pairs = [f"{name}={value}" for name, value in given.items()] + [f"wrong={kind}" for kind in WRONG]
        return [str(FLAGSHIP), *(part for pair in pairs for part in ("-p", pair)), *self.connection()]

    def shipped(self, name: str, **parameters: str | list[str]) -> list[str]:
        """A shipped runbook with parameters, and this world's connection."""
        pairs = [
            f"{parameter}={value}"
            for parameter, values in parameters.items()
            for value in (values if isinstance(values, list) else [values])
        ]
        path = str(RUNBOOKS / f"{name}.yaml")
        return [path, *(part for pair in pairs for part in ("-p", pair)), *self.connection()]

    def run(self, *arguments: str, seconds: float = 60, **environment: str) -> Result:
        """Runs to the end without a terminal; a run that takes longer than `seconds` fails the test."""
        process = self._start(arguments, environment)
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            raise AssertionError(f"not done in {seconds} s:\n{Result(list(arguments), -1, stdout, stderr)}") from None
        result = Result(list(arguments), process.returncode, stdout, stderr)
        self._keep(result)
        return result

    @contextlib.contextmanager
    def begin(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen]:
        """The process while it runs; what is left of it at the end of the block is killed."""
        process = self._start(arguments, environment)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            self._keep(Result(list(arguments), process.returncode, stdout, stderr))

    def _start(self, arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.Popen:
        return subprocess.Popen(
            [str(binary()), *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=server.die_with_parent,
        )

    def _keep(self, result: Result) -> None:
        """Leaves each run's output beside the state, for whoever reads a failure."""
        with (self.folder / "log.txt").open("a") as log:
            log.write(f"\n===== {time.strftime('%H:%M:%S')}\n{result}\n")

    def unlock(self) -> None:
        """Gives up the lock that the newest run keeps: it will not be resumed."""
        given = self.run("unlock", "recover orders:bad", *self.connection(), "--confirm", self.run_id())
        assert given.code == 0, given

    def run_id(self) -> str:
        """The id of the newest run in the state folder."""
        journals = sorted((self.folder / "state").rglob("rb-*"), key=lambda path: path.stat().st_mtime)
        assert journals, f"no journal below {self.folder}"
        return re.match(r"rb-[A-Za-z0-9-]+", journals[-1].name).group()


@contextlib.contextmanager
def bad_workers_stop_when_drained(world: World):
    """As the operator does at the last step: the bad Workers end, so that their Version can be deleted."""
    stop = threading.Event()
    watcher = threading.Thread(target=world.stop_bad_when_drained, args=(stop,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(30)
