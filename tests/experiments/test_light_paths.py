"""Light paths that branch, and what else a testbed says of light: what is wrong is said at its place."""

from math import pi
from pathlib import Path

import pytest

from experiments.config.click_rates import click_rates
from experiments.config.files import load_testbed
from experiments.config.lightpaths import Stage, ends, source_into, stages
from experiments.config.problems import ConfigError
from experiments.config.testbed import Testbed
from tests.experiments.switchyard import announce_toys

SWITCHYARD = Path(__file__).with_name("switchyard.yaml")


class Yard:
    """A copy of the switchyard, to be broken."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.text = SWITCHYARD.read_text()

    def edit(self, old: str, new: str) -> None:
        assert old in self.text, f"{old!r} is not in the switchyard"
        self.text = self.text.replace(old, new, 1)

    def testbed(self) -> Testbed:
        self.file.write_text(self.text)
        return load_testbed(self.file).testbed

    def problems(self) -> list[str]:
        """All problems, without the name of the file."""
        try:
            self.testbed()
        except ConfigError as error:
            return [str(problem).removeprefix(f"{self.file}:") for problem in error.problems]
        return []

    def place(self, fragment: str) -> str:
        """`line:column` of the first occurrence of a fragment, at the ^ in it."""
        at = self.text.index(fragment.replace("^", "")) + max(fragment.find("^"), 0)
        return f"{self.text.count(chr(10), 0, at) + 1}:{at - self.text.rfind(chr(10), 0, at)}"


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    announce_toys(monkeypatch)
    return Yard(tmp_path / "yard.yaml")


def test_one_of_everything_is_free_of_errors(yard: Yard) -> None:
    assert yard.problems() == []


WRONG = [
    # where light is, ends and divides
    ("idler: [plate, line, yard.1]", "idler: [span, plate, line, yard.1]", "[span, ^plate",
     "sources.source.idler[1]: 'plate' begins at lab, the light is at far there"),
    ("2: [span, far_yard.2]", "2: [far_yard.2]", "[^far_yard.2]",
     "switches.yard.outputs.2[0]: 'far_yard.2' begins at far, the light is at lab there"),
    ("reflected: [cube]", "reflected: [paddles, analyser]", "[^paddles",
     "splitters.halves.reflected[0]: 'paddles' begins at far, the light is at lab there"),
    ("transmitted: [cube_h]", "transmitted: [far_h]", "transmitted: [^far_h]",
     "splitters.cube.transmitted[0]: 'far_h' begins at far, the light is at lab there"),
    ("[etalon, halves]", "[halves, etalon]", "[^halves, etalon]",
     "sources.source.signal[0]: 'halves' divides the light; what stands behind it belongs to its outputs"),
    ("[etalon, halves]", "[etalon]", "[^etalon]", "sources.source.signal[0]: the light ends at 'etalon'; "
     "allowed at the end: analyser, hub.a, hub.b, halves, cube, yard.1, yard.2, yard.3, far_yard.1, "
     "far_yard.2, far_yard.3, meter, polarimeter, or a detector"),
    # words that mean nothing to light
    ("[plate, line, yard.1]", "[plate_mount, line, yard.1]", "[^plate_mount",
     "sources.source.idler[0]: 'plate_mount' is a RotationMount, which light does not meet; "
     "did you mean 'plate', the wave plate in it?"),
    ("[plate, line, yard.1]", "[plate, line, yard]", "line, ^yard]",
     "sources.source.idler[2]: 'yard' is no input of a switch; allowed: yard.1, yard.2, yard.3; did"),
    ("[plate, line, yard.1]", "[plate, line, yard.4]", "line, ^yard.4]",
     "sources.source.idler[2]: 'yard.4' is no input of a switch; allowed: yard.1, yard.2, yard.3; did"),
    ("path: [meter]", "path: [meter.1]", "[^meter.1]",
     "beams.tap.path[0]: 'meter.1' is a PowerMeter, which light does not meet; allowed: "),
    ("path: [meter]", "path: [metre]", "[^metre]",
     "beams.tap.path[0]: 'metre' is nothing that light meets; "),
    # the same thing twice
    ("ion: {node: lab, wavelength: 800 nm, path: []", "ion: {node: lab, wavelength: 800 nm, path: [yard.1]",
     "path: [^yard.1]", "emitters.ion.path[0]: 'yard.1' stands in the idler of source already"),
    ("1: [polarimeter]", "1: [paddles, polarimeter]", "2: [^paddles, analyser]",
     "switches.far_yard.outputs.2[0]: 'paddles' stands in output 1 of far_yard already"),
    ("transmitted: [cube_h]", "transmitted: [halves]", "transmitted: [^halves]",
     "splitters.cube.transmitted[0]: 'halves' stands in the signal of source already"),
    ("transmitted: [herald]", "transmitted: [hub_d]", "transmitted: [^hub_d]",
     "splitters.halves.transmitted[0]: 'hub_d' is used twice; it is the output dH of hub already"),
    ("dH: hub_d,", "dH: hub_c,", "dH: ^hub_c",
     "bell_state_measurements.hub.outputs.dH: 'hub_c' is used twice; it is the output cH of hub already"),
    ("plate: {mount: plate_mount", "plate: {mount: hwp", "mount: ^hwp",
     "wave_plates.plate.mount: 'hwp' is used twice; it is the hwp of analyser already"),
    ("taggers: [lab_tagger, spare_tagger]", "taggers: [lab_tagger, lab_tagger]", "[lab_tagger, ^lab_tagger]",
     "clocks.lab_clock.taggers[1]: 'lab_tagger' is used twice; it is the tagger of lab_clock already"),
    ("fibres:\n  span:", "fibres:\n  source: {from: lab, to: far, length: 0}\n  span:", "^source: {from",
     "fibres.source: 'source' is the name of sources.source already"),
    # instruments of the right kind
    ("yard: {outputs", "meter: {outputs", "^meter: {outputs",
     "switches.meter: 'meter' is a PowerMeter, here stands an OpticalSwitch; allowed: yard, far_yard"),
    ("3: []", "7: []", "^7: []", "switches.yard.outputs.7: yard has no output 7; allowed: 1, 2, 3"),
    ("heater: heater", "heater: meter", "heater: ^meter",
     "filters.etalon.heater: 'meter' is a PowerMeter, here stands a TemperatureController; allowed: heater"),
    ("monitor: monitor", "monitor: meter", "monitor: ^meter",
     "clocks.lab_clock.monitor: 'meter' is a PowerMeter, here stands a ClockMonitor; allowed: monitor"),
    ("gate: generator.2", "gate: generator.3", "gate: ^generator.3",
     "detectors.hub_c.gate: 'generator.3' does not exist; allowed: generator.1, generator.2"),
    ("laser: probe, polarization: R", "laser: meter, polarization: R", "laser: ^meter, polarization",
     "emitters.dot.laser: 'meter' is a PowerMeter, here stands a Laser; allowed: pump, probe"),
    ("polarization: 30 deg", "polarization: X", "polarization: ^X", "beams.pilot.polarization: 'X' is no "
     "polarization; allowed: H, V, D, A, R, L, or the angle of linear light from H, like 22.5 deg"),
    # the hidden truth
    ("      pulse_width: 3 ps\n", "", "sources:\n    ^source:\n      pair_rate",
     "simulation.sources.source: source is pulsed; it needs pulse_width"),
    ("    repetition_rate: 80 MHz\n", "", "pulse_width: ^3 ps",
     "simulation.sources.source.pulse_width: source has no repetition_rate, so it is not pulsed; leave "),
    ("tau_signal: 1 ps}", "tau_signal: 1 ps, tau_idler: 1 ps}", "tau_idler: ^1 ps",
     "simulation.sources.source.biphoton.tau_idler: a gaussian biphoton has only tau_signal"),
    ("modes: 1.5", "statistics: poisson\n      modes: 1.5", "modes: ^1.5",
     "simulation.sources.source.modes: pairs of Poisson statistics have no modes; leave modes out"),
    ("  beams:\n    faint: {linewidth: 2 MHz, pulse_width: 100 ps}\n", "", "simulation:\n  ^",
     "simulation.beams: beam 'faint' is pulsed and missing; it needs pulse_width"),
    ("brightness: 0.5, ", "", "^dot: {lifetime",
     "simulation.emitters.dot: dot is pulsed; it needs brightness"),
    ("laser_power: 1 mW, ", "", "^dot: {lifetime",
     "simulation.emitters.dot: dot has a laser; it needs laser_power"),
    ("pump_time: 13 ns", "pump_time: 13 ns, g2: 0.1", "g2: ^0.1",
     "simulation.emitters.ion.g2: ion is excited continuously, so its g2(0) is 0; leave g2 out"),
    ("laser: probe, laser_power: 2 mW", "laser: meter, laser_power: 2 mW", "laser: ^meter, laser_power",
     "simulation.fibres.span.classical_channel.laser: 'meter' is a PowerMeter, here stands a Laser; "),
    ("    etalon: {shape", "    etalom: {shape", "^etalom",
     "simulation.filters.etalom: 'etalom' is no filter of this testbed; allowed: etalon; did "),
    ("    shutter: {insertion", "    line: {insertion", "  ^line: {insertion_loss: 0.5",
     "simulation.shutters.line: 'line' is no shutter of this testbed; allowed: shutter"),
    ("far_tagger: {start_latency: 5 ms, frequency_error: 1e-7", "far_tagger: {start_latency: 5 ms",
     "^far_tagger: {start_latency",
     "simulation.taggers.far_tagger: far_tagger shares no clock, so it has its own; it needs "),
    ("spare_tagger: {start_latency: 5 ms}", "spare_tagger: {start_latency: 5 ms, frequency_error: 0}",
     "frequency_error: ^0}",
     "simulation.taggers.spare_tagger.frequency_error: spare_tagger runs on the clock lab_clock; "),
    ("  clocks:\n    lab_clock: {frequency_error: 1e-10", "  clocks:\n    lab_clok: {frequency_error: 1e-10",
     "^lab_clok", "simulation.clocks.lab_clok: 'lab_clok' is no clock of this testbed; allowed: lab_"),
    ("operating_excess_voltage: 5 V", "operating_bias: 5 uA", "operating_bias: ^5 uA",
     "simulation.detectors.cube_h.operating_bias: cube_h is an avalanche diode; leave operating_bias out"),
    (", operating_excess_voltage: 5 V", "", "^cube_h: {kind",
     "simulation.detectors.cube_h: cube_h is a channel of unit; it needs operating_excess_voltage"),
    ("model: toy_unit, address: sim", "model: sfifteen_spd, address: sim, settings: {max_bias_voltage: 9 V}",
     "^hub_c: {efficiency",
     "simulation.detectors.hub_c: hub_c is a nanowire, but a channel of unit, which is a DiodeBias"),
    (", width: 20 ns, phase", ", width: 200 ns, phase", "width: ^200 ns",
     "simulation.detectors.herald.gate.width: longer than the period, so that the gate never closes"),
    ("hub_d: {efficiency", "hub_d: {gate: {period: 1 us, width: 1 ns}, efficiency", "gate: ^{period: 1 us",
     "simulation.detectors.hub_d.gate: generator gates hub_d; leave gate out here"),
    ("jitter_tail_time: 400 ps, ", "", "jitter_tail: ^0.1",
     "simulation.detectors.herald.jitter_tail: jitter_tail without jitter_tail_time; it is needed with it"),
    ("{bell: Psi-, white_noise: 2 %, coloured_noise: 10 %}", "{bell: Psi-}", "state: ^{bell",
     "simulation.sources.source.state: say how good it is: fidelity, white_noise and coloured_noise, or a"),
    ("{bell: Psi-, white_noise: 2 %,", "{bell: Psi-, fidelity: 0.9, white_noise: 2 %,", "state: ^{bell",
     "simulation.sources.source.state: noise is given by the fidelity or by its parts, not by both"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "message"), WRONG)
def test_what_is_wrong_is_said_at_its_place(yard: Yard, old: str, new: str, place: str, message: str) -> None:
    yard.edit(old, new)
    expected, problems = f"{yard.place(place)}: {message}", yard.problems()
    assert any(problem.startswith(expected) for problem in problems), "\n".join([expected, *problems])


def test_a_switch_in_a_path_needs_its_outputs_said(yard: Yard) -> None:
    yard.edit("  far_yard: {outputs: {1: [polarimeter], 2: [paddles, analyser]}}\n", "")
    assert all("far_yard has no section in switches" in problem for problem in yard.problems())
    assert len(yard.problems()) == 2


def test_a_beam_that_splitters_send_round_is_refused(yard: Yard) -> None:
    """Two splitters that no photon reaches, each behind the other."""
    yard.edit("splitters:\n", "splitters:\n  there: {node: lab, kind: plain, transmitted: [back]}\n")
    yard.edit("splitters:\n", "splitters:\n  back: {node: lab, kind: plain, reflected: [there]}\n")
    assert yard.problems() == []
    yard.edit("path: [meter]", "path: [there]")
    (problem,) = yard.problems()
    assert problem == (
        f"{yard.place('reflected: [^there]')}: splitters.back.reflected[0]: "
        "light comes to 'there' a second time here"
    )


def test_beams_share_fibres_with_photons_and_photons_with_nobody(yard: Yard) -> None:
    yard.edit("path: [meter]", "path: [plate, line, yard.1]")  # as the idler of the source does
    assert yard.problems() == []
    yard.edit(
        "ion: {node: lab, wavelength: 800 nm, path: []",
        "ion: {node: lab, wavelength: 800 nm, path: [etalon, herald]",
    )
    assert len(yard.problems()) == 2


def test_light_can_end_behind_every_output(yard: Yard) -> None:
    testbed = yard.testbed()
    assert stages(testbed, ("span", "far_yard.2")) == (
        Stage("fibre", "span"),
        Stage("switch", "far_yard", "2"),
    )
    assert ends(testbed, testbed.sources["source"].idler) == {"hub.a", "polarimeter", "analyser"}
    assert ends(testbed, testbed.sources["source"].signal) == {"herald", "cube_h"}
    assert source_into(testbed, "idler", "analyser") == "source"
    assert source_into(testbed, "signal", "analyser") is None


def test_light_that_a_switch_can_send_round_for_ever_is_followed_once(yard: Yard) -> None:
    yard.edit("  heater:", "  ring: {node: lab, model: toy_switch, address: sim}\n  heater:")
    yard.edit("switches:\n", "switches:\n  ring: {outputs: {1: [ring.1], 2: [meter]}}\n")
    yard.edit("path: [meter]", "path: [ring.1]")
    testbed = yard.testbed()
    assert testbed.simulation is not None
    assert ends(testbed, testbed.beams["tap"].path) == {"meter"}
    assert click_rates(testbed, testbed.simulation, {"pump": 1e-3})["far_h"] > 0


def test_click_rates_multiply_losses_along_every_branch(yard: Yard) -> None:
    """By hand, from the numbers in the file; the pump at half of its power."""
    testbed = yard.testbed()
    assert testbed.simulation is not None
    dark = click_rates(testbed, testbed.simulation, {"pump": 5e-3})
    lit = click_rates(testbed, testbed.simulation, {"pump": 5e-3, "probe": 0.5e-3})
    signal = 0.5 * (1e6 + 1e5) * 0.5 * 0.8 / 2  # the etalon stands half a linewidth off: half of its peak
    herald = (signal * 0.95 * 0.6 * 0.6 + 500 + 100) * 20 / 100
    assert dark["herald"] == pytest.approx(herald / (1 + herald * 25e-9))
    assert dark["cube_h"] == pytest.approx((signal * 0.95 * 0.4 / 2 * 0.6 + 500) * 1.01)
    idler = 0.5 * (1e6 + 2e5) * 0.4 * 0.98 * 10**-0.2 * 10**-0.1 * 0.8
    hub_c = idler * 0.55 * 0.9 + 100
    assert dark["hub_c"] == pytest.approx(hub_c / (1 + hub_c * 20e-9))
    assert dark["hub_d"] == pytest.approx(idler * 0.45 * 0.9 + 100)
    far = 10 ** -(0.1 + 0.5) * 0.9 * 0.85 / 2
    assert dark["far_h"] == pytest.approx(3e3 * far * 0.8)  # the dot's background needs no laser
    assert lit["far_v"] == pytest.approx((80e6 * 0.25 * 0.1 + 3e3) * far * 0.7)
    assert lit["herald"] == dark["herald"]
    # 0.5 mW at 1324 nm are 3.332585e15 photons/s; 60 dB at the attenuator, 0.5 dB at the shutter, input b.
    faint = 3.332585e15 * 1e-6 * 10**-0.05 * 0.8 * 0.9
    assert lit["hub_d"] - dark["hub_d"] == pytest.approx(faint * 0.55, rel=1e-5)


def test_a_polarization_is_a_letter_or_an_angle(yard: Yard) -> None:
    beams = yard.testbed().beams
    assert beams["tap"].polarization.jones == (1, 0)
    assert beams["faint"].polarization.jones == pytest.approx((0.5**0.5, 0.5**0.5))
    assert beams["pilot"].polarization.jones == pytest.approx((3**0.5 / 2, 0.5))
    assert yard.testbed().emitters["dot"].polarization.jones == pytest.approx((0.5**0.5, 0.5**0.5 * 1j))
    truth = yard.testbed().simulation
    assert truth is not None
    assert truth.controllers["paddles"].axis_errors == (pytest.approx(pi / 180),)
