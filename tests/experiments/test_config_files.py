"""Experiment and testbed files as wholes: what is wrong is said at its place, all of it, in both files."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.catalog import models
from experiments.config.files import (
    LoadedExperiment,
    LoadedTestbed,
    beside_each_other,
    load,
    load_experiment,
    load_testbed,
)
from experiments.config.lightpaths import Stage, source_into, stages
from experiments.config.plan import STEPS, BringUp, CalibrateDelays, MeasureSwapping
from experiments.config.problems import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
EXPERIMENT, TESTBED = "nyc_swapping.yaml", "testbeds/nyc.yaml"
Edit = tuple[str, str]


class Bench:
    """A copy of the shipped NYC files in a folder of its own, to be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "testbeds").mkdir()
        for name in (EXPERIMENT, TESTBED):
            (folder / name).write_text((CONFIGS / name).read_text())

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text, f"{old!r} is no longer in {file}"
        (self.folder / file).write_text(text.replace(old, new, 1))

    def problems(self, file: str = EXPERIMENT) -> list[str]:
        """All problems, with file names as in this module."""
        try:
            load(self.folder / file)
        except ConfigError as error:
            return [str(problem).replace(f"{self.folder}/", "") for problem in error.problems]
        return []

    def place(self, file: str, fragment: str) -> str:
        """`file:line:column` of the first occurrence of a fragment, or of the ^ in it."""
        text = (self.folder / file).read_text()
        at = text.index(fragment.replace("^", "")) + max(fragment.find("^"), 0)
        return f"{file}:{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("name", ["nyc_swapping.yaml", "local_swapping.yaml"])
def test_shipped_experiments_are_free_of_errors(name: str) -> None:
    loaded = load(CONFIGS / name)
    assert isinstance(loaded, LoadedExperiment)
    assert loaded.testbed.simulated
    assert set(loaded.sources) == {str(CONFIGS / name), str(CONFIGS / loaded.experiment.testbed)}


@pytest.mark.parametrize("name", ["nyc.yaml", "local.yaml"])
def test_shipped_testbeds_are_free_of_errors(name: str) -> None:
    assert isinstance(load(CONFIGS / "testbeds" / name), LoadedTestbed)
    assert load_testbed(CONFIGS / "testbeds" / name).testbed.testbed == name.removesuffix(".yaml")


def test_values_arrive_in_si_units() -> None:
    loaded = load_experiment(CONFIGS / EXPERIMENT)
    experiment, testbed = loaded.experiment, loaded.testbed
    assert experiment.swapping.bsm_window == 800e-12
    assert experiment.swapping.spoke_window_centre == 250e-12
    bring_up, calibrate, measure = experiment.plan
    assert isinstance(bring_up, BringUp)
    assert bring_up.bias == {"hub_nanowires": 17e-6}
    assert isinstance(calibrate, CalibrateDelays)
    assert (calibrate.duration, calibrate.search) == (2.0, 10e-3)
    assert isinstance(measure, MeasureSwapping)
    assert (measure.bases, measure.dwell, measure.rounds) == (("ZZ", "XX", "CHSH"), 100.0, 1)
    assert testbed.fibres["alice_fibre"].length == 8800.0
    assert testbed.fibres["alice_fibre"].from_node == "alice"
    assert testbed.detectors["hub_dh"].tagger.instrument == "hub_tagger"
    assert testbed.detectors["hub_dh"].tagger.number == 3
    assert testbed.simulation is not None
    assert testbed.simulation.sources["bob_source"].pair_rate == 9.2e6  # through an alias
    assert testbed.simulation.fibres["alice_fibre"].attenuation == 0.425  # dB/km


def test_light_paths_have_stages_of_known_kinds() -> None:
    testbed = load_testbed(CONFIGS / TESTBED).testbed
    assert stages(testbed, testbed.sources["bob_source"].idler) == (
        Stage("fibre", "bob_fibre"),
        Stage("polarization_controller", "bob_paddles"),
        Stage("bell_state_measurement", "hub_bsm", "b"),
    )
    assert source_into(testbed, "idler", "hub_bsm.a") == "alice_source"
    assert source_into(testbed, "signal", "bob_analyser") == "bob_source"
    assert source_into(testbed, "signal", "hub_bsm.a") is None


