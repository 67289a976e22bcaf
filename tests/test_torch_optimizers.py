"""The table of what torch's classes keep, against what they make."""

import pytest
import torch
from torch import nn

from optimkit._torch_optimizers import (
    KEPT,
    is_state_dict,
    keys_of,
    optimizers_in,
    required_keys,
    shape_of,
    torch_class,
)

VARIANTS = [
    *((name, {}) for name in KEPT),
    ("Adam", {"amsgrad": True}),
    ("SGD", {"momentum": 0.9}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
]


@pytest.mark.parametrize(("kind", "options"), VARIANTS, ids=str)
def test_the_table_is_what_torch_makes(kind, options):
    """Each class makes the keys that the table requires, no other ones, in the shapes it says."""
    shapes = [(4, 3)] if kind == "Muon" else [(4, 3), (5,)]
    params = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    optimizer = getattr(torch.optim, kind)(params, **options)

    def closure():
        loss = sum(param.pow(4).sum() for param in params)
        for param in params:
            grad = 4 * param.detach() ** 3
            param.grad = grad.to_sparse() if kind == "SparseAdam" else grad
        return loss

    closure()
    optimizer.step(closure)
    for param in params if kind != "LBFGS" else params[:1]:
        state = optimizer.state[param]
        needed = required_keys(kind, param.ndim > 1, optimizer.param_groups[0])
        assert needed <= state.keys()
        if kind != "LBFGS":
            assert state.keys() <= keys_of(kind)
            for key, value in state.items():
                shape = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
                assert shape == shape_of(kind, key, tuple(param.shape))


def test_subclasses():
    """A class that steps like torch's keeps the same state; one with its own step may not."""

    class Same(torch.optim.SGD):
        pass

    class Other(torch.optim.SGD):
        def step(self, closure=None):
            """Do nothing."""

    for kind in (Same, Other):
        kind([nn.Parameter(torch.ones(1))], lr=0.1)  # torch patches `step` of each class
    assert torch_class(Same) == "SGD"
    assert torch_class(Other) is None


def test_optimizers_are_found_anywhere():
    """State dicts are found in lists and mappings, and the content itself may be one."""
    state_dict = {"state": {}, "param_groups": [{}]}
    assert is_state_dict(state_dict)
    assert not is_state_dict({"state": {}, "param_groups": [1]})
    assert list(optimizers_in({"a": {"b": [1, state_dict]}, "c": state_dict})) == ["a.b.1", "c"]
    assert list(optimizers_in(state_dict)) == [""]
    assert optimizers_in({"a": 1}) == {}
