"""An arm: a pair source of which one photon goes to a Bell-state measurement, its partner to a receiver.

Drawn with their times are the photons that arrive at the measurement, and partners that click whose photon
arrives or which belong to a bunched cluster; all other clicks of partners are
correlated with nothing. Source: physics.md 1, "Per-slice tables" and "Thermal extras".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, inf

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.births import Births, Clusters, Integers, Singles
from sim_instruments.world.polarization import Matrix
from sim_instruments.world.quantiles import Bits, exponential, normal, random_bits
from sim_instruments.world.scratch import Scratch
from sim_instruments.world.wave_packets import Floats, Law, WavePacket, Window, separation
from timetags.jit import kernel

Complex = NDArray[np.complex128]
Room = Callable[[int], tuple[Floats, Singles, Integers]]
"""Arrays for so many photons at most: times, separations, rows."""


@dataclass(frozen=True)
class Statistics:
    """What settings make of an arm's pairs, until one changes. Rates in 1/ps. Outcomes of the partner are
    numbered 0 to K - 1 where it clicks, K where it is lost."""

    conditional: Complex
    """G[u] (K + 1, 4, 4): unnormalised port density matrices at the Bell-state measurement."""
    arriving: float
    """Base rate of photons that arrive there."""
    edges: Floats
    """(K + 2,) cumulative probability of the outcomes of an arriving photon's partner, from 0 to 1."""
    lone: Floats
    """(K,) rate of clicks of partners that are not drawn: nothing else is correlated with them."""
    clusters: Clusters
    """Its fates are numbered ((u1 (K + 1) + u2) 2 + a1) 2 + a2, a = 1 for a photon that arrives."""

    @classmethod
    def of(
        cls, rate: float, packet: WavePacket, rho: Complex, outcomes: Sequence[Matrix], ports: Complex
    ) -> "Statistics":
        """`rate` pairs per ps; `rho` the 4x4 state of partner x photon; `outcomes` the POVM elements (2x2,
        all losses included) of the partner's clicks; `ports` (4, 2) the amplitudes from the photon's (H, V)
        to the ports."""
        clicks = len(outcomes)
        lost = np.eye(2) - sum(outcomes, np.zeros((2, 2)))
        state = rho.reshape(2, 2, 2, 2)  # partner, photon; partner', photon'
        sigma = np.einsum("uba,aibj->uij", np.array([*outcomes, lost]), state)
        conditional: Complex = ports @ sigma @ ports.conj().T
        click = np.einsum("uii->u", sigma).real
        arrive = np.maximum(np.einsum("upp->u", conditional).real, 0.0)
        total = float(arrive.sum())
        fates = np.zeros((clicks + 1, clicks + 1, 2, 2))
        if total > 0.0:
            both = np.einsum("upq,vqp->uv", conditional, conditional).real
            likely = (1.0 - total) / total
            fates[:] = both[:, :, None, None] * likely ** np.array([[2, 1], [1, 0]])
        bunching = float(fates.sum())  # all fates together: the purity of the photon
        fates[clicks, clicks, 0, 0] = 0.0
        base = max(rate - rate * rate * packet.coherence_ps * bunching, 0.0)
        edges = np.concatenate([[0.0], np.cumsum(arrive)]) / total if total > 0.0 else np.zeros(clicks + 2)
        edges[-1] = 1.0
        return cls(
            conditional=conditional,
            arriving=base * total,
            edges=edges,
            lone=base * np.maximum(click - arrive, 0.0)[:clicks],
            clusters=Clusters.of(rate, packet, fates),
        )


@dataclass(frozen=True)
class Born:
    """A slice of an arm. Photons in the order of their times at the measurement, and for each outcome the
    times of partners that click, nearly sorted. Valid until the arm's next slice."""

    t: Floats
    x: Singles
    row: Integers
    partners: list[Floats]
    orphans: tuple[Floats, Floats]
    """Partners in bunched clusters whose own photon does not arrive, in any order: their times, and how much
    later they are than their photon. They stand among the others too."""


