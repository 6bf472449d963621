"""`compensate_polarization` and `reference_polarization`: links of the section `compensation`, by the plan.

The first step brings links from whatever they are to what they shall be, and from then on they are looked at
in the gaps of measurements, as their cadence says. The second takes the links as they stand for good ones, as
after an alignment with the photons themselves, and keeps how the probes look there.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from experiments.calibrations.polarization.sphere import Floats, unit
from experiments.calibrations.polarization.upkeep import LinkUpkeep
from experiments.config.experiment import Experiment
from experiments.config.plan import CompensatePolarization, LinkStep, ReferencePolarization
from experiments.engine.bench import Bench
from experiments.engine.events import Happened
from experiments.engine.outcome import RunError
from experiments.engine.record import utc_now
from experiments.engine.step import Context, Step, StepClock

REFERENCE = "polarization reference of {}"
"""The name of a link's reference."""
POLICY = "polarization reference"
"""The name that the section `calibrations` has for those of all links."""
KEPT = "kept links"
"""The name under which `Calibrations` has the upkeep of each link."""


@dataclass
class KeptLinks:
    """The links of one run by name: the same for every step, with what was learned of them."""

    links: dict[str, LinkUpkeep] = field(default_factory=dict)


@dataclass
class Fidelities:
    """Section of the results: how the worst of the links stood when the step was done."""

    probe: dict[str, float | None] = field(default_factory=dict)
    pair: dict[str, float | None] = field(default_factory=dict)

    def to_results(self) -> dict[str, object]:
        return {
            "polarization_probe_fidelity": {"value": _least(self.probe), "error": None, "links": self.probe},
            "polarization_pair_fidelity": {"value": _least(self.pair), "error": None, "links": self.pair},
        }


L = TypeVar("L", bound=LinkStep)


class StepOnLinks(Step[L]):
    """A step on some links of the section `compensation`."""

    can_go_on = True

    def changes(self, bench: Bench, experiment: Experiment) -> set[str]:
        links = self.names(experiment)
        return {name for link in links for name in LinkUpkeep.of(link, experiment, bench).changes}

    def records(self, experiment: Experiment) -> bool:
        links = [experiment.compensation[name] for name in self.names(experiment)]
        return any(link.counts_photons for link in links)

    def names(self, experiment: Experiment) -> tuple[str, ...]:
        """The links of the step: those named, or all."""
        return self.parameters.links or tuple(experiment.compensation)

    def upkeep(self, context: Context, link: str) -> LinkUpkeep:
        """The upkeep of a link, the same for every step of the run."""
        kept = context.calibrations.find(KEPT, KeptLinks)
        if kept is None:
            kept = KeptLinks()
            context.calibrations.put(KEPT, kept)
        if link not in kept.links:
            kept.links[link] = LinkUpkeep.of(link, context.experiment, context.bench, context.seed)
            _take_over_reference(context, kept.links[link])
        return kept.links[link]


class CompensatePolarizationStep(StepOnLinks[CompensatePolarization]):
    """`compensate_polarization`."""

    async def run(self, context: Context) -> None:
        names = self.names(context.experiment)
        for link in names[self.safe_points :]:
            upkeep = self.upkeep(context, link)
            if isinstance(context.clock, StepClock):
                # A search ends by its own time-out, which the parameters of the step do not know.
                context.clock.put_off(upkeep.settings.timeout)
            # To the goal, not only above the trigger: who asks for it by the plan wants it done.
            found = await upkeep.keep(context, trigger=upkeep.settings.stop)
            section = context.results.section(self.parameters, Fidelities)
            section.probe[link] = found.after.probe_fidelity
            section.pair[link] = found.after.pair_fidelity
            context.store_results()
            if found.reason not in ("good", "compensated"):
                reached, wanted = 1 - found.after.error, upkeep.settings.stop
                raise RunError(
                    f"the polarization of {link} came to {reached:.4f} of {wanted:g} ({found.reason}, "
                    f"{found.settings} settings). See whether the controller turns the light, or choose "
                    "another strategy"
                )
            if upkeep not in context.maintenance:
                context.maintenance.append(upkeep)
            self.safe_points += 1


class ReferencePolarizationStep(StepOnLinks[ReferencePolarization]):
    """`reference_polarization`."""

    async def run(self, context: Context) -> None:
        names = self.names(context.experiment)
        for link in names[self.safe_points :]:
            upkeep = self.upkeep(context, link)
            images: list[Floats] = []
            for _ in range(self.parameters.looks):
                look = await upkeep.look(context)
                assert look.images is not None  # a link with a pair has none, and is refused by `faults`
                images.append(look.images)
            self._keep(context, upkeep, images)
            self.safe_points += 1

    def _keep(self, context: Context, upkeep: LinkUpkeep, images: list[Floats]) -> None:
        mean = unit(np.mean(images, axis=0))
        error = np.std(images, axis=0, ddof=1) / np.sqrt(len(images))
        upkeep.refer_to(mean)
        probes = {
            probe.beam: [
                {"value": value, "unit": "1", "uncertainty": uncertainty}
                for value, uncertainty in zip(vector, wrong, strict=True)
            ]
            for probe, vector, wrong in zip(
                upkeep.settings.probes, mean.tolist(), error.tolist(), strict=True
            )
        }
        record: dict[str, object] = {
            "utc": utc_now(),
            "run": context.folder.name,
            "looks": len(images),
            "stokes": probes,
        }
        context.store_calibration(REFERENCE.format(upkeep.name), record)
        message = f"polarization reference of {upkeep.name}: {len(probes)} probes, {len(images)} looks"
        context.announce(Happened("calibrated", message, {"calibration": "polarization reference", **record}))


def _take_over_reference(context: Context, upkeep: LinkUpkeep) -> None:
    """Use the reference that an earlier run kept, where the section `calibrations` asks for one. Raises
    RunError where it is too old or missing, unless `when_old: renew` lets that be."""
    policy = context.experiment.calibrations.get(POLICY)
    if policy is None or not upkeep.settings.probes:
        return
    name = REFERENCE.format(upkeep.name)
    known = context.fresh_calibration(name)
    if known is not None and known.is_fresh(datetime.now(UTC), policy.valid_for):
        stokes = known.record["stokes"]
        vectors = [[each["value"] for each in stokes[probe.beam]] for probe in upkeep.settings.probes]
        upkeep.refer_to(np.array(vectors, dtype=np.float64))
        context.use_calibration(name, {**known.record, "taken_over": {"run": known.run}})
        details = {"calibration": name, "run": known.run}
        context.announce(Happened("calibration taken over", f"{name} of {known.run}", details))
    elif policy.when_old == "refuse":
        raise RunError(
            f"{name}: there is none that is young enough. Run reference_polarization on the aligned link, or "
            "write when_old: renew to take the probes' own polarizations"
        )


def _least(found: dict[str, float | None]) -> float | None:
    known = [value for value in found.values() if value is not None]
    return min(known) if known and len(known) == len(found) else None
