"""A checkout whose code changed under running Workflows.

`good` validates, reserves, waits for `approve`, charges. `bad` puts a wait before the reservation
without a patch: whoever reserved on `good` meets a non-determinism error at the next task. `safe`
takes the wait out again, so it replays what `good` recorded; only with `trouble: rewritten` it
reserves in another way, which no recorded history fits: such a Workflow must be reset to a task
before its reservation.
"""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shop.activities import perform, pick_items
    from shop.models import Case
    from shop.release import is_bad, is_safe

SHORT = timedelta(seconds=20)


@workflow.defn
class Checkout:
    """State is the list of steps; `approve` lets it go on to the charge, `finish` to the end."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.approved = False
        self.finished = False

    @workflow.run
    async def run(self, case: Case) -> dict:
        await self.step("validate")
        await self.reserve(case)
        await workflow.wait_condition(lambda: self.approved)
        await self.step("charge")
        await workflow.wait_condition(lambda: self.finished or case.alone)
        return self.state()

    async def reserve(self, case: Case) -> None:
        if is_bad():
            await workflow.sleep(1)
        if is_safe() and case.trouble == "rewritten":
            await workflow.execute_activity(pick_items, args=[case.name, 0.2], start_to_close_timeout=SHORT)
            self.steps.append("reserve anew")
            return
        await self.step("reserve")

    async def step(self, name: str) -> None:
        await workflow.execute_activity(perform, name, start_to_close_timeout=SHORT)
        self.steps.append(name)

    @workflow.signal
    def approve(self) -> None:
        self.approved = True

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.query
    def state(self) -> dict:
        return {"steps": self.steps, "approved": self.approved}


ALL = [Checkout]
