"""The guardian: a process beside a run that makes its bench safe when the run cannot do it any more.

    python -m bellbench.guardian        (started by `bellbench.guarding`, before anything is switched on)

It reads orders on its standard input: who the run is and which instruments there are, then heartbeats, each
of which it answers. When the line closes without a word (the run was killed), or no heartbeat has come for
the term of the lease (it hangs), the guardian makes every instrument safe through its own drivers, in the
order of the testbed, and writes down for each what became of it. A run that hangs is killed first: it holds
the lines to the instruments, and must not wake up and go on. A run that ends well says so, and the guardian
goes.

It lives in a session of its own and ignores the signals that end a run (Ctrl-C, a closed terminal, `kill`).
It loads its drivers at once and nothing that is slow to load, so that it can act at any moment from then on.
What it cannot guard against is its own death together with the run's, and a computer without power: hardware
interlocks stay hardware.
"""

import asyncio
import os
import pickle
import select
import signal
import sys
import time
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from drivers import catalog
from drivers.address import Address
from drivers.capabilities import Instrument, Settings
from experiments.engine.safe_state import SafeOutcome, make_safe, safe_groups

READY, BEAT, DONE = b"watching", b"beat", b"done"
"""What the two say to each other, a line each: the guardian is ready, the run lives (and it was heard), the
run has ended and made its bench safe by itself."""
BUSY_S = 0.5
"""So much longer than the lease it waits, once, for a run that computes: it may be late and not hang."""
LOOK_S = 0.25
"""So often it looks at a process that is silent. One that is found halted twice in a row goes on by nobody's
hand but a person's, so there is nothing to wait for."""
GOING_S = 1.0
"""So long a process that was killed may take to be gone."""


@dataclass(frozen=True)
class Charge:
    """One instrument: all that its driver needs. Settings go as the checked objects that they are, since
    their models take numbers with units only."""

    name: str
    model: str
    address: str
    settings: Settings

    def driver(self) -> Instrument:
        return catalog.find(self.model)(self.name, Address.parse(self.address), self.settings)


@dataclass(frozen=True)
class Orders:
    """What the guardian has to know. `lease_s` is how long it waits for a heartbeat."""

    folder: Path
    process: int
    lease_s: float
    safe_order: tuple[str, ...]
    charges: tuple[Charge, ...]

    def to_line(self) -> bytes:
        """As one line of text, for a line that nobody else writes to."""
        return b64encode(pickle.dumps(self)) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Orders":
        orders = pickle.loads(b64decode(line))
        assert isinstance(orders, cls)
        return orders


@dataclass(frozen=True)
class Alarm:
    """Why the guardian acts. `hung`: the process still lives, and does not answer."""

    why: str
    hung: bool = False


def watch(orders: Orders, line: int, answers: int) -> Alarm | None:
    """Wait until something is wrong, or, then returns None, until the run says that it is done.

    Heartbeats count from the first one on: until then a closed line alone is an alarm."""
    heard, due, waited_s, halts = b"", float("inf"), orders.lease_s, 0
    while True:
        left_s = min(max(due - time.monotonic(), 0.0), LOOK_S)
        if not select.select([line], [], [], None if due == float("inf") else left_s)[0]:
            halts = halts + 1 if is_halted(orders.process) else 0
            if halts > 1:
                return Alarm("the process of the run was halted", hung=True)
            if time.monotonic() < due:
                continue
            if waited_s == orders.lease_s and computes(orders.process):
                waited_s += BUSY_S
                due += BUSY_S
                continue
            return Alarm(f"the run gave no sign of life for {waited_s:g} s", hung=True)
        news = os.read(line, 65536)
        if not news:
            return Alarm("the process of the run is gone")
        halts = 0
        *words, heard = (heard + news).split(b"\n")
        if DONE in words:
            return None
        if BEAT in words:
            waited_s = orders.lease_s
            due = time.monotonic() + waited_s
            with suppress(BrokenPipeError, BlockingIOError):  # a run that does not listen is found out above
                os.write(answers, BEAT + b"\n")


def computes(process: int) -> bool:
    """Whether some thread of a process runs or waits for a processor; without /proc nobody knows."""
    return "R" in _states(process)


def is_halted(process: int) -> bool:
    """Whether a signal (SIGSTOP, Ctrl-Z) or a debugger holds a process; without /proc nobody knows."""
    states = _states(process)
    return bool(states) and set(states) <= {"T", "t"}


def _states(process: int) -> list[str]:
    """The state of each thread, a letter: proc(5), field 3 of `stat`."""
    states = []
    for thread in Path(f"/proc/{process}/task").glob("*/stat"):
        with suppress(OSError):  # it has ended since
            states.append(thread.read_text().rpartition(")")[2].split()[0])
    return states


