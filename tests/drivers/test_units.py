"""Units as a technician writes them, and what is said when they are wrong."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from drivers import units
from drivers.units import Fraction, Seconds, Watts, format_si


@pytest.mark.parametrize(
    ("text", "quantity", "value"),
    [
        ("600 ps", units.TIME, 600e-12),
        ("600ps", units.TIME, 600e-12),
        ("43.1 us", units.TIME, 43.1e-6),
        ("43.1 µs", units.TIME, 43.1e-6),  # U+00B5, the micro sign
        ("43.1 μs", units.TIME, 43.1e-6),  # U+03BC, the Greek letter
        ("1 s", units.TIME, 1.0),
        ("2 min", units.TIME, 120.0),
        ("1 h", units.TIME, 3600.0),
        ("-3 ns", units.TIME, -3e-9),
        ("8.8 km", units.LENGTH, 8800.0),
        ("780 nm", units.LENGTH, 780e-9),
        ("9.2 MHz", units.FREQUENCY, 9.2e6),
        ("20 kHz", units.FREQUENCY, 20e3),
        ("500 1/s", units.FREQUENCY, 500.0),
        ("500 /s", units.FREQUENCY, 500.0),
        ("500 cps", units.FREQUENCY, 500.0),
        ("10 dBm", units.POWER, 10e-3),
        ("0 dBm", units.POWER, 1e-3),
        ("20 mW", units.POWER, 20e-3),
        ("17 uA", units.CURRENT, 17e-6),
        ("100 mV", units.VOLTAGE, 0.1),
        ("100 kOhm", units.RESISTANCE, 100e3),
        ("47 Ω", units.RESISTANCE, 47.0),  # U+03A9, the Greek letter
        ("22.5 deg", units.ANGLE, math.pi / 8),
        ("1 K", units.TEMPERATURE_DIFFERENCE, 1.0),
        ("3.0 dB", units.LEVEL, 3.0),
        ("0.425 dB/km", units.ATTENUATION, 0.425),
        ("0.8 W/A", units.SLOPE_EFFICIENCY, 0.8),
        ("1 %", units.FRACTION, 0.01),
        ("45 %", units.FRACTION, 0.45),
        (0.45, units.FRACTION, 0.45),
        (1, units.FRACTION, 1.0),
        ("1e-5 rad^2/s", units.POLARIZATION_DIFFUSION, 1e-5),
        ("17 ps/(nm km)", units.DISPERSION, 17e-12 / (1e-9 * 1e3)),
        ("1e-10 /(km nm)", units.RAMAN_EFFICIENCY, 1e-10 / (1e3 * 1e-9)),
        ("-1.5 GHz/K", units.TUNING, -1.5e9),
        ("2 ps/sqrt(s)", units.PHASE_WALK, 2e-12),
        ("1e-12 /sqrt(s)", units.FREQUENCY_WALK, 1e-12),
        ("15 pW/sqrt(Hz)", units.NOISE_POWER, 15e-12),
        (0, units.TIME, 0.0),
        ("0", units.POWER, 0.0),
    ],
)
def test_text_becomes_si(text: object, quantity: units.Quantity, value: float) -> None:
    assert quantity.parse(text) == pytest.approx(value, rel=1e-15, abs=0.0)


def test_the_value_is_the_nearest_float() -> None:
    # 600 * 1e-12 in floats is 6.000000000000001e-10.
    assert units.TIME.parse("600 ps") == 6e-10
    assert units.FREQUENCY.parse("1.1 MHz") == 1_100_000.0


@pytest.mark.parametrize(
    ("value", "quantity", "message"),
    [
        ("10 dBn", units.POWER, "'dBn' is not a unit of power (did you mean 'dBm'?)"),
        ("780 nm", units.TIME, "'nm' is a unit of length, not of time (did you mean 'ns'?)"),
        ("9.2 mhz", units.FREQUENCY, "'mhz' is not a unit of frequency (did you mean 'MHz'?)"),
        ("5 mA", units.VOLTAGE, "'mA' is a unit of current, not of voltage (did you mean 'mV'?)"),
        ("5 K", units.LEVEL, "'K' is a unit of temperature difference, not of level (units of level: dB)"),
        (600, units.TIME, "600 has no unit of time: write for example '600 ps'"),
        ("0.5", units.ATTENUATION, "0.5 has no unit of attenuation: write for example '0.425 dB/km'"),
        ("soon", units.TIME, "'soon' is not a time: write for example '600 ps'"),
        (True, units.TIME, "True is not a time"),
        (None, units.TIME, "None is not a time"),
        ([1], units.TIME, "[1] is not a time"),
        (float("nan"), units.FRACTION, "nan is not a fraction"),
        ("inf s", units.TIME, "'inf s' is not a time"),
        ("1e400 s", units.TIME, "outside the range"),
        ("99999 dBm", units.POWER, "outside the range of a power"),
        ("120 %", units.FRACTION, "120 % is outside the range of a fraction, 0 to 1"),
        (-0.1, units.FRACTION, "-0.1 is outside the range"),
    ],
)
def test_errors_say_what_would_be_right(value: object, quantity: units.Quantity, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        quantity.parse(value)
    assert message in str(caught.value)


def test_models_read_units_and_schemas_show_them() -> None:
    class Fibre(BaseModel):
        delay: Seconds
        launch: Watts = 1e-3
        transmission: Fraction = 1.0

    fibre = Fibre.model_validate({"delay": "43.1 us", "transmission": "45 %"})
    assert fibre == Fibre.model_validate({"delay": "43100 ns", "transmission": 0.45})
    with pytest.raises(ValidationError, match="did you mean 'dBm'"):
        Fibre.model_validate({"delay": 0, "launch": "10 dBn"})
    schema = Fibre.model_json_schema()["properties"]
    assert schema["delay"]["anyOf"][0]["type"] == "string"
    assert {"type": "number", "minimum": 0.0, "maximum": 1.0} in schema["transmission"]["anyOf"]


@pytest.mark.parametrize(
    ("text", "any_sign", "positive"),
    [
        ("600 ps", True, True),
        ("600ps", True, True),
        (" 1e-3 s ", True, True),
        (".5 us", True, True),
        ("5 µs", True, True),
        ("5 μs", True, True),
        ("+7 min", True, True),
        ("10 d", True, True),
        ("-3 s", True, False),
        ("0", True, False),
        ("0.0", True, False),
        ("0 s", True, False),
        ("0.00e5 s", True, False),
        ("0.001 s", True, True),
        ("5", False, False),
        ("5 m", False, False),
        ("5 s s", False, False),
        ("five s", False, False),
        ("1e1000 s", False, False),
    ],
)
def test_the_pattern_of_the_schema_takes_what_parse_takes(text: str, any_sign: bool, positive: bool) -> None:
    """Parse is the judge where the sign does not matter; what is positive was decided by hand."""
    whole = units.TIME.json_schema()["anyOf"][0]["pattern"]
    above_zero = units.TIME.json_schema(negative=False, zero=False)["pattern"]
    try:
        units.TIME.parse(text)
        parsed = True
    except ValueError:
        parsed = False
    assert (bool(re.search(whole, text)), bool(re.search(above_zero, text))) == (any_sign, positive)
    assert parsed is any_sign


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (6e-10, "s", "600 ps"),
        (3.6e6, "Hz", "3.6 MHz"),
        (17e-6, "A", "17 µA"),
        (0.0, "W", "0 W"),
        (3600.0, "s", "3600 s"),
        (999.99e-12, "s", "1 ns"),
        (-2.5e-9, "s", "-2.5 ns"),
        (1e-18, "s", "0.001 fs"),
        (0.425, "dB/km", "0.425 dB/km"),
        (1.5, "1/s", "1.5 1/s"),
        (math.inf, "s", "inf s"),
        (math.nan, "s", "nan s"),
    ],
)
def test_values_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert format_si(value, unit) == text


@given(st.floats(1e-14, 1e6))
def test_what_is_shown_reads_back(value: float) -> None:
    assert units.TIME.parse(format_si(value, "s")) == pytest.approx(value, rel=6e-4)
