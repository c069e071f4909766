"""`rehearse --interactive` through a pseudo-terminal: a person practises the flagship. No server."""

import os
import time

import pytest

from terminal import Terminal
from tool import FLAGSHIP, Tool

pytestmark = pytest.mark.timeout(240)
REHEARSE = ["rehearse", str(FLAGSHIP), "--scenario", "all_goes_well", "--interactive"]


@pytest.fixture
def tool(tmp_path):
    return Tool(None, tmp_path / "tool")


def test_who_answers_as_in_earnest_reaches_the_end(tool):
    with Terminal(tool, *REHEARSE) as terminal:
        code = terminal.talk(180)
    assert code == 0, terminal.screen[-4000:]
    assert len(terminal.questions) >= 4, terminal.questions
    assert any("Type" in question for question in terminal.questions), terminal.questions
    assert "all_goes_well" in terminal.screen, terminal.screen[-4000:]


def test_who_declines_sees_what_does_not_hold(tool):
    with Terminal(tool, *REHEARSE) as terminal:
        code = terminal.talk(180, yes="n")
    assert code == 1, terminal.screen[-4000:]
    assert len(terminal.questions) == 1, terminal.questions


def test_ctrl_c_at_a_question_ends_the_rehearsal(tool):
    with Terminal(tool, *REHEARSE) as terminal:
        until = time.monotonic() + 60
        while terminal.asked() is None:
            assert terminal.read(0.5) and time.monotonic() < until, terminal.screen[-4000:]
        os.write(terminal.control, b"\x03")
        while terminal.read(0.5):
            assert time.monotonic() < until, terminal.screen[-4000:]
        assert terminal.process.wait(30) == 130, terminal.screen[-4000:]


def test_without_a_terminal_it_says_so(tool):
    refused = tool.run(*REHEARSE)
    assert refused.code == 2 and "--interactive asks at a terminal" in refused.stderr, refused
