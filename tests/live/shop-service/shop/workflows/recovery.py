"""The Workflow types that a bad rollout breaks.

`bad` has a bug for each `trouble` that a case names. `safe` replays whatever `good` and `bad`
recorded, and goes on from there. Only `bad` looks at `trouble`, so a Workflow's input is the same
on each Version.

Every type counts points (signal `add`, update `adjust`), which tell a test what a recovery kept or
lost; `poke` triggers a bug that waits for it; `finish` lets the Workflow end.
"""

import dataclasses
from datetime import timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from shop.activities import perform
    from shop.models import Case
    from shop.release import is_bad

LAST_CYCLE = 3


class Base:
    """State, Signals, Updates and the bugs that all types share."""

    def __init__(self) -> None:
        self.points = 0
        self.steps: list[str] = []
        self.poked = False
        self.finished = False

    @workflow.signal
    def add(self, points: int) -> None:
        self.points += points

    @workflow.update
    def adjust(self, points: int) -> int:
        self.points += points
        return self.points

    @workflow.signal
    def poke(self) -> None:
        self.poked = True

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.query
    def state(self) -> dict:
        return {"points": self.points, "steps": self.steps, "poked": self.poked}

    async def step(self, name: str) -> None:
        await workflow.execute_activity(perform, name, start_to_close_timeout=timedelta(seconds=20))
        self.steps.append(name)

    async def begin(self, case: Case) -> None:
        """The first step; two bugs strike before it."""
        if is_bad() and case.trouble == "stuck_at_start":
            raise RuntimeError("bug: no task of this Workflow ever completes")
        if is_bad() and case.trouble == "changed_code":
            await workflow.sleep(1)  # non-determinism for whoever began on `good`
        await self.step("validate")

    async def trouble(self, case: Case) -> None:
        """The bugs that strike after the first step."""
        if not is_bad():
            return
        if case.trouble == "stuck":
            await workflow.wait_condition(lambda: self.poked)
            raise RuntimeError("bug: this Workflow Task fails each time it is tried")
        if case.trouble == "fail":
            await workflow.wait_condition(lambda: self.poked)
            raise ApplicationError("bug: this Workflow fails", non_retryable=True)
        if case.trouble == "hang":
            await workflow.wait_condition(lambda: False)

    async def end(self, case: Case) -> dict:
        await workflow.wait_condition(lambda: self.finished or case.alone)
        await self.step("settle")
        wrong = is_bad() and case.trouble == "wrong"
        return {"amount": 0 if wrong else case.amount, "points": self.points, "steps": self.steps}

    async def whole(self, case: Case) -> dict:
        await self.begin(case)
        await self.trouble(case)
        return await self.end(case)


@workflow.defn
class OrderProcessing(Base):
    @workflow.run
    async def run(self, case: Case) -> dict:
        return await self.whole(case)


@workflow.defn
class Invoice(Base):
    @workflow.run
    async def run(self, case: Case) -> dict:
        return await self.whole(case)


@workflow.defn
class Report(Base):
    @workflow.run
    async def run(self, case: Case) -> dict:
        return await self.whole(case)


@workflow.defn
class Shipment(Base):
    @workflow.run
    async def run(self, case: Case) -> dict:
        return await self.whole(case)


@workflow.defn
class Subscription(Base):
    """May also end by a timer of its own."""

    @workflow.run
    async def run(self, case: Case) -> dict:
        if case.trouble == "timer":  # on each Version: not a bug
            await self.begin(case)
            await workflow.sleep(case.amount)
            return await self.end(case)
        return await self.whole(case)


@workflow.defn
class Loyalty(Base):
    """On `bad`, a recalculation zeroes the points, and so does an Update that takes some away."""

    broken = False

    @workflow.run
    async def run(self, case: Case) -> dict:
        self.case = case
        return await self.whole(case)

    @workflow.signal
    def recalculate(self) -> None:
        if is_bad():
            self.points = 0
            self.broken = self.case.trouble == "zeroed_then_stuck"

    @workflow.signal
    def add(self, points: int) -> None:
        if is_bad() and self.broken:
            raise RuntimeError("bug: no points can be added after a recalculation")
        self.points += points

    @workflow.update
    def adjust(self, points: int) -> int:
        self.points += points
        if is_bad() and points < 0:
            self.points = 0
        return self.points


@workflow.defn
class Billing(Base):
    """A chain: continues as new until the last cycle."""

    @workflow.run
    async def run(self, case: Case) -> dict:
        await self.begin(case)
        if case.cycle < LAST_CYCLE:
            workflow.continue_as_new(
                dataclasses.replace(case, cycle=case.cycle + 1, amount=case.amount + 10)
            )
        await self.trouble(case)
        return await self.end(case)


@workflow.defn
class Fulfilment(Base):
    """A parent, whose child may fail without failing it."""

    @workflow.run
    async def run(self, case: Case) -> dict:
        await self.begin(case)
        child = await workflow.start_child_workflow(
            case.child,
            Case(name=f"{case.name}-child", trouble=case.child_trouble),
            id=f"{case.name}-child",
            result_type=dict,
        )
        self.steps.append("child started")
        await self.trouble(case)
        try:
            self.steps.append(f"child paid {(await child)['amount']}")
        except ChildWorkflowError:
            self.steps.append("child failed")
        return await self.end(case)


@workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class Ticker(Base):
    """The one type that follows the Current Version."""

    @workflow.run
    async def run(self, case: Case) -> dict:
        return await self.whole(case)


ALL = [Billing, Fulfilment, Invoice, Loyalty, OrderProcessing, Report, Shipment, Subscription, Ticker]
