"""What the command line can change of a configuration, the same for every command: `--set` and `--sweep`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from experiments.config.overrides import Override, read_override
from experiments.config.problems import ConfigError, Problem
from experiments.config.sweep import Sweep, read_sweep

C = TypeVar("C", bound=Callable[..., Any])


def with_changes(command: C) -> C:
    """Give a command the options `--set` (argument `changes`) and `--sweep` (argument `sweeps`)."""
    sweep = click.option(
        "--sweep",
        "sweeps",
        multiple=True,
        metavar="PATH=FROM:TO:N",
        help='A point for each of N values, like "settings.bsm_window=200 ps:1500 ps:5", or for those of a '
        "list; may be repeated, then for every combination. Holds instead of the file's own sweep.",
    )
    change = click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="PATH=VALUE",
        help='Put a value over that of the file, like "plan.2.measure_swapping.dwell=5 s"; testbed.PATH '
        "leads into the testbed file. May be repeated.",
    )
    return change(sweep(command))


def read_changes(changes: Sequence[str], sweeps: Sequence[str]) -> tuple[list[Override], Sweep | None]:
    """What the two options ask for. Raises ConfigError with everything that is wrong with them."""
    problems: list[Problem] = []
    overrides: list[Override] = []
    sweep = None
    for text in changes:
        try:
            overrides.append(read_override(text))
        except ConfigError as error:
            problems += error.problems
    try:
        sweep = read_sweep(sweeps) if sweeps else None
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return overrides, sweep
