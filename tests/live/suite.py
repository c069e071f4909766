"""`python suite.py [pytest arguments]`: starts the server, runs the tests, stops the server.

Modules run side by side, each in namespaces of its own; without arguments, all of them.
"""

import os
import subprocess
import sys
from pathlib import Path

import server

HERE = Path(__file__).parent
SIDE_BY_SIDE = os.environ.get("RUNBOOK_TEST_PROCESSES", "7")


def main(arguments: list[str]) -> int:
    with server.Server() as running:
        command = [sys.executable, "-B", "-m", "pytest", "-c", str(HERE / "pytest.ini")]
        command += ["--rootdir", str(HERE), "-n", SIDE_BY_SIDE, "--dist", "loadscope", "--no-loadscope-reorder"]
        command += ["--durations", "25", *arguments]
        process = subprocess.Popen(
            command,
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"RUNBOOK_TEST_ADDRESS": running.address},
            start_new_session=True,
            preexec_fn=server.die_with_parent,
        )
        try:
            return process.wait()
        finally:
            server.stop_group(process)


if __name__ == "__main__":
    server.stop_on_signals()
    sys.exit(main(sys.argv[1:]))
