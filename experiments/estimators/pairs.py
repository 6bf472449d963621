"""What two analysers say of one source: correlations, CHSH S, visibilities, bounds on fidelity, QBER.

Every figure is stated raw and with accidentals subtracted, and towards one Bell state, which is said
beforehand: the sign is that of the expectation, not of the data, so that a wrong state shows as a negative
visibility, and few counts do not bias it upwards (see `estimators.swapping`, which does the same).

A visibility in one basis proves nothing: the classical mixture of HH and VV has all of it in Z. So fidelity
is bounded from two bases, or measured from three, and never quoted from one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import log2, sqrt

import numpy as np

from experiments.estimators.bell import CHSH_ANGLES, BellState, expected_sign
from experiments.estimators.estimate import Estimate, add
from experiments.estimators.pair_counts import Cells


def signed_correlation(setting: str, cells: Cells, state: BellState) -> Estimate:
    """E of one setting times the sign that the Bell state gives it: +1 for a perfect one."""
    return cells.correlation.times(expected_sign(state, setting))


def chsh(settings: Mapping[str, Cells], state: BellState) -> Estimate | None:
    """CHSH S towards a Bell state, |S| <= 2 for local realism; None unless all four settings are there.
    Its error is that of four independent correlations."""
    if not all(name in settings for name in CHSH_ANGLES):
        return None
    return add(*(signed_correlation(name, settings[name], state) for name in CHSH_ANGLES))


@dataclass(frozen=True)
class FidelityBounds:
    """The fidelity to a Bell state lies between `lower` and `upper`, as far as two bases can tell.

    These are *bounds*, not an error bar: with endless counts they stay as far apart as they are, while each
    has a standard error of its own, which shrinks. There is deliberately no `value` with an `error` here.
    The better of two noisy bounds is taken on either side; where both are equally good, this places it up
    to 0.6 of a standard error too tight.
    """

    lower: Estimate
    upper: Estimate


def two_basis_bounds(zz: Cells, xx: Cells, state: BellState) -> FidelityBounds:
    """Bounds on the fidelity to a Bell state from all eight counts in two bases.

    For Phi+, from HH HV VH VV with visibility V_Z and DD DA AD AA with V_X (`testbeds.md` 1.3):

        F = (1 + V_Z + 2 V_X) / 4 - Re<HV|rho|VH>,     |<HV|rho|VH>| <= sqrt(P_HV P_VH),

    and the same with the bases exchanged and sqrt(P_DA P_AD). Other Bell states follow by turning the second
    analyser's outcomes over. The highest lower and the lowest upper bound are taken. P are shares of the
    basis's counts; a quarter of a count is added to those under the root, which makes the root of a Poisson
    number unbiased to first order (sqrt(n) is too low by 1/(8 sqrt(n))).
    """
    frames = [
        (cells if expected_sign(state, name) > 0 else Cells(cells.counts[:, ::-1], cells.variance[:, ::-1]))
        for name, cells in (("ZZ", zz), ("XX", xx))
    ]
    pairs = [_bounds(one, other) for one, other in (frames, frames[::-1])]
    return FidelityBounds(
        max((lower for lower, _ in pairs), key=lambda bound: bound.value),
        min((upper for _, upper in pairs), key=lambda bound: bound.value),
    )


def _bounds(one: Cells, other: Cells) -> tuple[Estimate, Estimate]:
    """(1 + V_one + 2 V_other -+ 4 sqrt(P01 P10)) / 4, P of the first basis."""
    v, w = one.correlation, other.correlation
    total = float(one.counts.sum())
    if total <= 0 or other.counts.sum() <= 0:
        return Estimate(0.0, 1.0), Estimate(1.0, 1.0)
    crossed = np.maximum(np.array([one.counts[0, 1], one.counts[1, 0]]), 0.0) + 0.25
    root = sqrt(float(crossed.prod()))
    found = []
    for sign in (-1, 1):
        # The derivatives by the four counts of the first basis, each of which is in V and in the root.
        slope = np.array([[1.0, -1.0], [-1.0, 1.0]]) - v.value - 4 * sign * root / total
        slope[0, 1] += 2 * sign * root / crossed[0]
        slope[1, 0] += 2 * sign * root / crossed[1]
        variance = one.variance + 0.25
        error = sqrt(float((slope**2 * variance).sum()) / total**2 + 4 * w.error**2) / 4
        found.append(Estimate((1 + v.value + 2 * w.value + 4 * sign * root / total) / 4, error))
    return found[0], found[1]


def fidelity(zz: Estimate, xx: Estimate, yy: Estimate) -> Estimate:
    """Fidelity to a Bell state from its three signed correlations: F = (1 + ZZ + XX + YY) / 4."""
    total = add(zz, xx, yy)
    return Estimate((1 + total.value) / 4, total.error / 4)


def qber(visibility: Estimate) -> Estimate:
    """The share of wrong bits of BBM92 in one basis, (1 - V) / 2."""
    return Estimate((1 - visibility.value) / 2, visibility.error / 2)


def key_fraction(qber_z: Estimate, qber_x: Estimate, efficiency: float = 1.15) -> Estimate:
    """Secret bits per sifted bit for endless blocks, 1 - f h(e_Z) - h(e_X), keys made in Z, f = `efficiency`
    of the error correction (`physics.md` 6). Negative: no key. The finite-key term is not in it."""
    value, variance = 1.0, 0.0
    for weight, error in ((efficiency, qber_z), (1.0, qber_x)):
        value -= weight * binary_entropy(error.value)
        variance += (weight * _entropy_slope(error.value) * error.error) ** 2
    return Estimate(value, sqrt(variance))


def binary_entropy(p: float) -> float:
    """h(p) = -p log2 p - (1 - p) log2 (1 - p), in bits; above 1/2 nothing better than 1/2. 0 below 0."""
    p = min(max(p, 0.0), 0.5)
    return 0.0 if p == 0.0 else -p * log2(p) - (1 - p) * log2(1 - p)


def _entropy_slope(p: float) -> float:
    """h'(p). It has no bound at p = 0: there, that at 1e-6 is taken, which is 20."""
    p = min(max(p, 1e-6), 0.5)
    return log2((1 - p) / p)


