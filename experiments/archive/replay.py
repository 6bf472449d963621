"""Count the stored tags of a swapping run again, with the windows and delays of the run or with others.

The counting is the run's own (`measurements.dwell.Slice`, `measurements.tally`): every dwell that was not
vetoed, in slices, each with the delays that the run expected in its middle, which its record tells. It
guarantees that the windows and delays of the run give its results again, count by count; that what the stored
tags cannot tell is refused, never counted short; and that nothing of the run is changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.archive.counting import PS, Calibrated, Counting, ReplayError, StoredDwell
from experiments.archive.stored import StoredRun
from experiments.calibrations.tracking import DelayTracker
from experiments.config.settings import SwappingSettings
from experiments.engine.findings import Results
from experiments.engine.gates import Gate
from experiments.engine.record import TAGS
from experiments.measurements.dwell import MARGIN_PS, SLICE_PS, Slice
from experiments.measurements.tally import Counts, Tally
from timetags.analyses.heralds import PATTERNS

if TYPE_CHECKING:
    from timetags.analyses.rates import Singles
    from timetags.block import TagBlock
    from timetags.clocks.affine import AffineClock

SLACK_PS = PS
"""How much more of each tagger's stream is read than a dwell needs, so that all have begun and none has
ended: a raw segment spans a second."""


@dataclass(frozen=True)
class Changes:
    """What shall be other than in the run, in ps; None: as in the run. `delays_ps` is added to the times of a
    detector, besides its calibrated delay."""

    bsm_window_ps: int | None = None
    spoke_window_ps: int | None = None
    spoke_centre_ps: int | None = None
    delays_ps: Mapping[str, int] = field(default_factory=dict)

    def of(self, settings: SwappingSettings) -> SwappingSettings:
        """The settings with these changes."""
        named = {
            "bsm_window": self.bsm_window_ps,
            "spoke_window": self.spoke_window_ps,
            "spoke_window_centre": self.spoke_centre_ps,
        }
        return settings.model_copy(update={name: ps / PS for name, ps in named.items() if ps is not None})


@dataclass(frozen=True)
class Replayed:
    """Results as in results.json, and what people should know of them."""

    results: dict[str, Any]
    remarks: list[str]


def replay(
    run: StoredRun, changes: Changes | None = None, progress: Callable[[float], None] = lambda _: None
) -> Replayed:
    """Count all dwells of a run again. `progress` is told what fraction is done. Raises ReplayError."""
    return _replay_of(run, changes or Changes(), {}).carry_out(progress)


def _replay_of(run: StoredRun, changes: Changes, remarks: dict[str, None]) -> "_Replay":
    try:
        return _Replay(run, Counting(run), changes, remarks)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ReplayError(f"the record of {run.name} does not tell how it counted: {error!r}") from error


class _Replay:
    """One run that is counted again; what people should know is added to `remarks`."""

    def __init__(
        self, run: StoredRun, counting: Counting, changes: Changes, remarks: dict[str, None]
    ) -> None:
        self._run, self._counting, self._changes = run, counting, changes
        self._settings = changes.of(counting.settings)
        self._delays = {id(found): _Followed(counting, found, changes) for found in counting.calibrations}
        self._remarks = remarks

    def carry_out(self, progress: Callable[[float], None]) -> Replayed:
        counting, run = self._counting, self._run
        if unknown := self._changes.delays_ps.keys() - set(counting.detectors):
            known = ", ".join(counting.detectors)
            raise ReplayError(f"no detector {', '.join(sorted(unknown))}; there are {known}")
        if counting.record.tags == "none" or not run.tag_sources:
            raise ReplayError(
                f"{run.name} kept no tags of its dwells; its record says {counting.record.tags}"
            )
        sections = Results(list(counting.steps.values()))
        self._take_over(sections)
        for number, dwell in enumerate(counting.dwells, 1):
            step = counting.steps.get(dwell.step)
            if step is None:
                raise ReplayError(f"the dwell {dwell.setting} belongs to no step that measures swapping")
            sections.section(step, lambda: Tally(counting.detectors)).add(self._count(dwell))
            progress(number / len(counting.dwells))
        found = sections.to_json()
        if counting.record.tags == "heralds":
            # What lies around heralds tells no singles; no window changes them.
            found |= {name: run.results.get(name) for name in found if name.endswith("singles_hz")}
        about = {"experiment": run.about.get("experiment"), "seed": run.about.get("seed"), "complete": False}
        return Replayed({**about, **run.results, **found}, list(self._remarks))

    def _take_over(self, sections: Results) -> None:
        """Count what this run took over from others, where they stand beside it."""
        others: dict[str, _Replay] = {}
        for stay in self._counting.taken_over:
            if stay.run not in others:
                folder = self._run.path.parent / stay.run
                if not (folder / "run.json").exists():
                    raise ReplayError(f"{self._run.name} goes on with {stay.run}, which is not beside it")
                others[stay.run] = _replay_of(StoredRun(folder), self._changes, self._remarks)
            other = others[stay.run]
            found = [dwell for dwell in other._counting.dwells if dwell.window_ps == stay.window_ps]
            steps = [step for step in self._counting.steps.values() if step.label == stay.label]
            if not (found and steps):
                raise ReplayError(
                    f"{stay.run} has no record of a stay that {self._run.name} took over from it"
                )
            tally = sections.section(steps[0], lambda: Tally(self._counting.detectors))
            tally.take_over(Counts.of(other._count(found[0])), stay.run)

    def _count(self, dwell: StoredDwell) -> "_Counted":
        from timetags.analyses.rates import Singles

        calibrated = self._counting.calibration_of(dwell)
        followed = self._delays[id(calibrated)]
        at_begin = followed.at(dwell.begin_ps, dwell.begin_ps)
        singles = Singles()
        gates = [Gate(dwell.begin_ps, dwell.end_ps, singles)]
        slices = []
        for start in range(dwell.begin_ps, dwell.end_ps, SLICE_PS):
            stop = min(start + SLICE_PS, dwell.end_ps)
            delays = followed.at(start, (start + stop) // 2)
            if self._counting.record.tags == "heralds":
                self._check_reach(at_begin, delays)
            slices.append(Slice(self._settings, delays, (start, stop)))
            gates.append(Gate(start - MARGIN_PS, stop + MARGIN_PS, slices[-1]))
        for block in self._blocks(dwell, calibrated):
            for gate in gates:
                gate.offer(block)
        for gate in gates:
            gate.finish()
        return _Counted(dwell.setting, len(self._counting.detectors), singles, slices)

    def _check_reach(self, begin: "_Delays", now: "_Delays") -> None:
        """Refuse what tags around heralds cannot tell: heralds that the run did not look for, and clicks of
        spokes further away than it kept. `begin` are the delays with which it kept them."""
        extra = {self._counting.channel(name): ps for name, ps in self._changes.delays_ps.items()}
        hub = [extra.get(channel, 0) for channel in now.hub]
        kept_ps = round(self._counting.settings.bsm_window * PS)
        window_ps = round(self._settings.bsm_window * PS)
        apart = max(abs(hub[one] - hub[other]) for one, other in PATTERNS)
        if window_ps + 2 * apart > kept_ps:
            raise ReplayError(
                f"tags were kept around heralds of a window of {kept_ps} ps; {window_ps} ps, shifted by up "
                f"to {apart} ps, needs heralds outside. Only a run with record: {{tags: raw}} can tell"
            )
        drift = max(abs(now.found[c] - begin.found[c]) for spoke in now.spokes for c in spoke)
        shift = max(
            abs(extra.get(channel, 0) - (hub[one] + hub[other]) / 2)
            for spoke in now.spokes
            for channel in spoke
            for one, other in PATTERNS
        )
        centre_ps = round(self._settings.spoke_window_centre * PS)
        reach = round(self._settings.spoke_window * PS) / 2 + abs(centre_ps) + shift + drift + 1
        around_ps = round(self._counting.record.around * PS)
        if reach > around_ps:
            raise ReplayError(
                f"tags were kept within {around_ps} ps of a herald; these windows and delays "
                f"reach {reach:.0f} ps. Only a run with a larger record: {{around: ...}} or raw tags can tell"
            )

    def _blocks(self, dwell: StoredDwell, calibrated: Calibrated) -> Iterator["TagBlock"]:
        """The merged tags of a dwell on the hub's time, as far as they are stored."""
        begin, end = dwell.begin_ps - MARGIN_PS, dwell.end_ps + MARGIN_PS
        if self._counting.record.tags == "heralds":
            yield from self._segments("heralds", (begin, end))
            return
        from timetags.clocks.align import merged

        gaps: list[tuple[int, int]] = []
        streams, clocks = [], []
        for tagger in self._counting.taggers:
            clock = calibrated.clock(tagger)
            own = clock.own(begin) - SLACK_PS, clock.own(end) + SLACK_PS
            streams.append(_noting_gaps(self._segments(f"raw/{tagger}", own), clock, gaps))
            clocks.append(clock)
        for block in merged(streams, clocks, whole=False):
            yield from _without(gaps, block)

    def _segments(self, source: str, within_ps: tuple[int, int]) -> Iterator["TagBlock"]:
        from timetags.files.segments import read_segments

        folder = self._run.path / TAGS / source
        if not folder.is_dir():
            raise ReplayError(f"{self._run.name} has no tags in {TAGS}/{source}")
        return read_segments(folder, self._damaged, within_ps)

    def _damaged(self, path: Path, reason: str) -> None:
        self._remarks[f"left out {path.relative_to(self._run.path)}: {reason}"] = None


