"""Handlers as plain objects, and what a Worker will register."""

import pytest
from temporalio import activity, workflow

from shop import activities, release, workflows
from shop.models import Customer, Meter, Order, OrderCancellation, PointsChange
from shop.workflows.chains import MeterReading
from shop.workflows.loyalty import LoyaltyProgram
from shop.workflows.orders import OrderProcessingWorkflow


@pytest.fixture(autouse=True)
def good_again():
    yield
    release.choose(release.GOOD)


def name_of(kind: type) -> str:
    return workflow._Definition.must_from_class(kind).name


def test_every_type_and_activity_has_its_own_name():
    types = [name_of(each) for each in workflows.ALL]
    assert len(set(types)) == len(types)
    assert {"LoyaltyProgram", "OrderProcessingWorkflow", "OrderProcessing", "Checkout"} <= set(types)
    names = [activity._Definition.must_from_callable(each).name for each in activities.ALL]
    assert sorted(names) == ["perform", "pick_items"]


def test_points_are_the_sum_of_the_signals_and_never_below_zero():
    program = LoyaltyProgram(Customer(123))
    program.add_points(PointsChange(300))
    program.add_points(PointsChange(250, "birthday"))
    program.spend_points(PointsChange(50))
    assert (program.points(), program.account()) == (500, {"user_id": 123, "points": 500})
    program.spend_points(PointsChange(501))
    assert program.points() == 0


def test_an_order_keeps_why_it_was_cancelled():
    order = OrderProcessingWorkflow(Order("o-1"))
    assert order.state()["cancelled_because"] is None
    order.cancel_order(OrderCancellation("Product recall"))
    assert order.state()["cancelled_because"] == "Product recall"


def test_a_chain_begins_with_the_sum_so_far():
    reading = MeterReading(Meter("m-1", total=7, generation=2))
    reading.read(3)
    assert reading.state() == {"total": 10, "generation": 2}


@pytest.mark.parametrize("name, bad, safe", [("good", False, False), ("bad", True, False), ("safe", False, True)])
def test_a_process_is_one_release(name, bad, safe):
    release.choose(name)
    assert (release.is_bad(), release.is_safe()) == (bad, safe)


def test_there_is_no_other_release():
    with pytest.raises(ValueError, match="no release 'v2'"):
        release.choose("v2")
