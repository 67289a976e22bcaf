"""Search finds, among the first three, the page that answers what a learner types."""

import gzip
import re
import tomllib
from pathlib import Path

import pytest
from playwright.sync_api import expect

CLEARING = "auto_examples/plot_04_zero_grad"
ERRORS = Path(__file__).parents[2] / "docs" / "errors"
CODES = Path(__file__).parents[2] / "src" / "optimkit" / "_codes"
QUERIES = tomllib.loads(Path(__file__).with_name("queries.toml").read_text("utf-8"))
"""What learners type, by language and by who wrote it, with the pages or parts of pages that answer it."""
TRANSLATED = {"en": ("梯度累积", CLEARING), "zh": ("gradient accumulation", CLEARING)}
"""A term of the glossary in the other site's language, and the page that is about it."""
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


# The words of prose that a page shows.
SHOWN = """() => {
  const page = document.querySelector("article").cloneNode(true);
  for (const one of page.querySelectorAll(".bi-other, pre, .tutorial-card")) one.remove();
  return page.textContent;
}"""


# Takes the last answer away, so that the next one can be waited for.
EMPTY = """(box) => {
  box.querySelector(".search-results").replaceChildren();
  box.querySelector(".search-status").textContent = "";
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

    def type(self, query, key_by_key=True):
        """Type a query, or paste it, and wait for its answer."""
        self.box.evaluate(EMPTY)
        self.input.fill("" if key_by_key else query)
        if key_by_key:
            self.page.keyboard.type(query)
        self.page.clock.run_for(1000)
        self.box.locator(".search-results a, .search-status:not(:empty)").first.wait_for()

    def pages(self, query):
        """Return the pages found for a query, best first."""
        self.type(query)
        return [target.partition("#")[0] for target in self.targets()]

    def targets(self):
        """Return what the results lead to, best first: a page, or a page and an anchor."""
        addresses = self.results.evaluate_all("all => all.map((one) => one.href)")
        parts = [re.search(r"/(?:en|zh)/([^#?]*)(#.*)?", address) for address in addresses]
        return [
            re.sub(r"(^|/)$", r"\1index", part[1].removesuffix(".html")) + (part[2] or "")
            for part in parts
        ]


@pytest.fixture
def search(visit, site):
    """Open the dialog on a page of the site."""

    def search(language, where="index.html"):
        page = visit(f"{language}/{where}")
        page.keyboard.press("Control+k")
        found = Search(page)
        found.input.wait_for()
        page.wait_for_function("window.searchIndex")
        page.clock.install()
        page.clock.pause_at(4102444800)
        return found

    return search


def answers(site, language):
    """Return each query of a language, with the targets that answer it, and check that these are there."""
    pages = {
        path.relative_to(site.root / language).with_suffix("").as_posix()
        for path in (site.root / language).rglob("*.html")
    }
    tutorials = {page[19:21]: page for page in pages if page.startswith("auto_examples/plot_")}
    found = {}
    for kind in ("learners", "fresh", "threads", "topics"):
        for query, targets in QUERIES[language][kind].items():
            found[query] = {tutorials.get(target, target) for target in targets}
    gone = {
        target
        for target in set().union(*found.values())
        if (page := target.partition("#")[0]) not in pages
        or ("#" in target and target.partition("#")[2] not in site.ids(f"{language}/{page}.html"))
    }
    assert not gone
    return found


@pytest.mark.parametrize("language", QUERIES)
def test_queries_find_their_page(search, site, language):
    """At least 95 of 100 queries find what answers them among the first three results."""
    misses, asked = [], answers(site, language)
    assert len(asked) >= 200
    dialog = search(language)
    for query, wanted in asked.items():
        dialog.type(query, key_by_key=False)
        found = dialog.targets()[:3]
        if wanted.isdisjoint({*found, *(target.partition("#")[0] for target in found)}):
            misses.append(f"{query}: {found}, not {sorted(wanted)}")
    assert len(misses) <= 0.05 * len(asked), "\n".join(
        [f"{len(misses)} of {len(asked)} missed", *misses]
    )


@pytest.mark.parametrize("language", QUERIES)
def test_terms_of_the_other_language_find_their_page(search, language):
    """A term typed in the other language finds what the glossary calls it here."""
    query, wanted = TRANSLATED[language]
    assert wanted in search(language).pages(query)[:3]


@pytest.mark.parametrize("language", QUERIES)
def test_nothing_found_is_said(search, language):
    """A query without a result is answered in the page's language, and the query is repeated."""
    dialog = search(language)
    dialog.type("qwxzqwxz")
    expect(dialog.results).to_have_count(0)
    expect(dialog.status).to_have_text(re.compile(f"^{NONE[language]}.*qwxzqwxz"))


