"""The light field as a whole, against the predictions of physics.md 4 and 5 and closed formulas.

Every test is seeded. The bands are the table's plus 5 standard errors of the short run, which alone have a
false-alarm rate of 6e-7.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import cos, pi, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_instruments.ports import Ports
from sim_instruments.world.layout import Biphoton, PairSource
from sim_instruments.world.light_field import LightField
from tests.sim_instruments.two_arms import (
    ARMS,
    HUB,
    IDEAL,
    LOCAL,
    NYC,
    OPERATING_BIAS_A,
    PUMP_W,
    SPOKES,
    Column,
    Slice,
    layout,
    pairs,
    polarizations,
    ports,
    watch,
)

Table = NDArray[np.int64]
Z = 5.0
"""Standard errors."""


@contextmanager
def lit(column: Column, settings: Ports | None = None, *, seed: int = 1) -> Iterator[LightField]:
    """The light field of a column of physics.md 5."""
    light = LightField(layout(column), settings or ports(), seed)
    try:
        yield light
    finally:
        light.close()


def one_arm(power_w: float = PUMP_W) -> Ports:
    """Alice's source alone."""
    settings = ports()
    settings.lasers["alice_pump"].power_w = power_w
    settings.lasers["bob_pump"].power_w = 0.0
    return settings


# -- both arms -----------------------------------------------------------------------------------


@dataclass
class Swapping:
    """What a run with both arms counted."""

    column: Column
    seconds: float
    singles: dict[str, int]
    heralds: Table
    """Psi-, Psi+."""
    fourfolds: Table
    """Pattern (Psi-, Psi+), Alice's outcome, Bob's outcome: combinations, as physics.md 5 counts them."""
    accidentals: int
    """Of Alice's H with cH, 1 to 1.1 us later than pairs come."""


PATTERNS = ((("cH", "dV"), ("cV", "dH")), (("cH", "cV"), ("dH", "dV")))


def count(run: Swapping, tags: Slice) -> None:
    column = run.column
    delay = round(column.delays_s[0] * 1e12)
    half, reach = column.bsm_window_ps / 2, column.spoke_window_ps / 2
    for name, times in tags.items():
        run.singles[name] += len(times)
    run.accidentals += pairs(tags["alice_H"], tags["cH"], delay + 1_000_000, delay + 1_100_000)
    spokes = {name: tags[name] + delay - column.spoke_centre_ps for name in SPOKES}
    for pattern, ports_ in enumerate(PATTERNS):
        for p, q in ports_:
            a, b = tags[p], tags[q]
            low, high = np.searchsorted(b, a - half), np.searchsorted(b, a + half)
            first = np.flatnonzero(high > low)  # closer than the dead time: never two partners
            mean = (a[first] + b[low[first]]) / 2
            run.heralds[pattern] += len(mean)
            near = {
                name: np.searchsorted(t, mean + reach) - np.searchsorted(t, mean - reach)
                for name, t in spokes.items()
            }
            for (u, x), (v, y) in product(enumerate("HV"), repeat=2):
                run.fourfolds[pattern, u, v] += int((near[f"alice_{x}"] * near[f"bob_{y}"]).sum())


@pytest.fixture(scope="module", params=["local", "nyc"])
def swapping(request: pytest.FixtureRequest) -> Swapping:
    """Four seconds of the local set, sixteen of the deployed one, both spokes in ZZ."""
    column, seconds, slice_ps = (LOCAL, 4.0, 10**11) if request.param == "local" else (NYC, 16.0, 5 * 10**11)
    empty = np.zeros((2, 2, 2), dtype=np.int64)
    run = Swapping(column, seconds, dict.fromkeys((*SPOKES, *HUB), 0), empty[:, 0, 0].copy(), empty, 0)
    with lit(column) as light:
        for tags in watch(light, seconds, slice_ps):
            count(run, tags)
    return run


def test_singles_of_every_detector(swapping: Swapping) -> None:
    """physics.md 5: +-0.5 %, which is 14 standard errors or more."""
    for name, clicks in swapping.singles.items():
        predicted = swapping.column.spoke_singles_hz if name in SPOKES else swapping.column.hub_singles_hz
        assert clicks / swapping.seconds == pytest.approx(predicted, rel=0.005), name


