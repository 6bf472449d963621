"""Interlocks and limits in configuration files: what they mean, and where a mistake is said to be."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config.expressions import (
    Expression,
    ExpressionError,
    Signal,
    bind,
    holds,
    parse,
    parse_end,
    signals,
)
from experiments.config.files import load_experiment, load_testbed
from experiments.config.interlocks import ClearError, Interlock, condition_of
from experiments.config.problems import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
UNITS = {"meter.power": "W", "laser.power": "W", "laser.emission": "", "clock.locked": "", "wire.bias.2": "A"}


def unit_of(signal: Signal) -> str:
    try:
        return UNITS[signal.path]
    except KeyError:
        raise ExpressionError(signal.at, f"no {signal.path}") from None


def read(text: str) -> Expression:
    return bind(parse(text), unit_of)


@pytest.mark.parametrize(
    ("text", "values", "true"),
    [
        ("meter.power > 250 uW", {"meter.power": 251e-6}, True),
        ("meter.power > 250 uW", {"meter.power": 250e-6}, False),
        ("-3 dBm <= meter.power", {"meter.power": 0.5012e-3}, True),  # -3 dBm is 0.50119 mW
        ("-3 dBm <= meter.power", {"meter.power": 0.5011e-3}, False),
        ("not clock.locked", {"clock.locked": False}, True),
        ("wire.bias.2 != 17 uA", {"wire.bias.2": 17e-6}, False),
        ("meter.power < laser.power", {"meter.power": 1.0, "laser.power": 2.0}, True),
        # `and` binds closer than `or`, `not` closest.
        ("clock.locked or laser.emission and not clock.locked",
         {"clock.locked": True, "laser.emission": False}, True),
        ("(clock.locked or laser.emission) and not clock.locked",
         {"clock.locked": True, "laser.emission": True}, False),
        ("not clock.locked and laser.emission", {"clock.locked": True, "laser.emission": False}, False),
        ("not (clock.locked and laser.emission)", {"clock.locked": True, "laser.emission": False}, True),
    ],
)  # fmt: skip
def test_an_expression_means_what_it_says(text: str, values: dict[str, float | bool], true: bool) -> None:
    assert holds(read(text), values) is true
    assert {signal.path for signal in signals(read(text))} == set(values)


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("meter.power >", 13, "the end stands where a signal or a number is due"),
        ("meter.power > 250 ns", 14, "'ns' is a unit of time, not of power"),
        ("meter.power > 250", 14, "has no unit of power"),
        ("meter.power", 0, "is a number in W, no flag"),
        ("clock.locked == 1", 0, "is a flag"),
        ("meter.power > wire.bias.2", 14, "both have to be of one kind"),
        ("1 W > 2 W", 0, "one side has to be a signal"),
        ("clock.locked clock.locked", 13, "one too many"),
        ("(clock.locked", 13, "where a ) is due"),
        ("clock.locked & meter.power > 1 W", 13, "'&' means nothing here"),
        ("__import__('os')", 0, "'_' means nothing here"),
        ("meter.nothing > 1 W", 0, "no meter.nothing"),
        ("power > 1 W", 0, "write INSTRUMENT.CONTROL"),
        ("", 0, "the end"),
        ("not " * 60 + "clock.locked", 200, "more than 50"),
        ("clock.locked and " * 40 + "clock.locked", 0, "allowed: 500"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said_with_its_letter(text: str, at: int, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        read(text)
    assert words in str(caught.value)
    assert caught.value.at == at


@given(st.text(st.sampled_from("abw.<>=!()+-09 eorndtuWm/%µ\n\0'"), max_size=40) | st.text(max_size=40))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    places = []
    for parser in (parse, lambda t: parse_end(t, parse("meter.power > 1 W"))):
        try:
            bind(parser(text), unit_of)
        except ExpressionError as error:
            places.append(error.at)
    assert all(0 <= at <= len(text) for at in places)


def lock(when: str, clear: str) -> Interlock:
    return Interlock.model_validate({"when": when, "clear": clear, "action": "warn"})


def test_clear_goes_on_from_when_and_must_lie_on_the_other_side() -> None:
    condition = condition_of(lock("meter.power > 250 uW", "< 240 uW"), unit_of)
    assert condition.clear is not None
    assert [holds(condition.clear, {"meter.power": p}) for p in (239e-6, 240e-6, 251e-6)] == [
        True,
        False,
        False,
    ]
    condition_of(lock("meter.power > 250 uW", "<= 250 uW"), unit_of)
    for clear in ("< 260 uW", "> 240 uW", "< 240 ns", "240 uW"):
        with pytest.raises(ClearError):
            condition_of(lock("meter.power > 250 uW", clear), unit_of)
    with pytest.raises(ClearError, match="no one comparison"):
        condition_of(lock("clock.locked", "< 3 W"), unit_of)


def experiment(folder: Path, more: str, testbed: str = "") -> Path:
    (folder / "testbeds").mkdir()
    stands = (CONFIGS / "testbeds/nyc.yaml").read_text()
    free = re.sub(r"(?m)^limits:\n(  .*\n)+", "", stands)
    (folder / "testbeds/nyc.yaml").write_text(f"{free}\n{testbed}")
    file = folder / "it.yaml"
    file.write_text((CONFIGS / "nyc_swapping.yaml").read_text() + more)
    return file


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_experiment(file)
    return [str(problem) for problem in caught.value.problems]


RIGHT = """
interlocks:
  pump_high: {when: alice_pump_meter.power > 250 uW, clear: < 240 uW, hold: 2 s, latch: true, action: abort}
  dark: {when: singles.alice_h < 100 Hz or hub_nanowires.latched.2, action: pause, resume: true}
