"""What must be true of the service when everything is recovered.

Each check reads the service, never the tool's output. A check answers the problems it found, so
that one failure shows all of them.
"""

import asyncio
import time
from collections import Counter

from service import DEPLOYMENT, Look, Service, comparable, gather
from world import (
    CLOSED_OTHERS,
    CLOSED_REPLACED,
    CORRUPTED,
    EITHER,
    HEAL,
    LEAVE,
    MOVE,
    REOPEN,
    REPLACE,
    REPLACED,
    RUNNING_OTHERS,
    START_OVER,
    STARTED_OVER,
    STUCK,
    UNDO_LAST,
    Member,
    World,
)

ROWS = (REPLACED, CORRUPTED, STARTED_OVER, RUNNING_OTHERS, CLOSED_REPLACED, CLOSED_OTHERS)
FEWEST = 3
TARGET = {MOVE: "safe", START_OVER: "good", UNDO_LAST: "safe", REPLACE: "safe", REOPEN: "safe"}
PATIENCE = 60


class Problems(list):
    """What is wrong, one line each; `expect` adds one where a fact is not as it should be."""

    def expect(self, who: str, what: str, is_: object, wanted: object) -> None:
        if is_ != wanted:
            self.append(f"{who}: {what} is {is_!r}, not {wanted!r}")


def assert_recovered(world: World, incident: str) -> Counter:
    """Every Workflow of the world is recovered as its kind says, exactly once; answers counts by row."""
    problems, recovered = world.ask(_recovered(world, incident), 180)
    problems += [f"{row}: only {recovered[row]} recovered" for row in ROWS if recovered[row] < FEWEST]
    assert not problems, "\n".join(problems)
    return recovered


def assert_bad_is_gone(world: World) -> None:
    """The bad Version is deleted and routing is back on good."""
    routing = world.ask(world.service.routing())
    assert (routing["current"], routing["ramping"]) == ("good", ""), routing
    assert "bad" not in routing["versions"], routing


def assert_everything_ends(world: World) -> None:
    """Lets each Workflow finish: the right result, on the right Version. Ends the world."""
    problems = world.ask(_ends(world), 240)
    assert not problems, "\n".join(problems)


def difference(before: dict, after: dict) -> list[str]:
    """What two snapshots differ in."""
    keys = sorted(set(before) | set(after), key=str)
    return [f"{key}: {before.get(key)} → {after.get(key)}" for key in keys if before.get(key) != after.get(key)]


async def _recovered(world: World, incident: str) -> tuple[Problems, Counter]:
    runs: dict[str, list[str]] = {}
    for workflow_id, run_id in await world.service.find():
        runs.setdefault(workflow_id, []).append(run_id)
    found = await gather([_one(world, member, runs, incident) for member in world.members])
    recovered = Counter(m.row for m, problems in zip(world.members, found) if not problems)
    return Problems(line for problems in found for line in problems), recovered


async def _one(world: World, member: Member, runs: dict[str, list[str]], incident: str) -> Problems:
    problems = Problems()
    new = [run for run in runs.get(member.workflow_id, []) if run not in member.runs]
    missing = set(member.runs) - set(runs.get(member.workflow_id, []))
    problems.expect(member.workflow_id, "runs that vanished", missing, set())
    check = {
        LEAVE: _left,
        HEAL: _healed,
        MOVE: _moved,
        EITHER: _moved_or_reopened,
        START_OVER: _reset,
        UNDO_LAST: _reset,
        REOPEN: _reset,
        REPLACE: _replaced,
    }[member.recovery]
    await check(world, member, new, incident, problems)
    return problems


async def _left(world: World, member: Member, new: list[str], _: str, problems: Problems) -> None:
    problems.expect(member.workflow_id, "new runs", new, [])
    for run in member.runs:
        key = (member.workflow_id, run)
        problems.expect(member.workflow_id, "it", comparable(await world.service.look(*key)), world.before[key])


async def _healed(world: World, member: Member, new: list[str], _: str, problems: Problems) -> None:
    who = member.workflow_id
    look = await _calm(world.service, who)
    problems.expect(who, "new runs", new, [])
    problems.expect(who, "status, override, Version", (look.status, look.override, look.ran_on), ("RUNNING", "", "good"))
    await _points(world, member, problems)


async def _moved(world: World, member: Member, new: list[str], _: str, problems: Problems) -> None:
    who = member.workflow_id
    look = await _calm(world.service, who)
    problems.expect(who, "new runs", new, [])
    problems.expect(who, "run", look.run_id, member.before.run_id)
    problems.expect(who, "status, override", (look.status, look.override), ("RUNNING", "safe"))
    problems.expect(who, "newest reset", look.reset_run_id, "")
    if member.state == STUCK:
        problems.expect(who, "Version of its last task", look.ran_on, "safe")
    moves = await world.service.count_events(who, look.run_id, "WORKFLOW_EXECUTION_OPTIONS_UPDATED")
    problems.expect(who, "Overrides in its history", moves, 1)
    await _points(world, member, problems)


