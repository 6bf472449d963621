"""Photons meet at a Bell-state measurement: which of its four ports each one takes.

Photons that overlap in time are routed jointly, with amplitudes symmetrised over which photon is which; a
photon on its own takes a port by its conditional probability. Source: physics.md 1, "Joint routing"; the
numbers of the thresholds are from its section on pitfalls.
"""

from math import cos, exp, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.births import Integers, Singles
from sim_instruments.world.tables import Complex, Tables
from sim_instruments.world.wave_packets import ALIKE, LINEWIDTH, Floats, log_amplitude, log_ratio
from timetags.jit import inline_kernel, kernel

Bytes = NDArray[np.int8]

MAX_LOG_RATIO = 4.605
"""Photons whose amplitudes as they are (f1) and exchanged (f2) differ by more than this in their
logarithm do not interfere: f1 f2 / (f1^2 + f2^2) < 0.01."""
MAX_GROUP = 4
"""Longer groups of overlapping photons are cut; at 4 Mcps per arm four photons meet 60 times a second."""
MAX_CLUMP = 16


@inline_kernel
def pair_probability(g1: Complex, g2: Complex, p: int, q: int, ratio: float, exchange: complex) -> float:
    """P(photon at t1 takes p, photon at t2 takes q), not normalised: with f2 / f1 = `ratio`, and what is left
    of it in the exchange term, with its phase."""
    return float(
        g1[p, p].real * g2[q, q].real
        + ratio * ratio * g1[q, q].real * g2[p, p].real
        + 2 * (exchange * g1[p, q] * g2[q, p]).real
    )


@kernel
def draw(probabilities: Floats, n: int, rng: np.random.Generator) -> int:
    """One of n outcomes; rounding may have left probabilities below zero."""
    total = 0.0
    for i in range(n):
        total += max(probabilities[i], 0.0)
    r = rng.random() * total
    for i in range(n):
        r -= max(probabilities[i], 0.0)
        if r < 0.0:
            return i
    return n - 1


@inline_kernel
def coherence(tables: Tables, a: int, b: int, distance: float) -> float:
    """What is left of the exchange term of photons of lights a and b: within one light, the share that
    is in the same mode; between inputs, the overlap of the modes and of the lines; between lights on one
    input, which share no mode, nothing."""
    if a == b:
        return float(tables.packets[a, ALIKE])
    if tables.side[a] == tables.side[b]:
        return 0.0
    width = tables.packets[a, LINEWIDTH] + tables.packets[b, LINEWIDTH]
    return tables.mode_overlap * exp(-width * distance)


@kernel
def _permutations(n: int) -> NDArray[np.int64]:
    """(n!, n) all of 0..n-1."""
    found = np.zeros((24, n), dtype=np.int64)
    count = 0
    for code in range(n**n):  # all maps of n photons to n times that are one to one
        rest = code
        seen = 0
        for i in range(n):
            found[min(count, 23), i] = rest % n
            seen |= 1 << (rest % n)
            rest //= n
        if seen == (1 << n) - 1:
            count += 1
            if count == 24:
                break
    return found[:count]


@kernel
def _route_alone(i: int, row: Integers, tables: Tables, rng: np.random.Generator, port: Bytes) -> None:
    r = rng.random()
    p = 0
    while r >= tables.single[row[i], p]:
        p += 1
    port[i] = p


@kernel
def _route_many(
    members: NDArray[np.int64], n: int, t: Floats, x: Singles, row: Integers, tables: Tables,
    rng: np.random.Generator, port: Bytes,
) -> None:  # fmt: skip
    """Three or four photons: sum over permutations of pure conditional states. A beam's phase takes a random
    walk from photon to photon."""
    order = _permutations(n)
    size = np.zeros((n, n))
    for i in range(n):
        m = members[i]
        for j in range(n):
            size[i, j] = exp(log_amplitude(tables.packets, tables.light[row[m]], t[m] + x[m], t[members[j]]))
    bound = 0.0
    for k in range(len(order)):
        product = 1.0
        for i in range(n):
            product *= size[i, order[k, i]]
        bound += product
    bound *= bound
    if bound == 0.0:  # photons that were in flight when their pulses moved
        for i in range(n):
            _route_alone(members[i], row, tables, rng, port)
        return
    outcomes = 4**n
    probabilities = np.zeros(outcomes)
    states = np.zeros((n, 4), dtype=np.complex128)
    products = np.zeros(len(order), dtype=np.complex128)
    phase = np.zeros((n, n))
    ports = np.zeros(n, dtype=np.int64)
    while True:
        for i in range(n):
            u = row[members[i]]
            light = tables.light[u]
            states[i] = tables.pure[u, 0 if rng.random() < tables.weight[u] else 1]
            for j in range(n):
                phase[i, j] = -tables.carrier[light] * (t[members[j]] - t[members[0]])
        for a in range(len(tables.packets)):
            if tables.packets[a, LINEWIDTH] > 0.0:
                walk = 0.0
                for j in range(1, n):
                    gap = t[members[j]] - t[members[j - 1]]
                    walk += sqrt(2 * tables.packets[a, LINEWIDTH] * gap) * rng.standard_normal()
                    for i in range(n):
                        if tables.light[row[members[i]]] == a:
                            phase[i, j] += walk
        for k in range(len(order)):
            products[k] = 1.0
            for i in range(n):
                j = order[k, i]
                products[k] *= size[i, j] * complex(cos(phase[i, j]), sin(phase[i, j]))
        total = 0.0
        for outcome in range(outcomes):
            rest = outcome
            for j in range(n):
                ports[j] = rest % 4
                rest //= 4
            sum_ = complex(0.0, 0.0)
            for k in range(len(order)):
                product = products[k]
                for i in range(n):
                    product *= states[i, ports[order[k, i]]]
                sum_ += product
            probabilities[outcome] = sum_.real * sum_.real + sum_.imag * sum_.imag
            total += probabilities[outcome]
        if rng.random() * bound < total:
            break
    rest = draw(probabilities, outcomes, rng)
    for j in range(n):
        port[members[j]] = rest % 4
        rest //= 4


