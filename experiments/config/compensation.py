"""The section `compensation` of an experiment file: which links are kept free of polarization rotations, and
how.

A link is what a controller can set right: a fibre and all that turns polarization on the way to an analyser
or a Bell-state measurement. It is judged by classical probes, laser beams of the testbed with known
polarizations that take the way of the photons for a moment, or by the photon pairs themselves. What does not
fit the testbed is said by `faults`: above all light of a probe that could come where single photons are
counted.
"""

from collections.abc import Collection, Iterator
from operator import mul
from typing import Annotated, Literal

from pydantic import model_validator

from drivers.capabilities import Polarimeter, PolarizationController
from drivers.units import Fraction, Radians, Seconds
from experiments.config.inventory import Inventory
from experiments.config.led_light import LedLight
from experiments.config.model import Name, NotNegative, Positive
from experiments.config.problems import Fault, choices, show_value
from experiments.config.testbed import Testbed

PARALLEL = 0.98
"""Cosine of the angle between two probes' Stokes vectors from which on they count as one: 11 degrees."""
FEWEST_PLATES = 3
StrategyName = Literal["stokes", "gradient", "line", "nelder_mead"]


class Compensation(LedLight):
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
    polarimeter: Name | None = None
    """Where the probes end; or they are counted behind an `analyser`."""
    analyser: Name | None = None
    pair: Name | None = None
    """Or no probes, but coincidences of this pair of the section `pairs`."""
    state: Literal["Phi+", "Phi-", "Psi+", "Psi-"] = "Phi+"
    """Which Bell state the pairs of `pair` shall arrive in."""
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
        yield from self.wrong_light(inventory, self.polarimeter or self.analyser)
        yield from self._parallel(inventory.testbed)

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

    def _parallel(self, testbed: Testbed) -> Iterator[Fault]:
        beams = [testbed.beams.get(probe.beam) for probe in self.probes]
        directions = [beam.polarization.stokes for beam in beams if beam]
        if not self.probes or len(directions) < len(self.probes):
            return
        if all(abs(sum(map(mul, directions[0], other))) > PARALLEL for other in directions):
            yield Fault(
                ("probes",),
                "one polarization does not show the whole rotation; give two beams that are not parallel, "
                "like one of H and one of D",
            )
