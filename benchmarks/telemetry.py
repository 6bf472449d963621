"""How many messages telemetry carries from a run to a subscriber, how long each takes, and how much a run is
slowed down by it.

Broker and subscriber are processes of their own, as in a laboratory; the publisher has its outbox on disk, as
in a run. What the broker of a run without one of its own costs, which works in the run's process, is in the
second of the slow-downs.
"""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Self
from unittest.mock import patch

import bellbench.session
from bellbench.session import Session
from benchmarks.figure import Figure
from experiments.config.files import load_experiment
from telemetry.line import Line
from telemetry.messages import Event, Rates
from telemetry.outbox import FILE, Outbox
from telemetry.publisher import Publisher

EXPERIMENT = Path(__file__).parents[1] / "configs/nyc_swapping.yaml"
PLAN = "{bases: [ZZ, XX, CHSH], dwell: 100 s}"
MESSAGES = 10_000
STEADY_HZ = 500
STEADY_S = 6.0
ROUNDS = 5

_AMQTT = """
import asyncio, sys
from telemetry.broker import EmbeddedBroker
async def main():
    async with EmbeddedBroker(int(sys.argv[1])):
        await asyncio.Event().wait()
asyncio.run(main())
"""
_SUBSCRIBER = """
import asyncio, json, sys, time
from datetime import datetime
import aiomqtt
async def main():
    async with aiomqtt.Client("127.0.0.1", int(sys.argv[1])) as client:
        await client.subscribe("bellbench/v1/#", qos=1)
        print("listening", flush=True)
        seen, late = set(), []
        async for message in client.messages:
            now, fields = time.time(), json.loads(message.payload)
            if fields.get("text") == "the last":
                print(json.dumps([now, len(seen), late]), flush=True)
                return
            seen.add((fields["boot"], fields["seq"]))
            late.append(now - datetime.fromisoformat(fields["time"]).timestamp())
asyncio.run(main())
"""


def figures(
    messages: int = MESSAGES, steady_s: float = STEADY_S, dwell_s: float = 60.0, rounds: int = ROUNDS
) -> Iterator[Figure]:
    """`telemetry.BROKER_per_s` and `telemetry.BROKER_p99_ms` for amqtt and, where it is installed, Mosquitto;
    `telemetry.slow_down_percent` and `telemetry.slow_down_with_broker_percent`."""
    for kind, program in (("amqtt", sys.executable), ("mosquitto", _mosquitto())):
        if program is not None:
            yield from asyncio.run(_carried(kind, program, messages, steady_s))
    yield from _slow_downs(dwell_s, rounds)


async def _carried(kind: str, program: str, messages: int, steady_s: float) -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        async with _broker(kind, program, Path(folder)) as line:
            took_s, _ = await _send(line, Path(folder), messages, None)
            _, late = await _send(line, Path(folder), round(STEADY_HZ * steady_s), 1 / STEADY_HZ)
    cuts = quantiles(late, n=100)
    return iter(
        (
            Figure(
                f"telemetry.{kind}_per_s", messages / took_s,
                f"messages of a run's rates at QoS 1, through the outbox and {kind} to a subscriber, "
                f"{messages} of them",
            ),
            Figure(
                f"telemetry.{kind}_p99_ms", 1e3 * cuts[98],
                f"from a message's making to its subscriber at {STEADY_HZ} a second; half take "
                f"{1e3 * cuts[49]:.2f} ms, the longest {1e3 * max(late):.1f} ms",
            ),
        )
    )  # fmt: skip


async def _send(line: Line, folder: Path, messages: int, period_s: float | None) -> tuple[float, list[float]]:
    """Seconds from the first message to the arrival of the last, and how late each came."""
    subscriber = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SUBSCRIBER, str(line.port), stdout=asyncio.subprocess.PIPE, limit=2**24
    )
    assert subscriber.stdout is not None
    await subscriber.stdout.readline()
    singles = dict.fromkeys(("alice_h", "alice_v", "bob_h", "bob_v", "ch", "cv", "dh", "dv"), 1.2e5)
    async with Publisher(line, site="nyc", run="r1", outbox=Outbox(folder / FILE), flush_s=30.0) as run:
        began = time.time()
        for number in range(messages):
            run.publish_rates(Rates(singles_hz=singles, heralds_hz=float(number)))
            if period_s is not None:
                await asyncio.sleep(max(began + (number + 1) * period_s - time.time(), 0.0))
            elif number % 100 == 0:
                await asyncio.sleep(0)
        run.publish_event(Event(level="info", text="the last"))
        ended, came, late = json.loads(await subscriber.stdout.readline())
    await subscriber.wait()
    if came < messages:
        raise RuntimeError(f"{messages - came} messages did not come")
    return ended - began, late


