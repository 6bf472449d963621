"""What the models of a testbed cannot see one by one: that its parts fit together.

Every name resolves, every instrument can do what it is used for and stands where it is used, no
connector and no address is used twice, light paths are whole (`light_checks`), and a simulation is told all
that it needs (`simulation_checks`). Each problem is yielded with its path in the testbed file; nothing is
opened.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drivers.address import Address
from drivers.capabilities import (
    ClockMonitor,
    DelayGenerator,
    Laser,
    RotationMount,
    SinglePhotonDetector,
    TemperatureController,
    TimeTagger,
)
from experiments.config.interlock_checks import wrong_interlocks, wrong_limits
from experiments.config.inventory import Inventory, driver_of
from experiments.config.light_checks import wrong_light_paths
from experiments.config.lightpaths import lights, outputs
from experiments.config.model import Channel
from experiments.config.problems import Fault, Path, choices, nearest, show_value
from experiments.config.simulation_checks import wrong_simulation
from experiments.config.testbed import (
    SIM,
    Analyser,
    BellStateMeasurement,
    Emitter,
    Filter,
    InstrumentEntry,
    Source,
    Splitter,
)

_FORMS = {
    "tcp": "tcp://HOST:PORT",
    "udp": "udp://HOST:PORT",
    "zmq": "zmq://HOST:PORT",
    "serial": "serial:/dev/PATH",
    "visa": "visa:RESOURCE",
    "usb": "usb:SERIAL_NUMBER",
}


Placed = InstrumentEntry | Source | Emitter | Filter | Splitter | Analyser | BellStateMeasurement


def wrong_address(entry: InstrumentEntry) -> str | None:
    """What is wrong with an instrument's address, for its model, or None."""
    if entry.simulated:
        return None
    schemes = driver_of(entry.model).schemes
    allowed = ", ".join([*(_FORMS[scheme] for scheme in schemes), SIM])
    try:
        scheme = Address.parse(entry.address).scheme
    except ValueError:
        near = f"; did you mean '{SIM}'?" if nearest(entry.address, [SIM]) else ""
        return f"{show_value(entry.address)} is no address; allowed for {entry.model}: {allowed}{near}"
    if scheme in schemes:
        return None
    return f"{show_value(entry.address)} is an address of {scheme}; allowed for {entry.model}: {allowed}"


def wrong_testbed(inventory: Inventory) -> Iterator[Fault]:
    """Everything about a testbed that does not fit together."""
    yield from _addresses(inventory)
    yield from _nodes(inventory)
    yield from _safe_order(inventory)
    yield from _clocks(inventory)
    yield from _lasers_and_heaters(inventory)
    yield from _wave_plates(inventory)
    yield from _outputs(inventory)
    yield from _detectors(inventory)
    yield from wrong_light_paths(inventory)
    yield from wrong_simulation(inventory)
    yield from wrong_interlocks(inventory, inventory.testbed.interlocks)
    yield from wrong_limits(inventory, inventory.testbed.limits)


def _addresses(inventory: Inventory) -> Iterator[Fault]:
    entries = inventory.testbed.instruments
    taken: dict[tuple[str, str, int, str], str] = {}
    for name, entry in entries.items():
        if entry.simulated or name not in inventory.drivers or wrong_address(entry):
            continue
        address = inventory.drivers[name].address
        place = (address.scheme, address.host, address.port, address.path)
        if place in taken:
            yield Fault(
                ("instruments", name, "address"),
                f"{show_value(entry.address)} is the address of {taken[place]} already; "
                "each instrument has its own",
            )
        taken.setdefault(place, name)

    simulated = [name for name, entry in entries.items() if entry.simulated]
    real = [name for name, entry in entries.items() if not entry.simulated]
    if simulated and real:
        # Say it where there is less to change.
        for name in min(simulated, real, key=len):
            yield Fault(
                ("instruments", name, "address"),
                f"{show_value(entries[name].address)}, but {len(real)} instruments are real and "
                f"{len(simulated)} are '{SIM}'; allowed: all or none, since no real light reaches the "
                "simulated bench and a run has one clock, the wall's or the bench's",
            )


def _nodes(inventory: Inventory) -> Iterator[Fault]:
    testbed = inventory.testbed
    sections: dict[str, Mapping[str, Placed]] = {
        "instruments": testbed.instruments,
        "sources": testbed.sources,
        "emitters": testbed.emitters,
        "filters": testbed.filters,
        "splitters": testbed.splitters,
        "analysers": testbed.analysers,
        "bell_state_measurements": testbed.bell_state_measurements,
    }
    for section, things in sections.items():
        for name, thing in things.items():
            if wrong := inventory.wrong_name("nodes", thing.node):
                yield Fault((section, name, "node"), wrong)
    for name, fibre in testbed.fibres.items():
        for key, node in (("from", fibre.from_node), ("to", fibre.to_node)):
            if wrong := inventory.wrong_name("nodes", node):
                yield Fault(("fibres", name, key), wrong)


def _safe_order(inventory: Inventory) -> Iterator[Fault]:
    order = inventory.testbed.safe_order
    for number, name in enumerate(order):
        if wrong := inventory.wrong_name("instruments", name):
            yield Fault(("safe_order", number), wrong)
        elif name in order[:number]:
            yield Fault(("safe_order", number), f"{show_value(name)} stands in the order already")


def _clocks(inventory: Inventory) -> Iterator[Fault]:
    used: dict[str, str] = {}
    for name, clock in inventory.testbed.clocks.items():
        for number, tagger in enumerate(clock.taggers):
            path: Path = ("clocks", name, "taggers", number)
            yield from _instrument(inventory, path, tagger, TimeTagger)
            yield from _once(path, tagger, f"tagger of {name}", used)
        if clock.monitor is not None:
            yield from _instrument(inventory, ("clocks", name, "monitor"), clock.monitor, ClockMonitor)


