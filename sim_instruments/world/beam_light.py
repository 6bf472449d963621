"""Laser light in operation: readings at meters, counts at detectors, photons that interfere at a hub."""

from collections.abc import Mapping
from math import pi, sqrt

import numpy as np

from sim_instruments.ports import LaserPort
from sim_instruments.world.arm import in_order
from sim_instruments.world.births import birth_times
from sim_instruments.world.channel import Channel
from sim_instruments.world.constants import LIGHT_SPEED, PLANCK
from sim_instruments.world.destinations import Destination, Entrance, Receiver
from sim_instruments.world.elements import Light
from sim_instruments.world.hub import Entry, Hub, Photons, Sent
from sim_instruments.world.layout import Beam
from sim_instruments.world.optics import AtMeter, AtPolarimeter, Optics
from sim_instruments.world.randomness import generator
from sim_instruments.world.scratch import Scratch
from sim_instruments.world.sensors import Sensors
from sim_instruments.world.wave_packets import CONSTANT, GAUSSIAN, WavePacket, Window

PS = 1e-12
DAZZLING_HZ = 1e8
"""Photons at a hub or clicks in pulses beyond this rate are followed as noise: nothing that could be resolved
correlates them, and no detector of today counts them."""


class BeamLight:
    """A laser beam of a layout. Coherent light: Poisson photons, each in the same pure state."""

    def __init__(self, beam: Beam, laser: LaserPort, seed: int) -> None:
        self.beam, self._laser = beam, laser
        self.name = beam.name
        self.lag_ps = 0.0
        vector = np.array(beam.polarization, dtype=np.complex128)
        self._vector = vector / np.linalg.norm(vector)
        self._state = np.outer(self._vector, self._vector.conj())
        linewidth = pi * beam.linewidth_hz * PS
        self._packet = WavePacket(CONSTANT, linewidth=linewidth)
        if beam.pulses:
            self._packet = WavePacket(
                GAUSSIAN, beam.pulses.width_s / PS, period_s=beam.pulses.period_s, linewidth=linewidth
            )
        self._rng = generator(seed, beam.name)
        self._scratch = Scratch()
        self._destination: Destination
        self._entry: Entry | None = None
        self._rates: list[float] = []
        """At the outcomes of a receiver or, the only one, at a hub."""

    @property
    def _power_w(self) -> float:
        return self._laser.power_w * self.beam.fraction

    def aim(
        self, optics: Optics, channels: Mapping[str, Channel], hubs: Mapping[str, Hub], lead_ps: int
    ) -> None:
        """Find out where the light goes now."""
        self._traced = optics.trace(self.beam.path, self.beam.wavelength_m, self._laser.detuning_hz)
        self._destination = Destination.of(self._traced, 1.0, lead_ps, channels, hubs)

    def tune(self, channels: Mapping[str, Channel]) -> None:
        """Work out what the settings make of the light."""
        photons_hz = self._power_w * self.beam.wavelength_m / (PLANCK * LIGHT_SPEED)
        destination, end = self._destination, self._destination.end
        destination.shine_noise(channels)
        self._entry, self._rates = None, []
        if isinstance(end, Entrance):
            conditional = end.ports @ self._state @ end.ports.conj().T
            self._rates = [photons_hz * float(conditional.trace().real) * PS]
        elif self.beam.pulses:
            self._rates = [photons_hz * float((povm @ self._state).trace().real) * PS for povm in end.povms]
        if not 0.0 < sum(self._rates) < DAZZLING_HZ * PS:
            self._rates = []
            destination.shine_plainly(channels, photons_hz, self._state)
            return
        destination.shine(channels, self._state, photons_hz)
        if isinstance(end, Entrance):
            carrier_hz = Light(self.beam.wavelength_m, self._laser.detuning_hz).frequency_hz
            sent = Sent(end.side, conditional[None], end.delay_ps, self._packet, carrier_hz)
            self._entry = end.hub.enter(self.name, sent)
            self.lag_ps = 0.0
        else:
            self.lag_ps = self._packet.before_birth_ps - min(end.delays_ps)

    def illuminate(self, sensors: Sensors) -> None:
        """Shine on meters and polarimeters."""
        for leaf in self._traced.leaves:
            if isinstance(leaf.end, AtMeter | AtPolarimeter):
                jones = sqrt(self._power_w) * leaf.matrix @ self._vector
                sensors.shine(leaf.end, jones, self.beam.wavelength_m)

    def emit(self, window: Window) -> Photons:
        """Draw a slice. Steady light at detectors is noise, of which nothing needs to be drawn."""
        end, packet, rng = self._destination.end, self._packet, self._rng
        if self._entry is not None:
            births = birth_times(packet, self._rates[0], window, rng, self._scratch, "births")
            t, x, row = self._entry.room(len(births))
            x[:] = 0.0
            if packet.pulsed:
                x[:] = -packet.after * rng.standard_normal(len(births))
            np.subtract(births, x, out=t)
            t += self._entry.sent.delay_ps
            row[:] = self._entry.first_row
            if packet.pulsed:
                in_order(t, x, row)
            return []
        photons: Photons = []
        if self._rates and isinstance(end, Receiver):
            for k, (outcome, rate) in enumerate(zip(end.outcomes, self._rates, strict=True)):
                births = birth_times(packet, rate, window, rng, self._scratch, f"births{k}")
                spread = packet.after * rng.standard_normal(len(births))
                photons.append((outcome.detector, births + spread + outcome.delay_ps))
        return photons

    def forget(self) -> None:
        """Nothing outlasts a slice here."""
