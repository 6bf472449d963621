"""Runs for drills: `python runs_process.py`, a process that has loaded everything and forks for each run.

Orders come as JSON lines: `{"arguments": [...], "out": FILE, "failure": WORD, "fire": FILE, "known": FILE}`.
Each is `bellbench` with these arguments in a process of its own, whose number is printed at once and whose
exit status (negative: the signal that ended it) when it has ended. A failure that comes from within happens
as soon as the file `fire` exists. When a run first knows that something is wrong is written to `known`, as
time.time().
"""
# ruff: noqa: T201, ASYNC240 - what it prints is for the process that started it; files are how they signal

import asyncio
import errno
import json
import os
import signal
import sys
import time
from pathlib import Path

import bellbench.commands.run
import bellbench.session  # noqa: F401 - all of it is to be loaded before the first run
from bellbench.cli import call
from experiments.engine.clock import GuardedClock
from experiments.engine.run import Run
from experiments.engine.step import StepClock
from timetags.analyses.warm_up import compile_kernels


def main() -> None:
    # A shell that begins tests in the background has them ignore Ctrl-C, and so would the runs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    compile_kernels()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            out = os.open(order["out"], os.O_CREAT | os.O_WRONLY)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            prepare(order["failure"], Path(order["fire"]), Path(order["known"]))
            os._exit(call(order["arguments"]))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def prepare(failure: str, fire: Path, known: Path) -> None:
    """Make this failure happen, as soon as the fire is lit."""

    def note() -> None:
        if fire.exists() and not known.exists():
            known.write_text(repr(time.time()))

    ends = Run.ending_for

    def ending_for(run: Run, cause: BaseException) -> object:
        note()
        return ends(run, cause)

    Run.ending_for = ending_for  # type: ignore[method-assign, assignment]

    async def sleep(clock: GuardedClock, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            if fire.exists() and failure == "exception":
                note()
                raise ZeroDivisionError("a drill")
            if fire.exists() and failure == "deadline":
                break
            await asyncio.sleep(min(left_s, 0.02))

    GuardedClock.sleep = sleep  # type: ignore[method-assign]
    sleeps = StepClock.sleep

    async def sleep_in_step(clock: StepClock, seconds: float) -> None:
        if fire.exists() and failure == "deadline":
            clock.put_off(-1e6)
            note()
        await sleeps(clock, seconds)

    StepClock.sleep = sleep_in_step  # type: ignore[method-assign]
    if failure == "full disk":
        write, sync = os.write, os.fsync

        def refuse(descriptor: int) -> None:
            file = Path(f"/proc/self/fd/{descriptor}")
            if not (fire.exists() and file.is_file()):
                return
            if any((folder / ".reserve").exists() for folder in file.readlink().parents):
                note()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def full_write(descriptor: int, data: bytes) -> int:
            refuse(descriptor)
            return write(descriptor, data)

        def full_sync(descriptor: int) -> None:
            refuse(descriptor)
            sync(descriptor)

        os.write, os.fsync = full_write, full_sync  # type: ignore[assignment]


if __name__ == "__main__":
    main()