def end_process(orders: Orders, line: int) -> bool:
    """Kill the process of a run that hangs; returns whether it is gone. Its end of the line is still open, so
    the number is still its own."""
    with suppress(ProcessLookupError):
        os.kill(orders.process, signal.SIGKILL)
    end = time.monotonic() + GOING_S
    while (left_s := end - time.monotonic()) > 0:
        if select.select([line], [], [], left_s)[0] and not os.read(line, 65536):
            return True
    return False


def act(orders: Orders, drivers: list[Instrument], alarm: Alarm, line: int) -> bool:
    """Make the bench safe and write it down. Returns whether all instruments were verified safe."""
    began = time.time()
    killed = end_process(orders, line) if alarm.hung else False
    outcomes = asyncio.run(_make_safe(drivers, orders.safe_order))
    unsafe = [f"{outcome.name}: {outcome.problem}" for outcome in outcomes if not outcome.verified]
    message = f"{alarm.why}{', and was killed' if killed else ''}; the guardian made "
    message += f"{len(outcomes) - len(unsafe)} of {len(outcomes)} instruments safe"
    if unsafe:
        message = "\n".join([message, "NOT VERIFIED SAFE, go and look:", *unsafe])
    with suppress(OSError, ValueError):
        print(f"bellbench guardian: {orders.folder.name}: {message}", file=sys.stderr, flush=True)  # noqa: T201
    # The bench is safe; a full disk, or a folder that is gone, can do no more harm.
    with suppress(Exception):
        _write_down(orders, alarm, killed, began, message, outcomes)
    with suppress(Exception):  # everything is safe and written down: to tell it is only more
        from bellbench.last_words import tell

        tell(orders.folder, message)
    with suppress(Exception):  # last: it reads every byte of the run's tags, which may take many minutes
        from experiments.archive.recovery import recover

        recover([orders.folder])
    return not unsafe


async def _make_safe(drivers: list[Instrument], order: tuple[str, ...]) -> list[SafeOutcome]:
    outcomes = await make_safe(safe_groups(drivers, order))
    closing = [asyncio.create_task(driver.close()) for driver in drivers]
    await asyncio.wait(closing, timeout=GOING_S)
    return outcomes


def _write_down(
    orders: Orders, alarm: Alarm, killed: bool, began: float, message: str, outcomes: list[SafeOutcome]
) -> None:
    """guardian.json and the last documents of the run."""
    from experiments.archive.recovery import GUARDIAN
    from experiments.engine.documents import DOCUMENTS, Documents
    from experiments.engine.events import SafeSeen, StateChanged
    from experiments.engine.outcome import Ending, Exit, State
    from experiments.engine.record import json_file, replace_whole

    with suppress(OSError):
        (orders.folder / ".reserve").unlink()  # this is what it was kept for
    record = {
        "why": alarm.why,
        "killed": killed,
        "message": message,
        "acted_at": began,
        "took_s": round(time.time() - began, 3),
        "safe_state": [asdict(outcome) for outcome in outcomes],
    }
    replace_whole(orders.folder / GUARDIAN, json_file(record))
    documents = Documents.continued(orders.folder / DOCUMENTS, author="guardian")
    try:
        for outcome in outcomes:
            documents.event(SafeSeen(outcome.name, outcome.verified, outcome.problem), documents.age_s())
        documents.event(StateChanged(orders.folder.name, State.INTERRUPTED, message), documents.age_s())
        verified = all(outcome.verified for outcome in outcomes)
        documents.stop(Ending(State.INTERRUPTED, Exit.FAILED if verified else Exit.NOT_SAFE, message))
    finally:
        documents.close()


def main() -> int:
    """The guardian's whole life. Returns its exit code: 0, or 4 when an instrument was not verified safe."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    line, answers = sys.stdin.fileno(), sys.stdout.fileno()
    # Byte by byte and unbuffered: what comes after the orders is for `watch`.
    with open(line, "rb", buffering=0, closefd=False) as unbuffered:
        first = unbuffered.readline()
    if not first.endswith(b"\n"):
        return 0  # the run was gone before it had done anything
    orders = Orders.from_line(first)
    drivers = [charge.driver() for charge in orders.charges]
    os.write(answers, READY + b"\n")
    alarm = watch(orders, line, answers)
    return 0 if alarm is None or act(orders, drivers, alarm, line) else 4


if __name__ == "__main__":
    # By its proper name, so that orders are of the class that they were made as.
    from bellbench.guardian import main as guard

    sys.exit(guard())
