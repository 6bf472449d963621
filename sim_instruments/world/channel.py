"""A channel: one detector, from photons to clicks in the clock of the tagger that it is wired to."""

from math import ceil, inf, sqrt

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import DiodePort, GatePort, NanowirePort, TaggerInput
from sim_instruments.world.clock import STEP_PS, NodeClock, crossing
from sim_instruments.world.detection import (
    MAX_PENDING,
    NOISE_V,
    PULSE_V,
    Gating,
    arrive,
    detect,
    linger,
    passed_on,
    response,
    scatter,
)
from sim_instruments.world.layout import Detector, Layout, PairSource, Tagger
from sim_instruments.world.quantiles import MAX_NORMAL, random_bits
from sim_instruments.world.randomness import generator
from sim_instruments.world.scratch import Scratch
from sim_instruments.world.wave_packets import Floats

TRIGGER_NOISE_HZ = 1e6
"""What an input or a counter counts whose threshold lies in the electrical noise. [assumed]"""
FLOOD = 0.5
"""Noise clicks per dead time from which noise is drawn between dead times only: what falls into them, perhaps
all the light of a laser, then costs nothing."""
FASTEST_HZ = 1e8
"""Noise is never faster than this, when there is no dead time to speak of: pulses run together. [assumed]"""
REACH = 40.0
"""No time drawn from a law with an exponential tail exceeds this many of its constants: exp(-40)."""


def guard_ps(layout: Layout) -> int:
    """How much before a slice's beginning its clicks may come: by the jitter of a detector towards early
    times, by the photon of a pair that comes before the other, by the rising edge of a pulse. Late ones do
    no harm, they wait. ValueError for more than the 10 ms that the light field looks back."""
    early = max((MAX_NORMAL * detector.jitter_s for detector in layout.detectors), default=0.0)
    born = [0.0]
    for light in layout.lights:
        if isinstance(light, PairSource):
            born.append(REACH * max(light.biphoton.tau_signal_s, light.biphoton.tau_idler_s))
        if light.pulses is not None:
            born.append(REACH * light.pulses.width_s)
    guard = ceil((early + max(born)) * 1e12) + 1
    if guard > STEP_PS:
        raise ValueError(f"photons {guard * 1e-12:.3g} s out of order are more than the light field can sort")
    return guard


