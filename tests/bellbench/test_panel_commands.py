"""`bellbench get`, `set` and `doctor` over the bench of one source, and over broken instruments."""

import json
from pathlib import Path

import pytest

from bellbench.cli import call

TESTBED = str(Path(__file__).parents[2] / "configs" / "testbeds" / "one_source.yaml")
BENCH = """
testbed: small
nodes: {lab: {title: Laboratory}}
instruments:
  meter: {node: lab, model: thorlabs_pm100d, address: sim}
  laser: {node: lab, model: toptica_dlcpro, address: sim, settings: SETTINGS}
simulation:
  faults: {FAULTS}
"""
SETTINGS = "{threshold_current: 60 mA, slope_efficiency: 0.8 W/A, max_power: 60 mW}"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return testbed(tmp_path, "")


def testbed(folder: Path, faults: str) -> Path:
    file = folder / "small.yaml"
    file.write_text(BENCH.replace("SETTINGS", SETTINGS).replace("FAULTS", faults))
    return file


testbed.__test__ = False  # type: ignore[attr-defined]


def test_get_reads_the_whole_panel(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["get", "laser", "--testbed", str(small)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["power", "emission"]
    assert "(0 W to 60 mW)" in lines[0]
    assert lines[1].split() == ["emission", "off"]


def test_get_gives_json_in_si_units(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["get", "laser", "power", "--testbed", str(small), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "power": {"value": 0.0, "unit": "W", "limits": [0.0, 0.06]}
    }


def test_set_reads_back_with_its_unit(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["set", "meter", "wavelength", "795 nm", "--testbed", str(small)]) == 0
    assert capsys.readouterr().out.split() == ["wavelength", "795", "nm"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["set", "laser", "power", "10 mW"], "Say --energise if you mean it"),
        (["set", "laser", "emission", "on"], "Say --energise if you mean it"),
        (["set", "meter", "power", "1 W"], "power can only be read"),
        (["set", "meter", "wavelength", "795"], "has no unit of length"),
        (["set", "meter", "wavelength", "1 W"], "'W' is a unit of power"),
        (["set", "laser", "emission", "perhaps"], "neither on nor off"),
        (["get", "lasser"], "did you mean 'laser'"),
        (["get", "laser", "powr"], "did you mean 'power'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(
    small: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert call([*arguments, "--testbed", str(small)]) == 2
    assert complaint in capsys.readouterr().err


def test_a_value_outside_the_limits_is_an_error_of_the_instrument(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["set", "laser", "power", "70 mW", "--energise", "--testbed", str(small)]) == 3
    assert "outside 0 to 0.06 W" in capsys.readouterr().err


def test_emission_needs_the_word_and_going_dark_does_not(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["set", "laser", "emission", "on", "--energise", "--testbed", str(small)]) == 0
    assert capsys.readouterr().out.split() == ["emission", "on"]
    assert call(["set", "laser", "emission", "off", "--testbed", str(small)]) == 0


def test_the_testbed_may_come_from_the_environment(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BELLBENCH_TESTBED", str(small))
    assert call(["get", "meter", "wavelength"]) == 0
    assert "nm" in capsys.readouterr().out


def test_the_doctor_finds_everybody_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor", TESTBED, "--json", "--no-search"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(entry["identity"]["model"] for entry in told["instruments"])
    lasers = [e["state"]["emission"]["value"] for e in told["instruments"] if "emission" in e["state"]]
    assert lasers
    assert not any(lasers)


def test_the_doctor_names_who_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor", str(testbed(tmp_path, "laser: {refuse: true}")), "--no-search"]) == 3
    page = capsys.readouterr().out
    assert "does not answer" in page
    assert "PM100D" in page


def test_a_fault_of_the_wire_that_does_not_exist_is_refused_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["check", str(testbed(tmp_path, "laser: {latency: 20 mW}, lazer: {silent: true}"))]) == 2
    told = capsys.readouterr().err
    assert "'mW' is a unit of power, not of time" in told
    assert "'lazer' is no instrument of this testbed; allowed: meter, laser; did you mean 'laser'?" in told
