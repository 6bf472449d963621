"""The acceptance figures of physics.md 5, out of runs through every layer with the shipped files.

Predictions are independent of this code: an exact-moment (Wick) calculation and a prototype. The analysis
knows what an experimenter knows: the tags, the settings of the analysers, the windows.

The long runs (`make acceptance`) hold every figure to the note's own band. The short ones, in `make test`,
hold it to the larger of that band and 5 of the run's own error bars (false alarm 6e-7 per figure if the
prediction were exact), because a minute of data cannot resolve the bands.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from bellbench.session import Session
from experiments.config.files import load_experiment

CONFIGS = Path(__file__).parents[2] / "configs"
ALL = "[ZZ, XX, CHSH]"
FIGURES = ("swap_rate_hz", "visibility_zz", "visibility_xx", "fidelity", "chsh_s")


@dataclass(frozen=True)
class Expected:
    """Centre and band of every figure, in 1/s where it is a rate."""

    spoke_singles: tuple[float, float]
    hub_singles: tuple[float, float]
    heralds_of_each_state: tuple[float, float]
    swap_rate_hz: tuple[float, float]
    visibility_zz: tuple[float, float]
    visibility_xx: tuple[float, float]
    fidelity: tuple[float, float]
    chsh_s: tuple[float, float]


EXPECTED = {
    "local": Expected(
        (2.255e6, 0.005 * 2.255e6), (2.089e6, 0.005 * 2.089e6), (5225, 0.02 * 5225),
        (476, 10), (0.867, 0.010), (0.707, 0.012), (0.820, 0.012), (2.22, 0.04),
    ),
    "nyc": Expected(
        (6.13e5, 0.005 * 6.13e5), (2.856e5, 0.005 * 2.856e5), (130, 0.03 * 130),
        (1.54, 0.05), (0.856, 0.02), (0.731, 0.02), (0.830, 0.015), (2.245, 0.05),
    ),
}  # fmt: skip


async def run(
    name: str, dwell_s: int, seed: int, folder: Path, *, drift: bool, bases: str = ALL
) -> dict[str, dict[str, float]]:
    """Carry out a shipped experiment with another dwell and in these bases. `drift=False` holds the fibre's
    polarization still, as the predictions have it: what drift costs, and how it is compensated, is another
    experiment."""
    experiment = CONFIGS / f"{name}_swapping.yaml"
    testbed = CONFIGS / f"testbeds/{name}.yaml"
    (folder / "testbeds").mkdir()
    lines = testbed.read_text().splitlines()
    if not drift:
        lines = [line for line in lines if "polarization_diffusion" not in line]
    (folder / f"testbeds/{name}.yaml").write_text("\n".join(lines))
    text = experiment.read_text()
    before, measure, after = text.partition("dwell: ")
    assert measure
    number, second, rest = after.partition(" s")
    assert number.isdigit()
    assert second
    assert ALL in before
    before = before.replace(ALL, bases)
    (folder / experiment.name).write_text(f"{before}dwell: {dwell_s} s{rest}")
    report = await Session(load_experiment(folder / experiment.name), folder / "runs", seed).carry_out()
    assert report.ending.exit == 0, report.ending.message
    assert report.results is not None
    results: dict[str, dict[str, float]] = dict(report.results)  # type: ignore[arg-type]
    for figure in FIGURES:
        print(figure, results[figure])  # noqa: T201 - shown by pytest -s and on failure
    print(results["heralds_by_state_hz"], results["singles_hz"])  # noqa: T201
    return results


def compare(results: dict[str, dict[str, float]], expected: Expected, sigmas: float) -> None:
    """Every figure against its prediction; `sigmas` 0 holds it to the band alone."""
    off = []

    def hold(figure: str, value: float, error: float, centre: float, band: float) -> None:
        if abs(value - centre) > max(band, sigmas * error):
            off.append(f"{figure} {value:.5g} +- {error:.2g}, expected {centre:.5g} +- {band:.2g}")

    for detector, singles in results["singles_hz"].items():
        where = expected.hub_singles if detector.startswith("hub") else expected.spoke_singles
        hold(f"singles {detector}", singles["value"], 0.0, *where)  # type: ignore[index]
    for state, heralds in results["heralds_by_state_hz"].items():
        hold(f"heralds {state}", heralds["value"], heralds["error"], *expected.heralds_of_each_state)  # type: ignore[index]
    for figure in FIGURES:
        if results[figure]["value"] is not None:
            hold(figure, results[figure]["value"], results[figure]["error"], *getattr(expected, figure))
    assert not off, "\n".join(off)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "dwell_s", "bases", "measured"), [("local", 5, "[ZZ, XX]", 4), ("nyc", 12, ALL, 5)]
)
async def test_a_minute_of_data_agrees_with_the_predictions(
    name: str, dwell_s: int, bases: str, measured: int, tmp_path: Path
) -> None:
    """10 s of data of the local set, 72 s of the deployed one, with everything that drifts."""
    results = await run(name, dwell_s, 1, tmp_path, drift=True, bases=bases)
    assert sum(results[figure]["value"] is not None for figure in FIGURES) == measured
    compare(results, EXPECTED[name], sigmas=5.0)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(("name", "dwell_s"), [("local", 60), ("nyc", 1800)])
async def test_long_runs_lie_in_the_bands(name: str, dwell_s: int, tmp_path: Path) -> None:
    """6 minutes of the local set, 3 hours of the deployed one. One standard error of |ZZ|, |XX|, S is then
    0.003, 0.004, 0.010 and 0.010, 0.013, 0.026: bands of 1.5 to 4 of them, so that another seed may fall
    outside one of them by chance (about 1 in 4 for the deployed set)."""
    compare(await run(name, dwell_s, 1, tmp_path, drift=False), EXPECTED[name], sigmas=0.0)
