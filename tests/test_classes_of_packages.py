"""Optimizers of other packages keep what torch's do not: each class here has one such trait, and no more.

`nox -s atlas` looks at the packages themselves.
"""

import re

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR

from optimkit import (
    CheckpointDir,
    GroupError,
    MismatchError,
    UnsafeCheckpointError,
    add_param_group,
    audit,
    describe,
    diff,
    load,
    load_optimizer,
    lr_curve,
    save,
    snapshot,
    state_memory,
)
from optimkit.checkpoint import distributed

BEFORE, AFTER = range(3), range(3, 6)


class Counting(Optimizer):
    """MADGRAD keeps its step count under a word, beside the parameters."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        count = self.state.setdefault("k", torch.zeros((), dtype=torch.int64))
        count += 1
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                state["sum"] = state.get("sum", torch.zeros_like(param)) + param.grad
                with torch.no_grad():
                    param -= group["lr"] / count * state["sum"]


class InGroups(Optimizer):
    """Prodigy, D-Adaptation, schedule-free and others keep their progress in the groups."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr, "d": 1.0})

    def step(self, closure=None):
        for group in self.param_groups:
            group["step"] = group.get("step", 0) + 1
            group["d"] *= 2
            for param in group["params"]:
                with torch.no_grad():
                    param -= group["lr"] * group["d"] / group["step"] * param.grad


class OwnForm(Optimizer):
    """SplitOpt, a container of optimizers, has a state dict that only it can read."""

    def __init__(self, params, lr=0.1):
        params = list(params)
        self.inner = [SGD([param], lr, momentum=0.9) for param in params]
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        for each in self.inner:
            each.step()

    def state_dict(self):
        return {"inner": [each.state_dict() for each in self.inner]}

    def load_state_dict(self, state_dict):
        for each, state in zip(self.inner, state_dict["inner"], strict=True):
            each.load_state_dict(state)


class Broken(SGD):
    """torch-optimizer's Lookahead trains, and can't say what it keeps."""

    def state_dict(self):
        raise AttributeError("'Broken' object has no attribute '_hooks'")


class LowRank(Optimizer):
    """GaLore keeps state of fewer columns than its matrix has, as many as the group says."""

    def __init__(self, params, lr=0.1, rank=2):
        super().__init__(params, {"lr": lr, "rank": rank})

    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["exp_avg"] = param.grad[:, : group["rank"]].clone()


class Caching(Optimizer):
    """PSGD writes a key of its own into its groups, which resembles an option."""

    def __init__(self, params, lr=0.1, cached=True):
        super().__init__(params, {"lr": lr, "cached": cached})

    def step(self, closure=None):
        for group in self.param_groups:
            group["is_cached"] = group["cached"]


class Quantized(torch.Tensor):
    """torchao's 8-bit state: made of two tensors, says it is of another dtype, knows no clone."""

    @staticmethod
    def __new__(cls, codes, scale):
        return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=torch.float32)

    def __init__(self, codes, scale):
        self.codes, self.scale = codes, scale

    def __tensor_flatten__(self):
        return ["codes", "scale"], []

    @classmethod
    def __tensor_unflatten__(cls, parts, context, size=None, stride=None):
        return cls(parts["codes"], parts["scale"])

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten.detach.default, torch.ops.aten._to_copy.default):
            return cls(args[0].codes, args[0].scale)
        raise NotImplementedError(f"Quantized knows no {function}")


class Held:
    """flashoptim keeps objects that hold tensors, and tensors in its state dict."""

    def __init__(self, tensor):
        self.tensor = tensor


class Keeping(Optimizer):
    """Keeps under one key whatever it is told to make of a parameter."""

    def __init__(self, params, form, lr=0.1):
        self.form = form
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            self.state[param]["kept"] = self.form(param)


class Around:
    """schedule-free's wrapper is no optimizer, and keeps more in the state of the one that it has."""

    def __init__(self, base):
        self.base = base

    state = property(lambda self: self.base.state)
    param_groups = property(lambda self: self.base.param_groups)

    def zero_grad(self):
        self.base.zero_grad()

    def step(self):
        self.base.step()
        for param in self.base.param_groups[0]["params"]:
            self.state[param].setdefault("z", torch.zeros_like(param))


