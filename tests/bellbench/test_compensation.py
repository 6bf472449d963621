"""Polarization compensation on the wire: whole runs on a simulated bench, drivers alone between them and the
light.

What a link really does to the light is read off the world itself (`turned_by`), which no driver can see.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bellbench.session import Session
from experiments.config.files import load_experiment
from experiments.engine.events import RunEvent, StepBegan, StepEnded
from experiments.engine.run import RunReport
from sim_instruments.bench import Bench
from tests.recorded import events, happened

LINK = Path(__file__).parents[1] / "experiments/compensated_link.yaml"
CONFIGS = Path(__file__).parents[2] / "configs"
PARTS = ("fibre", "squeezers", "first", "second", "third")
SMALL = """\
testbed: small
nodes: {lab: {}}
instruments:
  probe: {node: lab, model: cobolt_0601, address: sim, settings: {max_power: 60 mW}}
  shutter: {node: lab, model: keysight_n7764a, address: sim, settings: {channel: 1, insertion_loss: 1 dB}}
  injector: {node: lab, model: polatis_switch, address: sim, settings: {inputs: 6, outputs: 2}}
  exit: {node: lab, model: agiltron_cl, address: sim, settings: {channels: 2}}
  squeezers: {node: lab, model: ozoptics_epc400, address: sim, settings: {half_wave_voltage: 1.5 V}}
  polarimeter: {node: lab, model: thorlabs_pax1000, address: sim}
fibres:
  fibre: {from: lab, to: lab, length: 1 km}
beams:
  bright_h: {laser: probe, wavelength: 1324 nm, fraction: 0.1 %, polarization: H, path: [shutter, injector.2]}
  bright_d: {laser: probe, wavelength: 1324 nm, fraction: 0.1 %, polarization: D, path: [shutter, injector.3]}
switches:
  injector: {outputs: {1: [fibre, squeezers, exit.1]}}
  exit: {outputs: {2: [polarimeter]}}
simulation:
  fibres:
    fibre: {attenuation: 0.4 dB/km, delay: 4.9 us, scrambled: true}
  controllers:
    squeezers: {retardance_errors: [0.03, -0.03, 0.02, -0.02], axis_errors: [1 deg, -2 deg, 2 deg, -1 deg]}
"""
"""The same link without photons."""
PADDLED = (
    SMALL.replace("ozoptics_epc400", "thorlabs_mpc320")
    .replace(", settings: {half_wave_voltage: 1.5 V}", "")
    .replace("[0.03, -0.03, 0.02, -0.02]", "[0.03, -0.03, 0.02]")
    .replace("[1 deg, -2 deg, 2 deg, -1 deg]", "[1 deg, -2 deg, 2 deg]")
)
"""With three paddles in the place of the squeezers."""
HEAD = """\
experiment: kept
testbed: link.yaml
{pairs}compensation:
  link:
"""
PAIR = "pairs: {pair: {analysers: [near, far], window: 2 ns}}\n"
BRIGHT = """\
    polarimeter: polarimeter
    probes:
      - {beam: bright_h, switches: {exit: {1: 2}, injector: {2: 1}}, open: [shutter]}
      - {beam: bright_d, switches: {exit: {1: 2}, injector: {3: 1}}, open: [shutter]}
    photons: {switches: {exit: {1: 1}, injector: {1: 1}}}
"""
WEAK = """\
    analyser: far
    dwell: 50 ms
    timeout: 20 min
    probes:
      - {beam: weak_h, switches: {exit: {1: 1}, injector: {5: 1}}}
      - {beam: weak_d, switches: {exit: {1: 1}, injector: {6: 1}}}
    photons: {switches: {exit: {1: 1}, injector: {1: 1}}}
"""
PAIRS = """\
    pair: pair
    dwell: 500 ms
    timeout: 1 h
    cadence: null
    photons: {switches: {exit: {1: 1}, injector: {1: 1}}}
