"""Power meters and polarimeters against closed forms.

Statistical bounds are 5.5 standard errors (false alarm 4e-8 each) at fixed seeds.
"""

from math import sqrt

import numpy as np
import pytest

from sim_instruments.ports import MeterPort, PolarimeterPort, Ports
from sim_instruments.world.ends import AtMeter, AtPolarimeter
from sim_instruments.world.layout import Layout, Sensor
from sim_instruments.world.sensors import Sensors

PHOTON_J = 6.626e-34 * 2.998e8 / 1324e-9


def bench(*sensors: Sensor) -> tuple[Sensors, MeterPort, PolarimeterPort]:
    meter, polarimeter = MeterPort(), PolarimeterPort()
    ports = Ports(meters={"meter": meter}, polarimeters={"polarimeter": polarimeter})
    layout = Layout(lights=(), detectors=(), taggers=(), sensors=sensors)
    return Sensors(layout, ports, seed=1), meter, polarimeter


def jones(power_w: float, h: complex, v: complex) -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
    return sqrt(power_w) * np.array([h, v], dtype=np.complex128)


def test_a_polarimeter_reads_power_and_stokes_vector() -> None:
    sensors, _, polarimeter = bench()
    sensors.shine(AtPolarimeter("polarimeter"), jones(2e-6, 0.6, 0.8j), 1324e-9)
    sensors.read()
    assert polarimeter.power_w == pytest.approx(2e-6)
    assert polarimeter.stokes == pytest.approx((0.36 - 0.64, 0.0, 2 * 0.48))
    assert polarimeter.wavelength_m == 1324e-9


def test_beams_add_in_power_and_the_strongest_names_the_wavelength() -> None:
    """A third of V and two thirds of H: S1 = 1/3."""
    sensors, meter, polarimeter = bench()
    for end in (AtMeter("meter"), AtPolarimeter("polarimeter")):
        sensors.shine(end, jones(2e-6, 1, 0), 1324e-9)
        sensors.shine(end, jones(1e-6, 0, 1), 1550e-9)
    sensors.read()
    assert meter.power_w == polarimeter.power_w == pytest.approx(3e-6)
    assert meter.wavelength_m == polarimeter.wavelength_m == 1324e-9
    assert polarimeter.stokes == pytest.approx((1 / 3, 0.0, 0.0))


def test_a_sensor_in_the_dark_reads_nothing() -> None:
    sensors, meter, polarimeter = bench()
    sensors.shine(AtMeter("meter"), jones(1e-3, 1, 0), 1324e-9)
    sensors.shine(AtPolarimeter("polarimeter"), jones(1e-3, 1, 0), 1324e-9)
    sensors.darken()
    sensors.read()
    assert (meter.power_w, meter.wavelength_m) == (0.0, 0.0)
    assert (polarimeter.power_w, polarimeter.stokes) == (0.0, (0.0, 0.0, 0.0))


@pytest.mark.parametrize("power_w", [0.0, 1e-9, 1e-3])
def test_a_meter_has_electronic_and_shot_noise(power_w: float) -> None:
    """Variance (NEP^2 + 2 h nu P) B: with 1 pW/sqrt(Hz) electronic noise rules at 1 nW, shot at 1 mW."""
    nep, bandwidth, n = 1e-12, 100.0, 4000
    sensors, meter, _ = bench(Sensor("meter", nep, bandwidth))
    if power_w:
        sensors.shine(AtMeter("meter"), jones(power_w, 0.6, 0.8), 1324e-9)
    readings = np.empty(n)
    for i in range(n):
        sensors.read()
        readings[i] = meter.power_w
    variance = (nep**2 + 2 * PHOTON_J * power_w) * bandwidth
    assert readings.mean() == pytest.approx(power_w, abs=5.5 * sqrt(variance / n))
    assert readings.var() / variance == pytest.approx(1.0, abs=5.5 * sqrt(2 / n) + 1e-3)


def test_a_polarimeters_noise_is_that_of_six_photodiodes() -> None:
    """Electronic noise: power (sum of six) 6 NEP^2 B. A component of weak polarization is 3 (p+ - p-) / P:
    9 * 2 NEP^2 B / P^2. Light half H, half V has no polarization."""
    nep, bandwidth, power_w, n = 1e-11, 100.0, 1e-6, 4000
    sensors, _, polarimeter = bench(Sensor("polarimeter", nep, bandwidth))
    for state in ((1, 0), (0, 1)):
        sensors.shine(AtPolarimeter("polarimeter"), jones(power_w / 2, *state), 1324e-9)
    powers, vectors = np.empty(n), np.empty((n, 3))
    for i in range(n):
        sensors.read()
        powers[i], vectors[i] = polarimeter.power_w, polarimeter.stokes
    assert powers.mean() == pytest.approx(power_w, abs=5.5 * sqrt(6 * bandwidth / n) * nep)
    assert powers.var() / (6 * nep**2 * bandwidth) == pytest.approx(1.0, abs=5.5 * sqrt(2 / n) + 5e-3)
    expected = 18 * nep**2 * bandwidth / power_w**2
    assert np.all(np.abs(vectors.mean(axis=0)) < 5.5 * sqrt(expected / n))
    assert np.all(np.abs(vectors.var(axis=0) / expected - 1) < 5.5 * sqrt(2 / n) + 5e-3)


def test_noise_that_belongs_to_no_instrument_is_refused() -> None:
    with pytest.raises(ValueError, match="'mter'"):
        bench(Sensor("mter", 1e-12))
