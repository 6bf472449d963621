"""A pair source in operation: it follows its photons to wherever the optics lead them now."""

from collections.abc import Mapping

import numpy as np

from sim_instruments.ports import LaserPort
from sim_instruments.world.arm import Arm
from sim_instruments.world.chain import Link
from sim_instruments.world.channel import Channel
from sim_instruments.world.couple import Couple
from sim_instruments.world.destinations import Destination, Entrance, Receiver
from sim_instruments.world.elements import Light
from sim_instruments.world.hub import Hub, Photons
from sim_instruments.world.layout import PairSource
from sim_instruments.world.optics import Optics
from sim_instruments.world.randomness import generator
from sim_instruments.world.routes import PS, Side, ThroughHubs, ToHub, ToReceivers
from sim_instruments.world.twins import Twins
from sim_instruments.world.wave_packets import WavePacket, Window

Route = ToReceivers | ToHub | ThroughHubs | Twins


class PairLight:
    """A pair source of a layout."""

    def __init__(self, source: PairSource, pump: LaserPort, seed: int) -> None:
        self.source, self._pump = source, pump
        self.name = source.name
        rng = generator(seed, source.name)
        packet = WavePacket.of(source)
        state = source.state.reshape(2, 2, 2, 2)
        self._rhos = state.transpose(1, 0, 3, 2).reshape(4, 4), state.reshape(4, 4)
        self._packets = packet.mirrored, packet
        self._alone = np.einsum("aibi->ab", state), np.einsum("aiaj->ij", state)
        """Polarization of signal and idler, each for itself."""
        self._rng = rng
        self._couple = Couple(packet, rng)
        self._arms = Arm(packet.mirrored, rng), Arm(packet, rng)
        """For signals, for idlers that go to a Bell-state measurement."""
        self._ends: tuple[Destination, Destination]

    @property
    def lag_ps(self) -> float:
        """A photon may come so much before the slice in which it is born."""
        return self._route.lag_ps

    @property
    def _carriers_hz(self) -> tuple[float, float]:
        """By how much signal and idler are above their nominal frequencies. What the idler has more the
        signal has less, but for the pump's own detuning. [assumed: a pump photon makes the pair]"""
        source, pump_hz = self.source, self._pump.detuning_hz
        idler_hz = source.carrier_offset_hz + source.detuning_per_pump_hz * pump_hz
        return pump_hz - idler_hz, idler_hz

    def aim(
        self, optics: Optics, channels: Mapping[str, Channel], hubs: Mapping[str, Hub], lead_ps: int
    ) -> None:
        """Find out where the photons go now."""
        source, (signal_hz, idler_hz) = self.source, self._carriers_hz
        signal = optics.trace(source.signal_path, source.signal_wavelength_m, signal_hz)
        idler = optics.trace(source.idler_path, source.idler_wavelength_m, idler_hz)
        self._ends = (
            Destination.of(signal, source.signal_transmission, lead_ps, channels, hubs),
            Destination.of(idler, source.idler_transmission, lead_ps, channels, hubs),
        )

    @property
    def link(self) -> Link | None:
        """The two measurements that its photons go to, where they go to two."""
        signal, idler = (destination.end for destination in self._ends)
        if not isinstance(signal, Entrance) or not isinstance(idler, Entrance) or signal.hub is idler.hub:
            return None
        arrive = np.kron(*(end.ports.conj().T @ end.ports for end in (signal, idler)))
        pairs_hz = self._rate_hz * float(np.trace(arrive @ self._rhos[1]).real)
        return Link(self.name, (signal.hub, idler.hub), pairs_hz)

    @property
    def _strength(self) -> float:
        # Off its line a pump makes less of the pairs and of the light without a partner alike [assumed].
        return self._pump.power_w / self.source.pump_power_w * self._pump.on_line

    @property
    def _rate_hz(self) -> float:
        return self.source.pair_rate_hz * self._strength

    def tune(self, channels: Mapping[str, Channel], order: Mapping[Hub, int], faint: bool) -> None:
        """Work out what the settings make of the pairs; `order` is that in which hubs are decided. A `faint`
        source's photons are noise wherever they arrive."""
        source, rate_hz = self.source, self._rate_hz
        unpaired = source.unpaired_signal_hz, source.unpaired_idler_hz
        for destination, alone, unpaired_hz in zip(self._ends, self._alone, unpaired, strict=True):
            destination.shine_plainly(channels, unpaired_hz * self._strength)
            destination.shine_noise(channels)
            if faint:
                destination.shine_plainly(channels, rate_hz, alone)
            else:
                destination.shine(channels, alone, rate_hz)
        if faint:
            dark = Receiver(), Receiver()
            self._route: Route = ToReceivers(self._couple, 0.0, self._rhos[1], dark, channels)
        else:
            self._route = self._routed(rate_hz * PS, channels, order)

    def _routed(self, rate: float, channels: Mapping[str, Channel], order: Mapping[Hub, int]) -> Route:
        signal, idler = self._ends[0].end, self._ends[1].end
        wavelengths_m = self.source.signal_wavelength_m, self.source.idler_wavelength_m
        carriers_hz = [
            Light(*light).frequency_hz for light in zip(wavelengths_m, self._carriers_hz, strict=True)
        ]
        sides = [Side(*side) for side in zip(self._packets, self._rhos, carriers_hz, strict=True)]
        match signal, idler:
            case Receiver(), Receiver():
                return ToReceivers(self._couple, rate, self._rhos[1], (signal, idler), channels)
            case Receiver(), Entrance():
                return ToHub(self.name, self._arms[1], rate, sides[1], (signal, idler), channels)
            case Entrance(), Receiver():
                return ToHub(self.name, self._arms[0], rate, sides[0], (idler, signal), channels)
            case Entrance(), Entrance():
                if signal.hub is idler.hub:
                    pair = sides[0], sides[1]
                    return Twins(self._packets[1], self._rng, rate, pair, (signal, idler), channels)
                if order[signal.hub] < order[idler.hub]:
                    return ThroughHubs(self.name, self._arms[0], rate, (sides[0], sides[1]), (signal, idler))
                return ThroughHubs(self.name, self._arms[1], rate, (sides[1], sides[0]), (idler, signal))
        raise AssertionError(signal, idler)

    def emit(self, window: Window) -> Photons:
        """Draw a slice: photons at detectors; those for hubs are left there."""
        return self._route.emit(window)

    def forget(self) -> None:
        """Nothing outlasts a slice here."""
