"""Where the light of pair sources can go, straight from layouts, against closed formulas.

Every test is seeded. Bounds are 5.5 standard errors (false alarm below 4e-8 each) unless said otherwise.
"""

from dataclasses import replace
from itertools import product
from math import exp, pi, sqrt

import numpy as np
import pytest

from sim_instruments.ports import DelayPort, SwitchPort
from sim_instruments.world.layout import (
    BellStateMeasurement,
    Biphoton,
    DelayLine,
    Fibre,
    PairSource,
    Pulses,
    Splitter,
    Switch,
)
from tests.sim_instruments.light_bench import (
    GAUSSIAN,
    HH,
    LightBench,
    Tags,
    analyser,
    both,
    counts,
    histogram,
    pairs,
    pulse_numbers,
    within,
)

Z = 5.5
PORTS = ("cH", "cV", "dH", "dV")


def hub(name: str, **changes: object) -> BellStateMeasurement:
    ports = tuple(f"{name}_{port}" for port in PORTS)
    return BellStateMeasurement(name, ports, **changes)  # type: ignore[arg-type]


def ports_of(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{port}" for name in names for port in PORTS)


def correlation(tags: Tags, a: str, b: str, low_ps: float, high_ps: float) -> tuple[float, int]:
    """E of two analysers, and of how many pairs."""
    n = {
        (u, v): within(tags[f"{a}_{u}"], tags[f"{b}_{v}"], low_ps, high_ps)
        for u, v in product("hv", repeat=2)
    }
    total = sum(n.values())
    return (n["h", "h"] + n["v", "v"] - n["h", "v"] - n["v", "h"]) / total, total


# -- receivers -----------------------------------------------------------------------------------


def test_a_passive_choice_of_basis() -> None:
    """Idlers divide at 50:50 between analysers at 0 and 45 degrees (BBM92): with signals analysed at 0
    degrees |Phi+> gives E = 1 with the first and 0 with the second, half of the pairs each."""
    idler = Splitter("choice", "plain", ("bob",), ("bella",))
    bench = LightBench(
        (pairs("s", "alice", "choice"),),
        both("alice", "bob", "bella"),
        {"analysers": tuple(map(analyser, ("alice", "bob", "bella"))), "splitters": (idler,)},
    )
    bench.turn("bella", 45.0)
    tags = bench.watch(0.3)
    for name, expected in (("bob", 1.0), ("bella", 0.0)):
        found, n = correlation(tags, "alice", name, -5000, 5000)
        assert abs(n - 150_000) < Z * sqrt(150_000) + 150_000 * 0.02  # chance: R w = 1 %
        # A chance partner has E = 0: 0.5 % of those of "bob".
        assert found == pytest.approx(expected, abs=0.012 + Z / sqrt(n) * sqrt(1.001 - expected))


@pytest.mark.parametrize(("modes", "excess"), [(1.0, 1.0), (4.0, 0.25), (float("inf"), 0.0)])
@pytest.mark.parametrize("side", ["signal", "idler"])
def test_bunching_behind_a_beam_splitter(side: str, modes: float, excess: float) -> None:
    """Hanbury Brown and Twiss on one side of a polarized source: g2(d) = 1 + |g1(d)|^2 / modes, and |g1|^2 =
    exp(-d^2 / 4 tau^2) for the Gaussian biphoton. Counted within 2 tau."""
    tau, rate, seconds = 500.0, 2e7, 0.15
    halves = Splitter("half", "plain", ("one",), ("two",))
    ends = ("half", "lone") if side == "signal" else ("lone", "half")
    source = pairs("s", *ends, state=HH, modes=modes, pair_rate_hz=rate)
    bench = LightBench((source,), ("one", "two", "lone"), {"splitters": (halves,)})
    tags = bench.watch(seconds, seed=2)
    x = np.linspace(-2, 2, 4001)
    mean = float(np.mean(np.exp(-(x**2) / 4)))
    flat = (rate / 2) ** 2 * 4 * tau * 1e-12 * seconds
    found = within(tags["one"], tags["two"], -2 * tau, 2 * tau) / flat - 1
    assert found == pytest.approx(excess * mean, abs=1.3 * Z / sqrt(flat))


def test_heralded_second_photon_of_a_thermal_source() -> None:
    """A click of the signal heralds one idler; a second one comes as in the thermal light of the idlers alone
    with its own pair's twice the chance: g2(0) of heralded idlers, from normally ordered moments of the
    two-mode squeezed state, is 4 mu for mu << 1; of Poissonian pairs 2 mu (here per pulse, in one mode)."""
    mu, pulses = 0.01, 10_000_000
    train = Pulses(10e-9, 100e-12)
    halves = Splitter("half", "plain", ("one",), ("two",))
    for modes, factor in ((1.0, 4.0), (float("inf"), 2.0)):
        source = pairs(
            "s", "herald", "half", state=HH, modes=modes, pulses=train, pair_rate_hz=mu * 1e8,
            biphoton=Biphoton("gaussian", 200e-12),
        )  # fmt: skip
        bench = LightBench((source,), ("herald", "one", "two"), {"splitters": (halves,)}, efficiency=0.5)
        tags = bench.watch(pulses * 1e-8, seed=3)
        numbers = {name: pulse_numbers(times, 1e4) for name, times in tags.items()}
        heralds = numbers["herald"]
        one, two = counts(numbers["one"], heralds), counts(numbers["two"], heralds)
        three = int((one * two).sum())
        # Next order in mu: 4 mu (1 + ...) with terms below 5 mu relative.
        found = three * len(heralds) / (int(one.sum()) * int(two.sum()))
        assert found == pytest.approx(factor * mu, rel=5 * mu + Z / sqrt(three))


def test_a_lost_side_leaves_plain_singles() -> None:
    source = pairs("s", (), "d", idler_transmission=0.25, unpaired_idler_hz=4e5)
    tags = LightBench((source,), ("d",), efficiency=0.5).watch(1.0)
    expected = (1e6 + 4e5) * 0.25 * 0.5
    assert abs(len(tags["d"]) - expected) < Z * sqrt(1.01 * expected)


# -- one hub -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_arm_with_its_signals_or_its_idlers_at_the_hub(mirrored: bool) -> None:
    """One-sided packets: signals come after their idlers by tau on average, wherever they go; the state
    (0.8 HV + 0.2 VH in weight) tells which photon is which."""
    state = np.diag([0.0, 0.8, 0.2, 0.0]).astype(np.complex128)
    tau = 2000.0
    ends = ("hub.a", "alice") if mirrored else ("alice", "hub.a")
    source = pairs(
        "s", *ends, state=state, biphoton=Biphoton("two_sided_exponential", tau * 1e-12), pair_rate_hz=2e5
    )
    bench = LightBench(
        (source,),
        both("alice") + ports_of("hub"),
        {"analysers": (analyser("alice"),), "measurements": (hub("hub"),)},
    )
    tags = bench.watch(1.0, seed=4)
    h = np.sort(np.concatenate([tags["hub_cH"], tags["hub_dH"]]))
    v = np.sort(np.concatenate([tags["hub_cV"], tags["hub_dV"]]))
    for u, here, share in (("h", v, 0.2 if mirrored else 0.8), ("v", h, 0.8 if mirrored else 0.2)):
        clicks = tags[f"alice_{u}"]
        first, second = (clicks, here) if mirrored else (here, clicks)
        n = within(first, second, 0.0, 5 * tau)
        expected = 2e5 * share * (1 - exp(-5))
        chance = (2e5 * share) ** 2 * 5 * tau * 1e-12
        assert abs(n - expected - chance) < Z * sqrt(expected)
        assert within(second, first, 100.0, 5 * tau) < 3 * chance + 50


@pytest.mark.parametrize("delay_ps", [0.0, 400.0, 1500.0])
@pytest.mark.parametrize("overlap", [1.0, 0.5])
def test_dip_of_signal_and_idler_on_one_beam_splitter(delay_ps: float, overlap: float) -> None:
    """Both photons of HH pairs on one 50:50 beam splitter, the signal later by D: coincidences of c with
    d are (1 - kappa V) / 2 of the pairs; V is the integral of phi(x) phi(-x - 2 D), exp(-D^2 / 2 tau^2)."""
    tau, rate, seconds = 500.0, 4e5, 0.25
    bench = LightBench(
        (pairs("s", ("line", "hub.a"), "hub.b", state=HH, pair_rate_hz=rate),),
        ("c", "d"),
        {
            "delay_lines": (DelayLine("line"),),
            "measurements": (BellStateMeasurement("hub", ("c", "c", "d", "d"), mode_overlap=overlap),),
        },
    )
    bench.ports.delays["line"] = DelayPort(delay_ps * 1e-12)
    tags = bench.watch(seconds, seed=5)
    assert abs(len(tags["c"]) - rate * seconds) < Z * sqrt(2 * rate * seconds)
    reach = 2 * delay_ps + 6 * tau
    n = within(tags["c"], tags["d"], -reach, reach)
    pairs_ = rate * seconds
    share = (1 - overlap * exp(-(delay_ps**2) / (2 * tau**2))) / 2
    chance = rate * rate * 2 * reach * 1e-12 * seconds
    assert abs(n - share * pairs_ - chance) < Z * sqrt(share * (1 - share) * pairs_ + chance) + 0.02 * chance


def test_a_phase_between_signal_and_idler_fills_the_dip() -> None:
    """Carriers 1 GHz apart beat: coincidences at a difference x in time go as 1 - cos(2 pi f x)."""
    rate, beat = 4e5, 1e9
    source = pairs("s", "hub.a", "hub.b", state=HH, pair_rate_hz=rate, carrier_offset_hz=beat / 2)
    bench = LightBench(
        (source,), ("c", "d"), {"measurements": (BellStateMeasurement("hub", ("c", "c", "d", "d")),)}
    )
    tags = bench.watch(0.25, seed=6)
    edges = np.linspace(-1000, 1000, 21)
    found = histogram(tags["c"], tags["d"], edges)
    x = (edges[:-1, None] + np.linspace(0.5, 99.5, 100)).astype(float)
    density = (
        np.exp(-(x**2) / (2 * 500.0**2)) / (500 * sqrt(2 * pi)) * (1 - np.cos(2 * pi * beat * x * 1e-12))
    )
    expected = rate * 0.25 / 2 * density.sum(axis=1) + rate**2 * 100e-12 * 0.25
    chi2 = ((found - expected) ** 2 / expected).sum()
    assert chi2 < 20 + 6.5 * sqrt(40)  # false alarm 1e-7


def test_unheralded_light_of_two_sources_beats_at_their_detuning() -> None:
    """physics.md 4, row 16: Poisson inputs, 0.5 GHz apart: g2 = 1 - cos(dw d) exp(-|d| / tau) / 2 between the
    outputs, one polarization. The detuning comes from the pump laser of one of them."""
    tau, rate, seconds = 1000.0, 8e6, 0.08
    biphoton = Biphoton("two_sided_exponential", tau * 1e-12)
    lights = tuple(
        pairs(n, (), f"hub.{n}", state=HH, modes=float("inf"), pair_rate_hz=rate, biphoton=biphoton, pump=n)
        for n in "ab"
    )
    bench = LightBench(lights, ports_of("hub"), {"measurements": (hub("hub"),)}, {"a": 1e-3, "b": 1e-3})
    bench.ports.lasers["b"].detuning_hz = 0.5e9
    tags = bench.watch(seconds, seed=7)
    edges = np.linspace(-3000, 3000, 61)
    found = histogram(tags["hub_cH"], tags["hub_dH"], edges)
    d = edges[:-1, None] + np.linspace(0.5, 99.5, 100)
    g2 = 1 - 0.5 * np.cos(2 * pi * 0.5e-3 * d) * np.exp(-np.abs(d) / tau)
    expected = rate**2 * 100e-12 * seconds * g2.mean(axis=1)
    chi2 = ((found - expected) ** 2 / expected).sum()
    assert chi2 < 60 + 6.5 * sqrt(120)


# -- where switches lead ---------------------------------------------------------------------------


def star() -> LightBench:
    """Four sources; a switch takes the idlers of any two to the hub."""
    names = ("n1", "n2", "n3", "n4")
    lights = tuple(pairs(n, n, f"switch.{k}", pair_rate_hz=2e5) for k, n in enumerate(names, 1))
    switch = Switch("switch", {1: ("hub.a",), 2: ("hub.b",)}, crosstalk_db=80.0)
    bench = LightBench(
        lights,
        both(*names) + ports_of("hub"),
        {"analysers": tuple(map(analyser, names)), "switches": (switch,), "measurements": (hub("hub"),)},
    )
    bench.ports.switches["switch"] = SwitchPort()
    return bench


def test_a_switch_decides_whose_light_meets() -> None:
    bench = star()
    light = bench.light(8)
    seconds = 0.1
    for connected in ({1: 1, 2: 2}, {3: 1, 4: 2}, {2: 1, 4: 2}, {}):
        bench.ports.switches["switch"].connected = connected
        tags = bench.go_on(light, seconds)
        at_hub = {p: np.sort(np.concatenate([tags[f"hub_c{p}"], tags[f"hub_d{p}"]])) for p in "HV"}
        expected = 1e5 * seconds * len(connected)
        for p in "HV":
            assert abs(len(at_hub[p]) - expected) < Z * sqrt(expected) + 3
        for k in range(1, 5):
            same = within(tags[f"n{k}_h"], at_hub["H"], -5000, 5000)
            chance = 1e5 * 2e5 * 10e-9 * seconds
            due = (1e5 * seconds if k in connected else 0.0) + (chance if connected else 0)
            assert abs(same - due) < Z * sqrt(due) + 3
    light.close()


def test_a_switch_can_take_both_photons_to_receivers_or_one_to_the_hub() -> None:
    switch = Switch("switch", {1: ("bob",), 2: ("hub.b",)}, crosstalk_db=80.0)
    bench = LightBench(
        (pairs("s", "alice", "switch.1"),),
        both("alice", "bob") + ports_of("hub"),
        {
            "analysers": (analyser("alice"), analyser("bob")),
            "switches": (switch,),
            "measurements": (hub("hub"),),
        },
    )
    bench.ports.switches["switch"] = SwitchPort({1: 1})
    light = bench.light(9)
    for output in (1, 2, 1):
        bench.ports.switches["switch"].connected = {1: output}
        tags = bench.go_on(light, 0.1)
        at_bob = len(tags["bob_h"]) + len(tags["bob_v"])
        at_hub = sum(len(tags[name]) for name in ports_of("hub"))
        for n, here in ((at_bob, output == 1), (at_hub, output == 2)):
            assert abs(n - (1e5 if here else 0.0)) < (Z * sqrt(1.02e5) if here else 5)
    light.close()


def test_what_leaks_to_a_hub_is_noise_there() -> None:
    """20 dB of crosstalk: one percent of the idlers at every other output."""
    switch = Switch("switch", {1: ("bob",), 2: ("hub.b",)}, crosstalk_db=20.0)
    bench = LightBench(
        (pairs("s", "alice", "switch.1"),),
        both("alice", "bob") + ports_of("hub"),
        {
            "analysers": (analyser("alice"), analyser("bob")),
            "switches": (switch,),
            "measurements": (hub("hub"),),
        },
    )
    bench.ports.switches["switch"] = SwitchPort({1: 1})
    tags = bench.watch(0.5)
    assert abs(sum(len(tags[name]) for name in ports_of("hub")) - 5000) < Z * sqrt(5000)
    found, n = correlation(tags, "alice", "bob", -5000, 5000)
    assert abs(n - 0.99 * 5e5 - 5000) < Z * sqrt(5e5)
    assert found > 0.97


# -- chains of hubs --------------------------------------------------------------------------------

MU, PERIOD_PS = 0.03, 10_000.0
SEPARABLE = {
    "pulses": Pulses(10e-9, 100e-12),
    "biphoton": Biphoton("gaussian", 200e-12),  # with tau twice the pulse's width: one Schmidt mode
    "pair_rate_hz": MU * 1e8,
}


def chain(delays_s: tuple[float, float] = (0.0, 0.0)) -> LightBench:
    """Three sources, two hubs: entanglement swapped twice. Fibres lead from the middle source."""
    lights = (
        pairs("s1", "alice", "h1.a", **SEPARABLE),
        pairs("s2", ("left", "h1.b"), ("right", "h2.a"), **SEPARABLE),
        pairs("s3", "bob", "h2.b", **SEPARABLE),
    )
    return LightBench(
        lights,
        both("alice", "bob") + ports_of("h1", "h2"),
        {
            "analysers": (analyser("alice"), analyser("bob")),
            "measurements": (hub("h1"), hub("h2")),
            "fibres": tuple(
                Fibre(n, 0.0, 0.0, delay_s) for n, delay_s in zip(("left", "right"), delays_s, strict=True)
            ),
        },
    )


@pytest.mark.parametrize(("degrees", "signs"), [(0.0, (1, 1)), (45.0, (1, -1))], ids=["ZZ", "XX"])
def test_two_swaps_in_a_row_leave_the_ends_entangled(degrees: float, signs: tuple[int, int]) -> None:
    """Heralded by both hubs, Alice's and Bob's photons are in Phi+ or, for unlike heralds, in Phi-: ZZ = 1,
    XX = +-1, exactly, where a pulse has one photon at each analyser and two at each hub. Their
    rate is P(1)^3 / 4 with P(1) = mu / (1 + mu / 2)^3 for two thermal modes."""
    seconds, pulses = 0.3, 30_000_000
    bench = chain()
    bench.turn("alice", degrees)
    bench.turn("bob", degrees)
    numbers = {name: pulse_numbers(times, PERIOD_PS) for name, times in bench.watch(seconds, seed=10).items()}
    chosen = np.unique(np.concatenate([numbers["alice_h"], numbers["alice_v"]]))
    seen = {name: counts(pulse, chosen) for name, pulse in numbers.items()}
    one_each = np.ones(len(chosen), dtype=bool)
    for end in ("alice", "bob"):
        one_each &= seen[f"{end}_h"] + seen[f"{end}_v"] == 1
    plus = []
    for name in ("h1", "h2"):
        c_h, c_v, d_h, d_v = (seen[f"{name}_{port}"] for port in PORTS)
        two = c_h + c_v + d_h + d_v == 2
        minus = (c_h * d_v + c_v * d_h) == 1
        plus.append((c_h * c_v + d_h * d_v) == 1)
        one_each &= two & (minus | plus[-1])
    product_ = (seen["alice_h"] - seen["alice_v"]) * (seen["bob_h"] - seen["bob_v"])
    alike = plus[0] == plus[1]
    assert (product_[one_each & alike] == signs[0]).all()
    assert (product_[one_each & ~alike] == signs[1]).all()
    expected = pulses * (MU / (1 + MU / 2) ** 3) ** 3 / 4
    assert abs(one_each.sum() - expected) < Z * sqrt(expected)


@pytest.mark.parametrize("delays_s", [(0.0, 3e-6), (3e-6, 0.0)])
@pytest.mark.parametrize("slice_ps", [2_000_000, 10**9])
def test_no_photon_of_a_chain_is_lost_or_late_wherever_time_is_cut(
    delays_s: tuple[float, float], slice_ps: int
) -> None:
    """The two photons of the middle source come to their hubs with their fibres' delays, whichever hub is
    decided first; tags are complete and in order in every slice."""
    bench = chain(delays_s)
    bench.lights = (replace(bench.lights[1], pulses=None, pair_rate_hz=2e6),)  # type: ignore[type-var]
    tags = bench.watch(6e-4, seed=11, slice_ps=slice_ps)
    times = []
    for name, delay_s in zip(("h1", "h2"), delays_s, strict=True):
        clicks = [tags[f"{name}_{port}"] for port in PORTS]
        assert all((np.diff(t) >= 0).all() for t in clicks)
        times.append(np.sort(np.concatenate(clicks)) - round(delay_s * 1e12))
    n = int(np.searchsorted(times[0], times[0][-1] - 10_000_000))
    first = int(np.searchsorted(times[1], times[0][0] - 3000))
    assert n > 1000
    assert np.abs(times[1][first : first + n] - times[0][:n]).max() < 3000


def test_rings_and_crossroads_are_refused_by_name() -> None:
    ring = (pairs("s1", "h1.a", "h2.a"), pairs("s2", "h1.b", "h2.b"))
    bench = LightBench(ring, ports_of("h1", "h2"), {"measurements": (hub("h1"), hub("h2"))})
    with pytest.raises(ValueError, match="s1, s2: these sources close a ring"):
        bench.watch(0.1)
    roads = tuple(pairs(f"s{k}", "h0.a", f"h{k}.a") for k in (1, 2, 3))
    hubs = tuple(hub(f"h{k}") for k in range(4))
    bench = LightBench(roads, ports_of("h0", "h1", "h2", "h3"), {"measurements": hubs})
    with pytest.raises(ValueError, match="s1, s2, s3: these sources cross"):
        bench.watch(0.1)


def test_crosstalk_closes_no_ring() -> None:
    """Two sources at two hubs, one of them by crosstalk of a switch at both ends: that one is noise."""
    switch = Switch("switch", {1: ("h1.b",), 2: ("h2.b",)}, crosstalk_db=40.0)
    bench = LightBench(
        (pairs("s1", "h1.a", "h2.a"), pairs("s2", "switch.1", "switch.2")),
        ports_of("h1", "h2"),
        {"measurements": (hub("h1"), hub("h2")), "switches": (switch,)},
    )
    bench.ports.switches["switch"] = SwitchPort({})
    tags = bench.watch(0.5)
    expected = 5e5 * (1 + 2e-4)  # both photons of s2 leak to either hub
    for name in ("h1", "h2"):
        assert abs(sum(len(tags[port]) for port in ports_of(name)) - expected) < Z * sqrt(1.02 * expected)


def test_a_chain_is_followed_from_either_end_and_with_sources_missing() -> None:
    """Without Alice's and Bob's sources the middle one is left; its photons agree in polarization."""
    bench = chain()
    source = bench.lights[1]
    assert isinstance(source, PairSource)
    bench.lights = (replace(source, pulses=None, pair_rate_hz=2e5, biphoton=GAUSSIAN),)
    tags = bench.watch(0.2, seed=12)
    polarized = {
        (name, p): np.sort(np.concatenate([tags[f"{name}_c{p}"], tags[f"{name}_d{p}"]]))
        for name, p in product(("h1", "h2"), "HV")
    }
    for p, q in product("HV", repeat=2):
        n = within(polarized["h1", p], polarized["h2", q], -3000, 3000)
        expected = 2e4 if p == q else 0.0
        assert abs(n - expected) < Z * sqrt(expected) + 30  # by chance: 12
