"""Small projects, built in this process in both languages by the site's own extension."""

from __future__ import annotations

import gettext
import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sphinx.application import Sphinx


ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

# Without the docs group there is nothing to test here.
collect_ignore_glob = [] if find_spec("sphinx") and find_spec("myst_parser") else ["test_*.py"]


VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
BLOCKS = {"dd", "div", "dt", "li", "p", "summary", "td", "th", "tr"}
QUIET = {
    "extensions": ["myst_parser", "bilingual", "mathml"],
    "html_copy_source": False,
    "html_domain_indices": False,
    "html_math_renderer": "mathml",
    "html_theme": "basic",
    "html_use_index": False,
    "myst_enable_extensions": ["colon_fence", "deflist", "dollarmath"],
    "smartquotes": False,
}


@dataclass
class Tag:
    """An HTML element."""

    name: str
    attributes: dict[str, str | None]
    children: list[Tag | str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """The classes of the element."""
        return (self.attributes.get("class") or "").split()

    def walk(self) -> Iterator[Tag]:
        """Yield the elements at and below this one."""
        yield self
        for child in self.children:
            if isinstance(child, Tag):
                yield from child.walk()

    def all(self, name: str, **attributes: str) -> list[Tag]:
        """Return the elements of a name, with some attributes."""
        return [
            tag
            for tag in self.walk()
            if tag.name == name and attributes.items() <= tag.attributes.items()
        ]

    def text(self, hidden: bool | None = None) -> str:
        """Return the text: all of it, the hidden one, or the one that is not."""
        found = [text for text, below in self.pieces(False) if hidden in (None, below)]
        return " ".join("".join(found).split())

    def pieces(self, hidden: bool) -> Iterator[tuple[str, bool]]:
        """Yield each text with whether it is hidden."""
        hidden = hidden or "bi-other" in self.classes
        for child in self.children:
            if isinstance(child, str):
                yield child, hidden
            elif "headerlink" not in child.classes:
                block = child.name in BLOCKS or "bi-other" in child.classes
                yield " " * block, hidden
                if child.name == "math":
                    yield "".join(child.text().split()), hidden
                else:
                    yield from child.pieces(hidden)
                yield " " * block, hidden


class Reader(HTMLParser):
    """Reads HTML into elements."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Tag("page", {})
        self.open = [self.top]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Tag(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while tag not in VOID and self.open.pop().name != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


@dataclass
class Site:
    """One language of a project that has been built."""

    app: Sphinx
    warnings: list[str]

    def html(self, page: str = "index") -> str:
        """Return a page as it is on disk."""
        return Path(self.app.outdir, f"{page}.html").read_text("utf-8")

    def page(self, page: str = "index") -> Tag:
        """Return a page as elements."""
        reader = Reader()
        reader.feed(self.html(page))
        return reader.top

    def body(self, page: str = "index") -> Tag:
        """Return what the author wrote of a page."""
        (found,) = [tag for tag in self.page(page).all("div") if "body" in tag.classes]
        return found


Build = Callable[..., Site]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Return what writes files into a project and builds it in a language."""
    from sphinx import locale
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    def make(
        files: dict[str, str], language: str = "en", builder: str = "html", **config: Any
    ) -> Site:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        warnings = io.StringIO()
        # One process keeps the catalogs of the languages, and the catalogs, that it built before.
        locale.translators.clear()
        gettext._translations.clear()
        with patch_docutils(str(tmp_path)), docutils_namespace():
            app = Sphinx(
                tmp_path,
                None,
                tmp_path / "_build" / builder / language,
                tmp_path / "_build" / f"doctrees-{builder}-{language}",
                builder,
                QUIET | {"language": language, "exclude_patterns": ["_build"]} | config,
                status=None,
                warning=warnings,
            )
            app.build()
        said = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue())
        return Site(app, said.replace(f"{tmp_path}/", "").strip().splitlines())

    return make


@pytest.fixture
def both(build: Build) -> Callable[..., tuple[Site, Site]]:
    """Return what builds a project in English, then in Chinese, without a warning."""

    def make(files: dict[str, str], **config: Any) -> tuple[Site, Site]:
        sites = build(files, "en", **config), build(files, "zh_CN", **config)
        assert [site.warnings for site in sites] == [[], []]
        return sites

    return make
