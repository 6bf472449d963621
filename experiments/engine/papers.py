"""The papers of a run: what its folder says about it as a whole, from run.json to the results."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version

import yaml

from experiments.config.files import LoadedExperiment, beside_each_other
from experiments.config.testbed import Testbed
from experiments.engine.findings import Results
from experiments.engine.outcome import Ending, State
from experiments.engine.process import this_process
from experiments.engine.record import RunFolder, utc_now
from experiments.engine.safe_state import SafeOutcome


class Papers:
    """Writes them. `about` is what else run.json shall say. Everything raises StorageError."""

    def __init__(
        self, loaded: LoadedExperiment, folder: RunFolder, seed: int, about: Mapping[str, object]
    ) -> None:
        self._loaded, self._folder, self._seed = loaded, folder, seed
        self._more_about = about
        self._began_utc = utc_now()

    def begin(self) -> None:
        """Write what is known before anything is opened: run.json, the first document, the configuration as
        it will be run, and the files as they were given."""
        self.write_state(State.PREPARING)
        self._folder.documents.start(self._start())
        resolved = yaml.safe_dump(dict(self._loaded.resolved), sort_keys=False, allow_unicode=True)
        self._folder.write_text("config.resolved.yaml", resolved)
        for source, text in beside_each_other(self._loaded.sources).items():
            self._folder.write_text(f"config.source/{source}", text)

    def write_state(self, state: State) -> None:
        """Write run.json for a run that goes on."""
        self._folder.write_state(self._about(state))

    def results(self, found: Results, *, complete: bool) -> dict[str, object] | None:
        """What results.json says of what was measured; None when that is nothing."""
        sections = found.to_json()
        if not sections:
            return None
        experiment = self._loaded.experiment
        published = {name: p.model_dump(exclude_none=True) for name, p in experiment.published.items()}
        return {
            "experiment": experiment.experiment,
            "seed": self._seed,
            "complete": complete,
            **sections,
            "published": published,
        }

    def write_results(self, results: Mapping[str, object] | None) -> None:
        """Write results.json."""
        self._folder.write_json("results.json", results)

    def last_words(
        self,
        ending: Ending,
        run_time_s: float,
        safe: Sequence[SafeOutcome],
        tags_lost: Mapping[str, int],
        results: Mapping[str, object] | None,
    ) -> None:
        """Write run.json for good."""
        self._folder.last_words(
            {
                **self._about(ending.state),
                "exit_code": int(ending.exit),
                "message": ending.message,
                "stopped": ending.stopped,
                "ended_utc": utc_now(),
                "run_time_s": run_time_s,
                "safe_state": [asdict(outcome) for outcome in safe],
                "tags_lost": tags_lost,
                "figures": figures_in(results or {}),
            }
        )

    def _about(self, state: State) -> dict[str, object]:
        return {
            "run": self._folder.name,
            "uid": self._folder.documents.uid,
            "experiment": self._loaded.experiment.experiment,
            "title": self._loaded.experiment.title,
            "testbed": self._loaded.testbed.testbed,
            "bellbench": version("bellbench"),
            "seed": self._seed,
            "state": state,
            "process": this_process(),
            "began_utc": self._began_utc,
            **self._more_about,
        }

    def _start(self) -> dict[str, object]:
        experiment = self._loaded.experiment
        return {
            "run": self._folder.name,
            "experiment": experiment.experiment,
            "title": experiment.title,
            "seed": self._seed,
            "plan": [step.kind for step in experiment.plan],
            **_places(self._loaded.testbed),
        }


def figures_in(results: Mapping[str, object]) -> dict[str, object]:
    """The figures of results.json that stand at its top: those that people compare runs by."""
    return {
        name: {"value": figure["value"], "error": figure.get("error")}
        for name, figure in results.items()
        if isinstance(figure, Mapping) and "value" in figure
    }


def _places(testbed: Testbed) -> dict[str, object]:
    """What a map of the testbed needs: what stands where, and where light goes. Lengths in metres."""
    return {
        "testbed": testbed.testbed,
        "simulated": testbed.simulated,
        "nodes": {name: {"title": node.title} for name, node in testbed.nodes.items()},
        "instruments": {
            name: {"node": entry.node, "model": entry.model} for name, entry in testbed.instruments.items()
        },
        "fibres": {
            name: {"from": fibre.from_node, "to": fibre.to_node, "length_m": fibre.length}
            for name, fibre in testbed.fibres.items()
        },
        "sources": {
            name: {
                "node": source.node,
                "signal": list(source.signal),
                "idler": list(source.idler),
                "signal_wavelength_m": source.signal_wavelength,
                "idler_wavelength_m": source.idler_wavelength,
            }
            for name, source in testbed.sources.items()
        },
        "beams": {
            name: {"laser": beam.laser, "path": list(beam.path)} for name, beam in testbed.beams.items()
        },
        "analysers": {name: {"node": analyser.node} for name, analyser in testbed.analysers.items()},
        "bell_state_measurements": {
            name: {"node": measurement.node} for name, measurement in testbed.bell_state_measurements.items()
        },
        "branches": {
            **{name: [list(path) for path in s.outputs.values()] for name, s in testbed.switches.items()},
            **{name: [list(s.transmitted), list(s.reflected)] for name, s in testbed.splitters.items()},
        },
        "detectors": {name: {"tagger": detector.tagger} for name, detector in testbed.detectors.items()},
    }
