"""Photons meet at a Bell-state measurement: which of its four ports each one takes.

Photons that overlap in time are routed jointly, with amplitudes symmetrised over which photon is
which; a photon on its own takes a port by its conditional probability. Ports are numbered cH, cV, dH,
dV = 0..3; source a and b of the two inputs are 0 and 1; u is the spoke's outcome (H, V, lost).
Source: physics.md 1, "Per-slice tables" and "Joint routing"; the numbers of the thresholds are from
its section on pitfalls.
"""

from dataclasses import dataclass
from math import cos, exp, sin

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.pairs import Bytes, Floats, log_amplitude
from timetags.jit import inline_kernel, kernel

Complex = NDArray[np.complex128]

MAX_LOG_RATIO = 4.605
"""Photons whose amplitudes as they are (f1) and exchanged (f2) differ by more than this in their
logarithm do not interfere: f1 f2 / (f1^2 + f2^2) < 0.01."""
MAX_GROUP = 4
"""Longer groups of overlapping photons are cut; at 4 Mcps per arm four photons meet 60 times a second."""
MAX_CLUMP = 16


@dataclass(frozen=True)
class Tables:
    """What the hub needs to know of its two inputs until a setting changes.

    `conditional` G[source, u] (2, 3, 4, 4): unnormalised port density matrices, G[p, p] = P(u, port p).
    """

    conditional: Complex
    single: Floats
    """(2, 3, 4) cumulative port probabilities of a lone photon."""
    pure: Complex
    """(2, 3, 2, 4) the two pure port states of G, and `weight` (2, 3) the share of the first."""
    weight: Floats

    @classmethod
    def of(cls, conditional: Complex) -> "Tables":
        single = np.zeros((2, 3, 4))
        pure = np.zeros((2, 3, 2, 4), dtype=np.complex128)
        weight = np.ones((2, 3))
        for source in range(2):
            for u in range(3):
                g = conditional[source, u]
                total = g.trace().real
                if total <= 0.0:  # this outcome never happens: nothing will look its row up
                    continue
                single[source, u] = np.cumsum(np.diag(g).real) / total
                values, vectors = np.linalg.eigh(g)
                pure[source, u] = vectors[:, :-3:-1].T
                weight[source, u] = values[-1] / (values[-1] + max(values[-2], 0.0))
        single[..., 3] = 1.0
        return cls(conditional, single, pure, weight)


@inline_kernel
def log_ratio(shapes: Floats, a: int, b: int, ta: float, tb: float, xa: float, xb: float) -> float:
    """Logarithm of f2 / f1: the amplitude of two photons exchanged to that of them as they are."""
    ka, kb = int(shapes[a, 0]), int(shapes[b, 0])
    return (
        log_amplitude(ka, shapes[a, 1], shapes[a, 2], ta + xa - tb)
        + log_amplitude(kb, shapes[b, 1], shapes[b, 2], tb + xb - ta)
        - log_amplitude(ka, shapes[a, 1], shapes[a, 2], xa)
        - log_amplitude(kb, shapes[b, 1], shapes[b, 2], xb)
    )


@kernel
def pair_probabilities(
    g1: Complex, g2: Complex, d1: float, d2: float, exchange: complex, probabilities: Floats
) -> None:
    """P(photon at t1 takes p, photon at t2 takes q) for all 16 (p, q), not normalised."""
    for p in range(4):
        for q in range(4):
            probabilities[4 * p + q] = (
                d1 * (g1[p, p] * g2[q, q]).real
                + d2 * (g1[q, q] * g2[p, p]).real
                + 2 * (exchange * g1[p, q] * g2[q, p]).real
            )


@kernel
def _draw(probabilities: Floats, n: int, rng: np.random.Generator) -> int:
    total = 0.0
    for i in range(n):
        total += max(probabilities[i], 0.0)
    r = rng.random() * total
    for i in range(n):
        r -= max(probabilities[i], 0.0)
        if r < 0.0:
            return i
    return n - 1


