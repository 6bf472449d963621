"""The loop cut down to three nodes: each pair of nodes is measured through its switches, from a cold start in
which the taggers' clocks run free. And two pairs of one source, of which one has a torn fibre."""

import asyncio
import json
from pathlib import Path

import pytest

from bellbench.session import Session
from experiments.config.files import load_experiment
from experiments.config.plan import MeasurePairs, result_names
from tests.experiments.small_loop import small_loop
from tests.recorded import events, happened

CONFIGS = Path(__file__).parents[2] / "configs"
TORN = """\
testbed: torn
nodes: {lab: {}}
instruments:
  pump: {node: lab, model: cobolt_0601, address: sim, settings: {max_power: 60 mW}}
  yard: {node: lab, model: polatis_switch, address: sim, settings: {inputs: 1, outputs: 2}}
  squeezers: {node: lab, model: ozoptics_epc400, address: sim, settings: {half_wave_voltage: 1.5 V}}
  near_qwp: {node: lab, model: thorlabs_k10cr1, address: sim}
  near_hwp: {node: lab, model: thorlabs_k10cr1, address: sim}
  far_qwp: {node: lab, model: thorlabs_k10cr1, address: sim}
  far_hwp: {node: lab, model: thorlabs_k10cr1, address: sim}
  gone_qwp: {node: lab, model: thorlabs_k10cr1, address: sim}
  gone_hwp: {node: lab, model: thorlabs_k10cr1, address: sim}
  tagger: {node: lab, model: idq_id900, address: sim}
  gone_tagger: {node: lab, model: idq_id900, address: sim}
fibres:
  whole: {from: lab, to: lab, length: 1 km}
  torn: {from: lab, to: lab, length: 1 km}
sources:
  source:
    node: lab
    pump: pump
    signal: [near]
    idler: [yard.1]
    signal_wavelength: 795 nm
    idler_wavelength: 1324 nm
switches:
  yard: {outputs: {1: [whole, squeezers, far], 2: [torn, gone]}}
analysers:
  near: {node: lab, qwp: near_qwp, hwp: near_hwp, outputs: {H: near_h, V: near_v}}
  far: {node: lab, qwp: far_qwp, hwp: far_hwp, outputs: {H: far_h, V: far_v}}
  gone: {node: lab, qwp: gone_qwp, hwp: gone_hwp, outputs: {H: gone_h, V: gone_v}}
detectors:
  near_h: {tagger: tagger.1}
  near_v: {tagger: tagger.2}
  far_h: {tagger: tagger.3}
  far_v: {tagger: tagger.4}
  gone_h: {tagger: gone_tagger.1}
  gone_v: {tagger: gone_tagger.2}
simulation:
  sources:
    source:
      pair_rate: 30 kHz
      pump_power: 20 mW
      state: {bell: Phi+, fidelity: 0.99}
      biphoton: {shape: gaussian, tau_signal: 200 ps}
      signal_transmission: 0.5
      idler_transmission: 0.5
  fibres:
    whole: {attenuation: 0.4 dB/km, delay: 4.9 us}
    torn: {attenuation: 100 dB/km, delay: 4.9 us}
  analysers: {near: {transmission: 0.9}, far: {transmission: 0.9}, gone: {transmission: 0.9}}
  detectors:
    near_h: &diode
      {kind: avalanche_diode, efficiency: 0.6, dark_counts: 100 Hz, jitter: 100 ps, dead_time: 30 ns}
    near_v: *diode
    far_h: *diode
    far_v: *diode
    gone_h: *diode
    gone_v: *diode
  taggers:
    tagger: &tagger {start_latency: 0 s, frequency_error: 1e-11, resolution: 1 ps}
    gone_tagger: *tagger
"""
PAIRS = """\
experiment: two_pairs
testbed: bed.yaml
pairs:
  whole: {analysers: [near, far], window: 2 ns, switches: {yard: {1: 1}}}
  torn: {analysers: [near, gone], window: 2 ns, switches: {yard: {1: 2}}}
compensation:
  link: {controller: squeezers, pair: whole, strategy: line, trigger: 0.95, stop: 0.96, dwell: 500 ms}
plan:
  - bring_up: {power: {pump: 20 mW}, threshold: {tagger: 100 mV}}
  - measure_pairs: {pairs: [whole, torn], duration: 500 ms, search: 100 us, dwell: 500 ms, compensate: true}
"""


