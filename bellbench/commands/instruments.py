"""`bellbench instruments`: the catalogue of instrument models that a testbed file can name."""

import json
from collections.abc import Iterator
from typing import Any

import click

from drivers.capabilities import Settings
from drivers.catalog import capability_of, find, models
from drivers.units import Quantity


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def instruments(as_json: bool) -> None:
    """List the instrument models known, with the settings that a testbed file may give them."""
    entries = [_entry(model) for model in models()]
    click.echo(json.dumps(entries, indent=2, default=str) if as_json else "\n".join(_text(entries)))


def _entry(model: str) -> dict[str, Any]:
    try:
        driver = find(model)
    except (ImportError, AttributeError, ValueError) as error:
        # Somebody else's package may be broken; the rest of the catalogue is still of use.
        return {"model": model, "error": f"the driver cannot be loaded: {error}"}
    return {
        "model": model,
        "manufacturer": driver.manufacturer,
        "capability": capability_of(driver),
        "address_schemes": list(driver.schemes),
        "settings": [_setting(name, driver.settings_model) for name in driver.settings_model.model_fields],
    }


def _setting(name: str, settings: type[Settings]) -> dict[str, Any]:
    field = settings.model_fields[name]
    quantity = next((part for part in field.metadata if isinstance(part, Quantity)), None)
    kind = getattr(field.annotation, "__name__", str(field.annotation))
    return {
        "name": field.alias or name,
        "kind": quantity.name if quantity else kind,
        "example": quantity.example if quantity else None,
        "required": field.is_required(),
        "default": None if field.is_required() else field.get_default(call_default_factory=True),
    }


def _text(entries: list[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        if "error" in entry:
            yield f"{entry['model']}  ({entry['error']})"
            continue
        schemes = ", ".join(entry["address_schemes"])
        yield f"{entry['model']}  {entry['manufacturer']}, {entry['capability']}, address: {schemes}"
        for setting in entry["settings"]:
            example = f", like {setting['example']}" if setting["example"] else ""
            need = "required" if setting["required"] else f"default {setting['default']}"
            yield f"    {setting['name']}: {setting['kind']}{example} ({need})"
