"""Fibres and what stands in them: drift, Raman noise, delay, filters."""

from dataclasses import replace
from math import cos, exp, log, pi, sqrt

import numpy as np
from scipy.constants import Boltzmann, Planck, speed_of_light
from scipy.integrate import quad

from sim_instruments.ports import LaserPort, PolarimeterPort, Ports, TemperaturePort
from sim_instruments.world.layout import Beam, ClassicalChannel, Fibre, Filter, Layout
from sim_instruments.world.light_field import LightField
from tests.sim_instruments.light_bench import LightBench, pairs
from tests.validation.coincidences import WAVELENGTH_M, laser_w
from tests.validation.counting import Floats, differences, watched
from tests.validation.evidence import Chapter, Evidence, Figure, Finding, Line, Plot, Points, count
from tests.validation.wave_forms import Gaussian

CHAPTER = Chapter("Fibres and filters", [])
PROBES = {"h": (1, 0), "d": (1 / sqrt(2), 1 / sqrt(2)), "r": (1 / sqrt(2), 1j / sqrt(2))}


def pair_fidelities(fibre: Fibre, number: int, seconds: int, seed: int) -> Floats:
    """(seconds + 1, number) (1 + tr R)/4 of so many such fibres every second, R as polarimeters see three
    probes."""
    fibres = tuple(replace(fibre, name=f"fibre{k}") for k in range(number))
    beams = tuple(
        Beam(f"{p}{k}", "laser", WAVELENGTH_M, jones, (f"fibre{k}", f"meter_{p}{k}"))
        for k in range(number)
        for p, jones in PROBES.items()
    )
    ports = Ports(lasers={"laser": LaserPort(1e-3)})
    ports.polarimeters = {f"meter_{beam.name}": PolarimeterPort() for beam in beams}
    light = LightField(Layout(beams, (), (), fibres), ports, seed)
    found = np.empty((seconds + 1, number))
    for i in range(seconds + 1):
        light.tune()
        for k in range(number):
            trace = sum(ports.polarimeters[f"meter_{p}{k}"].stokes[axis] for axis, p in enumerate(PROBES))
            found[i, k] = (1 + trace) / 4
        light.settle(10**12, light.expose(10**12))
    light.close()
    return found


def drift_evidence(found: Floats, kept: object, kept_twice: object) -> Evidence:
    """Means over fibres against (1 + 3 kept)/4. `kept` and `kept_twice` are by how much the matrix elements
    of spins 1 and 2 have decayed at a time; they give the variance: F^2 has the mean (2 + 9 kept + 5
    kept_twice)/16."""
    times = np.arange(len(found), dtype=float)
    one, two = kept(times), kept_twice(times)  # type: ignore[operator]
    mean = (1 + 3 * one) / 4
    spread = np.sqrt(np.maximum((2 + 9 * one + 5 * two) / 16 - mean**2, 0.0))
    errors = spread / sqrt(found.shape[1])
    findings = tuple(
        Figure(f"mean fidelity after {t:g} s", float(mean[t]), float(found[t].mean()), float(errors[t]))
        for t in (1, 2, 5, 10, 20, len(found) - 1)
    )
    return Evidence(
        findings,
        Plot(
            "time (s)",
            "mean pair fidelity",
            (Line("formula", times, mean),),
            (Points("simulated", times, found.mean(axis=1), errors),),
        ),
    )


@CHAPTER.check(
    "Drift of polarization",
    r"\bar F(t) = \tfrac14\left(1 + 3e^{-2Dt}\right),"
    r"\qquad \overline{F^2} = \tfrac1{16}\left(2 + 9e^{-2Dt} + 5e^{-6Dt}\right)",
)
def drift(effort: float) -> Evidence:
    """Fibres whose birefringence diffuses with D = 0.03 rad^2/s, each probed with H, diagonal and circular
    laser light on three polarimeters: mean pair fidelity (1 + tr R)/4 against time. Matrix elements of spin j
    decay as exp(-D j (j + 1) t), from which mean and spread follow."""
    D = 0.03
    fibre = Fibre("", 1000.0, 0.2, 5e-6, polarization_diffusion=D)
    found = pair_fidelities(fibre, round(150 * effort), 40, 400)
    return drift_evidence(found, lambda t: np.exp(-2 * D * t), lambda t: np.exp(-6 * D * t))


