"""How a run ends: its states, its exit codes, and which failure leads to which."""

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from drivers.errors import InstrumentError


class State(StrEnum):
    """Where a run is. The last four are final."""

    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    """Waits for an instrument or for a person, and then runs on."""
    COMPLETED = "completed"
    """Everything was done, or it was stopped at a safe point."""
    ABORTED = "aborted"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its process went down before it could end. Never said by the run, only by who finds its folder."""

    @property
    def final(self) -> bool:
        """Whether a run in this state is over."""
        return self not in (State.PREPARING, State.RUNNING, State.PAUSED)


class Exit(IntEnum):
    """The exit code of the command line for a run that ended so."""

    DONE = 0
    FAILED = 1
    INSTRUMENT = 3
    """An instrument refused, went silent, or could not be reached."""
    NOT_SAFE = 4
    """The safe state of an instrument could not be verified, which outranks every other code; or an interlock
    has tripped, or the lease on emission and bias was lost."""
    OUTSIDE_ACCEPTANCE = 5
    """The run completed, but a figure lies outside what the experiment accepts."""
    STORAGE = 6
    """The disk is full or cannot be written."""
    ABORTED = 130


class RunError(Exception):
    """The run cannot go on; the message says why and what to do."""


class SafetyError(RunError):
    """The run must not go on, for safety: it ends in the safe state at once, whatever could be tried else."""


class StorageError(RunError):
    """The run folder cannot be written."""

    @classmethod
    def from_os(cls, doing: str, error: OSError) -> "StorageError":
        """What an OSError while `doing` something means for the run, with the remedy."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return cls(
                f"no space left on the disk {doing}. What was written before can be read. Free some space or "
                "choose another disk with --runs, then run again"
            )
        return cls(
            f"failed {doing}: {error}. Check that the runs folder exists and is yours to write, or "
            "choose another with --runs"
        )

    @classmethod
    @contextmanager
    def when(cls, what: str) -> Iterator[None]:
        """Turn an OSError while `what` is written into a StorageError."""
        try:
            yield
        except OSError as error:
            raise cls.from_os(f"writing {what}", error) from error


class OpenError(RunError):
    """Instruments could not be made ready; one message names all of them."""

    def __init__(self, heading: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(f"{heading}:\n" + "\n".join(f"  - {p}" for p in problems))


@dataclass(frozen=True)
class Ending:
    """State and exit code in which a failure leaves a run, and what to tell."""

    state: State
    exit: Exit
    message: str = ""
    stopped: bool = False
    """Whether somebody ended it well before the plan was done."""

    def without_storage(self, error: StorageError) -> "Ending":
        """The ending when even the last words could not be written; an unverified safe state stays
        foremost."""
        exit_code = Exit.NOT_SAFE if self.exit is Exit.NOT_SAFE else Exit.STORAGE
        message = self.message if str(error) in self.message else f"{self.message}\n{error}".strip()
        return replace(self, state=State.FAILED, exit=exit_code, message=message)


def ending_of(failure: BaseException) -> Ending:
    """The ending that a failure means. In a group of failures storage counts first (it is the cause of
    the others), then the first of the group."""
    causes = causes_of(failure)
    for cause in causes:
        if isinstance(cause, StorageError):
            return Ending(State.FAILED, Exit.STORAGE, str(cause))
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return Ending(
                State.FAILED, Exit.STORAGE, str(StorageError.from_os("writing the run folder", cause))
            )
    message = "\n".join(dict.fromkeys(str(c) or type(c).__name__ for c in causes))
    if safety := [str(cause) for cause in causes if isinstance(cause, SafetyError)]:
        return Ending(State.ABORTED, Exit.NOT_SAFE, "\n".join(dict.fromkeys(safety)))
    if any(isinstance(c, InstrumentError | OpenError) for c in causes):
        return Ending(State.FAILED, Exit.INSTRUMENT, message)
    if isinstance(causes[0], RunError):
        return Ending(State.FAILED, Exit.FAILED, message)
    return Ending(State.FAILED, Exit.FAILED, f"{type(causes[0]).__name__}: {message}")


def is_internal(failure: BaseException) -> bool:
    """Whether a failure is none that the run has words for: a mistake in the program."""
    known = (InstrumentError, RunError, OSError, asyncio.CancelledError, KeyboardInterrupt)
    return any(not isinstance(cause, known) for cause in causes_of(failure))


def causes_of(failure: BaseException) -> list[BaseException]:
    """The failures that a group of failures, perhaps of groups, is made of; or the one that it is."""
    if isinstance(failure, BaseExceptionGroup):
        return [cause for part in failure.exceptions for cause in causes_of(part)]
    return [failure]