def _slow_downs(dwell_s: float, rounds: int) -> Iterator[Figure]:
    text = EXPERIMENT.read_text()
    if PLAN not in text:
        raise RuntimeError(f"{EXPERIMENT} has no plan {PLAN} any more")
    text = text.replace(PLAN, f"{{bases: [ZZ], dwell: {dwell_s:g} s}}")
    text = text.replace("testbeds/", f"{EXPERIMENT.parent}/testbeds/")
    with TemporaryDirectory() as name:
        folder = Path(name)
        port = _free_port()
        (folder / "embedded.yaml").write_text(text)
        (folder / "outside.yaml").write_text(f"{text}\ntelemetry: {{broker: 'mqtt://127.0.0.1:{port}'}}\n")
        program = _mosquitto()
        command = [sys.executable, "-c", _AMQTT] if program is None else [program, "-p"]
        broker = subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _core_s(folder / "outside.yaml", silent=True)  # in which kernels are loaded
            taken = [
                (
                    _core_s(folder / "outside.yaml", silent=True),
                    _core_s(folder / "outside.yaml", silent=False),
                    _core_s(folder / "embedded.yaml", silent=False),
                )
                for _ in range(rounds)
            ]
        finally:
            broker.kill()
            broker.wait()
    alone = median(silent for silent, _, _ in taken)
    kinds = (
        ("slow_down_percent", "telemetry"),
        ("slow_down_with_broker_percent", "telemetry and its own broker"),
    )
    for number, (name, what) in enumerate(kinds, 1):
        ratios = [100 * (costs[number] / costs[0] - 1) for costs in taken]
        yield Figure(
            f"telemetry.{name}", median(ratios),
            f"of the run's process by {what}, {median(costs[number] for costs in taken):.2f} s of a core "
            f"beside {alone:.2f} s; from {min(ratios):+.1f} % to {max(ratios):+.1f} % in {rounds} rounds",
        )  # fmt: skip


class _Silent(Publisher):
    """Tells nobody anything, at no cost."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()


class _Deaf:
    """In the place of the observer."""

    def __init__(self, *_: object, **__: object) -> None:
        self.alarms = None

    def notify(self, event: object) -> None:
        """Nothing is made of it."""


def _core_s(file: Path, *, silent: bool) -> float:
    """Seconds of a core that a run's process takes, in all its threads."""
    with ExitStack() as stack:
        if silent:
            for name, stand_in in (("Publisher", _Silent), ("TelemetryObserver", _Deaf)):
                stack.enter_context(patch.object(bellbench.session, name, stand_in))
        began = time.process_time()
        report = asyncio.run(Session(load_experiment(file), file.parent / "runs", seed=1).carry_out())
        taken_s = time.process_time() - began
    if report.ending.exit:
        raise RuntimeError(f"the run failed: {report.ending.message}")
    return taken_s


@asynccontextmanager
async def _broker(kind: str, program: str, folder: Path) -> AsyncIterator[Line]:
    line = Line("127.0.0.1", _free_port())
    if kind == "amqtt":
        arguments = ["-c", _AMQTT, str(line.port)]
    else:
        file = folder / "mosquitto.conf"
        file.write_text(
            f"listener {line.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            "max_queued_messages 100000\n"
        )
        arguments = ["-c", str(file)]
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while not await _listens(line):  # noqa: ASYNC110 -- another process
                await asyncio.sleep(0.05)
        yield line
    finally:
        process.kill()
        await process.wait()


async def _listens(line: Line) -> bool:
    try:
        _, writer = await asyncio.open_connection(line.host, line.port)
    except OSError:
        return False
    writer.close()
    return True


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
