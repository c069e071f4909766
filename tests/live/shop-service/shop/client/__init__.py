"""Callers of the shop: connecting, and starting Workflows."""
