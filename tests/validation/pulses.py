"""Pulsed pair sources: Schmidt modes, bunching, heralding."""

from math import sqrt

import numpy as np

from sim_instruments.ports import DelayPort
from sim_instruments.world.layout import BellStateMeasurement, DelayLine, PairSource, Pulses
from sim_instruments.world.wave_packets import WavePacket
from tests.sim_instruments.light_bench import HH, LightBench, counts, pairs, pulse_numbers
from tests.validation.coincidences import HALVES
from tests.validation.counting import watched
from tests.validation.evidence import Chapter, Equal, Evidence, Figure, Finding, Line, Plot, Points
from tests.validation.gaussian_states import coincidences
from tests.validation.wave_forms import Exponential, Gaussian, WaveForm, schmidt_weights

CHAPTER = Chapter("Pulsed pair sources", [])
PERIOD_S = 1e-8


def pulsed(name: str, signal: str, idler: object, form: WaveForm, width_ps: float, mu: float) -> PairSource:
    """All H, `mu` pairs per pulse."""
    return pairs(
        name, signal, idler, state=HH, biphoton=form.biphoton, pulses=Pulses(PERIOD_S, width_ps * 1e-12),
        pair_rate_hz=mu / PERIOD_S,
    )  # type: ignore[arg-type]  # fmt: skip


@CHAPTER.check(
    "Schmidt purity of pulsed pairs",
    r"P = \sum_k p_k^2,\qquad p_k = \sigma_k^2(\psi)\Big/\sum_j\sigma_j^2(\psi);\qquad"
    r"\mathrm{Gaussian:}\;P = \frac{4\tau w}{\tau^2 + 4w^2};\qquad g^{(2)}(0) = 1 + P",
    9,
)
def schmidt_purity(effort: float) -> Evidence:
    """psi(s, t) = exp(-((s + t)/2)^2 / 4 w^2) phi(s - t). The purity with which the light field works, and g2
    of the idlers per pulse as it is counted behind a 50:50 beam splitter, against singular values of psi on a
    grid. For Gaussians there is a closed formula as well; for exponential amplitudes there is none (and the
    light field works with a mean of 262,144 drawn pairs of pairs: 0.002 are allowed)."""
    cases: list[tuple[str, WaveForm, float]] = [
        ("Gaussian, τ = w", Gaussian(200.0), 200.0),
        ("Gaussian, τ = 0.4 w", Gaussian(80.0), 200.0),
        ("Gaussian, τ = 2 w", Gaussian(400.0), 200.0),
        ("exponential 400 and 150 ps, w = 200 ps", Exponential(400.0, 150.0), 200.0),
        ("exponential 300 ps, w = 100 ps", Exponential(300.0), 100.0),
    ]
    mu, seconds = 0.1, 0.1 * effort
    findings: list[Finding] = []
    exact, measured, errors = [], [], []
    for k, (name, form, width) in enumerate(cases):
        weights = schmidt_weights(form, width, 600)
        purity = float((weights**2).sum())
        if isinstance(form, Gaussian):
            closed = 4 * form.tau * width / (form.tau**2 + 4 * width**2)
            findings.append(
                Equal(f"grid against closed formula ({closed:.4f}), {name}", abs(purity - closed), 1e-6)
            )
        source = pulsed("s", "lone", "half", form, width, mu)
        own = WavePacket.of(source).clusters_of_pulses
        # Shares of proposals lie in [0, 1], so the spread of one is below 1/2.
        allowance = 2e-3 if isinstance(form, Exponential) else 0.0
        findings.append(Figure(f"purity in use, {name}", purity, own, 0.5 / sqrt(2**18), "", allowance))
        bench = LightBench((source,), ("one", "two", "lone"), {"splitters": (HALVES,)})
        found = 0
        for tags in watched(bench, seconds, 240 + k):
            one, two = (pulse_numbers(tags[name], PERIOD_S * 1e12) for name in ("one", "two"))
            found += int(counts(two, one).sum())
        pulses = seconds / PERIOD_S
        g2, error = found / pulses / (mu / 2) ** 2, sqrt((1 + purity) / pulses) / (mu / 2)
        # Three photons of one pulse make pairs of clicks in clumps: (1 + 4 mu) of the variance.
        findings.append(Figure(f"g2 per pulse, {name}", 1 + purity, g2, error * (1 + 4 * mu)))
        exact.append(1 + purity)
        measured.append(g2)
        errors.append(error)
    k = np.arange(len(cases), dtype=float)
    return Evidence(
        tuple(findings),
        Plot(
            "case, as in the table",
            "g² of the idlers per pulse",
            (Line("1 + P", k, np.array(exact)),),
            (Points("simulated", k, np.array(measured), np.array(errors)),),
        ),
    )


