"""The benchmark of the catalogue measures what its names say. How fast, no test asks."""

from pathlib import Path

import pytest

from benchmarks import runs
from benchmarks.runs import figures, make_runs
from experiments.archive.catalogue import Catalogue


def test_runs_are_listed_in_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ROUNDS", 1)
    found = list(figures(runs=5))
    assert [figure.name for figure in found] == ["runs.rebuild_s", "runs.list_s", "runs.command_s"]
    assert all(figure.value > 0 and "5 runs" in figure.text for figure in found)


def test_the_runs_made_are_runs(tmp_path: Path) -> None:
    make_runs(tmp_path, 20)
    with Catalogue(tmp_path) as catalogue:
        entries = catalogue.entries()
    assert len(entries) == 20
    assert [entry.state for entry in entries].count("failed") == 2
    assert entries[0].about["figures"]["chsh_s"]["value"] == 2.4
