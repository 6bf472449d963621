"""Photons out, probe in: in an order that never lets a laser shine on nanowires, and seen to be done."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.capabilities import OpticalSwitch, Shutter
from drivers.errors import DeadlineError
from experiments.calibrations.polarization import lighting
from experiments.calibrations.polarization.lighting import Lighting
from experiments.calibrations.polarization.upkeep import LinkUpkeep
from experiments.config.led_light import LedLight
from experiments.engine.bench import Bench
from experiments.engine.outcome import RunError
from experiments.engine.standing import ChangedError, Loss, Standing
from tests.experiments.fakes import FakeClock, FakeInstrument, FakeNanowires
from tests.experiments.fakes import testbed as nyc

LED = LedLight.model_validate(
    {
        "probes": [
            {"beam": "h", "switches": {"hub": {1: 3}, "spoke": {2: 1}}, "open": ["blade"]},
            {"beam": "d", "switches": {"hub": {1: 3}, "spoke": {3: 1}}, "open": ["blade"]},
        ],
        "photons": {"switches": {"hub": {1: 1}, "spoke": {1: 1}}},
        "unbiased": ["nanowires"],
    }
)
H, D = LED.probes


class FakeSwitch(FakeInstrument, OpticalSwitch):
    """A switch that obeys, unless it is `stuck`."""

    stuck = False

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__(name, log)
        self.log = log
        self.connected = {1: 1}

    inputs = outputs = (1, 2, 3)

    async def connect(self, input_: int, output: int) -> None:
        self.log.append(f"{self.name} {input_} to {output}")
        if not self.stuck:
            kept = {i: o for i, o in self.connected.items() if o != output}
            self.connected = {**kept, input_: output}

    async def disconnect(self, input_: int) -> None:
        raise AssertionError

    async def connections(self) -> Mapping[int, int]:
        return dict(self.connected)


class FakeShutter(FakeInstrument, Shutter):
    """A shutter that obeys, unless it is `stuck`."""

    stuck = False

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__(name, log)
        self.log = log
        del self.is_open  # of the line, in the other fakes
        self.stands_open = False

    async def set_open(self, is_open: bool) -> None:
        self.log.append(f"{self.name} {'open' if is_open else 'shut'}")
        if not self.stuck:
            self.stands_open = is_open

    async def is_open(self) -> bool:
        return self.stands_open


class Stand:
    """A bench of fakes for the lighting of one link, its nanowires biased."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.hub, self.spoke = FakeSwitch("hub", self.log), FakeSwitch("spoke", self.log)
        self.blade, self.wires = FakeShutter("blade", self.log), FakeNanowires("nanowires", self.log)
        everything: list[Any] = [self.hub, self.spoke, self.blade, self.wires]
        instruments = {each.name: each for each in everything}
        self.standing = Standing(instruments)
        self.context: Any = SimpleNamespace(
            clock=FakeClock(),
            standing=self.standing,
            announce=lambda event: None,
            progress=lambda doing: None,
        )
        self.lighting = Lighting(LED, Bench(nyc(), instruments))

    async def begin(self) -> "Stand":
        self.wires.currents = dict.fromkeys(self.wires.channels, 17e-6)
        await self.wires.set_enabled(True)
        await self.standing.note(["blade", "nanowires"])
        self.log.clear()
        return self


async def test_photons_out_probe_in() -> None:
    """Shutter closed, bias off, the fibre away from the hub, then the probe into the fibre, the shutter
    last."""
    stand = await Stand().begin()
    await stand.lighting.to_probe(H, stand.context)
    assert stand.log == ["nanowires enabled False", "hub 1 to 3", "spoke 2 to 1", "blade open"]
    assert stand.lighting.instruments == {"hub", "spoke", "blade", "nanowires"}


async def test_from_one_probe_to_the_other_the_bias_stays_off() -> None:
    stand = await Stand().begin()
    await stand.lighting.to_probe(H, stand.context)
    stand.log.clear()
    await stand.lighting.to_probe(D, stand.context)
    assert stand.log == ["spoke 3 to 1", "blade open"]
    assert not await stand.wires.is_enabled()


async def test_probe_out_photons_in() -> None:
    """The shutter first, the way to the hub last but for the bias, which comes back when all is done."""
    stand = await Stand().begin()
    await stand.lighting.to_probe(H, stand.context)
    stand.log.clear()
    await stand.lighting.to_photons(stand.context)
    assert stand.log == ["blade shut", "spoke 1 to 1", "hub 1 to 1", "nanowires enabled True"]


