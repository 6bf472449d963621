"""Plans with measurements on pairs of analysers: what is refused, where, and with which words."""

from pathlib import Path

import pytest

from experiments.config.files import LoadedExperiment, load
from experiments.config.plan import MeasureTomography, MeasureVisibility, result_names
from experiments.config.problems import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
CHSH = "one_source_chsh.yaml"


def problems(folder: Path, old: str, new: str) -> list[str]:
    """Of the shipped Bell test with one change."""
    (folder / "testbeds").mkdir()
    source = (CONFIGS / "testbeds/one_source.yaml").read_text()
    (folder / "testbeds/one_source.yaml").write_text(source)
    text = (CONFIGS / CHSH).read_text()
    assert old in text
    (folder / CHSH).write_text(text.replace(old, new))
    try:
        load(folder / CHSH)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize("name", [CHSH, "one_source_tomography.yaml"])
def test_shipped_experiments_on_one_source_are_free_of_errors(name: str) -> None:
    loaded = load(CONFIGS / name)
    assert isinstance(loaded, LoadedExperiment)
    names = result_names(loaded.experiment.plan)
    assert set(loaded.experiment.published) <= set(names)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("measure_visibility: {dwell: 10 s}", "measure_visibility: {dwell: 10 s, bases: [ZZ]}",
         "a visibility in one basis proves nothing; give ZZ and XX, or ZZ, XX and YY"),
        ("{alice_h: 500 Hz,", "{alice: 500 Hz,", "allowed: alice_h, alice_v, bob_h, bob_v"),
        ("alice_h: 500 Hz", "alice_h: -5 Hz", "out of range; allowed: at least 0"),
        ("  - calibrate_pair_delays: {duration: 2 s}\n", "",
         "characterize_pair needs a step calibrate_pair_delays before it"),
        ("error: {chsh_s: 0.005}", "error: {chsh: 0.005}", "'chsh' is no result of this step"),
        ("measure_visibility: {dwell: 10 s}", "measure_tomography: {dwell: 10 s, resamples: 50}",
         "50 is out of range; allowed: at least 100"),
        ("pairs:\n", "pairs:\n  other: {analysers: [alice_analyser, bob_analyser], window: 1 ns}\n",
         "which pair is missing; write pair: NAME"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    found = problems(tmp_path, old, new)
    assert any(words in problem for problem in found), found


def test_estimates_follow_from_settings_and_dwell() -> None:
    assert MeasureTomography.model_validate({"dwell": "10 s"}).recording_s == 90.0
    swapped = MeasureTomography.model_validate({"dwell": "10 s", "swap_outputs": True, "rounds": 2})
    assert swapped.recording_s == 360.0
    three = MeasureVisibility.model_validate({"dwell": "5 s", "bases": ["ZZ", "XX", "YY"]})
    assert three.recording_s == 15.0
