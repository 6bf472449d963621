"""What shows how a link turns polarization: probes at a polarimeter. A look at it is a `Look` of the
search."""

# Abstract capabilities are handed to isinstance, never called (python/mypy#4717).

from collections.abc import Sequence

import numpy as np

from drivers.capabilities import Polarimeter, Stokes
from drivers.errors import RefusedError
from experiments.calibrations.polarization.lighting import Lighting
from experiments.calibrations.polarization.search import Look, probed
from experiments.calibrations.polarization.sphere import Floats, unit
from experiments.config.compensation import Compensation
from experiments.config.led_light import Probe
from experiments.engine.bench import Bench
from experiments.engine.motion import settle
from experiments.engine.outcome import RunError
from experiments.engine.step import Context

SPIN_UP_S = 15.0
"""Deadline until a polarimeter measures; a PAX1000's plate takes up to 8 s."""
LEAST_DOP = 0.8
"""A probe is polarized light: where less of the reading is, something else lights the sensor, or nothing."""
READINGS = 20
"""How often a reading that the polarimeter finds bad is asked for again, a reading time apart: its gain may
have to follow."""
WAVELENGTH_M = 1e-9
"""Nearer than this to the probe's wavelength, a polarimeter's correction is left as it is."""


class ProbesAtPolarimeter:
    """Probes of which a polarimeter sees the Stokes vectors."""

    def __init__(self, settings: Compensation, bench: Bench, lighting: Lighting) -> None:
        assert settings.polarimeter is not None
        self._settings, self._lighting = settings, lighting
        self._polarimeter = bench.get(settings.polarimeter, Polarimeter)
        beams = [bench.testbed.beams[probe.beam] for probe in settings.probes]
        self._wavelength_m = beams[0].wavelength
        self.sent = np.array([beam.polarization.stokes for beam in beams])
        self.reference = reference_of(settings.probes, self.sent)
        self._last: Probe | None = None

    @property
    def instruments(self) -> set[str]:
        return {self._polarimeter.name, *self._lighting.instruments}

    async def get_ready(self, context: Context) -> None:
        if abs(await self._polarimeter.wavelength() - self._wavelength_m) > WAVELENGTH_M:
            await self._polarimeter.set_wavelength(self._wavelength_m)
        if not await self._polarimeter.is_measuring():
            await self._polarimeter.set_measuring(True)
        await settle([self._polarimeter], context.clock, SPIN_UP_S)

    async def look(self, context: Context) -> Look:
        """One reading of each probe; the one that is let in already comes first."""
        images = np.zeros_like(self.sent)
        probes = list(enumerate(self._settings.probes))
        if self._last is probes[-1][1]:
            probes.reverse()
        for number, probe in probes:
            await self._lighting.to_probe(probe, context)
            self._last = probe
            seen = await self._read(context, probe)
            if seen.dop < LEAST_DOP:
                raise self._unseen(
                    probe, f"of {seen.power_w:.2g} W only {100 * seen.dop:.0f} % are polarized"
                )
            images[number] = (seen.s1, seen.s2, seen.s3)
        return probed(unit(images), self.sent, self.reference, settings=len(probes))

    async def _read(self, context: Context, probe: Probe) -> Stokes:
        """A reading that has seen nothing but the light as it is now."""
        problem = ""
        for _ in range(READINGS):
            await context.clock.sleep(self._settings.reading)
            try:
                return await self._polarimeter.stokes()
            except RefusedError as error:
                problem = error.problem
        raise self._unseen(probe, problem)

    def _unseen(self, probe: Probe, why: str) -> RunError:
        return RunError(
            f"{self._polarimeter.name} ({self._polarimeter.address}) does not see {probe.beam}: {why}. See "
            "whether its laser emits and light comes through"
        )


def reference_of(probes: Sequence[Probe], sent: Floats) -> Floats:
    """How probes look behind a link that turns nothing: as the file says, or as they were sent."""
    given = [probe.reference or tuple(own) for probe, own in zip(probes, sent, strict=True)]
    return unit(np.array(given, dtype=np.float64))
