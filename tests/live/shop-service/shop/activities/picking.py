"""A long Activity: it heartbeats, can be cancelled, resumes, and ends early when its Worker stops."""

import time

from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

PAUSE_SECONDS = 0.2


@activity.defn
def pick_items(order_id: str, seconds: float) -> str:
    """Picks for `seconds`, and goes on where an earlier attempt's last heartbeat was.

    Raises `CancelledError` when the Workflow cancels it, and a retryable error when its Worker
    shuts down, so that another Worker goes on at once.
    """
    details = activity.info().heartbeat_details
    picked = float(details[0]) if details else 0.0
    try:
        while picked < seconds:
            if activity.is_worker_shutdown():
                raise ApplicationError(f"the Worker stops; {picked:.1f} s of {order_id} are picked")
            time.sleep(PAUSE_SECONDS)
            picked += PAUSE_SECONDS
            activity.heartbeat(picked)
    except CancelledError:
        activity.logger.info("picking of %s cancelled after %.1f s", order_id, picked)
        raise
    return f"{order_id} picked"
