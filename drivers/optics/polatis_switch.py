"""Polatis (HUBER+SUHNER) optical matrix switch, SCPI over TCP.

Written from the protocol notes (`polatis_switch.md`). The instrument numbers its ports through: inputs are 1
to N, outputs N+1 to N+M. Commands have no answer. Whether one was refused, the error queue says (confidence
M); whether it was heard at all, only the connections that it shows.
"""

import asyncio
import re
from collections.abc import Mapping

from pydantic import Field

from drivers.address import Address
from drivers.capabilities import Identity, Limits, OpticalSwitch, Settings
from drivers.errors import RefusedError
from drivers.scpi import Scpi
from drivers.transports.tcp_text import TcpTextLine

CONNECTIONS = r"\(@([\d,]*)\),\(@([\d,]*)\)"
"""`(@1,2),(@26,25)`: inputs, and the outputs to which they lead in the same order."""


REST_S = 0.1
"""Between a command and what comes next: "old firmware loses fast ones"."""


class PolatisSettings(Settings):
    """The size of the matrix, as on its type plate: `N-OST-24x24` has 24 inputs and 24 outputs."""

    inputs: int = Field(ge=1)
    outputs: int = Field(ge=1)


class PolatisSwitch(OpticalSwitch):
    """Address `tcp://HOST:5025`."""

    model = "polatis_switch"
    manufacturer = "HUBER+SUHNER Polatis"
    schemes = ("tcp",)
    protocol = "polatis_switch.md, completeness 3"
    doubts = (
        "That a command it does not take is told by the error queue is known from one public driver.",
        "Whether a connection is shown before or after its mirrors have moved (10 to 25 ms) is not known; "
        "one that is not shown 0.1 s after the command counts as refused.",
    )
    settings_model = PolatisSettings
    settings: PolatisSettings

    def __init__(self, name: str, address: Address, settings: PolatisSettings, deadline: float = 2.0) -> None:
        super().__init__(name, address, settings, deadline)
        line = TcpTextLine(name, address, deadline, ending="\n")
        self._scpi = Scpi(name, address, line, error_query=":syst:err?", rest_s=REST_S)
        self._changing = asyncio.Lock()
        """Held from a command until its effect has been seen."""
        self._wanted: dict[int, int | None] = {}  # what was asked for since the line was opened

    async def open(self) -> None:
        """Connect, and see that a switch of the stated size answers."""
        remedy = "Give the address of the Polatis switch, and its size, in the testbed file"
        await self._scpi.open("polatis", "", remedy)
        size = await self._scpi.ask(":oxc:swit:size?", r"\d+,\s*\d+")
        found = tuple(int(number) for number in size.split(","))
        if found != (self.settings.inputs, self.settings.outputs):
            raise await self._scpi.stranger(f"a matrix of {found[0]} x {found[1]} answers", remedy)

    async def close(self) -> None:
        self._wanted.clear()
        await self._scpi.line.close()

    async def identity(self) -> Identity:
        return await self._scpi.identity()

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(range(1, self.settings.inputs + 1))

    @property
    def outputs(self) -> tuple[int, ...]:
        return tuple(range(1, self.settings.outputs + 1))

    async def connect(self, input_: int, output: int) -> None:
        self._check("input", input_, self.inputs)
        self._check("output", output, self.outputs)
        command = f":oxc:swit:conn:add (@{input_}),(@{self.settings.inputs + output})"
        async with self._changing:
            await self._change(command, input_, output)
        self._wanted = {i: o for i, o in self._wanted.items() if o != output} | {input_: output}

    async def disconnect(self, input_: int) -> None:
        self._check("input", input_, self.inputs)
        async with self._changing:
            # An input that leads nowhere is left alone: whether taking it away is an error is not known.
            if input_ in await self.connections():
                await self._change(f":oxc:swit:conn:sub (@{input_}),(@)", input_, None)
        self._wanted[input_] = None

    async def _change(self, command: str, input_: int, output: int | None) -> None:
        """Tell a command and see that the input leads where it shall."""
        await self._scpi.tell(command)
        found = (await self.connections()).get(input_)
        if found != output:
            raise RefusedError(
                self.name, str(self.address),
                f"{command} had no effect: input {input_} leads to {found or 'no output'}, and "
                f"{self._scpi.error_query} tells no error",
                "Old firmware loses commands that come fast: try again",
            )  # fmt: skip

    async def connections(self) -> Mapping[int, int]:
        question = ":oxc:swit:conn:stat?"
        answer = await self._scpi.ask(question, CONNECTIONS)
        match = re.fullmatch(CONNECTIONS, answer, re.ASCII)
        assert match is not None
        sides = [[int(port) for port in side.split(",") if port] for side in match.groups()]
        inputs, outputs = sides[0], [port - self.settings.inputs for port in sides[1]]
        if len(inputs) != len(outputs) or {*inputs} - {*self.inputs} or {*outputs} - {*self.outputs}:
            raise await self._scpi.garbled(question, answer)
        return dict(zip(inputs, outputs, strict=True))

    async def is_settled(self) -> bool:
        """Whether the switch shows the connections that were asked for. Its mirrors take 10 to 25 ms; whether
        it shows a connection before or after them the notes do not say."""
        if not self._wanted:
            return True
        shown = await self.connections()
        return all(shown.get(input_) == output for input_, output in self._wanted.items())

    async def make_safe(self) -> None:
        """Does nothing: the switch emits nothing, and others' light may pass it."""

    def _check(self, what: str, number: int, allowed: tuple[int, ...]) -> None:
        self.check_limit(what, number, Limits(allowed[0], allowed[-1], "1"))
