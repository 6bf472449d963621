"""A detector on a tagger's input, without a light field, for the tests of the world's detection side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import DiodePort, GatePort, NanowirePort, TaggerInput
from sim_instruments.world.channel import Channel
from sim_instruments.world.clock import NodeClock
from sim_instruments.world.layout import Clock, Detector, Tagger

SECOND_PS = 10**12
GUARD_PS = 50_000
Times = NDArray[np.int64]


def detector(**properties: Any) -> Detector:
    """A perfect one of 90 % but for what is said."""
    perfect: dict[str, Any] = {"efficiency": 0.9, "dark_counts_hz": 0.0, "jitter_s": 0.0, "dead_time_s": 0.0}
    return Detector("d", "t", 1, **(perfect | properties))


def clock_off_by(error: float, seed: int) -> NodeClock:
    """A clock without noise whose frequency is off by just so much."""
    drawn = float(np.random.default_rng(seed).standard_normal())  # the clock's own first number
    return NodeClock(Clock("clock", error / drawn), np.random.default_rng(seed))


class OneDetector:
    """A channel in operation."""

    def __init__(
        self,
        detector: Detector,
        *,
        seed: int,
        skew: float = 0.0,
        resolution_ps: int = 1,
        control: NanowirePort | DiodePort | None = None,
        gate: GatePort | None = None,
        entry: TaggerInput | None = None,
    ) -> None:
        self.clock = clock_off_by(skew, seed)
        tagger = Tagger("t", self.clock.clock, resolution_ps=resolution_ps)
        self.channel = Channel(detector, tagger, self.clock, GUARD_PS, seed)
        self.channel.look(control, gate, entry or TaggerInput())

    def expose(self, start_ps: int, span_ps: int, *photons: NDArray[np.float64]) -> Times:
        self.clock.advance(start_ps + span_ps, locked=True)
        return self.channel.expose(start_ps, span_ps, list(photons))

    def run(self, span_ps: int, slices: int) -> Times:
        """Tags of so many slices in a row, without light."""
        return np.concatenate([self.expose(i * span_ps, span_ps) for i in range(slices)])
