"""The transform: each construct comes apart into an English and a Chinese page."""

import re

import pytest

PICTURE = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
RST = "Page | 页\n=========\n\n"
MYST = "# Page | 页\n\n"
UNTRANSLATED = str.maketrans("", "", "Tip小技巧")
"""The title that Sphinx gives a tip, in the language of the site."""


def case(name, page, english, chinese):
    """Return a construct with what each page shows of it below the title."""
    return pytest.param(page, english, chinese, id=name)


RST_CASES = [
    case("paragraphs", "One.\n\n一。\n\nTwo.\n\n二。", "One. Two.", "一。 二。"),
    case("runs", "One.\n\n* Two.\n\n一。\n\n- 二。", "One. Two.", "一。 二。"),
    case("runs of paragraphs", "One.\n\nTwo.\n\n一。\n\n二。", "One. Two.", "一。 二。"),
    case("whole lists", "* a\n* b\n\n- 甲\n- 乙", "a b", "甲 乙"),
    case("lists of other lengths", "* a\n* b\n\n- 甲和乙", "a b", "甲和乙"),
    case("numbered lists", "1. a\n2. b\n\n1. 甲\n2. 乙", "a b", "甲 乙"),
    case("items with halves", "* a | 甲\n* b | 乙", "a b", "甲 乙"),
    case("items in turn", "* a\n* 甲\n* b\n* 乙", "a b", "甲 乙"),
    case("items in a run", "* a\n* b\n* 甲\n* 乙", "a b", "甲 乙"),
    case("paragraphs in an item", "* a\n\n  甲\n\n* b\n\n  乙", "a b", "甲 乙"),
    case("nested lists", "* a | 甲\n\n  * b | 乙\n  * c\n  * 丙", "a b c", "甲 乙 丙"),
    case("nested whole lists", "* a\n\n  * b\n\n* 甲\n\n  * 乙", "a b", "甲 乙"),
    case(
        "list table",
        ".. list-table:: Caption | 标题\n   :header-rows: 1\n\n   * - Key | 键\n     - Use | 用\n"
        "   * - ``lr``\n     - rate | 率",
        "Caption Key Use lr rate",
        "标题 键 用 lr 率",
    ),
    case(
        "grid table with blocks in a cell",
        "+------+------+\n| a    | 1    |\n|      |      |\n| 甲   |      |\n+------+------+",
        "a 1",
        "甲 1",
    ),
    case(
        "whole tables",
        ".. list-table::\n\n   * - a\n     - b\n\n.. list-table::\n\n   * - 甲\n     - 乙",
        "a b",
        "甲 乙",
    ),
    case("admonitions", ".. tip:: One.\n\n.. tip:: 一。", "Tip One.", "小技巧 一。"),
    case(
        "pairs in an admonition",
        ".. admonition:: Careful | 小心\n\n   One.\n\n   一。",
        "Careful One.",
        "小心 一。",
    ),
    case("a title in two languages of topics", ".. topic:: T | 题\n\n   a | 甲", "T a", "题 甲"),
    case("a rubric", ".. rubric:: More | 更多", "More", "更多"),
    case("a definition", "``lr``\n   Rate.\n\n   率。", "lr Rate.", "lr 率。"),
    case("a term with halves", "term | 词\n   Rate. | 率。", "term Rate.", "词 率。"),
    case("definitions in turn", "term\n   Rate.\n\n词\n   率。", "term Rate.", "词 率。"),
    case(
        "a footnote",
        "One. [#n]_\n\n一。 [#n]_\n\n.. [#n] Note. | 注。",
        "One. [1] [1] (1,2) Note.",
        "一。 [1] [1] (1,2) 注。",
    ),
    case(
        "pairs in a footnote",
        "One. [#n]_\n\n一。 [#n]_\n\n.. [#n] Note.\n\n   注。",
        "One. [1] [1] (1,2) Note.",
        "一。 [1] [1] (1,2) 注。",
    ),
    case("block quotes", "One:\n\n一：\n\n   Two.\n\n   二。", "One: Two.", "一： 二。"),
    case(
        "a figure",
        ".. figure:: a.svg\n   :alt: a | 甲\n\n   Cap | 题\n\n   More.\n\n   更多。",
        "Cap More.",
        "题 更多。",
    ),
    case("line blocks", "| One\n| two\n\n| 一\n| 二", "One two", "一 二"),
    case("a container", ".. container:: card\n\n   One.\n\n   一。", "One.", "一。"),
    case(
        "containers", ".. container:: a\n\n   One.\n\n.. container:: a\n\n   一。", "One.", "一。"
    ),
    case("fields", ":Who: we | 我们", "Who: we", "Who: 我们"),
    case(
        "markup inside halves",
        "``f()`` of *this* | *这个* 的 ``f()`` 和 :math:`x`\n",
        "f() of this",
        "这个 的 f() 和 x",
    ),
    case("a literal half", "* ``step()`` | 更新", "step()", "更新"),
    case("a maths half", "* :math:`x` | 变量 :math:`x`", "x", "变量 x"),
    case("a comment between", "One.\n\n.. nothing\n\n一。", "One.", "一。"),
    case("a target between", "One.\n\n.. _here:\n\n一。", "One.", "一。"),
    case("an index entry between", "One.\n\n.. index:: one\n\n一。", "One.", "一。"),
    case(
        "code", ".. code-block:: python\n\n   print('一 two')", "print('一 two')", "print('一 two')"
    ),
    case("maths", ".. math:: \\text{loss}", "loss", "loss"),
    case("a link in halves", "* `a <https://x.y/z>`_ | `甲 <https://x.y/z>`_", "a", "甲"),
    case("digits", "* 3.14\n* 42", "3.14 42", "3.14 42"),
    case("literals", "* ``lr``\n* ``eps``", "lr eps", "lr eps"),
    case(
        "quoting",
        'He said "梯度" in that very talk.\n\n他说了。',
        'He said "梯度" in that very talk.',
        "他说了。",
    ),
]
MYST_CASES = [
    case("paragraphs", "One.\n\n一。", "One.", "一。"),
    case("whole lists", "- a\n- b\n\n* 甲\n* 乙", "a b", "甲 乙"),
    case("items with halves", "- a | 甲\n- b ｜ 乙", "a b", "甲 乙"),
    case("items in turn", "- a\n- 甲\n- b\n- 乙", "a b", "甲 乙"),
    case("nested", "- a\n  - b\n\n* 甲\n  * 乙", "a b", "甲 乙"),
    case("table", "| K｜键 | U ｜ 用 |\n|---|---|\n| `lr` | a｜甲 |", "K U lr a", "键 用 lr 甲"),
    case("admonitions", ":::{tip}\nOne.\n:::\n\n:::{tip}\n一。\n:::", "Tip One.", "小技巧 一。"),
    case("a title", ":::{admonition} T | 题\nOne.\n\n一。\n:::", "T One.", "题 一。"),
    case("definitions", "term | 词\n: Rate.\n\n  率。", "term Rate.", "词 率。"),
    case("quotes", "> One.\n>\n> 一。", "One.", "一。"),
    case("whole quotes", "> One.\n\n% so\n\n> 一。", "One.", "一。"),
    case("a figure", ":::{figure} a.svg\n:alt: a | 甲\n\nCap | 题\n:::", "Cap", "题"),
    case("a comment between", "One.\n\n% nothing\n\n一。", "One.", "一。"),
    case("a target between", "One.\n\n(here)=\n一。", "One.", "一。"),
    case("code", "```python\nprint('一 two')\n```", "print('一 two')", "print('一 two')"),
    case("maths", "$$\nx\n$$", "x", "x"),
    case("maths in words", "One $x$.\n\n一$x$二。", "One x.", "一x二。"),
    case("emphasis", "One **two**.\n\n这是**重点**内容。", "One two.", "这是重点内容。"),
]


