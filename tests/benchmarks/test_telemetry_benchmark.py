"""The benchmark of telemetry measures what its names say. How fast, no test asks."""

import asyncio
import sys

from benchmarks import telemetry


def test_a_few_messages_are_carried_by_each_broker() -> None:
    brokers = {"amqtt": sys.executable, "mosquitto": telemetry._mosquitto()}
    for kind, program in brokers.items():
        if program is None:
            continue
        many, late = asyncio.run(telemetry._carried(kind, program, messages=200, steady_s=0.2))
        assert (many.name, late.name) == (f"telemetry.{kind}_per_s", f"telemetry.{kind}_p99_ms")
        assert 0 < many.value < 1e6
        assert late.value > 0
        assert "200 of them" in many.text
