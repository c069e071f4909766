"""The world after a bad rollout: Workers, a deployment, and Workflows in every state.

`KINDS` is the table of what exists and what a right recovery does with it; `World` builds it in a
namespace of its own and keeps what was there before the tool ran. Knows nothing of the tool.
"""

import asyncio
import contextlib
import datetime
import fcntl
import os
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, AsyncIterator, Coroutine

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import PinnedVersioningOverride, WorkerDeploymentVersion
from temporalio.service import RPCError

from shop.models import Case

import server
from background import Background
from service import DEPLOYMENT, Input, Look, Service, gather
from workers import Workers

TASK_QUEUE = "orders"
BUILDS = ("good", "bad", "safe")
READY_SECONDS = 60
CLOSING_SECONDS = 40

# What a right recovery does with a Workflow.
MOVE = "move"  # same run, pinned to safe
START_OVER = "start_over"  # reset to its beginning, on good; Signals and Updates are lost
UNDO_LAST = "undo_last"  # reset to its last completed task, on safe; later Signals are kept
REPLACE = "replace"  # started anew with the same input, on safe
REOPEN = "reopen"  # closed: reset to its beginning, on safe
HEAL = "heal"  # no Version yet, since no task of it ever completed: the stopped rollout sends it to good
LEAVE = "leave"  # not touched
EITHER = "either"  # moved in time, or closed before and reopened: always exactly one of them

CLASSES = {
    "Billing": "restartable",
    "Fulfilment": "restartable",
    "Invoice": "restartable",
    "Loyalty": "corrupted",
    "OrderProcessing": "restartable",
    "Report": "replaceable",
    "Shipment": "move_only",
    "Subscription": "move_only",
}
WRONG = ["Invoice", "Report"]

IDLE, STUCK = "IDLE", "STUCK"
ADDED = [("add", 100), ("adjust", 11)]


@dataclass(frozen=True)
class Kind:
    """A group of like Workflows; `{name}-{n}` are their IDs."""

    name: str
    type: str
    count: int
    state: str  # IDLE, STUCK or a status: where it must be before the tool runs
    row: str  # DECISION.ROW that takes it, or why none does
    recovery: str
    case: dict[str, Any] = field(default_factory=dict)
    events: list[tuple] = field(default_factory=list)  # what happens to it on bad, in order
    points: int = 0  # after the recovery
    began_on: str = "bad"
    run_timeout: float = 0
    pinned_at_start: bool = False  # started with a Versioning Override to bad
    closing: bool = False  # closes by itself while the tool works


RUNNING_OTHERS, STARTED_OVER = "running.others", "running.stuck_restartable"
CORRUPTED, REPLACED = "running.corrupted", "running.replaceable"
CLOSED_OTHERS, CLOSED_REPLACED = "closed.closed_others", "closed.closed_replaceable"

FAIL = {"trouble": "fail"}
HANG = {"trouble": "hang", "alone": True}
WRONGLY = {"trouble": "wrong", "alone": True}
STUCK_CASE = {"trouble": "stuck"}
POKED = ADDED + [("poke",)]

