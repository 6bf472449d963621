"""Plain data to models: what pydantic finds wrong, said in this project's words, with its place."""

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from experiments.config.loader import Document
from experiments.config.problems import Path, Problem, choices, show_value

M = TypeVar("M", bound=BaseModel)

_MARKS = ("[key]", "[time]", "[until]")
"""What pydantic puts into the way to a value and is not in the file: at a key of a mapping, and where a value
may be of several kinds."""

_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping of names",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}


def validate(
    model: type[M], data: object, document: Document, path: Path = ()
) -> tuple[M | None, list[Problem]]:
    """The model that `data`, which stand at `path` of the document, describe, or what is wrong with them.

    A place where the loader has already found something wrong is not reported again.
    """
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        known = {(p.file, p.line, p.column) for p in document.problems}
        found = [_problem(model, details, document, path) for details in error.errors()]
        return None, [p for p in found if (p.file, p.line, p.column) not in known]


def valid(model: type[M], data: object) -> M | None:
    """The model that data describe, or None when they have errors, which are reported elsewhere."""
    try:
        return model.model_validate(data)
    except ValidationError:
        return None


def valid_items(model: type[M], data: object) -> dict[str, M]:
    """What is free of errors in a section whose keys are names."""
    found = {name: valid(model, item) for name, item in data.items()} if isinstance(data, dict) else {}
    return {name: item for name, item in found.items() if item is not None}


def _problem(model: type[BaseModel], details: ErrorDetails, document: Document, start: Path) -> Problem:
    kind, found = details["type"], details["input"]
    context = details.get("ctx", {})
    inner = tuple(step for step in details["loc"] if step not in _MARKS)
    path = (*start, *inner)
    if details["loc"][-1:] == ("[key]",):
        return document.at_key(path, f"{show_value(found)} is no name; {_name_rule(found)}")
    if kind == "extra_forbidden":
        allowed = _keys_of(model, inner[:-1])
        return document.at_key(path, f"unknown key {show_value(path[-1])}; {choices(path[-1], allowed)}")
    if kind == "missing":
        # Said at the thing that lacks the key: the key itself has no place.
        lack = f"item {path[-1] + 1}" if isinstance(path[-1], int) else show_value(path[-1])
        return document.at_key(path[:-1], f"{lack} is missing; it is needed here")
    return document.at_value(path, _message(kind, found, context, details["msg"]))


def _message(kind: str, found: object, context: Mapping[str, Any], fallback: str) -> str:
    shown = show_value(found)
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        allowed = re.findall("'([^']*)'", context["expected"])
        return f"{shown} is not known here; {choices(found, allowed)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{shown} is out of range; allowed: {words} {context[key]:g}"
    if kind in _KINDS:
        return f"{shown} is not {_KINDS[kind]}"
    if kind == "string_pattern_mismatch":
        return f"{shown} is no name; {_name_rule(found)}"
    if kind == "string_too_long":
        return f"{shown} is too long; allowed: {context['max_length']} letters"
    if kind in ("too_short", "too_long"):
        bound = (
            f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        )
        return f"{context['actual_length']} items; allowed: {bound}"
    return f"{shown}: {fallback[:1].lower()}{fallback[1:]}"


def _name_rule(found: object) -> str:
    word = re.sub(r"\W+", "_", found, flags=re.ASCII).strip("_") if isinstance(found, str) else ""
    rule = "allowed: up to 64 letters, digits and _, a letter first"
    return f"{rule}; for example {word!r}" if re.fullmatch(r"[A-Za-z]\w{0,63}", word) else rule


def _keys_of(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the mapping at `path` inside a model may have."""
    found = model_of(annotation_at(model, path))
    if found is None:
        return []
    earlier: tuple[str, ...] = getattr(found, "earlier", ())
    return [*(field.alias or name for name, field in found.model_fields.items()), *earlier]


def annotation_at(model: type[BaseModel], path: Path) -> Any:
    """The annotation of what stands at `path` inside a model, None where there is nothing."""
    kind: Any = model
    for step in path:
        kind = _inside(kind, step)
    return kind


def model_of(kind: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `Annotated[Model, ...] | None`."""
    if get_origin(kind) is Annotated:
        return model_of(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return next((found for arg in get_args(kind) if (found := model_of(arg))), None)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _inside(kind: Any, step: str | int) -> Any:
    """The annotation of what stands under one key of a model or mapping, or in a list."""
    if get_origin(kind) is Annotated:
        return _inside(get_args(kind)[0], step)
    if get_origin(kind) in (dict, tuple):
        return get_args(kind)[1 if get_origin(kind) is dict else 0]
    model = model_of(kind)
    fields = model.model_fields if model else {}
    return next((f.annotation for name, f in fields.items() if step in (name, f.alias)), None)
