"""How light is led: photons as a rule, a laser's probe in their place for a moment.

Where a probe can come is checked before anything is switched: it has to come to its sensor and nowhere else,
and nowhere near single-photon detectors while photons are measured.
"""

from collections.abc import Iterator, Mapping

from pydantic import Field

from drivers.capabilities import Attenuator, NanowireBias, OpticalSwitch, Shutter
from experiments.config.inventory import Inventory
from experiments.config.lightpaths import ends, stages
from experiments.config.model import Name, Number, Part
from experiments.config.problems import Fault, choices
from experiments.config.testbed import OutputNumber

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


class LedLight(Part):
    """Photons, and the probes that take their place."""

    probes: tuple[Probe, ...] = ()
    photons: Arrangement = Arrangement()
    """How light is led while photons are measured."""
    unbiased: tuple[Name, ...] = ()
    """Bias electronics of nanowires that are switched off while a probe is let in."""

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

    def wrong_light(self, inventory: Inventory, sensor: str | None) -> Iterator[Fault]:
        """What does not fit the testbed of probes that are to come to this sensor, a polarimeter or an
        analyser."""
        for number, name in enumerate(self.unbiased):
            if wrong := inventory.wrong_instrument(name, NanowireBias):
                yield Fault(("unbiased", number), wrong)
            elif isinstance(unit := inventory.drivers.get(name), NanowireBias) and not unit.has_switch:
                yield Fault(
                    ("unbiased", number),
                    f"{name} cannot disconnect its bias; protect its nanowires by a switch or a shutter",
                )
        wrong_places = list(_wrong_arrangement(inventory, self.photons, ("photons",)))
        for number, probe in enumerate(self.probes):
            wrong_places += _wrong_arrangement(inventory, probe, ("probes", number))
            if wrong := inventory.wrong_name("beams", probe.beam):
                wrong_places.append(Fault(("probes", number, "beam"), wrong))
        yield from wrong_places
        if not wrong_places and sensor and all(p.beam in inventory.testbed.beams for p in self.probes):
            yield from self._astray(inventory, sensor)

    def _ends(self, inventory: Inventory, arrangement: Arrangement, path: tuple[str, ...]) -> set[str]:
        """Where light along a path can end. An input that nobody names leads nowhere once every output of its
        switch that leads on is another input's."""
        testbed = inventory.testbed
        connected = {switch: dict(ways) for switch, ways in self.connections(arrangement).items()}
        for name, ways in connected.items():
            switch, lit = inventory.drivers.get(name), set(testbed.switches[name].outputs)
            if isinstance(switch, OpticalSwitch) and lit <= set(ways.values()):
                connected[name] = dict.fromkeys(switch.inputs, 0) | ways
        return ends(testbed, path, connected)

    def _astray(self, inventory: Inventory, sensor: str) -> Iterator[Fault]:
        """Whether probes come where they are measured, and only there. Crosstalk of switches is no matter of
        the lay-out; a shutter is what keeps it away."""
        # A polarimeter is hurt by no probe; an analyser that counts photons would count it.
        testbed = inventory.testbed
        unhurt = set() if sensor in testbed.analysers else {sensor}
        for number, probe in enumerate(self.probes):
            path = testbed.beams[probe.beam].path
            led = self._ends(inventory, probe, path)
            if sensor not in led:
                there = f"it can end at {', '.join(sorted(led))}" if led else "it ends in the dark"
                yield Fault(("probes", number), f"led so, {probe.beam} does not come to {sensor}; {there}")
            elif astray := sorted(led - {sensor}):
                yield Fault(
                    ("probes", number),
                    f"led so, {probe.beam} can also come to {', '.join(astray)}; say how every switch on its "
                    "way stands",
                )
            for here in stages(testbed, path):
                driver = inventory.drivers.get(here.name)
                has_shutter = isinstance(driver, Shutter) or (
                    isinstance(driver, Attenuator) and driver.has_shutter
                )
                if has_shutter and here.name not in probe.open:
                    yield Fault(
                        ("probes", number), f"{probe.beam} comes past {here.name}, which is not among open"
                    )
            leaks = sorted(self._ends(inventory, self.photons, path) - unhurt)
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
