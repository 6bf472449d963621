"""The section `compensation` of an experiment file: which links are kept free of polarization rotations, and
how.

A link is what a controller can set right: a fibre and all that turns polarization on the way to an analyser
or a Bell-state measurement. It is judged by classical probes, laser beams of the testbed with known
polarizations that take the way of the photons for a moment, or by the photon pairs themselves. What does not
fit the testbed is said by `faults`: above all light of a probe that could come where single photons are
counted.
"""

from collections.abc import Collection, Iterator, Mapping
from operator import mul
from typing import Annotated, Literal

from pydantic import Field, model_validator

from drivers.capabilities import (
    Attenuator,
    NanowireBias,
    OpticalSwitch,
    Polarimeter,
    PolarizationController,
    Shutter,
)
from drivers.units import Fraction, Radians, Seconds
from experiments.config.inventory import Inventory
from experiments.config.lightpaths import ends, stages
from experiments.config.model import Name, NotNegative, Number, Part, Positive
from experiments.config.problems import Fault, choices, show_value
from experiments.config.testbed import OutputNumber, Testbed

PARALLEL = 0.98
"""Cosine of the angle between two probes' Stokes vectors from which on they count as one: 11 degrees."""
FEWEST_PLATES = 3
StrategyName = Literal["stokes", "gradient", "line", "nelder_mead"]
StokesVector = tuple[Number, Number, Number]


class Arrangement(Part):
    """How light is led. `switches` says for each optical switch which inputs lead to which outputs; they are
    set one after the other in this order, and back in the reverse order. Of all shutters (and attenuators
    with one) that a link names, those here are `open` and the others closed: closed before anything is
    switched, opened after everything has been."""

    switches: dict[Name, dict[OutputNumber, OutputNumber]] = Field(default_factory=dict)
    open: tuple[Name, ...] = ()


class Probe(Arrangement):
    """A laser beam of the testbed with a polarization of its own, and how it is led while it is measured."""

    beam: Name
    reference: StokesVector | None = None
    """Its Stokes vector at the sensor behind a link that turns nothing, where that is not the beam's own
    because the way to the sensor turns it; `reference_polarization` measures it."""