class Masked(Optimizer):
    """SPAM keeps a mask of each matrix from the start, and makes the rest as it steps."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        for param in self.param_groups[0]["params"]:
            if param.ndim == 2:
                self.state[param]["mask"] = torch.ones_like(param, dtype=torch.bool)

    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            self.state[param].setdefault("exp_avg", torch.zeros_like(param))


class ByTensor:
    """TRAC keeps a table under a word, in the state of what it wraps, by parameter."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    state = property(lambda self: self.optimizer.state)
    param_groups = property(lambda self: self.optimizer.param_groups)

    def state_dict(self):
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict):
        self.optimizer.load_state_dict(state_dict)

    def zero_grad(self):
        self.optimizer.zero_grad()

    def step(self):
        self.optimizer.step()
        params = self.param_groups[0]["params"]
        self.state["trac"] = {param: torch.zeros_like(param) for param in params}


class Ahead(Optimizer):
    """pytorch-optimizer's Lookahead has state of its own, beside that of the optimizer inside."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        super().__init__(optimizer.param_groups, {"k": 5})
        self.param_groups = optimizer.param_groups

    def step(self, closure=None):
        self.optimizer.step()
        for param in self.param_groups[0]["params"]:
            self.state[param].setdefault("slow", param.detach().clone())


def quantized(param):
    """Return 8-bit state of a parameter."""
    return Quantized(torch.ones(param.shape, dtype=torch.uint8), torch.ones(1))


def pair(make, start=0, **options):
    """Return a model, and an optimizer of it."""
    torch.manual_seed(start)
    model = nn.Linear(4, 3)
    return model, make(model.parameters(), **options)


def train(model, optimizer, steps):
    """Train on data that depend on the number of the step alone."""
    for number in steps:
        torch.manual_seed(100 + number)
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("options", ["saved", "current"])
@pytest.mark.parametrize("make", [Counting, InGroups, OwnForm])
def test_progress_goes_on_wherever_it_is_kept(tmp_path, make, options):
    """A run that is saved and loaded ends bit for bit as one that is not."""
    model, optimizer = pair(make)
    train(model, optimizer, BEFORE)
    path = save(tmp_path / "last.pt", model=model, optimizer=optimizer)
    other, fresh = pair(make, 1)
    load(path, model=other, optimizer=fresh, options=options)
    train(model, optimizer, AFTER)
    train(other, fresh, AFTER)
    assert torch.equal(model.weight, other.weight)


def test_current_options_stay_where_progress_is_loaded():
    """Of a group, what the class can be given stays, and what it counts is loaded."""
    model, optimizer = pair(InGroups)
    train(model, optimizer, BEFORE)
    fresh = pair(InGroups, 1, lr=0.5)[1]
    load_optimizer(fresh, optimizer.state_dict(), models=model, options="current", match="position")
    group = fresh.param_groups[0]
    assert (group["lr"], group["d"], group["step"]) == (0.5, 8.0, 3)


def test_a_word_in_the_state_is_counted_and_foreseen():
    """Beside what it keeps for parameters stands what it keeps for all together."""
    model, optimizer = pair(Counting)
    foreseen = state_memory(optimizer, predict=True)
    train(model, optimizer, BEFORE)
    assert [(row.name, row.bytes) for row in foreseen.rows] == [("sum", 60), ("k", 8)]
    assert state_memory(optimizer).rows == foreseen.rows
    rows = state_memory(optimizer, by="param").rows
    assert rows[-1] == ("all together", 8, 1)
    assert "State of all parameters together: 'k'" in str(describe(optimizer, model))
    assert not audit(optimizer, model).rows


def test_what_a_wrapper_keeps_beside_is_foreseen():
    """Where a wrapper writes into the state of what it wraps, a copy of the wrapper steps."""
    model, base = pair(SGD, lr=0.1, momentum=0.9)
    wrapper, weights = Around(base), model.weight.detach().clone()
    foreseen = state_memory(wrapper, predict=True)
    assert torch.equal(model.weight, weights)
    assert not base.state
    train(model, wrapper, BEFORE)
    assert foreseen.total == state_memory(wrapper).total == 120


@pytest.mark.parametrize(
    ("make", "size"),
    [(Masked, 12 + 60), (lambda params: Ahead(SGD(params, lr=0.1, momentum=0.9)), 2 * 60)],
    ids=["Masked", "Ahead"],
)
def test_what_comes_later_and_what_is_beside_is_foreseen(make, size):
    """State that is there in part is foreseen as a whole, and that of a wrapper with what it wraps."""
    model, optimizer = pair(make)
    foreseen = state_memory(optimizer, predict=True).total
    train(model, optimizer, BEFORE)
    assert foreseen == state_memory(optimizer).total == size


def test_torch_keeps_no_word():
    """A word in the state of one of torch's own classes is a mistake, and refused as before."""
    optimizer = pair(SGD, lr=0.1, momentum=0.9)[1]
    state_dict = optimizer.state_dict()
    state_dict["state"]["k"] = torch.ones(1)
    with pytest.raises(MismatchError, match="has state of no parameter: 'k'"):
        load_optimizer(optimizer, state_dict, match="position")


