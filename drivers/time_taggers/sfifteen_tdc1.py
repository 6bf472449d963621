"""S-Fifteen Instruments TDC1 counter and time tagger, text and a binary stream over one serial line (USB).

Written from the protocol notes (`sfifteen_tdc1.md`). While it records, its line carries tags and nothing
else: thresholds can be neither read nor set then, and `count_rate` is counted from the tags. What it says to
`*IDN?` beyond its name, and how it writes a level or an error, the notes do not say; the range of the
threshold is from the maker's page (s-fifteen.com/products/timestamp).

Its four inputs share one threshold. One that is negative makes the falling edge count (`NEG`), any other the
rising edge (`POS`).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable

from drivers.address import Address
from drivers.capabilities import Identity, Limits, Settings, TimeTagger
from drivers.errors import (
    ConnectError,
    DeadlineError,
    InstrumentError,
    LimitError,
    LineError,
    ProtocolError,
    RefusedError,
)
from drivers.making_safe import insist
from drivers.time_taggers.tdc1_recording import Tdc1Recording
from drivers.time_taggers.tdc1_stream import INPUTS, UNIT_PS, Line, Tdc1Decoder, Words
from drivers.transports.serial import Probe
from drivers.transports.serial_frames import SerialFrameLine
from timetags.block import TagBlock

BAUD = 115200
"""Without meaning on a USB line."""
NAME = "TDC1"
THRESHOLD = Limits(-3.3, 3.3, "V")
THRESHOLD_TAKEN_V = 0.03
"""How far the threshold read back may be from the one set; its steps are unknown."""
COUNTING_MS = 1000

IDENTITY = rf"[ -~]*{NAME}[ -~]*"
LEVEL = r"([+-]?\d{1,4}(?:\.\d{1,6})?)(?:\s*(mV|V|volts?))?"
"""A number and perhaps a unit; S1 reads the first word as volts (M)."""
COUNTS = r"\d{1,12}(?:\s+\d{1,12}){3}"
INTEGER = r"-?\d{1,5}"
ERROR = r"(?i).*(unknown|error|invalid|illegal|range).*"
"""Words of a refusal; that it is a line of text is all the notes say."""
TIMESTAMP_MODE = "3"


class SFifteenTdc1(TimeTagger):
    """Address `serial:/dev/PATH`."""

    model = "sfifteen_tdc1"
    manufacturer = "S-Fifteen Instruments"
    schemes = ("serial",)
    protocol = "sfifteen_tdc1.md, completeness 3; range of the threshold from the maker's page"
    doubts = (
        "How it writes a level or an error, and what it says to *IDN? beyond its name, is not known.",
        "That words of tags stop at ABORT, so that answers can follow, is our reading.",
    )

    def __init__(self, name: str, address: Address, settings: Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._decoder = Tdc1Decoder()
        # An answer that is missing may be that to a recording: it is ended, and everything before is old.
        self._line = SerialFrameLine(
            name, address, BAUD, deadline,
            decoder=self._new_decoder, on_frame=self._heard,
            probe=Probe[Line | Words](b"ABORT;*IDN?\r\n", _is_identity),
        )  # fmt: skip
        self._identity = ""
        self._recording: Tdc1Recording | None = None
        self._turn = asyncio.Lock()
        """Of starting and stopping."""

    async def open(self) -> None:
        """Open the line and see that a TDC1 answers. Raises ConnectError.

        One that does not answer may be left recording by a program that has died; nobody else can be
        reading, since the line is ours alone. So after silence it is told to stop and asked once more.
        """
        if self._line.is_open:
            return
        await self._line.open()
        try:
            try:
                self._identity = await self._ask("*IDN?", IDENTITY)
            except DeadlineError:
                self._identity = await self._ask("*IDN?", IDENTITY)  # by way of the probe
        except (DeadlineError, RefusedError, LineError) as error:
            await self.close()
            raise ConnectError(
                self.name, str(self.address), f"no {NAME} answers: {error.problem}",
                "Check that this is the serial port of a TDC1",
            ) from error  # fmt: skip

    async def close(self) -> None:
        """Disconnect. A recording goes on in the instrument, until it is opened again; its tags are
        dropped. Never raises."""
        if self._recording is not None:
            self._recording.fail(
                LineError(self.name, str(self.address), "the line was closed during the recording")
            )
            self._recording = None
        await self._line.close()

    async def identity(self) -> Identity:
        """What stands beside the name in its answer counts as firmware. While it records, what it said when
        it was opened."""
        text = self._identity if self._is_recording else await self._ask("*IDN?", IDENTITY)
        return Identity(self.manufacturer, NAME, "", text.replace(NAME, "").strip(" ,;"))

    async def is_settled(self) -> bool:
        """A tagger has no inertia."""
        return True

    async def make_safe(self) -> None:
        """Stop the recording, whoever began it, and see that text comes again instead of tags. The tags until
        now still come through `blocks()`."""
        await insist(self, self._end, was_open=self._line.is_open)

    @property
    def inputs(self) -> tuple[int, ...]:
        return INPUTS

    @property
    def threshold_limits(self) -> Limits:
        return THRESHOLD

    async def resolution_ps(self) -> int:
        return UNIT_PS

    async def set_threshold(self, input_: int, threshold_v: float) -> None:
        """Set the trigger threshold of all inputs in volts. Raises LimitError, RefusedError."""
        self._check_input(input_)
        self.check_limit("threshold", threshold_v, THRESHOLD)
        command = f"{'NEG' if threshold_v < 0 else 'POS'} {threshold_v:.3f}"
        heard: list[str] = []

        def is_level(frame: Line | Words) -> bool:
            if isinstance(frame, Line):
                heard.append(frame.text)
            return _has_form(frame, LEVEL)

        # An error of the setting stands before the level.
        level = _volts(await self._exchange(f"{command};LEVEL?", is_level))
        if not abs(level - threshold_v) <= THRESHOLD_TAKEN_V:
            raise RefusedError(
                self.name, str(self.address), f"{command} was refused: {', '.join(heard)}",
                "Choose another threshold",
            )  # fmt: skip

    async def threshold(self, input_: int) -> float:
        """The trigger threshold of all inputs in volts. Raises RefusedError while it records."""
        self._check_input(input_)
        return _volts(await self._ask("LEVEL?", LEVEL))

    async def count_rate(self, input_: int) -> float:
        """Clicks per second on one input: of the second that begins now, for which this waits and the
        instrument is set to count for a second, or while it records, of the last second that was taken from
        `blocks()`."""
        self._check_input(input_)
        if self._recording is not None and self._is_recording:
            return self._recording.rate_hz(input_)
        question = f"TIME {COUNTING_MS};SINGLES;COUNTS?"
        counts = await self._ask(question, COUNTS, patience=COUNTING_MS * 1e-3)
        return int(counts.split()[input_ - 1]) / (COUNTING_MS * 1e-3)

    async def start(self, inputs: tuple[int, ...]) -> None:
        """Begin to record. What is left of an earlier recording is dropped. Raises RefusedError when it
        records already."""
        if not inputs:
            raise LimitError(self.name, str(self.address), "no inputs to record", "Name at least one")
        for input_ in inputs:
            self._check_input(input_)
        async with self._turn:
            self._identity = await self._ask("*IDN?", IDENTITY)  # by which the end is known
            await self._expect("TIMESTAMP;MODE?", TIMESTAMP_MODE)
            await self._expect("INPKT;TIME 0;TIME?", "0")
            self._recording = recording = Tdc1Recording(
                inputs, self._line.hold, self._why_broken, self.deadline
            )
            # Who has the answer to the first command knows that the second is being carried out.
            command = "MODE?;COUNTS?"
            self._decoder.begin_stream(TIMESTAMP_MODE)
            try:
                await self._line.ask(f"{command}\r\n".encode(), _is_timestamp_mode, command)
            except BaseException:
                # Whether it records now nobody knows. On a new line it is found out.
                recording.end()
                await self.close()
                raise

    async def blocks(self) -> AsyncIterator[TagBlock]:
        """One block for each half second, for one consumer. `lost` is always 0: the TDC1 does not tell of
        tags that it drops. Raises RefusedError when nothing is being recorded, LineError when the line
        breaks, ProtocolError for words that cannot be."""
        recording = self._recording
        if recording is None:
            raise RefusedError(
                self.name, str(self.address), "nothing is being recorded", "Call start() first"
            )
        try:
            while (block := await recording.next_block()) is not None:
                yield block
        except ValueError as error:
            raise ProtocolError(
                self.name, str(self.address), f"tag stream: {error}",
                "Use another USB port, without a hub; the times of all later tags would be wrong",
            ) from error  # fmt: skip
        if self._recording is recording:
            self._recording = None

    async def stop(self) -> None:
        """End the recording and see that it has ended; without one, nothing happens."""
        if self._is_recording:
            await self._end()

    @property
    def _is_recording(self) -> bool:
        return self._recording is not None and not self._recording.is_over

    async def _end(self) -> None:
        async with self._turn:
            recording = self._recording if self._is_recording else None
            if recording is not None and (failure := self._why_broken()) is not None:
                recording.fail(failure)
            elif recording is not None:
                self._decoder.end_stream(self._identity)
                recording.expect_end()
            await self._line.ask(b"ABORT;*IDN?\r\n", _is_identity, "ABORT;*IDN?")
            if recording is not None:
                recording.end()
            # Were it still recording, words would stand before this answer.
            await self._line.ask(b"*IDN?\r\n", _has_only_identity, "*IDN?")

    async def _expect(self, command: str, answer: str) -> None:
        found = await self._ask(command, INTEGER)
        if found != answer:
            raise RefusedError(
                self.name, str(self.address), f"{command} is answered by {found!r}, not {answer!r}"
            )

    async def _ask(self, question: str, form: str, patience: float = 0.0) -> str:
        """The first line of this form. Raises RefusedError, by the instrument or because it records."""
        text = await self._exchange(
            question, lambda frame: _has_form(frame, form) or _has_form(frame, ERROR), patience
        )
        if not re.fullmatch(form, text, re.ASCII):
            raise RefusedError(self.name, str(self.address), f"{question} was refused: {text}")
        return text

    async def _exchange(
        self, question: str, is_answer: Callable[[Line | Words], bool], patience: float = 0.0
    ) -> str:
        if self._is_recording:
            raise RefusedError(
                self.name, str(self.address), f"{question}: it is recording, and its line carries tags only",
                "Stop the recording first",
            )  # fmt: skip
        frame = await self._line.ask(
            f"{question}\r\n".encode(), is_answer, question, retry=True, patience=patience
        )
        assert isinstance(frame, Line)
        return frame.text

    def _heard(self, frame: Line | Words) -> None:
        if isinstance(frame, Words) and self._recording is not None:
            self._recording.feed(frame.data)

    def _new_decoder(self) -> Tdc1Decoder:
        self._decoder = Tdc1Decoder()
        return self._decoder

    def _why_broken(self) -> InstrumentError | None:
        if self._line.is_open:
            return None
        return LineError(
            self.name, str(self.address), "the line broke during the recording",
            "Check cable and power, then start again",
        )  # fmt: skip

    def _check_input(self, input_: int) -> None:
        if input_ not in INPUTS:
            raise LimitError(
                self.name, str(self.address), f"there is no input {input_}", "The inputs are 1, 2, 3 and 4"
            )


def _has_form(frame: Line | Words, form: str) -> bool:
    return isinstance(frame, Line) and re.fullmatch(form, frame.text, re.ASCII) is not None


def _is_identity(frame: Line | Words) -> bool:
    """Whatever stands before it: the last words of a recording."""
    return isinstance(frame, Line) and NAME in frame.text


def _is_timestamp_mode(frame: Line | Words) -> bool:
    return _has_form(frame, TIMESTAMP_MODE)


def _has_only_identity(frame: Line | Words) -> bool:
    return _has_form(frame, IDENTITY)


def _volts(text: str) -> float:
    match = re.fullmatch(LEVEL, text, re.ASCII)
    assert match is not None
    return float(match[1]) * (1e-3 if match[2] == "mV" else 1.0)
