"""Light paths of a layout, resolved: elements that are passed, and places where light divides or ends.

Every path of a layout is checked at the start, with a ValueError that says which path is wrong and why.
Through a switch a path may come back to where it was (a ring of nodes): that is settled while light is
traced, by how the switches stand. Without a switch in between it would go round for ever, and is refused.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from math import sqrt
from typing import Protocol

import numpy as np

from sim_instruments.ports import Ports
from sim_instruments.world.elements import transmitted
from sim_instruments.world.ends import AtDetector, AtHub, AtMeter, AtPolarimeter, End
from sim_instruments.world.layout import Layout, PairSource, Splitter
from sim_instruments.world.polarization import IDENTITY, Matrix


@dataclass(frozen=True, eq=False)
class Entrance:
    """An input of a switch."""

    switch: str
    input: int


@dataclass(frozen=True, eq=False)
class Division:
    """A splitter: what it does to light on its way to each output, and what follows there."""

    outputs: tuple[tuple[Matrix, "Branch"], ...]


@dataclass(frozen=True, eq=False)
class Branch:
    """Elements in beam order, by name, and what follows them; None is the dark."""

    passed: tuple[str, ...]
    then: End | Division | Entrance | None


DARK = Branch((), None)


def polarizing(extinction: float, transmission: float) -> tuple[Matrix, Matrix]:
    """A polarizing beam splitter towards its H and its V output. The little of the wrong polarization that an
    output gets is in phase with the right one [assumed]; a detector behind it cannot tell."""
    right, wrong = sqrt(transmission * (1 - extinction)), sqrt(transmission * extinction)
    return np.diag([right, wrong]).astype(np.complex128), np.diag([wrong, right]).astype(np.complex128)


def plain(reflectivity: float, transmission: float) -> tuple[Matrix, Matrix]:
    """A beam splitter without regard to polarization, towards `transmitted` and `reflected`."""
    return sqrt(transmission * (1 - reflectivity)) * IDENTITY, sqrt(transmission * reflectivity) * IDENTITY


class Paths:
    """The paths of one layout. `passed` are the names of what light passes."""

    def __init__(self, layout: Layout, ports: Ports, passed: Collection[str]) -> None:
        self._passed = passed
        self._detectors = {d.name for d in layout.detectors}
        self._analysers = {a.name: a for a in layout.analysers}
        self._splitters = {s.name: s for s in layout.splitters}
        self._switches = {s.name: s for s in layout.switches}
        self._measurements = {m.name: m for m in layout.measurements}
        self._sensors: dict[str, End] = {name: AtMeter(name) for name in ports.meters}
        self._sensors |= {name: AtPolarimeter(name) for name in ports.polarimeters}
        self._resolved: dict[tuple[str, ...], Branch] = {}
        _refuse_twins(layout)
        for analyser in layout.analysers:
            self._check_detectors(analyser.outputs, analyser.name)
        for measurement in layout.measurements:
            self._check_detectors(measurement.outputs, measurement.name)
        self.outputs: dict[str, dict[int, Branch]] = {}
        """What follows the outputs of every switch; those that end in the dark are left out."""
        for switch in layout.switches:
            if switch.name not in ports.switches:
                raise ValueError(f"{switch.name}: there is no switch called {switch.name!r}")
            self.outputs[switch.name] = {
                output: self._resolve(path, f"{switch.name}, output {output}")
                for output, path in switch.outputs.items()
                if path
            }
            if transmitted(switch.crosstalk_db) * len(self.outputs[switch.name]) > 1:
                raise ValueError(f"{switch.name}: by crosstalk its outputs get more light than enters it")
        for splitter in layout.splitters:
            self._division(splitter, [splitter.name])
        for light in layout.lights:
            if isinstance(light, PairSource):
                self.branch(light.signal_path, f"{light.name}, signal path")
                self.branch(light.idler_path, f"{light.name}, idler path")
            else:
                self.branch(light.path, f"{light.name}, path")

    def branch(self, path: tuple[str, ...], of: str = "a path") -> Branch:
        """A light's path; `of` says whose, should it be wrong."""
        if path not in self._resolved:
            self._resolved[path] = self._resolve(path, of)
        return self._resolved[path]

    def reachable(self, branch: Branch, visited: set[str] | None = None) -> Iterator[tuple[str, Branch]]:
        """Every element that light on this branch can come to however switches stand, and what follows it."""
        visited = set() if visited is None else visited
        for i, name in enumerate(branch.passed):
            yield name, Branch(branch.passed[i + 1 :], branch.then)
        match branch.then:
            case Division(outputs):
                for _, output in outputs:
                    yield from self.reachable(output, visited)
            case Entrance(switch) if switch not in visited:
                visited.add(switch)
                for output in self.outputs[switch].values():
                    yield from self.reachable(output, visited)

    def _resolve(self, path: tuple[str, ...], of: str, behind: Collection[str] = ()) -> Branch:
        """`behind` are the names that light has come past on its way to this path."""
        if not path:
            return DARK
        for i, name in enumerate(path):
            if name in behind or name in path[:i]:
                raise ValueError(f"{of}: light comes to {name!r} a second time; a path must not loop")
            if name in self._passed and name not in self._analysers:
                continue
            end = self._end(name, of, [*behind, *path[: i + 1]])
            if i + 1 < len(path):
                raise ValueError(f"{of}: {name!r} ends the path, which yet goes on to {path[i + 1]!r}")
            return Branch(path if name in self._passed else path[:i], end)
        raise ValueError(
            f"{of}: it stops behind {path[-1]!r}; a path ends at a detector, an analyser, an input of a "
            "Bell-state measurement, a meter, a polarimeter, a splitter or a switch"
        )

    def _end(self, name: str, of: str, behind: list[str]) -> End | Division | Entrance:
        if name in self._detectors:
            return AtDetector(name)
        if name in self._analysers:
            analyser = self._analysers[name]
            to_h, to_v = polarizing(analyser.extinction, 1.0)  # its transmission is that of its plates
            h, v = (Branch((), AtDetector(detector)) for detector in analyser.outputs)
            return Division(((to_h, h), (to_v, v)))
        if name in self._splitters:
            return self._division(self._splitters[name], behind)
        thing, _, port = name.partition(".")
        if thing in self._measurements:
            if port not in ("a", "b"):
                raise ValueError(f"{of}: {name!r} is no input; light enters at '{thing}.a' or '{thing}.b'")
            return AtHub(thing, "ab".index(port))
        if thing in self._switches:
            if not port.isdecimal():
                raise ValueError(
                    f"{of}: {name!r} is no input; light enters a switch at an input, '{thing}.1'"
                )
            return Entrance(thing, int(port))
        if name in self._sensors:
            return self._sensors[name]
        raise ValueError(f"{of}: there is nothing called {name!r} on this bench")

    def _division(self, splitter: Splitter, behind: list[str]) -> Division:
        if splitter.kind == "polarizing":
            matrices = polarizing(splitter.extinction, splitter.transmission)
        else:
            matrices = plain(splitter.reflectivity, splitter.transmission)
        transmitted = self._resolve(splitter.transmitted, f"{splitter.name}, transmitted", behind)
        reflected = self._resolve(splitter.reflected, f"{splitter.name}, reflected", behind)
        return Division(((matrices[0], transmitted), (matrices[1], reflected)))

    def _check_detectors(self, outputs: Collection[str], of: str) -> None:
        for name in outputs:
            if name not in self._detectors:
                raise ValueError(f"{of}: there is no detector called {name!r}")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def _refuse_twins(layout: Layout) -> None:
    parts: Iterable[_Named] = chain(
        layout.detectors,
        layout.fibres,
        layout.controllers,
        layout.plates,
        layout.attenuators,
        layout.shutters,
        layout.delay_lines,
        layout.filters,
        layout.splitters,
        layout.switches,
        layout.analysers,
        layout.measurements,
    )
    for name, count in Counter(part.name for part in parts).items():
        if count > 1:
            raise ValueError(f"{count} parts of this bench are called {name!r}")
