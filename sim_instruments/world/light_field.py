"""The light field: all sources, fibres, optics and detectors of a bench, moved through time together.

Every slice of time takes three acts. `tune` reads what the instruments have set (their ports) and
works out what has changed; `expose` draws the photons of the slice and turns them into clicks, in
worker threads and without touching a port; `settle` writes back what the instruments can see. Between
slices everything that belongs to the next one is kept: photons still in a fibre, afterpulses, dead
times. What stands where comes from a `Layout` alone.

Source of the model: physics.md 1 to 3.
"""

from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sim_instruments.ports import Ports, Tags
from sim_instruments.world.arm import Arm
from sim_instruments.world.channel import Channel
from sim_instruments.world.couple import Couple
from sim_instruments.world.detection import update_latch
from sim_instruments.world.fibre import DriftingFibre
from sim_instruments.world.hub import Hub
from sim_instruments.world.layout import Analyser, Layout, Source
from sim_instruments.world.optics import Optics
from sim_instruments.world.pairs import Floats
from sim_instruments.world.randomness import generator
from sim_instruments.world.routes import Route, ToAnalysers, ToHub

DRIFT_STEP_PS = 10**12
"""Fibres drift in steps of this much time."""


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
        self._optics = Optics(self._fibres, ports.paddles, ports.rotations)
        self._channels: dict[str, Channel] = {}
        for tagger in layout.taggers:
            skew = generator(seed, tagger.name).normal(0.0, 1.0) * tagger.frequency_error
            for detector in layout.detectors:
                if detector.tagger == tagger.name:
                    self._channels[detector.name] = Channel(detector, tagger, skew, seed)
        self._hubs = {m.name: Hub(m, self._channels, seed) for m in layout.measurements}
        analysers = {a.name: a for a in layout.analysers}
        self._routes = [self._route(source, analysers, seed) for source in layout.sources]
        self._lit_hubs = [hub for hub in self._hubs.values() if hub.arms]
        self._tuned_to: object = None

    def _route(self, source: Source, analysers: Mapping[str, Analyser], seed: int) -> tuple[Source, Route]:
        """Where a source's photons go. ValueError where the light field cannot follow them."""
        rng = generator(seed, source.name)
        signal = analysers.get(source.signal_path[-1])
        idler = analysers.get(source.idler_path[-1])
        hub, _, side = source.idler_path[-1].partition(".")
        if signal and idler:
            return source, ToAnalysers(Couple(source, rng), (signal, idler), self._channels)
        if signal and hub in self._hubs:
            return source, ToHub(Arm(source, rng), signal, self._hubs[hub], "ab".index(side), self._channels)
        raise ValueError(
            f"{source.name}: the light field brings a signal to an analyser, and an idler to an analyser or "
            "a Bell-state measurement; this source's paths end elsewhere"
        )

    def close(self) -> None:
        self._pool.shutdown()

    # -- act one: what have the instruments set? ------------------------------------------------

    def tune(self) -> None:
        """Read all ports and drift the fibres up to the slice that begins now."""
        for channel in self._channels.values():
            wire = channel.detector.nanowire
            nanowire = self.ports.nanowires[wire] if wire else None
            if nanowire is not None:
                update_latch(nanowire, channel.detector.switching_current_a)
            threshold = self.ports.taggers[channel.tagger.name].inputs[channel.detector.input].threshold_v
            channel.look(nanowire, threshold)
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
        for channel in self._channels.values():
            channel.darken()
        for hub in self._hubs.values():
            hub.darken()
        for source, route in self._routes:
            route.tune(self.ports.lasers[source.pump].power_w / source.pump_power_w, self._optics)
        for hub in self._hubs.values():
            hub.tune()

    @property
    def singles_hz(self) -> dict[str, float]:
        """Expected clicks per second of every detector with the present settings, without the tagger's own
        noise and afterpulses (for tests and for read-outs that nobody's tagger watches); never shown to
        a driver."""
        return {name: channel.singles_hz for name, channel in self._channels.items()}

    # -- act two: what happens to the light? ----------------------------------------------------

    def expose(self, span_ps: int) -> dict[str, Clicks]:
        """Let the slice happen. Returns what each tagger saw; nothing when nobody looks."""
        if not self.observed:
            return {}
        span = float(span_ps)
        photons: dict[str, list[Floats]] = defaultdict(list)
        emitted = list(self._pool.map(lambda route: route[1].emit(span), self._routes))
        routed = self._pool.map(lambda hub: hub.expose(span), self._lit_hubs)
        for arrivals in (*emitted, *routed):
            for name, times in arrivals.items():
                photons[name].append(times)
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
        for channel in self._channels.values():
            detector = channel.detector
            if detector.nanowire:
                port = self.ports.nanowires[detector.nanowire]
                tags = len(clicks[detector.tagger].tags[detector.input]) if clicks else None
                port.clicks += channel.read_out(port, span_ps, tags)
            self.ports.taggers[detector.tagger].clock_ps = channel.clock(self.now_ps)
