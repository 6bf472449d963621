"""What the looks of one search teach about a controller: errors of its plates, and the turn of the fibre
behind it.

Seen behind the link is `behind P(x) before`, where P(x) is what the plates make by their angles x. `before`,
the drifting fibre, is unknown and stands still during a search; `behind`, the short fibre between controller
and sensor, is nearly known and never changes; the plates' retardances and axes are those of their maker
within some per cent. A least-squares fit of all looks, with these expectations as further observations, finds
all of them (physics.md 6: "V2 must be identity or calibrated once").
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.calibrations.polarization.plates import Plates
from experiments.calibrations.polarization.sphere import Floats, rotations

STRETCH = 0.05
"""Expected errors (one standard deviation) of the retardances, relative; twice the 3 % that are usual."""
TILT_RAD = 0.05
"""Of the fast axes."""
BEHIND_RAD = 0.1
"""Of the turn behind the plates."""
NOISE = 0.02
"""Of a component of a measured Stokes vector: 2e4 photons give 0.007; the drift of a search comes on top."""
STEPS = 6
DELTA = 1e-5
DAMPING = 1e-3


@dataclass(frozen=True)
class Learned:
    """Plates with the errors learned, and the rotations around them."""

    plates: Plates
    behind: Floats
    before: Floats


def learn(
    plates: Plates,
    behind: Floats,
    before: Floats,
    sent: Floats,
    looks: Sequence[tuple[Floats, Floats]],
) -> Learned:
    """Fit the looks of one search: angles (n,) and images (k, 3) of the probes `sent` (k, 3) in each.
    `plates`, `behind` and `before` are what is expected; nothing is expected of `before`, it is where the fit
    begins."""
    n = plates.count
    angles = np.array([at for at, _ in looks])
    images = np.array([seen for _, seen in looks])
    known_stretch = np.array(plates.stretch) if plates.stretch else np.zeros(n)
    known_tilt = np.array(plates.tilt_rad) if plates.tilt_rad else np.zeros(n)
    expected = np.concatenate([np.full(n, STRETCH), np.full(n, TILT_RAD), np.full(3, BEHIND_RAD)])

    def misses(guesses: Floats) -> Floats:
        """Of guesses (g, 2 n + 6): everything that does not fit, over its standard deviation, (g, m)."""
        stretch = known_stretch + guesses[:, None, :n]
        tilt = known_tilt + guesses[:, None, n : 2 * n]
        turned_behind = behind @ rotations(guesses[:, 2 * n : 2 * n + 3])
        turned_before = before @ rotations(guesses[:, 2 * n + 3 :])
        whole = turned_behind[:, None] @ plates.guessed(angles, stretch, tilt) @ turned_before[:, None]
        wrong = (sent @ np.swapaxes(whole, -1, -2) - images) / NOISE
        return np.concatenate([wrong.reshape(len(guesses), -1), guesses[:, : 2 * n + 3] / expected], axis=1)

    guess = np.zeros(2 * n + 6)
    around = np.concatenate([np.zeros((1, guess.size)), DELTA * np.eye(guess.size)])
    for _ in range(STEPS):
        missed = misses(guess + around)
        slopes = (missed[1:] - missed[0]).T / DELTA
        normal = slopes.T @ slopes
        step = np.linalg.solve(normal + DAMPING * np.eye(guess.size), slopes.T @ missed[0])
        guess = guess - step * min(1.0, 0.5 / max(float(np.max(np.abs(step))), 1e-12))
    better = replace(
        plates,
        stretch=tuple((known_stretch + guess[:n]).tolist()),
        tilt_rad=tuple((known_tilt + guess[n : 2 * n]).tolist()),
    )
    return Learned(
        better,
        behind @ rotations(guess[2 * n : 2 * n + 3]),
        before @ rotations(guess[2 * n + 3 :]),
    )
