"""Strategy `nelder_mead`: a simplex that walks downhill, for any error and any actuator.

J. A. Nelder and R. Mead, Computer Journal 7, 308 (1965), with their coefficients: reflect 1, expand 2,
contract 1/2, shrink 1/2. It begins with sides of 0.8 rad (physics.md 6c) and, when it has shrunk to nothing,
again: about its best corner where that is good, elsewhere where it is not.
"""

import numpy as np

from experiments.calibrations.polarization.search import Link, Moves

SIDE_RAD = 0.8
SECOND_SIDE_RAD = 0.3
TINY_RAD = 0.04
"""A simplex of this size sees no more slope than noise."""
STALLED = 0.02


def nelder_mead(link: Link, rng: np.random.Generator) -> Moves:
    """Needs nothing but the error. The simplex walks without limits; looks are taken at the same angles
    within them."""
    plates = link.plates
    start = link.angles_rad
    side = SIDE_RAD
    start_error = (yield start).error
    while True:
        corners, errors = [start], [start_error]
        for k in range(plates.count):
            corner = start.copy()
            corner[k] += side
            corners.append(corner)
            errors.append((yield plates.reachable(corner)).error)
        simplex, error = np.array(corners), np.array(errors)
        while True:
            order = np.argsort(error)
            simplex, error = simplex[order], error[order]
            if np.max(np.abs(simplex[1:] - simplex[0])) < TINY_RAD:
                break
            middle = simplex[:-1].mean(axis=0)
            away = middle - simplex[-1]
            reflected = middle + away
            at_reflected = (yield plates.reachable(reflected)).error
            if at_reflected < error[0]:
                expanded = middle + 2 * away
                at_expanded = (yield plates.reachable(expanded)).error
                further = at_expanded < at_reflected
                simplex[-1] = expanded if further else reflected
                error[-1] = min(at_expanded, at_reflected)
                continue
            if at_reflected < error[-2]:
                simplex[-1], error[-1] = reflected, at_reflected
                continue
            outside = at_reflected < error[-1]
            contracted = middle + (away if outside else -away) / 2
            at_contracted = (yield plates.reachable(contracted)).error
            if at_contracted < min(at_reflected, error[-1]):
                simplex[-1], error[-1] = contracted, at_contracted
                continue
            for k in range(1, plates.count + 1):
                simplex[k] = (simplex[k] + simplex[0]) / 2
                error[k] = (yield plates.reachable(simplex[k])).error
        good = error[0] <= STALLED
        start = plates.reachable(simplex[0]) if good else plates.random(rng)
        side = SECOND_SIDE_RAD if good else SIDE_RAD
        start_error = (yield start).error
