"""Birth of pairs: shapes, singles and the bunching of thermal light, against closed formulas.

Every test is seeded; a bound of 5 standard errors alone has a false-alarm rate of 6e-7.
"""

from math import exp, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import chi2

from sim_instruments.world.arm import Arm, Born, Statistics
from sim_instruments.world.layout import Biphoton, PairSource
from sim_instruments.world.polarization import PROJECT_H, PROJECT_V, werner_state
from sim_instruments.world.randomness import generator
from sim_instruments.world.wave_packets import WavePacket, Window

Floats = NDArray[np.float64]

ONE_SIDED = Biphoton("two_sided_exponential", 1000e-12)
CASCADE = Biphoton("two_sided_exponential", 700e-12, 300e-12)
GAUSSIAN = Biphoton("gaussian", 500e-12)
SHAPES = pytest.mark.parametrize(
    "biphoton", [ONE_SIDED, CASCADE, GAUSSIAN], ids=["one-sided", "two-sided", "gaussian"]
)


def amplitude(biphoton: Biphoton, x: Floats) -> Floats:
    """phi(x) of physics.md 1, not normalised; x in ps."""
    signal, idler = biphoton.tau_signal_s * 1e12, biphoton.tau_idler_s * 1e12
    if biphoton.shape == "gaussian":
        return np.exp(-x * x / (4 * signal * signal))
    rising = np.exp(np.minimum(x, 0.0) / (2 * idler)) if idler else np.zeros_like(x)
    return np.where(x >= 0, np.exp(-np.maximum(x, 0.0) / (2 * signal)), rising)


def bunching_time(biphoton: Biphoton, within_ps: float) -> float:
    """The integral of |g1(d)|^2 over |d| < within_ps, numerically; g1 is the autocorrelation of phi."""
    step, reach = 4.0, 24_000.0
    x = np.arange(-reach / 2, reach / 2, step) + step / 2
    phi = amplitude(biphoton, x)
    spectrum = np.abs(np.fft.rfft(phi, 2 * len(x))) ** 2
    g1 = np.fft.irfft(spectrum)[: len(x)]
    density = (g1 / g1[0]) ** 2
    d = np.arange(len(x)) * step
    inside = d <= within_ps
    return float(2 * np.trapezoid(density[inside], d[inside]))


def packet(biphoton: Biphoton, modes: float = 1.0) -> WavePacket:
    state = werner_state(1.0)
    return WavePacket.of(PairSource("s", "pump", 1.0, 0.0, state, biphoton, (), (), modes=modes))


def window(seconds: float) -> Window:
    return Window(0, round(seconds * 1e12))


def emit(
    biphoton: Biphoton,
    rate_hz: float,
    seconds: float,
    *,
    seed: int,
    idler: Floats | None = None,
    signal: float = 1.0,
    fidelity: float = 1.0,
    modes: float = 1.0,
) -> Born:
    """A slice of light; `idler` are the two amplitudes with which H and V idlers arrive (default: all do),
    `signal` is the probability that a signal photon clicks."""
    arm = Arm(packet(biphoton, modes), generator(seed, "s"))
    ports = np.zeros((4, 2), dtype=np.complex128)
    ports[0, 0], ports[1, 1] = (1.0, 1.0) if idler is None else idler
    statistics = Statistics.of(
        rate_hz * 1e-12, arm.packet, werner_state(fidelity), (signal * PROJECT_H, signal * PROJECT_V), ports
    )
    return arm.emit(statistics, window(seconds))


def neighbours(a: Floats, b: Floats, within_ps: float) -> int:
    """Pairs (one of a, one of b) at most so far apart."""
    a, b = np.sort(a, kind="stable"), np.sort(b, kind="stable")
    return int((np.searchsorted(b, a + within_ps) - np.searchsorted(b, a - within_ps)).sum())


# -- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("biphoton", "expected_ps"),
    [
        (Biphoton("two_sided_exponential", 400e-12, 150e-12), 1318.0),  # physics.md 1, J
        (Biphoton("two_sided_exponential", 700e-12, 300e-12), 2420.0),
        (ONE_SIDED, 2000.0),  # 2 t1
        (GAUSSIAN, 2 * sqrt(np.pi) * 500.0),
    ],
)
def test_coherence_integral(biphoton: Biphoton, expected_ps: float) -> None:
    found = packet(biphoton).coherence_ps
    assert found == pytest.approx(expected_ps, abs=0.5)
    assert found == pytest.approx(bunching_time(biphoton, 1e5), rel=5e-3)


