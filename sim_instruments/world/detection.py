"""From light at a detector to clicks in the clock of its tagger: what bias and load make of a detector,
gates, jitter, dead time, afterpulses.

Source: physics.md 2, "Detectors".
"""

from dataclasses import dataclass
from fractions import Fraction
from math import erfc, exp, expm1, floor, inf

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import DiodePort, GatePort, NanowirePort
from sim_instruments.world.clock import Path
from sim_instruments.world.layout import Detector, Gate
from sim_instruments.world.quantiles import Bits, exponential, normal
from sim_instruments.world.wave_packets import Floats
from timetags.jit import inline_kernel, kernel

MAX_PENDING = 64
"""Afterpulses that wait to happen; with dead times of nanoseconds there is hardly ever more than one."""

BIAS_RESISTOR_OHM, NORMAL_OHM, LEAD_OHM = 100e3, 1e6, 50.0
"""The voltage source feeds the wire through the first; the second is a latched wire, the third the
leads of a superconducting one. [assumed, singlequantum_websq.md "Behaviour"]"""
RESET_FRACTION = 0.5
"""A latched wire turns superconducting again below this part of its switching current. [assumed]"""
PULSE_V, NOISE_V = 0.4, 0.02
"""Height of a detector's pulse at the tagger, and of the electrical noise below it. [assumed]"""
EFFICIENCY_VOLTAGE, DARK_VOLTAGE = 1 / 3, 1 / 4
"""V0 and V1 of an avalanche diode (physics.md 2) as parts of its operating excess bias: there its efficiency
is 95 % of what it can be, and its dark counts grow e-fold per quarter of that bias. [assumed]"""
DARK_DOUBLING_K = 8.0
"""Warming that doubles the dark counts of an avalanche diode (physics.md 2)."""


# -- bias, temperature, load ----------------------------------------------------------------------


def update_latch(port: NanowirePort, switching_current_a: float) -> None:
    """Let the wire go normal above its switching current, recover below a part of it, and show the
    voltage that the read-out sees."""
    bias = abs(port.bias_a)
    if bias > switching_current_a:
        port.latched = True
    elif bias < RESET_FRACTION * switching_current_a:
        port.latched = False
    if port.latched:
        port.voltage_v = port.bias_a * BIAS_RESISTOR_OHM * NORMAL_OHM / (BIAS_RESISTOR_OHM + NORMAL_OHM)
    else:
        port.voltage_v = port.bias_a * LEAD_OHM


def response(detector: Detector, port: NanowirePort | DiodePort | None) -> tuple[float, float]:
    """Efficiency and dark counts (1/s) now. TypeError for a port of the wrong kind."""
    match port:
        case None:
            return detector.efficiency, detector.dark_counts_hz
        case NanowirePort() if detector.kind == "nanowire":
            return _nanowire(detector, port)
        case DiodePort() if detector.kind == "avalanche_diode":
            return _diode(detector, port)
    raise TypeError(f"{detector.name}: a {detector.kind} is not controlled by a {type(port).__name__}")


def _nanowire(detector: Detector, port: NanowirePort) -> tuple[float, float]:
    """The efficiency is a sigmoid of the bias that is saturated at the operating point; dark counts grow
    e-fold per 1/17 of the operating bias. [assumed: widths]"""
    if port.latched or port.bias_a <= 0.0:
        return 0.0, 0.0
    operating = detector.operating_bias_a
    efficiency = detector.efficiency / 2 * erfc((0.7 * operating - port.bias_a) / (operating / 12))
    dark = detector.dark_counts_hz * exp((port.bias_a - operating) / (operating / 17))
    return efficiency, dark


def _diode(detector: Detector, port: DiodePort) -> tuple[float, float]:
    operating = detector.operating_excess_v
    excess = operating if port.excess_v is None else port.excess_v
    if not port.enabled or excess <= 0.0:
        return 0.0, 0.0
    efficiency, dark = detector.efficiency, detector.dark_counts_hz
    if excess != operating:
        efficiency *= expm1(-excess / (EFFICIENCY_VOLTAGE * operating)) / expm1(-1 / EFFICIENCY_VOLTAGE)
        dark *= exp((excess - operating) / (DARK_VOLTAGE * operating))
    if port.temperature_k is not None:
        dark *= 2.0 ** ((port.temperature_k - detector.operating_temperature_k) / DARK_DOUBLING_K)
    return min(efficiency, 1.0), dark


def passed_on(detector: Detector, absorbed_hz: float) -> float:
    """The fraction of so many absorbed photons per second that still makes clicks.

    A diode's clicks saturate at `max_rate_hz`, dead time included: as the current through it rises, its bias
    sags. A nanowire above `max_rate_hz` is normal: it makes none.
    """
    limit, dead = detector.max_rate_hz, detector.dead_time_s
    if detector.kind == "nanowire":
        return 1.0 if absorbed_hz <= limit else 0.0
    if limit * dead >= 1.0 or absorbed_hz <= 0.0:
        return 1.0
    return min(1.0, limit / (1.0 - limit * dead) / absorbed_hz)


