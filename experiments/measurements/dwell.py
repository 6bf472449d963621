"""A dwell: what is counted while the analysers stand in one setting, with delays that follow the drift.

A dwell is counted in slices of ten seconds, each with the delays that the tracker expects in its middle. A
look at the correlation peaks just before a slice brings the tracker up to date. Slices meet without gap or
overlap: a herald counts in the slice that its time falls in, and finds its spokes' tags beyond the border.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from experiments.calibrations.tracking import DelayTracker
from experiments.config.settings import SwappingSettings
from experiments.engine.gates import Gate
from experiments.engine.tags import GUARD_S, PS, TAIL_S, TagCollector
from timetags.analyses.analysis import Analysis
from timetags.block import TagBlock

if TYPE_CHECKING:
    from experiments.engine.step import Context
    from timetags.analyses.fourfold import HeraldedFourfolds
    from timetags.analyses.rates import Singles

MARGIN_PS = 1_000_000_000
"""How far beyond its borders a slice sees tags: 1 ms, far more than any delay that is left after the
alignment, far less than the guard around a dwell."""
SLICE_PS = 10**13
"""Ten seconds, in which a clock that is off by 1e-11 moves by 100 ps; the track takes most of that away."""
LOOK_PS = 25 * 10**10
"""A quarter of a second: 15,000 pairs of the deployed link, which fix the peak to some 10 ps. It costs about
as much computing as a second of counting."""
FIRST_LOOK_PS = round(0.8 * GUARD_S * PS)
"""The first look lies within the guard before the dwell, when the analysers already stand still."""


S = TypeVar("S", bound=Analysis)


class SlicedDwell(Generic[S]):
    """One stay in one setting, from `begin_ps` to `end_ps` of hub time; its counts grow as tags come in.

    What its slices count, whoever opens it says."""

    def __init__(
        self,
        setting: str,
        window_ps: tuple[int, int],
        channels: int,
        singles: "Singles",
        slices: Sequence[S],
        gates: Sequence[Gate],
    ) -> None:
        self.setting = setting
        self.begin_ps, self.end_ps = window_ps
        self._channels, self._singles, self._slices, self._gates = channels, singles, slices, gates

    @classmethod
    def open(
        cls,
        setting: str,
        seconds: float,
        tags: TagCollector,
        channels: int,
        tracker: DelayTracker,
        slice_of: Callable[[tuple[int, int]], S],
        more: Sequence[Analysis] = (),
    ) -> Self:
        """Begin a dwell of `seconds` now, on tags of so many `channels`. `slice_of(window_ps)` makes the sink
        of one slice, which sees its tags and `MARGIN_PS` around; `more` sinks see all tags of the dwell, and
        as much around."""
        window_ps = tags.window(seconds)
        return cls.over(setting, window_ps, channels, slice_of, tags.open_gate, tracker.look, more)

    @classmethod
    def over(
        cls,
        setting: str,
        window_ps: tuple[int, int],
        channels: int,
        slice_of: Callable[[tuple[int, int]], S],
        open_gate: Callable[..., Gate],
        look: Callable[[int, int], Analysis] | None = None,
        more: Sequence[Analysis] = (),
    ) -> Self:
        """The dwell over a stretch of tags, through gates that `open_gate(begin_ps, end_ps, *sinks)` opens.
        Before each slice there is a `look(begin_ps, end_ps)` at the delays, unless they are known."""
        from timetags.analyses.rates import Singles

        begin, end = window_ps
        singles = Singles()
        gates = [open_gate(begin, end, singles)]
        slices = []
        for start in range(begin, end, SLICE_PS):
            if look is not None:
                look_from = start - (LOOK_PS if start > begin else FIRST_LOOK_PS)
                # The look ends where the slice begins to see tags, and comes first: so it has its say.
                look_until = start - MARGIN_PS
                gates.append(open_gate(look_from, look_until, look(look_from, look_until)))
            stop = min(start + SLICE_PS, end)
            slices.append(slice_of((start, stop)))
            gates.append(open_gate(start - MARGIN_PS, stop + MARGIN_PS, slices[-1]))
        if more:
            gates.append(open_gate(begin - MARGIN_PS, end + MARGIN_PS, *more))
        return cls(setting, window_ps, channels, singles, slices, gates)

    @property
    def window(self) -> dict[str, object]:
        """Setting, begin and end, for the record."""
        return {"setting": self.setting, "begin_ps": self.begin_ps, "end_ps": self.end_ps}

    @property
    def is_in(self) -> bool:
        """Whether all its tags have come: its counts grow no more."""
        return all(gate.finished for gate in self._gates)

    async def all_in(self, context: "Context") -> None:
        """Wait, when it is over, until all its tags have come. Taggers deliver in blocks, so the bench has to
        run on for a while; another stay meanwhile, if it was short, is no such while."""
        left_s = TAIL_S - (context.tags.now_ps - self.end_ps) / PS
        if left_s > 0:
            context.progress("waiting for the last tags")
            await context.clock.sleep(left_s)
        await context.tags.reached(self.end_ps + MARGIN_PS)

    async def cut_short(self, tags: TagCollector) -> None:
        """Count no more."""
        await tags.cut_short(self._gates)

    @property
    def live_ps(self) -> int:
        """Time counted so far."""
        return self._singles.live_ps

    @property
    def singles(self) -> NDArray[np.int64]:
        """Singles by channel."""
        return self._singles.counts[: self._channels]


class Dwell(SlicedDwell["Slice"]):
    """A stay in a swapping measurement."""

    @property
    def heralds(self) -> NDArray[np.int64]:
        """Heralds by pattern, shape (4,)."""
        return sum((s.heralds for s in self._slices), np.zeros(4, np.int64))

    @property
    def fourfolds(self) -> NDArray[np.int64]:
        """Four-folds by pattern, outcome at the first spoke, outcome at the second (H, V): (4, 2, 2)."""
        return sum((s.fourfolds for s in self._slices), np.zeros((4, 2, 2), np.int64))


class Delays(Protocol):
    """Knows the channels that are compared and the delay of each at a time (see `DelayTracker`). On a pair of
    analysers the first stands for the hub, and the second is the only spoke."""

    @property
    def hub(self) -> tuple[int, ...]: ...
    @property
    def spokes(self) -> tuple[tuple[int, ...], ...]: ...
    def delays_at(self, time_ps: int) -> dict[int, int]: ...


class Slice:
    """A sink: the four-fold finder of `timetags` with the windows of an experiment, over one slice."""

    def __init__(self, settings: SwappingSettings, delays: Delays, window_ps: tuple[int, int]) -> None:
        self._settings, self._delays, self._window_ps = settings, delays, window_ps
        self._finder: HeraldedFourfolds | None = None
        self.heralds = np.zeros(4, np.int64)
        self.fourfolds = np.zeros((4, 2, 2), np.int64)

    def add(self, block: TagBlock) -> None:
        if self._finder is None:
            self._finder = self._make_finder()
            # The finder's own arrays, which go on growing.
            self.heralds, self.fourfolds = self._finder.pattern_heralds, self._finder.pattern_counts
        self._finder.add(block)

    def finish(self) -> None:
        if self._finder is not None:
            self._finder.finish()
            self._finder = None  # its buffers are large, and a long run has many slices

    def _make_finder(self) -> "HeraldedFourfolds":
        """With the delays of now: called with the first tags, when the look before has been taken."""
        from timetags.analyses.fourfold import HeraldedFourfolds

        settings, delays = self._settings, self._delays
        (first_h, first_v), (second_h, second_v) = delays.spokes
        return HeraldedFourfolds(
            delays.hub,
            ((first_h, first_v), (second_h, second_v)),
            delays.delays_at(sum(self._window_ps) // 2),
            bsm_window_ps=round(settings.bsm_window * PS),
            spoke_window_ps=round(settings.spoke_window * PS),
            spoke_centre_ps=round(settings.spoke_window_centre * PS),
            gate_ps=self._window_ps,
        )
