"""A Hong-Ou-Mandel dip scanned with a delay line: fitted as it was counted, and with the accidentals taken
off.

Accidentals dip too (photons of both sources meet in them as in the others, `physics.md` 1), so what is taken
off has a dip of the same shape. It is fitted first, to counts in displaced windows whose sum may be negative
at a point; what it leaves uncertain is part of the errors.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import hypot

import numpy as np

from experiments.estimators.dip import Dip, Shape, dip_shape, fit_dip
from experiments.estimators.estimate import Estimate
from experiments.estimators.poisson_fit import Floats


@dataclass(frozen=True)
class DipScan:
    """Counts at each position, all arrays equally long.

    `exposures` says how long, or against what reference, each point was counted. `accidentals` is the sum of
    displaced counts with their signs, `displaced` the same without: its variance."""

    positions: Floats
    counts: Floats
    exposures: Floats
    accidentals: Floats
    displaced: Floats

    def fit(self, shape: Shape, tau: float | None = None) -> Dip:
        """The dip of the counts as they are; `tau` is not fitted where it is given. At least 5 positions;
        FitError if the fit does not settle."""
        return fit_dip(self.positions, self.counts, shape=shape, tau=tau, exposures=self.exposures)

    def fit_without_accidentals(self, raw: Dip, shape: Shape, tau: float | None = None) -> Dip:
        """The dip of what is left without accidentals; `raw` is that of the counts as they are."""
        shape_at = dip_shape(self.positions, 0.0, raw.centre.value, raw.tau.value, shape)
        # accidentals = exposures (level - drop shape), with a variance that goes with the exposures.
        parts = np.stack([self.exposures, -self.exposures * shape_at], axis=1)
        variance = max(float(self.displaced.sum()), 1.0) / float(self.exposures.sum()) * self.exposures
        covariance = np.linalg.inv(parts.T @ (parts / variance[:, None]))
        found = covariance @ (parts.T @ (self.accidentals / variance))

        def fitted(values: Floats) -> Dip:
            return fit_dip(
                self.positions,
                self.counts,
                shape=shape,
                tau=tau,
                exposures=self.exposures,
                background=np.maximum(parts @ values, 0.0),
            )

        net = fitted(found)
        spreads, ways = np.linalg.eigh(covariance)
        moved = [fitted(found + np.sqrt(spread) * way) for spread, way in zip(spreads, ways.T, strict=True)]

        def widened(of: Callable[[Dip], Estimate]) -> Estimate:
            own = of(net)
            return Estimate(own.value, hypot(own.error, *(of(other).value - own.value for other in moved)))

        return replace(
            net,
            visibility=widened(lambda dip: dip.visibility),
            centre=widened(lambda dip: dip.centre),
            tau=widened(lambda dip: dip.tau),
            level=widened(lambda dip: dip.level),
        )
