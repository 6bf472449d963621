"""A long run takes no more memory than a short one: what is over is forgotten."""

import gc
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np

from drivers.units import AS_SI
from experiments.config.plan import MeasureSwapping
from experiments.engine.events import Happened, Progress, RunEvent
from experiments.engine.gates import Gate
from experiments.engine.outcome import Exit
from experiments.engine.record import RunFolder
from experiments.engine.run import execute
from experiments.engine.tag_files import HeraldSink
from experiments.measurements.dwell import Dwell, Slice
from experiments.measurements.tally import Counts
from tests.experiments.fakes import BRING_UP, CALIBRATE, DETECTORS, ToyBench, experiment
from timetags.analyses.correlate import Correlation

OF_A_DWELL = (Dwell, Slice, Gate, HeraldSink, Counts)
EARLY, LATE = range(8, 16), range(40, 48)
"""Dwells after which memory is looked at. What is under way just then, and the timers that asyncio has
cancelled but not yet thrown away, come and go by a hundred objects (standard deviation): of eight looks
the mean counts, which by chance grows by 1.6 a dwell."""
ROUNDS = max(LATE) // 2 + 1
LONG_S = 50.0
"""A dwell of five slices, each with a look at the correlation peaks of both spokes before it."""


class Dim:
    """One click of each detector in every slice of time: enough to go on, not enough to be slow."""

    def clicks(self, begin_ps: int, end_ps: int) -> dict[str, dict[int, np.ndarray]]:
        streams: dict[str, dict[int, np.ndarray]] = {}
        for channel, wire in enumerate(DETECTORS.values()):
            tagger, input_ = wire.split(".")
            streams.setdefault(tagger, {})[int(input_)] = np.array([begin_ps + 1000 * channel])
        return streams


class Census:
    """Counts what is alive early and late in a run."""

    def __init__(self, bench: ToyBench) -> None:
        self._bench, self._dwells = bench, 0
        self.alive: dict[int, Counter[str]] = {}
        self.objects: dict[int, int] = {}
        self.histograms: list[int] = []
        """Alive while the long dwell goes on."""

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, Progress) and event.doing == "ZZ, 1 of 1" and round(event.elapsed_s) % 10 == 0:
            self.histograms.append(sum(isinstance(o, Correlation) for o in gc.get_objects()))
        if not (isinstance(event, Happened) and event.event == "dwell"):
            return
        self._bench.clock._light = Dim()  # after the calibration, which wants light
        self._dwells += 1
        if self._dwells in (*EARLY, *LATE):
            gc.collect()
            objects = gc.get_objects()
            self.objects[self._dwells] = len(objects)
            self.alive[self._dwells] = Counter(type(o).__name__ for o in objects if isinstance(o, OF_A_DWELL))


async def test_what_belongs_to_a_dwell_does_not_pile_up(tmp_path: Path) -> None:
    bench = ToyBench()
    census = Census(bench)
    plan = (
        BRING_UP,
        CALIBRATE,
        MeasureSwapping.model_validate({"bases": ["ZZ", "XX"], "dwell": "600 ms", "rounds": ROUNDS}),
        MeasureSwapping.model_validate({"bases": ["ZZ"], "dwell": LONG_S, "name": "long"}, context=AS_SI),
    )
    report = await execute(
        experiment(plan), bench.instruments, bench.clock, RunFolder.create(tmp_path, "toy_swapping"),
        seed=7, observers=[census],
    )  # fmt: skip
    assert report.ending.exit is Exit.DONE, report.ending.message
    early, late = census.alive[min(EARLY)], census.alive[min(LATE)]
    assert early["Dwell"] >= 1
    for name in early | late:
        assert late[name] <= early[name] + 5, (name, early, late)
    assert len(census.histograms) >= 5
    assert max(census.histograms) <= 4, census.histograms  # of the look that is over and of the next
    # What the record of the delays gains with each look is small, and meant to be kept.
    grown = fmean(census.objects[n] for n in LATE) - fmean(census.objects[n] for n in EARLY)
    assert grown < 10 * (min(LATE) - min(EARLY))
