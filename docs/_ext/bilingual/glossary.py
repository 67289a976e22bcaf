"""The glossary: one file says what each term is called, what it means, and where it is shown."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError

from . import reports

__all__ = ["Term", "check_glossary", "glossary", "glossary_path"]


@dataclass(frozen=True)
class Term:
    """A term of the glossary, its one translation, and the translations it must not have."""

    en: str
    zh: str
    also: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    strict: bool = False
    topic: str = ""
    tutorial: str = ""
    means: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """Where it is on the glossary's page, the same in both languages."""
        return "term-" + re.sub(r"\W+", "-", self.en.lower())

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the term in an English text."""
        return re.compile(rf"\b{re.escape(self.en)}s?\b", re.IGNORECASE)


def glossary_path(project: Sphinx | BuildEnvironment) -> Path | None:
    """Return where the glossary of a project is, None if it has none."""
    name = project.config.bilingual_glossary
    return Path(project.srcdir) / name if name else None


def glossary(project: Sphinx | BuildEnvironment) -> tuple[Term, ...]:
    """Return the terms of a project."""
    path = glossary_path(project)
    return read_glossary(path, path.stat().st_mtime_ns) if path else ()


@lru_cache
def read_glossary(path: Path, changed: int) -> tuple[Term, ...]:
    """Read a glossary, again when the file has changed."""
    rows = tomllib.loads(path.read_text("utf-8"))["term"]
    return tuple(
        Term(**{key: tuple(v) if isinstance(v, list) else v for key, v in row.items()})
        for row in rows
    )


def check_glossary(app: Sphinx, config: Config) -> None:
    """Refuse a glossary that cannot be read, and warn about one that defines a term twice."""
    path = glossary_path(app)
    try:
        terms = glossary(app)
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path}: not a glossary: {error}; "
            "expected [[term]] tables with en, zh, and if need be also, never, strict, topic, "
            "tutorial, means"
        ) from error
    lines = lines_of_terms(path) if path else []
    for number, term in enumerate(terms):
        first = next(i for i, other in enumerate(terms) if other.en.lower() == term.en.lower())
        if first < number:
            reports.defined_twice(term.en, f"{path}:{lines[number]}", lines[first])


def lines_of_terms(path: Path) -> list[int]:
    """Return the line on which each term of a glossary begins."""
    lines = path.read_text("utf-8").splitlines()
    return [number for number, line in enumerate(lines, 1) if line.strip() == "[[term]]"]
