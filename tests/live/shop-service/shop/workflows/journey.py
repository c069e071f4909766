"""One Workflow with everything that can lie between two reset points."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shop.activities import perform
    from shop.models import Case

SHORT = timedelta(seconds=20)


@workflow.defn
class Journey:
    """An Activity, a timer, a child that ends, then Signals and Updates; with `case.child` one that stays."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.finished = False

    @workflow.run
    async def run(self, case: Case) -> dict:
        await workflow.execute_activity(perform, "pack", start_to_close_timeout=SHORT)
        self.steps.append("packed")
        await workflow.sleep(0.5)
        self.steps.append("slept")
        await workflow.execute_child_workflow(Stop.run, case.name, id=f"{case.name}-stop")
        self.steps.append("stopped over")
        if case.child:
            await workflow.start_child_workflow(case.child, Case(f"{case.name}-child"), id=f"{case.name}-child")
            self.steps.append("child started")
        await workflow.wait_condition(lambda: self.finished)
        return self.state()

    @workflow.signal
    def note(self, text: str) -> None:
        self.steps.append(f"note {text}")

    @workflow.update
    async def visit(self, place: str) -> list[str]:
        """Has an Activity of its own."""
        await workflow.execute_activity(perform, place, start_to_close_timeout=SHORT)
        self.steps.append(f"visited {place}")
        return self.steps

    @visit.validator
    def visit_somewhere(self, place: str) -> None:
        if not place:
            raise ValueError("a place has a name")

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.query
    def state(self) -> dict:
        return {"steps": self.steps}


@workflow.defn
class Stop:
    """A child that ends by itself."""

    @workflow.run
    async def run(self, name: str) -> str:
        return f"{name} stopped over"


ALL = [Journey, Stop]
