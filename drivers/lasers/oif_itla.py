"""Integrable tunable laser assembly (ITLA), such as Pure Photonics PPCL5xx, over a serial line.

Written from the protocol notes (`oif_itla.md`); section names below are theirs. A module has registers of
16 bits. Its frequency is the sum of a first-channel frequency, a number of grid steps (none here: this driver
uses channel 1) and a fine tuning; only the last may change while it emits.
"""

import asyncio
import math

from drivers.address import Address
from drivers.capabilities import Identity, Limits, TunableLaser, TunableLaserSettings
from drivers.errors import ConnectError, DeadlineError, ProtocolError, RefusedError
from drivers.lasers.itla_packet import Answer, AnswerDecoder, ExecutionError, Request, Status
from drivers.making_safe import insist
from drivers.transports.serial import Probe
from drivers.transports.serial_frames import SerialFrameLine

BAUD = 9600
"""As delivered; `?baud=N` in the address names another."""

# "Registers"
NOP = 0x00
DEVICE_TYPE, MANUFACTURER, MODEL, SERIAL_NUMBER, RELEASE = 0x01, 0x02, 0x03, 0x04, 0x06
TEXT = 0x0B
CAPABILITIES = 0x0D
CHANNEL = 0x30
POWER_SET = 0x31
ENABLE = 0x32
GRID = 0x34
FIRST_THZ, FIRST_100_MHZ = 0x35, 0x36
POWER = 0x42
FINE_RANGE_MHZ = 0x4F
LOWEST_THZ, HIGHEST_THZ = 0x52, 0x54
FINE_TUNE_MHZ = 0x62

OUTPUT_ON = 1 << 3
READY = 1 << 4
PENDING = 0xFF00
LONGEST_TEXT = 80
"""Characters that we believe of a text; our choice (the agreement's own limit is not in the notes)."""
REPEATS = 3
"""How often a request is sent that arrives damaged; our choice."""

THZ, STEP, MHZ = 1e12, 1e8, 1e6
STEPS_PER_THZ = 10_000


