"""Exact moments of the Gaussian states that pair sources make: Wick's theorem.

Light of a pumped source is Gaussian with mean 0, so every normally ordered moment is a sum over pairings of
second moments: N = <E+ E> of photons of one kind, M = <E E> of signals with idlers. With spectra, per mode of
a source, |M|^2 = N (1 + N). Source: physics.md 4 (the reference for swapping); R. Loudon, The Quantum Theory
of Light, 3rd ed., ch. 6. Nothing here comes from the light field. Times are picoseconds, rates 1/ps.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tests.validation.wave_forms import WaveForm

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]


def coincidences(N: Complex, M: Complex) -> Floats:
    """<n_1 n_2 ... n_k>, normally ordered: the mean product of the numbers of clicks in k detection modes,
    for arrays (..., k, k) of N[i, j] = <a+_i a_j> and M[i, j] = <a_i a_j>."""
    k = N.shape[-1]
    second = np.zeros((*N.shape[:-2], 2 * k, 2 * k), dtype=np.complex128)
    second[..., :k, k:] = N  # operators: a+_1 ... a+_k, a_1 ... a_k
    second[..., k:, :k] = np.swapaxes(N, -1, -2)
    second[..., :k, :k] = M.conj()
    second[..., k:, k:] = M

    @cache
    def moment(left: int) -> Complex | float:
        """Sum over all pairings of the operators whose bits are set."""
        if not left:
            return 1.0
        first = left.bit_length() - 1
        rest = left & ~(1 << first)
        total: Complex | float = 0.0
        for other in range(first):
            if rest >> other & 1 and np.any(second[..., first, other]):
                total = total + second[..., first, other] * moment(rest & ~(1 << other))
        return total

    return np.real(moment((1 << 2 * k) - 1)) * np.ones(N.shape[:-2])


@dataclass(frozen=True)
class Source:
    """A CW source with one photon for a Bell-state measurement."""

    rate: float
    """Pairs per picosecond."""
    state: Complex
    """(4, 4) of signal x idler."""
    form: WaveForm
    ports: Complex
    """(4, 2) amplitudes from the idler's polarization to the ports, losses included."""
    signal_noise: float = 0.0
    port_noise: float = 0.0
    """Clicks per picosecond that have nothing to do with pairs, of a signal's outcome and of a port."""

    def second(self, E: Complex) -> tuple[Complex, Complex, float]:
        """What goes with a signal that clicks with the POVM element E (2, 2): port matrices of its idler, to
        first order and the correction by stimulated emission (one side of it); and its rate."""
        state = self.state.reshape(2, 2, 2, 2)
        sigma = np.einsum("ba,aibj->ij", E, state)
        K = np.einsum("aiaj->ij", state)
        H = self.ports
        rate = self.rate * float(np.trace(sigma).real) + self.signal_noise
        return H @ sigma @ H.conj().T, H @ K @ sigma @ H.conj().T, rate

    def density(self) -> Complex:
        """(4, 4) of the idlers at the ports."""
        K = np.einsum("aiaj->ij", self.state.reshape(2, 2, 2, 2))
        return self.rate * self.ports @ K @ self.ports.conj().T


@dataclass(frozen=True)
class Windows:
    """Full width of t1 - t2 at the ports, and from when to when signals count after (t1 + t2)/2."""

    ports: float
    low: float
    high: float


def fourfolds(
    a: Source, b: Source, overlap: float, windows: Windows, Ea: Complex, Eb: Complex, *, gain: bool = True,
    thermal: bool = True, bins: Floats | None = None,
) -> Floats:  # fmt: skip
    """(4, 4[, bins]) rate per ps of fourfold coincidences: a signal of each source in its window, photons at
    ports p and q (times t_p, t_q) with t_p - t_q in the window, or in each of `bins`. All accidentals are
    included.

    `thermal` False leaves the bunching of the sources' photons out, `gain` stimulated emission. (The phase
    with which the beam splitter's inputs interfere is in the ports.)
    """
    edges = np.array([-windows.ports / 2, 0.0, windows.ports / 2]) if bins is None else bins
    nodes, weights = np.polynomial.legendre.leggauss(10)
    rates = np.zeros((4, 4, len(edges) - 1))
    for k, (low, high) in enumerate(pairwise(edges)):
        for node, weight in zip(nodes, weights, strict=True):
            d = low + (high - low) * (node + 1) / 2
            rates[:, :, k] += (
                weight * (high - low) / 2 * _at(d, a, b, overlap, windows, Ea, Eb, gain, thermal)
            )
    return rates.sum(axis=2) if bins is None else rates


