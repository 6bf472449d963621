"""When light is born, and the bunching of pairs in a thermal source.

Source: physics.md 1, "Source" and "Thermal extras". Times are float64 picoseconds of the slice.
"""

from dataclasses import dataclass
from math import exp, inf

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.scratch import Scratch
from sim_instruments.world.wave_packets import (
    GAUSSIAN,
    WIDTH,
    Floats,
    WavePacket,
    Window,
    log_ratio,
    separation,
)
from timetags.jit import kernel

Singles = NDArray[np.float32]
Integers = NDArray[np.int32]
"""Numbers of outcomes, or of rows in a table."""


@kernel
def sorted_times(gaps: Floats, span: float) -> Floats:
    """Uniform times on [0, span), sorted, in place of the standard exponentials in `gaps`, of which
    there is one more than times."""
    total = 0.0
    for i in range(len(gaps)):
        total += gaps[i]
        gaps[i] = total
    scale = span / total
    for i in range(len(gaps)):
        gaps[i] *= scale
    return gaps[:-1]


def birth_times(
    packet: WavePacket, rate: float, window: Window, rng: np.random.Generator, scratch: Scratch, name: str
) -> Floats:
    """Sorted times of a Poisson process of `rate` per ps: of the births themselves, or, of pulsed light, of
    their pulses."""
    span = float(window.span_ps)
    if not packet.pulsed:
        n = rng.poisson(rate * span)
        return sorted_times(rng.standard_exponential(out=scratch(name, n + 1)), span)
    first_ps, pulses = window.pulses(packet.period_s)
    period_ps = packet.period_s * 1e12
    n = rng.poisson(rate * period_ps * pulses)
    times = sorted_times(rng.standard_exponential(out=scratch(name, n + 1)), float(pulses))
    np.floor(times, out=times)
    times *= period_ps
    times += first_ps
    return times


def separations(packet: WavePacket, rng: np.random.Generator, n: int) -> Singles:
    """n times from a photon to its partner, drawn from the squared amplitude."""
    if packet.kind == GAUSSIAN:
        return (packet.after * rng.standard_normal(n)).astype(np.float32)
    after = rng.random(n) * (packet.after + packet.before) < packet.after
    decays = rng.standard_exponential(n)
    return np.where(after, packet.after * decays, -packet.before * decays).astype(np.float32)


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


@kernel
def propose_clusters(
    times: Floats,
    packet: Floats,
    reach: float,
    cumulative: Floats,
    rng: np.random.Generator,
    t: Floats,
    x: Floats,
    fate: Integers,
) -> int:
    """Accept or reject proposed two-pair clusters; returns how many there are.

    Of each, `t`, `x` (n, 2) take the two photons, `fate` (n,) the index of what happens to the four, with the
    `cumulative` probabilities. `times` are those of the first pair, the second following within `reach`; or,
    of pulsed light, those of the pulse that made both.
    """
    packets = packet.reshape(1, -1)
    n = 0
    for i in range(len(times)):
        if packet[0] == GAUSSIAN:
            x1 = separation(packet, rng.standard_normal(), 0.0)
            x2 = separation(packet, rng.standard_normal(), 0.0)
        else:
            x1 = separation(packet, rng.standard_exponential(), rng.random())
            x2 = separation(packet, rng.standard_exponential(), rng.random())
        if packet[WIDTH] > 0.0:
            t1 = times[i] + packet[WIDTH] * rng.standard_normal() - x1 / 2
            t2 = times[i] + packet[WIDTH] * rng.standard_normal() - x2 / 2
        else:
            t1 = times[i]
            t2 = t1 + rng.random() * reach
        ratio = exp(log_ratio(packets, 0, 0, t1, t2, x1, x2))  # f2 / f1
        if not ratio < inf or rng.random() * (1 + ratio * ratio) >= 2 * ratio:
            continue
        t[n, 0], t[n, 1], x[n, 0], x[n, 1] = t1, t2, x1, x2
        fate[n] = np.searchsorted(cumulative, rng.random(), side="right")
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
    ) -> tuple[Floats, Floats, Integers]:
        """Times and separations (n, 2) of the two photons of every cluster, and its fate (n,)."""
        times = birth_times(packet, self.rate, window, rng, scratch, "clusters")
        t = scratch("cluster_t", 2 * len(times)).reshape(-1, 2)
        x = scratch("cluster_x", 2 * len(times)).reshape(-1, 2)
        fate = scratch("fates", len(times), np.int32)
        phase_ps = window.pulses(packet.period_s)[0] if packet.pulsed else 0.0
        n = propose_clusters(times, packet.row(phase_ps), packet.reach_ps, self.fates, rng, t, x, fate)
        return t[:n], x[:n], fate[:n]
