"""From photons at a detector to clicks in a tagger: efficiency, jitter, dead time, afterpulses, clock.

Source: physics.md 2, "Detectors" and "Clocks".
"""

from math import erfc, exp

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ports import NanowirePort
from sim_instruments.world.layout import Detector
from sim_instruments.world.pairs import Floats
from timetags.jit import kernel

MAX_PENDING = 64
"""Afterpulses that wait to happen; with dead times of nanoseconds there is hardly ever more than one."""

BIAS_RESISTOR_OHM, NORMAL_OHM, LEAD_OHM = 100e3, 1e6, 50.0
"""The voltage source feeds the wire through the first; the second is a latched wire, the third the
leads of a superconducting one. [assumed, singlequantum_websq.md "Behaviour"]"""
RESET_FRACTION = 0.5
"""A latched wire turns superconducting again below this part of its switching current. [assumed]"""
PULSE_V, NOISE_V = 0.4, 0.02
"""Height of a detector's pulse at the tagger, and of the electrical noise below it. [assumed]"""


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


def response(detector: Detector, port: NanowirePort | None) -> tuple[float, float]:
    """Efficiency and dark counts (1/s) now. A nanowire's efficiency is a sigmoid of the bias that is
    saturated at the operating point; its dark counts grow e-fold per 1/17 of the operating bias."""
    if port is None or detector.nanowire is None:
        return detector.efficiency, detector.dark_counts_hz
    if port.latched or port.bias_a <= 0.0:
        return 0.0, 0.0
    operating = detector.operating_bias_a
    efficiency = detector.efficiency / 2 * erfc((0.7 * operating - port.bias_a) / (operating / 12))
    dark = detector.dark_counts_hz * exp((port.bias_a - operating) / (operating / 17))
    return efficiency, dark


@kernel
def detect(
    photons: Floats,
    noise: Floats,
    horizon: float,
    dead: float,
    afterpulsing: float,
    afterpulse_time: float,
    state: Floats,
    rng: np.random.Generator,
    tag_zero: int,
    tag_fraction: float,
    tag_slope: float,
    resolution: int,
    tags: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Turn what reaches a detector until `horizon` into tags.

    `photons` are nearly sorted and get sorted in place, `noise` is sorted; both in picoseconds of the
    slice, which begins at `tag_zero` + `tag_fraction` of the tagger's clock. `state` carries over slices:
    [last click, clicks until the next afterpulse, number pending, pending times...]. `tags` must have room
    for all clicks. Returns how many tags, photons and noise events were used up.
    """
    for i in range(1, len(photons)):
        value = photons[i]
        j = i
        while j > 0 and photons[j - 1] > value:
            photons[j] = photons[j - 1]
            j -= 1
        photons[j] = value
    last, countdown, pending = state[0], state[1], int(state[2])
    i = k = n = 0
    while True:
        time = horizon
        kind = 0
        if i < len(photons) and photons[i] < time:
            time = photons[i]
            kind = 1
        if k < len(noise) and noise[k] < time:
            time = noise[k]
            kind = 2
        for p in range(pending):
            if state[3 + p] < time:
                time = state[3 + p]
                kind = 3 + p
        if kind == 0:
            break
        if kind == 1:
            i += 1
        elif kind == 2:
            k += 1
        else:
            pending -= 1
            state[kind] = state[3 + pending]
        if time - last < dead:
            continue
        last = time
        tags[n] = (tag_zero + np.int64(np.floor(time * tag_slope + tag_fraction))) // resolution * resolution
        n += 1
        if afterpulsing > 0.0:
            countdown -= 1.0
            if countdown <= 0.0:
                if pending < MAX_PENDING:
                    state[3 + pending] = time + dead + rng.exponential(afterpulse_time)
                    pending += 1
                countdown = float(rng.geometric(afterpulsing))
    state[0], state[1], state[2] = last, countdown, pending
    return n, i, k
