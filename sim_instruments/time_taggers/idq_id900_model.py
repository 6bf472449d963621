"""What an ID900 does with clicks: delays, counters, histograms, and recordings cut into sub-acquisitions.

The model knows nothing of wires. Times are int64 picoseconds of the tagger's own clock, clicks come slice
by slice as sorted arrays, and every result is the same wherever the slices are cut. Source: idq_id900.md.
Not modelled: the TSCO combiners (what their windows and operators do to pulses is not in the notes) and
the generators.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import TaggerInput, Tags
from timetags.block import Times

INPUTS, DELAYS, HISTOGRAMS, RAWS = 4, 8, 4, 4
START = 0
"""The START input's number in `Tags`: the four others are numbered from 1 on the box."""
NO_TIMES: Times = np.empty(0, dtype=np.int64)
GAP_PS = 40_000
"""Shortest gap between sub-acquisitions (M)."""


@dataclass
class Counter:
    """Clicks of one input: since the last reset (ACCU), or in the last whole period (CYCL).

    Periods begin at the last reset, at the last change of mode or period, and when somebody begins to look.
    """

    mode: str = "CYCL"
    integration_ms: int = 1000
    begin_ps: int = 0
    current: int = 0
    last: int = 0

    @property
    def value(self) -> int:
        return self.current if self.mode == "ACCU" else self.last

    def restart(self, now_ps: int) -> None:
        self.begin_ps, self.current, self.last = now_ps, 0, 0

    def begin_period(self, now_ps: int) -> None:
        """Somebody begins to look: a period must be seen whole; what has been accumulated stays."""
        if self.mode == "CYCL":
            self.restart(now_ps)

    def count(self, times: Times, until_ps: int) -> None:
        """Take all clicks before `until_ps` that were not taken before."""
        times = times[np.searchsorted(times, self.begin_ps) :]
        if self.mode == "CYCL":
            period = self.integration_ms * 1_000_000_000
            while until_ps >= self.begin_ps + period:
                self.begin_ps += period
                n = int(np.searchsorted(times, self.begin_ps))
                self.last, self.current, times = self.current + n, 0, times[n:]
        self.current += len(times)


@dataclass
class Input:
    """An input: what the world reads of it, and settings that act on nothing here (edge, coupling)."""

    signal: TaggerInput
    counter: Counter = field(default_factory=Counter)
    edge: str = "RISING"
    coupling: str = "DC"


@dataclass
class DelayLine:
    """DELAn: the clicks of another block, later by `value_ps`."""

    link: str = "NONE"
    value_ps: int = 0
    inside: Times = field(default_factory=lambda: NO_TIMES)

    def pass_on(self, times: Times, until_ps: int) -> Times:
        """Take clicks; returns those that leave before `until_ps`. A new value holds for later clicks."""
        waiting = np.concatenate((self.inside, times + self.value_ps))
        waiting.sort(kind="stable")
        n = int(np.searchsorted(waiting, until_ps))
        self.inside = waiting[n:]
        return waiting[:n]


@dataclass
class Histogram:
    """HISTn: times from REF to STOP. Reading (the notes do not say): each STOP is measured from the
    latest REF at or before it; with one source at both, from the click before."""

    reference: str = "NONE"
    stop: str = "NONE"
    minimum_ps: int = 0
    bin_width_ps: int = 100
    bins: int = 1000
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1000, dtype=np.int64))
    last_reference_ps: int | None = None

    @property
    def linked(self) -> bool:
        return self.reference != "NONE" and self.stop != "NONE"

    def clear(self) -> None:
        self.counts = np.zeros(self.bins, dtype=np.int64)
        self.last_reference_ps = None

    def count(self, references: Times, stops: Times) -> None:
        """Take the clicks of one slice."""
        if self.last_reference_ps is not None:
            references = np.concatenate(([self.last_reference_ps], references))
        side = "left" if self.reference == self.stop else "right"
        latest = np.searchsorted(references, stops, side=side) - 1  # type: ignore[call-overload]
        seen = latest >= 0
        bins = (stops[seen] - references[latest[seen]] - self.minimum_ps) // self.bin_width_ps
        self.counts += np.bincount(bins[(bins >= 0) & (bins < self.bins)], minlength=self.bins)
        if len(references):
            self.last_reference_ps = int(references[-1])


