"""Where photons go as the optics stand: to a receiver, to a Bell-state measurement, or into the dark.

A photon's path may divide. Of its ends those at detectors together are a receiver. Where a light reaches both
detectors and measurements, or more than one input of a measurement, its destination is the one that most of
it reaches; what arrives at the others is followed as plain noise at their detectors, correlated with nothing
(an approximation; it is the crosstalk of switches, as a rule).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sim_instruments.world.channel import Channel
from sim_instruments.world.hub import Hub
from sim_instruments.world.optics import AtDetector, AtHub, Traced
from sim_instruments.world.polarization import IDENTITY, Matrix
from sim_instruments.world.tables import Complex

MOST_OUTCOMES = 16
"""A receiver tells no more outcomes apart; the rarer ones are noise."""
UNPOLARISED: Matrix = IDENTITY / 2


@dataclass(frozen=True, eq=False)
class Outcome:
    """A click of a detector."""

    detector: str
    delay_ps: float
    povm: Matrix
    """(2, 2) its POVM element for the polarization that sets out, the detector's efficiency included."""


@dataclass(frozen=True, eq=False)
class Receiver:
    """Detectors. Without outcomes: the dark."""

    outcomes: tuple[Outcome, ...] = ()

    @property
    def povms(self) -> list[Matrix]:
        return [outcome.povm for outcome in self.outcomes]

    @property
    def delays_ps(self) -> list[float]:
        return [outcome.delay_ps for outcome in self.outcomes]


@dataclass(frozen=True, eq=False)
class Entrance:
    """An input of a Bell-state measurement."""

    hub: Hub
    side: int
    ports: Complex
    """(4, 2) amplitudes from the polarization that sets out to the ports."""
    delay_ps: float


@dataclass(frozen=True, eq=False)
class Destination:
    """Where photons go. `clicks` are POVM elements (2, 2) of all clicks by detector, `astray` those of
    photons that miss the destination; `noise_hz` clicks of the noise that the path itself makes."""

    end: Receiver | Entrance
    clicks: dict[str, Matrix] = field(default_factory=dict)
    astray: dict[str, Matrix] = field(default_factory=dict)
    noise_hz: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        traced: Traced,
        transmission: float,
        lead_ps: int,
        channels: Mapping[str, Channel],
        hubs: Mapping[str, Hub],
    ) -> "Destination":
        """`transmission` is that of the light's own optics, in front of the path. All delays are longer
        by `lead_ps`."""
        detected: dict[tuple[str, float], Matrix] = {}
        entrances: list[tuple[float, Entrance]] = []
        noise_hz: dict[str, float] = {}
        reaches = 0.0
        for leaf in traced.leaves:
            through = transmission * (leaf.matrix.conj().T @ leaf.matrix)
            delay_ps = leaf.delay_ps + lead_ps
            if isinstance(leaf.end, AtDetector):
                channel = channels[leaf.end.name]
                key = leaf.end.name, delay_ps
                detected[key] = detected.get(key, 0) + channel.efficiency * through
                reaches += float(through.trace().real)
                _add(noise_hz, leaf.end.name, leaf.noise_hz * channel.efficiency)
            elif isinstance(leaf.end, AtHub):
                hub = hubs[leaf.end.name]
                ports = hub.amplitudes(leaf.end.side, np.sqrt(transmission) * leaf.matrix)
                entrance = Entrance(hub, leaf.end.side, ports, delay_ps)
                entrances.append((float(through.trace().real), entrance))
                for name, povm in hub.clicks(hub.amplitudes(leaf.end.side, IDENTITY)):
                    _add(noise_hz, name, leaf.noise_hz * float((povm @ UNPOLARISED).trace().real))
        outcomes = sorted(
            (Outcome(name, delay_ps, povm) for (name, delay_ps), povm in detected.items()),
            key=lambda outcome: -float(outcome.povm.trace().real),
        )
        strongest, entrance_ = max(entrances, key=lambda e: e[0], default=(0.0, None))
        chosen: list[Outcome] = []
        end: Receiver | Entrance
        if entrance_ is not None and strongest > reaches:
            end = entrance_
        else:
            names = [*channels]
            chosen = outcomes[:MOST_OUTCOMES]
            end = Receiver(tuple(sorted(chosen, key=lambda o: (names.index(o.detector), o.delay_ps))))
        clicks: dict[str, Matrix] = {}
        astray: dict[str, Matrix] = {}
        for outcome in outcomes:
            _add(clicks, outcome.detector, outcome.povm)
            if outcome not in chosen:
                _add(astray, outcome.detector, outcome.povm)
        for _, entrance in entrances:
            for name, povm in entrance.hub.clicks(entrance.ports):
                _add(clicks, name, povm)
                if entrance is not end:
                    _add(astray, name, povm)
        return cls(end, clicks, astray, noise_hz)

    def shine(self, channels: Mapping[str, Channel], polarization: Matrix, correlated_hz: float) -> None:
        """Tell the detectors what light comes this way: `correlated_hz` photons that set out per second with
        a density matrix, drawn with their times where they reach the destination."""
        for name, povm in self.clicks.items():
            clicks_hz = correlated_hz * _probability(povm, polarization)
            missing = _probability(self.astray[name], polarization) if name in self.astray else 0.0
            channels[name].shine(correlated_hz * missing, clicks_hz)

    def shine_plainly(
        self, channels: Mapping[str, Channel], plain_hz: float, polarization: Matrix = UNPOLARISED
    ) -> None:
        """The same for photons that are correlated with nothing, at rates: noise."""
        for name, povm in self.clicks.items():
            clicks_hz = plain_hz * _probability(povm, polarization)
            channels[name].shine(clicks_hz, clicks_hz)

    def shine_noise(self, channels: Mapping[str, Channel]) -> None:
        """And for the noise of the path itself."""
        for name, noise_hz in self.noise_hz.items():
            channels[name].shine(noise_hz, noise_hz)


def _probability(povm: Matrix, polarization: Matrix) -> float:
    return max(float((povm @ polarization).trace().real), 0.0)


def _add(into: dict[str, Matrix] | dict[str, float], name: str, value: Matrix | float) -> None:
    into[name] = into.get(name, 0) + value  # type: ignore[assignment]
