"""`runbook simulator` as a process, and how an answer's shape is told from its ids and times.

Knows the tool's command line; knows nothing of the commands that are run against it.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import server
import tool

START_SECONDS = 20

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")
AGO = re.compile(r"\b(now|\d+ (?:second|minute|hour|day)s? ago|in \d+ \w+)\b")
IDENTITY = re.compile(r"temporal-cli:\S+@\S+|\d+@[\w.-]+(?:@[\w.-]+)?")


class Simulated:
    """`with Simulated(runbook, scenario, folder) as simulated:` — serves inside the block."""

    namespace = "default"

    def __init__(self, runbook: Path, scenario: str, folder: Path, seed: int = 1, speed: float = 1) -> None:
        self.command = [str(tool.binary()), "simulator", str(runbook), "--scenario", scenario]
        self.command += ["--listen", "127.0.0.1:0", "--seed", str(seed), "--speed", str(speed)]
        self.folder = folder
        self.process: subprocess.Popen | None = None
        self.address = ""

    def __enter__(self) -> "Simulated":
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "simulator.log").open("w"),
            text=True,
            start_new_session=True,
            preexec_fn=server.die_with_parent,
        )
        # The first line is its address; without one it has ended and the read does too.
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError(f"the simulator ended: {(self.folder / 'simulator.log').read_text()}")
        return self

    def __exit__(self, *_: object) -> None:
        server.stop_group(self.process)


def plain(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, mark in ((UUID, "<id>"), (TIME, "<time>"), (IDENTITY, "<identity>"), (AGO, "<ago>")):
        text = pattern.sub(mark, text)
    return text


def table(text: str) -> list[list[str]]:
    """The words of each line: how wide a column is depends on the values."""
    return [plain(line).split() for line in text.splitlines() if line.strip()]


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Paths in two JSON values that are not alike, `[]` for any element; each with what stands there."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted(set(one) | set(other))
            for line in differences(one.get(key), other.get(key), f"{where}.{key}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [line for left, right in zip(one, other) for line in differences(left, right, f"{where}[]")]
    left, right = (plain(each) if isinstance(each, str) else each for each in (one, other))
    return [] if left == right else [f"{where}: {left!r} and {right!r}"]
