"""What a how-to page tells its reader to do, taken from its Markdown, so that a test can do the same.

A fenced block whose first line is the comment `# file: NAME` is a file to be written as it stands, that
line included. A `console` block holds commands, each on a line that begins with `$ `, and under it what
it prints, where `...` stands for any text. Other blocks are for the eye only. Nothing on a page has to be
repeated in its test, and a block that is none of these three by mistake is reported.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).parents[2]
PAGES = TREE / "docs"
EXECUTED = ("console", "python", "toml", "yaml")
"""Languages of blocks that a reader copies; one of them without a command or a file name is a mistake."""
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# file: (\S+)\n")


@dataclass(frozen=True)
class Command:
    """A command line and what the page says that it prints."""

    line: str
    printed: str

    def agrees(self, output: str) -> bool:
        """Whether this output is what the page shows. Spaces at the ends of lines and of the text are
        nothing; a command under which the page shows nothing may print anything."""
        parts = (re.escape(_stripped(part)) for part in self.printed.split("..."))
        return not self.printed or re.fullmatch(r"[\s\S]*".join(parts), _stripped(output)) is not None

    def run(
        self, folder: Path, environment: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Carry the command out in a folder, as a shell in our virtual environment would, outside of the
        pytest that runs now; standard error goes to `stdout` too, as on a terminal."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["/bin/sh", "-c", self.line],
            cwd=folder,
            env=inherited | {"PATH": path, "NO_COLOR": "1"} | dict(environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@dataclass(frozen=True)
class Page:
    """A page of `docs/`: its files by name and its commands, both in the order of the page."""

    text: str
    files: Mapping[str, str]
    commands: tuple[Command, ...]

    @classmethod
    def read(cls, name: str) -> "Page":
        """Read `docs/NAME`. Raises ValueError for a block that is to be copied, but does not say where to."""
        return cls.parse((PAGES / name).read_text())

    @classmethod
    def parse(cls, text: str) -> "Page":
        """Read the text of a page. Raises ValueError as `read` does."""
        files: dict[str, str] = {}
        commands: list[Command] = []
        for language, block in _BLOCK.findall(text):
            if header := _FILE.match(block):
                if header[1] in files:
                    raise ValueError(f"the page shows {header[1]} twice")
                files[header[1]] = block
            elif language == "console" and block.startswith("$ "):
                commands += _commands(block)
            elif language in EXECUTED:
                raise ValueError(f"neither a file nor a command: {block.splitlines()[0]!r}")
        return cls(text, files, tuple(commands))

    def write_files(self, folder: Path) -> None:
        """Write every file of the page beneath a folder."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


def _commands(block: str) -> list[Command]:
    sessions = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Command(line.strip(), printed) for line, _, printed in (s.partition("\n") for s in sessions)]


def _stripped(text: str) -> str:
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip()


def checkout(folder: Path) -> None:
    """What a reader has before her once `make setup` is done: the files that the commands of the pages
    need, and the environment that runs now."""
    (folder / "configs").symlink_to(TREE / "configs")
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (folder / name).write_bytes((TREE / name).read_bytes())
        os.utime(folder / name, (0, 0))  # older than the environment: nothing is left to set up
