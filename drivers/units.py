"""Units: the one table that turns text such as `600 ps` or `10 dBm` into SI floats, and back for people.

Guarantees: a number without its unit is never accepted (`0` is), a unit of another quantity is named
as such, and the value is the float nearest to what was written (`600 ps` is exactly `6e-10`). Every
type converts to its SI unit, except `Decibel` and `DecibelPerKilometre`, which stay what they say.

    class Fibre(BaseModel):
        delay: Seconds

    Fibre.model_validate({"delay": "43.1 us"}).delay == 43.1e-6
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_PREFIXES = {"f": -15, "p": -12, "n": -9, "µ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*(.*)", re.DOTALL)

Conversion = Callable[[Decimal], float]


def _times(factor: str) -> Conversion:
    """Multiply in decimal, so that the only rounding is the last one."""
    return lambda number: float(number * Decimal(factor))


def _prefixed(unit: str, prefixes: str, factor: str = "1") -> dict[str, Conversion]:
    """`unit` itself and with each of these prefix letters, smallest first."""
    return {p + unit: _times(f"{factor}e{n}") for p, n in _PREFIXES.items() if not p or p in prefixes}


AS_SI: Mapping[str, Any] = {"numbers": "SI"}
"""As the context of a validation it makes plain numbers values in SI units, as programs write them."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """A physical quantity, the units in which it may be written, and an example of it in text.

    As metadata of an `Annotated[float, ...]` it makes pydantic read such text.
    """

    name: str
    units: Mapping[str, Conversion]
    example: str
    low: float = -math.inf
    high: float = math.inf

    def parse(self, value: object) -> float:
        """The value in the quantity's SI unit. Raises ValueError that says what would be right."""
        text = f"{value}".strip()
        match = _NUMBER.fullmatch(text)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or match is None:
            raise ValueError(f"{value!r} is not a {self.name}: write for example '{self.example}'")
        number, unit = Decimal(match[1]), match[2].strip().replace("μ", "µ")
        if unit not in self.units and re.match("u[A-Za-z]", unit):
            unit = "µ" + unit[1:]
        if unit in self.units:
            try:
                result = self.units[unit](number)
            except OverflowError:  # a power of ten, for dBm
                result = math.inf
        elif unit:
            raise ValueError(self._wrong_unit(match[2].strip()))
        elif number == 0:
            result = 0.0
        else:
            raise ValueError(f"{text} has no unit of {self.name}: write for example '{self.example}'")
        if not (self.low <= result <= self.high and math.isfinite(result)):
            raise ValueError(f"{text} is outside the range of a {self.name}, {self.low:g} to {self.high:g}")
        return result

    def _wrong_unit(self, word: str) -> str:
        def likeness(unit: str) -> tuple[float, float, bool]:
            folded = SequenceMatcher(None, word.casefold(), unit.casefold()).ratio()
            return folded, SequenceMatcher(None, word, unit).ratio(), unit[:1] == word[:1]

        other = next((q.name for q in QUANTITIES if word in q.units), None)
        nearest = max(self.units, key=likeness)
        if likeness(nearest)[0] < 0.4 or (other and nearest[:1] != word[:1]):
            hint = f"units of {self.name}: {', '.join(filter(None, self.units))}"
        else:
            hint = f"did you mean '{nearest}'?"
        what = f"a unit of {other}, not of {self.name}" if other else f"not a unit of {self.name}"
        return f"'{word}' is {what} ({hint})"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: object, info: core_schema.ValidationInfo) -> float:
            plain = info.context is AS_SI and type(value) in (int, float)
            return float(value) if plain else self.parse(value)  # type: ignore[arg-type]

        return core_schema.with_info_before_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return self.json_schema()

    @property
    def si_unit(self) -> str:
        """The unit of the values that `parse` gives."""
        return next(unit for unit, to_si in self.units.items() if to_si(Decimal(1)) == 1.0)

    def json_schema(self, *, negative: bool = True, zero: bool = True) -> JsonSchemaValue:
        """The JSON Schema of what `parse` takes, as far as a pattern can tell; `negative` and `zero` say
        whether a field's own bounds allow it."""
        number = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
        levels = [
            unit for unit, to_si in self.units.items() if to_si(Decimal(-1)) > 0
        ]  # dBm: any is positive
        sign = "[+-]?" if negative and self.low < 0 else r"\+?"
        not_zero = "" if zero else r"(?!0*\.?0*(?:[eE][+-]?[0-9]+)?\s*(?![0-9.]))"
        ways = [rf"{sign}{not_zero}{number}\s*(?:{_any_of(u for u in self.units if u not in levels)})"]
        ways += [rf"[+-]?{number}\s*(?:{_any_of(levels)})"] if levels else []
        ways += [r"[+-]?(?:0+\.?0*|\.0+)"] if zero and "" not in self.units else []
        text = {
            "type": "string",
            "description": f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}",
            "examples": [self.example],
            "pattern": rf"^\s*(?:{'|'.join(ways)})\s*$",
        }
        if "" in self.units:
            bounds = {"minimum": self.low, "maximum": self.high}
            finite = {key: bound for key, bound in bounds.items() if math.isfinite(bound)}
            return {"anyOf": [text, {"type": "number", **finite}]}
        return {"anyOf": [text, {"const": 0}]} if zero else text


def _any_of(units: Iterable[str]) -> str:
    """A pattern for one of these, in each way in which `parse` knows it."""
    spellings = (
        re.escape(spelling)
        for unit in units
        for spelling in ([unit, "μ" + unit[1:], "u" + unit[1:]] if unit.startswith("µ") else [unit])
    )
    return "|".join(spellings)


