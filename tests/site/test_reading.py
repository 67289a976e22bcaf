"""The three reading modes: English, Chinese, both; and the doors that lead to them."""

import re
from urllib.parse import urljoin

import pytest
from playwright.sync_api import TimeoutError as NotInTime
from playwright.sync_api import expect

TAGS = {"en": "en", "zh": "zh-CN"}
LABELS = {"en": "English", "zh": "中文"}
OTHER = {"en": "zh", "zh": "en"}
SWITCH = ".reading-switch {}:visible"

OPEN_FOLDS = "document.querySelectorAll('details').forEach((fold) => { fold.open = true; })"

# Blocks of the other language, shown or not; pictures of the other theme never show.
BLOCKS = """(shown) => [...document.querySelectorAll(".bi-other")]
  .filter((one) => one.checkVisibility() === shown && one.textContent.trim())
  .map((one) => one.textContent.trim().slice(0, 60))"""

SECTIONS = (
    """() => [...document.querySelectorAll("article section section[id]")].map((one) => one.id)"""
)
SHOW_HEADING = "(id) => document.getElementById(id).scrollIntoView({ behavior: 'instant' })"
SOME_OTHER = f"() => ({BLOCKS})(true).length > 0"
NO_OTHER = f"() => ({BLOCKS})(true).length === 0"
HEADING_TOP = """(id) => document.getElementById(id).querySelector("h2, h3, h4").getBoundingClientRect().top
  - document.querySelector("#pst-header").getBoundingClientRect().bottom"""


# What a function of the page measures is as near to a height as is wanted: it comes to it while we wait.
NEAR = "([measure, what, height, most]) => Math.abs(eval(measure)(what) - height) <= most"
# ... or as near as the end of the page allows.
AT_END = "innerHeight + scrollY >= document.documentElement.scrollHeight - 2"
KEPT = f"""([measure, what, height, most]) => {{
  const top = eval(measure)(what);
  return Math.abs(top - height) <= most || ({AT_END} && top > 0 && top < innerHeight);
}}"""


def language_of(address):
    """Return the first folder of an address."""
    return address.partition("/")[0]


def twin(address):
    """Return the same page in the other language."""
    language, _, page = address.partition("/")
    return f"{OTHER[language]}/{page}"


def blocks(page, shown):
    """Return the start of each block of the other language that is shown, or not shown."""
    return page.evaluate(BLOCKS, shown)


def switch(page, part):
    """Return a visible part of the switch: there is one for each width."""
    return page.locator(SWITCH.format(part))


