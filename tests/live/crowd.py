"""Many Workflows without a Worker: each did one Workflow Task and waits, or is done.

The ground of the crash tests: cheap to make by the hundred, and nothing happens to them but what
somebody does. `Crowd.problems` reads from the service that each was reset exactly once, and compares
what the tool's ledger says. Everything but the comparison knows nothing of the tool.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from temporalio.api.command.v1 import Command, CompleteWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
    StartWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

import server
from background import Background, until
from service import Service, gather
from steps import runbook, step

TYPE, QUEUE = "Crowd", "crowd"
QUERY = f"WorkflowType = '{TYPE}' AND ExecutionStatus IN ('Running', 'Completed')"
POLLERS = 6
READY_SECONDS = 240
REASON = "INC-9"


class Crowd:
    """`with Crowd(address, name, running=200, completed=40) as crowd:` — a namespace of its own."""

    def __init__(self, address: str, name: str, running: int, completed: int = 0) -> None:
        self.address = address
        self.namespace = f"{name}-{uuid.uuid4().hex[:6]}"
        self.names = [f"r-{n:04}" for n in range(running)] + [f"c-{n:04}" for n in range(completed)]
        self.bases: dict[str, str] = {}
        self.background = Background()
        self.service: Service

    def __enter__(self) -> "Crowd":
        self.background.start()
        try:
            self.ask(self._build(), READY_SECONDS)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.background.close()

    def ask(self, coroutine: Any, seconds: float = 60) -> Any:
        return self.background.ask(coroutine, seconds)

    # --- building

    async def _build(self) -> None:
        await server.make_namespace(self.address, self.namespace)
        self.service = Service(await Client.connect(self.address, namespace=self.namespace))
        self.left = len(self.names)
        pollers = [asyncio.create_task(self._poll()) for _ in range(POLLERS)]
        try:
            runs = await gather([self._start(name) for name in self.names], at_once=16)
            self.bases = dict(zip(self.names, runs))
            await until(self._done, "each to do its first task", READY_SECONDS)
            await until(self._seen, "Visibility", 30)
        finally:
            for poller in pollers:
                poller.cancel()
            await asyncio.gather(*pollers, return_exceptions=True)

    async def _done(self) -> bool:
        return self.left <= 0

    async def _seen(self) -> bool:
        return len(await self.service.find(QUERY)) == len(self.names)

    async def _start(self, name: str) -> str:
        request = StartWorkflowExecutionRequest(
            namespace=self.namespace,
            workflow_id=name,
            workflow_type=WorkflowType(name=TYPE),
            task_queue=TaskQueue(name=QUEUE),
            request_id=uuid.uuid4().hex,
        )
        request.workflow_task_timeout.FromSeconds(20)
        return (await self.service.rpc.start_workflow_execution(request, retry=True)).run_id

    async def _poll(self) -> None:
        """A Worker in twenty lines; the server takes back a task that nobody answers in time."""
        ask = PollWorkflowTaskQueueRequest(namespace=self.namespace, task_queue=TaskQueue(name=QUEUE), identity="crowd")
        while True:
            with contextlib.suppress(RPCError):
                task = await self.service.rpc.poll_workflow_task_queue(ask)
                if not task.task_token:
                    continue
                answer = RespondWorkflowTaskCompletedRequest(namespace=self.namespace, task_token=task.task_token)
                if task.workflow_execution.workflow_id.startswith("c-"):
                    answer.commands.append(
                        Command(
                            command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
                            complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes(),
                        )
                    )
                await self.service.rpc.respond_workflow_task_completed(answer)
                self.left -= 1

    def again(self) -> None:
        """Waits until the namespace takes reads again, after its server did."""
        self.ask(until(self._reads, "the namespace to be there again", 60), 90)

    async def _reads(self) -> bool:
        with contextlib.suppress(RPCError):
            await self.service.find(QUERY)
            return True
        return False

    # --- what the service says

    def resets(self) -> dict[str, list[tuple[str, str, str]]]:
        """By Workflow ID: (new run, base, reason) of each run that a reset made, from all histories."""
        return self.ask(self._resets(), 180)

    async def _resets(self) -> dict[str, list[tuple[str, str, str]]]:
        runs = await self.service.find(f"WorkflowType = '{TYPE}'")
        made = await gather([self.service.reset_base(*run) for run in runs], at_once=24)
        found: dict[str, list[tuple[str, str, str]]] = {name: [] for name in self.names}
        for (workflow_id, run_id), (base, reason) in zip(runs, made):
            if base:
                found[workflow_id].append((run_id, base, reason))
        return found

    def problems(self, tool: Any, by_hand: tuple[str, ...] = ()) -> list[str]:
        """What is not as it must be: one run made by a reset for each Workflow, of its one base, which says
        so itself; no run more than that; and the tool's ledger agrees. `by_hand` names those that somebody
        else reset: their one reset is not the tool's.
        """
        return self.ask(self._problems(tool, set(by_hand)), 240)

    async def _problems(self, tool: Any, by_hand: set[str]) -> list[str]:
        await until(self._all_listed, "Visibility to have every run", 30)
        resets = await self._resets()
        listed = Counter(workflow_id for workflow_id, _ in await self.service.find(f"WorkflowType = '{TYPE}'"))
        bases = await gather([self.service.look(*each) for each in self.bases.items()], at_once=24)
        ledger = await asyncio.to_thread(rows_of, tool)
        problems = []
        for name, base in zip(self.names, bases):
            problems += self._of(name, base, resets[name], listed[name], ledger.get(name, []), name in by_hand)
        problems += [f"{name}: in the ledger, and nobody knows it" for name in ledger if name not in self.bases]
        return problems

    async def _all_listed(self) -> bool:
        """A run that a base names may reach Visibility a moment later."""
        return len(await self.service.find(f"WorkflowType = '{TYPE}'")) >= 2 * len(self.names)

    def _of(self, name: str, base: Any, made: list, runs: int, rows: list[dict], by_hand: bool) -> list[str]:
        problems = []

        def expect(what: str, is_: object, wanted: object) -> None:
            if is_ != wanted:
                problems.append(f"{name}: {what}: {is_!r}, not {wanted!r}")

        expect("runs made by a reset", len(made), 1)
        expect("runs", runs, 2)
        if len(made) != 1:
            return problems
        new, from_run, reason = made[0]
        expect("base of the reset", from_run, self.bases[name])
        expect("reset_run_id of the base", base.reset_run_id, new)
        expect("status of the base", base.status, "TERMINATED" if name.startswith("r-") else "COMPLETED")
        expect("the tool's mark in the reason", "rb-" in reason, not by_hand)
        done = [row for row in rows if row["state"] == "done"]
        # What somebody else's reset made is listed, too, and refused.
        decided = ("done", "skipped", "released", "refused" if by_hand else "done")
        odd = [row["state"] for row in rows if row["state"] not in decided]
        expect("undecided in the ledger", odd, [])
        if by_hand:
            expect("done, in the ledger", [row for row in done if "somebody else" not in str(row)], [])
        else:
            expect("base and new run, in the ledger", [(row["run_id"], row["new_run_id"]) for row in done], [(from_run, new)])
        return problems


def recovery(tool: Any, rate: float = 200, concurrency: int = 32) -> str:
    """Writes the runbook that resets the whole crowd, at a pace; answers its path."""
    with_ = {"select": {"query": QUERY}, "to": "first_workflow_task", "reapply": "none", "reason": REASON}
    undo = step("undo", "workflows.reset", **with_) | {"pace": {"rate": rate, "concurrency": concurrency}}
    path = tool.folder / "crowd.yaml"
    path.write_text(runbook(undo))
    return str(path)


def journal_of(tool: Any) -> Path:
    """The journal of the tool's one run; it need not be there yet."""
    found = sorted((tool.folder / "state" / "runbook").glob("rb-*.jsonl"))
    return found[0] if found else tool.folder / "state" / "runbook" / "none yet"


def records(journal: Path, kind: str) -> list[dict]:
    """The bodies of the records of a kind; a torn last line holds none."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in journal.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                found += [each["body"] for each in json.loads(line)["records"] if each["body"]["kind"] == kind]
    return found


class Growth:
    """What is appended to a journal from now on."""

    def __init__(self, journal: Path) -> None:
        self.begin = journal.stat().st_size if journal.exists() else 0

    def by(self, tool: Any, what: bytes) -> bool:
        """Whether that is in it."""
        with contextlib.suppress(FileNotFoundError), journal_of(tool).open("rb") as journal:
            journal.seek(self.begin)
            return what in journal.read()
        return False


def rows_of(tool: Any) -> dict[str, list[dict]]:
    """`runbook show RUN --workflows --output json`, by Workflow ID."""
    shown = tool.run("show", tool.run_id(), "--workflows", "--output", "json")
    assert shown.code == 0, shown
    rows: dict[str, list[dict]] = {}
    for row in shown.data():
        rows.setdefault(row["workflow_id"], []).append(row)
    return rows


def wait(condition: Any, what: str, seconds: float = 120, pause: float = 0.02) -> Any:
    """An ordinary function's first true answer."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(pause)