@kernel
def _route_many(
    members: NDArray[np.int64],
    n: int,
    t: Floats,
    x: Floats,
    u: Bytes,
    source: Bytes,
    pure: Complex,
    weight: Floats,
    shapes: Floats,
    detuning: float,
    rng: np.random.Generator,
    port: Bytes,
) -> None:
    """Three or four photons: sum over permutations of pure conditional states."""
    f = np.zeros((n, n), dtype=np.complex128)
    for i in range(n):
        mi = members[i]
        si = source[mi]
        for j in range(n):
            tj = t[members[j]]
            value = exp(log_amplitude(int(shapes[si, 0]), shapes[si, 1], shapes[si, 2], t[mi] + x[mi] - tj))
            phase = -detuning * (tj - t[members[0]]) if si == 1 else 0.0
            f[i, j] = value * complex(cos(phase), sin(phase))
    permutations = np.zeros((24, 4), dtype=np.int64)
    count = 0
    for code in range(n**n):  # all maps of n photons to n times that are one to one
        rest = code
        seen = 0
        for i in range(n):
            permutations[count, i] = rest % n
            seen |= 1 << (rest % n)
            rest //= n
        if seen == (1 << n) - 1:
            count += 1
            if count == 24:
                break
    bound = 0.0
    products = np.zeros(count, dtype=np.complex128)
    for k in range(count):
        product = complex(1.0, 0.0)
        for i in range(n):
            product *= f[i, permutations[k, i]]
        products[k] = product
        bound += abs(product)
    bound *= bound
    outcomes = 4**n
    probabilities = np.zeros(outcomes)
    states = np.zeros((n, 4), dtype=np.complex128)
    ports = np.zeros(n, dtype=np.int64)
    while True:
        for i in range(n):
            mi = members[i]
            which = 0 if rng.random() < weight[source[mi], u[mi]] else 1
            states[i] = pure[source[mi], u[mi], which]
        total = 0.0
        for outcome in range(outcomes):
            rest = outcome
            for j in range(n):
                ports[j] = rest % 4
                rest //= 4
            sum_ = complex(0.0, 0.0)
            for k in range(count):
                product = products[k]
                for i in range(n):
                    product *= states[i, ports[permutations[k, i]]]
                sum_ += product
            probabilities[outcome] = sum_.real * sum_.real + sum_.imag * sum_.imag
            total += probabilities[outcome]
        if rng.random() * bound < total:
            break
    rest = _draw(probabilities, outcomes, rng)
    for j in range(n):
        port[members[j]] = rest % 4
        rest //= 4


@kernel
def _route_group(
    members: NDArray[np.int64],
    n: int,
    t: Floats,
    x: Floats,
    u: Bytes,
    source: Bytes,
    conditional: Complex,
    single: Floats,
    pure: Complex,
    weight: Floats,
    shapes: Floats,
    mode_overlap: float,
    detuning: float,
    rng: np.random.Generator,
    port: Bytes,
) -> None:
    if n == 1:
        i = members[0]
        row = single[source[i], u[i]]
        r = rng.random()
        p = 0
        while r >= row[p]:
            p += 1
        port[i] = p
    elif n == 2:
        i, j = members[0], members[1]
        ratio = exp(log_ratio(shapes, source[i], source[j], t[i], t[j], x[i], x[j]))
        phase = detuning * (t[i] - t[j]) * (source[j] - source[i])
        strength = ratio * (1.0 if source[i] == source[j] else mode_overlap)
        probabilities = np.empty(16)
        pair_probabilities(
            conditional[source[i], u[i]],
            conditional[source[j], u[j]],
            1.0,
            ratio * ratio,
            strength * complex(cos(phase), sin(phase)),
            probabilities,
        )
        both = _draw(probabilities, 16, rng)
        port[i], port[j] = both // 4, both % 4
    else:
        _route_many(members, n, t, x, u, source, pure, weight, shapes, detuning, rng, port)


