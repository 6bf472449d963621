"""Figures of an entanglement-swapping measurement from its counts: visibilities, CHSH S, fidelity, rate.

With both sources near Phi+, a herald Psi- or Psi+ leaves the spokes in that same Bell state. For linear
analysis at angles a and b its correlations are (`physics.md` 5, "CHSH bookkeeping")

    Psi-: E = -cos 2(a - b)        Psi+: E = -cos 2(a + b)

and both are added after a sign flip, weighted by their counts. No accidentals are subtracted, and the
sign is that of the expectation, not of the data: a visibility is negative when the state is the wrong
one, and not biased upwards when there are few counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from experiments.estimators.bell import CHSH_ANGLES, expected_sign
from experiments.estimators.estimate import Estimate, correlation, rate

BELL_STATES = ("psi_minus", "psi_plus")
"""The order of the first axis of `Counts`."""

Counts = NDArray[np.int64]
"""Four-folds of one setting: `[Bell state, outcome at the first spoke, at the second]`, shape (2, 2, 2);
outcome 0 is H."""

CHSH = tuple(CHSH_ANGLES)

SIGNS: dict[str, tuple[int, int]] = {
    name: (expected_sign("Psi-", name), expected_sign("Psi+", name)) for name in ("ZZ", "XX", "YY", *CHSH)
}
"""Setting -> sign of the expected correlation for Psi- and Psi+. ZZ, XX and YY are those of the Bell
states themselves. The CHSH signs make S- = -E00 + E01 - E10 - E11 and S+ = -E00 + E01 + E10 + E11, the
first index for a in (0, 45 deg), the second for b in (22.5, 67.5 deg)."""


@dataclass(frozen=True)
class Figures:
    """What a swapping measurement says; None for what its settings did not measure."""

    swap_rate_hz: Estimate | None
    chsh_s: Estimate | None
    chsh_s_by_state: dict[str, Estimate | None]
    fidelity: Estimate | None
    fidelity_takes: str
    """How the fidelity was made, in words: it needs YY, or an assumption instead."""
    visibility_zz: Estimate | None
    visibility_xx: Estimate | None
    visibility_yy: Estimate | None


def figures(counts: Mapping[str, Counts], live_s: float) -> Figures:
    """All figures from the counts per setting (names of `SIGNS`) taken in `live_s` seconds in all."""
    zz, xx, yy = (_visibility(name, counts) for name in ("ZZ", "XX", "YY"))
    total = sum(int(c.sum()) for c in counts.values())
    fidelity, takes = swapped_fidelity(zz, xx, yy)
    return Figures(
        swap_rate_hz=rate(total, live_s) if live_s > 0 else None,
        chsh_s=chsh(counts),
        chsh_s_by_state={state: chsh(counts, only=k) for k, state in enumerate(BELL_STATES)},
        fidelity=fidelity,
        fidelity_takes=takes,
        visibility_zz=zz,
        visibility_xx=xx,
        visibility_yy=yy,
    )


@dataclass(frozen=True)
class AtWindow:
    """The figures with one full coincidence window (seconds)."""

    window_s: float
    figures: Figures


def against_window(counts: Mapping[float, Mapping[str, Counts]], live_s: float) -> tuple[AtWindow, ...]:
    """Figures for each window, narrow to wide, from counts by window and setting, all over the same time.

    A wide window holds what a narrow one holds, so the points of such a curve are not independent: they
    scatter less against each other than their errors say."""
    return tuple(AtWindow(window, figures(counts[window], live_s)) for window in sorted(counts))


def widest_window(points: Sequence[AtWindow], sigmas: float = 3.0) -> AtWindow | None:
    """The most pairs that still violate the CHSH inequality: the widest window whose S exceeds 2 by so many
    standard errors; None if none does. Chosen by the data, it is too good by chance: measure anew with it."""
    good = [
        point
        for point in points
        if (s := point.figures.chsh_s) is not None and s.value - sigmas * s.error > 2
    ]
    return max(good, key=lambda point: point.window_s, default=None)


def signed_correlation(name: str, counts: Counts, only: int | None = None) -> Estimate:
    """The correlation in one setting times its expected sign, so that a perfect state gives a positive
    value, Psi- and Psi+ together (or only one of them: an index of `BELL_STATES`)."""
    agree = differ = 0
    for k, sign in enumerate(SIGNS[name]):
        if only in (None, k):
            same = int(counts[k, 0, 0] + counts[k, 1, 1])
            other = int(counts[k, 0, 1] + counts[k, 1, 0])
            agree += same if sign > 0 else other
            differ += other if sign > 0 else same
    return correlation(agree, differ)


def chsh(counts: Mapping[str, Counts], only: int | None = None) -> Estimate | None:
    """CHSH S from its four settings, |S| <= 2 for local realism; None unless all four are there."""
    if not all(name in counts for name in CHSH):
        return None
    terms = [signed_correlation(name, counts[name], only) for name in CHSH]
    return Estimate(sum(t.value for t in terms), sqrt(sum(t.error**2 for t in terms)))


def swapped_fidelity(
    zz: Estimate | None, xx: Estimate | None, yy: Estimate | None
) -> tuple[Estimate | None, str]:
    """Fidelity of the swapped pair to its Bell state, F = (1 + |ZZ| + |XX| + |YY|) / 4, and in words what it
    rests on. Without YY it takes |YY| = |XX|, which holds for any state that is symmetric about Z."""
    if zz is None or xx is None:
        return None, "not measured: needs ZZ and XX"
    if yy is None:
        value = (1 + zz.value + 2 * xx.value) / 4
        return Estimate(value, sqrt(zz.error**2 + 4 * xx.error**2) / 4), "takes |YY| = |XX|: YY not measured"
    value = (1 + zz.value + xx.value + yy.value) / 4
    return Estimate(value, sqrt(zz.error**2 + xx.error**2 + yy.error**2) / 4), "from ZZ, XX and YY"


def _visibility(name: str, counts: Mapping[str, Counts]) -> Estimate | None:
    return signed_correlation(name, counts[name]) if name in counts else None
