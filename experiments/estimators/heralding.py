"""How good a pair source is as such: heralding efficiencies, CAR, g_SI, and its rates by name.

`CAR` here is true coincidences over accidental ones, (C - A) / A; papers that quote C / A have one more.
A rate of pairs means something only with its window and with what was done to it, so it comes as `PairRate`
with all three: as counted, less accidentals, and divided by the detectors' efficiencies.
"""

from dataclasses import dataclass
from math import sqrt

from experiments.estimators.estimate import Estimate, rate
from experiments.estimators.pair_counts import Cells


@dataclass(frozen=True)
class Arm:
    """Singles of one analyser over some time, and how many of them come without any light (dark counts over
    the same time, as well as that is known)."""

    singles: int
    dark: Estimate

    @property
    def of_light(self) -> float:
        return self.singles - self.dark.value


@dataclass(frozen=True)
class Coincident:
    """Coincidences of two arms, and those in `displacements` displaced windows of the same width together."""

    counted: int
    displaced: int
    displacements: int

    @property
    def accidental(self) -> Estimate:
        """Expected among those counted. Without any found, the error is that of one."""
        return Estimate(
            self.displaced / self.displacements, sqrt(max(self.displaced, 1)) / self.displacements
        )

    @property
    def true(self) -> Estimate:
        """Counted less accidental."""
        accidental = self.accidental
        return Estimate(self.counted - accidental.value, sqrt(self.counted + 1 + accidental.error**2))


def heralding_efficiency(pairs: Coincident, heralds: Arm) -> Estimate:
    """How often the partner is seen when `heralds` clicks for a photon: true coincidences over the singles
    of the *other* arm less its dark counts, C / S (`physics.md` 6, Figures).

    Coincidences are among the singles, so the errors of both are not independent: without accidentals and
    darks the variance is the binomial (1 - C/S) C / S^2. ValueError if the arm saw no light.
    """
    light = heralds.of_light
    if light <= 0:
        raise ValueError(f"{heralds.singles} singles are not more than {heralds.dark.value:.0f} dark counts")
    true = pairs.true
    share = true.value / light
    variance = (
        true.error**2 + share**2 * (heralds.singles + heralds.dark.error**2) - 2 * share * pairs.counted
    )
    return Estimate(share, sqrt(max(variance, 1.0)) / light)


def car(pairs: Coincident) -> Estimate:
    """Coincidence-to-accidental ratio (C - A) / A with A the mean of so many displaced windows.

    With Y displaced coincidences in n windows, n / (Y + 1) is an unbiased guess of 1 / A (of a Poisson
    number Y, E[1/(Y+1)] = 1/<Y>, but for exp(-<Y>)); the error is that of two Poisson numbers.
    """
    ratio = pairs.displacements * pairs.counted / (pairs.displaced + 1)
    error = pairs.displacements * sqrt(pairs.counted + 1) / (pairs.displaced + 1)
    return Estimate(ratio - 1, sqrt(error**2 + ratio**2 / (pairs.displaced + 1)))


def g_si(zz: Cells) -> Estimate:
    """Signal-idler cross-correlation of a Phi source in Z, (HH + VV) / (HV + VH), raw counts: what is in the
    polarizations that belong together over what is only there by chance (`testbeds.md` 1.3). It equals
    1 + 2 CAR with the CAR of all outcomes together, as long as nothing else puts pairs into HV and VH."""
    agree = float(zz.counts[0, 0] + zz.counts[1, 1])
    differ = float(zz.counts[0, 1] + zz.counts[1, 0])
    ratio = agree / (differ + 1)
    return Estimate(ratio, sqrt((agree + 1) / (differ + 1) ** 2 + ratio**2 / (differ + 1)))


def werner_fidelity(car: Estimate, perfect: float = 1.0) -> Estimate:
    """Fidelity that accidentals leave of pairs of the fidelity `perfect`: accidental pairs are unpolarised.

    With the share p = CAR / (1 + CAR) of true pairs F = 1/4 + p (perfect - 1/4). For perfect pairs this is
    the Werner model F = 1 - 3 / (2 (1 + g_SI)) with g_SI = 1 + 2 CAR of `testbeds.md` 1.3.
    """
    ratio = max(car.value, 0.0)
    share, slope = ratio / (1 + ratio), 1 / (1 + ratio) ** 2
    return Estimate(0.25 + share * (perfect - 0.25), slope * abs(perfect - 0.25) * car.error)


@dataclass(frozen=True)
class PairRate:
    """Pairs per second, with the full coincidence window that they were counted in.

    - `raw`: coincidences as they came, what a user gets.
    - `subtracted`: less accidentals.
    - `at_detectors`: these divided by both detectors' efficiencies: pairs that arrived. None where these
      are not known. The efficiencies' own errors are not in it.
    """

    window_s: float
    raw: Estimate
    subtracted: Estimate
    at_detectors: Estimate | None

    def to_json(self) -> dict[str, object]:
        """The raw rate as `value` and `error`, the others under their names."""
        return {
            **self.raw.to_json(),
            "subtracted": self.subtracted.to_json(),
            "at_detectors": None if self.at_detectors is None else self.at_detectors.to_json(),
            "window_s": self.window_s,
        }


def pair_rate(
    pairs: Coincident, seconds: float, window_s: float, efficiencies: tuple[float, float] | None = None
) -> PairRate:
    """The rate of coincidences taken in so many seconds. ValueError unless `seconds` and both efficiencies
    are positive."""
    raw = rate(pairs.counted, seconds)
    subtracted = pairs.true.times(1 / seconds)
    if efficiencies is None:
        return PairRate(window_s, raw, subtracted, None)
    if min(efficiencies) <= 0:
        raise ValueError(f"detectors of efficiencies {efficiencies}")
    both = efficiencies[0] * efficiencies[1]
    return PairRate(window_s, raw, subtracted, subtracted.times(1 / both))