@pytest.mark.parametrize(("page", "english", "chinese"), RST_CASES)
def test_rst(both, page, english, chinese):
    """Of a reStructuredText construct, each page shows its own language and hides the other."""
    assert_apart(both({"index.rst": RST + page, "a.svg": PICTURE}), english, chinese)


@pytest.mark.parametrize(("page", "english", "chinese"), MYST_CASES)
def test_myst(both, page, english, chinese):
    """Of a Markdown construct, each page shows its own language and hides the other."""
    assert_apart(both({"index.md": MYST + page, "a.svg": PICTURE}), english, chinese)


def assert_apart(sites, english, chinese):
    """Check what is shown, and that the rest is there too, hidden, and says its language."""
    shown = [site.body().text(hidden=False) for site in sites]
    assert shown == [f"Page {english}", f"页 {chinese}"]
    for site, tag in zip(sites, ("zh-CN", "en"), strict=True):
        hidden = [one for one in site.body().walk() if "bi-other" in one.classes]
        assert {one.attributes.get("lang") for one in hidden} == {tag}
    whole = [site.body().text().translate(UNTRANSLATED) for site in sites]
    assert sorted(re.findall(r"\S", whole[0])) == sorted(re.findall(r"\S", whole[1]))


@pytest.mark.parametrize("name", ["index.rst", "index.md"])
def test_twins_are_neighbours(both, name):
    """In both modes, each block stands right above its own twin, whatever the order of a run."""
    page = (RST if name.endswith("rst") else MYST) + "One.\n\nTwo.\n\n一。\n\n二。"
    for site, order in zip(
        both({name: page}), ("One.一。Two.二。", "一。One.二。Two."), strict=True
    ):
        assert "".join(tag.text() for tag in site.body().all("p")) == order


