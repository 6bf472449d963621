"""Sixty-four comparisons at once against one after the other."""

import numpy as np
import pytest

from timetags.jit import kernel
from timetags.vectors import population, trailing_zeros, where_close, where_equal, where_within


@kernel
def compare(times, channels, index, channel, ahead, reach, low, span):
    return (
        where_equal(channels, index, channel),
        where_close(times, index, ahead, reach),
        where_within(times, index, low, span),
    )


@kernel
def count_bits(word):
    return trailing_zeros(word), population(word)


def word(outcomes):
    return sum(int(outcome) << k for k, outcome in enumerate(outcomes))


@pytest.mark.parametrize("index", [0, 1, 7, 29])
def test_bits_are_the_outcomes_in_order(index):
    random = np.random.default_rng(1)
    times = np.sort(random.integers(-500, 500, 100))
    channels = random.integers(0, 256, 100).astype(np.uint8) % 3 + 253
    equal, close, within = compare(times, channels, index, 254, 7, 60, -20, 300)
    assert equal == word(channels[index : index + 64] == 254)
    assert close == word(times[index + 7 : index + 71] - times[index : index + 64] <= 60)
    assert within == word((times[index : index + 8] >= -20) & (times[index : index + 8] < 280))


def test_the_last_elements_of_an_array_can_be_asked_for():
    times, channels = np.arange(65), np.full(65, 9, np.uint8)
    equal, close, _ = compare(times, channels, 1, 9, 0, -1, 0, 1)
    assert equal == 2**64 - 1
    assert close == 0


@pytest.mark.parametrize(("bits", "lowest", "number"), [(1, 0, 1), (2**63, 63, 1), (0b1011000, 3, 3)])
def test_bits_of_a_word(bits, lowest, number):
    assert count_bits(np.uint64(bits)) == (lowest, number)
