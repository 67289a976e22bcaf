"""Names in few: exact, in order, never the same twice."""

import re

from hypothesis import given
from hypothesis import strategies as st

from optimkit._tables import in_few

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
    """Each pattern stands for its names and no others, and all names are there once, in order."""
    found = in_few(names)
    for pattern, places in found:
        assert sorted(unfold(pattern)) == sorted(names[place] for place in places)
    assert sorted(place for _, places in found for place in places) == list(range(len(names)))
    assert [places[0] for _, places in found] == sorted(places[0] for _, places in found)


def test_few_where_it_can_be():
    """Names that are a full grid share one line; what is not full is parted and joined again."""
    blocks = [f"h.{block}.{layer}.w" for block in range(4) for layer in range(3)]
    assert in_few(blocks) == [("h.[0-3].[0-2].w", list(range(12)))]
    assert [pattern for pattern, _ in in_few([*blocks[:4], *blocks[5:]])] == [
        "h.[0,2,3].[0-2].w",
        "h.1.[0,2].w",
    ]


def test_leading_zeros_and_line_breaks():
    """Numbers with leading zeros are kept, and so are names with a line break."""
    assert in_few(["a.01", "a.1"]) == [("a.[01,1]", [0, 1])]
    assert in_few(["a\n1", "b2"]) == [("a\n1", [0]), ("b2", [1])]


def test_only_digits_are_numbers():
    """No other character is taken for a number: neither a sign, nor a digit of another script."""
    assert len(in_few(["a1", "a#", "a１"])) == 3


def test_brackets_of_a_name_are_kept():
    """A number in brackets gets no second pair, and brackets elsewhere stay as they are."""
    assert in_few(["p[0]", "p[1]"]) == [("p[0,1]", [0, 1])]
    assert in_few(["[[x]].0", "[[x]].1"]) == [("[[x]].[0,1]", [0, 1])]