class OifItla(TunableLaser):
    """Address `serial:/dev/PATH`; `?baud=N` names another speed than 9600."""

    model = "oif_itla"
    manufacturer = "Pure Photonics"
    schemes = ("serial",)
    protocol = "oif_itla.md, completeness 3"
    doubts = (
        "The numbers of the execution errors are recalled from the agreement, not read in it.",
        "That the first channel may change only while the light is off holds for most modules, not surely "
        "for all.",
    )
    settings_model = TunableLaserSettings
    settings: TunableLaserSettings

    def __init__(
        self, name: str, address: Address, settings: TunableLaserSettings, deadline: float = 2.0
    ) -> None:
        super().__init__(name, address, settings, deadline)
        self._line = SerialFrameLine(
            name,
            address,
            int(address.options.get("baud", BAUD)),
            deadline,
            decoder=AnswerDecoder,
            # A register that is read for nothing else, so that no other late answer can be its answer.
            probe=Probe(Request(CAPABILITIES).to_bytes(), lambda answer: answer.register == CAPABILITIES),
        )
        self._sequence = asyncio.Lock()
        """Held while one request refers to the one before: text, and the reason of a refusal."""

    async def open(self) -> None:
        """Open the line and see that an ITLA answers. Raises ConnectError."""
        await self._line.open()
        try:
            device_type = await self._text(DEVICE_TYPE)
        except DeadlineError as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, error.remedy) from error
        except (ProtocolError, RefusedError):
            await self.close()
            raise
        if "ITLA" not in device_type:  # "CW ITLA", by the agreement (read in a public driver; M)
            await self.close()
            raise ConnectError(
                self.name, str(self.address), f"a {device_type!r} answers", "Give the address of an ITLA"
            )

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        return Identity(
            await self._text(MANUFACTURER),
            await self._text(MODEL),
            await self._text(SERIAL_NUMBER),
            await self._text(RELEASE),
        )

    @property
    def power_limits(self) -> Limits:
        return Limits(self.settings.min_power, self.settings.max_power, "W")

    @property
    def frequency_limits(self) -> Limits:
        return self.settings.frequency_limits

    async def set_power(self, power_w: float) -> None:
        """Set the optical power in watts, to 0.01 dBm. Raises LimitError, and RefusedError outside the
        module's own limits (6 to 13.5 dBm for a PPCL550)."""
        self.check_limit("power", power_w, self.power_limits)
        await self._write(POWER_SET, round(100 * 10 * math.log10(1e3 * power_w)))

    async def power(self) -> float:
        if not await self.emission():
            return 0.0
        return float(1e-3 * 10 ** ((await self._read(POWER)).signed / 1000))

    async def set_frequency(self, frequency_hz: float) -> None:
        """Begin to tune, to 1 MHz.

        While the output is off it tunes by the first-channel frequency, to the nearest 0.1 GHz, and by
        fine tuning for the rest. While it is on, by fine tuning alone. Raises LimitError, and RefusedError
        when the frequency is out of the reach of fine tuning, or of the module.
        """
        self.check_limit("frequency", frequency_hz, self.frequency_limits)
        if await self.emission():
            fine_hz = frequency_hz - await self._coarse_hz()
            reach_hz = MHZ * (await self._read(FINE_RANGE_MHZ)).unsigned
            if abs(fine_hz) > reach_hz:
                raise RefusedError(
                    self.name, str(self.address),
                    f"{frequency_hz:g} Hz is out of the reach of fine tuning, {reach_hz:g} Hz",
                    "Switch the emission off to tune farther",
                )  # fmt: skip
        else:
            steps = round(frequency_hz / STEP)
            await self._set_first_channel(*divmod(steps, STEPS_PER_THZ))
            fine_hz = frequency_hz - steps * STEP
        await self._write(FINE_TUNE_MHZ, round(fine_hz / MHZ))

    async def frequency(self) -> float:
        return await self._coarse_hz() + MHZ * (await self._read(FINE_TUNE_MHZ)).signed

    async def set_emission(self, on: bool) -> None:
        """Switch the output. Raises RefusedError when the module does not take it; the light comes up
        within seconds of tuning (`is_settled`)."""
        try:
            await self._write(ENABLE, OUTPUT_ON if on else 0, mask=OUTPUT_ON)
        except RefusedError:
            if on or await self.emission():  # while it starts it refuses, and is off anyway
                raise

    async def emission(self) -> bool:
        return bool((await self._read(ENABLE)).unsigned & OUTPUT_ON)

    async def is_settled(self) -> bool:
        """Whether no operation is pending and the module is ready."""
        status = (await self._read(NOP)).unsigned
        return not status & PENDING and bool(status & READY)

    async def make_safe(self) -> None:
        await insist(self, lambda: self.set_emission(False), was_open=self._line.is_open)

    async def _coarse_hz(self) -> float:
        """The frequency without fine tuning."""
        thz, steps = (await self._read(FIRST_THZ)).unsigned, (await self._read(FIRST_100_MHZ)).unsigned
        channel, grid = (await self._read(CHANNEL)).unsigned, (await self._read(GRID)).unsigned
        return thz * THZ + (steps + (channel - 1) * grid) * STEP

    async def _set_first_channel(self, thz: int, steps: int) -> None:
        """Write the two halves of the first-channel frequency, and channel 1.

        A module may refuse a half that together with the old other half is outside its range, so the
        second half changes while the first stands in the middle of the range.
        """
        if (await self._read(CHANNEL)).unsigned != 1:
            await self._write(CHANNEL, 1)
        if (await self._read(FIRST_THZ)).unsigned != thz:
            lowest, highest = (
                (await self._read(LOWEST_THZ)).unsigned,
                (await self._read(HIGHEST_THZ)).unsigned,
            )
            await self._write(FIRST_THZ, (lowest + highest) // 2)
        await self._write(FIRST_100_MHZ, steps)
        await self._write(FIRST_THZ, thz)

    async def _read(self, register: int) -> Answer:
        """Raises RefusedError when the module does not execute it."""
        async with self._sequence:
            return await self._executed(Request(register), f"read {register:02X}h")

    async def _write(self, register: int, value: int, *, mask: int = 0xFFFF) -> None:
        """Write a number and see that it, in the bits of the mask, was taken. Raises RefusedError."""
        command = f"write {value} to {register:02X}h"
        request = Request(register, value & 0xFFFF, write=True)
        async with self._sequence:
            await self._executed(request, command)
        taken = await self._read(register)
        if (taken.unsigned ^ request.data) & mask:
            raise RefusedError(self.name, str(self.address), f"{command} left it at {taken.signed}")

    async def _text(self, register: int) -> str:
        """A register of text; nothing else may be asked between its first and its last two characters."""
        async with self._sequence:
            answer = await self._executed(Request(register), f"read {register:02X}h")
            size = answer.unsigned
            if answer.status is not Status.EXTENDED or size > LONGEST_TEXT:
                await self.close()
                raise ProtocolError(
                    self.name, str(self.address),
                    f"read {register:02X}h was answered by {answer.status.name} {answer.data.hex()}, no text",
                )  # fmt: skip
            pieces = [
                (await self._executed(Request(TEXT), "read text", retry=False)).data
                for _ in range((size + 1) // 2)
            ]
        return b"".join(pieces)[:size].rstrip(b"\0").decode("ascii", errors="replace")

    async def _executed(self, request: Request, command: str, *, retry: bool = True) -> Answer:
        """Send a request, again when it arrives damaged. Raises RefusedError with the module's reason."""
        answer = await self._answer(request, command, retry=retry)
        if answer.status is Status.EXECUTION_ERROR:
            code = (await self._answer(Request(NOP), f"status after {command}")).unsigned & 0x0F
            reason = ExecutionError(code).name if code in set(ExecutionError) else f"code {code}"
            raise RefusedError(self.name, str(self.address), f"{command} was refused: {reason}")
        return answer

    async def _answer(self, request: Request, command: str, *, retry: bool = True) -> Answer:
        for _ in range(REPEATS):
            answer = await self._line.ask(
                request.to_bytes(),
                lambda answer: answer.register == request.register or answer.communication_error,
                command,
                retry=retry and not request.write,
            )
            if not answer.communication_error:
                return answer
        raise ProtocolError(
            self.name, str(self.address), f"{command}: all {REPEATS} requests arrived damaged at the module",
            "See to the cable and its length, and to the speed of the line",
        )  # fmt: skip
