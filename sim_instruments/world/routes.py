"""The routes of a pair source: what follows from where its two photons go.

A route knows what the present settings make of the source's pairs, and draws a slice of its photons (`emit`).
What surely cannot interfere or correlate it leaves to the channels as a rate of noise, unless it is pulsed.
Rates of pairs are in 1/ps.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sim_instruments.world.arm import Arm, Statistics
from sim_instruments.world.births import lone_photons
from sim_instruments.world.channel import Channel
from sim_instruments.world.couple import Coincidences, Couple
from sim_instruments.world.destinations import Entrance, Receiver
from sim_instruments.world.hub import Entry, Onward, Photons, Sent
from sim_instruments.world.scratch import Scratch
from sim_instruments.world.tables import Complex
from sim_instruments.world.wave_packets import Floats, WavePacket, Window

PS = 1e-12


@dataclass(frozen=True, eq=False)
class Side:
    """One photon of the pairs: its wave packet with the other as partner, its state and its carrier."""

    packet: WavePacket
    rho: Complex
    """(4, 4) of the other photon x this one."""
    carrier_hz: float


Channels = Mapping[str, Channel]


class Loners:
    """Clicks of photons whose partners are lost: of steady light they are plain noise for their detectors, of
    pulsed light they are drawn in their pulses."""

    def __init__(
        self, packet: WavePacket, clicks: Iterable[tuple[str, float, float]], channels: Channels
    ) -> None:
        """`packet` that of the photons, `clicks` detectors, delays in ps, and rates."""
        self._packet = packet
        self._clicks = [click for click in clicks if click[2] > 0.0] if packet.pulsed else []
        if not packet.pulsed:
            for detector, _, rate in clicks:
                channels[detector].shine(rate / PS, 0.0)

    @classmethod
    def at(cls, receiver: Receiver, packet: WavePacket, rates: Floats, channels: Channels) -> "Loners":
        """Those at the outcomes of a receiver."""
        clicks = zip(receiver.outcomes, rates.tolist(), strict=True)
        return cls(packet, [(o.detector, o.delay_ps, rate) for o, rate in clicks], channels)

    def emit(self, window: Window, rng: np.random.Generator, scratch: Scratch) -> Photons:
        return [
            (detector, lone_photons(self._packet, rate, window, rng, scratch)[0] + delay_ps)
            for detector, delay_ps, rate in self._clicks
        ]


class ToReceivers:
    """Both photons go to receivers."""

    def __init__(
        self, couple: Couple, rate: float, rho: Complex, ends: tuple[Receiver, Receiver], channels: Channels
    ) -> None:
        """`rho` of signal x idler, the ends of both."""
        self._couple, self._ends = couple, ends
        self._coincidences = Coincidences.of(rate, couple.packet, rho, ends[0].povms, ends[1].povms)
        packet = couple.packet
        self._loners = [
            Loners.at(end, packets, lone, channels)
            for end, packets, lone in zip(
                ends, (packet.mirrored, packet), self._coincidences.lone, strict=True
            )
        ]
        soonest = min((d for end in ends for d in end.delays_ps), default=0.0)
        self.lag_ps = packet.before_birth_ps + packet.early_ps - soonest

    def emit(self, window: Window) -> Photons:
        """All photons of which the partner clicks too; of pulsed light, all photons."""
        rng, scratch = self._couple.rng, self._couple.scratch
        lone = [photon for loners in self._loners for photon in loners.emit(window, rng, scratch)]
        delays = self._ends[0].delays_ps, self._ends[1].delays_ps
        sides = self._couple.emit(self._coincidences, window, delays)
        return lone + [
            (outcome.detector, times)
            for end, side in zip(self._ends, sides, strict=True)
            for outcome, times in zip(end.outcomes, side, strict=True)
        ]


class ToHub:
    """One photon goes to a Bell-state measurement, the other to a receiver."""

    def __init__(
        self,
        name: str,
        arm: Arm,
        rate: float,
        side: Side,
        ends: tuple[Receiver, Entrance],
        channels: Channels,
    ) -> None:
        """`side` is that of the photon that goes to the measurement."""
        self._arm, (self._receiver, entrance) = arm, ends
        self._statistics = Statistics.of(rate, arm.packet, side.rho, self._receiver.povms, entrance.ports)
        self._loners = Loners.at(self._receiver, arm.packet.mirrored, self._statistics.lone, channels)
        sent = Sent(
            entrance.side, self._statistics.conditional, entrance.delay_ps, arm.packet, side.carrier_hz
        )
        self._entry = entrance.hub.enter(name, sent)
        soonest = min(self._receiver.delays_ps, default=0.0)
        self.lag_ps = arm.packet.before_birth_ps + arm.packet.early_ps - soonest

    def emit(self, window: Window) -> Photons:
        """The partners that click; the photons are left with the hub."""
        entry, receiver = self._entry, self._receiver
        born = self._arm.emit(
            self._statistics, window, entry.room, entry.first_row, entry.sent.delay_ps, receiver.delays_ps
        )
        entry.keep(len(born.t))
        lone = self._loners.emit(window, self._arm.rng, self._arm.scratch)
        return lone + [(o.detector, times) for o, times in zip(receiver.outcomes, born.partners, strict=True)]


class ThroughHubs:
    """The photons go to two Bell-state measurements, of which the first is decided first: what it finds
    leaves the partner in a state, with which that comes to the second."""

    lag_ps = 0.0

    def __init__(
        self, name: str, arm: Arm, rate: float, sides: tuple[Side, Side], ends: tuple[Entrance, Entrance]
    ) -> None:
        """`sides` and `ends` are those of the first measurement's photon, then of the second's."""
        self._arm = arm
        first, second = ends
        arrives = second.ports.conj().T @ second.ports
        self._statistics = Statistics.of(rate, arm.packet, sides[0].rho, [arrives], first.ports)
        state = sides[0].rho.reshape(2, 2, 2, 2)  # partner, photon; partner', photon'
        operators = np.einsum("pa,vawb,qb->pqvw", first.ports, state, first.ports.conj())
        lost = np.einsum("vawa->vw", state) - np.einsum("ppvw->vw", operators)
        states = np.array([*(operators[p, p] for p in range(4)), lost])
        conditional: Complex = second.ports @ states @ second.ports.conj().T
        self._there: Entry = second.hub.enter(
            name,
            Sent(second.side, conditional, second.delay_ps, sides[1].packet, sides[1].carrier_hz),
            second.ports,
        )
        self._here: Entry = first.hub.enter(
            name,
            Sent(
                first.side, self._statistics.conditional, first.delay_ps, sides[0].packet, sides[0].carrier_hz
            ),
        )
        first.hub.onward = name, Onward(0, operators, self._there)

    def emit(self, window: Window) -> Photons:
        """None: all photons are left with the hubs."""
        arm, here, there = self._arm, self._here, self._there
        delay = there.sent.delay_ps
        born = arm.emit(self._statistics, window, here.room, here.first_row, here.sent.delay_ps)
        here.keep(len(born.t))
        clustered, behind = born.orphans
        t, x = lone_photons(there.sent.packet, float(self._statistics.lone[0]), window, arm.rng, arm.scratch)
        there.orphans = (
            np.concatenate([t, clustered]) + delay,
            np.concatenate([x, -behind]).astype(np.float32),
        )
        return []
