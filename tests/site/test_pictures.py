"""Pages look as they looked when somebody last looked at them: pictures against kept ones.

Only what is large counts: both are set in the one font that the tests need anyway, their words may
change, and they are compared at a quarter of their size. After a change that is meant,
``pytest tests/site/test_pictures.py --renew-pictures`` keeps what is seen now: look at it.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

KEPT = Path(__file__).parent / "pictures"
SMALLER = 4
LIGHTER = 48
"""From how far on, of 255, two points are different: words that change are a fainter grey than that."""
MOST = 0.01
"""Which part of the points may be different: a sentence that is written anew is a third of that."""

# One font for all machines; nothing blinks, and the date of the last run is no part of the looks.
STYLE = """
  html {
    --pst-font-family-base: "Noto Sans CJK SC" !important; --pst-font-family-heading: "Noto Sans CJK SC" !important;
    --pst-font-family-monospace: "Noto Sans Mono CJK SC" !important;
  }
  .sphx-glr-download-link-note { visibility: hidden; }
  * { caret-color: transparent !important; scrollbar-width: none; }
"""

# What is found, and in which order, is no part of the looks either.
SAME_RESULTS = """() => {
  const [...results] = document.querySelectorAll("#pst-search-dialog .search-results li");
  for (const [number, one] of results.entries()) {
    if (number > 2) one.remove();
    one.querySelector("strong").textContent = "用 zero_grad() 把梯度清零 › 清零之后";
    one.querySelector("span").innerHTML = "… 先 <mark>zero_grad()</mark>，再 backward()，最后 step() …";
  }
}"""


def landing(visit):
    """The landing page, on a wide screen."""
    return visit("en/index.html")


def tutorial(visit):
    """A tutorial, at its top."""
    return visit("zh/auto_examples/plot_05_step.html")


def dialog(visit):
    """The search dialog with results, over a page, on a phone."""
    page = visit("zh/auto_examples/plot_05_step.html", viewport={"width": 375, "height": 700})
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input").fill("optimizer.zero_grad()")
    expect(page.locator("#pst-search-dialog .search-results a").nth(2)).to_be_visible()
    page.evaluate(SAME_RESULTS)
    return page


def pager(visit):
    """The end of a tutorial, on a phone."""
    page = visit("en/auto_examples/plot_05_step.html", viewport={"width": 375, "height": 500})
    page.evaluate("scrollTo({ top: document.body.scrollHeight, behavior: 'instant' })")
    return page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("scene", [landing, tutorial, dialog, pager])
def test_looks_as_it_did(visit, at_rest, request, tmp_path, scene, theme):
    """A screenshot, made small, is the kept one but for details."""
    page = scene(lambda address, **options: visit(address, color_scheme=theme, **options))
    page.add_style_tag(content=STYLE)
    if scene is pager:
        page.locator(".prev-next-footer").scroll_into_view_if_needed()
    at_rest(page)
    seen = Image.open(BytesIO(page.screenshot())).convert("L").reduce(SMALLER)
    kept = KEPT / f"{scene.__name__}-{theme}.png"
    if request.config.getoption("--renew-pictures"):
        KEPT.mkdir(exist_ok=True)
        seen.save(kept, optimize=True)
    was = Image.open(kept)
    assert seen.size == was.size
    apart = np.abs(np.asarray(seen, dtype=int) - np.asarray(was, dtype=int)) > LIGHTER
    seen.save(tmp_path / kept.name)
    assert apart.mean() <= MOST, f"{apart.mean():.1%} of {tmp_path / kept.name} is not as in {kept}"
