"""A clock has lost its reference: taggers that share a time drift apart by a microsecond in a second.

Its monitor says so, where it has one; chance has no part in that. Without one a delay track that runs faster
than `drift` does, with 6.2 standard errors of a track that has begun anew to spare (1e-9, two-sided): 1.31
ns/s by default. A rate that comes all at once is known at the second look after it; the first takes it for a
jump of the delay (`fibre_jump`). Looks are ten seconds apart, or a stay, and see 8 ns either way: so of such
rates those below some 0.7 ns/s are reached in stays of ten seconds or more, for which `drift` has to be
smaller, 2e-10 say, and the default in stays of less than six. With a faster one no look finds the peak any
more: that is `peak_walked_off`. A rate that grows slowly is followed, and reaches any `drift`. Remedy: the
reference is waited for, then the delays are calibrated anew, since a clock that was free does not come back
to where it was.
"""

from collections.abc import Mapping, Sequence

from drivers.capabilities import ClockMonitor
from experiments.calibrations.tracking import DelayTracker
from experiments.config.watchdogs import ClockUnlocked
from experiments.engine.outcome import RunError
from experiments.engine.step import Context
from experiments.watchdogs.watchdog import Alarm, Seen, Watchdog
from timetags.clocks.track import RATE_SIGMA

SURPRISE = 6.2
POLL_S = 2.0


class ClockUnlockedWatchdog(Watchdog[ClockUnlocked]):
    """`clock_unlocked`."""

    name = "clock_unlocked"

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del stays, now_ps
        if unlocked := await _unlocked(context):
            clock, monitor = unlocked
            return Alarm(f"{clock} does not follow its reference, as {monitor} has it", clock)
        tracker = context.calibrations.find(self.subject.tracked, DelayTracker)
        most_ps_per_s = self.settings.drift * 1e12 + SURPRISE * RATE_SIGMA
        for number, line in enumerate(self.subject.lines):
            points = tracker.tracks[number].points if tracker is not None else []
            if points and abs(points[-1].rate_ps_per_s) > most_ps_per_s:
                rate = points[-1].rate_ps_per_s
                reason = f"the clock of {line.name} runs away by {rate / 1e3:+.2f} ns/s"
                return Alarm(reason, line.name, {"rate_ps_per_s": rate})
        return None

    def all_well(self, stays: Sequence[Seen], now_ps: int, context: Context) -> None:
        del now_ps, context
        for stay in stays:
            self.fine_until_ps = max(self.fine_until_ps, stay.begin_ps)

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        del alarm
        began = context.clock.now()
        while (unlocked := await _unlocked(context)) is not None:
            if context.clock.now() - began > self.settings.patience:
                raise RunError(f"{unlocked[0]} has not come back in {self.settings.patience:g} s")
            await context.clock.sleep(POLL_S)
        waited_s = context.clock.now() - began
        return {"waited_s": waited_s, **await self.subject.find_delays(context)}


async def _unlocked(context: Context) -> tuple[str, str] | None:
    """The first clock that its monitor finds unlocked, and the monitor."""
    for name, clock in context.bench.testbed.clocks.items():
        if clock.monitor is not None:
            status = await context.bench.get(clock.monitor, ClockMonitor).status()
            if not status.locked:
                return name, clock.monitor
    return None
