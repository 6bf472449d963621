"""A hub: the Bell-state measurement where photons of several lights meet.

A hub takes in the photons of a slice, and routes all those that surely nothing can still overlap; the others
wait for the next slice. The efficiency of its best detector is folded into the way there, the others are
thinned out behind the ports.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.arm import in_order
from sim_instruments.world.births import Integers, Singles
from sim_instruments.world.channel import Channel
from sim_instruments.world.interference import Bytes, by_port, merge, route
from sim_instruments.world.layout import BellStateMeasurement
from sim_instruments.world.polarization import Matrix
from sim_instruments.world.randomness import generator
from sim_instruments.world.scratch import Scratch
from sim_instruments.world.tables import NOBODY, Complex, Rows, Tables
from sim_instruments.world.wave_packets import Floats, WavePacket, Window

Photons = list[tuple[str, Floats]]
"""Times of arrival at detectors, by the detectors' names, in picoseconds of the slice; nearly sorted."""


@dataclass(frozen=True)
class Sent:
    """What a light sends to a hub, until a setting changes."""

    side: int
    conditional: Complex
    """(rows, 4, 4) port density matrices of its photons, not normalised."""
    delay_ps: float
    packet: WavePacket
    carrier_hz: float
    """Optical frequency: light of another wavelength beats too fast for any dip."""


@dataclass(frozen=True)
class Onward:
    """Photons whose partners go on to another hub: what is known of a partner when its photon has been
    routed."""

    row: int
    """Of the photons here, among those of their light."""
    operators: Complex
    """S (4, 4, 2, 2), see `Tables.partner`."""
    to: "Entry"


class Entry:
    """One light's photons on their way into a hub, carried over slices."""

    def __init__(self) -> None:
        self.sent: Sent
        self.first_row = 0
        self.ports: Complex | None = None
        """(4, 2) Of photons that follow from another hub: the amplitudes to the ports."""
        self.orphans = np.empty(0), np.empty(0, np.float32)
        """Of photons whose partners never come to the other hub, not merged in yet: times, separations."""
        self._followed_until_ps = -inf
        self._scratch = Scratch()
        self._n = 0
        self.forget()

    def forget(self) -> None:
        self.t, self.x, self.row = np.empty(0), np.empty(0, np.float32), np.empty(0, np.int32)
        self.states = np.empty((0, 2, 2), dtype=np.complex128)
        """Of photons that follow from another hub and have no fixed row: (m, 2, 2) polarization."""
        self._n = 0

    def room(self, n: int) -> tuple[Floats, Singles, Integers]:
        """Arrays for n more photons at most, to be filled in the order of time; `keep` says how many came."""
        old, n = len(self.t), len(self.t) + n
        scratch = self._scratch
        t, x, row = scratch("t", n), scratch("x", n, np.float32), scratch("row", n, np.int32)
        t[:old], x[:old], row[:old] = self.t, self.x, self.row
        self.t, self.x, self.row = t, x, row
        self._n = old
        return t[old:], x[old:], row[old:]

    def keep(self, n: int) -> None:
        """So many photons have been put into the last `room`."""
        n += self._n
        self.t, self.x, self.row = self.t[:n], self.x[:n], self.row[:n]

    def known_ps(self, span_ps: float) -> float:
        """All photons before this time are in, when those of a slice are."""
        if self.ports is not None:
            return self._followed_until_ps
        return span_ps + self.sent.delay_ps - self.sent.packet.before_birth_ps

    def follow(self, t: Floats, x: Singles, row: Integers, states: Complex, known_ps: float) -> None:
        """Photons, in any order, that another hub has decided until `known_ps`; their rows are those of their
        light, then numbers of `states`. The orphans of the slice join them, in the last row of the light."""
        fixed = len(self.sent.conditional)
        row = np.where(row < fixed, row + self.first_row, row - fixed + len(self.states) + FOLLOWING)
        self.states = np.concatenate([self.states, states])
        orphan_t, orphan_x = self.orphans
        self.t = np.concatenate([self.t, t, orphan_t])
        order = np.argsort(self.t, kind="stable")
        self.t = self.t[order]
        self.x = np.concatenate([self.x, x, orphan_x])[order]
        last = np.full(len(orphan_t), self.first_row + fixed - 1, dtype=np.int32)
        self.row = np.concatenate([self.row, row.astype(np.int32), last])[order]
        self._n = 0
        self._followed_until_ps = known_ps

    def take(self, until_ps: float, span_ps: float) -> tuple[Floats, Singles, Integers]:
        """All photons before a time; the rest wait for the next slice."""
        old = self._n
        if 0 < old < len(self.t) and self.t[old] < self.t[old - 1]:
            in_order(self.t, self.x, self.row)  # the way has become shorter since the last slice
        cut = int(np.searchsorted(self.t, until_ps))
        taken = self.t[:cut], self.x[:cut], self.row[:cut]
        self.t, self.x, self.row = self.t[cut:] - span_ps, self.x[cut:].copy(), self.row[cut:].copy()
        return taken

    def renumber(self) -> None:
        """Keep the states of waiting photons alone."""
        mine = self.row >= FOLLOWING
        self.states = self.states[self.row[mine] - FOLLOWING]
        self.row[mine] = FOLLOWING + np.arange(len(self.states), dtype=np.int32)


