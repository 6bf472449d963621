"""`bellbench check --full`: what it finds, topic by topic, and the exit code of each."""

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bellbench.cli import call
from drivers.capabilities import ClockStatus
from drivers.timing.whiterabbit_switch import WhiteRabbitSwitch

CONFIGS = Path(__file__).parents[2] / "configs"
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Check with the options of a test; gives the findings by their topics."""

    def asked(file: Path, *options: str, code: int) -> dict[str, Any]:
        arguments = ["check", "--full", str(file), "--runs", str(tmp_path / "runs"), "--json", *options]
        assert call(arguments) == code, capsys.readouterr().out[-2000:]
        told = json.loads(capsys.readouterr().out)
        assert told["ok"] is (code == 0)
        return {finding["topic"]: finding for finding in told["findings"]}

    return asked


def problems(found: dict[str, Any]) -> dict[str, Sequence[str]]:
    return {topic: finding["problems"] for topic, finding in found.items() if finding["problems"]}


NYC = CONFIGS / "nyc_swapping.yaml"


def test_without_hardware_every_point_of_a_sweep_is_looked_at(ask: Ask) -> None:
    found = ask(NYC, "--offline", "--sweep", "plan.2.measure_swapping.dwell=1 s:100 s:3", code=0)
    assert list(found) == ["set-points", "calibrations", "time", "disk", "secrets"]
    assert "at 3 points" in found["set-points"]["found"]
    assert problems(found) == {}


def test_angles_of_every_step_are_held_to_the_limits_of_the_files(ask: Ask) -> None:
    """HWP and QWP of a spoke stand between 0 and 45 deg in a swapping experiment; 10 deg are not enough."""
    limit = "testbed.limits={alice_hwp.angle: {below: 10 deg}}"
    found = ask(NYC, "--offline", "--set", limit, code=2)
    assert any("measure_swapping: angle of alice_hwp would be" in p for p in found["set-points"]["problems"])


def test_a_secret_that_cannot_be_had_is_named_and_not_told(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BROKER_USER", "ada")
    secret = tmp_path / "password"
    secret.write_text("hunter2")
    secret.chmod(0o644)
    change = f"telemetry={{username: '${{env:BROKER_USER}}', password: '${{file:{secret}}}'}}"
    found = ask(NYC, "--offline", "--set", change, code=2)
    (problem,) = found["secrets"]["problems"]
    assert "has mode 0644" in problem
    assert "hunter2" not in json.dumps(found)
    secret.chmod(0o600)
    assert "2 can be had" in ask(NYC, "--offline", "--set", change, code=0)["secrets"]["found"]


def test_a_disk_that_is_too_small_is_six(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """602 s of raw tags at 60 MB/s and 0.2 GB besides are 36.3 GB."""
    status = os.statvfs("/")

    def usage(path: object) -> Any:
        return type("Usage", (), {"free": 30_000_000_000, "total": status.f_blocks})

    monkeypatch.setattr("experiments.engine.readiness.shutil.disk_usage", usage)
    found = ask(NYC, "--offline", "--set", "record.tags=raw", code=6)
    assert "30.0 GB free" in found["disk"]["problems"][0]
    assert "36.3 GB may be needed" in found["disk"]["problems"][0]
    assert ask(NYC, "--offline", code=0)["disk"]["problems"] == []


def test_a_calibration_that_has_aged_out_is_two(ask: Ask, tmp_path: Path) -> None:
    made = datetime.now(UTC) - timedelta(hours=5)
    record = {"name": "delays", "testbed": "nyc", "simulated": True, "utc": made.isoformat()}
    (tmp_path / "runs/earlier").mkdir(parents=True)
    (tmp_path / "runs/earlier/calibrations.json").write_text(json.dumps({"delays": record}))
    plan = "plan=[measure_swapping: {bases: [ZZ], dwell: 1 s}]"
    policy = "calibrations={delays: {valid_for: 1 h, when_old: %s}}"
    found = ask(NYC, "--offline", "--set", plan, "--set", policy % "refuse", code=2)
    assert "that of earlier is 5 h old, it holds for 1 h" in found["calibrations"]["problems"][0]
    found = ask(NYC, "--offline", "--set", plan, "--set", policy % "renew", code=0)
    assert "calibrate_delays comes first" in found["calibrations"]["found"]


SMALL = """testbed: small
nodes: {here: {}}
instruments:
  meter: {node: here, model: thorlabs_pm100d, address: sim}
  laser:
    {node: here, model: toptica_dlcpro, address: sim,
     settings: {threshold_current: 60 mA, slope_efficiency: 0.8 W/A, max_power: 60 mW}}
  clock: {node: here, model: whiterabbit_switch, address: sim}
  tagger: {node: here, model: idq_id900, address: sim}
