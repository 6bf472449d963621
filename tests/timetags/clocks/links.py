"""Synthetic tags of a link between two nodes, made from nothing but numpy's random numbers.

Pairs are born at one time; the second node's photon comes x later, x from two exponentials that meet at
a cusp (`physics.md` 1, kind 1), both with the jitter of their detectors, and the second node's clock may
have an offset and run at another rate.
"""

from typing import NamedTuple

import numpy as np

T1, T2, JITTER = 700, 300, (149, 38)
SIGMA = np.hypot(*JITTER)


class Rates(NamedTuple):
    """Counts per second: the first node's (hub), the second's (spoke), and detected pairs."""

    hub: float
    spoke: float
    pairs: float


NYC = Rates(hub=0.58e6, spoke=1.25e6, pairs=70e3)
LOSSY = Rates(hub=20e3, spoke=50e3, pairs=600)
"""The two arms of `physics.md` 6, "Delay and skew between nodes"."""


def photon_differences(random, number, t1=T1, t2=T2):
    late = random.random(number) < t1 / (t1 + t2)
    return np.where(late, random.exponential(t1, number), -random.exponential(t2, number))


def link(random, duration_s, rates, *, delay_ps=0.0, skew=0.0):
    """Sorted tags (hub, spoke). A pair at the hub's time t is at the spoke's t + delay + skew t."""
    end = duration_s * 1e12
    true = random.random(random.poisson(rates.pairs * duration_s)) * end
    other_hub, other_spoke = (
        random.random(random.poisson((rate - rates.pairs) * duration_s)) * end
        for rate in (rates.hub, rates.spoke)
    )
    at_hub = true + random.normal(0, JITTER[1], len(true))
    at_spoke = true + photon_differences(random, len(true)) + random.normal(0, JITTER[0], len(true))
    hub = np.sort(np.concatenate([at_hub, other_hub]))
    spoke = np.sort(np.concatenate([at_spoke, other_spoke]))
    return np.floor(hub).astype(np.int64), np.floor(spoke + skew * spoke + delay_ps).astype(np.int64)