@dataclass(frozen=True)
class _Delays:
    """The delays of one slice (see `measurements.dwell.Delays`); `found` is by channel."""

    hub: tuple[int, ...]
    spokes: tuple[tuple[int, ...], ...]
    found: dict[int, int]

    def delays_at(self, time_ps: int) -> dict[int, int]:
        del time_ps
        return self.found


class _Followed:
    """The delays after one calibration, followed look by look as the run did."""

    def __init__(self, counting: Counting, calibrated: Calibrated, changes: Changes) -> None:
        self._tracker: DelayTracker = counting.tracker(calibrated, changes.delays_ps)
        self._tracks = dict(zip(counting.settings.spokes, self._tracker.tracks, strict=True))
        self._looks = sorted(calibrated.looks, key=lambda look: look.time_ps, reverse=True)

    def at(self, start_ps: int, time_ps: int) -> _Delays:
        """What was expected for `time_ps` when the tags from `start_ps` on came: by all looks before. Must be
        asked in the order of `start_ps`."""
        while self._looks and self._looks[-1].time_ps < start_ps:
            look = self._looks.pop()
            self._tracks[look.spoke].update(look.time_ps, look.offset_ps, look.error_ps)
        return _Delays(self._tracker.hub, self._tracker.spokes, self._tracker.delays_at(time_ps))


