"""The benchmark of the dashboard divides what it says. How fast, no test asks."""

from pathlib import Path

import pytest

from benchmarks import dashboard
from benchmarks.dashboard import Cost


def test_the_slow_down_is_the_median_of_rounds_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of +2 %, +1 % and -1 %; the first run, which loads the kernels, does not count."""
    costs = iter([Cost(99, 0, 99), Cost(10, 0, 5), Cost(10.2, 0.4, 6), Cost(10, 0, 5), Cost(10.1, 0.5, 6),
                  Cost(10, 0, 5), Cost(9.9, 0.6, 6)])  # fmt: skip
    asked = []

    def carry_out(file: Path, *, watched: bool) -> Cost:
        assert "bases: [ZZ], dwell: 7 s" in file.read_text()
        asked.append(watched)
        return next(costs)

    monkeypatch.setattr(dashboard, "carry_out", carry_out)
    slow_down, share = dashboard.figures(dwell_s=7.0, rounds=3)
    assert asked == [False, False, True, False, True, False, True]
    assert slow_down.value == pytest.approx(1.0)
    assert "from -1.0 % to +2.0 % in 3 rounds" in slow_down.text
    assert share.value == pytest.approx(5.0)