@SHAPES
def test_separations_of_signal_and_idler_follow_the_squared_amplitude(biphoton: Biphoton) -> None:
    """Chi-square (1e-7) of 400,000 pairs in 40 bins of equal width between the distribution's tails; at
    200 kcps bunched pairs, whose distribution differs, are a few in ten thousand of all."""
    x = emit(biphoton, 2e5, 2.0, seed=1).x
    signal, idler = biphoton.tau_signal_s * 1e12, biphoton.tau_idler_s * 1e12
    edges = np.linspace(-3 * idler, 4 * signal, 41)
    if biphoton.shape == "gaussian":
        edges = np.linspace(-3 * signal, 3 * signal, 41)
        cdf = ndtr(edges / signal)
    else:
        later = signal / (signal + idler) * (1 - np.exp(-np.maximum(edges, 0) / signal))
        earlier = idler / (signal + idler) * np.exp(np.minimum(edges, 0) / max(idler, 1e-9))
        cdf = earlier + later
    cdf = np.concatenate([[0.0], cdf, [1.0]])
    counts = np.bincount(np.searchsorted(edges, x), minlength=len(cdf) - 1)
    expected = len(x) * np.diff(cdf)
    assert counts[expected == 0].sum() == 0
    counts, expected = counts[expected > 0], expected[expected > 0]
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-7, len(expected) - 1)


def test_every_detected_signal_stands_at_its_separation_from_its_idler() -> None:
    born = emit(CASCADE, 1e6, 0.2, seed=2, signal=0.6)
    for port in (0, 1):
        mine = born.row == port
        apart = np.sort(born.partners[port]) - np.sort((born.t + born.x)[mine])
        assert np.abs(apart).max() < 1e-3  # ps: separations are kept in single precision
    n = len(born.t)
    for outcome, probability in ((0, 0.3), (1, 0.3), (2, 0.4)):
        error = sqrt(n * probability * (1 - probability))
        assert abs(np.count_nonzero(born.row == outcome) - n * probability) < 5 * error
    assert (np.diff(born.t[:-1]) >= 0).all()  # the last may be a bunched one beyond the slice


# -- rates ---------------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("arrive", [1.0, 0.5])
def test_bunching_leaves_the_rate_as_it_is(biphoton: Biphoton, arrive: float) -> None:
    """The idlers that arrive come at R T, with R J = 0.04; one in 50 of them belongs to a bunched cluster of
    two, of which there are R J g / 2 = 0.01 per pair: var N = 1.02 N."""
    rate = 0.04 / packet(biphoton).coherence_ps * 1e12
    born = emit(biphoton, rate, 0.2, seed=3, idler=np.sqrt([arrive, arrive]))
    expected = rate * arrive * 0.2
    assert abs(len(born.t) - expected) < 5 * sqrt(1.02 * expected)


def test_signals_of_lost_idlers_are_noise_at_the_analyser() -> None:
    """Signals drawn with a time and those that become noise are together R eta / 2 at each output."""
    rate, seconds, signal = 2e7, 0.2, 0.7
    arm = Arm(packet(ONE_SIDED), generator(4, "s"))
    ports = np.zeros((4, 2), dtype=np.complex128)
    ports[0, 0] = ports[1, 1] = sqrt(0.3)
    statistics = Statistics.of(
        rate * 1e-12, arm.packet, werner_state(1.0), (signal * PROJECT_H, signal * PROJECT_V), ports
    )
    born = arm.emit(statistics, window(seconds))
    for port in (0, 1):
        lone = statistics.lone[port] * seconds * 1e12
        expected = rate * signal / 2 * seconds
        assert lone > 0.6 * expected
        assert abs(len(born.partners[port]) + lone - expected) < 5 * sqrt(1.04 * (expected - lone))


# -- bunching ------------------------------------------------------------------------------------

MU, SECONDS = 0.04, 0.12
"""R J (physics.md 1: tested to 0.04), and the length of the light."""


