"""What light passes, against closed formulas and Mueller calculus."""

from math import cos, exp, pi, sin, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_instruments.ports import (
    AttenuatorPort,
    DelayPort,
    LaserPort,
    MeterPort,
    PlatesPort,
    PolarimeterPort,
    Ports,
    RotationPort,
    ShutterPort,
    TemperaturePort,
)
from sim_instruments.world.ends import AtDetector, AtHub, AtMeter, AtPolarimeter
from sim_instruments.world.layout import (
    Analyser,
    Attenuator,
    BellStateMeasurement,
    ClassicalChannel,
    Controller,
    DelayLine,
    Fibre,
    Filter,
    Plate,
    Shutter,
    Splitter,
)
from sim_instruments.world.polarization import stokes
from tests.sim_instruments.optical_bench import Bench, weights


def linear(angle: float) -> tuple[float, float]:
    return cos(angle), sin(angle)


def test_a_fibre_loses_and_holds_light() -> None:
    bench = Bench(("f", "d"), Ports(), fibres=(Fibre("f", 8.8e3, 3.74, 43.1e-6),))
    assert bench.transmission() == pytest.approx(10**-0.374)
    assert bench.leaf().delay_ps == pytest.approx(43.1e6)
    assert bench.leaf().end == AtDetector("d")


def test_a_carrier_off_its_wavelength_sees_the_fibres_dispersion_and_mode_dispersion() -> None:
    """100 GHz at 1550 nm are 0.8010 nm: 17 ps/(nm km) over 50 km delay by -681 ps. 1 ps of differential group
    delay turns by 0.2 pi."""
    fibre = Fibre("f", 50e3, 0.0, 245e-6, pmd_s=1e-12, dispersion_s_per_m2=17e-6, wavelength_m=1550e-9)
    bench = Bench(("f", "d"), Ports(), fibres=(fibre,))
    at, off = bench.leaf(0.0, 1550e-9), bench.leaf(100e9, 1550e-9)
    assert off.delay_ps - at.delay_ps == pytest.approx(-681, abs=1)
    assert abs(np.trace(off.matrix @ at.matrix.conj().T)) / 2 == pytest.approx(cos(0.1 * pi))


def test_an_attenuator_and_its_shutter() -> None:
    port = AttenuatorPort(3.0)
    bench = Bench(("v", "d"), Ports(attenuators={"v": port}), attenuators=(Attenuator("v"),))
    assert bench.transmission() == pytest.approx(10**-0.3)
    port.open = False
    assert bench.leaves() == ()


def test_a_shutter_keeps_back_its_extinction() -> None:
    port = ShutterPort(open=True)
    bench = Bench(("s", "d"), Ports(shutters={"s": port}), shutters=(Shutter("s", 1.0, 40.0),))
    assert bench.transmission() == pytest.approx(10**-0.1)
    port.open = False
    assert bench.transmission() == pytest.approx(10**-4.1)


def test_a_delay_line() -> None:
    ports = Ports(delays={"l": DelayPort(330e-12)})
    bench = Bench(("l", "d"), ports, delay_lines=(DelayLine("l", 0.5),))
    assert bench.leaf().delay_ps == pytest.approx(330.0)
    assert bench.transmission() == pytest.approx(10**-0.05)


@pytest.mark.parametrize("shape", ["lorentzian", "gaussian"])
def test_a_filters_line_is_half_as_high_at_half_its_width_and_moves_with_temperature(shape: str) -> None:
    heater = TemperaturePort(298.15)
    etalon = Filter("e", shape, 1e9, 0.8, centre_offset_hz=0.3e9, hz_per_kelvin=-2e9, heater="oven")  # type: ignore[arg-type]
    bench = Bench(("e", "d"), Ports(temperatures={"oven": heater}), filters=(etalon,))
    assert bench.transmission(0.3e9) == pytest.approx(0.8)
    assert bench.transmission(0.8e9) == pytest.approx(0.4)
    assert bench.transmission(-0.2e9) == pytest.approx(0.4)
    # A whole width off: 1/(1 + 4) of a Lorentzian's height, 1/16 of a Gaussian's.
    assert bench.transmission(1.3e9) == pytest.approx(0.16 if shape == "lorentzian" else 0.05)
    heater.temperature_k += 0.5  # by -1 GHz
    assert bench.transmission(-0.7e9) == pytest.approx(0.8)


