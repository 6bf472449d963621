"""Strategy `gradient`: down the slope of the error, as fast electro-optic compensators do it.

The slope is measured plate by plate from two looks on either side; of a retardance looks a quarter period
away give it exactly, since the error is a cosine there. A step that makes the error worse is taken back and
halved. It takes many looks, and so suits actuators that settle in microseconds. Source: testbeds.md 1.3 and
1.4 (gradient descent on the probes' fidelity).
"""

from math import pi, sin

import numpy as np

from experiments.calibrations.polarization.search import Link, Moves

APART_RAD = {"retardance": pi / 2, "orientation": 0.15}
"""How far to either side a slope is looked for."""
RATE = {"retardance": 2.0, "orientation": 0.35}
"""Radians per unit of slope to begin with. The error is a cosine of amplitude 1/2 at most in a retardance,
and one of twice or four times the angle in an orientation, which bounds how steep and how curved it can
be."""
FASTER, SLOWER = 1.3, 0.5
LONGEST_STEP_RAD = 0.8
SHORTEST_STEP_RAD = 0.01
STALLED = 0.02
PATIENCE = 12
"""Steps after which an error that is still above `STALLED` has to have halved."""


def gradient(link: Link, rng: np.random.Generator) -> Moves:
    """Needs nothing but the error."""
    plates = link.plates
    apart = APART_RAD[plates.angle_is]
    at = link.angles_rad
    error = (yield at).error
    while True:
        rate, was, steps = RATE[plates.angle_is], error, 0
        while True:
            slopes = np.zeros(plates.count)
            for k in range(plates.count):
                sides = []
                for side in (apart, -apart):
                    beside = at.copy()
                    beside[k] += side
                    beside = plates.reachable(beside)
                    sides.append(((yield beside).error, beside[k]))
                slopes[k] = _slope(
                    sides[0][0] - sides[1][0], sides[0][1] - sides[1][1], apart, plates.period_rad
                )
            step = -rate * slopes
            step *= min(1.0, LONGEST_STEP_RAD / max(float(np.max(np.abs(step))), 1e-12))
            there = plates.reachable(at + step)
            look = yield there
            steps += 1
            if look.error < error:
                at, error, rate = there, look.error, rate * FASTER
            else:
                rate *= SLOWER
            if steps == PATIENCE:
                if error > max(STALLED, was / 2):
                    break
                was, steps = error, 0
            if np.max(np.abs(step)) < SHORTEST_STEP_RAD:
                if error > STALLED:
                    break
                # A lucky look has made the present place seem better than it is.
                rate, error = RATE[plates.angle_is], (yield at).error
        at = plates.random(rng)
        error = (yield at).error


def _slope(difference: float, between_rad: float, apart_rad: float, period_rad: float) -> float:
    """The slope in the middle of two looks that lie `between_rad` from each other. Where the limits have
    moved one of them by a period it is as good as in its place; where they have cut it short the chord has to
    do."""
    if abs(between_rad % period_rad - 2 * apart_rad) > 1e-6:
        between_rad = (between_rad + period_rad / 2) % period_rad - period_rad / 2
        return difference / between_rad if between_rad else 0.0
    if period_rad < 2 * pi:
        return difference / (2 * apart_rad)
    return difference / (2 * sin(apart_rad))
