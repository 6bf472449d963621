"""Sweeps: which points there are, in which order, and that each is checked before the first could run."""

from pathlib import Path

import pytest

from experiments.config.files import LoadedExperiment, load, load_experiment
from experiments.config.overrides import read_override
from experiments.config.plan import MeasureSwapping
from experiments.config.problems import ConfigError
from experiments.config.sweep import read_sweep

CONFIGS = Path(__file__).parents[2] / "configs"
NYC = CONFIGS / "nyc_swapping.yaml"


def swept(folder: Path, sweep: str) -> LoadedExperiment:
    """The shipped experiment with a sweep in its file, from line 2 on."""
    text = NYC.read_text().replace("testbeds/", f"{CONFIGS}/testbeds/")
    (folder / "swept.yaml").write_text(f"# a sweep\n{sweep}{text}")
    return load_experiment(folder / "swept.yaml")


def problems_of(folder: Path, sweep: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        swept(folder, sweep)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def values_of(*flags: str) -> list[dict[str, object]]:
    return [point.values for point, _ in read_sweep(flags).points()]


def test_a_range_has_both_ends_and_equal_distances() -> None:
    # 200, 525, 850, 1175, 1500: four steps of 325
    found = values_of("settings.bsm_window=200 ps:1500 ps:5")
    assert [values["settings.bsm_window"] for values in found] == [
        "200 ps", "525 ps", "850 ps", "1175 ps", "1500 ps",
    ]  # fmt: skip
    assert values_of("a.b=0:1 s:3") == [{"a.b": "0 s"}, {"a.b": "0.5 s"}, {"a.b": "1 s"}]
    assert values_of("a=1:5:5") == [{"a": k} for k in range(1, 6)]
    assert values_of("a=0:1:5") == [{"a": 0}, {"a": 0.25}, {"a": 0.5}, {"a": 0.75}, {"a": 1}]
    assert [v["a"] for v in values_of("a=-10 dBm:10 dBm:3")] == ["-10 dBm", "0 dBm", "10 dBm"]


def test_a_list_is_a_list_whatever_stands_in_it() -> None:
    steps = "a=[{from: 1}, {from: 2}]"
    assert values_of(steps) == [{"a": {"from": 1}}, {"a": {"from": 2}}]
    assert values_of('a.address= ["tcp://10.0.0.1:5000"]') == [{"a.address": "tcp://10.0.0.1:5000"}]
    assert values_of("a={from: 1, to: 3, steps: 3}") == [{"a": k} for k in (1, 2, 3)]


def test_an_end_that_is_no_yaml_names_its_path() -> None:
    with pytest.raises(ConfigError) as caught:
        read_sweep(["settings.bsm_window=[1 ns:2 ns:3"])
    with pytest.raises(ConfigError) as caught_range:
        read_sweep(["settings.bsm_window=1 ns:]:3"])
    for error in (caught, caught_range):
        assert str(error.value.problems[0]).startswith("--sweep settings.bsm_window:")
        assert ": not YAML: " in str(error.value.problems[0])


def test_every_value_meets_every_other_and_the_last_path_varies_fastest(tmp_path: Path) -> None:
    loaded = swept(
        tmp_path,
        "sweep:\n  settings.bsm_window: {from: 1 ps, to: 100 ps, steps: 3, scale: log}\n"
        "  plan.2.measure_swapping.dwell: [1 s, 2 s]\n",
    )
    windows, dwells = [], []
    for number, point in enumerate(loaded.points, 1):
        assert point.point is not None
        assert (point.point.number, point.point.of, point.points) == (number, 6, ())
        measure = point.experiment.plan[2]
        assert isinstance(measure, MeasureSwapping)
        windows.append(point.experiment.swapping.bsm_window)
        dwells.append(measure.dwell)
    assert windows == [1e-12, 1e-12, 10e-12, 10e-12, 100e-12, 100e-12]
    assert dwells == [1.0, 2.0] * 3
    assert loaded.points[2].point is not None
    assert loaded.points[2].point.values == {
        "settings.bsm_window": "10 ps",
        "plan.2.measure_swapping.dwell": "1 s",
    }
    assert loaded.experiment.swapping.bsm_window == 800e-12  # the file's own value stays beside its points


def test_lists_go_along_with_each_other_where_the_file_says_zip(tmp_path: Path) -> None:
    loaded = swept(tmp_path, "sweep: {zip: true, seed: [7, 8, 9], settings.bsm_window: [1 ns, 2 ns, 3 ns]}\n")
    found = [(p.experiment.seed, p.experiment.swapping.bsm_window) for p in loaded.points]
    assert found == [(7, 1e-9), (8, 2e-9), (9, 3e-9)]


def test_a_sweep_of_the_testbed_and_one_on_the_command_line(tmp_path: Path) -> None:
    sweep = "sweep: {testbed.simulation.sources.alice_source.pair_rate: [1 MHz, 2 MHz]}\n"
    truths = [point.testbed.simulation for point in swept(tmp_path, sweep).points]
    assert [truth.sources["alice_source"].pair_rate for truth in truths if truth] == [1e6, 2e6]
    flags = read_sweep(["seed=[5, 6]"])
    assert [p.experiment.seed for p in load_experiment(tmp_path / "swept.yaml", sweep=flags).points] == [5, 6]
    off = load_experiment(tmp_path / "swept.yaml", [read_override("sweep=")])
    assert off.points == ()


def test_every_bad_point_is_said_at_the_value_that_makes_it(tmp_path: Path) -> None:
    sweep = (
        "sweep:\n  plan.0.bring_up.power.alice_pump: [1 mW,\n    70 mW, 2 nm]\n"
        "  settings.bsm_window: [1 ns, 2 ns]\n"
    )
    assert problems_of(tmp_path, sweep) == [
        "swept.yaml:4:5: plan[0].bring_up.power.alice_pump: 70 mW is outside the limits of alice_pump; "
        "allowed: 0 W to 60 mW",
        "swept.yaml:4:12: plan[0].bring_up.power.alice_pump: 'nm' is a unit of length, not of power "
        "(did you mean 'nW'?)",
    ]


@pytest.mark.parametrize(
    ("sweep", "problem"),
    [
        ("sweep: {}\n", "2:8: sweep: a mapping is no sweep; "),
        ("sweep: {settings.bsm_window: 1 ns}\n",
         "2:30: sweep.settings.bsm_window: '1 ns' is neither a list of values nor a range; write {from: "),
        ("sweep: {settings.bsm_window: []}\n", "2:30: sweep.settings.bsm_window: an empty list; "),
        ("sweep: {settings.bsm_window: {from: 1 ns, to: 2 ns}}\n",
         "2:30: sweep.settings.bsm_window: 'steps' is missing; "),
        ("sweep: {settings.bsm_window: {from: 1 ns, to: 2 ns, step: 3}}\n",
         "2:30: sweep.settings.bsm_window: unknown key 'step'; allowed: from, to, steps, scale; did you "
         "mean 'steps'?"),
        ("sweep: {settings.bsm_window: {from: 1 ns, to: 2 ns, steps: 1}}\n",
         "2:30: sweep.settings.bsm_window: steps is 1; allowed: a whole number from 2 to 1000"),
        ("sweep: {settings.bsm_window: {from: 1 ps, to: 2 ns, steps: 3}}\n",
         "2:30: sweep.settings.bsm_window: 1 ps to 2 ns: write both ends in one unit"),
        ("sweep: {settings.bsm_window: {from: 0, to: 2 ns, steps: 3, scale: log}}\n",
         "2:30: sweep.settings.bsm_window: 0 to 2 ns: with scale: log both ends are on "),
        ("sweep: {settings.bsm_window: {from: x, to: 2 ns, steps: 3}}\n",
         "2:30: sweep.settings.bsm_window: 'x' is no number; "),
        ("sweep: {settings.bsm_windw: [1 ns]}\n",
         "2:30: settings.bsm_windw: unknown key 'bsm_windw'; allowed: spokes,"),
        ("sweep: {plan.9.wait.duration: [1 s]}\n", "2:32: plan.9.wait.duration: plan is a list, '9' is none"),
        ("sweep: {zip: true, seed: [1, 2], settings.bsm_window: [1 ns]}\n",
         "2:1: sweep: with zip: true all have equally many values; seed has 2, settings.bsm_window has 1"),
        ("sweep: {seed: {from: 0, to: 999, steps: 1000}, settings.bsm_window: [1 ns, 2 ns]}\n",
         "2:1: sweep: 2000 points; allowed: up to 1000"),
    ],
)  # fmt: skip
def test_what_is_no_sweep_is_said_at_its_place(tmp_path: Path, sweep: str, problem: str) -> None:
    found = problems_of(tmp_path, sweep)
    assert found[0].startswith(f"swept.yaml:{problem}"), found


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["seed=1:2"], "--sweep seed: '1:2' is neither a list of values nor a range; "),
        (["seed=1:2:x"], "--sweep seed: steps is 'x'; allowed: a whole number from 2 to 1000"),
        (
            ["seed"],
            "--sweep: there is no =; write PATH=VALUE, like '--sweep settings.bsm_window=200 ps:1500 ps:5'",
        ),
        (["seed=1:2:2", "seed=[3]"], "--sweep: seed is swept twice"),
    ],
)
def test_what_is_no_sweep_on_the_command_line_names_the_flag(flags: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_sweep(flags)
    assert str(caught.value).startswith(problem)


def test_a_testbed_cannot_be_swept() -> None:
    with pytest.raises(ConfigError, match="--sweep title: a sweep is one of experiments; this is a testbed"):
        load(CONFIGS / "testbeds/nyc.yaml", sweep=read_sweep(["title=[a, b]"]))
