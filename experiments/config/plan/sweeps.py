"""Steps that find operating points: of a source by its pump, of detectors by their bias, of two arms by their
brightness."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from drivers.capabilities import DiodeBias, Laser, NanowireBias
from drivers.units import Amperes, Fraction, Hertz, Seconds, Volts, Watts
from experiments.config.inventory import Inventory
from experiments.config.model import Name, Positive
from experiments.config.plan.measuring import SETTING_S
from experiments.config.plan.step import PairStep, PlanStep, SetPoint, SwappingStep
from experiments.config.problems import Fault
from experiments.config.settings import PairSettings, Sections, source_of_pair

POINT_S = 3.0
"""An estimate for what one point takes besides counting: setting, settling, and waiting for the last tags."""
FEWEST_POWERS, FEWEST_BIASES = 4, 8


class CalibrateSource(PairStep):
    """Sweep the pump of the source that lights a pair: singles, coincidences, CAR and heralding at each of
    `powers`, in shuffled order, `dwell` each. Then set the power for `rate`, true coincidences as the
    detectors count them, at `fidelity` or better: what accidentals leave of pairs of the fidelity
    `perfect`."""

    kind = "calibrate_source"
    needs = ("calibrate_pair_delays",)
    powers: Annotated[tuple[Annotated[Watts, Positive], ...], Field(min_length=FEWEST_POWERS)]
    dwell: Annotated[Seconds, Positive] = 2.0
    rate: Annotated[Hertz, Positive]
    fidelity: Fraction = 0.0
    perfect: Fraction = 1.0

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        if len(set(self.powers)) < FEWEST_POWERS:
            yield Fault(("powers",), f"a sweep takes at least {FEWEST_POWERS} different powers")
        pump = inventory.drivers.get(self._pump(inventory, sections) or "")
        if isinstance(pump, Laser):
            for number, power in enumerate(self.powers):
                point = SetPoint("power", pump.name, power, pump.power_limits)
                if not point.allowed:
                    wrong = f"{point.shown} is outside the limits of {pump.name}; allowed: {point.range}"
                    yield Fault(("powers", number), wrong)

    def _pump(self, inventory: Inventory, sections: Sections) -> str | None:
        pair: PairSettings | None = sections.pairs.get(self.pair or "")
        if self.pair is None and len(sections.pairs) == 1:
            (pair,) = sections.pairs.values()
        source = pair and source_of_pair(inventory.testbed, pair.analysers, pair.switches)
        return inventory.testbed.sources[source].pump if source else None

    @property
    def recording_s(self) -> float:
        return (len(self.powers) + 1) * self.dwell

    @property
    def estimated_s(self) -> float:
        return self.recording_s + (len(self.powers) + 1) * POINT_S + SETTING_S


class CalibrateDetectors(PlanStep):
    """Sweep the bias of all channels of a unit: counts in the dark, then with the lasers of `power`, which
    this step switches on and leaves on. Then set each channel to the lowest bias with a share of `plateau` of
    its full efficiency, at no more than `most_dark` dark counts. `bias` for nanowires; for avalanche diodes
    `voltage`, the whole one, and their `breakdown`. Biases in shuffled order, `dwell` each."""

    kind = "calibrate_detectors"
    unit: Name
    bias: tuple[Annotated[Amperes, Positive], ...] = ()
    voltage: tuple[Annotated[Volts, Positive], ...] = ()
    breakdown: Annotated[Volts, Positive] | None = None
    power: Annotated[dict[Name, Watts], Field(min_length=1)]
    dwell: Annotated[Seconds, Positive] = 1.0
    plateau: Annotated[Fraction, Positive] = 0.98
    most_dark: Annotated[Hertz, Positive] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "CalibrateDetectors":
        if bool(self.bias) == bool(self.voltage):
            raise ValueError("give the values to sweep as bias of nanowires, or as voltage of diodes")
        if bool(self.voltage) != (self.breakdown is not None):
            raise ValueError("diodes' efficiency goes with the voltage over breakdown; give both or neither")
        if self.breakdown is not None and min(self.voltage) <= self.breakdown:
            raise ValueError("below breakdown a diode counts nothing; sweep above it")
        if len(set(self.points)) < FEWEST_BIASES:
            raise ValueError(f"a sweep takes at least {FEWEST_BIASES} different values")
        return self

    @property
    def points(self) -> tuple[float, ...]:
        """The biases, in volts or amperes."""
        return self.bias or self.voltage

    def set_points(self, inventory: Inventory) -> Iterator[SetPoint]:
        unit = inventory.drivers.get(self.unit)
        if isinstance(unit, NanowireBias):
            for value in self.bias:
                yield SetPoint("bias", self.unit, value, unit.bias_limits)
        for name, power in self.power.items():
            laser = inventory.drivers.get(name)
            if isinstance(laser, Laser):
                yield SetPoint("power", name, power, laser.power_limits)

    def faults(self, inventory: Inventory, sections: Sections) -> Iterator[Fault]:
        yield from super().faults(inventory, sections)
        capability: type[Any] = NanowireBias if self.bias else DiodeBias
        if wrong := inventory.wrong_instrument(self.unit, capability):
            yield Fault(("unit",), wrong)
        for name in self.power:
            if wrong := inventory.wrong_instrument(name, Laser):
                yield Fault(("power", name), wrong, at_key=True)
        behind = [d for d in inventory.testbed.detectors.values() if d.instrument]
        if not any(d.instrument and d.instrument.instrument == self.unit for d in behind):
            yield Fault(("unit",), f"no detector of the testbed is a channel of {self.unit}")
        unit = inventory.drivers.get(self.unit)
        if isinstance(unit, DiodeBias):
            for number, value in enumerate(self.voltage):
                if value not in unit.bias_voltage_limits:
                    yield Fault(("voltage", number), f"{value:g} V is outside the limits of {self.unit}")
        for point in self.set_points(inventory):
            if not point.allowed:
                wrong = f"{point.shown} is outside the limits of {point.instrument}; allowed: {point.range}"
                at = (point.quantity, point.instrument) if point.quantity == "power" else (point.quantity,)
                yield Fault(at, wrong)

    @property
    def recording_s(self) -> float:
        return 2 * len(self.points) * self.dwell

    @property
    def estimated_s(self) -> float:
        return self.recording_s + 2 * len(self.points) * POINT_S


class BalanceArms(SwappingStep):
    """How bright both arms are at the hub, from its singles with the pump of one source alone, of the other
    alone, and of neither, `dwell` each. With `adjust` the pump of the brighter arm goes down until both are
    equally bright."""

    kind = "balance_arms"
    dwell: Annotated[Seconds, Positive] = 1.0
    adjust: bool = False

    @property
    def recording_s(self) -> float:
        return (6 if self.adjust else 3) * self.dwell

    @property
    def estimated_s(self) -> float:
        return self.recording_s + (7 if self.adjust else 4) * POINT_S
