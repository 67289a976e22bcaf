"""Every page, in every language, theme and width, is whole and can be read by everyone."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))[
    "project"
]
HAN = re.compile(r"[\u4e00-\u9fff]")
WORD = re.compile(r"[A-Za-z]{2,}")
THEMES = ("light", "dark")
LISTINGS = ("genindex.html", "search.html")
NAMES = {"optimkit", "English", "Ctrl", "Python", "Jupyter"}
CODE = re.compile(r"optimkit(\.\w+)+")
"""Words that a Chinese reader finds in a Chinese interface."""

MARKUP = ("**", "``", ":math:", ":doc:", ":ref:", ":func:", "`__", "$$", "{{", " -- ")

UNRENDERED = re.compile(rf"(?<!\w)[*`]+(?={HAN.pattern})|(?<={HAN.pattern})[*`]|\]_(?!\w)")
"""Marks that touch Chinese are printed as they were typed."""

OPEN_FOLDS = "document.querySelectorAll('details').forEach((fold) => { fold.open = true; })"

# The keyboard reaches what scrolls at this width, which the theme sees to a moment after a change.
REACHED = """() => [...document.querySelectorAll("article :is(pre, .pst-scrollable-table-container)")]
  .every((box) => box.scrollWidth <= box.clientWidth || box.tabIndex === 0)"""

LINKS = """() => [...document.querySelectorAll("[href], [src], [poster]")]
  .flatMap((one) => [one.href, one.src, one.poster])
  .filter((url) => typeof url === "string" && url.startsWith("http"))"""

# Text that a reader sees as prose: no code, no maths.
PROSE = """() => {
  const page = document.body.cloneNode(true);
  for (const code of page.querySelectorAll("pre, code, kbd, math, script, style, noscript, dt.sig, .autosummary td:first-child")) code.remove();
  return page.textContent;
}"""

# A link in a Chinese sentence stands in it as its words would, without spaces.
SPACED = """() => [...document.querySelectorAll("html:lang(zh) article :is(p, li, td) > a")]
  .filter((one) => /^[\\u4e00-\\u9fff]/.test(one.textContent) && /[\\u4e00-\\u9fff] $/.test(one.previousSibling?.data ?? ""))
  .map((one) => one.parentElement.textContent)"""

# Words of the interface: what is around the article, and what is said of its parts.
INTERFACE = """() => {
  const found = [];
  const own = (one) => one.closest("[lang]") === document.documentElement;
  const around = document.querySelectorAll("header, nav, aside, footer, dialog, .bd-sidebar, .skip-link");
  for (const part of around) {
    const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      if (own(parent) && !parent.closest("code, kbd, script, style, article")) {
        found.push(walker.currentNode.textContent.trim());
      }
    }
  }
  for (const name of ["aria-label", "title", "placeholder", "alt"]) {
    for (const one of document.querySelectorAll(`body [${name}]`)) {
      if (own(one) && !one.closest(".output_html")) found.push(one.getAttribute(name));
    }
  }
  return [...new Set(found)].filter(Boolean);
}"""

# 80 columns, in the page's own code block, or in one put where a page would have it.
SPARE_COLUMNS = """() => {
  let pre = document.querySelector("article section .highlight pre");
  if (!pre) {
    const block = '<div class="highlight-python notranslate"><div class="highlight"><pre></pre></div></div>';
    document.querySelector("article section").insertAdjacentHTML("beforeend", block);
    pre = document.querySelector("article section .highlight pre");
  }
  const code = [...pre.childNodes];
  pre.textContent = "x".repeat(80);
  const spare = pre.clientWidth - pre.scrollWidth;
  pre.replaceChildren(...code);
  return spare;
}"""

SCROLLING_CODE = """() => [...document.querySelectorAll("article .highlight pre")]
  .filter((pre) => pre.scrollWidth > pre.clientWidth)
  .map((pre) => pre.textContent.split("\\n").reduce((a, b) => b.length > a.length ? b : a))
  .filter((line) => [...line].reduce((sum, one) => sum + (one > "\\u2e7f" ? 2 : 1), 0) <= 80)"""


def overflow(page):
    """Return by how many pixels a page is wider than its window."""
    return page.evaluate("document.scrollingElement.scrollWidth - innerWidth")


def show(page, theme, width):
    """Bring an open page to a theme and a width."""
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 800})
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    page.wait_for_function(REACHED)


def faults(page, violations, theme, width):
    """Return what is wrong with an open page in a theme and at a width, with where it is so."""
    show(page, theme, width)
    wrong = violations(page)
    if overflow(page) > 0:
        wrong.append(f"scrolls sideways by {overflow(page)} pixels")
    return [f"{theme}, {width} pixels: {one}" for one in wrong]


def test_page_is_accessible(visit, violations, address, troubles):
    """On a wide screen, or on a phone with both languages: axe finds no rule broken, nothing errs,
    fails or leaves the site, nothing scrolls sideways.

    With both languages a page is the same from either, and the two are made by the same templates:
    one is seen wide, the other on the phone, in the other theme, and the next page the other way round.
    """
    page = visit(address)
    page.evaluate(OPEN_FOLDS)
    number = len(address.partition("/")[2]) + address.startswith("zh/")
    theme = THEMES[number % 2]
    if number % 2:
        found = faults(page, violations, theme, 1280)
    show(page, theme, 375)
    sideways = overflow(page)
    if number % 2 == 0:
        if not address.endswith(LISTINGS):
            # Both languages show all that one shows, and more.
            page.locator(".reading-switch button:visible").click()
            expect(page.locator("html")).to_have_attribute("data-reading", "both")
        found = faults(page, violations, theme, 375)
    assert found == []
    assert sideways <= 0
    assert troubles == []


@pytest.mark.parametrize("theme", THEMES)
def test_kinds_of_page_are_accessible(visit, violations, kind_of_page, theme):
    """One page of each kind breaks no rule in any theme, wide, on a phone, and there with both languages."""
    page = visit(kind_of_page)
    page.evaluate(OPEN_FOLDS)
    found = faults(page, violations, theme, 1280) + faults(page, violations, theme, 375)
    page.locator(".reading-switch button:visible").click()
    expect(page.locator("html")).to_have_attribute("data-reading", "both")
    assert found + faults(page, violations, theme, 375) == []


def test_code_of_80_columns_fits(still, article):
    """At 1280 pixels a code line of 80 columns is read without scrolling."""
    page = still(article)
    page.evaluate(OPEN_FOLDS)
    assert page.evaluate(SCROLLING_CODE) == []
    assert page.evaluate(SPARE_COLUMNS) >= 0


def test_links_answer(still, site, address):
    """Every link, picture and script of a page is there, and so is the heading that a link names."""
    page = still(address)
    ours = site.url.split("/anything/")[0]
    broken = []
    for url in sorted(set(page.evaluate(LINKS))):
        target, _, anchor = url.removeprefix(site.url).partition("#")
        if not url.startswith(ours):
            continue
        if not url.startswith(site.url) or site.fetch(target)[0] != 200:
            broken.append(url)
        elif anchor and unquote(anchor) not in site.ids(target):
            broken.append(f"{url} (no such heading)")
    assert broken == []


def test_no_markup_is_left(still, address):
    """No reader, of either language, meets markup that did not become anything."""
    prose = still(address).evaluate(PROSE)
    assert not UNRENDERED.search(prose)
    if "auto_examples" not in address:  # reStructuredText wants the spaces
        assert still(address).evaluate(SPACED) == []
    assert [line for line in prose.splitlines() if any(mark in line for mark in MARKUP)] == []


def test_icon(still, site, sample):
    """A page names its icon, so that a browser does not ask the host for one that is not there."""
    icon = still(sample).locator("link[rel~=icon]")
    assert icon.count() == 1
    url = icon.evaluate("one => one.href")
    assert url.startswith("data:") or site.fetch(url.removeprefix(site.url))[0] == 200


def test_language_and_title(still, address):
    """A page says which language it is in, and its title is in it."""
    page = still(address)
    chinese = address.startswith("zh/")
    assert page.locator("html").get_attribute("lang") == ("zh-CN" if chinese else "en")
    title, _, name = page.title().rpartition(" — ")
    assert name == "optimkit"
    assert bool(HAN.search(title)) == chinese, title


def test_interface_speaks_one_language(still, address):
    """Navigation, contents, labels and hints have no word of the other language."""
    said = still(address).evaluate(INTERFACE)
    if address.startswith("zh/"):
        foreign = [
            text
            for text in said
            if set(WORD.findall(text)) - NAMES and not HAN.search(text) and not CODE.fullmatch(text)
        ]
    else:
        foreign = [text for text in said if HAN.search(text)]
    assert foreign == []


def test_menu_of_a_small_screen(visit, violations, site, tutorial_sample):
    """On a phone the navigation opens, breaks no rule, and leads on."""
    address = f"zh/auto_examples/{tutorial_sample}.html"
    page = visit(address, viewport={"width": 375, "height": 800})
    page.locator(".primary-toggle:visible").click()
    menu = page.locator("#pst-primary-sidebar-modal")
    menu.locator("a:visible").first.wait_for()
    assert violations(page) == []
    menu.locator("a[href='../reference/index.html']:visible").first.click()
    page.wait_for_url(f"{site.url}zh/reference/index.html")


def test_description(still, address):
    """Each page of text tells a search engine what it is about, in its language and no other words."""
    found = still(address).locator("meta[name=description]")
    if address.endswith(LISTINGS):
        assert found.count() == 0
        return
    said = found.get_attribute("content")
    assert 10 < len(said) <= 180
    assert bool(HAN.search(said)) == address.startswith("zh/"), said
    assert still(address).locator("meta[property='og:title']").count() == 1


def test_no_dead_link_without_a_repository(still, address):
    """A site whose project names no repository offers no link to one."""
    links = (
        still(address).locator(".page-source a").evaluate_all("all => all.map((one) => one.href)")
    )
    assert all(link.startswith("https://") for link in links)
    assert ("urls" in PROJECT) == bool(links) or address.endswith(LISTINGS)


def test_verdicts_are_chosen_without_scripts(visit):
    """Who wants only what is wrong in the note is shown as many claims as there are, and all again."""
    page = visit("zh/coverage.html", java_script_enabled=False)
    claims = page.locator(".note dt[class*=verdict-]:visible")
    every = claims.count()
    expect(page.get_by_label("全部")).to_be_checked()
    expect(page.locator(".verdicts")).to_contain_text(re.compile(r"有误 \d+"))
    wrong = int(re.search(r"有误 (\d+)", page.locator(".verdicts").inner_text())[1])
    page.get_by_label("有误").check()
    expect(claims).to_have_count(wrong)
    expect(page.locator(".note dt.verdict-wrong:visible + dd:visible")).to_have_count(wrong)
    assert 0 < wrong < every
    page.get_by_label("全部").check()
    expect(claims).to_have_count(every)
