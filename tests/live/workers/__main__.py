"""`python -m workers ADDRESS NAMESPACE BUILD`: one Worker, until SIGTERM or its parent's end."""

import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

DEPLOYMENT = "orders"
TASK_QUEUE = "orders"


async def work(address: str, namespace: str, build: str) -> None:
    os.environ["RUNBOOK_TEST_BUILD"] = build  # before the Workflows are imported: they read it then

    from temporalio.client import Client
    from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

    from workers import workflows

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address, namespace=namespace, identity=f"{build}-worker")
    with ThreadPoolExecutor(8) as threads:
        worker = Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=workflows.ALL,
            activities=[workflows.perform],
            activity_executor=threads,
            workflow_runner=UnsandboxedWorkflowRunner(),
            debug_mode=True,  # no deadlock detector: a busy machine is not a bug
            deployment_config=WorkerDeploymentConfig(
                version=WorkerDeploymentVersion(DEPLOYMENT, build),
                use_worker_versioning=True,
                default_versioning_behavior=VersioningBehavior.PINNED,
            ),
        )
        parent = os.getppid()
        async with worker:
            while not stop.is_set() and os.getppid() == parent:
                try:
                    await asyncio.wait_for(stop.wait(), 1)
                except asyncio.TimeoutError:
                    continue


asyncio.run(work(*sys.argv[1:4]))
os._exit(0)  # the core's threads may hang at the interpreter's end
