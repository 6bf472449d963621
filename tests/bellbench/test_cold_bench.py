"""A cold start on the wire: the run knows only the wiring, and S comes out as the light has it.

All at once the fibre scrambles polarization, the plates of an analyser stand anywhere, and the far node's
time is off by more than a millisecond and its clock by more than a part in a million. Each by itself is in
`test_compensation`, `test_network_of_nodes` and `tests.experiments.test_cold_start_rates`.
"""

import json
from math import pi
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bellbench.session import Session
from experiments.config.files import load_experiment
from experiments.engine.events import RunEvent, StepEnded
from tests.bellbench.test_compensation import LINK, turned_by
from tests.experiments.scrambled_link import retarder

Complex = NDArray[np.complex128]

FAR_NODE = {
    "  tagger: {node: lab, model: idq_id900, address: sim}\n": (
        "  near_tagger: {node: lab, model: idq_id900, address: sim}\n"
        "  far_tagger: {node: lab, model: idq_id900, address: sim}\n"
    ),
    "{tagger: tagger.1}": "{tagger: near_tagger.1}",
    "{tagger: tagger.2}": "{tagger: near_tagger.2}",
    "{tagger: tagger.3}": "{tagger: far_tagger.1}",
    "{tagger: tagger.4}": "{tagger: far_tagger.2}",
    "    tagger: {start_latency: 5 ms, frequency_error: 1e-9, resolution: 1 ps}\n": (
        "    near_tagger: &free {start_latency: 5 ms, frequency_error: 1e-6, resolution: 1 ps}\n"
        "    far_tagger: *free\n"
    ),
}
"""The analysers of the link have a tagger each, whose clocks run free."""
EXPERIMENT = """\
experiment: cold
testbed: link.yaml
pairs: {pair: {analysers: [near, far], window: 2 ns}}
compensation:
  link:
    controller: squeezers
    cadence: null
    polarimeter: polarimeter
    probes:
      - {beam: bright_h, switches: {exit: {1: 2}, injector: {2: 1}}, open: [shutter]}
      - {beam: bright_d, switches: {exit: {1: 2}, injector: {3: 1}}, open: [shutter]}
    photons: {switches: {exit: {1: 1}, injector: {1: 1}}}
plan:
  - bring_up:
      power: {pump: 20 mW, probe: 10 mW, faint: 10 mW}
      threshold: {near_tagger: 100 mV, far_tagger: 100 mV}
  - calibrate_analyser:
      analyser: far
      dwell: 200 ms
      light: {beam: local_h, switches: {exit: {1: 2}}, open: [local_shutter]}
      photons: {switches: {exit: {1: 1}}}
  - compensate_polarization
  - calibrate_pair_delays: {duration: 500 ms, max_skew: 5e-6}
  - measure_chsh: {dwell: 1 s}
"""
SIGMAS = 5.5
SEED = 4
ERRORS, EXTINCTION = (3 * pi / 180, -2 * pi / 180), 10**-2.5
"""Of the far analyser's plates and splitter, in `LINK`; its zeros are calibrated away."""


def looks_for(angle_deg: float, errors: tuple[float, float] = (0.0, 0.0), extinction: float = 0.0) -> Complex:
    """H less V of an analyser turned to linear light at this angle, as an operator: by Jones matrices."""
    angle = angle_deg * pi / 180
    plates = retarder(pi + errors[1], angle / 2) @ retarder(pi / 2 + errors[0], angle)
    return (1 - 2 * extinction) * plates.conj().T @ np.diag([1, -1]) @ plates


def true_s(turn: Complex) -> float:
    """Of Phi+ with white noise, F = 0.99, whose second photon takes this turn."""
    phi = np.array([1, 0, 0, 1]) / np.sqrt(2)
    purity = (4 * 0.99 - 1) / 3
    both = np.kron(np.eye(2), turn)
    state = both @ (purity * np.outer(phi, phi) + (1 - purity) * np.eye(4) / 4) @ both.conj().T
    return sum(
        sign * float(np.trace(state @ np.kron(looks_for(a), looks_for(b, ERRORS, EXTINCTION))).real)
        for a, b, sign in ((0, 22.5, 1), (0, 67.5, -1), (45, 22.5, 1), (45, 67.5, 1))
    )


class Watch:
    """What the link does to polarization before and after it is compensated, and at the end."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.turns: dict[str, Complex] = {}

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, StepEnded) and self.session.bench:
            self.turns[event.kind] = turned_by(self.session.bench)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_bench_of_which_only_the_wiring_is_known_violates_bell(tmp_path: Path) -> None:
    text = LINK.read_text()
    for old, new in FAR_NODE.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "link.yaml").write_text(text)
    (tmp_path / "cold.yaml").write_text(EXPERIMENT)
    session = Session(load_experiment(tmp_path / "cold.yaml"), tmp_path / "runs", seed=SEED)
    watch = Watch(session)
    report = await session.carry_out([watch])
    assert report.ending.exit == 0, report.ending.message
    assert report.folder is not None
    assert report.results is not None

    # It was cold: nothing of it would have worked.
    delays = json.loads((report.folder / "calibrations.json").read_text())["delays of near and far"]
    assert abs(delays["tagger_shifts"]["far_tagger"]["value"]) > 1e9
    assert abs(delays["tagger_rates"]["far_tagger"]["value"]) > 1e-6
    assert true_s(watch.turns["bring_up"]) < 2

    # And it is what the state allows: S = 2 sqrt 2 (4 F - 1) / 3 = 2.79, less what plates and splitter take.
    expected = true_s(watch.turns["measure_chsh"])
    assert expected == pytest.approx(2.76, abs=0.03)
    s = report.results["chsh_s"]
    assert isinstance(s, dict)
    assert s["error"] < 0.03
    assert abs(s["subtracted"]["value"] - expected) < SIGMAS * s["subtracted"]["error"]