def test_a_controller_is_a_stack_of_retarders_that_differ_from_the_model() -> None:
    """A half-wave plate mirrors linear light at its axis. The first one's stands 0.05 rad off; the second is
    no retarder, whatever its error; the third, set to 0.8 pi, is a half-wave plate by its error of 1/4."""
    port = PlatesPort([(pi, 0.3), (0.0, 1.0), (0.8 * pi, 0.1)])
    controller = Controller("c", 0.7, retardance_errors=(0.0, 0.5, 0.25), axis_errors_rad=(0.05,))
    bench = Bench(("c", "d"), Ports(plates={"c": port}), controllers=(controller,))
    out = bench.leaf().matrix @ np.array([1, 0])
    assert stokes(out)[0] == pytest.approx(0.7)
    angle = 2 * 0.1 - 2 * 0.35
    assert stokes(out)[1:] / 0.7 == pytest.approx([cos(2 * angle), sin(2 * angle), 0.0])


def test_a_controllers_polarizer_stands_in_front_of_its_plates() -> None:
    port = PlatesPort([(pi, pi / 8)], polarizer_rad=pi / 2)
    bench = Bench(("c", "d"), Ports(plates={"c": port}), controllers=(Controller("c"),))
    out = bench.leaf().matrix @ np.array(linear(0.4))
    assert stokes(out) == pytest.approx(sin(0.4) ** 2 * np.array([1, 0, -1, 0]))


def test_a_plate_in_its_mount_has_a_zero_and_a_retardance_error() -> None:
    """With its fast axis at 45 deg a retarder d leaves cos^2(d/2) of H in H."""
    mount = RotationPort(pi / 4 + 0.2)
    plate = Plate("p", "k10", "quarter", zero_rad=0.2, retardance_error_rad=0.1, transmission=0.9)
    bench = Bench(("p", "d"), Ports(rotations={"k10": mount}), plates=(plate,))
    assert abs(bench.leaf().matrix[0, 0]) ** 2 == pytest.approx(0.9 * cos(pi / 4 + 0.05) ** 2)


def analyser_bench(**errors: float) -> tuple[Bench, RotationPort, RotationPort]:
    qwp, hwp = RotationPort(), RotationPort()
    analyser = Analyser("a", "q", "h", ("dh", "dv"), **errors)
    bench = Bench(("a",), Ports(rotations={"q": qwp, "h": hwp}), "dh dv", analysers=(analyser,))
    return bench, qwp, hwp


def test_an_analyser_obeys_malus_with_its_quarter_wave_plate_along() -> None:
    """physics.md, pitfall 3: linear analysis at a needs HWP = a/2 and QWP = a."""
    bench, qwp, hwp = analyser_bench(transmission=0.85, extinction=0.01, qwp_zero_rad=0.3, hwp_zero_rad=-0.2)
    for a, light in ((0.0, 0.3), (pi / 8, -0.7), (1.2, 1.2), (1.0, 1.0 + pi / 2)):
        qwp.angle_rad, hwp.angle_rad = a + 0.3, a / 2 - 0.2
        passed = cos(light - a) ** 2
        seen = bench.clicks(linear(light))
        assert seen["dh"] == pytest.approx(0.85 * (0.99 * passed + 0.01 * (1 - passed)))
        assert seen["dv"] == pytest.approx(0.85 * (0.01 * passed + 0.99 * (1 - passed)))


def test_an_analyser_with_its_quarter_wave_plate_at_45_degrees_tells_the_circular_states() -> None:
    """(1, i)/sqrt 2 has its V a quarter wave behind; along -45 deg the plate makes H or V of it, not both."""
    bench, qwp, _ = analyser_bench()
    qwp.angle_rad = pi / 4
    right, left = (bench.clicks((sqrt(0.5), sign * sqrt(0.5) * 1j)) for sign in (1, -1))
    assert sorted((right["dh"], left["dh"])) == pytest.approx([0.0, 1.0], abs=1e-12)
    assert right["dv"] == pytest.approx(1 - right["dh"])


