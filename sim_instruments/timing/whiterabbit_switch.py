"""A simulated White Rabbit switch (WRS-3/18) as far as its SNMP agent shows it.

`Switch` is the device: a slave that follows its uplink on port 1 (or a grandmaster that follows a reference
at its front), with the steps in which it locks. The time taggers that take their clock from it lose their
reference while it has none: that is how it touches the bench. Object numbers are those of
whiterabbit_switch.md of the protocol notes and of WR-SWITCH-MIB; "invented" marks what no source gives.
"""

from collections.abc import Sequence
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports, TaggerPort
from sim_instruments.timing.snmp_agent import Oid, SnmpAgent, Table, Tag, Variable
from sim_instruments.wire.udp import UdpServer

SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
WRS: Oid = (1, 3, 6, 1, 4, 1, 96, 100)
PORTS = range(1, 19)
UPLINK = 1
OK, ERROR = 1, 2
GRANDMASTER, SLAVE = 1, 3  # wrsSpllMode
PLL_STATES = (("startHelper", 3), ("waitHelper", 4), ("startMain", 5), ("waitMain", 6), ("ready", 8))
PLL_STEP_S = 1.0  # how long the oscillator stays in each but the last; invented
SERVO_STATES = (
    ("SYNC_SEC", 2), ("SYNC_NSEC", 1), ("SYNC_PHASE", 3), ("WAIT_OFFSET_STABLE", 5), ("TRACK_PHASE", 4),
)  # fmt: skip
SERVO_STEP_S = 3.0  # how long the servo stays in each but the last, its updates come once a second; invented
PTP_MASTER, PTP_SLAVE, PTP_LISTENING, PTP_INITIALIZING = 6, 9, 4, 1  # IEEE 1588
OFFSET_PS = 8.0  # spread of the clock offset that the servo shows while it tracks; invented
FIBRE_NS = 25_000  # one way to the next switch; invented
FRAMES_HZ = 12.0  # of PTP on a port that is up; invented
TEMPERATURES_C = (52, 41, 38, 37)  # FPGA, PLL, left and right power supply; invented
TEMPERATURE_LIMITS_C = (80, 80, 80, 80)  # invented


def whole(value: float) -> Variable:
    return Variable(Tag.INTEGER, round(value))


def text(value: str) -> Variable:
    return Variable(Tag.OCTET_STRING, value)


def counter64(value: float) -> Variable:
    return Variable(Tag.COUNTER64, round(value))


