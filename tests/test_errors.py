"""The errors: what they are, and how they list what is wrong."""

import pickle

import pytest

from optimkit._errors import GroupError, OptimkitError, first_few


def test_group_error_is_a_value_error():
    """Code that expects torch's ValueError catches a GroupError."""
    assert issubclass(GroupError, OptimkitError)
    assert issubclass(GroupError, ValueError)


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        ((), ""),
        (("a is wrong.",), "a is wrong."),
        (("a is wrong.", "b too."), "2 problems:\n  1. a is wrong.\n  2. b too."),
    ],
)
def test_all_problems_are_listed(problems, expected):
    """One problem is a sentence, several are a numbered list, and a program can read them."""
    error = GroupError(*problems)
    assert str(error) == expected
    assert error.problems == problems


def test_an_error_survives_pickling():
    """An error that crosses a process (a data loader, torchrun) arrives whole."""
    error = pickle.loads(pickle.dumps(GroupError("a", "b")))
    assert type(error) is GroupError
    assert error.problems == ("a", "b")


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, ""), (1, "0"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4 and 1 more")],
)
def test_first_few_counts_the_rest(count, expected):
    """Up to five are written out, then how many more there are."""
    assert first_few(range(count)) == expected
