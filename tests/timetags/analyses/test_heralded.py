"""Heralded n-folds against brute force over all combinations, for any cuts of the stream."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import CUTS, END_PS, FIRST_PS, feed, repeatable, streams
from timetags.analyses.coincidences import Analyser
from timetags.analyses.heralded import HERALDS, HeraldedFolds

HUB = (3, 7, 1, 0)  # cH, cV, dH, dV
# Three analysers with two, one and three outcomes.
OUTCOMES = ((10, 4), (5,), (200, 20, 6))
CHANNELS = [*HUB, 10, 4, 5, 200, 20, 6, 99]  # 99 takes no part
STREAMS = streams(CHANNELS, most=100)
# The whole hub may be early or late, and each channel besides.
DELAYS = st.builds(
    lambda hub, delays: {**dict.fromkeys(HUB, hub), **delays},
    st.just(0) | st.integers(-60, 60),
    st.dictionaries(st.sampled_from(CHANNELS), st.integers(-40, 40)),
)
SHORT = st.integers(1, 40)
ANALYSERS = st.tuples(
    *(st.builds(Analyser, st.just(outcomes), SHORT, st.integers(-20, 20)) for outcomes in OUTCOMES)
)
NAMES = st.lists(st.sampled_from(sorted(HERALDS)), min_size=1, max_size=4)
GATES = st.none() | st.tuples(st.integers(-80, 20), st.integers(-20, 80))
SHIFTS = st.none() | st.tuples(*[st.integers(-40, 40)] * 3)


@given(STREAMS, DELAYS, CUTS, SHORT, ANALYSERS, st.integers(0, 3), NAMES, GATES, SHIFTS)
@repeatable(120)
def test_every_combination_is_counted_once_wherever_the_cuts_fall(
    tags, delays, cuts, window, analysers, number, names, gate, shifts
):
    analysers = analysers[:number]
    shifts = None if shifts is None else shifts[:number]
    counted = HeraldedFolds(
        HUB,
        analysers,
        delays,
        bsm_window_ps=window,
        heralded_by=names,
        gate_ps=gate,
        shifts_ps=shifts,
    )
    feed(counted, tags, cuts)
    found = [h for h in brute.heralds(tags, delays, HUB, window) if brute.within(gate, h[2])]
    for row, name in enumerate(names):
        times = [time for state, pattern, time in found if name in (state, pattern)]
        assert counted.heralds[row] == len(times)
        for place in product(*(range(len(analyser.outcomes)) for analyser in analysers)):
            clicks = [
                (analyser.outcomes[outcome], analyser.window_ps, analyser.centre_ps, shift)
                for analyser, outcome, shift in zip(analysers, place, shifts or [0] * number, strict=True)
            ]
            expected = sum(brute.combinations_about(tags, delays, time, clicks) for time in times)
            assert counted.counts[(row, *place)] == expected


@pytest.mark.parametrize("hub_delay", [-70, 0, 70])
@pytest.mark.parametrize("delay", [-50, 0, 50])
@pytest.mark.parametrize(("window", "centre"), [(1, 0), (2, 15), (11, -15), (60, 0)])
def test_clicks_at_the_very_ends_of_a_window_are_seen_when_each_ps_is_a_block(
    hub_delay, delay, window, centre
):
    # Clicks at 0 and 4, a herald at 2 if the window of 9 admits -4; clicks at every ps around it. Exactly
    # `window` of them belong to it.
    tags = [(0 - hub_delay, HUB[0]), (4 - hub_delay, HUB[3])]
    tags += [(2 + centre + k - delay, 5) for k in range(-40, 41)]
    delays = {**dict.fromkeys(HUB, hub_delay), 5: delay}
    counted = HeraldedFolds(HUB, [Analyser((5,), window, centre)], delays, bsm_window_ps=9)
    feed(counted, sorted(tags), range(FIRST_PS + 1, END_PS))
    assert counted.counts.tolist() == [[window], [0]]


@pytest.mark.parametrize(
    ("gate", "heralds"), [((50, 60), 2), ((51, 60), 1), ((40, 51), 1), ((40, 50), 0), ((52, 60), 0)]
)
def test_a_gate_is_half_open_about_the_heralds_time(gate, heralds):
    # Heralds at 50.5 and 51 (a click at 50 with two at 51 and 52).
    counted = HeraldedFolds(HUB, [], {}, bsm_window_ps=5, gate_ps=gate)
    feed(counted, [(50, HUB[0]), (51, HUB[3]), (52, HUB[3])], [])
    assert counted.heralds.tolist() == [heralds, 0]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="Psi-, Psi\\+, not Phi-"):
        HeraldedFolds(HUB, [], {}, bsm_window_ps=1, heralded_by=["Psi-", "Phi-"])
    with pytest.raises(ValueError, match="not none"):
        HeraldedFolds(HUB, [], {}, bsm_window_ps=1, heralded_by=[])
    with pytest.raises(ValueError, match="must all be different"):
        HeraldedFolds(HUB, [Analyser((10, 3), 5)], {}, bsm_window_ps=1)
    with pytest.raises(ValueError, match="2 shifts for 1 analysers"):
        HeraldedFolds(HUB, [Analyser((10, 11), 5)], {}, bsm_window_ps=1, shifts_ps=(1, 2))
    with pytest.raises(ValueError, match="BSM window must be positive"):
        HeraldedFolds(HUB, [], {}, bsm_window_ps=0)
