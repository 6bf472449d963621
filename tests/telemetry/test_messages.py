"""The payloads are plain JSON that any subscriber reads (RFC 8259, RFC 3339)."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from telemetry import wire
from telemetry.messages import Estimate, Event, Rates, Result, RunState, Status
from telemetry.wire import Stamp, decode, encode

STAMP = Stamp(datetime(2026, 11, 22, 3, 10, 0, 123456, UTC), 42, 7, "b00t", "run-1")


def strict(data: bytes) -> dict[str, object]:
    """Parsed as other languages do it: NaN and Infinity are errors."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} on the wire")

    parsed = json.loads(data, parse_constant=refuse)
    assert isinstance(parsed, dict)
    return parsed


def test_stamp_is_utc_with_microseconds() -> None:
    here = timezone(timedelta(hours=-5))
    stamp = Stamp(datetime(2026, 11, 21, 22, 10, tzinfo=here), 1, 1, "b", None)
    fields = strict(encode(stamp, Status(state="ready")))
    assert fields == {
        "time": "2026-11-22T03:10:00.000000Z", "seq": 1, "change": 1, "boot": "b", "run": None,
        "state": "ready", "dropped_figures": 0, "dropped_events": 0,
    }  # fmt: skip


def test_rates_have_a_field_per_detector() -> None:
    fields = strict(
        encode(
            STAMP,
            Rates(
                singles_hz={"alice_h": 120470.0, "hub_ch": 1.5e5}, figures={"chsh_s": Estimate(value=2.31)}
            ),
        )
    )
    assert fields["singles_alice_h_hz"] == 120470
    assert fields["singles_hub_ch_hz"] == 150000
    assert fields["chsh_s"] == 2.31
    assert fields["heralds_hz"] is None


def test_results_are_value_and_error_under_their_names() -> None:
    fields = strict(encode(STAMP, Result(estimates={"swap_rate_hz": Estimate(value=1.52, error=0.04)})))
    assert (fields["swap_rate_hz"], fields["swap_rate_hz_error"]) == (1.52, 0.04)


@pytest.mark.parametrize(
    "payload",
    [
        RunState(state="paused", step="a", step_index=1, steps=3, progress=0.5, reason="laser off"),
        Rates(singles_hz={"a": 1.0, "b": None}, heralds_hz=3.0, fourfolds=7),
        Result(estimates={"chsh_s": Estimate(value=2.5, error=0.1), "fidelity": Estimate(value=0.9)}),
        Event(level="warning", text='quotes " and \u2028', node="hub", instrument="hub_tagger"),
        Status(state="lost"),
    ],
)
def test_what_is_sent_is_what_is_read(payload: RunState | Rates | Result | Event | Status) -> None:
    stamp, fields = decode(encode(STAMP, payload))
    assert stamp == STAMP
    assert payload.read(fields) == payload
    assert all(not isinstance(value, dict | list) for value in fields.values())


@given(st.lists(st.floats(), min_size=6, max_size=6))
def test_never_nan(values: list[float]) -> None:
    a, b, c, d, e, f = values
    for payload in (
        Rates(singles_hz={"a": a, "b": np.float64(b)}, heralds_hz=c, interval_s=f),
        Result(estimates={"x": Estimate(value=a, error=b)}),
        RunState(state="running", progress=c, elapsed_s=d, remaining_s=e),
    ):
        sent = strict(encode(STAMP, payload))
        assert all(not isinstance(value, float) or math.isfinite(value) for value in sent.values())
    rates = strict(encode(STAMP, Rates(heralds_hz=c)))
    assert rates["heralds_hz"] == (c if math.isfinite(c) else None)


def test_a_file_s_name_that_is_no_text_can_be_told() -> None:
    """As Python has the bytes that it cannot read (PEP 383); UTF-8 has no such letters (RFC 3629, 3)."""
    stamp, fields = decode(encode(STAMP, Event(level="info", text="no disk at µ/\udcff")))
    assert (stamp, fields["text"]) == (STAMP, "no disk at µ/?")


def test_nor_what_no_float_can_hold() -> None:
    assert strict(encode(STAMP, Rates(heralds_hz=10**400)))["heralds_hz"] is None


def test_nor_by_a_copy_that_nobody_checked() -> None:
    rates = Rates(heralds_hz=2.0).model_copy(update={"heralds_hz": math.nan, "singles_hz": {"a": math.inf}})
    sent = strict(encode(STAMP, rates))
    assert (sent["heralds_hz"], sent["singles_a_hz"]) == (None, None)


def test_a_reader_ignores_fields_of_a_later_version() -> None:
    assert Status.read({"state": "ready", "mood": "good"}) == Status(state="ready")


def test_a_wrong_word_of_ours_is_refused() -> None:
    with pytest.raises(ValidationError, match="progess"):
        RunState(state="running", progess=0.5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff", b"[]", b"3", b"null", b"{}", b'{"time":1,"seq":1,"change":1,"boot":"b","run":null}',
        b'{"time":"2026-11-22T03:10:00","seq":1,"change":1,"boot":"b","run":null}',  # no zone
        b'{"time":"2026-11-22T03:10:00Z","seq":1,"change":1,"boot":"b","run":3}',
        b'{"time":"2026-11-22T03:10:00Z","seq":1,"change":1,"boot":"b","run":null,"x":NaN}',
        b'{"time":"2026-11-22T03:10:00Z","seq":1e999,"change":1,"boot":"b","run":null}',
        b'{"time":"2026-11-22T03:10:00Z","seq":1,"change":1,"boot":"b","run":null,"x":-1e999}',
        b'{"time":"2026-11-22T03:10:00Z","seq":1,"change":1,"boot":"b","run":null,"x":%s}' % (b"9" * 400),
        b'{"time":"0001-01-01T00:00:00+05:00","seq":1,"change":1,"boot":"b","run":null}',  # not in UTC
        b'{"time":"9999-12-31T23:59:59Z","seq":1,"change":1,"boot":"b","run":null}',  # nor in Tokyo
        b'{"time":"2026-11-22T03:10:00Z","seq":1,"change":1,"boot":"b","run":"\\ud800"}',  # half a letter
        b'{"time":"2026-11-22T03:10:00Z","seq":1,"change":1,"boot":"b","run":"\xed\xa0\x80"}',  # the same
        b'{"time":"2026-11-22T03:10:00Z","seq":1,"change":1,"boot":"b","run":null,"x":[1]}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_foreign_messages_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- the promise is no more than this
        decode(data)


def test_whatever_a_test_publishes_is_held_to_the_schemas() -> None:
    """See tests/conftest.py: what would go out wrong fails the test that sends it."""
    wrong = RunState.model_construct(state="dreaming")
    with pytest.raises(jsonschema.ValidationError, match="dreaming"):
        wire.encode(STAMP, wrong)
    with pytest.raises(jsonschema.ValidationError, match="minimum of 1"):
        wire.encode(Stamp(STAMP.time, 0, 1, "b", None), Status(state="ready"))
