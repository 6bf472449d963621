"""Steps that get a bench ready: switching on, waiting, delays, polarization."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import Field, Strict

from drivers.capabilities import Laser, NanowireBias, TimeTagger
from drivers.units import Amperes, Seconds, Volts, Watts
from experiments.config.inventory import Inventory
from experiments.config.led_light import Arrangement, LedLight, Probe
from experiments.config.model import Name, Positive
from experiments.config.plan.measuring import SETTING_S, SeekDelays
from experiments.config.plan.step import LinkStep, PlanStep, SetPoint, SwappingStep
from experiments.config.problems import Fault
from experiments.config.settings import Sections

BRING_UP_S = 60.0
"""An estimate for the duration of a bring-up: homing a K10CR1 takes up to 40 s (thorlabs_k10cr1.md), the
rest is lasers and bias currents."""
ANALYSER_SETTINGS = 24
ROUND = 0.01
"""S3 up to which light counts as linear."""
COMPENSATING_S = 30.0
"""An estimate for one link: some looks of a second or two, each behind a turn of the plates."""


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


class Wait(PlanStep):
    """Let time pass on the run's clock."""

    kind = "wait"
    duration: Annotated[Seconds, Positive]

    @property
    def estimated_s(self) -> float:
        return self.duration


class CalibrateDelays(SeekDelays, SwappingStep):
    """Find the delays of all detectors from tags of `duration`, within +-`search` of each other. Where the
    taggers' clocks run free, rates up to +-`max_skew` of each other are looked for too."""

    kind = "calibrate_delays"
    makes = ("delays",)


class CompensatePolarization(LinkStep):
    """Turn controllers until polarization comes through these links as it went in, and look at them again and
    again from then on, in the gaps of measurements, as their `cadence` says. The results are those of the
    worst link."""

    kind = "compensate_polarization"
    results = ("polarization_probe_fidelity", "polarization_pair_fidelity")

    @property
    def estimated_s(self) -> float:
        return COMPENSATING_S * max(1, len(self.links))


class CalibrateAnalyser(PlanStep):
    """Find how the wave plates of an analyser stand and retard, from counts of `dwell` in each of 24
    settings, in the light of a beam of known linear polarization that is led there. Measurements of the plan
    turn the plates by it from then on."""

    kind = "calibrate_analyser"
    makes = ("optics",)
    analyser: Name
    light: Probe
    photons: Arrangement = Arrangement()
    """How light is led afterwards."""
    dwell: Annotated[Seconds, Positive] = 1.0

    @property
    def led(self) -> LedLight:
        """The light of the step, as something that is led."""
        return LedLight(probes=(self.light,), photons=self.photons)

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        if wrong := inventory.wrong_name("analysers", self.analyser):
            yield Fault(("analyser",), wrong)
        for fault in self.led.wrong_light(inventory, self.analyser):
            at = fault.path
            yield fault._replace(path=("light", *at[2:]) if at[0] == "probes" else at)
        beam = inventory.testbed.beams.get(self.light.beam)
        if beam and abs(beam.polarization.stokes[2]) > ROUND:
            yield Fault(
                ("light", "beam"), f"{self.light.beam} is not linear, which the calibration relies on"
            )

    @property
    def recording_s(self) -> float:
        return ANALYSER_SETTINGS * self.dwell

    @property
    def estimated_s(self) -> float:
        return self.recording_s + ANALYSER_SETTINGS * SETTING_S


class ReferencePolarization(LinkStep):
    """Take these links as they stand for good ones: keep how their probes look there, as the mean of
    `looks`."""

    kind = "reference_polarization"
    makes = ("polarization reference",)
    looks: Annotated[int, Strict(), Field(ge=2)] = 10

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        for name, link in sections.compensation.items():
            if name in (self.links or sections.compensation) and not link.probes:
                yield Fault(("links",), f"{name} has no probes; a reference is how probes look", at_key=True)

    @property
    def estimated_s(self) -> float:
        return self.looks * max(1, len(self.links))
