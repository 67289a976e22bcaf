"""What the search box looks through: parts of pages, in one language, prose apart from code."""

import json
from pathlib import Path

PAGE = """# Page | 页

The *first* line
goes on. Maths $x^2$ is left out.

第一行，
接着写。

```python
learning_rate = max(1, 2)  # a comment
```

## Part `f()` | 第 `f()` 节

One, `code` too.

一，还有 `代码`。

```{eval-rst}
.. py:function:: step(rate)

   How far.
```

## Answers | 答案

Yes.

对。

```{toctree}
other
```
"""
OTHER = "---\nnosearch: true\n---\n\n# Other | 其他\n\nAll.\n\n全部。\n\n## Part | 节\n\n1 | 一\n"
CATALOG = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "How far."
msgstr "走多远。"
"""
QUESTIONS = """
[words]
zh = { lr = "学习率" }

[index]
en = ["Why?"]
zh = ["为什么？"]

["index#step"]
zh = ["怎么走"]
"""
FILES = {"index.md": PAGE, "other.md": OTHER, "locale/zh_CN/LC_MESSAGES/index.po": CATALOG}


def index(site):
    """Return the index of a site."""
    script = Path(site.app.outdir, "_static", "search-index.js").read_text("utf-8")
    return json.loads(script.removeprefix("window.searchIndex=").removesuffix(";"))


def test_sections(both):
    """Each part that a link can lead to has its anchor, its title, its prose, but no answer."""
    files = FILES | {"questions.toml": QUESTIONS}
    extensions = ["myst_parser", "bilingual", "mathml", "sphinx.ext.autodoc"]
    english, chinese = map(index, both(files, extensions=extensions, locale_dirs=["locale"]))
    assert english["pages"] == [["index.html", "Page"]]
    assert english["sections"] == [
        [0, "", "Page", "The first line goes on. Maths is left out.", ["Why?"]],
        [0, "part-f-f", "Part f()", "One, code too.", []],
        [0, "step", "step", "How far.", []],
    ]
    assert chinese["pages"] == [["index.html", "页"]]
    assert [section[2:] for section in chinese["sections"]] == [
        ["页", "第一行，接着写。", ["为什么？"]],
        ["第 f() 节", "一，还有 代码。", []],
        ["step", "走多远。", ["怎么走"]],
    ]
    assert chinese["names"]["lr"] == "学习率"
    assert "lr" not in english["names"]


def test_a_page_of_other_pages_words_is_found_by_its_questions_alone(both):
    """Of a page that is left out, the top is in the index if somebody asks for it."""
    files = FILES | {"questions.toml": '[other]\nen = ["All of it?"]\n'}
    extensions = ["myst_parser", "bilingual", "mathml", "sphinx.ext.autodoc"]
    english, _ = map(index, both(files, extensions=extensions, locale_dirs=["locale"]))
    assert english["pages"] == [["index.html", "Page"], ["other.html", "Other"]]
    assert english["sections"][3:] == [[1, "", "Other", "All.", ["All of it?"]]]


def test_traditional_characters(both):
    """The index says which simplified character of its own a traditional one stands for, and no other."""
    _, chinese = both({"index.md": "# Rate | 学习率\n\nHow far.\n\n走多远。\n"})
    folds = index(chinese)["folds"]
    assert {"學学", "習习", "遠远"} <= {folds[i : i + 2] for i in range(0, len(folds), 2)}
    assert "優" not in folds


def test_questions_that_no_page_answers(build):
    """Questions of a page or an anchor that is not there are a warning with its name."""
    questions = '[gone]\nen = ["Why?"]\n\n["index#no"]\nen = ["Why?"]\n'
    said = build({"index.md": "# Page | 页\n", "questions.toml": questions}).warnings
    assert sorted(said) == [
        f"WARNING: questions.toml: there is no {target} to answer its questions"
        for target in ("gone", "index#no")
    ]