@kernel
def route(
    t: Floats,
    x: Floats,
    u: Bytes,
    source: Bytes,
    draws: Floats,
    conditional: Complex,
    single: Floats,
    pure: Complex,
    weight: Floats,
    shapes: Floats,
    reach: float,
    mode_overlap: float,
    detuning: float,
    rng: np.random.Generator,
    port: Bytes,
) -> None:
    """Choose the port of every photon of a merged, sorted list. `draws` holds a uniform number per
    photon, `detuning` is the carrier difference of the inputs in rad/ps."""
    n = len(t)
    members = np.zeros(MAX_GROUP, dtype=np.int64)
    part = np.zeros(MAX_GROUP, dtype=np.int64)
    label = np.zeros(MAX_CLUMP, dtype=np.int64)
    i = 0
    while i < n:
        j = i + 1
        if j == n or t[j] - t[i] >= reach:
            row = single[source[i], u[i]]
            r = draws[i]
            port[i] = (r >= row[0]) + (r >= row[1]) + (r >= row[2])
            i = j
            continue
        while j < n and t[j] - t[j - 1] < reach and j - i < MAX_CLUMP:
            j += 1
        size = j - i
        if (
            size == 2
            and abs(log_ratio(shapes, source[i], source[i + 1], t[i], t[i + 1], x[i], x[i + 1]))
            > MAX_LOG_RATIO
        ):  # the usual pair of neighbours: too far apart to interfere
            for k in range(i, j):
                row = single[source[k], u[k]]
                port[k] = (draws[k] >= row[0]) + (draws[k] >= row[1]) + (draws[k] >= row[2])
            i = j
            continue
        for a in range(size):
            label[a] = a
        for b in range(1, size):
            for a in range(b):
                ia, ib = i + a, i + b
                if t[ib] - t[ia] >= reach:
                    continue
                ratio = log_ratio(shapes, source[ia], source[ib], t[ia], t[ib], x[ia], x[ib])
                if abs(ratio) <= MAX_LOG_RATIO:
                    old, new = label[b], label[a]
                    for c in range(size):
                        if label[c] == old:
                            label[c] = new
        for first in range(size):
            count = 0
            for a in range(size):
                if label[a] != first:
                    continue
                members[count] = i + a
                count += 1
                if count == MAX_GROUP:
                    _route_mixed(
                        members, count, part, t, x, u, source, conditional, single, pure, weight, shapes,
                        mode_overlap, detuning, rng, port,
                    )  # fmt: skip
                    count = 0
            if count:
                _route_mixed(
                    members, count, part, t, x, u, source, conditional, single, pure, weight, shapes,
                    mode_overlap, detuning, rng, port,
                )  # fmt: skip
        i = j


@kernel
def _route_mixed(
    members: NDArray[np.int64],
    n: int,
    part: NDArray[np.int64],
    t: Floats,
    x: Floats,
    u: Bytes,
    source: Bytes,
    conditional: Complex,
    single: Floats,
    pure: Complex,
    weight: Floats,
    shapes: Floats,
    mode_overlap: float,
    detuning: float,
    rng: np.random.Generator,
    port: Bytes,
) -> None:
    """Route a group; one of three or more photons falls, with the probability that the sources'
    modes differ, into the photons of a and those of b. (For two photons the formula holds it.)"""
    if n > 2 and rng.random() >= mode_overlap:
        for side in range(2):
            count = 0
            for a in range(n):
                if source[members[a]] == side:
                    part[count] = members[a]
                    count += 1
            if count:
                _route_group(
                    part, count, t, x, u, source, conditional, single, pure, weight, shapes,
                    mode_overlap, detuning, rng, port,
                )  # fmt: skip
        return
    _route_group(
        members, n, t, x, u, source, conditional, single, pure, weight, shapes, mode_overlap, detuning,
        rng, port,
    )  # fmt: skip


@kernel
def merge_arrivals(
    ta: Floats, xa: Floats, ua: Bytes, tb: Floats, xb: Floats, ub: Bytes,
    t: Floats, x: Floats, u: Bytes, source: Bytes,
) -> None:  # fmt: skip
    """Merge the sorted arrivals of both inputs into one sorted list."""
    i = j = k = 0
    while i < len(ta) and j < len(tb):  # without branches: the order is random
        later = ta[i] > tb[j]
        t[k] = tb[j] if later else ta[i]
        x[k] = xb[j] if later else xa[i]
        u[k] = ub[j] if later else ua[i]
        source[k] = later
        j += later
        i += not later
        k += 1
    for i_rest in range(i, len(ta)):
        t[k], x[k], u[k], source[k] = ta[i_rest], xa[i_rest], ua[i_rest], 0
        k += 1
    for j_rest in range(j, len(tb)):
        t[k], x[k], u[k], source[k] = tb[j_rest], xb[j_rest], ub[j_rest], 1
        k += 1


@kernel
def by_port(t: Floats, port: Bytes, times: Floats, count: NDArray[np.int64]) -> None:
    """Sort the times by port into the rows of `times` (4, len(t)); `count` (4,) says how many."""
    count[:] = 0
    for i in range(len(t)):
        p = port[i]
        times[p, count[p]] = t[i]
        count[p] += 1
