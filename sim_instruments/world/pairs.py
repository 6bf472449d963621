"""Birth of photon pairs: arrival times, spoke outcomes, and the bunched pairs of a thermal source.

Times are float64 picoseconds from the start of the slice. `x` is t_signal - t_idler; `u` is what
happens to the signal photon at its analyser: 0 a click at H, 1 a click at V, 2 no click.
Source: physics.md 1, "Source" and "Thermal extras".
"""

from dataclasses import dataclass
from math import exp, inf, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.layout import Biphoton
from timetags.jit import inline_kernel, kernel

Floats = NDArray[np.float64]
Bytes = NDArray[np.int8]

LOST = 2
TWO_SIDED, GAUSSIAN = 0, 1


@inline_kernel
def log_amplitude(kind: int, tau_signal: float, tau_idler: float, x: float) -> float:
    """Logarithm of the biphoton amplitude, not normalised; -inf where there is none."""
    if kind == GAUSSIAN:
        return -x * x / (4 * tau_signal * tau_signal)
    if x >= 0:
        return -x / (2 * tau_signal)
    if tau_idler == 0.0:
        return -inf
    return x / (2 * tau_idler)


@dataclass(frozen=True)
class Shape:
    """A biphoton in picoseconds, ready for the kernels."""

    kind: int
    tau_signal: float
    tau_idler: float

    @classmethod
    def of(cls, biphoton: Biphoton) -> "Shape":
        kind = GAUSSIAN if biphoton.shape == "gaussian" else TWO_SIDED
        return cls(kind, biphoton.tau_signal_s * 1e12, biphoton.tau_idler_s * 1e12)

    @property
    def coherence_ps(self) -> float:
        """J, the integral of |g1|^2 with g1 the autocorrelation of the amplitude."""
        if self.kind == GAUSSIAN:
            return 2 * sqrt(pi) * self.tau_signal
        if self.tau_idler == 0.0:
            return 2 * self.tau_signal
        a, b = 0.5 / self.tau_signal, 0.5 / self.tau_idler
        return (a * a + 3 * a * b + b * b) / (a * b * (a + b))

    @property
    def reach_ps(self) -> float:
        """Photons further apart than this do not overlap."""
        return 12 * max(self.tau_signal, self.tau_idler)

    @property
    def row(self) -> Floats:
        return np.array([self.kind, self.tau_signal, self.tau_idler])


@inline_kernel
def separation(kind: int, tau_signal: float, tau_idler: float, decay: float, side: float) -> float:
    """x drawn from the squared amplitude: `decay` is standard exponential (standard normal for a
    Gaussian biphoton), `side` uniform in [0, 1)."""
    if kind == GAUSSIAN:
        return tau_signal * decay
    if side * (tau_signal + tau_idler) < tau_signal:
        return tau_signal * decay
    return -tau_idler * decay


@kernel
def sorted_times(gaps: Floats, span: float) -> Floats:
    """Uniform times on [0, span), sorted, in place of the standard exponentials in `gaps`, of which
    there is one more than times."""
    total = 0.0
    for i in range(len(gaps)):
        total += gaps[i]
        gaps[i] = total
    scale = span / total
    for i in range(len(gaps)):
        gaps[i] *= scale
    return gaps[:-1]


@kernel
def outcomes(
    decays: Floats, draws: Floats, shape: Floats, click_h: float, click_v: float, x: Floats, u: Bytes
) -> None:
    """Draw x and u of every idler that arrives. `click_h`, `click_v` are the probabilities that its
    signal clicks at H or V."""
    kind, tau_signal, tau_idler = int(shape[0]), shape[1], shape[2]
    click = click_h + click_v
    for i in range(len(x)):
        r = draws[i]
        if r < click_h:
            u[i] = 0
            side = r / click_h
        elif r < click:
            u[i] = 1
            side = (r - click_h) / click_v
        else:
            u[i] = 2
            side = (r - click) / (1.0 - click)
        x[i] = separation(kind, tau_signal, tau_idler, decays[i], side)


