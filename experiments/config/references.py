"""Secrets in configuration: never the secret itself, only where to find it.

A reference is `${env:NAME}`, an environment variable. It stays a reference in models, run folders and
messages; only `resolve` looks at the value, at the moment when it is needed.
"""

import os
import re
from typing import Annotated

from pydantic import AfterValidator

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def _is_reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        # What was found is not shown: it may be a password.
        raise ValueError("no secrets in this file; write ${env:NAME} and set that environment variable")
    return text


Reference = Annotated[str, AfterValidator(_is_reference)]


def resolve(reference: str) -> str:
    """The value that a reference stands for. Raises LookupError that names the variable to set."""
    match = _REFERENCE.fullmatch(reference)
    if match is None or match[1] not in os.environ:
        raise LookupError(f"the environment variable of {reference} is not set")
    return os.environ[match[1]]
