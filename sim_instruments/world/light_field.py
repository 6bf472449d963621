"""The light field: all lights, fibres, optics and detectors of a bench, moved through time together.

Every slice of time takes three acts. `tune` reads what the instruments have set (their ports) and
works out what has changed; `expose` draws the photons of the slice and turns them into clicks, in
worker threads and without touching a port; `settle` writes back what the instruments can see. Between
slices everything that belongs to the next one is kept: photons still in a fibre, afterpulses, dead
times. What stands where comes from a `Layout` alone, where light goes from the optics as they stand:
every retune follows each light anew.

What is drawn depends on seed and slices alone, never on the threads: each light, hub, detector and
tagger has random numbers of its own. Source of the model: physics.md 1 to 3.
"""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import DiodePort, GatePort, NanowirePort, Ports, TaggerPort
from sim_instruments.world.beam_light import BeamLight
from sim_instruments.world.chain import chains
from sim_instruments.world.channel import Channel, guard_ps
from sim_instruments.world.clock import NodeClock
from sim_instruments.world.detection import update_latch
from sim_instruments.world.emitter_light import EmitterLight
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.hub import Hub, Photons
from sim_instruments.world.layout import Beam, Emitter, Layout, PairSource
from sim_instruments.world.optics import Optics
from sim_instruments.world.pair_light import PairLight
from sim_instruments.world.quantiles import MAX_NORMAL
from sim_instruments.world.randomness import generator
from sim_instruments.world.sensors import Sensors
from sim_instruments.world.tagging import Clicks, TaggerLine
from sim_instruments.world.wave_packets import Floats, Window

__all__ = ["Clicks", "LightField", "Ports"]

DRIFT_STEP_PS = 10**12
"""Fibres drift in steps of this much time."""

Light = PairLight | BeamLight | EmitterLight
Times = NDArray[np.int64]


