"""Scripted Workers for the conformance suite, started and stopped on request.

A request is one line of JSON over TCP, and so is its answer, which comes when what was asked for is so:

    {"op": "namespace", "alone": false, "attributes": {"Tier": "keyword"}}    -> {"namespace": NAME}
    {"op": "start", "namespace", "deployment", "build", "queue", "behaves", "types"} -> {}
    {"op": "stop", "deployment", "build"}                                     -> {}

The words of a script are those of a rehearsal's world (src/simulator/world.rs), so that one test can
run against the simulator and against this. Knows nothing of the tests.
"""

import asyncio
import json
import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.common import RawValue, VersioningBehavior, WorkerDeploymentVersion
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import (
    Interceptor,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowInterceptorClassInput,
)

import server

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
PROBLEMS = (RuntimeError, OSError, RPCError, KeyError, ValueError)


def seconds(span: str) -> float:
    """`500ms`, `90s`, `1h30m`."""
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h|d)", span))


@activity.defn
async def work(length: float) -> None:
    """What a Workflow that completes does first."""
    await asyncio.sleep(length)


@workflow.defn(dynamic=True)
class Scripted:
    """The Workflow of every Version: any type, doing what the Worker's script says of it."""

    def __init__(self) -> None:
        said = workflow.extern_functions()["script"]()
        self.script = said["types"].get(workflow.info().workflow_type, {})
        self.does = self.script.get("behaves", {}).get(said["build"], said["behaves"])
        self.closes = ""
        self.messages: list[tuple[str, Any]] = []

    @workflow.dynamic_config
    def config(self) -> workflow.DynamicWorkflowConfig:
        upgrades = self.script.get("behavior") == "auto_upgrade"
        behavior = VersioningBehavior.AUTO_UPGRADE if upgrades else VersioningBehavior.PINNED
        return workflow.DynamicWorkflowConfig(versioning_behavior=behavior)

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Any:
        while True:
            try:
                return await self.act(self.does)
            except asyncio.CancelledError:
                await self.cancelled()

    async def act(self, does: str) -> Any:
        if does == "raise_errors":
            raise RuntimeError("the code raises")
        if does == "fail_workflow":
            raise ApplicationError("the Workflow failed", non_retryable=True)
        for child in self.script.get("starts", []):
            await workflow.start_child_workflow(child["type"], id=f"{workflow.info().workflow_id}-{child['id']}")
        # `fail_tasks` waits, which does not fit a history in which it was `complete` that ran.
        if does == "complete":
            length = seconds(self.script.get("takes", "60s"))
            await workflow.execute_activity(work, length, start_to_close_timeout=timedelta(minutes=5))
            return None
        await workflow.wait_condition(lambda: bool(self.closes))
        return self.close(self.closes)

    async def cancelled(self) -> None:
        """Comes back only where the Workflow goes on."""
        how = self.script.get("on_cancel", "canceled")
        if how == "ignored":
            return
        length = seconds(self.script.get("cancel_takes", "0s"))
        if length:
            await workflow.sleep(length)
        if how == "canceled":
            raise asyncio.CancelledError()
        self.closes = how

    def close(self, how: str) -> Any:
        if how == "failed":
            raise ApplicationError("the Workflow failed", non_retryable=True)
        if how == "canceled":
            raise asyncio.CancelledError()
        if how == "continued_as_new":
            workflow.continue_as_new({"n": 7})
        return None

    @workflow.signal(dynamic=True)
    def on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        self.note(name, args)
        self.closes = self.script.get("on_signal", {}).get(name, self.closes)

    @workflow.update(dynamic=True)
    def on_update(self, name: str, args: Sequence[RawValue]) -> Any:
        self.note(name, args)
        return len(self.messages)

    @workflow.query(dynamic=True)
    def on_query(self, name: str, args: Sequence[RawValue]) -> Any:
        query = self.script.get("queries", {}).get(name)
        if query is None:
            raise ValueError(f"Query handler for '{name}' expected but not found")
        if query.get("fails"):
            raise ValueError(query["fails"])
        return self.fold(query)

    def note(self, name: str, args: Sequence[RawValue]) -> None:
        convert = workflow.payload_converter().from_payload
        self.messages.append((name, convert(args[0].payload) if args else None))

    def fold(self, query: dict[str, Any]) -> Any:
        answer = query.get("starts", 0)
        for name, value in self.messages:
            read = lambda field: value if field == "" else value[field]  # noqa: E731
            if name in query.get("sets", {}):
                answer = read(query["sets"][name])
            elif name in query.get("adds", {}):
                answer += read(query["adds"][name])
            elif name in query.get("subtracts", {}):
                answer -= read(query["subtracts"][name])
            elif name in query.get("counts", []):
                answer += 1
        return answer


