"""A simulated Polatis matrix switch, SCPI over TCP.

`Matrix` is the switch: which ingress leads to which egress, ports out of service, what it remembers without
power. `COMMANDS` are the command table of polatis_switch.md of the protocol notes; "invented" marks what no
source gives. It is a model without power monitors (`OST`), so `:PMON` is unknown to it.
"""

import re
from typing import Self
from zlib import crc32

import numpy as np

from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports, SwitchPort
from sim_instruments.wire.scpi import (
    CONFLICT,
    DATA_TYPE,
    NOT_ALLOWED,
    OUT_OF_RANGE,
    Command,
    ErrorQueue,
    Scpi,
    ScpiError,
    Tree,
)
from sim_instruments.wire.tcp import TcpServer

SWITCHING_S = 0.02  # "switching 10-25 ms"; in the dark meanwhile, which is invented
ERRORS_KEPT = 30  # invented, as are the numbers of the errors
BOOT_MODES = {"DARK": "DARK", "REST": "REST", "RESTORE": "REST", "AUT": "AUT", "AUTO": "AUT"}
GROUP = re.compile(r"\(@([\d,]*)\)")


def groups(argument: str, wanted: int) -> list[list[int]]:
    """The port lists of `(@1,2),(@26,25)`. Raises ScpiError."""
    if not re.fullmatch(r"\(@[\d,]*\)(\s*,\s*\(@[\d,]*\))*", argument, re.ASCII):
        raise ScpiError(DATA_TYPE)
    found = [[int(port) for port in ports.split(",") if port] for ports in GROUP.findall(argument)]
    if len(found) != wanted:
        raise ScpiError(NOT_ALLOWED)
    return found


class Matrix:
    """N inputs, numbered 1 to N, and M outputs, numbered N+1 to N+M."""

    def __init__(self, name: str, port: SwitchPort, inputs: int, outputs: int) -> None:
        self.port, self.inputs, self.outputs = port, inputs, outputs
        self.serial = crc32(name.encode()) % 1_000_000
        self.errors = ErrorQueue(ERRORS_KEPT, empty='0,"No error"')
        self.connected: dict[int, int] = {}
        self.under_way: dict[int, float] = {}
        """Inputs whose mirrors move, and how many seconds more."""
        self.disabled: set[int] = set()
        self.boot_mode = "AUT"  # the default is invented

    def power_cycle(self) -> None:
        """Boot mode decides what is connected; ports out of service stay so (invented)."""
        self.errors.clear()
        self.under_way.clear()
        if self.boot_mode == "DARK":
            self.connected.clear()
        self.touch_light()

    def advance(self, seconds: float) -> None:
        self.under_way = {i: left - seconds for i, left in self.under_way.items() if left > seconds}
        self.touch_light()

    def touch_light(self) -> None:
        self.port.connected = {
            i: o - self.inputs for i, o in self.connected.items() if i not in self.under_way
        }

    def pairs(self, argument: str) -> dict[int, int]:
        """Connections that are asked for, all of them possible. Raises ScpiError."""
        ingress, egress = groups(argument, 2)
        if len(ingress) != len(egress):
            raise ScpiError(NOT_ALLOWED)
        if len({*ingress}) != len(ingress) or len({*egress}) != len(egress):
            raise ScpiError(CONFLICT)
        if not ({*ingress} <= {*self.ingress} and {*egress} <= {*self.egress}):
            raise ScpiError(OUT_OF_RANGE)
        if self.disabled & {*ingress, *egress}:
            raise ScpiError(CONFLICT)
        return dict(zip(ingress, egress, strict=True))

    @property
    def ingress(self) -> range:
        return range(1, self.inputs + 1)

    @property
    def egress(self) -> range:
        return range(self.inputs + 1, self.inputs + self.outputs + 1)

    def add(self, argument: str) -> None:
        """Ports in use are re-routed (M)."""
        pairs = self.pairs(argument)
        self.become({i: o for i, o in self.connected.items() if o not in pairs.values()} | pairs)

    def only(self, argument: str) -> None:
        self.become(self.pairs(argument))

    def subtract(self, argument: str) -> None:
        """By both sides, or by one with the other left empty (M); what is not connected is passed over."""
        ingress, egress = groups(argument, 2)
        if not {*ingress, *egress} <= {*self.ingress, *self.egress}:
            raise ScpiError(OUT_OF_RANGE)
        self.become({i: o for i, o in self.connected.items() if i not in ingress and o not in egress})

    def become(self, connected: dict[int, int]) -> None:
        for ingress, egress in connected.items():
            if self.connected.get(ingress) != egress:
                self.under_way[ingress] = SWITCHING_S
        self.connected = connected
        self.touch_light()

    def partner(self, argument: str) -> str:
        """Of a port of either side; nothing when it leads nowhere."""
        if not re.fullmatch(r"\d{1,6}", argument, re.ASCII):
            raise ScpiError(DATA_TYPE)
        port = int(argument)
        if port not in self.ingress and port not in self.egress:
            raise ScpiError(OUT_OF_RANGE)
        partners = self.connected | {egress: ingress for ingress, egress in self.connected.items()}
        return str(partners.get(port, ""))

    def shown(self) -> str:
        ingress, egress = self.connected.keys(), self.connected.values()
        return f"(@{','.join(map(str, ingress))}),(@{','.join(map(str, egress))})"

    def ports(self, argument: str) -> list[int]:
        [ports] = groups(argument, 1)
        if not {*ports} <= {*self.ingress, *self.egress}:
            raise ScpiError(OUT_OF_RANGE)
        return ports

    def disable(self, argument: str) -> None:
        """Out of service, and out of its connection (invented)."""
        ports = {*self.ports(argument)}
        self.disabled |= ports
        self.become({i: o for i, o in self.connected.items() if not ports & {i, o}})

    def enable(self, argument: str) -> None:
        self.disabled -= {*self.ports(argument)}

    def states(self, argument: str) -> str:
        return f"({','.join('D' if port in self.disabled else 'E' for port in self.ports(argument))})"

    def all_errors(self) -> str:
        entries = [*self.errors.entries] or [self.errors.empty]
        self.errors.entries.clear()
        return ",".join(entries)


