"""What a visitor sees: boxes against the window, colours, what stays below the header, weight, paper."""

import gzip
from functools import partial

import pytest
from playwright.sync_api import expect

WIDTHS = (320, 360, 375, 1280)
PAGES = (
    "index.html",
    "auto_examples/index.html",
    "auto_examples/plot_05_step.html",
    "reference/checkpoint.html",
    "reference/errors.html",
    "glossary.html",
)
LANGUAGES = ("en", "zh")
TUTORIAL_PAGES = "*/auto_examples/plot_*.html"

# What is seen and reaches beyond the window, but for what scrolls in a box of its own.
OUTSIDE = """() => {
  const own = "pre, math, table, svg, .pst-scrollable-table-container, .skip-link";
  const width = document.documentElement.clientWidth;
  return [...document.querySelectorAll("body *")].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width && box.height && (box.left < -0.5 || box.right > width + 0.5)
      && one.checkVisibility({ visibilityProperty: true }) && !one.closest(own);
  }).map((one) => `${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 30)}`);
}"""

# What a finger can't hit: a button, or a link that is no part of a sentence. A card is a link as a whole.
SMALL = """() => [...document.querySelectorAll("a, button, input, summary, select, label")].filter((one) => {
  const box = one.getBoundingClientRect();
  const around = one.closest("p, li, dd, dt, td, th, h1, h2");
  return box.width && (box.width < 23.5 || box.height < 23.5) && one.checkVisibility()
    && !one.closest("pre, .skip-link, .tutorial-card, .door, label:not(:scope)") && !one.matches(".headerlink, .skip-link a, [href='#main-content']")
    && !(getComputedStyle(one).display === "inline" && around && around.textContent.trim() !== one.textContent.trim());
}).map((one) => `${one.outerHTML.slice(0, 90)} in ${one.parentElement.className}`)"""

# A mark that belongs to the literal before it, and begins a line.
APART = """() => [...document.querySelectorAll(".bd-article :is(p, li) code")].filter((one) => {
  const after = (one.closest("a") ?? one).nextSibling;
  if (!/^[。，、；：！？）》”.,;:!?)]/.test(after?.data)) return false;
  const mark = document.createRange();
  mark.setStart(after, 0);
  mark.setEnd(after, 1);
  const box = mark.getBoundingClientRect();
  return box.width && box.top > [...one.getClientRects()].pop().bottom;
}).map((one) => one.textContent)"""

