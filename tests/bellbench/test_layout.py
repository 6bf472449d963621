"""The layout that a testbed file describes: what the file and its simulation say, in SI units, on the right
thing."""

from math import inf, pi
from pathlib import Path

import click
import numpy as np
import pytest

from bellbench.layout import layout_of
from bellbench.simulation import bench_of
from benchmarks.world import operating
from experiments.config.click_rates import click_rates
from experiments.config.files import load_testbed
from experiments.config.testbed import Testbed
from sim_instruments.ports import LaserPort
from sim_instruments.world.layout import (
    Analyser,
    Attenuator,
    Beam,
    BellStateMeasurement,
    Biphoton,
    ClassicalChannel,
    Clock,
    Controller,
    DelayLine,
    Detector,
    Emitter,
    Fibre,
    Filter,
    Gate,
    Layout,
    PairSource,
    Plate,
    Pulses,
    Sensor,
    Shutter,
    Splitter,
    Switch,
    Tagger,
)
from sim_instruments.world.light_field import LightField
from tests.experiments.switchyard import announce_toys

ROOT = Path(__file__).parents[2]
TESTBEDS = sorted(path.stem for path in (ROOT / "configs/testbeds").glob("*.yaml"))


def shipped(name: str) -> Testbed:
    return load_testbed(ROOT / f"configs/testbeds/{name}.yaml").testbed


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch) -> Layout:
    announce_toys(monkeypatch)
    testbed = load_testbed(ROOT / "tests/experiments/switchyard.yaml").testbed
    assert testbed.simulation is not None
    return layout_of(testbed, testbed.simulation)


def test_sources_have_their_state_statistics_and_pulses(yard: Layout) -> None:
    (source,) = (light for light in yard.lights if isinstance(light, PairSource))
    assert (source.name, source.pump, source.pump_power_w) == ("source", "pump", 10e-3)
    # 88 % Psi-, 2 % white, 10 % without coherence
    assert source.state.diagonal() == pytest.approx([0.005, 0.495, 0.495, 0.005])
    assert source.state[1, 2] == pytest.approx(-0.44)
    assert source.biphoton == Biphoton("gaussian", 1e-12)
    assert (source.signal_path, source.idler_path) == (("etalon", "halves"), ("plate", "line", "yard.1"))
    assert (source.pair_rate_hz, source.signal_transmission, source.idler_transmission) == (1e6, 0.5, 0.4)
    assert (source.unpaired_signal_hz, source.unpaired_idler_hz) == (1e5, 2e5)
    assert source.pulses == Pulses(12.5e-9, 3e-12)
    assert source.modes == 1.5
    assert (source.signal_wavelength_m, source.idler_wavelength_m) == (795e-9, 1324e-9)
    assert (source.carrier_offset_hz, source.detuning_per_pump_hz) == (-10e6, 0.5)


def test_beams_and_emitters(yard: Layout) -> None:
    tap, faint, pilot = (light for light in yard.lights if isinstance(light, Beam))
    assert tap == Beam("tap", "pump", 780e-9, (1, 0), ("meter",), fraction=0.01)
    assert faint.path == ("attenuator", "shutter", "hub.b")
    assert (faint.pulses, faint.linewidth_hz) == (Pulses(1e-7, 1e-10), 2e6)
    assert pilot.polarization == pytest.approx((3**0.5 / 2, 0.5))
    dot, ion = (light for light in yard.lights if isinstance(light, Emitter))
    assert dot.polarization == pytest.approx((0.5**0.5, 0.5**0.5 * 1j))
    assert (dot.lifetime_s, dot.transmission, dot.brightness, dot.g2) == (1e-9, 0.1, 0.5, 0.02)
    assert (dot.pulses, dot.background_hz, dot.carrier_offset_hz) == (Pulses(12.5e-9, 0.0), 3e3, 5e6)
    assert (dot.laser, dot.laser_power_w) == ("probe", 1e-3)
    assert ion == Emitter("ion", 7e-9, (1, 0), (), pump_time_s=13e-9, wavelength_m=800e-9)


