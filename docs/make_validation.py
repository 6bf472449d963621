"""Write `docs/validation.md` and its pictures: `.venv/bin/python -m docs.make_validation --long`, ten
minutes.

It carries out the very checks of `tests/validation`, with `--long` for longer than the tests do, so that
errors are smaller; what is compared, and the formulas, are not written here. matplotlib is needed, which
nothing else of bellbench needs: `.venv/bin/pip install matplotlib`.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.validation.chapters import CHAPTERS, CHECKS
from tests.validation.evidence import FALSE_ALARM, Check, Evidence, Figure, Plot

PAGE = Path(__file__).parent / "validation.md"
PICTURES = Path(__file__).parent / "validation"
LONG = 8.0
"""As many times the simulated time of the tests."""

INTRODUCTION = """\
# Is the light field right?

The simulated bench stands on one model of light, `sim_instruments/world`. This page holds it to what
physics says: for each effect the closed formula or an independent calculation, what the simulation gave,
and by how many standard errors the two differ. Each comparison uses no number of the simulation but those
of the bench as it was set up: rates, efficiencies, times. Nothing is fitted unless the text says so, and
what an expectation needs beyond a closed formula (moments of Gaussian states by Wick's theorem, amplitudes
in Fock space, overlap integrals) is computed by code that shares nothing with the simulation
(`tests/validation/gaussian_states.py`, `fock.py`, `wave_forms.py`).

Every check is written once, in `tests/validation`; the test suite runs it for about a second of CPU time
and this page for {effort:g} times as long: `.venv/bin/python -m docs.make_validation --long` writes it
anew. A check fails, in the tests, when chance explains one of its findings with less than a probability of
{false_alarm:g}, divided by the number of findings. Where a formula holds only to first order, what is left
out is allowed for besides, and said ("allowed"). Table rows are those of section 4 of the project's design
note on physics.
"""


def heading(check: Check) -> str:
    """Of its section, without the hash signs."""
    return check.title


def section(check: Check, evidence: Evidence) -> str:
    """What the page says of a check."""
    rows = ", ".join(map(str, check.rows))
    parts = [
        f"### {heading(check)}\n",
        f"$${check.formula}$$\n",
        check.text + (f" (Table row{'s' if len(check.rows) > 1 else ''} {rows}.)" if rows else "") + "\n",
        "| | expected | simulated | standard error | difference |\n|---|---|---|---|---|",
    ]
    parts += ["| " + " | ".join((f.name, *f.cells())) + " |" for f in evidence.findings]
    parts.append(f"\n![{check.title}]({PICTURES.name}/{check.name}.svg)\n")
    return "\n".join(parts)


def draw(plot: Plot, title: str, path: Path) -> None:
    """Save a plot as SVG, the same bytes for the same numbers."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    settings = {"svg.hashsalt": path.stem, "svg.fonttype": "none", "font.size": 9, "path.simplify": True}
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
        for k, points in enumerate(plot.points):
            axes.errorbar(
                points.x, points.y, points.error, fmt="o", markersize=2.5, linewidth=0.7, color=f"C{k}",
                label=points.label,
            )  # fmt: skip
        for k, line in enumerate(plot.lines):
            colour = f"C{k}" if len(plot.lines) > 1 else "black"
            axes.plot(line.x, line.y, linewidth=1.0, color=colour, label=line.label, zorder=3)
        axes.set(xlabel=plot.x, ylabel=plot.y, title=title)
        if plot.log_x:
            axes.set_xscale("log")
        if plot.log_y:
            axes.set_yscale("log")
        axes.legend(fontsize=7)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def summary(found: Iterable[tuple[Check, Evidence]]) -> str:
    """How the pulls of all figures are spread: they have to be normal."""
    pulls = [
        finding.pull
        for _, evidence in found
        for finding in evidence.findings
        if isinstance(finding, Figure) and not finding.allowance
    ]
    mean = sum(pulls) / len(pulls)
    spread = (sum((pull - mean) ** 2 for pull in pulls) / (len(pulls) - 1)) ** 0.5
    beyond = sum(abs(pull) > 2 for pull in pulls)
    return (
        f"All together: {len(pulls)} figures with a standard error and nothing allowed besides differ from "
        f"what is expected by {mean:+.2f} ± {1 / len(pulls) ** 0.5:.2f} standard errors on average, with a "
        f"spread of {spread:.2f} (1 is right); {beyond} are more than 2 off (chance: "
        f"{0.0455 * len(pulls):.0f}). Figures of one check partly count the same clicks, and so go "
        "together.\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/validation.md and its pictures.")
    parser.add_argument("--long", action="store_true", help=f"{LONG:g} times the simulated time of the tests")
    effort = LONG if parser.parse_args().long else 1.0
    PICTURES.mkdir(exist_ok=True)
    for picture in PICTURES.glob("*.svg"):
        if picture.stem not in CHECKS:
            picture.unlink()
    sections, everything = [], []
    doubtful = 0
    for chapter in CHAPTERS:
        sections.append(f"## {chapter.title}\n")
        for check in chapter.checks:
            begin = time.process_time()
            evidence = check.look(effort)
            doubtful += len(evidence.doubtful())
            everything.append((check, evidence))
            sections.append(section(check, evidence))
            if evidence.plot is not None:
                draw(evidence.plot, check.title, PICTURES / f"{check.name}.svg")
            verdict = "DOUBTFUL" if evidence.doubtful() else "agrees"
            sys.stdout.write(f"{check.name}: {verdict} ({time.process_time() - begin:.1f} s of CPU time)\n")
    head = INTRODUCTION.format(effort=effort, false_alarm=FALSE_ALARM)
    PAGE.write_text("\n".join([head, summary(everything), *sections]))
    return 1 if doubtful else 0


if __name__ == "__main__":
    sys.exit(main())
