"""How figures are written for people."""

import pytest

from bellbench.text import duration, rate, with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (2.314, 0.12, "2.31 ± 0.12"),
        (1.5234, 0.041, "1.523 ± 0.041"),
        (120470.0, 350.0, "120470 ± 350"),
        (0.9, 0.0, "0.9"),
        (2.3, None, "2.3"),
        (None, 0.1, "not known"),
    ],
)
def test_a_figure_is_written_to_the_second_digit_of_its_error(
    value: float | None, error: float | None, text: str
) -> None:
    assert with_error(value, error) == text


def test_rates_and_times() -> None:
    assert rate(615_400.4) == "615,400 /s"
    assert rate(1.53) == "1.53 /s"
    assert rate(None) == "-"
    assert duration(59.6) == "1:00"
    assert duration(3725) == "1:02:05"
