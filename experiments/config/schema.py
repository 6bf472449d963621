"""JSON Schema of the two kinds of files, for editors: completion, a word on every key, mistakes while one
types.

Made of the models that read the files, so that it cannot say anything else; beyond what pydantic says of
itself it knows units and their signs, the steps of a plan, the settings of each instrument's model,
references to secrets, and the words that stand under a field in the code. What it takes may still be wrong,
for it cannot see whether names resolve and limits hold: that is what `bellbench check` is for. What the
loader takes is never wrong for the schema.
"""

import ast
import inspect
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from annotated_types import Ge, Gt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema

from drivers.catalog import models
from drivers.units import Quantity, format_si
from experiments.config import include, sweep
from experiments.config.experiment import Experiment
from experiments.config.inventory import driver_of
from experiments.config.plan import STEPS, PlanStep
from experiments.config.testbed import Testbed

Kind = Literal["experiment", "testbed"]
Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_INCLUDE: Schema = {
    "type": "array",
    "items": {"type": "string", "pattern": "^(?!/)(?!.*://).+$"},
    "description": "Files to read first, relative to this one; what this file says wins.",
}
_RANGE: Schema = {
    "type": "object",
    "properties": {
        "from": {"type": ["string", "number"]},
        "to": {"type": ["string", "number"]},
        "steps": {"type": "integer", "minimum": 2, "maximum": sweep.MAX_POINTS},
        "scale": {"enum": ["linear", "log"]},
    },
    "required": ["from", "to", "steps"],
    "additionalProperties": False,
}
_SWEEP: Schema = {
    "type": ["object", "null"],
    "properties": {"zip": {"type": "boolean", "description": "Lists go along with each other."}},
    "additionalProperties": {"anyOf": [{"type": "array", "minItems": 1}, _RANGE]},
    "description": "Values for paths like settings.bsm_window; a run is carried out for each combination.",
}


def schema_of(kind: Kind) -> Schema:
    """The schema of a kind of file."""
    return _experiment() if kind == "experiment" else _testbed()


def _experiment() -> Schema:
    schema, refs = _of([Experiment, *STEPS.values()], Experiment)
    bare = [kind for kind, step in STEPS.items() if not _required(step)]
    schema["$defs"][PlanStep.__name__] = {
        "description": "A step: its kind with its parameters, or the kind alone.",
        "anyOf": [
            {"enum": bare},
            {
                "type": "object",
                "properties": {
                    kind: {"anyOf": [refs[step], {"type": "null"}]} if kind in bare else refs[step]
                    for kind, step in STEPS.items()
                },
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            },
        ],
    }
    schema["properties"] |= {include.KEY: _INCLUDE, sweep.KEY: _SWEEP}
    return schema


def _testbed() -> Schema:
    settings = {model: driver_of(model).settings_model for model in sorted(models())}
    schema, refs = _of([Testbed, *dict.fromkeys(settings.values())], Testbed)
    entry = schema["$defs"]["InstrumentEntry"]
    entry["properties"]["model"] = {
        "enum": list(settings),
        "description": "The model; `bellbench instruments` says more of each.",
    }
    entry["properties"]["settings"] = {"type": "object", "description": "What its driver must be told."}
    entry["allOf"] = [_settings(model, part, refs[part]) for model, part in settings.items()]
    schema["properties"][include.KEY] = _INCLUDE
    return schema


def _settings(model: str, part: type[BaseModel], ref: Schema) -> Schema:
    """What the settings of an instrument of this model look like."""
    then: Schema = {"properties": {"settings": ref}}
    if _required(part):
        then["required"] = ["settings"]
    return {"if": {"properties": {"model": {"const": model}}, "required": ["model"]}, "then": then}


def _of(
    parts: Iterable[type[BaseModel]], top: type[BaseModel]
) -> tuple[Schema, Mapping[type[BaseModel], Schema]]:
    """The schema of `top` with the definitions of all these models and of those inside them; and how to refer
    to each of these."""
    parts = list(parts)
    found, whole = models_json_schema([(part, "validation") for part in parts])
    refs: dict[type[BaseModel], Schema] = {part: found[part, "validation"] for part in parts}
    definitions: Schema = whole["$defs"]
    for part in _with_inner(parts):
        # One whose name another has too goes by a longer name, and without our words.
        if part.__name__ in definitions:
            _describe(part, definitions[part.__name__])
    _tidy(definitions)
    schema = {
        "$schema": DIALECT,
        "title": f"bellbench {top.__name__.lower()} file",
        **definitions.pop(top.__name__),
        "$defs": definitions,
    }
    return schema, refs


def _required(part: type[BaseModel]) -> bool:
    return any(field.is_required() for field in part.model_fields.values())


def _with_inner(parts: Iterable[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """These models and all inside them, each once."""
    seen: set[type[BaseModel]] = set()
    todo = list(parts)
    while todo:
        part = todo.pop()
        if part not in seen:
            seen.add(part)
            yield part
            for field in part.model_fields.values():
                todo += _models_in(field.annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _describe(part: type[BaseModel], schema: Schema) -> None:
    """Add to one model's schema what its fields say of themselves: words, defaults with units, signs."""
    schema["description"] = _about(part)
    words = _words(part)
    for name, field in part.model_fields.items():
        entry = schema.get("properties", {}).get(field.alias or name)
        if entry is None:
            continue
        quantity = next((part for part in field.metadata if isinstance(part, Quantity)), None)
        if quantity:
            entry |= _quantity(entry, quantity, field)
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        entry.pop("default", None)
        if isinstance(default, bool | int | str) and default != "":
            entry["default"] = default
        elif isinstance(default, float) and math.isfinite(default):
            entry["default"] = format_si(default, quantity.si_unit) if quantity else default
        if name in words:
            entry["description"] = words[name]


def _quantity(entry: Schema, quantity: Quantity, field: FieldInfo) -> Schema:
    """The entry of a quantity with the bounds of this field."""
    above = max((float(str(m.gt)) for m in field.metadata if isinstance(m, Gt)), default=-math.inf)
    least = max((float(str(m.ge)) for m in field.metadata if isinstance(m, Ge)), default=-math.inf)
    entry.pop("anyOf", None)
    return quantity.json_schema(negative=max(above, least) < 0, zero=above < 0 and least <= 0)


def _about(part: type[BaseModel]) -> str:
    """The first paragraph of a model's docstring, as one line."""
    own = part.__dict__.get("__doc__") or ""
    return " ".join(inspect.cleandoc(own).partition("\n\n")[0].split())


def _words(part: type[BaseModel]) -> dict[str, str]:
    """What stands under the fields of a model in its code, by their names; those of its bases too."""
    words: dict[str, str] = {}
    for base in reversed(part.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                match text:
                    case ast.Expr(value=ast.Constant(value=str(said))):
                        words[field.target.id] = " ".join(said.split())
    return words


def _tidy(schema: object) -> None:
    """Leave out what tells an editor nothing: titles made of names. Close mappings whose keys are names."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for value in schema.values():
            _tidy(value)
    elif isinstance(schema, list):
        for item in schema:
            _tidy(item)