def test_the_record_of_a_run_has_plain_si_values_and_defaults() -> None:
    resolved = load_experiment(CONFIGS / EXPERIMENT).resolved
    assert json.loads(json.dumps(resolved)) == yaml.safe_load(yaml.safe_dump(resolved)) == resolved
    assert resolved["experiment"]["plan"][1] == {
        "calibrate_delays": {"duration": 2.0, "search": 0.01, "max_skew": 0.0}
    }
    assert resolved["experiment"]["telemetry"]["root"] == "bellbench"
    assert resolved["testbed"]["fibres"]["alice_fibre"] == {"from": "alice", "to": "hub", "length": 8800.0}
    assert resolved["testbed"]["instruments"]["hub_nanowires"]["settings"]["max_bias"] == 20e-6


WRONG_TESTBEDS = [
    # keys and kinds
    ("length: 8.8 km} # [pub]", "lenght: 8.8 km} # [pub]", "^lenght",
     "fibres.alice_fibre.lenght: unknown key 'lenght'; allowed: from, to, length; did you mean 'length'?"),
    ("alice_pump_meter: {node: alice, model: thorlabs_pm100d,", "alice_pump_meter: {model: thorlabs_pm100d,",
     "^alice_pump_meter: {", "instruments.alice_pump_meter: 'node' is missing; it is needed here"),
    ("safe_order: [alice_pump, bob_pump, hub_nanowires]", "safe_order: alice_pump", "safe_order: ^alice",
     "safe_order: 'alice_pump' is not a list"),
    ("two_sided_exponential", "two_sided_exponental", "^two_sided_exponental",
     "simulation.sources.alice_source.biphoton.shape: 'two_sided_exponental' is not known here; "
     "allowed: two_sided_exponential, gaussian; did you mean 'two_sided_exponential'?"),
    ("tagger: alice_tagger.1}", "tagger: alice_tagger}", "tagger: ^alice_tagger}",
     "detectors.alice_h.tagger: 'alice_tagger' is no channel of an instrument; "
     "write NAME.NUMBER, like hub_tagger.1"),
    ("alice_fibre: {from", "alice fibre: {from", "^alice fibre: {from",
     "fibres.alice fibre: 'alice fibre' is no name; allowed: up to 64 letters, digits and _, a letter first; "
     "for example 'alice_fibre'"),
    # units and ranges
    ("fraction: 1 %", "fraction: 1 W", "^1 W",
     "beams.alice_pump_tap.fraction: 'W' is a unit of power, not of fraction (units of fraction: %)"),
    ("pair_rate: 9.2 MHz", "pair_rate: -9.2 MHz", "^-9.2 MHz",
     "simulation.sources.alice_source.pair_rate: '-9.2 MHz' is out of range; allowed: at least 0"),
    ("frequency_error: 1e-11", "frequency_error: '1e-11'", "^'1e-11'",
     "simulation.taggers.alice_tagger.frequency_error: '1e-11' is not a number"),
    # drivers
    ("model: singlequantum_websq", "model: singlequantum_webqs", "^singlequantum_webqs",
     f"instruments.hub_nanowires.model: unknown model 'singlequantum_webqs'; allowed: {', '.join(models())}; "
     "did you mean 'singlequantum_websq'?"),
    ("channels: 4, max_bias", "chanels: 4, max_bias", "^chanels",
     "instruments.hub_nanowires.settings.chanels: unknown key 'chanels'; "),
    ("max_power: 60 mW", "max_power: 60 nm", "^60 nm",
     "instruments.alice_pump.settings.max_power: 'nm' is a unit of length, not of power"),
    # names
    ("{node: alice, model: toptica_dlcpro", "{node: alise, model: toptica_dlcpro", "^alise",
     "instruments.alice_pump.node: 'alise' is no node of this testbed; allowed: alice, bob, hub; "
     "did you mean 'alice'?"),
    ("from: bob,", "from: bab,", "^bab,", "fibres.bob_fibre.from: 'bab' is no node of this testbed; "),
    ("safe_order: [alice_pump, bob", "safe_order: [alice_pomp, bob", "^alice_pomp",
     "safe_order[0]: 'alice_pomp' is no instrument of this testbed; "),
    ("safe_order: [alice_pump, bob_pump", "safe_order: [alice_pump, alice_pump", "alice_pump, ^alice_pump",
     "safe_order[1]: 'alice_pump' stands in the order already"),
    ("pump: alice_pump\n", "pump: alice_hwp\n", "pump: ^alice_hwp\n",
     "sources.alice_source.pump: 'alice_hwp' is a RotationMount, here stands a Laser; "
     "allowed: alice_pump, bob_pump"),
    ("qwp: alice_qwp", "qwp: alice_pump", "qwp: ^alice_pump",
     "analysers.alice_analyser.qwp: 'alice_pump' is a Laser, here stands a RotationMount; "
     "allowed: alice_qwp, alice_hwp, bob_qwp, bob_hwp"),
    ("path: [alice_pump_meter]", "path: [alice_pump]", "path: [^alice_pump]",
     "beams.alice_pump_tap.path[0]: 'alice_pump' is a Laser, which light does not meet; "
     "allowed: alice_paddles, bob_paddles, alice_pump_meter, bob_pump_meter; did you mean 'alice_pump_"),
    ("laser: alice_pump,", "laser: alice_paddles,", "laser: ^alice_paddles",
     "beams.alice_pump_tap.laser: 'alice_paddles' is a PolarizationController, here stands a Laser; "),
    ("outputs: {H: alice_h,", "outputs: {H: alice_hh,", "^alice_hh",
     "analysers.alice_analyser.outputs.H: 'alice_hh' is no detector of this testbed; "),
    # the same thing twice
    ("tagger: alice_tagger.2}", "tagger: alice_tagger.1}", "alice_v: {tagger: ^alice_tagger.1}",
     "detectors.alice_v.tagger: 'alice_tagger.1' is used twice; alice_h has it already"),
    ("instrument: hub_nanowires.4", "instrument: hub_nanowires.3", "hub_dv: {instrument: ^hub_nanowires.3",
     "detectors.hub_dv.instrument: 'hub_nanowires.3' is used twice; hub_dh has it already"),
    ("instrument: hub_nanowires.4", "instrument: hub_nanowires.5", "^hub_nanowires.5",
     "detectors.hub_dv.instrument: 'hub_nanowires.5' does not exist; allowed: hub_nanowires.1, "
     "hub_nanowires.2, hub_nanowires.3, hub_nanowires.4; did you mean 'hub_nanowires."),
    ("hwp: bob_hwp", "hwp: bob_qwp", "hwp: ^bob_qwp",
     "analysers.bob_analyser.hwp: 'bob_qwp' is used twice; it is the qwp of bob_analyser already"),
    ("dV: hub_dv", "dV: hub_cv", "dV: ^hub_cv",
     "bell_state_measurements.hub_bsm.outputs.dV: 'hub_cv' is used "
     "twice; it is the output cV of hub_bsm already"),
    # where things stand
    ("bob_qwp: {node: bob,", "bob_qwp: {node: hub,", "qwp: ^bob_qwp,",
     "analysers.bob_analyser.qwp: 'bob_qwp' stands at hub; here something at bob is needed"),
    ("bob_tagger: {node: bob,", "bob_tagger: {node: hub,", "{H: ^bob_h,",
     "analysers.bob_analyser.outputs.H: 'bob_h' feeds bob_tagger at hub, but bob_analyser stands at bob"),
    # light paths
    ("idler: [alice_fibre, alice_paddles, hub_bsm.a]", "idler: [alice_paddles, alice_fibre, hub_bsm.a]",
     "[^alice_paddles, alice_fibre",
     "sources.alice_source.idler[0]: 'alice_paddles' begins at hub, the light "
     "is at alice there"),
    ("alice_paddles, hub_bsm.a]", "alice_paddles]", "^alice_paddles]",
     "sources.alice_source.idler[1]: the light ends at 'alice_paddles'; allowed at the end: "
     "alice_analyser, bob_analyser, hub_bsm.a, hub_bsm.b, alice_pump_meter, bob_pump_meter, or a detector"),
    ("signal: [alice_analyser]", "signal: [alice_analizer]", "^alice_analizer",
     "sources.alice_source.signal[0]: 'alice_analizer' is nothing that light meets; allowed: a fibre, wave "
     "plate, filter, splitter, analyser or detector, an input of a switch or of a Bell-state measurement, or "
     "an instrument that light passes; did you mean 'alice_analyser'?"),
    ("hub_bsm.a]", "hub_bsm.e]", "^hub_bsm.e", "sources.alice_source.idler[2]: 'hub_bsm.e' is no input of a "
     "Bell-state measurement; allowed: hub_bsm.a, hub_bsm.b; did you mean 'hub_bsm."),
    ("bob_paddles, hub_bsm.b]", "bob_paddles, hub_bsm.a]", "bob_paddles, ^hub_bsm.a",
     "sources.bob_source.idler[2]: 'hub_bsm.a' stands in the idler of alice_source already"),
    ("[bob_fibre, bob_paddles", "[bob_fibre, bob_hwp", "bob_fibre, ^bob_hwp",
     "sources.bob_source.idler[1]: 'bob_hwp' is a RotationMount, which light does not meet; allowed: "
     "alice_paddles, bob_paddles, alice_pump_meter, bob_pump_meter"),
    ("idler: [alice_fibre, ", "idler: [hub_bsm.a, alice_fibre, ", "^hub_bsm.a, ",
     "sources.alice_source.idler[0]: 'hub_bsm.a' ends a light path; nothing can stand behind it"),
    ("bob_fibre: {from", "bob_hwp: {from", "^bob_hwp: {from",
     "fibres.bob_hwp: 'bob_hwp' is the name of instruments.bob_hwp already"),
    # the simulation
    ("    alice_v: *spad\n", "", "^detectors:\n    alice_h: &spad",
     "simulation.detectors: detector 'alice_v' is missing; a simulated bench needs it"),
    ("    hub_tagger: *tagger", "    hub_taggr: *tagger", "^hub_taggr",
     "simulation.taggers.hub_taggr: 'hub_taggr' is no tagger of this testbed; "
     "allowed: alice_tagger, bob_tagger, hub_tagger; did you mean 'hub_tagger'?"),
    ("dead_time: 25 ns, afterpulsing: 0.005, afterpulse_time: 30 ns", "dead_time: 25 ns, afterpulsing: 0.005",
     "afterpulsing: ^0.005",
     "simulation.detectors.alice_h.afterpulsing: afterpulsing without afterpulse_time; "
     "it is needed with it"),
    (", switching_current: 19 uA", "", "^hub_ch: &nanowire",
     "simulation.detectors.hub_ch: hub_ch is a channel of hub_nanowires; it needs switching_current"),
    ("dark_counts: 500 Hz,", "dark_counts: 500 Hz, operating_bias: 1 uA,", "operating_bias: ^1 uA",
     "simulation.detectors.alice_h.operating_bias: alice_h has no instrument that could change it; "
     "leave operating_bias out"),
    ("operating_bias: 17 uA", "operating_bias: 19.5 uA", "^19.5 uA",
     "simulation.detectors.hub_ch.operating_bias: not below switching_current, where the wire goes blind"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "message"), WRONG_TESTBEDS)