def _lasers_and_heaters(inventory: Inventory) -> Iterator[Fault]:
    testbed = inventory.testbed
    for name, source in testbed.sources.items():
        yield from _instrument(inventory, ("sources", name, "pump"), source.pump, Laser, source.node)
    for name, beam in testbed.beams.items():
        yield from _instrument(inventory, ("beams", name, "laser"), beam.laser, Laser)
    for name, emitter in testbed.emitters.items():
        if emitter.laser is not None:
            yield from _instrument(inventory, ("emitters", name, "laser"), emitter.laser, Laser, emitter.node)
    used: dict[str, str] = {}
    for name, filter_ in testbed.filters.items():
        if filter_.heater is not None:
            path: Path = ("filters", name, "heater")
            yield from _instrument(inventory, path, filter_.heater, TemperatureController, filter_.node)
            yield from _once(path, filter_.heater, f"heater of {name}", used)


def _wave_plates(inventory: Inventory) -> Iterator[Fault]:
    used: dict[str, str] = {}
    for name, analyser in inventory.testbed.analysers.items():
        for key, mount in (("qwp", analyser.qwp), ("hwp", analyser.hwp)):
            path: Path = ("analysers", name, key)
            yield from _instrument(inventory, path, mount, RotationMount, analyser.node)
            yield from _once(path, mount, f"{key} of {name}", used)
    for name, plate in inventory.testbed.wave_plates.items():
        path = ("wave_plates", name, "mount")
        yield from _instrument(inventory, path, plate.mount, RotationMount)
        yield from _once(path, plate.mount, f"mount of {name}", used)


def _outputs(inventory: Inventory) -> Iterator[Fault]:
    """Detectors behind analysers and Bell-state measurements, and those at which light paths end."""
    testbed = inventory.testbed
    used: dict[str, str] = {}
    for section, things in (
        ("analysers", testbed.analysers),
        ("bell_state_measurements", testbed.bell_state_measurements),
    ):
        for name, thing in things.items():
            for port, detector in thing.outputs:
                path: Path = (section, name, "outputs", port)
                if wrong := inventory.wrong_name("detectors", detector):
                    yield Fault(path, wrong)
                    continue
                use = f"output {port} of {name}"
                if used.get(detector) != f"output {port[0]}H of {name}":  # the other polarization
                    yield from _once(path, detector, use, used)
                if detector in testbed.detectors:
                    tagger = testbed.detectors[detector].tagger.instrument
                    where = testbed.instruments[tagger].node if tagger in testbed.instruments else thing.node
                    if where != thing.node:
                        feeds = f"{show_value(detector)} feeds {tagger} at {where}"
                        yield Fault(path, f"{feeds}, but {name} stands at {thing.node}")
    for stretch in [*lights(testbed), *outputs(testbed)]:
        for number, word in enumerate(stretch.words):
            if word in used:
                taken = f"{show_value(word)} is used twice; it is the {used[word]} already"
                yield Fault((*stretch.place, number), taken)


def _detectors(inventory: Inventory) -> Iterator[Fault]:
    used: dict[str, str] = {}
    for name, detector in inventory.testbed.detectors.items():
        yield from _channel(inventory, ("detectors", name, "tagger"), detector.tagger, TimeTagger, used)
        if detector.instrument is not None:
            path: Path = ("detectors", name, "instrument")
            yield from _channel(inventory, path, detector.instrument, SinglePhotonDetector, used)
        if detector.gate is not None:  # one output may gate several detectors
            yield from _channel(inventory, ("detectors", name, "gate"), detector.gate, DelayGenerator, {})


def _instrument(
    inventory: Inventory, path: Path, name: str, capability: type[Any], node: str | None = None
) -> Iterator[Fault]:
    """That an instrument is there, is of a kind, and stands at a node (where one is given)."""
    if wrong := inventory.wrong_instrument(name, capability):
        yield Fault(path, wrong)
    elif node is not None and name in inventory.testbed.instruments:
        where = inventory.testbed.instruments[name].node
        if where != node:
            yield Fault(path, f"{show_value(name)} stands at {where}; here something at {node} is needed")


def _once(path: Path, name: str, use: str, used: dict[str, str]) -> Iterator[Fault]:
    if name in used:
        yield Fault(path, f"{show_value(name)} is used twice; it is the {used[name]} already")
    used.setdefault(name, use)


def _channel(
    inventory: Inventory, path: Path, channel: Channel, capability: type[Any], used: dict[str, str]
) -> Iterator[Fault]:
    """That a connector belongs to an instrument of the kind, exists on it, and is free."""
    if wrong := inventory.wrong_instrument(channel.instrument, capability):
        yield Fault(path, wrong)
        return
    driver = inventory.drivers.get(channel.instrument)
    numbers: Sequence[int] = ()
    if isinstance(driver, TimeTagger):
        numbers = driver.inputs
    elif isinstance(driver, SinglePhotonDetector):
        numbers = driver.channels
    elif isinstance(driver, DelayGenerator):
        numbers = driver.outputs
    if driver is not None and channel.number not in numbers:
        free = [f"{channel.instrument}.{number}" for number in numbers]
        yield Fault(path, f"{show_value(str(channel))} does not exist; {choices(str(channel), free)}")
    elif channel in used:
        yield Fault(path, f"{show_value(str(channel))} is used twice; {used[channel]} has it already")
    used.setdefault(channel, str(path[1]))
