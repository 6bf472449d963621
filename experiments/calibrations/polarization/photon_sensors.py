"""Single photons show how a link turns polarization: probes so weak that an analyser counts them, or the
photon pairs themselves."""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

from collections.abc import Mapping

import numpy as np

from experiments.calibrations.delays import DelayCalibration
from experiments.calibrations.pair_delays import tracked_delays
from experiments.calibrations.polarization.counting import PairPeak, ps, tags_of
from experiments.calibrations.polarization.lighting import Lighting
from experiments.calibrations.polarization.probes import reference_of
from experiments.calibrations.polarization.search import Look, probed
from experiments.calibrations.polarization.sphere import Floats, unit
from experiments.calibrations.tracking import DelayTracker
from experiments.config.compensation import Compensation
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.motion import turn
from experiments.engine.outcome import RunError
from experiments.engine.step import Context
from experiments.engine.switching import connect
from experiments.estimators.analyser import IDEAL, AnalyserOptics
from experiments.estimators.bell import SIGNS
from experiments.measurements.analysers import OPTICS, Analysis, Setting, circular, linear, mount_angles

FEWEST = 100
"""Fewer photons or coincidences than this in a setting say nothing about polarization."""
STOKES_SETTINGS = (linear(0), linear(45), circular())
BASES = (Setting("ZZ", (linear(0), linear(0))), Setting("XX", (linear(45), linear(45))))


class ProbesAtAnalyser:
    """Weak probes, counted behind an analyser in three settings each: H against V, D against A, R against
    L."""

    def __init__(self, settings: Compensation, bench: Bench, lighting: Lighting) -> None:
        assert settings.analyser is not None
        self._settings, self._lighting = settings, lighting
        self._name = settings.analyser
        self._mounts = mount_angles(bench, settings.analyser, STOKES_SETTINGS[0])
        self._detectors = bench.spoke_detectors(settings.analyser)
        beams = [bench.testbed.beams[probe.beam] for probe in settings.probes]
        self.sent = np.array([beam.polarization.stokes for beam in beams])
        self.reference = reference_of(settings.probes, self.sent)

    @property
    def instruments(self) -> set[str]:
        return {*(mount.name for mount in self._mounts), *self._lighting.instruments}

    async def get_ready(self, context: Context) -> None:
        """Nothing takes long."""

    async def look(self, context: Context) -> Look:
        """The Stokes vectors from the contrasts of the two outputs, by what an analyser as it is calibrated
        projects on."""
        optics = context.calibrations.find(OPTICS.format(self._name), AnalyserOptics) or IDEAL
        contrasts = np.zeros((len(self._settings.probes), len(STOKES_SETTINGS)))
        directions, offsets = np.zeros((len(STOKES_SETTINGS), 3)), np.zeros(len(STOKES_SETTINGS))
        for k, analysis in enumerate(STOKES_SETTINGS):
            await turn(mount_angles(context.bench, self._name, analysis), context.clock)
            offsets[k], directions[k] = contrast(optics, analysis)
            for number, probe in enumerate(self._settings.probes):
                await self._lighting.to_probe(probe, context)
                tags = await tags_of(context, self._detectors, self._settings.dwell)
                h, v = (len(tags[name]) for name in self._detectors)
                if h + v < FEWEST:
                    raise RunError(
                        f"{self._name} sees {h + v} photons of {probe.beam} in {self._settings.dwell:g} s. "
                        "See whether its laser emits and light comes through"
                    )
                contrasts[number, k] = (h - v) / (h + v)
        images = np.asarray(np.linalg.solve(directions, (contrasts - offsets).T).T, dtype=np.float64)
        return probed(unit(images), self.sent, self.reference, settings=contrasts.size)


class PairsAtAnalysers:
    """Coincidences of photon pairs in the bases ZZ and XX. The error of a look is the mean QBER, accidentals
    and the source's own errors included; its pair fidelity is the least that two bases leave open, (|ZZ| +
    |XX|) / 2."""

    def __init__(self, settings: Compensation, pair: PairSettings, bench: Bench, lighting: Lighting) -> None:
        self._settings, self._pair, self._lighting = settings, pair, lighting
        self._detectors = tuple(bench.spoke_detectors(name) for name in pair.analysers)
        self._bases = list(zip(BASES, (SIGNS[settings.state].z, SIGNS[settings.state].x), strict=True))
        self._peak = PairPeak()
        self._mounts = BASES[0].angles(bench, pair.analysers)
        self.sent = self.reference = np.zeros((0, 3))

    @property
    def instruments(self) -> set[str]:
        return {mount.name for mount in self._mounts} | {*self._pair.switches} | self._lighting.instruments

    async def get_ready(self, context: Context) -> None:
        """Photons in, if they are not."""
        await connect(self._pair.switches, context.bench, context.clock)
        await self._lighting.to_photons(context)

    async def look(self, context: Context) -> Look:
        """The basis in which the analysers stand already comes first."""
        first, second = self._detectors
        errors: Floats = np.zeros(len(BASES))
        for k, (basis, sign) in enumerate(self._bases):
            await turn(basis.angles(context.bench, self._pair.analysers), context.clock)
            tags = await tags_of(context, (*first, *second), self._settings.dwell)
            late_ps = self._delays_ps(context)
            tags = {name: times + late_ps[name] for name, times in tags.items()}
            counts = await self._peak.coincidences(
                tags, first, second, ps(self._pair.window), ps(self._pair.window_centre)
            )
            total = int(counts.sum())
            if total < FEWEST:
                raise RunError(
                    f"{total} coincidences of {' and '.join(self._pair.analysers)} in "
                    f"{self._settings.dwell:g} s say nothing about polarization; choose a longer dwell"
                )
            correlation = (counts[0, 0] + counts[1, 1] - counts[0, 1] - counts[1, 0]) / total
            errors[k] = (1 - sign * correlation) / 2
        self._bases.reverse()
        return Look(float(errors.mean()), len(BASES), pair_fidelity=float(1 - errors.sum()))

    def _delays_ps(self, context: Context) -> dict[str, int]:
        """What makes both outputs of each analyser equally late, as far as that is calibrated. What lies
        between the analysers stays as it is: it is found anew whenever delays are."""
        known: Mapping[str, int] = {}
        bench, names = context.bench, [name for both in self._detectors for name in both]
        tracker = context.calibrations.find(tracked_delays(self._pair.analysers), DelayTracker)
        if tracker is not None:
            by_channel = tracker.delays_at(context.tags.now_ps)
            known = {name: by_channel.get(bench.channel(name), 0) for name in names}
        elif (calibrated := context.calibrations.find("delays", DelayCalibration)) is not None:
            known = calibrated.delays_ps()
        return {name: known.get(name, 0) - known.get(both[0], 0) for both in self._detectors for name in both}


def contrast(optics: AnalyserOptics, analysis: Analysis) -> tuple[float, Floats]:
    """What the contrast (H - V) / (H + V) of an analyser is: an offset, and the direction on the sphere along
    which it goes with the Stokes vector. 1 and 3 numbers."""
    clicks, others = optics.elements(analysis.qwp_rad, analysis.hwp_rad)
    difference = clicks - others
    offset = float(difference.trace().real) / 2
    along = [
        float((difference[0, 0] - difference[1, 1]).real) / 2,
        float(difference[0, 1].real),
        float(difference[1, 0].imag),
    ]
    return offset, np.array(along)
