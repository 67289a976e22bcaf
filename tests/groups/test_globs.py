"""Globs, and the one that was perhaps meant."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from optimkit._groups.globs import matching_glob, nearest
from optimkit._walking import walk

NAMES = [
    f"{layer}.{leaf}"
    for layer in ("embed", "head", "layers.0.0", "layers.0.1", "layers.1.0", "layers.1.1")
    for leaf in ("weight", "bias")
]


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "**",
        "head.weight",
        "head.*",
        "*.bias",
        "*.0.*",
        "layers.*.weight",
        "layers.?.0.bias",
        "layers.[01].1.*",
        "layers.[!0].1.*",
        "*.1.*.bias",
        "*layers*0*bias",
        "*weight*",
        "Head.*",
        "ead.weight",
        "",
    ],
)
def test_globs_mean_what_fnmatch_means(pattern):
    """A glob is matched against the whole name, case and all, and ``*`` crosses dots."""
    answer = matching_glob(pattern)(NAMES)
    chosen = [name for name, yes in zip(NAMES, answer, strict=True) if yes]
    assert chosen == [name for name in NAMES if fnmatchcase(name, pattern)]


@given(st.text("ab.*?[]!", max_size=8), st.lists(st.text("ab.", max_size=6), max_size=6))
def test_any_glob_means_what_fnmatch_means(pattern, names):
    """Whatever the glob and the names, the short cuts find what fnmatch finds."""
    assert list(matching_glob(pattern)(names)) == [fnmatchcase(name, pattern) for name in names]


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("1.wieght", "1.weight"),
        ("*.wieght", "*.weight"),
        ("*weigth", "*weight"),
        ("O.*", None),
        ("something.else", None),
    ],
)
def test_the_nearest_name(pattern, meant):
    """A misspelt name, or glob, is near one that the model has, or near none."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert nearest(pattern, walk(model)) == meant


def test_no_nearest_name_in_a_crowd():
    """Among thousands of names none is looked for: comparing them would take minutes."""
    crowd = nn.ParameterList(nn.Parameter() for _ in range(2_001))
    assert nearest("200", walk(crowd)) is None
