"""What turned polarization does to the bits of entangled pairs.

A link that drifts and an intercept-resend attack raise the QBER alike (`testbeds.md` 8, trap h). How far a
link has turned, its probes tell, their overlap made a *pair* fidelity, which is the lower one (trap g). Only
beside that is a QBER a sign of anything else.
"""

from collections.abc import Iterable
from math import acos, pi, sin, sqrt


def most_qber_of_links(pair_fidelities: Iterable[float]) -> float:
    """By how much links with these pair fidelities, which the photons of a pair pass, raise the QBER in any
    basis, at most.

    A rotation of the sphere by theta leaves (1 + cos theta)/2 of pair fidelity; it turns a basis by theta at
    most, which leaves a correlation V at V cos theta, so that the QBER grows by (1 - cos theta)/2. Angles add
    at most.
    """
    half = sum(acos(sqrt(min(max(fidelity, 0.0), 1.0))) for fidelity in pair_fidelities)
    return sin(min(half, pi / 2)) ** 2