def test_what_light_passes(yard: Layout) -> None:
    degree = pi / 180
    assert yard.fibres == (
        Fibre(
            "span",
            length_m=20e3,
            loss_db=20 * 0.2 + 1,
            delay_s=98e-6,
            polarization_diffusion=1e-4,
            jump_rate_hz=1e-3,
            jump_angle_rad=0.2,
            scrambled=True,
            pdl_db=0.3,
            pmd_s=0.5e-12,
            dispersion_s_per_m2=17e-6,
            wavelength_m=1550e-9,
            delay_per_kelvin_s=740e-12,
            temperature_swing_k=2.0,
            temperature_noise_k=0.1,
            temperature_correlation_s=1800.0,
            classical=ClassicalChannel(
                pytest.approx(1.0641e-3, rel=1e-4), 1561e-9, 1e-3, 0.5e-9, "backward", "probe", 2e-3
            ),
        ),
    )
    assert yard.controllers == (Controller("paddles", 0.9, (0.01, -0.02), (degree,)),)
    assert yard.plates == (Plate("plate", "plate_mount", "half", 10 * degree, degree, 0.98),)
    assert yard.attenuators == (Attenuator("attenuator"),)
    assert yard.shutters == (Shutter("shutter", 0.5, 40.0),)
    assert yard.delay_lines == (DelayLine("line", 2.0),)
    assert yard.filters == (Filter("etalon", "lorentzian", 1e9, 0.8, 500e6, -1.5e9, 300.0, "heater"),)
    assert yard.splitters == (
        Splitter("halves", "plain", ("herald",), ("cube",), reflectivity=0.4, transmission=0.95),
        Splitter("cube", "polarizing", ("cube_h",), (), extinction=0.01),
    )
    assert yard.switches == (
        Switch("yard", {1: ("hub.a",), 2: ("span", "far_yard.2"), 3: ()}, 1.0, 50.0),
        Switch("far_yard", {1: ("polarimeter",), 2: ("paddles", "analyser")}),
    )


def test_where_light_ends(yard: Layout) -> None:
    degree = pi / 180
    zeros_and_errors = [pytest.approx(x * degree) for x in (1, 2, 3, -4)]
    assert yard.analysers == (
        Analyser("analyser", "qwp", "hwp", ("far_h", "far_v"), 0.85, pytest.approx(1e-3), *zeros_and_errors),
    )
    outputs = ("hub_c", "hub_c", "hub_d", "hub_d")
    assert yard.measurements == (
        BellStateMeasurement("hub", outputs, 0.8, 0.9, 0.45, pytest.approx(10**-2.5)),
    )
    assert yard.sensors == (Sensor("meter", 15e-12, 20.0),)


def test_detectors_have_control_gate_and_tail(yard: Layout) -> None:
    herald, cube_h, hub_c, hub_d, far_h, _ = yard.detectors
    assert herald == Detector(
        "herald", "lab_tagger", 1, 0.6, 500.0, 150e-12, 25e-9,
        kind="avalanche_diode", jitter_tail=0.1, jitter_tail_s=400e-12, max_rate_hz=10e6, ambient_hz=100.0,
        gate=Gate(100e-9, 20e-9, 5e-9),
    )  # fmt: skip
    assert (cube_h.control, cube_h.operating_excess_v, cube_h.operating_temperature_k) == (
        ("unit", 1),
        5,
        243,
    )
    assert (cube_h.afterpulsing, cube_h.afterpulse_time_s) == (0.01, 30e-9)
    assert (hub_c.control, hub_c.operating_bias_a, hub_c.switching_current_a) == (("unit", 2), 17e-6, 19e-6)
    assert hub_c.gate is not None
    assert hub_d.gate is not None
    assert hub_c.gate.generator == hub_d.gate.generator == ("generator", 2)
    assert far_h == Detector("far_h", "far_tagger", 1, 0.8, 0.0, 38e-12, 0.0)


def test_taggers_share_a_clock_or_have_their_own(yard: Layout) -> None:
    lab, spare, far = yard.taggers
    clock = Clock("lab_clock", 1e-10, 1e-12)
    assert lab == Tagger("lab_tagger", clock, 1.0, 4, 2e-9, 8e6, 1_000_000)
    assert spare == Tagger("spare_tagger", clock)
    assert spare.max_rate_hz == inf
    assert (far.clock.frequency_error, far.clock.phase_walk, far.clock.frequency_walk) == (1e-7, 2e-12, 1e-12)
    assert far.clock.name != clock.name


