"""From light at a detector to clicks, against closed formulas.

Every test is seeded; a bound of 5 standard errors alone has a false-alarm rate of 6e-7.
"""

from math import exp, sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf, erfcx
from scipy.stats import chi2

from sim_instruments.ports import DiodePort, GatePort, NanowirePort
from sim_instruments.world.detection import passed_on, response, update_latch
from sim_instruments.world.layout import Detector, Gate
from tests.sim_instruments.detection_bench import SECOND_PS, OneDetector, Times, detector


def poissonian(rate_hz: float, span_ps: int, seed: int) -> NDArray[np.float64]:
    """Times of photons in a slice."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0.0, span_ps, rng.poisson(rate_hz * span_ps * 1e-12)))


def fits(late: NDArray[np.float64], edges: NDArray[np.float64], cdf: NDArray[np.float64]) -> bool:
    """Chi-square of counts between the edges, with a false-alarm rate of 1e-7."""
    expected = len(late) * np.diff(np.concatenate([[0.0], cdf, [1.0]]))
    counts = np.bincount(np.searchsorted(edges, late), minlength=len(expected))
    assert expected.min() > 10
    return bool(((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-7, len(expected) - 1))


# -- rates ---------------------------------------------------------------------------------------


def test_counts_in_equal_times_are_poissonian() -> None:
    """Index of dispersion of 20,000 windows: (n - 1) var / mean is a chi-square; two-sided 1e-7."""
    windows, window_ps = 20_000, 100_000_000
    tags = OneDetector(detector(dark_counts_hz=1e6), seed=1).run(SECOND_PS, 3)
    counts = np.bincount(tags // window_ps, minlength=windows)[:windows]
    dispersion = counts.var(ddof=1) / counts.mean() * (windows - 1)
    assert chi2.isf(1 - 5e-8, windows - 1) < dispersion < chi2.isf(5e-8, windows - 1)
    assert abs(counts.sum() - 2e6) < 5 * sqrt(2e6)


@pytest.mark.parametrize(
    ("dark_hz", "light_hz"), [(5e6, 0.0), (0.0, 5e6), (2e6, 3e6), (1e8, 0.0), (2e7, 2e6), (1e15, 1e5)]
)
def test_dead_time_slows_and_steadies_the_clicks(dark_hz: float, light_hz: float) -> None:
    """50 ns (physics.md 4, row 12): r / (1 + r d), 4 Mcps of 5, and variance by mean 1 / (1 + r d)^2, 0.64
    there; the standard error of a variance of n windows is sqrt(2 / n) of it. A window's variance has an
    offset besides, of at most 1/6 of a click squared. Light of a laser (1e15) makes 1/d."""
    windows, window_ps, span = 5_000, 100_000_000, SECOND_PS // 4
    it = OneDetector(detector(dark_counts_hz=dark_hz, dead_time_s=50e-9), seed=2)
    tags = np.concatenate(
        [it.expose(i * span, span, poissonian(light_hz, span, seed=20 + i)) for i in range(3)]
    )
    assert np.diff(tags).min() >= 50_000 - 1  # tags are floored to 1 ps
    counts = np.bincount(tags // window_ps, minlength=windows)[:windows]
    load = 1 + (dark_hz + light_hz) * 50e-9
    clicks = (dark_hz + light_hz) / load * windows * window_ps * 1e-12
    mean = clicks / windows
    assert abs(counts.sum() - clicks) < 5 * sqrt(clicks) / load + 2
    expected = mean / load**2
    assert expected * (1 - 5 * sqrt(2 / windows)) < counts.var() + 1e-6
    assert counts.var() < (expected + 1 / 6) * (1 + 5 * sqrt(2 / windows))


@pytest.mark.parametrize(("rate_hz", "seed"), [(2e5, 3), (1e6, 4), (1e9, 5)])
def test_dead_time_holds_across_the_borders_of_slices(rate_hz: float, seed: int) -> None:
    """1 us in slices of 100 us (physics.md 4, row 13: 1 Mcps becomes 500 kcps with 1/4 of the Poisson
    variance). Without the carry, one click in 200 would come too early."""
    tags = OneDetector(detector(dark_counts_hz=rate_hz, dead_time_s=1e-6), seed=seed).run(100_000_000, 4_000)
    assert np.diff(tags).min() >= 1_000_000 - 1
    load = 1 + rate_hz * 1e-6
    assert abs(len(tags) - 0.4 * rate_hz / load) < 5 * sqrt(0.4 * rate_hz / load**3) + 2


@pytest.mark.parametrize(("rate_hz", "dead_s"), [(1e6, 25e-9), (4e6, 25e-9), (1e6, 0.2e-6)])
def test_afterpulses_raise_the_rate(rate_hz: float, dead_s: float) -> None:
    """p = 2 %, tau = 50 ns (physics.md 4, row 14: about +2.0 % where r d, r tau << 1).

    To first order in p, with l = r / (1 + r d): a click's afterpulse, due at d + e with e exponential, finds
    the detector live with probability q = 1 / (1 + r tau (1 - exp(-d / tau))), the Laplace transform of
    an alternating renewal process; a click that it makes costs l d others. So the rate is
    l (1 + p q / (1 + r d)). Higher orders come to about p^2.
    """
    p, tau_s, seconds = 0.02, 50e-9, 4
    properties = {"dead_time_s": dead_s, "afterpulsing": p, "afterpulse_time_s": tau_s}
    it = OneDetector(detector(dark_counts_hz=rate_hz, **properties), seed=6)
    found = len(it.run(SECOND_PS // 4, 4 * seconds)) / seconds
    plain = rate_hz / (1 + rate_hz * dead_s)
    live = 1 / (1 + rate_hz * tau_s * (1 - exp(-dead_s / tau_s)))
    gain = p * live / (1 + rate_hz * dead_s)
    assert found / plain - 1 == pytest.approx(gain, abs=2 * p * p + 5 / sqrt(plain * seconds))


@pytest.mark.parametrize("slices", [1, 1000])
def test_afterpulses_come_after_the_dead_time_and_fade(slices: int) -> None:
    """Clicks of lone photons, 10 us apart: one in p^-1 is followed by another, at dead time + exponential,
    and that one by a third: p / (1 - p) in all. p = 20 % makes more clicks than photons, by a quarter.
    The thousand slices end 60 ns after a photon, 10 ns of it seen: every afterpulse of their last click
    comes in the next slice."""
    p, dead_ps, tau_ps, photons = 0.2, 25_000, 50_000, 100_000
    properties = {"dead_time_s": dead_ps * 1e-12, "afterpulsing": p, "afterpulse_time_s": tau_ps * 1e-12}
    it = OneDetector(detector(**properties), seed=7)
    light = np.arange(1e7 - 60_000, photons // slices * 1e7, 1e7)
    span = photons // slices * 10**7
    tags = np.concatenate([it.expose(i * span, span, light) for i in range(slices)])
    extra = len(tags) - photons
    # Each photon's clicks are geometric: variance p / (1 - p)^2.
    assert abs(extra - photons * p / (1 - p)) < 5 * sqrt(photons * p) / (1 - p)
    first = (tags + 60_000) % 10**7 == 0
    waits = np.diff(tags)[~first[1:]] - dead_ps
    assert waits.min() >= -1
    assert waits.mean() == pytest.approx(tau_ps, rel=5 / sqrt(extra))


@pytest.mark.parametrize(
    ("absorbed_hz", "clicks_hz", "correlated"),
    [
        (1e6, 1e6 / 1.05, False),
        (1e6, 1e6 / 1.05, True),
        (2e7, 4e6, False),
        (2e7, 4e6, True),
        (1e15, 4e6, False),
    ],
)
def test_a_diode_saturates_at_its_maximum_rate(
    absorbed_hz: float, clicks_hz: float, correlated: bool
) -> None:
    """The rate is r / (1 + r d), but not above `max_rate_hz`; light as noise and as photons alike."""
    span = SECOND_PS // 20
    it = OneDetector(detector(kind="avalanche_diode", dead_time_s=50e-9, max_rate_hz=4e6), seed=8)
    it.channel.shine(0.0 if correlated else absorbed_hz, absorbed_hz)
    clicks = len(it.expose(0, span, poissonian(absorbed_hz if correlated else 0.0, span, seed=80)))
    assert abs(clicks - 0.05 * clicks_hz) < 5 * sqrt(0.05 * clicks_hz)
    assert it.channel.singles_hz == pytest.approx(clicks_hz)


def test_a_nanowire_without_bias_line_is_blind_while_there_is_too_much_light() -> None:
    it = OneDetector(detector(max_rate_hz=1e6, dead_time_s=50e-9, dark_counts_hz=1e5), seed=9)
    it.channel.shine(2e6, 2e6)
    assert len(it.expose(0, 10**10, poissonian(1e6, 10**10, seed=90))) == 0
    assert it.channel.singles_hz == 0.0
    it.channel.darken()
    assert abs(len(it.expose(10**10, SECOND_PS)) - 1e5) < 5 * sqrt(1e5)


def test_stray_light_is_seen_with_the_efficiency_that_there_is() -> None:
    """Half of the operating efficiency at 0.7 of the operating bias (physics.md 2): half of the counts."""
    wire = detector(ambient_hz=4e4, operating_bias_a=10e-6, switching_current_a=11e-6)
    it = OneDetector(wire, seed=10, control=NanowirePort(bias_a=7e-6))
    assert abs(len(it.run(SECOND_PS, 1)) - 2e4) < 5 * sqrt(2e4)
    assert it.channel.singles_hz == pytest.approx(2e4)


# -- times ---------------------------------------------------------------------------------------


def test_jitter_is_gaussian_with_its_sigma() -> None:
    """100,000 photons on the microsecond: mean, deviation, and the counts between whole picoseconds."""
    n, sigma_ps = 100_000, 149.0
    it = OneDetector(detector(jitter_s=149e-12), seed=11)
    light = np.arange(5e5, n * 1e6, 1e6)
    tags = it.expose(0, n * 10**6, light)
    late = tags + 0.5 - light  # a tag is the floor of its time
    assert len(tags) == n
    assert abs(late.mean()) < 5 * sigma_ps / sqrt(n)
    assert late.std() == pytest.approx(sqrt(sigma_ps**2 + 1 / 12), rel=5 / sqrt(2 * n))
    edges = np.arange(-500.0, 501.0, 50.0)
    assert fits(late, edges, 0.5 * (1 + erf(edges / sigma_ps / sqrt(2))))


def test_a_fraction_of_the_clicks_is_late_by_an_exponential_time() -> None:
    """Mean f t, variance s^2 + 2 f t^2 - (f t)^2 (s of the Gaussian part); the distribution is that of a
    normal number, to which with probability f an exponential one is added."""
    n, sigma, fraction, tail = 200_000, 60.0, 0.2, 250.0
    it = OneDetector(detector(jitter_s=60e-12, jitter_tail=fraction, jitter_tail_s=250e-12), seed=12)
    light = np.arange(5e5, n * 1e6, 1e6)
    late = it.expose(0, n * 10**6, light) + 0.5 - light
    variance = sigma**2 + 2 * fraction * tail**2 - (fraction * tail) ** 2
    fourth = ((late - late.mean()) ** 4).mean()
    assert abs(late.mean() - fraction * tail) < 5 * sqrt(variance / n)
    assert abs(late.var() - variance) < 5 * sqrt((fourth - variance**2) / n) + 1 / 12
    edges = np.concatenate([np.arange(-200.0, 201.0, 25.0), np.arange(250.0, 1300.0, 50.0)])
    normal = 0.5 * (1 + erf(edges / sigma / sqrt(2)))
    turned = (sigma / tail - edges / sigma) / sqrt(2)
    added = normal - 0.5 * erfcx(turned) * np.exp(-((edges / sigma) ** 2) / 2)
    assert fits(late, edges, (1 - fraction) * normal + fraction * added)


@pytest.mark.parametrize("mean_ps", [300.0, 2e6])
def test_late_clicks_wait_for_their_slice(mean_ps: float) -> None:
    """All clicks late, by 2 us in slices of 5 us: each comes once, and in order."""
    properties = {"jitter_s": 38e-12, "jitter_tail": 1.0, "jitter_tail_s": mean_ps * 1e-12}
    it = OneDetector(detector(**properties), seed=13)
    light, span, slices = np.arange(100.0, 5e6, 1e4), 5_000_000, 100
    tags = [it.expose(i * span, span, light) for i in range(slices)]
    tags += [it.expose(i * span, span) for i in range(slices, slices + 20)]
    found, n = np.concatenate(tags), len(light) * slices
    assert len(found) == n
    assert (np.diff(found) >= 0).all()
    late = found.mean() + 0.5 - (light.mean() + span * (slices - 1) / 2)
    assert abs(late - mean_ps) < 5 * mean_ps / sqrt(n)


def test_the_only_photon_of_a_slice_is_as_late_as_any() -> None:
    """2,000 slices with one each, half of them delayed by an exponential time of 300 ps."""
    it = OneDetector(detector(jitter_tail=0.5, jitter_tail_s=300e-12), seed=131)
    tags = np.concatenate([it.expose(i * 10**6, 10**6, np.array([5e5])) for i in range(2000)])
    late = (tags - 500_000) % 10**6
    assert abs(np.count_nonzero(late) - 1000) < 5 * sqrt(500)
    assert abs(late[late > 0].mean() + 0.5 - 300) < 5 * 300 / sqrt(1000)


# -- gates ---------------------------------------------------------------------------------------

LATE_PS = 10_800 * SECOND_PS


def inside(tags: Times) -> Times:
    """Times since the last gate opened: at 30 ns and every 100 ns."""
    return (tags - 30_000) % 100_000


@pytest.mark.parametrize("by", [None, GatePort(period_s=100e-9, delay_s=30e-9, width_s=5e-9)])
@pytest.mark.parametrize("start_ps", [0, LATE_PS])
@pytest.mark.parametrize("light", ["noise", "photons"])
def test_a_gated_detector_sees_in_its_gates_alone(by: GatePort | None, start_ps: int, light: str) -> None:
    """5 % of steady light, evenly over the gate. After three hours a period in seconds, as a
    float, has gained or lost a picosecond."""
    own = Gate(100e-9, 5e-9, 30e-9) if by is None else Gate(1.0, 1.0, generator=("delays", 1))
    span, slices, rate = 33_333_333_333, 6, 4e6
    dark = rate if light == "noise" else 0.0
    it = OneDetector(detector(dark_counts_hz=dark, gate=own), seed=14, gate=by)
    it.clock.advance(start_ps, locked=True)
    tags = np.concatenate(
        [
            it.expose(start_ps + i * span, span, poissonian(rate - dark, span, seed=140 + i))
            for i in range(slices)
        ]
    )
    since = (inside(tags) + 10) % 100_000
    assert since.max() <= 5_000 + 20
    expected = 0.05 * rate * slices * span * 1e-12
    assert abs(len(tags) - expected) < 5 * sqrt(expected)
    edges = np.linspace(510.0, 4510.0, 9)
    assert fits(since.astype(float), edges, (edges - 10) / 5000)
    assert it.channel.singles_hz == pytest.approx(0.05 * dark)


@pytest.mark.parametrize("rate_hz", [2e7, 2e8, 1e13])
def test_in_a_gate_shorter_than_the_dead_time_there_is_at_most_one_click(rate_hz: float) -> None:
    """Each of 100,000 gates has one with probability 1 - exp(-r w)."""
    own = Gate(100e-9, 5e-9, 30e-9)
    tags = OneDetector(detector(dark_counts_hz=rate_hz, dead_time_s=20e-9, gate=own), seed=15).run(10**8, 100)
    gates, p = 100_000, 1 - exp(-rate_hz * 5e-9)
    assert inside(tags).max() < 5_000
    assert len(np.unique((tags - 30_000) // 100_000)) == len(tags)
    assert abs(len(tags) - gates * p) <= 5 * sqrt(gates * p * (1 - p)) + 1


def test_afterpulses_happen_in_gates_alone() -> None:
    """Charge that is freed while no gate is open makes no click. Of an exponential time after the dead time
    a comb of gates keeps the part in gates: with x = (gate opens) - (dead time ends) and period P,
    p (exp(-x/t) - exp(-(x+w)/t)) / (1 - exp(-P/t)), for clicks at the gate's beginning."""
    p, tau, period, width, dead, gates = 0.3, 80.0, 100.0, 5.0, 20.0, 100_000
    own = Gate(100e-9, 5e-9, 30e-9)
    properties = {"dead_time_s": 20e-9, "afterpulsing": p, "afterpulse_time_s": 80e-9, "gate": own}
    it = OneDetector(detector(**properties), seed=16)
    light = np.arange(30_000.0 + 1, gates * 2e6, 2e6)  # one in twenty gates
    tags = it.expose(0, gates * 2_000_000, light)
    assert inside(tags).max() < 5_000
    extra = len(tags) - gates
    kept = (exp(-(period - dead) / tau) - exp(-(period - dead + width) / tau)) / (1 - exp(-period / tau))
    # A second afterpulse, p kept times as many, begins within a gate and not at its beginning.
    assert extra == pytest.approx(
        gates * p * kept, abs=5 * sqrt(gates * p * kept) + 2 * gates * (p * kept) ** 2
    )


