"""A search for the polarization of a link has ended without its goal: by its time-out, or given up.

The upkeep of the link says so itself; chance has no part in it. Remedy: another search, at once, from where
the last one came to. What was counted since the link was last seen to be good goes; of a link that only the
plan looks at, what was counted since the last look of the watchdogs.
"""

from collections.abc import Mapping, Sequence

from experiments.config.watchdogs import CompensationTimeout
from experiments.engine.step import Context
from experiments.watchdogs.remedies import compensate, links
from experiments.watchdogs.subject import Subject
from experiments.watchdogs.watchdog import Alarm, Seen, Watchdog


class CompensationTimeoutWatchdog(Watchdog[CompensationTimeout]):
    """`compensation_timeout`."""

    name = "compensation_timeout"

    def __init__(self, settings: CompensationTimeout, subject: Subject) -> None:
        super().__init__(settings, subject)
        self._good: dict[str, tuple[int, int]] = {}
        """By link: how often it had been looked at when it was good, and the hub time in ps."""

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del stays, now_ps
        for link in links(context):
            found = link.books.last
            if found is not None and found.reason not in ("good", "compensated"):
                fidelity = 1 - found.after.error
                reason = f"the polarization of {link.name} came to {fidelity:.4f} only: {found.reason}"
                return Alarm(reason, link.name, {"fidelity": fidelity, "settings": found.settings})
        return None

    def all_well(self, stays: Sequence[Seen], now_ps: int, context: Context) -> None:
        del stays
        for link in links(context):
            looks, _ = self._good.get(link.name, (None, 0))
            if looks != link.books.looks or link.settings.cadence is None:
                self._good[link.name] = link.books.looks, now_ps
        self.fine_until_ps = min((self._good[link.name][1] for link in links(context)), default=now_ps)

    def changes(self, alarm: Alarm, context: Context) -> set[str]:
        return {name for link in links(context) if link.name == alarm.device for name in link.changes}

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        [link] = [link for link in links(context) if link.name == alarm.device]
        return await compensate(link, context)
