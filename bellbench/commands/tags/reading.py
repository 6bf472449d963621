"""Reading a tag file for a command: one pass with a progress bar, and what there is to say after it."""

import sys
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bellbench.console import console
from bellbench.exit_codes import ExitCode
from experiments.config.problems import choices

if TYPE_CHECKING:
    from timetags.analyses.analysis import Analysis
    from timetags.block import TagBlock
    from timetags.files.tag_file import TagFile

SHOWN_DAMAGE = 10
"""Places of damage that are told one by one."""
PATIENCE_S = 0.5
"""Reading that takes no longer than this needs no progress bar."""


class Refused(click.ClickException):
    """A command that cannot be carried out as it was given; the message says why, and what would be right."""

    exit_code = ExitCode.CONFIG

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        click.echo(self.message, err=True)


class Reading:
    """One tag file, on its way through any analyses.

    Refused if there is no such file, or it is of no format known here.
    """

    def __init__(self, path: str, format_: str | None) -> None:
        from timetags.files.opening import FORMATS, open_tags

        if format_ is not None and format_ not in FORMATS:
            raise Refused(f"no format {format_!r} of tag files; {choices(format_, FORMATS)}")
        self.path = path
        try:
            self.file: TagFile = open_tags(Path(path), format_)
        except FileNotFoundError:
            raise Refused(f"{path}: no such file or folder") from None
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise Refused(str(error)) from error
        from timetags.analyses.rates import Singles

        self.singles = Singles()
        self.start_ps: int | None = None
        self.end_ps: int | None = None

    def through(self, *analyses: "Analysis") -> None:
        """Read the whole file through the analyses."""
        from timetags.analyses.analysis import OnePass

        with closing(self.blocks()) as blocks:
            OnePass(*analyses).run(blocks)

    def blocks(self) -> Generator["TagBlock", None, None]:
        """The file's blocks, their singles counted, with a progress bar on a terminal if they take long.
        Close it, or the bar outlives an interruption."""
        with ProgressBar(f"reading {Path(self.path).name}") as bar:
            for block in self.file:
                self.singles.add(block)
                self.start_ps = block.start_ps if self.start_ps is None else self.start_ps
                self.end_ps = block.end_ps
                yield block
                bar.show(self.file.position / max(self.file.info.size_bytes, 1))

    @property
    def duration_s(self) -> float:
        """The time of which there are tags, by which all rates go: that of the blocks, or more if the file
        says so and is whole."""
        stated = 0 if self.file.damage else self.file.info.duration_ps or 0
        return max(self.singles.live_ps, stated) * 1e-12

    def counts(self) -> dict[int, int]:
        """Tags by channel, of channels that have any."""
        counts = self.singles.counts
        return {channel: int(counts[channel]) for channel in counts.nonzero()[0].tolist()}

    def need(self, channels: Iterable[int]) -> None:
        """Refused unless each of these channels has tags."""
        counts = self.counts()
        if dark := [channel for channel in channels if channel not in counts]:
            there = ", ".join(map(str, counts)) or "none"
            missing = ", ".join(map(str, dark))
            raise Refused(f"{self.path}: no tags of channel {missing}; channels with tags: {there}")

    def remarks(self) -> list[str]:
        """What people should know besides: loss, damage, tags that had to be put in order."""
        lines = []
        if self.singles.lost:
            lines.append(f"{self.singles.lost:,} tags were lost by the instrument: rates are too low")
        if self.file.reordered:
            lines.append(f"{self.file.reordered:,} tags stood behind later ones and were put in order")
        damage = self.file.damage
        lines += [f"damaged: {place}" for place in damage[:SHOWN_DAMAGE]]
        if len(damage) > SHOWN_DAMAGE:
            lines.append(f"damaged: {len(damage) - SHOWN_DAMAGE:,} more places")
        return lines

    def tell(self) -> None:
        """Say so on standard error."""
        for line in self.remarks():
            click.echo(f"{self.path}: {line}", err=True)

    def facts(self) -> dict[str, Any]:
        """What every JSON answer begins with."""
        return {
            "file": self.path,
            "format": self.file.info.format,
            "duration_s": self.duration_s,
            "tags": int(self.singles.counts.sum()),
            "lost": self.singles.lost,
            "reordered": self.file.reordered,
            "damage": [
                {"offset": d.offset, "size": d.size, "records": d.records, "reason": d.reason}
                for d in self.file.damage
            ],
        }


class ProgressBar:
    """How far something is, on standard error; only on a terminal, and only if it takes its time."""

    def __init__(self, doing: str) -> None:
        self._doing, self._begun = doing, time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, fraction: float) -> None:
        if self._bar is None:
            if not sys.stderr.isatty() or time.monotonic() - self._begun < PATIENCE_S:
                return
            from rich.markup import escape
            from rich.progress import Progress

            self._bar = Progress(console=console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(escape(self._doing), total=1.0)
        self._bar.update(self._task, completed=fraction)