def test_heralds_of_both_bell_states(swapping: Swapping) -> None:
    predicted = swapping.column.heralds_hz * swapping.seconds
    band = swapping.column.heralds_tolerance * predicted + Z * sqrt(predicted)
    assert np.abs(swapping.heralds - predicted).max() < band


def test_accidentals_are_the_product_of_rates_and_window(swapping: Swapping) -> None:
    """r1 r2 w (physics.md 4, row 11), with the run's own rates and a window of 100 ns."""
    rates = swapping.singles["alice_H"] * swapping.singles["cH"] / swapping.seconds
    expected = rates * 100e-9
    # Each click is a partner to about r w = 0.2 others at most, which adds as much to the variance.
    assert abs(swapping.accidentals - expected) < Z * sqrt(1.5 * expected)


def test_swapped_pairs(swapping: Swapping) -> None:
    """Local: R4 476 +-10 per s, |ZZ| 0.867 +-0.010; deployed: R4 1.54 +-0.05 per s. Both Bell states
    are anticorrelated in ZZ. Long runs of the whole bench hold the tighter bands."""
    n = int(swapping.fourfolds.sum())
    rate, band = (476.0, 10.0) if swapping.column is LOCAL else (1.54, 0.05)
    seconds = swapping.seconds
    assert abs(n - rate * seconds) < band * seconds + Z * sqrt(rate * seconds)
    if swapping.column is LOCAL:
        for table in swapping.fourfolds:
            correlation = (table[0, 0] + table[1, 1] - table[0, 1] - table[1, 0]) / table.sum()
            band = 0.010 + Z * sqrt((1 - 0.867**2) / table.sum())
            assert correlation == pytest.approx(-0.867, abs=band)


# -- one arm alone -------------------------------------------------------------------------------


@dataclass
class ArmAlone:
    """Coincidences of Alice's spoke and the hub in the spoke window, and of chance in its like."""

    seconds: float
    table: Table
    """Alice's outcome, the hub's polarization."""
    chance: int
    live: float
    """Share of pairs that neither detector's dead time takes: 1 - r d at each end."""

    @property
    def total(self) -> int:
        return int(self.table.sum())

    @property
    def correlation(self) -> float:
        (hh, hv), (vh, vv) = self.table
        return float((hh + vv - hv - vh) / self.total)


def alone(column: Column, settings: Ports, seconds: float, slice_ps: int, seed: int = 2) -> ArmAlone:
    delay = column.delays_s[0] * 1e12
    # Hub minus spoke: the pairs' window lies at the delay less the centre.
    low = delay - column.spoke_centre_ps - column.spoke_window_ps / 2
    high = low + column.spoke_window_ps
    table = np.zeros((2, 2), dtype=np.int64)
    chance = spoke_clicks = hub_clicks = 0
    with lit(column, settings, seed=seed) as light:
        for tags in watch(light, seconds, slice_ps):
            hub = polarizations(tags)
            spoke_clicks += len(tags["alice_H"])
            hub_clicks += len(tags["cH"])
            for u, v in product(range(2), repeat=2):
                spoke = tags["alice_" + "HV"[u]]
                table[u, v] += pairs(spoke, hub[v], low, high)
                chance += pairs(spoke, hub[v], low + 1e6, high + 1e6)
    live = 1 - spoke_clicks / seconds * column.spoke.dead_time_s
    live *= 1 - hub_clicks / seconds * column.hub.dead_time_s
    return ArmAlone(seconds, table, chance, live)


@pytest.mark.parametrize(("column", "seconds"), [(LOCAL, 1.0), (NYC, 12.0)], ids=["local", "nyc"])
def test_pairs_of_one_arm(column: Column, seconds: float) -> None:
    """physics.md 5: rate +-1 %, correlation +-0.002, 5 standard errors or more."""
    arm = alone(column, one_arm(), seconds, 5 * 10**11)
    assert arm.total / seconds == pytest.approx(column.arm_pairs_hz, rel=0.01)
    assert arm.correlation == pytest.approx(column.arm_correlation, abs=0.002)
    car = arm.total / arm.chance  # 40 and 38
    assert car == pytest.approx(40.0 if column is LOCAL else 38.0, rel=0.03 + Z / sqrt(arm.chance))


