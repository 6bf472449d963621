"""NKT Photonics Koheras BASIK K1x2 fibre laser, Interbus telegrams over a serial line.

Written from the protocol notes (`nkt_koheras.md`); section names below are theirs. The module holds its
registers; this driver writes set-points into them and reads them back.
"""

import asyncio
import struct

from drivers.address import Address
from drivers.capabilities import Identity, Limits, TunableLaser, TunableLaserSettings
from drivers.capabilities.tunable_laser import SPEED_OF_LIGHT
from drivers.errors import ConnectError, DeadlineError, LimitError, ProtocolError, RefusedError
from drivers.lasers.following import held_up
from drivers.lasers.koheras_telegram import Kind, Telegram, TelegramDecoder
from drivers.making_safe import insist
from drivers.transports.serial import Probe
from drivers.transports.serial_frames import SerialFrameLine

BAUD = 115200
HOST = 0xA1
"""Our address; "normally above A0h"."""
MODULE = 1
"""Where a BASIK K1x2 is unless its address was changed; `?module=N` in the address names another."""

K1X2 = 0x33
# "BASIK K1x2 registers": register and layout, little endian.
MODULE_TYPE = 0x61, "<B"
FIRMWARE = 0x64, "<H"
SERIAL_NUMBER = 0x65, ""
STATUS = 0x66, "<H"
ERROR_CODE = 0x67, "<B"
EMISSION = 0x30, "<B"
POWER_SET = 0x22, "<H"
POWER = 0x17, "<H"
OFFSET_SET = 0x2A, "<h"
OFFSET = 0x72, "<i"
CENTRE = 0x32, "<I"

POWER_UNIT_W = 1e-5
WAVELENGTH_UNIT_M = 1e-13
EMITS = 1 << 0
FORBIDS_EMISSION = {1: "the interlock is open", 4: "the module is disabled", 5: "its supply is low",
                    6: "its temperature is out of range"}  # fmt: skip
"""Bits of the status, in words."""
HAS_ERROR_CODE = 1 << 15

ATTEMPTS = 3
"""How often a telegram is sent that gets no answer: about 1 in 250 never does ("Timing", M)."""
BUSY_PAUSE_S = 0.02
"""Rest before a busy module is asked again; our choice."""
POWER_SETTLED = 0.02
"""Of the set power, how near the measured one must come; our choice, as is the next."""
OFFSET_SETTLED = 5
"""In units of 0.1 pm."""

Register = tuple[int, str]