@CHAPTER.check(
    "Heralded photons of a thermal source are single",
    r"g^{(2)}_h(0) = \frac{\langle n_s n_i^{(1)} n_i^{(2)}\rangle\,\langle n_s\rangle}"
    r"{\langle n_s n_i^{(1)}\rangle\,\langle n_s n_i^{(2)}\rangle} = 4\mu + O(\mu^2)",
)
def heralded_g2(effort: float) -> Evidence:
    """One Schmidt mode (tau = 2 w), idlers divided at 50:50, heralded by the signals; efficiency 0.5
    everywhere. From exact moments of the two-mode squeezed state at each brightness; terms of order mu^2,
    which the light field leaves out (clusters of three pairs), are allowed for."""
    form, width, seconds = Gaussian(200.0), 100.0, 0.5 * effort
    brightness = np.array([0.005, 0.01, 0.02, 0.05])
    findings = []

    def exact(mu: float) -> float:
        second = np.zeros((3, 3)) + 0j
        second[0, 0], second[1:, 1:] = mu, mu / 2
        anomalous = np.zeros((3, 3)) + 0j
        anomalous[0, 1:] = anomalous[1:, 0] = sqrt(mu * (1 + mu) / 2)
        three = float(coincidences(second, anomalous))
        two = float(coincidences(second[:2, :2], anomalous[:2, :2]))
        return three * mu / two**2

    for k, mu in enumerate(brightness):
        source = pulsed("s", "herald", "half", form, width, float(mu))
        bench = LightBench((source,), ("herald", "one", "two"), {"splitters": (HALVES,)}, efficiency=0.5)
        three = one_ = two_ = heralds_ = 0
        time_s = seconds * 0.02 / mu
        for tags in watched(bench, time_s, 250 + k):
            numbers = {name: pulse_numbers(times, PERIOD_S * 1e12) for name, times in tags.items()}
            heralds = numbers["herald"]
            one, two = counts(numbers["one"], heralds), counts(numbers["two"], heralds)
            three += int((one * two).sum())
            one_, two_, heralds_ = one_ + int(one.sum()), two_ + int(two.sum()), heralds_ + len(heralds)
        expected = exact(float(mu))
        found = three * heralds_ / (one_ * two_)
        findings.append(Figure(f"μ = {mu:g}", expected, found, expected / sqrt(three), "", 2 * mu * expected))
    mu = np.linspace(0.001, 0.055, 50)
    return Evidence(
        tuple(findings),
        Plot(
            "pairs per pulse μ",
            "heralded g²(0)",
            (Line("exact moments", mu, np.array([exact(float(m)) for m in mu])), Line("4 μ", mu, 4 * mu)),
            (
                Points(
                    "simulated",
                    brightness,
                    np.array([f.found for f in findings]),
                    np.array([f.error for f in findings]),
                ),
            ),
        ),
    )


