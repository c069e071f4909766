"""The incidents of the shipped runbooks, made on a stage. Knows nothing of the tool."""

import asyncio

from temporalio.client import WorkflowHandle

from shop.models import Case, Order

from background import until
from service import gather
from stage import Stage

MISTAKE = {"points": 1_000_000, "note": "aaron"}  # what each customer is sent


async def quiet(stage: Stage, handle: WorkflowHandle) -> None:
    """Until nothing of a Workflow is pending."""
    for _ in range(200):
        look = await stage.service.look(handle.id)
        if look.attempt == 0 and look.waits_for == 0 and look.history_length > 3:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{handle.id} does not come to rest")


def everybody_loses_their_points(stage: Stage) -> dict[str, int]:
    """Customers with points, then one Signal too many to each; answers what each should have again.

    123 has 500 points before. 1 and 2 get a good Signal after the bad one; 900 joined later and never
    got the bad one; 901 left before it.
    """
    saved = {"123": [600, -100], "1": [300], "2": [70, 30], **{str(n): [10 * n] for n in range(3, 9)}}
    points: dict[str, int] = {}

    async def customer(number: str, changes: list[int], bad: bool = True) -> None:
        handle = await stage.shop.loyalty(int(number))
        for change in changes:
            await quiet(stage, handle)
            await handle.signal("add_points" if change > 0 else "spend_points", {"points": abs(change)})
        await quiet(stage, handle)
        points[number] = sum(changes)
        if bad:
            await handle.signal("spend_points", MISTAKE)
            await quiet(stage, handle)
        if number in ("1", "2"):
            await handle.signal("add_points", {"points": 40, "note": "a good one, later"})
            await quiet(stage, handle)

    async def all_of_them() -> None:
        gone = await stage.shop.loyalty(901, 5)
        await gone.signal("leave")
        await gone.result()
        await gather([customer(number, changes) for number, changes in saved.items()])
        await customer("900", [25], bad=False)

    stage.ask(all_of_them(), 120)
    seen = {number: stage.query(number, "points") for number in points}
    assert seen == dict.fromkeys(saved, 0) | {"1": 40, "2": 40, "900": 25}, seen
    stage.until(lambda: len(stage.ask(stage.service.find("ExecutionStatus = 'Running'"))) >= len(points), "Visibility")
    return points


def orders_to_interrupt(stage: Stage, prefix: str) -> dict[str, str]:
    """Orders that clean up when they are cancelled, and one that ignores it; answers what each does."""
    does = {f"{prefix}-{n}": "clean_up" for n in range(4)} | {f"{prefix}-stubborn": "ignore"}

    async def all_of_them() -> None:
        handles = await gather([stage.shop.order(Order(name, on_cancel=on)) for name, on in does.items()])
        await gather([quiet(stage, handle) for handle in handles])

    stage.ask(all_of_them())
    query = f"WorkflowId STARTS_WITH '{prefix}-' AND ExecutionStatus = 'Running'"
    stage.until(lambda: len(stage.ask(stage.service.find(query))) == len(does), "Visibility")
    return does


def code_changed_under_orders(stage: Stage) -> dict[str, str]:
    """Orders that began on `good` and were moved to `bad`, whose code does not fit their history.

    `changed-N` fail for that; `broken-0` fails for another reason; `waiting-0` stayed on `good`.
    Answers the run of each.
    """
    troubles = {f"changed-{n}": "changed_code" for n in range(3)} | {"broken-0": "stuck", "waiting-0": "changed_code"}
    wakes = {name: ("poke",) if trouble == "stuck" else ("add", 7) for name, trouble in troubles.items()}
    runs: dict[str, str] = {}

    async def begun() -> None:
        for name, trouble in troubles.items():
            handle = await stage.shop.start("OrderProcessing", Case(name, trouble=trouble), name)
            runs[name] = handle.first_execution_run_id
            await until(lambda: validated(stage, name), f"{name} to begin")
            if name != "waiting-0":
                await stage.service.override(name, "bad")
                await handle.signal(wakes[name][0], args=list(wakes[name][1:]))

    stage.ask(begun(), 90)
    for name in troubles:
        if name != "waiting-0":
            stage.failing(name)
            cause = stage.ask(stage.service.last_failure(name))
            assert (cause == "NON_DETERMINISTIC_ERROR") == name.startswith("changed"), (name, cause)
    return runs


async def validated(stage: Stage, name: str) -> bool:
    look = await stage.service.look(name)
    return look.attempt == 0 and look.waits_for == 0 and look.history_length >= 10
