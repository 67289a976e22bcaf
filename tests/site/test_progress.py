"""The path through the tutorials: what a reader has read and solved, and how long is left."""

import re

from playwright.sync_api import expect


def test_the_list_shows_what_is_read_and_solved(visit, site, violations):
    """The list says what each tutorial needs, what is done, how long is left, and what comes next.

    What a browser remembers comes with a script of its own, some time after the page is loaded.
    """
    page = visit("zh/auto_examples/index.html", viewport={"width": 375, "height": 800})
    path, cards = page.locator(".path-left"), page.locator(".tutorial-card")
    number = cards.first.locator(".tutorial-number")
    texts = cards.all_inner_texts()
    minutes = [int(re.search(r"(\d+) 分钟", text)[1]) for text in texts]
    assert all("预备：" in text for text in texts)
    total = sum(minutes)
    expect(path).to_contain_text(f"共 {len(texts)} 篇，{total // 60} 小时")

    page.goto(f"{site.url}zh/auto_examples/plot_01_gradient_descent.html")
    page.get_by_label("我做出来了").check()
    page.locator(".prev-next-footer").scroll_into_view_if_needed()
    page.wait_for_function("localStorage.getItem('optimkit-progress')?.includes('read')")
    page.goto(f"{site.url}en/auto_examples/index.html")
    expect(path).to_contain_text(f"1 of {len(texts)} read, 1 solved")
    expect(number).to_have_text("01 · read · solved")
    expect(path.locator("a")).to_have_attribute("href", re.compile(r"plot_02_construct\.html$"))
    left = total - minutes[0]
    hours, rest = divmod(left, 60)
    expect(path).to_contain_text(f"{hours} h" + f" {rest} min" * bool(rest) + " left")
    assert violations(page) == []

    page.goto(f"{site.url}en/auto_examples/plot_01_gradient_descent.html")
    expect(page.get_by_label("I have solved it")).to_be_checked()
    page.goto(f"{site.url}en/auto_examples/index.html")
    path.get_by_role("button").click()
    expect(path).to_contain_text(f"{len(texts)} tutorials")
    expect(number).to_have_text("01")
