"""Run control: what people, interlocks and other programs may ask of a run while it goes on.

    pause    wait at the next safe point until everyone who asked for it has let go
    resume   let go on; while the run waits for an instrument, try at once to get it back
    stop     finish well at the next safe point: what was measured is kept, the run is completed
    abort    make everything safe now; what was counted until then is kept

It guarantees that a pause lasts as long as anybody holds the run: an interlock lets go of its own hold alone,
a person of all that nothing speaks against any more. Nothing here touches an instrument. Everything is
called in the run's event loop. A run that is killed cannot be asked: the guardian makes its bench safe.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

from experiments.engine.outcome import State

PERSON = "person"
"""Who holds a run that was paused by hand."""


class Word(StrEnum):
    """What a run can be asked."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    ABORT = "abort"


LEADS_TO = {
    Word.PAUSE: State.PAUSED,
    Word.RESUME: State.RUNNING,
    Word.STOP: State.COMPLETED,
    Word.ABORT: State.ABORTED,
}


class Stopped(Exception):  # noqa: N818 - no error: the run ends well
    """Somebody asked the run to stop, and here is a safe point."""


@dataclass(frozen=True)
class Hold:
    """Why a run is to be paused. `obstacle()` says what speaks against going on, or nothing; `goes_by_itself`
    tells of a hold that may end without a person, for which the run's clock must go on."""

    why: str
    obstacle: Callable[[], str] | None = None
    goes_by_itself: bool = False


@dataclass(frozen=True)
class Answer:
    """What a run answers: whether it will do what was asked, the state that it is in, and the state that this
    leads to (the same where it was refused)."""

    accepted: bool
    state: State
    leads_to: State
    message: str

    def to_json(self) -> dict[str, object]:
        return asdict(self)


class RunControl:
    """The wishes for one run. Made before the run, which takes charge of it for as long as it goes on.

    `heard` is told of every wish that was accepted: the word, and why.
    """

    def __init__(self) -> None:
        self.state = State.PREPARING
        self.holds: dict[str, Hold] = {}
        """By who holds: `person`, or the name of an interlock."""
        self.stop_why: str | None = None
        self.abort_why: str | None = None
        self.tries = 0
        """How often a person asked to try again."""
        self.heard: Callable[[Word, str], None] | None = None
        self._cancel: Callable[[], object] | None = None
        self._news = asyncio.Event()

    # What is asked.

    def pause(
        self,
        why: str,
        holder: str = PERSON,
        obstacle: Callable[[], str] | None = None,
        *,
        goes_by_itself: bool = False,
    ) -> Answer:
        """Hold the run from its next safe point on, in the name of `holder`."""
        if refusal := self._refuse(Word.PAUSE):
            return refusal
        self.holds[holder] = Hold(why, obstacle, goes_by_itself)
        when = "is paused" if self.state is State.PAUSED else "pauses at its next safe point"
        return self._accept(Word.PAUSE, why, f"the run {when}")

    def resume(self, why: str) -> Answer:
        """Let the run go on, by the word of a person: all holds end, unless there is an obstacle."""
        if refusal := self._refuse(Word.RESUME):
            return refusal
        if self.state is not State.PAUSED and not self.holds:
            return self._answer("the run is not paused, and nobody asked for it", accepted=False)
        if obstacles := [text for hold in self.holds.values() if (text := _obstacle(hold))]:
            return self._answer(f"not yet: {'; '.join(obstacles)}", accepted=False)
        waits_for_instrument = self.state is State.PAUSED and not self.holds
        self.holds.clear()
        self.tries += 1
        message = "tries to get the instrument back" if waits_for_instrument else "goes on"
        return self._accept(Word.RESUME, why, f"the run {message}")

    def release(self, holder: str) -> None:
        """End one's own hold. The run goes on when it was the last; not by this while somebody else holds."""
        if self.holds.pop(holder, None):
            self._tell()

    def stop(self, why: str) -> Answer:
        """Finish well at the next safe point."""
        if refusal := self._refuse(Word.STOP):
            return refusal
        self.stop_why = why
        return self._accept(Word.STOP, why, "the run finishes at its next safe point")

    def abort(self, why: str) -> Answer:
        """Make everything safe now."""
        if refusal := self._refuse(Word.ABORT):
            return refusal
        self.abort_why = why
        answer = self._accept(Word.ABORT, why, "the run makes its instruments safe")
        if self._cancel:
            self._cancel()
        return answer

    def ask(self, word: Word, why: str) -> Answer:
        """The same by the word."""
        match word:
            case Word.PAUSE:
                return self.pause(why)
            case Word.RESUME:
                return self.resume(why)
            case Word.STOP:
                return self.stop(why)
            case Word.ABORT:
                return self.abort(why)

    # What the run uses.

    def take_charge(self, cancel: Callable[[], object]) -> None:
        """The run begins; `cancel` makes it end at once."""
        self._cancel = cancel
        if self.abort_why is not None:
            cancel()

    def let_go(self) -> None:
        """The run ends: nothing that is asked from now on changes how."""
        self._cancel = None

    @property
    def in_charge(self) -> bool:
        """Whether there is a run to be asked."""
        return self._cancel is not None

    @property
    def stopping(self) -> bool:
        return self.stop_why is not None

    @property
    def why_held(self) -> str:
        return "; ".join(
            hold.why if holder == PERSON else f"{holder}: {hold.why}" for holder, hold in self.holds.items()
        )

    @property
    def holds_pass(self) -> bool:
        """Whether a hold may end by itself."""
        return any(hold.goes_by_itself for hold in self.holds.values())

    def entered(self, state: State) -> None:
        """The run has entered a state."""
        self.state = state
        self._tell()

    async def news(self) -> None:
        """Wait until something is asked or the state changes."""
        await self._news.wait()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for a condition that wishes and states decide on."""
        while not reached():
            await self.news()

    def _tell(self) -> None:
        # Whoever waits wakes up; whoever waits from now on waits for the next news.
        self._news.set()
        self._news = asyncio.Event()

    def _refuse(self, word: Word) -> Answer | None:
        if self.state.final:
            return self._answer(f"the run is over: {self.state}", accepted=False)
        if self.abort_why is not None:
            return self._answer("the run is being aborted", accepted=False)
        if not self.in_charge and self.state is not State.PREPARING:
            return self._answer("the run is ending", accepted=False)
        if self.stopping and word in (Word.PAUSE, Word.RESUME):
            return self._answer("the run is finishing, since it was asked to stop", accepted=False)
        return None

    def _accept(self, word: Word, why: str, message: str) -> Answer:
        if self.heard:
            self.heard(word, why)
        self._tell()
        return self._answer(message, accepted=True, leads_to=LEADS_TO[word])

    def _answer(self, message: str, *, accepted: bool, leads_to: State | None = None) -> Answer:
        return Answer(accepted, self.state, leads_to or self.state, message)


def _obstacle(hold: Hold) -> str:
    return hold.obstacle() if hold.obstacle else ""