def test_less_laser_power_makes_fewer_pairs() -> None:
    """3 dB: true coincidences, corrected for dead time, fall by 10^-0.3."""
    full = alone(NYC, one_arm(), 8.0, 5 * 10**11)
    less = alone(NYC, one_arm(PUMP_W * 10**-0.3), 8.0, 5 * 10**11, seed=3)
    ratio = (less.total - less.chance) / less.live / ((full.total - full.chance) / full.live)
    error = sqrt(1 / less.total + 1 / full.total)
    assert ratio == pytest.approx(10**-0.3, rel=Z * error)


@pytest.mark.parametrize("turn", ["paddle", "half-wave plate"])
def test_turning_an_optic_lowers_the_correlation_of_an_arm(turn: str) -> None:
    """A half-wave plate at angle a turns H by 2a: cos^2(2a) of H stays H, and V falls to V cos(4a). The
    middle one of three paddles is one, between two quarter-wave plates at 0."""
    angle = pi / 18
    settings = one_arm()
    if turn == "paddle":
        settings.plates["alice_paddles"].plates = [(pi / 2, 0.0), (pi, angle), (pi / 2, 0.0)]
    else:
        settings.rotations["alice_hwp"].angle_rad = angle
    arm = alone(LOCAL, settings, 0.5, 10**11, seed=4)
    expected = LOCAL.arm_correlation * cos(4 * angle)
    error = sqrt((1 - expected**2) / arm.total)
    assert arm.correlation == pytest.approx(expected, abs=0.002 + Z * error)


# -- light that meets light ----------------------------------------------------------------------

TAU_PS = 1000.0
BUNCHED = replace(
    IDEAL,
    source=replace(
        IDEAL.source,
        pair_rate_hz=2e7,  # R J = 0.04
        biphoton=Biphoton("two_sided_exponential", TAU_PS * 1e-12),
        signal_transmission=0.0,
    ),
)
"""Bright light at the hub, nothing at the spokes."""


@pytest.mark.parametrize(
    ("overlap", "arms", "excess"),
    [
        (1.0, 2, 0.0),  # the dip of Hong, Ou and Mandel just fills the bunching of each source
        (0.0, 2, 0.5),  # light of two modes bunches half as much as that of one
        (0.4, 2, 0.3),
        (1.0, 1, 1.0),  # one arm alone, one polarization: thermal
    ],
)
def test_unheralded_coincidences_of_thermal_sources(overlap: float, arms: int, excess: float) -> None:
    """Between the outputs c and d, one polarization: g2(d) = 1 + excess exp(-|d| / tau), for two equal
    sources excess = (1 - kappa) / 2: flat for indistinguishable photons (physics.md 4, row 6). Between
    polarizations nothing is correlated."""
    seconds, reach = 0.3, 1000.0
    settings = ports() if arms == 2 else one_arm()
    same = crossed = 0
    with lit(replace(BUNCHED, mode_overlap=overlap), settings, seed=5) as light:
        for tags in watch(light, seconds):
            same += sum(pairs(tags["c" + p], tags["d" + p], -reach, reach) for p in "HV")
            crossed += sum(pairs(tags["c" + p], tags["d" + q], -reach, reach) for p, q in ("HV", "VH"))
    rate = arms * BUNCHED.source.pair_rate_hz / 4
    flat = 2 * rate**2 * 2 * reach * 1e-12 * seconds
    mean_overlap = (1 - np.exp(-reach / TAU_PS)) * TAU_PS / reach
    # A click has r 2 reach = 0.02 partners at most, in each of the bunched neighbours' windows too.
    error = sqrt(2 * (1 + 8 * rate * reach * 1e-12) / flat)
    assert (same / flat - 1) / mean_overlap == pytest.approx(excess, abs=Z * error / mean_overlap)
    assert crossed / flat - 1 == pytest.approx(0.0, abs=Z * error)


DELAYS = (43.1e-6, 20e-6)


