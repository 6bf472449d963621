"""Stanford Research Systems DG645 digital delay generator, over TCP or VISA.

Written from the protocol notes (`srs_dg645.md`). Its channels are edges in time, each counted from another
channel; its outputs are pairs of them. The four outputs AB, CD, EF and GH are numbers 1 to 4 here; T0, which
follows every trigger, is nobody's to move.
"""

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import DelayGenerator, Identity, Limits, Pulse, Settings
from drivers.errors import RefusedError
from drivers.making_safe import insist
from drivers.scpi import Scpi, text_line
from drivers.units import Hertz

T0 = 0
"""Number of the channel that is the trigger itself."""
INTERNAL, SINGLE_SHOT = 0, 5
"""Trigger sources: its own generator, and none until somebody sends `*TRG`."""
LATEST_S = 2000.0 - 5e-12
"""A delay is less than 2000 s, in steps of 5 ps."""
STEP_S = 5e-12
SLOWEST_HZ = 1e-4
"""Lowest rate of the internal trigger. Remembered from the data sheet, as is the greatest, 10 MHz, in the
settings; the notes give no range."""
RATE_TAKEN = 1e-5
"""How far the rate taken may be from the one sent, relative; our choice. It is shown to 1 uHz."""
CHANNELS = 10


class Dg645Settings(Settings):
    """How fast the internal trigger may run; less protects what the pulses drive."""

    max_rate: Hertz = Field(default=1e7, ge=SLOWEST_HZ)


class SrsDg645(DelayGenerator):
    """Address `tcp://HOST:5025`, or `visa:RESOURCE` for GPIB, VXI-11 and serial lines.

    Running means triggered by the internal generator. Stopping selects the single-shot source, so that an
    external trigger starts nothing either.
    """

    model = "srs_dg645"
    manufacturer = "Stanford Research Systems"
    schemes = ("tcp", "visa")
    protocol = "srs_dg645.md, completeness 3"
    doubts = ("The range of the internal trigger, 100 uHz to 10 MHz, is from memory of the data sheet.",)
    settings_model = Dg645Settings
    settings: Dg645Settings

    def __init__(self, name: str, address: Address, settings: Dg645Settings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = text_line(name, address, deadline)
        self._scpi = Scpi(name, address, self._line, error_query="LERR?")

    async def open(self) -> None:
        await self._scpi.open("Stanford Research Systems", "DG645", "Give the address of a DG645")

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return await self._scpi.identity()

    async def is_settled(self) -> bool:
        """Always: every trigger takes the settings of its moment."""
        return True

    @property
    def outputs(self) -> tuple[int, ...]:
        return (1, 2, 3, 4)

    @property
    def rate_limits(self) -> Limits:
        return Limits(SLOWEST_HZ, self.settings.max_rate, "Hz")

    @property
    def delay_limits(self) -> Limits:
        return Limits(0.0, LATEST_S, "s")

    async def set_rate(self, rate_hz: float) -> None:
        self.check_limit("rate", rate_hz, self.rate_limits)
        await self._scpi.tell(f"TRAT {rate_hz:.6f}")
        taken = await self.rate()
        if abs(taken - rate_hz) > RATE_TAKEN * rate_hz + 1e-6:
            raise self._untaken(f"TRAT {rate_hz:.6f}", f"{taken:g} Hz")

    async def rate(self) -> float:
        return await self._scpi.number("TRAT?")

    async def set_pulse(self, output: int, pulse: Pulse) -> None:
        """Set both edges of an output's pulse, each counted from the trigger, to 5 ps."""
        leading, trailing = self._channels(output)
        end = pulse.delay_s + pulse.width_s
        self.check_limit("pulse begin", pulse.delay_s, self.delay_limits)
        self.check_limit("pulse width", pulse.width_s, self.delay_limits)
        self.check_limit("pulse end", end, self.delay_limits)
        # Both from T0: a leading edge that counts from the trailing one would be a loop.
        await self._scpi.tell(f"DLAY {leading},{T0},{pulse.delay_s:.12f}")
        await self._scpi.tell(f"DLAY {trailing},{T0},{end:.12f}")
        taken = await self.pulse(output)
        if abs(taken.delay_s - pulse.delay_s) > STEP_S or abs(taken.width_s - pulse.width_s) > 2 * STEP_S:
            raise self._untaken(f"DLAY {leading},{T0},{pulse.delay_s:.12f}", f"{taken}")

    async def pulse(self, output: int) -> Pulse:
        begin, end = [await self._time(channel) for channel in self._channels(output)]
        return Pulse(begin, end - begin)

    async def set_running(self, on: bool) -> None:
        source = INTERNAL if on else SINGLE_SHOT
        await self._scpi.tell(f"TSRC {source}")
        if (taken := await self._source()) != source:
            raise self._untaken(f"TSRC {source}", f"source {taken}")

    async def is_running(self) -> bool:
        return await self._source() == INTERNAL

    async def make_safe(self) -> None:
        """Select the single-shot trigger source, and see that it is selected."""
        await insist(self, lambda: self.set_running(False), was_open=self._line.is_open)

    def _channels(self, output: int) -> tuple[int, int]:
        """The channels of an output's edges: 2 and 3 (A and B) for output 1."""
        self.check_limit("output", output, Limits(self.outputs[0], self.outputs[-1], "1"))
        return 2 * output, 2 * output + 1

    async def _time(self, channel: int) -> float:
        """Seconds from the trigger to a channel, whatever channels it is counted from."""
        total, seen = 0.0, {channel}
        while channel != T0:
            question = f"DLAY? {channel}"
            answer = await self._scpi.ask(question, r"\d+,\s*[+-]?\d+(\.\d*)?(E[+-]?\d+)?")
            reference, _, seconds = answer.partition(",")
            channel, total = int(reference), total + float(seconds)
            if channel >= CHANNELS or channel in seen:
                raise await self._scpi.garbled(question, answer)
            seen.add(channel)
        return total

    async def _source(self) -> int:
        return int(await self._scpi.ask("TSRC?", "[0-6]"))

    def _untaken(self, command: str, found: str) -> RefusedError:
        return RefusedError(self.name, str(self.address), f"{command} left it at {found}")