def test_a_wrong_testbed_is_reported_at_its_place(
    bench: Bench, old: str, new: str, place: str, message: str
) -> None:
    bench.edit(TESTBED, old, new)
    problems = bench.problems()
    expected = f"{bench.place(TESTBED, place)}: {message}"
    assert any(problem.startswith(expected) for problem in problems), "\n".join([expected, *problems])
    assert bench.problems(TESTBED) == [p for p in problems if p.startswith(TESTBED)]


WRONG_EXPERIMENTS = [
    ("testbeds/nyc.yaml", "testbeds/ny.yaml", "^testbeds/ny.yaml",
     "testbed: testbeds/ny.yaml:1:1: cannot be read: No such file or directory"),
    ("settings:\n", "setings:\n", "^setings:", "setings: unknown key 'setings'; allowed: experiment, title"),
    ("bsm_window: 800 ps", "bsm_window: 800 nm", "^800 nm",
     "settings.bsm_window: 'nm' is a unit of length, not of time (did you mean 'ns'?)"),
    ("bsm_window: 800 ps", "bsm_window: 800", "^800",
     "settings.bsm_window: 800 has no unit of time: write for example '600 ps'"),
    ("bsm_window: 800 ps", "bsm_window: 0 ps", "^0 ps",
     "settings.bsm_window: '0 ps' is out of range; allowed: more than 0"),
    ("[alice_analyser, bob_analyser]", "[alice_analyser, bob_analyzer]", "^bob_analyzer",
     "settings.spokes[1]: 'bob_analyzer' is no analyser of this testbed; "
     "allowed: alice_analyser, bob_analyser; did you mean 'bob_analyser'?"),
    ("[alice_analyser, bob_analyser]", "[alice_analyser, alice_analyser]", ", ^alice_analyser]",
     "settings.spokes[1]: 'alice_analyser' is the other spoke already"),
    ("[alice_analyser, bob_analyser]", "[alice_analyser]", "^spokes:",
     "settings.spokes: item 2 is missing; it is needed here"),
    ("bell_state_measurement: hub_bsm", "bell_state_measurement: hub_bms", "^hub_bms",
     "settings.bell_state_measurement: 'hub_bms' is no Bell-state measurement of this testbed; "
     "allowed: hub_bsm; did you mean 'hub_bsm'?"),
    ("- calibrate_delays:", "- calibrate_delay:", "^calibrate_delay:", "plan[1]: unknown step "
     f"'calibrate_delay'; allowed: {', '.join(STEPS)}; "
     "did you mean 'calibrate_delays'?"),
    ("- calibrate_delays: {duration: 2 s}", "- calibrate_delays: {durration: 2 s}", "^durration",
     "plan[1].calibrate_delays.durration: unknown key 'durration'; allowed: name, duration, search, "
     "max_skew; "
     "did you mean 'duration'?"),
    ("- calibrate_delays: {duration: 2 s}", "- 5", "- ^5",
     "plan[1]: 5 is no step; a step is a word, or a word with its parameters like - wait: {duration: 5 s}"),
    (", dwell: 100 s}", "}", "^measure_swapping: {",
     "plan[2].measure_swapping: 'dwell' is missing; it is needed here"),
    ("[ZZ, XX, CHSH]", "[ZZ, xx, CHSH]", "^xx", "plan[2].measure_swapping.bases[1]: 'xx' is not known here; "
     "allowed: ZZ, XX, YY, CHSH; did you mean 'XX'?"),
    ("[ZZ, XX, CHSH]", "[ZZ, ZZ]", "^[ZZ, ZZ]",
     "plan[2].measure_swapping.bases: ZZ, ZZ names one twice; for more data choose a longer "
     "dwell, or rounds"),
    ("dwell: 100 s}", "dwell: 100 s, rounds: 1.5}", "^1.5",
     "plan[2].measure_swapping.rounds: 1.5 is not a whole"),
    ("bias: {hub_nanowires: 17 uA}", "bias: {hub_nanowires: 25 uA}", "^25 uA",
     "plan[0].bring_up.bias.hub_nanowires: 25 µA is outside the limits of hub_nanowires; "
     "allowed: 0 A to 20 µA"),
    ("power: {alice_pump: 20 mW", "power: {alice_pump: 20 dBm", "^20 dBm",
     "plan[0].bring_up.power.alice_pump: 100 mW is outside the limits of alice_pump; allowed: 0 W to 60 mW"),
    ("threshold: {alice_tagger: 100 mV", "threshold: {alice_tagger: 100 V", "^100 V",
     "plan[0].bring_up.threshold.alice_tagger: 100 V is outside the limits of alice_tagger; allowed: "),
    ("power: {alice_pump: 20 mW", "power: {alice_pamp: 20 mW", "^alice_pamp",
     "plan[0].bring_up.power.alice_pamp: 'alice_pamp' is no instrument of this testbed; "),
    ("power: {alice_pump: 20 mW", "power: {alice_tagger: 20 mW", "{^alice_tagger: 20 mW",
     "plan[0].bring_up.power.alice_tagger: 'alice_tagger' is a TimeTagger, here stands a Laser; "
     "allowed: alice_pump, bob_pump"),
    ("tags: heralds", "tags: herald", "^herald #", "record.tags: 'herald' is not known here; "
     "allowed: raw, heralds, none; did you mean 'heralds'?"),
    ("record:", "seed: -1\nrecord:", "^-1", "seed: -1 is out of range; allowed: at least 0"),
    ("record:", "seed: true\nrecord:", "^true", "seed: true is not a whole number"),
    ("record:", "telemetry: {broker: localhost}\nrecord:", "^localhost",
     "telemetry.broker: 'localhost' is no "
     "address of a broker; write mqtt://HOST:PORT, like mqtt://localhost:1883"),
    ("record:", "telemetry: {root: 'a/#'}\nrecord:", "^'a/#'", "telemetry.root: 'a/#' is no MQTT topic"),
    ("chsh_s: {above: 2.0,", "chsh: {above: 2.0,", "^chsh:",
     "published.chsh: 'chsh' is no result of this plan; "
     "allowed: swap_rate_hz, chsh_s, fidelity, visibility_zz, visibility_xx, visibility_yy, heralds_hz; "
     "did you mean 'chsh_s'?"),
    ("above: 2.0,", "above: 2.0, value: 3,", "^{above",
     "published.chsh_s: a published figure is given as one "
     "of value, above and below"),
    ("above: 2.0,", "above: two,", "above: ^two", "published.chsh_s.above: 'two' is not a number"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "message"), WRONG_EXPERIMENTS)
