"""Expressions over signals, such as `alice_pump_meter.power > 250 uW and not alice_shutter.open`.

    expression  = term {"or" term}          comparison = value ("<" | "<=" | ">" | ">=" | "==" | "!=") value
    term        = factor {"and" factor}     value      = signal | number [unit]
    factor      = "not" factor | "(" expression ")" | comparison | signal (a flag)
    signal      = NAME "." NAME {"." NAME or NUMBER}, such as hub_nanowires.bias.2 or singles.alice_h

Text is read by the parser below and by nothing else: there is no `eval`. Reading it gives a tree (`parse`),
looking up what the signals are turns its numbers into SI units (`bind`), and `holds` says whether it is true
of values. A comparison is of like with like, a flag is not compared. Whatever is wrong is an
`ExpressionError` that says at which letter.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from drivers.units import QUANTITIES

MAX_LETTERS = 500
MAX_DEPTH = 50

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)[ \t]*"
    r"(?P<unit>(?!(?:and|or|not)\b)(?:1/s|/s|%|[A-Za-zµμΩ°][A-Za-zµμΩ°/^0-9]*))?"
    r"|(?P<word>[A-Za-z][A-Za-z0-9_.]*)|(?P<sign><=|>=|==|!=|<|>|\(|\)))",
)


class ExpressionError(ValueError):
    """What is wrong with an expression, and `at` which letter of it, from 0."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True)
class Signal:
    """Something that can be read, by its path."""

    path: str
    at: int


@dataclass(frozen=True)
class Number:
    """A number as written, with its unit; `value` is in SI units once it is bound."""

    text: str
    unit: str
    at: int
    value: float = 0.0


@dataclass(frozen=True)
class Compare:
    left: Signal | Number
    sign: str
    right: Signal | Number


@dataclass(frozen=True)
class Not:
    inner: "Expression"


@dataclass(frozen=True)
class Both:
    """`and` where `sign` is "and", else `or`."""

    left: "Expression"
    sign: str
    right: "Expression"


Expression = Signal | Compare | Not | Both
"""A Signal that stands alone is a flag."""

UnitOf = Callable[[Signal], str]
"""The unit of a signal, empty for a flag; raises ExpressionError for one that does not exist."""


def parse(text: str) -> Expression:
    """Read an expression. Raises ExpressionError."""
    return _Parser(text).whole()


def parse_end(text: str, start: Expression) -> Expression:
    """Read an expression that may begin with a sign and then goes on from the first value of the comparison
    `start`: `< 240 uW` after `meter.power > 250 uW`. Raises ExpressionError."""
    parser = _Parser(text)
    if parser.sign not in COMPARISONS:
        return parser.whole()
    if not isinstance(start, Compare):
        raise ExpressionError(
            0, "begins with a sign, but there is no one comparison that it could go on from"
        )
    return parser.whole(start.left)


def signals(expression: Expression) -> Iterator[Signal]:
    """Every signal of an expression, from left to right."""
    match expression:
        case Signal():
            yield expression
        case Compare():
            yield from (side for side in (expression.left, expression.right) if isinstance(side, Signal))
        case Not():
            yield from signals(expression.inner)
        case Both():
            yield from signals(expression.left)
            yield from signals(expression.right)


def bind(expression: Expression, unit_of: UnitOf) -> Expression:
    """The expression with all numbers in the units of what they are compared with. Raises ExpressionError for
    a signal that is not there, for a wrong unit, and for flags and numbers in each other's place."""
    match expression:
        case Signal():
            if unit := unit_of(expression):
                raise ExpressionError(
                    expression.at, f"{expression.path} is a number in {unit}, no flag; compare it with one"
                )
            return expression
        case Compare():
            return _bind_comparison(expression, unit_of)
        case Not():
            return Not(bind(expression.inner, unit_of))
        case Both():
            return replace(
                expression, left=bind(expression.left, unit_of), right=bind(expression.right, unit_of)
            )


def holds(expression: Expression, values: Mapping[str, float | bool]) -> bool:
    """Whether a bound expression is true of the signals' values. Raises KeyError for a missing value."""
    match expression:
        case Signal():
            return bool(values[expression.path])
        case Compare():
            left, right = (
                side.value if isinstance(side, Number) else float(values[side.path])
                for side in (expression.left, expression.right)
            )
            return COMPARISONS[expression.sign](left, right)
        case Not():
            return not holds(expression.inner, values)
        case Both(sign="and"):
            return holds(expression.left, values) and holds(expression.right, values)
        case Both():
            return holds(expression.left, values) or holds(expression.right, values)


def in_unit(text: str, unit: str) -> float:
    """A number with its unit, in the SI unit `unit` of what it is meant for (`1` or empty: none). Raises
    ValueError."""
    if unit in ("", "1"):
        return float(text)
    quantity = next(quantity for quantity in QUANTITIES if unit in quantity.units)
    return quantity.parse(text)