class LightField:
    """The light of one bench. `now_ps` is the world's time."""

    def __init__(self, layout: Layout, ports: Ports, seed: int) -> None:
        """ValueError where a path leads nowhere, KeyError where a port is missing."""
        self.layout, self.ports = layout, ports
        self.now_ps = 0
        self._drifted_ps = 0
        self.observed = False
        """Whether a tagger looks, so that clicks are computed."""
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="light")
        self._fibres = {f.name: DriftingFibre(f, generator(seed, f.name)) for f in layout.fibres}
        self._optics = Optics(layout, ports, self._fibres)
        self._sensors = Sensors(layout, ports, seed)
        self._guard_ps = guard_ps(layout)
        self._clocks = {
            tagger.clock.name: NodeClock(tagger.clock, generator(seed, f"clock {tagger.clock.name}"))
            for tagger in layout.taggers
        }
        self._lines = {tagger.name: TaggerLine(tagger, seed) for tagger in layout.taggers}
        self._channels = {
            detector.name: Channel(
                detector,
                self._lines[detector.tagger].tagger,
                self._clock_of(detector.tagger),
                self._guard_ps,
                seed,
            )
            for detector in layout.detectors
        }
        self._hubs = {m.name: Hub(m, self._channels, seed) for m in layout.measurements}
        self._lights = [self._in_operation(light, seed) for light in layout.lights]
        self._chains: list[list[Hub]] = []
        """Hubs with light, those together that depend on each other."""
        self._lead_ps = 0
        """Light is drawn so much before it is born, so that what has to wait for it comes in time."""
        self._tuned_to: object = None
        self._taggers: dict[str, TaggerPort] = {}
        """Copies of their ports, which instruments may change while a slice is in the making."""

    def _in_operation(self, light: PairSource | Beam | Emitter, seed: int) -> Light:
        lasers = self.ports.lasers
        match light:
            case PairSource():
                return PairLight(light, lasers[light.pump], seed)
            case Beam():
                return BeamLight(light, lasers[light.laser], seed)
            case Emitter():
                return EmitterLight(light, lasers[light.laser] if light.laser else None, seed)

    def _clock_of(self, tagger: str) -> NodeClock:
        return self._clocks[self._lines[tagger].tagger.clock.name]

    def close(self) -> None:
        self._pool.shutdown()

    # -- act one: what have the instruments set? ------------------------------------------------

    def tune(self) -> None:
        """Read all ports and drift the fibres up to the slice that begins now."""
        self._look()
        while self.now_ps - self._drifted_ps >= DRIFT_STEP_PS:
            self._drifted_ps += DRIFT_STEP_PS
            for fibre in self._fibres.values():
                fibre.advance(DRIFT_STEP_PS * 1e-12)
        while (setting := self._setting()) != self._tuned_to:
            self._tuned_to = setting
            self._retune()
            # Too much light drives a nanowire normal, which changes what the others see of their hub.
            for channel in self._channels.values():
                channel.overload(self._control(channel))
            self._look()
        self._sensors.read()
        self._taggers = {
            name: replace(port, inputs={n: replace(entry) for n, entry in port.inputs.items()})
            for name, port in self.ports.taggers.items()
        }
        observed = any(port.recording for port in self.ports.taggers.values())
        if observed and not self.observed:
            self._forget()
        self.observed = observed

    def _control(self, channel: Channel) -> NanowirePort | DiodePort | None:
        control = channel.detector.control
        if control is None or control in self.ports.nanowires:
            return self.ports.nanowires[control] if control else None
        return self.ports.diodes[control]

    def _gate(self, channel: Channel) -> GatePort | None:
        gate = channel.detector.gate
        return self.ports.gates[gate.generator] if gate and gate.generator else None

    def _look(self) -> None:
        for channel in self._channels.values():
            detector, control = channel.detector, self._control(channel)
            if isinstance(control, NanowirePort):
                update_latch(control, detector.switching_current_a)
            entry = self.ports.taggers[detector.tagger].inputs[detector.input]
            channel.look(control, self._gate(channel), entry)

    def _setting(self) -> object:
        return (
            self._optics.setting(),
            [(c.efficiency, c.dark_hz, c.seen, c.gating) for c in self._channels.values()],
            [(port.power_w, port.detuning_hz, port.on_line) for port in self.ports.lasers.values()],
        )

    # -- what happens to it from outside ----------------------------------------------------------

    def fibre(self, name: str) -> DriftingFibre:
        """A fibre, for happenings."""
        return self._fibres[name]

    def overlap(self, measurement: str, overlap: float | None) -> None:
        """Let the photons of different sources overlap so much at a measurement from now on; None: as the
        layout has it."""
        hub = self._hubs[measurement]
        [planned] = [m for m in self.layout.measurements if m.name == measurement]
        hub.measurement = planned if overlap is None else replace(planned, mode_overlap=overlap)
        self._tuned_to = None

    def _forget(self) -> None:
        """Begin anew after a time in which nobody looked."""
        for part in (*self._channels.values(), *self._hubs.values(), *self._lights):
            part.forget()
        for name, line in self._lines.items():
            line.forget(self._clock_of(name).to_ps(self.now_ps))

    def _retune(self) -> None:
        while True:
            self._follow_lights()
            missing_ps = self._lag_ps() - (self._guard_ps - self._earliest_jitter_ps)
            if missing_ps <= 0:
                break
            self._lead_ps += ceil(missing_ps)
        self._sensors.darken()
        for light in self._lights:
            if isinstance(light, BeamLight):
                light.illuminate(self._sensors)

    def _follow_lights(self) -> None:
        self._optics.begin()
        for channel in self._channels.values():
            channel.darken()
        for hub in self._hubs.values():
            hub.darken()
        for light in self._lights:
            light.aim(self._optics, self._channels, self._hubs, self._lead_ps)
        links = [link for light in self._lights if isinstance(light, PairLight) and (link := light.link)]
        ordered, faint = chains(list(self._hubs.values()), links)
        order = {hub: k for chain in ordered for k, hub in enumerate(chain)}
        for light in self._lights:
            if isinstance(light, PairLight):
                light.tune(self._channels, order, light.name in faint)
            else:
                light.tune(self._channels)
        for hub in self._hubs.values():
            hub.tune()
        self._chains = [lit for chain in ordered if (lit := [hub for hub in chain if hub.entries])]

    @property
    def _earliest_jitter_ps(self) -> float:
        return max((MAX_NORMAL * d.jitter_s * 1e12 for d in self.layout.detectors), default=0.0)

    def _lag_ps(self) -> float:
        """How much before a slice's beginning a photon of its light may arrive."""
        lags = [light.lag_ps for light in self._lights]
        for chain in self._chains:
            known_ps: dict[str, float] = {}
            lags += [-hub.foresee(known_ps) for hub in chain]
        return max(lags, default=0.0)

    @property
    def singles_hz(self) -> dict[str, float]:
        """Expected clicks per second of every detector with the present settings, without the tagger's own
        noise and afterpulses (for tests and for read-outs that nobody's tagger watches); never shown to
        a driver."""
        return {name: channel.singles_hz for name, channel in self._channels.items()}

    # -- act two: what happens to the light? ----------------------------------------------------

    def expose(self, span_ps: int) -> dict[str, Clicks]:
        """Let the slice happen. Returns what each tagger saw; nothing when nobody looks."""
        end_ps = self.now_ps + span_ps
        for name, clock in self._clocks.items():
            followers = [t.name for t in self.layout.taggers if t.clock.name == name]
            clock.advance(end_ps, locked=all(self._taggers[t].clock_locked for t in followers))
        if not self.observed:
            return {}
        window = Window(self.now_ps + self._lead_ps, span_ps)
        photons: dict[str, list[Floats]] = {name: [] for name in self._channels}
        _collect(photons, [self._pool.submit(light.emit, window) for light in self._lights])
        # Detectors that no hub sends light to need not wait for one.
        behind = {channel.detector.name for chain in self._chains for hub in chain for channel in hub.outputs}
        routed = [self._pool.submit(_route, chain, window) for chain in self._chains]
        tags = {name: self._exposure(name, photons, span_ps) for name in photons if name not in behind}
        _collect(photons, routed)
        tags |= {name: self._exposure(name, photons, span_ps) for name in photons if name in behind}
        seen = {name: self._tagged(name, tags, end_ps) for name in self._lines}
        return {name: clicks.result() for name, clicks in seen.items()}

    def _exposure(self, name: str, photons: dict[str, list[Floats]], span_ps: int) -> Future[Times]:
        return self._pool.submit(self._channels[name].expose, self.now_ps, span_ps, photons[name])

    def _tagged(self, name: str, tags: dict[str, Future[Times]], end_ps: int) -> Future[Clicks]:
        line = self._lines[name]
        mine = {
            channel.detector.input: tags[detector].result()
            for detector, channel in self._channels.items()
            if channel.tagger.name == name
        }
        until_ps = self._clock_of(name).watermark(end_ps, self._guard_ps, line.tagger.resolution_ps)
        return self._pool.submit(line.take, mine, until_ps, self._taggers[name].inputs)

    # -- act three: what can the instruments see? ----------------------------------------------

    def settle(self, span_ps: int, clicks: dict[str, Clicks]) -> None:
        """Move time on and show the detectors' read-outs and the taggers' clocks what happened."""
        self.now_ps += span_ps
        for channel in self._channels.values():
            port = self._control(channel)
            if port is not None:
                port.clicks += channel.read_out(port, span_ps, bool(clicks))
        for name in self._lines:
            tagger = self.ports.taggers[name]
            tagger.clock_ps = self._clock_of(name).to_ps(self.now_ps)
            for overflow in clicks[name].overflows if clicks else ():
                for number, missed in overflow.missed.items():
                    tagger.lost[number] = tagger.lost.get(number, 0) + missed


def _route(chain: list[Hub], window: Window) -> Photons:
    """Decide measurements that depend on each other, one after the other."""
    return [arrival for hub in chain for arrival in hub.expose(window)]


def _collect(photons: dict[str, list[Floats]], arriving: Iterable[Future[Photons]]) -> None:
    """Wait for photons, and sort them by detector in the order of their senders."""
    senders = list(arriving)
    wait(senders)
    for sender in senders:
        for name, times in sender.result():
            photons[name].append(times)
