"""`bellbench calibrations`: list, show and roll back."""

import json
from pathlib import Path
from typing import Any

import pytest

from bellbench.cli import call


def store(runs: Path, run: str, utc: str, value: float, testbed: str = "nyc") -> None:
    (runs / run).mkdir()
    delay = {"value": value, "unit": "ps", "uncertainty": 2.5}
    record = {"name": "delays", "testbed": testbed, "simulated": True, "utc": utc, "note": f"note of {run}",
              "valid_for_s": 3600, "detector_delays": {"alice_h": delay}}  # fmt: skip
    (runs / run / "calibrations.json").write_text(json.dumps({"delays": record}))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for hour in (8, 9, 10):
        store(
            tmp_path, f"2026-11-22T{hour:02}-00-00Z-swap-{hour}ab", f"2026-11-22T{hour:02}:00:00.000Z", hour
        )
    return tmp_path


@pytest.fixture
def ask(runs: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def asked(*arguments: str, code: int = 0) -> Any:
        assert call(["calibrations", *arguments, "--runs", str(runs)]) == code
        out, err = capsys.readouterr()
        return err if code else json.loads(out) if "--json" in arguments else out

    return asked


def test_the_list_has_the_newest_first_and_says_which_is_in_force(ask: Any) -> None:
    listed = ask("list", "--json")
    assert [c["run"][-4:] for c in listed] == ["10ab", "-9ab", "-8ab"]
    assert [c["in_force"] for c in listed] == [True, False, False]
    assert (listed[0]["valid_for_s"], listed[0]["testbed"], listed[0]["simulated"]) == (3600.0, "nyc", True)
    assert ask("list", "wavelengths", "--json") == []
    assert "in force" in ask("list")


def test_numbers_of_one_are_shown_with_their_error(ask: Any) -> None:
    shown = ask("show", "delays", "--run", "9ab", "--json")
    assert shown["figures"] == [
        {"quantity": "detector_delays", "scope": "alice_h", "value": 9.0, "unit": "ps", "uncertainty": 2.5}
    ]
    text = ask("show", "delays")
    for words in ("in force", "10.0 ± 2.5", "alice_h", "valid for 1 h", "note of"):
        assert words in text


def test_a_rollback_goes_to_the_one_before_or_to_that_of_a_run_and_is_recorded(ask: Any) -> None:
    assert ask("rollback", "delays", "--why", "a fibre was touched", "--json")["run"].endswith("9ab")
    assert [c["in_force"] for c in ask("list", "--json")] == [False, True, False]
    ask("rollback", "delays", "--to", "8ab", "--why", "that one too")
    shown = ask("show", "delays", "--json")
    assert shown["run"].endswith("8ab")
    assert [r["why"] for r in shown["rollbacks"]] == ["a fibre was touched", "that one too"]
    assert all(r["who"] for r in shown["rollbacks"])
    assert "before that of" in ask("rollback", "delays", "--why", "again", code=2)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["show", "delay"], "there is no calibration 'delay'; allowed: delays; did you mean 'delays'?"),
        (["show", "delays", "--run", "7ab"], "there is no calibration 'delays' by a run 7ab"),
        (["show", "delays", "--run", "2026"], "3 runs are named 2026"),
        (["rollback", "delays"], "Missing option '--why'"),
    ],
)
def test_what_is_not_there_is_a_usage_error(ask: Any, arguments: list[str], problem: str) -> None:
    assert problem in ask(*arguments, code=2)


def test_of_two_testbeds_one_has_to_be_chosen(ask: Any, runs: Path) -> None:
    store(runs, "other", "2026-11-22T11:00:00Z", 11.0, testbed="local")
    assert "local (simulated), nyc (simulated); choose with --testbed" in ask("show", "delays", code=2)
    assert ask("show", "delays", "--testbed", "local", "--json")["run"] == "other"
