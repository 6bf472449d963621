"""`--set PATH=VALUE`: the value goes where the path leads, and what is wrong with it names the flag."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.config.files import LoadedExperiment, load, load_experiment
from experiments.config.overrides import read_override
from experiments.config.plan import BringUp, MeasureSwapping
from experiments.config.problems import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
NYC = CONFIGS / "nyc_swapping.yaml"


def changed(*flags: str) -> LoadedExperiment:
    return load_experiment(NYC, [read_override(flag) for flag in flags])


def problems_of(flags: Sequence[str], file: Path = NYC) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, [read_override(flag) for flag in flags])
    return [str(problem) for problem in caught.value.problems]


def test_values_are_read_as_in_the_file_and_the_later_holds() -> None:
    loaded = changed(
        "settings.bsm_window=1 ns",
        "plan.2.measure_swapping.dwell=3 s",
        "plan[2].measure_swapping.bases=[ZZ, XX]",
        "plan.0.bring_up.power.alice_pump=1.5e1 mW",
        "record.around=20 ns",
        "settings.bsm_window = 700 ps",
    )
    measure, bring_up = loaded.experiment.plan[2], loaded.experiment.plan[0]
    assert isinstance(measure, MeasureSwapping)
    assert isinstance(bring_up, BringUp)
    assert loaded.experiment.swapping.bsm_window == 700e-12
    assert (measure.dwell, measure.bases) == (3.0, ("ZZ", "XX"))
    assert bring_up.power == {"alice_pump": 15e-3, "bob_pump": 20e-3}
    assert loaded.experiment.record.around == 20e-9
    assert loaded.overrides["settings.bsm_window"] == "700 ps"
    assert changed("seed=3").about == {"overrides": {"seed": 3}}  # for run.json
    assert loaded.resolved["experiment"]["settings"]["bsm_window"] == 700e-12
    assert loaded.experiment.swapping.spoke_window == 2200e-12  # as the file has it


def test_sections_that_the_file_leaves_out_and_bare_steps_can_be_set(tmp_path: Path) -> None:
    text = (
        NYC.read_text()
        .replace("testbeds/", f"{CONFIGS}/testbeds/")
        .replace("- calibrate_delays: {duration: 2 s}", "- calibrate_delays")
    )
    (tmp_path / "bare.yaml").write_text(text)
    flags = ["reconnection.deadline=5 s", "accept.chsh_s.above=2", "plan.1.calibrate_delays.duration=4 s"]
    loaded = load_experiment(tmp_path / "bare.yaml", [read_override(flag) for flag in flags])
    assert loaded.experiment.reconnection.deadline == 5.0
    assert loaded.experiment.accept["chsh_s"].above == 2.0
    assert loaded.experiment.plan[1].recording_s == 4.0


def test_a_path_leads_into_the_testbed_file_and_to_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = changed("testbed.simulation.sources.alice_source.pair_rate=1 MHz")
    assert loaded.testbed.simulation is not None
    assert loaded.testbed.simulation.sources["alice_source"].pair_rate == 1e6
    assert loaded.testbed.simulation.sources["bob_source"].pair_rate == 9.2e6
    monkeypatch.chdir(CONFIGS / "testbeds")
    assert changed("testbed=nyc.yaml").testbed.testbed == "nyc"  # from where one stands
    switches = load(CONFIGS / "testbeds/nyc.yaml", [read_override("title=Elsewhere")])
    assert switches.testbed.title == "Elsewhere"


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("settings.bsm_window=1 nm",
         "--set settings.bsm_window: 'nm' is a unit of length, not of time (did you mean 'ns'?)"),
        ("settings.bsm_windw=1 ns",
         "--set settings.bsm_windw: unknown key 'bsm_windw'; allowed: spokes, "
         "bell_state_measurement, bsm_window, spoke_window, spoke_window_centre; did you mean 'bsm_window'?"),
        ("plan.2.measure_swaping.dwell=1 s",
         "--set plan[2].measure_swaping.dwell: there is no 'measure_swaping' in plan[2]; "
         "allowed: measure_swapping; did you mean 'measure_swapping'?"),
        ("plan.3.wait.duration=1 s",
         "--set plan.3.wait.duration: plan is a list, '3' is none of its items; allowed: 0 (bring_up), "
         "1 (calibrate_delays), 2 (measure_swapping)"),
        ("settings.bsm_window.x=1",
         "--set settings.bsm_window.x: settings.bsm_window is '800 ps', nothing is inside"),
        ("testbed.instruments.alice_pomp.address=tcp://h:1",
         "--set testbed.instruments.alice_pomp.address: there is no 'alice_pomp' in instruments; "
         "allowed: alice_pump, bob_pump, "),
        ("testbed.instruments.alice_pump.adress=tcp://h:1",
         "--set testbed.instruments.alice_pump.adress: unknown key 'adress'; allowed: node, "),
        ("plan.0.bring_up.power.alice_pomp=1 mW",
         "--set plan.0.bring_up.power.alice_pomp: 'alice_pomp' is no instrument of this testbed; "),
        ("plan.0.bring_up.power.alice_pump=1 W",
         "--set plan.0.bring_up.power.alice_pump: 1 W is outside the limits of alice_pump; "
         "allowed: 0 W to 60 mW"),
        ("settings={spokes: [alice_analyser, bob_analyser], bsm_window: 1 ns}",
         "--set settings: 'bell_state_measurement' is missing; it is needed here"),
        ("testbed=nowhere.yaml",
         "--set testbed: nowhere.yaml:1:1: cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_problems_name_the_flag_and_what_would_be_right(flag: str, problem: str) -> None:
    found = problems_of([flag])
    assert any(
        p.replace("plan[2]", "plan.2").startswith(problem.replace("plan[2]", "plan.2")) for p in found
    ), found


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("seed", "--set: there is no =; write PATH=VALUE, like '--set settings.bsm_window=600 ps'"),
        ("=5", "--set: '' is no path; write PATH=VALUE, "),
        ("a..b=5", "--set: 'a..b' is no path; "),
        ("seed=[1", "--set seed:2:1: not YAML: "),
        ("seed=!odd 1", "--set seed:1:1: unknown tag '!odd'; write the plain value without a tag"),
    ],
)
def test_what_is_no_override_says_how_to_write_one(flag: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_override(flag)
    (found,) = map(str, caught.value.problems)
    assert found.startswith(problem)


def test_every_flag_that_leads_nowhere_is_reported_with_the_others() -> None:
    found = problems_of(["plan.9=wait", "settings.bsm_window.x=1"])
    assert len(found) == 2


def test_a_password_on_the_command_line_is_refused_and_never_echoed() -> None:
    (problem,) = problems_of(["telemetry.password=hunter2"])
    assert problem.startswith("--set telemetry.password: no secrets")
    assert "hunter2" not in problem
    assert changed("telemetry.password='${env:BROKER}'").experiment.telemetry.password == "${env:BROKER}"
