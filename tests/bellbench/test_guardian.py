"""The guardian's watch: when it acts, when it does not, and that it is quick. The rest is in the drills."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bellbench.guardian import BUSY_S, Alarm, Charge, Orders, act, computes, end_process, is_halted, watch
from drivers.lasers.toptica_dlcpro import TopticaDlcPro
from experiments.config.files import load_testbed
from tests.experiments.fakes import FakeLaser

NYC = Path(__file__).parents[2] / "configs/testbeds/nyc.yaml"
LEASE_S = 0.05


def orders(process: int, folder: Path = Path("/nowhere")) -> Orders:
    return Orders(folder, process, LEASE_S, (), ())


class Run:
    """The run's end of the two lines."""

    def __init__(self) -> None:
        self.line, self._say = os.pipe()
        self._hear, self.answers = os.pipe()

    def say(self, words: bytes) -> None:
        os.write(self._say, words)

    def hear(self) -> bytes:
        return os.read(self._hear, 100)

    def die(self) -> None:
        os.close(self._say)
        self._say = -1

    def close(self) -> None:
        for end in (self.line, self._say, self._hear, self.answers):
            if end >= 0:
                os.close(end)


@pytest.fixture
def run() -> Iterator[Run]:
    lines = Run()
    yield lines
    lines.close()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing, and holds a line open while it lives."""
    with subprocess.Popen([sys.executable, "-c", "print(end='.', flush=True); input()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.read(1) == b"."
        yield process
        process.kill()


def test_a_run_that_ends_well_is_let_go(run: Run) -> None:
    run.say(b"beat\nbeat\ndone\n")
    assert watch(orders(os.getpid()), run.line, run.answers) is None


def test_a_line_that_closes_is_an_alarm_also_before_the_first_heartbeat_and_within_a_word(run: Run) -> None:
    run.say(b"beat\ndon")
    run.die()
    alarm = watch(orders(os.getpid()), run.line, run.answers)
    assert alarm is not None
    assert not alarm.hung
    assert run.hear() == b"beat\n"


def test_a_run_that_sleeps_has_no_more_than_its_lease(run: Run, sleeper: subprocess.Popen[bytes]) -> None:
    while computes(sleeper.pid):  # it may still be on its way into `input`
        os.sched_yield()
    run.say(b"beat\n")
    alarm = watch(orders(sleeper.pid), run.line, run.answers)
    assert alarm is not None
    assert alarm.hung
    assert f"no sign of life for {LEASE_S:g} s" in alarm.why


def test_a_run_that_computes_is_waited_for_a_little_longer(run: Run) -> None:
    run.say(b"beat\n")
    alarm = watch(orders(os.getpid()), run.line, run.answers)  # this very thread runs
    assert alarm is not None
    assert f"{LEASE_S + BUSY_S:g} s" in alarm.why


def test_a_run_that_is_halted_is_not_waited_for(run: Run, sleeper: subprocess.Popen[bytes]) -> None:
    os.kill(sleeper.pid, signal.SIGSTOP)
    os.waitpid(sleeper.pid, os.WUNTRACED)
    assert is_halted(sleeper.pid)
    run.say(b"beat\n")
    alarm = watch(replace(orders(sleeper.pid), lease_s=60.0), run.line, run.answers)
    assert alarm == Alarm("the process of the run was halted", hung=True)
    os.kill(sleeper.pid, signal.SIGCONT)
    os.waitpid(sleeper.pid, os.WCONTINUED)
    assert not is_halted(sleeper.pid)


def test_a_process_that_hangs_is_killed_for_sure(sleeper: subprocess.Popen[bytes]) -> None:
    assert sleeper.stdout
    os.kill(sleeper.pid, signal.SIGSTOP)
    os.waitpid(sleeper.pid, os.WUNTRACED)  # it stops when it is next scheduled
    assert not computes(sleeper.pid)
    assert end_process(orders(sleeper.pid), sleeper.stdout.fileno())
    assert sleeper.wait() == -signal.SIGKILL


def test_orders_carry_settings_of_every_driver_as_they_were_checked() -> None:
    stands = load_testbed(NYC).testbed.instruments
    charges = tuple(
        Charge(n, entry.model, "tcp://127.0.0.1:9", entry.settings) for n, entry in stands.items()
    )
    sent = Orders(Path("/runs/one"), 7, 1.2, ("alice_pump",), charges)
    line = sent.to_line()
    assert line.count(b"\n") == 1
    assert Orders.from_line(line) == sent
    driver = charges[0].driver()
    assert isinstance(driver, TopticaDlcPro)
    assert driver.power_limits.high == 0.06


def test_a_folder_that_cannot_be_written_does_not_keep_it_from_making_safe(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = FakeLaser("good"), FakeLaser("bad")
    bad.safe_fails = True
    assert not act(
        orders(1, tmp_path / "gone"), [good, bad], Alarm("the process of the run is gone"), run.line
    )
    assert good.log == ["safe good", "is safe good"]
    said = capsys.readouterr().err
    assert "made 1 of 2 instruments safe" in said
    assert "NOT VERIFIED SAFE, go and look:\nbad: " in said


def test_it_loads_nothing_that_is_slow() -> None:
    heavy = "numba, pyarrow, scipy, matplotlib, pyvisa, h5py, starlette, sim_instruments, click, rich"
    code = f"import sys, bellbench.guardian; print([m for m in {heavy.split(', ')} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
