"""Where a reset can go, on the real service: what it accepts, and that the tool says the same.

Each test has a namespace of its own, with small Workflows on a Worker in this process: no Versions.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import server
import tool as tools
from service import Service

QUEUE = "points"
ENDS = {"WorkflowTaskCompleted", "WorkflowTaskFailed", "WorkflowTaskTimedOut"}
BROKEN = threading.Event()


@activity.defn
def pay(amount: int) -> int:
    return amount


@workflow.defn
class LoyaltyProgram:
    """Adds points; one Signal is the intern's."""

    def __init__(self) -> None:
        self.points = 0

    @workflow.run
    async def run(self) -> int:
        await workflow.execute_activity(pay, 0, start_to_close_timeout=timedelta(seconds=20))
        await workflow.wait_condition(lambda: False)
        return self.points

    @workflow.signal
    def add(self, points: int) -> None:
        if BROKEN.is_set():
            raise RuntimeError("bug: this Workflow Task fails")
        self.points += points

    @workflow.signal
    def spend_all(self) -> None:
        self.points = 0

    @workflow.query
    def balance(self) -> int:
        return self.points


@workflow.defn
class Chain:
    """Continues as new twice; then waits."""

    @workflow.run
    async def run(self, cycle: int) -> int:
        await workflow.execute_activity(pay, cycle, start_to_close_timeout=timedelta(seconds=20))
        if cycle < 3:
            workflow.continue_as_new(cycle + 1)
        await workflow.wait_condition(lambda: False)
        return cycle


class Place:
    """A namespace and a Worker; coroutines run on its own loop."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.namespace = f"reset-{uuid.uuid4().hex[:8]}"
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.tool = tools.Tool(self, folder)

    def __enter__(self) -> "Place":
        asyncio.run(server.make_namespace(self.address, self.namespace))
        self.thread.start()
        self.ask(self._begin())
        return self

    async def _begin(self) -> None:
        self.client = await Client.connect(self.address, namespace=self.namespace)
        self.service = Service(self.client)
        self.executor = ThreadPoolExecutor(4)
        self.worker = Worker(
            self.client,
            task_queue=QUEUE,
            workflows=[LoyaltyProgram, Chain],
            activities=[pay],
            activity_executor=self.executor,
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=0,
        )
        self.running = asyncio.ensure_future(self.worker.run())

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self.ask(self.worker.shutdown(), 30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.executor.shutdown(wait=False)

    def ask(self, coroutine, seconds: float = 60):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def start(self, kind, workflow_id: str, *arguments, **options):
        handle = self.ask(
            self.client.start_workflow(kind, args=arguments, id=workflow_id, task_queue=QUEUE, **options)
        )
        return handle

    def types(self, workflow_id: str, run_id: str = "") -> dict[int, str]:
        """Event id → its type's name."""
        events = self.ask(self.service.events(workflow_id, run_id))
        name = lambda event: EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
        return {event.event_id: "".join(word.title() for word in name(event).split("_")) for event in events}

    def settled(self, workflow_id: str, signals: int) -> dict[int, str]:
        """The types, once a task completed after so many Signals."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            types = self.types(workflow_id)
            order = list(types.values())
            if order.count("WorkflowExecutionSignaled") == signals and order[-1] == "WorkflowTaskCompleted":
                return types
            time.sleep(0.1)
        raise AssertionError(f"not settled: {types}")

    def reset(self, workflow_id: str, run_id: str, event_id: int) -> str:
        """The new run, or the service's words."""
        request = ResetWorkflowExecutionRequest(
            namespace=self.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            reason="probe",
            workflow_task_finish_event_id=event_id,
            request_id=str(uuid.uuid4()),
        )
        try:
            return self.ask(self.service.rpc.reset_workflow_execution(request)).run_id
        except RPCError as error:
            return f"{error.status.name}: {error.message}"

    def loyal(self, workflow_id: str) -> None:
        """500 points, then the intern, then a good Signal."""
        handle = self.start(LoyaltyProgram.run, workflow_id)
        for n, (signal, arguments) in enumerate([("add", [200]), ("add", [300]), ("spend_all", []), ("add", [7])]):
            self.ask(handle.signal(signal, args=arguments))
            self.settled(workflow_id, n + 1)

    def report(self) -> dict:
        """What `show` says about the newest run."""
        return self.tool.run("show", self.tool.run_id(), "--output", "json").data()


