"""The official `temporal` command works against `runbook simulator` as against the real server.

Each command runs on both, after the same commands before it, and the answers must be alike but for
ids, times and what `DIFFERS` gives a reason for. The real side is a namespace with Python Workers.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from simulated import Simulated, differences, plain, table
from stage import Stage
from temporal_cli import Answer, TemporalCli

pytestmark = pytest.mark.timeout(240)

RUNBOOK = {
    "schema": "runbook/v1",
    "name": "shop",
    "title": "A shop to look at",
    "steps": [{"id": "count", "action": "workflows.count", "with": {"query": "ExecutionStatus = 'Running'"}}],
}
QUEUE = "shop"
WORLD = {
    "drainage": {"grace": "10s", "refresh": "5s"},
    "poller_history_ttl": "75s",
    "deployments": {
        "orders": {
            "current": "good",
            "versions": {build: {"task_queues": [QUEUE], "behaves": "idle"} for build in ("good", "bad")},
        }
    },
}
REHEARSAL = {"schema": "rehearsal/v1", "world": WORLD, "scenarios": {"shop": {"title": "Open", "expect": {}}}}

# What may differ, by the end of a path, and why. What does not differ any more must go from here.
WORKERS = "Python Workers and simulated ones have names and marks of their own"
COUNTERS = "the simulator keeps no internal counters"
DIFFERS = {
    ".taskId": COUNTERS,
    ".stateTransitionCount": COUNTERS,
    ".historySizeBytes": COUNTERS,
    ".executionDuration": "how long a test waited",
    "StartedEventAttributes.identity": WORKERS,
    "CompletedEventAttributes.identity": WORKERS,
    ".sdkMetadata": WORKERS,
    ".meteringMetadata": WORKERS,
    "TaskStartedEventAttributes.requestId": WORKERS,
    ".workflowTaskScheduledEventAttributes.taskQueue.kind": WORKERS,
    ".workflowTaskScheduledEventAttributes.taskQueue.name": WORKERS,
    ".workflowTaskScheduledEventAttributes.taskQueue.normalName": WORKERS,
}


class Pair:
    """The same commands on both, and whether they answer alike."""

    def __init__(self, stage: Stage, real: TemporalCli, simulated: TemporalCli) -> None:
        self.stage, self.real, self.simulated = stage, real, simulated
        self.used: set[str] = set()

    def customers(self, group: str, count: int = 1) -> list[str]:
        """Starts so many, which wait for Signals, on both; `group` begins their Workflow IDs."""
        names = [f"{group}-{n}" for n in range(count)]
        given = ("--type", "LoyaltyProgram", "--task-queue", QUEUE, "--input", '{"user_id": 1, "points": 0}')
        for name in names:
            self.both("workflow", "start", "--workflow-id", name, *given)
        for name in names:
            self.calm(name, 4)
            self.stage.until(lambda: self.shown(self.real, name) and self.shown(self.simulated, name), f"{name} to be listed")
        return names

    def shown(self, where: TemporalCli, name: str) -> bool:
        return bool(where.run("workflow", "list", "--query", f"WorkflowId = '{name}'", "--output", "json").data())

    def calm(self, name: str, events: int) -> None:
        """Waits until both have so many events, at least, and no pending task."""
        for where in (self.real, self.simulated):
            self.stage.until(lambda: is_calm(where, name, events), f"{name} to be calm")

    def ended(self, name: str) -> None:
        for where in (self.real, self.simulated):
            self.stage.until(lambda: "closeTime" in described(where, name)["workflowExecutionInfo"], f"{name} to end")

    def same_length(self, name: str) -> bool:
        looks = [described(where, name) for where in (self.real, self.simulated)]
        infos = [each["workflowExecutionInfo"] for each in looks]
        idle = all("pendingWorkflowTask" not in each for each in looks)
        reset = all(each["execution"]["runId"] != each["firstRunId"] for each in infos)
        return idle and reset and infos[0]["historyLength"] == infos[1]["historyLength"]

    def batch(self, *arguments: str) -> None:
        """Starts a job on both, waits for its end, and compares what is said of it."""
        started = [read(each) for each in self.both(*arguments, "--output", "json")]
        ends = []
        for where, job in zip((self.simulated, self.real), started):
            of = ("batch", "describe", "--job-id", job["batchJobId"])
            self.stage.until(lambda: where.run(*of, "--output", "json").data().get("closeTime"), "the job's end")
            # One job at a time is counted by Visibility, which shows its end later than the job itself.
            self.stage.until(lambda: listed_as_over(where, job["batchJobId"]), "the job's end to be listed")
            ends.append((read(where.run(*of, "--output", "json")), table(where.run(*of).stdout)))
        self.alike(differences(ends[0][0], ends[1][0]), arguments)
        assert ends[0][1] == ends[1][1], ends

    def both(self, *arguments: str, code: int = 0) -> tuple[Answer, Answer]:
        """Runs it on both; they end alike."""
        answers = self.simulated.run(*arguments), self.real.run(*arguments)
        assert [each.code for each in answers] == [code, code], "\n".join(map(str, answers))
        return answers

    def data(self, *arguments: str) -> tuple[Any, Any]:
        """As JSON, alike; answers both."""
        simulated, real = (read(each) for each in self.both(*arguments, "--output", "json"))
        self.alike(differences(simulated, real), arguments)
        return simulated, real

    def text(self, *arguments: str, ordered: bool = True) -> None:
        """As people see it."""
        simulated, real = (table(each.stdout) for each in self.both(*arguments))
        if not ordered:
            simulated, real = sorted(simulated), sorted(real)
        assert simulated == real, f"temporal {' '.join(arguments)}:\n{simulated}\n{real}"

    def refused(self, *arguments: str) -> None:
        """Both say the same words."""
        simulated, real = (words(each.stderr) for each in self.both(*arguments, code=1))
        assert simulated == real, " ".join(arguments)

    def alike(self, found: list[str], arguments: tuple[str, ...]) -> None:
        """Nothing is left of `found` but what `DIFFERS` names."""
        left = []
        for line in found:
            path = line.split(": ")[0]
            names = [name for name in DIFFERS if path.endswith(name)]
            self.used.update(names)
            left += [] if names else [line]
        assert not left, f"temporal {' '.join(arguments)}\n" + "\n".join(left)


def listed_as_over(where: TemporalCli, job: str) -> bool:
    jobs = {each["jobId"]: each["state"] for each in where.run("batch", "list", "--output", "json").data()}
    return jobs.get(job, "BATCH_OPERATION_STATE_RUNNING") != "BATCH_OPERATION_STATE_RUNNING"


def read(answer: Answer) -> Any:
    """The JSON value, as far as two services can agree about it: keys that are ids become one name."""
    return same_keys(json.loads(answer.stdout)) if answer.stdout.strip() else None


def same_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(key): same_keys(each) for key, each in value.items()}
    if isinstance(value, list):
        each = [same_keys(one) for one in value]
        return sorted(each, key=str) if each and has_no_order(each[0]) else each
    return value


def has_no_order(element: Any) -> bool:
    """Whether the service answers such a list in no order: Versions, and their task queues."""
    return isinstance(element, dict) and ("BuildID" in element or set(element) == {"name", "type"})


def described(where: TemporalCli, name: str) -> Any:
    return where.run("workflow", "describe", "--workflow-id", name, "--output", "json").data()


def is_calm(where: TemporalCli, name: str, events: int) -> bool:
    look = described(where, name)
    return int(look["workflowExecutionInfo"]["historyLength"]) >= events and "pendingWorkflowTask" not in look


def words(stderr: str) -> str:
    """Without the time of the log line."""
    return stderr.split("msg=", 1)[-1].strip()


@pytest.fixture(scope="module")
def pair(address, tmp_path_factory):
    """Both, with two customers that were terminated."""
    folder = tmp_path_factory.mktemp("simulator")
    (folder / "shop.yaml").write_text(json.dumps(RUNBOOK))
    (folder / "shop.rehearsal.yaml").write_text(json.dumps(REHEARSAL))
    with (
        Stage(address, "cli", builds=("good", "bad"), versioned=True) as stage,
        Simulated(folder / "shop.yaml", "shop", folder) as simulated,
    ):
        made = Pair(stage, TemporalCli(stage, folder), TemporalCli(simulated, folder))
        for name in made.customers("gone", 2):
            made.both("workflow", "terminate", "--workflow-id", name, "--reason", "INC-0")
        yield made


TO_BAD = ("--versioning-override-behavior", "pinned", "--versioning-override-deployment-name", "orders",
          "--versioning-override-build-id")
ORDERS = ("--deployment-name", "orders")


def test_lists_and_counts(pair):
    pair.customers("lists", 3)
    mine = "WorkflowId STARTS_WITH 'lists-'"
    simulated, _ = pair.data("workflow", "list", "--query", mine)
    assert len(simulated) == 3
    simulated, _ = pair.data("workflow", "list", "--query", mine, "--limit", "2")
    assert len(simulated) == 2
    pair.text("workflow", "list", "--query", f"{mine} AND ExecutionStatus = 'Running'")
    pair.data("workflow", "list", "--query", "WorkflowId STARTS_WITH 'gone-' AND ExecutionStatus = 'Terminated'")
    pair.data("workflow", "list", "--query", "WorkflowId = 'nobody'")
    simulated, _ = pair.data("workflow", "count", "--query", mine)
    assert simulated["count"] == "3"
    pair.text("workflow", "count", "--query", mine)
    grouped = "WorkflowId STARTS_WITH 'lists-' OR WorkflowId STARTS_WITH 'gone-' GROUP BY ExecutionStatus"
    pair.data("workflow", "count", "--query", grouped)
    pair.text("workflow", "count", "--query", grouped)
    pair.refused("workflow", "list", "--query", "Nothing = 1")
    pair.refused("workflow", "count", "--query", "WorkflowId = 'a' GROUP BY WorkflowType")
    for answer in pair.both("workflow", "list", "--query", "WorkflowId =", code=1):
        assert "invalid query: " in answer.stderr, answer  # how grammar is explained is each one's own


def test_describes_and_shows(pair):
    [name] = pair.customers("describes")
    for each in (name, "gone-0"):
        pair.data("workflow", "describe", "--workflow-id", each)
    pair.data("workflow", "show", "--workflow-id", name)
    pair.text("workflow", "show", "--workflow-id", name)
    pair.refused("workflow", "describe", "--workflow-id", "nobody")
    pair.refused("workflow", "show", "--workflow-id", "nobody")


def test_signals_cancels_and_terminates(pair):
    [name] = pair.customers("signals")
    pair.text("workflow", "signal", "--workflow-id", name, "--name", "add_points", "--input", '{"points": 3}')
    pair.calm(name, 8)
    pair.data("workflow", "show", "--workflow-id", name)
    pair.text("workflow", "cancel", "--workflow-id", name)
    pair.ended(name)
    pair.data("workflow", "show", "--workflow-id", name, "--follow")
    pair.text("workflow", "show", "--workflow-id", name, "--follow")
    pair.data("workflow", "describe", "--workflow-id", name)
    pair.text("workflow", "cancel", "--workflow-id", name)  # a success, although it is closed
    for command in (("signal", "--name", "add_points"), ("terminate", "--reason", "r")):
        pair.refused("workflow", command[0], "--workflow-id", name, *command[1:])
        pair.refused("workflow", command[0], "--workflow-id", "nobody", *command[1:])
    pair.refused("workflow", "cancel", "--workflow-id", "nobody")


def test_terminates(pair):
    [name] = pair.customers("terminates")
    pair.text("workflow", "terminate", "--workflow-id", name, "--reason", "INC-1")
    pair.data("workflow", "show", "--workflow-id", name)
    pair.data("workflow", "describe", "--workflow-id", name)


def test_resets_one(pair):
    first, last, moved = pair.customers("resets", 3)
    pair.data("workflow", "reset", "--workflow-id", first, "--type", "FirstWorkflowTask", "--reason", "INC-1")
    pair.data("workflow", "reset", "--workflow-id", last, "--type", "LastWorkflowTask", "--reason", "INC-1")
    pair.data("workflow", "reset", "--workflow-id", last, "--event-id", "4", "--reapply-exclude", "All", "--reason", "INC-2")
    pair.data("workflow", "reset", "with-workflow-update-options", "--workflow-id", moved, "--type", "LastWorkflowTask",
              "--reason", "INC-1", *TO_BAD, "bad")
    for name, events in ((first, 7), (last, 7), (moved, 8)):
        pair.calm(name, events)
        pair.data("workflow", "show", "--workflow-id", name)
        pair.data("workflow", "describe", "--workflow-id", name)
    pair.refused("workflow", "reset", "--workflow-id", last, "--event-id", "400", "--reason", "INC-2")
    pair.refused("workflow", "reset", "--workflow-id", last, "--type", "LastContinuedAsNew", "--reason", "INC-2")
    pair.refused("workflow", "reset", "--workflow-id", "nobody", "--type", "LastWorkflowTask", "--reason", "INC-2")
    pair.refused("workflow", "reset", "with-workflow-update-options", "--workflow-id", moved, "--type", "LastWorkflowTask",
                 "--reason", "INC-1", *TO_BAD, "nothing")


def test_updates_the_options_of_one(pair):
    [name] = pair.customers("options")
    of = ("workflow", "update-options", "--workflow-id")
    pair.data(*of, name, *TO_BAD, "bad")
    pair.data("workflow", "describe", "--workflow-id", name)
    pair.data(*of, name, "--versioning-override-behavior", "auto_upgrade")
    pair.data("workflow", "describe", "--workflow-id", name)
    pair.data(*of, name, "--versioning-override-behavior", "unspecified")
    pair.data("workflow", "show", "--workflow-id", name)
    pair.refused(*of, name, *TO_BAD, "nothing")
    pair.refused(*of, "nobody", *TO_BAD, "bad")


def test_batches(pair):
    customers = pair.customers("batches", 4)
    mine = ("--query", "WorkflowId STARTS_WITH 'batches-' AND ExecutionStatus = 'Running'", "--reason", "INC-1", "--yes")
    pair.batch("workflow", "signal", *mine, "--name", "add_points", "--input", '{"points": 1}')
    pair.calm(customers[0], 8)
    pair.batch("workflow", "update-options", *mine, *TO_BAD, "bad")
    pair.batch("workflow", "reset", *mine, "--type", "LastWorkflowTask")
    for name in customers:
        pair.stage.until(lambda: pair.same_length(name), f"{name} to be reset on both")
    pair.data("workflow", "show", "--workflow-id", customers[0])
    pair.batch("workflow", "cancel", *mine)
    for name in customers:
        pair.ended(name)
    pair.batch("workflow", "terminate", *mine)
    pair.text("batch", "list")
    pair.data("batch", "list")
    for command in ("describe", "terminate"):
        reason = () if command == "describe" else ("--reason", "r")
        pair.refused("batch", command, "--job-id", "nothing", *reason)


def test_deployments(pair):
    """One story: ramp, a ramp of 0 %, unset, ramp unversioned Workers, current and back, what cannot be deleted."""
    ramp = ("worker", "deployment", "set-ramping-version", *ORDERS, "--yes")
    current = ("worker", "deployment", "set-current-version", *ORDERS, "--yes")
    for step in (
        (*ramp, "--build-id", "bad", "--percentage", "10"),
        (*ramp, "--build-id", "bad", "--delete"),
        (*ramp, "--delete"),
        (*ramp, "--unversioned", "--percentage", "10"),
        (*ramp, "--delete"),
        (*current, "--build-id", "bad"),
        (*current, "--build-id", "good"),
        ("worker", "deployment", "update-metadata-version", *ORDERS, "--build-id", "bad", "--metadata", 'ticket="INC-1"'),
        ("worker", "deployment", "update-metadata-version", *ORDERS, "--build-id", "bad", "--remove-entries", "ticket"),
        ("worker", "deployment", "manager-identity", "set", *ORDERS, "--self", "--yes"),
        ("worker", "deployment", "manager-identity", "unset", *ORDERS, "--yes"),
    ):
        pair.text(*step)
        pair.data("worker", "deployment", "describe", "--name", "orders")
        pair.text("worker", "deployment", "describe", "--name", "orders", ordered=False)
        pair.data("worker", "deployment", "list")
        for build in ("good", "bad"):
            pair.data("worker", "deployment", "describe-version", *ORDERS, "--build-id", build)
    delete = ("worker", "deployment", "delete-version", *ORDERS, "--build-id")
    for step in (
        (*ramp, "--build-id", "nothing", "--percentage", "10"),
        (*ramp, "--build-id", "good", "--percentage", "10"),
        (*current, "--build-id", "nothing"),
        ("worker", "deployment", "describe", "--name", "nothing"),
        ("worker", "deployment", "describe-version", *ORDERS, "--build-id", "nothing"),
        (*delete, "good"),
        (*delete, "bad"),
        (*delete, "bad", "--skip-drainage"),
        ("worker", "deployment", "delete", "--name", "orders"),
    ):
        pair.refused(*step)


def test_the_cluster_and_what_is_not_served(pair):
    pair.text("operator", "cluster", "health")
    pair.data("operator", "cluster", "system")
    pair.text("operator", "cluster", "system")
    pair.data("operator", "search-attribute", "list")
    pair.both("operator", "cluster", "describe")
    pair.both("operator", "namespace", "describe")
    pair.both("operator", "namespace", "list")
    refused = pair.simulated.run("schedule", "list")
    assert refused.code == 1, refused
    assert "the simulator does not serve temporal.api.workflowservice.v1.WorkflowService/ListSchedules" in refused.stderr, refused


def test_nothing_is_said_to_differ_that_does_not(pair):
    """The last of the module: every line of the table was needed."""
    assert set(DIFFERS) == pair.used