def test_retardance_errors_of_an_analyser() -> None:
    """The half-wave plate at 22.5 deg with a retardance d leaves H by cos^2(d/2) + cos^2(45 deg) sin^2(d/2);
    the quarter-wave plate along H does nothing to it."""
    bench, _, hwp = analyser_bench(hwp_error_rad=0.2, qwp_error_rad=0.3)
    hwp.angle_rad = pi / 8
    half = (pi + 0.2) / 2
    assert bench.clicks((1, 0))["dh"] == pytest.approx(cos(half) ** 2 + sin(half) ** 2 / 2)


def test_the_ends_of_light() -> None:
    hub = BellStateMeasurement("bsm", ("c", "c", "d", "d"))
    ports = Ports(meters={"pm": MeterPort()}, polarimeters={"pax": PolarimeterPort()})
    bench = Bench((), ports, "c d", measurements=(hub,))
    ends = {
        (): [],
        ("c",): [AtDetector("c")],
        ("bsm.a",): [AtHub("bsm", 0)],
        ("bsm.b",): [AtHub("bsm", 1)],
        ("pm",): [AtMeter("pm")],
        ("pax",): [AtPolarimeter("pax")],
    }
    for path, expected in ends.items():
        leaves = bench.leaves(path)
        assert [leaf.end for leaf in leaves] == expected
        assert all(np.array_equal(leaf.matrix, np.eye(2)) and leaf.noise_hz == 0.0 for leaf in leaves)


def mueller_retarder(retardance: float, axis: float) -> NDArray[np.float64]:
    """Textbook form (e.g. Goldstein, Polarized Light, ch. 5), fast axis at `axis`."""
    c, s = cos(2 * axis), sin(2 * axis)
    cd, sd = cos(retardance), sin(retardance)
    return np.array(
        [
            [1, 0, 0, 0],
            [0, c * c + s * s * cd, c * s * (1 - cd), s * sd],
            [0, c * s * (1 - cd), s * s + c * c * cd, -c * sd],
            [0, -s * sd, c * sd, cd],
        ]
    )


def mueller_polarizer(axis: float) -> NDArray[np.float64]:
    c, s = cos(2 * axis), sin(2 * axis)
    return 0.5 * np.array([[1, c, s, 0], [c, c * c, c * s, 0], [s, c * s, s * s, 0], [0, 0, 0, 0]])


def test_a_whole_chain_is_that_of_mueller_calculus() -> None:
    """Controller with polarizer, half-wave plate, attenuator, polarimeter: 20 random settings and lights."""
    rng = np.random.default_rng(1)
    plates, mount = PlatesPort(), RotationPort()
    ports = Ports(
        plates={"c": plates},
        rotations={"k10": mount},
        attenuators={"v": AttenuatorPort(2.0)},
        polarimeters={"pax": PolarimeterPort()},
    )
    bench = Bench(
        ("c", "p", "v", "pax"),
        ports,
        controllers=(Controller("c", 0.8),),
        plates=(Plate("p", "k10", "half"),),
        attenuators=(Attenuator("v"),),
    )
    for _ in range(20):
        stack = [tuple(pair) for pair in rng.uniform(0, pi, (4, 2))]
        plates.plates = [(float(d), float(a)) for d, a in stack]
        plates.polarizer_rad = float(rng.uniform(0, pi)) if rng.random() < 0.5 else None
        mount.angle_rad = float(rng.uniform(0, pi))
        light = rng.normal(size=2) + 1j * rng.normal(size=2)
        vector = 0.8 * 10**-0.2 * stokes(light)
        if plates.polarizer_rad is not None:
            vector = mueller_polarizer(plates.polarizer_rad) @ vector
        for retardance, axis in stack:
            vector = mueller_retarder(retardance, axis) @ vector
        vector = mueller_retarder(pi, mount.angle_rad) @ vector
        assert stokes(bench.leaf().matrix @ light) == pytest.approx(vector)


