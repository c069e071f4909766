"""A small shop on Temporal: what the live suite breaks and recovers."""
