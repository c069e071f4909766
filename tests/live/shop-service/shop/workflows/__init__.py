"""Deterministic code: no I/O, no clock, no chance. One file a subject."""

from shop.workflows import chains, checkout, journey, loyalty, orders, packing, recovery

ALL = [*recovery.ALL, *loyalty.ALL, *orders.ALL, *checkout.ALL, *journey.ALL, *packing.ALL, *chains.ALL]
