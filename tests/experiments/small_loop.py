"""The shipped loop cut down to its first nodes, so that a run on it takes seconds: their part of every
section, with the last fibre leading back to the first node."""

from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parents[2] / "configs"


def small_loop(folder: Path, nodes: int, frequency_error: float = 1e-11, scrambled: bool = False) -> None:
    """Write `chattanooga_loop.yaml` and its testbed, with so many nodes, into a folder."""
    testbed = yaml.safe_load((CONFIGS / "testbeds/loop.yaml").read_text())
    gone = {f"n{k}" for k in range(nodes + 1, 11)}
    fibres = {f"{way}{k}" for way in "rl" for k in range(nodes, 10)}

    def kept(name: str) -> bool:
        return name.partition("_")[0] not in gone and name not in fibres

    def cut(section: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in section.items() if kept(name)}

    for section in ("nodes", "instruments", "fibres", "switches", "analysers", "detectors"):
        testbed[section] = cut(testbed[section])
    truth = testbed["simulation"]
    for section in ("fibres", "switches", "analysers", "detectors", "taggers"):
        truth[section] = cut(truth[section])
    last = f"n{nodes}"
    testbed["fibres"]["r10"]["from"], testbed["fibres"]["l10"]["to"] = last, last
    testbed["switches"]["n1_switch"]["outputs"][3] = ["l10", f"{last}_switch.2"]
    testbed["switches"][f"{last}_switch"]["outputs"][2] = ["r10", "n1_switch.1"]
    truth["taggers"] = {
        name: {**tagger, "frequency_error": frequency_error * (-1) ** k}
        for k, (name, tagger) in enumerate(truth["taggers"].items())
    }
    if scrambled:
        truth["fibres"] = {name: {**fibre, "scrambled": True} for name, fibre in truth["fibres"].items()}
    experiment = yaml.safe_load((CONFIGS / "chattanooga_loop.yaml").read_text())
    pairs = {}
    for one in range(1, nodes):
        for other in range(one + 1, nodes + 1):
            ways = {"n1_switch": {3: 1 if one == 1 else 2, 4: 3}}
            ways |= {f"n{k}_switch": {1: 2} for k in range(2, one)}
            if one > 1:
                ways[f"n{one}_switch"] = {1: 1}
            ways |= {f"n{k}_switch": {2: 3} for k in range(nodes, other, -1)}
            ways[f"n{other}_switch"] = {**ways.get(f"n{other}_switch", {}), 2: 1}
            analysers = [f"n{one}_analyser", f"n{other}_analyser"]
            pairs[f"n{one}_n{other}"] = {"analysers": analysers, "window": "500 ps", "switches": ways}
    experiment["pairs"] = pairs
    bring_up, measure = experiment["plan"]
    bring_up["bring_up"]["threshold"] = cut(bring_up["bring_up"]["threshold"])
    measure["measure_pairs"]["pairs"] = list(pairs)
    experiment["published"] = {}
    (folder / "testbeds").mkdir()
    (folder / "testbeds/loop.yaml").write_text(yaml.safe_dump(testbed))
    (folder / "chattanooga_loop.yaml").write_text(yaml.safe_dump(experiment))
