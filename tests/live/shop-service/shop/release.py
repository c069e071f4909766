"""Which release of the code this process is.

Real releases differ in their code; here one code base plays all of them. `workers` sets the
release once, before a Worker starts; Workflows read it (by `from shop.release import …`, which
the sandbox passes through as a whole). It is the same for a Worker's whole life,
so replay within one release stays deterministic.
"""

GOOD = "good"  # the last good release
BAD = "bad"  # has a bug for each `trouble` that an input names
SAFE = "safe"  # the fix: replays what `good` and `bad` recorded, except where an input says otherwise
RELEASES = (GOOD, BAD, SAFE)

_current = GOOD


def choose(release: str) -> None:
    """Makes this process that release."""
    global _current
    if release not in RELEASES:
        raise ValueError(f"no release {release!r}; there are {', '.join(RELEASES)}")
    _current = release


def is_bad() -> bool:
    return _current == BAD


def is_safe() -> bool:
    return _current == SAFE
