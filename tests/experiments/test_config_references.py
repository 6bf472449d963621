"""Secrets by reference: what a reference may look like, and when its file is refused."""

import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from experiments.config.references import Reference, resolve

READ: TypeAdapter[str] = TypeAdapter(Reference)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "broker.password"
    path.write_text("tell nobody\n")
    path.chmod(0o600)
    return path


def test_an_environment_variable_and_a_file_are_read_when_they_are_needed(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "hush")
    monkeypatch.setenv("HOME", str(secret.parent))
    assert resolve(READ.validate_python("${env:BROKER_PASSWORD}")) == "hush"
    assert resolve(READ.validate_python(f"${{file:{secret}}}")) == "tell nobody"
    assert resolve(READ.validate_python("${file:~/broker.password}")) == "tell nobody"


@pytest.mark.parametrize(
    "text",
    ["hunter2", "", "${env:}", "${env:A B}", "$env:A", "${file:relative}", "${vault:x}", "${env:A}${env:B}"],
)
def test_anything_else_is_refused_with_the_remedy_and_not_repeated(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        READ.validate_python(text)
    (error,) = caught.value.errors()
    assert "${env:NAME}" in error["msg"]
    assert "${file:/PATH}" in error["msg"]
    assert not text or text not in error["msg"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o777])
def test_a_file_that_others_can_reach_is_refused(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(LookupError, match=f"has mode {mode:04o}: others can reach it; chmod 600") as caught:
        resolve(f"${{file:{secret}}}")
    assert "tell nobody" not in str(caught.value)


def test_a_stricter_mode_is_as_good(secret: Path) -> None:
    secret.chmod(0o400)
    assert resolve(f"${{file:{secret}}}") == "tell nobody"


def test_what_cannot_be_had_says_why(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(LookupError, match=r"environment variable of \$\{env:NO_SUCH\} is not set"):
        resolve("${env:NO_SUCH}")
    with pytest.raises(LookupError, match="cannot be read: No such file"):
        resolve(f"${{file:{secret}.not}}")
    with pytest.raises(LookupError, match="is no regular file"):
        resolve(f"${{file:{secret.parent}}}")
    os.mkfifo(secret.parent / "pipe", 0o600)
    with pytest.raises(LookupError, match="is no regular file"):
        resolve(f"${{file:{secret.parent}/pipe}}")
    secret.write_bytes(b"\xff\xfe")
    with pytest.raises(LookupError, match="not text in UTF-8"):
        resolve(f"${{file:{secret}}}")
    secret.write_bytes(b"x" * 70_000)
    with pytest.raises(LookupError, match="longer than any secret"):
        resolve(f"${{file:{secret}}}")
