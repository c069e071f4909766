"""What the Temporal service says: the only witness that the checks believe.

Reads, and the few writes that an operator or a caller would make. Knows nothing of the tool.
Everything is a coroutine; `World` runs them on its own loop.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import (
    EventType,
    VersionDrainageStatus,
    WorkerDeploymentVersionStatus,
    WorkflowExecutionStatus,
    WorkflowTaskFailedCause,
)
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentVersionRequest,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    ResetWorkflowExecutionRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
    UpdateWorkflowExecutionOptionsRequest,
)
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

DEPLOYMENT = "orders"
TRANSIENT = {RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNAVAILABLE}


@dataclass(frozen=True)
class Look:
    """One Describe, in this suite's words."""

    workflow_id: str
    run_id: str
    type: str
    status: str  # RUNNING, FAILED, …
    version: str  # the Visibility attribute, DEPLOYMENT:BUILD
    behaviour: str  # Pinned, AutoUpgrade
    override: str  # BUILD of a pinned Versioning Override
    ran_on: str  # BUILD of the last completed Workflow Task
    attempt: int  # of the pending Workflow Task; 0 where none is pending
    waits_for: int  # pending Activities
    history_length: int
    reset_run_id: str
    first_run_id: str
    parent: str


@dataclass(frozen=True)
class Input:
    """Event 1: what a run was started with."""

    type: str
    task_queue: str
    arguments: tuple[Any, ...]
    run_timeout: float
    memo: tuple[tuple[str, Any], ...]


def enum_name(enum: Any, value: int, prefix: str) -> str:
    return enum.Name(value).removeprefix(prefix)


def override_of(build: str) -> VersioningOverride:
    pinned = VersioningOverride.PinnedOverride(
        behavior=VersioningOverride.PINNED_OVERRIDE_BEHAVIOR_PINNED,
        version=WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=build),
    )
    return VersioningOverride(pinned=pinned)


async def patiently(call: Any, seconds: float = 30) -> Any:
    """Repeats a call that the service was too busy for."""
    until = time.monotonic() + seconds
    while True:
        try:
            return await call()
        except RPCError as error:
            if error.status not in TRANSIENT or time.monotonic() > until:
                raise
            await asyncio.sleep(0.5)