@pytest.mark.parametrize("name", ["index.rst", "index.md"])
@pytest.mark.parametrize("bullet", "*-")
def test_lists_are_neighbours(both, name, bullet):
    """An English list and the Chinese one behind it are two, even with the same kind of bullet."""
    page = (RST if name.endswith("rst") else MYST) + f"* a\n* b\n\n{bullet} 甲\n{bullet} 乙"
    for site, order in zip(both({name: page}), (["a b", "甲 乙"], ["甲 乙", "a b"]), strict=True):
        assert [tag.text() for tag in site.body().all("ul")] == order


def test_a_row_never_hides_a_cell(build):
    """A word list in two columns keeps both columns, and each bare cell is a warning."""
    page = MYST + "| Word | In Chinese｜中文 |\n|---|---|\n| rate | 学习率 |\n| weight | 权重 |\n"
    for language in ("en", "zh_CN"):
        site = build({"index.md": page}, language)
        assert "Word" in site.body().text(hidden=False)
        assert "rate 学习率 weight 权重" in site.body().text(hidden=False)
        assert len(site.warnings) == 5
        assert {line.split(": ")[0] for line in site.warnings} == {
            "index.md:3",
            "index.md:5",
            "index.md:6",
        }


def test_two_sections_are_never_twins(build):
    """A section in English and the next in Chinese are two half headings, not a pair."""
    page = MYST + "## Gradients\n\nOne.\n\n## 梯度\n\n一。\n"
    for language in ("en", "zh_CN"):
        site = build({"index.md": page}, language)
        assert [line.split(" ", 4)[:4] for line in site.warnings] == [
            ["index.md:3:", "WARNING:", "half", "heading"],
            ["index.md:5:", "WARNING:", "unpaired", "paragraph"],
            ["index.md:7:", "WARNING:", "half", "heading"],
            ["index.md:9:", "WARNING:", "unpaired", "paragraph"],
        ]
        assert "One." in site.body().text(hidden=False)


@pytest.mark.parametrize("name", ["index.rst", "index.md"])
def test_soft_breaks(both, name):
    """Lines of Chinese join without a space, Latin ones and mixed ones with one."""
    page = (RST if name.endswith("rst") else MYST) + (
        "The learning\nrate.\n\n"
        "这里的学习\n率，\nAdam\n的 “参数”\n和——\n梯度， **数\n值** 和\nSGD\nAdam\n都是\n``x``\n的。"
    )
    for site in both({name: page}):
        (words,) = [tag.text() for tag in site.body().all("p") if "这里" in tag.text()]
        assert words == "这里的学习率，Adam 的 “参数”和——梯度， 数值 和 SGD Adam 都是 x 的。"


def test_soft_breaks_in_english_that_quotes(both):
    """English that quotes Chinese keeps the space of its soft breaks."""
    page = MYST + "The note calls it “优化器”\nand goes on in English.\n\n原文叫它“优化器”。"
    for site in both({"index.md": page}):
        assert "calls it “优化器” and goes on" in site.html()


