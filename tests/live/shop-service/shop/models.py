"""Inputs and results of Workflows and Activities. Knows nothing of Temporal."""

from dataclasses import dataclass


@dataclass
class Case:
    """The input of the Workflow Types of `workflows.recovery`."""

    name: str
    trouble: str = ""  # which bug of `bad` this Workflow meets; "" is none
    alone: bool = False  # ends without waiting for `finish`
    amount: int = 100
    cycle: int = 1
    child: str = ""  # type of the child that it starts
    child_trouble: str = ""


@dataclass
class Customer:
    """Whose loyalty points a `LoyaltyProgram` keeps."""

    user_id: int
    points: int = 0


@dataclass
class PointsChange:
    """The object that each Signal of a `LoyaltyProgram` carries."""

    points: int
    note: str = ""


@dataclass
class Order:
    """The input of an `OrderProcessingWorkflow`."""

    order_id: str
    on_cancel: str = "clean_up"  # or "ignore"
    picking_seconds: float = 0  # how long `pick_items` takes; 0 leaves it out


@dataclass
class OrderCancellation:
    """The object that the Signal `cancelOrder` carries."""

    reason: str = ""


@dataclass
class Parcel:
    """The input of a `Packing`."""

    parcel_id: str
    packing_seconds: float = 2
    trouble: str = ""


@dataclass
class Meter:
    """The input of a `MeterReading`; each run of the chain begins with the sum so far."""

    meter_id: str
    total: int = 0
    generation: int = 1
