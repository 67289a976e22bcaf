"""Search finds, among the first three, the page that answers what a learner types."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

DESCENT = "auto_examples/plot_01_gradient_descent"
ATTRIBUTES = "auto_examples/plot_03_attributes"
CLEARING = "auto_examples/plot_04_zero_grad"
STEP = "auto_examples/plot_05_step"
TUTORIALS = "auto_examples/index"
GROUPS = "reference/groups"

QUERIES = {
    "en": [
        ("learning rate too large", DESCENT),
        ("why does training diverge", DESCENT),
        ("gradient descent from scratch", DESCENT),
        ("what is an optimizer", DESCENT),
        ("curvature", DESCENT),
        ("loss goes to infinity", DESCENT),
        ("mini-batch", DESCENT),
        ("can't optimize a non-leaf Tensor", DESCENT),
        ("param_groups", ATTRIBUTES, GROUPS),
        ("optimizer defaults", ATTRIBUTES),
        ("optimizer state", ATTRIBUTES),
        ("change learning rate during training", ATTRIBUTES, GROUPS),
        ("state is empty", ATTRIBUTES),
        ("exp_avg", ATTRIBUTES, STEP),
        ("which optimizer needs most memory", ATTRIBUTES),
        ("zero_grad", CLEARING),
        ("why zero the gradients", CLEARING),
        ("gradients accumulate", CLEARING),
        ("gradient accumulation", CLEARING),
        ("set_to_none", CLEARING),
        ("when to call zero_grad", CLEARING),
        ("grad is None", CLEARING, STEP),
        ("optimizer.step()", STEP),
        ("bias correction", STEP),
        ("momentum buffer", STEP, ATTRIBUTES),
        ("Adam first step", STEP),
        ("write Adam by hand", STEP),
        ("Adagrad RMSprop", STEP, ATTRIBUTES),
        ("weight.data", STEP),
        ("exponential moving average", STEP),
        ("all tutorials", TUTORIALS),
        ("parameter groups", GROUPS, ATTRIBUTES),
        ("weight decay on bias", GROUPS),
    ],
    "zh": [
        ("学习率太大", DESCENT),
        ("训练发散", DESCENT),
        ("梯度下降", DESCENT),
        ("什么是优化器", DESCENT),
        ("从零写梯度下降", DESCENT),
        ("曲率", DESCENT),
        ("小批量", DESCENT, CLEARING),
        ("学习率多大合适", DESCENT),
        ("参数组", ATTRIBUTES, GROUPS),
        ("优化器的属性", ATTRIBUTES),
        ("优化器状态", ATTRIBUTES),
        ("训练中途改学习率", ATTRIBUTES, GROUPS),
        ("defaults 有什么用", ATTRIBUTES),
        ("state 是空的", ATTRIBUTES),
        ("param_groups", ATTRIBUTES, GROUPS),
        ("梯度清零", CLEARING),
        ("为什么要清空梯度", CLEARING),
        ("zero_grad", CLEARING),
        ("梯度累加", CLEARING),
        ("梯度累积", CLEARING),
        ("set_to_none", CLEARING),
        ("忘记清零", CLEARING),
        ("梯度为 None", CLEARING, STEP),
        ("偏差修正", STEP),
        ("动量缓冲区", STEP, ATTRIBUTES),
        ("Adam 的第一步", STEP),
        ("手写 Adam", STEP),
        ("指数移动平均", STEP),
        ("没有梯度就不更新", STEP),
        ("自适应学习率", STEP),
        ("一阶矩", STEP),
        ("教程", TUTORIALS),
        ("参数分组", GROUPS, ATTRIBUTES),
        ("偏置不做权重衰减", GROUPS),
    ],
}
LEAST = {"en": 24, "zh": 24}
NONE = {"en": "Nothing found", "zh": "没有找到"}

# The words of an article that it shows, and those that are hidden until a reader asks for both.
WORDS = """(language) => {
  const split = new Intl.Segmenter(language, { granularity: "word" });
  const words = (text) => [...split.segment(text)].filter((one) => one.isWordLike).map((one) => one.segment);
  const page = document.querySelector("article").cloneNode(true);
  const hidden = [...page.querySelectorAll(".bi-other")];
  const other = hidden.flatMap((one) => words(one.textContent));
  for (const one of hidden) one.remove();
  return [page.textContent.toLowerCase(), other.map((word) => word.toLowerCase())];
}"""


class Search:
    """The theme's search dialog, used as a reader uses it, with the clock in our hands.

    The site answers when the reader pauses. On a slow machine the time between two keys is a pause
    too, and the answer to half a query comes in between: so time stands still while keys are typed.
    """

    def __init__(self, page):
        self.page = page
        self.box = page.locator("#pst-search-dialog")
        self.input = self.box.locator("input")
        self.results = self.box.locator(".search-results a")
        self.status = self.box.locator(".search-status")

    def type(self, query):
        """Type a query and wait for its answer."""
        self.input.fill("")
        self.page.clock.run_for(1000)
        self.page.wait_for_function(
            "!document.querySelector('#pst-search-dialog :is(.search-results a, .search-status:not(:empty))')"
        )
        self.page.keyboard.type(query)
        self.page.clock.run_for(1000)
        self.box.locator(".search-results a, .search-status:not(:empty)").first.wait_for()

    def pages(self, query):
        """Return the pages found for a query, best first."""
        self.type(query)
        addresses = [
            self.results.nth(n).evaluate("one => one.href") for n in range(self.results.count())
        ]
        paths = [re.search(r"/(?:en|zh)/([^#?]*)", address)[1] for address in addresses]
        return [re.sub(r"(^|/)$", r"\1index", path.removesuffix(".html")) for path in paths]


@pytest.fixture
def search(visit):
    """Open the dialog on a page of the site."""

    def search(language, how="key", where="index.html"):
        page = visit(f"{language}/{where}")
        page.clock.install()
        if how == "key":
            page.keyboard.press("Control+k")
        else:
            page.locator(".search-button__button:visible").first.click()
        found = Search(page)
        found.input.wait_for()
        page.clock.pause_at(4102444800)
        return found

    return search


@pytest.mark.parametrize("language", QUERIES)
def test_queries_find_their_page(search, site, language):
    """At least 95 of 100 queries find their page among the first three results."""
    misses, asked = [], 0
    dialog = search(language)
    for query, *wanted in QUERIES[language]:
        if not any((site.root / language / f"{page}.html").exists() for page in wanted):
            continue
        asked += 1
        found = dialog.pages(query)[:3]
        if not set(found) & set(wanted):
            misses.append(f"{query}: {[Path(page).name for page in found]}, not {wanted}")
    assert asked >= LEAST[language]
    assert len(misses) <= 0.05 * asked, "\n".join([f"{len(misses)} of {asked} missed", *misses])


@pytest.mark.parametrize("language", QUERIES)
def test_nothing_found_is_said(search, language):
    """A query without a result is answered in the page's language, and the query is repeated."""
    dialog = search(language)
    dialog.type("qwxzqwxz")
    assert dialog.results.count() == 0
    assert dialog.status.inner_text().startswith(NONE[language])
    assert "qwxzqwxz" in dialog.status.inner_text()