@pytest.mark.parametrize("port", [GatePort(), GatePort(period_s=1e-6), GatePort(width_s=1e-6)])
def test_without_gates_a_gated_detector_sees_nothing(port: GatePort) -> None:
    it = OneDetector(
        detector(dark_counts_hz=1e6, gate=Gate(1.0, 1.0, generator=("delays", 1))), seed=17, gate=port
    )
    assert len(it.expose(0, 10**10, poissonian(1e6, 10**10, seed=170))) == 0
    assert it.channel.efficiency == it.channel.singles_hz == 0.0


# -- bias, temperature, load ---------------------------------------------------------------------

WIRE = detector(dark_counts_hz=100.0, operating_bias_a=17e-6, switching_current_a=19e-6, max_rate_hz=1e8)
DIODE = detector(
    kind="avalanche_diode", efficiency=0.65, dark_counts_hz=500.0, operating_excess_v=6.0,
    operating_temperature_k=250.0,
)  # fmt: skip


def test_efficiency_of_a_nanowire_is_a_sigmoid_of_its_bias() -> None:
    """physics.md 2, "Detectors": saturated to 1e-4 at the operating point, nothing without bias."""
    bias = np.linspace(0.0, 18.9e-6, 190)
    efficiency, dark = np.array([response(WIRE, NanowirePort(bias_a=b)) for b in bias]).T
    assert efficiency[0] == dark[0] == 0.0
    assert (np.diff(efficiency) >= 0).all()
    assert (np.diff(dark) > 0).all()
    turn = np.argmax(np.diff(efficiency))  # steepest once: rising steps before, falling ones after
    assert (np.diff(efficiency, 2)[:turn] >= 0).all()
    assert (np.diff(efficiency, 2)[turn:] <= 1e-12).all()
    assert efficiency[turn : turn + 2].mean() == pytest.approx(0.45, abs=0.03)
    at_work, dark_at_work = response(WIRE, NanowirePort(bias_a=17e-6))
    assert at_work == pytest.approx(0.9, rel=1e-4)
    assert dark_at_work == pytest.approx(100.0)
    assert response(WIRE, NanowirePort(bias_a=18e-6))[1] == pytest.approx(100.0 * exp(1.0), rel=1e-9)


