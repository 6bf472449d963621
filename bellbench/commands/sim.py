"""`bellbench sim`: the simulated bench on its own, as servers that any program can talk to."""

import asyncio
import json
import signal
from typing import Any

import click

from drivers.address import Address
from experiments.config.files import load_testbed
from experiments.config.testbed import Testbed

STEP_S = 0.05
"""Wall time between two steps of the bench."""
LONGEST_STEP_S = 1.0
"""Simulated time of one step at most: a bench that cannot keep its pace falls behind instead of standing."""
BEHIND_S = 5.0
"""A bench that is so far behind its pace says so, once."""


@click.command()
@click.argument("testbed", type=click.Path(path_type=str))
@click.option("--pace", type=click.FloatRange(min=0.0, min_open=True), default=1.0, show_default=True,
              help="Seconds of the bench per second of the wall.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of all that is random."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all addresses.")
def sim(testbed: str, pace: float, seed: int, as_json: bool) -> None:
    """Serve the simulated bench of TESTBED until stopped by Ctrl-C.

    Prints where each instrument is: host and ports, or the path of a serial line. Point any program there.
    """
    loaded = load_testbed(testbed).testbed
    if not loaded.simulated:
        real = ", ".join(name for name, entry in loaded.instruments.items() if not entry.simulated)
        raise click.UsageError(f"{testbed}: not on the bench: {real}; allowed address for sim: sim")
    asyncio.run(_serve(loaded, pace, seed, as_json))


async def _serve(testbed: Testbed, pace: float, seed: int, as_json: bool) -> None:
    from bellbench.simulation import bench_of

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with bench_of(testbed, seed) as bench:
        where = [
            {"name": name, "model": testbed.instruments[name].model} | _place(address)
            for name, address in bench.addresses.items()
        ]
        if as_json:
            click.echo(json.dumps({"testbed": testbed.testbed, "instruments": where}))
        else:
            width = max((len(place["name"]) for place in where), default=0)
            for place in where:
                click.echo(f"{place['name']:{width}}  {place['model']:20}  {place['address']}")
            click.echo(f"serving at {pace:g} times real time; Ctrl-C stops", err=True)
        loop = asyncio.get_running_loop()
        began, told = loop.time(), False
        while not stop.is_set():
            due = pace * (loop.time() - began) - bench.now
            await bench.advance(min(max(due, 0.0), LONGEST_STEP_S))
            if due > BEHIND_S and not told:
                told = True
                click.echo(f"the bench cannot keep this pace: it is {due:.0f} s behind", err=True)
            try:
                async with asyncio.timeout(STEP_S):
                    await stop.wait()
            except TimeoutError:
                pass


def _place(text: str) -> dict[str, Any]:
    """An address as other programs need it: beside the text, its host and ports, its path or resource."""
    address = Address.parse(text)
    place: dict[str, Any] = {"address": text, "scheme": address.scheme}
    if address.host:
        return place | {"host": address.host, "port": address.port} | address.options
    return place | {"path": address.path} | address.options
