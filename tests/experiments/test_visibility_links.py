"""What the links of a pair explain of its QBER, beside the figures of `measure_visibility`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments.calibrations.polarization.step import KEPT, KeptLinks
from experiments.config.files import load_testbed
from experiments.config.plan import MeasureVisibility
from experiments.config.settings import PairSettings
from experiments.engine.bench import Bench
from experiments.engine.findings import Calibrations
from experiments.measurements.pair_tally import CountsOfPair
from experiments.measurements.visibility import MeasureVisibilityStep

LINK = Path(__file__).parent / "compensated_link.yaml"
PAIR = PairSettings.model_validate({"analysers": ["near", "far"], "window": "2 ns"})


def results(controllers: dict[str, str], seen: dict[str, float | None], probes: int = 2) -> dict[str, object]:
    """Of 10000 pairs in either basis with a QBER of 0.05 in Z and 0.03 in X, with links of these controllers
    and the pair fidelity that was seen of some."""
    bench = Bench(load_testbed(LINK).testbed, {})
    links = {name: SimpleNamespace(controller=controller) for name, controller in controllers.items()}
    experiment: Any = SimpleNamespace(pair=lambda _: PAIR, compensation=links)
    kept: Any = {}
    for name, fidelity in seen.items():
        last = None if fidelity is None else SimpleNamespace(after=SimpleNamespace(pair_fidelity=fidelity))
        books, settings = SimpleNamespace(last=last), SimpleNamespace(probes=(None,) * probes)
        kept[name] = SimpleNamespace(books=books, settings=settings)
    calibrations = Calibrations()
    step = MeasureVisibilityStep(MeasureVisibility.model_validate({"pair": "pair", "dwell": "1 s"}))
    tally = step.new_tally(bench, experiment, calibrations)
    calibrations.put(KEPT, KeptLinks(kept))  # what was seen last counts, not what was when the tally was made
    for basis, wrong in (("ZZ", 500), ("XX", 300)):
        counts = CountsOfPair.none(basis, len(bench.detectors))
        counts.live_ps, right = 10**12, 10_000 - wrong
        counts.raw = np.array([[right // 2, wrong // 2], [wrong // 2, right // 2]])
        tally.take_over(counts, "earlier")
    return dict(tally.to_results())


def test_what_links_explain_stands_beside_the_qber() -> None:
    """At a pair fidelity of 0.98 they explain 0.02 of it in any basis, at most."""
    found: Any = results({"link": "squeezers", "other": "elsewhere"}, {"link": 0.98, "other": None})
    explained = found["qber_of_links"]
    assert explained["links"] == {"link": 0.98}
    assert explained["explained_at_most"] == pytest.approx(0.02)
    rest = explained["unexplained_at_least"]
    assert rest["qber_z"]["value"] == pytest.approx(0.03)
    assert rest["qber_x"]["value"] == pytest.approx(0.01)
    assert rest["qber_z"]["error"] == pytest.approx((0.05 * 0.95 / 10_000) ** 0.5, rel=0.01)
    assert found["qber_z"]["value"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("controllers", "seen", "probes"),
    [
        ({}, {}, 2),
        ({"link": "elsewhere"}, {"link": 0.98}, 2),
        ({"link": "squeezers"}, {}, 2),
        ({"link": "squeezers"}, {"link": None}, 2),
        ({"link": "squeezers"}, {"link": 0.98}, 0),
    ],
)
def test_links_that_probes_did_not_see_explain_nothing(
    controllers: dict[str, str], seen: dict[str, float | None], probes: int
) -> None:
    assert "qber_of_links" not in results(controllers, seen, probes)
