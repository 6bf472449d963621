"""Random numbers by tables, against their distributions. Seeded; false-alarm rates are 1e-7 a test."""

from math import sqrt

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import chi2

from sim_instruments.world.quantiles import MAX_NORMAL, Bits, exponential, normal, random_bits
from sim_instruments.world.wave_packets import Floats
from timetags.jit import kernel

N = 1_000_000


@kernel
def normals(bits: Bits, out: Floats) -> None:
    for i in range(len(bits)):
        out[i] = normal(bits[i])


@kernel
def exponentials(bits: Bits, out: Floats) -> None:
    for i in range(len(bits)):
        out[i] = exponential(bits[i])


def fits(numbers: Floats, edges: Floats, cdf: Floats) -> bool:
    expected = len(numbers) * np.diff(np.concatenate([[0.0], cdf, [1.0]]))
    counts = np.histogram(numbers, np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    assert expected.min() > 8
    return bool(((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-7, len(edges)))


def test_normal_numbers_are_normal_to_far_out() -> None:
    numbers = np.empty(N)
    normals(random_bits(np.random.default_rng(1), N), numbers)
    edges = np.linspace(-4.0, 4.0, 81)
    assert fits(numbers, edges, ndtr(edges))
    assert abs(numbers.mean()) < 5.5 / sqrt(N)
    assert numbers.var() == pytest.approx(1.0, abs=5.5 * sqrt(2 / N))


def test_exponential_numbers_are_exponential_to_far_out() -> None:
    numbers = np.empty(N)
    exponentials(random_bits(np.random.default_rng(2), N), numbers)
    edges = np.concatenate([np.linspace(0.05, 8.0, 160), [9.0, 10.0, 11.0]])
    assert fits(numbers, edges, -np.expm1(-edges))
    assert numbers.mean() == pytest.approx(1.0, abs=5.5 / sqrt(N))
    assert numbers.min() >= 0.0


def test_every_pattern_of_bits_gives_a_number_in_order_and_bounded() -> None:
    """Both are monotonic in their bits, and the extreme ones are about 5, and 15.2 = 2 ln 2^21 - ln 2^20."""
    low, high = np.arange(0, 2**20, dtype=np.uint32), np.arange(2**32 - 2**20, 2**32).astype(np.uint32)
    middle = np.linspace(2**20, 2**32 - 2**20, 2**20).astype(np.uint32)
    bits = np.concatenate([low, middle, high])
    numbers = np.empty(len(bits))
    normals(bits, numbers)
    assert (np.diff(numbers) >= 0.0).all()
    assert np.abs(numbers).max() == pytest.approx(MAX_NORMAL)
    assert 4.9 < MAX_NORMAL < 5.2
    exponentials(bits, numbers)
    assert (np.diff(numbers) <= 0.0).all()
    assert 0.0 <= numbers.min() < 1e-8
    assert numbers.max() == pytest.approx(22 * np.log(2), rel=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_there_are_as_many_bits_as_asked_for(n: int) -> None:
    assert len(random_bits(np.random.default_rng(3), n)) == n