SHIFT = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => { for (const one of list.getEntries()) sum += one.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 300);
})"""

PAINT = """() => new Promise((done) => {
  let at = 0;
  new PerformanceObserver((list) => { for (const one of list.getEntries()) at = one.startTime; })
    .observe({ type: "largest-contentful-paint", buffered: true });
  setTimeout(() => done(at), 300);
})"""

SCROLL = """async () => {
  for (let y = 0; y < document.body.scrollHeight; y += 600) {
    scrollTo(0, y);
    await new Promise((done) => setTimeout(done, 30));
  }
}"""

# What has a place on the page has come: pictures of the other theme have none.
PICTURES_ARE_THERE = """() => [...document.querySelectorAll("article img")]
  .every((one) => !one.checkVisibility() || one.complete && one.naturalWidth)"""

CONTRAST = """(one) => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((n) => n / 255);
  const linear = (n) => n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4;
  const light = (colour) => numbers(colour).map(linear).reduce((sum, n, i) => sum + n * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = one;
  while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const [a, b] = [light(getComputedStyle(one).color), light(getComputedStyle(behind).backgroundColor)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_reaches_out_of_the_window(visit, at_rest, language, name):
    """Header, text, pager and contents lie within the window at each width, drawers open too."""
    found = []
    page = visit(f"{language}/{name}")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        at_rest(page)
        found += [f"{width}: {one}" for one in page.evaluate(OUTSIDE)]
        for side in ("primary", "secondary"):
            button = page.locator(f".{side}-toggle:visible")
            if button.count():
                button.click()
                drawer = page.locator(f"#pst-{side}-sidebar-modal")
                expect(drawer).to_be_visible()
                at_rest(page)
                found += [f"{width}, {side}: {one}" for one in page.evaluate(OUTSIDE)]
                page.keyboard.press("Escape")
                expect(drawer).to_be_hidden()
    assert found == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_narrow_phone_shows_all_of_each_page(visit, site, language):
    """Nothing is cut off at the edge, long names in code neither."""
    found, page = [], visit(f"{language}/index.html", viewport={"width": 320, "height": 800})
    for each in sorted((site.root / language).rglob("*.html")):
        address = each.relative_to(site.root).as_posix()
        page.goto(f"{site.url}{address}")
        found += [f"{address}: {one}" for one in page.evaluate(OUTSIDE) + page.evaluate(SMALL)]
    assert found == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_begins_with_a_mark(visit, language):
    """A full stop after a literal stays with it, the dashes of an option too, and the number of a tutorial."""
    for name in ("auto_examples/plot_12_resume.html", "reference/checkpoint.html", "promises.html"):
        page = visit(f"{language}/{name}")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(APART) == [], (name, width)
            whole = ".bd-article :is(code .option, p > a > .doc)"  # "tutorial 12" too
            assert page.evaluate(
                f"[...document.querySelectorAll('{whole}')].every((one) => one.getClientRects().length < 2)"
            )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [375, 1280])
def test_pager_is_whole(visit, at_rest, language, width):
    """Both links of the pager show their title and their arrow, beside or below each other."""
    page = visit(
        f"{language}/auto_examples/plot_05_step.html", viewport={"width": width, "height": 800}
    )
    at_rest(page)
    boxes = []
    for link in page.locator(".prev-next-area a").all():
        boxes.append(link.bounding_box())
        for part in (".prev-next-title", ".prev-next-subtitle", "i"):
            inner = link.locator(part).bounding_box()
            assert inner["width"] > 5
            assert boxes[-1]["x"] <= inner["x"] + 0.5
            assert inner["x"] + inner["width"] <= boxes[-1]["x"] + boxes[-1]["width"] + 0.5
    first, second = boxes
    beside = first["x"] + first["width"] <= second["x"] + 0.5
    below = first["y"] + first["height"] <= second["y"] + 0.5
    assert beside or below


@pytest.mark.parametrize("width", [375, 1280])
def test_a_heading_comes_to_rest_below_the_header(visit, width):
    """A link to a heading, a function or a term leaves air between it and the header."""
    for address in (
        "zh/auto_examples/plot_05_step.html#how-far-does-the-first-step-go",
        "zh/reference/checkpoint.html#optimkit.load",
        "zh/glossary.html#term-learning-rate",
    ):
        page = visit(address, viewport={"width": width, "height": 800})
        page.wait_for_function("""() => {
          const target = document.querySelector(":target");
          const title = target.matches("section") ? target.querySelector("h1, h2, h3") : target;
          const gap = title.getBoundingClientRect().top
            - document.querySelector("#pst-header").getBoundingClientRect().bottom;
          return gap >= 8 && gap <= 80;
        }""")


def test_a_word_in_a_table_is_whole(visit):
    """A column is as wide as its longest word, on a phone too: a version stands on one line."""
    page = visit("zh/trainers.html", viewport={"width": 375, "height": 800})
    lines = "all => all.map((one) => one.getClientRects().length)"
    assert set(page.locator("table td:nth-child(2) code").evaluate_all(lines)) == {1}


def test_a_table_wastes_no_room_on_a_phone(visit):
    """A cell ends where its text does; a row's name stays in sight while the row is scrolled."""
    page = visit("zh/trainers.html", viewport={"width": 375, "height": 800})
    table = page.locator(".pst-scrollable-table-container").first
    name, verdict = (
        table.locator(f"tbody tr:first-child td:{one}-child") for one in ("first", "last")
    )
    expect(verdict.locator("p")).to_have_css("margin-bottom", "0px")
    before = name.bounding_box()["x"]
    verdict.scroll_into_view_if_needed()
    expect(verdict).to_be_in_viewport()
    assert name.bounding_box()["x"] == pytest.approx(before, abs=1.5)


def test_an_entry_of_the_reference_fills_a_phone(visit):
    """What is said of a parameter has most of the width, and a signature breaks between its arguments."""
    page = visit("en/reference/groups.html", viewport={"width": 320, "height": 800})
    said = page.locator("dl.py > dd > .field-list li p").first
    assert said.bounding_box()["width"] >= 0.7 * 320
    page.goto(page.url.replace("groups", "index"))
    signatures = page.locator("article .autosummary td:first-child").all_inner_texts()
    assert len(signatures) > 10
    assert "\xa0" not in "".join(signatures)


def test_copy_button_needs_no_pointer(visit):
    """Each block of code shows its copy button at once; it copies input, no prompt, no blank line."""
    page = visit(
        "en/index.html",
        viewport={"width": 375, "height": 800},
        permissions=["clipboard-read", "clipboard-write"],
    )
    buttons = page.locator("article .highlight:not(.hero-output *) > button.copybtn")
    expect(buttons).not_to_have_count(0)
    for button in buttons.all():
        expect(button).to_have_css("opacity", "1")
        assert button.bounding_box()["width"] >= 24
        assert button.evaluate(CONTRAST) >= 3
    buttons.last.click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('when('))")
    copied = page.evaluate("navigator.clipboard.readText()").rstrip("\n").split("\n")
    assert all(copied)
    assert not any(line.startswith((">>>", "...")) for line in copied)
    compile("\n".join(copied), "copied", "exec")


