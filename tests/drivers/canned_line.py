"""Lines that answer every question with given bytes or text, for the fuzzing of drivers without a wire.

They stand in for the lines of `drivers.transports` and keep their promise: an answer that is none ends in
DeadlineError, as it would at the deadline.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from drivers.capabilities import Instrument
from drivers.errors import DeadlineError, InstrumentError


def silence(command: str) -> DeadlineError:
    return DeadlineError("fuzzed", "nowhere", f"{command}: nothing came that is an answer")


class _Line:
    is_open = True

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass


class CannedFrames(_Line):
    """Stands in for `SerialFrameLine`: each question is answered by what the next of the answers makes of
    the request."""

    def __init__(self, answers: Sequence[Callable[[bytes], bytes]], decoder: Callable[[], Any]) -> None:
        self.left, self.decoder = list(answers), decoder()

    async def send(self, data: bytes, command: str, *, at_once: bool = False) -> None:
        pass

    async def ask(
        self,
        request: bytes,
        matches: Callable[[Any], bool],
        command: str,
        *,
        retry: bool = False,
        patience: float = 0.0,
    ) -> Any:
        frames = self.decoder.feed(self.left.pop(0)(request)) if self.left else []
        for frame in frames:
            if matches(frame):
                return frame
        raise silence(command)


class CannedText(_Line):
    """Stands in for `SerialTextLine`, `TcpTextLine` and `VisaLine`."""

    def __init__(self, answers: Sequence[str]) -> None:
        self.left = list(answers)

    async def write(self, command: str, *, at_once: bool = False) -> None:
        pass

    async def query(
        self,
        command: str,
        is_answer: Callable[[str], bool] = lambda _: True,
        *,
        retry: bool = False,
        patience: float = 0.0,
    ) -> str:
        return (await self.query_lines(command, is_answer, retry=retry, patience=patience))[-1]

    async def query_lines(
        self, command: str, is_last: Callable[[str], bool], *, retry: bool = False, patience: float = 0.0
    ) -> list[str]:
        lines = []
        while self.left:
            lines.append(self.left.pop(0))
            if is_last(lines[-1]):
                return lines
        raise silence(command)


async def try_everything(instrument: Instrument) -> None:
    """Every reading and every setting of an instrument may end in an error of `drivers.errors`, and in
    nothing else."""
    calls: list[Callable[[], Any]] = [
        instrument.open,
        instrument.identity,
        instrument.is_settled,
        instrument.make_safe,
    ]
    for control in instrument.controls():
        calls.append(control.read)
        if control.write is not None:
            value = control.limits.high if control.limits else True
            calls.append(partial(control.write, value))
    for call in calls:
        try:
            await call()
        except InstrumentError:
            continue
