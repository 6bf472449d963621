"""A hundred instruments of mixed kinds, driven by one process: how fast they open, how many answers they
give, and whether one holds up another.

They are the models of the bench of one of each, several of each, served by `bellbench sim` in a process of
its own, so that what is measured are drivers, transports and the event loop. One of them, behind a blocking
library, never answers.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from bellbench.lines import drivers_of
from benchmarks.figure import Figure
from drivers.capabilities import Control, Instrument
from drivers.errors import InstrumentError, RefusedError
from experiments.config.files import load_testbed

ONE_OF_EACH = Path(__file__).parents[1] / "configs/testbeds/one_of_each.yaml"
INSTRUMENTS = 100
SILENT = "thorlabs_pm100d_1"
"""The one that never answers: behind pyvisa, so that its driver's worker thread hangs until the deadline."""
PERIOD_S = 0.1
POLLED_S = 10.0
LOOK_S = 0.005
"""How often the event loop is asked whether it is on time."""


@dataclass
class Course:
    """What came about while all were polled; times in seconds."""

    answers: int = 0
    errors: int = 0
    waits: list[float] = field(default_factory=list)
    """From when a reading was due to its value; without those of the silent instrument."""
    stalls: list[tuple[float, float]] = field(default_factory=list)
    """How late the event loop was, each time it was looked at, and how long it had been at work itself; the
    rest it had to wait for a core or for the interpreter."""


def figures(polled_s: float = POLLED_S, instruments: int = INSTRUMENTS) -> Iterator[Figure]:
    """`instruments.open_s`, `instruments.round_trips_per_s` and `instruments.longest_stall_ms`."""
    with TemporaryDirectory() as folder:
        testbed = Path(folder) / "hundred.yaml"
        testbed.write_text(yaml.safe_dump(many_of_each(instruments)))
        opened, course, models = asyncio.run(_measure(testbed, polled_s))
    slowest = max(opened, key=opened.__getitem__)
    yield Figure(
        "instruments.open_s", opened[slowest],
        f"the longest of {len(opened)} opened at once, {slowest}; half take less than "
        f"{sorted(opened.values())[len(opened) // 2]:.2f} s; one more never answers",
    )  # fmt: skip
    yield Figure(
        "instruments.round_trips_per_s", course.answers / polled_s,
        f"readings, of one round trip or more, from {len(opened)} instruments of {models} models at "
        f"{1 / PERIOD_S:g} Hz for {polled_s:g} s; {course.errors} errors; 99 % have come "
        f"{1e3 * quantiles(course.waits, n=100)[-1]:.0f} ms after they were due, the last "
        f"{1e3 * max(course.waits):.0f} ms",
    )  # fmt: skip
    stall, at_work = max(course.stalls)
    longest_work = max(work for _, work in course.stalls)
    most = quantiles([late for late, _ in course.stalls], n=100)[-1]
    yield Figure(
        "instruments.longest_stall_ms", 1e3 * stall,
        f"of the event loop meanwhile, which was at work for {1e3 * at_work:.0f} ms of it and otherwise "
        f"waited for a core; it was never at work for more than {1e3 * longest_work:.0f} ms, and 99 % of "
        f"stalls are below {1e3 * most:.0f} ms",
    )  # fmt: skip


def many_of_each(number: int) -> dict[str, Any]:
    """A testbed file of so many instruments: those of the bench of one of each, again and again."""
    testbed: dict[str, Any] = yaml.safe_load(ONE_OF_EACH.read_text())
    models, known = testbed["instruments"], testbed["simulation"]["taggers"]
    entries, taggers = {}, {}
    for n in range(number):
        model = list(models)[n % len(models)]
        name = f"{model}_{n // len(models)}"
        entries[name] = dict(models[model])
        if "taggers" in entries[name].get("settings", {}):
            entries[name]["settings"] = {"taggers": []}
        if model in known:
            taggers[name] = known[model]
    return testbed | {
        "instruments": entries,
        "simulation": {"taggers": taggers, "faults": {SILENT: {"silent": True}}},
    }


async def _measure(testbed: Path, polled_s: float) -> tuple[dict[str, float], Course, int]:
    loaded = load_testbed(testbed).testbed
    async with _served(testbed) as addresses:
        drivers = drivers_of(loaded, addresses)
        silent = drivers.pop(SILENT)
        try:
            lost = asyncio.create_task(_open(silent))  # it takes as long as it takes
            times = await asyncio.gather(*map(_open, drivers.values()))
            course = await _poll([*drivers.values(), silent], silent, polled_s)
            await asyncio.gather(lost, return_exceptions=True)
        finally:
            await asyncio.gather(*(driver.close() for driver in (*drivers.values(), silent)))
    return dict(zip(drivers, times, strict=True)), course, len({type(driver) for driver in drivers.values()})


@asynccontextmanager
async def _served(testbed: Path) -> AsyncIterator[Mapping[str, str]]:
    """The addresses of the bench, in a process of its own."""
    command = [str(Path(sys.executable).with_name("bellbench")), "sim", str(testbed), "--json"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, limit=1 << 20)
    assert process.stdout is not None
    try:
        told = json.loads(await process.stdout.readline())
        yield {place["name"]: place["address"] for place in told["instruments"]}
    finally:
        os.kill(process.pid, signal.SIGINT)
        await process.wait()


async def _open(driver: Instrument) -> float:
    """Seconds that it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await driver.open()
    return loop.time() - begun


async def _poll(drivers: list[Instrument], silent: Instrument, polled_s: float) -> Course:
    """Read one control of each at 10 Hz."""
    course = Course()
    end = asyncio.get_running_loop().time() + polled_s
    watching = asyncio.create_task(_watch(course))
    await asyncio.gather(*(_poll_one(driver, course, end, driver is silent) for driver in drivers))
    watching.cancel()
    return course


async def _poll_one(driver: Instrument, course: Course, end: float, is_silent: bool) -> None:
    loop, control = asyncio.get_running_loop(), _polled(driver)
    due = loop.time()
    while due < end:
        try:
            async with asyncio.timeout_at(end if is_silent else None):
                await control.read()
            course.answers += 1
        except RefusedError:
            course.answers += 1  # such as a motor says that has not been homed
        except (InstrumentError, TimeoutError):
            course.errors += not is_silent
        if not is_silent:
            course.waits.append(loop.time() - due)
        due = max(due + PERIOD_S, loop.time())
        await asyncio.sleep(due - loop.time())


def _polled(driver: Instrument) -> Control:
    """What is read of it: a set-point where it has one, which it can say at once."""
    controls = driver.controls()
    return next((control for control in controls if control.write is not None), controls[0])


async def _watch(course: Course) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due, worked = loop.time() + LOOK_S, time.thread_time()
        await asyncio.sleep(LOOK_S)
        course.stalls.append((loop.time() - due, time.thread_time() - worked))
