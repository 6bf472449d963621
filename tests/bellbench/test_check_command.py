"""`bellbench check` and `bellbench instruments`: what they print, their exit codes, what they import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bellbench.cli import COMMANDS, call
from bellbench.exit_codes import MEANING, ExitCode
from drivers.errors import ConnectError
from experiments.config.problems import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
HEAVY = {"numba", "pyvisa", "matplotlib", "pyarrow", "scipy", "zmq", "serial", "amqtt", "aiomqtt"}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """An experiment of which two things are wrong, one in each file."""
    (tmp_path / "testbeds").mkdir()
    for name, old, new in (
        ("nyc_swapping.yaml", "bsm_window: 800 ps", "bsm_window: 800 nm"),
        ("testbeds/nyc.yaml", "hub_bsm.a]", "hub_bsm.x]"),
    ):
        (tmp_path / name).write_text((CONFIGS / name).read_text().replace(old, new))
    return tmp_path / "nyc_swapping.yaml"


@pytest.mark.parametrize("name", ["nyc_swapping.yaml", "local_swapping.yaml", "testbeds/local.yaml"])
def test_shipped_files_check_clean(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", str(CONFIGS / name)]) == ExitCode.DONE
    out, err = capsys.readouterr()
    assert out.endswith(f"{CONFIGS / name}: no problems found\n")
    assert err == ""


def test_the_summary_names_places_light_set_points_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    call(["check", str(CONFIGS / "nyc_swapping.yaml")])
    out = capsys.readouterr().out
    for line in (
        "hub: Hub, 60 Hudson Street",
        "bob_source idler     bob_fibre -> bob_paddles -> hub_bsm.b",
        "bias 17 µA        (0 A to 20 µA)",
        "2.  calibrate_delays  2 s",
        "of which 10 min 2 s taking data",
    ):
        assert line in out


def test_problems_go_to_stderr_with_exit_code_2(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", str(broken)]) == ExitCode.CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith(f"{broken}:11:15: settings.bsm_window: 'nm' is a unit of length, not of time")
    assert second.startswith(f"{broken.parent}/testbeds/nyc.yaml:")
    assert "hub_bsm.x" in second


def test_json_carries_the_same_problems(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "--json", str(broken)]) == ExitCode.CONFIG
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    first = answer["problems"][0]
    assert (first["file"], first["line"], first["column"]) == (str(broken), 11, 15)
    assert first["path"] == "settings.bsm_window"


def test_json_of_a_good_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "--json", str(CONFIGS / "local_swapping.yaml")]) == ExitCode.DONE
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["experiment"], answer["recording_s"]) == (True, "local_swapping", 92.0)
    assert {"instrument": "alice_pump", "quantity": "power", "value": 0.02, "low": 0.0, "high": 0.06,
            "unit": "W"} in answer["set_points"]  # fmt: skip


def test_a_missing_file_is_a_problem_not_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "no/such.yaml"]) == ExitCode.CONFIG
    assert capsys.readouterr().err == "no/such.yaml:1:1: cannot be read: No such file or directory\n"


def test_the_catalogue_lists_the_units_of_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(["instruments", "--json"]) == ExitCode.DONE
    entries = {entry["model"]: entry for entry in json.loads(capsys.readouterr().out)}
    laser = entries["toptica_dlcpro"]
    assert (laser["capability"], laser["address_schemes"][0]) == ("Laser", "tcp")
    assert {s["name"]: s["kind"] for s in laser["settings"]}["max_power"] == "power"
    assert call(["instruments"]) == ExitCode.DONE
    assert "max_power: power, like 20 mW (required)" in capsys.readouterr().out


def test_a_mistyped_command_is_a_usage_error_that_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["chekc"]) == ExitCode.CONFIG
    assert "did you mean 'check'?" in capsys.readouterr().err


def test_help_lists_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--help"]) == ExitCode.DONE
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    first_words = {words[0] for words in lines if words}
    assert set(COMMANDS) | {str(code.value) for code in ExitCode} <= first_words
    assert set(MEANING) == set(ExitCode)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError([]), 2),
        (ConnectError("laser", "tcp://h:1", "refused", "Switch it on"), 3),
        (OSError(28, "No space left on device", "runs/x"), 6),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_of_commands_become_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("bellbench.commands.check.load", fail)
    assert call(["check", "x"]) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["check", str(CONFIGS / "nyc_swapping.yaml")]])
def test_help_and_check_import_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from bellbench.cli import call\n"
        f"code = call({arguments!r})\n"
        "print('MODULES', code, *{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, *modules = done.stdout.splitlines()[-1].removeprefix("MODULES ").split()
    assert code == "0"
    assert not HEAVY & set(modules)
