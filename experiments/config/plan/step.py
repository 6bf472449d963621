"""What a step of a plan is, as configured, and the three kinds of it that use a section of the file.

A step is one key with a mapping of parameters, `- wait: {duration: 5 s}`, or its bare name when every
parameter has a default. Its fields are its parameters, `faults` says what does not fit the testbed or the
other sections of the file, the properties say how long it will take.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from drivers.capabilities import Limits
from drivers.units import format_si
from experiments.config.inventory import Inventory
from experiments.config.model import Name, Part
from experiments.config.problems import Fault, choices, show_value
from experiments.config.settings import Sections


class PlanStep(Part):
    """A step of a plan, as configured. Its `name` tells its results from those of another of its kind."""

    kind: ClassVar[str]
    results: ClassVar[tuple[str, ...]] = ()
    """The quantities that the step adds to the results of a run."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Kinds of steps that must come before it, unless the calibrations that they make may be taken from an
    earlier run."""
    makes: ClassVar[tuple[str, ...]] = ()
    """The calibrations that it makes, by the names that the section `calibrations` has for them."""
    name: Name | None = None

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        """What does not fit the testbed or the other sections of the experiment file; nothing unless a step
        says so."""
        del inventory, sections
        yield from ()

    def set_points(self, inventory: Inventory) -> "Iterator[SetPoint]":
        """Every set-point of the step that its file states, of instruments that are known and fit; nothing
        unless a step says so."""
        del inventory
        yield from ()

    @property
    def label(self) -> str | None:
        """What stands before the names of its results: `LABEL.chsh_s`. Steps of one kind that share it, or
        have none, add to the same results."""
        return self.name

    @property
    def parts(self) -> "tuple[PlanStep, ...]":
        """All steps that add to the results when this one is carried out: itself, unless it says more."""
        return (self,)

    @property
    def recording_s(self) -> float:
        """For how many seconds of the run's clock tags are taken."""
        return 0.0

    @property
    def estimated_s(self) -> float:
        """How long the step takes, in seconds of the run's clock; where hardware moves, an estimate."""
        return self.recording_s


@dataclass(frozen=True)
class SetPoint:
    """A value that a step will set on an instrument, in the unit of its limits."""

    quantity: Literal["power", "bias", "threshold", "delay"]
    instrument: str
    value: float
    limits: Limits

    @property
    def allowed(self) -> bool:
        return self.value in self.limits

    @property
    def shown(self) -> str:
        return format_si(self.value, self.limits.unit)

    @property
    def range(self) -> str:
        unit = self.limits.unit
        return f"{format_si(self.limits.low, unit)} to {format_si(self.limits.high, unit)}"


class SwappingStep(PlanStep):
    """A step that uses the Bell-state measurement and the spokes in `settings`."""

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        if "settings" not in sections.declared:
            yield Fault(
                (),
                f"{self.kind} needs the section settings, which is missing; write there which spokes and "
                "bell_state_measurement to use, bsm_window and spoke_window",
                at_key=True,
            )


class PairStep(PlanStep):
    """A step that uses two analysers which share photon pairs: those of `pair`, by default the only one."""

    pair: Name | None = None

    @property
    def label(self) -> str | None:
        return self.name or self.pair

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        names = sections.declared.get("pairs", ())
        if not names:
            yield Fault(
                (),
                f"{self.kind} needs the section pairs, which is missing; write there what to measure, like "
                "pairs: {link: {analysers: [ONE, OTHER], window: 1 ns}}",
                at_key=True,
            )
        elif self.pair is None and len(names) > 1:
            yield Fault((), f"which pair is missing; write pair: NAME, {choices(None, names)}", at_key=True)
        elif self.pair is not None and self.pair not in names:
            yield Fault(
                ("pair",), f"{show_value(self.pair)} is no pair of pairs; {choices(self.pair, names)}"
            )


class LinkStep(PlanStep):
    """A step on `links` of the section `compensation`; on all of them when none is named."""

    links: tuple[Name, ...] = ()

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        names = sections.declared.get("compensation", ())
        if not names:
            yield Fault(
                (),
                f"{self.kind} needs the section compensation, which is missing; write there which links "
                "there are, like compensation: {LINK: {controller: NAME, probes: [...], polarimeter: NAME}}",
                at_key=True,
            )
        for number, link in enumerate(self.links):
            if names and link not in names:
                wrong = f"{show_value(link)} is no link of compensation; {choices(link, names)}"
                yield Fault(("links", number), wrong)
