"""Docstrings: English, with their Chinese in a catalog, whole, on both sites."""

import sys
from pathlib import Path

import pytest

MODULE = '''"""Steps."""


def step(rate):
    """Take one step.

    The rate is kept.

    * How far.
    """
'''
CATALOG = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Take one step."
msgstr "走一步。"

msgid "The rate is kept."
msgstr "步长不变。"

msgid "How far."
msgstr "走多远。"
"""
CONFIG = {
    "extensions": ["myst_parser", "sphinx.ext.autodoc", "bilingual", "mathml"],
    "locale_dirs": ["locale"],
    "autodoc_typehints": "none",
}
PO = "locale/zh_CN/LC_MESSAGES/index.po"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a page about one function, and the catalog of that page."""
    name = f"steps_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield {
        "index.md": f"# Steps | 步骤\n\nOne.\n\n一。\n\n```{{eval-rst}}\n.. autofunction:: {name}.step\n```\n",
        PO: CATALOG,
    }
    sys.modules.pop(name, None)


def test_catalog_translates(build, project):
    """Each site shows docstrings in its language, and has the other one beside them, from scratch."""
    for code, tag, own, other in (
        ("en", "zh-CN", "Take one step.", "走一步。"),
        ("zh_CN", "en", "走一步。", "Take one step."),
    ):
        site = build(project, code, **CONFIG)
        assert site.warnings == []
        body = site.body()
        assert own in body.text(hidden=False)
        assert other in body.text(hidden=True)
        assert other not in body.text(hidden=False)
        assert body.text().count(own) == body.text().count(other) == 1
        twins = [p for p in body.all("p") if p.text() == other]
        assert [(p.classes, p.attributes["lang"]) for p in twins] == [(["bi-other"], tag)]
    # English comes first, and needs the compiled catalog as much as Chinese does.
    assert Path(site.app.srcdir, PO).with_suffix(".mo").exists()


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_catalog_that_changes(build, project, language):
    """A page that is up to date is made again when its catalog changes, in both languages."""
    build(project, language, **CONFIG)
    site = build({PO: CATALOG.replace("走一步。", "迈一步。")}, language, **CONFIG)
    assert "迈一步。" in site.body().text()
    assert "走一步。" not in site.body().text()


def test_missing_translation(build, project):
    """A sentence without Chinese is a warning that names the docstring and the catalog to edit."""
    project[PO] = CATALOG.split('msgid "The rate')[0]
    site = build(project, "zh_CN", **CONFIG)
    found = [line for line in site.warnings if "The rate" in line or "How far" in line]
    name = Path(site.app.srcdir).name
    place = f"steps_of_{name}.py:docstring of steps_of_{name}.step"
    assert found == [
        f"{place}:{line}: WARNING: no Chinese for '{words}': run 'nox -s catalog', then write it "
        f"into {PO} [bilingual.catalog]"
        for line, words in ((3, "The rate is kept."), (5, "How far."))
    ]
    assert len(site.warnings) == len(found)


def test_gettext_extracts_docstrings_only(build, project):
    """What there is to translate is docstrings: pages carry both languages themselves."""
    site = build(project, builder="gettext", **CONFIG)
    assert site.warnings == []
    said = Path(site.app.outdir, "index.pot").read_text("utf-8")
    found = {line.split('"')[1] for line in said.splitlines() if line.startswith("msgid")}
    assert {"Take one step.", "The rate is kept.", "How far."} <= found
    assert not any(words in said for words in ("Steps |", "One.", "一"))


TYPED = """# P | 页

```{eval-rst}
.. py:function:: step(rate, *names, **more)

   :param rate: How far.
   :type rate: :py:class:`int`, :py:class:`str` or dict of str to tuple of int, *optional*
   :param \\*names: How far.
   :type \\*names: :py:class:`tuple` of :py:class:`str` or None
   :param \\*\\*more: How far.
```
"""


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            [
                "rate (int, str or dict of str to tuple of int, optional) – How far.",
                "names (tuple of str or None) – How far.",
                "more – How far.",
            ],
        ),
        (
            "zh_CN",
            [
                "rate (int、str 或 dict：str 到 tuple：int、可选) – 走多远。",
                "names (tuple：str 或 None) – 走多远。",
                "more – 走多远。",
            ],
        ),
    ],
)
def test_types_of_parameters(build, language, said):
    """Parameters stand without stars, and Chinese readers read no English between their types."""
    site = build(
        {"index.md": TYPED, PO: CATALOG},
        language,
        extensions=CONFIG["extensions"],
        locale_dirs=["locale"],
        smartquotes=True,
        smartquotes_action="D",
        smartquotes_excludes={"builders": ["man", "text"]},
    )
    assert [item.text(hidden=False) for item in site.body().all("li")] == said
