"""What a writer gets wrong: a warning with file and line, what was expected, and what to do."""

import pytest
from sphinx.errors import ConfigError

from bilingual import reports

RST = "Page | 页\n=========\n\n"
MYST = "# Page | 页\n\n"
TWIN = "or both halves in one, 'English | 中文' [bilingual.pair]"


def after(kind, words):
    """Return the whole message of an English block that has no twin."""
    return f"unpaired {kind} '{words}': expected its Chinese twin, a {kind}, right after it, {TWIN}"


def before(kind, words):
    """Return the whole message of a Chinese block that has no twin."""
    return (
        f"unpaired {kind} '{words}': expected its English twin, a {kind}, right before it, {TWIN}"
    )


@pytest.mark.parametrize(
    ("name", "page", "warnings"),
    [
        ("index.rst", "One.", [(4, after("paragraph", "One."))]),
        ("index.rst", "一。", [(4, before("paragraph", "一。"))]),
        ("index.md", "One.", [(3, after("paragraph", "One."))]),
        (
            "index.md",
            "一。\n\nOne.",
            [(3, before("paragraph", "一。")), (5, after("paragraph", "One."))],
        ),
        ("index.md", "One.\n\nTwo.\n\n二。", [(3, after("paragraph", "One."))]),
        ("index.md", "One.\n\n一。\n\n二。", [(7, before("paragraph", "二。"))]),
        (
            "index.md",
            "One.\n\n```python\n1\n```\n\n一。",
            [(3, after("paragraph", "One.")), (9, before("paragraph", "一。"))],
        ),
        ("index.md", "One.\n\n- 一",
         [(3, after("paragraph", "One.")), (5, before("bullet_list", "一"))]),
        ("index.md", "- One | 一\n- Two", [(4, after("list_item", "Two"))]),
        ("index.md", "> One.", [(3, after("block_quote", "One."))]),
        ("index.md", ":::{tip}\nOne.\n:::\n\n:::{note}\n一。\n:::",
         [(3, after("tip", "One.")), (7, before("note", "一。"))]),
        ("index.md", ":::{tip}\nOne.\n\n一。\n\nTwo.\n:::", [(8, after("paragraph", "Two."))]),
        ("index.md", "term | 词\n: Rate.", [(4, after("definition", "Rate."))]),
        ("index.rst", "| One\n| two", [(4, after("line_block", "One two"))]),
        ("index.rst", ".. figure:: a.svg\n\n   Cap", [(4, after("figure", "Cap"))]),
        ("index.rst", ".. figure:: a.svg\n\n   Cap | 题\n\n   More.", [(4, after("legend", "More."))]),
        ("index.rst", ".. container:: a\n\n   One.", [(4, after("container", "One."))]),
        ("index.rst", ".. rubric:: More", [(4, after("rubric", "More"))]),
        ("index.rst", "Hi [#n]_ | 好 [#n]_\n\n.. [#n] One.", [(6, after("footnote", "One."))]),
        ("index.rst", ":Who: we", [(4, after("field_list", "Who we"))]),
        ("index.rst", ".. list-table::\n\n   * - a | 甲\n     - b", [(7, after("paragraph", "b"))]),
        ("index.rst", ".. topic:: T\n\n   a | 甲", [(4, after("title", "T"))]),
        (
            "index.md",
            "One.\n\n- Two\n\n* 二\n\n一。",
            [(3, "blocks in another order: English has paragraph, bullet_list; Chinese has "
              "bullet_list, paragraph; write both in the same order [bilingual.pair]")],
        ),
    ],
)  # fmt: skip
def test_unpaired(build, name, page, warnings):
    """A block without a twin is a warning on its line, in both languages alike."""
    text = (RST if name.endswith("rst") else MYST) + page + "\n"
    for language in ("en", "zh_CN"):
        site = build({name: text, "a.svg": "<svg/>"}, language)
        assert site.warnings == [f"{name}:{line}: WARNING: {said}" for line, said in warnings]


