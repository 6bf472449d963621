"""Drills: whatever happens to a run, emission is off and bias is down on the bench within two seconds.

A bench stands in a process of its own, like one of glass: it goes on when a run dies. Runs are those of
`bellbench run`, on the addresses of that bench, so with a guardian beside them. In each step of a swapping
run something goes wrong, and the bench is asked when it was dark: what its light field does counts, not what
a driver or a record says. Then the run has to be listed with the right state and reason, every byte that was
acknowledged has to be readable, and the next run has to find nothing in its way. The figure is printed:

    SIGKILL in measure_swapping: dark after 0.05 s

Counted from the moment of the signal; from the raising of an exception, a deadline, a full disk; and for an
instrument that is silent or gone, from the moment when the run knows, since nobody knows of it who has not
asked. In the suite every failure and every step occurs once; `-m long` does them all.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from experiments.archive.catalogue import Catalogue
from experiments.archive.recovery import GUARDIAN, held
from timetags.files.lines import objects_of

HERE = Path(__file__).parent
CONFIGS = Path(__file__).parents[2] / "configs"
DARK_WITHIN_S = 2.0
"""Issue E and ecosystem.md 8."""
ATTEMPTS = 2
"""So many runs may be begun for one drill. What happens before the drill is not under test here, and on a
computer that is busy with other tests a run may be so late that its guardian takes it for one that hangs."""
STEPS = ("bring_up", "calibrate_delays", "measure_swapping", "wait")
PLAN = """plan:
  - bring_up: {power: {alice_pump: 20 mW, bob_pump: 20 mW}, bias: {hub_nanowires: 17 uA}}
  - calibrate_delays: {duration: %s, search: 8 ms}
  - measure_swapping: {bases: [ZZ], dwell: %s}
  - wait: {duration: %s}
"""
SHORT_S, LONG_S = "400 ms", "20 s"


@dataclass(frozen=True)
class Failure:
    """What happens, and how the run is to be listed then. `within`: it comes from the run's own process."""

    state: str
    exit_code: int | None
    reason: str
    within: bool = False


FAILURES = {
    "exception": Failure("failed", 1, "ZeroDivisionError: a drill", within=True),
    "deadline": Failure("failed", 3, "not done within", within=True),
    "full disk": Failure("failed", 6, "no space left", within=True),
    "silence": Failure("failed", 4, "alice_hwp"),
    "disconnect": Failure("failed", 4, "hub_tagger"),
    "SIGINT": Failure("aborted", 130, "aborted"),
    "SIGTERM": Failure("aborted", 130, "aborted"),
    "SIGKILL": Failure("interrupted", None, "the process of the run is gone"),
    "SIGSTOP": Failure("interrupted", None, "was halted, and was killed"),
    "the guardian's death": Failure("aborted", 4, "the guardian is gone"),
}
SUITE = (
    ("exception", "calibrate_delays"),
    ("deadline", "calibrate_delays"),
    ("full disk", "calibrate_delays"),
    ("silence", "bring_up"),
    ("disconnect", "bring_up"),
    ("SIGINT", "bring_up"),
    ("SIGTERM", "wait"),
    ("SIGKILL", "measure_swapping"),
    ("SIGSTOP", "calibrate_delays"),
    ("the guardian's death", "bring_up"),
)


