"""The delays with which a stored run counted: what calibrations found, and what looks found from there on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.calibrations.delay_search import Detectors, read_delays, tracker_of
from experiments.calibrations.delays import DelayCalibration
from experiments.calibrations.tracking import DelayTracker
from experiments.engine.bench import Bench
from timetags.clocks.affine import AffineClock
from timetags.clocks.track import Track


@dataclass(frozen=True)
class Look:
    """What a look at the delay of a spoke found (see `timetags.clocks.track.TrackPoint`)."""

    spoke: str
    time_ps: int
    offset_ps: float
    error_ps: float

    def apply(self, track: Track) -> None:
        """Follow it."""
        track.update(self.time_ps, self.offset_ps, self.error_ps)


@dataclass(frozen=True)
class Moved:
    """Somebody moved the delay of a spoke on purpose."""

    spoke: str
    time_ps: int
    by_ps: float

    def apply(self, track: Track) -> None:
        """Follow it."""
        track.shift(self.by_ps)


@dataclass
class Calibrated:
    """The delays from one calibration on, those of `detectors`, found at `middle_ps` of hub time, and what
    followed."""

    detectors: Detectors
    middle_ps: int
    found: DelayCalibration
    later: list[Look | Moved] = field(default_factory=list)
    """What was seen and done since."""

    @classmethod
    def read(cls, detectors: Detectors, record: Mapping[str, Any]) -> "Calibrated":
        """What `delay_record` wrote. KeyError, TypeError or ValueError where it is no such thing."""
        return cls(detectors, record["middle_ps"], read_delays(record))

    def tracker(self, bench: Bench, more_ps: Mapping[str, int]) -> DelayTracker:
        """A tracker as the run had it before any look; `more_ps` is added to the delays of detectors."""
        return tracker_of(self.found, self.detectors, self.middle_ps, bench, more_ps)


class Clocks:
    """Which clock each of `taggers` had on the time of the hub. Calibrations of pairs share the shifts of
    taggers until one looked for rates, which those named in `of_free_clocks` do, or until another recording
    began (see `calibrations.pair_delays`)."""

    def __init__(self, taggers: Iterable[str], of_free_clocks: Iterable[str]) -> None:
        self._taggers, self._of_free_clocks = tuple(taggers), frozenset(of_free_clocks)
        self._shared_ps: dict[str, int] = {}
        self.in_force: Mapping[str, AffineClock] = {}
        """By tagger; empty before the first calibration."""

    def begin_recording(self) -> None:
        """Taggers have begun to count anew."""
        self._shared_ps = {}

    def calibrated_all(self, found: DelayCalibration) -> None:
        """The delays of a swapping experiment were found."""
        self.in_force = {tagger: found.clock(tagger) for tagger in self._taggers}

    def calibrated_pair(self, name: str, found: DelayCalibration) -> None:
        """Those of a pair were found, in the calibration of this name."""
        if name in self._of_free_clocks:
            self._shared_ps = {}
        self._shared_ps = {**self._shared_ps, **found.shifts_ps}
        self.in_force = {
            tagger: found.clock(tagger)
            if tagger in found.shifts_ps
            else AffineClock(self._shared_ps.get(tagger, 0))
            for tagger in self._taggers
        }


@dataclass(frozen=True)
class SliceDelays:
    """The delays of one slice (see `measurements.dwell.Delays`); `found` is by channel."""

    hub: tuple[int, ...]
    spokes: tuple[tuple[int, ...], ...]
    found: Mapping[int, int]

    def delays_at(self, time_ps: int) -> dict[int, int]:
        """The same at any time."""
        del time_ps
        return dict(self.found)


class Followed:
    """The delays after one calibration, followed look by look as the run did. `more_ps` is added to those of
    detectors."""

    def __init__(self, calibrated: Calibrated, bench: Bench, more_ps: Mapping[str, int]) -> None:
        self._calibrated, self._bench, self._more_ps = calibrated, bench, more_ps
        self._reached_ps = 0
        self._begin()

    def at(self, start_ps: int, time_ps: int) -> SliceDelays:
        """What was expected for `time_ps` when the tags from `start_ps` on came: by all that was seen until
        then."""
        if start_ps < self._reached_ps:  # of what a run took over, an earlier stay can come later
            self._begin()
        self._reached_ps = start_ps
        while self._later and self._later[-1].time_ps < start_ps:
            seen = self._later.pop()
            seen.apply(self._tracks[seen.spoke])
        return SliceDelays(self._tracker.hub, self._tracker.spokes, self._tracker.delays_at(time_ps))

    def _begin(self) -> None:
        self._tracker = self._calibrated.tracker(self._bench, self._more_ps)
        self._tracks = dict(zip(self._calibrated.detectors.spokes, self._tracker.tracks, strict=True))
        self._later = sorted(self._calibrated.later, key=lambda seen: seen.time_ps, reverse=True)
