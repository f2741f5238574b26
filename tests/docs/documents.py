"""The pages of docs/, with the commands and the code that they show."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w*)(?: title=\"(.+?)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\s*(?:- run: )?((?:dvae-bench|make) .+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One page: the words of its commands, and its Python blocks by the file they are saved as, "" if they are run."""

    name: str
    commands: list[list[str]]
    code: list[tuple[str, str]]

    def __str__(self) -> str:
        return self.name


def read(path: Path) -> Page:
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    shell = "\n".join(body for language, _, body in blocks if language in ("", "sh", "yaml"))
    commands = [shlex.split(line, comments=True) for line in COMMAND.findall(re.sub(r"\\\n\s*", "", shell))]
    code = [(title, body) for language, title, body in blocks if language == "python"]
    return Page(path.relative_to(DOCS).as_posix(), commands, code)


PAGES = [read(path) for path in sorted(DOCS.rglob("*.md"))]


def save_files(folder: Path) -> list[Path]:
    """Write every file that a page asks its reader to save."""
    saved = {folder / title: body for page in PAGES for title, body in page.code if title}
    for path, body in saved.items():
        path.write_text(body, encoding="utf-8")
    return list(saved)