def test_the_setting_changes_with_what_light_sees_and_with_nothing_else() -> None:
    ports = Ports(
        plates={"c": PlatesPort([(pi, 0.1)])}, meters={"pm": MeterPort()}, lasers={"idle": LaserPort()}
    )
    fibre = Fibre("f", 1e3, 1.0, 5e-6, polarization_diffusion=1e-5)
    bench = Bench(("f", "c", "pm"), ports, fibres=(fibre,), controllers=(Controller("c"),))
    first, matrix = bench.optics.setting(), bench.leaf().matrix
    ports.meters["pm"].power_w = 1.0
    ports.lasers["idle"].power_w = 1.0
    assert bench.optics.setting() == first
    assert hash(first) == hash(bench.optics.setting())
    ports.plates["c"].plates[0] = (pi, 0.2)
    second = bench.optics.setting()
    assert second != first
    assert not np.allclose(bench.leaf().matrix, matrix)
    bench.fibres["f"].advance(1.0)
    assert bench.optics.setting() != second


def raman_bench(light: LaserPort) -> Bench:
    """An attenuator, a fibre with Raman noise, a filter with a peak of 1/2, a polarizing splitter."""
    channel = ClassicalChannel(1e-3, 1550e-9, 1e-4, 1e-9, laser="transponder")
    return Bench(
        ("v", "f", "filter", "s"),
        Ports(lasers={"transponder": light}, attenuators={"v": AttenuatorPort(0.0)}),
        "dh dv",
        attenuators=(Attenuator("v"),),
        fibres=(Fibre("f", 10e3, 4.0, 49e-6, scrambled=True, classical=channel),),
        filters=(Filter("filter", "lorentzian", 1e9, 0.5),),
        splitters=(Splitter("s", "polarizing", ("dh",), ("dv",)),),
    )


def raman_hz(wavelength_m: float) -> float:
    """At the end of that fibre: 1 mW at 1550 nm, 1e-10 /(km nm), 1 nm, 10 km, 4 dB; anti-Stokes at 300 K."""
    suppression = exp(-1.438777e-2 / 300 * (1 / wavelength_m - 1 / 1550e-9))
    return 7.8028e15 * 1e-10 * 10 * 10**-0.4 * suppression


def test_raman_noise_passes_the_rest_of_the_path_unpolarised_whatever_the_light_does() -> None:
    bench = raman_bench(LaserPort(0.1))
    for attenuation_db, offset_hz in ((0.0, 0.0), (40.0, 5e9)):
        bench.ports.attenuators["v"].attenuation_db = attenuation_db
        noise = {leaf.end: leaf.noise_hz for leaf in bench.leaves(None, offset_hz)}
        expected = pytest.approx(raman_hz(1324e-9) / 4, rel=1e-4)
        assert noise == {AtDetector("dh"): expected, AtDetector("dv"): expected}
    bench.ports.attenuators["v"].open = False
    leaves = bench.leaves()
    assert [leaf.noise_hz for leaf in leaves] == [pytest.approx(raman_hz(1324e-9) / 4, rel=1e-4)] * 2
    assert not any(leaf.matrix.any() for leaf in leaves)


def test_raman_noise_is_handed_out_once_and_to_light_in_its_filter() -> None:
    bench = raman_bench(LaserPort(0.1))
    bench.optics.begin()
    classical, first, second = (
        sum(leaf.noise_hz for leaf in bench.optics.trace(bench.path, wavelength_m).leaves)
        for wavelength_m in (1550e-9, 1325e-9, 1324e-9)
    )
    assert classical == second == 0.0
    assert first == pytest.approx(raman_hz(1325e-9) / 2, rel=1e-4)
    bench.optics.begin()
    assert sum(leaf.noise_hz for leaf in bench.optics.trace(bench.path, 1324e-9).leaves) > 0.0


def test_there_is_no_raman_noise_while_the_classical_laser_is_dark() -> None:
    laser = LaserPort(0.0)
    bench = raman_bench(laser)
    dark = bench.optics.setting()
    assert [leaf.noise_hz for leaf in bench.leaves()] == [0.0, 0.0]
    laser.power_w = 0.1
    assert bench.optics.setting() != dark
    assert weights(bench.leaves()) == pytest.approx(
        {AtDetector("dh"): 10**-0.4 / 4, AtDetector("dv"): 10**-0.4 / 4}
    )
    assert all(leaf.noise_hz > 0.0 for leaf in bench.leaves())
