"""Runbooks of a few steps, written by a test and run by the tool.

A `Performed` has the process's result, and what the tool's journal says of each Workflow.
"""

import json
from dataclasses import dataclass
from typing import Any

from tool import Result, Tool


def step(identity: str, action: str, *, confirm: str = "", **arguments: Any) -> dict[str, Any]:
    """One step; `to_`, `with_`, `for_` … stand for names that Python keeps for itself."""
    given = {name.rstrip("_"): value for name, value in arguments.items()}
    found: dict[str, Any] = {"id": identity, "action": action, "with": given}
    if confirm:
        found["confirm"] = {"type": confirm}
    return found


def runbook(*steps: dict[str, Any], **more: Any) -> str:
    """A whole runbook; JSON is YAML."""
    return json.dumps({"schema": "runbook/v1", "name": "live", "title": "A live test", **more, "steps": list(steps)}, indent=1)


@dataclass(frozen=True)
class Performed:
    """What a run came to."""

    result: Result
    workflows: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"{self.result}\n{json.dumps(self.workflows, indent=1)}"

    @property
    def text(self) -> str:
        return self.result.stdout + self.result.stderr

    def of(self, workflow_id: str) -> dict[str, Any]:
        """The first entry of a Workflow: a query may find the run that a reset made, too."""
        found = [each for each in self.workflows if each["workflow_id"] == workflow_id]
        assert found, f"{workflow_id} has no entry:\n{self}"
        return found[0]

    def states(self) -> dict[str, str]:
        """By Workflow ID, of the first entry of each."""
        return {each["workflow_id"]: each["state"] for each in reversed(self.workflows)}


class Bench:
    """Performs steps with a tool, in its folder."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.written = 0

    def write(self, *steps: dict[str, Any], **more: Any) -> str:
        """Answers the file's path."""
        self.written += 1
        path = self.tool.folder / f"live-{self.written}.yaml"
        path.write_text(runbook(*steps, **more))
        return str(path)

    def perform(self, *steps: dict[str, Any], code: int | None = 0, flags: tuple[str, ...] = ("--yes",), **more: Any) -> Performed:
        """Writes and carries out; the exit code must be `code`, unless that is `None`."""
        return self.performed(self.tool.run("exec", self.write(*steps, **more), *self.tool.connection(), *flags), code)

    def performed(self, result: Result, code: int | None = 0) -> Performed:
        assert code is None or result.code == code, result
        shown = self.tool.run("show", self.tool.run_id(), "--workflows", "--output", "jsonl")
        assert shown.code == 0, shown
        return Performed(result, [json.loads(line) for line in shown.stdout.splitlines()])
