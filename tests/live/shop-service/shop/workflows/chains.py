"""Chains of runs: one that continues as new when told, and one for a cron schedule."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shop.models import Meter


@workflow.defn
class MeterReading:
    """Adds up readings; `roll_over` continues as new with the sum, `finish` ends the chain."""

    @workflow.init
    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.total = meter.total
        self.ending = ""

    @workflow.run
    async def run(self, meter: Meter) -> dict:
        await workflow.wait_condition(lambda: self.ending != "")
        if self.ending == "roll_over":
            workflow.continue_as_new(Meter(meter.meter_id, self.total, meter.generation + 1))
        return self.state()

    @workflow.signal
    def read(self, amount: int) -> None:
        self.total += amount

    @workflow.signal
    def roll_over(self) -> None:
        self.ending = "roll_over"

    @workflow.signal
    def finish(self) -> None:
        self.ending = "finish"

    @workflow.query
    def state(self) -> dict:
        return {"total": self.total, "generation": self.meter.generation}


@workflow.defn
class NightlyReport:
    """One run of a cron schedule; most of the time it waits for the next."""

    @workflow.run
    async def run(self, name: str) -> str:
        return f"{name} at {workflow.now():%H:%M}"


ALL = [MeterReading, NightlyReport]
