"""A run as its folder tells it, for a report: whatever is there, also of a run that never got far.

Nothing here fails for what is missing or torn: a report is wanted most of the run that went wrong. What cannot be
read is as if it were not there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from experiments.engine.documents import DOCUMENTS

Row = Mapping[str, Any]


@dataclass(frozen=True)
class StoredRun:
    """One run. `streams` holds what each stream's events say, in their order."""

    folder: Path
    about: Row
    start: Row
    results: Row
    environment: Row
    calibrations: Row
    configuration: Row
    streams: Mapping[str, list[Row]] = field(repr=False)
    detectors: tuple[str, ...]
    """In the order of the singles in stream `rates`."""

    @classmethod
    def read(cls, folder: Path) -> "StoredRun":
        start, streams, detectors = _documents(folder / DOCUMENTS)
        try:
            configuration = yaml.load(
                (folder / "config.resolved.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            )
        except (OSError, ValueError, yaml.YAMLError):
            configuration = {}
        return cls(
            folder,
            _json(folder / "run.json"),
            start,
            _json(folder / "results.json"),
            _json(folder / "env.json"),
            _json(folder / "calibrations.json"),
            configuration if isinstance(configuration, Mapping) else {},
            streams,
            detectors,
        )

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def title(self) -> str:
        return str(
            self.start.get("title") or self.about.get("title") or self.about.get("experiment") or "A run"
        )

    @property
    def state(self) -> str:
        """The last that is known."""
        return str(self.about.get("state") or (self.stream("state") or [{"state": "unknown"}])[-1]["state"])

    @property
    def published(self) -> Mapping[str, Row]:
        """Published figures by the name of ours."""
        return self.results.get("published") or self.configuration.get("published") or {}

    @cached_property
    def duration_s(self) -> float:
        """Run time of the last event."""
        return max((float(rows[-1]["t_s"]) for rows in self.streams.values() if rows), default=0.0)

    def stream(self, name: str) -> list[Row]:
        return self.streams.get(name, [])

    def column(self, stream: str, name: str) -> NDArray[np.float64]:
        """One field of all events of a stream; NaN where it is missing or null."""
        values = [row.get(name) for row in self.stream(stream)]
        return np.array([np.nan if value is None else value for value in values], dtype=float)

    def singles_hz(self) -> NDArray[np.float64]:
        """Events by detectors."""
        rows = [
            row["singles_hz"] for row in self.stream("rates") if len(row["singles_hz"]) == len(self.detectors)
        ]
        return np.array(rows, dtype=float).reshape(-1, len(self.detectors))

    def figures(self) -> dict[str, Row]:
        """The figures of the results that have a value, in their order."""
        return {
            name: figure
            for name, figure in self.results.items()
            if isinstance(figure, Mapping) and isinstance(figure.get("value"), int | float)
        }


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _documents(path: Path) -> tuple[Row, dict[str, list[Row]], tuple[str, ...]]:
    """The start document, the events' data by stream, and the order of the detectors."""
    start: Row = {}
    streams: dict[str, list[Row]] = {}
    names: dict[str, str] = {}
    detectors: tuple[str, ...] = ()
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            document = json.loads(line)
            name, doc = document["name"], document["doc"]
            if name == "start":
                start = doc
            elif name == "descriptor":
                names[doc["uid"]] = doc["name"]
                if doc["name"] == "rates":
                    detectors = tuple(doc["configuration"]["rates"]["data"]["detectors"])
            elif name == "event":
                streams.setdefault(names[doc["descriptor"]], []).append(doc["data"])
        except (ValueError, KeyError, TypeError):
            continue
    return start, streams, detectors
