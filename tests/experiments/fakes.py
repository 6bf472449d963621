"""A bench of small fakes for tests of the run: instruments that obey at once, a clock that is the bench's
own, and taggers that play the clicks of a toy swapping experiment.

The toy knows nothing of `timetags`: it draws four-folds from the textbook probabilities of the two Bell
states (`physics.md` 5), pairs of each arm for the delay calibration, and uncorrelated clicks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from drivers.address import Address
from drivers.capabilities import (
    Identity,
    Instrument,
    Laser,
    LatchSensor,
    Limits,
    NanowireBias,
    PolarizationController,
    RotationMount,
    Settings,
    TimeTagger,
)
from drivers.errors import ConnectError, DeadlineError, LineError
from experiments.config.experiment import Experiment
from experiments.config.files import LoadedExperiment
from experiments.config.inventory import Inventory
from experiments.config.plan import BringUp, CalibrateDelays, MeasureSwapping, Wait
from experiments.config.testbed import Testbed
from timetags.block import TagBlock

PS = 10**12
V = 0.85  # visibility of the toy's swapped state
TRUE_DELAYS_PS = {"bob_v": 700, "hub_dv": -400}  # cables longer than the others


class FakeInstrument(Instrument):
    """What all fakes share: a log of what was called, and faults."""

    model = "fake"
    manufacturer = "tests"
    schemes = ("tcp",)

    def __init__(self, name: str, log: list[str] | None = None) -> None:
        super().__init__(name, Address.parse("tcp://127.0.0.1:9"), Settings())
        self.log = log if log is not None else []
        self.refuse = False
        self.silent = False
        self.unplugged = False
        self.serial_number = name
        self.safe_fails = False
        self.safe_hangs = False
        self.safe_asked = asyncio.Event()
        self.moves_until = 0.0
        self.clock: FakeClock | None = None
        self.is_open = False

    def lose_power(self) -> None:
        """Lose power and come back at once, or when `unplugged` ends. Its kind says what is lost."""
        self.moves_until = 0.0

    def _ask(self) -> None:
        if self.unplugged:
            raise LineError(self.name, str(self.address), "the line broke", "Check its power")
        if self.silent:
            raise DeadlineError(self.name, str(self.address), "no answer to STATUS? within 2 s")

    async def open(self) -> None:
        if self.refuse or self.unplugged:
            raise ConnectError(self.name, str(self.address), "connection refused", "Switch it on")
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def identity(self) -> Identity:
        self._ask()
        return Identity("tests", "fake", self.serial_number, "1")

    async def is_settled(self) -> bool:
        self._ask()
        return self.clock is None or self.clock.now() >= self.moves_until

    async def make_safe(self) -> None:
        self.log.append(f"safe {self.name}")
        self.safe_asked.set()
        if self.safe_hangs:
            await asyncio.sleep(3600)
        await asyncio.sleep(0)
        if self.safe_fails or self.silent or self.unplugged:
            raise DeadlineError(self.name, str(self.address), "no answer to OFF within 2 s")
        self.log.append(f"is safe {self.name}")

    def _move(self, seconds: float) -> None:
        self.moves_until = (self.clock.now() if self.clock else 0.0) + seconds


class FakeLaser(FakeInstrument, Laser):
    power_limits = Limits(0.0, 0.06, "W")

    def __init__(self, name: str, log: list[str] | None = None) -> None:
        super().__init__(name, log)
        self.set_point, self.on = 0.0, False

    async def set_power(self, power_w: float) -> None:
        self._ask()
        self.log.append(f"{self.name} power {power_w:g}")
        self.set_point = power_w

    def lose_power(self) -> None:
        super().lose_power()
        self.on = False

    async def power(self) -> float:
        self._ask()
        return self.set_point if self.on else 0.0

    async def set_emission(self, on: bool) -> None:
        self._ask()
        self.log.append(f"{self.name} emission {on}")
        self.on = on

    async def emission(self) -> bool:
        self._ask()
        return self.on


class FakeMount(FakeInstrument, RotationMount):
    angle_limits = Limits(-10.0, 10.0, "rad")

    def __init__(self, name: str, log: list[str] | None = None) -> None:
        super().__init__(name, log)
        self.at, self.homed = 1.0, False

    def lose_power(self) -> None:
        super().lose_power()
        self.at, self.homed = 0.3, False

    async def home(self) -> None:
        self.log.append(f"{self.name} home")
        self._move(3.0)
        self.at, self.homed = 0.0, True

    async def is_homed(self) -> bool:
        return self.homed

    async def set_angle(self, angle_rad: float) -> None:
        self._ask()
        self._move(1.0)
        self.log.append(f"{self.name} angle {angle_rad:.4f}")
        self.at = angle_rad

    async def angle(self) -> float:
        self._ask()
        return self.at


class FakePaddles(FakeInstrument, PolarizationController):
    actuators = 3
    angle_limits = Limits(0.0, 3.0, "rad")
    homed = False

    async def home(self) -> None:
        self.log.append(f"{self.name} home")
        self.homed = True

    async def is_homed(self) -> bool:
        return self.homed

    async def set_angles(self, angles_rad: Sequence[float]) -> None: ...

    async def angles(self) -> tuple[float, ...]:
        return (0.0, 0.0, 0.0)


class FakeNanowires(FakeInstrument, NanowireBias, LatchSensor):
    channels = (1, 2, 3, 4)
    bias_limits = Limits(0.0, 20e-6, "A")

    def __init__(self, name: str, log: list[str] | None = None) -> None:
        super().__init__(name, log)
        self.currents = dict.fromkeys(self.channels, 0.0)
        self.history: list[tuple[float, float]] = []
        self.enabled = self.latched = False

    async def set_bias(self, channel: int, current_a: float) -> None:
        if channel == 1:
            self.history.append((self.clock.now() if self.clock else 0.0, current_a))
        if current_a:
            self.log.append(f"{self.name} bias")
        self.currents[channel] = current_a

    def lose_power(self) -> None:
        super().lose_power()
        self.currents = dict.fromkeys(self.channels, 0.0)

    async def bias(self, channel: int) -> float:
        self._ask()
        return self.currents[channel]

    async def set_enabled(self, on: bool) -> None:
        self.enabled = on
        self.log.append(f"{self.name} enabled {on}")

    async def is_enabled(self) -> bool:
        return self.enabled

    async def is_latched(self, channel: int) -> bool:
        return self.latched


class FakeTagger(FakeInstrument, TimeTagger):
    """Plays clicks in blocks of `block_s`. Its time zero is `latency_s` after the command to start."""

    threshold_limits = Limits(-1.0, 1.0, "V")
    inputs: tuple[int, ...] = ()

    def __init__(
        self,
        name: str,
        inputs: int,
        latency_s: float = 0.0,
        block_s: float = 0.25,
        log: list[str] | None = None,
    ) -> None:
        super().__init__(name, log)
        self.inputs = tuple(range(1, inputs + 1))
        self.latency_s, self.block_s = latency_s, block_s
        self.volts: dict[int, float] = dict.fromkeys(self.inputs, 0.0)
        self.recording = False
        self.mute = False
        self.lose = 0
        self._zero_ps = self._end_ps = 0
        self._held: list[tuple[np.ndarray, np.ndarray]] = []
        self._queue: asyncio.Queue[TagBlock | None] = asyncio.Queue(2)

    def lose_power(self) -> None:
        super().lose_power()
        self.volts = dict.fromkeys(self.inputs, 0.0)
        self._end_stream()

    async def make_safe(self) -> None:
        await super().make_safe()
        self.recording = False

    def _end_stream(self) -> None:
        self.recording = False
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def resolution_ps(self) -> int:
        return 1

    async def set_threshold(self, input_: int, threshold_v: float) -> None:
        self.log.append(f"{self.name} threshold")
        self.volts[input_] = threshold_v

    async def threshold(self, input_: int) -> float:
        self._ask()
        return self.volts[input_]

    async def start(self, inputs: tuple[int, ...]) -> None:
        now = self.clock.now() if self.clock else 0.0
        self._zero_ps = round((now + self.latency_s) * PS)
        self.recording = True
        self._held, self._end_ps, self._queue = [], 0, asyncio.Queue(2)

    async def blocks(self) -> AsyncIterator[TagBlock]:
        while (block := await self._queue.get()) is not None:
            yield block

    async def stop(self) -> None:
        self.recording = False

    async def count_rate(self, input_: int) -> float:
        return 0.0

    async def put(self, block: TagBlock | None) -> None:
        await self._queue.put(block)

    async def take(self, clicks: dict[int, np.ndarray], until_ps: int) -> None:
        """The bench: clicks by input in bench time, complete until `until_ps`."""
        if not self.recording or self.mute:
            return
        times = np.concatenate([np.asarray(t) for t in clicks.values()]) - self._zero_ps
        inputs = np.concatenate([np.full(len(t), i, np.uint8) for i, t in clicks.items()])
        self._held.append((times[times >= 0], inputs[times >= 0]))
        until = until_ps - self._zero_ps
        block = round(self.block_s * PS)
        while until - self._end_ps >= block:
            end = self._end_ps + block
            times, inputs = (np.concatenate(part) for part in zip(*self._held, strict=True))
            order = np.argsort(times, kind="stable")
            times, inputs = times[order], inputs[order]
            now = times < end
            lost, self.lose = self.lose, 0
            await self._queue.put(TagBlock(times[now], inputs[now], self._end_ps, end, lost))
            self._held = [(times[~now], inputs[~now])]
            self._end_ps = end


class FakeClock:
    """The bench's own time, which only sleeping moves. `light(from_ps, until_ps)` gives the clicks of each
    tagger in a slice of bench time."""

    def __init__(self, taggers: Sequence[FakeTagger] = (), light: "ToyLight | None" = None) -> None:
        self._now_ps = 0
        self._taggers, self._light = taggers, light
        self.at: list[tuple[float, Callable[[], None]]] = []
        """What shall happen at which time."""

    def now(self) -> float:
        return self._now_ps / PS

    async def sleep(self, seconds: float) -> None:
        end = self._now_ps + round(seconds * PS)
        while self._now_ps < end:
            until = min(end, self._now_ps + PS // 10)
            clicks = self._light.clicks(self._now_ps, until) if self._light else {}
            self._now_ps = until
            for tagger in self._taggers:
                await tagger.take(clicks.get(tagger.name, {1: np.empty(0, np.int64)}), until - PS // 1000)
            while self.at and self.at[0][0] <= self.now():
                self.at.pop(0)[1]()
            await asyncio.sleep(0)
        await asyncio.sleep(0)


class ToyLight:
    """Clicks of a swapping experiment behind the analysers' present angles, in bench time."""

    def __init__(self, seed: int, mounts: dict[str, FakeMount], fourfolds_hz: float = 400.0) -> None:
        self._rng = np.random.default_rng(seed)
        self._mounts, self._fourfolds_hz = mounts, fourfolds_hz

    def clicks(self, begin_ps: int, end_ps: int) -> dict[str, dict[int, np.ndarray]]:
        rng, seconds = self._rng, (end_ps - begin_ps) / PS
        clicks: dict[str, list[np.ndarray]] = {name: [] for name in DETECTORS}

        def uniform(n: int) -> np.ndarray:
            return rng.integers(begin_ps, end_ps, n)

        def cusp(n: int) -> np.ndarray:
            late = rng.random(n) < 0.7
            return np.where(late, rng.exponential(700, n), -rng.exponential(300, n)).astype(np.int64)

        for name in DETECTORS:
            clicks[name].append(uniform(rng.poisson(2000 * seconds)))
        for spoke in ("alice", "bob"):
            n = rng.poisson(40_000 * seconds)
            times, side, port = uniform(n), rng.integers(0, 2, n), rng.integers(0, 4, n)
            x = cusp(n)
            for k, polarization in enumerate("hv"):
                clicks[f"{spoke}_{polarization}"].append((times + x)[side == k])
            for k, hub in enumerate(HUB):
                clicks[hub].append(times[port == k])
        n = rng.poisson(self._fourfolds_hz * seconds)
        times, pattern = uniform(n), rng.integers(0, 4, n)
        a, b = (self._mounts[f"{spoke}_qwp"].at for spoke in ("alice", "bob"))
        e = np.where(pattern < 2, -np.cos(2 * (a - b)), -np.cos(2 * (a + b))) * V
        same = rng.random(n) < (1 + e) / 2
        alice = rng.integers(0, 2, n)
        bob = np.where(same, alice, 1 - alice)
        for k, polarization in enumerate("hv"):
            clicks[f"alice_{polarization}"].append(times[alice == k] + 250)
            clicks[f"bob_{polarization}"].append(times[bob == k] + 250)
        for k, (one, other) in enumerate(((0, 3), (1, 2), (0, 1), (2, 3))):
            clicks[HUB[one]].append(times[pattern == k])
            clicks[HUB[other]].append(times[pattern == k])

        streams: dict[str, dict[int, np.ndarray]] = {}
        for name, parts in clicks.items():
            tagger, input_ = DETECTORS[name].split(".")
            fibre = 43_100_000 if tagger == "hub_tagger" else 0
            delayed = np.concatenate(parts) + fibre + TRUE_DELAYS_PS.get(name, 0)
            streams.setdefault(tagger, {})[int(input_)] = delayed
        return streams


