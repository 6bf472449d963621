"""What holds for every test: whatever a test publishes as telemetry is what the contract's schemas say, and
no example of hypothesis has a deadline of its own (200 ms, which a busy machine needs for nothing)."""

import functools
import json
from typing import Any

import pytest
from hypothesis import settings
from jsonschema import Draft202012Validator, FormatChecker

from telemetry import contract, wire


@functools.cache
def _validator(payload: type[wire.Payload]) -> Draft202012Validator:
    [kind] = [kind for kind in contract.KINDS if kind.payload is payload]
    return Draft202012Validator(contract.schema(kind, strict=True), format_checker=FormatChecker())


def pytest_configure() -> None:
    settings.register_profile("bellbench", settings(), deadline=None)
    settings.load_profile("bellbench")
    encode = wire.encode

    def encode_and_validate(stamp: wire.Stamp, payload: wire.Payload) -> bytes:
        data = encode(stamp, payload)
        _validator(type(payload)).validate(json.loads(data, parse_constant=_no_json))
        return data

    wire.encode = encode_and_validate


def _no_json(name: str) -> Any:
    pytest.fail(f"{name} on the wire: that is not JSON")