clocks: {house: {taggers: [tagger], monitor: clock}}
beams: {tap: {laser: laser, wavelength: 780 nm, path: [meter]}}
interlocks: {dark: {when: meter.power > 1 uW, action: abort, message: Close the shutter}}
simulation:
  clocks: {house: {frequency_error: 1e-11}}
  taggers: {tagger: {start_latency: 5 ms, noise_counts: 1 Hz}}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path / "small.yaml"


def test_a_bench_is_as_its_testbed_says_and_a_stranger_on_it_is_three(
    ask: Ask, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["doctor", str(small), "--json", "--no-search"]) == 0
    who = {i["name"]: i["identity"] for i in json.loads(capsys.readouterr().out)["instruments"]}
    expect = "instruments.meter.expect={serial_number: '%s'}"
    found = ask(small, "--set", expect % who["meter"]["serial_number"], code=0)
    assert list(found) == ["instruments", "clocks", "interlocks"]
    assert found["instruments"]["found"] == "4 answer, 1 of them as the testbed expects"
    assert found["clocks"]["found"].startswith("1 of 1")
    assert found["interlocks"]["found"].startswith("1 of 1")
    found = ask(small, "--set", expect % "P12", "--set", "instruments.laser.expect={firmware: '9.9'}", code=3)
    assert found["instruments"]["problems"] == [
        f"meter (sim): serial number '{who['meter']['serial_number']}', expected 'P12'",
        f"laser (sim): firmware '{who['laser']['firmware']}', expected '9.9'",
    ]


def test_an_instrument_that_cannot_be_reached_leaves_the_rest_to_be_looked_at(ask: Ask, small: Path) -> None:
    found = ask(small, "--set", "simulation.faults={clock: {silent: true}}", code=3)
    assert any("clock" in problem for problem in found["instruments"]["problems"])
    assert found["interlocks"]["ok"]


def test_a_clock_that_follows_nothing_is_three(
    ask: Ask, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def status(_: WhiteRabbitSwitch) -> ClockStatus:
        return ClockStatus(False, None, {})

    monkeypatch.setattr(WhiteRabbitSwitch, "status", status)
    assert ask(small, code=3)["clocks"]["problems"] == [
        "house does not follow its reference, as clock has it"
    ]


def test_an_interlock_that_has_tripped_is_four_and_outranks_the_rest(ask: Ask, small: Path) -> None:
    dark = "interlocks.dark.when=meter.power > -1 W"
    found = ask(small, "--set", dark, "--set", "instruments.laser.expect={firmware: '9.9'}", code=4)
    (problem,) = found["interlocks"]["problems"]
    assert problem.startswith("interlock dark has tripped: meter.power > -1 W (meter.power ")
    assert problem.endswith("Close the shutter")
    warn = ask(small, "--set", dark, "--set", "interlocks.dark.action=warn", code=0)
    assert "interlock dark has tripped" in warn["interlocks"]["found"]


def test_people_read_a_table(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "--full", str(small), "--runs", str(tmp_path)]
    assert call(arguments) == 0
    assert "Ready to run" in capsys.readouterr().out
    assert call([*arguments, "--set", "interlocks.dark.when=meter.power > -1 W"]) == 4
    out = capsys.readouterr().out
    assert "Not ready to run" in out
    assert "interlocks   WRONG  interlock dark has tripped" in out
    assert "no problems found" not in out
