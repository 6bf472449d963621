"""What a report says of a run, section by section, as blocks that can be printed either way."""

import json
import re
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from bellbench.figures import label_of
from bellbench.report import figures, found
from bellbench.report.assumed import assumptions
from bellbench.report.blocks import Block, Heading, Paragraph, Plot, Report, Table
from bellbench.report.reported import SOURCES, ReportedRun, Row, details_of
from bellbench.text import duration, with_error
from experiments.archive.journal import Event

TONES = {"completed": "good", "aborted": "mixed", "paused": "mixed"}
EXITS = {0: "", 5: ", but outside acceptance"}
NOT_SAFE = 4
KEY_FIGURES = ("chsh_s", "fidelity", "swap_rate_hz", "visibility_zz")
"""Those in large type, of those that were measured; of a run with none of them the first ones."""
EVENTS = 120
"""Of many events the last ones are printed."""
QUIET_EVENTS = ("instrument",)
"""Events that stand elsewhere in the report."""


def report_of(run: ReportedRun) -> Report:
    """The report of a run, finished or not."""
    return Report(
        run.title,
        f"{run.name} · testbed {run.start.get('testbed') or run.about.get('testbed', 'unknown')}"
        f"{' (simulated)' if run.start.get('simulated') else ''} · seed {run.about.get('seed', 'unknown')}"
        f" · {run.about.get('began_utc', 'begin not known')}",
        *_verdict(run),
        list(_key_figures(run)),
        list(_blocks(run)),
    )


def _verdict(run: ReportedRun) -> tuple[str, str]:
    """What became of it in a sentence, and the tone in which to say so."""
    message = str(run.about.get("message") or "")
    exit_code = run.about.get("exit_code")
    words = f"{run.state}{EXITS.get(exit_code, '') if isinstance(exit_code, int) else ''}"
    tone = TONES.get(run.state, "bad")
    if exit_code == NOT_SAFE:
        tone = "bad"
    elif exit_code not in (0, None) and tone == "good":
        tone = "mixed"
    return f"{words}. {message}".removesuffix(". ") + (
        "" if message else f" after {duration(run.duration_s)}"
    ), tone


def _key_figures(run: ReportedRun) -> Iterator[tuple[str, str, str]]:
    known = run.figures()
    for name in ([name for name in KEY_FIGURES if name in known] or list(known))[: len(KEY_FIGURES)]:
        label, unit = label_of(name)
        value, _, error = with_error(known[name]["value"], known[name].get("error")).partition(" ± ")
        yield figures.sentence(label), value, " ".join(filter(None, (f"± {error}" if error else "", unit)))


def _blocks(run: ReportedRun) -> Iterator[Block]:
    yield Heading("Results")
    yield from _results(run)
    yield from _plots(found.beside_published(run), *found.correlations(run), *found.density_matrices(run))
    yield from _plots(figures.scans(run), figures.growth(run))
    yield Heading("What was asked")
    yield from _asked(run)
    yield Heading("What is assumed")
    yield from _assumed(run)
    yield Heading("What was done")
    yield from _plots(figures.timeline(run), figures.peaks(run), figures.rates(run), figures.tracks(run))
    yield from _plots(figures.polarization(run))
    yield Heading("Calibrations")
    yield from _calibrations(run)
    yield Heading("Events and downtime")
    yield from _events(run)
    yield Heading("Safe state and instruments")
    yield from _instruments(run)
    yield Heading("How to reproduce it")
    yield from _reproduce(run)


def _plots(*plots: Plot | None) -> Iterator[Plot]:
    yield from filter(None, plots)


def _results(run: ReportedRun) -> Iterator[Block]:
    known = run.figures()
    if not known:
        yield Paragraph("The run has no results.", "note")
    rows = []
    for name in dict.fromkeys([*known, *run.published]):
        label, unit = label_of(name)
        figure, theirs = known.get(name), run.published.get(name) or {}
        rows.append(
            (
                figures.sentence(label),
                _measured(figure, unit) if figure else "not measured",
                _published(theirs, unit),
                _apart(figure, theirs) if figure else "",
                theirs.get("source") or "",
            )
        )
    if not rows:
        return
    yield Table(
        ("Figure", "Measured", "Published", "Apart", "Source"), rows, (2.5, 2.3, 1.2, 0.9, 3.6), "Figures"
    )
    notes = [str(f["takes"]) for f in known.values() if f.get("takes")]
    heralds, fourfolds = run.results.get("heralds"), run.results.get("fourfolds")
    if isinstance(heralds, int) and isinstance(fourfolds, int):
        live = duration(float(run.results.get("live_time_s") or 0))
        notes.append(
            f"{fourfolds:,} four-folds in {heralds:,} heralds, {live} of data; accidentals not subtracted"
        )
    if run.results.get("complete") is False:
        notes.append("the run did not complete: these are the figures so far")
    notes.append("errors are one standard error; Apart is the distance from the published value in them")
    yield Paragraph(". ".join(note[:1].upper() + note[1:] for note in notes) + ".", "note")


