"""Tags of a short stretch, for looking at polarization with single photons: counts behind an analyser, and
the coincidences of two.

Streams need not be aligned: the correlation peak of a pair is found in the tags themselves, whichever way its
light is polarized, since both outputs of each analyser are looked at together. Those must be as late as each
other, by their calibrated delays or by equal cables: outcomes with their peak beside the window would be
missing, and any link look well.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from experiments.engine.outcome import RunError
from experiments.engine.step import Context
from experiments.engine.tags import PS, TAIL_S
from timetags.block import Times

SEARCH_PS = 10**10
"""The peak of a pair is looked for within +-10 ms, the start latencies of two taggers."""
DRIFT_PS = 10**6
"""Once found, within so much of where it was: fibres drift by nanoseconds, disciplined clocks by less."""
APART_PS = 6_000
BIN_PS = 80
"""Half width and bins of the histogram in which the peak of two detectors is looked for, about that of all:
two metres of cable either way make 10 ns, but the pulses of a laser may come every 12.5 ns."""
FEWEST_PAIRS = 50
"""A peak of fewer may be chance; of the coincidences that a look takes at least, they are half."""

Counts = NDArray[np.int64]


async def tags_of(context: Context, detectors: Sequence[str], seconds: float) -> dict[str, Times]:
    """The tags of these detectors from the next `seconds`, in the time of their taggers."""
    bench = context.bench
    begin, end = context.tags.window(seconds)
    captures = context.tags.capture(begin, end)
    await context.clock.sleep(context.tags.lasts(seconds) + TAIL_S)
    await context.tags.captured(end)
    found = {}
    for name in detectors:
        times, channels = captures[bench.tagger_of(name)].tags()
        found[name] = times[channels == bench.channel(name)]
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
        analyser's outcome first, H before V. Raises RunError when there is no peak, or when that of an
        outcome does not stand in the window of all."""
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
        for one, other in product(first, second):
            if (apart := _apart(tags[one], tags[other], delay)) is not None and abs(apart) > window_ps / 2:
                raise RunError(
                    f"the coincidences of {one} and {other} are {apart:+.0f} ps from those of all outputs, "
                    f"beside the window of {window_ps} ps: the delays of these detectors differ. Let "
                    "calibrate_pair_delays find them before polarization is judged by pairs"
                )
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


def _apart(first: Times, second: Times, delay_ps: int) -> float | None:
    """How much later than so the correlation peak of two detectors is; None where none stands out."""
    from timetags.analyses.correlate import bin_centres, correlate
    from timetags.clocks.peak import DelayError, fit_peak

    counts = correlate(first, second, bin_ps=BIN_PS, range_ps=(delay_ps - APART_PS, delay_ps + APART_PS))
    try:
        peak = fit_peak(counts, bin_centres(BIN_PS, (-APART_PS, APART_PS)), BIN_PS)
    except DelayError:
        return None
    return peak.position_ps if peak.pairs >= FEWEST_PAIRS else None


def _pooled(tags: Mapping[str, Times], names: Sequence[str]) -> Times:
    pooled: Times = np.sort(np.concatenate([tags[name] for name in names]))
    return pooled


def ps(seconds: float) -> int:
    return round(seconds * PS)