@CHAPTER.check(
    "Jumps of polarization",
    r"\bar F(t) = \tfrac14\left(1 + 3e^{-\nu t(1 - c_1)}\right),\qquad c_1 = \frac{1 + 2\cos\alpha}{3}",
)
def jumps(effort: float) -> Evidence:
    """The same with sudden turns by alpha = 1 rad about random axes, 0.1 per second: a jump keeps the share
    c_j of the matrix elements of spin j, the character over 2 j + 1."""
    rate, angle = 0.1, 1.0
    fibre = Fibre("", 1000.0, 0.2, 5e-6, jump_rate_hz=rate, jump_angle_rad=angle)
    found = pair_fidelities(fibre, round(150 * effort), 40, 410)
    one = (1 + 2 * cos(angle)) / 3
    two = (1 + 2 * cos(angle) + 2 * cos(2 * angle)) / 5
    return drift_evidence(
        found, lambda t: np.exp(-rate * t * (1 - one)), lambda t: np.exp(-rate * t * (1 - two))
    )


@CHAPTER.check(
    "Raman noise of a classical channel",
    r"r = \frac{P\lambda}{hc}\,\rho\,\Delta\lambda\int_0^L e^{-az}\,e^{-a(L - z)\ \mathrm{or}\ -az}\,dz"
    r"\;\times\;\min\left(1, e^{-h\,\delta\!\nu/kT}\right)",
)
def raman(effort: float) -> Evidence:
    """Light of 0.1 mW at 1550 nm shares 18 km of fibre (0.3 dB/km) with a quantum channel at 1324 nm
    (anti-Stokes, suppressed 197 times) or 1565 nm (Stokes), with it or against it; a filter of 0.5 nm; rho =
    3e-9 per km and nm; a detector of 60 %. The integral over the length is done numerically. (P. Eraerds et
    al., New J. Phys. 12, 063027 (2010).)"""
    power, length_km, loss, rho, nm, efficiency, seconds = 1e-4, 18.0, 0.3, 3e-9, 0.5, 0.6, 2.0 * effort
    a = loss * log(10) / 10
    findings = []
    for k, (wavelength, direction) in enumerate(
        ((1324e-9, "forward"), (1324e-9, "backward"), (1565e-9, "forward"), (1565e-9, "backward"))
    ):
        channel = ClassicalChannel(power, 1550e-9, rho * 1e6, nm * 1e-9, direction)  # type: ignore[arg-type]
        fibre = Fibre(
            "fibre", length_km * 1e3, loss * length_km, 9e-5, wavelength_m=wavelength, classical=channel
        )
        beam = Beam("beam", "off", wavelength, (1, 0), ("fibre", "d"))
        bench = LightBench((beam,), ("d",), {"fibres": (fibre,)}, {"off": 0.0}, efficiency)
        back = direction == "backward"
        integral = quad(
            lambda z, back=back: exp(-a * z) * exp(-a * (z if back else length_km - z)), 0, length_km
        )[0]
        above = speed_of_light / wavelength - speed_of_light / 1550e-9
        factor = min(1.0, exp(-Planck * above / (Boltzmann * 300)))
        photons = power * 1550e-9 / (Planck * speed_of_light)
        expected = photons * rho * nm * integral * factor * efficiency * seconds
        n = sum(len(tags["d"]) for tags in watched(bench, seconds, 420 + k, 2.0))
        findings.append(count(f"{wavelength * 1e9:.0f} nm, {direction}", expected, n))
    k = np.arange(4, dtype=float)
    return Evidence(
        tuple(findings),
        Plot(
            "case, as in the table",
            "counts per second",
            (Line("formula", k, np.array([f.expected for f in findings]) / seconds),),
            (
                Points(
                    "simulated",
                    k,
                    np.array([f.found for f in findings]) / seconds,
                    np.array([f.error for f in findings]) / seconds,
                ),
            ),
            log_y=True,
        ),
    )


