"""The correlation peak has walked off: an analyser's pairs are gone from their window, its light is not.

The tracking follows what drifts and jumps of up to 8 ns (`timetags.clocks.track`); beyond, or where a clock
runs free, no look finds the peak any more, and pairs within the window are accidentals alone. It shows as
pairs that have fallen below a fraction of what they were, beyond chance, with singles at either end that have
not. Remedy: the delays are calibrated anew, as the plan did it.
"""

from collections.abc import Mapping, Sequence

from experiments.config.watchdogs import PeakWalkedOff
from experiments.engine.step import Context
from experiments.watchdogs.watchdog import Alarm, CountingWatchdog, Seen

SINGLES = 0.7
"""Singles are there unless they have fallen below this fraction."""
HUB = "hub"


class PeakWalkedOffWatchdog(CountingWatchdog[PeakWalkedOff]):
    """`peak_walked_off`."""

    name = "peak_walked_off"

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del now_ps
        for stay in stays:
            counted = self.counted(stay, context)
            for line in self.subject.lines:
                dark = any(self.fell(key, counted, SINGLES) for key in (line.name, HUB))
                if not dark and self.fell((line.name, "pairs"), counted, self.settings.below):
                    figures = self.hz((line.name, "pairs"), counted)
                    said = f"{figures['now_hz']:.0f} Hz after {figures['before_hz']:.0f} Hz"
                    reason = f"the pairs of {line.name} are not in their window: {said}"
                    return Alarm(reason, line.name, figures)
        return None

    def counted(self, stay: Seen, context: Context) -> Mapping[object, tuple[int, float]]:
        counted: dict[object, tuple[int, float]] = {HUB: self.singles(stay, self.subject.hub, context)}
        for line, pairs in zip(self.subject.lines, stay.pairs, strict=True):
            counted[line.name] = self.singles(stay, line.detectors, context)
            counted[line.name, "pairs"] = pairs, stay.pairs_s
        return counted

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        del alarm
        return await self.subject.find_delays(context)