HUB = ("hub_ch", "hub_cv", "hub_dh", "hub_dv")
DETECTORS = {
    "alice_h": "alice_tagger.1",
    "alice_v": "alice_tagger.2",
    "bob_h": "bob_tagger.1",
    "bob_v": "bob_tagger.2",
    "hub_ch": "hub_tagger.1",
    "hub_cv": "hub_tagger.2",
    "hub_dh": "hub_tagger.3",
    "hub_dv": "hub_tagger.4",
}


def testbed() -> Testbed:
    """A testbed of fakes, laid out like the deployed one."""
    nodes = {"hub": "hub", "ali": "alice", "bob": "bob"}
    names = [
        "alice_pump", "bob_pump", "alice_qwp", "alice_hwp", "bob_qwp", "bob_hwp", "alice_paddles",
        "hub_nanowires", "alice_tagger", "bob_tagger", "hub_tagger",
    ]  # fmt: skip
    return Testbed.model_validate(
        {
            "testbed": "toy",
            "nodes": {"alice": {}, "bob": {}, "hub": {}},
            "instruments": {
                name: {"node": nodes[name[:3]], "model": "fake", "address": "tcp://127.0.0.1:9"}
                for name in names
            },
            "safe_order": ["alice_pump", "bob_pump", "hub_nanowires"],
            "analysers": {
                f"{spoke}_analyser": {
                    "node": spoke,
                    "qwp": f"{spoke}_qwp",
                    "hwp": f"{spoke}_hwp",
                    "outputs": {"H": f"{spoke}_h", "V": f"{spoke}_v"},
                }
                for spoke in ("alice", "bob")
            },
            "bell_state_measurements": {
                "bsm": {
                    "node": "hub",
                    "outputs": {"cH": "hub_ch", "cV": "hub_cv", "dH": "hub_dh", "dV": "hub_dv"},
                }
            },
            "detectors": {name: {"tagger": wire} for name, wire in DETECTORS.items()},
        }
    )


