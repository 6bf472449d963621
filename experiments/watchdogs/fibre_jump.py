"""A fibre has jumped: its polarization, or its delay, has changed by more in one piece than drift can.

Polarization that diffuses with D turns by a vector whose components have the variance 2 D t (physics.md 2),
so its squared length over 2 D t has a chi-square distribution of three degrees of freedom; with `diffusion`
the greatest D that is to be expected, a larger turn than chance allows is a jump. The turn between two looks
is that of the probes' images; while the controller stands still it is the fibre's alone. A link that is
judged by photon pairs shows no images, and is not watched for this.

A delay has jumped where the track of it says so, by more than `delay`, and beyond 6.2 of its own standard
errors (1e-9, two-sided). Either way the data since the last look before are forgotten: nobody knows when it
was. The look itself has set everything right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import acos

import numpy as np

from experiments.calibrations.polarization.search import Found
from experiments.calibrations.polarization.sphere import Floats, nearest_rotation
from experiments.calibrations.tracking import DelayTracker
from experiments.config.watchdogs import FibreJump
from experiments.engine.step import Context
from experiments.watchdogs.rates import FALSE_ALARM
from experiments.watchdogs.remedies import links
from experiments.watchdogs.subject import Subject
from experiments.watchdogs.watchdog import Alarm, Seen, Watchdog
from timetags.clocks.track import TrackPoint

SURPRISE = 6.2
"""Standard deviations that a normal variable exceeds with a probability below 1e-9, either way."""
NOISE_RAD = 0.05
"""By how much two looks at one and the same rotation may differ, at most; a PAX1000 is good for 0.25 deg."""


@dataclass(frozen=True)
class LinkSeen:
    """One look at a link: how often it had been looked at, when, by the run clock and in hub time, and what
    its probes looked like when it was over."""

    looks: int
    at_s: float
    at_ps: int
    images: Floats | None


class FibreJumpWatchdog(Watchdog[FibreJump]):
    """`fibre_jump`."""

    name = "fibre_jump"

    def __init__(self, settings: FibreJump, subject: Subject) -> None:
        super().__init__(settings, subject)
        self._seen: dict[str, LinkSeen] = {}
        self._tracker: DelayTracker | None = None
        self._points: list[int] = []
        """How many points of each track have been looked at."""

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del stays
        for link in links(context):
            found, before = link.books.last, self._seen.get(link.name)
            if found is None or before is None or link.books.looks != before.looks + 1:
                continue
            seconds = context.clock.now() - before.at_s
            turned = _turned_rad(before.images, found)
            if turned is not None and turned > most_rad(self.settings.diffusion, seconds) + NOISE_RAD:
                self._keep(context, now_ps)  # it is set right, and not to be found again
                fidelity = {"before": 1 - found.before.error, "after": 1 - found.after.error}
                reason = f"{link.name} has turned by {turned:.2f} rad in {seconds:.0f} s"
                return Alarm(reason, link.name, {"turned_rad": turned, "fidelity": fidelity})
        for name, point, shift_ps in self._new_jumps(context):
            self._keep(context, now_ps)
            reason = f"the delay of {name} has jumped by {shift_ps / 1e3:+.2f} ns"
            return Alarm(reason, name, {"shift_ps": shift_ps, "surprise": point.surprise})
        return None

    def all_well(self, stays: Sequence[Seen], now_ps: int, context: Context) -> None:
        del stays
        self._keep(context, now_ps)
        watched = [link.name for link in links(context) if link.settings.cadence is not None]
        self.fine_until_ps = min((self._seen[name].at_ps for name in watched), default=now_ps)

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        del context
        return alarm.figures

    def _keep(self, context: Context, now_ps: int) -> None:
        for link in links(context):
            before, found = self._seen.get(link.name), link.books.last
            if found is not None and (before is None or link.books.looks != before.looks):
                self._seen[link.name] = LinkSeen(
                    link.books.looks, context.clock.now(), now_ps, found.after.images
                )
        tracker = context.calibrations.find(self.subject.tracked, DelayTracker)
        self._tracker = tracker
        self._points = [len(track.points) for track in tracker.tracks] if tracker is not None else []

    def _new_jumps(self, context: Context) -> list[tuple[str, TrackPoint, float]]:
        """Of the delays, since the last look: whose, point, and by how much in ps."""
        tracker = context.calibrations.find(self.subject.tracked, DelayTracker)
        if tracker is None or tracker is not self._tracker:
            return []
        found = []
        for line, track, known in zip(self.subject.lines, tracker.tracks, self._points, strict=True):
            for before, point in zip(
                track.points[max(known - 1, 0) :], track.points[max(known, 1) :], strict=False
            ):
                seconds = (point.time_ps - before.time_ps) / 1e12
                shift_ps = point.offset_ps - before.offset_ps - before.rate_ps_per_s * seconds
                beyond = abs(point.surprise) > SURPRISE and abs(shift_ps) > self.settings.delay * 1e12
                if point.jumped and beyond:
                    found.append((line.name, point, shift_ps))
        return found


def most_rad(diffusion: float, seconds: float) -> float:
    """By how much a link turns on the sphere in so many seconds of diffusion (rad^2/s) at most, but for a
    chance below 1e-9."""
    from scipy.special import chdtri

    return float(np.sqrt(2 * diffusion * max(seconds, 0.0) * chdtri(3, FALSE_ALARM)))


def _turned_rad(before: Floats | None, found: Found) -> float | None:
    now = found.before.images
    if before is None or now is None:
        return None
    turn = nearest_rotation(before, now)
    return acos(float(np.clip((np.trace(turn) - 1) / 2, -1.0, 1.0)))
