"""Random numbers: one generator per (seed, component), so that what one component draws never shifts
another's numbers, and a run with the same seed and slices repeats bit for bit."""

from zlib import crc32

import numpy as np


def generator(seed: int, component: str) -> np.random.Generator:
    """The generator of a component, for example `generator(1, "alice_source")`."""
    # SFC64 fills arrays of uniform and exponential numbers in 0.6 of the time that PCG64 takes.
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(crc32(component.encode()),)))
    )