@CHAPTER.check(
    "Delay of a fibre over a day, and its dispersion",
    r"\Delta(t, \lambda) = \tau_g + L\,\tfrac{d\tau}{dT}\,\hat T\sin\frac{2\pi t}{24\,\mathrm h}"
    r" + D L\,(\lambda - \lambda_0)",
)
def delay_over_a_day(effort: float) -> Evidence:
    """Pairs of which the signal passes 8.8 km of fibre (43.1 us, 37 ps/(km K), a daily swing of 1 K, 17
    ps/(nm km)), 2 nm off the fibre's reference wavelength: the mean of t_signal - t_idler every three
    hours."""
    km, seconds, tau = 8.8, 0.05 * effort, 300.0
    fibre = Fibre(
        "fibre", km * 1e3, 0.0, 43.1e-6, dispersion_s_per_m2=17e-6, wavelength_m=1550e-9,
        delay_per_kelvin_s=37e-12 * km, temperature_swing_k=1.0,
    )  # fmt: skip
    source = pairs(
        "s",
        ("fibre", "far"),
        "near",
        biphoton=Gaussian(tau).biphoton,
        signal_wavelength_m=1552e-9,
        modes=np.inf,
    )
    bench = LightBench((source,), ("near", "far"), {"fibres": (fibre,)})
    light = bench.light(430)
    hours = np.arange(0, 25, 3)
    findings = []
    for hour in hours:
        bench.ports.taggers["tagger"].recording = False
        while light.now_ps < hour * 3600 * 10**12:
            light.tune()
            light.settle(6 * 10**14, light.expose(6 * 10**14))
        bench.ports.taggers["tagger"].recording = True
        tags = bench.go_on(light, seconds)
        swing = sin_of_the_day(light.now_ps)
        expected = 43.1e6 + 37 * km * swing + 17 * km * 2.0
        d = differences(tags["near"], tags["far"], 43.1e6 - 5000, 43.1e6 + 6000)
        centre = d[np.abs(d - np.median(d)) < 5 * tau]
        # Chance pairs within 5 tau: R 10 tau = 0.3 %, as wide as the window.
        error = tau * sqrt((1 + 0.003 * 25 / 3) / len(centre))
        findings.append(Figure(f"after {hour} h", expected, float(centre.mean()), error, "ps"))
    light.close()
    t = np.linspace(0, 24, 200)
    return Evidence(
        tuple(findings),
        Plot(
            "time of day (h)",
            "delay − 43.1 µs (ps)",
            (Line("formula", t, 37 * km * np.sin(2 * pi * t / 24) + 34 * km),),
            (
                Points(
                    "simulated",
                    hours.astype(float),
                    np.array([f.found for f in findings]) - 43.1e6,
                    np.array([f.error for f in findings]),
                ),
            ),
        ),
    )


def sin_of_the_day(now_ps: int) -> float:
    return float(np.sin(2 * pi * (now_ps * 1e-12) / 86400))


@CHAPTER.check(
    "An etalon against its temperature",
    r"T(\vartheta) = \frac{T_0}{1 + 4\left(\frac{k(\vartheta - \vartheta_0) + \nu_0 - \nu}{\Delta}\right)^2}",
)
def etalon(effort: float) -> Evidence:
    """Laser light of 1e6 photons per second, 0.4 GHz above the nominal carrier, through an etalon of 1 GHz
    (FWHM), peak transmission 0.8, 0.3 GHz off at its reference temperature, which moves by -2 GHz/K."""
    seconds, width, peak, offset, slope, carrier = 0.1 * effort, 1e9, 0.8, 3e8, -2e9, 4e8
    line = Filter("etalon", "lorentzian", width, peak, offset, slope, 298.15, "oven")
    beam = Beam("beam", "laser", WAVELENGTH_M, (1, 0), ("etalon", "d"))
    warmer = np.linspace(-1.0, 1.0, 11)
    findings: list[Finding] = []
    found = []

    def passed(kelvin: Floats) -> Floats:
        return peak / (1 + 4 * ((slope * kelvin + offset - carrier) / width) ** 2)

    for k, kelvin in enumerate(warmer):
        bench = LightBench((beam,), ("d",), {"filters": (line,)})
        bench.ports.lasers["laser"] = LaserPort(laser_w(1e6), carrier)
        bench.ports.temperatures["oven"] = TemperaturePort(298.15 + kelvin)
        found.append(sum(len(tags["d"]) for tags in watched(bench, seconds, 440 + k)))
        findings.append(count(f"{kelvin:+.1f} K", float(1e6 * seconds * passed(kelvin)), found[-1]))
    t = np.linspace(-1.1, 1.1, 200)
    return Evidence(
        tuple(findings),
        Plot(
            "temperature above the reference (K)",
            "transmission",
            (Line("formula", t, passed(t)),),
            (
                Points(
                    "simulated",
                    warmer,
                    np.array(found) / seconds / 1e6,
                    np.sqrt(passed(warmer) / seconds / 1e6),
                ),
            ),
        ),
    )
