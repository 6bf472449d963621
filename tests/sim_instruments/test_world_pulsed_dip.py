"""Heralded photons of two pulsed sources on a beam splitter while one arm is delayed: the dip of the closed
formula. Each limit is passed by chance once in 10^7."""

from math import exp, sqrt

import numpy as np
import pytest

from sim_instruments.ports import DelayPort
from sim_instruments.world.layout import BellStateMeasurement, Biphoton, DelayLine, Pulses
from tests.sim_instruments.light_bench import HH, LightBench, counts, pairs, pulse_numbers

TAU_PS, WIDTH_PS, MU, OVERLAP = 80.0, 60.0, 0.02, 0.9
PERIOD_S, SECONDS = 1e-8, 0.2


def expected(delay_ps: float, heralds: int, overlap: float = OVERLAP) -> float:
    """Coincidences of both outputs per pulse, with the clicks of so many signals: exact moments of two-mode
    squeezed states in Schmidt modes, whose exchange terms fall with the overlap of the idlers' Gaussians, of
    variance w^2 + tau^2 / 4 each (that of the second and later modes together, to the order of MU)."""
    ratio = abs(2 * WIDTH_PS - TAU_PS) / (2 * WIDTH_PS + TAU_PS)
    n = MU * (1 - ratio**2) * ratio ** (2 * np.arange(60))
    q = n * (1 + n)
    k = overlap * exp(-(delay_ps**2) / (4 * (WIDTH_PS**2 + TAU_PS**2 / 4)))
    none = MU**2 + (1 - k) / 2 * (n**2).sum()
    if heralds == 0:
        return float(none)
    half = MU * q.sum() + (1 - k) / 2 * (n * q).sum()
    if heralds == 1:
        return float(MU * none + half)
    return float(MU**2 * none + 2 * MU * half + (q.sum() ** 2 - k * (q**2).sum()) / 2)


@pytest.mark.parametrize("delay_ps", [0.0, 120.0, 600.0])
def test_dip_of_a_delay_line(delay_ps: float) -> None:
    form, train = Biphoton("gaussian", TAU_PS * 1e-12), Pulses(PERIOD_S, WIDTH_PS * 1e-12)
    sources = tuple(
        pairs(
            name, f"s_{name}", (line, f"hub.{side}"), state=HH, biphoton=form, pulses=train,
            pair_rate_hz=MU / PERIOD_S,
        )
        for name, side, line in (("one", "a", "line"), ("two", "b", "fixed"))
    )  # fmt: skip
    hub = BellStateMeasurement("hub", ("c", "c", "d", "d"), mode_overlap=OVERLAP)
    lines = (DelayLine("line"), DelayLine("fixed"))
    bench = LightBench(sources, ("s_one", "s_two", "c", "d"), {"measurements": (hub,), "delay_lines": lines})
    bench.ports.delays |= {"line": DelayPort(1e-9 + delay_ps * 1e-12), "fixed": DelayPort(1e-9)}
    tags = bench.watch(SECONDS, seed=17)
    shift = {"s_one": 0, "s_two": 0, "c": 1000, "d": 1000}
    numbers = {name: pulse_numbers(times - shift[name], PERIOD_S * 1e12) for name, times in tags.items()}
    at = np.unique(numbers["c"])
    both = counts(numbers["c"], at) * counts(numbers["d"], at)
    one, two = counts(numbers["s_one"], at), counts(numbers["s_two"], at)
    for heralds, each in enumerate((both, both * one, both * one * two)):
        wanted = expected(delay_ps, heralds) * SECONDS / PERIOD_S
        # Clusters of three pairs of one source are left out, a part of 10 mu^2 (as in the validation).
        error = sqrt(max(float((each**2).sum()), wanted))
        assert each.sum() == pytest.approx(wanted, abs=5.3 * error + 10 * MU**2 * wanted), heralds


def test_no_herald_and_one_leave_a_third_of_the_dip_at_best() -> None:
    """P / (2 + P) for sources as bright as each other, to first order; four-folds have P."""
    purity = 4 * TAU_PS * WIDTH_PS / (TAU_PS**2 + 4 * WIDTH_PS**2)
    depths = [1 - expected(0, heralds) / expected(1e4, heralds) for heralds in range(3)]
    assert depths[0] == pytest.approx(OVERLAP * purity / (2 + purity), abs=1e-6)
    assert depths[1] == pytest.approx(depths[0], abs=MU)
    assert depths[2] == pytest.approx(OVERLAP * purity, abs=5 * MU)


def test_photons_alike_show_in_fourfolds_alone_where_they_meet() -> None:
    """At one time, with modes that are all the same, two-folds and three-folds are what chance makes of the
    light of both arms: what two sources lack, each source's own bunching gives. So a dip over the difference
    of two clicks, as continuous sources have it, needs both heralds."""
    n = expected(0, 0, overlap=1.0)
    assert n == pytest.approx(MU**2)
    pairs = expected(0, 1, overlap=1.0) - MU * n  # with a partner of the herald
    ratio = abs(2 * WIDTH_PS - TAU_PS) / (2 * WIDTH_PS + TAU_PS)
    modes = MU * (1 - ratio**2) * ratio ** (2 * np.arange(60))
    assert pairs == pytest.approx(MU * (modes * (1 + modes)).sum())  # a chance photon with one of the pair
    chance = (modes * (1 + modes)).sum() ** 2 / 2
    assert expected(0, 2, overlap=1.0) - MU**2 * n - 2 * MU * pairs < 0.1 * chance