class Arm:
    """A source in operation."""

    def __init__(self, packet: WavePacket, rng: np.random.Generator) -> None:
        self.packet = packet
        self.rng = rng
        self.scratch = Scratch()

    def emit(
        self,
        statistics: Statistics,
        window: Window,
        room: Room | None = None,
        first_row: int = 0,
        delay_ps: float = 0.0,
        delays_ps: Sequence[float] = (),
    ) -> Born:
        """Draw what is born in a slice. Photons are put into `room`, `delay_ps` later than they are born and
        with their partner's outcome counted from `first_row`; the partner's clicks are `delays_ps` later."""
        rng, packet, scratch = self.rng, self.packet, self.scratch
        births = Births.of(packet, statistics.arriving, window)
        lost = len(statistics.edges) - 2
        extra = self._bunched(statistics.clusters, window, lost)
        most = births.most + len(extra.t)
        t, x, row = room(most) if room else self._room(most)
        partners = scratch("partners", (lost + 1) * (most + len(extra.click) + 1)).reshape(lost + 1, -1)
        count = np.zeros(lost + 1, dtype=np.int64)
        delays = np.zeros(lost + 1)
        delays[: len(delays_ps)] = delays_ps
        words = 4 if packet.width else 3
        n = spread(
            births, packet.law, random_bits(rng, words * births.most), words, statistics.edges, delay_ps,
            delays, first_row, extra.t, extra.x, extra.row, extra.click, extra.outcome,
            t, x, row, partners, count,
        )  # fmt: skip
        t, x, row = t[:n], x[:n], row[:n]
        if packet.width:
            in_order(t, x, row)
        clicks = [times[:k] for times, k in zip(partners[:lost], count[:lost], strict=True)]
        return Born(t, x, row, clicks, extra.orphans)

    def _room(self, n: int) -> tuple[Floats, Singles, Integers]:
        scratch = self.scratch
        return scratch("t", n), scratch("x", n, np.float32), scratch("row", n, np.int32)

    def _bunched(self, clusters: Clusters, window: Window, lost: int) -> "_Extra":
        t, x, fate = clusters.draw(self.packet, window, self.rng, self.scratch)
        outcome = np.stack([fate // (4 * (lost + 1)), fate // 4 % (lost + 1)], axis=1)
        arrives = np.stack([fate // 2 % 2, fate % 2], axis=1) == 1
        # Both pairs are in one mode: a photon that arrives alone, its own partner lost, carries the
        # polarization that the other partner's outcome leaves.
        alone = (outcome == lost) & ~arrives[:, ::-1]
        row = np.where(alone, outcome[:, ::-1], outcome)
        click = outcome < lost
        order = np.argsort(t[arrives])
        later = np.argsort((t + x)[click])
        return _Extra(
            t[arrives][order],
            x[arrives][order],
            row[arrives][order],
            (t + x)[click][later],
            outcome[click][later],
            ((t + x)[click & ~arrives], x[click & ~arrives]),
        )


@dataclass(frozen=True)
class _Extra:
    """What bunched clusters add, in order of time: photons that arrive, and partners that click."""

    t: Floats
    x: Singles
    row: Integers
    click: Floats
    outcome: Integers
    orphans: tuple[Floats, Floats]


@kernel
def spread(
    births: Births, law: Law, bits: Bits, words: int, edges: Floats, delay: float, delays: Floats,
    first_row: int, extra_t: Floats, extra_x: Singles, extra_row: Integers, extra_click: Floats,
    extra_outcome: Integers,
    t: Floats, x: Singles, row: Integers, partners: Floats, count: NDArray[np.int64],
) -> int:  # fmt: skip
    """Draw time, outcome and separation of every photon, each with `words` random numbers; merge in those of
    bunched clusters, in order of time like their clicks; and note where and when partners click. Returns the
    number of photons. `partners` (K + 1, ...) and `count` (K + 1,) take the times of clicks by outcome; the
    last row means nothing."""
    lost = len(edges) - 2
    e = f = n = k = 0
    time = 0.0
    while True:
        at = inf
        if k < len(bits):
            time += births.mean * exponential(bits[k])
            if time < births.end:
                at = births.first_ps + floor(time) * births.period_ps if births.period_ps else time
        while f < len(extra_click) and extra_click[f] <= at:
            u = extra_outcome[f]
            partners[u, count[u]] = extra_click[f] + delays[u]
            count[u] += 1
            f += 1
        while e < len(extra_t) and extra_t[e] <= at:
            t[n], x[n], row[n] = extra_t[e] + delay, extra_x[e], first_row + extra_row[e]
            n += 1
            e += 1
        if at == inf:
            return n
        r = bits[k + 1] * 2.0**-32
        u = 0
        for outcome in range(1, lost + 1):
            u += r >= edges[outcome]
        dx = separation(law, bits[k + 2])
        if law.width > 0.0:
            at += law.width * normal(bits[k + 3]) - dx / 2
        t[n], x[n], row[n] = at + delay, dx, first_row + u
        n += 1
        partners[u, count[u]] = at + dx + delays[u]
        count[u] += u < lost  # the last row's first place is written over and over
        k += words


@kernel
def in_order(t: Floats, x: Singles, row: Integers) -> None:
    """Sort photons that are nearly in order by time."""
    for i in range(1, len(t)):
        at, dx, u = t[i], x[i], row[i]
        j = i
        while j > 0 and t[j - 1] > at:
            t[j], x[j], row[j] = t[j - 1], x[j - 1], row[j - 1]
            j -= 1
        t[j], x[j], row[j] = at, dx, u
