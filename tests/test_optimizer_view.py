"""One form of an optimizer, live or saved: what no public name shows of it."""

import pytest
import torch
from torch import nn

import optimkit
from optimkit._optimizer_view import view_of, view_of_saved
from optimkit.checkpoint._header import describe


def trained():
    """Return a model, and an optimizer of two groups in which one parameter has state."""
    model = nn.Linear(2, 3)
    groups = [{"params": [model.weight], "lr": 0.5, "name": "w"}, {"params": [model.bias]}]
    optimizer = torch.optim.SGD(groups, lr=torch.tensor(0.25), momentum=0.9)
    model.weight.grad = torch.ones(3, 2)
    optimizer.step()
    return model, optimizer


def test_live_and_saved_are_one_form():
    """What a state dict has is seen in it as in the optimizer itself."""
    model, optimizer = trained()
    live, saved = view_of(optimizer), view_of_saved(optimizer.state_dict())
    assert (live.kind, saved.kind) == ("SGD", "state dict")
    assert live.options == saved.options
    assert live.options[1]["lr"] == 0.25  # out of its tensor
    assert live.labels == saved.labels == ["w", "group 1"]
    assert live.names == saved.names == ["params[0]", "params[1]"]
    assert not live.named
    assert not saved.named
    assert live.group_of == saved.group_of == [0, 1]
    assert [list(state) for state in live.states] == [["momentum_buffer"], []]
    assert [list(state) for state in saved.states] == [["momentum_buffer"], []]
    assert live.params == [model.weight, model.bias]
    assert saved.params == [None, None]


def test_looking_makes_no_state():
    """The state of a parameter that has none stays unmade: torch's mapping makes it when asked."""
    model, optimizer = trained()
    view_of(optimizer)
    assert list(optimizer.state) == [model.weight]


def test_a_header_says_what_a_state_dict_does_not():
    """Names, shapes, dtypes, the class and the model come from the header, if it is about it."""
    model, optimizer = trained()
    header = describe({"net": model, "optimizer": optimizer})["objects"]["optimizer"]
    state_dict = {**optimizer.state_dict(), "extra": 3}
    view = view_of_saved(state_dict, header)
    assert view.names == ["weight", "bias"]
    assert view.named
    assert (view.saved_class, view.model) == ("torch.optim.sgd.SGD", "net")
    assert view.shapes == [(3, 2), (3,)]
    assert view.dtypes == ["float32", "float32"]
    assert view.stateless == frozenset([1])
    assert view.more == {"extra": 3}
    other = view_of_saved(state_dict, {**header, "names": ["weight"], "shapes": [[3, 2]]})
    assert not other.named
    assert other.shapes is None


def test_names_that_do_not_tell_parameters_apart():
    """Two parameters of one name, or a name that is lacking, leave the places to go by."""
    params = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    twice = torch.optim.SGD([("w", params[0]), ("b", params[1])], lr=0.1)
    assert view_of(twice).named
    assert view_of_saved(twice.state_dict()).named
    twice.param_groups[0]["param_names"] = ["w", "w"]
    assert view_of(twice).names == ["w", "w"]
    assert not view_of(twice).named
    assert not view_of_saved(twice.state_dict()).named
    twice.param_groups[0]["param_names"] = ["w"]
    assert view_of(twice).names == ["w", "params[1]"]
    assert not view_of_saved(twice.state_dict()).named
    twice.param_groups[0]["param_names"] = ["w", "b", "c"]
    assert view_of(twice).names == ["params[0]", "params[1]"]


def test_state_of_no_parameter():
    """State under a key that is in no group is an orphan, live and saved."""
    _, optimizer = trained()
    optimizer.state[7] = {"step": 1}
    assert view_of(optimizer).orphans == [(7, {"step": 1})]
    assert view_of_saved(optimizer.state_dict()).orphans == [(7, {"step": 1})]


def test_an_optimizer_that_does_not_say():
    """One whose state raises is named, with what it raised."""

    class Sealed(torch.optim.SGD):
        @property
        def state(self):
            raise RuntimeError("it was handed over")

        @state.setter
        def state(self, value):
            pass

    optimizer = Sealed([torch.ones(1)])
    for look in (optimkit.describe, optimkit.audit, optimkit.state_memory, optimkit.snapshot):
        with pytest.raises(TypeError) as caught:
            look(optimizer)
        assert str(caught.value) == (
            "Sealed.state raises RuntimeError: it was handed over. Ask the authors of Sealed, or "
            "give what it wraps."
        )
