"""The flagship through a pseudo-terminal, its prompts answered as a person would."""

import pytest

from checks import assert_bad_is_gone, assert_recovered
from terminal import Terminal
from tool import INCIDENT, bad_workers_stop_when_drained

WORLD = {"closing": False}


@pytest.mark.timeout(900)
def test_a_person_answers_the_prompts(world, world_tool):
    with Terminal(world_tool, "exec", *world_tool.flagship()) as terminal, bad_workers_stop_when_drained(world):
        code = terminal.talk(600)
    assert code == 0, terminal.screen[-4000:]
    assert len(terminal.questions) >= 4, terminal.questions


@pytest.mark.timeout(300)
def test_then_everything_is_recovered(world):
    assert_recovered(world, INCIDENT)
    assert_bad_is_gone(world)
