"""What a turned polarization does to entangled pairs, and how probes, pairs and swapped pairs relate.

Three fidelities of one link are easily taken for each other. A *probe* fidelity is the overlap of a bright
polarization with its reference; a *pair* fidelity is that of photon pairs sent over the link; a *swapped*
fidelity is that of what two such links and a Bell-state measurement make of two pairs. Each is lower than the
one before it. The functions here go from one to the next and never the other way.
"""

from math import sqrt

from experiments.estimators.estimate import Estimate


def pair_fidelity_of_probes(overlaps: tuple[Estimate, Estimate, Estimate]) -> Estimate:
    """Fidelity with which the link passes half of a maximally entangled pair, from the overlaps of the probes
    H, D and R (or of any three that are mutually unbiased) with their references.

    For a rotation of the sphere by theta the mean overlap is (2 + cos theta)/3 and the pair fidelity
    (1 + cos theta)/2, hence F = (3 mean - 1)/2: 0.990 on probes is 0.985 on pairs (`testbeds.md` 1.6). Two
    probes do not suffice: a rotation about one of them is not seen by it.
    """
    total = sum(overlap.value for overlap in overlaps)
    return Estimate((total - 1) / 2, sqrt(sum(overlap.error**2 for overlap in overlaps)) / 2)


def werner_chain(*fidelities: float) -> float:
    """Fidelity of a chain of links that each do white noise: the parts p = (4F - 1)/3 multiply, so that for
    two F = F1 F2 + (1 - F1)(1 - F2)/3 (`testbeds.md` 1.6)."""
    part = 1.0
    for fidelity in fidelities:
        part *= (4 * fidelity - 1) / 3
    return (1 + 3 * part) / 4


def swapped_fidelity(arms: tuple[float, float], interference: float) -> float:
    """Fidelity of the swapped pair for two arms of these pair fidelities (source, link and accidentals) and
    an interference visibility at the hub: F = (1 + pA pB (1 + 2V)) / 4 (`physics.md` 4, row 8)."""
    part = (4 * arms[0] - 1) / 3 * (4 * arms[1] - 1) / 3
    return (1 + part * (1 + 2 * interference)) / 4


def interference(zz: Estimate, xx: Estimate) -> Estimate:
    """Interference visibility at the hub from the swapped pairs' signed correlations, V = XX / ZZ.

    What the sources and accidentals lose is lost in both bases alike; what the photons' distinguishability
    loses only in X. So this is the figure that notices it, while heralds, four-folds and ZZ stay as they are.
    ValueError if ZZ is not positive.
    """
    if zz.value <= 0:
        raise ValueError(f"no interference can be told from ZZ = {zz.value:.3f}")
    ratio = xx.value / zz.value
    return Estimate(ratio, sqrt(xx.error**2 + (ratio * zz.error) ** 2) / zz.value)


def unexplained_error(qber: Estimate, source_visibility: Estimate, aligned: Estimate) -> Estimate:
    """What of a QBER neither the source nor the link's polarization explains.

    `aligned` is the diagonal element of the link's rotation for that basis, twice the overlap of its probe
    with the reference less one. Expected is (1 - V aligned) / 2. Drift and an intercept-resend attack raise
    the QBER alike; only this difference tells them apart (`testbeds.md` 4.4), and only as far as the probe
    is up to date.
    """
    expected = (1 - source_visibility.value * aligned.value) / 2
    error = sqrt(
        qber.error**2
        + (source_visibility.error * aligned.value / 2) ** 2
        + (source_visibility.value * aligned.error / 2) ** 2
    )
    return Estimate(qber.value - expected, error)
