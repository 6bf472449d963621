"""`bellbench doctor`: is everything there, and in which state? Opens each instrument and changes nothing."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

import click

from bellbench.commands.panel import show, show_limits
from bellbench.console import console
from bellbench.exit_codes import ExitCode
from drivers.capabilities import Instrument
from drivers.errors import InstrumentError
from experiments.config.files import load_testbed
from experiments.config.testbed import Testbed

SEARCH_S = 10.0
"""How long the search for VISA resources may take."""


@click.command()
@click.argument("testbed", type=click.Path(path_type=str))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, in SI units.")
@click.option("--search/--no-search", default=True, show_default=True,
              help="Look for serial ports and VISA resources that nobody configured.")  # fmt: skip
def doctor(testbed: str, as_json: bool, search: bool) -> int:
    """Open every instrument of TESTBED and show who answers, its state and its limits.

    Exit code 3 if one does not answer, or is not what the testbed says.
    """
    return asyncio.run(_examine(load_testbed(testbed).testbed, as_json, search))


async def _examine(testbed: Testbed, as_json: bool, search: bool) -> int:
    from bellbench.lines import lines_of

    async with lines_of(testbed) as lines:
        found = await asyncio.gather(*(_look(i, raw=as_json) for i in lines.instruments.values()))
    configured = {entry.address for entry in testbed.instruments.values()}
    strangers = sorted(address for address in await _search() if address not in configured) if search else []
    sick = [entry for entry in found if "error" in entry]
    if as_json:
        click.echo(
            json.dumps(
                {"testbed": testbed.testbed, "instruments": found, "not_configured": strangers}, indent=2
            )
        )
    else:
        _print(found, strangers)
    return ExitCode.INSTRUMENT if sick else ExitCode.DONE


async def _look(driver: Instrument, *, raw: bool) -> dict[str, Any]:
    """What one instrument says, or why it says nothing."""
    about: dict[str, Any] = {"name": driver.name, "model": driver.model, "address": str(driver.address)}
    try:
        await driver.open()
        about["identity"] = asdict(await driver.identity())
        about["settled"] = await driver.is_settled()
    except InstrumentError as error:
        return about | {"error": str(error)}
    state: dict[str, Any] = {}
    for control in driver.controls():
        try:
            value: float | bool | None = await control.read()
        except InstrumentError as error:
            state[control.name] = {"error": error.problem} if raw else f"not known: {error.problem}"
            continue
        limited = control.limits is not None and control.write is not None
        if raw:
            state[control.name] = {"value": value, "unit": control.unit}
            if limited and control.limits is not None:
                state[control.name]["limits"] = [control.limits.low, control.limits.high]
        else:
            state[control.name] = show(control, value) + (f" ({show_limits(control)})" if limited else "")
    return about | {"state": state}


def _print(found: list[dict[str, Any]], strangers: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text  # what instruments and libraries say is never read as rich's markup

    table = Table("instrument", "answers as", "firmware", "state (limits)", show_lines=True)
    for entry in found:
        where = Text.assemble(entry["name"], (f"\n{entry['model']}\n{entry['address']}", "dim"))
        if "error" in entry:
            table.add_row(where, Text("does not answer", "red"), "", Text(entry["error"], "red"))
            continue
        who = entry["identity"]
        name = " ".join(filter(None, (who["manufacturer"], who["model"], who["serial_number"])))
        state = Text("\n".join(f"{name} {value}" for name, value in entry["state"].items()))
        if not entry["settled"]:
            state = Text.assemble(("moving\n", "yellow"), state)
        table.add_row(where, Text(name), Text(who["firmware"]), state)
    terminal = console()
    terminal.print(table)
    for address in strangers:
        terminal.print(f"not configured: {address}")


async def _search() -> set[str]:
    """Addresses of serial ports and VISA resources on this machine, whatever is behind them."""

    def serial_ports() -> list[str]:
        from serial.tools import list_ports

        return [f"serial:{port.device}" for port in list_ports.comports()]

    def visa_resources() -> list[str]:
        import pyvisa

        return [f"visa:{name}" for name in pyvisa.ResourceManager("@py").list_resources()]

    found: set[str] = set()
    for look in (serial_ports, visa_resources):
        try:
            found |= set(await asyncio.wait_for(asyncio.to_thread(look), SEARCH_S))
        except Exception as error:  # a library's back end may be missing or broken; the rest is of use
            click.echo(f"the search for {look.__name__.replace('_', ' ')} failed: {error!r}", err=True)
    return found
