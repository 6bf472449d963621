"""Strategy `line`: one plate after the other to the place where the error is least, without any model.

The error of a link is a constant and a cosine of each retardance, and has two harmonics of each orientation,
2 x and 4 x. So three looks along the line of a retardance, or five along that of an orientation, give its
whole curve and the exact minimum. Works on any error, the QBER of the photons themselves too. Source:
physics.md 6b.
"""

from collections.abc import Sequence
from math import pi

import numpy as np

from experiments.calibrations.polarization.plates import Plates
from experiments.calibrations.polarization.search import Link, Moves
from experiments.calibrations.polarization.sphere import Floats

STALLED = 0.02
"""Above this error a sweep that brings nothing is the end of a valley that leads nowhere: begin elsewhere."""
GAIN = 0.01
"""What a sweep must bring to count as progress; several times the noise of 2e4 photons."""
GRID = 361


def line(link: Link, rng: np.random.Generator) -> Moves:
    """Sweeps over all plates, again and again."""
    plates = link.plates
    at = link.angles_rad
    error = (yield at).error
    while True:
        before = error
        for k in range(plates.count):
            angles, errors = [float(at[k])], [error]
            for angle in others(plates, float(at[k])):
                angles.append(angle)
                errors.append((yield _moved(at, k, angle)).error)
            at = _moved(at, k, lowest(plates, angles, errors))
            error = (yield at).error
        if error > STALLED and error > before - GAIN:
            at = plates.random(rng)
            error = (yield at).error


def others(plates: Plates, angle_rad: float) -> list[float]:
    """Where else to look along the line of a plate: places spread evenly over a period, and within the
    limits."""
    points = 3 if plates.angle_is == "retardance" else 5
    spread = angle_rad + plates.period_rad * np.arange(1, points) / points
    return [float(angle) for angle in plates.reachable(spread)]


def lowest(plates: Plates, angles_rad: Sequence[float], errors: Sequence[float]) -> float:
    """The angle within the limits at which the curve through these points is least."""
    low = max(plates.low_rad, float(np.mean(angles_rad)) - pi)
    grid = np.linspace(low, min(plates.high_rad, low + plates.period_rad), GRID)
    curve = np.linalg.lstsq(_harmonics(plates, np.array(angles_rad)), np.array(errors))[0]
    return float(grid[np.argmin(_harmonics(plates, grid) @ curve)])


def _harmonics(plates: Plates, angles_rad: Floats) -> Floats:
    first = 2 * pi / plates.period_rad
    rows = [np.ones_like(angles_rad)]
    for k in (1,) if plates.angle_is == "retardance" else (1, 2):
        rows += [np.cos(k * first * angles_rad), np.sin(k * first * angles_rad)]
    return np.stack(rows, axis=-1)


def _moved(at: Floats, plate: int, angle_rad: float) -> Floats:
    moved = at.copy()
    moved[plate] = angle_rad
    return moved
