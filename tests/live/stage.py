"""A namespace with Workers of the shop, most often unversioned: the cheap ground of most tests.

A module's tests share one (fixture `stage`) and keep apart by their Workflow IDs. Knows nothing of
the tool.
"""

import contextlib
import time
import uuid
from typing import Any, Callable, Coroutine

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from shop.client.start import Shop

import server
from background import Background, until
from service import DEPLOYMENT, Look, Service, gather
from workers import Workers

TASK_QUEUE = "shop"


class Stage:
    """`with Stage(address, name) as stage:`; `builds` are the Workers that run from the beginning.

    `versioned`: they are Versions of the deployment `orders`, the first of them Current.
    """

    def __init__(self, address: str, name: str, builds: tuple[str, ...] = ("good",), versioned: bool = False) -> None:
        self.address = address
        self.namespace = f"{name}-{uuid.uuid4().hex[:6]}"
        self.builds = builds
        self.versioned = versioned
        self.workers = Workers(address, self.namespace, TASK_QUEUE, DEPLOYMENT if versioned else "")
        self.background = Background()
        self.service: Service
        self.shop: Shop

    def __enter__(self) -> "Stage":
        self.background.start()
        try:
            self.ask(self._open(), 120)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _open(self) -> None:
        await server.make_namespace(self.address, self.namespace)
        client = await Client.connect(self.address, namespace=self.namespace)
        self.service, self.shop = Service(client), Shop(client, TASK_QUEUE)
        for build in self.builds:
            self.workers.start(build)
        if self.versioned:
            await until(self._versions_are_known, "Versions with their task queue")
            await self.service.set_current(self.builds[0])
            await until(self._first_takes_new_workflows, "the routing to take effect")

    async def _versions_are_known(self) -> bool:
        return all([await self.service.version_knows_queue(build, TASK_QUEUE) for build in self.builds])

    async def _first_takes_new_workflows(self) -> bool:
        """The routing reaches the task queues a moment after the call: probe it with a Workflow."""
        handle = await self.shop.start("Stop", "probe", f"probe-{uuid.uuid4().hex[:6]}")
        await handle.result()
        return (await self.service.look(handle.id)).version == f"{DEPLOYMENT}:{self.builds[0]}"

    def close(self) -> None:
        self.workers.close()
        self.background.close()

    def ask(self, coroutine: Coroutine[Any, Any, Any], seconds: float = 60) -> Any:
        return self.background.ask(coroutine, seconds)

    # --- what most tests need, from ordinary code

    def each(self, names: list[str], call: Callable[[str], Coroutine[Any, Any, Any]], seconds: float = 90) -> list[Any]:
        """The results of `call` for each name, many at once."""
        return self.ask(gather([call(name) for name in names], at_once=16), seconds)

    def handle(self, workflow_id: str, run_id: str | None = None) -> WorkflowHandle:
        return self.service.client.get_workflow_handle(workflow_id, run_id=run_id)

    def look(self, workflow_id: str, run_id: str = "") -> Look:
        return self.ask(self.service.look(workflow_id, run_id))

    def signal(self, workflow_id: str, name: str, *given: Any) -> None:
        self.ask(self.handle(workflow_id).signal(name, args=list(given)))

    def query(self, workflow_id: str, name: str) -> Any:
        """The answer of a Query; asked again while the Workflow cannot answer yet, for half a minute."""
        end = time.monotonic() + 30
        while True:
            try:
                return self.ask(self.handle(workflow_id).query(name), 15)
            except (RPCError, TimeoutError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def result(self, workflow_id: str, seconds: float = 30) -> Any:
        return self.ask(self.handle(workflow_id).result(), seconds)

    def terminate(self, *workflow_ids: str) -> None:
        """At a test's end, so that no later test finds them."""
        for workflow_id in workflow_ids:
            with contextlib.suppress(RPCError):
                self.ask(self.handle(workflow_id).terminate("the test is over"))

    def events(self, workflow_id: str, run_id: str = "") -> list[tuple[int, str]]:
        """(event id, type) of a run's history, the current run's unless told."""
        return self.ask(self.service.outline(workflow_id, run_id))

    def count(self, workflow_id: str, kind: str, run_id: str = "") -> int:
        """How many events of a type, such as `WORKFLOW_EXECUTION_SIGNALED`, a run has."""
        return sum(name == kind for _, name in self.events(workflow_id, run_id))

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
        """Waits for an ordinary function's true answer."""

        end = time.monotonic() + seconds
        while True:
            answer = condition()
            if answer:
                return answer
            assert time.monotonic() < end, f"waited {seconds} s for {what}"
            time.sleep(0.3)

    def calm(self, workflow_id: str) -> Look:
        """The Workflow when nothing of it is pending, or closed."""
        return self.ask(until(lambda: self._calm(workflow_id), f"{workflow_id} to be idle"))

    async def _calm(self, workflow_id: str) -> Look | None:
        look = await self.service.look(workflow_id)
        return look if look.attempt == 0 and look.waits_for == 0 and look.history_length > 3 else None

    def failing(self, workflow_id: str, attempts: int = 2) -> Look:
        """The Workflow when its Workflow Task is being tried again."""
        return self.ask(until(lambda: self._failing(workflow_id, attempts), f"{workflow_id} to fail its task"))

    async def _failing(self, workflow_id: str, attempts: int) -> Look | None:
        look = await self.service.look(workflow_id)
        return look if look.attempt >= attempts else None
