"""A recipe is copied whole with one click, and all of them are printed on one page."""

import re

import pytest

A4 = (595, 842)
"""The size of a page, in points."""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_sheet_has_every_recipe_and_is_one_page_of_paper(visit, site, language):
    """It is printed on one page of A4, where each title leads to its recipe and none of the code is left out."""
    page = visit(f"{language}/recipes/sheet.html")
    names = re.findall(r'href="(\w+\.html)"', site.text(f"{language}/recipes/index.html"))
    pages = {name for name in names if name not in ("index.html", "sheet.html")}
    sections = [
        f"{name}#{anchor}"
        for name in pages
        for anchor in re.findall(
            r'<section id="(.+?)">\s*<h2', site.text(f"{language}/recipes/{name}")
        )
    ]
    links = page.locator(".sheet h3 a").evaluate_all(
        "all => all.map((a) => a.getAttribute('href'))"
    )
    assert len(links) >= 30
    assert sorted(links) == sorted(sections)
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    sizes = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert {tuple(round(float(one)) for one in size) for size in sizes} == {A4}


def test_one_click_copies_a_recipe(visit):
    """What is copied runs as it is: nothing of the page, and no line, is missing."""
    page = visit("zh/recipes/groups.html", permissions=["clipboard-read", "clipboard-write"])
    code = page.locator(".highlight-python").first
    shown = code.locator("pre").inner_text().rstrip()
    assert len(shown.splitlines()) > 5
    code.locator("button.copybtn").click()
    page.wait_for_function(
        "(shown) => navigator.clipboard.readText().then((text) => text.trimEnd() === shown)",
        arg=shown,
    )
