"""A single-photon emitter in operation.

Source: physics.md 1, "HBT of an emitter". A photon's partner is its excitation: the wave packet is one-sided
exponential from there. Two photons of an emitter are not taken to interfere with each other.
"""

from collections.abc import Mapping
from math import inf, sqrt

import numpy as np

from sim_instruments.ports import LaserPort
from sim_instruments.world.arm import in_order
from sim_instruments.world.births import Singles
from sim_instruments.world.channel import Channel
from sim_instruments.world.destinations import Destination, Entrance
from sim_instruments.world.elements import Light
from sim_instruments.world.hub import Entry, Hub, Photons, Sent
from sim_instruments.world.layout import Emitter
from sim_instruments.world.optics import Optics
from sim_instruments.world.randomness import generator
from sim_instruments.world.wave_packets import TWO_SIDED, Floats, WavePacket, Window

PS = 1e-12


def second_photon(brightness: float, g2: float) -> float:
    """Probability q that a pulse that made a photon makes a second one: 2 b q / (b (1 + q))^2 = g2.

    ValueError where there is none: with two photons from each such pulse g2 is 1/2 of 1/brightness.
    """
    k = g2 * brightness / 2
    if k == 0.0:
        return 0.0
    if k > 0.25:
        raise ValueError(f"an emitter of brightness {brightness:g} has a g2 of {0.5 / brightness:g} at most")
    return (1 - 2 * k - sqrt(1 - 4 * k)) / (2 * k)


