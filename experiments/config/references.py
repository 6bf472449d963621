"""Secrets in configuration: never the secret itself, only where to find it.

A reference is `${env:NAME}`, an environment variable, or `${file:PATH}`, a file that nobody but its owner can
read (mode 0600 or stricter); its path begins with `/`, or with `~/`. It stays a reference in models, run
folders and messages; only `resolve` looks at the value, at the moment when it is needed.
"""

import os
import re
import stat
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

PATTERN = r"\$\{(?:env:[A-Za-z_][A-Za-z0-9_]*|file:~?/[^{}\n\0]+)\}"
LONGEST = 64 * 1024
"""Bytes of a secret in a file; a larger file is another one than was meant."""


def is_reference(text: str) -> bool:
    """Whether a text is one."""
    return re.fullmatch(PATTERN, text) is not None


def _reference(text: str) -> str:
    if not is_reference(text):
        # What was found is not shown: it may be a password.
        raise ValueError(
            "no secrets in this file; write ${env:NAME} and set that environment variable, or ${file:/PATH} "
            "and let only its owner read that file"
        )
    return text


class _Pattern:
    """Says in the JSON Schema which text a reference is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(source)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^{PATTERN}$", "examples": ["${env:BROKER_PASSWORD}"]}


Reference = Annotated[str, AfterValidator(_reference), _Pattern()]


def resolve(reference: str) -> str:
    """The value that a reference stands for, of a file without the line end at its end. Raises LookupError
    that says what is to be done; never says the value."""
    kind, _, where = reference.removeprefix("${").removesuffix("}").partition(":")
    if kind == "file":
        return _content(reference, Path(where))
    if where not in os.environ:
        raise LookupError(f"the environment variable of {reference} is not set")
    return os.environ[where]


def _content(reference: str, path: Path) -> str:
    try:
        descriptor = os.open(path.expanduser(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody's home
        why = error.strerror if isinstance(error, OSError) else error
        raise LookupError(f"the file of {reference} cannot be read: {why}") from error
    try:
        # Asked of the open file, so that it cannot be exchanged in between.
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise LookupError(f"{reference} is no regular file")
        if mode & 0o077:
            raise LookupError(
                f"the file of {reference} has mode {stat.S_IMODE(mode):04o}: others can reach it; chmod 600 "
                "it, and change the secret if they might have read it"
            )
        content = os.read(descriptor, LONGEST + 1)
    finally:
        os.close(descriptor)
    if len(content) > LONGEST:
        raise LookupError(f"the file of {reference} is longer than any secret")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise LookupError(f"the file of {reference} is not text in UTF-8") from None
