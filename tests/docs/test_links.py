"""Scripts and pages name tutorials and functions in plain words, and the site makes links of them."""

import sys
from types import ModuleType

import pytest

pytest.importorskip("imageio_ffmpeg", reason="the docs group is not installed")

from gallery import links
from gallery import scripts as reading

SCRIPT = '''"""
{title}
========================

Lead.

导语。

- Level: beginner. Time: 5 minutes. Needs: nothing.

- 难度：入门。用时：5 分钟。预备：无。
"""

import optimkit
from optimkit import when
from optimkit._inspection import plots

optimkit.describe(optimkit._errors)
'''


@pytest.fixture
def scripts(tmp_path_factory, monkeypatch):
    """Two tutorials, 01 and 02, in the place of the real ones."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "plot_01_first.py").write_text(SCRIPT.format(title="First | 第一页"), "utf-8")
    (folder / "plot_02_second.py").write_text(
        SCRIPT.format(title="Second | 第二页").replace("import when", "import audit"), "utf-8"
    )
    monkeypatch.setattr(reading, "SCRIPTS", folder)
    monkeypatch.setattr(links, "tutorials", lambda: reading.tutorials(folder))
    return folder


@pytest.fixture
def extensions(monkeypatch):
    """The link transforms alone, without the gallery that runs scripts."""

    def setup(app):
        app.add_transform(links.ListUses)
        app.add_transform(links.LinkNames)

    module = ModuleType("only_links")
    module.setup = setup
    monkeypatch.setitem(sys.modules, "only_links", module)
    return ["myst_parser", "mathml", "bilingual", "only_links"]


PAGES = {
    "auto_examples/plot_01_first.md": "# First | 第一页\n",
    "auto_examples/plot_02_second.md": "# Second | 第二页\n",
}
TREE = "\n```{toctree}\nauto_examples/plot_01_first\nauto_examples/plot_02_second\n```\n"
REFERENCE = """
```{eval-rst}
.. py:function:: when(x)
   :module: optimkit

.. py:function:: describe(x)
   :module: optimkit

.. py:function:: unused(x)
   :module: optimkit
```
"""


def hrefs(tag):
    """Return the links of an element."""
    return [(one.text(), one.attributes["href"]) for one in tag.all("a")]


def test_tutorials_by_number(both, scripts, extensions):
    """``tutorial 02`` and ``教程 02`` link to the page of that script; in code they stay code."""
    text = "# P | 页\n\nSee tutorial 02, `tutorial 01`.\n\n见教程 02、`教程 01`。\n" + TREE
    english, chinese = both({"index.md": text, **PAGES}, extensions=extensions)
    page = "auto_examples/plot_02_second.html"
    assert hrefs(english.body().all("p")[0]) == [("tutorial 02", page)]
    assert hrefs(chinese.body().all("p")[0]) == [("教程 02", page)]


def test_the_note(both, scripts, extensions):
    """Where a page says that the note is checked line by line, it links to where it is."""
    text = "# P | 页\n\nThe note, checked line by line.\n\n笔记在这里逐条核对。\n" + TREE
    pages = {"index.md": text + "\n```{toctree}\ncoverage\n```\n", "coverage.md": "# Note | 笔记\n"}
    english, chinese = both(pages | PAGES, extensions=extensions)
    assert hrefs(english.body().all("p")[0]) == [("checked line by line", "coverage.html")]
    assert hrefs(chinese.body().all("p")[0]) == [("逐条核对", "coverage.html")]


def test_tutorial_that_is_not_there(build, scripts, extensions):
    """A number without a script is a warning on its line."""
    text = "# P | 页\n\nSee tutorial 07.\n\n见教程 01。\n" + TREE
    site = build({"index.md": text, **PAGES}, extensions=extensions)
    assert site.warnings == [
        "index.md:3: WARNING: 'tutorial 07': there is no examples/plot_07_*.py [bilingual.link]"
    ]


def test_functions_by_name(both, scripts, extensions):
    """A literal that is a function's full name links to its reference, and only that."""
    text = "# P | 页\n\n`optimkit.when` and `optimkit`.\n\n`optimkit.when` 与 `optimkit`。\n"
    for site in both({"index.md": text + REFERENCE + TREE, **PAGES}, extensions=extensions):
        paragraph = site.body().all("p")[0]
        assert hrefs(paragraph) == [("optimkit.when", "#optimkit.when")]


def test_function_that_is_not_there(build, scripts, extensions):
    """The full name of a function that has no reference is a warning."""
    text = "# P | 页\n\n`optimkit.nothing` it is.\n\n就是 `optimkit.nothing`。\n" + TREE
    site = build({"index.md": text, **PAGES}, extensions=extensions, nitpicky=True)
    assert {line.partition(": ")[2] for line in site.warnings} == {
        "WARNING: py:obj reference target not found: optimkit.nothing [ref.obj]"
    }


def test_uses_are_listed(both, scripts, extensions):
    """A function's reference links the tutorials that use it, in both languages, if any do."""
    text = "# P | 页\n" + REFERENCE + TREE
    english, chinese = both({"index.md": text, **PAGES}, extensions=extensions)
    for site, said in (
        (english, ["Used in tutorial 01.", "Used in tutorial 01, tutorial 02."]),
        (chinese, ["用在教程 01。", "用在教程 01、教程 02。"]),
    ):
        uses = [tag for tag in site.body().all("p") if "uses" in tag.classes]
        assert [tag.text(hidden=False) for tag in uses] == said
        assert [len(hrefs(tag)) for tag in uses] == [2, 4]


def test_uses_of_terms_are_listed(both, scripts, extensions):
    """A term says which tutorials have it, in both languages; one that few lack says nothing."""
    terms = "".join(
        f'["{en}"]\nzh = "{zh}"\ntopic = "one"\nmeans = ["It.", "它。"]\n'
        for en, zh in (("when", "何时"), ("lead", "导语"), ("absent", "没有"))
    )
    files = {
        "index.md": "# P | 页\n\n```{glossary-terms} one\n```\n" + TREE,
        "glossary.toml": terms,
        **PAGES,
    }
    english, chinese = both(files, extensions=extensions)
    for site, said in (
        (english, ["Used in tutorial 01.", "Used in tutorial 01, tutorial 02."]),
        (chinese, ["用在教程 01。", "用在教程 01、教程 02。"]),
    ):
        uses = [tag for tag in site.body().all("p") if "uses" in tag.classes]
        assert [tag.text(hidden=False) for tag in uses] == said


def test_names_used(scripts):
    """The names that a script uses are those it imports from the package or takes from it."""
    assert reading.tutorials(scripts)[0].uses == {*("when", "plots", "describe", "_errors")}
