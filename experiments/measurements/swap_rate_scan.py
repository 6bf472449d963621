"""`scan_bsm_window`: swap rate, S and fidelity against the window of the Bell-state measurement.

All windows count the same tags. So their points are not independent: they scatter less against each other
than their errors say, and what is chosen by them is to be measured anew (`estimators.swapping`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from experiments.config.experiment import Experiment
from experiments.config.plan import ScanBsmWindow
from experiments.config.settings import SwappingSettings
from experiments.engine.bench import Bench
from experiments.engine.events import Scan
from experiments.engine.findings import Calibrations
from experiments.engine.step import Context
from experiments.estimators.estimate import Estimate
from experiments.estimators.swapping import AtWindow, against_window, widest_window
from experiments.measurements.analysers import Setting
from experiments.measurements.dwell import Delays, Slice, SlicedDwell
from experiments.measurements.sums import PS, Sums
from experiments.measurements.swapping import SETTINGS
from experiments.measurements.swapping_measurement import SwappingStep
from timetags.block import TagBlock

FIGURES = ("swap_rate_hz", "chsh_s", "fidelity", "visibility_zz", "visibility_xx", "visibility_yy")


class WindowsSlice:
    """A sink: the four-folds of one slice for each window."""

    def __init__(
        self, windows: Sequence[float], settings: SwappingSettings, delays: Delays, window_ps: tuple[int, int]
    ) -> None:
        self._slices = [
            Slice(settings.model_copy(update={"bsm_window": window}), delays, window_ps) for window in windows
        ]

    @property
    def fourfolds(self) -> NDArray[np.int64]:
        """By window, then as in `Dwell`: (windows, 4, 2, 2)."""
        return np.array([each.fourfolds for each in self._slices])

    def add(self, block: TagBlock) -> None:
        for each in self._slices:
            each.add(block)

    def finish(self) -> None:
        for each in self._slices:
            each.finish()


class WindowsDwell(SlicedDwell[WindowsSlice]):
    """A stay; `fourfolds` as in `WindowsSlice`."""

    @property
    def fourfolds(self) -> NDArray[np.int64]:
        first, *others = (s.fourfolds for s in self._slices)
        return sum(others, first)


@dataclass
class WindowsCounts:
    """Counts of a setting that do not grow by themselves."""

    setting: str
    live_ps: int
    fourfolds: NDArray[np.int64]

    @property
    def events(self) -> int:
        """Four-folds in the widest window."""
        return int(self.fourfolds[-1].sum())

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], windows: int) -> "WindowsCounts":
        """What `to_json` gave. Raises ValueError for anything else."""
        try:
            counts = cls(str(entry["setting"]), int(entry["live_ps"]), np.array(entry["fourfolds"], np.int64))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"no counts: {error}") from error
        if counts.fourfolds.shape != (windows, 4, 2, 2):
            raise ValueError("counts of other windows")
        return counts

    def to_json(self) -> dict[str, object]:
        return {"setting": self.setting, "live_ps": self.live_ps, "fourfolds": self.fourfolds.tolist()}

    def add(self, more: "WindowsCounts") -> None:
        self.live_ps += more.live_ps
        self.fourfolds = self.fourfolds + more.fourfolds


class WindowsTally(Sums[WindowsDwell, WindowsCounts]):
    """Adds up dwells by setting, for each window."""

    def __init__(self, windows: Sequence[float]) -> None:
        super().__init__()
        self.windows = tuple(windows)

    def counts_of(self, dwell: WindowsDwell) -> WindowsCounts:
        return WindowsCounts(dwell.setting, dwell.live_ps, dwell.fourfolds)

    def counts_from(self, entry: Mapping[str, Any]) -> WindowsCounts:
        return WindowsCounts.from_json(entry, len(self.windows))

    def nothing(self, setting: str) -> WindowsCounts:
        return WindowsCounts(setting, 0, np.zeros((len(self.windows), 4, 2, 2), np.int64))

    def amount(self, counts: WindowsCounts) -> dict[str, float]:
        return {"live_time_s": counts.live_ps / PS, "fourfolds": counts.events}

    def points(self) -> tuple[AtWindow, ...]:
        """The figures at each window, narrow to wide."""
        by_state = {
            name: counts.fourfolds.reshape(len(self.windows), 2, 2, 2, 2).sum(axis=2)
            for name, counts in self.by_setting.items()
        }
        by_window = {
            window: {name: n[k] for name, n in by_state.items()} for k, window in enumerate(self.windows)
        }
        return against_window(by_window, self.live_s)

    def to_results(self) -> dict[str, object]:
        if self.total.live_ps == 0:
            return {}
        points = self.points()
        widest = widest_window(points)
        found: dict[str, object] = {"value": None, "error": None}
        if widest is not None:
            found = {"value": widest.window_s, "error": 0.0}
        return {
            "widest_window_s": {**found, "takes": "S exceeds 2 by 3 standard errors"},
            "against_window": [
                {
                    "window_s": point.window_s,
                    **{
                        name: figure.to_json()
                        for name in FIGURES
                        if (figure := getattr(point.figures, name)) is not None
                    },
                }
                for point in points
            ],
            "fourfolds": self.total.events,
            "live_time_s": self.live_s,
            **self.origins,
        }

    def scans(self) -> list[Scan]:
        """Each figure against the window."""
        points = self.points()
        scans = []
        for name in FIGURES:
            known: list[tuple[float, Estimate]] = [
                (point.window_s, figure)
                for point in points
                if (figure := getattr(point.figures, name)) is not None
            ]
            if known:
                scans.append(
                    Scan(
                        name=f"{name} against the window",
                        x=tuple(window * PS for window, _ in known),
                        y=tuple(figure.value for _, figure in known),
                        error=tuple(figure.error for _, figure in known),
                        fit=(),
                        x_label="full window of the Bell-state measurement, ps",
                        y_label=name,
                        summary={"takes": "all windows count the same tags"},
                    )
                )
        return scans


class ScanBsmWindowStep(SwappingStep[ScanBsmWindow, WindowsDwell, WindowsTally]):
    """`scan_bsm_window`."""

    window_names: ClassVar[tuple[str, ...]] = ("spoke_window", "spoke_window_centre")
    dwells = WindowsDwell

    def settings(self) -> list[Setting]:
        return [setting for basis in self.parameters.bases for setting in SETTINGS[basis]]

    def new_slice(
        self, bench: Bench, experiment: Experiment, delays: Delays, window_ps: tuple[int, int]
    ) -> WindowsSlice:
        del bench
        return WindowsSlice(self.parameters.windows, experiment.swapping, delays, window_ps)

    def new_tally(self, bench: Bench, experiment: Experiment, calibrations: Calibrations) -> WindowsTally:
        del bench, experiment, calibrations
        return WindowsTally(self.parameters.windows)

    def show(self, context: Context) -> None:
        tally = self.tally(context)
        widest = tally.points()[-1].figures
        shown = {"swap_rate_hz": widest.swap_rate_hz, "chsh_s": widest.chsh_s}
        context.show_live(self.parameters, shown, tally.live_s, fourfolds=tally.total.events)

    async def finish(self, context: Context) -> None:
        await super().finish(context)
        if self.tally(context).total.live_ps:
            for scan in self.tally(context).scans():
                context.announce(scan)
