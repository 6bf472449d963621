"""A hub: the Bell-state measurement where the idlers of up to two sources meet."""

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.arm import Arm, Born
from sim_instruments.world.interference import Tables, by_port, merge_arrivals, route
from sim_instruments.world.layout import BellStateMeasurement
from sim_instruments.world.pairs import Bytes, Floats
from sim_instruments.world.randomness import generator
from sim_instruments.world.scratch import Scratch


class Hub:
    """A Bell-state measurement with up to two arms."""

    def __init__(self, measurement: BellStateMeasurement, seed: int) -> None:
        self.measurement = measurement
        self.rng = generator(seed, measurement.name)
        self.arms: dict[int, Arm] = {}
        self.delays = [0.0, 0.0]
        self.scratch = Scratch()
        self.tables: Tables | None = None
        self.forget()

    def forget(self) -> None:
        nothing = (np.empty(0), np.empty(0), np.empty(0, dtype=np.int8))
        self.carry: list[tuple[Floats, Floats, Bytes]] = [nothing, nothing]

    def split(self, side: int) -> NDArray[np.float64]:
        """Amplitudes of the beam splitter from input a or b to the outputs c and d."""
        r = self.measurement.reflectivity
        return (
            np.array([np.sqrt(1 - r), np.sqrt(r)]) if side == 0 else np.array([np.sqrt(r), -np.sqrt(1 - r)])
        )

    def expose(self, born: dict[int, Born], span_ps: float) -> list[Floats]:
        """Route all idlers that surely nothing can still overlap; keep the rest. Returns their times at
        the four ports, valid until the next slice."""
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
        return [row[:k] for row, k in zip(times, count, strict=True)]
