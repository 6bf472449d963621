"""How long a measurement stays, as a technician writes it."""

from pathlib import Path

import pytest

from experiments.config.dwell import Until, most_s, visits_of
from experiments.config.files import load_experiment
from experiments.config.plan import MeasureSwapping
from experiments.config.problems import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
DWELL = "dwell: 100 s"


def written(tmp_path: Path, dwell: str) -> Path:
    (tmp_path / "testbeds").mkdir()
    (tmp_path / "testbeds/nyc.yaml").write_text((CONFIGS / "testbeds/nyc.yaml").read_text())
    text = (CONFIGS / "nyc_swapping.yaml").read_text()
    assert DWELL in text
    (tmp_path / "e.yaml").write_text(text.replace(DWELL, f"dwell: {dwell}"))
    return tmp_path / "e.yaml"


@pytest.mark.parametrize(
    ("dwell", "recording_s", "visits"),
    [
        ("100 s", 600.0, 6),  # ZZ, XX and four of CHSH
        ("{counts: 1000, at_most: 1 h}", 6 * 3600.0, 6),
        ("{error: {chsh_s: 0.05}, at_most: 2 h}", 7200.0, 120),  # 20 rounds of 6 min
        ("{error: {chsh_s: 0.05}, at_most: 10 s}", 60.0, 6),  # one round at least
    ],
)
def test_each_way_to_say_it(tmp_path: Path, dwell: str, recording_s: float, visits: int) -> None:
    step = load_experiment(written(tmp_path, dwell)).experiment.plan[2]
    assert isinstance(step, MeasureSwapping)
    assert step.recording_s == recording_s
    assert visits_of(step.dwell, step.settings, step.rounds) == visits
    assert most_s(step.dwell, step.settings, step.rounds) == recording_s


@pytest.mark.parametrize(
    ("dwell", "message"),
    [
        ("100 nm", "dwell: 'nm' is a unit of length, not of time (did you mean 'ns'?)"),
        ("0 s", "dwell: '0 s' is out of range; allowed: more than 0"),
        ("{counts: 5}", "dwell: 'at_most' is missing; it is needed here"),
        ("{at_most: 1 h}", "dwell: give one of counts and error"),
        ("{counts: 5, error: {chsh_s: 1}, at_most: 1 h}", "dwell: give one of counts and error"),
        ("{counts: 0, at_most: 1 h}", "dwell.counts: 0 is out of range; allowed: at least 1"),
        ("{counts: 5, at_mots: 1 h, at_most: 1 h}", "dwell.at_mots: unknown key 'at_mots'; allowed: "),
        ("{error: {chsh: 0.1}, at_most: 1 h}", "dwell.error.chsh: 'chsh' is no result of this step"),
        ("{error: {chsh_s: 0}, at_most: 1 h}", "dwell.error.chsh_s: 0 is out of range; allowed: more than 0"),
        ("{counts: 5, at_most: 1 h, each: 1 s}", "dwell.each: '1 s' is out of range; allowed: at least 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(tmp_path: Path, dwell: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_experiment(written(tmp_path, dwell))
    assert any(f"plan[2].measure_swapping.{message}" in str(p) for p in refused.value.problems), refused.value


def test_a_stay_is_never_longer_than_the_whole() -> None:
    assert Until.model_validate({"counts": 1, "at_most": "4 s"}).each_s == 4.0
    assert Until.model_validate({"counts": 1, "at_most": "40 s"}).each_s == 10.0