@pytest.mark.parametrize(
    "heading", ["Clear gradients", "清空梯度", "Clear `x`", "a | b | 丙", "Adam | SGD"]
)
@pytest.mark.parametrize("depth", ["#", "##"])
def test_half_heading(build, heading, depth):
    """A heading in one language is a warning on its line, that says how to write both."""
    page = f"{'' if depth == '#' else MYST}{depth} {heading}\n"
    site = build({"index.md": page})
    assert site.warnings == [
        f"index.md:{len(depth) * 2 - 1}: WARNING: half heading '{heading.replace('`', '')}': "
        "write both halves, 'English | 中文', or put a name that both languages share between "
        "double backticks [bilingual.heading]"
    ]


def test_a_shared_name_is_no_half_heading(both):
    """A heading of literals alone belongs to both languages."""
    for site in both({"index.md": MYST + "## `AdamW`\n"}):
        assert [tag.text() for tag in site.body().all("h2")] == ["AdamW"]


@pytest.mark.parametrize("halves", ["清空 | Clear", "清空 | 更新", "清空｜Clear", "clear｜update"])
@pytest.mark.parametrize("form", ["## {}", "- {}", "{}"])
def test_halves_in_another_order(build, halves, form):
    """Halves that are not English, then Chinese, are a warning on their line."""
    site = build({"index.md": MYST + form.format(halves) + "\n"})
    assert site.warnings == [
        f"index.md:3: WARNING: halves in other languages '{halves}': write English first, "
        "'English | 中文'; a bar that separates no halves goes between double backticks "
        "[bilingual.half]"
    ]


@pytest.mark.parametrize("alt", ["A curve", "一条曲线", "p(y | x)", "曲线 | Curve"])
@pytest.mark.parametrize(
    ("name", "image", "line"),
    [("index.rst", ".. image:: a.svg\n   :alt: {}", 4), ("index.md", "![{}](a.svg)", 3)],
)
def test_half_alternative_text(build, name, image, line, alt):
    """An alternative text in one language is a warning that names the image."""
    page = (RST if name.endswith("rst") else MYST) + image.format(alt)
    site = build({name: page, "a.svg": "<svg/>"})
    assert site.warnings == [
        f"{name}:{line}: WARNING: half alternative text '{alt}' of a.svg: write both halves, "
        "'English | 中文' (of a figure: fig.set_label) [bilingual.alt]"
    ]


GLOSSARY = """
["learning rate"]
zh = "学习率"
also = ["步长"]
never = ["学习速率"]
strict = true

["weight"]
zh = "权重"
"""


@pytest.mark.parametrize(
    ("page", "line", "said"),
    [
        (
            "The rate.\n\n学习速率。",
            5,
            "'学习速率': the glossary says '学习率' for 'learning rate'",
        ),
        (
            "The learning rate.\n\n速度。",
            5,
            "'learning rate' of the English twin is not '学习率' here: '速度。'",
        ),
        (
            "Two learning\nrates.\n\n速度。",
            6,
            "'learning rate' of the English twin is not '学习率' here: '速度。'",
        ),
        (
            "- Learning rate | 速度",
            3,
            "'learning rate' of the English twin is not '学习率' here: '速度'",
        ),
        (
            "## Learning rate | 速度",
            3,
            "'learning rate' of the English twin is not '学习率' here: '速度'",
        ),
        (
            "| `a` |\n|---|\n| Learning rate｜速度 |",
            5,
            "'learning rate' of the English twin is not '学习率' here: '速度'",
        ),
    ],
)
def test_terms(build, page, line, said):
    """A term by a forbidden or without its one translation is a warning on the Chinese line."""
    for language in ("en", "zh_CN"):
        files = {"index.md": f"{MYST}{page}\n", "glossary.toml": GLOSSARY}
        site = build(files, language)
        assert site.warnings == [f"index.md:{line}: WARNING: {said} [bilingual.term]"]


@pytest.mark.parametrize(
    "page",
    [
        "The learning rate.\n\n学习率。",
        "The learning rate.\n\n步长。",
        "The learning rate.\n\n学习\n率。",
        "The learning rate.\n\n把 learning rate 调小。",
        "A weight.\n\n重量。",
        "The learning rates | 学习率",
    ],
)
def test_terms_that_are_right(both, page):
    """The one translation, another right one, the English word and loose terms all pass."""
    both({"index.md": f"{MYST}{page}\n", "glossary.toml": GLOSSARY})


