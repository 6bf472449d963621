"""One-pair correlation of a stream of eight channels by other programs, each at its best on one thread.

Runs in the peers' own environment. A way takes the stream as its program likes it (`prepare`, not timed) and
makes of it the histogram of second - first, delays applied (`count`, timed): to take the two channels out of
the stream is part of the work.
"""

import json
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """What to count: pairs of the two channels with start <= second - first < start + bins * bin, in ps."""

    first: int
    second: int
    first_delay: int
    second_delay: int
    start: int
    bin: int
    bins: int

    @property
    def span(self) -> int:
        return self.bin * self.bins


class Way(Protocol):
    """How a program does it."""

    def prepare(self, times: Array, channels: NDArray[np.uint8], task: Task, folder: Path) -> None: ...
    def count(self) -> Array: ...


class Arrays:
    """What programs share that want an array per channel: numpy takes the channels out for them."""

    def prepare(self, times: Array, channels: NDArray[np.uint8], task: Task, folder: Path) -> None:  # noqa: ARG002
        self.times, self.channels, self.task = times, channels, task

    def taken(self) -> tuple[Array, Array]:
        task = self.task
        return (
            self.times[self.channels == task.first] + task.first_delay,
            self.times[self.channels == task.second] + task.second_delay,
        )


class PyTimeTag(Arrays):
    """PyTimeTag's numba kernel. It counts differences equal to the end of the range into the last bin."""

    def count(self) -> Array:
        analyser = import_module("pytimetag.analysers.HistogramAnalyser")

        first, second = self.taken()
        task = self.task
        counts = analyser.analysisOneListJIT(first, second, task.start, task.start + task.span, task.bins, 1)
        counts[-1] -= self.at_the_end
        return np.asarray(counts, np.int64)

    def prepare(self, times: Array, channels: NDArray[np.uint8], task: Task, folder: Path) -> None:
        super().prepare(times, channels, task, folder)
        first, second = self.taken()
        self.at_the_end = int(np.isin(first + task.start + task.span, second).sum())


class Pycorrelate(Arrays):
    """pycorrelate's numba kernel, the algorithm of Laurence 2006."""

    def count(self) -> Array:
        pycorrelate = import_module("pycorrelate")

        task = self.task
        edges = task.start + task.bin * np.arange(task.bins + 1)
        return np.asarray(np.rint(pycorrelate.pcorrelate(*self.taken(), edges) * task.bin), np.int64)


class Tttrlib(Arrays):
    """tttrlib's correlator with one cascade of linear bins; "felekyan" is its fastest that counts each pair.

    It knows no bins but the steps of time and no lags below 0: times are divided by the bin's width in
    advance, delays applied, with the second channel later by the range's start.
    """

    def prepare(self, times: Array, channels: NDArray[np.uint8], task: Task, folder: Path) -> None:
        delays = np.zeros(256, np.int64)
        delays[task.first], delays[task.second] = task.first_delay, task.second_delay
        moved = (times + delays[channels]) // task.bin
        moved[channels == task.second] -= task.start // task.bin
        super().prepare(moved, channels, replace(task, first_delay=0, second_delay=0), folder)

    def count(self) -> Array:
        tttrlib = import_module("tttrlib")

        first, second = (times.astype(np.uint64) for times in self.taken())
        correlator = tttrlib.Correlator(n_bins=self.task.bins, n_casc=1, method="felekyan")
        # Not set_macrotimes: with arrays of different lengths, that writes behind their ends (0.26.2).
        correlator.set_events(first, np.ones(len(first)), second, np.ones(len(second)))
        return np.asarray(np.rint(correlator.get_corr()), np.int64)[:-1]


