"""`bellbench runs pause|resume|stop|abort`: ask a run that goes on in another terminal, or on its own."""

import json
import sys
from functools import partial
from pathlib import Path

import click

from bellbench.commands.options import runs_option
from bellbench.exit_codes import ExitCode

MEANINGS = {
    "pause": "Let RUN wait at its next safe point. Its light stays on unless its YAML says `pause: dark`.",
    "resume": "Let a paused RUN go on. While it waits for an instrument, it tries at once to get it back.",
    "stop": "Let RUN finish well at its next safe point: what was measured is kept, the run is completed.",
    "abort": "Let RUN make its instruments safe now. What was counted until then is kept.",
}
RUN_HELP = "RUN is the name of its folder, the beginning or end of it, or `last`."


def _asks(word: str) -> click.Command:
    """The command that asks a run with this word."""

    @click.command(
        word, help=f"{MEANINGS[word]}\n\n{RUN_HELP}", short_help=MEANINGS[word].split(".")[0] + "."
    )
    @click.argument("name", metavar="RUN")
    @runs_option()
    @click.option("--why", default="", help="The reason, for the record.")
    @click.option("--wait", is_flag=True, help="Return when the run has got there.")
    @click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
    def command(name: str, runs: Path, why: str, wait: bool, as_json: bool) -> int:
        return _ask(word, name, runs, why, wait=wait, as_json=as_json)

    return command


def _ask(word: str, name: str, runs: Path, why: str, *, wait: bool, as_json: bool) -> int:
    from experiments.archive.finding import NoSuchRunError, find_run
    from experiments.engine.control_socket import GoneError, ask

    say = partial(_say, as_json=as_json)
    try:
        folder = find_run(name, runs)
    except NoSuchRunError as error:
        return say(None, accepted=False, message=str(error), code=ExitCode.CONFIG)
    try:
        answer = ask(folder, word, why or f"bellbench runs {word}", wait=wait)
    except GoneError:
        state, message = _why_nobody_answers(folder)
        return say(folder, accepted=False, message=message, state=state, code=ExitCode.RUN_FAILED)
    code = ExitCode.DONE if answer.accepted else ExitCode.RUN_FAILED
    return say(
        folder,
        accepted=answer.accepted,
        message=answer.message,
        state=str(answer.state),
        leads_to=str(answer.leads_to),
        code=code,
    )


def _why_nobody_answers(folder: Path) -> tuple[str, str]:
    """The state of a run that cannot be asked, and what to say of it."""
    from experiments.engine.outcome import State
    from experiments.engine.process import is_gone

    about = json.loads((folder / "run.json").read_text())
    state = State(about["state"])
    if state.final:
        return state, f"the run is over: {state}"
    if is_gone(about.get("process", {})):
        return State.INTERRUPTED, (
            f"its process is gone, the run was interrupted. `bellbench resume {folder.name}` goes on with it"
        )
    process = about.get("process", {})
    return state, (
        f"its process {process.get('pid')} on {process.get('host')} does not answer; ask on that machine, or "
        "see whether it hangs. Ctrl-C in its terminal ends it well; if it is killed, its guardian makes the "
        "instruments safe"
    )


def _say(
    folder: Path | None,
    *,
    accepted: bool,
    message: str,
    code: ExitCode,
    state: str | None = None,
    leads_to: str | None = None,
    as_json: bool,
) -> ExitCode:
    run = folder.name if folder else None
    if as_json:
        about = {
            "run": run,
            "accepted": accepted,
            "state": state,
            "leads_to": leads_to or state,
            "message": message,
        }
        click.echo(json.dumps(about, indent=2))
    else:
        text = f"{run}: {message}" if run else message
        red = None if accepted or not sys.stderr.isatty() else "red"
        click.secho(text, err=not accepted, fg=red)
    return code


pause, resume, stop, abort = (_asks(word) for word in MEANINGS)
