"""The exit codes of every bellbench command, the one place that defines them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a shell script learns from a command that has ended; `MEANING` says it to people."""

    DONE = 0
    RUN_FAILED = 1
    CONFIG = 2
    INSTRUMENT = 3
    UNSAFE = 4
    OUTSIDE_LIMITS = 5
    STORAGE = 6
    INTERRUPTED = 130


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
