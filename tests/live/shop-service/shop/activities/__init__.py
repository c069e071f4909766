"""Effects on the outside world. Synchronous functions: a Worker runs them on a thread pool."""

from shop.activities.effects import perform
from shop.activities.picking import pick_items

ALL = [perform, pick_items]