def test_a_form_of_its_own_is_for_its_class_alone(tmp_path):
    """What only one class can read is not given to another."""

    class Other(OwnForm):
        pass

    path = save(tmp_path / "last.pt", optimizer=pair(OwnForm)[1])
    message = (
        f"optimizer: {path} was saved by OwnForm, the current optimizer is Other. Make the same "
        "one: their state means different things."
    )
    with pytest.raises(MismatchError, match=re.escape(message)):
        load(path, optimizer=pair(Other)[1])


def test_a_state_dict_that_raises_is_refused_by_name(tmp_path):
    """The class is named, and what it raised; nothing is written."""
    message = (
        "state_dict() of Broken raises AttributeError: 'Broken' object has no attribute '_hooks'. "
        "Ask the authors of Broken, or give what it wraps."
    )
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=pair(Broken, lr=0.1)[1])
    assert not list(tmp_path.iterdir())


class Closed(SGD):
    """Its groups, or its state, can't be read any more: they are on another machine, say."""

    lost = ""

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "lost"):
            raise RuntimeError("it is on the server")
        return super().__getattribute__(name)


@pytest.mark.parametrize("lost", ["param_groups", "state"])
@pytest.mark.parametrize(
    "look",
    [
        lambda optimizer, *_: describe(optimizer),
        lambda optimizer, model, *_: audit(optimizer, model),
        lambda optimizer, *_: snapshot(optimizer),
        lambda optimizer, model, *_: diff(optimizer, SGD(model.parameters())),
        lambda optimizer, *_: state_memory(optimizer),
        lambda optimizer, *_: state_memory(optimizer, predict=True),
        lambda _, __, scheduler, *___: lr_curve(scheduler, 2),
        lambda optimizer, _, __, path: save(path, optimizer=optimizer),
        lambda optimizer, _, __, path: distributed.save(path, optimizer=optimizer),
        lambda optimizer, _, __, path: CheckpointDir(path).save(1, optimizer=optimizer),
        lambda optimizer, *_: add_param_group(optimizer, {"params": [torch.ones(1)]}),
    ],
)
def test_what_can_not_be_read_is_named(tmp_path, look, lost):
    """The class, what was asked for and what it raised: no traceback from within the kit."""
    model, optimizer = pair(Closed, lr=0.1)
    scheduler = StepLR(optimizer, 1)
    optimizer.lost = lost
    message = (
        f"Closed.{lost} raises RuntimeError: it is on the server. Ask the authors of Closed, or "
        "give what it wraps."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        look(optimizer, model, scheduler, tmp_path / "last")


def test_a_state_dict_that_no_load_takes_is_refused(tmp_path):
    """A class that reads what torch reads writes it, too."""

    class Silent(SGD):
        def state_dict(self):
            return None

    message = (
        "state_dict() of Silent returns a NoneType, not the dict with 'state' and 'param_groups' that "
        "its load_state_dict() takes. Ask the authors of Silent, or give what it wraps."
    )
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=pair(Silent, lr=0.1)[1])