@dataclass
class Raw:
    """RAWn: sends the clicks of a block to the DataLink service while a recording plays."""

    stop: str
    reference: str = "NONE"
    send: bool = False
    errors: int = 0
    """Clicks that an acquisition could not pass on: nobody read its stream, or they came faster than the box
    can tell of them."""
    references_seen: int = 0
    """In the running sub-acquisition."""


@dataclass(frozen=True)
class Segment:
    """The part of a sub-acquisition that falls into a slice: `low_ps` <= t < `high_ps`."""

    begin_ps: int
    low_ps: int
    high_ps: int
    ends: bool


@dataclass
class Recorder:
    """REC. Reading (the notes are silent on PPER): sub-acquisition k covers start + k * period and the
    duration after it; clicks in the gap until the next are not recorded; the period is never shorter
    than the duration and the gap, which is also what it is when it was not set."""

    enabled: bool = True
    arm_mode: str = "MANU"
    number: int | None = 1
    """Of sub-acquisitions; None for no end."""
    duration_ps: int = 1_000_000_000_000
    width_ps: int = 0
    """PWID, without effect: the notes do not say what it is."""
    asked_period_ps: int = 0
    playing: bool = False
    begin_ps: int = 0
    """Of the sub-acquisition that runs or comes next."""
    finished: int = 0

    @property
    def period_ps(self) -> int:
        return max(self.asked_period_ps, self.duration_ps + GAP_PS)

    @period_ps.setter
    def period_ps(self, value: int) -> None:
        self.asked_period_ps = value

    def play(self, begin_ps: int) -> None:
        self.playing, self.begin_ps, self.finished = True, begin_ps, 0

    def segments(self, since_ps: int, until_ps: int) -> Iterator[Segment]:
        """What of the slice is recorded, in order; moves the recording on."""
        while self.playing and until_ps > self.begin_ps:
            end = self.begin_ps + self.duration_ps
            yield Segment(self.begin_ps, max(since_ps, self.begin_ps), min(until_ps, end), until_ps >= end)
            if until_ps < end:
                return
            self.begin_ps += self.period_ps
            self.finished += 1
            self.playing = self.number is None or self.finished < self.number


class Box:
    """All blocks of an ID900 and the links between them."""

    def __init__(self, inputs: Mapping[int, TaggerInput]) -> None:
        self.inputs = {n: Input(inputs.get(n) or TaggerInput()) for n in range(INPUTS + 1)}
        self.delays = {n: DelayLine() for n in range(1, DELAYS + 1)}
        self.histograms = {n: Histogram() for n in range(1, HISTOGRAMS + 1)}
        self.raws = {n: Raw(stop=f"INPU{n}") for n in range(1, RAWS + 1)}
        self.recorder = Recorder()

    @property
    def counters(self) -> list[Counter]:
        return [entry.counter for entry in self.inputs.values()]

    def blocks(self, tags: Tags, until_ps: int) -> dict[str, Times]:
        """The clicks that leave each block before `until_ps`, by the block's name."""
        times = {"NONE": NO_TIMES}
        for n, entry in self.inputs.items():
            name = "STAR" if n == START else f"INPU{n}"
            times[name] = tags.get(n, NO_TIMES) if entry.signal.enabled else NO_TIMES
        for n, delay in self.delays.items():
            if delay.link != "NONE":
                times[f"DELA{n}"] = delay.pass_on(times[delay.link], until_ps)
            else:
                times[f"DELA{n}"] = NO_TIMES
        return times

    def source(self, block: str) -> int | None:
        """The number of the input whose clicks leave a block; None for no input."""
        if block.startswith("DELA"):
            block = self.delays[int(block.removeprefix("DELA"))].link
        names = {"STAR": START} | {f"INPU{n}": n for n in range(1, INPUTS + 1)}
        return names.get(block)

    def count(self, times: Mapping[str, Times], until_ps: int) -> None:
        """Let counters and histograms see the clicks of a slice."""
        for n, entry in self.inputs.items():
            entry.counter.count(times["STAR" if n == START else f"INPU{n}"], until_ps)
        for histogram in self.histograms.values():
            if histogram.linked:
                histogram.count(times[histogram.reference], times[histogram.stop])
