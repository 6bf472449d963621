"""The Poincare sphere against Jones calculus, and the two fidelities against their definitions."""

import numpy as np
import pytest

from experiments.calibrations.polarization import sphere
from experiments.calibrations.polarization.learning import learn
from experiments.calibrations.polarization.search import Link
from experiments.config.polarization import Polarization
from tests.experiments.scrambled_link import ACTUATORS, PROBES, SENT, ScrambledLink, any_turn, retarder

PAULI = np.array([[[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]]])


def rotation_of(jones: np.ndarray) -> np.ndarray:
    """R_ij = tr(s_i U s_j U^+) / 2, the rotation of the sphere by a unitary."""
    return np.array([[np.trace(a @ jones @ b @ jones.conj().T).real / 2 for b in PAULI] for a in PAULI])


def test_a_retarder_turns_the_sphere_as_its_jones_matrix_says() -> None:
    rng = np.random.default_rng(1)
    for retardance, axis in rng.uniform(-4, 4, (20, 2)):
        assert sphere.retarders(retardance, axis) == pytest.approx(
            rotation_of(retarder(retardance, axis)), abs=1e-12
        )


def test_letters_of_a_testbed_file_are_stokes_vectors() -> None:
    """<s> of each Pauli matrix in the state of the letter's Jones vector."""
    for letter, jones in PROBES.items():
        state = np.array(jones)
        expected = [(state.conj() @ pauli @ state).real for pauli in PAULI]
        assert Polarization(letter).stokes == pytest.approx(expected, abs=1e-12)
    assert Polarization("22.5 deg").stokes == pytest.approx((0.5**0.5, 0.5**0.5, 0), abs=1e-12)


def test_rotation_vectors_go_there_and_back() -> None:
    rng = np.random.default_rng(2)
    vectors = sphere.unit(rng.normal(size=(50, 3))) * rng.uniform(0, 3.1, (50, 1))
    assert sphere.rotation_vectors(sphere.rotations(vectors)) == pytest.approx(vectors, abs=1e-6)
    assert sphere.rotations(np.array([0.0, 0.0, np.pi / 2])) @ [1, 0, 0] == pytest.approx([0, 1, 0])


def test_two_probes_show_the_whole_rotation() -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        turned = rotation_of(any_turn(rng))
        assert sphere.nearest_rotation(SENT, SENT @ turned.T) == pytest.approx(turned, abs=1e-9)


@pytest.mark.parametrize("theta", [0.0, 0.2, 1.0, 3.0])
def test_probe_fidelity_is_not_pair_fidelity(theta: float) -> None:
    """testbeds.md 1.6: over H, D and R the mean overlap is (2 + cos theta) / 3, the fidelity of a pair
    (1 + cos theta) / 2, whatever the axis; the latter is |tr U|^2 / 4."""
    axis = sphere.unit(np.array([0.3, -0.5, 0.8]))
    turn = sphere.rotations(theta * axis)
    sent = np.eye(3)  # H, D and R
    assert sphere.probe_fidelity(sent @ turn.T, sent) == pytest.approx((2 + np.cos(theta)) / 3)
    assert sphere.pair_fidelity(turn) == pytest.approx((1 + np.cos(theta)) / 2)
    jones = np.cos(theta / 2) * np.eye(2) - 1j * np.sin(theta / 2) * np.einsum("k,kij->ij", axis, PAULI)
    assert sphere.pair_fidelity(turn) == pytest.approx(abs(np.trace(jones)) ** 2 / 4)


def test_099_on_probes_is_0985_on_pairs() -> None:
    theta = np.arccos(3 * 0.99 - 2)
    assert sphere.pair_fidelity(sphere.rotations(np.array([theta, 0, 0]))) == pytest.approx(0.985)


def test_looks_teach_the_errors_of_the_plates() -> None:
    """Eight looks without noise: the learned plates make the true rotations, which the nominal ones do
    not."""
    scrambled = ScrambledLink.random(ACTUATORS["paddles"], 5, photons=1e9)
    plates = scrambled.plates
    rng = np.random.default_rng(6)
    looks = []
    for _ in range(8):
        angles = plates.random(rng)
        images = scrambled.see(angles).images
        assert images is not None
        looks.append((angles, images))
    at, seen = looks[-1]
    before = plates.rotation(at).T @ sphere.nearest_rotation(SENT, seen)
    learned = learn(plates, np.eye(3), before, SENT, looks)
    fresh = plates.random(rng)
    truth = rotation_of(scrambled.jones(fresh))
    predicted = learned.behind @ learned.plates.rotation(fresh) @ learned.before
    naive = plates.rotation(fresh) @ before
    assert sphere.pair_fidelity(truth.T @ predicted) > 0.9995
    assert sphere.pair_fidelity(truth.T @ naive) < 0.998


def test_angles_are_brought_into_the_limits_by_whole_periods() -> None:
    paddles, squeezers = ACTUATORS["paddles"], ACTUATORS["squeezers"]
    degrees = np.degrees(paddles.reachable(np.radians([-10.0, 190.0, 85.0])))
    assert degrees == pytest.approx([170.0, 10.0, 85.0])
    # 173 degrees lie in the gap; 170 is nearer than 180, which is 0.
    assert np.degrees(paddles.reachable(np.radians([173.0, 178.0, 0.0]))) == pytest.approx([170.0, 0.0, 0.0])
    brought = squeezers.reachable(np.array([0.0, 11.0, -11.0, 10.0]))
    assert brought == pytest.approx([0.0, 11.0 - 2 * np.pi, 2 * np.pi - 11.0, 10.0])


def test_a_link_begins_with_nothing_known() -> None:
    assert Link(ACTUATORS["paddles"], np.zeros(3)).sent.shape == (0, 3)
