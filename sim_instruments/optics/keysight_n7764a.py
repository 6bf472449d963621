"""A simulated Keysight N7764A: four optical attenuators in one box, SCPI over a TCP socket.

`Channel` is one attenuator: a filter that moves at a set speed, offsets, a shutter. Each entry of a testbed
file has a box of its own here, and only the channel that it names stands in light. Protocol facts are from
keysight_n77xx.md of the protocol notes and, for forms and behaviour, from the N77xx programming guide
(N7744-90C, chapters 3 and 4); "invented" marks what neither gives. The channels have no power monitors: the
light field does not tell an attenuator how much light there is, so `READ` and `FETCh` are refused.
"""

from collections.abc import Callable
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import AttenuatorPort, Ports
from sim_instruments.wire.scpi import CONFLICT, Bounds, Command, ErrorQueue, Scpi, ScpiError, Tree
from sim_instruments.wire.tcp import TcpServer

CHANNELS = (1, 2, 3, 4)
FILTER_MAX_DB = 45.0
OFFSETS_DB = (-200.0, 200.0)
SPEEDS = (0.1, 1000.0)  # dB/s; those of the N7766A
WAVELENGTHS_M = (1260e-9, 1640e-9)
AVERAGING_S = (2e-3, 1.0)  # invented
POWERS_DBM = (-200.0, 200.0)  # invented: far beyond what the filter reaches
REFERENCE_DBM = 0.0  # input power that output power is reckoned from, without a monitor; invented
SETTLING = 2  # SCPI's bit of the operation condition; the guide has the bits of attenuators in a drawing only
ERRORS_KEPT = 30  # invented


def real(value: float) -> str:
    """A number as the box writes it: `+1.55000000E-006` in the guide's examples."""
    mantissa, exponent = f"{value:+.8E}".split("E")
    return f"{mantissa}E{int(exponent):+04d}"


class Channel:
    """One attenuator. Its loss at 0 dB of filter attenuation is `insertion_loss_db`."""

    def __init__(self, port: AttenuatorPort, insertion_loss_db: float) -> None:
        self.port, self.insertion_loss_db = port, insertion_loss_db
        self.open_after_power_on = False
        self.reset()
        self.power_cycle()

    def reset(self) -> None:
        """To the settings of `*RST`; its values are invented but for the shutter."""
        self.filter_db = self.target_db = 0.0
        self.offset_db = self.power_offset_db = 0.0
        self.speed = SPEEDS[1]
        self.wavelength_m = 1550e-9
        self.averaging_s = 0.1
        self.power_control = self.by_power = self.in_watts = self.open = False
        self.touch_light()

    def power_cycle(self) -> None:
        """The filter where it was (invented), the shutter as it was saved for power-on."""
        self.target_db = self.filter_db
        self.open = self.open_after_power_on
        self.touch_light()

    def touch_light(self) -> None:
        self.port.attenuation_db = self.filter_db + self.insertion_loss_db
        self.port.open = self.open

    @property
    def moving(self) -> bool:
        return self.filter_db != self.target_db

    def advance(self, seconds: float) -> None:
        way, reach = self.target_db - self.filter_db, self.speed * seconds
        self.filter_db = (
            self.target_db if abs(way) <= reach else self.filter_db + (reach if way > 0 else -reach)
        )
        self.touch_light()

    @property
    def bounds(self) -> Bounds:
        """Of the attenuation shown, which is the filter's and the offset."""
        return self.offset_db, FILTER_MAX_DB + self.offset_db

    def set_attenuation(self, shown_db: float) -> None:
        self.target_db, self.by_power = shown_db - self.offset_db, False

    def set_power(self, dbm: float) -> None:
        """By the reference power, since there is no monitor: P = P_ref - a_filter - P_offset. Out of reach,
        the filter goes as far as it can (the guide's "excessive power")."""
        wanted = REFERENCE_DBM - dbm - self.power_offset_db
        self.target_db, self.by_power = min(max(wanted, 0.0), FILTER_MAX_DB), True

    @property
    def power_dbm(self) -> float:
        return REFERENCE_DBM - self.target_db - self.power_offset_db

    def hide_attenuation(self) -> None:
        """Set the offset so that the attenuation shown is 0."""
        self.offset_db = -self.target_db

    def set_open(self, is_open: bool) -> None:
        """At once: the guide has it close at the greatest speed, and open at the filter's."""
        self.open = is_open
        self.touch_light()


class Box:
    """Four channels, of which the one of `port` stands in light."""

    def __init__(self, name: str, channel: int, port: AttenuatorPort, insertion_loss_db: float) -> None:
        self.serial = f"DE{49_400_000 + crc32(name.encode()) % 100_000}"
        self.channels = {
            n: Channel(port if n == channel else AttenuatorPort(), insertion_loss_db) for n in CHANNELS
        }
        self.errors = ErrorQueue(ERRORS_KEPT)

    def reset(self) -> None:
        for channel in self.channels.values():
            channel.reset()

    @property
    def moving(self) -> bool:
        return any(channel.moving for channel in self.channels.values())


def number(
    n: int, attribute: str, bounds: Callable[[Channel], Bounds], unit: str = "DB", default: float = 0.0
) -> Command[Box]:
    """A setting of channel `n` that is a number and nothing else."""
    return Command(
        read=lambda box: real(getattr(box.channels[n], attribute)),
        write=lambda box, value: setattr(box.channels[n], attribute, value),
        bounds=lambda box: bounds(box.channels[n]),
        show=lambda _, value: real(value),
        unit=unit,
        default=default,
    )


