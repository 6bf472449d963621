"""Balance of two arms at a beam splitter, from the singles of each with the other one blocked.

Interference of one photon from each arm does not need equal arms, but pairs of photons from one arm are
background, and there are fewest of them for a given rate when both arms are equally bright.
"""

from dataclasses import dataclass
from math import log, log10, sqrt

from experiments.estimators.estimate import Estimate


@dataclass(frozen=True)
class Balance:
    """`excess_db`: how much brighter the first arm is than the second, in dB, negative if it is darker.
    `from_both`: the share of all pairs of photons that has one from each arm, 2 a b / (a + b)^2, at best 1/2:
    half of all heralds come from one source (`testbeds.md` 1.6)."""

    excess_db: Estimate
    from_both: float

    @property
    def attenuate(self) -> tuple[int, float]:
        """Which arm to attenuate, 0 or 1, and by how many dB."""
        return (0 if self.excess_db.value > 0 else 1), abs(self.excess_db.value)


def arm_balance(first: int, second: int, neither: int = 0) -> Balance:
    """From counts of all detectors behind the splitter, over equal times: the first arm alone, the second
    alone, and both blocked (dark counts). ValueError if an arm has no light."""
    a, b = first - neither, second - neither
    if min(a, b) <= 0:
        raise ValueError(f"an arm is dark: {first} and {second} counts, {neither} with both blocked")
    variance = first / a**2 + second / b**2 + neither * (1 / a - 1 / b) ** 2
    return Balance(
        Estimate(10 * log10(a / b), 10 / log(10) * sqrt(variance)),
        2 * a * b / (a + b) ** 2,
    )
