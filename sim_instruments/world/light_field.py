"""The light field: all sources, fibres, optics and detectors of a bench, moved through time together.

Every slice of time takes three acts. `tune` reads what the instruments have set (their ports) and
works out what has changed; `expose` draws the photons of the slice and turns them into clicks, in
worker threads and without touching a port; `settle` writes back what the instruments can see. Between
slices everything that belongs to the next one is kept: photons still in a fibre, afterpulses, dead
times. What stands where comes from a `Layout` alone.

Source of the model: physics.md 1 to 3.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from sim_instruments.ports import (
    LaserPort,
    MeterPort,
    NanowirePort,
    PaddlesPort,
    RotationPort,
    TaggerPort,
    Tags,
)
from sim_instruments.world.arm import Arm, Born, Statistics
from sim_instruments.world.channel import Channel
from sim_instruments.world.detection import update_latch
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.hub import Hub
from sim_instruments.world.interference import Tables
from sim_instruments.world.layout import Analyser, Layout
from sim_instruments.world.pairs import Floats
from sim_instruments.world.polarization import (
    IDENTITY,
    PROJECT_H,
    PROJECT_V,
    Matrix,
    half_wave_plate,
    paddles,
    quarter_wave_plate,
)
from sim_instruments.world.randomness import generator

DRIFT_STEP_PS = 10**12
"""Fibres drift in steps of this much time."""


@dataclass
class Ports:
    """All ports of a bench, by the instrument's name; nanowires by (unit, channel)."""

    lasers: dict[str, LaserPort] = field(default_factory=dict)
    rotations: dict[str, RotationPort] = field(default_factory=dict)
    paddles: dict[str, PaddlesPort] = field(default_factory=dict)
    nanowires: dict[tuple[str, int], NanowirePort] = field(default_factory=dict)
    taggers: dict[str, TaggerPort] = field(default_factory=dict)
    meters: dict[str, MeterPort] = field(default_factory=dict)


@dataclass(frozen=True)
class Clicks:
    """What one tagger saw: tags per input, all those before `until_ps` of its clock that were not in a
    slice before."""

    tags: Tags
    until_ps: int


