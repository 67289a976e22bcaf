"""The table of what torch's classes keep, against what they make."""

import copy

import pytest
import torch
from torch import nn

from optimkit import MismatchError, audit, load_optimizer, state_memory
from optimkit._torch_optimizers import (
    STATE,
    Kept,
    is_state_dict,
    keys_of,
    optimizers_in,
    required_keys,
    shape_of,
    torch_class,
)

VARIANTS = [
    *((name, {}) for name in STATE),
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


class Lion(torch.optim.Optimizer):
    """A class that torch does not have."""

    def __init__(self, params, lr=0.1):
        """Set the lr."""
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        """Move by the sign of the running mean."""
        with torch.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    state = self.state[param]
                    if not state:
                        state["exp_avg"] = torch.zeros_like(param)
                        state["row"] = param.new_zeros(*param.shape[:-1], 1)
                    state["exp_avg"].lerp_(param.grad, 0.1)
                    param.sub_(state["exp_avg"].sign(), alpha=group["lr"])


def test_one_row_teaches_a_class(monkeypatch):
    """With a row in the table, prediction, audit and load know what a new class keeps."""
    param = nn.Parameter(torch.ones(2, 3))
    optimizer = Lion([("weight", param)])
    assert state_memory(optimizer, predict=True).total == 32  # any class: it is stepped on meta
    param.grad = torch.ones(2, 3)
    optimizer.step()
    sound = copy.deepcopy(optimizer.state_dict())
    wrong = copy.deepcopy(sound)
    wrong["state"][0] = {"exp_avg": torch.ones(2, 3), "row": torch.ones(3)}
    optimizer.state[param] = {"exp_avg": torch.ones(3, 2), "acc_delta": torch.ones(2, 3)}
    assert not audit(optimizer).rows  # without a row, nothing can be said

    monkeypatch.setattr(torch.optim, "Lion", Lion, raising=False)
    monkeypatch.setitem(STATE, "Lion", {"exp_avg": Kept(), "row": Kept("row", matrix=True)})
    assert torch_class(Lion) == "Lion"
    assert required_keys("Lion", True, {}) == {"exp_avg", "row"}
    assert required_keys("Lion", False, {}) == {"exp_avg"}
    assert [(each.code, each.message.partition(".")[0]) for each in audit(optimizer)] == [
        ("state-shape", "Lion: weight (2, 3) has exp_avg (3, 2)"),
        ("state-keys", "Lion has what another class keeps: weight has acc_delta"),
    ]
    with pytest.raises(MismatchError) as caught:
        load_optimizer(optimizer, wrong)
    [row] = caught.value.report.mismatched
    assert row == ("weight", "row", (3,), (2, 1))
    load_optimizer(optimizer, sound)
    assert not audit(optimizer).rows


def test_optimizers_are_found_anywhere():
    """State dicts are found in lists and mappings, and the content itself may be one."""
    state_dict = {"state": {}, "param_groups": [{}]}
    assert is_state_dict(state_dict)
    assert not is_state_dict({"state": {}, "param_groups": [1]})
    assert list(optimizers_in({"a": {"b": [1, state_dict]}, "c": state_dict})) == ["a.b.1", "c"]
    assert list(optimizers_in(state_dict)) == [""]
    assert optimizers_in({"a": 1}) == {}