BRING_UP = BringUp.model_validate(
    {
        "power": {"alice_pump": "20 mW", "bob_pump": "20 mW"},
        "bias": {"hub_nanowires": "17 uA"},
        "threshold": {"alice_tagger": "100 mV", "bob_tagger": "100 mV", "hub_tagger": "100 mV"},
    }
)
CALIBRATE = CalibrateDelays.model_validate({"duration": "1 s"})
MEASURE = MeasureSwapping.model_validate({"bases": ["ZZ", "XX", "CHSH"], "dwell": "2 s"})
WAIT = Wait.model_validate({"duration": "3 s"})
PLAN = (BRING_UP, CALIBRATE, MEASURE)


def experiment(plan: Sequence[object] = PLAN, **more: object) -> LoadedExperiment:
    """An experiment on the toy testbed."""
    what = Experiment.model_validate(
        {
            "experiment": "toy_swapping",
            "testbed": "toy.yaml",
            "settings": {
                "spokes": ["alice_analyser", "bob_analyser"],
                "bell_state_measurement": "bsm",
                "bsm_window": "800 ps",
                "spoke_window": "2200 ps",
                "spoke_window_centre": "250 ps",
            },
            "plan": tuple(plan),
            **more,
        }
    )
    stands = testbed()
    resolved = {"experiment": what.model_dump(mode="json"), "testbed": stands.model_dump(mode="json")}
    return LoadedExperiment(
        what, stands, Inventory(stands, {}, {}), {"toy.yaml": "experiment: toy\n"}, resolved
    )