@pytest.mark.parametrize(
    ("port", "efficiency", "dark_hz"),
    [
        (DiodePort(), 0.65, 500.0),
        (DiodePort(excess_v=6.0), 0.65, 500.0),
        (DiodePort(excess_v=2.0), 0.65 * (1 - exp(-1)) / (1 - exp(-3)), 500.0 * exp(-8 / 3)),
        (DiodePort(excess_v=9.0), 0.65 * (1 - exp(-4.5)) / (1 - exp(-3)), 500.0 * exp(2)),
        (DiodePort(temperature_k=258.0), 0.65, 1000.0),
        (
            DiodePort(temperature_k=226.0, excess_v=7.5),
            0.65 * (1 - exp(-3.75)) / (1 - exp(-3)),
            500 * exp(1) / 8,
        ),
        (DiodePort(excess_v=0.0), 0.0, 0.0),
        (DiodePort(excess_v=-3.0), 0.0, 0.0),
        (DiodePort(enabled=False), 0.0, 0.0),
    ],
)
def test_an_avalanche_diode_follows_its_excess_bias_and_temperature(
    port: DiodePort, efficiency: float, dark_hz: float
) -> None:
    """physics.md 2: eta_max (1 - exp(-V/V0)), d0 exp(V/V1) 2^((T - T0)/8 K), with V0 = 2 V, V1 = 1.5 V."""
    assert list(response(DIODE, port)) == pytest.approx([efficiency, dark_hz])