KINDS = [
    # running, replaceable
    Kind("report-idle", "Report", 3, IDLE, REPLACED, REPLACE, events=ADDED),
    Kind("report-stuck", "Report", 3, STUCK, REPLACED, REPLACE, STUCK_CASE, POKED),
    # running, corrupted
    Kind("loyalty-zeroed", "Loyalty", 3, IDLE, CORRUPTED, UNDO_LAST,
         events=[("add", 500), ("settle",), ("recalculate",)], points=500),
    Kind("loyalty-zeroed-by-update", "Loyalty", 3, IDLE, CORRUPTED, UNDO_LAST,
         events=[("add", 500), ("settle",), ("adjust", -100)], points=400),
    Kind("loyalty-zeroed-then-stuck", "Loyalty", 3, STUCK, CORRUPTED, UNDO_LAST, {"trouble": "zeroed_then_stuck"},
         [("add", 500), ("settle",), ("recalculate",), ("settle",), ("add", 7)], points=507),
    Kind("loyalty-stuck-at-start", "Loyalty", 2, STUCK, CORRUPTED, MOVE, {"trouble": "stuck_at_start"},
         [("add", 50)], points=50, pinned_at_start=True),
    # running, restartable and stuck
    Kind("order-stuck", "OrderProcessing", 5, STUCK, STARTED_OVER, START_OVER, STUCK_CASE, POKED),
    Kind("order-pinned-stuck-at-start", "OrderProcessing", 2, STUCK, STARTED_OVER, START_OVER,
         {"trouble": "stuck_at_start"}, pinned_at_start=True),
    Kind("order-changed-code", "OrderProcessing", 2, STUCK, STARTED_OVER, START_OVER, {"trouble": "changed_code"},
         [("override", "bad"), ("add", 1)], began_on="good"),
    Kind("billing-stuck", "Billing", 3, STUCK, STARTED_OVER, START_OVER, STUCK_CASE, POKED),
    Kind("fulfilment-stuck", "Fulfilment", 3, STUCK, STARTED_OVER, MOVE,
         {"trouble": "stuck", "child": "Shipment"}, POKED, points=111),
    Kind("order-reset-by-hand", "OrderProcessing", 2, STUCK, STARTED_OVER, MOVE, STUCK_CASE,
         POKED + [("stuck",), ("reset", "")], points=111),
    # running, the others
    Kind("order-idle", "OrderProcessing", 4, IDLE, RUNNING_OTHERS, MOVE, events=ADDED, points=111),
    Kind("subscription-idle", "Subscription", 5, IDLE, RUNNING_OTHERS, MOVE, events=ADDED, points=111),
    Kind("subscription-stuck", "Subscription", 4, STUCK, RUNNING_OTHERS, MOVE, STUCK_CASE, POKED, points=111),
    Kind("billing-idle", "Billing", 2, IDLE, RUNNING_OTHERS, MOVE, events=ADDED, points=111),
    Kind("fulfilment-with-report", "Fulfilment", 1, IDLE, RUNNING_OTHERS, MOVE, {"child": "Report"}, ADDED, points=111),
    Kind("fulfilment-with-failed-child", "Fulfilment", 1, IDLE, RUNNING_OTHERS, MOVE,
         {"child": "Shipment", "child_trouble": "fail"}, ADDED + [("poke_child",)], points=111),
    Kind("subscription-timer", "Subscription", 1, IDLE, RUNNING_OTHERS, EITHER,
         {"trouble": "timer", "alone": True, "amount": CLOSING_SECONDS}, closing=True),
    Kind("subscription-closing", "Subscription", 1, IDLE, RUNNING_OTHERS, EITHER, HANG,
         run_timeout=CLOSING_SECONDS, closing=True),
    # closed, replaceable
    Kind("report-failed", "Report", 2, "FAILED", CLOSED_REPLACED, REPLACE, FAIL, POKED),
    Kind("report-timed-out", "Report", 2, "TIMED_OUT", CLOSED_REPLACED, REPLACE, HANG, run_timeout=30),
    Kind("report-wrong", "Report", 2, "COMPLETED", CLOSED_REPLACED, REPLACE, WRONGLY),
    # closed, the others
    Kind("invoice-failed", "Invoice", 3, "FAILED", CLOSED_OTHERS, REOPEN, FAIL, POKED),
    Kind("invoice-timed-out", "Invoice", 3, "TIMED_OUT", CLOSED_OTHERS, REOPEN, HANG, run_timeout=30),
    Kind("invoice-wrong", "Invoice", 3, "COMPLETED", CLOSED_OTHERS, REOPEN, WRONGLY),
    Kind("subscription-failed", "Subscription", 2, "FAILED", CLOSED_OTHERS, REOPEN, FAIL, POKED),
    Kind("loyalty-failed", "Loyalty", 2, "FAILED", CLOSED_OTHERS, REOPEN, FAIL, POKED),
    # to be left alone
    Kind("order-stuck-at-start", "OrderProcessing", 2, STUCK, "on no Version", HEAL, {"trouble": "stuck_at_start"},
         [("add", 50)], points=50),
    Kind("order-done", "OrderProcessing", 3, "COMPLETED", "completed rightly", LEAVE, {"alone": True}),
    Kind("order-terminated", "OrderProcessing", 1, "TERMINATED", "terminated by its owner", LEAVE, events=[("settle",), ("terminate",)]),
    Kind("invoice-superseded", "Invoice", 2, IDLE, "an unrelated run has its ID", LEAVE, FAIL,
         POKED + [("closed",), ("start_again",)]),
    Kind("report-superseded", "Report", 1, IDLE, "an unrelated run has its ID", LEAVE, FAIL,
         POKED + [("closed",), ("start_again",)]),
    Kind("invoice-reset-by-hand", "Invoice", 2, IDLE, "an operator reset it", LEAVE, FAIL,
         POKED + [("closed",), ("reset", "good")]),
    Kind("ticker", "Ticker", 2, IDLE, "AutoUpgrade", LEAVE, events=ADDED),
    Kind("order-on-good", "OrderProcessing", 3, IDLE, "on good", LEAVE, events=ADDED, began_on="good"),
    Kind("invoice-failed-on-good", "Invoice", 2, "TIMED_OUT", "on good", LEAVE, run_timeout=5, began_on="good"),
]