def test_a_wrong_experiment_is_reported_at_its_place(
    bench: Bench, old: str, new: str, place: str, message: str
) -> None:
    bench.edit(EXPERIMENT, old, new)
    expected = f"{bench.place(EXPERIMENT, place)}: {message}"
    problems = bench.problems()
    assert any(problem.startswith(expected) for problem in problems), "\n".join([expected, *problems])


def test_a_single_mistake_gives_a_single_problem(bench: Bench) -> None:
    for file, old, new in (
        (TESTBED, "model: singlequantum_websq", "model: singlequantum_webqs"),
        (TESTBED, "length: 8.8 km} # [pub]", "length: 8.8} # [pub]"),
        (TESTBED, "pair_rate: 9.2 MHz", "pair_rate: 9.2 nm"),  # also reached through an alias
        (TESTBED, "qwp: bob_qwp", "qwp: bob_qwb"),
        (TESTBED, "bob_analyser: {node: bob,", "bob_analyser: {node: bob, colour: red,"),
        (EXPERIMENT, "bsm_window: 800 ps", "bsm_window: 800"),
        (EXPERIMENT, "bases: [ZZ", "bases: [AA"),
        (EXPERIMENT, "title: Ent", "title: x\ntitle: Ent"),
        (EXPERIMENT, "tags: heralds", "tags: !!python/name:os heralds"),
    ):
        bench.edit(file, old, new)
        assert len(bench.problems()) == 1, bench.problems()
        bench.edit(file, new, old)