@inline_kernel
def _draw_pair(g1: Complex, g2: Complex, ratio: float, exchange: complex, r: float) -> int:
    """Ports p, q of two photons, as 4 p + q, drawn with r in [0, 1)."""
    alone, met = 1.0 + ratio * ratio, complex(0.0, 0.0)
    trace1 = trace2 = 0.0
    for p in range(4):
        trace1 += g1[p, p].real
        trace2 += g2[p, p].real
        for q in range(4):
            met += g1[p, q] * g2[q, p]
    r *= alone * trace1 * trace2 + 2 * (exchange * met).real
    for p in range(4):
        for q in range(4):
            r -= max(pair_probability(g1, g2, p, q, ratio, exchange), 0.0)
            if r < 0.0:
                return 4 * p + q
    return 15


@kernel
def _leave_partner(
    tables: Tables, other: Complex, mine: int, others: int, ratio: float, exchange: complex, state: Complex
) -> None:
    """The state (2, 2) of the partner of an undecided photon that took port `mine` while the `other` one, of
    that port density matrix, took `others`."""
    s = tables.partner
    for v in range(2):
        for w in range(2):
            cross = exchange * s[mine, others, v, w] * other[others, mine]
            back = (exchange * s[mine, others, w, v] * other[others, mine]).conjugate()
            state[v, w] = (
                s[mine, mine, v, w] * other[others, others]
                + ratio * ratio * s[others, others, v, w] * other[mine, mine]
                + cross
                + back
            )


@inline_kernel
def _route_two(
    i: int, j: int, log: float, t: Floats, row: Integers, tables: Tables, r: float,
    port: Bytes, joint: NDArray[np.int64], states: Complex, n_joint: int,
) -> int:  # fmt: skip
    """Two photons, `log` the logarithm of f2 / f1; returns how many partners' states are known now."""
    a, b = tables.light[row[i]], tables.light[row[j]]
    ratio = exp(log)
    phase = (tables.carrier[b] - tables.carrier[a]) * (t[i] - t[j])
    turn = complex(cos(phase), sin(phase)) if phase != 0.0 else complex(1.0, 0.0)
    exchange = ratio * coherence(tables, a, b, abs(t[j] - t[i])) * turn
    g1, g2 = tables.conditional[row[i]], tables.conditional[row[j]]
    both = _draw_pair(g1, g2, ratio, exchange, r)
    p, q = both // 4, both % 4
    port[i], port[j] = p, q
    if row[i] == tables.undecided:
        _leave_partner(tables, g2, p, q, ratio, exchange, states[n_joint])
        joint[n_joint] = i
        n_joint += 1
    if row[j] == tables.undecided:
        _leave_partner(tables, g1, q, p, ratio, exchange, states[n_joint])
        joint[n_joint] = j
        n_joint += 1
    return n_joint


@kernel
def _route_group(
    members: NDArray[np.int64], n: int, t: Floats, x: Singles, row: Integers, tables: Tables,
    rng: np.random.Generator, port: Bytes, joint: NDArray[np.int64], states: Complex, n_joint: int,
) -> int:  # fmt: skip
    if n == 1:
        _route_alone(members[0], row, tables, rng, port)
    elif n == 2:
        i, j = members[0], members[1]
        a, b = tables.light[row[i]], tables.light[row[j]]
        log = log_ratio(tables.packets, a, b, t[i], t[j], x[i], x[j])
        return _route_two(i, j, log, t, row, tables, rng.random(), port, joint, states, n_joint)
    elif n > 2:
        _route_many(members, n, t, x, row, tables, rng, port)
    return n_joint