@SHAPES
@pytest.mark.parametrize(("polarized", "excess"), [(False, 0.5), (True, 1.0)])
def test_light_of_one_arm_is_thermal(biphoton: Biphoton, polarized: bool, excess: float) -> None:
    """g2(d) = 1 + |g1(d)|^2 for idlers behind a polarizer, 1 + |g1(d)|^2 / 2 without one (physics.md 1,
    "Thermal extras"), integrated over |d| < half a coherence time: g2 there is known to 5 %."""
    rate = MU / packet(biphoton).coherence_ps * 1e12
    idler = np.array([1.0, 0.0 if polarized else 1.0])
    t = emit(biphoton, rate, SECONDS, seed=5, idler=idler).t
    rate *= 0.5 if polarized else 1.0
    within = packet(biphoton).coherence_ps / 2
    counted = (neighbours(t, t, within) - len(t)) // 2
    flat = (rate * 1e-12) ** 2 * within * SECONDS * 1e12
    bunched = (rate * 1e-12) ** 2 * bunching_time(biphoton, within) / 2 * SECONDS * 1e12
    # Pairs of pairs that share a photon add 4 r d to the variance, r d the neighbours of a photon.
    error = sqrt((flat + bunched) * (1 + 4 * rate * 1e-12 * 2 * within))
    assert (counted - flat) / bunched == pytest.approx(excess, abs=5 * error / bunched)
    # No correlation ten coherence times away.
    far = neighbours(t, t + 20 * within, within)
    assert abs(far - 2 * flat) < 5 * sqrt(2 * flat * (1 + 4 * rate * 1e-12 * 2 * within))


@pytest.mark.parametrize("arrive", [1.0, 0.1, 1e-9])
def test_signals_at_the_analyser_are_thermal_whatever_happens_to_the_idlers(arrive: float) -> None:
    """Each output sees one polarization: g2 = 1 + |g1|^2 with itself, 1 with the other. Signals of lost
    idlers are noise without a time; here they are given any."""
    rate, within = MU / 2000.0, 1000.0
    arm = Arm(packet(ONE_SIDED), generator(6, "s"))
    ports = np.zeros((4, 2), dtype=np.complex128)
    ports[0, 0] = ports[1, 1] = sqrt(arrive)
    statistics = Statistics.of(rate, arm.packet, werner_state(1.0), (PROJECT_H, PROJECT_V), ports)
    span = SECONDS * 1e12
    born = arm.emit(statistics, window(SECONDS))
    rng = generator(6, "noise")
    h, v = (
        np.concatenate([born.partners[port], rng.uniform(0, span, rng.poisson(lone * span))])
        for port, lone in enumerate(statistics.lone)
    )
    flat = (rate / 2) ** 2 * within * span
    bunched = (rate / 2) ** 2 * 1000.0 * (1 - exp(-1.0)) * span  # |g1|^2 = exp(-d / t1)
    clustering = 1 + 4 * rate / 2 * 2 * within
    same = (neighbours(h, h, within) - len(h)) // 2
    assert (same - flat) / bunched == pytest.approx(
        1.0, abs=5 * sqrt((flat + bunched) * clustering) / bunched
    )
    assert abs(neighbours(h, v, within) - 2 * flat) < 5 * sqrt(2 * flat * clustering)


def test_bunching_of_a_mixed_source_sits_in_the_idlers() -> None:
    """Mixedness is information that the signals carry (physics.md 1, "Polarization"). For a Werner state,
    l = (4F - 1) / 3, idlers stay at g2(0) = 1.5, and the weights Tr(G_u1 G_u2) leave the signals, behind
    the analyser, g2(0) = 1 + (1 + l^2) / 2 at one output and 1 + (1 - l^2) / 2 between the two."""
    rate, within, span = MU / 2000.0, 1000.0, SECONDS * 1e12
    born = emit(ONE_SIDED, rate * 1e12, SECONDS, seed=7, fidelity=0.7)
    h, v = born.partners
    square = 0.6**2
    for counted, photons, excess in (
        (neighbours(born.t, born.t, within) - len(born.t), rate, 0.5),
        (neighbours(h, h, within) - len(h), rate / 2, (1 + square) / 2),
        (neighbours(h, v, within), rate / 2, (1 - square) / 2),
    ):
        flat = photons**2 * within * span
        bunched = photons**2 * 1000.0 * (1 - exp(-1.0)) * span
        error = sqrt((flat + bunched) * (1 + 8 * photons * within))
        assert (counted / 2 - flat) / bunched == pytest.approx(excess, abs=5 * error / bunched)