@pytest.mark.parametrize("slice_ps", [20_000_000, 100_000_000, 4_000_000_000])
def test_unequal_fibres_delay_every_photon_and_lose_none(slice_ps: int) -> None:
    """Ideal sources and detectors: every signal click has its idler's click, one fibre delay later, within
    the biphoton and with the same polarization; also where fibres are longer than slices."""
    seconds = 4e-3
    column = replace(IDEAL, source=replace(IDEAL.source, pair_rate_hz=1e6), delays_s=DELAYS)
    with lit(column, seed=6) as light:
        slices = list(watch(light, seconds, slice_ps))
    stream = {name: np.concatenate([tags[name] for tags in slices]) for name in (*SPOKES, *HUB)}
    end = seconds * 1e12 - 100e3
    for p in "HV":
        due = np.sort(
            np.concatenate(
                [
                    stream[f"{arm}_{p}"] + round(delay_s * 1e12)
                    for arm, delay_s in zip(ARMS, DELAYS, strict=True)
                ]
            )
        )
        came = np.sort(np.concatenate([stream["c" + p], stream["d" + p]]))
        n = int(np.searchsorted(due, end))
        assert abs(n - 1e6 * seconds) < 500  # about 3,940 photons: fibres are empty at first
        # In the order of time the two lists differ by separations of signal and idler, at most 12 t1 =
        # 4.8 ns; one photon lost or left behind would shift all that follow by 1 us on average.
        assert np.abs(came[:n] - due[:n]).max() < 4800
        assert abs(int(np.searchsorted(came, end)) - n) <= 1


def test_photons_meet_from_fibres_of_unequal_lengths() -> None:
    """Heralded by H at both spokes, two idlers that arrive within tau / 8 of each other leave by the same
    output: V(d) = exp(-|d| / tau), 0.94 on average. Bunched pairs of one source add a coincidence each,
    R J / 2 times as many. Without interference half of them would part."""
    tau_ps, reach, seconds, rate = 4000.0, 500.0, 0.3, 2e6
    biphoton = Biphoton("two_sided_exponential", tau_ps * 1e-12)
    column = replace(
        IDEAL, source=replace(IDEAL.source, pair_rate_hz=rate, biphoton=biphoton), delays_s=DELAYS
    )
    heralded = {"parallel": 0, "crossed": 0}
    with lit(column, seed=7) as light:
        slices = list(watch(light, seconds, 250_000_000))
    stream = {name: np.concatenate([tags[name] for tags in slices]) for name in (*SPOKES, *HUB)}

    def pairs_at_spokes(p: str, q: str, at: NDArray[np.float64]) -> int:
        """Signals come after their idlers, within 6 tau."""
        found = []
        for name, delay_s in zip((f"alice_{p}", f"bob_{q}"), DELAYS, strict=True):
            due = stream[name] + round(delay_s * 1e12)
            found.append(np.searchsorted(due, at + 6 * tau_ps) - np.searchsorted(due, at - reach))
        return int((np.minimum(found[0], 1) * np.minimum(found[1], 1)).sum())

    for p, q in product("HV", repeat=2):
        a, b = stream["c" + p], stream["d" + q]
        low, high = np.searchsorted(b, a - reach), np.searchsorted(b, a + reach)
        at = a[high > low].astype(np.float64)
        if p == q:
            heralded["parallel"] += pairs_at_spokes(p, p, at)
        else:
            heralded["crossed"] += pairs_at_spokes(p, q, at) + pairs_at_spokes(q, p, at)
    unaffected = rate**2 * 2 * reach * 1e-12 * seconds / 4  # half of half of all meetings
    assert abs(heralded["crossed"] - unaffected) < 0.1 * unaffected + Z * sqrt(unaffected)
    assert heralded["parallel"] < 0.2 * unaffected


# -- slices, seeds, eyes -------------------------------------------------------------------------


