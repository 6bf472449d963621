"""On how many cores the measuring thread, and the threads and processes that it starts, may run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cores(number: int) -> Iterator[int]:
    """Within this context, at most so many, the last ones; gives how many there are. Where the system
    cannot do that, nothing changes."""
    if not hasattr(os, "sched_setaffinity"):
        yield os.cpu_count() or 1
        return
    before = os.sched_getaffinity(0)
    chosen = set(sorted(before)[-number:])
    os.sched_setaffinity(0, chosen)
    try:
        yield len(chosen)
    finally:
        os.sched_setaffinity(0, before)
