"""Tags of a short stretch, for looking at polarization with single photons: counts behind an analyser, and
the coincidences of two.

Streams need not be aligned: the correlation peak of a pair is found in the tags themselves, whichever way its
light is polarized, since both outputs of each analyser are looked at together.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.calibrations.delays import DelayCalibration
from experiments.engine.outcome import RunError
from experiments.engine.step import Context
from experiments.engine.tags import PS, TAIL_S
from timetags.block import Times

SEARCH_PS = 10**10
"""The peak of a pair is looked for within +-10 ms, the start latencies of two taggers."""
DRIFT_PS = 10**6
"""Once found, within so much of where it was: fibres drift by nanoseconds, disciplined clocks by less."""

Counts = NDArray[np.int64]


async def tags_of(context: Context, detectors: Sequence[str], seconds: float) -> dict[str, Times]:
    """The tags of these detectors from the next `seconds`, in the time of their taggers and with the fine
    delays of the detectors, if those are calibrated."""
    bench = context.bench
    begin, end = context.tags.window(seconds)
    captures = context.tags.capture(begin, end)
    await context.clock.sleep(context.tags.lasts(seconds) + TAIL_S)
    await context.tags.captured(end)
    calibrated = context.calibrations.find("delays", DelayCalibration)
    delays_ps = calibrated.delays_ps() if calibrated else {}
    found = {}
    for name in detectors:
        times, channels = captures[bench.tagger_of(name)].tags()
        found[name] = times[channels == bench.channel(name)] + delays_ps.get(name, 0)
    return found


@dataclass
class PairPeak:
    """Where the coincidences of two analysers are: `delay_ps` is the time at the second after that at the
    first. None until it was found once."""

    delay_ps: int | None = None

    async def coincidences(
        self,
        tags: Mapping[str, Times],
        first: tuple[str, str],
        second: tuple[str, str],
        window_ps: int,
        centre_ps: int,
    ) -> Counts:
        """Coincidences (2, 2) in a window of this full width, `centre_ps` after the peak: the first
        analyser's outcome first, H before V. Raises RunError when there is no peak."""
        return await asyncio.to_thread(self._count, tags, first, second, window_ps, centre_ps)

    def _count(
        self,
        tags: Mapping[str, Times],
        first: tuple[str, str],
        second: tuple[str, str],
        window_ps: int,
        centre_ps: int,
    ) -> Counts:
        from timetags.analyses.correlate import correlate

        delay = self._find(_pooled(tags, first), _pooled(tags, second), f"{first} and {second}")
        begin = delay + centre_ps - window_ps // 2
        return np.array(
            [
                [
                    int(correlate(tags[a], tags[b], bin_ps=window_ps, range_ps=(begin, begin + window_ps))[0])
                    for b in second
                ]
                for a in first
            ]
        )

    def _find(self, first: Times, second: Times, names: str) -> int:
        from timetags.clocks.delays import DelayError, find_delay

        known = self.delay_ps
        try:
            found = find_delay(first, second - (known or 0), SEARCH_PS if known is None else DRIFT_PS)
        except DelayError as error:
            if known is not None:
                return known
            raise RunError(f"no coincidences of {names}: {error}") from error
        self.delay_ps = (known or 0) + round(found.delay_ps)
        return self.delay_ps


def _pooled(tags: Mapping[str, Times], names: Sequence[str]) -> Times:
    pooled: Times = np.sort(np.concatenate([tags[name] for name in names]))
    return pooled


def ps(seconds: float) -> int:
    return round(seconds * PS)
