"""The state file is taken away while a run writes to it: the run stops, says where its record is, and never
claims to have succeeded; who follows its hint ends where everybody ends."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from crowd import Crowd, Growth, journal_of, records, recovery, wait

RATE = 6
pytestmark = pytest.mark.timeout(240)


def replace(journal: Path) -> None:
    other = journal.with_name("other")
    other.write_text("somebody else's\n")
    os.rename(other, journal)


HARM = {
    "deleted": lambda journal: journal.unlink(),
    "renamed": lambda journal: journal.rename(journal.with_name("old")),
    "replaced": replace,
    "its folder renamed": lambda journal: journal.parent.rename(journal.parent.with_name("old")),
    "its folder deleted": lambda journal: shutil.rmtree(journal.parent),
}


def begun(tool, harm) -> tuple[int, str]:
    """Begins a recovery and harms its journal; answers how it ended, and what it said."""
    with tool.begin("exec", recovery(tool, RATE), *tool.connection(), "--yes") as process:
        grown = Growth(journal_of(tool))
        wait(lambda: grown.by(tool, b'"outcome"'), "it to write")
        harm(journal_of(tool))
        _, said = process.communicate(timeout=60)
        return process.returncode, said


def assert_given_up(crowd: Crowd, code: int, said: str) -> None:
    assert code == 1 and "cannot go on with the journal" in said, said
    assert "succeeded" not in said, said
    sent = sum(map(len, crowd.resets().values()))
    assert sent < len(crowd.names), f"{sent} resets, and the journal was gone"


@pytest.mark.parametrize("how", HARM)
def test_who_follows_the_hint_goes_on(address, tool_for, how):
    with Crowd(address, "taken", running=25, completed=5) as crowd:
        tool = tool_for(crowd)
        code, said = begun(tool, HARM[how])
        assert_given_up(crowd, code, said)
        # `hint: mv A B, then: runbook resume C`, or `hint: runbook resume C`
        hint = re.search(r"hint: (?:(mv .*), then: )?runbook (resume .*)", said)
        assert hint, said
        if hint[1]:
            if how == "replaced":
                assert records(journal_of(tool), "opened") == []
            subprocess.run(shlex.split(hint[1]) if how != "its folder renamed" else ["sh", "-c", with_folder(hint[1])], check=True)
        again = tool.run(*shlex.split(hint[2]), "--yes", "--rate", "200", seconds=120)
        assert again.code == 0, again
        problems = crowd.problems(tool)
        assert not problems, "\n".join([how, *problems[:40]])


def with_folder(move: str) -> str:
    """As a person would: the folder is gone with its file."""
    return f"mkdir -p {shlex.quote(str(Path(shlex.split(move)[2]).parent))} && {move}"


def test_nobody_goes_on_with_one_that_was_cut(address, tool_for):
    with Crowd(address, "cut-off", running=30) as crowd:
        tool = tool_for(crowd)

        def cut(journal: Path) -> None:
            lines = journal.read_bytes().splitlines(keepends=True)
            os.truncate(journal, sum(map(len, lines[: len(lines) // 2])))

        code, said = begun(tool, cut)
        assert_given_up(crowd, code, said)
        assert "somebody cut the file" in said and "restore" in said, said
        before = crowd.resets()
        refused = tool.run("resume", tool.run_id(), "--yes", seconds=60)
        assert refused.code == 4 and "is damaged" in refused.stderr, refused
        assert crowd.resets() == before and all(len(made) <= 1 for made in before.values())


def test_a_right_to_write_that_is_taken_meanwhile_changes_nothing(address, tool_for):
    """The file is open: what is recorded stays recorded, at its path."""
    with Crowd(address, "read-only", running=20) as crowd:
        tool = tool_for(crowd)
        code, said = begun(tool, lambda journal: (journal.chmod(0o400), journal.parent.chmod(0o500)))
        journal_of(tool).parent.chmod(0o700)
        assert code == 0, said
        problems = crowd.problems(tool)
        assert not problems, "\n".join(problems[:40])