def threefolds(a: Source, laser: Complex, overlap: float, windows: Windows, E: Complex) -> Floats:
    """(4, 4) rate per ps of a signal of the source with photons at ports p and q, where laser light, its port
    density matrix `laser` (4, 4) per ps, meets the source's idlers. Light of a laser does not bunch with
    itself."""
    nodes, weights = np.polynomial.legendre.leggauss(10)
    rates = np.zeros((4, 4))
    NA = a.density()
    n = np.diag(NA + laser).real
    signal = a.second(E)[2] * (windows.high - windows.low)
    for low, high in pairwise([-windows.ports / 2, 0.0, windows.ports / 2]):
        for node, weight in zip(nodes, weights, strict=True):
            d = low + (high - low) * (node + 1) / 2
            g1 = float(a.form.coherence(np.array(d)))
            A11, A22, A12 = _correlated(d, a, windows, E, gain=True)
            chance = np.outer(n, n) + np.abs(g1 * NA) ** 2 + 2 * overlap * np.real(g1 * NA * laser.conj())
            exchanged = 2 * np.real(A12 * (g1 * NA + overlap * laser).conj())
            at = signal * chance + np.outer(A11, n) + np.outer(n, A22) + exchanged
            rates += weight * (high - low) / 2 * at
    return rates


def _at(
    d: float, a: Source, b: Source, overlap: float, windows: Windows, Ea: Complex, Eb: Complex, gain: bool,
    thermal: bool,
) -> Floats:  # fmt: skip
    width = windows.high - windows.low
    parts = [_correlated(d, source, windows, E, gain) for source, E in ((a, Ea), (b, Eb))]
    (A11, A22, A12), (B11, B22, B12) = parts
    NA, NB = a.density(), b.density()
    g1a, g1b = (float(s.form.coherence(np.array(d))) for s in (a, b))
    signal_a, signal_b = (s.second(E)[2] * width for s, E in ((a, Ea), (b, Eb)))
    n = np.diag(NA + NB).real + a.port_noise + b.port_noise
    same = 1.0 if thermal else 0.0
    bunched = same * (np.abs(g1a * NA) ** 2 + np.abs(g1b * NB) ** 2)
    mixed = 2 * overlap * np.real(g1a * NA * (g1b * NB).conj())
    rates = signal_a * signal_b * (np.outer(n, n) + bunched + mixed)
    for mine, own, form, other, g1, theirs in (
        ((A11, A22, A12), NA, g1a, NB, g1b, signal_b), ((B11, B22, B12), NB, g1b, NA, g1a, signal_a)
    ):  # fmt: skip
        chance = np.outer(mine[0], n) + np.outer(n, mine[1])
        exchanged = 2 * np.real(mine[2] * (same * form * own + overlap * g1 * other).conj())
        rates += theirs * (chance + exchanged)
    return rates + np.outer(A11, B22) + np.outer(B11, A22) + 2 * overlap * np.real(A12 * B12.conj())


def _correlated(
    d: float, source: Source, windows: Windows, E: Complex, gain: bool
) -> tuple[Floats, Floats, Complex]:
    """Integrals over the signal's window of |M|^2 with the photon at t1 = d/2, at t2 = -d/2, and of M at the
    one with M at the other: (4,), (4,), (4, 4) by port."""
    G, G3, _ = source.second(E)
    direct, more = _overlaps(source.form, d, windows)
    parts = [source.rate * direct[0] * G, source.rate * direct[1] * G, source.rate * direct[2] * G]
    if gain:
        half = source.rate**2 / 2
        parts[0] = parts[0] + half * more[0] * (G3 + G3.conj().T)
        parts[1] = parts[1] + half * more[1] * (G3 + G3.conj().T)
        parts[2] = parts[2] + half * (more[2] * G3.conj().T + more[3] * G3)
    return np.diag(parts[0]).real, np.diag(parts[1]).real, parts[2]


@lru_cache(maxsize=10_000)
def _overlaps(form: WaveForm, d: float, windows: Windows) -> tuple[Floats, Floats]:
    """Integrals over the signal's window of products of phi at t1 = d/2 and at t2 = -d/2, and of phi with
    phi3."""
    t1, t2 = d / 2, -d / 2
    s, w = _nodes([windows.low, windows.high, t1, t2])
    f1, f2, h1, h2 = (f(s - t) for f in (form.amplitude, form.triple) for t in (t1, t2))
    return (
        np.array([w @ (f1 * f1), w @ (f2 * f2), w @ (f1 * f2)]),
        np.array([w @ (f1 * h1), w @ (f2 * h2), w @ (f1 * h2), w @ (h1 * f2)]),
    )


def _nodes(points: list[float]) -> tuple[Floats, Floats]:
    low, high = points[:2]
    inner = sorted({low, high, *(min(max(p, low), high) for p in points[2:])})
    nodes, weights = np.polynomial.legendre.leggauss(24)
    s = [lo + (hi - lo) * (nodes + 1) / 2 for lo, hi in pairwise(inner)]
    w = [(hi - lo) / 2 * weights for lo, hi in pairwise(inner)]
    return np.concatenate(s), np.concatenate(w)
