"""Optimizers of other packages keep what torch's do not: each class here has one such trait, and no more.

`nox -s atlas` looks at the packages themselves.
"""

import re
from collections import Counter, deque, namedtuple

import numpy
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
    rows = audit(optimizer, model).rows
    [row] = [each for each in rows if each.code == "differs-from-defaults"]
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


Pair = namedtuple("Pair", "one other")

# What torch's own loading makes something else of, or fails at.
FORMS = {
    "set": lambda _: {"a", "b"},
    "Counter": lambda _: Counter(a=2),
    "Parameter": lambda param: nn.Parameter(torch.zeros_like(param)),
    "array": lambda _: numpy.zeros(3),
    "deque": lambda param: deque([torch.zeros_like(param, dtype=torch.float64)], maxlen=2),
    "names": lambda _: Pair(1, [2]),
    "object": lambda _: Held(torch.zeros(2)),
    "range": lambda _: range(3),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_tensor_is_loaded_as_it_was(tmp_path, form):
    """Each has its type, its values, and no part of what it was loaded from."""
    model, optimizer = pair(Keeping, form=FORMS[form])
    train(model, optimizer, BEFORE)
    other, fresh = pair(Keeping, 1, form=FORMS[form])
    if form in ("set", "Counter", "Parameter"):
        load(save(tmp_path / "last.pt", optimizer=optimizer), optimizer=fresh)
    else:
        with pytest.raises(UnsafeCheckpointError, match="refuses"):
            save(tmp_path / "last.pt", optimizer=optimizer)
        load_optimizer(fresh, optimizer.state_dict(), match="position")
    was, now = optimizer.state[model.weight]["kept"], fresh.state[other.weight]["kept"]
    assert type(now) is type(was)
    assert now is not was or form == "range"
    assert form == "object" or not diff(optimizer, fresh).rows
    assert getattr(now, "maxlen", None) == getattr(was, "maxlen", None)
    if form == "object":
        assert now.tensor is not was.tensor


class Together(Optimizer):
    """Counts for all parameters in one tensor, which is in the state of each."""

    size = 1

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        params = self.param_groups[0]["params"]
        count = self.state[params[0]].setdefault("count", torch.zeros(self.size))
        count += 1
        for param in params:
            shared = self.state[param].setdefault("count", count)
            with torch.no_grad():
                param -= self.param_groups[0]["lr"] / shared[0] * param.grad


@pytest.mark.parametrize("size", [1, 1000])  # what is large is read in place
def test_a_tensor_that_parameters_share_is_shared_again(tmp_path, monkeypatch, size):
    """A run goes on bit for bit where one count is in the state of all."""
    monkeypatch.setattr(Together, "size", size)
    model, optimizer = pair(Together)
    train(model, optimizer, BEFORE)
    path = save(tmp_path / "last.pt", model=model, optimizer=optimizer)
    other, fresh = pair(Together, 1)
    load(path, model=other, optimizer=fresh)
    train(model, optimizer, AFTER)
    train(other, fresh, AFTER)
    assert torch.equal(model.weight, other.weight)


class Keyed(Optimizer):
    """Keeps what is of all parameters under a key that is no parameter."""

    def __init__(self, params, key=None, lr=0.1):
        self.key = key
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        count = self.state.setdefault(self.key, {"count": 0})
        count["count"] += 1
        for param in self.param_groups[0]["params"]:
            with torch.no_grad():
                param -= self.param_groups[0]["lr"] / count["count"] * param.grad


@pytest.mark.parametrize("key", ["all", None, ("all", 1)])
def test_a_key_that_is_no_parameter_is_kept(tmp_path, key):
    """A word, a pair of them, nothing: what torch takes along is taken along."""
    model, optimizer = pair(Keyed, key=key)
    train(model, optimizer, BEFORE)
    fresh = pair(Keyed, 1, key=key)[1]
    load(save(tmp_path / "last.pt", optimizer=optimizer), optimizer=fresh)
    assert fresh.state[key] == {"count": 3}


@pytest.mark.parametrize("key", [0, 99, True])
def test_a_number_as_a_key_is_refused(tmp_path, key):
    """In a state dict it stands for a parameter, and torch writes one over the other."""
    model, optimizer = pair(Keyed, key=key)
    train(model, optimizer, BEFORE)
    message = (
        f"Keyed keeps state under {key!r}, and in state_dict() a number stands for a parameter. Keep "
        "it under a word."
    )
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=optimizer)


def test_what_load_would_refuse_is_not_saved(tmp_path):
    """A hook that gives the state other keys; a word of the script's in a class of torch."""
    model, optimizer = pair(SGD, lr=0.1, momentum=0.9)
    train(model, optimizer, BEFORE)
    optimizer.state["epoch"] = 3
    message = (
        "optimizer: what would be saved has state of no parameter: 'epoch': load would refuse it. A "
        "hook, the class or the script has put it there. Save state_dict() itself, as a plain value, "
        "and give that to load_state_dict()."
    )
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=optimizer)
    del optimizer.state["epoch"]
    model, adam = pair(torch.optim.Adam)
    train(model, adam, BEFORE)

    def renamed(optimizer, state_dict):
        return {**state_dict, "state": {0: {"count": 1}}}

    adam.register_state_dict_post_hook(renamed)
    with pytest.raises(
        UnsafeCheckpointError, match=r"what would be saved lacks .*: load would refuse"
    ):
        save(tmp_path / "last.pt", optimizer=adam)
    assert load(save(tmp_path / "last.pt", optimizer=adam.state_dict()))["optimizer"]["state"]