def test_no_efficiency_is_above_one() -> None:
    perfect = detector(kind="avalanche_diode", efficiency=1.0, operating_excess_v=5.0)
    assert response(perfect, DiodePort(excess_v=20.0))[0] == 1.0


def test_a_module_without_bias_is_always_ready() -> None:
    assert response(detector(dark_counts_hz=500.0), None) == (0.9, 500.0)


@pytest.mark.parametrize(("what", "port"), [(WIRE, DiodePort()), (DIODE, NanowirePort())])
def test_a_detector_on_the_wrong_kind_of_electronics_is_refused(what: Detector, port: Any) -> None:
    with pytest.raises(TypeError, match=r"d: a .* is not controlled by a"):
        response(what, port)


def test_a_nanowire_latches_above_its_switching_current_until_the_bias_is_lowered() -> None:
    """singlequantum_websq.md, "Behaviour": about 1 MOhm behind 100 kOhm while normal: V = I 0.0909 MOhm."""
    wire = NanowirePort(bias_a=17e-6)

    def bias(amperes: float) -> tuple[bool, bool]:
        wire.bias_a = amperes
        update_latch(wire, WIRE.switching_current_a)
        return wire.latched, response(WIRE, wire)[0] > 0

    assert bias(17e-6) == (False, True)
    assert abs(wire.voltage_v) < 2e-3
    assert bias(19.5e-6) == (True, False)
    assert response(WIRE, wire) == (0.0, 0.0)
    assert wire.voltage_v == pytest.approx(19.5e-6 / (1 / 100e3 + 1 / 1e6))
    assert bias(17e-6) == (True, False)
    assert wire.voltage_v == pytest.approx(17e-6 / (1 / 100e3 + 1 / 1e6))
    assert bias(0.0) == (False, False)
    assert wire.voltage_v == 0.0
    assert bias(17e-6) == (False, True)


@pytest.mark.parametrize("efficiency", [0.2, 0.9])
def test_what_a_diode_passes_on_makes_its_maximum_rate(efficiency: float) -> None:
    """f r / (1 + f r d) = 4e6 for r = 5e7, d = 50 ns: f = 0.1. With 1/d below the limit there is no other."""
    what = detector(kind="avalanche_diode", efficiency=efficiency, dead_time_s=50e-9, max_rate_hz=4e6)
    assert passed_on(what, 5e7) == pytest.approx(0.1)
    assert passed_on(what, 4.9e6) == 1.0
    faster = detector(kind="avalanche_diode", dead_time_s=50e-9, max_rate_hz=3e7)
    assert passed_on(faster, 1e12) == 1.0
