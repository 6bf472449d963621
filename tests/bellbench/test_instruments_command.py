"""`bellbench instruments`: in short, in full for one model, as JSON, and with a broken driver among them."""

import json
from importlib.metadata import EntryPoint

import pytest

from bellbench.cli import call
from drivers import catalog


def test_the_list_has_every_model_and_how_it_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["instruments"]) == 0
    out = capsys.readouterr().out
    heads = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert heads == list(catalog.models())
    laser = out.partition("\ntoptica_dlcpro  ")[2].partition("\nwhiterabbit")[0]
    assert laser.startswith("TOPTICA Photonics, Laser, address: tcp\n")
    assert "    max_power: power, like 20 mW (required)" in laser
    assert "conformance suite with faults of the wire, never on real hardware" in laser


def test_one_model_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["instruments", "toptica_dlcpro"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "    control power: 0 W to 60 mW" in lines
    assert "    control emission: on or off" in lines
    assert "    protocol: toptica_dlcpro.md, completeness 3" in lines
    assert any(line.startswith("    doubt: That a refused setting") for line in lines)


def test_json_has_all_facts_in_si_units(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["instruments", "singlequantum_websq", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["capability"] == "NanowireBias"
    assert set(entry["capabilities"]) == {"NanowireBias", "ClickCounter", "LatchSensor"}
    bias = next(c for c in entry["controls"] if c["name"] == "bias.1 to bias.4")
    assert (bias["limits"], bias["unit"], bias["energises"]) == ([0.0, 20e-6], "A", True)
    assert entry["tried"]["conformance"] is True
    assert entry["tried"]["hardware"] == []
    assert any("BiasVoltage" in doubt for doubt in entry["doubts"])


def test_an_unknown_model_gets_the_nearest_right_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["instruments", "toptica_dlpro"]) == 2
    assert "did you mean 'toptica_dlcpro'?" in capsys.readouterr().err


def test_a_broken_driver_of_somebody_else_hides_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    announced = catalog._announced()
    announced["gone"] = EntryPoint("gone", "no.such.module:Driver", catalog.GROUP)
    monkeypatch.setattr(catalog, "_announced", lambda: announced)
    assert call(["instruments"]) == 0
    out = capsys.readouterr().out
    assert "gone  (the driver cannot be loaded: No module named 'no')" in out
    assert "thorlabs_pm100d  Thorlabs" in out