def test_a_block_is_copied_with_what_it_needs(visit):
    """Who copies a block of a tutorial is offered the code above it, too: together they run."""
    page = visit(
        "zh/auto_examples/plot_03_attributes.html",
        permissions=["clipboard-read", "clipboard-write"],
    )
    block = page.locator("article .highlight-Python:visible").nth(2)
    block.locator("button.copybtn").click()
    block.get_by_role("button", name="连同上文的代码一起复制").click()
    expect(block.locator(".copy-all")).to_have_text("已复制")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("import torch\n")
    assert copied.endswith(block.locator("pre").text_content())
    exec(compile(copied, "copied", "exec"), {})


def test_a_stranger_in_mid_page_is_told_where(visit):
    """Who lands on a section sees, without scripts, which tutorial it is, and is led to its answer."""
    page = visit(
        "zh/auto_examples/plot_10_chosen_layers.html#freeze-in-mid-training",
        viewport={"width": 375, "height": 740},
        java_script_enabled=False,
    )
    bar, answer = page.locator(".bd-header-article"), page.locator(".breadcrumb-answer a")
    expect(bar).to_be_in_viewport()
    expect(bar).to_contain_text("10 只训练你选中的层")
    heading = page.locator(":target > h2").bounding_box()
    box = bar.bounding_box()
    assert box["y"] + box["height"] <= heading["y"]
    assert box["height"] <= 40
    answer.click()
    expect(page.locator("article h1 + p")).to_be_in_viewport()
    expect(answer).to_be_hidden()


def test_the_dialog_is_closed_without_a_keyboard(visit):
    """On a phone the search dialog fills the window: a button closes it."""
    page = visit("zh/index.html", viewport={"width": 375, "height": 740})
    page.locator(".search-button:visible").first.click()
    dialog = page.locator("#pst-search-dialog")
    close = dialog.get_by_role("button", name="关闭")
    assert min(close.bounding_box()[side] for side in ("width", "height")) >= 24
    close.click()
    expect(dialog).to_be_hidden()


def test_a_result_on_the_same_page_is_seen(visit, site):
    """A result that lies on this very page closes the dialog that stood before it."""
    page = visit("en/auto_examples/plot_14_adamw.html")
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input").fill("Adam shrinks weights unequally")
    page.locator("#pst-search-dialog .search-results a[href*=plot_14][href*='#']").first.click()
    expect(page.locator("#pst-search-dialog")).to_be_hidden()
    expect(page.locator(":target > h2")).to_be_in_viewport()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_is_black_on_white(visit, at_rest, theme):
    """On paper text and code are black on white in both themes, and every answer is open."""
    page = visit("zh/auto_examples/plot_05_step.html", color_scheme=theme)
    page.emulate_media(media="print", color_scheme=theme)
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    # Chromium cuts off what a grid has below the end of a sheet.
    expect(page.locator(".bd-content")).to_have_css("display", "block")
    at_rest(page)
    for part in ("article p", "article h2", "article .highlight pre", "article .highlight span"):
        colours = page.locator(part).evaluate_all(
            "all => all.map((e) => getComputedStyle(e).color)"
        )
        assert set(colours) <= {"rgb(0, 0, 0)", "rgb(51, 51, 51)"}, part
    answers = page.locator(
        "article details > p:not(.bi-other), article details > ul:not(.bi-other)"
    )
    assert answers.count() > 0
    assert all(one.bounding_box()["height"] > 0 for one in answers.all())
    expect(page.locator("article img.only-light").first).to_be_visible()
    expect(page.locator("img.only-dark").first).to_be_hidden()
    for part in ("#pst-header", ".prev-next-footer", ".copybtn"):
        expect(page.locator(part).first).to_be_hidden()