@kernel
def bunched(
    times: Floats,
    shape: Floats,
    reach: float,
    cumulative: Floats,
    rng: np.random.Generator,
    idlers: Floats,
    idler_u: Bytes,
    signals: Floats,
    signal_u: Bytes,
) -> tuple[int, int]:
    """Accept or reject proposed two-pair clusters; returns how many idlers and signals they add.

    `cumulative` is the cumulative probability over the 36 fates ((u1*3+u2)*2+a1)*2+a2, a = 1 for an
    idler that arrives. `idlers` (n, 2) takes (t, x), `signals` (n,) the signal times.
    """
    kind, tau_signal, tau_idler = int(shape[0]), shape[1], shape[2]
    n_idlers = n_signals = 0
    for i in range(len(times)):
        t1 = times[i]
        d = rng.random() * reach
        if kind == GAUSSIAN:
            x1 = separation(kind, tau_signal, tau_idler, rng.standard_normal(), 0.0)
            x2 = separation(kind, tau_signal, tau_idler, rng.standard_normal(), 0.0)
        else:
            x1 = separation(kind, tau_signal, tau_idler, rng.standard_exponential(), rng.random())
            x2 = separation(kind, tau_signal, tau_idler, rng.standard_exponential(), rng.random())
        log_ratio = (
            log_amplitude(kind, tau_signal, tau_idler, x1 - d)
            + log_amplitude(kind, tau_signal, tau_idler, x2 + d)
            - log_amplitude(kind, tau_signal, tau_idler, x1)
            - log_amplitude(kind, tau_signal, tau_idler, x2)
        )
        ratio = exp(log_ratio)  # f2 / f1, accepted with 2 f1 f2 / (f1^2 + f2^2)
        if rng.random() * (1 + ratio * ratio) >= 2 * ratio:
            continue
        fate = np.searchsorted(cumulative, rng.random(), side="right")
        a2, a1 = fate % 2, (fate // 2) % 2
        u2, u1 = (fate // 4) % 3, fate // 12
        if u1 < LOST:
            signals[n_signals] = t1 + x1
            signal_u[n_signals] = u1
            n_signals += 1
        if u2 < LOST:
            signals[n_signals] = t1 + d + x2
            signal_u[n_signals] = u2
            n_signals += 1
        # Both pairs are in one mode: an idler that arrives alone, its own signal lost, carries the
        # polarization that the other signal's outcome leaves.
        if a1:
            idlers[n_idlers, 0], idlers[n_idlers, 1] = t1, x1
            idler_u[n_idlers] = u2 if u1 == LOST and not a2 else u1
            n_idlers += 1
        if a2:
            idlers[n_idlers, 0], idlers[n_idlers, 1] = t1 + d, x2
            idler_u[n_idlers] = u1 if u2 == LOST and not a1 else u2
            n_idlers += 1
    return n_idlers, n_signals


@kernel
def insert_idlers(
    t: Floats, x: Floats, u: Bytes, idlers: Floats, idler_u: Bytes, t_all: Floats, x_all: Floats, u_all: Bytes
) -> None:
    """Put the idlers of bunched clusters, in any order, among the others in the order of time."""
    order = np.argsort(idlers[:, 0])
    i = 0
    for j in range(len(idlers)):
        k = order[j]
        while i < len(t) and t[i] <= idlers[k, 0]:
            t_all[i + j], x_all[i + j], u_all[i + j] = t[i], x[i], u[i]
            i += 1
        t_all[i + j], x_all[i + j], u_all[i + j] = idlers[k, 0], idlers[k, 1], idler_u[k]
    for i_rest in range(i, len(t)):
        j = i_rest + len(idlers)
        t_all[j], x_all[j], u_all[j] = t[i_rest], x[i_rest], u[i_rest]


@kernel
def partners(t: Floats, x: Floats, u: Bytes, extra: Floats, extra_u: Bytes, port: int, times: Floats) -> int:
    """Times at the analyser of all signals that click at one port, nearly sorted: those of the idlers
    (t, x, u) and those of bunched clusters, in any order. `times` has room for all and one more;
    returns how many there are."""
    order = np.argsort(extra)
    n = j = 0
    for i in range(len(t)):
        while j < len(order) and extra[order[j]] < t[i]:
            times[n] = extra[order[j]]
            n += extra_u[order[j]] == port
            j += 1
        times[n] = t[i] + x[i]
        n += u[i] == port
    while j < len(order):
        times[n] = extra[order[j]]
        n += extra_u[order[j]] == port
        j += 1
    return n


@kernel
def split_couples(
    t: Floats,
    decays: Floats,
    sides: Floats,
    draws: Floats,
    shape: Floats,
    outcomes: Floats,
    times: Floats,
    count: NDArray[np.int64],
) -> None:
    """Spread pairs over two analysers: rows 0, 1 of `times` (4, n + 1) take the signals at H, V, rows 2, 3
    the idlers; `count` (4,) says how many. `outcomes` is cumulative over HH, HV, VH, VV."""
    kind, tau_signal, tau_idler = int(shape[0]), shape[1], shape[2]
    for i in range(len(t)):
        r = draws[i]
        outcome = (r >= outcomes[0]) + (r >= outcomes[1]) + (r >= outcomes[2])
        signal, idler = outcome // 2, 2 + outcome % 2
        times[signal, count[signal]] = t[i] + separation(kind, tau_signal, tau_idler, decays[i], sides[i])
        count[signal] += 1
        times[idler, count[idler]] = t[i]
        count[idler] += 1
