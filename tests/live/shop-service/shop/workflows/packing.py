"""An Activity that finishes while the Workflow's tasks fail.

On `bad`, `weigh` makes each Workflow Task fail. The Activity goes on meanwhile, so its result lies
after the last completed Workflow Task: a reset to that task does the Activity again, a reset to
the failed task keeps its result.
"""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shop.activities import pick_items
    from shop.models import Parcel
    from shop.release import is_bad


@workflow.defn
class Packing:
    """Packs, is weighed in between, and waits for `finish`."""

    @workflow.init
    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self.steps: list[str] = []
        self.finished = False

    @workflow.run
    async def run(self, parcel: Parcel) -> dict:
        self.steps.append(
            await workflow.execute_activity(
                pick_items,
                args=[parcel.parcel_id, parcel.packing_seconds],
                start_to_close_timeout=timedelta(minutes=2),
                heartbeat_timeout=timedelta(seconds=10),
            )
        )
        await workflow.wait_condition(lambda: self.finished)
        return self.state()

    @workflow.signal
    def weigh(self) -> None:
        if is_bad() and self.parcel.trouble == "heavy":
            raise RuntimeError("bug: the scale overflows")
        self.steps.append("weighed")

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.query
    def state(self) -> dict:
        return {"steps": self.steps}


ALL = [Packing]