def _measured(figure: Row, unit: str) -> str:
    """A figure as it was counted and, where that is known, less its accidentals."""
    found = [f"{with_error(figure['value'], figure.get('error'))} {unit}".strip()]
    less = figure.get("subtracted")
    if isinstance(less, Mapping) and less.get("value") is not None:
        found.append(f"{with_error(less['value'], less.get('error'))} less accidentals")
    return "; ".join(found)


def _published(theirs: Row, unit: str) -> str:
    if theirs.get("above") is not None:
        return f"> {theirs['above']:g} {unit}".strip()
    if theirs.get("below") is not None:
        return f"< {theirs['below']:g} {unit}".strip()
    if theirs.get("value") is not None:
        return f"{with_error(theirs['value'], theirs.get('error'))} {unit}".strip()
    return ""


def _apart(ours: Row, theirs: Row) -> str:
    """How far from the published value, in standard errors; whether a bound is kept."""
    error = ours.get("error") or 0.0
    if theirs.get("value") is not None:
        both = (error**2 + (theirs.get("error") or 0.0) ** 2) ** 0.5
        return f"{(ours['value'] - theirs['value']) / both:+.1f} σ" if both else ""
    for key, way in (("above", 1), ("below", -1)):
        if theirs.get(key) is not None:
            distance = way * (ours["value"] - theirs[key])
            return f"{distance / error:+.1f} σ" if error else ("kept" if distance > 0 else "not kept")
    return ""


def _asked(run: ReportedRun) -> Iterator[Block]:
    experiment = run.experiment
    plan = experiment.get("plan") or run.start.get("plan") or []
    rows = []
    for number, step in enumerate(plan, 1):
        kind, parameters = (step, {}) if isinstance(step, str) else next(iter(step.items()))
        rows.append((str(number), str(kind), _flat(parameters)))
    if rows:
        yield Table(("No.", "Step", "Parameters, in SI units"), rows, (0.4, 2, 6.7), "The plan")
    for name in ("settings", "pairs", "accept"):
        if experiment.get(name):
            yield Paragraph(f"{name.capitalize()}: {_flat(experiment[name])}. In SI units.", "note")
    if not rows:
        yield Paragraph("The configuration cannot be read.", "note")


def _assumed(run: ReportedRun) -> Iterator[Block]:
    rows = [
        (f"{name}: {each.of}", each.stated, each.remark)
        for name, text in run.sources.items()
        for each in assumptions(text)
    ]
    if rows:
        yield Table(
            ("Of", "Value", "What is said of it"), rows, (3.2, 3, 3), "Values without a published source"
        )
        yield Paragraph("As the files state them; what a command line has set stands in the command.", "note")
    else:
        yield Paragraph("No value of the files is marked as assumed or fitted.", "note")


def _flat(data: Any) -> str:
    """Nested settings in one line."""
    if isinstance(data, Mapping):
        return "; ".join(
            f"{key} {_flat(value)}" for key, value in data.items() if value not in (None, {}, [])
        )
    if isinstance(data, list):
        return ", ".join(map(_flat, data))
    return f"{data:g}" if isinstance(data, float) else str(data)


def _calibrations(run: ReportedRun) -> Iterator[Block]:
    rows = []
    for name, calibration in run.calibrations.items():
        if isinstance(calibration, Mapping):
            by = calibration.get("run")
            taken = f"{calibration.get('utc', '')} {by if by != run.name else ''}".strip()
            rows += [(name, what, value, taken) for what, value in _values(calibration)]
    if rows:
        yield Table(("Calibration", "Of", "Value", "Taken"), rows, (1.6, 2.6, 2.4, 2.6), "Calibrations used")
    else:
        yield Paragraph("No calibration was made or used.", "note")


