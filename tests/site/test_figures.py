"""Figures that the reader moves: their rules against torch, their ends, keys, words, paper, weight."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import optimkit

LIBRARY = Path(__file__).parents[2] / "docs" / "_static" / "figures" / "d3-scale.min.js"
FIGURES = {
    "valley": "plot_01_gradient_descent",
    "first-step": "plot_05_step",
    "half-life": "plot_05_step",
    "schedule": "plot_11_lr_schedulers",
    "decay": "plot_14_adamw",
}
RULES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.02, "momentum": 0.9}),
    ("SGD", {"lr": 0.19, "momentum": 0.3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.3}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
]
FIRST = [
    None,
    {"kind": "LinearLR", "options": {"start_factor": 0.1, "total_iters": 10}},
    {"kind": "ConstantLR", "options": {"factor": 0.3, "total_iters": 7}},
]
THEN = [
    {"kind": "ConstantLR", "options": {"factor": 0.5, "total_iters": 5}},
    {"kind": "StepLR", "options": {"step_size": 9, "gamma": 0}},
    {"kind": "ExponentialLR", "options": {"gamma": 1.1}},
    {"kind": "PolynomialLR", "options": {"total_iters": 25, "power": 2}},
    {"kind": "CosineAnnealingLR", "options": {"T_max": 13}},
    {"kind": "CosineAnnealingLR", "options": {"T_max": 1}},
    {"kind": "CosineAnnealingWarmRestarts", "options": {"T_0": 3, "T_mult": 2}},
]
DESIGNS = [
    {"lr": lr, "steps": 45, "joined": joined, "parts": [part for part in (first, then) if part]}
    for first in FIRST
    for then in THEN
    for joined, lr in (("after", 0.3), ("product", float("inf") if first is None else 1))
]
MODULE = "(given) => import('./en/_static/figures/{}.js').then((module) => {})"

# Scroll until a figure is near, and wait until it has taken the place of its picture.
NEAR = "(one) => scrollTo({ top: one.getBoundingClientRect().top + scrollY - innerHeight - 300, behavior: 'instant' })"
DRAWN = (
    "(one) => [...one.querySelectorAll('.moving-charts svg')].map((svg) => svg.outerHTML).join()"
)
BROKEN = """() => axe.run("figure.moved").then((all) => all.violations
  .flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html}`)))"""
STILL = "(one) => one.getAnimations({ subtree: true }).length === 0"
NO_NUMBER = ("NaN", "Infinity", "undefined", "null")


@pytest.fixture
def figure(visit, site):
    """Return a function that opens a figure, as a reader who scrolls there, and what it fetched."""

    def figure(kind, language, **options):
        asked = []
        page = visit("404.html", **options)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site.url}{language}/auto_examples/{FIGURES[kind]}.html")
        assert not [url for url in asked if "/figures/" in url]
        found = page.locator(f"figure:has(img.moves-{kind})")
        found.evaluate(NEAR)
        found.locator(".moving svg").first.wait_for(state="visible")
        found.scroll_into_view_if_needed()
        return found, {url.removeprefix(site.url) for url in asked if "/figures/" in url}

    return figure


def by_torch(rule, options):
    """Return 50 steps of torch in the valley of tutorial 01."""
    p = torch.tensor([10.0, 5.0], dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, rule)([p], **options)
    path = [p.tolist()]
    for _ in range(50):
        p.grad = p.detach() * torch.tensor([1.0, 10.0], dtype=torch.float64)
        optimizer.step()
        path.append(p.tolist())
    return torch.tensor(path, dtype=torch.float64)


def test_rules_are_those_of_torch(visit):
    """50 steps of each rule in the browser are those of torch, to a millionth in double precision."""
    page = visit("404.html")
    for rule, options in RULES:
        own = {"beta1": 0.9, "beta2": 0.999} | options
        if "betas" in own:
            own["beta1"], own["beta2"] = own.pop("betas")
        made = page.evaluate(MODULE.format("rules", "module.descend(...given)"), [rule, own, 50])
        theirs = by_torch(rule, options)
        torch.testing.assert_close(
            torch.tensor(made, dtype=torch.float64), theirs, rtol=1e-6, atol=0, msg=f"{rule} {own}"
        )


def curve_of(code, steps):
    """Return what lr_curve says of the scheduler that code makes, as a reader would paste it."""
    names = {"model": torch.nn.Linear(1, 1)}
    exec(code, names)
    return optimkit.lr_curve(names["scheduler"], steps).lrs()


def test_curves_are_those_of_the_code(visit):
    """Each schedule that can be put together is, number by number, what its code makes."""
    page = visit("404.html")
    both = "given.map((one) => [module.curve(one), module.code(one)])"
    for lrs, code in page.evaluate(MODULE.format("schedules", both), DESIGNS):
        torch.testing.assert_close(
            torch.tensor(lrs, dtype=torch.float64),
            torch.tensor(curve_of(code, 45), dtype=torch.float64),
            rtol=1e-9,
            atol=1e-15,
            equal_nan=True,
            msg=code,
        )


def test_library_is_what_it_says_it_is():
    """The library for axes is the file that its comment tells how to make, unchanged."""
    comment, _, code = LIBRARY.read_text("utf-8").partition("*/\n")
    assert hashlib.sha256(code.encode()).hexdigest() in comment
    assert "Permission to use, copy, modify" in comment


@pytest.mark.parametrize("kind", FIGURES)
def test_a_figure_is_moved_by_keys_and_says_so(figure, kind):
    """Each slider has a name and says its value; at its ends there are words, and no NaN on an axis."""
    found, _ = figure(kind, "zh", viewport={"width": 320, "height": 800})
    says = found.locator("output.moving-says")
    for box in found.locator("input[type=range]:visible").all():
        assert box.evaluate("one => one.labels[0].textContent.trim()")
        start = box.input_value()
        for key in ("Home", "End"):
            box.press(key)
            shown = box.locator("xpath=..").locator("output")
            expect(shown).to_have_text(re.compile("."))
            expect(box).to_have_attribute("aria-valuetext", shown.inner_text())
            drawn = found.evaluate(DRAWN)
            assert [word for word in NO_NUMBER if word in drawn] == []
            expect(says).to_have_text(re.compile(".{9}"))
        box.fill(start)
    page = found.page
    assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0
    page.wait_for_function(STILL, arg=found.element_handle())


@pytest.mark.parametrize("kind", FIGURES)
def test_a_figure_for_everyone(figure, site, at_rest, kind):
    """Light, dark and on paper: no rule of accessibility is broken, the picture is there for who wants it."""
    found, fetched = figure(kind, "en")
    page = found.page
    assert sum(len(gzip.compress(site.fetch(file)[1])) for file in fetched) <= 25_000
    page.evaluate(f"{Axe().axe_script}; null")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        at_rest(page)
        assert page.evaluate(BROKEN) == []
        expect(found.locator("figcaption .moving")).to_be_visible()
    picture = found.locator("img.only-light")
    expect(picture).to_be_hidden()
    page.emulate_media(media="print", color_scheme="light")
    expect(picture).to_be_visible()
    expect(found.locator(".moving:visible, button:visible")).to_have_count(0)
    page.emulate_media(media="screen", color_scheme="light")
    toggle, text = found.locator(".moving-toggle"), found.locator("figcaption p").first
    toggle.click()
    expect(picture).to_be_visible()
    expect(found.locator(".moving:visible")).to_have_count(0)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        at_rest(page)
        button, caption = toggle.bounding_box(), text.bounding_box()
        assert button["y"] + button["height"] <= caption["y"]


def test_the_schedule_that_is_shown(figure):
    """The code below the curve is that of the sliders; what is absurd is said."""
    found, _ = figure("schedule", "en", permissions=["clipboard-read", "clipboard-write"])
    says, code = found.locator("output.moving-says"), found.locator(".moving pre")
    expect(says).to_contain_text("Highest at step 10: 1; after 50 steps: 0")
    found.get_by_label("T_max").fill("0")
    expect(says).to_contain_text("climbs back up")
    found.get_by_label("Then").select_option("ExponentialLR")
    found.get_by_role("slider", name="gamma").press("End")
    expect(says).to_contain_text("grows above the lr")
    found.get_by_role("slider", name="total_iters").press("End")
    expect(says).to_contain_text("ends before the second")
    found.get_by_label("First").select_option("nothing")
    found.get_by_role("button", name="Copy the code").click()
    shown = code.inner_text() + "\n"
    found.page.wait_for_function(
        "(shown) => navigator.clipboard.readText().then((text) => text === shown)", arg=shown
    )
    assert curve_of(shown, 3) == [1.0, 2.0, 4.0, 8.0]
    found.get_by_label("learning rate lr").press("End")
    expect(says).to_contain_text("No axis can show")
    expect(code).to_contain_text('lr=float("inf")')


def test_the_valley_tells_what_happens(figure):
    """The words under the valley are those of the text above it, and of what no axis can show."""
    found, _ = figure("valley", "en")
    says, lr = found.locator("output.moving-says"), found.get_by_label("learning rate lr")
    for name, words in (("lr 0.2", "after 100 steps the loss is 125"), ("lr 0.21", "is 2.37e10")):
        found.get_by_role("button", name=name, exact=True).click()
        expect(says).to_contain_text(words)
    lr.press("Home")
    expect(says).to_contain_text("nothing moves")
    lr.press("End")
    expect(says).to_contain_text("nothing is a number")
    found.get_by_label("Rule").select_option("Adam")
    found.get_by_label("beta2").press("End")
    expect(says).to_contain_text("torch refuses")