@CHAPTER.check(
    "Heralded dip of two pulsed sources: visibility is purity",
    r"C_{cd} = \tfrac12\left[(\mathrm{Tr}Q)^2 - \kappa\,\mathrm{Tr}Q^2\right]"
    r" + 2\mu\left[\mu\,\mathrm{Tr}Q + \tfrac{1-\kappa}{2}\mathrm{Tr}NQ\right]"
    r" + \mu^2\left[\mu^2 + \tfrac{1-\kappa}{2}\mathrm{Tr}N^2\right],\quad Q = N(1 + N)",
)
def heralded_pulsed_dip(effort: float) -> Evidence:
    """Idlers of two equal pulsed sources (0.02 pairs per pulse) meet on a 50:50 beam splitter, both heralded
    by their signals; pairs of Gaussian amplitudes in one Schmidt mode (tau = 2 w) and in several (tau = w /
    2, w / 5), overlap 0.9. All clicks of a pulse count, whatever their times: the visibility is the purity of
    the heralded photons. Exact moments over Schmidt modes, accidentals by several pairs included, against
    fourfolds per pulse; and against those with one source delayed by 3 ns, where the same moments have no
    interference."""
    mu, overlap, width, seconds = 0.02, 0.9, 100.0, 0.8 * effort
    findings = []
    shown = []
    for k, tau in enumerate((200.0, 50.0, 20.0)):
        weights = mu * schmidt_weights(Gaussian(tau), width, 600)
        q, n2, nq = (
            float(x.sum()) for x in (weights * (1 + weights), weights**2, weights**2 * (1 + weights))
        )
        q2 = float(((weights * (1 + weights)) ** 2).sum())
        found = []
        for delay in (0.0, 3e-9):
            # Sources a and b bunch by themselves, and interfere with each other if their pulses meet.
            kappa = overlap if delay == 0.0 else 0.0
            expected = (
                mu**2 * (mu**2 + n2 * (1 - kappa) / 2)
                + 2 * mu * (q * mu + nq * (1 - kappa) / 2)
                + q * q / 2 - kappa * q2 / 2
            )  # fmt: skip
            sources = (
                pulsed("one", "s_one", ("line", "hub.a"), Gaussian(tau), width, mu),
                pulsed("two", "s_two", "hub.b", Gaussian(tau), width, mu),
            )
            bench = LightBench(
                sources,
                ("s_one", "s_two", "c", "d"),
                {
                    "measurements": (
                        BellStateMeasurement("hub", ("c", "c", "d", "d"), mode_overlap=overlap),
                    ),
                    "delay_lines": (DelayLine("line"),),
                },
            )
            bench.ports.delays["line"] = DelayPort(delay)
            n = squares = 0
            for tags in watched(bench, seconds, 260 + 2 * k + bool(delay)):
                numbers = {name: pulse_numbers(times, PERIOD_S * 1e12) for name, times in tags.items()}
                at = numbers["s_one"]
                number = counts(numbers["s_two"], at)
                at, number = at[number > 0], number[number > 0]
                number = number * counts(numbers["c"], at) * counts(numbers["d"], at)
                n, squares = n + int(number.sum()), squares + int((number**2).sum())
            pulses = seconds / PERIOD_S
            found.append((n, squares, expected * pulses))
            findings.append(
                Figure(f"fourfolds, τ = {tau:g} ps, {'apart' if delay else 'together'}", expected * pulses, n,
                       sqrt(max(squares, expected * pulses)), "", 10 * mu**2 * expected * pulses)
            )  # fmt: skip
        (near, near2, expected_near), (far, far2, expected_far) = found
        error = near / far * sqrt(near2 / near**2 + far2 / far**2)
        shown.append(
            (
                4 * tau * width / (tau**2 + 4 * width**2),
                1 - expected_near / expected_far,
                1 - near / far,
                error,
            )
        )
    purity, exact, measured, errors = (np.array(column) for column in zip(*shown, strict=True))
    line = np.linspace(0, 1, 2)
    return Evidence(
        tuple(findings),
        Plot(
            "purity",
            "visibility",
            (Line("exact moments", purity, exact), Line("κ P", line, overlap * line)),
            (Points("simulated", purity, measured, errors),),
        ),
    )