def test_a_pair_that_cannot_be_reached_is_named_and_the_others_are_kept_and_measured(tmp_path: Path) -> None:
    """The link of the pair that is whole is judged by its own coincidences, and by no others."""
    (tmp_path / "bed.yaml").write_text(TORN)
    (tmp_path / "pairs.yaml").write_text(PAIRS)
    session = Session(load_experiment(tmp_path / "pairs.yaml"), tmp_path / "runs", seed=1)
    report = asyncio.run(session.carry_out())
    assert report.ending.exit == 0, report.ending.message
    unreached = happened(report.folder, "pair not reached")
    assert [(each["pair"], each["analysers"]) for each in unreached] == [("torn", ["near", "gone"])] * 2
    assert all("click" in each["message"] or "peak" in each["message"] for each in unreached)
    results = report.results or {}
    assert results["pairs_measured"] == {"value": 1, "error": 0.0, "of": 2}
    table = results["node_pairs"]
    assert table["torn"] == {"analysers": ["near", "gone"]}  # type: ignore[index]
    lower = results["whole.fidelity_lower"]
    assert lower["value"] + 5.5 * lower["error"] > 0.98  # type: ignore[index]
    assert results["fidelity_lower_least"]["pair"] == "whole"  # type: ignore[index]
    # The link is looked at when the light goes to its pair and the delays are known, before anything counts.
    assert results["polarization_pair_fidelity"]["links"]["link"] > 0.95  # type: ignore[index]
    [calibrated] = happened(report.folder, "calibrated")
    first = next(each for each in happened(report.folder, "dwell") if each["label"] == "whole")
    downs = [each["t_s"] for each in events(report.folder, "uptime") if each["state"] == "down"]
    assert downs
    assert all(calibrated["t_s"] <= down <= first["t_s"] for down in downs)


@pytest.mark.timeout(300)
def test_every_pair_of_nodes_is_measured(tmp_path: Path) -> None:
    """Clocks are off by 1 ppm either way, start latencies by up to 5 ms. Visibilities are those of the
    source: 2 % white and 2 % coloured noise, splitters with 30 dB, and few accidentals."""
    small_loop(tmp_path, 3, frequency_error=1e-6)
    bed = tmp_path / "testbeds/loop.yaml"
    assert "pair_rate: 5 MHz" in bed.read_text()
    bed.write_text(bed.read_text().replace("pair_rate: 5 MHz", "pair_rate: 1 MHz"))
    text = (tmp_path / "chattanooga_loop.yaml").read_text()
    text = text.replace("duration: 1 s", "duration: 500 ms\n    max_skew: 5.0e-06")
    text = text.replace("dwell: 4 s", "dwell: 500 ms")
    assert "max_skew" in text
    (tmp_path / "chattanooga_loop.yaml").write_text(text)
    session = Session(load_experiment(tmp_path / "chattanooga_loop.yaml"), tmp_path / "runs", seed=2)
    report = asyncio.run(session.carry_out())
    assert report.ending.exit == 0, report.ending.message
    assert report.folder is not None
    results = json.loads((report.folder / "results.json").read_text())
    assert results["pairs_measured"] == {"value": 3, "error": 0.0, "of": 3}
    assert set(results["node_pairs"]) == {"n1_n2", "n1_n3", "n2_n3"}
    for pair in results["node_pairs"]:
        lower, upper = results[f"{pair}.fidelity_lower"], results[f"{pair}.fidelity_upper"]
        # 0.98 * 0.98 of the state is pure; leakage of the splitters takes 4e-3 of a correlation.
        assert lower["subtracted"]["value"] - 5.5 * lower["error"] < 0.975
        assert upper["subtracted"]["value"] + 5.5 * upper["error"] > 0.96
        assert lower["value"] > 0.88
    least = results["fidelity_lower_least"]
    assert least["value"] == min(results[f"{p}.fidelity_lower"]["value"] for p in results["node_pairs"])
    rates = json.loads((report.folder / "calibrations.json").read_text())
    found = rates["delays of n1_analyser and n2_analyser"]["tagger_rates"]["n2_tagger"]
    # The errors of the clocks' frequencies are drawn, 1e-6 wide each.
    assert 1e-8 < abs(found["value"]) < 5e-6
    assert found["uncertainty"] < 2e-9


def test_the_shipped_loop_measures_all_pairs() -> None:
    plan = load_experiment(CONFIGS / "chattanooga_loop.yaml").experiment.plan
    (step,) = (step for step in plan if isinstance(step, MeasurePairs))
    nodes = range(1, 11)
    assert set(step.pairs) == {f"n{a}_n{b}" for a in nodes for b in nodes if a < b}
    assert "n3_n7.fidelity_lower" in result_names(plan)
