"""What shows how a link turns polarization, behind one interface."""

from typing import Protocol

from experiments.calibrations.polarization.lighting import Lighting
from experiments.calibrations.polarization.photon_sensors import PairsAtAnalysers, ProbesAtAnalyser
from experiments.calibrations.polarization.probes import ProbesAtPolarimeter
from experiments.calibrations.polarization.search import Look
from experiments.calibrations.polarization.sphere import Floats
from experiments.config.compensation import Compensation
from experiments.config.experiment import Experiment
from experiments.engine.bench import Bench
from experiments.engine.step import Context


class Sensor(Protocol):
    """A way to look at a link. `sent` and `reference` are those of the search's `Link`; empty without
    probes."""

    sent: Floats
    reference: Floats

    @property
    def instruments(self) -> set[str]:
        """Those that a look changes."""
        ...

    async def get_ready(self, context: Context) -> None:
        """Whatever takes time and need not keep the photons out."""
        ...

    async def look(self, context: Context) -> Look:
        """One `Look` at the link as it stands. Raises RunError when there is nothing to see."""
        ...


def sensor_of(settings: Compensation, experiment: Experiment, bench: Bench, lighting: Lighting) -> Sensor:
    """What the section `compensation` names for a link."""
    if settings.pair is not None:
        return PairsAtAnalysers(settings, experiment.pairs[settings.pair], bench, lighting)
    if settings.analyser is not None:
        return ProbesAtAnalyser(settings, bench, lighting)
    return ProbesAtPolarimeter(settings, bench, lighting)
