"""Remedies that more than one failure has."""

from collections.abc import Mapping

from experiments.calibrations.delay_step import CalibrateDelaysStep
from experiments.calibrations.delays import DelayCalibration
from experiments.calibrations.pair_delays import CalibratePairDelaysStep, tracked_delays
from experiments.calibrations.polarization.upkeep import LinkUpkeep
from experiments.config.experiment import Experiment
from experiments.config.plan import CalibrateDelays, CalibratePairDelays, MeasurePairs
from experiments.engine.outcome import RunError
from experiments.engine.step import Context


async def calibrate_delays_anew(context: Context) -> Mapping[str, object]:
    """Calibrate the delays as the plan does it, from where no gate is open. Raises RunError when no peak is
    found."""
    plan = context.experiment.plan
    parameters = next((step for step in plan if isinstance(step, CalibrateDelays)), CalibrateDelays())
    await CalibrateDelaysStep(parameters).run(context)
    found = context.calibrations.get("delays", DelayCalibration)
    return {"tagger_shifts_ps": dict(found.shifts_ps), "chi2_per_dof": found.chi2_per_dof}


async def calibrate_pair_delays_anew(name: str | None, context: Context) -> Mapping[str, object]:
    """The same for a pair of the section `pairs`, by default the only one. Those of all other pairs may share
    what has changed, and are given up: they are found anew when they are measured next."""
    experiment = context.experiment
    await CalibratePairDelaysStep(_as_planned(experiment, name)).run(context)
    analysers = experiment.pair(name).analysers
    for other in experiment.pairs.values():
        if other.analysers != analysers:
            context.calibrations.withdraw(tracked_delays(other.analysers))
    return {"delays of": list(analysers)}


def _as_planned(experiment: Experiment, name: str | None) -> CalibratePairDelays:
    """How the plan finds the delays of a pair."""
    for step in experiment.plan:
        if isinstance(step, CalibratePairDelays) and experiment.pair(step.pair) == experiment.pair(name):
            return step
        if isinstance(step, MeasurePairs) and name in step.pairs:
            return step.delays(name)
    return CalibratePairDelays(pair=name)


def links(context: Context) -> list[LinkUpkeep]:
    """The links whose polarization is looked after."""
    return [each for each in context.maintenance if isinstance(each, LinkUpkeep)]


async def compensate(link: LinkUpkeep, context: Context) -> Mapping[str, object]:
    """Search for the polarization of a link until its goal. Raises RunError when it does not come there."""
    found = await link.keep(context, trigger=link.settings.stop)
    if found.reason not in ("good", "compensated"):
        raise RunError(
            f"the polarization of {link.name} came to {1 - found.after.error:.4f} ({found.reason})"
        )
    return {f"fidelity_of_{link.name}": 1 - found.after.error}
