"""What measurements measure with: the sections `settings` and `pairs` of an experiment file.

A section says which analysers and which Bell-state measurement a step uses, and its coincidence windows. What
does not fit the testbed, above all light that does not get there, is said by `faults`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from drivers.capabilities import OpticalSwitch
from drivers.units import Seconds
from experiments.config.compensation import Compensation
from experiments.config.inventory import Inventory
from experiments.config.lightpaths import BSM_INPUTS, PHOTONS, ends, source_into
from experiments.config.model import Name, Part, Positive
from experiments.config.problems import Fault, show_value
from experiments.config.testbed import OutputNumber, Testbed


class SwappingSettings(Part):
    """What an entanglement-swapping experiment measures with, and its coincidence windows.

    Windows are full widths: `bsm_window` on the difference of the two hub times, `spoke_window` on the
    spoke time after the mean of the two hub times, about `spoke_window_centre` after the correlation peak.
    """

    spokes: tuple[Name, Name]
    bell_state_measurement: Name
    bsm_window: Annotated[Seconds, Positive]
    spoke_window: Annotated[Seconds, Positive]
    spoke_window_centre: Seconds = 0.0

    def faults(self, inventory: Inventory) -> Iterator[Fault]:
        """What does not fit the testbed: names, and the light between spokes and hub."""
        for number, spoke in enumerate(self.spokes):
            if wrong := inventory.wrong_name("analysers", spoke):
                yield Fault(("spokes", number), wrong)
        if self.spokes[0] == self.spokes[1]:
            yield Fault(("spokes", 1), f"{show_value(self.spokes[1])} is the other spoke already")
        if wrong := inventory.wrong_name("bell_state_measurements", self.bell_state_measurement):
            yield Fault(("bell_state_measurement",), wrong)
            return
        testbed = inventory.testbed
        if len(testbed.sources) < len(inventory.declared.get("sources", ())):
            return  # a source with an error of its own; where its light goes is not known
        hub = self.bell_state_measurement
        if bsm := testbed.bell_state_measurements.get(hub):
            behind = bsm.outputs
            if apart := _taggers_apart(testbed, (behind.cH, behind.cV, behind.dH, behind.dV)):
                yield Fault(("bell_state_measurement",), f"the detectors of {hub} {apart}")
            if behind.cH == behind.cV or behind.dH == behind.dV:
                no_pbs = f"{hub} does not tell H from V, so it cannot tell Bell states apart"
                yield Fault(("bell_state_measurement",), no_pbs)
        inputs = {f"{self.bell_state_measurement}.{port}" for port in BSM_INPUTS}
        for number, spoke in enumerate(self.spokes):
            if spoke not in testbed.analysers:
                continue
            outputs = testbed.analysers[spoke].outputs
            if apart := _taggers_apart(testbed, (outputs.H, outputs.V)):
                yield Fault(("spokes", number), f"the detectors of {show_value(spoke)} {apart}")
            source = source_into(testbed, "signal", spoke)
            if source is None:
                yield Fault(("spokes", number), f"no source sends its signal to {show_value(spoke)}")
            elif not inputs & ends(testbed, testbed.sources[source].idler):
                yield Fault(
                    ("spokes", number), f"the source of {show_value(spoke)} does not send its idler to {hub}"
                )


class PairSettings(Part):
    """Two analysers that share the photon pairs of one source, and their coincidence window.

    `window` is the full width, on the time at the second analyser after that at the first, about
    `window_centre` after the correlation peak. `switches` says for each optical switch which of its inputs
    lead to which of its outputs, so that the light gets there.
    """

    analysers: tuple[Name, Name]
    window: Annotated[Seconds, Positive]
    window_centre: Seconds = 0.0
    switches: dict[Name, dict[OutputNumber, OutputNumber]] = Field(default_factory=dict)

    def faults(self, inventory: Inventory) -> Iterator[Fault]:
        """What does not fit the testbed: names, connections of switches, and the light to both analysers."""
        wrong_names = [inventory.wrong_name("analysers", analyser) for analyser in self.analysers]
        yield from (Fault(("analysers", n), wrong) for n, wrong in enumerate(wrong_names) if wrong)
        if self.analysers[0] == self.analysers[1]:
            yield Fault(("analysers", 1), f"{show_value(self.analysers[1])} is the other analyser already")
        wrong_switches = list(self._wrong_switches(inventory))
        yield from wrong_switches
        testbed = inventory.testbed
        for number, analyser in enumerate(self.analysers):
            found = testbed.analysers.get(analyser)
            if found and (apart := _taggers_apart(testbed, (found.outputs.H, found.outputs.V))):
                yield Fault(("analysers", number), f"the detectors of {show_value(analyser)} {apart}")
        if any(wrong_names) or wrong_switches or not set(self.analysers) <= set(testbed.analysers):
            return
        if len(testbed.sources) < len(inventory.declared.get("sources", ())):
            return  # a source with an error of its own; where its light goes is not known
        if source_of_pair(testbed, self.analysers, self.switches) is None:
            both = " and ".join(self.analysers)
            if source_of_pair(testbed, self.analysers) is None:
                yield Fault(("analysers",), f"no source sends one photon each to {both}")
            else:
                message = f"switched so, no source sends one photon each to {both}"
                yield Fault(("switches",), f"{message}; see which output leads on from input to input")

    def _wrong_switches(self, inventory: Inventory) -> Iterator[Fault]:
        for name, connections in self.switches.items():
            if wrong := inventory.wrong_instrument(name, OpticalSwitch):
                yield Fault(("switches", name), wrong, at_key=True)
                continue
            switch = inventory.drivers.get(name)
            if not isinstance(switch, OpticalSwitch):
                continue  # its entry has an error of its own
            taken: set[int] = set()
            for input_, output in connections.items():
                at = ("switches", name, str(input_))
                if input_ not in switch.inputs:
                    allowed = ", ".join(map(str, switch.inputs))
                    yield Fault(at, f"{name} has no input {input_}; allowed: {allowed}", at_key=True)
                if output not in switch.outputs:
                    allowed = ", ".join(map(str, switch.outputs))
                    yield Fault(at, f"{name} has no output {output}; allowed: {allowed}")
                if output in taken:
                    yield Fault(at, f"output {output} of {name} is connected to another input already")
                taken.add(output)


def source_of_pair(
    testbed: Testbed,
    analysers: tuple[str, str],
    switches: Mapping[str, Mapping[int, int]] | None = None,
) -> str | None:
    """The source of which one photon can end at the one analyser and the other photon at the other, with
    `switches` connected as they say and the others anyhow."""
    for name, source in testbed.sources.items():
        reach = [ends(testbed, getattr(source, photon), switches or {}) for photon in PHOTONS]
        for one, other in (analysers, analysers[::-1]):
            if one in reach[0] and other in reach[1]:
                return name
    return None


@dataclass(frozen=True)
class Sections:
    """These sections of one experiment file as far as they are free of errors, for checking its steps.
    `declared` has the names in each section of the file, errors or not."""

    settings: SwappingSettings | None = None
    pairs: Mapping[str, PairSettings] = field(default_factory=dict)
    compensation: Mapping[str, Compensation] = field(default_factory=dict)
    declared: Mapping[str, Collection[str]] = field(default_factory=dict)


def _taggers_apart(testbed: Testbed, detectors: Iterable[str]) -> str:
    """What is wrong when these detectors, which are timed against each other, feed several taggers."""
    taggers = sorted({testbed.detectors[d].tagger.instrument for d in detectors if d in testbed.detectors})
    return "" if len(taggers) < 2 else f"feed {' and '.join(taggers)}; allowed: one tagger for all of them"