limits:
  alice_pump.power: {below: 25 mW}
  hub_nanowires.bias: {below: 18 uA}
"""


def test_what_is_right_is_taken_in_the_experiment_and_in_the_testbed(tmp_path: Path) -> None:
    loaded = load_experiment(
        experiment(tmp_path, RIGHT, RIGHT.replace("pump_high", "other").replace("dark", "d"))
    )
    assert loaded.experiment.interlocks["pump_high"].hold == 2.0
    assert loaded.experiment.interlocks["dark"].fresh == 5.0
    assert list(loaded.testbed.interlocks) == ["other", "d"]


@pytest.mark.parametrize(
    ("more", "place", "words"),
    [
        ("interlocks:\n  a: {when: alice_pump_metre.power > 1 uW, action: warn}\n", "2:13",
         "no instrument of this testbed; allowed: alice_pump, .*did you mean 'alice_pump_meter'?"),
        ("interlocks:\n  a: {when: alice_pump_meter.powr > 1 uW, action: warn}\n", "2:30",
         "did you mean 'power'?"),
        ("interlocks:\n  a: {when: singles.alice_x > 1 Hz, action: warn}\n", "2:21",
         "no detector .*did you mean 'alice_"),
        ("interlocks:\n  a: {when: 'alice_pump.power > 1 ns', action: warn}\n", "2:33",
         "'ns' is a unit of time"),
        ("interlocks:\n  a: {when: alice_pump.emission, action: stop}\n", "2:42",
         "'stop' is not known here; allowed: warn"),
        ("interlocks:\n  a: {when: alice_pump.emission, action: warn, resume: true}\n", "2:56",
         "belongs to action: pause"),
        ("interlocks:\n  a: {when: alice_pump.emission, action: pause, resume: true, latch: true}\n", "2:57",
         "contradict"),
        ("interlocks:\n  a: {when: alice_pump.power > 3 mW, clear: < 4 mW, action: warn}\n", "2:45",
         "choose the other side"),
        ("limits:\n  alice_pump.powr: {below: 25 mW}\n", "2:3",
         "has no setting 'powr'.*did you mean 'power'?"),
        ("limits:\n  alice_pmp.power: {below: 25 mW}\n", "2:3",
         "did you mean 'alice_pump'?"),
        ("limits:\n  alice_pump.power: {below: 25 mA}\n", "2:29",
         "'mA' is a unit of current"),
        ("limits:\n  alice_pump.power: {}\n", "2:21",
         "allows everything"),
        ("limits:\n  alice_qwp.angle: {above: 30 deg, below: 20 deg}\n", "2:20",
         "leaves nothing"),
        ("limits:\n  alice_pump.emission: {below: 1 W}\n", "2:3",
         "has no setting 'emission' with limits"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_the_nearest_word(
    tmp_path: Path, more: str, place: str, words: str
) -> None:
    file = experiment(tmp_path, f"\n{more}")
    before = len((CONFIGS / "nyc_swapping.yaml").read_text().splitlines()) + 1
    line, column = (int(number) for number in place.split(":"))
    [problem] = problems(file)
    assert problem.startswith(f"{file}:{before + line}:{column}: ")
    assert re.search(words, problem), problem


def test_a_set_point_of_the_plan_beyond_a_limit_is_found_before_anything_runs(tmp_path: Path) -> None:
    limits = "\nlimits:\n  alice_pump.power: {below: 19 mW}\n  hub_nanowires.bias.3: {below: 16 uA}\n"
    [power, bias] = problems(experiment(tmp_path, limits))
    assert (
        "bring_up.power.alice_pump: 20 mW is outside the limit alice_pump.power; allowed: at most 19 mW"
        in power
    )
    assert "bring_up.bias.hub_nanowires: 17 µA is outside the limit hub_nanowires.bias.3" in bias


def test_the_testbed_s_limits_hold_for_every_experiment_on_it(tmp_path: Path) -> None:
    file = experiment(
        tmp_path,
        "\nlimits:\n  alice_pump.power: {below: 50 mW}\n",
        "limits: {alice_pump.power: {below: 5 mW}}",
    )
    [problem] = problems(file)
    assert "at most 5 mW" in problem
    load_testbed(tmp_path / "testbeds/nyc.yaml")


def test_an_experiment_cannot_replace_an_interlock_of_its_testbed(tmp_path: Path) -> None:
    same = "\ninterlocks: {pump_high: {when: alice_pump.emission, action: warn}}\n"
    [problem] = problems(experiment(tmp_path, same, same))
    assert "is an interlock of the testbed already" in problem
