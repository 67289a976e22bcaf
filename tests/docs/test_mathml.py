"""Maths: MathML in the page, and a warning for what is no LaTeX."""

import pytest


def test_maths_is_mathml(both):
    """Inline and display maths is MathML, made at build time: no script, no font, no LaTeX left over."""
    page = "# M | 数\n\nOne $x^2$.\n\n一 $x^2$ 。\n\n$$\n\\frac{1}{n} \\sum_i \\nabla f_i(\\theta)\n$$\n"
    for site in both({"index.md": page}):
        inline, hidden, display = site.body().all("math")
        assert [tag.name for tag in inline.walk()].count("msup") == 1
        assert hidden.text() == inline.text()
        assert display.attributes["display"] == "block"
        assert display.all("mfrac")
        assert "mathjax" not in site.html().replace("mathjax_ignore", "").lower()
        assert "\\frac" not in site.body().text()


@pytest.mark.parametrize("latex", ["\\frac", "\\nosuchcommand x", "^2", "a_", "a & b"])
@pytest.mark.parametrize("form", ["One ${}$. | 一。", "$$\n{}\n$$"])
def test_bad_latex(build, latex, form):
    """LaTeX that cannot be converted is a warning with the formula and its line, not a crash."""
    site = build({"index.md": "# M | 数\n\n" + form.replace("{}", latex) + "\n"})
    (said,) = site.warnings
    assert said.startswith(f"index.md:3: WARNING: maths that docutils cannot convert: {latex}: ")
    assert [tag.text() for tag in site.body().all("code")] == [latex]


def test_bad_latex_is_escaped(build):
    """LaTeX that cannot be converted is shown as it was written, never read as HTML."""
    site = build({"index.md": "# M | 数\n\n$a < \\nosuch <b>$\n"})
    (code,) = site.body().all("code")
    assert code.children == ["a < \\nosuch <b>"]
