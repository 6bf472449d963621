"""Every target of the fuzzer holds for its seeds and for a few inputs; the long search is `-m tests.fuzz`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, simulated


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks(name: str) -> None:
    target = TARGETS[name]
    assert target.seeds
    for seed in target.seeds:
        target.run(seed)

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(st.binary(min_size=1, max_size=200), st.sampled_from(target.seeds), st.integers(0, 255))
    def attempt(noise: bytes, seed: bytes, cut: int) -> None:
        target.run(noise)
        target.run(seed[: cut + 1] + noise + seed[cut + 1 :])

    attempt()


def test_what_is_fuzzed_is_alive() -> None:
    """A simulated instrument does what a request says, so the fuzzer is past its framing."""
    sim, received = simulated("agiltron_cl")
    received(bytes.fromhex("01 12 00 03"))  # small_switches.md
    assert sim.port.connected == {1: 3}  # type: ignore[attr-defined]