# -- gates ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gating:
    """When a detector sees, in picoseconds; a period of 0 stands for always."""

    period: Fraction = Fraction(0)
    width: float = 0.0
    opening: Fraction = Fraction(0)
    """A time of the world at which a gate opens."""

    @classmethod
    def of(cls, gate: Gate | None, port: GatePort | None) -> "Gating | None":
        """None when no gate ever opens. Periods are taken for what the floats are, exactly, so that gates
        keep their pace over days."""
        if gate is None:
            return cls()
        if port is None:
            period_s, width_s, opening_s = gate.period_s, gate.width_s, gate.phase_s
        else:
            period_s, width_s, opening_s = port.period_s, port.width_s, port.delay_s
        if period_s <= 0.0 or width_s <= 0.0:
            return None
        if width_s >= period_s:
            return cls()
        return cls(Fraction(period_s) * 10**12, width_s * 1e12, Fraction(opening_s) * 10**12)

    @property
    def duty(self) -> float:
        """Fraction of the time in which the detector sees."""
        return self.width / float(self.period) if self.period else 1.0

    def train(self, start_ps: int) -> Floats:
        """For the kernel: period, width, and where after `start_ps` a gate opens."""
        if not self.period:
            return np.zeros(3)
        return np.array([float(self.period), self.width, float((self.opening - start_ps) % self.period)])


@inline_kernel
def within(time: float, train: Floats) -> bool:
    """Whether a gate is open."""
    since = time - train[2]
    return bool(since - floor(since / train[0]) * train[0] < train[1])


@inline_kernel
def later(time: float, wait: float, train: Floats) -> float:
    """The moment at which gates have been open for `wait` since `time`."""
    if train[0] == 0.0:
        return time + wait
    period, width, opening = train[0], train[1], train[2]
    gate = floor((time - opening) / period)
    used = min(time - opening - gate * period, width) + wait
    gates = floor(used / width)
    return float(opening + (gate + gates) * period + (used - gates * width))


# -- kernels --------------------------------------------------------------------------------------


@kernel
def arrive(photons: Floats, bits: Bits, jitter: float, light: Floats, first: int, n: int) -> None:
    """Put photons, nearly sorted, behind the `n` that `light` has, each later or earlier by its jitter, and
    sort them in among those from `first` on."""
    for i in range(len(photons)):
        time = photons[i] + jitter * normal(bits[i])
        j = n + i
        while j > first and light[j - 1] > time:
            light[j] = light[j - 1]
            j -= 1
        light[j] = time


@kernel
def linger(photons: Floats, fraction: float, mean: float, rng: np.random.Generator) -> None:
    """Delay a fraction of the photons by an exponential time."""
    i = rng.geometric(fraction) - 1
    while i < len(photons):
        photons[i] += rng.exponential(mean)
        i += rng.geometric(fraction)


@kernel
def scatter(bits: Bits, mean: float, begin: float, train: Floats, times: Floats) -> None:
    """Noise that falls into gates, a click per `mean` of open time; behind it comes infinity."""
    time = begin
    for k in range(len(bits)):
        time = later(time, mean * exponential(bits[k]), train)
        times[k] = time
    times[len(bits)] = inf


@kernel
def detect(
    light: Floats,
    noise: Floats,
    flood: float,
    begin: float,
    horizon: float,
    dead: float,
    afterpulsing: float,
    afterpulse_time: float,
    train: Floats,
    state: Floats,
    rng: np.random.Generator,
    path: Path,
    resolution: int,
    tags: NDArray[np.int64],
) -> tuple[int, int]:
    """Turn what reaches a detector before `horizon` into tags.

    `light` and `noise` are sorted, in picoseconds of the slice, and end in infinity; of the noise only
    what falls into gates. Noise that comes too fast to be drawn beforehand is drawn here, on average `flood`
    after every dead time (0.0: none such), into `noise`, which then has room for it before its infinity.
    `state` carries over slices: [last click, clicks until the next afterpulse, number pending, pending
    times...]. `tags` must have room for all clicks. Returns how many tags there are and how much of the light
    was used up. Light from before `begin` counts as from then: earlier tags are out.
    """
    i = 0
    while light[i] < begin:
        light[i] = begin
        i += 1
    last, countdown, pending = state[0], state[1], int(state[2])
    echo = inf
    for p in range(pending):
        echo = min(echo, state[3 + p])
    gated = train[0] > 0.0
    if flood > 0.0:
        noise[0] = later(max(begin, last + dead), rng.exponential(flood), train)
    step = 0
    origin, end = path.begin[0], path.begin[1]
    shown, fraction, pace = path.shown[0], path.fraction[0], path.pace[0]
    newest = np.int64(-(2**63))
    i = k = n = 0
    while True:
        photon, other = light[i], noise[k]
        time = min(photon, other)
        # Which one comes next cannot be foreseen: without a branch nothing is guessed wrong.
        lit = photon <= other
        if echo < time or time >= horizon:
            if min(echo, time) >= horizon:
                break
            time = echo
            pending -= 1
            for p in range(pending):
                if state[3 + p] == echo:
                    state[3 + p] = state[3 + pending]
                    break
            echo = inf
            for p in range(pending):
                echo = min(echo, state[3 + p])
        else:
            i += lit
            k += not lit
        lost = time - last < dead or (gated and not within(time, train))
        if not lost:
            last = time
        if k > 0 and flood > 0.0:
            noise[0] = later(max(time, last + dead), rng.exponential(flood), train)
            k = 0
        if lost:
            continue
        while time >= end:
            step += 1
            origin, end = path.begin[step], path.begin[step + 1]
            shown, fraction, pace = path.shown[step], path.fraction[step], path.pace[step]
        tag = shown + np.int64(floor(fraction + (time - origin) * pace))
        if resolution > 1:
            tag = tag // resolution * resolution
        newest = max(newest, tag)
        tags[n] = newest
        n += 1
        if afterpulsing > 0.0:
            countdown -= 1.0
            if countdown <= 0.0:
                if pending < MAX_PENDING:
                    state[3 + pending] = time + dead + rng.exponential(afterpulse_time)
                    echo = min(echo, state[3 + pending])
                    pending += 1
                countdown = float(rng.geometric(afterpulsing))
    state[0], state[1], state[2] = last, countdown, pending
    return n, i
