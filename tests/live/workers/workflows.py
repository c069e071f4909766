"""The Workflow types of the suite, whose code differs by Build ID.

`good` is the last good release. `bad` has a bug for each `trouble` that a case names. `safe` is
the fix: it replays whatever `good` and `bad` recorded, and goes on from there. Only `bad` looks at
`trouble`, so a Workflow's input is the same on each Version.

Every type counts points (signal `add`, update `adjust`), which tell a test what a recovery kept or
lost; `poke` triggers a bug that waits for it; `finish` lets the Workflow end.
"""

import dataclasses
import os
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ApplicationError, ChildWorkflowError

BUILD = os.environ.get("RUNBOOK_TEST_BUILD", "good")
BAD = BUILD == "bad"
LAST_CYCLE = 3


@dataclass
class Case:
    """The input of each Workflow."""

    name: str
    trouble: str = ""  # which bug of `bad` this Workflow meets; "" is none
    alone: bool = False  # ends without waiting for `finish`
    amount: int = 100
    cycle: int = 1
    child: str = ""  # type of the child that it starts
    child_trouble: str = ""


@activity.defn
def perform(step: str) -> str:
    """An outside effect, such as a charge."""
    return f"{step} done"


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
        if BAD and case.trouble == "stuck_at_start":
            raise RuntimeError("bug: no task of this Workflow ever completes")
        if BAD and case.trouble == "changed_code":
            await workflow.sleep(1)  # non-determinism for whoever began on `good`
        await self.step("validate")

    async def trouble(self, case: Case) -> None:
        """The bugs that strike after the first step."""
        if not BAD:
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
        wrong = BAD and case.trouble == "wrong"
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
        if BAD:
            self.points = 0
            self.broken = self.case.trouble == "zeroed_then_stuck"

    @workflow.signal
    def add(self, points: int) -> None:
        if BAD and self.broken:
            raise RuntimeError("bug: no points can be added after a recalculation")
        self.points += points

    @workflow.update
    def adjust(self, points: int) -> int:
        self.points += points
        if BAD and points < 0:
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
