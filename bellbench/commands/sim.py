"""`bellbench sim`: the simulated bench on its own, as servers that any program can talk to."""

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import click

from drivers.address import Address
from experiments.config.files import load_testbed
from experiments.config.testbed import Testbed

if TYPE_CHECKING:
    from sim_instruments.bench import Bench

STEP_S = 0.05
"""Wall time between two steps of the bench."""
LONGEST_STEP_S = 0.25
"""Simulated time of one step at most: a bench that cannot keep its pace falls behind instead of standing."""
IDLE_STEP_S = 0.005
"""The same while no tagger records: it costs little then."""
STARTING_S = 1.0
"""Wall time for which it waits for other taggers when one has been started."""
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
        await keep_pace(bench, pace, stop)


async def keep_pace(bench: "Bench", pace: float, stop: asyncio.Event) -> None:
    """Let a bench go on by the wall clock, `pace` of its seconds in one, until `stop`.

    Recordings that somebody begins together do begin together, as on a bench of glass: of two commands on
    either side of a step the later one would be a whole step late. So steps are short while nobody records,
    and the bench stands still for a moment while some taggers record and others do not yet.
    """
    loop = asyncio.get_running_loop()
    origin, began, told = bench.now, loop.time(), False
    starting_since: float | None = None
    while not stop.is_set():
        due = pace * (loop.time() - began) - (bench.now - origin)
        if due > BEHIND_S and not told:
            told = True
            click.echo(f"the bench cannot keep this pace: it is {due:.0f} s behind", err=True)
        recording = [port.recording for port in bench.ports.taggers.values()]
        if not any(recording) or all(recording):
            starting_since = None
        elif starting_since is None:
            starting_since = loop.time()
        if starting_since is None or loop.time() - starting_since > STARTING_S:
            step = LONGEST_STEP_S if any(recording) else IDLE_STEP_S
            await bench.advance(min(max(due, 0.0), step))
            if due > step:
                continue
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
