"""What the parameter sets of physics.md 5 give, by exact moments of their light (`gaussian_states`): nothing
of it passes the light field, a wire or an analysis of ours.

Jitter of the hub is taken as a blur of the difference of its two clicks; that of spokes, small beside their
windows, is left out, and so are dead times and the drift of fibres.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import cos, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tests.sim_instruments.two_arms import Column
from tests.validation.gaussian_states import Source, Windows, fourfolds
from tests.validation.wave_forms import Exponential

Element = NDArray[np.complex128]
HERALDS = (((0, 3), (1, 2)), ((0, 1), (2, 3)))
"""The pairs of outputs (cH, cV, dH, dV) that herald Psi- and Psi+."""
CHSH_DEG = [(a, b) for a in (0.0, 45.0) for b in (22.5, 67.5)]


def fourfolds_of(
    column: Column, brightness: float = 1.0
) -> Callable[[Element, Element, float], NDArray[np.float64]]:
    """Four-folds per second (4, 4), by outputs of the hub, of signals that these elements let through, with a
    mode overlap; pumps at `brightness` times the power of the set."""
    efficiency = column.analyser_transmission * column.spoke.efficiency
    signal = column.source.signal_transmission * efficiency
    idler = column.source.idler_transmission * column.hub_transmission * column.hub.efficiency
    idler *= 10 ** (-column.fibre_loss_db / 10)
    biphoton, source = column.source.biphoton, column.source
    a = Source(
        source.pair_rate_hz * brightness * 1e-12,
        source.state,
        Exponential(biphoton.tau_signal_s * 1e12, biphoton.tau_idler_s * 1e12),
        sqrt(idler / 2) * np.vstack([np.eye(2), np.eye(2)]).astype(np.complex128),
        (source.unpaired_signal_hz * brightness * signal / 2 + column.spoke.dark_counts_hz) * 1e-12,
        (source.unpaired_idler_hz * brightness * idler / 4 + column.hub.dark_counts_hz / 2) * 1e-12,
    )
    b = replace(a, ports=np.vstack([a.ports[:2], -a.ports[2:]]))
    half, blur = column.bsm_window_ps / 2, sqrt(2) * column.hub.jitter_s * 1e12
    edges = np.arange(-half - 200, half + 201, 100.0)
    d = (edges[1:] + edges[:-1]) / 2
    counts_there = ndtr((half - d) / blur) - ndtr((-half - d) / blur)
    low = column.spoke_centre_ps - column.spoke_window_ps / 2
    windows = Windows(column.bsm_window_ps, low, low + column.spoke_window_ps)

    def rates(first: Element, second: Element, overlap: float) -> NDArray[np.float64]:
        found = fourfolds(a, b, overlap, windows, signal * first, signal * second, bins=edges)
        return 1e12 * np.asarray(found @ counts_there)

    return rates


def swapping(column: Column, brightness: float = 1.0) -> dict[str, float]:
    """The figures of entanglement swapping, by their names in results.json."""
    rates = fourfolds_of(column, brightness)

    def correlations(alice_deg: float, bob_deg: float) -> NDArray[np.float64]:
        """E and the rate of four-folds, by Bell state: (2, 2)."""
        counts = np.zeros((2, 2, 2))
        for x, y in product((0, 1), repeat=2):
            elements = linear(alice_deg + 90 * x), linear(bob_deg + 90 * y)
            found = rates(*elements, column.mode_overlap)
            counts[:, x, y] = [sum(found[ports] for ports in pairs) for pairs in HERALDS]
        total = counts.sum(axis=(1, 2))
        return np.array([np.einsum("sxx->s", counts) * 2 / total - 1, total])

    zz, xx = correlations(0, 0), correlations(45, 45)
    share = zz[1] / zz[1].sum()
    visibility_zz, visibility_xx = float(share @ -zz[0]), float(share @ (xx[0] * (-1, 1)))
    chsh = np.array([correlations(a, b)[0] for a, b in CHSH_DEG])
    s = np.abs(chsh.sum(axis=0) - 2 * chsh).max(axis=0)
    return {
        "swap_rate_hz": float(zz[1].sum()),
        "visibility_zz": visibility_zz,
        "visibility_xx": visibility_xx,
        "fidelity": (1 + visibility_zz + 2 * visibility_xx) / 4,
        "chsh_s": float(share @ s),
    }


def linear(angle_deg: float) -> Element:
    """The projection on linear polarization at this angle from H."""
    angle = angle_deg * pi / 180
    vector = np.array([cos(angle), sin(angle)])
    return np.outer(vector, vector).astype(np.complex128)
