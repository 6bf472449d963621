"""What is wrong with the happenings of a simulation: that they happen to things that are there, and of a kind
to which such a thing can happen."""

from collections.abc import Iterator, Sequence

from drivers.capabilities import Instrument, Laser, NanowireBias
from experiments.config.happenings import SimulatedHappening
from experiments.config.inventory import Inventory
from experiments.config.problems import Fault, choices, show_value


def wrong_happenings(inventory: Inventory, happenings: Sequence[SimulatedHappening]) -> Iterator[Fault]:
    """What does not fit the testbed, with paths in the testbed file."""
    for number, happening in enumerate(happenings):
        path = ("simulation", "happenings", number)
        if wrong := _wrong(inventory, happening):
            yield Fault((*path, happening.verb), wrong)
        if happening.verb == "unlock" and not wrong:
            laser = isinstance(inventory.drivers.get(happening.thing), Laser)
            if laser and happening.for_s is not None:
                yield Fault(
                    (*path, "for"), "a laser stays unlocked until its power is set anew; leave for out"
                )
            elif not laser and happening.for_s is None:
                yield Fault(path, "a clock needs `for`: how long it is without its reference")
            elif not laser and happening.left is not None:
                yield Fault((*path, "left"), "this is about the light of a laser; leave left out")


def _wrong(inventory: Inventory, happening: SimulatedHappening) -> str | None:
    thing = happening.thing
    match happening.verb:
        case "jump" | "shake" | "move_delay":
            return inventory.wrong_name("fibres", thing)
        case "distinguishable":
            return inventory.wrong_name("bell_state_measurements", thing)
        case "power_cycle":
            return inventory.wrong_instrument(thing, Instrument)
        case "latch":
            assert happening.latch is not None
            if wrong := inventory.wrong_instrument(happening.latch.instrument, NanowireBias):
                return wrong
            driver = inventory.drivers.get(happening.latch.instrument)
            channels = [str(c) for c in driver.channels] if isinstance(driver, NanowireBias) else []
            if channels and str(happening.latch.number) not in channels:
                return f"no channel {happening.latch.number}; {choices(None, channels)}"
            return None
        case _:
            clocks = inventory.declared.get("clocks", ())
            shared = {t for clock in inventory.testbed.clocks.values() for t in clock.taggers}
            taggers = {d.tagger.instrument for d in inventory.testbed.detectors.values()} - shared
            lasers = [name for name, driver in inventory.drivers.items() if isinstance(driver, Laser)]
            known = [*lasers, *clocks, *sorted(taggers)]
            if thing in known:
                return None
            what = "no laser, and no clock or tagger with its own"
            return f"{show_value(thing)} is {what}; {choices(thing, known)}"
