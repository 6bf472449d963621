"""The correlation peak has walked off: a spoke's pairs are gone from their window, its light is not.

The tracking follows what drifts and jumps of up to 8 ns (`timetags.clocks.track`); beyond, or where a clock
runs free, no look finds the peak any more, and pairs within the window are accidentals alone. It shows as
pairs that have fallen below a fraction of what they were, beyond chance, with singles at spoke and hub that
have not. Remedy: the delays are calibrated anew, as the plan did it.
"""

from collections.abc import Mapping, Sequence

from experiments.config.watchdogs import PeakWalkedOff
from experiments.engine.step import Context
from experiments.watchdogs.remedies import calibrate_delays_anew
from experiments.watchdogs.watchdog import Alarm, CountingWatchdog, Seen

SINGLES = 0.7
"""Singles are there unless they have fallen below this fraction."""


class PeakWalkedOffWatchdog(CountingWatchdog[PeakWalkedOff]):
    """`peak_walked_off`."""

    name = "peak_walked_off"

    async def look(self, stays: Sequence[Seen], now_ps: int, context: Context) -> Alarm | None:
        del now_ps
        for stay in stays:
            counted = self.counted(stay, context)
            for spoke in context.experiment.swapping.spokes:
                dark = any(self.fell(key, counted, SINGLES) for key in (spoke, "hub"))
                if not dark and self.fell((spoke, "pairs"), counted, self.settings.below):
                    figures = self.hz((spoke, "pairs"), counted)
                    said = f"{figures['now_hz']:.0f} Hz after {figures['before_hz']:.0f} Hz"
                    return Alarm(f"the pairs of {spoke} are not in their window: {said}", spoke, figures)
        return None

    def counted(self, stay: Seen, context: Context) -> Mapping[object, tuple[int, float]]:
        bench, settings = context.bench, context.experiment.swapping
        counted: dict[object, tuple[int, float]] = {}
        groups = {spoke: bench.spoke_detectors(spoke) for spoke in settings.spokes}
        for name, detectors in {
            **groups,
            "hub": bench.hub_detectors(settings.bell_state_measurement),
        }.items():
            channels = [bench.channel(detector) for detector in detectors]
            counted[name] = int(stay.singles[channels].sum()), stay.seconds
        for number, spoke in enumerate(settings.spokes):
            counted[spoke, "pairs"] = stay.pairs[number], stay.pairs_s
        return counted

    async def remedy(self, alarm: Alarm, context: Context) -> Mapping[str, object]:
        del alarm
        return await calibrate_delays_anew(context)
