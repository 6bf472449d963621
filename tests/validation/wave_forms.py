"""Temporal amplitudes of photon pairs and what follows from them, in closed form or by quadrature. Nothing
here comes from the light field. Times are picoseconds."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import inf, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.layout import Biphoton

Floats = NDArray[np.float64]


class WaveForm:
    """phi(x), x = t_signal - t_idler, real, with the integral of phi^2 equal to 1."""

    biphoton: Biphoton
    """As the layout states it."""
    reach: float
    """Beyond it there is nothing."""

    def amplitude(self, x: Floats) -> Floats:
        raise NotImplementedError

    def coherence(self, d: Floats) -> Floats:
        """g1(d), the integral of phi(x) phi(x + d)."""
        raise NotImplementedError

    def density(self, edges: Floats) -> Floats:
        """Share of phi^2 in each bin."""
        return integrals(lambda x: self.amplitude(x) ** 2, edges)

    def triple(self, x: Floats) -> Floats:
        """phi3, the convolution of phi with g1: with a spectrum phi |phi|^2, it is the first correction of
        the pair amplitude by stimulated emission."""
        return np.array(
            [
                quadrature(
                    lambda y, at=at: self.amplitude(at - y) * self.coherence(y),
                    [-self.reach, 0, at, self.reach],
                )
                for at in x
            ]
        )


@dataclass(frozen=True)
class Exponential(WaveForm):
    """exp(-x / 2 after) for x > 0, exp(x / 2 before) for x < 0."""

    after: float
    before: float = 0.0

    @property
    def biphoton(self) -> Biphoton:  # type: ignore[override]
        return Biphoton("two_sided_exponential", self.after * 1e-12, self.before * 1e-12)

    @property
    def reach(self) -> float:  # type: ignore[override]
        return 30 * max(self.after, self.before)

    def amplitude(self, x: Floats) -> Floats:
        later = np.exp(-np.maximum(x, 0) / (2 * self.after))
        earlier = np.exp(np.minimum(x, 0) / (2 * self.before)) if self.before else 0.0
        return np.where(x >= 0, later, earlier) / sqrt(self.after + self.before)

    def coherence(self, d: Floats) -> Floats:
        d = np.abs(d)
        later = np.exp(-d / (2 * self.after))
        if not self.before:
            return later
        a, b = 0.5 / self.after, 0.5 / self.before
        earlier = np.exp(-b * d)
        between = d * later if a == b else (later - earlier) / (b - a)
        return (later * self.after + earlier * self.before + between) / (self.after + self.before)


@dataclass(frozen=True)
class Gaussian(WaveForm):
    """exp(-x^2 / 4 tau^2)."""

    tau: float

    @property
    def biphoton(self) -> Biphoton:  # type: ignore[override]
        return Biphoton("gaussian", self.tau * 1e-12)

    @property
    def reach(self) -> float:  # type: ignore[override]
        return 12 * self.tau

    def amplitude(self, x: Floats) -> Floats:
        return np.exp(-(x**2) / (4 * self.tau**2)) / (2 * pi * self.tau**2) ** 0.25

    def coherence(self, d: Floats) -> Floats:
        return np.exp(-(d**2) / (8 * self.tau**2))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def quadrature(f: Callable[[Floats], Floats], points: list[float]) -> float:
    """Integral of f from the least to the greatest of some points, smooth between them."""
    points = sorted(points)
    return float(sum(_piece(f, low, high) for low, high in pairwise(points)))


def integrals(f: Callable[[Floats], Floats], edges: Floats) -> Floats:
    """Integral of f over each bin; 0 is to be an edge where f is not smooth there."""
    return np.array([_piece(f, low, high) for low, high in pairwise(edges)])


def _piece(f: Callable[[Floats], Floats], low: float, high: float) -> float:
    if high - low in (0.0, inf):
        return 0.0
    return float(f(low + (high - low) * (_NODES + 1) / 2) @ _WEIGHTS) * (high - low) / 2


def schmidt_weights(pair: WaveForm, pulse: float, n: int = 400) -> Floats:
    """Squared Schmidt coefficients, largest first, of psi(s, t) = exp(-((s + t)/2)^2 / 4 pulse^2) phi(s - t):
    singular values of the amplitude on a grid."""
    reach = 8 * pulse + min(pair.reach, 16 * getattr(pair, "after", pair.reach))
    t = np.linspace(-reach, reach, n)
    s, i = np.meshgrid(t, t, indexing="ij")
    psi = np.exp(-(((s + i) / 2) ** 2) / (4 * pulse**2)) * pair.amplitude(s - i)
    weights = np.linalg.svd(psi, compute_uv=False) ** 2
    return weights / weights.sum()
