"""Scans: counts at each stop of a stage, decided by the tags' time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timetags.analyses import brute
from tests.timetags.analyses.streams import CUTS, Kept, block_of, feed, repeatable, streams
from timetags.analyses.coincidences import Coincidences
from timetags.analyses.scan import Scan

BORDERS = st.lists(st.integers(-150, 150), min_size=2, max_size=8, unique=True)


@given(streams([1, 2], span=(-150, 150)), BORDERS, st.integers(-30, 30), st.integers(1, 30), CUTS)
@repeatable(100)
def test_a_coincidence_counts_at_the_stop_that_its_reference_falls_in(tags, borders, delay, width, cuts):
    stops = [*zip(sorted(borders)[0::2], sorted(borders)[1::2], strict=False)]
    scan = Scan(lambda gate: Coincidences([(1, 2)], {1: delay}, window_ps=width, gate_ps=gate), margin_ps=100)
    for place, (begin, end) in enumerate(stops):
        scan.stop_at(0.5 * place, begin, end)
    feed(scan, tags, cuts)
    expected = [brute.coincidences(tags, {1: delay}, (1, 2), {2: width}, stop) for stop in stops]
    assert scan.counts[:, 0].tolist() == expected
    assert scan.positions.tolist() == [0.5 * place for place in range(len(stops))]
    seconds = np.array([(end - begin) * 1e-12 for begin, end in stops])
    np.testing.assert_allclose(scan.rates_hz[:, 0], np.array(expected) / seconds)


def test_a_stop_sees_its_margins_and_is_finished_when_it_is_past():
    scan = Scan(lambda gate: Kept(), margin_ps=5)
    scan.stop_at(1.0, 10, 20)
    scan.add(block_of([(4, 1), (5, 1)], 0, 8))
    scan.stop_at(2.0, 20, 30)
    scan.add(block_of([(8, 1), (24, 1)], 8, 25))
    scan.add(block_of([(25, 1), (34, 1), (35, 1)], 25, 40))
    first, second = (stop.analysis for stop in scan.stops)
    assert first.tags == [(5, 1), (8, 1), (24, 1)]
    assert second.tags == [(24, 1), (25, 1), (34, 1)]
    assert first.finished
    assert second.finished
    scan.finish()


def test_a_stop_that_the_stream_does_not_pass_is_finished_with_it():
    scan = Scan(lambda gate: Kept())
    scan.stop_at(1.0, 10, 20)
    scan.stop_at(2.0, 50, 60)
    scan.add(block_of([(12, 1)], 0, 15))
    assert not scan.stops[0].analysis.finished
    scan.finish()
    assert all(stop.analysis.finished for stop in scan.stops)


def test_a_stop_may_not_come_late_or_be_empty():
    scan = Scan(lambda gate: Kept(), margin_ps=5)
    scan.add(block_of([], 0, 100))
    with pytest.raises(ValueError, match="comes late"):
        scan.stop_at(1.0, 104, 200)
    with pytest.raises(ValueError, match="does not last"):
        scan.stop_at(1.0, 200, 200)