FOLLOWING = 1 << 24
"""Rows from here on are numbers of an entry's states."""


class Hub:
    """A Bell-state measurement in operation."""

    def __init__(self, measurement: BellStateMeasurement, channels: Mapping[str, Channel], seed: int) -> None:
        self.measurement = measurement
        self.rng = generator(seed, measurement.name)
        self.entries: dict[str, Entry] = {}
        """By the light; a light both photons of which come here has none."""
        self._waiting: dict[str, Entry] = {}
        self.onward: tuple[str, Onward] | None = None
        """The light whose photons' partners go on to another hub."""
        self.outputs = [channels[name] for name in measurement.outputs]
        self.known_ps = -inf
        """All photons before this time have been routed."""
        self._before: object = None
        self._rows: Rows
        self._tables: Tables
        self._scratch = Scratch()
        self._reach_ps = 0.0

    def forget(self) -> None:
        for entry in self.entries.values():
            entry.forget()

    def darken(self) -> None:
        """Forget what lights send, before they are asked anew."""
        self._waiting, self.entries, self.onward = self.entries, {}, None

    def amplitudes(self, side: int, jones: Matrix) -> Complex:
        """(4, 2) from the polarization where a photon sets out to the four ports; `jones` leads to the
        input."""
        r = self.measurement.reflectivity
        split = (sqrt(1 - r), sqrt(r)) if side == 0 else (sqrt(r), -sqrt(1 - r))
        amplitude = sqrt(self.measurement.transmission * self._best)
        ports: Complex = np.vstack([amplitude * b * jones for b in split])
        return ports

    def clicks(self, ports: Complex) -> list[tuple[str, Matrix]]:
        """POVM elements (2x2) of a click of each port's detector, for the `amplitudes` to the ports."""
        taken: Complex = np.einsum("pi,pj->pij", ports.conj(), ports)
        seen: Complex = np.einsum("dp,pij->dij", self._seen, taken)
        return [(channel.detector.name, povm) for channel, povm in zip(self.outputs, seen, strict=True)]

    def port_clicks(self, rates: Floats) -> list[tuple[str, float]]:
        """Rates of clicks for the `rates` (4,) at which photons take a port."""
        seen = (self._seen @ rates).tolist()
        return [(channel.detector.name, rate) for channel, rate in zip(self.outputs, seen, strict=True)]

    @property
    def _seen(self) -> Floats:
        """(detector, port) probability of a click."""
        wrong = self.measurement.extinction
        flip = (1 - wrong) * np.eye(4) + wrong * np.eye(4)[[1, 0, 3, 2]]
        return np.array([self._share(channel) for channel in self.outputs])[:, None] * flip

    def enter(self, light: str, sent: Sent, ports: Complex | None = None) -> Entry:
        """Where a light puts its photons from now on. Those of `ports` follow from another hub."""
        entry = self.entries[light] = self._waiting.get(light) or Entry()
        entry.sent, entry.ports = sent, ports
        return entry

    def tune(self) -> None:
        """Work out how photons are routed with what all lights send."""
        entries = list(self.entries.values())
        plan = [(name, entry.sent.side, len(entry.sent.conditional)) for name, entry in self.entries.items()]
        if plan != self._before:  # a switch was thrown: light on its way is lost
            self._before = plan
            self.forget()
        if not entries:
            return
        first = np.cumsum([0, *(len(entry.sent.conditional) for entry in entries)])
        for entry, row in zip(entries, first, strict=False):
            entry.first_row = int(row)
        undecided, partner = NOBODY, np.zeros((4, 4, 2, 2), dtype=np.complex128)
        if self.onward:
            light, onward = self.onward
            undecided, partner = self.entries[light].first_row + onward.row, onward.operators
        self._rows = Rows.of(np.concatenate([entry.sent.conditional for entry in entries]))
        lights = [np.full(len(entry.sent.conditional), k) for k, entry in enumerate(entries)]
        self._reach_ps = max(entry.sent.packet.reach_ps for entry in entries)
        carriers_hz = np.array([entry.sent.carrier_hz for entry in entries])
        self._tables = Tables(
            *self._rows,
            light=np.concatenate(lights),
            packets=np.array([entry.sent.packet.row() for entry in entries]),
            side=np.array([entry.sent.side for entry in entries]),
            carrier=2e-12 * pi * (carriers_hz - carriers_hz[0]),
            mode_overlap=self.measurement.mode_overlap,
            undecided=undecided,
            partner=np.ascontiguousarray(partner),
        )

    @property
    def _best(self) -> float:
        return max(channel.efficiency for channel in self.outputs)

    def _share(self, channel: Channel) -> float:
        return channel.efficiency / self._best if self._best > 0.0 else 0.0

    def foresee(self, known_ps: dict[str, float]) -> float:
        """Until when photons can be routed, in picoseconds from the end of any slice. `known_ps` takes up, by
        light, until when those are known that go on to another hub, which is to be asked next."""
        decided = -self._reach_ps + min(
            known_ps[name] if entry.ports is not None else entry.known_ps(0.0)
            for name, entry in self.entries.items()
        )
        if self.onward:
            light, onward = self.onward
            known_ps[light] = decided + self._later(light, onward) - self.entries[light].sent.packet.early_ps
        return decided

    def _later(self, light: str, onward: Onward) -> float:
        """By how much the way to the other hub is longer."""
        return onward.to.sent.delay_ps - self.entries[light].sent.delay_ps

    def expose(self, window: Window) -> Photons:
        """Route photons. Returns their times at the detectors, valid until the next slice."""
        span, scratch = float(window.span_ps), self._scratch
        entries = list(self.entries.values())
        self.known_ps = min(entry.known_ps(span) for entry in entries) - self._reach_ps
        tables = self._tables
        for k, entry in enumerate(entries):
            if entry.sent.packet.pulsed:
                first = window.pulses(entry.sent.packet.period_s)[0]
                tables.packets[k] = entry.sent.packet.row(first + entry.sent.delay_ps)
            if len(entry.states):
                assert entry.ports is not None
                entry_rows = Rows.behind(entry.ports, entry.states)
                rows = Rows.together([self._rows, entry_rows])
                lights = np.concatenate([tables.light, np.full(len(entry.states), k)])
                tables = tables._replace(**rows._asdict(), light=lights)
        ready = [entry.take(self.known_ps, span) for entry in entries]
        fixed = len(self._rows.weight)
        for entry, (_, _, taken) in zip(entries, ready, strict=True):
            if len(entry.states):
                taken[taken >= FOLLOWING] += fixed - FOLLOWING
                entry.renumber()
        t, x, row = ready[0]
        for k, (t2, x2, row2) in enumerate(ready[1:]):
            n = len(t) + len(t2)
            into = scratch(f"t{k}", n), scratch(f"x{k}", n, np.float32), scratch(f"row{k}", n, np.int32)
            merge(t, x, row, t2, x2, row2, *into)
            t, x, row = into
        n = len(t)
        port = scratch("port", n, np.int8)
        draws = self.rng.random(out=scratch("draws", n, np.float32), dtype=np.float32)
        mine = np.flatnonzero(row == tables.undecided) if self.onward else np.empty(0, dtype=np.int64)
        joint = scratch("joint", len(mine), np.int64)
        states = scratch("states", 4 * len(mine), np.complex128).reshape(-1, 2, 2)
        found = route(t, x, row, draws, tables, self._reach_ps, self.rng, port, joint, states)
        if self.onward:
            self._hand_on(*self.onward, t, x, port, mine, joint[:found], states[:found])
        return self.detected(t, port, self.rng, scratch)

    def _hand_on(
        self, light: str, onward: Onward, t: Floats, x: Singles, port: Bytes, mine: NDArray[np.int64],
        joint: NDArray[np.int64], states: Complex,
    ) -> None:  # fmt: skip
        """Send the partners of the photons `mine` to the hub where they go; those of `joint` are in `states`,
        the others in that of the port."""
        later = self._later(light, onward)
        row = np.full(len(t), NOBODY, dtype=np.int32)
        row[mine] = port[mine]
        row[joint] = len(onward.to.sent.conditional) + np.arange(len(joint), dtype=np.int32)
        onward.to.follow(
            t[mine] + x[mine] + later,
            -x[mine],
            row[mine],
            states / np.maximum(np.einsum("nii->n", states).real, 1e-300)[:, None, None],
            self.known_ps + later - self.entries[light].sent.packet.early_ps,
        )

    def detected(self, t: Floats, port: Bytes, rng: np.random.Generator, scratch: Scratch) -> Photons:
        """Times at the detectors of photons that took a port. A polarizing beam splitter may then send them
        the wrong way."""
        n = len(t)
        if self.measurement.extinction:
            port ^= (rng.random(n) < self.measurement.extinction).astype(np.int8)
        times = scratch("times", 4 * n).reshape(4, n)
        count = np.empty(4, dtype=np.int64)
        by_port(t, port, times, count)
        photons: Photons = []
        for channel, row, k in zip(self.outputs, times, count, strict=True):
            share = self._share(channel)
            kept = row[:k] if share == 1.0 else row[:k][rng.random(k) < share]
            photons.append((channel.detector.name, kept))
        return photons