def test_cutting_time_differently_changes_nothing_that_can_be_measured() -> None:
    """One arm of the local set in slices of 1, 10 and 100 ms: singles, pairs and correlations agree, and
    no two clicks of a detector come within its dead time, whatever lies between them."""
    seconds = 0.5
    found = []
    for slice_ps in (10**9, 10**10, 10**11):
        clicks = total = parted = 0
        last: dict[str, int] = {}
        with lit(LOCAL, one_arm(), seed=slice_ps % 97) as light:
            for tags in watch(light, seconds, slice_ps):
                for name, times in tags.items():
                    if not len(times):
                        continue
                    gaps = np.diff(times, prepend=last.get(name, times[0] - 10**6))
                    assert gaps.min() >= 20_000 - 1
                    last[name] = int(times[-1])
                h, v = polarizations(tags)
                clicks += len(tags["alice_H"])
                total += pairs(tags["alice_H"], h, -950, 650)
                parted += pairs(tags["alice_H"], v, -950, 650)
        found.append((clicks, total, parted))
    for one, other in pairwise(found):
        for n, m in zip(one, other, strict=True):
            assert abs(n - m) < Z * sqrt(1.1 * (n + m))


def test_the_seed_decides_every_tag() -> None:
    def tags(seed: int) -> list[Slice]:
        with lit(NYC, seed=seed) as light:
            return list(watch(light, 0.03, 10**10))

    first, again, other = tags(8), tags(8), tags(9)
    for a, b, c in zip(first, again, other, strict=True):
        assert set(a) == {*SPOKES, *HUB}
        for name in a:
            assert np.array_equal(a[name], b[name])
            assert not np.array_equal(a[name][:100], c[name][:100])


def test_nobody_looks_and_nanowires_still_count() -> None:
    """Without a recording tagger there are no clicks; the read-outs count what physics.md 5 predicts."""
    settings = ports(recording=False)
    with lit(LOCAL, settings, seed=10) as light:
        assert all(tags == {} for tags in watch(light, 2.0))
        for wire in settings.nanowires.values():
            assert wire.clicks / 2.0 == pytest.approx(LOCAL.hub_singles_hz, rel=0.005)
        counted = [wire.clicks for wire in settings.nanowires.values()]
        settings.taggers["hub"].recording = True
        seen = next(watch(light, 0.1))
        # While somebody looks, the read-outs count the very clicks that are tagged.
        assert [w.clicks - n for w, n in zip(settings.nanowires.values(), counted, strict=True)] == [
            len(seen[port]) for port in HUB
        ]
    assert settings.taggers["hub"].clock_ps == 2_100_000_000_000


def test_bias_of_one_nanowire_is_its_own_affair() -> None:
    """Half the efficiency at one of the hub's detectors and none at another leave the rest as they are.
    (0.7 of the operating bias is where this model's sigmoid is at its half.)"""
    settings = ports()
    settings.nanowires["hub_nanowires", 2].bias_a = 0.7 * OPERATING_BIAS_A
    settings.nanowires["hub_nanowires", 3].bias_a = 0.0
    column = replace(LOCAL, hub=replace(LOCAL.hub, dead_time_s=0.0))
    seconds = 1.0
    with lit(column, settings, seed=11) as light:
        slices = list(watch(light, seconds))
    clicks = {port: sum(len(tags[port]) for tags in slices) for port in HUB}
    full = 2 * 1.3e7 * 0.45 * 0.79 * 0.90 / 4 + 1e5  # sources and unpaired light, R eta / 4 + 4e5 / 4
    bunching = 1.1  # of the variance
    for port, expected in (("cH", full + 100), ("cV", full / 2), ("dV", full + 100)):
        assert abs(clicks[port] - expected * seconds) < Z * sqrt(bunching * expected * seconds) + 100
    assert clicks["dH"] == 0


def test_dark_bench() -> None:
    """Lasers off: dark counts alone, 100 per s and detector."""
    settings = ports()
    for laser in settings.lasers.values():
        laser.power_w = 0.0
    with lit(LOCAL, settings, seed=12) as light:
        slices = list(watch(light, 20.0, 10**12))
    for name in (*SPOKES, *HUB):
        assert abs(sum(len(tags[name]) for tags in slices) - 2000) < Z * sqrt(2000)


def test_a_path_that_ends_nowhere_is_refused() -> None:
    plan = layout(LOCAL)
    alice = plan.lights[0]
    assert isinstance(alice, PairSource)
    astray = replace(alice, idler_path=("alice_fibre", "nowhere"))
    with pytest.raises(ValueError, match="alice, idler path: there is nothing called 'nowhere'"):
        LightField(replace(plan, lights=(astray, plan.lights[1])), ports(), 1)
