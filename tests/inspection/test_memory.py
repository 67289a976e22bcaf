"""State memory: what there is, and what there will be."""

import copy
import warnings

import pytest
import torch
from torch import nn

from optimkit import MemoryRow, MemoryTable, Table, state_memory

VARIANTS = [
    ("ASGD", {}),
    ("Adadelta", {}),
    ("Adafactor", {}),
    ("Adagrad", {}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"fused": True}),
    ("Adam", {"foreach": True}),
    ("Adam", {"lr": torch.tensor(0.1)}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("Muon", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("RMSprop", {}),
    ("Rprop", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {}),
    ("SparseAdam", {}),
]


def make(kind, options, dtype=torch.float32):
    """Return parameters and an optimizer over them."""
    shapes = [(5, 4), (3,), (2, 3, 4), (1, 6), ()]
    shapes = {"Muon": [(5, 4), (2, 1)], "SparseAdam": shapes[:-1]}.get(kind, shapes)
    params = [nn.Parameter(torch.ones(shape, dtype=dtype)) for shape in shapes]
    return params, getattr(torch.optim, kind)(params, **options)


@pytest.mark.parametrize(("kind", "options"), VARIANTS, ids=str)
def test_prediction_is_exact(kind, options):
    """What is predicted is what a real step makes, and the optimizer is not touched."""
    params, optimizer = make(kind, options)
    before = copy.deepcopy(optimizer.state_dict())
    ways = ("key", "group", "param", "dtype", "device")
    predicted = {by: state_memory(optimizer, by=by, predict=True).rows for by in ways}
    assert str(optimizer.state_dict()) == str(before)
    assert all(param.grad is None for param in params)
    for param in params:
        grad = torch.ones_like(param)
        param.grad = grad.to_sparse() if kind == "SparseAdam" else grad
    optimizer.step()
    assert {by: state_memory(optimizer, by=by).rows for by in ways} == predicted


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.complex64], ids=str)
def test_prediction_for_other_types(dtype):
    """Half precision, double and complex parameters are predicted too."""
    params, optimizer = make("Adam", {}, dtype)
    predicted = state_memory(optimizer, predict=True)
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer.step()
    assert state_memory(optimizer).rows == predicted.rows


@pytest.fixture
def double_by_default():
    """Make double the default type, and put it back."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_by_default")
@pytest.mark.parametrize("fused", [False, True])
def test_prediction_where_double_is_the_default(fused):
    """A fused class counts its steps in single precision, whatever the default type is."""
    params, optimizer = make("AdamW", {"fused": fused})
    predicted = state_memory(optimizer, by="dtype", predict=True)
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer.step()
    assert state_memory(optimizer, by="dtype").rows == predicted.rows


def test_prediction_on_meta():
    """A model that has no values yet can be asked."""
    param = nn.Parameter(torch.ones(1000, 1000, device="meta"))
    assert state_memory(torch.optim.AdamW([param]), predict=True).total == 8_000_004


def test_lbfgs_is_predicted_with_a_full_history():
    """LBFGS is predicted as it is when its history is full."""
    model = nn.Linear(3, 4)
    optimizer = torch.optim.LBFGS(model.parameters(), history_size=4, max_iter=20)
    predicted = state_memory(optimizer, predict=True)
    assert predicted.caption == "State of LBFGS, after the first step, with a full history"

    def closure():
        optimizer.zero_grad()
        loss = (model(torch.eye(3)) - torch.arange(4.0)).pow(4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert {row.name: row for row in state_memory(optimizer).rows} == {
        row.name: row for row in predicted.rows
    }


def test_frozen_parameters_get_no_state():
    """A frozen parameter is not predicted any state, and what there is stays counted."""
    params, optimizer = make("SGD", {"momentum": 0.9})
    for param in params[1:]:
        param.requires_grad_(False)
    assert state_memory(optimizer, predict=True).total == 5 * 4 * 4


def test_hooks_are_not_called():
    """Predicting calls no one's hooks."""
    _, optimizer = make("Adam", {})
    optimizer.register_step_pre_hook(lambda *_: pytest.fail("called"))
    optimizer.register_step_post_hook(lambda *_: pytest.fail("called"))
    assert state_memory(optimizer, predict=True).total > 0


def test_rows():
    """A row has a name, its bytes, and the number of its tensors."""
    params, optimizer = make("SGD", {"momentum": 0.9})
    params[0].grad = torch.ones_like(params[0])
    optimizer.step()
    table = state_memory(optimizer, by="param")
    assert isinstance(table, MemoryTable)
    assert isinstance(table, Table)
    assert table.rows == (MemoryRow("params[0]", 80, 1),)
    assert table.to_dict() == {
        "caption": "State of SGD",
        "columns": ["name", "bytes", "tensors"],
        "rows": [{"name": "params[0]", "bytes": 80, "tensors": 1}],
        "total": 80,
    }
    assert state_memory(optimizer.state_dict()).total == 80


class Curved(torch.optim.SGD):
    """It needs a closure, whose gradients have a graph."""

    def step(self, closure):
        """Keep the curvature along the gradient, then step as SGD."""
        with torch.enable_grad():
            closure()
            for group in self.param_groups:
                params = group["params"]
                grads = [param.grad for param in params]
                curved = torch.autograd.grad(grads, params, grad_outputs=grads)
                for param, each in zip(params, curved, strict=True):
                    self.state[param]["curvature"] = each.detach()
        super().step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_a_class_that_needs_a_closure(dtype):
    """It gets one of the copy alone: the live parameters, their gradients and state stay."""
    params = [nn.Parameter(torch.ones(3, 2, dtype=dtype)), nn.Parameter(torch.ones(4, dtype=dtype))]
    optimizer = Curved(params, lr=0.1, momentum=0.9)
    predicted = state_memory(optimizer, predict=True)
    assert [param.grad for param in params] == [None, None]
    assert not optimizer.state
    assert all((param == 1).all() for param in params)

    def closure():
        optimizer.zero_grad()
        loss = sum((param.abs() ** 4).sum() for param in params)
        loss.backward(create_graph=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that such a backward makes cycles
        optimizer.step(closure)
    assert predicted.rows == state_memory(optimizer).rows


def test_what_can_not_be_predicted():
    """A class that needs more than a closure, or keeps what depends on it, is refused."""

    class Model(torch.optim.Optimizer):
        model = None

        def __init__(self, params):
            super().__init__(params, {})

        def step(self, closure=None):
            closure()
            self.model()

    class Newton(torch.optim.LBFGS):
        def step(self, closure):
            return super().step(closure)

    params = [nn.Parameter(torch.ones(1))]
    for cls, reason in (
        (Model, "a step of its copy fails (TypeError: 'NoneType' object is not callable)"),
        (Newton, "it makes lists, whose length may depend on the closure's loss"),
    ):
        with pytest.raises(NotImplementedError) as caught:
            state_memory(cls(params), predict=True)
        assert str(caught.value) == (
            f"the state of {cls.__name__} can't be predicted: {reason}. "
            "Take a step, then call state_memory without predict=True."
        )


def test_wrong_arguments():
    """A wrong `by`, and a prediction of what can't step, are refused."""
    _, optimizer = make("SGD", {})
    with pytest.raises(ValueError, match=r"^by must be one of key, group, param, dtype, device"):
        state_memory(optimizer, by="layer")
    with pytest.raises(TypeError, match=r"^predict=True needs a torch.optim.Optimizer"):
        state_memory(optimizer.state_dict(), predict=True)
