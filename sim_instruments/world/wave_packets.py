"""The wave packet in which a photon comes, and how alike those of two photons are.

A photon is known by its time t at a detector and by x: how much later its partner is detected. Its temporal
amplitude is phi(x), the same whether the partner is the other photon of a pair or the pulse that made it
(physics.md 1). For the pairs of a pulsed source it is psi(s, t) = envelope((s + t)/2 - pulse) phi(s - t).
Times are picoseconds of the slice.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, pi, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.layout import Biphoton, PairSource
from sim_instruments.world.quantiles import Bits, exponential, normal, random_bits
from timetags.jit import inline_kernel, kernel

Floats = NDArray[np.float64]

TWO_SIDED, GAUSSIAN, CONSTANT = 0.0, 1.0, 2.0
KIND, TAU_AFTER, TAU_BEFORE, WIDTH, PERIOD, PHASE, ALIKE, LINEWIDTH = range(8)
"""Columns of a wave packet's row, see `WavePacket`."""

UNOBSERVABLE_COHERENCE_PS = 20_000.0
"""Two laser beams are followed no further than this apart: photons that meet are a few, not all of them."""


@inline_kernel
def log_amplitude(packets: Floats, a: int, s: float, t: float) -> float:
    """Logarithm of the amplitude with which a photon of light `a` comes at t with its partner at s; not
    normalised, -inf where there is none."""
    x = s - t
    kind = packets[a, KIND]
    if kind == GAUSSIAN:
        value = -x * x / (4 * packets[a, TAU_AFTER] * packets[a, TAU_AFTER])
    elif kind == CONSTANT:
        value = 0.0
    elif x > 0.0:
        value = -x / (2 * packets[a, TAU_AFTER]) if packets[a, TAU_AFTER] > 0.0 else -inf
    elif packets[a, TAU_BEFORE] > 0.0:
        value = x / (2 * packets[a, TAU_BEFORE])
    else:
        value = 0.0 if x == 0.0 else -inf
    if packets[a, WIDTH] > 0.0:
        c = (s + t) / 2 - packets[a, PHASE]
        c -= packets[a, PERIOD] * np.rint(c / packets[a, PERIOD])
        value -= c * c / (4 * packets[a, WIDTH] * packets[a, WIDTH])
    return float(value)


@inline_kernel
def log_ratio(packets: Floats, a: int, b: int, ta: float, tb: float, xa: float, xb: float) -> float:
    """Logarithm of f2 / f1: the amplitude of two photons exchanged to that of them as they are."""
    return (
        log_amplitude(packets, a, ta + xa, tb)
        + log_amplitude(packets, b, tb + xb, ta)
        - log_amplitude(packets, a, ta + xa, ta)
        - log_amplitude(packets, b, tb + xb, tb)
    )


class Law(NamedTuple):
    """The law of x, the squared amplitude, ready for drawing."""

    gaussian: bool
    after: float
    before: float
    cut: float
    """Random bits from here on are for x < 0."""
    below: float
    above: float
    """Stretch what is below and above the cut to 32 bits."""
    width: float


@inline_kernel
def separation(law: Law, bits: int) -> float:
    """x drawn with 32 random bits."""
    if law.gaussian:
        return float(law.after * normal(bits))
    p = float(bits)
    negative = p >= law.cut
    p = min((p - law.cut) * law.above if negative else p * law.below, 4294967295.0)
    return float((-law.before if negative else law.after) * exponential(int(p)))


