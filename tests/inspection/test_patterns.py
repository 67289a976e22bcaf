"""Names in few: exact, in order, never the same twice."""

import re

from hypothesis import given
from hypothesis import strategies as st

from optimkit._inspection.patterns import masked, merge

NAMES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.sampled_from(["w", "b"])).map(
        lambda each: f"h.{each[0]}.x.{each[1]}.{each[2]}"
    ),
    min_size=1,
    max_size=60,
    unique=True,
)


def unfold(pattern):
    """Write out every name that a pattern stands for."""
    found = re.search(r"\[([^]]*)\]", pattern)
    if found is None:
        return [pattern]
    numbers = []
    for piece in found[1].split(","):
        first, _, last = piece.partition("-")
        numbers += [str(n) for n in range(int(first), int(last or first) + 1)]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [name for number in numbers for name in unfold(f"{before}{number}{after}")]


@given(NAMES)
def test_patterns_are_exact(names):
    """Each pattern stands for its names and no others, and all names are there once."""
    kinds = {}
    for mask, name in zip(masked(names), names, strict=True):
        kinds.setdefault(mask, []).append(name)
    seen = []
    for members in kinds.values():
        for pattern, places in merge(members):
            assert sorted(unfold(pattern)) == sorted(members[place] for place in places)
            seen += [members[place] for place in places]
    assert sorted(seen) == sorted(names)


def test_leading_zeros_and_line_breaks():
    """Numbers with leading zeros are kept, and so are names with a line break."""
    assert merge(["a.01", "a.1"]) == [("a.[01,1]", [0, 1])]
    assert masked(["a\n1", "b2"]) == ["a\n0", "b0"]


def test_only_digits_are_numbers():
    """No other character is taken for a number: neither a sign, nor a digit of another script."""
    one, sign, wide = masked(["a1", "a#", "a１"])
    assert len({one, sign, wide}) == 3


def test_brackets_of_a_name_are_kept():
    """A number in brackets gets no second pair, and brackets elsewhere stay as they are."""
    assert merge(["p[0]", "p[1]"]) == [("p[0,1]", [0, 1])]
    assert merge(["[[x]].0", "[[x]].1"]) == [("[[x]].[0,1]", [0, 1])]
