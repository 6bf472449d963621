"""The papers of a run: what its folder says about it as a whole, from run.json to the results."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import yaml

from experiments.config.files import LoadedExperiment
from experiments.engine.findings import Results
from experiments.engine.outcome import Ending, State
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

    def write_state(self, state: State) -> None:
        """Write run.json for a run that goes on."""
        self._folder.write_json("run.json", self._about(state))

    def write_configuration(self) -> None:
        """Write the configuration as it will be run, and the files as they were given."""
        resolved = yaml.safe_dump(dict(self._loaded.resolved), sort_keys=False, allow_unicode=True)
        self._folder.write_text("config.resolved.yaml", resolved)
        for source, text in self._loaded.sources.items():
            self._folder.write_text(f"config.source/{Path(source).name}", text)

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
        self, ending: Ending, run_time_s: float, safe: Sequence[SafeOutcome], tags_lost: Mapping[str, int]
    ) -> None:
        """Write run.json for good."""
        self._folder.last_words(
            {
                **self._about(ending.state),
                "exit_code": int(ending.exit),
                "message": ending.message,
                "ended_utc": utc_now(),
                "run_time_s": run_time_s,
                "safe_state": [asdict(outcome) for outcome in safe],
                "tags_lost": tags_lost,
            }
        )

    def _about(self, state: State) -> dict[str, object]:
        return {
            "run": self._folder.name,
            "experiment": self._loaded.experiment.experiment,
            "title": self._loaded.experiment.title,
            "testbed": self._loaded.testbed.testbed,
            "bellbench": version("bellbench"),
            "seed": self._seed,
            "state": state,
            "began_utc": self._began_utc,
            **self._more_about,
        }