@dataclass(frozen=True)
class WavePacket:
    """A wave packet in picoseconds, ready for the kernels.

    Amplitude over x: `TWO_SIDED` exp(-x / 2 after) for x > 0 and exp(x / 2 before) for x < 0, `GAUSSIAN`
    exp(-x^2 / 4 after^2), `CONSTANT` that of a laser beam.
    """

    kind: float
    after: float = 0.0
    before: float = 0.0
    period_s: float = 0.0
    """Of the pulses; 0.0: none."""
    width: float = 0.0
    """Standard deviation of (s + t)/2 about the pulse, where pairs come in pulses."""
    modes: float = 1.0
    """Photons of one source are in the same mode with probability 1/modes."""
    linewidth: float = 0.0
    """Of a beam: coherence between photons d apart falls as exp(-linewidth d), in 1/ps."""
    clusters_of_pulses: float = 0.0
    """Pulsed pairs: share of two pairs of one pulse that bunch, in one mode."""

    @classmethod
    def of(cls, source: PairSource) -> "WavePacket":
        """That of a source's idlers, with the signals as partners."""
        biphoton: Biphoton = source.biphoton
        kind = GAUSSIAN if biphoton.shape == "gaussian" else TWO_SIDED
        packet = cls(kind, biphoton.tau_signal_s * 1e12, biphoton.tau_idler_s * 1e12, modes=source.modes)
        if source.pulses is None:
            return packet
        packet = replace(packet, period_s=source.pulses.period_s, width=source.pulses.width_s * 1e12)
        return replace(packet, clusters_of_pulses=packet.purity())

    @property
    def mirrored(self) -> "WavePacket":
        """That of the partners."""
        if self.kind == GAUSSIAN:
            return self
        return replace(self, after=self.before, before=self.after)

    @property
    def pulsed(self) -> bool:
        return self.period_s > 0.0

    @property
    def coherence_ps(self) -> float:
        """R^2 times this and half the purity of the polarization is the rate of bunched pairs: J, the
        integral of |g1|^2 with g1 the autocorrelation of the amplitude; of pulses, the period times the
        share of pairs in one Schmidt mode. Many modes dilute it."""
        if self.pulsed:
            one_mode = self.period_s * 1e12 * self.clusters_of_pulses
        elif self.kind == GAUSSIAN:
            one_mode = 2 * sqrt(pi) * self.after
        elif 0.0 in (self.after, self.before):
            one_mode = 2 * max(self.after, self.before)
        else:
            a, b = 0.5 / self.after, 0.5 / self.before
            one_mode = (a * a + 3 * a * b + b * b) / (a * b * (a + b))
        return one_mode / self.modes

    @property
    def proposals_ps(self) -> float:
        """R^2 times this is the rate at which bunched pairs are proposed, see `births.propose_clusters`."""
        return (self.period_s * 1e12 / 2 if self.pulsed else self.reach_ps) / self.modes

    @property
    def reach_ps(self) -> float:
        """Photons further apart than this do not overlap with any of this light."""
        if self.kind == CONSTANT:
            if self.linewidth == 0.0:
                return UNOBSERVABLE_COHERENCE_PS
            return min(5 / self.linewidth, UNOBSERVABLE_COHERENCE_PS)
        return 12 * (max(self.after, self.before) + self.width)

    @property
    def early_ps(self) -> float:
        """A photon's partner comes no earlier before it than this, but for one in 10^17."""
        return 8.5 * self.after if self.kind == GAUSSIAN else 40 * self.before

    @property
    def late_ps(self) -> float:
        """A photon's partner comes no later after it than this, but for one in 10^17."""
        return self.mirrored.early_ps

    @property
    def before_birth_ps(self) -> float:
        """A photon comes no earlier than this before the time for which it is drawn."""
        if self.width:
            return 8.5 * self.width + self.late_ps / 2
        return self.late_ps if self.pulsed else 0.0

    def row(self, phase_ps: float = 0.0) -> Floats:
        """For the kernels; `phase_ps` is the time of any pulse."""
        return np.array(
            [
                self.kind, self.after, self.before, self.width, self.period_s * 1e12, phase_ps,
                1 / self.modes, self.linewidth,
            ]
        )  # fmt: skip

    @property
    def law(self) -> Law:
        """For the kernels that draw x."""
        both = self.after + self.before
        cut = 2.0**32 * self.after / both if both else 2.0**32
        below, above = (2.0**32 / part if part else 0.0 for part in (cut, 2.0**32 - cut))
        return Law(self.kind == GAUSSIAN, self.after, self.before, cut, below, above, self.width)

    def purity(self) -> float:
        """Of a photon of a pulsed pair over time: the sum of the squared Schmidt coefficients of psi."""
        if self.kind == GAUSSIAN:
            return 4 * self.after * self.width / (self.after**2 + 4 * self.width**2)
        # No closed form: the mean share of accepted proposals, the very ones that are drawn later.
        bits = random_bits(np.random.Generator(np.random.SFC64(1)), 4 << 18)
        return accepted(self.row(), self.law, bits)


@kernel
def accepted(packet: Floats, law: Law, bits: Bits) -> float:
    """Mean share of proposed pairs of pairs of one pulse that bunch (physics.md 4, row 9)."""
    packets = packet.reshape(1, -1)
    total = 0.0
    for k in range(0, len(bits), 4):
        x1, x2 = separation(law, bits[k]), separation(law, bits[k + 1])
        t1, t2 = law.width * normal(bits[k + 2]) - x1 / 2, law.width * normal(bits[k + 3]) - x2 / 2
        ratio = np.exp(log_ratio(packets, 0, 0, t1, t2, x1, x2))
        if ratio < inf:
            total += 2 * ratio / (1 + ratio * ratio)
    return total / (len(bits) // 4)


@dataclass(frozen=True)
class Window:
    """A slice of time in which light is born."""

    start_ps: int
    span_ps: int

    def pulses(self, period_s: float) -> tuple[float, int]:
        """Time of the first pulse, in picoseconds of the slice, and how many there are. A train has a
        pulse at the world's time zero and is exact at any time."""
        period = Fraction(period_s) * 10**12
        first = -self.start_ps % period
        return float(first), max(0, -((first - self.span_ps) // period))