class ToyBench:
    """All of it: instruments, light, clock."""

    def __init__(self, seed: int = 1, block_s: tuple[float, float, float] = (0.25, 0.25, 0.25)) -> None:
        self.log: list[str] = []
        self.mounts = {
            f"{s}_{w}": FakeMount(f"{s}_{w}", self.log) for s in ("alice", "bob") for w in ("qwp", "hwp")
        }
        self.lasers = {name: FakeLaser(name, self.log) for name in ("alice_pump", "bob_pump")}
        self.nanowires = FakeNanowires("hub_nanowires", self.log)
        self.taggers = {
            name: FakeTagger(name, inputs, latency, block, self.log)
            for (name, inputs, latency), block in zip(
                (("alice_tagger", 2, 0.003), ("bob_tagger", 2, 0.007), ("hub_tagger", 4, 0.001)),
                block_s,
                strict=True,
            )
        }
        everything: list[FakeInstrument] = [
            *self.lasers.values(), *self.mounts.values(), FakePaddles("alice_paddles", self.log),
            self.nanowires, *self.taggers.values(),
        ]  # fmt: skip
        self.instruments = {instrument.name: instrument for instrument in everything}
        self.clock = FakeClock(list(self.taggers.values()), ToyLight(seed, self.mounts))
        for instrument in everything:
            instrument.clock = self.clock