def _bind_comparison(comparison: Compare, unit_of: UnitOf) -> Compare:
    units: dict[str, str] = {}
    for side in (comparison.left, comparison.right):
        if isinstance(side, Signal):
            units[side.path] = unit_of(side)
            if not units[side.path]:
                raise ExpressionError(
                    side.at, f"{side.path} is a flag; write {side.path} or not {side.path}, without comparing"
                )
    if not units:
        raise ExpressionError(comparison.left.at, "compares two numbers; one side has to be a signal")
    if len(set(units.values())) > 1:
        shown = " and ".join(f"{path} in {unit}" for path, unit in units.items())
        raise ExpressionError(comparison.right.at, f"compares {shown}; both have to be of one kind")
    unit = next(iter(units.values()))

    def bound(side: Signal | Number) -> Signal | Number:
        if isinstance(side, Signal):
            return side
        try:
            return replace(side, value=in_unit(f"{side.text} {side.unit}".strip(), unit))
        except ValueError as error:
            raise ExpressionError(side.at, str(error)) from None

    return replace(comparison, left=bound(comparison.left), right=bound(comparison.right))


class _Parser:
    """Recursive descent, one token ahead: it is the `word`, the `sign` or the `number`; at the end none."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LETTERS:
            raise ExpressionError(0, f"is {len(text)} letters long; allowed: {MAX_LETTERS}")
        self._text, self._end = text, 0
        self._depth = 0
        self._next()

    def _next(self) -> None:
        self.word = self.sign = ""
        self.number: Number | None = None
        match = _TOKEN.match(self._text, self._end)
        if match is None:
            rest = self._text[self._end :]
            self.at = self._end + len(rest) - len(rest.lstrip())
            if rest.strip():
                allowed = f"signals, numbers with units, {' '.join(COMPARISONS)}, and, or, not, ( )"
                wrong = f"{self._text[self.at]!r} means nothing here; allowed: {allowed}"
                raise ExpressionError(self.at, wrong)
            return
        kind = "number" if match["number"] else "word" if match["word"] else "sign"
        self.at, self._end = match.start(kind), match.end()
        if kind == "number":
            self.number = Number(match["number"], match["unit"] or "", self.at)
        elif kind == "word":
            self.word = match["word"]
        else:
            self.sign = match["sign"]

    def whole(self, first: Signal | Number | None = None) -> Expression:
        expression = self._either(first)
        if self.word or self.sign or self.number:
            raise ExpressionError(
                self.at, f"{self._shown()} is one too many; and, or, or the end is due here"
            )
        return expression

    def _shown(self) -> str:
        if not (self.word or self.sign or self.number):
            return "the end"
        return repr(self._text[self.at : self._end].strip())

    def _either(self, first: Signal | Number | None = None) -> Expression:
        left = self._all(first)
        while self.word == "or":
            self._next()
            left = Both(left, "or", self._all())
        return left

    def _all(self, first: Signal | Number | None = None) -> Expression:
        left = self._factor(first)
        while self.word == "and":
            self._next()
            left = Both(left, "and", self._factor())
        return left

    def _factor(self, first: Signal | Number | None = None) -> Expression:
        if first is not None:
            return self._comparison(first)
        if self.word == "not" or self.sign == "(":
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise ExpressionError(self.at, f"more than {MAX_DEPTH} of not and ( in each other")
            opened = self.sign
            self._next()
            inner = self._either() if opened else Not(self._factor())
            if opened:
                if self.sign != ")":
                    raise ExpressionError(self.at, f"{self._shown()} stands where a ) is due")
                self._next()
            self._depth -= 1
            return inner
        value = self._value()
        if self.sign not in COMPARISONS and isinstance(value, Signal):
            return value
        return self._comparison(value)

    def _comparison(self, left: Signal | Number) -> Compare:
        sign = self.sign
        if sign not in COMPARISONS:
            raise ExpressionError(
                self.at, f"{self._shown()} stands where one of {' '.join(COMPARISONS)} is due"
            )
        self._next()
        return Compare(left, sign, self._value())

    def _value(self) -> Signal | Number:
        value: Signal | Number
        if self.number is not None:
            value = self.number
        elif self.word and self.word not in ("and", "or", "not"):
            if "." not in self.word.strip("."):
                raise ExpressionError(
                    self.at, f"{self.word!r} is no signal; write INSTRUMENT.CONTROL or singles.DETECTOR"
                )
            value = Signal(self.word, self.at)
        else:
            raise ExpressionError(self.at, f"{self._shown()} stands where a signal or a number is due")
        self._next()
        return value
