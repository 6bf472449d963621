"""What every driver promises when the wire, or the instrument, misbehaves.

Some faults only try the driver's patience: with them everything works. Others lose or spoil an answer:
then there is an error of `drivers.errors`, or the right answer, and never another question's; and when
the fault is over the driver works again.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bellbench.conformance.promises import readings
from bellbench.conformance.stand import BRISK_S, BenchStand
from drivers.errors import InstrumentError

__all__ = [
    "test_a_power_cycle_ends_in_the_start_up_state_and_a_working_driver",
    "test_no_fault_gives_a_question_the_answer_of_another",
    "test_the_instruments_own_errors_are_errors",
    "test_with_patience_everything_works",
]

PATIENCE: Mapping[str, Mapping[str, Any]] = {
    "latency": {"latency_s": 0.01},
    "jitter": {"latency_s": 0.002, "jitter_s": 0.01},
    "pieces": {"piece_bytes": 1},
}
LOSSES: Mapping[str, Mapping[str, Any]] = {
    "late answer": {"late": 1},
    "silence": {"silent": True},
    "bytes lost": {"lost": 0.1},
    "bytes garbled": {"garbled": 0.1},
    "unsolicited": {"unsolicited": b"\r\nEVENT 7\r\n"},
}
TRIED = 3
"""So many of an instrument's controls are read under each fault."""
TRIES = 3
"""So many questions may end in an error after a fault is over, until the line is in step again."""


def inflict(stand: BenchStand, faults: Mapping[str, Any]) -> None:
    for name, value in faults.items():
        setattr(stand.sim.faults, name, value)


def relieve(stand: BenchStand, faults: Mapping[str, Any]) -> None:
    clean = type(stand.sim.faults)()
    for name in faults:
        setattr(stand.sim.faults, name, getattr(clean, name))


async def recover(stand: BenchStand) -> dict[str, float | bool]:
    """The driver works again within a few questions. Returns what it reads then."""
    for attempt in range(TRIES):
        try:
            await stand.driver.identity()
            return await readings(stand)
        except InstrumentError:
            if attempt == TRIES - 1:
                raise
    raise AssertionError


@pytest.mark.parametrize("fault", PATIENCE)
async def test_with_patience_everything_works(stand: BenchStand, fault: str) -> None:
    await stand.driver.open()
    before, identity = await readings(stand), await stand.driver.identity()
    inflict(stand, PATIENCE[fault])
    assert await stand.driver.identity() == identity
    assert (await readings(stand)).keys() == before.keys()


@pytest.mark.parametrize("fault", LOSSES)
async def test_no_fault_gives_a_question_the_answer_of_another(stand: BenchStand, fault: str) -> None:
    await stand.driver.open()
    identity, before = await stand.driver.identity(), await readings(stand)
    await stand.hasten()
    for control in stand.driver.controls()[:TRIED]:
        inflict(stand, LOSSES[fault])
        for _ in range(2):
            try:
                found = await stand.read(control)
            except InstrumentError:
                continue
            # Digits that were lost or changed on the way look like other digits; a whole other answer is
            # what must never come. Readings with noise may differ, so only flags and set-points are compared.
            if fault not in ("bytes lost", "bytes garbled") and control.write is not None:
                assert found == pytest.approx(before[control.name]), control.name
        relieve(stand, LOSSES[fault])
    after = await recover(stand)
    assert await stand.driver.identity() == identity
    for control in stand.settable():
        if control.name in before:
            assert after[control.name] == pytest.approx(before[control.name]), control.name


async def test_the_instruments_own_errors_are_errors(stand: BenchStand) -> None:
    await stand.prepare()
    await stand.hasten(BRISK_S)
    for control in stand.settable():
        if control.limits is None:
            continue
        assert control.write is not None
        value = await stand.read(control)
        stand.sim.faults.own_errors = 1
        # An instrument may have answered its error to a question that was asked again; then all is well.
        await asyncio.gather(control.write(control.limits.high), return_exceptions=True)
        if stand.sim.has_error_reply:
            assert stand.sim.faults.own_errors == 0, f"setting {control.name} met no error of the instrument"
        stand.sim.faults.own_errors = 0
        await recover(stand)
        assert await stand.read(control) is not None
        await control.write(value if value in control.limits else control.limits.low)
        await stand.settle()


async def test_a_power_cycle_ends_in_the_start_up_state_and_a_working_driver(stand: BenchStand) -> None:
    await stand.prepare()
    await stand.hasten(BRISK_S)
    for control in stand.settable():
        if control.energises and control.limits is None:
            assert control.write is not None
            await control.write(True)
    stand.sim.power_cycle()
    await recover(stand)
    for control in stand.settable():
        if control.energises and control.limits is None:
            assert await stand.read(control) is stand.sim.resumes, control.name