# Children are Workflows too, with a row of their own.
CHILDREN = {
    "fulfilment-stuck": (RUNNING_OTHERS, MOVE, IDLE),
    "fulfilment-with-report": (REPLACED, MOVE, IDLE),
    "fulfilment-with-failed-child": ("a closed child's parent has its result", LEAVE, "FAILED"),
}


# Where the current run of a Workflow is, if not on bad.
VERSIONS = {
    "on good": f"{DEPLOYMENT}:good",
    "an unrelated run has its ID": f"{DEPLOYMENT}:good",
    "an operator reset it": f"{DEPLOYMENT}:good",
    "on no Version": "",
}


@dataclass
class Member:
    """One Workflow of the world, and what it was before the tool ran."""

    workflow_id: str
    kind: Kind
    row: str
    recovery: str
    state: str
    points: int
    before: Look | None = None
    input: Input | None = None
    runs: list[str] = field(default_factory=list)  # all runs of its ID


class World:
    """`with World(address, rollout) as world:`; `rollout` is `current` or `ramping`.

    Without `closing`, nothing changes by itself once it is built; `only` keeps the kinds whose
    name contains it.
    """

    def __init__(self, address: str, name: str, rollout: str = "current", closing: bool = True, only: str = "") -> None:
        self.address = address
        self.namespace = f"{name}-{uuid.uuid4().hex[:6]}"
        self.rollout = rollout
        wanted = [kind for kind in KINDS if closing or not kind.closing]
        self.kinds = [kind for kind in wanted if only in kind.name]
        self.members: list[Member] = []
        self.workers = Workers(address, self.namespace, TASK_QUEUE, DEPLOYMENT)
        self.background = Background()
        self.service: Service
        self.before: dict[Any, Any] = {}  # the snapshot of the finished world
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> "World":
        self.background.start()
        try:
            self.ask(self._build(), 5 * READY_SECONDS)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, coroutine: Coroutine[Any, Any, Any], seconds: float = 60) -> Any:
        return self.background.ask(coroutine, seconds)

    def close(self) -> None:
        """Stops the Workers and the loop."""
        self.workers.close()
        self.background.close()

    # --- Workers

    def stop_bad_when_drained(self, stop: threading.Event) -> None:
        """For a thread of its own: ends the bad Workers when the service calls their Version drained."""
        while not stop.wait(1.5):
            with contextlib.suppress(RPCError):
                if self.ask(self.service.version_status("bad")) in ("DRAINED", "ABSENT"):
                    self.workers.stop("bad")
                    return

    # --- building

    async def _build(self) -> None:
        began = time.monotonic()
        async with one_at_a_time():  # several at once starve each other's first tasks
            await self._people(began)
        on_bad = [kind for kind in self.kinds if kind.began_on == "bad"]
        await self._until(self._all_there, "every Workflow in its state")
        await self._start([kind for kind in on_bad if kind.closing])
        await self._until(self._all_there, "those that close soon")
        await self._remember()
        self.seconds["ready"] = time.monotonic() - began

    async def _people(self, began: float) -> None:
        """Workers, the rollout, and all Workflows but those that close soon."""
        self.seconds["waited"] = time.monotonic() - began
        await server.make_namespace(self.address, self.namespace)
        self.service = Service(await Client.connect(self.address, namespace=self.namespace))
        for build in BUILDS:
            self.workers.start(build)
        await self._until(self._versions_are_known, "Versions with their task queues")
        self.seconds["workers"] = time.monotonic() - began
        await self.service.set_current("good")
        await self._start([kind for kind in self.kinds if kind.began_on == "good"])
        if self.rollout == "ramping":
            await self.service.set_ramping("bad", 100)
        else:
            await self.service.set_current("bad")
        await self._until(self._bad_takes_new_workflows, "bad taking new Workflows")
        self.seconds["rollout"] = time.monotonic() - began
        await self._start([kind for kind in self.kinds if kind.began_on == "bad" and not kind.closing])
        self.seconds["started"] = time.monotonic() - began

    async def _until(self, condition: Any, what: str) -> None:
        until = time.monotonic() + READY_SECONDS
        while not await condition():
            if time.monotonic() > until:
                raise RuntimeError(f"waited {READY_SECONDS} s for {what}: {await self._missing()}")
            await asyncio.sleep(0.5)

    async def _missing(self) -> list[str]:
        looks = await gather([self.service.look(each.workflow_id) for each in self.members])
        pairs = zip(self.members, looks)
        return [f"{m.workflow_id}: wants {m.state}, is {look}" for m, look in pairs if not is_there(m, look)]

    async def _versions_are_known(self) -> bool:
        known = await gather([self.service.version_knows_queue(build, TASK_QUEUE) for build in BUILDS])
        return all(known)

    async def _bad_takes_new_workflows(self) -> bool:
        """The routing reaches the task queues a moment after the call: probe it with a Workflow."""
        handle = await self._start_one("probe", "OrderProcessing", Case("probe", alone=True))
        await handle.result()
        look = await self.service.look("probe")
        await self._delete(look)
        return look.version == f"{DEPLOYMENT}:bad"

    async def _delete(self, look: Look) -> None:
        execution = WorkflowExecution(workflow_id=look.workflow_id, run_id=look.run_id)
        request = DeleteWorkflowExecutionRequest(namespace=self.namespace, workflow_execution=execution)
        await self.service.rpc.delete_workflow_execution(request)

    async def _start(self, kinds: list[Kind]) -> None:
        """Those that time out go first: they must have run before that."""
        kinds = sorted(kinds, key=lambda kind: kind.run_timeout == 0)
        await gather([self._member(kind, n) for kind in kinds for n in range(kind.count)], at_once=24)

    async def _start_one(self, workflow_id: str, kind: str, case: Case, **more: Any) -> WorkflowHandle:
        return await self.service.client.start_workflow(
            kind,
            case,
            id=workflow_id,
            task_queue=TASK_QUEUE,
            task_timeout=datetime.timedelta(seconds=5),
            memo={"owner": workflow_id},
            **more,
        )

    async def _member(self, kind: Kind, n: int) -> None:
        workflow_id = f"{kind.name}-{n}"
        timeout = datetime.timedelta(seconds=kind.run_timeout) if kind.run_timeout else None
        case = Case(workflow_id, **kind.case)
        override = pinned_to("bad") if kind.pinned_at_start else None
        handle = await self._start_one(
            workflow_id, kind.type, case, run_timeout=timeout, versioning_override=override
        )
        self.members.append(Member(workflow_id, kind, kind.row, kind.recovery, kind.state, kind.points))
        if kind.name in CHILDREN:
            row, recovery, state = CHILDREN[kind.name]
            self.members.append(Member(f"{workflow_id}-child", kind, row, recovery, state, 0))
        if kind.began_on == "good" or any(name == "adjust" for name, *_ in kind.events):
            await self._wait(workflow_id, IDLE if kind.type != "Billing" else "LAST_CYCLE")
        for event in kind.events:
            await self._happen(handle, workflow_id, *event)

    async def _happen(self, handle: WorkflowHandle, workflow_id: str, name: str, *arguments: Any) -> None:
        """One event of a Workflow's past."""
        match name:
            case "adjust":
                await handle.execute_update("adjust", *arguments)
            case "settle":
                await self._wait(workflow_id, IDLE)
            case "stuck":
                await self._wait(workflow_id, STUCK)
            case "closed":
                await self._wait(workflow_id, "FAILED")
            case "override":
                await self.service.override(workflow_id, *arguments)
            case "terminate":
                await handle.terminate("not needed any more")
            case "poke_child":
                await self.service.client.get_workflow_handle(f"{workflow_id}-child").signal("poke")
            case "reset":
                look = await self.service.look(workflow_id)
                await self.service.reset_by_hand(workflow_id, look.run_id, "by hand, a minute ago", *arguments)
            case "start_again":
                again = Case("unrelated")
                await self._start_one(workflow_id, "Invoice", again, versioning_override=pinned_to("good"))
            case _:
                await handle.signal(name, *arguments)

    async def _wait(self, workflow_id: str, state: str) -> None:
        until = time.monotonic() + READY_SECONDS
        while not in_state(await self.service.look(workflow_id), state):
            if time.monotonic() > until:
                raise RuntimeError(f"{workflow_id} is not {state}: {await self.service.look(workflow_id)}")
            await asyncio.sleep(0.3)

    async def _all_there(self) -> bool:
        looks = await gather([self.service.look(each.workflow_id) for each in self.members])
        return all(is_there(member, look) for member, look in zip(self.members, looks))

    async def _remember(self) -> None:
        """Keeps what each Workflow was, and everything there is."""
        runs: dict[str, list[str]] = {}
        for workflow_id, run_id in await self.service.find():
            runs.setdefault(workflow_id, []).append(run_id)

        async def one(member: Member) -> None:
            member.before = await self.service.look(member.workflow_id)
            member.input = await self.service.input(member.workflow_id, member.before.run_id)
            member.runs = runs[member.workflow_id]

        await gather([one(each) for each in self.members])
        self.before = await self.service.snapshot()