class Channel:
    """A detector in operation. `guard_ps` is that of the bench; `seed` the bench's."""

    def __init__(
        self, detector: Detector, tagger: Tagger, clock: NodeClock, guard_ps: int, seed: int
    ) -> None:
        self.detector, self.tagger, self.clock = detector, tagger, clock
        self.rng = generator(seed, detector.name)
        self._guard_ps = guard_ps
        self._scratch = Scratch()
        self.gating: Gating | None = Gating()
        """None: no gate ever opens."""
        self.efficiency = self.dark_hz = 0.0
        self.clicks = 0
        """Of the last slice."""
        self.seen = True
        """Whether the tagger notices the detector's clicks."""
        self.darken()
        self.forget()

    def forget(self) -> None:
        """Begin anew after a time in which nobody looked."""
        self._late: Floats = np.empty(0)
        """Photons that make themselves felt after the last slice, sorted."""
        self._since = 0.0
        """Clicks before this are out. In picoseconds of the slice that comes, as all times here."""
        self._state = np.zeros(3 + MAX_PENDING)
        self._state[0] = -inf
        if self.detector.afterpulsing > 0.0:
            self._state[1] = self.rng.geometric(self.detector.afterpulsing)

    # -- what is set, and what shines -----------------------------------------------------------------

    def look(
        self, control: NanowirePort | DiodePort | None, gate: GatePort | None, entry: TaggerInput
    ) -> None:
        """Take over bias, gates, and the tagger's input."""
        self.gating = Gating.of(self.detector.gate, gate)
        self.efficiency, self.dark_hz = response(self.detector, control)
        if self.gating is None:
            self.efficiency = self.dark_hz = 0.0
        self.seen = entry.enabled and entry.test_signal_hz == 0.0 and NOISE_V < entry.threshold_v < PULSE_V

    @property
    def relative_efficiency(self) -> float:
        """The efficiency now, as a part of the one at the operating point."""
        return self.efficiency / self.detector.efficiency if self.detector.efficiency > 0.0 else 0.0

    def darken(self) -> None:
        """Forget all light that shines on the detector."""
        self.noise_hz = 0.0
        """Rate of clicks by light that nothing is correlated with."""
        self.clicks_hz = 0.0
        """Expected rate of clicks by all light of the layout, before dead time."""

    def shine(self, noise_hz: float, clicks_hz: float) -> None:
        """Add the light of one more source: its uncorrelated clicks, and all its clicks."""
        self.noise_hz += noise_hz
        self.clicks_hz += clicks_hz

    @property
    def absorbed_hz(self) -> float:
        """Expected rate of photons that would make clicks, without dead time and overload."""
        return self.clicks_hz + self.detector.ambient_hz * self.relative_efficiency

    def overload(self, control: NanowirePort | DiodePort | None) -> bool:
        """Whether the light now drives a nanowire that has a bias normal: it stays so (`look` again) until
        the bias is lowered. Without a bias line it recovers as soon as the light is gone. [assumed]"""
        if not isinstance(control, NanowirePort) or control.latched:
            return False
        control.latched = passed_on(self.detector, self.absorbed_hz) == 0.0
        return control.latched

    @property
    def singles_hz(self) -> float:
        """Expected clicks per second now, without afterpulses, as if light and gates were independent."""
        absorbed = self.absorbed_hz
        rate = (absorbed + self.dark_hz) * passed_on(self.detector, absorbed)
        duty = self.gating.duty if self.gating else 0.0
        return duty * rate / (1 + rate * self.detector.dead_time_s)

    # -- what happens ---------------------------------------------------------------------------------

    def watermark(self, end_ps: int) -> int:
        """All tags before this time of the tagger's clock, and no others, are out when the slice that ends
        at `end_ps` has been exposed."""
        return self.clock.watermark(end_ps, self._guard_ps, self.tagger.resolution_ps)

    def read_out(self, control: NanowirePort | DiodePort, span_ps: int, exposed: bool) -> int:
        """What the detector's own counter counts with its own trigger level in a slice: the clicks that were
        computed, or so many as are to be expected where none were."""
        mean_hz = self.singles_hz
        if isinstance(control, NanowirePort):
            if abs(control.trigger_v) <= NOISE_V:
                return int(self.rng.poisson(TRIGGER_NOISE_HZ * span_ps * 1e-12))
            if not NOISE_V < control.trigger_v < PULSE_V:
                return 0
        if exposed and self.seen:
            return self.clicks
        return int(self.rng.poisson(mean_hz * span_ps * 1e-12))

    def expose(self, start_ps: int, span_ps: int, photons: list[Floats]) -> NDArray[np.int64]:
        """Turn a slice's photons and noise into tags of the tagger's clock, up to the watermark: all of them,
        in order, none twice. Photons are times of the slice in picoseconds, nearly sorted. The clock must
        have been advanced to the slice's end."""
        detector = self.detector
        path = self.clock.path(start_ps, start_ps + span_ps)
        horizon = crossing(path, self.watermark(start_ps + span_ps))
        if self.seen and self.gating is not None:
            passed = passed_on(detector, self.absorbed_hz)
            light, n = self._arrived(photons, passed)
            train = self.gating.train(start_ps)
            rate = passed * (self.noise_hz + self.dark_hz + detector.ambient_hz * self.relative_efficiency)
            noise, flood, most = self._noise(rate * 1e-12, horizon, train)
            p = detector.afterpulsing
            room = n + most  # and the afterpulses: mean and 8 standard deviations
            room = int(room / (1 - p) + 8 * sqrt(room * p) / (1 - p)) + 1000
            tags = np.empty(room, dtype=np.int64)
            self.clicks, used = detect(
                light, noise, flood, self._since, horizon, detector.dead_time_s * 1e12, p,
                detector.afterpulse_time_s * 1e12, train, self._state, self.rng, path,
                self.tagger.resolution_ps, tags,
            )  # fmt: skip
            self._late = light[used:n] - span_ps
        else:
            self.clicks, tags = 0, np.empty(0, dtype=np.int64)
            self._late = np.empty(0)
        self._since = max(self._since, horizon) - span_ps
        self._state[0] -= span_ps
        self._state[3:] -= span_ps
        return tags[: self.clicks]

    def _arrived(self, photons: list[Floats], passed: float) -> tuple[Floats, int]:
        """Photons when they make themselves felt, with those that waited, sorted, infinity behind them; and
        how many there are."""
        detector, rng, scratch = self.detector, self.rng, self._scratch
        if passed < 1.0:
            photons = [times[rng.random(len(times)) < passed] for times in photons]
        n = len(self._late)
        light = scratch("light", n + sum(map(len, photons)) + 1)
        light[:n] = self._late
        for times in photons:
            if detector.jitter_tail > 0.0:
                times = times.copy()  # they are not ours to change
                linger(times, detector.jitter_tail, detector.jitter_tail_s * 1e12, rng)
            bits = random_bits(rng, len(times))
            arrive(times, bits, detector.jitter_s * 1e12, light, 0 if len(photons) == 1 else n, n)
            n += len(times)
        if len(photons) > 1:
            light[:n].sort(kind="stable")  # which merges what is sorted in parts
        light[n] = inf
        return light, n

    def _noise(self, rate: float, horizon: float, train: Floats) -> tuple[Floats, float, int]:
        """Noise clicks of `rate` per picosecond until the horizon, for `detect`: their times, or the mean
        time to one where they come too fast to be listed; and how many there can be at most."""
        dead = self.detector.dead_time_s * 1e12
        span = max(horizon - self._since, 0.0)
        if rate * dead > FLOOD:
            return np.full(2, inf), 1.0 / rate, int(span / dead) + 2
        rate = min(rate, FASTEST_HZ * 1e-12)
        open_time = span if train[0] == 0.0 else (span / train[0] + 2) * train[1]
        mean = rate * open_time
        most = ceil(mean + 8 * sqrt(mean) + 8) if mean > 0.0 else 0
        noise = self._scratch("noise", most + 1)
        scatter(random_bits(self.rng, most), 1.0 / rate if most else inf, self._since, train, noise)
        return noise, 0.0, most
