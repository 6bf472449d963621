"""A session: everything that a run needs around it, brought together and taken apart again.

Telemetry with its broker, the simulated bench where the testbed asks for one, the drivers at their
addresses, the clock. This is the only place where a bench and a run meet.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bellbench.broker_line import leftovers_for, line_of, written
from bellbench.guarding import under_guard
from bellbench.lines import drivers_of
from bellbench.remote import desk_for
from bellbench.simulation import bench_of
from bellbench.telemetry import TelemetryObserver
from experiments.archive.recovery import recover_all
from experiments.config.files import LoadedExperiment
from experiments.engine.clock import RunClock, WallClock
from experiments.engine.control import RunControl
from experiments.engine.events import RunObserver
from experiments.engine.outcome import SafetyError, StorageError, ending_of
from experiments.engine.record import RunFolder
from experiments.engine.run import RunReport, execute, refused
from sim_instruments.bench import Bench
from telemetry import outbox
from telemetry.publisher import Publisher

if TYPE_CHECKING:
    from experiments.archive.continuation import Continuation

GUARDED = "a process of its own makes the bench safe when this one cannot"
UNGUARDED = "none: the bench is simulated inside this process and ends with it"
"""What run.json says of the guardian."""


class BenchClock:
    """The run clock on the simulated bench: to wait is to let the world go on."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._began = bench, bench.now

    def now(self) -> float:
        return self._bench.now - self._began

    async def sleep(self, seconds: float) -> None:
        await self._bench.advance(seconds)


class Session:
    """One experiment about to be carried out, perhaps to go on with an interrupted run. `bench` is there
    while it runs on a simulated one."""

    def __init__(
        self, loaded: LoadedExperiment, runs: Path, seed: int, continuation: "Continuation | None" = None
    ) -> None:
        self.loaded, self.runs, self.seed, self.continuation = loaded, runs, seed, continuation
        self.control = RunControl()
        """By which the run can be paused, stopped and aborted while it goes on."""
        self.bench: Bench | None = None
        self.telemetry_trouble = ""
        """Why telemetry did not get through at the end of the run, when it did not."""

    async def carry_out(self, observers: Iterable[RunObserver] = ()) -> RunReport:
        """Run it. Returns how it ended; a cancellation aborts the run and makes the instruments safe.

        Raises click.UsageError when something that the run needs around it cannot be had.
        """
        report: RunReport | None = None
        try:
            async with AsyncExitStack() as stack:
                report = await self._carry_out(stack, observers)
        except asyncio.CancelledError:
            if report is None:
                raise
            # The run is over and told: only the taking apart was cut short.
        assert report is not None
        return report

    async def _carry_out(self, stack: AsyncExitStack, observers: Iterable[RunObserver]) -> RunReport:
        experiment, testbed = self.loaded.experiment, self.loaded.testbed
        clock: RunClock = WallClock()
        addresses = {name: entry.address for name, entry in testbed.instruments.items()}
        if testbed.simulated:
            light_seed = self.continuation.light_seed if self.continuation else self.seed
            self.bench = await stack.enter_async_context(bench_of(testbed, light_seed))
            addresses, clock = self.bench.addresses, BenchClock(self.bench)
        line = await line_of(experiment.telemetry, stack)
        await asyncio.to_thread(recover_all, self.runs)
        try:
            folder = RunFolder.create(self.runs, experiment.experiment)
        except StorageError as error:
            return RunReport(None, ending_of(error))
        drivers = drivers_of(testbed, addresses)
        broker = written(experiment.telemetry, line, testbed.testbed)
        publisher = Publisher(
            line,
            site=testbed.testbed,
            run=folder.name,
            root=experiment.telemetry.root,
            outbox=outbox.Outbox.for_run(folder.path / outbox.FILE, broker),
            leftovers=leftovers_for(broker, self.runs),
        )
        telemetry = TelemetryObserver(
            publisher,
            experiment.experiment,
            drivers,
            {name: entry.node for name, entry in testbed.instruments.items()},
            simulated=testbed.simulated,
            folder=folder.path,
        )
        publisher.commands = desk_for(experiment.telemetry.commands, self.control, telemetry.alarms)
        stack.callback(self._note_trouble, publisher, folder.path)
        await stack.enter_async_context(publisher)
        lease = None
        if self.bench is None:
            try:
                lease = await stack.enter_async_context(
                    under_guard(testbed, addresses, folder.path.absolute())
                )
            except SafetyError as error:
                return refused(folder, ending_of(error))
        return await execute(
            self.loaded,
            drivers,
            clock,
            folder,
            seed=self.seed,
            control=self.control,
            lease=lease,
            observers=[*observers, telemetry],
            about={
                "broker": broker,
                "guardian": GUARDED if lease else UNGUARDED,
                **self.loaded.about,
                **(self.continuation.about if self.continuation else {}),
            },
            resume_from=self.continuation.books if self.continuation else None,
        )

    def _note_trouble(self, publisher: Publisher, folder: Path) -> None:
        """What telemetry could not do, once it has ended."""
        if publisher.left:
            why = publisher.trouble or "it did not take everything in time"
            self.telemetry_trouble = (
                f"broker at {publisher.line}: {why}. {publisher.left} messages wait in {folder}; the next "
                "run for this broker sends them, or `bellbench telemetry flush`"
            )