def test_figures_have_a_size_and_open_in_full(visit, tutorial):
    """Each picture says its size before it comes, moves nothing then, and links to its file in full."""
    page = visit(f"zh/auto_examples/{tutorial}.html", viewport={"width": 375, "height": 800})
    for image in page.locator("article img").all():
        assert int(image.get_attribute("width")) > 0
        assert int(image.get_attribute("height")) > 0
        link = image.locator("xpath=..")
        assert link.evaluate("one => one.href") == image.evaluate("one => one.src")
    expect(page.locator("article a:visible:has(> img)")).not_to_have_count(0)
    expect(page.locator("article a:visible:has(> img:not(:visible))")).to_have_count(0)
    page.evaluate(SCROLL)
    assert page.evaluate(SHIFT) <= 0.05


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_only_the_pictures_of_the_theme_are_fetched(visit, tutorial_sample, theme):
    """A reader of one theme, who scrolls to the end, fetches no picture of the other."""
    page = visit("en/index.html", color_scheme=theme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page.url.replace("index.html", f"auto_examples/{tutorial_sample}.html"))
    page.evaluate(SCROLL)
    page.wait_for_function(PICTURES_ARE_THERE)
    pictures = [url for url in asked if "/_images/" in url and not url.endswith(".mp4")]
    assert pictures
    assert [url for url in pictures if ("_dark" in url) != (theme == "dark")] == []


def weight(site, file):
    """Return how many bytes a file takes on its way to a reader."""
    return len(gzip.compress(site.fetch(file)[1]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_first_load_is_light(visit, site, language):
    """All that a tutorial fetches before a reader moves, but pictures, is at most 110 kB compressed.

    Tutorials fetch the same files; the longest of them is opened.
    """
    pages = [one.relative_to(site.root).as_posix() for one in site.root.glob(TUTORIAL_PAGES)]
    longest = max((one for one in pages if one.startswith(language)), key=partial(weight, site))
    page = visit("404.html")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.url + longest)
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if url.endswith((".woff2", ".woff", ".ttf"))]
    files = {
        url.partition("?")[0].removeprefix(site.url) for url in asked if "/_images/" not in url
    }
    assert longest in files
    assert sum(weight(site, file) for file in files) <= 110_000


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_moves(visit, width, kind_of_page):
    """Nothing moves while a page comes, nor while a reader goes through it."""
    page = visit(kind_of_page, viewport={"width": width, "height": 800})
    page.evaluate(SCROLL)
    assert page.evaluate(SHIFT) <= 0.05


@pytest.mark.parametrize("name", ["index", "auto_examples/plot_05_step", "atlas"])
def test_the_largest_paint_is_early(visit, name):
    """What is largest on the screen is there within 800 ms; the best of three visits, for others work too."""
    times = [visit(f"zh/{name}.html").evaluate(PAINT) for _ in range(3)]
    assert 0 < min(times) <= 800


GUESSED = "(url) => [...document.querySelectorAll('#guess a')].some((one) => one.href === url)"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("wrong", "guess"),
    [
        ("zh/auto_examples/plot_05_stp.html", "zh/auto_examples/plot_05_step.html"),
        ("en/learning_rate_schedulers/", "en/auto_examples/plot_11_lr_schedulers.html"),
    ],
)
def test_wrong_address_is_guessed(visit, site, violations, troubles, wrong, guess, theme):
    """The page for a wrong address has a header, a search in its language, and says what was meant."""
    page = visit(wrong, color_scheme=theme, viewport={"width": 320, "height": 800})
    troubles.clear()
    expect(page.locator("header a").first).to_be_visible()
    page.wait_for_function(GUESSED, arg=site.url + guess)
    assert violations(page) == []
    assert page.evaluate(OUTSIDE) == []
    page.locator("input[name=q]").fill("Adam")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}{wrong[:2]}/search.html?q=Adam")
