"""The instruments of a testbed as driver objects that have opened nothing, for what they say of themselves.

A driver knows its capability, its limits and its connectors without a line to the instrument, so that a
configuration can be checked where no instrument is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from drivers.address import Address
from drivers.capabilities import Instrument
from drivers.catalog import capability_of, find
from experiments.config.problems import choices, one, show_value
from experiments.config.testbed import InstrumentEntry, Testbed

SECTION_WORDS = {
    "nodes": "node",
    "instruments": "instrument",
    "clocks": "clock",
    "fibres": "fibre",
    "sources": "source",
    "beams": "beam",
    "emitters": "emitter",
    "wave_plates": "wave plate",
    "filters": "filter",
    "splitters": "splitter",
    "switches": "switch",
    "analysers": "analyser",
    "bell_state_measurements": "Bell-state measurement",
    "detectors": "detector",
    "taggers": "tagger",
    "controllers": "polarization controller",
    "shutters": "shutter",
    "delay_lines": "delay line",
    "sensors": "power meter or polarimeter",
    "faults": "instrument",
}
"""The sections of a testbed and of its simulation, and what one thing in each is called."""


@cache
def driver_of(model: str) -> type[Instrument]:
    """The driver class of a model, remembered: the catalogue reads the metadata of every installed package
    each time. Raises as `drivers.catalog.find` does."""
    return find(model)


def construct(name: str, entry: InstrumentEntry, address: Address | None = None) -> Instrument:
    """The driver object of one instrument, at `address` or at the one in the testbed file.

    A simulated instrument without `address` gets one that leads nowhere. Raises ValueError for an
    address that is none, or one that the driver cannot use.
    """
    driver = driver_of(entry.model)
    if address is None:
        address = nowhere(driver) if entry.simulated else Address.parse(entry.address)
    return driver(name, address, entry.settings)


def nowhere(driver: type[Instrument]) -> Address:
    """An address of the right form at which nothing is."""
    return Address(driver.schemes[0], host="sim.invalid", port=1, path="/dev/null")


@dataclass(frozen=True)
class Inventory:
    """A testbed, its unopened drivers by name, and the names in its file by section.

    Where the file has errors, `testbed` and `drivers` hold what is free of them, while `declared` still
    has every name, so that one error is not reported as many.
    """

    testbed: Testbed
    drivers: Mapping[str, Instrument]
    declared: Mapping[str, Sequence[str]]

    def wrong_name(self, section: str, name: str) -> str | None:
        """What is wrong with naming this thing of a section, or None."""
        if section not in self.declared or name in self.declared[section]:
            return None
        word = SECTION_WORDS[section]
        return f"{show_value(name)} is no {word} of this testbed; {choices(name, self.declared[section])}"

    def wrong_instrument(self, name: str, capability: type[Any]) -> str | None:
        """What is wrong with using this instrument for a capability, or None."""
        if (wrong := self.wrong_name("instruments", name)) or name not in self.drivers:
            return wrong
        driver = self.drivers[name]
        if isinstance(driver, capability):
            return None
        fit = [other for other, candidate in self.drivers.items() if isinstance(candidate, capability)]
        found = capability_of(type(driver))
        here = f"{show_value(name)} is {one(found)}, here stands {one(capability.__name__)}"
        return f"{here}; {choices(name, fit)}"