class Prompter(Interceptor):
    """Hands the script of a Worker's Version to its Workflows."""

    def __init__(self, script: dict[str, Any]) -> None:
        self.script = script

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> None:
        input.unsafe_extern_functions["script"] = lambda: self.script


class Host:
    """Serves requests until it is closed; `address` says where."""

    def __init__(self, temporal: str) -> None:
        self.temporal = temporal
        self.address = ""
        self.listener: asyncio.Server | None = None
        self.running: dict[tuple[str, str], tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self.clients: dict[str, Client] = {}
        self.shared: asyncio.Task[str] | None = None

    async def open(self) -> None:
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        host, port = self.listener.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    async def close(self) -> None:
        if self.listener:
            self.listener.close()
        await asyncio.gather(*(self.stop(*version) for version in list(self.running)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            request = json.loads(await reader.readline())
            try:
                answer = await self.answer(request)
            except PROBLEMS as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["op"]:
            case "namespace" if request["alone"]:
                return {"namespace": await self.make("alone", request["attributes"])}
            case "namespace":
                self.shared = self.shared or asyncio.create_task(self.make("shared", request["attributes"]))
                return {"namespace": await asyncio.shield(self.shared)}
            case "start":
                await self.start(request)
                return {}
            case "stop":
                await self.stop(request["deployment"], request["build"])
                return {}
        raise ValueError(f"no such operation: {request['op']}")

    async def make(self, name: str, attributes: dict[str, str]) -> str:
        """A namespace with its Search Attributes, when both can be used."""
        name = f"conformance-{name}-{uuid.uuid4().hex[:6]}"
        await server.make_namespace(self.temporal, name)
        client = await self.client(name)
        kinds = {key: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}") for key, kind in attributes.items()}
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=name, search_attributes=kinds)
        )
        query = " AND ".join(f"{key} IS NULL" for key in attributes)
        until = asyncio.get_running_loop().time() + server.NAMESPACE_SECONDS
        while True:
            try:
                request = ListWorkflowExecutionsRequest(namespace=name, page_size=1, query=query)
                await client.workflow_service.list_workflow_executions(request)
                return name
            except RPCError:
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(0.2)

    async def client(self, namespace: str) -> Client:
        if namespace not in self.clients:
            self.clients[namespace] = await Client.connect(self.temporal, namespace=namespace)
        return self.clients[namespace]

    async def start(self, request: dict[str, Any]) -> None:
        version = WorkerDeploymentVersion(request["deployment"], request["build"])
        worker = Worker(
            await self.client(request["namespace"]),
            task_queue=request["queue"],
            workflows=[Scripted],
            interceptors=[Prompter(request)],
            identity=f"worker-{request['build']}",
            activities=[work],
            deployment_config=WorkerDeploymentConfig(version=version, use_worker_versioning=True),
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_workflow_task_polls=2,
            max_concurrent_activity_task_polls=1,
            debug_mode=True,
        )
        stop = asyncio.Event()
        key = (request["deployment"], request["build"])
        self.running[key] = (stop, asyncio.create_task(self.keep(worker, stop)))

    async def keep(self, worker: Worker, stop: asyncio.Event) -> None:
        async with worker:
            await stop.wait()

    async def stop(self, deployment: str, build: str) -> None:
        stop, task = self.running.pop((deployment, build))
        stop.set()
        await task
