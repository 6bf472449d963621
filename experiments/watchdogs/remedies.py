"""Remedies that more than one failure has."""

from collections.abc import Mapping

from experiments.calibrations.delay_step import CalibrateDelaysStep
from experiments.calibrations.delays import DelayCalibration
from experiments.calibrations.polarization.upkeep import LinkUpkeep
from experiments.config.plan import CalibrateDelays
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
