"""`bellbench instruments`: the catalogue of instrument models that a testbed file can name."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from bellbench.model_facts import ModelFacts, SettingFacts, Trials, facts_of
from drivers.catalog import models
from experiments.config.problems import choices


@click.command()
@click.argument("model", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, with all there is to know.")
def instruments(model: tuple[str, ...], as_json: bool) -> None:
    """List the instrument models known: what they can do, the settings that a testbed file may give them, and
    how they were tried. For each MODEL named, also its controls with their ranges (with the settings of
    configs/testbeds/one_of_each.yaml), the source of its protocol, and what of that is in doubt."""
    if strange := next((name for name in model if name not in models()), None):
        raise click.UsageError(f"there is no model {strange!r}; {choices(strange, models())}")
    entries = [_entry(name) for name in model or models()]
    if as_json:
        click.echo(json.dumps([_json(entry) for entry in entries], indent=2, default=str))
    else:
        click.echo("\n".join(line for entry in entries for line in _text(entry, whole=bool(model))))


Broken = dict[str, str]


def _entry(model: str) -> ModelFacts | Broken:
    try:
        return facts_of(model)
    except (ImportError, AttributeError, ValueError) as error:
        # Somebody else's package may be broken; the rest of the catalogue is still of use.
        return {"model": model, "error": f"the driver cannot be loaded: {error}"}


def _json(entry: ModelFacts | Broken) -> dict[str, Any]:
    return asdict(entry) if isinstance(entry, ModelFacts) else dict(entry)


def _text(entry: ModelFacts | Broken, *, whole: bool) -> Iterator[str]:
    if not isinstance(entry, ModelFacts):
        yield f"{entry['model']}  ({entry['error']})"
        return
    schemes = ", ".join(entry.address_schemes)
    yield f"{entry.model}  {entry.manufacturer}, {', '.join(entry.capabilities)}, address: {schemes}"
    for setting in entry.settings:
        yield f"    {setting.name}: {setting_text(setting)}"
    yield f"    tried: {_in_short(entry.tried)}"
    if whole:
        if entry.controls is None:
            yield "    controls: as its settings say"
        else:
            yield from (f"    control {c.name}: {c.values}" for c in entry.controls)
        yield from (f"    test: {text}" for text in (entry.tried.driver, entry.tried.simulator) if text)
        yield f"    protocol: {entry.protocol}"
        yield from (f"    doubt: {doubt}" for doubt in entry.doubts)


def setting_text(setting: SettingFacts) -> str:
    """What a setting has to be: `power, like 20 mW (required)`."""
    example = f", like {setting.example}" if setting.example else ""
    default = "none" if setting.default in ((), "") else setting.default
    need = "required" if setting.required else f"default {default}"
    return f"{setting.kind}{example} ({need})"


def _in_short(tried: Trials) -> str:
    against = [what for what, text in (("driver", tried.driver), ("simulator", tried.simulator)) if text]
    parts = [f"{' and '.join(against)} against the protocol's examples"] if against else []
    parts += ["conformance suite with faults of the wire"] if tried.conformance else []
    parts += ["real hardware: " + "; ".join(tried.hardware) if tried.hardware else "never on real hardware"]
    return ", ".join(parts)
