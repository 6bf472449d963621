"""The steps that a plan can have, and their parameters.

A step is one key with a mapping of parameters, `- wait: {duration: 5 s}`, or its bare name when every
parameter has a default. A new kind of step is one class here and one line in `STEPS`: its fields are its
parameters, `faults` says what does not fit the testbed or the other sections of the file, the properties say
how long it will take.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, Strict

from drivers.capabilities import Laser, Limits, NanowireBias, TimeTagger
from drivers.units import Amperes, Seconds, Volts, Watts, format_si
from experiments.config.dwell import Dwell, Until, most_s, visits_of
from experiments.config.inventory import Inventory
from experiments.config.model import Name, Part, Positive
from experiments.config.problems import Fault, choices, show_value
from experiments.config.settings import Sections

BRING_UP_S = 60.0
"""An estimate for the duration of a bring-up: homing a K10CR1 takes up to 40 s (thorlabs_k10cr1.md), the
rest is lasers and bias currents."""
COMPENSATING_S = 30.0
"""An estimate for one link: some looks of a second or two, each behind a turn of the plates."""
SETTING_S = 7.0
"""An estimate for one setting of the analysers: a wave plate turns by up to 45 degrees at 10 deg/s and
20 deg/s^2 (thorlabs_k10cr1.md), plus two seconds for talking."""


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

    quantity: Literal["power", "bias", "threshold"]
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


class BringUp(PlanStep):
    """Switch on: home what moves, then thresholds, bias of every channel of a unit, then laser light."""

    kind = "bring_up"
    power: dict[Name, Watts] = Field(default_factory=dict)
    bias: dict[Name, Amperes] = Field(default_factory=dict)
    threshold: dict[Name, Volts] = Field(default_factory=dict)

    @property
    def estimated_s(self) -> float:
        return BRING_UP_S

    def set_points(self, inventory: Inventory) -> Iterator[SetPoint]:
        """Every set-point of the step whose instrument is known and fits, with its limits."""
        for name, driver in inventory.drivers.items():
            if isinstance(driver, Laser) and name in self.power:
                yield SetPoint("power", name, self.power[name], driver.power_limits)
            elif isinstance(driver, NanowireBias) and name in self.bias:
                yield SetPoint("bias", name, self.bias[name], driver.bias_limits)
            elif isinstance(driver, TimeTagger) and name in self.threshold:
                yield SetPoint("threshold", name, self.threshold[name], driver.threshold_limits)

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        uses: tuple[tuple[str, Iterable[str], type[Any]], ...] = (
            ("power", self.power, Laser),
            ("bias", self.bias, NanowireBias),
            ("threshold", self.threshold, TimeTagger),
        )
        for quantity, names, capability in uses:
            for name in names:
                if wrong := inventory.wrong_instrument(name, capability):
                    yield Fault((quantity, name), wrong, at_key=True)
        for point in self.set_points(inventory):
            if not point.allowed:
                wrong = f"{point.shown} is outside the limits of {point.instrument}; allowed: {point.range}"
                yield Fault((point.quantity, point.instrument), wrong)


class CalibrateDelays(SwappingStep):
    """Find the delays of all detectors from tags of `duration`, within +-`search` of each other."""

    kind = "calibrate_delays"
    makes = ("delays",)
    duration: Annotated[Seconds, Positive] = 2.0
    search: Annotated[Seconds, Positive] = 10e-3

    @property
    def recording_s(self) -> float:
        return self.duration


Basis = Literal["ZZ", "XX", "YY", "CHSH"]
SETTINGS_OF: Mapping[Basis, int] = {"ZZ": 1, "XX": 1, "YY": 1, "CHSH": 4}
"""How many settings of the two analysers each basis takes."""


def _each_once(bases: tuple[Basis, ...]) -> tuple[Basis, ...]:
    if len(set(bases)) < len(bases):
        raise ValueError(
            f"{', '.join(bases)} names one twice; for more data choose a longer dwell, or rounds"
        )
    return bases


class MeasureSwapping(SwappingStep):
    """Count four-folds in each basis, `dwell` per setting of the analysers, `rounds` times over. A dwell
    until an error bar is reached has as many rounds as it needs."""

    kind = "measure_swapping"
    needs = ("calibrate_delays",)
    results = (
        "swap_rate_hz",
        "chsh_s",
        "fidelity",
        "visibility_zz",
        "visibility_xx",
        "visibility_yy",
        "heralds_hz",
    )
    bases: Annotated[tuple[Basis, ...], Field(min_length=1), AfterValidator(_each_once)]
    dwell: Dwell
    rounds: Annotated[int, Strict(), Field(ge=1)] = 1

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        if isinstance(self.dwell, Until):
            yield from self.dwell.faults(self.results)

    @property
    def settings(self) -> int:
        """How many different settings of the analysers there are."""
        return sum(SETTINGS_OF[basis] for basis in self.bases)

    @property
    def recording_s(self) -> float:
        return most_s(self.dwell, self.settings, self.rounds)

    @property
    def estimated_s(self) -> float:
        return self.recording_s + SETTING_S * visits_of(self.dwell, self.settings, self.rounds)


class LinkStep(PlanStep):
    """A step on `links` of the section `compensation`; on all of them when none is named."""

    links: tuple[Name, ...] = ()

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        names = sections.declared.get("compensation", ())
        if not names:
            yield Fault(
                (),
                f"{self.kind} needs the section compensation, which is missing; write there which links there "
                "are, like compensation: {LINK: {controller: NAME, probes: [...], polarimeter: NAME}}",
                at_key=True,
            )
        for number, link in enumerate(self.links):
            if names and link not in names:
                wrong = f"{show_value(link)} is no link of compensation; {choices(link, names)}"
                yield Fault(("links", number), wrong)


class CompensatePolarization(LinkStep):
    """Turn controllers until polarization comes through these links as it went in, and look at them again and
    again from then on, in the gaps of measurements, as their `cadence` says. The results are those of the
    worst link."""

    kind = "compensate_polarization"
    results = ("polarization_probe_fidelity", "polarization_pair_fidelity")

    @property
    def estimated_s(self) -> float:
        return COMPENSATING_S * max(1, len(self.links))


class ReferencePolarization(LinkStep):
    """Take these links as they stand for good ones: keep how their probes look there, as the mean of
    `looks`."""

    kind = "reference_polarization"
    looks: Annotated[int, Strict(), Field(ge=2)] = 10

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        for name, link in sections.compensation.items():
            if name in (self.links or sections.compensation) and not link.probes:
                yield Fault(("links",), f"{name} has no probes; a reference is how probes look", at_key=True)

    @property
    def estimated_s(self) -> float:
        return self.looks * max(1, len(self.links))


class Wait(PlanStep):
    """Let time pass on the run's clock."""

    kind = "wait"
    duration: Annotated[Seconds, Positive]

    @property
    def estimated_s(self) -> float:
        return self.duration


STEPS: dict[str, type[PlanStep]] = {
    step.kind: step
    for step in (
        BringUp,
        CalibrateDelays,
        CompensatePolarization,
        MeasureSwapping,
        ReferencePolarization,
        Wait,
    )
}
"""Every kind of step by its name in a plan."""


def result_names(plan: Iterable[PlanStep]) -> list[str]:
    """The names in the results of a run of all quantities that its steps add."""
    names: list[str] = []
    for step in {(step.kind, step.label): step for step in plan}.values():
        for quantity in step.results:
            names.append(result_name(step.kind, step.label, quantity, names))
    return names


def result_name(kind: str, label: str | None, quantity: str, taken: Collection[str]) -> str:
    """What a quantity of a step is called in the results: `chsh_s`, or `LABEL.chsh_s` of a step with a label;
    with the step's kind before it when a step of another kind, earlier on the plan, has taken that name."""
    name = f"{label}.{quantity}" if label else quantity
    return f"{kind}.{name}" if name in taken else name
