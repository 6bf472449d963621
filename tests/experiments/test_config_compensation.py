"""What `bellbench check` says of a wrong section `compensation`, above all of probes that could come where
single photons are counted."""

from pathlib import Path

import pytest

from experiments.config.files import load_experiment
from experiments.config.problems import ConfigError

TESTBED = Path(__file__).with_name("compensated_link.yaml").read_text()
EXPERIMENT = """\
experiment: kept
testbed: link.yaml
pairs:
  pair: {analysers: [near, far], window: 2 ns}
compensation:
  link:
    controller: squeezers
    strategy: stokes
    polarimeter: polarimeter
    probes:
      - {beam: bright_h, switches: {exit: {1: 2}, injector: {2: 1}}, open: [shutter]}
      - {beam: bright_d, switches: {exit: {1: 2}, injector: {3: 1}}, open: [shutter]}
    photons: {switches: {exit: {1: 1}, injector: {1: 1}}}
plan:
  - bring_up
  - compensate_polarization: {links: [link]}
  - reference_polarization
  - calibrate_analyser:
      analyser: far
      light: {beam: local_h, switches: {exit: {1: 2}}, open: [local_shutter]}
"""
WRONG = [
    # old, new, what is said
    ("controller: squeezers", "controller: squeezer", "'squeezer' is no instrument of this testbed"),
    ("controller: squeezers", "controller: shutter",
     "'shutter' is an Attenuator, here stands a PolarizationController"),
    ("controller: squeezers", "plates: [first, second]",
     "2 plates cannot undo every rotation; it takes 3"),
    ("controller: squeezers", "plates: [first, second, fourth]", "'fourth' is no wave plate of this testbed"),
    ("controller: squeezers", "controller: squeezers\n    retardances: [90 deg]",
     "squeezers sets these; what is fixed are its fast_axes"),
    ("controller: squeezers", "controller: squeezers\n    fast_axes: [0 deg, 45 deg]",
     "2 given for the 4 plates of squeezers"),
    ("controller: squeezers", "controller: squeezers\n    plates: [first, second, third]",
     "what turns the polarization is a controller or plates; give one of them"),
    ("strategy: stokes", "strategy: stoke",
     "'stoke' is not known here; allowed: stokes, gradient, line, nelder_mead"),
    ("beam: bright_d", "beam: bright_x", "'bright_x' is no beam of this testbed"),
    ("{beam: bright_d, switches: {exit: {1: 2}, injector: {3: 1}}",
     "{beam: bright_h, switches: {exit: {1: 2}, injector: {2: 1}}",
     "one polarization does not show the whole rotation"),
    ("injector: {2: 1}", "injector: {2: 3}", "injector has no output 3; allowed: 1, 2"),
    ("injector: {2: 1}", "injector: {7: 1}", "injector has no input 7; allowed: 1, 2, 3, 4, 5, 6"),
    ("injector: {2: 1}", "injector: {4: 1}",
     "led so, bright_h does not come to polarimeter; it ends in the dark"),
    ("{exit: {1: 2}, injector: {2: 1}}", "{injector: {2: 1}}",
     "led so, bright_h does not come to polarimeter; it can end at far"),
    ("open: [shutter]}\n      - {beam: bright_d", "open: []}\n      - {beam: bright_d",
     "bright_h comes past shutter, which is not among open"),
    ("open: [shutter]}\n      - {beam: bright_d", "open: [pump]}\n      - {beam: bright_d",
     "'pump' is a Laser, here stands a Shutter"),
    ("photons: {switches: {exit: {1: 1}, injector: {1: 1}}}",
     "photons: {switches: {exit: {1: 1}, injector: {2: 1}}, open: [shutter]}",
     "while photons are measured, bright_h can come to far"),
    ("polarimeter: polarimeter", "polarimeter: tagger",
     "'tagger' is a TimeTagger, here stands a Polarimeter"),
    ("polarimeter: polarimeter", "polarimeter: polarimeter\n    analyser: far",
     "probes are measured at a polarimeter or at an analyser; give one of them"),
    ("polarimeter: polarimeter", "polarimeter: polarimeter\n    trigger: 0.999",
     "stop is below trigger: the controller would be turned for nothing"),
    ("polarimeter: polarimeter", "polarimeter: polarimeter\n    unbiased: [pump]",
     "'pump' is a Laser, here stands a NanowireBias"),
    ("links: [link]", "links: [lnik]",
     "'lnik' is no link of compensation; allowed: link; did you mean 'link'?"),
    ("analyser: far\n", "analyser: fra\n", "'fra' is no analyser of this testbed"),
    ("{beam: local_h, switches: {exit: {1: 2}}, open: [local_shutter]}",
     "{beam: bright_r, switches: {exit: {1: 1}, injector: {4: 1}}, open: [shutter]}",
     "bright_r is not linear, which the calibration relies on"),
    ("{beam: local_h, switches: {exit: {1: 2}}, open: [local_shutter]}",
     "{beam: weak_h, switches: {exit: {1: 2}, injector: {5: 1}}}", "led so, weak_h does not come to far"),
]  # fmt: skip


def problems(folder: Path, text: str) -> list[str]:
    (folder / "link.yaml").write_text(TESTBED)
    (folder / "kept.yaml").write_text(text)
    try:
        load_experiment(folder / "kept.yaml")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_right_one_has_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, EXPERIMENT) == []


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_a_wrong_one_is_said_to_be_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in EXPERIMENT
    found = problems(tmp_path, EXPERIMENT.replace(old, new, 1))
    assert any(said in problem for problem in found), found
    assert all("kept.yaml:" in problem for problem in found)


PAIRED = """\
experiment: kept
testbed: link.yaml
pairs:
  pair: {analysers: [near, far], window: 2 ns}
compensation:
  link: {controller: squeezers, strategy: nelder_mead, pair: pair, photons: {switches: {exit: {1: 1}}}}
plan: [bring_up, compensate_polarization]
"""


def test_a_link_can_be_judged_by_pairs(tmp_path: Path) -> None:
    assert problems(tmp_path, PAIRED) == []
    assert "strategy stokes sees Stokes vectors of probes" in "".join(
        problems(tmp_path, PAIRED.replace("nelder_mead", "stokes"))
    )
    assert "'pear' is no pair of pairs; allowed: pair" in "".join(
        problems(tmp_path, PAIRED.replace("pair: pair", "pair: pear"))
    )
    assert "link has no probes; a reference is how probes look" in "".join(
        problems(tmp_path, PAIRED.replace("plan: [bring_up", "plan: [reference_polarization, bring_up"))
    )


def test_steps_on_links_need_the_section(tmp_path: Path) -> None:
    text = "experiment: kept\ntestbed: link.yaml\nplan: [compensate_polarization]\n"
    assert "compensate_polarization needs the section compensation" in "".join(problems(tmp_path, text))