@pytest.mark.parametrize("language", QUERIES)
def test_other_language_is_not_found(search, still, site, language):
    """A word that a site has only in the blocks of the other language is not in its index."""
    shown, hidden = "", set()
    for path in sorted((site.root / language).rglob("*.html")):
        if path.name == "search.html":
            continue
        address = path.relative_to(site.root).as_posix()
        text, words = still(address).evaluate(WORDS, {"en": "zh", "zh": "en"}[language])
        shown += text
        hidden |= set(words)
    foreign = re.compile({"en": "[\u4e00-\u9fff]{2,}", "zh": "[a-z]{5,}"}[language])
    only = sorted(word for word in hidden if foreign.fullmatch(word) and word not in shown)
    assert len(only) > 50
    dialog = search(language)
    for word in only[:: len(only) // 10]:
        dialog.type(word)
        marked = dialog.results.locator("mark").all_inner_texts()
        assert [found for found in marked if word in found.lower()] == []


def test_dialog_opens_on_each_kind_of_page(search, kind_of_page):
    """The dialog opens from each kind of page, by its button as by its keys, and finds from there."""
    language, _, where = kind_of_page.partition("/")
    dialog = search(language, where=where)
    assert CLEARING in dialog.pages("zero_grad")
    dialog.page.keyboard.press("Escape")
    expect(dialog.box).to_be_hidden()
    dialog.page.locator(".search-button__button:visible").first.click()
    expect(dialog.input).to_be_visible()
    assert CLEARING in dialog.pages("zero_grad")


@pytest.mark.parametrize("language", QUERIES)
def test_dialog_is_accessible(search, violations, language):
    """The dialog with its results, and with none, breaks no rule of accessibility."""
    dialog = search(language)
    for query in ("Adam", "qwxzqwxz"):
        dialog.type(query)
        dialog.page.clock.resume()
        assert violations(dialog.page) == []


# The dialog has the colour of the page, and nothing shines through.
PAINTED = """() => {
  const [own, page] = ["#pst-search-dialog", "body"]
    .map((one) => getComputedStyle(document.querySelector(one)).backgroundColor);
  return own === page && own.startsWith("rgb(");
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", QUERIES)
def test_dialog_hides_the_page_behind_it(search, language, theme):
    """The dialog paints its whole box: a pixel of it is not the dimmed page's."""
    dialog = search(language)
    dialog.page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    dialog.type("Adam")
    dialog.page.wait_for_function(PAINTED)


@pytest.mark.parametrize("language", QUERIES)
def test_arrow_keys(search, language):
    """Down goes from the box to the first result and the next, up goes back as far as the box."""
    dialog = search(language)
    dialog.type("Adam")
    expect(dialog.results.nth(1)).to_be_visible()
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
def test_excerpts_have_whole_words(search, language):
    """What is shown of a section begins and ends between words."""
    dialog = search(language)
    prose = dialog.page.evaluate("window.searchIndex.sections.map((one) => one[3]).join('\\n')")
    for query in ("freeze", "scheduler", "param_groups", "learning rate"):
        dialog.type(query)
        for shown in dialog.results.locator("span").all_text_contents():
            words = re.escape(shown.removeprefix("… ").removesuffix(" …").strip())
            inside = r"(?<=[a-zA-Z_])(?=[a-zA-Z_])"
            assert re.search(f"(?!{inside}){words}(?!{inside})", prose), shown


@pytest.mark.parametrize("language", QUERIES)
def test_results_lead_to_sections(search, site, language):
    """Nearly all results name a section that is there, in the reader's language, with words of prose."""
    dialog = search(language)
    foreign = re.compile({"en": "[\u4e00-\u9fff]", "zh": "$^"}[language])
    anchors = []
    for query in ("momentum", "param_groups", "Adam", "scheduler.step", "checkpoint"):
        dialog.type(query)
        for result in dialog.results.all():
            address = result.evaluate("one => one.href").removeprefix(site.url)
            path, _, anchor = address.partition("#")
            anchors.append(anchor)
            assert site.fetch(path)[0] == 200
            assert not anchor or anchor in site.ids(path), address
            title = result.locator("strong").inner_text()
            assert not title.endswith("#")
            assert not foreign.search(title)
            assert not re.search(
                r"plt\.|print\(|>>> |assert .*==", result.locator("span").inner_text()
            )
    assert sum(map(bool, anchors)) >= 0.9 * len(anchors)


@pytest.mark.parametrize(
    "word",
    [
        "归一化",
        "校验和",
        "校验",
        "索引",
        "优化器",
        "预热",
        "断点续训",
        "权重衰减",
        "原子",
        "學習率",
        "優化器",
    ],
)
def test_words_that_stand_on_a_page_are_found(search, still, site, word):
    """A Chinese word that is on a page is found, whole, and no message says anything else."""
    folded = {"學習率": "学习率", "優化器": "优化器"}.get(word, word)
    pages = [path.relative_to(site.root / "zh") for path in (site.root / "zh").rglob("*.html")]
    texts = {
        page.with_suffix("").as_posix(): still(f"zh/{page.as_posix()}").evaluate(SHOWN)
        for page in pages
        if page.stem not in ("coverage", "genindex", "search")
    }
    having = {page for page, text in texts.items() if folded in text}
    dialog = search("zh")
    found = dialog.pages(word)
    assert set(found[:3]) & having or not having
    expect(dialog.status).to_have_text("" if having else f"没有找到 “{word}”")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("optimzer", "optimizer"),
        ("learnig rate schedular", "scheduler"),
        ("add_parm_group", "add_param_group"),
    ],
)
def test_a_slip_of_the_keys_is_forgiven(search, typed, meant):
    """A word with a letter too few finds what was meant, and is not said to be there."""
    dialog = search("en")
    dialog.type(typed)
    expect(dialog.results.first).to_contain_text(meant, ignore_case=True)
    expect(dialog.status).to_have_text("Closest matches")


