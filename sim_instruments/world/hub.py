"""A hub: the Bell-state measurement where the idlers of up to two sources meet."""

from collections.abc import Mapping

import numpy as np

from sim_instruments.world.arm import Arm, Born
from sim_instruments.world.channel import Channel
from sim_instruments.world.interference import Complex, Tables, by_port, merge_arrivals, route
from sim_instruments.world.layout import BellStateMeasurement
from sim_instruments.world.pairs import Bytes, Floats
from sim_instruments.world.polarization import Matrix
from sim_instruments.world.randomness import generator
from sim_instruments.world.scratch import Scratch


class Hub:
    """A Bell-state measurement with up to two arms."""

    def __init__(self, measurement: BellStateMeasurement, channels: Mapping[str, Channel], seed: int) -> None:
        self.measurement = measurement
        self.rng = generator(seed, measurement.name)
        self.arms: dict[int, Arm] = {}
        """The source at input a (0), b (1)."""
        self.arriving: dict[int, Born] = {}
        """What each of them sends in the slice at hand."""
        self.delays = [0.0, 0.0]
        self._outputs = [channels[name] for name in measurement.outputs]
        self._conditional = np.zeros((2, 3, 4, 4), dtype=np.complex128)
        self.scratch = Scratch()
        self.tables: Tables | None = None
        self.forget()

    def forget(self) -> None:
        nothing = (np.empty(0), np.empty(0), np.empty(0, dtype=np.int8))
        self.carry: list[tuple[Floats, Floats, Bytes]] = [nothing, nothing]

    def darken(self) -> None:
        """Forget what the sources send, before they are asked anew."""
        self._conditional[:] = 0.0

    def entrance(self, side: int, transmission: float, idler: Matrix) -> Complex:
        """Amplitudes (4, 2) from an idler's (H, V) where it sets out to the four ports. The efficiency of
        the best detector is folded in; the others are thinned out behind the ports."""
        r = self.measurement.reflectivity
        split = (np.sqrt(1 - r), np.sqrt(r)) if side == 0 else (np.sqrt(r), -np.sqrt(1 - r))
        amplitude = np.sqrt(transmission * self.measurement.transmission * self._best)
        ports: Complex = np.vstack([amplitude * b * idler for b in split])
        return ports

    def shine(self, side: int, conditional: Complex, rate_hz: float, unpaired_hz: float) -> None:
        """Take over what a source sends: the conditional port density matrices (3, 4, 4) of its idlers,
        its pair rate, its unpaired light."""
        self._conditional[side] = conditional
        for port, channel in enumerate(self._outputs):
            arrive = conditional[:, port, port].sum().real
            unpaired = unpaired_hz / 4 * channel.relative_efficiency
            channel.shine(unpaired, rate_hz * arrive * self._share(channel) + unpaired)

    def tune(self) -> None:
        """Work out how photons are routed with what all sources send."""
        self.tables = Tables.of(self._conditional)

    @property
    def _best(self) -> float:
        return max(channel.efficiency for channel in self._outputs)

    def _share(self, channel: Channel) -> float:
        return channel.efficiency / self._best if self._best > 0.0 else 0.0

    def expose(self, span_ps: float) -> dict[str, Floats]:
        """Route all idlers that surely nothing can still overlap; keep the rest. Returns their times at
        the detectors, valid until the next slice."""
        born = self.arriving
        assert self.tables is not None
        reach = max(arm.shape.reach_ps for arm in self.arms.values())
        known = span_ps + min(self.delays[side] for side in self.arms) - reach
        scratch = self.scratch
        ready: list[tuple[Floats, Floats, Bytes]] = [self.carry[0], self.carry[1]]
        for side in range(2):
            t, x, u = self.carry[side]
            if side in born:
                b = born[side]
                old, n = len(t), len(t) + len(b.t)
                t = np.concatenate([t, b.t], out=scratch(f"t{side}", n))
                t[old:] += self.delays[side]
                x = np.concatenate([x, b.x], out=scratch(f"x{side}", n))
                u = np.concatenate([u, b.u], out=scratch(f"u{side}", n, np.int8))
            cut = int(np.searchsorted(t, known))
            ready[side] = t[:cut], x[:cut], u[:cut]
            self.carry[side] = t[cut:] - span_ps, x[cut:].copy(), u[cut:].copy()
        n = len(ready[0][0]) + len(ready[1][0])
        t, x = scratch("t", n), scratch("x", n)
        u, source, port = (scratch(name, n, np.int8) for name in ("u", "source", "port"))
        merge_arrivals(*ready[0], *ready[1], t, x, u, source)
        shapes = np.array(
            [(self.arms.get(side) or next(iter(self.arms.values()))).shape.row for side in (0, 1)]
        )
        tables = self.tables
        draws = self.rng.random(out=scratch("draws", n))
        route(
            t, x, u, source, draws, tables.conditional, tables.single, tables.pure, tables.weight,
            shapes, reach, self.measurement.idler_overlap, 0.0, self.rng, port,
        )  # fmt: skip
        if self.measurement.extinction:
            port ^= (self.rng.random(n) < self.measurement.extinction).astype(np.int8)
        times = scratch("times", 4 * n).reshape(4, n)
        count = np.empty(4, dtype=np.int64)
        by_port(t, port, times, count)
        photons: dict[str, Floats] = {}
        for channel, row, k in zip(self._outputs, times, count, strict=True):
            share = self._share(channel)
            kept = row[:k] if share == 1.0 else row[:k][channel.rng.random(k) < share]
            photons[channel.detector.name] = kept
        return photons