class Switch:
    """The switch, locked for a long time when the bench begins."""

    def __init__(self, name: str, rng: np.random.Generator, grandmaster: bool, leaves: int) -> None:
        self.name, self.rng, self.grandmaster, self.leaves = name, rng, grandmaster, leaves
        self.serial = f"wrs3-{crc32(name.encode()) % 10_000:04d}"
        self.has_reference = True
        """Whether light comes to its uplink; a grandmaster: 10 MHz and a pulse per second to its front."""
        self.up_s = 1e6
        self.locking_s = 1e6
        """Since it began to follow its reference; 0 while it has none."""
        self.updates = 0
        self.offset_ps = 0.0
        self.update()

    def power_cycle(self) -> None:
        self.up_s = self.locking_s = 0.0
        self.updates = 0

    def advance(self, seconds: float) -> None:
        before = int(self.up_s)
        self.up_s += seconds
        self.locking_s = self.locking_s + seconds if self.has_reference else 0.0
        if int(self.up_s) > before and self.locked:
            self.update()

    def update(self) -> None:
        """One look of the servo at its offset."""
        self.updates += 1
        self.offset_ps = float(self.rng.normal(0.0, OFFSET_PS))

    @property
    def pll(self) -> int:
        """Step of the oscillator."""
        return min(int(self.locking_s / PLL_STEP_S), len(PLL_STATES) - 1)

    @property
    def servo(self) -> int:
        """Step of the servo, which begins when the oscillator is ready; -1 before."""
        since = self.locking_s - PLL_STEP_S * (len(PLL_STATES) - 1)
        return -1 if since < 0.0 else min(int(since / SERVO_STEP_S), len(SERVO_STATES) - 1)

    @property
    def locked(self) -> bool:
        oscillator = self.pll == len(PLL_STATES) - 1
        return oscillator and (self.grandmaster or self.servo == len(SERVO_STATES) - 1)

    def link(self, port: int) -> bool:
        """The uplink while light comes, and as many other ports as there is somebody on."""
        if port == UPLINK:
            return self.has_reference or self.grandmaster
        return port <= UPLINK + self.leaves

    def table(self) -> Table:
        """What the agent shows now, in the order of WR-SWITCH-MIB."""
        table: dict[Oid, Variable] = {
            (*SYSTEM, 1, 0): text("Linux wrs 2.6.39 armv5tejl"),
            (*SYSTEM, 3, 0): Variable(Tag.TIME_TICKS, round(100 * self.up_s)),
            (*SYSTEM, 5, 0): text(self.name),
        }
        for scalars in (self.statuses(), self.versions(), self.oscillator()):
            table |= {(*WRS, *oid, 0): variable for oid, variable in scalars.items()}
        if not self.grandmaster:
            table |= {
                (*WRS, 7, 5, 1, column, 1): variable for column, variable in self.servo_columns().items()
            }
        for port in PORTS:
            table |= {(*WRS, *oid): variable for oid, variable in self.port_columns(port).items()}
        return table

    def statuses(self) -> dict[Oid, Variable]:
        timing = whole(OK if self.locked else ERROR)
        oscillator = whole(OK if self.pll == len(PLL_STATES) - 1 else ERROR)
        links = whole(OK if self.link(UPLINK) else ERROR)
        return {
            (6, 1, 1): timing,  # the main status is the worst of the others
            (6, 1, 2): whole(OK),
            (6, 1, 3): timing,
            (6, 1, 4): whole(OK),
            (6, 2, 2, 1): timing,
            (6, 2, 2, 2): oscillator,
            (6, 2, 2, 3): links,
            (6, 2, 2, 4): links,
        }

    def versions(self) -> dict[Oid, Variable]:
        words = (
            "v6.1",
            "invented",
            "2021-05-01",
            "3.41",
            "LX240T",
            "Invented Maker",
            self.serial,
            "34",
            "5.0",
        )
        return {(6, 3, n): text(word) for n, word in enumerate(words, 1)}

    def oscillator(self) -> dict[Oid, Variable]:
        temperatures = enumerate((*TEMPERATURES_C, *TEMPERATURE_LIMITS_C), 1)
        return {
            **{(7, 1, 3, n): whole(celsius) for n, celsius in temperatures},
            (7, 3, 2, 1): whole(GRANDMASTER if self.grandmaster else SLAVE),
            (7, 3, 2, 3): whole(PLL_STATES[self.pll][1]),
        }

    def servo_columns(self) -> dict[int, Variable]:
        """The wrsPtpDataTable's only row, from its column wrsPtpPortName on."""
        state, number = SERVO_STATES[self.servo] if self.servo >= 0 else ("UNINITIALIZED", 0)
        # Not yet locked, the offset shrinks from a second to nothing with the servo's steps (invented).
        coarse = (1e12, 1e12, 1e9, 1e5, 1e3)[max(0, self.servo)]
        offset = self.offset_ps if self.locked else coarse
        round_trip = 2e3 * FIBRE_NS
        return {
            2: text(f"wri{UPLINK}"),
            6: text(state),
            7: whole(number),
            8: whole(2 if self.locked else 1),
            10: counter64(offset),
            11: whole(min(max(offset, -(2**31)), 2**31 - 1)),
            12: whole(0),
            13: counter64(round_trip),
            14: Variable(Tag.GAUGE32, FIBRE_NS // 5),
            15: Variable(Tag.COUNTER32, self.updates),
            20: Variable(Tag.COUNTER32, 0),
            21: Variable(Tag.COUNTER32, 0),
            22: Variable(Tag.COUNTER32, 0),
        }

    def port_columns(self, port: int) -> dict[Oid, Variable]:
        up, is_uplink = self.link(port), port == UPLINK and not self.grandmaster
        frames = round(FRAMES_HZ * self.up_s) if up else 0
        ptp = (PTP_SLAVE if is_uplink else PTP_MASTER) if up else PTP_LISTENING
        vendor, part = ("Axcen Photonics", "AXGE-3454-0531" if is_uplink else "AXGE-1254-0531")
        status: dict[int, Variable] = {
            2: text(f"wri{port}"),
            3: whole(2 if up else 1),
            4: whole(2 if is_uplink else 1),
            5: whole(2 if up and (self.locked or not is_uplink) else 1),
            7: text(vendor if up else ""),
            8: text(part if up else ""),
            12: whole(1 if up else 3),
            13: Variable(Tag.COUNTER32, frames),
            14: Variable(Tag.COUNTER32, frames),
        }
        return {
            **{(7, 6, 1, column, port): variable for column, variable in status.items()},
            (7, 7, 1, 2, port): text(f"wri{port}"),
            (7, 7, 1, 21, port): counter64(frames),
            (7, 7, 1, 22, port): counter64(frames),
            (7, 8, 1, 7, port, 1): whole(ptp if self.up_s >= 1.0 else PTP_INITIALIZING),
            (7, 8, 1, 22, port, 1): text("\x02\x34\x56\x78\x1a\x2b" if up else ""),
            (7, 8, 1, 23, port, 1): whole(0),
            (7, 8, 1, 26, port, 1): whole(1 if up else 0),
        }


class SimWhiteRabbitSwitch(SimInstrument):
    """A switch from which the `taggers` (names, looked up among `ports` as they are needed) have their clock,
    serving on a UDP port of 127.0.0.1."""

    model = "whiterabbit_switch"

    def __init__(
        self,
        name: str,
        rng: np.random.Generator,
        ports: Ports,
        *,
        taggers: Sequence[str] = (),
        community: str = "public",
        grandmaster: bool = False,
    ) -> None:
        super().__init__(name, rng)
        self.ports, self.taggers = ports, taggers
        self.device = Switch(name, rng, grandmaster, len(taggers))
        self.agent = SnmpAgent(self.device.table, self.faults, community)
        self.server = UdpServer(self.faults, self.agent.answer)

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        settings = placed.settings
        return cls(
            placed.name, rng, ports,
            taggers=settings.get("taggers", ()), community=settings.get("community", "public"),
        )  # fmt: skip

    async def start(self) -> str:
        """Returns `udp://127.0.0.1:P`."""
        return f"udp://127.0.0.1:{await self.server.start()}"

    async def stop(self) -> None:
        await self.server.stop()

    def connect_reference(self, connected: bool) -> None:
        """Plug the fibre of the uplink, or a grandmaster's reference, in or out."""
        self.device.has_reference = connected
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        self.device.advance(seconds)
        self.distribute()

    def distribute(self) -> None:
        followers: list[TaggerPort] = [self.ports.taggers[t] for t in self.taggers if t in self.ports.taggers]
        for tagger in followers:
            tagger.clock_locked = self.device.locked

    def power_cycle(self) -> None:
        self.device.power_cycle()
        self.server.forget()
        self.distribute()
