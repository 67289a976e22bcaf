"""Warnings, each with the file and line that a writer has to open; the build takes them for errors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from docutils import nodes
from docutils.utils import get_source_line
from sphinx.util import logging

logger = logging.getLogger(__name__)


def warn(message: str, at: nodes.Node | str, subtype: str) -> None:
    """Warn about a node, at the line of the file in which its author wrote it, or about a line."""
    location = at if isinstance(at, str) else place(at)
    logger.warning(message, location=location, type="bilingual", subtype=subtype)


def unpaired(english: Sequence[nodes.Element], chinese: Sequence[nodes.Element]) -> None:
    """Warn about blocks of one language whose twins in the other are missing or of another kind."""
    # Twins are close: the last English block and the first Chinese one.
    alone_in_english = [*without_twins(english[::-1], chinese)][::-1]
    alone_in_chinese = [*without_twins(chinese, english)]
    for alone, language, where in (
        (alone_in_english, "Chinese", "after"),
        (alone_in_chinese, "English", "before"),
    ):
        for node in alone:
            warn(
                f"unpaired {node.tagname} {quote(node)}: expected its {language} twin, "
                f"a {node.tagname}, right {where} it, or both halves in one, 'English | 中文'",
                node,
                "pair",
            )
    if not alone_in_english and not alone_in_chinese:
        found = ", ".join(node.tagname for node in english)
        wanted = ", ".join(node.tagname for node in chinese)
        warn(
            f"blocks in another order: English has {found}; Chinese has {wanted}; "
            "write both in the same order",
            english[0],
            "pair",
        )


def without_twins(
    blocks: Sequence[nodes.Element], others: Sequence[nodes.Element]
) -> Iterator[nodes.Element]:
    """Yield the blocks for which the other language has too few of their kind."""
    kinds = [type(node) for node in others]
    for node in blocks:
        if type(node) in kinds:
            kinds.remove(type(node))
        else:
            yield node


def quote(node: nodes.Node) -> str:
    text = " ".join(node.astext().split())
    return f"'{text[:50]}…'" if len(text) > 50 else f"'{text}'"


def place(node: nodes.Node) -> str | nodes.Node:
    """Return the place of a node as its author knows it.

    A page of the gallery is written in a script, and a cell of a Markdown table has the line of the
    table: there, the place is where its words are.
    """
    source, line = get_source_line(node)
    page, env = Path(source or ""), node.document.settings.env
    gallery = getattr(env.config, "sphinx_gallery_conf", {})
    folder = Path(env.srcdir, *gallery.get("examples_dirs", ["examples"])).resolve()
    script = folder / ("GALLERY_HEADER.rst" if page.stem == "index" else f"{page.stem}.py")
    if page.parent.name in ("auto_examples", folder.name) and script.exists():
        return f"{script}:{find(node, script, 1)}"
    if isinstance(node.parent, nodes.entry) and page.is_file():
        return f"{page}:{find(node, page, line or 1)}"
    return node


def find(node: nodes.Node, file: Path, first: int) -> int:
    words = next((line for line in node.astext().splitlines() if line.strip()), "")[:24]
    lines = file.read_text("utf-8").splitlines()[first - 1 :]
    for number, line in enumerate(lines, first):
        if words and words in line.lstrip("# ").replace("`", "").replace("*", ""):
            return number
    return first
