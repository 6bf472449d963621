"""The exit codes of every bellbench command: those of a run's ending, and one for what never became a run."""

from enum import IntEnum

from experiments.engine.outcome import Exit


class ExitCode(IntEnum):
    """What a shell script learns from a command that has ended; `MEANING` says it to people."""

    DONE = Exit.DONE
    RUN_FAILED = Exit.FAILED
    CONFIG = 2
    INSTRUMENT = Exit.INSTRUMENT
    UNSAFE = Exit.NOT_SAFE
    OUTSIDE_LIMITS = Exit.OUTSIDE_ACCEPTANCE
    STORAGE = Exit.STORAGE
    INTERRUPTED = Exit.ABORTED


MEANING = {
    ExitCode.DONE: "done",
    ExitCode.RUN_FAILED: "the run failed, for a reason that has no code of its own",
    ExitCode.CONFIG: "wrong usage, or errors in a configuration file; nothing was opened",
    ExitCode.INSTRUMENT: "an instrument or connection: not reached, silent, garbled or refusing",
    ExitCode.UNSAFE: "an interlock tripped, or a safe state could not be verified: go and look",
    ExitCode.OUTSIDE_LIMITS: "completed, but a result lies outside its acceptance limits",
    ExitCode.STORAGE: "the disk is full, or the run folder cannot be written",
    ExitCode.INTERRUPTED: "Ctrl-C; instruments were made safe before the end",
}