class EmitterLight:
    """An emitter of a layout."""

    def __init__(self, emitter: Emitter, laser: LaserPort | None, seed: int) -> None:
        self.emitter, self._laser = emitter, laser
        self.name = emitter.name
        self.lag_ps = 0.0
        vector = np.array(emitter.polarization, dtype=np.complex128)
        vector /= np.linalg.norm(vector)
        self._state = np.outer(vector, vector.conj())
        second_photon(emitter.brightness, emitter.g2)
        self._packet = WavePacket(
            TWO_SIDED,
            before=emitter.lifetime_s / PS,
            period_s=emitter.pulses.period_s if emitter.pulses else 0.0,
            modes=inf,
        )
        self._rng = generator(seed, emitter.name)
        self._destination: Destination
        self._entry: Entry | None = None
        self._shares: Floats = np.empty(0)
        """Probability of each outcome for a photon, cumulative."""
        self._next: tuple[float, float] | None = None
        """The next photon that arrives, of a continuous emitter: its time, and how long it was excited."""

    @property
    def _strength(self) -> float:
        """Power of the exciting laser, as a part of the nominal one."""
        if self._laser is None:
            return 1.0
        if self.emitter.laser_power_w == inf:
            return float(self._laser.power_w > 0.0)
        return self._laser.power_w / self.emitter.laser_power_w

    @property
    def _brightness(self) -> float:
        return min(1.0, self.emitter.brightness * self._strength)

    @property
    def _second(self) -> float:
        # The same share of photons is doubled at any power: g2 at full power is the one stated.
        return second_photon(self.emitter.brightness, self.emitter.g2)

    @property
    def _pump_ps(self) -> float:
        return self.emitter.pump_time_s / PS / self._strength

    @property
    def rate_hz(self) -> float:
        """Photons per second that it emits, background left out."""
        if self._strength <= 0.0:
            return 0.0
        if self.emitter.pulses:
            return self._brightness * (1 + self._second) / self.emitter.pulses.period_s
        return 1.0 / (self._pump_ps * PS + self.emitter.lifetime_s)

    def aim(
        self, optics: Optics, channels: Mapping[str, Channel], hubs: Mapping[str, Hub], lead_ps: int
    ) -> None:
        """Find out where the photons go now."""
        emitter = self.emitter
        traced = optics.trace(emitter.path, emitter.wavelength_m, emitter.carrier_offset_hz)
        self._destination = Destination.of(traced, emitter.transmission, lead_ps, channels, hubs)

    def tune(self, channels: Mapping[str, Channel]) -> None:
        """Work out what the settings make of the photons."""
        destination, end, emitter = self._destination, self._destination.end, self.emitter
        destination.shine_noise(channels)
        destination.shine_plainly(channels, emitter.background_hz)
        destination.shine(channels, self._state, self.rate_hz)
        self._entry = None
        if isinstance(end, Entrance):
            conditional = end.ports @ self._state @ end.ports.conj().T
            self._shares = np.array([conditional.trace().real])
            carrier_hz = Light(emitter.wavelength_m, emitter.carrier_offset_hz).frequency_hz
            sent = Sent(end.side, conditional[None], end.delay_ps, self._packet, carrier_hz)
            self._entry = end.hub.enter(self.name, sent)
        else:
            self._shares = np.cumsum([(povm @ self._state).trace().real for povm in end.povms])

    def emit(self, window: Window) -> Photons:
        """Draw a slice: each photon takes one of the outcomes by itself."""
        arrive = min(float(self._shares[-1]), 1.0) if len(self._shares) else 0.0
        if arrive <= 0.0 or self._strength <= 0.0:
            self._next = None
            return []
        t, x = self._pulsed(arrive, window) if self.emitter.pulses else self._continuous(arrive, window)
        if self._entry is not None:
            into_t, into_x, row = self._entry.room(len(t))
            into_t[:], into_x[:], row[:] = t + self._entry.sent.delay_ps, x, self._entry.first_row
            in_order(into_t, into_x, row)
            return []
        end = self._destination.end
        assert not isinstance(end, Entrance)
        taken = np.searchsorted(self._shares, self._rng.random(len(t)) * arrive, side="right")
        return [
            (outcome.detector, t[taken == k] + outcome.delay_ps) for k, outcome in enumerate(end.outcomes)
        ]

    def _pulsed(self, arrive: float, window: Window) -> tuple[Floats, Singles]:
        """Photons that arrive, and how much earlier than they their pulses were."""
        assert self.emitter.pulses is not None
        rng, lifetime = self._rng, self._packet.before
        first_ps, pulses = window.pulses(self.emitter.pulses.period_s)
        b, q = self._brightness, self._second
        one, both = b * (arrive + q * arrive - 2 * q * arrive**2), b * q * arrive**2
        hits = _hits(rng, one + both, pulses)
        twice = rng.random(len(hits)) * (one + both) < both
        pulse = np.repeat(hits, 1 + twice) * (self.emitter.pulses.period_s / PS) + first_ps
        after = lifetime * rng.standard_exponential(len(pulse))
        return pulse + after, -after.astype(np.float32)

    def _continuous(self, arrive: float, window: Window) -> tuple[Floats, Singles]:
        """The same for re-excitation: a renewal process, in which K cycles, geometric, lead to the next
        photon that arrives, after Gamma(K) times of excitation and of emission."""
        rng, pump, lifetime = self._rng, self._pump_ps, self._packet.before
        span = float(window.span_ps)
        mean = (pump + lifetime) / arrive
        if self._next is None:  # nobody looked before: begin anywhere in a cycle
            self._next = mean * rng.random(), lifetime * rng.standard_exponential()
        times, lives = [np.array(self._next[:1])], [np.array(self._next[1:])]
        last = self._next[0]
        while last < span:
            n = int((span - last) / mean * 1.05) + 100
            cycles = rng.geometric(arrive, n)
            life = lifetime * rng.standard_exponential(n)
            gaps = pump * rng.standard_gamma(cycles) + lifetime * rng.standard_gamma(cycles - 1) + life
            times.append(last + np.cumsum(gaps))
            lives.append(life)
            last = float(times[-1][-1])
        t, life = np.concatenate(times), np.concatenate(lives)
        cut = int(np.searchsorted(t, span))
        self._next = float(t[cut]) - span, float(life[cut])
        return t[:cut], -life[:cut].astype(np.float32)

    def forget(self) -> None:
        """Begin anew after a time in which nobody looked."""
        self._next = None


def _hits(rng: np.random.Generator, probability: float, pulses: int) -> Floats:
    """Numbers, sorted, of the pulses out of so many in which an event of this probability happens."""
    if probability * pulses < 1e-9:
        return np.empty(0)
    found = [np.empty(0, dtype=np.int64)]
    last = -1
    while last < pulses:
        n = int((pulses - last) * probability * 1.05) + 100
        found.append(last + np.cumsum(rng.geometric(probability, n)))
        last = int(found[-1][-1])
    hits = np.concatenate(found)
    return hits[: np.searchsorted(hits, pulses)].astype(np.float64)
