"""Short effects, such as a charge, a refund or an e-mail."""

from temporalio import activity


@activity.defn
def perform(step: str) -> str:
    """Does one step; here only its name comes back."""
    return f"{step} done"