def test_all_errors_of_both_files_come_at_once_sorted_by_position(bench: Bench) -> None:
    bench.edit(EXPERIMENT, "title: Ent", "title: x\ntitle: Ent")
    bench.edit(EXPERIMENT, "bsm_window: 800 ps", "bsm_window: 800 nm")
    bench.edit(EXPERIMENT, "alice_pump: 20 mW", "alice_pomp: 20 mW")
    bench.edit(EXPERIMENT, "- measure_swapping", "- measure")
    bench.edit(TESTBED, "length: 8.8 km} # [pub]", "length: 8.8} # [pub]")
    bench.edit(TESTBED, "hub_bsm.a]", "hub_bsm.x]")
    bench.edit(TESTBED, "tagger: bob_tagger.2}", "tagger: bob_tagger.1}")
    bench.edit(TESTBED, "    bob_analyser: *analyser\n", "")
    found = [problem.split(": ")[0] for problem in bench.problems() if "published" not in problem]
    assert found == [
        bench.place(EXPERIMENT, "^title: Ent"),
        bench.place(EXPERIMENT, "^800 nm"),
        bench.place(EXPERIMENT, "^alice_pomp"),
        bench.place(EXPERIMENT, "^measure:"),
        bench.place(TESTBED, "^8.8} #"),
        bench.place(TESTBED, "^hub_bsm.x"),
        bench.place(TESTBED, "bob_v: {tagger: ^bob_tagger.1"),
        bench.place(TESTBED, "^analysers:\n    alice_analyser: &"),
    ]