@pytest.mark.parametrize("language", QUERIES)
def test_index_is_light(site, language):
    """What one query loads is at most 120 kB compressed."""
    assert len(gzip.compress(site.fetch(f"{language}/_static/search-index.js")[1])) <= 120_000


@pytest.mark.parametrize("language", QUERIES)
def test_search_page_answers_its_address(visit, language):
    """The search page answers the query in its address, and the keys lead into its own box."""
    page = visit(f"{language}/search.html?q=zero_grad")
    first = page.locator("article .search-results li").first
    expect(first.locator("a[href*=plot_04_zero_grad]")).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.locator("article input[name=q]")).to_be_focused()
    expect(page.locator("article input[name=q]")).to_have_value("zero_grad")


def pasted():
    """Return the messages of torch that have an entry, each with the title of its entry."""
    found = []
    for page in sorted(ERRORS.glob("*.md")):
        for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            title, text = section.split("\n", 1)
            for message in re.findall(r"^```text\n(.+)", text, flags=re.MULTILINE)[:1]:
                found.append((message, title.strip("` ")))
    return found


@pytest.mark.parametrize("language", QUERIES)
def test_a_message_of_torch_leads_to_its_entry(search, language):
    """Whoever pastes an error or a warning of torch.optim finds its entry first."""
    dialog = search(language)
    misses = []
    messages = pasted()[::6]
    assert len(messages) >= 20
    for message, title in messages:
        dialog.type(message)
        first = dialog.results.first.inner_text()
        if title not in first:
            misses.append(f"{message}: {first}")
    assert not misses, "\n".join(misses)


@pytest.mark.parametrize("language", QUERIES)
def test_a_code_of_audit_leads_to_its_entry(search, language):
    """Whoever types a code that audit has printed finds its entry among the first three."""
    dialog = search(language)
    misses = []
    for page in sorted(CODES.glob("*.md")):
        for code in re.findall(r"^## `(.+)`$", page.read_text("utf-8"), flags=re.MULTILINE)[::3]:
            dialog.type(code)
            found = dialog.results.evaluate_all("all => all.slice(0, 3).map((one) => one.href)")
            if not any(url.endswith(f"/audit/{page.stem}.html#{code}") for url in found):
                misses.append(f"{code}: {found}")
    assert not misses, "\n".join(misses)
