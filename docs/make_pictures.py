"""Make the README's pictures from a real run: `.venv/bin/python docs/make_pictures.py`, two minutes.

It carries out the deployed-fibre experiment as `make demo` does and takes the terminal's picture when
three quarters are done, and its table at the end.
"""

import asyncio
import io
import tempfile
from pathlib import Path

from rich.console import Console, RenderableType

from bellbench.display import LiveDisplay, results_table
from bellbench.session import Session
from experiments.config.files import load_experiment
from experiments.engine.events import Progress, RunEvent

TREE = Path(__file__).parents[1]
PICTURES = TREE / "docs/pictures"
SEED = 1
TAKEN_AT = 0.75


class Photographer:
    """Takes one picture of the live display on the way."""

    def __init__(self, title: str) -> None:
        self._display = LiveDisplay(Console(), title)
        self.done = False

    def notify(self, event: RunEvent) -> None:
        self._display.notify(event)
        if isinstance(event, Progress) and event.fraction > TAKEN_AT and not self.done:
            self.done = True
            take(self._display.render(), "live.svg", "bellbench run configs/nyc_swapping.yaml --seed 1")


def take(what: RenderableType, name: str, title: str) -> None:
    """Save something that rich can print as a picture of a terminal."""
    console = Console(record=True, width=112, force_terminal=True, file=io.StringIO())
    console.print(what)
    console.save_svg(str(PICTURES / name), title=title)


async def main() -> None:
    loaded = load_experiment(TREE / "configs/nyc_swapping.yaml")
    photographer = Photographer(f"{loaded.experiment.title} (seed {SEED})")
    with tempfile.TemporaryDirectory() as runs:
        report = await Session(loaded, Path(runs), SEED).carry_out([photographer])
    assert report.results is not None
    take(results_table(report.results), "results.svg", "make demo")


if __name__ == "__main__":
    asyncio.run(main())
