"""The watch: all watchdogs of a measurement, asked at its safe points, and what is done about what they find.

It guarantees:

* nothing is done but at safe points, in the run's one task, so that no data come from a bench in repair;
* a stay counts for good only when every watchdog has seen it to be fine; what came after is forgotten when
  one barks, named in the record (`vetoed`), and measured again;
* every alarm is in the books: which watchdog, why, figures before and after, what was done, and how long the
  link was down for it;
* a remedy that does not help is tried as often as its settings allow, then the run is held for a person;
* an instrument that fails in the middle is brought back as always, and the remedy then carried out anew;
* a recording that breaks changes nothing of what was normal before: what was counted in it is judged by that,
  and so is all that comes after;
* data that nobody has judged by the end count, and the record says how many seconds they are (`not judged`).
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments.calibrations.polarization.upkeep import LinkUpkeep
from experiments.calibrations.tracking import DelayTracker
from experiments.engine.events import Happened, Uptime
from experiments.engine.gates import Gate
from experiments.engine.outcome import RunError
from experiments.engine.step import Context
from experiments.engine.tags import PS
from experiments.measurements.dwell import Dwell, SlicedDwell
from experiments.watchdogs.census import Census
from experiments.watchdogs.clock_unlocked import ClockUnlockedWatchdog
from experiments.watchdogs.compensation_timeout import CompensationTimeoutWatchdog
from experiments.watchdogs.fibre_jump import FibreJumpWatchdog
from experiments.watchdogs.indistinguishability_lost import IndistinguishabilityLostWatchdog
from experiments.watchdogs.nanowire_latched import NanowireLatchedWatchdog
from experiments.watchdogs.peak_walked_off import PeakWalkedOffWatchdog
from experiments.watchdogs.source_unlocked import SourceUnlockedWatchdog
from experiments.watchdogs.subject import Subject
from experiments.watchdogs.watchdog import Alarm, Seen, Watchdog

WATCHDOGS: tuple[type[Watchdog[Any]], ...] = (
    NanowireLatchedWatchdog,
    SourceUnlockedWatchdog,
    ClockUnlockedWatchdog,
    CompensationTimeoutWatchdog,
    FibreJumpWatchdog,
    PeakWalkedOffWatchdog,
    IndistinguishabilityLostWatchdog,
)
"""In the order in which they are asked: what explains most comes first, and the first that barks is heard."""
HOUR_S = 3600.0
BETWEEN_S = 10.0
"""From a remedy that failed to the next try."""

Veto = Callable[[int], Awaitable[float]]
"""Forget all stays that end after a hub time in ps; returns how many seconds of data they were."""


@dataclass
class Followed:
    """A stay that is not known to be fine yet."""

    dwell: SlicedDwell[Any]
    census: Census
    gate: Gate
    judged: bool = False

    @property
    def is_in(self) -> bool:
        return self.dwell.is_in and self.gate.finished

    def seen(self) -> Seen:
        dwell = self.dwell
        singles: NDArray[np.int64] = dwell.singles
        return Seen(
            dwell.setting,
            dwell.begin_ps,
            dwell.end_ps,
            dwell.live_ps / PS,
            singles,
            self.census.pairs,
            self.census.seconds,
            dwell.fourfolds if isinstance(dwell, Dwell) else None,
        )


class Watch:
    """The watchdogs of one measuring step. A `Maintenance`: a look at a link is followed by one of theirs, in
    the same gap."""

    comes_last = True

    def __init__(self, context: Context, subject: Subject, veto: Veto) -> None:
        self._settings, self._subject = context.experiment.watchdogs, subject
        named = self._settings.named
        self._dogs = [dog(named[dog.name], subject) for dog in WATCHDOGS if dog.name in named]
        self._context, self._veto = context, veto
        self._recording = context.recordings
        """The one that its measurement counts in. In another the bench is not calibrated yet."""
        self._stays: list[Followed] = []
        self._due_at = context.clock.now()
        self._handling: tuple[Watchdog[Any], Alarm] | None = None
        self.holds_run = False
        self._told: set[str] = set()
        """Watchdogs that only tell, and have."""
        self._remedies: dict[str, deque[float]] = {dog.name: deque() for dog in self._dogs}
        """When the remedies of each were begun, within the last hour."""
        self.changes: set[str] = set()

    @classmethod
    def begin(cls, context: Context, subject: Subject, veto: Veto) -> "Watch | None":
        """The watchdogs of the experiment, on duty from now on; None where it has none."""
        if not context.experiment.watchdogs.named:
            return None
        watch = cls(context, subject, veto)
        context.maintenance.append(watch)
        context.announce(Uptime("up"))
        return watch

    def go_on(self) -> None:
        """On duty again after a pause, maybe with a recording that was begun anew. Hub times go on in it."""
        self._recording = self._context.recordings
        if self not in self._context.maintenance:
            self._context.maintenance.append(self)

    def end(self) -> None:
        """Off duty. What is not forgotten by now counts, and it is told what of that is not known to be fine:
        half an hour of data is too much to throw away because a block of four-folds is not full."""
        if self in self._context.maintenance:
            self._context.maintenance.remove(self)
        unseen = [stay for stay in self._stays if not stay.judged]
        self._not_judged(self._dogs, unseen, "at which no watchdog has looked", "warning")
        for dog in self._dogs:
            unsure = [s for s in self._stays if s.judged and s.dwell.end_ps > dog.fine_until_ps]
            if dog.in_blocks:
                self._not_judged([dog], unsure, f"of which {dog.name} was not sure yet", "info")

    def _not_judged(
        self,
        dogs: Sequence[Watchdog[Any]],
        stays: Sequence[Followed],
        why: str,
        level: Literal["info", "warning"],
    ) -> None:
        if not stays:
            return
        seconds = sum(stay.dwell.end_ps - stay.dwell.begin_ps for stay in stays) / PS
        details = {"watchdogs": [dog.name for dog in dogs], "seconds": seconds}
        message = f"{seconds:.0f} s of data count {why}"
        self._context.announce(Happened("not judged", message, details, level))

    # What the measuring step says and asks.

    def follow(self, dwell: SlicedDwell[Any]) -> None:
        """A stay has begun."""
        tags, look_ps = self._context.tags, round(self._settings.look * PS)
        window = dwell.begin_ps, min(dwell.begin_ps + look_ps, dwell.end_ps)
        tracker = self._context.calibrations.get(self._subject.tracked, DelayTracker)
        census = Census(self._subject, tracker, window)
        self._stays.append(Followed(dwell, census, tags.open_gate(*window, census)))

    def forget(self, dwell: SlicedDwell[Any]) -> None:
        """A stay does not count, for a reason that is none of the watchdogs'."""
        self._stays = [stay for stay in self._stays if stay.dwell is not dwell]

    @property
    def fine_until_ps(self) -> int:
        """Stays that end until then count."""
        return min(dog.fine_until_ps for dog in self._dogs)

    @property
    def has_judged_all(self) -> bool:
        """Whether nothing is left to be looked at, and nothing to be done."""
        return self._handling is None and not self.holds_run and all(stay.judged for stay in self._stays)

    def come_due(self) -> None:
        """Look at the next safe point."""
        self._due_at = self._context.clock.now()

    # Upkeep.

    @property
    def due_at(self) -> float:
        if self._recording != self._context.recordings:
            return inf
        links = (m.due_at for m in self._context.maintenance if isinstance(m, LinkUpkeep))
        return min([self._due_at, *links])

    async def carry_out(self, context: Context) -> None:
        """Look; and do what is to be done."""
        if self.holds_run:
            self.holds_run = False
            context.announce(Uptime("up"))
        self.changes = set()
        if self._handling is None:
            self._handling = await self._look(context)
        if self._handling is not None:
            await self._handle(*self._handling, context)
            self._handling = None
            self._due_at = (
                context.clock.now() if self.holds_run else context.clock.now() + self._settings.cadence
            )
            return
        self._due_at = context.clock.now() + self._settings.cadence

    async def _look(self, context: Context) -> tuple[Watchdog[Any], Alarm] | None:
        fresh = [stay for stay in self._stays if not stay.judged and stay.is_in]
        seen = [stay.seen() for stay in fresh]
        now_ps, _ = context.tags.window(0.0)
        for dog in self._dogs:
            alarm = await dog.look(seen, now_ps, context)
            if alarm is None:
                self._told.discard(dog.name)
            elif dog.settings.action != "alarm":
                return dog, alarm
            elif dog.name not in self._told:
                self._told.add(dog.name)
                context.announce(_barks(dog, alarm, 0.0))
        for stay in fresh:
            stay.judged = True
        for dog in self._dogs:
            dog.all_well(seen, now_ps, context)
        fine_until_ps = self.fine_until_ps
        self._stays = [s for s in self._stays if not s.judged or s.dwell.end_ps > fine_until_ps]
        return None

    async def _handle(self, dog: Watchdog[Any], alarm: Alarm, context: Context) -> None:
        down = Uptime("down", f"{dog.name}: {alarm.reason}")
        context.announce(down)
        self.changes = dog.changes(alarm, context)
        context.changes = {*context.changes, *self.changes}
        vetoed_s = await self._forget_since(dog.fine_until_ps)
        context.announce(_barks(dog, alarm, vetoed_s))
        while not (why_not := self._why_not(dog, context)):
            if await self._remedied(dog, alarm, context):
                context.announce(Uptime("up"))
                return
            context.announce(down)  # a remedy that looks at links says up when it is done
            await context.clock.sleep(BETWEEN_S)
        self.holds_run = True
        context.hold(f"{alarm.reason} ({why_not})", dog.name)

    async def _remedied(self, dog: Watchdog[Any], alarm: Alarm, context: Context) -> bool:
        began = context.clock.now()
        self._remedies[dog.name].append(began)
        context.progress(f"{dog.name}: remedy")
        try:
            after = await dog.remedy(alarm, context)
        except RunError as error:
            message = f"{dog.name}: the remedy did not help: {error}"
            context.announce(Happened("remedy failed", message, {"watchdog": dog.name}, "warning"))
            return False
        took_s = context.clock.now() - began
        details = {"watchdog": dog.name, "device": alarm.device, "took_s": took_s, "after": dict(after)}
        context.announce(Happened("remedied", f"{dog.name}: remedied in {took_s:.1f} s", details))
        return True

    def _why_not(self, dog: Watchdog[Any], context: Context) -> str:
        """Why no remedy is to be tried; empty when one is."""
        if dog.settings.action == "pause":
            return "a person is to look at it"
        tried, now = self._remedies[dog.name], context.clock.now()
        while tried and tried[0] < now - HOUR_S:
            tried.popleft()
        return f"{len(tried)} remedies within an hour" if len(tried) >= dog.settings.at_most else ""

    async def _forget_since(self, since_ps: int) -> float:
        """Forget all stays that end later; returns how many seconds of data those were."""
        bad = [stay for stay in self._stays if stay.dwell.end_ps > since_ps]
        self._stays = [stay for stay in self._stays if stay not in bad]
        await self._context.tags.cut_short([stay.gate for stay in bad])
        for dog in self._dogs:
            dog.forget(since_ps)
        return await self._veto(since_ps)


def _barks(dog: Watchdog[Any], alarm: Alarm, vetoed_s: float) -> Happened:
    details = {
        "watchdog": dog.name,
        "reason": alarm.reason,
        "device": alarm.device,
        "action": dog.settings.action,
        "figures": dict(alarm.figures),
        "vetoed_s": vetoed_s,
    }
    forgotten = f"; {vetoed_s:.0f} s of data do not count" if vetoed_s else ""
    return Happened("watchdog", f"{dog.name}: {alarm.reason}{forgotten}", details, "warning")
