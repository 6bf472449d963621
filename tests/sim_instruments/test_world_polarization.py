"""Polarization optics against closed forms and against Mueller calculus.

Statistical bounds are 5.5 standard errors (false alarm 4e-8 each) at fixed seeds.
"""

from math import cos, exp, pi, sin, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_instruments.world.polarization import (
    IDENTITY,
    PROJECT_H,
    Floats,
    Matrix,
    diffused,
    polarization_dependent_loss,
    polarizer,
    random_axis,
    random_rotation,
    retarder,
    rotation,
    special_unitary,
    stokes,
    werner_state,
)

STATES = {
    "H": ((1, 0), (1, 0, 0)),
    "V": ((0, 1), (-1, 0, 0)),
    "D": ((1, 1), (0, 1, 0)),
    "A": ((1, -1), (0, -1, 0)),
    "+i": ((1, 1j), (0, 0, 1)),
    "-i": ((1, -1j), (0, 0, -1)),
}


def some_light(seed: int) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=2) + 1j * rng.normal(size=2))


def turn_about(axis: Floats, angle: float) -> Floats:
    """Rodrigues' formula: a right-handed turn in three dimensions."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: Floats = np.eye(3) + sin(angle) * cross + (1 - cos(angle)) * cross @ cross
    return turned


@pytest.mark.parametrize("name", STATES)
def test_the_six_states_stand_where_they_belong_on_the_sphere(name: str) -> None:
    jones, vector = STATES[name]
    light = 3 * np.array(jones, dtype=np.complex128) / np.linalg.norm(jones)
    assert stokes(light) == pytest.approx(9 * np.array([1, *vector]))


@pytest.mark.parametrize("angle", np.deg2rad([0.0, 22.5, 45.0, 67.5, 110.0]))
def test_quarter_wave_plate_at_a_and_half_wave_plate_at_half_a_analyse_linear_light_at_a(
    angle: float,
) -> None:
    chain = retarder(pi, angle / 2) @ retarder(pi / 2, angle)
    passed = chain @ np.array([cos(angle), sin(angle)])
    blocked = chain @ np.array([-sin(angle), cos(angle)])
    assert abs(passed[0]) == pytest.approx(1.0, abs=1e-12)
    assert abs(blocked[0]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("retardance", "axis"), [(0.3, 0.2), (pi / 2, -1.1), (pi, 0.4), (5.0, 2.0)])
def test_a_retarder_turns_the_sphere_about_its_fast_axis(retardance: float, axis: float) -> None:
    light = some_light(1)
    expected = turn_about(np.array([cos(2 * axis), sin(2 * axis), 0.0]), retardance) @ stokes(light)[1:]
    assert stokes(retarder(retardance, axis) @ light)[1:] == pytest.approx(expected)


def test_a_turn_goes_about_its_vector_by_the_right_hand() -> None:
    light, vector = some_light(2), np.array([0.4, -1.1, 0.7])
    angle = float(np.linalg.norm(vector))
    expected = turn_about(vector / angle, angle) @ stokes(light)[1:]
    assert stokes(rotation(vector) @ light)[1:] == pytest.approx(expected)


def test_a_polarizer_obeys_malus() -> None:
    for angle, axis in ((0.3, 1.2), (2.0, -0.4), (0.0, pi / 2)):
        out = polarizer(axis) @ np.array([cos(angle), sin(angle)])
        assert np.vdot(out, out).real == pytest.approx(cos(angle - axis) ** 2)


def test_polarization_dependent_loss_is_the_diattenuator_of_mueller_calculus() -> None:
    """Lu and Chipman, JOSA A 13, 1106 (1996), eq. 16: with a diattenuation vector D, T (1, D; D, m) and
    m = sqrt(1 - D^2) + (1 - sqrt(1 - D^2)) d d^T."""
    axis = np.array([0.48, -0.6, 0.64])
    least = 10 ** (-1.7 / 10)
    unpolarised, diattenuation = (1 + least) / 2, (1 - least) / (1 + least)
    rest = sqrt(1 - diattenuation**2)
    mueller = np.zeros((4, 4))
    mueller[0, 0] = 1.0
    mueller[0, 1:] = mueller[1:, 0] = diattenuation * axis
    mueller[1:, 1:] = rest * np.eye(3) + (1 - rest) * np.outer(axis, axis)
    loss = polarization_dependent_loss(1.7, axis)
    light = some_light(3)
    assert stokes(loss @ light) == pytest.approx(unpolarised * mueller @ stokes(light))
    assert np.allclose(loss, loss.conj().T)
    assert np.linalg.norm(loss, 2) == pytest.approx(1.0)
    assert np.allclose(polarization_dependent_loss(0.0, axis), IDENTITY)


def test_the_nearest_turn_to_a_spoilt_one_is_that_of_a_polar_decomposition() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        spoilt = random_rotation(rng) + 1e-3 * (rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))
        turn = special_unitary(spoilt)
        assert np.allclose(turn @ turn.conj().T, IDENTITY, atol=1e-15)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        u, _, vh = np.linalg.svd(spoilt)
        unitary = u @ vh  # nearest in U(2); SU(2) differs by the common phase alone
        unitary /= np.sqrt(np.linalg.det(unitary))
        assert abs(np.vdot(unitary, turn)) / 2 == pytest.approx(1.0, abs=1e-5)


def characters(turns: list[Matrix]) -> Floats:
    """chi_j / (2 j + 1) of every turn for j = 1/2, 1, 3/2, 2, where chi_j = sin((2 j + 1) w) / sin w and
    cos w = Re tr U / 2."""
    w = np.arccos(np.clip([np.trace(turn).real / 2 for turn in turns], -1, 1))
    return np.stack([np.sin((n + 1) * w) / np.sin(w) / (n + 1) for n in (1, 2, 3, 4)])


@pytest.mark.parametrize(("spread", "draws"), [(0.02, 5_000), (0.25, 40_000), (1.0, 10_000), (50.0, 10_000)])
def test_diffusion_is_that_on_su2_for_any_step(spread: float, draws: int) -> None:
    """The mean of chi_j / (2 j + 1) over the heat kernel is exp(-D j (j + 1) t). At D t = 0.25 a Gaussian in
    place of the kernel misses the one of j = 1 by 0.014, the bound is 0.010."""
    rng = np.random.default_rng(5)
    seen = characters([diffused(rng, spread) for _ in range(draws)])
    expected = [exp(-spread * j * (j + 1)) for j in (0.5, 1.0, 1.5, 2.0)]
    errors = 5.5 * seen.std(axis=1) / sqrt(draws)
    assert np.all(np.abs(seen.mean(axis=1) - expected) < errors)
    assert np.all(errors < 0.03)


def test_random_axes_and_rotations_prefer_nothing() -> None:
    rng = np.random.default_rng(6)
    axes = np.stack([random_axis(rng) for _ in range(10_000)])
    assert np.allclose(np.linalg.norm(axes, axis=1), 1.0)
    assert np.all(np.abs(axes.mean(axis=0)) < 5.5 * sqrt(1 / 3 / len(axes)))
    products = np.einsum("ni,nj->ij", axes, axes) / len(axes)  # of one entry: variance at most 4/45
    assert np.all(np.abs(products - np.eye(3) / 3) < 5.5 * sqrt(4 / 45 / len(axes)))
    turned = np.stack([stokes(random_rotation(rng) @ some_light(7))[1:] for _ in range(10_000)])
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    assert np.all(np.abs(turned.mean(axis=0)) < 5.5 * sqrt(1 / 3 / len(turned)))


def test_werner_state_has_its_fidelity_and_no_polarization_of_its_own() -> None:
    rho = werner_state(0.93)
    bell = np.array([1, 0, 0, 1]) / np.sqrt(2)
    assert (bell @ rho @ bell).real == pytest.approx(0.93)
    assert np.trace(rho).real == pytest.approx(1.0)
    signal = np.einsum("aibi->ab", rho.reshape(2, 2, 2, 2))
    assert np.allclose(signal, np.eye(2) / 2)


def test_projector_is_what_its_name_says() -> None:
    assert np.allclose(PROJECT_H @ np.array([1.0, 1.0]), [1.0, 0.0])
