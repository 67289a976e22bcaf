"""The path through the tutorials: what a reader has read and solved, and how long is left."""

import re


def test_the_list_shows_what_is_read_and_solved(visit, site, violations):
    """The list says what each tutorial needs, what is done, how long is left, and what comes next."""
    page = visit("zh/auto_examples/index.html", viewport={"width": 375, "height": 800})
    path, cards = page.locator(".path-left"), page.locator(".tutorial-card")
    minutes = [int(re.search(r"(\d+) 分钟", text)[1]) for text in cards.all_inner_texts()]
    assert all("预备：" in text for text in cards.all_inner_texts())
    total = sum(minutes)
    assert f"共 {cards.count()} 篇，{total // 60} 小时" in path.inner_text()

    page.goto(f"{site.url}zh/auto_examples/plot_01_gradient_descent.html")
    page.get_by_label("我做出来了").check()
    page.locator(".prev-next-footer").scroll_into_view_if_needed()
    page.wait_for_function("localStorage.getItem('optimkit-progress')?.includes('read')")
    page.goto(f"{site.url}en/auto_examples/index.html")
    assert f"1 of {cards.count()} read, 1 solved" in path.inner_text()
    assert cards.first.locator(".tutorial-number").inner_text() == "01 · read · solved"
    assert path.locator("a").get_attribute("href").endswith("plot_02_construct.html")
    left = total - minutes[0]
    hours, rest = divmod(left, 60)
    assert (f"{hours} h" + f" {rest} min" * bool(rest)) + " left" in path.inner_text()
    assert violations(page) == []

    page.goto(f"{site.url}en/auto_examples/plot_01_gradient_descent.html")
    assert page.get_by_label("I have solved it").is_checked()
    page.goto(f"{site.url}en/auto_examples/index.html")
    path.get_by_role("button").click()
    assert f"{cards.count()} tutorials" in path.inner_text()
    assert cards.first.locator(".tutorial-number").inner_text() == "01"
