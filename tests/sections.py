"""The sections of the site's pages: a title, then code that is run and what it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A section of a page."""

    page: Path
    title: str
    body: str

    @property
    def place(self) -> str:
        """The file and the line of its title, and the English half of the title."""
        lines = self.page.read_text("utf-8").splitlines()
        line = 1 + lines.index(f"## {self.title}")
        return f"{self.page.relative_to(ROOT)}:{line}: {self.english}"

    @property
    def english(self) -> str:
        """The English half of its title."""
        return self.title.partition(" | ")[0]

    def blocks(self, *kinds: str) -> list[str]:
        """Return what is in its blocks, which are of these kinds in this order."""
        found = BLOCK.findall(self.body)
        assert [kind for kind, _ in found] == list(kinds)
        return [text for _, text in found]

    def rewrite(self, *changes: tuple[str, str, str]) -> None:
        """Put new text behind blocks of code: the code, the text that is there, the new one."""
        body = self.body
        for code, old, new in changes:
            shown = f"{code}```\n\n```text\n"
            body = body.replace(f"{shown}{old}```", f"{shown}{new}```")
        page = self.page.read_text("utf-8")
        self.page.write_text(page.replace(self.body, body), "utf-8")


Kind = TypeVar("Kind", bound=Section)


def sections(folder: Path, kind: type[Kind], *, but: tuple[str, ...] = ("index",)) -> list[Kind]:
    """Read the sections of all pages of a folder but some."""
    return [
        kind(page, *section.split("\n", 1))
        for page in sorted(folder.glob("*.md"))
        if page.stem not in but
        for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]
    ]