class Compensation(Part):
    """How one link is compensated.

    `trigger` and `stop` are the mean fidelity of the probes, or one less the mean QBER of the pairs, source
    and accidentals included: below `trigger` the controller is turned, until `stop` is reached. A pair's
    fidelity is lower than that of probes (testbeds.md 8, trap g); both are on record.
    """

    controller: Name | None = None
    """A polarization controller."""
    plates: tuple[Name, ...] = ()
    """Or wave plates of the testbed in beam order, each in a rotation mount."""
    retardances: tuple[Radians, ...] = ()
    """Of a controller that turns its plates, in beam order; left out, they are those usual for so many."""
    fast_axes: tuple[Radians, ...] = ()
    """Of a controller that changes its plates' retardance."""
    strategy: StrategyName = "stokes"
    probes: tuple[Probe, ...] = ()
    polarimeter: Name | None = None
    """Where the probes end; or they are counted behind an `analyser`."""
    analyser: Name | None = None
    pair: Name | None = None
    """Or no probes, but coincidences of this pair of the section `pairs`."""
    state: Literal["Phi+", "Phi-", "Psi+", "Psi-"] = "Phi+"
    """Which Bell state the pairs of `pair` shall arrive in."""
    photons: Arrangement = Arrangement()
    """How light is led while photons are measured."""
    unbiased: tuple[Name, ...] = ()
    """Bias electronics of nanowires that are switched off while a probe is let in."""
    trigger: Fraction = 0.99
    stop: Fraction = 0.995
    cadence: Annotated[Seconds, Positive] | None = 20.0
    """How often the link is looked at after the first `compensate_polarization` of the plan (testbeds.md
    1.3); null: by the plan alone."""
    timeout: Annotated[Seconds, Positive] = 55.0
    """After so long a search ends at the best angles found; testbeds.md 1.4."""
    reading: Annotated[Seconds, Positive] = 0.07
    """From a change of the light to the first reading of the polarimeter that is all of the new light: two
    turns of a PAX1000's plate at 30 turns per second."""
    dwell: Annotated[Seconds, Positive] = 1.0
    """Per setting, where photons or a weak probe are counted."""
    tries: Annotated[int, NotNegative] = 1000
    """Settings after which a search ends, whatever time is left."""

    @model_validator(mode="after")
    def _one_way(self) -> "Compensation":
        if (self.controller is None) == (not self.plates):
            raise ValueError("what turns the polarization is a controller or plates; give one of them")
        if self.plates and (self.retardances or self.fast_axes):
            raise ValueError("the retardances of wave plates are those of their kind; leave them out")
        if (self.pair is None) == (not self.probes):
            raise ValueError("a link is judged by probes or by a pair; give one of them")
        if self.probes and (self.polarimeter is None) == (self.analyser is None):
            raise ValueError("probes are measured at a polarimeter or at an analyser; give one of them")
        if self.pair is not None and (self.polarimeter or self.analyser):
            raise ValueError("a pair is measured at its own analysers; leave polarimeter and analyser out")
        if self.pair is not None and self.strategy == "stokes":
            raise ValueError(
                "strategy stokes sees Stokes vectors of probes; with a pair choose line or nelder_mead"
            )
        if self.stop < self.trigger:
            raise ValueError("stop is below trigger: the controller would be turned for nothing")
        return self

    @property
    def counts_photons(self) -> bool:
        """Whether it is judged by tags, of pairs or of weak probes."""
        return self.pair is not None or self.analyser is not None

    @property
    def shutters(self) -> tuple[str, ...]:
        """All shutters that any arrangement names."""
        named = [*self.photons.open, *(name for probe in self.probes for name in probe.open)]
        return tuple(dict.fromkeys(named))

    @property
    def switches(self) -> tuple[str, ...]:
        named = [*self.photons.switches, *(name for probe in self.probes for name in probe.switches)]
        return tuple(dict.fromkeys(named))

    def connections(self, arrangement: Arrangement) -> Mapping[str, Mapping[int, int]]:
        """Where each input leads that this link ever connects; 0 is nowhere, since another input has its
        output or was never connected."""
        whole: dict[str, dict[int, int]] = {}
        for other in (self.photons, *self.probes):
            for switch, ways in other.switches.items():
                whole.setdefault(switch, {}).update(dict.fromkeys(ways, 0))
        for switch, ways in self.photons.switches.items():
            taken = set(arrangement.switches.get(switch, {}).values())
            whole[switch].update({i: o for i, o in ways.items() if o not in taken})
        for switch, ways in arrangement.switches.items():
            whole[switch].update(ways)
        return whole

    def faults(self, inventory: Inventory, pairs: Collection[str]) -> Iterator[Fault]:
        """What does not fit the testbed or the section `pairs`, whose names are given."""
        yield from self._wrong_actuator(inventory)
        if self.pair is not None and self.pair not in pairs:
            yield Fault(
                ("pair",), f"{show_value(self.pair)} is no pair of pairs; {choices(self.pair, pairs)}"
            )
        if self.polarimeter and (wrong := inventory.wrong_instrument(self.polarimeter, Polarimeter)):
            yield Fault(("polarimeter",), wrong)
        if self.analyser and (wrong := inventory.wrong_name("analysers", self.analyser)):
            yield Fault(("analyser",), wrong)
        for number, name in enumerate(self.unbiased):
            if wrong := inventory.wrong_instrument(name, NanowireBias):
                yield Fault(("unbiased", number), wrong)
            elif isinstance(unit := inventory.drivers.get(name), NanowireBias) and not unit.has_switch:
                yield Fault(
                    ("unbiased", number),
                    f"{name} cannot disconnect its bias; protect its nanowires by a switch or a shutter",
                )
        wrong_arrangements = [
            *_wrong_arrangement(inventory, self.photons, ("photons",)),
            *(
                fault
                for number, probe in enumerate(self.probes)
                for fault in _wrong_arrangement(inventory, probe, ("probes", number))
            ),
        ]
        yield from wrong_arrangements
        wrong_beams = list(self._wrong_beams(inventory))
        yield from wrong_beams
        if not wrong_arrangements and not wrong_beams:
            yield from self._wrong_light(inventory.testbed)

    def _wrong_actuator(self, inventory: Inventory) -> Iterator[Fault]:
        for number, name in enumerate(self.plates):
            if wrong := inventory.wrong_name("wave_plates", name):
                yield Fault(("plates", number), wrong)
        if self.plates and len(self.plates) < FEWEST_PLATES:
            yield Fault(
                ("plates",), f"{len(self.plates)} plates cannot undo every rotation; it takes {FEWEST_PLATES}"
            )
        if self.controller is None:
            return
        if wrong := inventory.wrong_instrument(self.controller, PolarizationController):
            yield Fault(("controller",), wrong)
            return
        driver = inventory.drivers.get(self.controller)
        if not isinstance(driver, PolarizationController):
            return  # its entry has an error of its own
        if driver.actuators < FEWEST_PLATES:
            few = f"{self.controller} has {driver.actuators} plates, which cannot undo every rotation"
            yield Fault(("controller",), f"{few}; it takes {FEWEST_PLATES}")
        right, wrong_key = "retardances", "fast_axes"
        if driver.angle_is == "retardance":
            right, wrong_key = wrong_key, right
        if getattr(self, wrong_key):
            yield Fault(
                (wrong_key,), f"{self.controller} sets these; what is fixed are its {right}", at_key=True
            )
        given = getattr(self, right)
        if given and len(given) != driver.actuators:
            yield Fault(
                (right,), f"{len(given)} given for the {driver.actuators} plates of {self.controller}"
            )

    def _wrong_beams(self, inventory: Inventory) -> Iterator[Fault]:
        testbed = inventory.testbed
        directions = []
        for number, probe in enumerate(self.probes):
            if wrong := inventory.wrong_name("beams", probe.beam):
                yield Fault(("probes", number, "beam"), wrong)
            elif beam := testbed.beams.get(probe.beam):
                directions.append(beam.polarization.stokes)
        if not self.probes or len(directions) < len(self.probes):
            return
        if all(abs(sum(map(mul, directions[0], other))) > PARALLEL for other in directions):
            yield Fault(
                ("probes",),
                "one polarization does not show the whole rotation; give two beams that are not parallel, like "
                "one of H and one of D",
            )

    def _wrong_light(self, testbed: Testbed) -> Iterator[Fault]:
        """Whether probes come where they are measured, and only there. Crosstalk of switches is no matter of
        the lay-out; a shutter is what keeps it away."""
        sensor = self.polarimeter or self.analyser
        for number, probe in enumerate(self.probes):
            path = testbed.beams[probe.beam].path
            led = ends(testbed, path, self.connections(probe))
            if sensor not in led:
                there = f"it can end at {', '.join(sorted(led))}" if led else "it ends in the dark"
                yield Fault(("probes", number), f"led so, {probe.beam} does not come to {sensor}; {there}")
            elif astray := sorted(led - {sensor}):
                yield Fault(
                    ("probes", number),
                    f"led so, {probe.beam} can also come to {', '.join(astray)}; say how every switch on its "
                    "way stands",
                )
            leaks = sorted(ends(testbed, path, self.connections(self.photons)) - {self.polarimeter})
            closed = set(self.shutters) - set(self.photons.open)
            if leaks and not any(stage.name in closed for stage in stages(testbed, path)):
                yield Fault(
                    ("photons",),
                    f"while photons are measured, {probe.beam} can come to {', '.join(leaks)}; lead it "
                    "elsewhere by a switch, or put a shutter in its path that only its probe opens",
                )


def _wrong_arrangement(
    inventory: Inventory, arrangement: Arrangement, at: tuple[str | int, ...]
) -> Iterator[Fault]:
    for name, ways in arrangement.switches.items():
        if wrong := inventory.wrong_instrument(name, OpticalSwitch):
            yield Fault((*at, "switches", name), wrong, at_key=True)
            continue
        switch = inventory.drivers.get(name)
        if not isinstance(switch, OpticalSwitch):
            continue  # its entry has an error of its own
        for input_, output in ways.items():
            here = (*at, "switches", name, str(input_))
            if input_ not in switch.inputs:
                missing = f"{name} has no input {input_}; {choices(str(input_), map(str, switch.inputs))}"
                yield Fault(here, missing, at_key=True)
            if output not in switch.outputs:
                yield Fault(
                    here, f"{name} has no output {output}; {choices(str(output), map(str, switch.outputs))}"
                )
    for number, name in enumerate(arrangement.open):
        if isinstance(driver := inventory.drivers.get(name), Attenuator):
            if not driver.has_shutter:
                yield Fault((*at, "open", number), f"{name} is an attenuator without a shutter")
        elif wrong := inventory.wrong_instrument(name, Shutter):
            yield Fault((*at, "open", number), wrong)
