"""Activities in the SDK's test environment."""

import threading
from dataclasses import replace

import pytest
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment

from shop.activities import perform, pick_items


def test_an_effect_says_what_it_did():
    assert ActivityEnvironment().run(perform, "charge") == "charge done"


def test_a_long_activity_heartbeats_its_progress():
    heartbeats: list[float] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = heartbeats.append
    assert environment.run(pick_items, "o-1", 0.6) == "o-1 picked"
    assert heartbeats == pytest.approx([0.2, 0.4, 0.6])


def test_a_later_attempt_goes_on_after_the_last_heartbeat():
    heartbeats: list[float] = []
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_details=[60.0])
    environment.on_heartbeat = heartbeats.append
    environment.run(pick_items, "o-1", 60.2)
    assert heartbeats == pytest.approx([60.2])


def interrupted(interrupt: str) -> BaseException:
    """How a long Activity ends when the environment's method is called at its first heartbeat."""
    environment = ActivityEnvironment()
    beating = threading.Event()
    environment.on_heartbeat = lambda *_: beating.set()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            environment.run(pick_items, "o-1", 30)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert beating.wait(10)
    getattr(environment, interrupt)()
    thread.join(10)
    assert not thread.is_alive()
    return ended[0]


def test_a_cancelled_activity_ends_as_cancelled():
    assert isinstance(interrupted("cancel"), CancelledError)


def test_a_stopping_worker_ends_an_activity_so_that_another_goes_on():
    error = interrupted("worker_shutdown")
    assert isinstance(error, ApplicationError) and not error.non_retryable, repr(error)
