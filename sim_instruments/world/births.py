"""When light is born, and the bunching of pairs in a thermal source.

Source: physics.md 1, "Source" and "Thermal extras". Times are float64 picoseconds of the slice.
"""

from dataclasses import dataclass
from math import ceil, exp, floor, inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.quantiles import Bits, exponential, normal, random_bits
from sim_instruments.world.scratch import Scratch
from sim_instruments.world.wave_packets import Floats, Law, WavePacket, Window, log_ratio, separation
from timetags.jit import kernel

Singles = NDArray[np.float32]
Integers = NDArray[np.int32]
"""Numbers of outcomes, or of rows in a table."""


class Births(NamedTuple):
    """A Poisson process in a slice of time."""

    mean: float
    """From one event to the next: picoseconds, or, of pulsed light, pulses."""
    end: float
    """Picoseconds, or number of pulses, in the slice."""
    first_ps: float
    """The first pulse."""
    period_ps: float
    """0.0: no pulses."""

    @classmethod
    def of(cls, packet: WavePacket, rate: float, window: Window) -> "Births":
        """`rate` per ps."""
        if rate <= 0.0:
            return cls(inf, 0.0, 0.0, 0.0)
        if not packet.pulsed:
            return cls(1 / rate, float(window.span_ps), 0.0, 0.0)
        first_ps, pulses = window.pulses(packet.period_s)
        period_ps = packet.period_s * 1e12
        return cls(1 / (rate * period_ps), float(pulses), first_ps, period_ps)

    @property
    def most(self) -> int:
        """There are no more events than this: 8 standard deviations above the mean."""
        mean = self.end / self.mean
        return ceil(mean + 8 * sqrt(mean) + 8) if mean else 0


@kernel
def occur(births: Births, bits: Bits, times: Floats) -> int:
    """Times of a Poisson process, or those of their pulses; sorted. Returns how many there are."""
    at = 0.0
    for n in range(len(bits)):
        at += births.mean * exponential(bits[n])
        if at >= births.end:
            return n
        times[n] = births.first_ps + floor(at) * births.period_ps if births.period_ps else at
    return len(bits)


def birth_times(
    packet: WavePacket, rate: float, window: Window, rng: np.random.Generator, scratch: Scratch, name: str
) -> Floats:
    """Sorted times of a Poisson process of `rate` per ps: of the births themselves, or, of pulsed light, of
    their pulses. Valid until `name` is used again."""
    births = Births.of(packet, rate, window)
    times = scratch(name, births.most)
    return times[: occur(births, random_bits(rng, births.most), times)]


@kernel
def separate(law: Law, bits: Bits, x: Singles) -> None:
    """Separations drawn from the squared amplitude."""
    for i in range(len(x)):
        x[i] = separation(law, bits[i])


def separations(packet: WavePacket, rng: np.random.Generator, n: int) -> Singles:
    """n times from a photon to its partner, drawn from the squared amplitude."""
    x = np.empty(n, dtype=np.float32)
    separate(packet.law, random_bits(rng, n), x)
    return x


def lone_photons(
    packet: WavePacket, rate: float, window: Window, rng: np.random.Generator, scratch: Scratch
) -> tuple[Floats, Singles]:
    """Photons whose partners are lost, independent of all others, `rate` per ps: their times, nearly sorted,
    and how much later their partners would have come."""
    t = birth_times(packet, rate, window, rng, scratch, "lone").copy()
    x = separations(packet, rng, len(t))
    if packet.width:
        t += packet.width * rng.standard_normal(len(t)) - x / 2
    return t, x


WORDS = 7
"""Random numbers for a proposed cluster."""
HOPELESS = 22.0
"""Proposals with amplitudes that differ by more, in their logarithm, are accepted once in 10^9 times: not at
all."""


@kernel
def propose_clusters(
    births: Births, packet: Floats, law: Law, reach: float, cumulative: Floats, bits: Bits,
    t: Floats, x: Singles, fate: Integers,
) -> int:  # fmt: skip
    """Propose two-pair clusters and accept or reject them; returns how many there are.

    Of each, `t`, `x` (n, 2) take the two photons, `fate` (n,) the index of what happens to the four, with the
    `cumulative` probabilities. Steady pairs follow the first within `reach`; pulsed ones are of one pulse.
    """
    packets = packet.reshape(1, -1)
    at = 0.0
    n = 0
    for k in range(0, len(bits), WORDS):
        at += births.mean * exponential(bits[k])
        if at >= births.end:
            break
        x1, x2 = separation(law, bits[k + 1]), separation(law, bits[k + 2])
        if law.width > 0.0:
            pulse = births.first_ps + floor(at) * births.period_ps
            t1 = pulse + law.width * normal(bits[k + 3]) - x1 / 2
            t2 = pulse + law.width * normal(bits[k + 4]) - x2 / 2
        else:
            t1 = at
            t2 = at + bits[k + 3] * 2.0**-32 * reach
        log = log_ratio(packets, 0, 0, t1, t2, x1, x2)
        if not abs(log) < HOPELESS:
            continue
        ratio = exp(log)  # f2 / f1
        if bits[k + 5] * 2.0**-32 * (1 + ratio * ratio) >= 2 * ratio:
            continue
        t[n, 0], t[n, 1], x[n, 0], x[n, 1] = t1, t2, x1, x2
        fate[n] = np.searchsorted(cumulative, bits[k + 6] * 2.0**-32, side="right")
        n += 1
    return n


@dataclass(frozen=True)
class Clusters:
    """Bunched pairs of pairs, accepted with 2 f1 f2 / (f1^2 + f2^2) of proposals that come at `rate` per ps;
    `fates` are the cumulative probabilities of what happens to the four photons."""

    rate: float
    fates: Floats

    @classmethod
    def of(cls, pairs: float, packet: WavePacket, weights: Floats) -> "Clusters":
        """`pairs` per ps; `weights` of the fates, the sum of which is at most the purity of the idlers."""
        seen = float(weights.sum())
        if seen <= 0.0:
            return cls(0.0, np.ones(1))
        fates = np.cumsum(weights.ravel()) / seen
        fates[-1] = 1.0
        return cls(pairs * pairs * packet.proposals_ps * seen, fates)

    def draw(
        self, packet: WavePacket, window: Window, rng: np.random.Generator, scratch: Scratch
    ) -> tuple[Floats, Singles, Integers]:
        """Times and separations (n, 2) of the two photons of every cluster, and its fate (n,)."""
        births = Births.of(packet, self.rate, window)
        most = births.most
        t = scratch("cluster_t", 2 * most).reshape(-1, 2)
        x = scratch("cluster_x", 2 * most, np.float32).reshape(-1, 2)
        fate = scratch("fates", most, np.int32)
        n = propose_clusters(
            births, packet.row(births.first_ps), packet.law, packet.reach_ps, self.fates,
            random_bits(rng, WORDS * most), t, x, fate,
        )  # fmt: skip
        return t[:n], x[:n], fate[:n]