REAL = {
    "toptica_dlcpro": "tcp://10.0.0.{n}:1998",
    "thorlabs_pm100d": "visa:USB0::0x1313::0x8078::P00{n}::INSTR",
    "thorlabs_k10cr1": "serial:/dev/ttyUSB{n}",
    "thorlabs_mpc320": "serial:/dev/ttyUSB{n}",
    "singlequantum_websq": "tcp://10.0.0.{n}:12000",
    "idq_id900": "zmq://10.0.0.{n}:5555",
}


@pytest.fixture
def real_bench(bench: Bench) -> Bench:
    """The NYC testbed with an address of its own for every instrument."""
    lines = (bench.folder / TESTBED).read_text().split("\n")
    for number, line in enumerate(lines):
        for model, address in REAL.items():
            if f"model: {model}" in line:
                lines[number] = line.replace("address: sim", f"address: '{address.format(n=10 + number)}'")
    (bench.folder / TESTBED).write_text("\n".join(lines))
    return bench


def test_a_real_testbed_is_free_of_errors_and_needs_no_simulation(real_bench: Bench) -> None:
    assert real_bench.problems() == []
    text = (real_bench.folder / TESTBED).read_text()
    (real_bench.folder / TESTBED).write_text(text[: text.index("simulation:\n")])
    assert real_bench.problems() == []
    assert not load_testbed(real_bench.folder / TESTBED).testbed.simulated