class LightField:
    """The light of one bench. `now_ps` is the world's time."""

    def __init__(self, layout: Layout, ports: Ports, seed: int) -> None:
        self.layout, self.ports = layout, ports
        self.now_ps = 0
        self._drifted_ps = 0
        self.observed = False
        """Whether a tagger looks, so that clicks are computed."""
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="light")
        self._fibres = {f.name: DriftingFibre(f, generator(seed, f.name)) for f in layout.fibres}
        self._analysers = {a.name: a for a in layout.analysers}
        self._hubs = {m.name: Hub(m, seed) for m in layout.measurements}
        self._channels: dict[str, Channel] = {}
        for tagger in layout.taggers:
            skew = generator(seed, tagger.name).normal(0.0, 1.0) * tagger.frequency_error
            for detector in layout.detectors:
                if detector.tagger == tagger.name:
                    self._channels[detector.name] = Channel(detector, tagger, skew, seed)
        self._arms: list[tuple[Arm, Analyser, Hub, int]] = []
        for source in layout.sources:
            arm = Arm(source, generator(seed, source.name))
            hub_name, _, side = source.idler_path[-1].partition(".")
            if source.signal_path[-1] not in self._analysers or hub_name not in self._hubs:
                raise ValueError(
                    f"{source.name}: the light field routes a signal to an analyser and an idler to a "
                    "Bell-state measurement; this source's paths end elsewhere"
                )
            hub = self._hubs[hub_name]
            hub.arms["ab".index(side)] = arm
            self._arms.append((arm, self._analysers[source.signal_path[-1]], hub, "ab".index(side)))
        self._statistics: list[Statistics] = []
        self._tuned_to: object = None
        self._singles: dict[str, float] = {}

    def close(self) -> None:
        self._pool.shutdown()

    # -- act one: what have the instruments set? ------------------------------------------------

    def tune(self) -> None:
        """Read all ports and drift the fibres up to the slice that begins now."""
        for name, channel in self._channels.items():
            wire = channel.detector.nanowire
            nanowire = self.ports.nanowires[wire] if wire else None
            if nanowire is not None:
                update_latch(nanowire, channel.detector.switching_current_a)
            threshold = self.ports.taggers[channel.tagger.name].inputs[channel.detector.input].threshold_v
            channel.look(nanowire, threshold)
            self._singles.setdefault(name, 0.0)
        while self.now_ps - self._drifted_ps >= DRIFT_STEP_PS:
            self._drifted_ps += DRIFT_STEP_PS
            for fibre in self._fibres.values():
                fibre.advance(DRIFT_STEP_PS * 1e-12)
        for tap in self.layout.taps:
            meter = self.ports.meters[tap.meter]
            meter.power_w = self.ports.lasers[tap.laser].power_w * tap.fraction
            meter.wavelength_m = tap.wavelength_m
        setting = (
            self._drifted_ps,
            [(c.efficiency, c.dark_hz, c.seen, c.own_noise_hz) for c in self._channels.values()],
            [port.power_w for port in self.ports.lasers.values()],
            [port.angle_rad for port in self.ports.rotations.values()],
            [tuple(port.angles_rad) for port in self.ports.paddles.values()],
        )
        if setting != self._tuned_to:
            self._tuned_to = setting
            self._retune()
        observed = any(port.recording for port in self.ports.taggers.values())
        if observed and not self.observed:
            for channel in self._channels.values():
                channel.forget()
            for hub in self._hubs.values():
                hub.forget()
        self.observed = observed

    def _retune(self) -> None:
        self._statistics = []
        singles = dict.fromkeys(self._channels, 0.0)
        noise = {name: channel.dark_hz for name, channel in self._channels.items()}
        for channel in self._channels.values():
            channel.noise_hz = 0.0
        conditional = {name: np.zeros((2, 3, 4, 4), dtype=np.complex128) for name in self._hubs}
        for arm, analyser, hub, side in self._arms:
            source = arm.source
            pump = self.ports.lasers[source.pump].power_w / source.pump_power_w
            outputs = [self._channels[name] for name in analyser.outputs]
            signal = self._chain(source.signal_path[:-1])
            signal = half_wave_plate(self.ports.rotations[analyser.hwp].angle_rad) @ (
                quarter_wave_plate(self.ports.rotations[analyser.qwp].angle_rad) @ signal
            )
            through = source.signal_transmission * analyser.transmission
            povm = [
                c.efficiency * through * (signal.conj().T @ p @ signal)
                for c, p in zip(outputs, _projectors(analyser.extinction), strict=True)
            ]
            ends = [self._channels[name] for name in hub.measurement.outputs]
            best = max(c.efficiency for c in ends)
            idler = self._chain(source.idler_path[:-1])
            hub.delays[side] = sum(
                self._fibres[name].delay_ps for name in source.idler_path if name in self._fibres
            )
            amplitude = np.sqrt(source.idler_transmission * hub.measurement.transmission * best)
            ports = np.vstack([amplitude * b * idler for b in hub.split(side)])
            statistics = Statistics.of(
                source.pair_rate_hz * pump * 1e-12, arm.shape, arm.rho, (povm[0], povm[1]), ports
            )
            self._statistics.append(statistics)
            conditional[hub.measurement.name][side] = statistics.conditional
            for port, channel in enumerate(outputs):
                relative = channel.efficiency / channel.detector.efficiency
                channel.noise_hz += statistics.lone_signals[port] * 1e12
                channel.noise_hz += source.unpaired_signal_hz / 2 * pump * relative
                singles[channel.detector.name] += statistics.signal_rates[port] * 1e12
                noise[channel.detector.name] += source.unpaired_signal_hz / 2 * pump * relative
            arriving = statistics.conditional.sum(axis=0)
            for port, channel in enumerate(ends):
                relative = channel.efficiency / channel.detector.efficiency
                share = channel.efficiency / best if best > 0.0 else 0.0
                unpaired = source.unpaired_idler_hz / 4 * pump * relative
                channel.noise_hz += unpaired
                noise[channel.detector.name] += unpaired
                singles[channel.detector.name] += (
                    source.pair_rate_hz * pump * arriving[port, port].real * share
                )
        for name, hub in self._hubs.items():
            hub.tables = Tables.of(conditional[name])
        self._singles = {
            name: _after_dead_time(singles[name] + noise[name], channel.detector.dead_time_s)
            for name, channel in self._channels.items()
        }

    def _chain(self, path: tuple[str, ...]) -> Matrix:
        """The Jones matrix of fibres and paddles in beam order, with their losses."""
        matrix = IDENTITY
        for name in path:
            if name in self._fibres:
                fibre = self._fibres[name]
                matrix = np.sqrt(fibre.transmission) * fibre.jones @ matrix
            else:
                matrix = paddles(self.ports.paddles[name].angles_rad) @ matrix
        return matrix

    @property
    def singles_hz(self) -> dict[str, float]:
        """Expected clicks per second of every detector with the present settings, without the tagger's own
        noise and afterpulses (for tests and for read-outs that nobody's tagger watches); never shown to
        a driver."""
        return dict(self._singles)

    # -- act two: what happens to the light? ----------------------------------------------------

    def expose(self, span_ps: int) -> dict[str, Clicks]:
        """Let the slice happen. Returns what each tagger saw; nothing when nobody looks."""
        if not self.observed:
            return {}
        span = float(span_ps)
        born = list(
            self._pool.map(
                lambda pair: pair[0][0].emit(pair[1], span), zip(self._arms, self._statistics, strict=True)
            )
        )
        photons: dict[str, list[Floats]] = defaultdict(list)
        arrivals: dict[str, dict[int, Born]] = defaultdict(dict)
        for (_, analyser, hub, side), slice_ in zip(self._arms, born, strict=True):
            for name, signals in zip(analyser.outputs, slice_.signals, strict=True):
                photons[name].append(signals)
            arrivals[hub.measurement.name][side] = slice_
        for name, ports in zip(
            arrivals,
            self._pool.map(lambda item: self._hubs[item[0]].expose(item[1], span), arrivals.items()),
            strict=True,
        ):
            ends = [self._channels[output] for output in self._hubs[name].measurement.outputs]
            best = max(channel.efficiency for channel in ends)
            for channel, mine in zip(ends, ports, strict=True):
                share = channel.efficiency / best if best > 0.0 else 0.0
                kept = mine if share == 1.0 else mine[channel.rng.random(len(mine)) < share]
                photons[channel.detector.name].append(kept)
        tags = self._pool.map(
            lambda channel: channel.expose(
                self.now_ps, span_ps, photons[channel.detector.name] if channel.seen else []
            ),
            self._channels.values(),
        )
        clicks: dict[str, Clicks] = {}
        for channel, times in zip(self._channels.values(), tags, strict=True):
            until_ps = channel.watermark(self.now_ps + span_ps)
            seen = clicks.setdefault(channel.tagger.name, Clicks({}, until_ps))
            seen.tags[channel.detector.input] = times
        return clicks

    # -- act three: what can the instruments see? ----------------------------------------------

    def settle(self, span_ps: int, clicks: dict[str, Clicks]) -> None:
        """Move time on and show the nanowires' read-outs and the taggers' clocks what happened."""
        self.now_ps += span_ps
        for name, channel in self._channels.items():
            detector = channel.detector
            if detector.nanowire:
                port = self.ports.nanowires[detector.nanowire]
                tags = len(clicks[detector.tagger].tags[detector.input]) if clicks else None
                port.clicks += channel.read_out(port, span_ps, self._singles[name], tags)
            self.ports.taggers[detector.tagger].clock_ps = channel.clock(self.now_ps)


def _projectors(extinction: float) -> tuple[Matrix, Matrix]:
    """What a polarizing beam splitter sends to its H and V outputs."""
    return (
        (1 - extinction) * PROJECT_H + extinction * PROJECT_V,
        (1 - extinction) * PROJECT_V + extinction * PROJECT_H,
    )


def _after_dead_time(rate_hz: float, dead_s: float) -> float:
    return rate_hz / (1 + rate_hz * dead_s)
