"""The command `bellbench`: a table of commands, each imported only when it is used.

Adding a command is one line in `COMMANDS`. A command returns an exit code or nothing, and lets errors
rise; here, and only here, they become messages on stderr and the codes of `bellbench.exit_codes`.
"""

import asyncio
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from bellbench.exit_codes import MEANING, ExitCode
from drivers.errors import InstrumentError
from experiments.config.problems import ConfigError, choices

COMMANDS = {
    "calibrations": (
        "bellbench.commands.calibrations:calibrations",
        "List calibrations of all runs, show them, put an older one in force.",
    ),
    "check": ("bellbench.commands.check:check", "Check an experiment or testbed file; opens nothing."),
    "dashboard": ("bellbench.commands.dashboard:dashboard", "Show a run on a page in the browser."),
    "doctor": ("bellbench.commands.doctor:doctor", "Open each instrument, show who answers; change nothing."),
    "get": ("bellbench.commands.panel:get_", "Read a setting of one instrument, or all of them."),
    "instruments": ("bellbench.commands.instruments:instruments", "List the instrument models known."),
    "report": ("bellbench.commands.report:report", "Write the report of a stored run."),
    "replay": ("bellbench.commands.replay:replay", "Count the stored tags of a run again."),
    "resume": ("bellbench.commands.resume:resume", "Go on with an interrupted run where its books end."),
    "run": ("bellbench.commands.run:run", "Carry out an experiment."),
    "runs": ("bellbench.commands.runs:runs", "Look into stored runs; control those that go on."),
    "schema": ("bellbench.commands.schema:schema", "Print the JSON Schema of a configuration file."),
    "set": ("bellbench.commands.panel:set_", "Set a setting of one instrument, within its limits."),
    "sim": ("bellbench.commands.sim:sim", "Serve a simulated bench for other programs."),
    "tags": ("bellbench.commands.tags:tags", "Look into a file of time tags of any format."),
    "telemetry": ("bellbench.commands.telemetry:telemetry", "Send what earlier runs could not tell."),
    "watch": ("bellbench.commands.watch:watch", "Watch a run from its telemetry alone."),
}
"""Name of a command: where its click command is, and what the list of commands says of it."""


class LazyGroup(click.Group):
    """A group whose list of commands comes from `COMMANDS` and imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            ctx.fail(f"there is no command {args[0]!r}; {choices(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), meaning) for code, meaning in MEANING.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bellbench")
def bellbench() -> None:
    """Run experiments on photonic quantum-network testbeds, real or simulated."""


def call(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name); returns its exit code."""
    try:
        outcome = bellbench.main(arguments, prog_name="bellbench", standalone_mode=False)
        return outcome if isinstance(outcome, int) else ExitCode.DONE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        return ExitCode.CONFIG
    except InstrumentError as error:
        click.echo(str(error), err=True)
        return ExitCode.INSTRUMENT
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; stdout would complain again when Python flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        click.echo(
            f"{error.filename or 'storage'}: {error.strerror}. Make room or choose another place", err=True
        )
        return ExitCode.STORAGE


def main() -> NoReturn:
    """The entry point of the program `bellbench`."""
    sys.exit(call())