class NktKoheras(TunableLaser):
    """Address `serial:/dev/PATH`; `?module=N` names another module address than 1.

    The default deadline leaves each of three attempts the 0.8 s that an answer sometimes takes.
    """

    model = "nkt_koheras"
    manufacturer = "NKT Photonics"
    schemes = ("serial",)
    protocol = "nkt_koheras.md, completeness 3"
    doubts = (
        "That one telegram in 250 stays without an answer is one laboratory's count; each is sent up to "
        "three times.",
        "Whether the emission bit of the status waits for the emission delay (register 3Ah) is not stated: a "
        "module whose bit does not follow within the deadline is switched off again and counts as refusing.",
        "How far the wavelength may be moved depends on the module, which does not say: the settings state "
        "it.",
    )
    settings_model = TunableLaserSettings
    settings: TunableLaserSettings

    def __init__(
        self, name: str, address: Address, settings: TunableLaserSettings, deadline: float = 3.0
    ) -> None:
        super().__init__(name, address, settings, deadline)
        self._module = int(address.options.get("module", MODULE))
        probe = Telegram(self._module, HOST, Kind.READ, MODULE_TYPE[0])
        self._line = SerialFrameLine(
            name,
            address,
            BAUD,
            deadline / ATTEMPTS,
            decoder=TelegramDecoder,
            probe=Probe(probe.to_bytes(), lambda answer: self._answers(answer, probe, Kind.DATAGRAM)),
            flow_control=True,
        )

    async def open(self) -> None:
        """Open the line and see that a BASIK K1x2 answers at the module's address. Raises ConnectError."""
        await self._line.open()
        try:
            module_type = await self._read(MODULE_TYPE)
        except DeadlineError as error:
            await self.close()
            raise ConnectError(self.name, str(self.address), error.problem, error.remedy) from error
        if module_type != K1X2:
            await self.close()
            raise ConnectError(
                self.name, str(self.address),
                f"module {self._module} is of type {module_type:02X}h, not a BASIK K1x2 ({K1X2:02X}h)",
                "Give the address of the laser module, with ?module=N if it was changed",
            )  # fmt: skip

    async def close(self) -> None:
        await self._line.close()

    async def identity(self) -> Identity:
        """The firmware is the register's number as it is; the notes give it no form."""
        module_type = await self._read(MODULE_TYPE)
        serial_number = (await self._read_bytes(SERIAL_NUMBER[0])).rstrip(b"\0")
        return Identity(
            self.manufacturer,
            "Koheras BASIK K1x2" if module_type == K1X2 else f"module type {module_type:02X}h",
            serial_number.decode("ascii", errors="replace"),
            str(await self._read(FIRMWARE)),
        )

    @property
    def power_limits(self) -> Limits:
        """At most what the register of the power set-point holds."""
        most = 0xFFFF * POWER_UNIT_W
        return Limits(self.settings.min_power, min(self.settings.max_power, most), "W")

    @property
    def frequency_limits(self) -> Limits:
        return self.settings.frequency_limits

    async def set_power(self, power_w: float) -> None:
        """Set the optical power in watts, to 0.01 mW. Raises LimitError, RefusedError."""
        self.check_limit("power", power_w, self.power_limits)
        await self._write(POWER_SET, round(power_w / POWER_UNIT_W))

    async def power(self) -> float:
        return POWER_UNIT_W * await self._read(POWER) if await self.emission() else 0.0

    async def set_frequency(self, frequency_hz: float) -> None:
        """Begin to tune, to 0.1 pm of wavelength, by the offset from the module's centre wavelength.

        Raises LimitError, also when the module's own centre is too far away for any offset, and
        RefusedError.
        """
        self.check_limit("frequency", frequency_hz, self.frequency_limits)
        wavelength = round(SPEED_OF_LIGHT / frequency_hz / WAVELENGTH_UNIT_M)
        offset = wavelength - await self._read(CENTRE)
        if not -0x8000 <= offset <= 0x7FFF:
            raise LimitError(
                self.name, str(self.address),
                f"frequency {frequency_hz:g} Hz is {1e-1 * offset:g} pm from the module's centre wavelength",
                "See whether `wavelength` in the testbed file is this module's",
            )  # fmt: skip
        await self._write(OFFSET_SET, offset)

    async def frequency(self) -> float:
        wavelength = await self._read(CENTRE) + await self._read(OFFSET)
        if wavelength <= 0:
            raise ProtocolError(
                self.name, str(self.address), f"it says that it emits at {wavelength} x 0.1 pm"
            )
        return SPEED_OF_LIGHT / (WAVELENGTH_UNIT_M * wavelength)

    async def set_emission(self, on: bool) -> None:
        """Switch emission and see by the status that it follows within the deadline.

        Switching on is sent once only: when its acknowledgement is lost, the status tells. Raises
        RefusedError with the reasons; the module is then switched off, so that it does not come on by itself.
        """
        unanswered: DeadlineError | None = None
        try:
            await self._write(EMISSION, int(on), attempts=1 if on else ATTEMPTS)
        except RefusedError as error:
            raise self._not_followed(on, error.problem, await self._what_forbids_emission()) from error
        except DeadlineError as error:
            if not on:
                raise
            unanswered = error
        reasons = await held_up(self.emission, on, self.deadline, self._what_forbids_emission)
        if reasons is None:
            return
        if on:
            await self._write(EMISSION, 0)
        raise unanswered or self._not_followed(on, f"emission did not go {'on' if on else 'off'}", reasons)

    async def emission(self) -> bool:
        return bool(await self._read(STATUS) & EMITS)

    async def is_settled(self) -> bool:
        """Whether the wavelength has arrived and, while it emits, the power."""
        offset_left = await self._read(OFFSET) - await self._read(OFFSET_SET)
        if abs(offset_left) > OFFSET_SETTLED:
            return False
        if not await self.emission():
            return True
        power_set = await self._read(POWER_SET)
        return abs(await self._read(POWER) - power_set) <= max(1.0, POWER_SETTLED * power_set)

    async def make_safe(self) -> None:
        await insist(self, lambda: self.set_emission(False), was_open=self._line.is_open)

    async def _what_forbids_emission(self) -> list[str]:
        status = await self._read(STATUS)
        reasons = [words for bit, words in FORBIDS_EMISSION.items() if status & 1 << bit]
        if status & HAS_ERROR_CODE:
            reasons.append(f"error code {await self._read(ERROR_CODE)}")
        return reasons

    def _not_followed(self, on: bool, problem: str, reasons: list[str]) -> RefusedError:
        return RefusedError(
            self.name, str(self.address), f"{problem}: {' and '.join(reasons) or 'no reason given'}",
            "See to the interlock and to the emission delay (register 3Ah)"
            if on
            else "Open the interlock or switch the module off",
        )  # fmt: skip

    async def _read(self, register: Register) -> int:
        """The number in a register. Raises ProtocolError when the content has another length."""
        number, layout = register
        content = await self._read_bytes(number)
        if len(content) != struct.calcsize(layout):
            await self.close()  # nobody knows what comes next on this line
            raise ProtocolError(
                self.name, str(self.address), f"register {number:02X}h holds {content.hex(' ') or 'nothing'}"
            )
        return int(struct.unpack(layout, content)[0])

    async def _read_bytes(self, register: int) -> bytes:
        request = Telegram(self._module, HOST, Kind.READ, register)
        return (await self._exchange(request, Kind.DATAGRAM, f"read {register:02X}h", ATTEMPTS)).data

    async def _write(self, register: Register, value: int, *, attempts: int = ATTEMPTS) -> None:
        """Write a register and see that it holds the value. A set-point that is written twice has the
        effect of once, so an unanswered telegram is sent again."""
        number, layout = register
        command = f"write {value} to {number:02X}h"
        request = Telegram(self._module, HOST, Kind.WRITE, number, struct.pack(layout, value))
        await self._exchange(request, Kind.ACK, command, attempts)
        taken = await self._read(register)
        if taken != value and register != EMISSION:
            raise RefusedError(self.name, str(self.address), f"{command} left it at {taken}")

    async def _exchange(self, request: Telegram, wanted: Kind, command: str, attempts: int) -> Telegram:
        """Send a telegram until it is answered. One that the module says it could not read, or not deal
        with now, has had no effect and is sent again."""
        answer = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self._line.ask(
                    request.to_bytes(),
                    lambda telegram: self._answers(telegram, request, wanted),
                    command,
                    retry=wanted is Kind.DATAGRAM,
                )
            except DeadlineError:
                if attempt >= attempts:
                    raise
                continue
            if answer.kind not in (Kind.CRC_ERROR, Kind.BUSY):
                break
            await asyncio.sleep(BUSY_PAUSE_S)
        if answer is None or answer.kind != wanted:
            kind = Kind(answer.kind).name if answer is not None else "nothing"
            raise RefusedError(self.name, str(self.address), f"{command} was answered by {kind}")
        return answer

    def _answers(self, telegram: Telegram, request: Telegram, wanted: Kind) -> bool:
        return (
            telegram.source == request.destination
            and telegram.destination == request.source
            and telegram.register == request.register
            and telegram.kind in (wanted, Kind.NACK, Kind.CRC_ERROR, Kind.BUSY)
        )