@pytest.mark.parametrize("name", ["index.rst", "index.md"])
def test_headings(both, name):
    """A heading has one language in navigation and title, both in the page, one anchor for both."""
    rst = name.endswith("rst")
    mark = "``" if rst else "`"
    heading = f"Call {mark}step(){mark} once | 用 {mark}step(){mark} 更新 *一次*"
    files = {
        name: top(rst, "Page | 页")
        + (f"{heading}\n{60 * '-'}\n" if rst else f"## {heading}\n")
        + "\nOne.\n\n一。\n"
        + toctree(rst, "next"),
        name.replace("index", "next"): top(rst, "Next | 次") + toctree(rst, "last"),
        name.replace("index", "last"): top(rst, "Last | 末"),
    }
    bars = {"**": ["localtoc.html", "globaltoc.html"]}
    english, chinese = both(files, html_title="Kit", html_sidebars=bars)
    for site, own, other in (
        (english, ("Page", "Next", "Last", "Call step() once"), ("页", "次", "末", "更新")),
        (chinese, ("页", "次", "末", "用 step() 更新 一次"), ("Page", "Next", "Last", "Call")),
    ):
        (h2,) = site.body().all("h2")
        assert h2.text(hidden=False) == own[3]
        assert other[3] in h2.text(hidden=True)
        page, last = site.page(), site.page("last")
        assert [tag.text() for tag in page.all("title")] == [f"{own[0]} — Kit"]
        (sidebar,) = [tag for tag in page.all("div") if "sphinxsidebar" in tag.classes]
        links = " ".join(tag.text() for tag in sidebar.all("li"))
        assert all(words in links for words in (own[0], own[1], own[3]))
        assert not any(words in links for words in other)
        crumbs = [tag.text() for tag in last.all("li") if "nav-item" in " ".join(tag.classes)]
        assert f"{own[1]} »" in crumbs
        assert not any(words in " ".join(crumbs) for words in other)
        assert [tag.attributes["title"] for tag in last.all("link", rel="prev")] == [own[1]]
        assert [tag.attributes["title"] for tag in page.all("link", rel="next")] == [own[1]]
    anchors = [
        [tag.attributes["id"] for tag in site.body().all("section")] for site in (english, chinese)
    ]
    assert anchors[0] == anchors[1]
    assert anchors[0][0] == "page"
    assert anchors[0][1].startswith("call-step-once")


def top(rst, title):
    """Return the title of a page."""
    return f"{title}\n{20 * '='}\n\n" if rst else f"# {title}\n\n"


def toctree(rst, name):
    """Return the toctree of a page."""
    return f"\n.. toctree::\n\n   {name}\n" if rst else f"\n```{{toctree}}\n{name}\n```\n"


def test_references_in_titles_and_to_captions(both):
    """Both halves of a title resolve their references, and a caption is cited by one half."""
    page = RST + (
        "See :doc:`two` here | 见 :doc:`two` 一页\n----------------------------------------\n\n"
        "Of :ref:`cap`.\n\n关于 :ref:`cap` 。\n\n.. _cap:\n\n.. figure:: a.svg\n   :alt: a | 甲\n\n   Loss | 损失\n"
        "\n.. toctree::\n\n   two\n"
    )
    files = {"index.rst": page, "two.rst": "Two | 二\n==========\n", "a.svg": PICTURE}
    for site, own in zip(both(files), ("Loss", "损失"), strict=True):
        (h2,) = site.body().all("h2")
        assert [a.attributes["href"] for a in h2.all("a") if "headerlink" not in a.classes] == [
            "two.html"
        ] * 2
        (cited,) = {a.text() for a in site.body().all("a", href="#cap")}
        assert cited == own


def test_toctree_titles(both):
    """The caption of a toctree and the titles written into it are in the language of the site."""
    page = RST + ".. toctree::\n   :caption: Parts | 部分\n\n   First | 第一 <a>\n"
    english, chinese = both({"index.rst": page, "a.rst": "A | 甲\n=======\n"})
    assert english.body().text() == "Page 页 Parts First"
    assert chinese.body().text() == "页 Page 部分 第一"


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("index.rst", ".. image:: a.svg\n   :alt: A curve | 一条曲线"),
        ("index.md", "![A curve | 一条曲线](a.svg)"),
        ("index.md", "```{image} a.svg\n:alt: A curve ｜ 一条曲线\n```"),
    ],
)
def test_alternative_texts(both, name, image):
    """An image says what it shows in the language of the site, and a decorative one says nothing."""
    page = (RST if name.endswith("rst") else MYST) + image + "\n"
    for site, alt in zip(
        both({name: page, "a.svg": PICTURE}), ("A curve", "一条曲线"), strict=True
    ):
        assert [tag.attributes["alt"] for tag in site.body().all("img")] == [alt]


