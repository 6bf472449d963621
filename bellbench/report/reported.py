"""A stored run as a report looks at it: also one that never got far, or whose folder is damaged.

Nothing here fails for what is missing or torn: a report is wanted most of the run that went wrong. What
cannot be read is as if it were not there.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from experiments.archive.journal import Journal, read_journal
from experiments.archive.stored import StoredRun

Row = Mapping[str, Any]
SOURCES = "config.source"


class ReportedRun(StoredRun):
    """One run."""

    @property
    def start(self) -> Row:
        """The start document: what was to be done, and where what stands."""
        return self.journal.start

    @property
    def title(self) -> str:
        return str(
            self.start.get("title") or self.about.get("title") or self.about.get("experiment") or "A run"
        )

    @property
    def published(self) -> Mapping[str, Row]:
        """Published figures by the name of ours."""
        return self.results.get("published") or self.experiment.get("published") or {}

    @cached_property
    def experiment(self) -> Row:
        """The experiment as run, in SI units."""
        return self.config.get("experiment") or {}

    @cached_property
    def config(self) -> Row:
        try:
            return super().config
        except (OSError, ValueError, yaml.YAMLError):
            return {}

    @cached_property
    def journal(self) -> Journal:
        try:
            return read_journal(self.path)
        except OSError:
            return Journal()

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """The texts of the files as they were given, by their names."""
        folder = self.path / SOURCES
        return {
            str(file.relative_to(folder)): file.read_text(errors="replace")
            for file in sorted(folder.rglob("*.yaml"))
        }

    @cached_property
    def duration_s(self) -> float:
        """Run time of the last event."""
        return max((float(event.data.get("t_s") or 0.0) for event in self.journal.events), default=0.0)

    @property
    def counted(self) -> tuple[str, ...]:
        """The detectors in the order of the singles in stream `rates`."""
        return tuple(self.journal.configuration.get("rates", {}).get("detectors", ()))

    def stream(self, name: str) -> list[Row]:
        """What each event of a stream says, in their order; none of a stream that is not there."""
        return self._streams.get(name, [])

    def column(self, stream: str, name: str) -> NDArray[np.float64]:
        """One field of all events of a stream; NaN where it is missing or null."""
        values = [row.get(name) for row in self.stream(stream)]
        return np.array([np.nan if value is None else value for value in values], dtype=float)

    def singles_hz(self) -> NDArray[np.float64]:
        """Events of stream `rates` by detectors."""
        rows = [row["singles_hz"] for row in self.stream("rates")]
        fitting = [row if len(row) == len(self.counted) else [np.nan] * len(self.counted) for row in rows]
        return np.array(fitting, dtype=float).reshape(len(rows), len(self.counted))

    def figures(self) -> dict[str, Row]:
        """The figures at the top of the results that have a value, in their order."""
        return {
            name: figure
            for name, figure in self.results.items()
            if isinstance(figure, Mapping) and isinstance(figure.get("value"), int | float)
        }

    @cached_property
    def _streams(self) -> dict[str, list[Row]]:
        streams: dict[str, list[Row]] = {}
        for event in self.journal.events:
            streams.setdefault(event.stream, []).append(event.data)
        return streams

    def _json(self, name: str) -> Row:
        try:
            return super()._json(name)
        except (OSError, ValueError):
            return {}


def details_of(text: object) -> Row:
    """A field that holds a mapping as JSON text."""
    try:
        found = json.loads(str(text or "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
