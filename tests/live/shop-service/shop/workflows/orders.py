"""An order that can be interrupted: by a Signal, by a cancellation, or only by force."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from shop.activities import perform, pick_items
    from shop.models import Order, OrderCancellation

SHORT = timedelta(seconds=20)


@workflow.defn
class OrderProcessingWorkflow:
    """Charges, picks, then waits for `ship`. Whatever ends it early refunds the charge first."""

    @workflow.init
    def __init__(self, order: Order) -> None:
        self.order = order
        self.steps: list[str] = []
        self.cancelled_because: str | None = None
        self.ignored = 0
        self.shipped = False

    @workflow.run
    async def run(self, order: Order) -> dict:
        try:
            await self.process()
        except BaseException as error:  # CancelledError of asyncio is no Exception
            if not is_cancelled_exception(error):
                raise
            await self.compensate()
            raise
        return self.state()

    async def process(self) -> None:
        await self.step("charge")
        if self.order.picking_seconds:
            await self.pick()
        await self.until_decided()
        if self.cancelled_because is None:
            await self.step("ship")
        else:
            await self.compensate()

    async def pick(self) -> None:
        picked = await workflow.execute_activity(
            pick_items,
            args=[self.order.order_id, self.order.picking_seconds],
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=5),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1)),
        )
        self.steps.append(picked)

    async def until_decided(self) -> None:
        """Waits for a Signal; with `on_cancel: ignore` a cancellation changes nothing."""
        while True:
            try:
                await workflow.wait_condition(lambda: self.shipped or self.cancelled_because is not None)
                return
            except asyncio.CancelledError:
                if self.order.on_cancel != "ignore":
                    raise
                self.ignored += 1

    async def compensate(self) -> None:
        """Cleans up; shielded, since the Workflow itself may be cancelled already."""
        await asyncio.shield(self.step("refund"))

    async def step(self, name: str) -> None:
        await workflow.execute_activity(perform, name, start_to_close_timeout=SHORT)
        self.steps.append(name)

    @workflow.signal(name="cancelOrder")
    def cancel_order(self, cancellation: OrderCancellation) -> None:
        self.cancelled_because = cancellation.reason

    @workflow.signal
    def ship(self) -> None:
        self.shipped = True

    @workflow.query
    def state(self) -> dict:
        return {
            "order_id": self.order.order_id,
            "steps": self.steps,
            "cancelled_because": self.cancelled_because,
            "ignored_cancellations": self.ignored,
        }


ALL = [OrderProcessingWorkflow]