@dataclass(frozen=True)
class PairFigures:
    """What a measurement on one pair of analysers says; None for what its settings did not measure."""

    chsh_s: Estimate | None
    visibility_zz: Estimate | None
    visibility_xx: Estimate | None
    visibility_yy: Estimate | None
    fidelity_three_bases: Estimate | None
    """From ZZ, XX and YY together."""
    fidelity_bounds: FidelityBounds | None
    """From ZZ and XX."""
    qber_z: Estimate | None
    qber_x: Estimate | None
    key_fraction: Estimate | None


def figures(settings: Mapping[str, Cells], state: BellState) -> PairFigures:
    """All figures from the counts per setting: `ZZ`, `XX`, `YY` and those of `CHSH_ANGLES`."""
    z, x, y = (
        signed_correlation(name, settings[name], state) if name in settings else None
        for name in ("ZZ", "XX", "YY")
    )
    qber_z, qber_x = (None if v is None else qber(v) for v in (z, x))
    return PairFigures(
        chsh_s=chsh(settings, state),
        visibility_zz=z,
        visibility_xx=x,
        visibility_yy=y,
        fidelity_three_bases=None if z is None or x is None or y is None else fidelity(z, x, y),
        fidelity_bounds=(
            None if z is None or x is None else two_basis_bounds(settings["ZZ"], settings["XX"], state)
        ),
        qber_z=qber_z,
        qber_x=qber_x,
        key_fraction=None if qber_z is None or qber_x is None else key_fraction(qber_z, qber_x),
    )


def to_json(raw: PairFigures, subtracted: PairFigures) -> dict[str, dict[str, object]]:
    """Both, as results are stored: each figure raw, and under `subtracted` without its accidentals. The
    bounds on the fidelity are two figures, `fidelity_lower` and `fidelity_upper`."""
    one, other = _named(raw), _named(subtracted)
    return {
        name: {**one[name].to_json(), "subtracted": other[name].to_json()} for name in one if name in other
    }


def _named(figures: PairFigures) -> dict[str, Estimate]:
    """Those that are known."""
    found = {field.name: getattr(figures, field.name) for field in fields(PairFigures)}
    if bounds := figures.fidelity_bounds:
        found |= {"fidelity_lower": bounds.lower, "fidelity_upper": bounds.upper}
    return {name: figure for name, figure in found.items() if isinstance(figure, Estimate)}