def choose_boot_mode(matrix: Matrix, choice: str) -> None:
    matrix.boot_mode = BOOT_MODES[choice]


COMMANDS: dict[str, Command[Matrix]] = {
    "*IDN": Command(read=lambda m: f"Polatis,N-OST-{m.inputs}x{m.outputs}-LA1-DMHNS,{m.serial:06d},6.5.2.18"),
    "*RST": Command(act=lambda m: m.become({})),
    "*OPC": Command(read=lambda _: "1"),
    "*STB": Command(read=lambda m: "4" if m.errors.entries else "0"),
    "OXC:SWITch:SIZE": Command(read=lambda m: f"{m.inputs},{m.outputs}"),
    "OXC:SWITch:CONNect:ADD": Command(take=Matrix.add),
    "OXC:SWITch:CONNect:ONLY": Command(take=Matrix.only),
    "OXC:SWITch:CONNect:SUB": Command(take=Matrix.subtract),
    "OXC:SWITch:CONNect:STATe": Command(read=Matrix.shown),
    "OXC:SWITch:CONNect:PORT": Command(look=Matrix.partner),
    "OXC:SWITch:DISConnect:ALL": Command(act=lambda m: m.become({})),
    "OXC:SWITch:PORT:DISable": Command(take=Matrix.disable),
    "OXC:SWITch:PORT:ENABle": Command(take=Matrix.enable),
    "OXC:SWITch:PORT:STATe": Command(look=Matrix.states),
    "OXC:BOOT:MODE": Command(read=lambda m: m.boot_mode, choose=choose_boot_mode, choices=tuple(BOOT_MODES)),
    "SYSTem:ERRor:ALL": Command(read=Matrix.all_errors),
    "SYSTem:COMMunicate:NETWork:ADDRess": Command(
        read=lambda _: 'IP="127.0.0.1" Gateway="127.0.0.1" Mask="255.0.0.0" Broadcast="127.255.255.255"'
    ),
}
"""Capitals are the short form; the notes have only short forms, the long ones are invented."""
TREE = Tree(COMMANDS)


class SimPolatisSwitch(SimInstrument):
    """A switch through which `port` leads light, serving on a port of 127.0.0.1."""

    model = "polatis_switch"

    def __init__(
        self, name: str, rng: np.random.Generator, port: SwitchPort, *, inputs: int, outputs: int
    ) -> None:
        super().__init__(name, rng)
        self.device = Matrix(name, port, inputs, outputs)
        self.server = TcpServer(
            self.faults, lambda line: Scpi(line, TREE, self.device, self.device.errors, self.faults)
        )

    @classmethod
    def place(cls, placed: Placed, ports: Ports, rng: np.random.Generator) -> Self:
        port = ports.switches[placed.name] = SwitchPort()
        return cls(
            placed.name, rng, port, inputs=placed.settings["inputs"], outputs=placed.settings["outputs"]
        )

    async def start(self) -> str:
        """Returns `tcp://127.0.0.1:P`."""
        return f"tcp://127.0.0.1:{await self.server.start()}"

    async def stop(self) -> None:
        await self.server.stop()

    @property
    def moving(self) -> bool:
        return bool(self.device.under_way)

    def advance(self, seconds: float) -> None:
        self.device.advance(seconds)

    def power_cycle(self) -> None:
        self.device.power_cycle()
        self.server.hang_up()

    async def flush(self) -> None:
        await self.server.flush()