@pytest.mark.parametrize("language", QUERIES)
def test_other_language_is_not_found(search, visit, site, language):
    """A word that a site has only in the blocks of the other language is not in its index."""
    shown, hidden = "", set()
    for path in sorted((site.root / language / "auto_examples").glob("plot_*.html")):
        page = visit(f"{language}/auto_examples/{path.name}", java_script_enabled=False)
        text, words = page.evaluate(WORDS, {"en": "zh", "zh": "en"}[language])
        shown += text
        hidden |= set(words)
    foreign = re.compile({"en": "[\u4e00-\u9fff]{2,}", "zh": "[a-z]{5,}"}[language])
    only = sorted(word for word in hidden if foreign.fullmatch(word) and word not in shown)
    assert len(only) > 50
    dialog = search(language)
    for word in only[:: len(only) // 10]:
        dialog.type(word)
        # Pagefind answers a word that it does not have with the longest beginning that it has.
        marked = dialog.results.locator("mark").all_inner_texts()
        assert [found for found in marked if word in found.lower()] == []


def test_dialog_opens_on_every_page(search, article):
    """The dialog opens from every page, by its button as by its keys, and finds from there."""
    language, _, where = article.partition("/")
    for how in ("key", "button"):
        dialog = search(language, how=how, where=where)
        assert CLEARING in dialog.pages("zero_grad")


@pytest.mark.parametrize("language", QUERIES)
def test_dialog_is_accessible(search, violations, language):
    """The dialog with its results, and with none, breaks no rule of accessibility."""
    dialog = search(language)
    for query in ("Adam", "qwxzqwxz"):
        dialog.type(query)
        dialog.page.clock.resume()
        assert violations(dialog.page) == []


@pytest.mark.parametrize("language", QUERIES)
def test_arrow_keys(search, language):
    """Down goes from the box to the first result and the next, up goes back as far as the box."""
    dialog = search(language)
    dialog.type("Adam")
    assert dialog.results.count() > 1
    down = [dialog.results.nth(0), dialog.results.nth(1)]
    for key, focused in zip(
        ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"),
        (*down, down[0], dialog.input),
        strict=True,
    ):
        dialog.page.keyboard.press(key)
        expect(focused).to_be_focused()


@pytest.mark.parametrize("language", QUERIES)
def test_enter_goes_to_the_first_result(search, language):
    """Enter in the box opens the first result, at the heading that it names."""
    dialog = search(language)
    dialog.type("zero_grad")
    first = dialog.results.first.evaluate("one => one.href")
    dialog.page.keyboard.press("Enter")
    dialog.page.wait_for_url(first)


@pytest.mark.parametrize("language", QUERIES)
def test_results_lead_to_headings(search, site, language):
    """Each result names a heading that is there, and shows words around what was typed."""
    dialog = search(language)
    dialog.type("momentum")
    for n in range(dialog.results.count()):
        result = dialog.results.nth(n)
        path, _, anchor = result.evaluate("one => one.href").removeprefix(site.url).partition("#")
        assert site.fetch(path)[0] == 200
        assert not anchor or anchor in site.ids(path)
        assert "momentum" in result.locator("mark").first.inner_text().lower()


@pytest.mark.parametrize("language", QUERIES)
def test_search_page_answers_its_address(visit, language):
    """The search page answers the query in its address, and the keys lead into its own box."""
    page = visit(f"{language}/search.html?q=zero_grad")
    first = page.locator("article .search-results a").first
    first.wait_for()
    assert "plot_04_zero_grad" in first.evaluate("one => one.href")
    page.keyboard.press("Control+k")
    expect(page.locator("article input[name=q]")).to_be_focused()
    expect(page.locator("article input[name=q]")).to_have_value("zero_grad")
