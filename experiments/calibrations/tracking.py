"""Delay tracking: follow each spoke's delay against the hub while a measurement goes on.

One track for each spoke (`timetags.clocks.track`), all brought up to date by a look at the same tags.
"""

from collections.abc import Callable, Mapping, Sequence

from timetags.analyses.analysis import OnePass
from timetags.block import TagBlock
from timetags.clocks.track import RATE_SIGMA, Look, Track, TrackPoint


class DelayTracker:
    """The tracks of all spokes. `hub` and `spokes` are channels of merged tags, `delays_ps` the calibration's
    fine delays by channel, found at `time_ps` of hub time with an error of `error_ps`, rates being known to
    `rate_sigma` (ps/s). `on_point` is told of each new point, in the thread that analyses the tags, after the
    number of the spoke."""

    def __init__(
        self,
        hub: Sequence[int],
        spokes: Sequence[Sequence[int]],
        delays_ps: Mapping[int, int],
        time_ps: int,
        error_ps: float,
        rate_sigma: float = RATE_SIGMA,
        on_point: Callable[[int, TrackPoint], None] | None = None,
    ) -> None:
        self.hub, self.spokes = tuple(hub), tuple(tuple(spoke) for spoke in spokes)
        self._delays_ps = dict(delays_ps)
        self.tracks = tuple(Track(time_ps, error_ps, rate_sigma) for _ in spokes)
        self._on_point = on_point

    def delays_at(self, time_ps: int) -> dict[int, int]:
        """What to add to the times of each channel at a time, in whole ps."""
        delays = dict(self._delays_ps)
        for spoke, track in zip(self.spokes, self.tracks, strict=True):
            for channel in spoke:
                delays[channel] = delays.get(channel, 0) - round(track.expect(time_ps))
        return delays

    def shift(self, spoke: int, by_ps: float) -> None:
        """From now on this spoke's tags come later by so much against those of the hub: somebody has moved a
        delay on purpose, and no look is under way."""
        self.tracks[spoke].shift(by_ps)

    def look(self, begin_ps: int, end_ps: int) -> OnePass:
        """An analysis of the tags of this stretch, at whose end all tracks are up to date. With too few
        pairs for a peak a track just goes on."""
        tracks = zip(self.spokes, self.tracks, strict=True)
        looks = [Look(track, self.hub, spoke, self._delays_ps, begin_ps, end_ps) for spoke, track in tracks]
        return OnePass(*looks, _Tell(looks, self._on_point)) if self._on_point else OnePass(*looks)


class _Tell:
    """Comes after the looks at the same tags, and tells what they have found."""

    def __init__(self, looks: Sequence[Look], on_point: Callable[[int, TrackPoint], None]) -> None:
        self._looks, self._on_point = looks, on_point

    def add(self, block: TagBlock) -> None:
        """Nothing to tell yet."""

    def finish(self) -> None:
        for spoke, look in enumerate(self._looks):
            if look.point is not None:
                self._on_point(spoke, look.point)