@pytest.fixture
def place(address, tmp_path):
    BROKEN.clear()
    with Place(address, tmp_path / "tool") as place:
        yield place


RESET = """
schema: runbook/v1
name: probe
title: Reset one
params:
  id: {{ type: string }}
steps:
  - id: undo
    action: workflows.reset
    with:
      select: {{ query: "WorkflowId = ${{{{ params.id }}}} AND ExecutionStatus = 'Running'" }}
      to: {to}
      reapply: {reapply}
      reason: probe
"""


def reset_runbook(folder: Path, to: object, reapply: object = "all") -> str:
    path = folder / "probe.yaml"
    path.write_text(RESET.format(to=json.dumps(to), reapply=json.dumps(reapply)))
    return str(path)


@pytest.mark.timeout(180)
def test_every_listed_point_is_accepted_and_no_other_event(place):
    """`reset-points` lists exactly the ends of Workflow Tasks; the service takes each of them, and their starts.

    It also takes what happened between a task's schedule and its start; the tool does not offer that.
    """
    place.loyal("w")
    base = place.ask(place.service.look("w")).run_id
    types = place.types("w", base)
    shown = place.tool.run("reset-points", "w", "--output", "json", *place.tool.connection())
    assert shown.code == 0, shown
    listed = [point["event_id"] for point in shown.data()["valid_reset_events"]]
    assert listed == sorted((id for id, kind in types.items() if kind in ENDS), reverse=True), (listed, types)
    answers = {event_id: place.reset("w", base, event_id) for event_id in types}
    accepted = {event_id for event_id, answer in answers.items() if ":" not in answer}
    ends = {id for id, kind in types.items() if kind in ENDS | {"WorkflowTaskStarted"}}
    assert ends <= accepted, answers
    for event_id in accepted - ends:
        before = next(id for id in range(event_id, 0, -1) if types[id].startswith("WorkflowTask"))
        assert types[before] == "WorkflowTaskScheduled" and before != event_id, (event_id, answers, types)


@pytest.mark.timeout(180)
def test_the_points_of_a_failing_task(place):
    """Failed tasks are points where they are durable; what a retrying task shows beyond is refused by the service."""
    place.loyal("w")
    BROKEN.set()
    place.ask(place.client.get_workflow_handle("w").signal("add", args=[1]))
    until = time.monotonic() + 30
    while place.ask(place.service.look("w")).attempt < 3 and time.monotonic() < until:
        time.sleep(0.2)
    look = place.ask(place.service.look("w"))
    types = place.types("w", look.run_id)
    shown = place.tool.run("reset-points", "w", "--output", "json", *place.tool.connection())
    points = shown.data()["valid_reset_events"]
    failed = [point for point in points if point["event_type"] == "WorkflowTaskFailed"]
    assert failed and failed[0]["event_id"] == max(id for id, kind in types.items() if kind == "WorkflowTaskFailed")
    transient = [event_id for event_id in types if event_id > look.history_length]
    for event_id in transient:
        assert ":" in place.reset("w", look.run_id, event_id), event_id
    BROKEN.clear()
    result = place.tool.run(
        "exec", reset_runbook(place.tool.folder, "failed_task"), "-p", "id=w", "--yes", *place.tool.connection()
    )
    assert result.code == 0, result
    new = place.ask(place.service.look("w")).run_id
    assert new != look.run_id
    kinds = list(place.types("w", new).values())
    assert kinds.count("ActivityTaskCompleted") == 1, "its result is kept"


@pytest.mark.timeout(180)
def test_an_invalid_event_is_answered_with_valid_ones(place):
    """WF_1001, before any write."""
    place.loyal("w")
    base = place.ask(place.service.look("w")).run_id
    types = place.types("w", base)
    signal = next(id for id, kind in types.items() if kind == "WorkflowExecutionSignaled")
    result = place.tool.run(
        "exec", reset_runbook(place.tool.folder, {"event": signal}), "-p", "id=w", "--yes", "--output", "json",
        *place.tool.connection(),
    )
    assert result.code == 1 and '"valid_reset_events":' in result.stdout, result
    [outlook] = place.report()["steps"][0]["resets"]
    assert outlook["code"] == "WF_1001", outlook
    valid = [point["event_id"] for point in outlook["valid_reset_events"]]
    ends = [id for id, kind in types.items() if kind in ENDS]
    assert valid == sorted(ends, key=lambda id: (abs(id - signal), id))[:10]
    look = place.ask(place.service.look("w"))
    assert look.run_id == base and not look.reset_run_id
    planned = place.tool.run(
        "plan", reset_runbook(place.tool.folder, {"event": signal}), "-p", "id=w", *place.tool.connection()
    )
    assert "WF_1001" in planned.stdout + planned.stderr, planned