def press(page, part):
    """Press a part of the switch where it is: Playwright's own click scrolls a page with a fixed header."""
    box = switch(page, part).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_switch_keeps_page_and_heading(visit, site, tutorial_sample):
    """The other language opens at the heading that the reader has reached, below the header."""
    for language in LABELS:
        page = visit(f"{language}/auto_examples/{tutorial_sample}.html")
        sections = page.evaluate(SECTIONS)
        heading = sections[len(sections) // 2]
        page.evaluate(SHOW_HEADING, heading)
        press(page, f"[hreflang={TAGS[OTHER[language]]}]")
        page.wait_for_url(
            f"{site.url}{OTHER[language]}/auto_examples/{tutorial_sample}.html#{heading}"
        )
        page.wait_for_function(NEAR, arg=[HEADING_TOP, heading, 74.5, 75.5])


# Every part of a page that an address can name, but its title.
ANCHORS = """() => [...document.querySelectorAll("article section section[id], article :is(details, dt, tr)[id]")]
  .filter((one) => one.checkVisibility()).map((one) => one.id)"""
TOP = "(id) => document.getElementById(id).getBoundingClientRect().top"
BLOCK_TOP = """([seen, number]) => [...document.querySelectorAll(seen)][number].getBoundingClientRect().top"""


@pytest.mark.parametrize(
    "name",
    [
        *(
            "reference/checkpoint",
            "reference/inspection",
            "reference/errors",
            "glossary",
            "coverage",
        ),
        *("auto_examples/plot_05_step", "auto_examples/plot_12_resume"),
    ],
)
def test_switch_keeps_every_anchor(visit, site, at_rest, name):
    """Whoever came to a function, a term, an item or a heading is at it in the other language."""
    page = visit(f"en/{name}.html")
    anchors = page.evaluate(ANCHORS)
    lost = []
    for anchor in anchors[:: max(1, len(anchors) // 4)]:
        page.goto(f"{site.url}en/{name}.html#{anchor}")
        at_rest(page)
        before = page.evaluate(TOP, anchor)
        # Where the page ends, it is another block that stands at the top and keeps its height.
        most = 100 if page.evaluate(f"() => {AT_END}") else 8
        press(page, "[hreflang=zh-CN]")
        page.wait_for_url(f"{site.url}zh/{name}.html*#*")
        try:
            page.wait_for_function(KEPT, arg=[TOP, anchor, before, most], timeout=5_000)
        except NotInTime:
            lost.append((anchor, before, page.evaluate(TOP, anchor)))
        if not page.url.endswith(f"#{anchor}"):
            lost.append((anchor, page.url))
    assert lost == []


@pytest.mark.parametrize(
    ("name", "block"),
    [
        *(("promises", "tr"), ("start", "tr"), ("start", "pre"), ("glossary", "dd")),
        *(("reference/groups", "li"), ("reference/groups", "dd"), ("reference/groups", "pre")),
    ],
)
def test_switch_keeps_the_block_that_is_read(visit, site, at_rest, name, block):
    """A row, an item, a piece of code or a definition stays where it was, though no address names it."""
    page = visit(f"en/{name}.html", viewport={"width": 900, "height": 500})
    seen = f"article {block}:not(.bi-other, .bi-other *)"
    number = page.locator(seen).count() * 2 // 3
    page.locator(seen).nth(number).evaluate("one => one.scrollIntoView({ behavior: 'instant' })")
    at_rest(page)
    before = page.evaluate(BLOCK_TOP, [seen, number])
    press(page, "[hreflang=zh-CN]")
    page.wait_for_url(re.compile(rf"{site.url}zh/{name}\.html"))
    page.wait_for_function(KEPT, arg=[BLOCK_TOP, [seen, number], before, 4])


def test_switch_keeps_page(visit, site, at_rest, kind_of_page):
    """At the top of a page the other language opens at the top of the same page, on a phone too."""
    page = visit(kind_of_page, viewport={"width": 375, "height": 800})
    press(page, f"[hreflang={TAGS[OTHER[language_of(kind_of_page)]]}]")
    page.wait_for_url(f"{site.url}{twin(kind_of_page)}")
    at_rest(page)
    assert page.evaluate("scrollY") == 0


def test_switch_is_labelled_in_its_own_language(still, address):
    """Each label of the switch is in the language that it leads to, and says so."""
    page = still(address)
    own = language_of(address)
    for language, tag in TAGS.items():
        link = switch(page, f"[hreflang={tag}]")
        assert link.inner_text() == LABELS[language]
        assert link.get_attribute("lang") == tag
        assert link.get_attribute("aria-current") == ("true" if language == own else None)


def test_page_names_its_other_language(site, address):
    """The head of a page names the page in each language and a default, and those pages say the same."""
    text = site.text(address)
    found = dict(re.findall(r'<link rel="alternate" hreflang="([^"]+)" href="([^"]+)"', text))
    there = {tag: urljoin(site.url + address, href) for tag, href in found.items()}
    pages = {
        tag: f"{site.url}{language}/{address.partition('/')[2]}" for language, tag in TAGS.items()
    }
    assert there == pages | {"x-default": pages["en"]}
    for tag, url in pages.items():
        assert f'<html lang="{tag}"' in site.text(url.removeprefix(site.url))


def test_one_language_without_scripts(still, article):
    """Without scripts a reader of one language meets no block of the other, and no dead button.

    There are such blocks, each marked with its language, and all of them show when the page is told so.
    """
    page = still(article)
    assert blocks(page, shown=True) == []
    assert page.locator(SWITCH.format("button")).count() == 0
    hidden = page.locator(".bi-other").count()
    assert hidden > 0
    other = TAGS[OTHER[language_of(article)]]
    assert page.locator(f".bi-other:not([lang={other}])").count() == 0
    page.evaluate(OPEN_FOLDS)
    page.evaluate("document.documentElement.dataset.reading = 'both'")
    assert blocks(page, shown=False) == []
    assert len(blocks(page, shown=True)) == hidden
    page.evaluate("document.documentElement.dataset.reading = 'one'")


def test_one_language_then_both(visit, kind_of_page):
    """A reader meets no block of the other language, then, at the press of a button, every one."""
    page = visit(kind_of_page)
    assert blocks(page, shown=True) == []
    hidden = page.locator(".bi-other").count()
    press(page, "button")
    expect(switch(page, "button")).to_have_attribute("aria-pressed", "true")
    page.evaluate(OPEN_FOLDS)
    assert blocks(page, shown=False) == []
    assert len(blocks(page, shown=True)) == hidden


def test_both_shows_every_card(visit):
    """The list of tutorials has a Chinese lead on each English card, and the other way round."""
    for language in LABELS:
        page = visit(f"{language}/auto_examples/index.html")
        cards = page.locator(".tutorial-card").count()
        assert cards > 0
        assert page.locator(".tutorial-card:has(.bi-other)").count() == cards


def test_both_is_remembered(visit, site, tutorial_sample):
    """Both stays on the next page, in the other language and after a reload, until it is switched off."""
    page = visit(f"en/auto_examples/{tutorial_sample}.html")
    press(page, "button")
    page.locator(".prev-next-area a").first.click()
    page.wait_for_url(
        lambda url: not url.startswith(f"{site.url}en/auto_examples/{tutorial_sample}.html")
    )
    page.wait_for_function(SOME_OTHER)
    press(page, "[hreflang=zh-CN]")
    page.wait_for_url(f"{site.url}zh/**")
    page.wait_for_function(SOME_OTHER)
    page.reload()
    page.wait_for_function(SOME_OTHER)
    press(page, "button")
    page.wait_for_function(NO_OTHER)
    page.reload()
    page.wait_for_function(NO_OTHER)


def test_both_keeps_the_place(visit, at_rest, tutorial_sample):
    """What the reader looks at stays where it is while blocks appear above it, and go again."""
    page = visit(f"en/auto_examples/{tutorial_sample}.html")
    sections = page.evaluate(SECTIONS)
    heading = sections[len(sections) // 2]
    page.evaluate(SHOW_HEADING, heading)
    at_rest(page)
    before = page.evaluate(HEADING_TOP, heading)
    for shown in (SOME_OTHER, NO_OTHER):
        press(page, "button")
        page.wait_for_function(shown)
        page.wait_for_function(NEAR, arg=[HEADING_TOP, heading, before, 30])


def test_link_into_a_solution_opens_it(visit, tutorial_sample):
    """A folded solution is closed, and a link to it opens it."""
    page = visit(f"zh/auto_examples/{tutorial_sample}.html")
    folds = page.locator("details.solution")
    expect(folds).not_to_have_count(0)
    expect(page.locator("details.solution[open]")).to_have_count(0)
    name = folds.last.get_attribute("id")
    page = visit(f"zh/auto_examples/{tutorial_sample}.html#{name}")
    page.locator(f"details#{name}[open] > :nth-child(2)").wait_for()


@pytest.mark.parametrize(
    ("locale", "language"), [("zh-CN", "zh"), ("zh-TW", "zh"), ("en-US", "en"), ("fr-FR", "en")]
)
def test_root_goes_to_the_language_of_the_browser(visit, site, locale, language):
    """The root leads a new reader to the language of the browser, and to English if it has neither."""
    page = visit("", locale=locale)
    page.wait_for_url(f"{site.url}{language}/index.html")


@pytest.mark.parametrize("language", LABELS)
def test_root_goes_to_the_choice_of_the_last_visit(visit, site, language):
    """A reader who once chose a language is led to it, whatever the browser speaks."""
    page = visit(f"{OTHER[language]}/index.html", locale=TAGS[OTHER[language]])
    press(page, f"[hreflang={TAGS[language]}]")
    page.wait_for_url(f"{site.url}{language}/index.html")
    page.goto(site.url)
    page.wait_for_url(f"{site.url}{language}/index.html")


def test_root_works_without_scripts(visit, site):
    """Without scripts the root has a link to each language, labelled in it."""
    page = visit("", java_script_enabled=False)
    links = page.locator("a")
    assert [links.nth(n).inner_text() for n in range(links.count())] == list(LABELS.values())
    for n, (language, tag) in enumerate(TAGS.items()):
        assert links.nth(n).get_attribute("lang") == tag
        assert (
            urljoin(page.url, links.nth(n).get_attribute("href"))
            == f"{site.url}{language}/index.html"
        )


@pytest.mark.parametrize("wrong", ["nowhere", "zh/nowhere", "en/auto_examples/not/here.html"])
def test_wrong_address_leads_home(visit, site, wrong, troubles):
    """The page for a wrong address, at any depth, links to the start of each language."""
    page = visit(wrong)
    assert [one for one in troubles if not one.endswith(f"{site.url}{wrong}")] == []
    assert f"404: {site.url}{wrong}" in troubles
    troubles.clear()
    expect(page.locator("main")).to_contain_text("这个地址没有页面")
    for language, label in LABELS.items():
        link = page.get_by_role("link", name=label)
        expect(link).to_have_js_property("href", f"{site.url}{language}/index.html")


@pytest.mark.parametrize("language", LABELS)
def test_site_opens_from_a_folder(visit, site, language):
    """Opened as a file, a page is styled and read, its languages switch, and search finds."""
    home = f"{site.root.as_uri()}/"
    address = f"{language}/auto_examples/index.html"
    page = visit(address, home=home)
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("article")).to_have_css("font-family", re.compile("^system-ui"))
    page.wait_for_function(NO_OTHER)
    press(page, "button")
    page.wait_for_function(SOME_OTHER)
    page.keyboard.press("Control+k")
    page.keyboard.type("Adam")
    page.locator("#pst-search-dialog .search-results a").first.wait_for()
    page.keyboard.press("Escape")
    press(page, f"[hreflang={TAGS[OTHER[language]]}]")
    page.wait_for_url(f"{home}{twin(address)}")
    page.wait_for_function(SOME_OTHER)


def test_root_opens_from_a_folder(visit, site):
    """Opened as a file, the root leads to a language too."""
    home = f"{site.root.as_uri()}/"
    page = visit("index.html", home=home, locale="zh-CN")
    page.wait_for_url(f"{home}zh/index.html")
