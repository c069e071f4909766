"""The tool as an extension of Temporal's own CLI: `temporal runbook …`, with that CLI's profile, flags and exit codes.

The CLI has extensions since its version 1.6; Go cannot install those by their module, so the suite's own CLI may have
none. RUNBOOK_EXTENDED_CLI names one that has them.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import server
import temporal_cli
import tool as tools

pytestmark = pytest.mark.timeout(180)

RUNBOOK = """schema: runbook/v1
name: look
steps:
  - {{ id: begin, action: workflows.count, with: {{ query: "ExecutionStatus = 'Running'" }} }}
  - {step}
"""
ASKS = "{ id: asked, action: manual.task, with: { instructions: Look. } }"
WAITS = "{ id: waits, action: wait, with: { for: 10m } }"


class Extended:
    """A CLI that finds `temporal-runbook` in its PATH; nothing of the user's is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        beside = tools.binary().parent
        self.environment = {"PATH": f"{beside}:{os.environ['PATH']}", "HOME": str(folder), "NO_COLOR": "1"}
        self.program = os.environ.get("RUNBOOK_EXTENDED_CLI") or str(temporal_cli.binary())

    def begin(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=server.die_with_parent,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.begin(*arguments)
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, output

    def records(self) -> list[dict]:
        """The bodies of the only run's records, so far."""
        journals = list((self.folder / ".local/state/runbook").glob("rb-*.jsonl"))
        lines = [line for journal in journals for line in journal.read_text().splitlines(keepends=True)]
        batches = [json.loads(line)["records"] for line in lines if line.endswith("\n")]
        return [record["body"] for batch in batches for record in batch]

    def waits(self) -> bool:
        """Whether the run is at its last step."""
        return any(body["kind"] == "step_started" and body["place"]["step"] == "waits" for body in self.records())


@pytest.fixture
def cli(tmp_path: Path) -> Extended:
    extended = Extended(tmp_path)
    if "runbook/v1" not in extended.run("runbook", "--version")[1]:
        pytest.skip("this temporal CLI has no extensions: RUNBOOK_EXTENDED_CLI names one that has")
    return extended


def test_its_profile_flags_and_exit_codes_are_handed_through(cli, stage):
    (cli.folder / "look.yaml").write_text(RUNBOOK.format(step=ASKS))
    profile = f'[profile.here]\naddress = "{stage.address}"\nnamespace = "{stage.namespace}"\n'
    (cli.folder / "there.toml").write_text(profile)
    given = ["--config-file", str(cli.folder / "there.toml"), "--profile", "here"]

    code, output = cli.run(*given, "runbook", "connection", "-o", "json")
    assert code == 0 and stage.namespace in output, output
    code, output = cli.run(*given, "runbook", "plan", "look.yaml")
    assert code == 0, output
    code, output = cli.run("runbook", "plan", "look.yaml", *given)
    assert code == 0, output
    code, output = cli.run(*given, "runbook", "exec", "look.yaml")
    assert code == 3 and f"namespace {stage.namespace}" in output, output
    code, output = cli.run("runbook", "validate", "none.yaml")
    assert code == 2, output
    code, output = cli.run("help", "runbook", "exec")
    assert code == 0 and "Usage: temporal runbook exec" in output, output
    code, output = cli.run("__complete", "runbook", "exec", "look.yaml", "--until", "")
    assert code == 0 and "asked" in output, output


def test_ctrl_c_ends_a_run_in_its_own_way_although_the_cli_kills_its_extension(cli, stage):
    (cli.folder / "look.yaml").write_text(RUNBOOK.format(step=WAITS))
    where = ["--address", stage.address, "--namespace", stage.namespace]
    process = cli.begin("runbook", "exec", "look.yaml", *where)
    try:
        began = time.monotonic()
        while not cli.waits():
            assert time.monotonic() - began < 60
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        # Until what stands behind it has ended, too.
        output, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert cli.records()[-1]["kind"] == "interrupted", output