def test_a_group_that_the_class_refuses(tmp_path):
    """What the class raises is said, and no scheduler knows the group."""

    class Fixed(SGD):
        def add_param_group(self, group):
            if self.param_groups:
                raise RuntimeError("the groups are flattened")
            super().add_param_group(group)

    optimizer = pair(Fixed, lr=0.1)[1]
    scheduler = StepLR(optimizer, 1)
    message = (
        "add_param_group() of Fixed raises RuntimeError: the groups are flattened. Ask the authors "
        "of Fixed, or give what it wraps."
    )
    with pytest.raises(GroupError, match=f"^{re.escape(message)}$"):
        add_param_group(optimizer, {"params": [("new", torch.ones(1))]}, schedulers=scheduler)
    assert scheduler.base_lrs == [0.1]


def test_a_container_that_is_empty_to_python(tmp_path):
    """A class with a length of 0 is an optimizer all the same."""

    class Container(SGD):
        def __len__(self):
            return 0

    model, optimizer = pair(Container, lr=0.1)
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    assert audit(optimizer, model).codes == ("differs-from-defaults",)
    other = StepLR(pair(Container, lr=0.1)[1], 1)
    with pytest.warns(UserWarning, match="drives an optimizer that is not saved with it"):
        save(tmp_path / "last.pt", optimizer=optimizer, scheduler=other)