def test_a_simulated_testbed_needs_a_simulation(bench: Bench) -> None:
    text = (bench.folder / TESTBED).read_text()
    (bench.folder / TESTBED).write_text(text[: text.index("simulation:\n")])
    [problem] = bench.problems()
    assert problem.startswith(f"{bench.place(TESTBED, '^instruments:')}: instruments: there are instruments")


def test_one_simulated_instrument_among_real_ones_is_wrong(real_bench: Bench) -> None:
    text = (real_bench.folder / TESTBED).read_text()
    start = text.index("address: 'tcp://")
    end = text.index("'", start + 12) + 1
    (real_bench.folder / TESTBED).write_text(text[:start] + "address: sim" + text[end:])
    [problem] = real_bench.problems()
    assert problem == (
        f"{real_bench.place(TESTBED, 'address: ^sim,')}: instruments.alice_pump.address: 'sim', but 13 "
        "instruments are real and 1 are 'sim'; allowed: all or none, since no real light reaches the "
        "simulated bench and a run has one clock, the wall's or the bench's"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda first, _: first, "is the address of alice_hwp already; each instrument has its own"),
        (
            lambda *_: "Sim",
            "is no address; allowed for thorlabs_k10cr1: serial:/dev/PATH, sim; did you mean 'sim'?",
        ),
        (
            lambda *_: "tcp://10.0.0.9:99",
            "is an address of tcp; allowed for thorlabs_k10cr1: serial:/dev/PATH, sim",
        ),
        (lambda *_: "serial:", "is no address; allowed for thorlabs_k10cr1: serial:/dev/PATH, sim"),
    ],
)
def test_wrong_addresses(real_bench: Bench, make: Callable[[str, str], str], message: str) -> None:
    testbed = load_testbed(real_bench.folder / TESTBED).testbed
    hwp, qwp = (testbed.instruments[name].address for name in ("alice_hwp", "bob_qwp"))
    wrong = make(hwp, qwp)
    real_bench.edit(TESTBED, f"'{qwp}'", f"'{wrong}'")
    place = real_bench.place(TESTBED, f"bob_qwp: {{node: bob, model: thorlabs_k10cr1, address: ^'{wrong}'")
    assert f"{place}: instruments.bob_qwp.address: '{wrong}' {message}" in real_bench.problems()


def test_a_password_is_never_echoed(bench: Bench) -> None:
    bench.edit(EXPERIMENT, "record:", "telemetry: {username: lab, password: hunter2}\nrecord:")
    problems = bench.problems()
    assert len(problems) == 2
    assert "hunter2" not in "".join(problems)
    bench.edit(EXPERIMENT, "username: lab, password: hunter2", "password: '${env:BROKER_PASSWORD}'")
    loaded = load_experiment(bench.folder / EXPERIMENT)
    assert loaded.experiment.telemetry.password == "${env:BROKER_PASSWORD}"


def test_a_file_of_neither_kind_says_so(bench: Bench) -> None:
    (bench.folder / "x.yaml").write_text("# hm\nexperimant: x\n")
    [problem] = bench.problems("x.yaml")
    assert problem == (
        "x.yaml:2:1: neither an experiment nor a testbed; the file begins with experiment: NAME or "
        "testbed: NAME; did you mean 'experiment'?"
    )


SECTIONS = ["nodes", "instruments", "safe_order", "fibres", "sources", "analysers", "bell_state_measurements",
            "detectors", "beams", "clocks", "emitters", "wave_plates", "filters", "splitters", "switches",
            "simulation"]  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("value", ["5", "[a, b]", "{a: b}", "", "text", "{a: {}}", "{a: [1]}"])
