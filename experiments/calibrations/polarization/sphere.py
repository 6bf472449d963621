"""The Poincare sphere: what retarders make of Stokes vectors, and how near one polarization is to another.

A Stokes vector here is (s1, s2, s3) of length 1; a link without polarization-dependent loss turns all of them
by one rotation, a (3, 3) matrix that maps what enters to what leaves. A retarder turns the sphere about its
fast axis by its retardance, by the right-hand rule. All functions take stacks: leading dimensions are kept.

Two fidelities must not be mistaken for each other (testbeds.md 8, trap g). `probe_fidelity` is the mean
overlap of some probes with what they should be; `pair_fidelity` is that of a Bell state of which one photon
passes the link. For a rotation by theta about any axis the latter is (1 + cos theta) / 2, while the mean over
the probes H, D and R is (2 + cos theta) / 3: a link that shows 0.990 on probes has 0.985 on pairs
(testbeds.md 1.6).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def equator(angle_rad: ArrayLike) -> Floats:
    """Linear polarization at an angle from H towards V: (..., 3)."""
    twice = 2 * np.asarray(angle_rad, dtype=np.float64)
    return np.stack([np.cos(twice), np.sin(twice), np.zeros_like(twice)], axis=-1)


def retarders(retardance_rad: ArrayLike, fast_axis_rad: ArrayLike) -> Floats:
    """The rotations of linear retarders: (..., 3, 3)."""
    retardance, axis = np.broadcast_arrays(
        np.asarray(retardance_rad, dtype=np.float64), np.asarray(fast_axis_rad, dtype=np.float64)
    )
    a, b = np.cos(2 * axis), np.sin(2 * axis)
    c, s = np.cos(retardance), np.sin(retardance)
    turn = np.empty((*axis.shape, 3, 3))
    turn[..., 0, 0] = c + a * a * (1 - c)
    turn[..., 0, 1] = turn[..., 1, 0] = a * b * (1 - c)
    turn[..., 1, 1] = c + b * b * (1 - c)
    turn[..., 0, 2], turn[..., 2, 0] = b * s, -b * s
    turn[..., 1, 2], turn[..., 2, 1] = -a * s, a * s
    turn[..., 2, 2] = c
    return turn


def rotations(vectors: ArrayLike) -> Floats:
    """Turns by |v| about v, by the right-hand rule: (..., 3) -> (..., 3, 3)."""
    v = np.asarray(vectors, dtype=np.float64)
    angle = np.sqrt(np.sum(v * v, axis=-1))[..., None, None]
    cross = np.zeros((*v.shape, 3))
    cross[..., 0, 1], cross[..., 1, 0] = -v[..., 2], v[..., 2]
    cross[..., 0, 2], cross[..., 2, 0] = v[..., 1], -v[..., 1]
    cross[..., 1, 2], cross[..., 2, 1] = -v[..., 0], v[..., 0]
    # sin a / a and (1 - cos a) / a^2, by numpy's sinc, which knows what they are at 0.
    turn: Floats = (
        np.eye(3) + np.sinc(angle / np.pi) * cross + np.sinc(angle / np.pi / 2) ** 2 / 2 * (cross @ cross)
    )
    return turn


def rotation_vectors(turns: Floats) -> Floats:
    """The inverse of `rotations`, of length up to pi: (..., 3, 3) -> (..., 3). Half a turn has two axes; near
    one the vector is ill-defined and comes out short, never longer than pi."""
    sine = 0.5 * np.stack(
        [
            turns[..., 2, 1] - turns[..., 1, 2],
            turns[..., 0, 2] - turns[..., 2, 0],
            turns[..., 1, 0] - turns[..., 0, 1],
        ],
        axis=-1,
    )
    length = np.sqrt(np.sum(sine * sine, axis=-1))
    cosine = (np.trace(turns, axis1=-2, axis2=-1) - 1) / 2
    angle = np.arctan2(length, cosine)
    vector: Floats = sine * (angle / np.maximum(length, 1e-9))[..., None]
    return vector


def nearest_rotation(sent: Floats, seen: Floats) -> Floats:
    """The rotation that brings the Stokes vectors `sent` nearest to those `seen`, both (n, 3), at least two
    of them not parallel (Kabsch's method: by singular values; physics.md 6a)."""
    u, _, vh = np.linalg.svd(seen.T @ sent)
    hand = np.sign(np.linalg.det(u @ vh))
    rotation: Floats = u @ np.diag([1.0, 1.0, hand]) @ vh
    return rotation


def unit(vectors: Floats) -> Floats:
    """Stokes vectors brought to length 1; noise makes them longer or shorter."""
    length = np.sqrt(np.sum(vectors * vectors, axis=-1, keepdims=True))
    scaled: Floats = vectors / np.maximum(length, 1e-12)
    return scaled


def probe_fidelity(seen: Floats, wanted: Floats) -> float:
    """Mean overlap of polarized probes with what they should be, both (n, 3); 0 to 1."""
    return float(np.mean((1 + np.sum(unit(seen) * unit(wanted), axis=-1)) / 2))


def pair_fidelity(rotation: Floats) -> float:
    """Fidelity of a maximally entangled pair of which one photon is turned by this rotation too much; 0 to
    1."""
    return float((1 + np.trace(rotation)) / 4)


def random_rotation(rng: np.random.Generator) -> Floats:
    """Any rotation with equal probability (by a unit quaternion)."""
    w, x, y, z = unit(rng.normal(size=4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
