"""What `check` says a run will take, against the predictions of physics.md 5."""

from pathlib import Path

import pytest

from experiments.config.estimate import estimate, show_duration
from experiments.config.experiment import Record
from experiments.config.files import load_experiment

CONFIGS = Path(__file__).parents[2] / "configs"


# physics.md 5, columns "Wick" (local) and "MC" (NYC, which has afterpulses); heralds are Psi- plus Psi+.
@pytest.mark.parametrize(
    ("name", "spoke_hz", "hub_hz", "heralds_hz"),
    [("local_swapping", 2.255e6, 2.089e6, 2 * 5225), ("nyc_swapping", 6.154e5, 2.855e5, 2 * 130)],
)
def test_expected_rates_are_those_of_the_model(
    name: str, spoke_hz: float, hub_hz: float, heralds_hz: float
) -> None:
    loaded = load_experiment(CONFIGS / f"{name}.yaml")
    cost = estimate(loaded.experiment, loaded.testbed)
    assert cost.click_rates_hz is not None
    for detector in ("alice_h", "alice_v", "bob_h", "bob_v"):
        assert cost.click_rates_hz[detector] == pytest.approx(spoke_hz, rel=5e-3)
    for detector in ("hub_ch", "hub_cv", "hub_dh", "hub_dv"):
        assert cost.click_rates_hz[detector] == pytest.approx(hub_hz, rel=5e-3)
    assert cost.heralds_hz == pytest.approx(heralds_hz, rel=0.02)


def test_six_settings_and_a_calibration_are_recorded() -> None:
    loaded = load_experiment(CONFIGS / "local_swapping.yaml")
    cost = estimate(loaded.experiment, loaded.testbed)
    assert cost.recording_s == 2 + 6 * 15
    assert cost.duration_s > cost.recording_s
    assert [step.kind for step in cost.steps] == ["bring_up", "calibrate_delays", "measure_swapping"]


def test_bytes_follow_what_is_kept() -> None:
    loaded = load_experiment(CONFIGS / "nyc_swapping.yaml")

    def size(record: Record) -> float:
        bytes_ = estimate(loaded.experiment.model_copy(update={"record": record}), loaded.testbed).tag_bytes
        assert bytes_ is not None
        return bytes_

    assert size(Record(tags="none")) == 0
    # 3.6 million clicks per second (issue 2) of 9 bytes, over 602 s; then over one second.
    assert size(Record(tags="raw")) == pytest.approx(3.6e6 * 9 * 602, rel=0.01)
    assert size(Record.model_validate({"tags": "none", "raw": "1 s"})) == pytest.approx(3.6e6 * 9, rel=0.01)
    # 260 heralds per second, each two clicks and 3.6e6 /s * 100 ns others
    heralds = Record.model_validate({"tags": "heralds", "around": "50 ns"})
    assert size(heralds) == pytest.approx(260 * 602 * 9 * 2.36, rel=0.02)


def test_nothing_is_known_of_the_light_of_a_real_bench() -> None:
    loaded = load_experiment(CONFIGS / "nyc_swapping.yaml")
    blind = loaded.testbed.model_copy(update={"simulation": None})
    cost = estimate(loaded.experiment, blind)
    assert (cost.click_rates_hz, cost.heralds_hz, cost.tag_bytes) == (None, None, None)
    assert cost.recording_s == 602


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "0.5 s"),
        (59, "59 s"),
        (60, "1 min"),
        (602, "10 min 2 s"),
        (3600, "1 h"),
        (4800, "1 h 20 min"),
        (4825, "1 h 20 min"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text
