"""Strategy `stokes`: see where the probes go, and compute the angles that lead them back.

Two probes that are not parallel show the whole rotation of the link. With a model of the plates that gives
the rotation of the fibre before them, and the angles that undo it: one step. What is left is due to the
model, which is refined by a fit of all looks so far. Source: physics.md 6a; a link is compensated in two
looks as a rule.
"""

import numpy as np

from experiments.calibrations.polarization.learning import learn
from experiments.calibrations.polarization.search import Link, Moves
from experiments.calibrations.polarization.sphere import Floats, nearest_rotation

NO_STEP_RAD = 2e-3
"""Where the next angles are the present ones, the model has nothing more to say: a random place teaches
it."""
MEMORY = 12
"""Looks; with older ones a drift would count."""
ENOUGH = 4
"""From so many looks on, what they teach of the plates is worth keeping for the next time."""


def stokes(link: Link, rng: np.random.Generator) -> Moves:
    """Needs images of at least two probes in every look."""
    wanted = nearest_rotation(link.sent, link.reference)
    expected = plates = link.plates
    behind = wanted
    looks: list[tuple[Floats, Floats]] = []
    at = link.angles_rad
    while True:
        look = yield at
        assert look.images is not None  # the configuration gives this strategy no other sensor
        looks = [*looks, (at, look.images)][-MEMORY:]
        seen = nearest_rotation(link.sent, look.images)
        before = plates.rotation(at).T @ behind.T @ seen
        if len(looks) > 1:
            learned = learn(expected, wanted, before, link.sent, looks)
            plates, behind = learned.plates, learned.behind
            if len(looks) >= ENOUGH:
                link.plates = plates
            # The last look counts whole for what is to be undone: there the plates will stand nearly.
            before = plates.rotation(at).T @ behind.T @ seen
        step = plates.angles_for(behind.T @ wanted @ before.T, at, rng)
        at = step if np.max(np.abs(step - at)) > NO_STEP_RAD else plates.random(rng)
