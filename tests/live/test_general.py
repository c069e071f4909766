"""`command.run` and a form that a person fills in, around real Workflows."""

import pytest

from shop.models import Customer
from steps import step
from terminal import Terminal

pytestmark = pytest.mark.timeout(180)

# Prints JSON, and touches a file so that a test sees whether it ran.
PROGRAM = """\
import json, os, sys
open(sys.argv[1], "a").write("ran\\n")
print(json.dumps({"ids": sys.argv[2:], "shell": os.environ.get("SHELL_LIKE", ""), "home": "HOME" in os.environ}))
"""


def command(bench, effect: str, *arguments: str, **more: object) -> dict:
    program, ran = bench.tool.folder / "program.py", bench.tool.folder / "ran.txt"
    program.write_text(PROGRAM)
    argv = ["python3", str(program), str(ran), *arguments]
    return step("who", "command.run", argv=argv, effect=effect, output="json", **more)


def times(bench) -> int:
    ran = bench.tool.folder / "ran.txt"
    return len(ran.read_text().splitlines()) if ran.exists() else 0


def test_what_a_program_prints_names_the_workflows_of_a_later_step(stage, bench):
    for name in ("p 1", "p;2"):
        stage.ask(stage.shop.start("LoyaltyProgram", Customer(1), name))
    stage.until(lambda: len(stage.ask(stage.service.find("WorkflowId IN ('p 1', 'p;2')"))) == 2, "Visibility")
    gift = step("gift", "workflows.signal", select={"ids": "${{ steps.who.json.ids }}"}, name="add_points", input={"points": 5})
    performed = bench.perform(command(bench, "read", "p 1", "p;2", env={"SHELL_LIKE": "$(touch x)"}), gift)
    assert performed.states() == {"p 1": "done", "p;2": "done"}, performed
    assert [stage.query(name, "points") for name in ("p 1", "p;2")] == [5, 5]
    assert not (bench.tool.folder / "x").exists()
    stage.terminate("p 1", "p;2")


@pytest.mark.parametrize("effect, runs", [("read", 1), ("idempotent", 0), ("non_idempotent", 0)])
def test_only_a_program_that_reads_runs_in_a_dry_run(bench, effect, runs):
    dry = bench.tool.run("exec", bench.write(command(bench, effect, "x")), *bench.tool.connection(), "--dry-run")
    assert dry.code == 0, dry
    assert times(bench) == runs, dry


def test_a_program_that_writes_is_asked_about_and_not_run_again(bench):
    path = bench.write(command(bench, "non_idempotent", "x"))
    parked = bench.tool.run("exec", path, *bench.tool.connection())
    assert parked.code == 3 and times(bench) == 0, parked
    killed = bench.tool.run("resume", bench.tool.run_id(), "--yes", RUNBOOK_TEST_KILL="after_effect:1")
    assert killed.code == -9 and times(bench) == 1, killed
    bench.tool.run("resume", bench.tool.run_id(), "--yes")
    assert times(bench) == 1


def test_a_program_that_fails_halts_with_its_words(bench):
    broken = step("who", "command.run", argv=["python3", "-c", "import sys; sys.exit('no such customer')"], effect="read")
    result = bench.tool.run("exec", bench.write(broken), *bench.tool.connection())
    assert result.code == 1 and "no such customer" in result.stdout + result.stderr, result


def test_a_program_that_hangs_is_ended_with_its_children(bench, stage):
    pid = bench.tool.folder / "pid"
    nested = f"import subprocess, time; p = subprocess.Popen(['sleep', '300']); open({str(pid)!r}, 'w').write(str(p.pid)); time.sleep(300)"
    hung = step("who", "command.run", argv=["python3", "-c", nested], effect="read", timeout="2s")
    result = bench.tool.run("exec", bench.write(hung), *bench.tool.connection(), seconds=45)
    assert result.code == 1, result

    def gone() -> bool:
        try:
            with open(f"/proc/{pid.read_text()}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    stage.until(gone, "the program's child to end", 10)


def test_a_form_says_who_gets_how_much(stage, bench):
    stage.ask(stage.shop.start("LoyaltyProgram", Customer(1), "form-1"))
    stage.until(lambda: stage.ask(stage.service.find("WorkflowId = 'form-1'")), "Visibility")
    form = {"customer": {"type": "string", "description": "Who"}, "amount": {"type": "integer", "minimum": 1}}
    path = bench.write(
        step("task", "manual.task", instructions="Decide who gets how much.", form=form),
        step("gift", "workflows.signal", select={"ids": ["${{ steps.task.form.customer }}"]}, name="add_points",
             input={"points": "${{ steps.task.form.amount }}"}),
    )
    with Terminal(bench.tool, "exec", path, *bench.tool.connection()) as terminal:
        code = terminal.talk(60, fields={"customer": "form-1", "amount": "17"})
    assert code == 0, terminal.screen[-4000:]
    assert stage.query("form-1", "points") == 17
    shown = bench.tool.run("show", bench.tool.run_id())
    assert "form-1" in shown.stdout and "17" in shown.stdout, shown
    stage.terminate("form-1")