async def _reset(world: World, member: Member, new: list[str], incident: str, problems: Problems) -> None:
    who, target = member.workflow_id, TARGET[member.recovery]
    problems.expect(who, "new runs", len(new), 1)
    if len(new) != 1:
        return
    base = await world.service.look(who, member.before.run_id)
    closed_as = base.status if member.before.status == "RUNNING" else member.before.status
    problems.expect(who, "base's status", base.status, "TERMINATED" if member.before.status == "RUNNING" else closed_as)
    problems.expect(who, "base's newest reset", base.reset_run_id, new[0])
    made_from, reason = await world.service.reset_base(who, new[0])
    problems.expect(who, "base of the new run", made_from, base.run_id)
    problems.expect(who, f"{incident} in the reason {reason!r}", incident in reason, True)
    if member.recovery != UNDO_LAST:
        for lost in ("WORKFLOW_EXECUTION_SIGNALED", "WORKFLOW_EXECUTION_UPDATE_ACCEPTED"):
            problems.expect(who, lost, await world.service.count_events(who, new[0], lost), 0)
    await _new_run(world, member, new[0], target, problems)


async def _replaced(world: World, member: Member, new: list[str], _: str, problems: Problems) -> None:
    who = member.workflow_id
    problems.expect(who, "new runs", len(new), 1)
    if len(new) != 1:
        return
    base = await world.service.look(who, member.before.run_id)
    wanted = "TERMINATED" if member.before.status == "RUNNING" else member.before.status
    problems.expect(who, "base's status, newest reset", (base.status, base.reset_run_id), (wanted, ""))
    problems.expect(who, "first run of the chain", (await world.service.look(who)).first_run_id, new[0])
    await _new_run(world, member, new[0], "safe", problems)


async def _new_run(world: World, member: Member, run: str, target: str, problems: Problems) -> None:
    """What holds for each new run: it is current, on its target, with the old input, and works."""
    who = member.workflow_id
    look = await _calm(world.service, who)
    problems.expect(who, "current run", look.run_id, run)
    problems.expect(who, "Override", look.override, target)
    problems.expect(who, "Version of its last task", look.ran_on, target)
    problems.expect(who, "Visibility's Version", look.version, f"{DEPLOYMENT}:{target}")
    problems.expect(who, "working", look.status in ("RUNNING", "COMPLETED"), True)
    problems.expect(who, "input", await world.service.input(who, run), member.input)
    await _points(world, member, problems)


async def _moved_or_reopened(world: World, member: Member, new: list[str], incident: str, problems: Problems) -> None:
    who = member.workflow_id
    look = await _calm(world.service, who)
    problems.expect(who, "status", look.status, "COMPLETED")
    if member.kind.case["trouble"] == "timer":
        problems.expect(who, "new runs", new, [])
    else:
        await _reset_after_loss(world, member, new, incident, problems)


async def _reset_after_loss(world: World, member: Member, new: list[str], incident: str, problems: Problems) -> None:
    """It timed out, moved or not; either way it was reopened once."""
    who = member.workflow_id
    problems.expect(who, "new runs", len(new), 1)
    if len(new) == 1:
        base = await world.service.look(who, member.before.run_id)
        problems.expect(who, "base's status, newest reset", (base.status, base.reset_run_id), ("TIMED_OUT", new[0]))
        await _new_run(world, member, new[0], "safe", problems)


async def _points(world: World, member: Member, problems: Problems) -> None:
    handle = world.service.client.get_workflow_handle(member.workflow_id)
    try:
        state = await asyncio.wait_for(handle.query("state"), PATIENCE)
    except Exception as error:  # noqa: BLE001 - any failure to answer is the finding
        problems.append(f"{member.workflow_id}: does not answer a query: {error!r}")
        return
    problems.expect(member.workflow_id, "points", state["points"], member.points)


async def _calm(service: Service, workflow_id: str) -> Look:
    """The current run when nothing is pending, or as it is after a minute."""
    until = time.monotonic() + PATIENCE
    while True:
        look = await service.look(workflow_id)
        if (look.attempt == 0 and look.waits_for == 0) or time.monotonic() > until:
            return look
        await asyncio.sleep(0.5)


async def _ends(world: World) -> Problems:
    children = [each for each in world.members if each.workflow_id.endswith("-child")]
    others = [each for each in world.members if not each.workflow_id.endswith("-child")]
    found = await gather([_end(world, each) for each in children], at_once=40)
    found += await gather([_end(world, each) for each in others], at_once=40)
    return Problems(line for problems in found for line in problems)


async def _end(world: World, member: Member) -> Problems:
    problems = Problems()
    who = member.workflow_id
    look = await world.service.look(who)
    if look.status == "RUNNING":
        await world.service.client.get_workflow_handle(who).signal("finish")
    elif member.recovery == LEAVE:
        return problems
    try:
        handle = world.service.client.get_workflow_handle(who, run_id=look.run_id)
        result = await asyncio.wait_for(handle.result(), PATIENCE)
    except Exception as error:  # noqa: BLE001 - any end but a result is the finding
        problems.append(f"{who}: does not end well: {error!r}")
        return problems
    if member.recovery != LEAVE:
        case = member.kind.case
        amount = 120 if member.kind.type == "Billing" else case.get("amount", 100)
        problems.expect(who, "result", (result["amount"], result["points"]), (amount, member.points))
        steps = result["steps"]
        problems.expect(who, "steps", (steps[0], steps[-1]), ("validate", "settle"))
    return problems
