"""The official `temporal` command, run as an operator would run it. Knows nothing of the tool."""

import json
import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import server

SECONDS = 60
# A namespace answers ten questions a second to Visibility; what it refuses for that it has not done.
BUSY = "namespace rate limit exceeded"
BUSY_TRIES = 20


def binary() -> Path:
    return Path(os.environ.get("RUNBOOK_TEMPORAL_CLI") or server.cache_folder() / "bin" / "temporal")


@dataclass(frozen=True)
class Answer:
    """How it ended."""

    arguments: list[str]
    code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"temporal {shlex.join(self.arguments)}\n--- exit code {self.code}\n{self.stdout}\n{self.stderr}"

    def data(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.stdout)


class TemporalCli:
    """With no profile and no environment of the user's; says yes when asked; `where` is a World or a Stage."""

    def __init__(self, where: Any, folder: Path) -> None:
        self.where = where
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}

    def run(self, *arguments: str) -> Answer:
        """On the world's address and namespace."""
        return self.exactly(*arguments, "--address", self.where.address, "--namespace", self.where.namespace)

    def exactly(self, *arguments: str) -> Answer:
        """With nothing added; again after a second where the server was too busy to say anything else."""
        for _ in range(BUSY_TRIES):
            answer = self.once(*arguments)
            if not (answer.code and BUSY in answer.stderr):
                break
            time.sleep(1)
        return answer

    def once(self, *arguments: str) -> Answer:
        done = subprocess.run(
            [str(binary()), *arguments],
            env=self.environment,
            input="y\n",  # what it asks before a batch
            capture_output=True,
            text=True,
            timeout=SECONDS,
            preexec_fn=server.die_with_parent,
        )
        return Answer(list(arguments), done.returncode, done.stdout, done.stderr)

    def line(self, text: str) -> Answer:
        """A command line as somebody would paste it into a shell; it begins with `temporal`."""
        words = shlex.split(text.replace("\\\n", " "))
        assert words[0] == "temporal", text
        return self.exactly(*words[1:])
