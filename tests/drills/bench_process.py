"""A bench for drills, a process of its own: `python bench_process.py TESTBED TRUTH`.

Serves the simulated bench of a testbed at real time, like `bellbench sim`, with every motor homed already.
Prints the addresses as one JSON line. Writes to TRUTH, a line whenever it changes, what no driver says but
the light field: `{"t": time.time(), "light_w": all lasers, "bias_a": all wires}`. Takes faults as JSON lines
on its standard input: `{"instrument": NAME, "silent": true}`, or `"gone": true` for one whose line breaks and
that takes no other until it is false.
"""
# ruff: noqa: T201 - what it prints is for the process that started it

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TextIO

from bellbench.commands.sim import keep_pace
from bellbench.lines import drivers_of
from bellbench.simulation import bench_of
from experiments.config.files import load_testbed
from experiments.config.testbed import Testbed
from experiments.engine.standing import Homes
from sim_instruments.bench import Bench


async def main(testbed_file: str, truth: Path) -> None:
    testbed = load_testbed(testbed_file).testbed
    async with bench_of(testbed, seed=1) as bench:
        await home(testbed, bench)
        print(json.dumps(bench.addresses), flush=True)
        with truth.open("w", buffering=1) as file:
            watching = asyncio.create_task(watch(bench, file))
            serving = asyncio.create_task(keep_pace(bench, 1.0, asyncio.Event()))
            reader = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
            )
            while line := await reader.readline():
                inflict(bench, json.loads(line))
                print("done", flush=True)
            watching.cancel()
            serving.cancel()


async def home(testbed: Testbed, bench: Bench) -> None:
    """Find every zero now, while half a minute of the bench takes no time."""
    drivers = drivers_of(testbed, bench.addresses)
    motors = [driver for driver in drivers.values() if isinstance(driver, Homes)]
    for motor in motors:
        await motor.open()
        await motor.home()
    while not all([await motor.is_homed() for motor in motors]):
        await bench.advance(1.0)
    for motor in motors:
        await motor.close()


async def watch(bench: Bench, file: TextIO) -> None:
    last = None
    while True:
        light = sum(port.power_w for port in bench.ports.lasers.values())
        bias = sum(port.bias_a for port in bench.ports.nanowires.values())
        if (light, bias) != last:
            last = light, bias
            file.write(json.dumps({"t": time.time(), "light_w": light, "bias_a": bias}) + "\n")
        await asyncio.sleep(0.005)


def inflict(bench: Bench, order: dict[str, object]) -> None:
    instrument = bench.instruments[str(order["instrument"])]
    if "silent" in order:
        instrument.faults.silent = bool(order["silent"])
    if "gone" in order:
        instrument.faults.refuse = bool(order["gone"])
        if order["gone"]:
            instrument.power_cycle()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
