"""What becomes of light between where it is born and where it ends, as the optics stand now.

`begin` reads the ports, `trace` follows light along its path: through fibres, controllers, plates,
attenuators, filters, over splitters and switches, to everything it reaches. None of them makes light: the sum
of K^+ K over all leaves of a trace is at most 1.

Source: physics.md 1, "Channels" and the backgrounds; 2.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from sim_instruments.ports import Ports
from sim_instruments.world.elements import Element, Light, Span, Step, elements, transmitted
from sim_instruments.world.ends import AtDetector, AtHub, AtMeter, AtPolarimeter, End
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.layout import ClassicalChannel, Layout, Switch
from sim_instruments.world.paths import Branch, Division, Entrance, Paths
from sim_instruments.world.polarization import IDENTITY, Matrix

__all__ = ["AtDetector", "AtHub", "AtMeter", "AtPolarimeter", "End", "Leaf", "Optics", "Traced"]

FAINTEST = 1e-18
"""Light that arrives with less than this of its power is lost: less than 0.01 photons/s of a milliwatt."""
REMEMBERED = 16
"""Kinds of light for which an element's step is kept; laser drift makes new ones all the time."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """Light at an end.

    `matrix` maps the Jones vector that set out to what arrives, all losses included, the detector's
    efficiency not. `noise_hz` are Raman photons per second that arrive besides, of no certain polarization;
    where noise comes and none of the light does, the matrix is zero.
    """

    end: End
    matrix: Matrix
    delay_ps: float
    noise_hz: float = 0.0


@dataclass(frozen=True, eq=False)
class Traced:
    """Everything that light reaches. A detector, or an input of a measurement, can be reached on several ways
    (by a switch's crosstalk); photons take one of them."""

    leaves: tuple[Leaf, ...]


class Optics:
    """The optics of a bench. ValueError where a path names what is not there, stops short or loops."""

    def __init__(self, layout: Layout, ports: Ports, fibres: Mapping[str, DriftingFibre]) -> None:
        standing = elements(layout, ports, fibres)
        self._elements = {name: _Remembered(element) for name, element in standing.items()}
        self._paths = Paths(layout, ports, standing)
        self._switches = {switch.name: (switch, ports.switches[switch.name]) for switch in layout.switches}
        self._connected: dict[str, dict[int, int]] = {}
        self._noisy = {
            fibre.name: (fibre.classical, fibre.wavelength_m, span)
            for fibre in layout.fibres
            if fibre.classical and isinstance(span := standing[fibre.name], Span)
        }
        self._noisy_on: dict[tuple[str, ...], dict[str, Branch]] = {}
        self._handed_out: set[str] = set()
        self.begin()

    def setting(self) -> Hashable:
        """All that it reads from the ports and from the state of the fibres: while that is the same, so is
        everything that `trace` returns."""
        return (
            tuple(remembered.element.setting() for remembered in self._elements.values()),
            tuple(tuple(port.connected.items()) for _, port in self._switches.values()),
        )

    def begin(self) -> None:
        """Look at the ports and the fibres; all light is to be traced anew."""
        for remembered in self._elements.values():
            remembered.refresh()
        self._connected = {name: dict(port.connected) for name, (_, port) in self._switches.items()}
        self._handed_out = set()

    def trace(self, path: tuple[str, ...], wavelength_m: float, carrier_offset_hz: float = 0.0) -> Traced:
        """Follow light of a vacuum wavelength, its carrier so far above, along a path.

        The Raman noise of a fibre joins the first light since `begin` whose path comes through the fibre and
        whose frequency is nearer to the fibre's reference than to the classical light, which a demultiplexer
        takes elsewhere."""
        branch = self._paths.branch(path)
        light = Light(wavelength_m, carrier_offset_hz)
        leaves = list(self._follow(branch, light, IDENTITY, 0.0, frozenset()))
        for name, rest in self._noisy_ways(path, branch).items():
            channel, reference_m, span = self._noisy[name]
            if name not in self._handed_out and _shares_filter(wavelength_m, reference_m, channel):
                self._handed_out.add(name)
                self._add_noise(leaves, rest, span.raman_hz(channel, wavelength_m), wavelength_m)
        return Traced(tuple(leaves))

    def _follow(
        self,
        branch: Branch,
        light: Light,
        matrix: Matrix,
        delay_ps: float,
        entered: frozenset[tuple[str, int]],
    ) -> Iterator[Leaf]:
        """`matrix` and `delay_ps` are those of the way to this branch, on which light came through the
        switches' inputs `entered`."""
        for name in branch.passed:
            step = self._elements[name].step(light)
            matrix = step.matrix @ matrix
            delay_ps += step.delay_ps
        then = branch.then
        if then is None or np.vdot(matrix, matrix).real < FAINTEST:
            return
        if isinstance(then, Division):
            for towards, output in then.outputs:
                yield from self._follow(output, light, towards @ matrix, delay_ps, entered)
        elif isinstance(then, Entrance):
            # Light that comes round to an input again circulates in a closed ring, until it is lost.
            here = (then.switch, then.input)
            if here not in entered:
                for transmission, output in self._switched(then):
                    onward = sqrt(transmission) * matrix
                    yield from self._follow(output, light, onward, delay_ps, entered | {here})
        else:
            yield Leaf(then, matrix, delay_ps)

    def _switched(self, entrance: Entrance) -> Iterator[tuple[float, Branch]]:
        """Power transmission to every output of a switch with something behind it."""
        switch: Switch = self._switches[entrance.switch][0]
        outputs = self._paths.outputs[entrance.switch]
        connected = self._connected[entrance.switch].get(entrance.input)
        astray = transmitted(switch.crosstalk_db)
        kept = 1 - astray * sum(output != connected for output in outputs)
        for output, branch in outputs.items():
            yield transmitted(switch.insertion_loss_db) * kept if output == connected else astray, branch

    def _noisy_ways(self, path: tuple[str, ...], branch: Branch) -> dict[str, Branch]:
        """Fibres with Raman noise that light on this path can come through, and what follows them."""
        if path not in self._noisy_on:
            ways = self._paths.reachable(branch)
            self._noisy_on[path] = {name: rest for name, rest in ways if name in self._noisy}
        return self._noisy_on[path]

    def _add_noise(self, leaves: list[Leaf], rest: Branch, noise_hz: float, wavelength_m: float) -> None:
        """Follow unpolarised noise from the end of its fibre."""
        if noise_hz == 0.0:
            return
        for leaf in self._follow(rest, Light(wavelength_m, None), IDENTITY, 0.0, frozenset()):
            arrives_hz = noise_hz * float(np.vdot(leaf.matrix, leaf.matrix).real) / 2
            for i, known in enumerate(leaves):
                if known.end == leaf.end:
                    leaves[i] = replace(known, noise_hz=known.noise_hz + arrives_hz)
                    break
            else:
                leaves.append(Leaf(leaf.end, 0.0 * leaf.matrix, leaf.delay_ps, arrives_hz))


def _shares_filter(wavelength_m: float, reference_m: float, channel: ClassicalChannel) -> bool:
    return abs(1 / wavelength_m - 1 / reference_m) < abs(1 / wavelength_m - 1 / channel.wavelength_m)


class _Remembered:
    """An element, and what it does to light while its setting stays."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self._setting: Hashable = None
        self._steps: dict[Light, Step] = {}

    def refresh(self) -> None:
        setting = self.element.setting()
        if setting != self._setting or len(self._steps) > REMEMBERED:
            self._setting = setting
            self._steps.clear()

    def step(self, light: Light) -> Step:
        if light not in self._steps:
            self._steps[light] = self.element.step(light)
        return self._steps[light]
