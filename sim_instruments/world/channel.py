"""A channel: one detector and the tagger input behind it, from photons to tags."""

from math import floor, sqrt

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import NanowirePort
from sim_instruments.world.detection import MAX_PENDING, NOISE_V, PULSE_V, detect, response
from sim_instruments.world.layout import Detector, Tagger
from sim_instruments.world.pairs import Floats, sorted_times
from sim_instruments.world.randomness import generator
from sim_instruments.world.scratch import Scratch

GUARD_PS = 50_000
"""Clicks later than the end of the slice less this wait for the next one, so that no jitter and no
early signal photon can come before a click that has been handed out."""
TRIGGER_NOISE_HZ = 1e6
"""What an input counts whose threshold lies in the electrical noise. [assumed]"""


class Channel:
    """A detector with the tagger input behind it."""

    def __init__(self, detector: Detector, tagger: Tagger, skew: float, seed: int) -> None:
        self.detector, self.tagger = detector, tagger
        self.rng = generator(seed, detector.name)
        self.slope = 1.0 + skew
        self.scratch = Scratch()
        self.forget()
        self.efficiency = self.dark_hz = self.own_noise_hz = 0.0
        self.darken()
        self.seen = True

    def forget(self) -> None:
        """Begin anew after a time in which nobody looked."""
        self.photons: Floats = np.empty(0)
        self.noise: Floats = np.empty(0)
        self.state = np.zeros(3 + MAX_PENDING)
        self.state[0] = -np.inf
        if self.detector.afterpulsing > 0.0:
            self.state[1] = self.rng.geometric(self.detector.afterpulsing)

    @property
    def relative_efficiency(self) -> float:
        """The efficiency now, as a part of the best one."""
        return self.efficiency / self.detector.efficiency

    def darken(self) -> None:
        """Forget all light that shines on the detector."""
        self.noise_hz = 0.0
        """Rate of clicks by light that nothing is correlated with."""
        self.clicks_hz = 0.0
        """Expected rate of clicks by all light, before dead time."""

    def shine(self, noise_hz: float, clicks_hz: float) -> None:
        """Add the light of one more source: its uncorrelated clicks, and all its clicks."""
        self.noise_hz += noise_hz
        self.clicks_hz += clicks_hz

    @property
    def singles_hz(self) -> float:
        """Expected clicks per second now, without the tagger's own noise and afterpulses."""
        rate = self.clicks_hz + self.dark_hz
        return rate / (1 + rate * self.detector.dead_time_s)

    def look(self, nanowire: NanowirePort | None, threshold_v: float) -> None:
        """Take over bias and threshold."""
        self.efficiency, self.dark_hz = response(self.detector, nanowire)
        self.seen = NOISE_V < threshold_v < PULSE_V
        self.own_noise_hz = self.tagger.noise_counts_hz
        if abs(threshold_v) <= NOISE_V:
            self.own_noise_hz += TRIGGER_NOISE_HZ

    def clock(self, time_ps: int) -> int:
        """The tagger's clock at a time of the world."""
        return time_ps + floor(time_ps * (self.slope - 1.0))

    def watermark(self, end_ps: int) -> int:
        """All tags before this time of the tagger's clock, and no others, are out when the slice that ends
        at `end_ps` has been exposed."""
        resolution = self.tagger.resolution_ps
        return self.clock(end_ps - GUARD_PS) // resolution * resolution

    def read_out(self, nanowire: NanowirePort, span_ps: int, tags: int | None) -> int:
        """What the nanowire's own counter counts with its own trigger level: the clicks that became `tags`,
        or so many as are to be expected where the tagger has seen none of them."""
        mean_hz = self.singles_hz
        if abs(nanowire.trigger_v) <= NOISE_V:
            mean_hz = TRIGGER_NOISE_HZ
        elif not NOISE_V < nanowire.trigger_v < PULSE_V:
            return 0
        elif tags is not None and self.seen:
            return tags
        return int(self.rng.poisson(mean_hz * span_ps * 1e-12))

    def expose(self, start_ps: int, span_ps: int, photons: list[Floats]) -> NDArray[np.int64]:
        """Turn a slice's photons and noise into tags of the tagger's clock, up to the watermark."""
        rng, detector, scratch = self.rng, self.detector, self.scratch
        fresh = sum(map(len, photons))
        jitter = rng.standard_normal(out=scratch("jitter", fresh, np.float32), dtype=np.float32)
        jitter *= np.float32(detector.jitter_s * 1e12)
        old = len(self.photons)
        light = np.concatenate([self.photons, *photons], out=scratch("light", old + fresh))
        light[old:] += jitter
        noise_hz = self.own_noise_hz + (self.noise_hz + self.dark_hz if self.seen else 0.0)
        n = rng.poisson(noise_hz * span_ps * 1e-12)
        old = len(self.noise)
        noise = scratch("noise", old + n + 1)
        noise[:old] = self.noise
        sorted_times(rng.standard_exponential(out=noise[old:]), float(span_ps))
        noise = noise[:-1]
        p = detector.afterpulsing
        room = len(light) + len(noise)  # and the afterpulses: mean and 8 standard deviations
        room = int(room / (1 - p) + 8 * sqrt(room * p) / (1 - p)) + 1000
        tags = scratch("tags", room, np.int64)
        zero = self.clock(start_ps)
        fraction = start_ps * (self.slope - 1.0) - (zero - start_ps)
        horizon = (self.watermark(start_ps + span_ps) - zero - fraction) / self.slope
        n_tags, used, used_noise = detect(
            light, noise, horizon, detector.dead_time_s * 1e12, p, detector.afterpulse_time_s * 1e12,
            self.state, rng, zero, fraction, self.slope, self.tagger.resolution_ps, tags,
        )  # fmt: skip
        self.photons = light[used:] - span_ps
        self.noise = noise[used_noise:] - span_ps
        self.state[0] -= span_ps
        self.state[3:] -= span_ps
        return tags[:n_tags].copy()