def test_what_hooks_load_stays(tmp_path):
    """A hook saves another dtype, and one loads the first again: that is not made undone."""

    def to(dtype):
        def changed(_, state_dict):
            state = {
                place: {
                    key: value.to(dtype) if value.ndim else value for key, value in each.items()
                }
                for place, each in state_dict["state"].items()
            }
            return {**state_dict, "state": state}

        return changed

    def hooked(start):
        model, optimizer = pair(torch.optim.Adam, start)
        optimizer.register_state_dict_post_hook(to(torch.float64))
        optimizer.register_load_state_dict_pre_hook(to(torch.float32))
        return model, optimizer

    model, optimizer = hooked(0)
    train(model, optimizer, BEFORE)
    path = save(tmp_path / "last.pt", model=model, optimizer=optimizer)
    other, fresh = hooked(1)
    load(path, model=other, optimizer=fresh)
    train(model, optimizer, AFTER)
    train(other, fresh, AFTER)
    assert torch.equal(model.weight, other.weight)


def test_a_state_that_torch_can_not_load_is_refused(tmp_path):
    """Torch writes the state past a property, and a state that holds itself has no end."""

    class Behind(SGD):
        state = property(
            lambda self: vars(self)["held"], lambda self, new: vars(self).update(held=new)
        )

    message = (
        "Behind.state is a property, and load_state_dict() of torch writes past it: what would be "
        "saved could not be loaded. Give what Behind wraps, or its class a load_state_dict() of its own."
    )
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=pair(Behind, lr=0.1)[1])
    model, optimizer = pair(SGD, lr=0.1)
    optimizer.state[model.weight]["itself"] = optimizer.state[model.weight]
    message = "state_dict() of SGD holds itself, or is nested too deep to be pickled. Save what is in it, flat."
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=optimizer)


class Slow(Optimizer):
    """Keeps slow weights in its group."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.param_groups[0]["slow"] = [torch.zeros(1) for _ in self.param_groups[0]["params"]]

    def step(self, closure=None):
        for each in self.param_groups[0]["slow"]:
            each += 1


def test_tensors_in_a_group_are_progress(tmp_path):
    """Nobody gives a class a list of tensors as an option: current options leave those that were saved."""
    model, optimizer = pair(Slow)
    train(model, optimizer, BEFORE)
    fresh = pair(Slow, lr=0.5)[1]
    load(save(tmp_path / "last.pt", optimizer=optimizer), optimizer=fresh, options="current")
    assert fresh.param_groups[0]["lr"] == 0.5
    assert fresh.param_groups[0]["slow"] == [3, 3]


TABLE = {}


class Outside(Optimizer):
    """Keeps what it counts outside of itself: in its module, and in its class."""

    counted = torch.zeros(1)

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        global TABLE
        TABLE.setdefault("steps", torch.zeros(1))
        TABLE["steps"] += 1
        TABLE = dict(TABLE)
        Outside.counted += 1
        for param in self.param_groups[0]["params"]:
            self.state[param]["sum"] = torch.zeros_like(param)


def test_what_a_class_keeps_outside_is_put_back():
    """To foresee its state, nothing in its module or its class changes."""
    model, optimizer = pair(Outside)
    train(model, optimizer, BEFORE)
    before = TABLE
    assert state_memory(optimizer, predict=True).total == 60
    assert TABLE is before
    assert TABLE["steps"] == Outside.counted == 3


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no words")


def test_what_can_not_be_printed_is_named():
    """A value of the state, or an option, of which repr() raises."""
    model, optimizer = pair(SGD, lr=0.1, momentum=0.9)
    train(model, optimizer, BEFORE)
    before = snapshot(optimizer, values="copy")
    optimizer.state[model.weight]["kept"] = Unprintable()
    optimizer.param_groups[0]["told"] = Unprintable()
    found = diff(before, optimizer)
    assert str(found).count("<Unprintable, which can't be printed>") == 2
    assert found.to_dict()["state"][0]["after"] == "<Unprintable, which can't be printed>"
    assert "told=<Unprintable, which can't be printed>" in str(describe(optimizer, model))
    assert audit(optimizer, model).codes == ("unread-key",)


@pytest.mark.parametrize("make", [SGD, torch.optim.LBFGS])
def test_an_optimizer_of_lazy_modules(tmp_path, make):
    """It is looked at; what has no shape yet is not saved, and one forward pass is the remedy."""
    model = nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 1))
    optimizer = make(model.parameters(), lr=0.1)
    assert not audit(optimizer, model).at_least("warning")
    message = (
        f"{make.__name__} holds parameters of lazy modules, which have no shape yet. Run the model "
        "once, then save."
    )
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        save(tmp_path / "last.pt", optimizer=optimizer)
    model(torch.ones(1, 3))
    assert save(tmp_path / "last.pt", optimizer=optimizer).exists()


def test_groups_of_nothing():
    """A file without groups is told from the optimizer that has some."""
    optimizer = pair(SGD, lr=0.1)[1]
    with pytest.raises(
        MismatchError, match=r"has 0 groups, the current optimizer 1 group of 2 param"
    ):
        load_optimizer(optimizer, {"state": {}, "param_groups": []}, match="position")
