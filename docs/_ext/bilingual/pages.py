"""What an HTML page has beside its text: the switch, alternates, folded solutions."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.images import get_image_size
from sphinx.writers.html5 import HTML5Translator

from .languages import ENGLISH, LANGUAGES, by_sphinx
from .pairing import HIDDEN_HALF, PairBlocks

Visitor = Callable[[HTML5Translator, nodes.Element], None]
SOLUTION = re.compile(r"(solution|answers?)( \d+)? ?[|｜]")
"""How the name of a folded section begins: ``Solution | …``, ``Solution 2 | …``, ``Answers | …``."""


def leave_search(app: Sphinx) -> None:
    """Leave the search to search.js: Sphinx's index would be built, and loaded, for nothing."""
    app.builder.search = False


def remove_pages(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Remove the pages of documents that are gone; renew the sheet, which shows parts of others."""
    for name in removed:
        Path(app.outdir, f"{name}.html").unlink(missing_ok=True)
    return ["recipes/sheet"]


def add_context(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give templates the same page in each language, and its absolute address if there is one."""
    base = context["base_url"] = app.config.bilingual_base_url.rstrip("/")
    context["env"] = app.env
    if "body" in context:  # not a box for each word: a full stop after a box may begin a line
        context["body"] = context["body"].replace('class="pre">-', 'class="pre option">-')
    _, prose, *_ = app.env.metadata.get(pagename, {}).get("sections", {}).get("", ("", ""))
    # docutils writes one more of what Sphinx has written.
    context["metatags"] = re.sub('<meta name="viewport"[^>]*>', "", context.get("metatags", ""))
    whole = re.match(r".{1,180}(?:[。？！]|[.?!](?= |$))", prose)
    context["description"] = whole[0] if whole else prose.partition("\n")[0][:180]
    context["bilingual_pages"] = [
        {
            "language": language,
            "href": f"{context['content_root']}../{language.path}/{pagename}.html",
            "address": f"{base}/{language.path}/{pagename}.html" if base else None,
            "current": language.sphinx == by_sphinx(app.config.language).sphinx,
            "default": language is ENGLISH,
        }
        for language in LANGUAGES
    ]


class fold(nodes.General, nodes.Element):  # noqa: N801 (docutils nodes are lower case)
    """A block that opens on demand."""


class fold_summary(nodes.General, nodes.TextElement):  # noqa: N801
    """What a reader sees of a closed fold."""


class FoldSolutions(SphinxTransform):
    """Fold each section whose title says that it is a solution, the second of a page too."""

    default_priority = PairBlocks.default_priority + 1

    def apply(self, **kwargs: Any) -> None:
        for section in list(self.document.findall(nodes.section)):
            if not any(map(SOLUTION.match, (*section["names"], *section["dupnames"]))):
                continue
            title, *body = section.children
            summary = fold_summary("", "", *title.children)
            half = title.get(HIDDEN_HALF)
            if half is not None:
                summary += half
            section.replace_self(fold("", summary, *body, ids=section["ids"]))


def element(name: str, **attributes: str) -> tuple[Visitor, Visitor]:
    """Return what writes a node as an HTML element of a name."""
    return (
        lambda self, node: self.body.append(self.starttag(node, name, **attributes)),
        lambda self, node: self.body.append(f"</{name}>\n"),
    )


class SizeImages(SphinxPostTransform):
    """Give each picture its size, so that no text moves when it comes, and a link to its full size."""

    default_priority = 1
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        folder = "../" * self.env.docname.count("/") + "_images"
        for image in list(self.document.findall(nodes.image)):
            # A video has the size of the picture on its card.
            picture = re.sub(r"\.mp4$", ".png", image["uri"])
            if size := get_image_size(Path(self.env.srcdir, picture)):
                image["width"], image["height"] = map(str, size)
            if image["uri"] != picture:
                continue
            image["loading"] = "lazy"  # what is hidden, being of the other theme, never comes
            image["classes"].append("no-scaled-link")
            if "figure" in image["classes"] and picture in self.env.images:
                address = f"{folder}/{self.env.images[picture][1]}"
                themes = [name for name in image["classes"] if name.startswith("only-")]
                link = nodes.reference("", "", internal=True, refuri=address, classes=themes)
                image.parent.replace(image, link)
                link += image