@pytest.mark.parametrize(("name", "signal_hz", "idler_hz"), [("nyc", 100e3, 20e3), ("local", 300e3, 200e3)])
def test_unpaired_light_makes_the_counts_of_the_parameter_sets(
    name: str, signal_hz: float, idler_hz: float
) -> None:
    """physics.md 5: unpaired counts at a spoke's two detectors, and half of the hub's background."""
    testbed = shipped(name)
    truth = testbed.simulation
    assert truth is not None
    source = truth.sources["alice_source"]
    hub = truth.bell_state_measurements["hub_bsm"].transmission * truth.detectors["hub_ch"].efficiency
    spoke = truth.analysers["alice_analyser"].transmission * truth.detectors["alice_h"].efficiency
    fibre_db = 8.8 * 0.425 + 3.0 if name == "nyc" else 0.0
    assert source.unpaired_signal_rate * source.signal_transmission * spoke == pytest.approx(
        signal_hz, rel=1e-6
    )
    assert source.unpaired_idler_rate * source.idler_transmission * 10 ** (
        -fibre_db / 10
    ) * hub == pytest.approx(idler_hz, rel=1e-6)


@pytest.mark.parametrize("name", TESTBEDS)
def test_every_shipped_testbed_can_be_simulated(name: str) -> None:
    """Errors in the file, models without a simulator, and light that cannot be followed would raise."""
    bench = bench_of(shipped(name), seed=1)
    bench.light.tune()
    bench.light.close()
    assert set(bench.light.singles_hz) == set(shipped(name).detectors)


@pytest.mark.parametrize("name", ["nyc", "local", "one_source", "star", "chain"])
def test_expected_click_rates_are_those_of_the_light_field(name: str) -> None:
    """The hand formulas that `check` prints against the chain of Jones matrices, detectors and backgrounds;
    afterpulses, half a per cent of the diodes' clicks, are only in the first."""
    testbed = shipped(name)
    assert testbed.simulation is not None
    layout = layout_of(testbed, testbed.simulation)
    ports = operating(layout)
    for beam in testbed.beams.values():
        ports.lasers.setdefault(beam.laser, LaserPort())
    expected = click_rates(testbed, testbed.simulation, {n: port.power_w for n, port in ports.lasers.items()})
    light = LightField(layout, ports, seed=1)
    light.tune()
    light.close()
    for detector, rate in light.singles_hz.items():
        afterpulses = 1 + testbed.simulation.detectors[detector].afterpulsing
        assert rate * afterpulses == pytest.approx(expected[detector], rel=1e-4), detector


def test_light_that_the_bench_cannot_follow_is_a_usage_error() -> None:
    """Past the checks of the file."""
    testbed = shipped("local")
    source = testbed.sources["alice_source"].model_copy(update={"idler": ("nowhere",)})
    broken = testbed.model_copy(update={"sources": testbed.sources | {"alice_source": source}})
    with pytest.raises(click.UsageError, match=r"testbed local cannot be simulated: .*nowhere"):
        bench_of(broken, seed=1)


def test_an_instrument_without_a_simulator_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    announce_toys(monkeypatch)
    testbed = load_testbed(ROOT / "tests/experiments/switchyard.yaml").testbed
    with pytest.raises(click.UsageError, match="pump: model toy_laser has no simulator on the bench"):
        bench_of(testbed, seed=1)


def test_a_werner_state_arrives_as_a_matrix() -> None:
    testbed = shipped("nyc")
    assert testbed.simulation is not None
    layout = layout_of(testbed, testbed.simulation)
    (alice, _) = (light for light in layout.lights if isinstance(light, PairSource))
    phi = np.array([1, 0, 0, 1]) / np.sqrt(2)
    assert phi @ alice.state @ phi == pytest.approx(0.98)
    taps = [light for light in layout.lights if isinstance(light, Beam)]
    assert [(tap.laser, tap.path, tap.fraction) for tap in taps] == [
        ("alice_pump", ("alice_pump_meter",), 0.01),
        ("bob_pump", ("bob_pump_meter",), 0.01),
    ]
