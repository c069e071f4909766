"""The conformance suite (tests/it/conformance) against a real server with scripted Workers.

The same test binary that `cargo test` runs; here its back end is a server of this test's own, with
shorter times and without the limit on Visibility calls. With RUNBOOK_CONFORMANCE_RECORD=1 the server's
answers become the record.
"""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

import server
from conformance_workers import Host

ROOT = Path(__file__).parents[2]
SECONDS = 420

# A long poll of seconds lets a stopped Worker be forgotten in seconds, and a live one not at all.
DYNAMIC = """
frontend.namespaceRPS: [ { value: 100000 } ]
frontend.namespaceRPS.visibility: [ { value: 100000 } ]
frontend.rps: [ { value: 100000 } ]
matching.wv.VersionDrainageStatusVisibilityGracePeriod: [ { value: 1s } ]
matching.wv.VersionDrainageStatusRefreshInterval: [ { value: 1s } ]
matching.longPollExpirationInterval: [ { value: 6s } ]
matching.PollerHistoryTTL: [ { value: 9s } ]
"""


def suite() -> Path:
    """The built test binary `it`: RUNBOOK_IT_BIN, or what cargo says."""
    if given := os.environ.get("RUNBOOK_IT_BIN"):
        return Path(given)
    command = ["cargo", "test", "--locked", "--no-run", "--test", "it", "--message-format", "json"]
    built = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=900)
    assert built.returncode == 0, "the integration tests do not build"
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    names = [each.get("executable") for each in messages if each.get("target", {}).get("name") == "it"]
    assert names and names[-1], "cargo names no test binary"
    return Path(names[-1])


@pytest.mark.timeout(1200)
def test_conformance():
    binary = suite()
    with server.Server(DYNAMIC) as running:
        code, output = asyncio.run(run(binary, running.address))
    print(output)
    assert code == 0, output[-20_000:]
    assert " 0 passed" not in output, output


async def run(binary: Path, address: str) -> tuple[int, str]:
    """Runs the suite while Workers are at hand."""
    host = Host(address)
    await host.open()
    chosen = os.environ.get("RUNBOOK_CONFORMANCE_FILTER", "conformance::")
    process = await asyncio.create_subprocess_exec(
        str(binary),
        chosen,
        "--test-threads",
        "12",
        cwd=ROOT,
        env=os.environ | {"RUNBOOK_CONFORMANCE_ADDRESS": address, "RUNBOOK_CONFORMANCE_WORKERS": host.address},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=server.die_with_parent,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        return process.returncode or 0, output.decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await host.close()