"""
BRING_UP = "bring_up: {power: {pump: 20 mW, probe: 10 mW, faint: 10 mW}, threshold: {tagger: 100 mV}}"
BRING_UP_SMALL = "bring_up: {power: {probe: 10 mW}}"


def turned_by(bench: Bench) -> NDArray[np.complex128]:
    """What all that turns polarization in the link does to it, as the world has it now: a Jones matrix of
    determinant 1."""
    light = bench.light
    whole = np.eye(2, dtype=np.complex128)
    for name in PARTS:
        if name not in light._optics._elements:
            continue
        step = light._optics._elements[name].element.step(  # type: ignore[attr-defined]
            type("Light", (), {"frequency_hz": 299792458.0 / 1324e-9, "carrier_offset_hz": 0.0})()
        )
        whole = step.matrix @ whole
    turn: NDArray[np.complex128] = whole / np.sqrt(np.linalg.det(whole))
    return turn


def pair_fidelity(bench: Bench) -> float:
    """|tr W|^2 / 4 of what the link does to polarization."""
    return float(abs(np.trace(turned_by(bench))) ** 2 / 4)


class Watch:
    """Notes the true fidelity when a step begins and ends, and keeps all events with their time."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.truth: dict[str, float] = {}

    def notify(self, event: RunEvent) -> None:
        if isinstance(event, StepBegan | StepEnded) and self.session.bench:
            phase = "before" if isinstance(event, StepBegan) else "after"
            self.truth[f"{phase} {event.kind}"] = pair_fidelity(self.session.bench)


async def carry_out(folder: Path, text: str, testbed: str = "", seed: int = 3) -> tuple[RunReport, Watch]:
    (folder / "link.yaml").write_text(testbed or LINK.read_text())
    (folder / "kept.yaml").write_text(text)
    session = Session(load_experiment(folder / "kept.yaml"), folder / "runs", seed)
    watch = Watch(session)
    return await session.carry_out([watch]), watch


def experiment(
    actuator: str, strategy: str, sensor: str, *plan: str, more: str = "", small: bool = False
) -> str:
    head = HEAD.format(pairs="" if small else PAIR)
    steps = "".join(f"  - {step}\n" for step in (BRING_UP_SMALL if small else BRING_UP, *plan))
    return f"{head}    {actuator}\n    strategy: {strategy}\n{sensor}{more}plan:\n{steps}"


@pytest.mark.parametrize(
    ("actuator", "strategy", "testbed", "settings"),
    [
        ("controller: squeezers", "stokes", SMALL, 6),
        ("controller: squeezers", "line", SMALL, 80),
        ("controller: squeezers", "nelder_mead", SMALL, 160),
        pytest.param("controller: squeezers", "gradient", SMALL, 240, marks=pytest.mark.long),
        ("controller: squeezers", "stokes", PADDLED, 6),
        ("plates: [first, second, third]", "stokes", "", 6),
    ],
    ids=["stokes", "line", "simplex", "gradient", "paddles", "wave plates"],
)
async def test_a_scrambled_link_is_compensated_over_the_wire(
    tmp_path: Path, actuator: str, strategy: str, testbed: str, settings: int
) -> None:
    """Three looks of two readings are what physics.md finds for 95 % of cold starts by Stokes vectors."""
    text = experiment(actuator, strategy, BRIGHT, "compensate_polarization", small=bool(testbed))
    report, watch = await carry_out(tmp_path, text, testbed)
    assert report.ending.exit == 0, report.ending.message
    assert watch.truth["before compensate_polarization"] < 0.9
    truth = watch.truth["after compensate_polarization"]
    assert truth > (0.985 if strategy == "stokes" else 0.98)
    assert report.results is not None
    figure = report.results["polarization_pair_fidelity"]
    assert isinstance(figure, dict)
    assert figure["value"] == pytest.approx(truth, abs=2e-3)
    (found,) = happened(report.folder, "compensated")
    assert found["link"] == "link"
    assert found["pair_fidelity_before"] < 0.9 < found["pair_fidelity_after"]
    assert found["settings"] <= settings
    phases = [event["phase"] for event in events(report.folder, "polarization")]
    assert phases == ["before", "before", "after", "after"]
    assert [event["state"] for event in events(report.folder, "uptime")] == ["down", "up"]


