"""The correlation of each spoke with the hub as people look at it: one histogram over all its detectors, on
one time base by a delay calibration, with the coincidence window on it."""

from collections.abc import Iterator, Mapping, Sequence

from experiments.calibrations.delays import DelayCalibration, Wire
from experiments.engine.events import Peaks
from timetags.block import Channels, Times

BIN_PS = 50
HALF_RANGE_PS = 6000
PS = 1e12


def pooled_peaks(
    found: DelayCalibration,
    tags: Mapping[str, tuple[Times, Channels]],
    wires: Mapping[str, Wire],
    spokes: Mapping[str, Sequence[str]],
    hub: Sequence[str],
    window_s: tuple[float, float],
) -> Iterator[Peaks]:
    """One for each of `spokes`, from the `tags` that the calibration was `found` in (see `calibrate_delays`).
    Delays are those of the spoke's tagger against the hub's, in ps. `window_s` is the coincidence window: its
    full width and its centre after the peak."""
    from timetags.analyses.correlate import correlate

    pooled_hub = _pooled(found, tags, wires, hub)
    for spoke, detectors in spokes.items():
        counts = correlate(
            pooled_hub,
            _pooled(found, tags, wires, detectors),
            bin_ps=BIN_PS,
            range_ps=(-HALF_RANGE_PS, HALF_RANGE_PS),
        )
        delay_ps = float(-found.shifts_ps[wires[detectors[0]].tagger])
        centre_ps, half_ps = window_s[1] * PS, window_s[0] * PS / 2
        yield Peaks(
            spoke,
            delay_ps - HALF_RANGE_PS,
            BIN_PS,
            tuple(counts.astype(float).tolist()),
            delay_ps + centre_ps - half_ps,
            delay_ps + centre_ps + half_ps,
            delay_ps,
            max(found.fine[name].error_ps for name in detectors),
        )


def _pooled(
    found: DelayCalibration,
    tags: Mapping[str, tuple[Times, Channels]],
    wires: Mapping[str, Wire],
    detectors: Sequence[str],
) -> Times:
    """The tags of these detectors, on one time base, in their order."""
    from timetags.merge import merge_channels

    delays = found.delays_ps()
    aligned = []
    for name in detectors:
        times, channels = tags[wires[name].tagger]
        aligned.append(
            found.clock(wires[name].tagger).to_base(times[channels == wires[name].channel]) + delays[name]
        )
    pooled, _ = merge_channels(aligned, range(len(aligned)))
    return pooled