def test_nested_sections(both):
    """Pairs are found at every depth of sections."""
    page = MYST + "## A | 甲\n\n### B | 乙\n\nOne.\n\n一。\n\n## C | 丙\n\nTwo.\n\n二。\n"
    english, chinese = both({"index.md": page})
    assert english.body().text(hidden=False) == "Page A B One. C Two."
    assert chinese.body().text(hidden=False) == "页 甲 乙 一。 丙 二。"


def test_solutions_are_folded(both):
    """Each solution of a page is a fold out of the contents; its siblings by another name are not."""
    page = MYST + "".join(
        f"## Exercise {n} | 练习 {n}\n\nDo.\n\n做。\n\n### Solution | 参考答案\n\nDone.\n\n做完了。\n\n"
        for n in (1, 2)
    )
    page += "## Solutions compared | 解法比较\n\nSo.\n\n好。\n"
    english, chinese = both({"index.md": page}, html_sidebars={"**": ["localtoc.html"]})
    for site, own, other, left in (
        (english, "Solution", "参考答案", "Solutions compared"),
        (chinese, "参考答案", "Solution", "解法比较"),
    ):
        folds = site.body().all("details")
        assert [fold.classes for fold in folds] == [["solution"]] * 2
        assert [tag.text(hidden=False) for fold in folds for tag in fold.all("summary")] == [
            own
        ] * 2
        assert [tag.text(hidden=True) for fold in folds for tag in fold.all("summary")] == [
            other
        ] * 2
        assert all("Done." in fold.text() for fold in folds)
        assert all(fold.attributes["id"] for fold in folds)
        (sidebar,) = [tag for tag in site.page().all("div") if "sphinxsidebar" in tag.classes]
        assert [a.text() for a in sidebar.all("a") if a.text() in (own, left)] == [left]


def test_languages_of_a_page(both):
    """A template knows the same page in each language, which one it is, and the absolute address."""
    layout = (
        '{% extends "!layout.html" %}{% block extrahead %}{% for page in bilingual_pages %}'
        '<link hreflang="{{ page.language.tag }}" href="{{ page.href }}" title="{{ page.address }}"'
        ' class="{{ page.current }}">{% endfor %}{% endblock %}'
    )
    files = {
        "index.md": MYST,
        "a/b.md": "---\norphan: true\n---\n# B | 乙\n",
        "_t/layout.html": layout,
    }
    config = {"templates_path": ["_t"], "bilingual_base_url": "https://x.y/kit/"}
    for site, own in zip(both(files, **config), ("en", "zh-CN"), strict=True):
        found = [tag for tag in site.page("a/b").all("link") if "hreflang" in tag.attributes]
        rows = {tag.attributes["hreflang"]: tag.attributes for tag in found}
        assert {tag: row["href"] for tag, row in rows.items()} == {
            "en": "../../en/a/b.html",
            "zh-CN": "../../zh/a/b.html",
        }
        assert rows["zh-CN"]["title"] == "https://x.y/kit/zh/a/b.html"
        assert [tag for tag, row in rows.items() if row["class"] == "True"] == [own]


def test_a_page_that_is_gone(build, tmp_path):
    """The page of a source that was deleted leaves the site with the next build."""
    site = build({"index.md": MYST, "old.md": "---\norphan: true\n---\n# Old | 旧\n"})
    assert site.html("old")
    (tmp_path / "old.md").unlink()
    assert not (build({}).app.outdir / "old.html").exists()


def test_a_role_that_is_used_for_the_first_time(both):
    """A role has no Chinese name in docutils, which says so between the blocks: they pair all the same."""
    page = "Page | 页\n=========\n\nTake :math:`x` here.\n\n这里取 :math:`x`。\n"
    for site, said in zip(both({"index.rst": page}), ("Take x here.", "这里取 x。"), strict=True):
        (paragraph,) = [tag for tag in site.body().all("p") if "bi-other" not in tag.classes]
        assert " ".join(paragraph.text().split()) == said