@contextlib.asynccontextmanager
async def one_at_a_time() -> AsyncIterator[None]:
    """A lock that all processes of this suite share; the kernel frees it when one dies."""
    path = Path(tempfile.gettempdir()) / f"runbook-live-{os.getuid()}.lock"
    with path.open("w") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)
        yield


def pinned_to(build: str) -> PinnedVersioningOverride:
    return PinnedVersioningOverride(WorkerDeploymentVersion(DEPLOYMENT, build))


def in_state(look: Look, state: str) -> bool:
    """Whether a Workflow is idle, stuck or closed as named."""
    if state == IDLE:
        calm = look.attempt == 0 and look.waits_for == 0 and look.history_length >= 10
        return look.status == "RUNNING" and calm
    if state == "LAST_CYCLE":
        return in_state(look, IDLE) and look.run_id != look.first_run_id
    if state == STUCK:
        return look.status == "RUNNING" and look.attempt >= 3
    return look.status == state


def is_there(member: Member, look: Look) -> bool:
    """Whether a member is as its kind says, on the Version that its kind says."""
    if member.kind.closing:
        return look.status != "RUNNING" or in_state(look, IDLE)
    return in_state(look, member.state) and look.version == VERSIONS.get(member.row, f"{DEPLOYMENT}:bad")
