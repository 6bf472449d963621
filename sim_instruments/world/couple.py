"""A couple: a pair source of which both photons go to receivers, as in a Bell test.

Only pairs of which both photons click, and bunched clusters with two clicks or more, are drawn with their
times; nothing is correlated with all other clicks. Source: physics.md 1, "Other experiments".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.arm import Complex
from sim_instruments.world.births import Births, Clusters, Integers, Singles
from sim_instruments.world.polarization import Matrix
from sim_instruments.world.quantiles import Bits, exponential, normal, random_bits
from sim_instruments.world.scratch import Scratch
from sim_instruments.world.wave_packets import Floats, Law, WavePacket, Window, separation
from timetags.jit import kernel


@dataclass(frozen=True)
class Coincidences:
    """What settings make of the pairs, until one changes. Rates in 1/ps. The outcomes of the signal are
    numbered 0 to K - 1, those of the idler 0 to L - 1; K and L are lost photons."""

    pairs: float
    """Rate of pairs of which both photons click."""
    outcomes: Floats
    """(K L,) cumulative probabilities of signal x idler among them."""
    lone: tuple[Floats, Floats]
    """(K,) and (L,) rate of clicks that are not drawn, by the side."""
    clusters: Clusters
    """Its fates are numbered ((u1 (K + 1) + u2) (L + 1) + v1) (L + 1) + v2."""

    @classmethod
    def of(
        cls,
        rate: float,
        packet: WavePacket,
        rho: Complex,
        signal: Sequence[Matrix],
        idler: Sequence[Matrix],
    ) -> "Coincidences":
        """`rate` pairs per ps; `rho` the 4x4 state; POVM elements (2x2) of the clicks of either side.

        Where photons of two pairs meet, their exchange correlates all four outcomes; it can also make some
        combination rarer than by chance. That cannot be added as clusters and is left out; each two outcomes
        of signals have their exact share, and so have the correlations of signals with signals.
        """
        state = rho.reshape(2, 2, 2, 2)  # signal, idler; signal', idler'
        povms = [np.array([*side, np.eye(2) - sum(side, np.zeros((2, 2)))]) for side in (signal, idler)]
        sigma = np.einsum("uba,aibj->uij", povms[0], state)
        joint = np.einsum("vji,uij->uv", povms[1], sigma).real
        passed = np.einsum("vij,ujk->vuik", povms[1], sigma)
        # Tr F_v1 sigma_u1 F_v2 sigma_u2, and what its sum over v1 and v2 is.
        weights = np.maximum(np.einsum("vuik,wtki->utvw", passed, passed).real, 0.0)
        exact = np.einsum("uij,tji->ut", sigma, sigma).real
        sums = weights.sum(axis=(2, 3))
        weights *= np.divide(exact, sums, out=np.zeros_like(sums), where=sums > 0.0)[:, :, None, None]
        bunching = float(weights.sum())
        kept = [np.arange(len(povm)) < len(povm) - 1 for povm in povms]
        clicks = (
            kept[0][:, None, None, None].astype(int) + kept[0][:, None, None] + kept[1][:, None] + kept[1]
        )
        weights[clicks < 2] = 0.0
        base = max(rate - rate * rate * packet.coherence_ps * bunching, 0.0)
        both = joint[:-1, :-1]
        # A cluster has two photons of either side; its rate is rate^2 coherence / 2 times its weight.
        bunched = rate * rate * packet.coherence_ps / 2
        clustered = (
            (weights.sum(axis=(1, 2, 3)) + weights.sum(axis=(0, 2, 3)))[:-1],
            (weights.sum(axis=(0, 1, 3)) + weights.sum(axis=(0, 1, 2)))[:-1],
        )
        lone = tuple(
            np.maximum(rate * joint.sum(axis=other)[:-1] - base * both.sum(axis=other) - bunched * more, 0.0)
            for other, more in zip((1, 0), clustered, strict=True)
        )
        total = float(both.sum())
        cumulative = np.cumsum(both.ravel()) / total if total > 0.0 else np.ones(both.size)
        cumulative[-1:] = 1.0
        return cls(base * total, cumulative, (lone[0], lone[1]), Clusters.of(rate, packet, weights))


class Couple:
    """A source in operation."""

    def __init__(self, packet: WavePacket, rng: np.random.Generator) -> None:
        self.packet = packet
        self.rng = rng
        self.scratch = Scratch()

    def emit(
        self,
        statistics: Coincidences,
        window: Window,
        delays_ps: tuple[Sequence[float], Sequence[float]],
    ) -> tuple[list[Floats], list[Floats]]:
        """Times of a slice's clicks by the outcomes of the signal and of the idler, each with its delay; the
        idler is born at its time, the signal x later. Nearly sorted; valid until the next slice."""
        rng, packet, scratch = self.rng, self.packet, self.scratch
        births = Births.of(packet, statistics.pairs, window)
        t, x, fate = statistics.clusters.draw(packet, window, rng, scratch)
        order = np.argsort(t[:, 0])
        t, x, fate = t[order], x[order], fate[order]
        signals, idlers = len(delays_ps[0]), len(delays_ps[1])
        times = scratch("times", (signals + idlers) * (births.most + 2 * len(t) + 1))
        times = times.reshape(signals + idlers, -1)
        count = np.zeros(signals + idlers, dtype=np.int64)
        words = 4 if packet.width else 3
        split(
            births, packet.law, random_bits(rng, words * births.most), words, statistics.outcomes,
            np.array([*delays_ps[0], *delays_ps[1]]), signals, idlers, t, x, fate, times, count,
        )  # fmt: skip
        cut = [row[:k] for row, k in zip(times, count, strict=True)]
        return cut[:signals], cut[signals:]


@kernel
def split(
    births: Births, law: Law, bits: Bits, words: int, outcomes: Floats, delays: Floats, signals: int,
    idlers: int, cluster_t: Floats, cluster_x: Singles, fate: Integers,
    times: Floats, count: NDArray[np.int64],
) -> None:  # fmt: skip
    """Draw pairs, each with `words` random numbers, and spread them, and clusters in the order of their first
    idlers, over the outcomes: the rows of `times` take the signals, then the idlers; `count` says how many
    each."""
    c = k = 0
    time = 0.0
    while True:
        t = inf
        if k < len(bits):
            time += births.mean * exponential(bits[k])
            if time < births.end:
                t = births.first_ps + floor(time) * births.period_ps if births.period_ps else time
        while c < len(fate) and cluster_t[c, 0] <= t:
            rest = fate[c]
            v2, rest = rest % (idlers + 1), rest // (idlers + 1)
            v1, rest = rest % (idlers + 1), rest // (idlers + 1)
            u2, u1 = rest % (signals + 1), rest // (signals + 1)
            for member in range(2):
                u, v = (u1, v1) if member == 0 else (u2, v2)
                if u < signals:
                    times[u, count[u]] = cluster_t[c, member] + cluster_x[c, member] + delays[u]
                    count[u] += 1
                if v < idlers:
                    row = signals + v
                    times[row, count[row]] = cluster_t[c, member] + delays[row]
                    count[row] += 1
            c += 1
        if t == inf:
            return
        r = bits[k + 1] * 2.0**-32
        outcome = 0
        for edge in range(len(outcomes) - 1):
            outcome += r >= outcomes[edge]
        u, row = outcome // idlers, signals + outcome % idlers
        x = separation(law, bits[k + 2])
        if law.width > 0.0:
            t += law.width * normal(bits[k + 3]) - x / 2
        times[u, count[u]] = t + x + delays[u]
        count[u] += 1
        times[row, count[row]] = t + delays[row]
        count[row] += 1
        k += words
