"""Delay calibration on synthetic streams with known delays."""

import numpy as np
import pytest

from experiments.calibrations.delays import CalibrationError, Wire, calibrate_delays

PS = 10**12
SPOKES = (("alice_h", "alice_v"), ("bob_h", "bob_v"))
HUB = ("ch", "cv", "dh", "dv")
# Cable of each detector, ps. Positions are defined by the cusp: no delay of the source's own.
CABLE = {"alice_h": 310, "alice_v": -150, "bob_h": 0, "bob_v": 95, "ch": 40, "cv": 1200, "dh": -333, "dv": 5}
CHANNEL = {name: k for k, name in enumerate(CABLE)}


def tags(zero_ps: dict[str, int], tagger_of: dict[str, str], *, seed: int = 3, parallel: float = 0.5) -> dict:
    """Tags of 1 s: 60,000 pairs/s per arm with phi of t1, t2 = 700, 300 ps, jitter 150 ps at the spokes,
    and single clicks. A fraction `parallel` of pairs has equal polarization. `zero_ps[tagger]` is added."""
    rng = np.random.default_rng(seed)
    clicks: dict[str, list[np.ndarray]] = {name: [] for name in CABLE}
    for spoke in SPOKES:
        n = 60_000
        t = rng.integers(0, PS, n)
        late = rng.random(n) < 0.7
        x = np.where(late, rng.exponential(700, n), -rng.exponential(300, n)) + rng.normal(0, 150, n)
        pol = rng.integers(0, 2, n)
        hub_pol = np.where(rng.random(n) < parallel, pol, 1 - pol)
        port = rng.integers(0, 2, n)
        for k, name in enumerate(spoke):
            clicks[name].append((t + np.round(x).astype(np.int64))[pol == k])
        for k, name in enumerate(HUB):
            clicks[name].append(t[(hub_pol == k % 2) & (port == k // 2)])
    streams: dict[str, list[tuple[np.ndarray, int]]] = {}
    for name, parts in clicks.items():
        noise = rng.integers(0, PS, 30_000)
        times = np.concatenate([*parts, noise]) + CABLE[name] + zero_ps[tagger_of[name]]
        streams.setdefault(tagger_of[name], []).append((times, CHANNEL[name]))
    merged = {}
    for tagger, channels in streams.items():
        times = np.concatenate([t for t, _ in channels])
        numbers = np.concatenate([np.full(len(t), c, np.uint8) for t, c in channels])
        order = np.argsort(times, kind="stable")
        merged[tagger] = times[order], numbers[order]
    return merged


def three_taggers() -> dict[str, str]:
    return {name: "alice" if "alice" in name else "bob" if "bob" in name else "hub" for name in CABLE}


def check(found, zero_ps: dict[str, int], tagger_of: dict[str, str], within: float = 5.0) -> None:
    """After shift and delay every detector's clicks must be in true time, up to the reference's cable."""
    for name in CABLE:
        left = (
            CABLE[name]
            + zero_ps[tagger_of[name]]
            + found.shifts_ps[tagger_of[name]]
            + found.fine[name].value_ps
        )
        reference = CABLE["ch"] + zero_ps[tagger_of["ch"]]
        error = max(found.fine[name].error_ps, 0.5)
        assert abs(left - reference) < within * error, name
        assert found.fine[name].error_ps < 40


@pytest.mark.parametrize("parallel", [0.5, 0.97])
def test_finds_offsets_and_cables(parallel: float) -> None:
    zero, where = {"hub": 0, "alice": -4_000_000_789, "bob": 7_043_100_123}, three_taggers()
    wires = {name: Wire(where[name], CHANNEL[name]) for name in CABLE}
    found = calibrate_delays(tags(zero, where, parallel=parallel), wires, SPOKES, HUB, 10 * 10**9)
    assert found.shifts_ps["hub"] == 0
    assert found.fine["ch"].value_ps == 0
    assert 0.2 < found.chi2_per_dof < 4
    check(found, zero, where)


@pytest.mark.parametrize(
    "where",
    [
        {name: "hub" if name in HUB else "spokes" for name in CABLE},
        dict.fromkeys(CABLE, "hub"),
    ],
    ids=["one tagger for both spokes", "one tagger for all"],
)
def test_shared_taggers(where: dict[str, str]) -> None:
    zero = {"hub": 0, "spokes": 3_000_000_000}
    wires = {name: Wire(where[name], CHANNEL[name]) for name in CABLE}
    found = calibrate_delays(tags(zero, where), wires, SPOKES, HUB, 10 * 10**9)
    check(found, zero, where)


def test_outside_the_search_range() -> None:
    where = three_taggers()
    wires = {name: Wire(where[name], CHANNEL[name]) for name in CABLE}
    found = tags({"hub": 0, "alice": 0, "bob": 30_000_000_000}, where)
    with pytest.raises(CalibrationError, match="bob_h and bob_v"):
        calibrate_delays(found, wires, SPOKES, HUB, 10**9)


def test_dark_detector_is_named() -> None:
    where = three_taggers()
    wires = {name: Wire(where[name], CHANNEL[name]) for name in CABLE}
    found = tags({"hub": 0, "alice": 0, "bob": 0}, where)
    times, channels = found["hub"]
    seen = channels != CHANNEL["dv"]
    found["hub"] = times[seen], channels[seen]
    with pytest.raises(CalibrationError, match="no correlation peak ties dv to the others"):
        calibrate_delays(found, wires, SPOKES, HUB, 10**9)