def test_a_section_of_the_wrong_kind_never_crashes(bench: Bench, section: str, value: str) -> None:
    text = (bench.folder / TESTBED).read_text()
    start = text.find(f"\n{section}:")
    start = len(text) if start < 0 else start
    end = text.find("\n\n", start + 2)
    (bench.folder / TESTBED).write_text(
        f"{text[:start]}\n{section}: {value}\n{text[end:] if end > 0 else ''}"
    )
    assert bench.problems()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_gives_config_error_or_a_good_file(bench: Bench, data: st.DataObject) -> None:
    """Cut a piece out of either file and put something else there."""
    originals = {name: (CONFIGS / name).read_text() for name in (EXPERIMENT, TESTBED)}
    for name, text in originals.items():
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        piece = data.draw(
            st.sampled_from(
                ["", "5", "-1", "~", "true", "x", "[1]", "{a: 1}", "*spad", "1e999", "\n", ": ", "é"]
            )
        )
        (bench.folder / name).write_text(text[:start] + piece + text[end:])
    with contextlib.suppress(ConfigError):
        load(bench.folder / EXPERIMENT)


def test_bounds_of_acceptance_say_what_lies_outside(bench: Bench) -> None:
    bench.edit(EXPERIMENT, "record:", "accept: {chsh_s: {above: 2, below: 2.83}}\nrecord:")
    accept = load_experiment(bench.folder / EXPERIMENT).experiment.accept["chsh_s"]
    assert accept.problem("chsh_s", 2.2) == ""
    assert accept.problem("chsh_s", 1.9) == "chsh_s is 1.9, not above 2"
    assert accept.problem("chsh_s", 3.0) == "chsh_s is 3, not below 2.83"
    assert accept.problem("chsh_s", None) == "chsh_s was not measured"


def test_a_biphoton_too_long_for_the_light_field_is_refused_in_time_units(bench: Bench) -> None:
    bench.edit(TESTBED, "tau_signal: 700 ps", "tau_signal: 7 ns")
    (problem,) = bench.problems()
    assert problem.startswith(bench.place(TESTBED, "tau_signal: ^7 ns"))
    assert "7 ns is longer than the light field looks ahead; allowed: up to 4 ns" in problem


def test_a_measurement_before_its_calibration_is_found_without_hardware(bench: Bench) -> None:
    bench.edit(EXPERIMENT, "  - calibrate_delays: {duration: 2 s}\n", "")
    (problem,) = bench.problems()
    assert problem.startswith(bench.place(EXPERIMENT, "- ^measure_swapping"))
    assert "measure_swapping needs a step calibrate_delays before it" in problem


def test_detectors_that_are_timed_against_each_other_share_a_tagger(bench: Bench) -> None:
    bench.edit(TESTBED, "bob_v: {tagger: bob_tagger.2}", "bob_v: {tagger: hub_tagger.4}")
    bench.edit(TESTBED, "hub_nanowires.4, tagger: hub_tagger.4}", "hub_nanowires.4, tagger: bob_tagger.2}")
    problems = bench.problems()
    assert any("the detectors of 'bob_analyser' feed bob_tagger and hub_tagger" in p for p in problems), (
        problems
    )
    assert any("the detectors of hub_bsm feed bob_tagger and hub_tagger" in p for p in problems), problems


def test_sources_keep_their_places_among_each_other(bench: Bench) -> None:
    """A copy of them is read as the same, also where two have one name."""
    (bench.folder / "shared/testbeds").mkdir(parents=True)
    (bench.folder / "shared/testbeds/nyc.yaml").write_text("title: Shared\n")
    bench.edit(TESTBED, "testbed: nyc\n", "include: [../shared/testbeds/nyc.yaml]\ntestbed: nyc\n")
    bench.edit(TESTBED, "title: Hub and two spokes over 17.6 km of deployed fibre in New York City\n", "")
    loaded = load_experiment(bench.folder / EXPERIMENT)
    assert loaded.testbed.title == "Shared"
    names = beside_each_other(loaded.sources)
    assert set(names) == {EXPERIMENT, TESTBED, "shared/testbeds/nyc.yaml"}
    for name, text in names.items():
        (bench.folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (bench.folder / "copy" / name).write_text(text)
    assert load_experiment(bench.folder / "copy" / EXPERIMENT).resolved == loaded.resolved