@kernel
def _route_mixed(
    members: NDArray[np.int64], n: int, part: NDArray[np.int64], t: Floats, x: Singles, row: Integers,
    tables: Tables, rng: np.random.Generator, port: Bytes, joint: NDArray[np.int64], states: Complex,
    n_joint: int,
) -> int:  # fmt: skip
    """Route a group; one of three or more photons falls, with the probability that the inputs' modes
    differ, into the photons of a and those of b, and loses those that are in a mode of their own. (For two
    photons the formula holds it.)"""
    if n <= 2:
        return _route_group(members, n, t, x, row, tables, rng, port, joint, states, n_joint)
    mixed = rng.random() < tables.mode_overlap
    for side in range(1 if mixed else 2):
        count = 0
        for a in range(n):
            light = tables.light[row[members[a]]]
            if not mixed and tables.side[light] != side:
                continue
            met = False
            for b in range(count):
                met |= tables.light[row[part[b]]] == light
            alike = tables.packets[light, ALIKE]
            if met and alike < 1.0 and rng.random() >= alike:
                _route_alone(members[a], row, tables, rng, port)
                continue
            part[count] = members[a]
            count += 1
        n_joint = _route_group(part, count, t, x, row, tables, rng, port, joint, states, n_joint)
    return n_joint


@kernel
def route(
    t: Floats, x: Singles, row: Integers, draws: Singles, tables: Tables, reach: float,
    rng: np.random.Generator, port: Bytes, joint: NDArray[np.int64], states: Complex,
) -> int:  # fmt: skip
    """Choose the port of every photon of a sorted list. `draws` holds a uniform number per photon.

    Returns how many photons in the row `undecided` were routed together with one other; `joint` (m,) says
    which ones, `states` (m, 2, 2) in what states that leaves their partners, not normalised. Both have room
    for all that can be. Partners of the others are in the state of their photon's port, which for three and
    more photons that meet is an approximation.
    """
    n = len(t)
    n_joint = 0
    packets, light, single = tables.packets, tables.light, tables.single
    members = np.zeros(MAX_GROUP, dtype=np.int64)
    part = np.zeros(MAX_GROUP, dtype=np.int64)
    label = np.zeros(MAX_CLUMP, dtype=np.int64)
    i = 0
    while i < n:
        j = i + 1
        if j == n or t[j] - t[i] >= reach:
            p = single[row[i]]
            r = draws[i]
            port[i] = (r >= p[0]) + (r >= p[1]) + (r >= p[2])
            i = j
            continue
        while j < n and t[j] - t[j - 1] < reach and j - i < MAX_CLUMP:
            j += 1
        size = j - i
        if size == 2:
            a, b = light[row[i]], light[row[i + 1]]
            log = log_ratio(packets, a, b, t[i], t[i + 1], x[i], x[i + 1])
            if abs(log) <= MAX_LOG_RATIO:
                n_joint = _route_two(i, i + 1, log, t, row, tables, draws[i], port, joint, states, n_joint)
            else:  # the usual pair of neighbours: too far apart to interfere
                for k in range(i, j):
                    p = single[row[k]]
                    port[k] = (draws[k] >= p[0]) + (draws[k] >= p[1]) + (draws[k] >= p[2])
            i = j
            continue
        for a in range(size):
            label[a] = a
        for b in range(1, size):
            for a in range(b):
                k, m = i + a, i + b
                if t[m] - t[k] >= reach:
                    continue
                ratio = log_ratio(packets, light[row[k]], light[row[m]], t[k], t[m], x[k], x[m])
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
                    n_joint = _route_mixed(
                        members, count, part, t, x, row, tables, rng, port, joint, states, n_joint
                    )
                    count = 0
            if count:
                n_joint = _route_mixed(
                    members, count, part, t, x, row, tables, rng, port, joint, states, n_joint
                )
        i = j
    return n_joint


@kernel
def merge(
    ta: Floats, xa: Singles, ra: Integers, tb: Floats, xb: Singles, rb: Integers,
    t: Floats, x: Singles, row: Integers,
) -> None:  # fmt: skip
    """Merge two sorted lists of photons into one."""
    i = j = k = 0
    while i < len(ta) and j < len(tb):  # without branches: the order is random
        later = ta[i] > tb[j]
        t[k] = tb[j] if later else ta[i]
        x[k] = xb[j] if later else xa[i]
        row[k] = rb[j] if later else ra[i]
        j += later
        i += not later
        k += 1
    for i_rest in range(i, len(ta)):
        t[k], x[k], row[k] = ta[i_rest], xa[i_rest], ra[i_rest]
        k += 1
    for j_rest in range(j, len(tb)):
        t[k], x[k], row[k] = tb[j_rest], xb[j_rest], rb[j_rest]
        k += 1


@kernel
def by_port(t: Floats, port: Bytes, times: Floats, count: NDArray[np.int64]) -> None:
    """Sort the times by port into the rows of `times` (4, len(t)); `count` (4,) says how many."""
    count[:] = 0
    for i in range(len(t)):
        p = port[i]
        times[p, count[p]] = t[i]
        count[p] += 1
