"""Power meters and polarimeters: light that ends there, summed up and read with shot and electronic noise.

Light of different beams adds in power (their phases are unrelated). Every reading has fresh noise of the
sensor's own bandwidth, whatever the time since the last one: readings closer than 1/(2 bandwidth) are less
alike than a real sensor's. Source: physics.md 3, "Optical powers"; the variance of shot noise is 2 h nu P B,
that of electronic noise NEP^2 B.
"""

from dataclasses import dataclass

import numpy as np

from sim_instruments.ports import MeterPort, PolarimeterPort, Ports
from sim_instruments.world.constants import LIGHT_SPEED, PLANCK
from sim_instruments.world.ends import AtMeter, AtPolarimeter
from sim_instruments.world.layout import Layout, Sensor
from sim_instruments.world.polarization import Floats, Matrix, stokes
from sim_instruments.world.randomness import generator

PHOTODIODES = 6
"""Of a polarimeter, in pairs behind analysers for S1, S2 and S3, each with a sixth of the light where there
is no polarization."""


@dataclass
class _Lit:
    """A sensor and the light on it: its Stokes vector in watts, and the wavelength of the strongest beam."""

    sensor: Sensor | None
    rng: np.random.Generator
    stokes_w: Floats
    strongest_w: float = 0.0
    wavelength_m: float = 0.0


class Sensors:
    """All power meters and polarimeters of a bench. `darken`, then `shine` for every beam that arrives, when
    light is traced anew; `read` whenever the instruments shall see it."""

    def __init__(self, layout: Layout, ports: Ports, seed: int) -> None:
        self._ports = ports
        described = {sensor.name: sensor for sensor in layout.sensors}
        names = [*ports.meters, *ports.polarimeters]
        for name in described:
            if name not in names:
                raise ValueError(f"{name}: there is no power meter or polarimeter called {name!r}")
        self._lit = {name: _Lit(described.get(name), generator(seed, name), np.zeros(4)) for name in names}

    def darken(self) -> None:
        """No light on any sensor."""
        for lit in self._lit.values():
            lit.stokes_w = np.zeros(4)
            lit.strongest_w = lit.wavelength_m = 0.0

    def shine(self, end: AtMeter | AtPolarimeter, jones: Matrix, wavelength_m: float) -> None:
        """Polarized light arrives: `jones` (2,) in sqrt(W), such as a leaf's matrix on the Jones vector of a
        beam times the root of its power."""
        lit = self._lit[end.name]
        arriving_w = stokes(jones)
        lit.stokes_w = lit.stokes_w + arriving_w
        if arriving_w[0] > lit.strongest_w:
            lit.strongest_w, lit.wavelength_m = float(arriving_w[0]), wavelength_m

    def read(self) -> None:
        """Write a reading to every port."""
        for name, meter in self._ports.meters.items():
            _read_meter(self._lit[name], meter)
        for name, polarimeter in self._ports.polarimeters.items():
            _read_polarimeter(self._lit[name], polarimeter)


def _photocurrents(lit: _Lit, power_w: Floats) -> Floats:
    """What photodiodes say of the powers on them, with their noise."""
    sensor = lit.sensor
    if sensor is None:
        return power_w
    photon_j = PLANCK * LIGHT_SPEED / lit.wavelength_m if lit.wavelength_m else 0.0
    variance = (2 * photon_j * power_w + sensor.noise_equivalent_power**2) * sensor.bandwidth_hz
    return power_w + np.sqrt(variance) * lit.rng.normal(size=power_w.shape)


def _read_meter(lit: _Lit, port: MeterPort) -> None:
    port.power_w = float(_photocurrents(lit, lit.stokes_w[:1])[0])
    port.wavelength_m = lit.wavelength_m


def _read_polarimeter(lit: _Lit, port: PolarimeterPort) -> None:
    whole, components = lit.stokes_w[0], lit.stokes_w[1:]
    pairs = np.stack([whole + components, whole - components]) / PHOTODIODES
    plus, minus = _photocurrents(lit, np.clip(pairs, 0.0, None))
    power = float((plus + minus).sum())
    port.power_w = power
    # Over the power as read: noise on a dark sensor gives any vector, as a real one does.
    s1, s2, s3 = 3 * (plus - minus) / power if power else np.zeros(3)
    port.stokes = (float(s1), float(s2), float(s3))
    port.wavelength_m = lit.wavelength_m