class _Counted:
    """The counts of one dwell, as the tally wants them (`measurements.tally.Counted`)."""

    def __init__(self, setting: str, channels: int, singles: "Singles", slices: Sequence[Slice]) -> None:
        self.setting = setting
        self.live_ps = singles.live_ps
        self.singles: NDArray[np.int64] = singles.counts[:channels]
        self.heralds: NDArray[np.int64] = sum((s.heralds for s in slices), np.zeros(4, np.int64))
        self.fourfolds: NDArray[np.int64] = sum((s.fourfolds for s in slices), np.zeros((4, 2, 2), np.int64))


def _noting_gaps(
    stream: Iterator["TagBlock"], clock: "AffineClock", gaps: list[tuple[int, int]]
) -> Iterator["TagBlock"]:
    """The same stream; where it lacks a piece is added to `gaps`, in the time of the hub."""
    end_ps: int | None = None
    for block in stream:
        if end_ps is not None and block.start_ps > end_ps:
            gaps.append((clock.instant(end_ps), clock.instant(block.start_ps)))
        end_ps = block.end_ps
        yield block


def _without(gaps: Sequence[tuple[int, int]], block: "TagBlock") -> Iterator["TagBlock"]:
    """The pieces of a block that lie in no gap: time of which tags are missing does not count as live."""
    inside = sorted(gap for gap in gaps if gap[0] < block.end_ps and block.start_ps < gap[1])
    if not inside:
        yield block
        return
    borders = [(block.start_ps, block.start_ps), *inside, (block.end_ps, block.end_ps)]
    reached = block.start_ps
    for (_, begin), (end, _) in pairwise(borders):
        reached = max(reached, begin)
        if reached < end:
            yield block.between(reached, end)
