"""The course of a plan: its steps one after another, with tags collected beside them.

It guarantees that a run is held, or stopped, at safe points alone: before a step, and where a step says so.
While an instrument that lost its power or its line comes back (see `reconnection`) the run is paused, and
then goes on from its step's last safe point; so it is where an interlock that holds the run refuses what a
step wants to set. After a tag stream broke, its recording is given up, and what was calibrated in it comes
first on the plan again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from drivers.errors import InstrumentError
from experiments.engine.control import RunControl, Stopped
from experiments.engine.events import Happened, Progress, RunEvent, StepBegan, StepEnded
from experiments.engine.maintenance import carry_out_due
from experiments.engine.outcome import RunError, State, causes_of
from experiments.engine.pausing import SafePoints
from experiments.engine.reconnection import Reconnection, Wrong, reason_of
from experiments.engine.recording import Recording
from experiments.engine.registry import make_step
from experiments.engine.run_gate import InterlockedError
from experiments.engine.step import Context, Step, StepClock
from experiments.engine.task_group import TaskGroup

Enter = Callable[[State, str], Awaitable[None]]


class Course:
    """The steps of one run. `context` is what they may use; `enter` makes the run enter a state."""

    def __init__(
        self,
        context: Context,
        recording: Recording,
        reconnection: Reconnection,
        control: RunControl,
        enter: Enter,
        announce: Callable[[RunEvent], None],
    ) -> None:
        self._context, self._clock = context, context.clock
        self._recording, self._reconnection = recording, reconnection
        self._enter, self._announce = enter, announce
        self._control = control
        self._safe_points = SafePoints(control, context, enter)
        self.steps = [make_step(parameters) for parameters in context.experiment.plan]
        self._left: deque[int] = deque()
        """The steps of the plan that are to be done, the present one first."""
        self.step: Step[Any] | None = None
        """The present one."""
        self._step_began = 0.0
        self._left_after_step = 0.0

    async def carry_out(self) -> None:
        """Do the steps. Raises Stopped after it was asked to stop and has finished well."""
        self._left.extend(range(len(self.steps)))
        while self._left:
            try:
                async with TaskGroup() as beside:
                    await self._go_on(beside)
            except ExceptionGroup as failure:
                if not self._left or not (wrong := await self._diagnose(failure)):
                    raise
                await self._pause(wrong, recording_is_lost=True)
        if self._control.stopping:
            raise Stopped
        self._announce(Progress("done", self._clock.now(), 0.0))

    def progress(self, doing: str) -> None:
        """Tell what is done now, and how long the rest will take."""
        now = self._clock.now()
        left = self._left_after_step
        if self.step:
            left += max(0.0, self.step.parameters.estimated_s - (now - self._step_began))
        self._announce(Progress(doing, now, left))

    async def safe_point(self) -> None:
        """A safe point of a step: wait here while the run is held, and carry out what upkeep is due. None of
        it counts as time of the step. Raises Stopped when the run is to stop."""
        await self._held()
        began, of_step = self._clock.now(), self._context.clock
        self._context.clock = self._clock
        await carry_out_due(self._context)
        self._context.clock = of_step
        self._put_off(self._clock.now() - began)

    async def _held(self) -> None:
        assert self.step is not None
        self._put_off(await self._safe_points.reached(self.step.kind))

    def _put_off(self, seconds: float) -> None:
        self._step_began += seconds
        if isinstance(self._context.clock, StepClock):
            self._context.clock.put_off(seconds)

    async def _go_on(self, beside: TaskGroup) -> None:
        """Do what is left of the plan, with one recording."""
        while self._left:
            number = self._left[0]
            step = self.step = self.steps[number]
            self._context.changes = step.changes(self._context.bench, self._context.experiment)
            self._context.clock = self._clock
            try:
                await self._held()
                if step.records(self._context.experiment) and not self._recording.goes_on:
                    await self._recording.begin(self._context.tag_files, beside)
                    self._context.tags, self._context.recordings = (
                        self._recording.tags,
                        self._recording.number,
                    )
                await self._do(step, number + 1)
            except Stopped:
                # Not raised on: the group beside would make a failure of it.
                self._left.clear()
                break
            self._left.popleft()
        if self._recording.goes_on:
            await self._context.tags.stop()

    async def _do(self, step: Step[Any], number: int) -> None:
        self._step_began = self._clock.now()
        self._left_after_step = sum(s.parameters.estimated_s for s in self.steps[number:])
        count, estimated_s = len(self.steps), step.parameters.estimated_s
        self._announce(StepBegan(number, count, step.kind, estimated_s))
        while True:
            self.progress(step.kind)
            self._context.clock = StepClock(self._clock, step.kind, step.deadline_s)
            try:
                if await self._did(step):
                    break
            except Stopped:
                self._context.clock = StepClock(self._clock, step.kind, step.deadline_s)
                await step.finish(self._context)
                self._announce(StepEnded(number, count, step.kind, self._clock.now() - self._step_began))
                raise
        self._announce(StepEnded(number, count, step.kind, self._clock.now() - self._step_began))
        await asyncio.to_thread(self._context.folder.documents.sync)

    async def _did(self, step: Step[Any]) -> bool:
        """Do a step, or what is left of it. False when it was interrupted, and is to go on now."""
        try:
            await self._held()
            await step.run(self._context)
            await self._context.standing.note(self._context.changes)
        except (InstrumentError, RunError) as failure:
            if self._control.holds and _is_interlocked(failure) and self._may_go_on:
                self._announce(Happened("interlocked", str(failure), level="warning"))
                await step.interrupted(self._context)
                await self._context.standing.note(self._context.changes)
                return False
            wrong = await self._diagnose(failure)
            recording = self._recording.goes_on and not wrong.keys().isdisjoint(self._context.tags.feeds)
            if not wrong or recording:
                raise
            await self._pause(wrong)
            return False
        return True

    @property
    def _may_go_on(self) -> bool:
        """Whether the present step can go on after a failure, and nobody has aborted the run."""
        task = asyncio.current_task()
        return self.step is not None and self.step.can_go_on and not (task is not None and task.cancelling())

    async def _diagnose(self, failure: Exception) -> Wrong:
        """The instruments because of which the run shall pause; none when the failure is to end it."""
        if not self._may_go_on:
            return {}
        return await self._reconnection.diagnose(failure, self._context.changes)

    async def _pause(self, wrong: Wrong, *, recording_is_lost: bool = False) -> None:
        """Wait until these instruments are back. Raises Stopped when somebody asks to stop meanwhile: the run
        then ends at its last safe point. Where somebody holds the run it stays paused."""
        assert self.step is not None
        self._reconnection.count(wrong, (self.step, self.step.safe_points))
        await self.step.interrupted(self._context)
        reasons = {name: f"{name}: {reason_of(what)}" for name, what in wrong.items()}
        for name, why in reasons.items():
            self._announce(Happened("lost", why, {"instrument": name}, "warning"))
        await self._enter(State.PAUSED, "; ".join(reasons.values()))
        self.progress("paused")
        if recording_is_lost:
            await self._recording.give_up()
            self._calibrate_again()
        await self._reconnection.bring_back(wrong, self._context.changes, self._control)
        if not (self._control.holds or self._control.stopping):  # else this is a safe point
            await self._enter(State.RUNNING, f"{self.step.kind} goes on from its last safe point")

    def _calibrate_again(self) -> None:
        again = [
            n for n in range(self._left[0]) if self.steps[n].needs_tags and self.steps[n].makes_calibrations
        ]
        for number in again:
            self.steps[number] = self.steps[number].anew()
        self._left.extendleft(reversed(again))


def _is_interlocked(failure: InstrumentError | RunError) -> bool:
    return any(isinstance(cause, InterlockedError) for cause in causes_of(failure))