@pytest.mark.timeout(180)
def test_the_interns_signal_is_undone(place):
    """Document 1: back to just before the bad Signal, without Signals: 500 points. The last task would not undo it."""
    place.loyal("w")
    handle = place.client.get_workflow_handle("w")
    assert place.ask(handle.query("balance")) == 7
    to = {"before": {"event": "signal", "name": "spend_all"}}
    dry = place.tool.run(
        "exec", reset_runbook(place.tool.folder, to, "without_signals"), "-p", "id=w", "--dry-run",
        *place.tool.connection(),
    )
    assert dry.code == 0 and "2 Signals after it lost" in dry.stdout + dry.stderr, dry
    result = place.tool.run(
        "exec", reset_runbook(place.tool.folder, to, "without_signals"), "-p", "id=w", "--yes",
        *place.tool.connection(),
    )
    assert result.code == 0, result
    until = time.monotonic() + 30
    while (points := place.ask(handle.query("balance"))) != 500 and time.monotonic() < until:
        time.sleep(0.2)
    assert points == 500


@pytest.mark.timeout(180)
def test_the_run_before_is_what_the_command_line_resets_too(place):
    """`last_continued_as_new` names the run and the event that `temporal workflow reset --type LastContinuedAsNew` does."""

    def third(workflow_id: str) -> str:
        place.start(Chain.run, workflow_id, 1)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            look = place.ask(place.service.look(workflow_id))
            if look.run_id != look.first_run_id and look.status == "RUNNING" and look.history_length >= 10:
                return look.run_id
            time.sleep(0.2)
        raise AssertionError("the chain did not come to its third run")

    def marks(workflow_id: str, old: str) -> tuple[int, int]:
        """Of the run before: where it was reset, by the new run's history; and how long it is."""
        started = place.ask(place.service.events(workflow_id, old))[0]
        before = started.workflow_execution_started_event_attributes.continued_execution_run_id
        new = place.ask(place.service.look(workflow_id, before)).reset_run_id
        assert new, "the run before was reset"
        until = time.monotonic() + 20
        events = place.ask(place.service.events(workflow_id, new))
        while not any(e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED for e in events):
            assert time.monotonic() < until
            events = place.ask(place.service.events(workflow_id, new))
        failed = next(e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
        assert failed.workflow_task_failed_event_attributes.base_run_id == before
        return failed.event_id

    by_hand, ours = third("by-hand"), third("ours")
    cli = os.environ.get("RUNBOOK_TEMPORAL_CLI") or str(server.cache_folder() / "bin" / "temporal")
    if Path(cli).exists():
        subprocess.run(
            [cli, "workflow", "reset", "--workflow-id", "by-hand", "--type", "LastContinuedAsNew", "--reason", "x",
             "--address", place.address, "--namespace", place.namespace],
            check=True, capture_output=True, timeout=60,
        )
    result = place.tool.run(
        "exec", reset_runbook(place.tool.folder, "last_continued_as_new"), "-p", "id=ours", "--yes",
        *place.tool.connection(),
    )
    assert result.code == 0, result
    assert place.ask(place.service.look("ours", ours)).status == "TERMINATED"
    at = marks("ours", ours)
    if Path(cli).exists():
        assert at == marks("by-hand", by_hand)


@pytest.mark.timeout(180)
def test_what_cannot_be_reset_is_refused_before_any_write(place):
    """A Workflow that waits for its cron schedule or start delay has one event; the service would refuse it."""
    place.start(LoyaltyProgram.run, "delayed", start_delay=timedelta(hours=1))
    assert ":" in place.reset("delayed", "", 1)
    result = place.tool.run(
        "exec", reset_runbook(place.tool.folder, "first_workflow_task"), "-p", "id=delayed", "--yes",
        *place.tool.connection(),
    )
    step = place.report()["steps"][0]
    assert step["counts"]["refused"] == 1, result
    assert "start delay" in json.dumps(step), result
    place.loyal("w")
    result = place.tool.run(
        "exec", reset_runbook(place.tool.folder, "last_continued_as_new"), "-p", "id=w", "--yes",
        *place.tool.connection(),
    )
    assert "not_continued" in json.dumps(place.report()["steps"][0]), result
