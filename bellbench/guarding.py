"""A run under guard: the guardian started, the lease kept up with it, and let go at the end.

Heartbeats come from the run's event loop: when it stands still, the guardian ends the lease, and the run.
Every heartbeat that the guardian answers renews the lease on the run's side, which so ends when the guardian
does.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from bellbench.guardian import BEAT, DONE, READY, Charge, Orders
from experiments.config.testbed import Testbed
from experiments.engine.lease import Lease
from experiments.engine.outcome import SafetyError

LEASE_S = 1.2
"""The term of the lease, by the guardian's clock: with what it takes to make safe it is dark within 2 s
(`ecosystem.md` 7.2, 8), and a run on a busy computer is not taken for one that hangs."""
BEATS_PER_LEASE = 6
ANSWER_S = 3.0
"""So long the guardian may take to answer a heartbeat before the run gives it up. The light is in no danger
meanwhile: the run is alive and sees to it."""
STARTING_S = 20.0
"""Wall time for the guardian to start and load its drivers; half a second on an idle machine."""
GOING_S = 5.0
"""Wall time for it to go."""


@asynccontextmanager
async def under_guard(testbed: Testbed, addresses: Mapping[str, str], folder: Path) -> AsyncIterator[Lease]:
    """A lease under the eyes of a guardian, for the instruments of a testbed at these addresses and a run in
    this folder. On leaving, the bench has to be safe. Raises SafetyError when no guardian can be had."""
    charges = tuple(
        Charge(name, entry.model, addresses[name], entry.settings)
        for name, entry in testbed.instruments.items()
    )
    orders = Orders(folder, os.getpid(), LEASE_S, testbed.safe_order, charges)
    guardian = await _start(orders)
    lease = Lease(ANSWER_S)
    lease.begin()
    tasks = [
        asyncio.create_task(_beat(guardian), name="heartbeat"),
        asyncio.create_task(_listen(guardian, lease), name="listen to the guardian"),
    ]
    try:
        yield lease
    finally:
        lease.end("the run is over")
        for task in tasks:
            task.cancel()
        await _let_go(guardian)


async def _start(orders: Orders) -> Process:
    # -P: it finds the installed bellbench, whatever lies in the present folder. A session of its own: what
    # Ctrl-C and a closed terminal send does not reach it.
    guardian = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "bellbench.guardian", stdin=PIPE, stdout=PIPE, start_new_session=True
    )  # fmt: skip
    assert guardian.stdin
    assert guardian.stdout
    said = b""
    try:
        guardian.stdin.write(orders.to_line())
        async with asyncio.timeout(STARTING_S):
            said = await guardian.stdout.readline()
    except (TimeoutError, ConnectionError):
        pass
    if said != READY + b"\n":
        guardian.stdin.close()
        raise SafetyError("the guardian did not start, so nothing can be switched on; see what it said above")
    return guardian


async def _beat(guardian: Process) -> None:
    assert guardian.stdin
    while not guardian.stdin.is_closing():
        guardian.stdin.write(BEAT + b"\n")
        await asyncio.sleep(LEASE_S / BEATS_PER_LEASE)


async def _listen(guardian: Process, lease: Lease) -> None:
    assert guardian.stdout
    while await guardian.stdout.readline():
        lease.renew()
    lease.end("the guardian is gone")


async def _let_go(guardian: Process) -> None:
    """Tell it that the run is done, and see it go. One that hangs has nothing to guard any more."""
    assert guardian.stdin
    with suppress(ConnectionError):
        guardian.stdin.write(DONE + b"\n")
        await guardian.stdin.drain()
    guardian.stdin.close()
    try:
        async with asyncio.timeout(GOING_S):
            await guardian.wait()
    except TimeoutError:
        guardian.kill()