async def test_nobody_switches_before_the_shutter_is_seen_to_be_closed() -> None:
    stand = await Stand().begin()
    await stand.lighting.to_probe(H, stand.context)
    stand.log.clear()
    stand.blade.stuck = True
    with pytest.raises(RunError, match=r"blade .*: is open after it was closed"):
        await stand.lighting.to_photons(stand.context)
    assert stand.log == ["blade shut"]


async def test_no_probe_is_let_in_while_a_switch_leads_elsewhere() -> None:
    stand = await Stand().begin()
    stand.hub.stuck = True
    with pytest.raises(RunError, match=r"hub .*: connects \{1: 1\} after it was set to \{1: 3\}"):
        await stand.lighting.to_probe(H, stand.context)
    assert "blade open" not in stand.log
    assert "spoke 2 to 1" not in stand.log


async def test_probes_are_shut_whatever_fails() -> None:
    stand = await Stand().begin()
    await stand.lighting.to_probe(H, stand.context)

    async def silent(is_open: bool) -> None:
        raise DeadlineError("blade", "nowhere", "no answer", "look")

    stand.blade.set_open = silent  # type: ignore[method-assign]
    await stand.lighting.shut_probes(stand.context)
    assert stand.lighting.instruments >= {"blade"}


class DarkWires(FakeNanowires):
    """Bias electronics of which every bias reads nothing while it is disconnected."""

    async def bias(self, channel: int) -> float:
        return await super().bias(channel) if self.enabled else 0.0


async def test_nanowires_that_the_run_has_disconnected_have_lost_nothing() -> None:
    stand = await Stand().begin()
    stand.wires.__class__ = DarkWires
    await stand.lighting.to_probe(H, stand.context)
    assert await stand.standing.survey({"nanowires", "blade"}) == {}
    await stand.lighting.to_photons(stand.context)
    await stand.wires.set_enabled(False)  # by somebody else
    assert "enabled reads off after on" in str((await stand.standing.survey({"nanowires"}))["nanowires"])


async def test_nanowires_are_disconnected_although_nobody_heard_so_and_come_back() -> None:
    stand = await Stand().begin()
    obey = stand.wires.set_enabled

    async def late(on: bool) -> None:
        await obey(on)
        raise DeadlineError("nanowires", "nowhere", "no answer within 2 s")

    stand.wires.set_enabled = late  # type: ignore[method-assign]
    with pytest.raises(DeadlineError):
        await stand.lighting.to_probe(H, stand.context)
    assert await stand.standing.survey({"nanowires"}) == {}
    stand.wires.set_enabled = obey  # type: ignore[method-assign]
    await stand.lighting.to_probe(H, stand.context)
    await stand.lighting.to_photons(stand.context)
    assert await stand.wires.is_enabled()


async def test_bias_that_went_while_it_was_disconnected_is_lost() -> None:
    stand = await Stand().begin()
    await stand.lighting.to_probe(H, stand.context)
    stand.wires.lose_power()
    with pytest.raises(ChangedError, match=r"bias\.1 reads 0 A after 17 µA"):
        await stand.lighting.to_photons(stand.context)
    found = (await stand.standing.survey({"nanowires"}))["nanowires"]
    assert isinstance(found, Loss)
    assert len(found.energy) == 4


async def test_an_abort_waits_for_no_silent_shutter(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are asked at once, and the look has ended before any of them has answered."""
    monkeypatch.setattr(lighting, "PATIENCE_S", 0.01)
    log: list[str] = []
    asked, answer, looking = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()

    class SilentShutter(FakeShutter):
        async def set_open(self, is_open: bool) -> None:
            asked.release()
            await answer.wait()
            raise DeadlineError(self.name, "nowhere", "no answer within 2 s")

    class Sensor:
        async def get_ready(self, context: object) -> None: ...

        async def look(self, context: object) -> None:
            looking.set()
            await asyncio.Event().wait()

    shutters: dict[str, Any] = {name: SilentShutter(name, log) for name in ("blade", "iris")}
    context: Any = SimpleNamespace(standing=Standing(shutters), announce=lambda event: None)
    led = LedLight.model_validate({"probes": [{"beam": "h", "open": list(shutters)}], "photons": {}})
    silent = Lighting(led, Bench(nyc(), shutters))
    upkeep = LinkUpkeep("alice", None, None, Sensor(), silent, None)  # type: ignore[arg-type]
    task = asyncio.create_task(upkeep.look(context))
    await looking.wait()
    task.cancel()
    async with asyncio.timeout(30.0):
        for _ in shutters:
            await asked.acquire()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not answer.is_set()
    answer.set()