@pytest.mark.long
async def test_three_paddles_on_the_deployed_testbed(tmp_path: Path) -> None:
    """The shipped experiment up to its compensation: both arms, MPC320 paddles with errors of 3 %."""
    (tmp_path / "testbeds").mkdir()
    for name in ("nyc", "nyc_probed"):
        shutil.copy(CONFIGS / f"testbeds/{name}.yaml", tmp_path / "testbeds")
    text = (CONFIGS / "nyc_compensated.yaml").read_text()
    text = text[: text.index("  - calibrate_delays")]
    (tmp_path / "kept.yaml").write_text(text)
    report = await Session(load_experiment(tmp_path / "kept.yaml"), tmp_path / "runs", 3).carry_out()
    assert report.ending.exit == 0, report.ending.message
    found = {each["link"]: each for each in happened(report.folder, "compensated")}
    assert found.keys() == {"alice", "bob"}
    assert all(each["pair_fidelity_after"] > 0.985 for each in found.values())
    assert all(each["settings"] <= 6 for each in found.values())


DRIFTING = SMALL.replace(
    "{attenuation: 0.4 dB/km, delay: 4.9 us, scrambled: true}",
    "{attenuation: 0.4 dB/km, delay: 4.9 us, polarization_diffusion: 8e-3 rad^2/s, jump_rate: 0.02 Hz}",
)
"""A fibre as restless as an aerial one (1e-4 to 1e-2 rad^2/s, physics.md 2), with a jump of 0.4 rad every 50
s."""


async def test_with_compensation_fidelity_stays_without_it_falls(tmp_path: Path) -> None:
    """A minute: free, the fidelity falls as (1 + 3 exp(-2 D t)) / 4 to 0.54 in the mean by the drift alone;
    looked at every 3 s it loses 1.5 D t = 0.036 in between, and a jump costs 0.04 until the next look
    (physics.md 6)."""
    kept = experiment(
        "controller: squeezers", "stokes", BRIGHT, "compensate_polarization", "wait: {duration: 60 s}",
        more="    cadence: 3 s\n", small=True,
    )  # fmt: skip
    report, watch = await carry_out(tmp_path, kept, DRIFTING)
    assert report.ending.exit == 0, report.ending.message
    seen = [event["fidelity"] for event in events(report.folder, "polarization")]
    assert np.mean(seen) > 0.96
    assert watch.truth["after wait"] > 0.88
    books = happened(report.folder, "compensated")[-1]
    assert books["compensated"] >= 5
    assert 0.8 < books["uptime"] < 0.97  # some 0.25 s of every 3 s
    free = experiment(
        "controller: squeezers", "stokes", BRIGHT, "compensate_polarization", "wait: {duration: 60 s}",
        more="    cadence: null\n", small=True,
    )  # fmt: skip
    report, watch = await carry_out(tmp_path, free, DRIFTING)
    assert watch.truth["after compensate_polarization"] > 0.99
    assert watch.truth["after wait"] < 0.7


