"""The same, while the bad Version is still being ramped up."""

import pytest

from test_quiet import (  # noqa: F401 - the tests and their fixture, on this module's world
    test_plan_explain_and_dry_run_write_nothing,
    test_the_world_holds_enough_of_every_row,
    untouched,
)

WORLD = {"closing": False, "rollout": "ramping"}
pytestmark = pytest.mark.timeout(420)