def test_a_wrapper_without_a_state_dict(tmp_path):
    """The annotated transformer's NoamOpt counts steps that no state dict has: save what it holds."""

    class NoamOpt:
        def __init__(self, optimizer):
            self.optimizer, self._step = optimizer, 0

    message = "NoamOpt. Save its optimizer, and what it counts itself beside that, as plain values."
    with pytest.raises(UnsafeCheckpointError, match=f"{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=NoamOpt(pair(SGD, lr=0.1)[1]))


def test_a_schedule_that_may_be_given_a_metric():
    """The warm-up of pytorch-gradual-warmup-lr takes one for what follows it, and needs none."""

    class Warmup(LRScheduler):
        def get_lr(self):
            return [base * min(1.0, self.last_epoch / 2) for base in self.base_lrs]

        def step(self, epoch=None, metrics=None):
            super().step(epoch)

    assert lr_curve(Warmup(pair(SGD, lr=1.0)[1]), 3).lrs(0) == [0.0, 0.5, 1.0, 1.0]


def test_a_schedule_that_is_told_its_epoch():
    """The schedulers of timm count nothing themselves: what they are told is not known ahead."""

    class Told(LRScheduler):
        def get_lr(self):
            return list(self.base_lrs)

        def step(self, epoch=None):
            super().step()

    schedule = Told(pair(SGD, lr=1.0)[1])
    Told.step = lambda self, epoch: LRScheduler.step(self)
    message = "Told is told its epoch at each step: only the loop knows which"
    with pytest.raises(TypeError, match=f"^{message}$"):
        lr_curve(schedule, 3)


def test_groups_that_differ_from_each_other_are_meant_to():
    """A hand-made split into decay and no decay leaves the default to none; fused is no difference."""
    model = nn.Linear(2, 2)
    groups = [
        {"params": [model.weight], "weight_decay": 0.1},
        {"params": [model.bias], "weight_decay": 0.0, "foreach": False},
    ]
    optimizer = torch.optim.AdamW(groups)
    assert not audit(optimizer, model).rows
    optimizer.param_groups[1]["weight_decay"] = 0.1
    [row] = audit(optimizer, model).rows
    assert "weight_decay in group 0, group 1. A group" in row.message


def test_a_scheduler_that_is_given_explains_the_lr():
    """ReduceLROnPlateau leaves no initial_lr: that it has lowered the lr is no note."""
    model, optimizer = pair(SGD, lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for _ in range(3):
        scheduler.step(1.0)
    assert not audit(optimizer, model, schedulers=scheduler).rows
    assert audit(optimizer, model).codes == ("differs-from-defaults",)


def test_a_table_by_tensor_is_refused(tmp_path):
    """No load finds again what stands under a tensor; in a healthy run it is no orphan."""
    model, wrapper = pair(lambda params: ByTensor(SGD(params, lr=0.1, momentum=0.9)))
    train(model, wrapper, BEFORE)
    assert not audit(wrapper, model).rows
    message = (
        'optimizer["state"]["trac"]: a tensor is a key in it, and the one that is loaded is another. '
        "Take the names of the parameters as keys."
    )
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=wrapper)


def test_state_of_low_rank_fits():
    """A side that the group asks for is no wrong shape; any other is."""
    matrix = nn.Parameter(torch.ones(4, 8))
    matrix.grad = torch.ones(4, 8)
    optimizer = LowRank([matrix])
    optimizer.step()
    fresh = LowRank([nn.Parameter(torch.ones(4, 8))])
    load_optimizer(fresh, optimizer.state_dict(), match="position")
    assert not diff(optimizer, fresh).rows
    smaller = LowRank([nn.Parameter(torch.ones(3, 8))])
    with pytest.raises(MismatchError, match=re.escape("saved (4, 2), current (3, 8)")):
        load_optimizer(smaller, optimizer.state_dict(), match="position")


def test_a_key_that_the_class_writes_is_no_misspelling():
    """`is_cached` resembles the option `cached`; the code of the class has it."""
    model, optimizer = pair(Caching)
    train(model, optimizer, BEFORE)
    optimizer.param_groups[0]["cach" + "de"] = False
    [row] = audit(optimizer, model).rows
    assert row.code == "unknown-option"
    assert "cachde -> cached" in row.message


def test_state_that_is_made_of_tensors_is_looked_at_and_loaded():
    """A subclass without a clone is copied by its parts, compared, and counted at what it holds."""
    model, optimizer = pair(Keeping, form=quantized)
    train(model, optimizer, BEFORE)
    assert state_memory(optimizer).total == 15 + 2 * 4
    before = snapshot(optimizer, values="copy")
    assert not diff(before, optimizer).rows
    fresh = pair(Keeping, form=quantized)[1]
    load_optimizer(fresh, optimizer.state_dict(), match="position")
    assert not diff(before, fresh).rows
    kept = fresh.state[fresh.param_groups[0]["params"][0]]["kept"]
    assert kept.codes is not optimizer.state[model.weight]["kept"].codes
    kept.codes += 1
    assert [row.name for row in diff(before, fresh).rows] == ["params[0]"]


def test_what_an_object_holds_is_counted():
    """The bytes of tensors within an object of a class's own are bytes of the state."""
    model, optimizer = pair(Keeping, form=lambda param: Held(torch.ones_like(param)))
    train(model, optimizer, BEFORE)
    assert state_memory(optimizer).total == 60
    assert sum(row.bytes for row in describe(optimizer, model).rows) == 60


def test_a_schedule_that_reads_the_state_is_not_foreseen():
    """transformers' AdafactorSchedule asks the optimizer, whose state only real steps change."""

    class ByState(LRScheduler):
        def get_lr(self):
            state = self.optimizer.state
            return [len(state[group["params"][0]]) * 0.1 for group in self.optimizer.param_groups]

    schedule = ByState(pair(SGD, lr=0.1)[1])
    message = (
        "ByState fails at step 1, 3 were asked for: it reads the optimizer's state, which only real "
        "steps change"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        lr_curve(schedule, 3)


def test_an_optimizer_that_finds_its_own_rate():
    """timm's Adafactor has lr=None: audit passes over it, and lr_curve says what is so."""
    model, optimizer = pair(Counting, lr=None)
    schedule = StepLR(optimizer, 2)
    assert not audit(optimizer, model, schedulers=schedule).rows
    message = "Counting has lr=None, and finds its own: no schedule can set it"
    with pytest.raises(ValueError, match=f"^{message}$"):
        lr_curve(schedule, 3)