class Polars:
    """A join of polars on pieces of time as long as the range; partners are in the same piece or the next."""

    def prepare(self, times: Array, channels: NDArray[np.uint8], task: Task, folder: Path) -> None:  # noqa: ARG002
        polars = import_module("polars")

        self.tags, self.task = polars.DataFrame({"time": times, "channel": channels}), task

    def taken(self, channel: int, delay: int) -> Any:
        polars = import_module("polars")

        return self.tags.lazy().filter(polars.col("channel") == channel).select(polars.col("time") + delay)

    def count(self) -> Array:
        polars = import_module("polars")

        task, time = self.task, polars.col("time")
        first = self.taken(task.first, task.first_delay).select(low=time + task.start)
        first = first.with_columns(piece=polars.col("low") // task.span)
        second = self.taken(task.second, task.second_delay).with_columns(piece=time // task.span)
        place = (time - polars.col("low")).alias("place")
        found = [
            partners.join(second, on="piece").select(place).filter(within(task))
            for partners in (first, first.with_columns(polars.col("piece") + 1))
        ]
        return bin_counts(polars.concat(found).collect()["place"].to_numpy(), task)


class PolarsNearest(Polars):
    """`join_asof` of polars: only the nearest partner of each tag, so not the same result."""

    def count(self) -> Array:
        polars = import_module("polars")

        task = self.task
        middle = task.start + task.span // 2
        first = self.taken(task.first, task.first_delay).select(time=polars.col("time") + middle)
        second = self.taken(task.second, task.second_delay).with_columns(partner=polars.col("time"))
        joined = first.set_sorted("time").join_asof(
            second.set_sorted("time"), on="time", strategy="nearest", tolerance=task.span // 2
        )
        place = (polars.col("partner") - polars.col("time") + task.span // 2).alias("place")
        found = joined.select(place).filter(within(task))
        return bin_counts(found.collect()["place"].to_numpy(), task)


class Duckdb:
    """A join of duckdb on pieces of time, as for polars; its ASOF join is slower."""

    def prepare(self, times: Array, channels: NDArray[np.uint8], task: Task, folder: Path) -> None:  # noqa: ARG002
        duckdb = import_module("duckdb")

        self.task = task
        self.database = duckdb.connect(config={"threads": 1})
        columns = {"time": times, "channel": channels}
        self.database.register("arrays", columns)
        self.database.execute("create table tags as select time, channel from arrays")
        self.database.unregister("arrays")

    def count(self) -> Array:
        task = self.task
        rows = self.database.execute(f"""
            with first as (select time + {task.first_delay + task.start} as low, low // {task.span} as piece
                           from tags where channel = {task.first}),
                 moved as (select time + {task.second_delay} as time from tags where channel = {task.second}),
                 second as (select time, time // {task.span} as piece from moved),
                 either as (select low, piece from first union all select low, piece + 1 from first)
            select (second.time - low) // {task.bin} as bin, count(*) as number
            from either join second using (piece)
            where second.time >= low and second.time < low + {task.span} group by bin
        """).fetchnumpy()
        counts = np.zeros(task.bins, np.int64)
        counts[rows["bin"]] = rows["number"]
        return counts


def within(task: Task) -> Any:
    """The rows of polars whose place is in the range."""
    polars = import_module("polars")

    return polars.col("place").is_between(0, task.span, closed="left")


def bin_counts(places: Array, task: Task) -> Array:
    """The histogram of differences counted from the start of the range."""
    return np.bincount(places // task.bin, minlength=task.bins)


class Eta:
    """ETA's start-stop histogram of all starts, over a file in the 16-byte records of Swabian's Dump.

    It reads nothing but files, so reading is part of its work; but delays are applied in advance, the second
    channel later by the range's start, so that one direction is enough. It keeps every start: with fewer, its
    ring loses some pairs where it wraps.
    """

    def prepare(self, times: Array, channels: NDArray[np.uint8], task: Task, folder: Path) -> None:
        eta = import_module("etabackend.eta")

        delays = np.zeros(256, np.int64)
        delays[task.first], delays[task.second] = task.first_delay, task.second_delay - task.start
        moved = times + delays[channels]
        # Of equal times, the start must come first: its difference is 0, which is in the range.
        order = np.lexsort((channels == task.second, moved))
        records = np.zeros(len(times), [("flags", "<u4"), ("channel", "<i4"), ("time", "<i8")])
        records["time"], records["channel"] = moved[order], channels[order]
        self.file = folder / "eta.swabian"
        records.tofile(self.file)
        stream = {
            "nodes": [{"text": "a", "initial": True}],
            "edges": [],
            "usercode": "RFILE(tagger,[0,1,2,3,4,5,6,7])",
        }
        one, other = str(task.first), str(task.second)
        counting = {
            "nodes": [{"text": "start"}, {"text": "stop", "initial": True}],
            "edges": [
                {"source": a, "target": b, "text": channel}
                for a, b, channel in ((0, 1, other), (1, 1, other), (1, 0, one), (0, 0, one))
            ],
            "usercode": f"HISTOGRAM(counts,({task.bins},{task.bin}))\nCLOCK(clock,{len(times)},1)\n"
            "start:\n    clock.start()\nstop:\n    clock.stop()\n    counts.record_all(clock)",
        }
        graphs = {"vi_stream": stream, "vi_counting": counting}
        table = [{"id": name, "name": name, "group": "main", "info": "", "config": ""} for name in graphs]
        recipe = {name: json.dumps(graph) for name, graph in graphs.items()}
        self.eta = eta.ETA()
        self.eta.load_recipe({**recipe, "eta_index_table": json.dumps(table)})

    def count(self) -> Array:
        clips = self.eta.clips(self.file, format=self.eta.FORMAT_SI_16bytes)
        result = self.eta.run({"tagger": clips}, group="main")
        return np.asarray(result["counts"], np.int64)


NEAREST_ONLY = "polars, nearest partner only"
WAYS: dict[str, type[Way]] = {
    "tttrlib": Tttrlib,
    "etabackend": Eta,
    "polars": Polars,
    NEAREST_ONLY: PolarsNearest,
    "duckdb": Duckdb,
    "PyTimeTag": PyTimeTag,
    "pycorrelate": Pycorrelate,
}