TIME = Quantity(
    "time",
    _prefixed("s", "fpnµm") | {"min": _times("60"), "h": _times("3600"), "d": _times("86400")},
    "600 ps",
)
LENGTH = Quantity("length", _prefixed("m", "fpnµmk") | {"cm": _times("0.01")}, "8.8 km")
FREQUENCY = Quantity(
    "frequency",
    _prefixed("Hz", "kMGT") | _prefixed("cps", "kM") | {"1/s": _times("1"), "/s": _times("1")},
    "9.2 MHz",
)
POWER = Quantity(
    "power", _prefixed("W", "fpnµmk") | {"dBm": lambda dbm: 1e-3 * 10 ** (float(dbm) / 10)}, "20 mW"
)
CURRENT = Quantity("current", _prefixed("A", "fpnµm"), "17 uA")
VOLTAGE = Quantity("voltage", _prefixed("V", "nµmk"), "100 mV")
RESISTANCE = Quantity("resistance", _prefixed("Ohm", "mkMG") | _prefixed("Ω", "mkMG"), "100 kOhm")
_DEGREES: Conversion = lambda degrees: math.radians(float(degrees))  # noqa: E731
ANGLE = Quantity("angle", _prefixed("rad", "nµm") | {"deg": _DEGREES, "°": _DEGREES}, "22.5 deg")
TEMPERATURE_DIFFERENCE = Quantity("temperature difference", _prefixed("K", "nµm"), "1 K")
LEVEL = Quantity("level", {"dB": _times("1")}, "3.0 dB")
ATTENUATION = Quantity("attenuation", {"dB/km": _times("1")}, "0.425 dB/km")
SLOPE_EFFICIENCY = Quantity("slope efficiency", _prefixed("W/A", "µm") | {"mW/mA": _times("1")}, "0.8 W/A")
FRACTION = Quantity("fraction", {"": _times("1"), "%": _times("0.01")}, "45 %", low=0.0, high=1.0)
POLARIZATION_DIFFUSION = Quantity(
    "polarization diffusion", {"rad^2/s": _times("1"), "rad²/s": _times("1")}, "1e-5 rad^2/s"
)
DISPERSION = Quantity(
    "chromatic dispersion", {"ps/(nm km)": _times("1e-6"), "s/m^2": _times("1")}, "17 ps/(nm km)"
)
RAMAN_EFFICIENCY = Quantity(
    "Raman efficiency", {"/(km nm)": _times("1e6"), "1/(km nm)": _times("1e6")}, "1e-9 /(km nm)"
)
TUNING = Quantity("tuning with temperature", _prefixed("Hz/K", "kMG"), "-1.5 GHz/K")
PHASE_WALK = Quantity("phase walk", _prefixed("s/sqrt(s)", "fpnµ"), "2 ps/sqrt(s)")
FREQUENCY_WALK = Quantity(
    "frequency walk", {"/sqrt(s)": _times("1"), "1/sqrt(s)": _times("1")}, "1e-12 /sqrt(s)"
)
NOISE_POWER = Quantity("noise-equivalent power", _prefixed("W/sqrt(Hz)", "fpnµm"), "15 pW/sqrt(Hz)")
QUANTITIES = (
    TIME, LENGTH, FREQUENCY, POWER, CURRENT, VOLTAGE, RESISTANCE, ANGLE, TEMPERATURE_DIFFERENCE, LEVEL,
    ATTENUATION, SLOPE_EFFICIENCY, FRACTION, POLARIZATION_DIFFUSION, DISPERSION, RAMAN_EFFICIENCY, TUNING,
    PHASE_WALK, FREQUENCY_WALK, NOISE_POWER,
)  # fmt: skip

Seconds = Annotated[float, TIME]
Metres = Annotated[float, LENGTH]
Hertz = Annotated[float, FREQUENCY]
Watts = Annotated[float, POWER]
Amperes = Annotated[float, CURRENT]
Volts = Annotated[float, VOLTAGE]
Ohms = Annotated[float, RESISTANCE]
Radians = Annotated[float, ANGLE]
Kelvin = Annotated[float, TEMPERATURE_DIFFERENCE]
Decibel = Annotated[float, LEVEL]
DecibelPerKilometre = Annotated[float, ATTENUATION]
WattsPerAmpere = Annotated[float, SLOPE_EFFICIENCY]
Fraction = Annotated[float, FRACTION]
PolarizationDiffusion = Annotated[float, POLARIZATION_DIFFUSION]
Dispersion = Annotated[float, DISPERSION]
RamanEfficiency = Annotated[float, RAMAN_EFFICIENCY]
HertzPerKelvin = Annotated[float, TUNING]
PhaseWalk = Annotated[float, PHASE_WALK]
FrequencyWalk = Annotated[float, FREQUENCY_WALK]
NoisePower = Annotated[float, NOISE_POWER]


def format_si(value: float, unit: str, digits: int = 4) -> str:
    """A value in an SI unit as text for people: `format_si(6e-10, "s")` is `600 ps`.

    Keeps `digits` significant digits and uses the prefixes that the table knows for this unit.
    """
    rounded = float(f"{value:.{digits}g}")
    exponent = math.floor(math.log10(abs(rounded))) if rounded and math.isfinite(rounded) else 0
    known = [(n, p) for p, n in _PREFIXES.items() if not p or any(p + unit in q.units for q in QUANTITIES)]
    # The largest prefix that leaves a digit before the point; the smallest there is for tiny values.
    shift, prefix = max((pair for pair in known if pair[0] <= exponent), default=known[0])
    if not rounded:
        shift, prefix = 0, ""
    number = f"{rounded * 10.0**-shift:.{digits}g}"
    return f"{number} {prefix}{unit}".strip()
