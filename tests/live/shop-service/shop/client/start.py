"""Starting Workflows: types, IDs and inputs in one place."""

from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle

from shop.models import Case, Customer, Meter, Order, Parcel
from shop.workflows.chains import MeterReading, NightlyReport
from shop.workflows.checkout import Checkout
from shop.workflows.journey import Journey
from shop.workflows.loyalty import LoyaltyProgram
from shop.workflows.orders import OrderProcessingWorkflow
from shop.workflows.packing import Packing

# Short, so that a failing task is tried again soon.
TASK_TIMEOUT = timedelta(seconds=5)


class Shop:
    """Starts the shop's Workflows on one task queue."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self.client = client
        self.task_queue = task_queue

    async def start(self, workflow: Any, given: Any, workflow_id: str, **more: Any) -> WorkflowHandle:
        more = {"task_timeout": TASK_TIMEOUT} | more
        return await self.client.start_workflow(workflow, given, id=workflow_id, task_queue=self.task_queue, **more)

    async def loyalty(self, user_id: int, points: int = 0) -> WorkflowHandle:
        """The Workflow ID is the customer's number."""
        return await self.start(LoyaltyProgram.run, Customer(user_id, points), str(user_id))

    async def order(self, order: Order) -> WorkflowHandle:
        return await self.start(OrderProcessingWorkflow.run, order, order.order_id)

    async def checkout(self, case: Case) -> WorkflowHandle:
        return await self.start(Checkout.run, case, case.name)

    async def journey(self, case: Case) -> WorkflowHandle:
        return await self.start(Journey.run, case, case.name)

    async def packing(self, parcel: Parcel) -> WorkflowHandle:
        return await self.start(Packing.run, parcel, parcel.parcel_id)

    async def meter(self, meter: Meter) -> WorkflowHandle:
        return await self.start(MeterReading.run, meter, meter.meter_id)

    async def nightly_report(self, name: str, schedule: str = "0 3 * * *") -> WorkflowHandle:
        return await self.start(NightlyReport.run, name, name, cron_schedule=schedule)