def test_glossary_with_a_term_twice(build):
    """A term defined twice stops the build with the line of the second definition."""
    twice = GLOSSARY + '\n[weight]\nzh = "重量"\n'
    with pytest.raises(ConfigError, match=r"glossary\.toml: not a glossary: .*weight.*line 11"):
        build({"index.md": MYST, "glossary.toml": twice})


@pytest.mark.parametrize("text", ["[a]\n", "[a\n", '[a]\nZH = "a"\n', "a = 1"])
def test_glossary_that_is_none(build, text):
    """A glossary that is none stops the build with its name and what was expected."""
    files = {"index.md": MYST, "glossary.toml": text}
    with pytest.raises(
        ConfigError, match=r"glossary\.toml: not a glossary: .*expected a table for each term"
    ):
        build(files)


def test_glossary_that_changes(build):
    """A page that is up to date is checked again when the glossary changes."""
    page = MYST + "A weight.\n\n重量。\n"
    assert not build({"index.md": page, "glossary.toml": GLOSSARY}).warnings
    stricter = GLOSSARY + 'never = ["重量"]\n'
    site = build({"glossary.toml": stricter})
    assert [line.split(" ")[0] for line in site.warnings] == ["index.md:5:"]


SCRIPT = '''"""
Page | 页
=========

One.

一。
"""

# One.
x = "Two."

# %%
# Two.
#
# 二。
#
# Three.

# %%
# Half
# ----

fig.set_label("Four.")
'''

PAGE = """
.. "auto_examples/plot_a.py"

Page | 页
=========

One.

一。

.. GENERATED FROM PYTHON SOURCE LINES 9-12

.. code-block:: Python

   x = "Two."

.. GENERATED FROM PYTHON SOURCE LINES 13-18

Two.

二。

Three.

.. GENERATED FROM PYTHON SOURCE LINES 19-22

Half
----

.. GENERATED FROM PYTHON SOURCE LINES 22-24

.. image:: /a.svg
   :alt: Four.
"""


def test_lines_of_a_script(build, tmp_path, monkeypatch):
    """A warning about a page of the gallery names the script, and the line in it."""
    setting = 'def setup(app):\n    app.add_config_value("sphinx_gallery_conf", {}, "")\n'
    (tmp_path / "gallery_setting.py").write_text(setting, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    site = build(
        {
            "index.md": MYST + "```{toctree}\nauto_examples/plot_a\n```\n",
            "auto_examples/plot_a.rst": PAGE,
            "examples/plot_a.py": SCRIPT,
            "a.svg": "<svg/>",
        },
        extensions=["gallery_setting", "myst_parser", "bilingual", "mathml"],
        sphinx_gallery_conf={"examples_dirs": ["examples"], "gallery_dirs": ["auto_examples"]},
    )
    assert sorted(line.split(" WARNING: ")[0] for line in site.warnings) == [
        "examples/plot_a.py:18:",
        "examples/plot_a.py:21:",
        "examples/plot_a.py:24:",
    ]


def test_quote_is_short():
    """A message quotes the first words of a block, however long it is."""
    from docutils import nodes

    assert reports.quote(nodes.paragraph("", "x" * 50)) == f"'{'x' * 50}'"
    assert reports.quote(nodes.paragraph("", "x\n y" * 50)) == f"'{('x y' * 50)[:50]}…'"


def test_half_toctree(build):
    """A caption or a title of a toctree in one language is a warning on its line."""
    page = RST + ".. toctree::\n   :caption: Parts\n\n   第一 <a>\n"
    site = build({"index.rst": page, "a.rst": "A | 甲\n=======\n"})
    assert site.warnings == [
        f"index.rst:4: WARNING: half toctree entry '{text}': write both halves, "
        "'English | 中文' [bilingual.heading]"
        for text in ("Parts", "第一")
    ]
