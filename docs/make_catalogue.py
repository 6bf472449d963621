"""Write `docs/instruments.md`: `.venv/bin/python -m docs.make_catalogue`, two seconds.

Everything on the page comes from the code, see `bellbench.model_facts`; a test holds the page to what this
module gives. Only what this repository has is on the page, not what other packages announce.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from bellbench.commands.instruments import setting_text
from bellbench.model_facts import NOT_DECLARED, ModelFacts, facts_of
from drivers.catalog import find, models

PAGE = Path(__file__).parent / "instruments.md"

INTRODUCTION = """\
# Instruments

What bellbench can drive: {models} models, {tried} of them tried on a real instrument. Each driver was written
from a protocol note and tried against the bytes or lines in it; each simulator was written from the
same note without a look at the driver; and the two were tried against each other by the conformance suite:
units and ranges, read-back, limits, deadlines, cancellation, `make_safe` at any moment, and all of it under
faults of the wire. To try a real one, see [`tests/hardware`](../tests/hardware/README.md).

Protocol notes have a completeness of 0 to 3, where 3 means that nothing needed is missing; what is not
certain stands under *doubts*. Ranges are those with the settings of
[`one_of_each.yaml`](../configs/testbeds/one_of_each.yaml). `bellbench instruments MODEL` says the same in the
terminal. Where there is no simulator, the driver goes through the vendor's library, and its tests use a
double of that library's documented interface. This page is written by
`.venv/bin/python -m docs.make_catalogue`.
"""


def page() -> str:
    """The whole page. Raises ValueError for a driver that does not say where its protocol is from."""
    kinds: dict[str, list[ModelFacts]] = {}
    for model in models():
        home = find(model).__module__.split(".")
        if home[0] == "drivers":
            kinds.setdefault(home[1], []).append(facts_of(model))
    known = [facts for _, members in sorted(kinds.items()) for facts in members]
    if silent := [facts.model for facts in known if facts.protocol == NOT_DECLARED]:
        raise ValueError(f"these drivers have no `protocol` (drivers.capabilities.Instrument): {silent}")
    parts = [
        INTRODUCTION.format(
            models=len(known), tried=sum(bool(facts.tried.hardware) for facts in known) or "**none**"
        ),
        *_overview(known),
    ]
    for kind, members in sorted(kinds.items()):
        parts += [f"\n## {kind.replace('_', ' ').capitalize()}"]
        parts += ["\n".join(_section(facts)) for facts in members]
    return "\n".join(parts) + "\n"


def _overview(known: list[ModelFacts]) -> Iterator[str]:
    yield "| model | manufacturer | capability | address | simulator | tried on hardware |"
    yield "|---|---|---|---|---|---|"
    for facts in known:
        yield "| " + " | ".join(
            (
                f"[`{facts.model}`](#{facts.model})",
                facts.manufacturer,
                ", ".join(f"`{name}`" for name in facts.capabilities),
                ", ".join(f"`{scheme}`" for scheme in facts.address_schemes),
                "yes" if facts.tried.conformance else "none",
                f"{len(facts.tried.hardware)} of them" if facts.tried.hardware else "never",
            )
        ) + " |"  # fmt: skip


def _section(facts: ModelFacts) -> Iterator[str]:
    yield f"\n### {facts.model}\n"
    yield f"{facts.manufacturer}; {', '.join(f'`{name}`' for name in facts.capabilities)}.\n"
    yield f"{facts.about}\n"
    if facts.settings:
        yield f"- Settings: {'; '.join(f'`{s.name}`: {setting_text(s)}' for s in facts.settings)}."
    if facts.controls is None:
        yield "- Controls: as its settings say."
    elif facts.controls:
        yield f"- Controls: {'; '.join(f'`{c.name}`: {c.values}' for c in facts.controls)}."
    for what, text in (("Driver", facts.tried.driver), ("Simulator", facts.tried.simulator)):
        yield f"- {what} tried: {text or 'no test of its own.'}"
    suite = "over the driver and its simulator" if facts.tried.conformance else "not: it has no simulator"
    yield f"- Conformance suite: {suite}. Real hardware: {'; '.join(facts.tried.hardware) or 'never'}."
    yield f"- Protocol: {facts.protocol}."
    yield f"- Doubts: {' '.join(facts.doubts) or 'none that we know of.'}"


def main() -> int:
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