class Service:
    """One namespace of one server."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.rpc = client.workflow_service
        self.namespace = client.namespace

    # --- Workflows

    async def look(self, workflow_id: str, run_id: str = "") -> Look:
        """Describes a run; the current one unless told."""
        request = DescribeWorkflowExecutionRequest(
            namespace=self.namespace, execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
        )
        reply = await patiently(lambda: self.rpc.describe_workflow_execution(request))
        info = reply.workflow_execution_info
        attributes = decode_fields(info.search_attributes.indexed_fields)
        versioning = info.versioning_info
        pending = reply.HasField("pending_workflow_task")
        return Look(
            workflow_id=info.execution.workflow_id,
            run_id=info.execution.run_id,
            type=info.type.name,
            status=enum_name(WorkflowExecutionStatus, info.status, "WORKFLOW_EXECUTION_STATUS_"),
            version=attributes.get("TemporalWorkerDeploymentVersion", ""),
            behaviour=attributes.get("TemporalWorkflowVersioningBehavior", ""),
            override=versioning.versioning_override.pinned.version.build_id,
            ran_on=versioning.deployment_version.build_id,
            attempt=max(1, reply.pending_workflow_task.attempt) if pending else 0,
            waits_for=len(reply.pending_activities),
            history_length=info.history_length,
            reset_run_id=reply.workflow_extended_info.reset_run_id,
            first_run_id=info.first_run_id,
            parent=info.parent_execution.workflow_id,
        )

    async def find(self, query: str = "") -> list[tuple[str, str]]:
        """All (Workflow ID, Run ID) that a List Filter finds."""
        found: list[tuple[str, str]] = []
        token = b""
        while True:
            request = ListWorkflowExecutionsRequest(
                namespace=self.namespace, page_size=1000, query=query, next_page_token=token
            )
            reply = await patiently(lambda: self.rpc.list_workflow_executions(request))
            found += [(each.execution.workflow_id, each.execution.run_id) for each in reply.executions]
            token = reply.next_page_token
            if not token:
                return found

    async def events(self, workflow_id: str, run_id: str) -> list[Any]:
        """The history of a run."""
        found: list[Any] = []
        token = b""
        while True:
            request = GetWorkflowExecutionHistoryRequest(
                namespace=self.namespace,
                execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                next_page_token=token,
            )
            reply = await patiently(lambda: self.rpc.get_workflow_execution_history(request))
            found += reply.history.events
            token = reply.next_page_token
            if not token:
                return found

    async def outline(self, workflow_id: str, run_id: str = "") -> list[tuple[int, str]]:
        """(event id, type without its prefix) of a run's history."""
        events = await self.events(workflow_id, run_id)
        return [(each.event_id, enum_name(EventType, each.event_type, "EVENT_TYPE_")) for each in events]

    async def last_failure(self, workflow_id: str) -> str:
        """The cause of the last failed Workflow Task in the history, such as `NON_DETERMINISTIC_ERROR`."""
        for event in reversed(await self.events(workflow_id, "")):
            if event.HasField("workflow_task_failed_event_attributes"):
                cause = event.workflow_task_failed_event_attributes.cause
                return enum_name(WorkflowTaskFailedCause, cause, "WORKFLOW_TASK_FAILED_CAUSE_")
        return ""

    async def input(self, workflow_id: str, run_id: str) -> Input:
        """What the run was started with."""
        start = (await self.events(workflow_id, run_id))[0].workflow_execution_started_event_attributes
        return Input(
            type=start.workflow_type.name,
            task_queue=start.task_queue.name,
            arguments=tuple(str(each) for each in decode(list(start.input.payloads))),
            run_timeout=start.workflow_run_timeout.ToTimedelta().total_seconds(),
            memo=tuple(sorted(decode_fields(start.memo.fields).items())),
        )

    async def reset_base(self, workflow_id: str, run_id: str) -> tuple[str, str]:
        """The base run and the reason of the reset that made this run; empty where none did."""
        for event in await self.events(workflow_id, run_id):
            failed = event.workflow_task_failed_event_attributes
            if failed.base_run_id and failed.new_run_id == run_id:
                return failed.base_run_id, failed.failure.message
        return "", ""

    async def count_events(self, workflow_id: str, run_id: str, kind: str) -> int:
        """How many events of a type, such as `WORKFLOW_EXECUTION_SIGNALED`."""
        wanted = EventType.Value(f"EVENT_TYPE_{kind}")
        return sum(each.event_type == wanted for each in await self.events(workflow_id, run_id))

    async def reset_by_hand(self, workflow_id: str, run_id: str, reason: str, move_to: str = "") -> str:
        """An operator's reset to the first completed or failed Workflow Task; answers the new run."""
        finished = ("WORKFLOW_TASK_COMPLETED", "WORKFLOW_TASK_FAILED")
        points = [EventType.Value(f"EVENT_TYPE_{name}") for name in finished]
        events = await self.events(workflow_id, run_id)
        request = ResetWorkflowExecutionRequest(
            namespace=self.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            reason=reason,
            request_id=f"by-hand-{workflow_id}",
            workflow_task_finish_event_id=next(e.event_id for e in events if e.event_type in points),
        )
        if move_to:
            operation = request.post_reset_operations.add().update_workflow_options
            operation.workflow_execution_options.versioning_override.CopyFrom(override_of(move_to))
            operation.update_mask.paths.append("versioning_override")
        return (await self.rpc.reset_workflow_execution(request)).run_id

    async def override(self, workflow_id: str, build: str) -> None:
        """Pins a Workflow to a Version."""
        request = UpdateWorkflowExecutionOptionsRequest(
            namespace=self.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            workflow_execution_options=WorkflowExecutionOptions(versioning_override=override_of(build)),
        )
        request.update_mask.paths.append("versioning_override")
        await self.rpc.update_workflow_execution_options(request)

    # --- the deployment

    async def set_current(self, build: str) -> None:
        request = SetWorkerDeploymentCurrentVersionRequest(
            namespace=self.namespace, deployment_name=DEPLOYMENT, build_id=build, identity="release"
        )
        await patiently(lambda: self.rpc.set_worker_deployment_current_version(request))

    async def set_ramping(self, build: str, percentage: float) -> None:
        request = SetWorkerDeploymentRampingVersionRequest(
            namespace=self.namespace,
            deployment_name=DEPLOYMENT,
            build_id=build,
            percentage=percentage,
            identity="release",
        )
        await patiently(lambda: self.rpc.set_worker_deployment_ramping_version(request))

    async def routing(self) -> dict[str, Any]:
        """Current and Ramping Version, percentage, and the status of each Version."""
        request = DescribeWorkerDeploymentRequest(namespace=self.namespace, deployment_name=DEPLOYMENT)
        reply = await patiently(lambda: self.rpc.describe_worker_deployment(request))
        info = reply.worker_deployment_info
        config = info.routing_config
        return {
            "current": config.current_deployment_version.build_id,
            "ramping": config.ramping_deployment_version.build_id,
            "percentage": config.ramping_version_percentage,
            "revision": config.revision_number,
            "versions": {
                each.deployment_version.build_id: enum_name(
                    WorkerDeploymentVersionStatus, each.status, "WORKER_DEPLOYMENT_VERSION_STATUS_"
                )
                for each in info.version_summaries
            },
        }

    async def version_status(self, build: str) -> str:
        """`CURRENT`, `RAMPING`, `DRAINING`, `DRAINED`, `INACTIVE`, or `ABSENT`."""
        reply = await self._describe_version(build)
        if reply is None:
            return "ABSENT"
        info = reply.worker_deployment_version_info
        if info.drainage_info.status == VersionDrainageStatus.VERSION_DRAINAGE_STATUS_DRAINED:
            return "DRAINED"
        return enum_name(WorkerDeploymentVersionStatus, info.status, "WORKER_DEPLOYMENT_VERSION_STATUS_")

    async def version_knows_queue(self, build: str, queue: str) -> bool:
        """Whether a Worker of the Version polled the task queue for both kinds of task."""
        reply = await self._describe_version(build)
        return reply is not None and sum(each.name == queue for each in reply.version_task_queues) >= 2

    async def _describe_version(self, build: str) -> Any:
        version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=build)
        request = DescribeWorkerDeploymentVersionRequest(
            namespace=self.namespace, deployment_version=version
        )
        try:
            return await patiently(lambda: self.rpc.describe_worker_deployment_version(request))
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise

    # --- everything at once

    async def snapshot(self) -> dict[Any, Any]:
        """Every run of every Workflow, and the routing: equal before and after means that nobody wrote."""
        # A world's probe is being deleted, which takes some seconds for a closed Workflow. A lock is no Workflow of the world.
        found_now = await self.find()
        runs = [each for each in found_now if each[0] != "probe" and not each[0].startswith("runbook-lock:")]
        looks = await gather([self.look(*each) for each in runs], at_once=16)
        found: dict[Any, Any] = {(each.workflow_id, each.run_id): comparable(each) for each in looks}
        routing = await self.routing()
        found["routing"] = {key: routing[key] for key in ("current", "ramping", "percentage", "revision")}
        found["versions"] = sorted(routing["versions"])
        return found


def comparable(look: Look) -> tuple[Any, ...]:
    """What only a write changes; a retrying Workflow Task's attempt grows by itself."""
    return (look.status, look.history_length, look.override, look.reset_run_id, look.version)


async def gather(coroutines: list[Any], at_once: int = 16) -> list[Any]:
    """All results, in order; few calls at a time."""
    slots = asyncio.Semaphore(at_once)

    async def one(coroutine: Any) -> Any:
        async with slots:
            return await coroutine

    return await asyncio.gather(*(one(each) for each in coroutines))


def decode(payloads: list[Payload]) -> list[Any]:
    return DataConverter.default.payload_converter.from_payloads(payloads)


def decode_fields(fields: Any) -> dict[str, Any]:
    """A map of payloads as values; what cannot be decoded is left out."""
    found = {}
    for name, payload in fields.items():
        with contextlib.suppress(Exception):
            found[name] = decode([payload])[0]
    return found