def switch(n: int, attribute: str) -> Command[Box]:
    """A setting of channel `n` that is on or off."""
    return Command(
        read=lambda box: str(int(getattr(box.channels[n], attribute))),
        choose=lambda box, choice: setattr(box.channels[n], attribute, choice in ("1", "ON")),
        choices=("0", "1", "ON", "OFF"),
    )


def set_speed(channel: Channel, value: float) -> None:
    """Above 80 dB/s there is full speed alone."""
    channel.speed = value if value <= 80.0 else SPEEDS[1]


def no_monitor(_: Box) -> str:
    raise ScpiError(CONFLICT)


def commands_of(n: int) -> dict[str, Command[Box]]:
    """The tree of channel `n`; 1 is the one meant when there is no number."""
    slot = "[1]" if n == 1 else str(n)
    inp, outp = f"INPut{slot}[:CHANnel[1]]", f"OUTPut{slot}[:CHANnel[1]]"
    return {
        f"{inp}:ATTenuation": Command(
            read=lambda box: real(box.channels[n].target_db + box.channels[n].offset_db),
            write=lambda box, value: box.channels[n].set_attenuation(value),
            bounds=lambda box: box.channels[n].bounds,
            show=lambda _, value: real(value),
            unit="DB",
            default=0.0,
        ),
        f"{inp}:ATTenuation:SPEed": Command(
            read=lambda box: real(box.channels[n].speed),
            write=lambda box, value: set_speed(box.channels[n], value),
            bounds=lambda _: SPEEDS,
            show=lambda _, value: real(value),
            default=SPEEDS[1],
        ),
        f"{inp}:OFFSet": number(n, "offset_db", lambda _: OFFSETS_DB),
        f"{inp}:OFFSet:DISPlay": Command(act=lambda box: box.channels[n].hide_attenuation()),
        f"{inp}:WAVelength": number(n, "wavelength_m", lambda _: WAVELENGTHS_M, "M", 1550e-9),
        f"{outp}[:STATe]": Command(
            read=lambda box: str(int(box.channels[n].open)),
            choose=lambda box, choice: box.channels[n].set_open(choice in ("1", "ON")),
            choices=("0", "1", "ON", "OFF"),
        ),
        f"{outp}[:STATe]:APOWeron": switch(n, "open_after_power_on"),
        f"{outp}:APMode": switch(n, "by_power"),
        f"{outp}:POWer": Command(
            read=lambda box: real(box.channels[n].power_dbm),
            write=lambda box, value: box.channels[n].set_power(value),
            bounds=lambda _: POWERS_DBM,
            show=lambda _, value: real(value),
            unit="DBM",
        ),
        # The notes have CONT, the guide CONTR.
        f"{outp}:POWer:CONT[R][ol]": switch(n, "power_control"),
        f"{outp}:POWer:OFFSet": number(n, "power_offset_db", lambda _: OFFSETS_DB),
        f"{outp}:ATIMe": number(n, "averaging_s", lambda _: AVERAGING_S, "S", 0.1),
        f"READ{slot}[:CHANnel[1]][:SCALar]:POWer[:DC]": Command(read=no_monitor),
        f"FETCh{slot}[:CHANnel[1]][:SCALar]:POWer[:DC]": Command(read=no_monitor),
        f"STATus{n}:OPERation:CONDition": Command(
            read=lambda box: f"{SETTLING if box.channels[n].moving else 0:+d}"
        ),
    }


def for_all(box: Box, choice: str) -> None:
    for channel in box.channels.values():
        channel.set_open(choice in ("1", "ON"))


TREE = Tree(
    {
        "*IDN": Command[Box](read=lambda box: f"Agilent Technologies,N7764A,{box.serial},V1.00"),
        "*RST": Command[Box](act=Box.reset),
        "*OPC": Command[Box](read=lambda box: str(int(not box.moving))),
        "*STB": Command[Box](read=lambda box: "+4" if box.errors.entries else "+0"),
        "OUTPut[:STATe]:ALL": Command[Box](choose=for_all, choices=("0", "1", "ON", "OFF")),
        "STATus:OPERation:CONDition": Command[Box](
            # Bit n is the summary of slot n; that attenuators have it as power meters do is assumed.
            read=lambda box: f"{sum(channel.moving << n for n, channel in box.channels.items()):+d}"
        ),
        **{header: command for n in CHANNELS for header, command in commands_of(n).items()},
    }
)


class SimKeysightN7764a(SimInstrument):
    """A box of which one channel acts on `port`, serving on a port of 127.0.0.1."""

    model = "keysight_n7764a"

    def __init__(
        self,
        name: str,
        rng: np.random.Generator,
        port: AttenuatorPort,
        *,
        channel: int = 1,
        insertion_loss_db: float = 0.0,
    ) -> None:
        super().__init__(name, rng)
        self.device = Box(name, channel, port, insertion_loss_db)
        self.server = TcpServer(
            self.faults, lambda line: Scpi(line, TREE, self.device, self.device.errors, self.faults)
        )

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.attenuators[placed.name] = AttenuatorPort()
        settings = placed.settings
        return cls(
            placed.name, rng, port,
            channel=settings.get("channel", 1), insertion_loss_db=settings.get("insertion_loss", 0.0),
        )  # fmt: skip

    async def start(self) -> str:
        """Returns `tcp://127.0.0.1:P`; a VISA socket resource reaches the same port."""
        return f"tcp://127.0.0.1:{await self.server.start()}"

    async def stop(self) -> None:
        await self.server.stop()

    @property
    def moving(self) -> bool:
        return self.device.moving

    def advance(self, seconds: float) -> None:
        for channel in self.device.channels.values():
            channel.advance(seconds)

    def power_cycle(self) -> None:
        self.device.errors.clear()
        for channel in self.device.channels.values():
            channel.power_cycle()
        self.server.hang_up()

    async def flush(self) -> None:
        await self.server.flush()