@pytest.mark.long
async def test_measurements_stand_aside_for_it(tmp_path: Path) -> None:
    """No stay of a measurement reaches into a time when the photons were out, and what it measures is
    good."""
    text = experiment(
        "controller: squeezers", "stokes", BRIGHT, "compensate_polarization",
        "calibrate_pair_delays: {duration: 500 ms}", "measure_visibility: {bases: [ZZ, XX], dwell: 2.5 s}",
        more="    cadence: 1.5 s\n",
    )  # fmt: skip
    straight = LINK.read_text().replace(
        "qwp_zero: 5 deg, hwp_zero: -8 deg, qwp_error: 3 deg, hwp_error: -2 deg, ", ""
    )
    report, _ = await carry_out(tmp_path, text, straight)
    assert report.ending.exit == 0, report.ending.message
    told = events(report.folder, "happened", "uptime")
    stays = [each for each in told if each.get("event") == "dwell"]
    downs = [each["t_s"] for each in told if each.get("state") == "down"]
    assert len(stays) >= 4  # two settings of 2.5 s, cut by a look every 1.5 s
    for stay in stays:
        window = json.loads(stay["details"])
        counted_s = (window["end_ps"] - window["begin_ps"]) * 1e-12
        assert not any(stay["t_s"] < down < stay["t_s"] + counted_s for down in downs)
    assert len([down for down in downs if stays[0]["t_s"] < down < stays[-1]["t_s"]]) >= 2
    assert report.results is not None
    figure = report.results["visibility_zz"]
    assert isinstance(figure, dict)
    assert figure["value"] > 0.9


async def test_a_probe_that_does_not_come_is_told(tmp_path: Path) -> None:
    """A probe laser that does not emit: the run says which probe is not seen, and where to look."""
    text = experiment("controller: squeezers", "stokes", BRIGHT, "compensate_polarization", small=True)
    report, _ = await carry_out(tmp_path, text.replace("{power: {probe: 10 mW}}", "{}"), SMALL)
    assert report.ending.exit == 1
    assert "does not see bright_h" in report.ending.message
    assert "See whether its laser emits" in report.ending.message


@pytest.mark.long
@pytest.mark.parametrize(
    ("strategy", "sensor", "reached"),
    [
        ("stokes", WEAK, 0.985),
        ("line", PAIRS + "    trigger: 0.96\n    stop: 0.97\n", 0.94),
        ("nelder_mead", PAIRS + "    trigger: 0.96\n    stop: 0.97\n", 0.94),
    ],
)
async def test_single_photons_show_it_too(tmp_path: Path, strategy: str, sensor: str, reached: float) -> None:
    """Weak probes behind an analyser, and the QBER of pairs; the far analyser stands straight here."""
    straight = LINK.read_text().replace(
        "qwp_zero: 5 deg, hwp_zero: -8 deg, qwp_error: 3 deg, hwp_error: -2 deg, ", ""
    )
    text = experiment("controller: squeezers", strategy, sensor, "compensate_polarization")
    report, watch = await carry_out(tmp_path, text, straight)
    assert report.ending.exit == 0, report.ending.message
    assert watch.truth["after compensate_polarization"] > reached


@pytest.mark.long
async def test_an_analyser_is_calibrated_over_the_wire(tmp_path: Path) -> None:
    """Its hidden zeros (5 and -8 degrees of the mounts where the axes are horizontal) come out, with their
    errors."""
    plan = (
        "calibrate_analyser: {analyser: far, dwell: 100 ms, light: {beam: local_h, switches: {exit: {1: 2}}, "
        "open: [local_shutter]}, photons: {switches: {exit: {1: 1}}}}"
    )
    head = "experiment: kept\ntestbed: link.yaml\npairs: {pair: {analysers: [near, far], window: 2 ns}}\n"
    text = f"{head}plan: [{{{BRING_UP}}}, {{{plan}}}]\n"
    report, _ = await carry_out(tmp_path, text)
    assert report.ending.exit == 0, report.ending.message
    (calibrated,) = happened(report.folder, "calibrated")
    assert calibrated["calibration"] == "optics of far"
    truths = {"qwp_zero": -5.0, "hwp_zero": 8.0, "qwp_error": 3.0, "hwp_error": -2.0}
    for name, degrees in truths.items():
        figure = calibrated[name]
        assert figure["unit"] == "rad"
        assert abs(figure["value"] - np.radians(degrees)) < 5 * figure["uncertainty"] < np.radians(5)
    extinction = calibrated["extinction"]
    assert extinction["value"] == pytest.approx(10**-2.5, abs=5 * extinction["uncertainty"])
    assert len(events(report.folder, "scan")) == 2
