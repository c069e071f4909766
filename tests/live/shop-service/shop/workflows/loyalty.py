"""Loyalty points: one Workflow a customer, for as long as the customer stays."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from shop.models import Customer, PointsChange


@workflow.defn
class LoyaltyProgram:
    """The balance is the sum of the Signals; `leave` ends the Workflow."""

    @workflow.init
    def __init__(self, customer: Customer) -> None:
        self.customer = customer
        self.balance = customer.points
        self.left = False

    @workflow.run
    async def run(self, customer: Customer) -> dict:
        await workflow.wait_condition(lambda: self.left)
        return self.account()

    @workflow.signal
    def add_points(self, change: PointsChange) -> None:
        self.balance += change.points

    @workflow.signal
    def spend_points(self, change: PointsChange) -> None:
        """Never below zero."""
        self.balance = max(0, self.balance - change.points)

    @workflow.signal
    def leave(self) -> None:
        self.left = True

    @workflow.query
    def points(self) -> int:
        return self.balance

    @workflow.query
    def account(self) -> dict:
        return {"user_id": self.customer.user_id, "points": self.balance}


ALL = [LoyaltyProgram]