def until(condition: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """Look until something is so. The drills are about what processes do to each other by the wall clock."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)
    return found


class DrillBench:
    """The bench in a process of its own, and an experiment on its addresses."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], addresses: dict[str, str]) -> None:
        self.folder, self.addresses, self.runs = folder, addresses, folder / "runs"
        self._process = process
        self.began = 0

    def inflict(self, instrument: str, **faults: bool) -> None:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"instrument": instrument, **faults}), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "done\n"

    def truth(self) -> list[dict[str, float]]:
        """What the light field did, oldest first."""
        return [json.loads(line) for line in (self.folder / "truth.jsonl").read_text().splitlines()]

    def lit(self, step: str) -> bool:
        last = self.truth()[-1]
        return last["bias_a"] > 0 and (step == "bring_up" or last["light_w"] > 0)

    def dark_since(self, moment: float) -> float | None:
        """When it was dark after a moment, if it is; what flickers up again does not count."""
        truth = self.truth()
        if truth[-1]["light_w"] or truth[-1]["bias_a"]:
            return None
        lit = [n for n, seen in enumerate(truth) if seen["light_w"] or seen["bias_a"]]
        return max(truth[lit[-1] + 1]["t"], moment) if lit else moment

    def experiment(self, step: str = "") -> Path:
        """An experiment file that is long in one step."""
        self.began += 1
        text = (CONFIGS / "nyc_swapping.yaml").read_text()
        durations = tuple(LONG_S if kind == step else SHORT_S for kind in STEPS[1:])
        text = re.sub(r"(?s)plan:\n.*?\n\n", lambda _: PLAN % durations + "\n", text)
        file = self.folder / f"{self.began}.yaml"
        file.write_text(f"{text}reconnection: {{deadline: 0 s}}\n")
        return file


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrillBench]:
    """The deployed testbed with few pairs, served for as long as drills go on."""
    folder = tmp_path_factory.mktemp("drills")
    (folder / "testbeds").mkdir()
    text = (CONFIGS / "testbeds/nyc.yaml").read_text().replace("pair_rate: 9.2 MHz", "pair_rate: 250 kHz")
    text = text.replace("start_latency: 5 ms", "start_latency: 100 us")
    text = re.sub(r"unpaired_(signal|idler)_rate: [\d.]+ kHz", r"unpaired_\1_rate: 1 kHz", text)
    (folder / "testbeds/simulated.yaml").write_text(text)
    with subprocess.Popen(
        [sys.executable, HERE / "bench_process.py", folder / "testbeds/simulated.yaml",
         folder / "truth.jsonl"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        addresses = json.loads(process.stdout.readline())
        (folder / "testbeds/nyc.yaml").write_text(at(text, addresses))
        yield DrillBench(folder, process, addresses)
        process.stdin.close()  # type: ignore[union-attr]


def at(testbed: str, addresses: dict[str, str]) -> str:
    """A testbed file with real addresses."""
    for name, address in addresses.items():
        testbed, found = re.subn(
            rf"(\b{name}:\s*\{{[^}}]*?address: )sim\b", lambda m, a=address: f"{m[1]}'{a}'", testbed
        )
        assert found == 1, name
    return testbed


@pytest.fixture(scope="session")
def runs_process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, HERE / "runs_process.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()  # type: ignore[union-attr]


class DrilledRun:
    """A run that goes on."""

    def __init__(self, bench: DrillBench, forks: subprocess.Popen[str], failure: str, step: str) -> None:
        file = bench.experiment(step)
        self.out, self.fire, self.known = (file.with_suffix(f".{word}") for word in ("out", "fire", "known"))
        before = set(bench.runs.glob("*")) if bench.runs.exists() else set()
        order = {
            "arguments": [
                "run",
                str(file),
                "--runs",
                str(bench.runs),
                "--seed",
                "3",
                "--no-report",
                "--quiet",
            ],
            "failure": failure,
            **{word: str(getattr(self, word)) for word in ("out", "fire", "known")},
        }
        assert forks.stdin
        assert forks.stdout
        print(json.dumps(order), file=forks.stdin, flush=True)
        self._answers = forks.stdout
        self._ended = False
        self.number = int(self._answers.readline())
        self.folder = until(lambda: self._new(bench.runs, before), f"a run folder; {self.said}")

    def _new(self, runs: Path, before: set[Path]) -> Path | None:
        folders = set(runs.glob("*-*-*")) - before if runs.exists() else set()
        return folders.pop() if folders else None

    @property
    def said(self) -> str:
        return self.out.read_text() if self.out.exists() else ""

    def documents(self) -> list[dict[str, Any]]:
        journal = self.folder / "documents.jsonl"
        return list(objects_of(journal.read_bytes().split(b"\n"))) if journal.exists() else []

    @property
    def has_ended(self) -> bool:
        return not psutil.pid_exists(self.number)

    def is_in(self, step: str) -> bool:
        """Whether a step goes on, by the last words of the journal about any."""
        journal = self.folder / "documents.jsonl"
        said = re.findall(
            rb'"kind":"(\w+)",[^{}]*"phase":"(\w+)"', journal.read_bytes() if journal.exists() else b""
        )
        return said[-1:] == [(step.encode(), b"began")]

    def has_heard(self, event: str) -> bool:
        journal = self.folder / "documents.jsonl"
        return f'"event":"{event}"'.encode() in journal.read_bytes()

    def guardian(self) -> psutil.Process:
        [guardian] = [
            child
            for child in psutil.Process(self.number).children()
            if "bellbench.guardian" in child.cmdline()
        ]
        return guardian

    def end(self) -> int:
        """Wait for its end; returns its exit status."""
        self._ended = True
        return int(self._answers.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:  # the drill has failed; the next one shall not
            with suppress(ProcessLookupError):
                os.kill(self.number, signal.SIGKILL)
            self.end()


@contextmanager
def fault(bench: DrillBench, failure: str) -> Iterator[None]:
    """An instrument that is silent or gone, for a while."""
    where = {"silence": ("alice_hwp", "silent"), "disconnect": ("hub_tagger", "gone")}.get(failure)
    if where:
        bench.inflict(where[0], **{where[1]: True})
    yield
    if where:
        bench.inflict(where[0], **{where[1]: False})


def drill(bench: DrillBench, forks: subprocess.Popen[str], failure: str, step: str) -> float:
    """One drill. Returns how long the bench was not dark, in seconds."""
    for _ in range(ATTEMPTS):
        with DrilledRun(bench, forks, failure, step) as run:
            if (
                until(lambda: run.has_ended or (run.is_in(step) and bench.lit(step)), step)
                and not run.has_ended
            ):
                return go_through(bench, run, failure, step)
    raise AssertionError(f"no run came as far as {step}; the last one said: {run.said}")


def go_through(bench: DrillBench, run: DrilledRun, failure: str, step: str) -> float:
    """What happens to a run that is in this step."""
    expected = FAILURES[failure]
    time.sleep(0.2 if step != "bring_up" else 0.0)  # somewhere within the step
    guardian = run.guardian()
    moment = time.time()
    run.fire.touch()  # first of all: what is known before it does not count
    with fault(bench, failure):
        if failure == "the guardian's death":
            guardian.kill()
        elif failure.startswith("SIG"):
            if failure == "SIGINT":  # the first asks the run to stop at a safe point, the second aborts it
                os.kill(run.number, signal.SIGINT)
                until(lambda: run.has_heard("asked"), f"the first to be heard; {run.said}")
                moment = time.time()
            os.kill(run.number, getattr(signal, failure))
        if expected.within or failure in ("silence", "disconnect"):
            until(run.known.exists, f"the failure; {run.said}")
            moment = float(until(run.known.read_text, "the moment"))
        dark = until(lambda: bench.dark_since(moment), f"the dark; {run.said}", 30.0)
        status = run.end()
    guardian.wait(30.0)
    took_s: float = dark - moment
    print(f"{failure} in {step}: dark after {took_s:.2f} s")  # noqa: T201 - the issue asks for the figure

    if expected.exit_code is not None:
        assert status == expected.exit_code, run.said
    with Catalogue(bench.runs) as catalogue:
        [entry] = [entry for entry in catalogue.entries() if entry.name == run.folder.name]
    assert entry.state == expected.state
    about = json.loads((run.folder / "run.json").read_text())
    assert expected.reason in about["message"]
    if failure in ("SIGKILL", "SIGSTOP"):
        outcomes = json.loads((run.folder / GUARDIAN).read_text())["safe_state"]
        assert [line["name"] for line in run.documents()][-1] == "stop"
    else:
        outcomes = about["safe_state"]
        assert not (run.folder / GUARDIAN).exists()
    lost = {"silence": ["alice_hwp"], "disconnect": ["hub_tagger"]}.get(failure, [])
    assert [outcome["name"] for outcome in outcomes if outcome["problem"]] == lost
    assert len(outcomes) == len(bench.addresses)
    whole, wrong = held(run.folder)
    assert wrong == []
    if STEPS.index(step) > 1:
        # What was acknowledged: raw tags of whole segments, half a second and more from three taggers.
        assert sum(segment.rows for segments in whole.values() for segment in segments) > 1000
    return took_s


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("failure", "step"), SUITE)
def test_whatever_happens_to_a_run_its_bench_is_dark_within_two_seconds(
    bench: DrillBench, runs_process: subprocess.Popen[str], failure: str, step: str
) -> None:
    assert drill(bench, runs_process, failure, step) < DARK_WITHIN_S


@pytest.mark.timeout(300)
def test_after_all_that_a_run_completes_and_its_guardian_had_nothing_to_do(
    bench: DrillBench, runs_process: subprocess.Popen[str]
) -> None:
    run = DrilledRun(bench, runs_process, "", "")
    assert run.end() == 0, run.said
    assert json.loads((run.folder / "run.json").read_text())["state"] == "completed"
    assert not (run.folder / GUARDIAN).exists()
    assert "verified" not in run.said


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_in_every_step(
    bench: DrillBench, runs_process: subprocess.Popen[str], failure: str, step: str
) -> None:
    assert drill(bench, runs_process, failure, step) < DARK_WITHIN_S


def test_the_suite_has_every_failure_and_every_step() -> None:
    assert {failure for failure, _ in SUITE} == set(FAILURES)
    assert {step for _, step in SUITE} == set(STEPS)