def _values(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value with a unit in a calibration, by where it stands; lists of peaks and tracks are plots."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            if "value" in value and "unit" in value:
                unit = "" if value["unit"] == "1" else value["unit"]
                number = value["value"]
                exact = f"{number:,}" if isinstance(number, int) else None
                words = exact or with_error(number, value.get("uncertainty"))
                yield f"{prefix}{key}", f"{words} {unit}".strip()
            else:
                yield from _values(value, f"{prefix}{key} ".replace("_", " "))


def _events(run: ReportedRun) -> Iterator[Block]:
    uptime = run.stream("uptime")
    if uptime:
        yield _ledger(uptime, run.duration_s)
    rows = [(duration(event.data["t_s"]), *words) for event in run.journal.events if (words := _told(event))]
    caption = f"The last {EVENTS} of {len(rows)} events" if len(rows) > EVENTS else "Events"
    yield Table(("Time", "Event", "What it says"), rows[-EVENTS:], (0.8, 2.2, 6.5), caption)
    lost = {name: n for name, n in (run.about.get("tags_lost") or {}).items() if n}
    if lost:
        yield Paragraph(f"Tags lost: {_flat(lost)}.", "warning")


def _told(event: Event) -> tuple[str, str] | None:
    """What an event is called and what it says, of those that a report lists."""
    row = event.data
    match event.stream:
        case "state":
            return f"run {row['state']}", row.get("message") or ""
        case "interlock":
            return f"interlock {row['name']} {row['state']}", row.get("message") or ""
        case "happened" if row["event"] not in QUIET_EVENTS:
            return ("warning: " if row["level"] != "info" else "") + row["event"], row["message"]
    return None


def _ledger(uptime: list[Row], end_s: float) -> Table:
    """When the link was up and when it was not, and why."""
    ends = [row["t_s"] for row in uptime[1:]] + [end_s]
    spans = [(row, end - row["t_s"]) for row, end in zip(uptime, ends, strict=True)]
    up = sum(span for row, span in spans if row["state"] == "up")
    total = sum(span for _, span in spans) or 1.0
    rows = [
        (duration(row["t_s"]), row["state"], duration(span), row.get("reason") or "") for row, span in spans
    ]
    return Table(
        ("From", "State", "For", "Why"),
        rows,
        (1, 1, 1, 6),
        f"Uptime {100 * up / total:.2f} % of {duration(total)}",
    )


def _instruments(run: ReportedRun) -> Iterator[Block]:
    safe = {row["name"]: row for row in run.about.get("safe_state") or []}
    safe |= {row["instrument"]: row for row in run.stream("safe")}
    identity: dict[str, str] = {}
    for row in run.stream("happened"):
        if row["event"] == "instrument":
            told = details_of(row["details"])
            identity[told.get("instrument", "")] = " ".join(
                str(told[key]) for key in ("manufacturer", "model", "serial_number") if told.get(key)
            )
    known = run.start.get("instruments") or {}
    rows = []
    for name in dict.fromkeys([*known, *identity, *safe]):
        outcome = safe.get(name)
        words = "not told" if outcome is None else "verified safe" if outcome["verified"] else "NOT VERIFIED"
        problem = (outcome or {}).get("problem") or ""
        rows.append(
            (
                name,
                (known.get(name) or {}).get("node", ""),
                identity.get(name, ""),
                f"{words} {problem}".strip(),
            )
        )
    if unsafe := [row[0] for row in rows if "NOT" in row[3]]:
        yield Paragraph(f"Not verified safe, go and look: {', '.join(unsafe)}.", "warning")
    yield Table(
        ("Instrument", "Node", "Answered as", "Safe state"),
        rows,
        (1.9, 1, 3.8, 2.6),
        "Who answered, and safe state",
    )
    values = [
        (row["instrument"], row["phase"], _flat(details_of(row["values"]))) for row in run.stream("baseline")
    ]
    if values:
        yield Table(
            ("Instrument", "When", "Settings, in SI units"),
            values,
            (1.9, 0.9, 6.5),
            "Settings before the run and after it",
        )


def _command(run: ReportedRun) -> str:
    """What carries the run out again, from beside its folder."""
    about = run.about
    named = re.compile(rf"^experiment: *{re.escape(str(about.get('experiment')))} *(#.*)?$", re.MULTILINE)
    file = next(
        (f"{run.name}/{SOURCES}/{name}" for name, text in run.sources.items() if named.search(text)), "FILE"
    )
    values = {**(about.get("overrides") or {}), **((about.get("sweep") or {}).get("values") or {})}
    changes = [
        f" --set {quote(f'{path}={value if isinstance(value, str) else json.dumps(value)}')}"
        for path, value in values.items()
    ]
    return f"bellbench run {file}{''.join(changes)} --seed {about.get('seed', 'SEED')}"


def _reproduce(run: ReportedRun) -> Iterator[Block]:
    environment = run.environment
    git = environment.get("git") or {}
    yield Paragraph(_command(run), "code")
    where = f"{SOURCES}/ of the run folder holds the files as they were given."
    commit = f"bellbench {environment.get('bellbench')} at commit {git.get('commit', 'unknown')}"
    changed = ", with uncommitted changes" if git.get("modified") else ""
    yield Paragraph(
        f"{commit}{changed}; Python {environment.get('python', 'unknown')} on "
        f"{environment.get('platform', 'unknown')}, host {environment.get('host', 'unknown')}. {where}"
    )
    if run.start.get("simulated"):
        yield Paragraph(
            "On the simulated bench the same seed gives the same tags and results.json, byte for byte.",
            "note",
        )
    packages = ", ".join(
        f"{package} {version}" for package, version in (environment.get("packages") or {}).items()
    )
    if packages:
        yield Paragraph(f"Packages: {packages}.", "note")
    for clock, told in (environment.get("clocks") or {}).items():
        yield Paragraph(f"Clock {clock}: {_flat(told)}.", "note")
