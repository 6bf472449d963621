"""`bellbench get` and `bellbench set`: one instrument of a testbed, by hand, with units and limits."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress

import click

from bellbench.exit_codes import ExitCode
from drivers.capabilities import Control, Instrument
from drivers.errors import InstrumentError
from drivers.units import QUANTITIES, format_si
from experiments.config.files import load_testbed
from experiments.config.problems import choices
from experiments.config.testbed import Testbed

SETTLING_S = 120.0
"""How long `set` waits for the instrument to arrive, in seconds of the wall or of its bench."""
POLL_S = 0.2
ON, OFF = ("on", "true", "yes", "1"), ("off", "false", "no", "0")

_testbed = click.option(
    "--testbed",
    envvar="BELLBENCH_TESTBED",
    required=True,
    type=click.Path(path_type=str),
    help="Testbed file in which the instrument stands; or the environment variable BELLBENCH_TESTBED.",
)
_at = click.option(
    "--at", "address", help="Look for it here instead, for example where `bellbench sim` has it."
)


@click.command(name="get")
@click.argument("instrument")
@click.argument("setting", required=False)
@_testbed
@_at
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in SI units.")
def get_(instrument: str, setting: str | None, testbed: str, address: str | None, as_json: bool) -> None:
    """Read SETTING of INSTRUMENT, or all that its front panel has. Changes nothing."""
    asyncio.run(_get(testbed, instrument, setting, address, as_json))


@click.command(name="set")
@click.argument("instrument")
@click.argument("setting")
@click.argument("value")
@_testbed
@_at
@click.option("--energise", is_flag=True, help="Needed for what sets or switches emission or bias.")
def set_(instrument: str, setting: str, value: str, testbed: str, address: str | None, energise: bool) -> int:
    """Set SETTING of INSTRUMENT to VALUE, with its unit, and read it back.

    Turning emission or bias off, or to zero, needs no --energise.
    """
    return asyncio.run(_set(testbed, instrument, setting, value, address, energise))


async def _get(testbed: str, name: str, setting: str | None, address: str | None, as_json: bool) -> None:
    from bellbench.lines import lines_of

    async with lines_of(_one(testbed, name, address)) as lines:
        driver = lines.instruments[name]
        await driver.open()
        controls = driver.controls() if setting is None else [_control(driver, setting)]
        values = {control.name: (control, await _read(control)) for control in controls}
    if as_json:
        told = {n: {"value": v, "unit": c.unit, "limits": _range(c)} for n, (c, v) in values.items()}
        click.echo(json.dumps(told, indent=2))
        return
    width = max((len(n) for n in values), default=0)
    for control_name, (control, value) in values.items():
        limits = f"  ({show_limits(control)})" if control.limits and control.write else ""
        click.echo(f"{control_name:{width}}  {show(control, value)}{limits}")


async def _set(testbed: str, name: str, setting: str, text: str, address: str | None, energise: bool) -> int:
    from bellbench.lines import lines_of

    async with lines_of(_one(testbed, name, address)) as lines:
        driver = lines.instruments[name]
        await driver.open()
        control = _control(driver, setting)
        if control.write is None:
            raise click.UsageError(f"{name}: {setting} can only be read")
        value = parse(control, text)
        if control.energises and value and not energise:
            raise click.UsageError(
                f"{name}: {setting} sets or switches emission or bias. Say --energise if you mean it"
            )
        await control.write(value)
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLING_S
        while not await driver.is_settled():
            if loop.time() > until:
                click.echo(f"{name}: has not arrived after {SETTLING_S:g} s", err=True)
                return ExitCode.INSTRUMENT
            await (lines.bench.advance(POLL_S) if lines.bench else asyncio.sleep(POLL_S))
        click.echo(f"{setting}  {show(control, await _read(control))}")
    return ExitCode.DONE


def _one(testbed: str, name: str, address: str | None) -> Testbed:
    """The testbed with the one instrument alone, so that no other is touched; a simulated one whole."""
    loaded = load_testbed(testbed).testbed
    if name not in loaded.instruments:
        raise click.UsageError(
            f"there is no instrument {name!r} in {testbed}; {choices(name, loaded.instruments)}"
        )
    if address is None and loaded.simulated:
        return loaded
    entry = loaded.instruments[name]
    if address is not None:
        entry = entry.model_copy(update={"address": address})
    return loaded.model_copy(update={"instruments": {name: entry}})


def _control(driver: Instrument, setting: str) -> Control:
    controls = {control.name: control for control in driver.controls()}
    if setting not in controls:
        raise click.UsageError(f"{driver.name} has no {setting!r}; {choices(setting, controls)}")
    return controls[setting]


async def _read(control: Control) -> float | bool | None:
    """None where the instrument refuses to say."""
    with suppress(InstrumentError):
        return await control.read()
    return None


def parse(control: Control, text: str) -> float | bool:
    """A value as a person writes it: on or off, or a number with its unit. Raises click.UsageError."""
    if control.limits is None:
        if text.casefold() in (*ON, *OFF):
            return text.casefold() in ON
        raise click.UsageError(f"{control.name}: {text!r} is neither on nor off")
    if control.unit == "1":
        if text.isdigit():
            return float(text)
        raise click.UsageError(f"{control.name}: {text!r} is not a whole number")
    quantity = next(q for q in QUANTITIES if control.unit in q.units)
    try:
        return quantity.parse(text)
    except ValueError as error:
        raise click.UsageError(f"{control.name}: {error}") from error


def show(control: Control, value: float | bool | None) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "on" if value else "off"
    return format_si(value, control.unit if control.unit != "1" else "", 6)


def show_limits(control: Control) -> str:
    assert control.limits is not None
    unit = control.unit if control.unit != "1" else ""
    return f"{format_si(control.limits.low, unit)} to {format_si(control.limits.high, unit)}"


def _range(control: Control) -> Sequence[float] | None:
    return [control.limits.low, control.limits.high] if control.limits else None
