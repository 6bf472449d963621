"""`bellbench calibrations`: what was calibrated, when and by which run, and which of it is in force."""

import getpass
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from bellbench.commands.options import runs_option
from bellbench.console import console
from bellbench.exit_codes import ExitCode
from experiments.calibrations.history import Calibration, History
from experiments.config.estimate import show_duration
from experiments.config.problems import choices

_TESTBED = click.option("--testbed", help="Only those of this testbed.")
_SIMULATED = click.option(
    "--simulated/--real", default=None, help="Only those of simulated benches, or of real ones."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def calibrations() -> None:
    """List calibrations, show their numbers, put an older one in force again."""


@calibrations.command("list")
@click.argument("name", required=False)
@_TESTBED
@_SIMULATED
@runs_option()
@_JSON
def list_(name: str | None, testbed: str | None, simulated: bool | None, runs: Path, as_json: bool) -> int:
    """List the calibrations of all runs, the newest first; of one NAME only, where it is given."""
    with History(runs) as history:
        found = history.calibrations(name, testbed, simulated)[::-1]
        force = _in_force(history, found)
    now = datetime.now(UTC)
    if as_json:
        click.echo(json.dumps([_about(c, now, force) for c in found], indent=2))
        return ExitCode.DONE
    from rich.table import Table

    table = Table("", "calibration", "testbed", "made", "age", "numbers", "run")
    for c in found:
        bench = f"{c.testbed} (simulated)" if c.simulated else c.testbed
        mark = "in force" if _handle(c) in force else ""
        age = show_duration(c.age_s(now))
        table.add_row(mark, c.name, bench, c.utc[:19], age, str(len(c.figures())), c.run)
    console().print(table)
    return ExitCode.DONE


@calibrations.command()
@click.argument("name")
@click.option("--run", "run", help="That of this run, by the beginning or the end of its name.")
@_TESTBED
@_SIMULATED
@runs_option()
@_JSON
def show(
    name: str, run: str | None, testbed: str | None, simulated: bool | None, runs: Path, as_json: bool
) -> int:
    """Show the calibration NAME that is in force, or that of a run, with all its numbers."""
    with History(runs) as history:
        one = _one(history, name, testbed, simulated, run)
        force = _in_force(history, [one])
        past = [r for r in history.rollbacks() if r.name == one.name and r.testbed == one.testbed]
    now = datetime.now(UTC)
    if as_json:
        rollbacks = [vars(r) for r in past]
        click.echo(json.dumps(_about(one, now, force) | {"rollbacks": rollbacks}, indent=2))
        return ExitCode.DONE
    from rich.table import Table

    from bellbench.text import with_error

    table = Table("quantity", "of", "value", "unit")
    for figure in one.figures():
        value = with_error(figure.value, figure.uncertainty)
        table.add_row(figure.quantity, figure.scope, value, figure.unit)
    state = "in force" if _handle(one) in force else "not in force"
    valid = "" if one.valid_for_s is None else f", valid for {show_duration(one.valid_for_s)}"
    terminal = console()
    made = f"made {one.utc}, {show_duration(one.age_s(now))} ago, by {one.run}"
    terminal.print(f"{one.name} of {one.testbed}: {state}\n{made}{valid}", highlight=False)
    if one.note:
        terminal.print(one.note)
    terminal.print(table)
    for r in past:
        line = f"{r.utc[:19]} {r.who} put that of {r.run} in force: {r.why}"
        terminal.print(line, highlight=False)
    return ExitCode.DONE


@calibrations.command()
@click.argument("name")
@click.option(
    "--to", "run", help="The run whose calibration shall hold; by default the one before the present."
)
@click.option("--why", required=True, help="For those who read the history.")
@_TESTBED
@_SIMULATED
@runs_option()
@_JSON
def rollback(
    name: str,
    run: str | None,
    why: str,
    testbed: str | None,
    simulated: bool | None,
    runs: Path,
    as_json: bool,
) -> int:
    """Put an older calibration NAME in force again, until a run makes a newer one."""
    with History(runs) as history:
        present = _one(history, name, testbed, simulated, None)
        if run is None:
            older = history.calibrations(name, present.testbed, present.simulated)
            before = older[: [_handle(c) for c in older].index(_handle(present))]
            if not before:
                raise click.UsageError(
                    f"there is no {name} of {present.testbed} before that of {present.run}"
                )
            chosen = before[-1]
        else:
            chosen = _one(history, name, present.testbed, present.simulated, run)
        done = history.roll_back(chosen, getpass.getuser(), why)
    if as_json:
        click.echo(json.dumps(vars(done), indent=2))
    else:
        click.echo(f"{name} of {chosen.testbed}: that of {chosen.run}, made {chosen.utc}, is in force")
    return ExitCode.DONE


def _handle(one: Calibration) -> tuple[str, str]:
    return one.run, one.key


def _in_force(history: History, found: Sequence[Calibration]) -> set[tuple[str, str]]:
    """Those of all these names and testbeds that hold now."""
    kinds = {(c.name, c.testbed, c.simulated) for c in found}
    current = (history.current(name, testbed, simulated=sim) for name, testbed, sim in kinds)
    return {_handle(c) for c in current if c}


def _about(one: Calibration, now: datetime, force: set[tuple[str, str]]) -> dict[str, object]:
    return one.to_json(now) | {"in_force": _handle(one) in force}


def _one(
    history: History, name: str, testbed: str | None, simulated: bool | None, run: str | None
) -> Calibration:
    """The one that is meant: that of a run, else that in force. Raises click.UsageError."""
    everything = history.calibrations()
    found = history.calibrations(name, testbed, simulated)
    if run is not None:
        found = [c for c in found if c.run == run or c.run.startswith(run) or c.run.endswith(f"-{run}")]
    if not found:
        names = sorted({c.name for c in everything})
        where = "".join([f" of {testbed}" if testbed else "", f" by a run {run}" if run else ""])
        raise click.UsageError(f"there is no calibration {name!r}{where}; {choices(name, names)}")
    benches = {(c.testbed, c.simulated) for c in found}
    if len(benches) > 1:
        named = ", ".join(sorted(f"{bed} ({'simulated' if sim else 'real'})" for bed, sim in benches))
        raise click.UsageError(
            f"{name} is there for {named}; choose with --testbed and --simulated or --real"
        )
    if run is not None:
        if len({c.run for c in found}) > 1:
            raise click.UsageError(f"{len(found)} runs are named {run}...; write more of the name")
        return found[-1]
    ((bed, sim),) = benches
    current = history.current(name, bed, simulated=sim)
    assert current is not None
    return current
