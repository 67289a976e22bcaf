"""The schedulers of torch: what each class keeps, how one is copied, how a schedule is replayed."""

from __future__ import annotations

import copy
import inspect
import math
import random
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR

from ._errors import let_through
from ._values import copied, listed, plain, same
from ._wrappers import unwrapped

_MANY = 10_000  # items: more are data


def _restart_leaf(scheduler: Any) -> None:
    """Do what the constructor of every ordinary scheduler ends with, the first step included."""
    base_lrs = scheduler.base_lrs
    # torch/optim/lr_scheduler.py, 2.15: LRScheduler.__init__ counts from last_epoch = -1 and calls
    # _initial_step, whose step() also resets T_cur and T_i of CosineAnnealingWarmRestarts.
    lrs.LRScheduler.__init__(scheduler, scheduler.optimizer)
    scheduler.base_lrs = base_lrs  # CyclicLR's are not the groups' initial_lr


def _restart_chain(scheduler: Any) -> None:
    # torch/optim/lr_scheduler.py, 2.15: the chain keeps no count of its own.
    lrs.ChainedScheduler.__init__(scheduler, scheduler._schedulers, scheduler.optimizer)


def _restart_sequence(scheduler: Any) -> None:
    # torch/optim/lr_scheduler.py, 2.15: it undoes the first steps of all but the first.
    nested, milestones = scheduler._schedulers, scheduler._milestones
    lrs.SequentialLR.__init__(scheduler, scheduler.optimizer, nested, milestones)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the schedulers of a class keep, beyond what all do.

    What is neither progress nor listed as `neither` is configuration: the constructor decided it.
    """

    progress: tuple[str, ...] = ()  # moves with every step
    neither: tuple[str, ...] = ("base_lrs",)  # follows from the groups, or can't be compared
    # Lists with an entry for each group -> the key under which a new group may bring its entry.
    lists: Mapping[str, str] = field(default_factory=dict)
    in_groups: tuple[str, ...] = ()  # keys that it writes into the groups
    scaled: tuple[str, ...] = ()  # of lists and in_groups: in proportion to the lr at the start
    sets_lr: bool = False  # its arguments are where a group starts, not the optimizer's lr
    by_metric: bool = False  # steps by metrics of the past, which are gone
    fraction: str = ""  # of the progress, what may lie between two epochs
    nests: bool = False  # steps other schedulers
    restart: Callable[[Any], None] = _restart_leaf  # brings a copy to where it was when made


_MOMENTA = ("max_momentum", "base_momentum")
_BY_LAMBDA = Kept(neither=("base_lrs", "lr_lambdas"), lists={"lr_lambdas": "lr_lambda"})

Schedulers = lrs.LRScheduler | Iterable[lrs.LRScheduler]

SCHEDULERS: dict[type, Kept] = {
    lrs.LambdaLR: _BY_LAMBDA,
    lrs.MultiplicativeLR: _BY_LAMBDA,
    lrs.StepLR: Kept(),
    lrs.MultiStepLR: Kept(),
    lrs.ConstantLR: Kept(),
    lrs.LinearLR: Kept(),
    lrs.ExponentialLR: Kept(),
    lrs.PolynomialLR: Kept(),
    lrs.CosineAnnealingLR: Kept(),
    lrs.CosineAnnealingWarmRestarts: Kept(progress=("T_cur", "T_i"), fraction="T_cur"),
    lrs.ReduceLROnPlateau: Kept(
        progress=("last_epoch", "best", "num_bad_epochs", "cooldown_counter"),
        lists={"min_lrs": "min_lr"},
        by_metric=True,
    ),
    lrs.CyclicLR: Kept(
        neither=("_scale_fn_custom",),  # its base_lrs are its own
        lists={
            "max_lrs": "max_lr",
            "base_momentums": "base_momentum",
            "max_momentums": "max_momentum",
        },
        in_groups=_MOMENTA,
        scaled=("max_lrs",),
        sets_lr=True,
    ),
    lrs.OneCycleLR: Kept(
        neither=("base_lrs", "anneal_func"),  # the latter in the state of an older torch
        in_groups=("max_lr", "min_lr", *_MOMENTA),
        scaled=("max_lr", "min_lr"),
        sets_lr=True,
    ),
    SWALR: Kept(neither=("base_lrs", "anneal_func"), in_groups=("swa_lr",)),
    lrs.SequentialLR: Kept(nests=True, restart=_restart_sequence),
    lrs.ChainedScheduler: Kept(nests=True, restart=_restart_chain),
}
"""A row for each class; add one to teach the kit another. What all keep is in the next three."""

_PROGRESS = ("last_epoch", "_step_count", "_last_lr")
_NEITHER = (
    *("optimizer", "_schedulers", "verbose"),
    *("_get_lr_called_within_step", "_is_initial"),  # whether a step is under way
)
_LISTS = ("base_lrs", "_last_lr")


def kept_by(scheduler: object) -> Kept:
    """Return the row of a scheduler's class, or of the nearest class that it derives from."""
    return next(
        (SCHEDULERS[base] for base in type(scheduler).__mro__ if base in SCHEDULERS), Kept()
    )


def children_of(scheduler: Any) -> list[Any]:
    """List the schedulers that a SequentialLR or ChainedScheduler steps."""
    # torch/optim/lr_scheduler.py, 2.15: both keep them there, and no property leads to them.
    return list(getattr(scheduler, "_schedulers", ()))


def held_by(scheduler: Any) -> dict[str, Any]:
    """Return the schedulers among the attributes of one: a warm-up may hold what follows it."""
    return {key: each for key, each in vars(scheduler).items() if isinstance(each, lrs.LRScheduler)}


def members_of(scheduler: Any) -> list[Any]:
    """List a scheduler, then all that are nested in it."""
    found = [scheduler]
    for each in found:  # which grows
        inner = [*children_of(each), *held_by(each).values()]
        found += [new for new in inner if not any(new is old for old in found)]
    return found


def outermost(schedulers: Iterable[Any]) -> list[Any]:
    """List schedulers, each once, without those that are nested in others of them."""
    given = {id(each): each for each in schedulers}
    nested = {id(inner) for each in given.values() for inner in members_of(each)[1:]}
    return [each for key, each in given.items() if key not in nested]


def list_schedulers(schedulers: Schedulers) -> list[Any]:
    """List one scheduler or several, without those that another one of them holds."""
    one = hasattr(unwrapped(schedulers), "step")
    given = list(map(unwrapped, [schedulers] if one else listed(schedulers)))
    for scheduler in given:
        if not hasattr(scheduler, "step") or isinstance(scheduler, Optimizer):
            raise TypeError(
                f"schedulers must be learning rate schedulers, not {type(scheduler).__name__}"
            )
    return outermost(given)


def lists_of(scheduler: Any) -> list[str]:
    """Name the lists of a scheduler that have an entry for each group."""
    return [name for name in (*_LISTS, *kept_by(scheduler).lists) if hasattr(scheduler, name)]


def list_names() -> list[str]:
    """Name all such lists: a class without a row may keep one under the same name."""
    rows = SCHEDULERS.values()
    return list(dict.fromkeys([*_LISTS, *(name for row in rows for name in row.lists)]))


def keys_in_groups() -> frozenset[str]:
    """Return all keys that schedulers write into groups, or a new group brings for them."""
    keys = {key for row in SCHEDULERS.values() for key in (*row.in_groups, *row.lists.values())}
    return frozenset(keys | {"initial_lr"}) - {"lr_lambda"}


def no_option_of_any() -> frozenset[str]:
    """Return all keys of a state that are configuration in no class."""
    return frozenset({*_NEITHER, *(key for row in SCHEDULERS.values() for key in row.neither)})


def configuration_of(scheduler: Any) -> list[str]:
    """Name the entries of a scheduler's state that are its configuration."""
    kept = kept_by(scheduler)
    other = {*_PROGRESS, *_NEITHER, *kept.progress, *kept.neither}
    if type(scheduler) in SCHEDULERS:
        return [
            key
            for key, value in vars(scheduler).items()
            if key not in other and not callable(value)
        ]
    taken = {name for base in type(scheduler).__mro__[:-1] for name in _arguments(base)}
    return [key for key in vars(scheduler) if key in taken - other - held_by(scheduler).keys()]


def configuration_in_groups(scheduler: Any) -> list[str]:
    """Name the keys of its groups that are a scheduler's configuration, and no list of it."""
    kept = kept_by(scheduler)
    return [key for key in kept.in_groups if key not in kept.lists.values()]


def _arguments(kind: type) -> Iterable[str]:
    try:
        return list(inspect.signature(kind.__init__).parameters)  # type: ignore[misc]
    except (TypeError, ValueError):
        return ()


class Copies:
    """Copies of schedulers; they drive stubs that have an optimizer's options, and no state.

    Objects that live ones share are shared by their copies.
    """

    def __init__(self) -> None:
        self._copies: dict[int, Any] = {}  # id -> copy, as copy.deepcopy takes it

    def stub_of(self, optimizer: Optimizer) -> Optimizer:
        """Return an optimizer's stub: its step does nothing, its parameters are the live ones."""
        outer, optimizer = optimizer, unwrapped(optimizer)
        if id(optimizer) in self._copies:
            return self._copies.setdefault(id(outer), self._copies[id(optimizer)])  # type: ignore[no-any-return]
        stub: Any = object.__new__(type(optimizer))
        self._copies[id(optimizer)] = self._copies[id(outer)] = stub
        for key, value in vars(optimizer).items():
            stub.__dict__[key] = OrderedDict() if key.endswith("_hooks") else value
        stub.step = _stepped.__get__(stub)
        stub._opt_called = True  # torch/optim/lr_scheduler.py, 2.15: else step() warns of the order
        stub.state = _NoState()
        stub.defaults = dict(getattr(optimizer, "defaults", {}))
        # A method for a lambda leads to its object, which may lead to the model.
        params = [param for group in optimizer.param_groups for param in group.get("params", ())]
        self._copies.update((id(param), param) for param in params)
        stub.param_groups = [
            {key: self._option(value) for key, value in group.items()}
            for group in optimizer.param_groups
        ]
        return stub  # type: ignore[no-any-return]

    def _option(self, value: Any) -> Any:
        """Copy what may be written into; groups and a scheduler go on sharing one tensor lr."""
        if isinstance(value, Tensor):
            return self._copies.setdefault(id(value), value.detach().clone())
        return list(value) if isinstance(value, list) else value

    def copy_of(self, scheduler: Any) -> Any:
        """Return the copy of a scheduler; it drives the stub, and copies of what it nests."""
        if id(scheduler) not in self._copies:
            self.stub_of(scheduler.optimizer)
            made = self._copies[id(scheduler)] = object.__new__(type(scheduler))
            for key, value in vars(scheduler).items():
                made.__dict__[key] = self.value_of(value)
        return self._copies[id(scheduler)]

    def value_of(self, value: Any) -> Any:
        """Copy what a scheduler may change as it steps."""
        if id(value) in self._copies:
            return self._copies[id(value)]
        if isinstance(value, lrs.LRScheduler):
            return self.copy_of(value)
        if isinstance(value, FunctionType):
            return self._function_of(value)
        if isinstance(value, MethodType):
            own = self.value_of(value.__self__)
            return MethodType(value.__func__, copy.copy(own) if own is value.__self__ else own)
        if isinstance(value, partial):
            return partial(
                self.value_of(value.func),
                *map(self.value_of, value.args),
                **{key: self.value_of(each) for key, each in value.keywords.items()},
            )
        if type(value) is list and any(
            callable(each) or isinstance(each, lrs.LRScheduler) for each in value
        ):
            return list(map(self.value_of, value))
        try:
            return copy.deepcopy(value, self._copies)
        except (
            Exception
        ) as error:  # a writer, a lock: what can't be copied is no part of a schedule
            let_through(error)
            if isinstance(value, Iterator):
                return _Unseen(type(value).__name__)
            return copy.copy(value) if type(value) is list else value

    def _function_of(self, function: FunctionType) -> FunctionType:
        """Copy a function, with what it may keep from call to call."""
        cells = [
            self._copies.setdefault(id(each), CellType()) for each in function.__closure__ or ()
        ]
        space = dict(function.__globals__)
        made = FunctionType(function.__code__, space, function.__name__, None, tuple(cells))
        self._copies[id(function)] = made
        for cell, mine in zip(function.__closure__ or (), cells, strict=True):
            with suppress(ValueError):  # nothing is in it yet
                mine.cell_contents = self._kept(cell.cell_contents, function)
        for name in names_in(function.__code__) & space.keys():
            space[name] = self._kept(space[name], function)
        made.__defaults__ = self.value_of(function.__defaults__)
        made.__kwdefaults__ = self.value_of(function.__kwdefaults__)
        made.__dict__.update(self.value_of(function.__dict__))
        return made

    def _kept(self, value: Any, function: FunctionType) -> Any:
        """Copy what a function names, where it may write into it: no model, no data, no library."""
        known = id(value) in self._copies or isinstance(value, lrs.LRScheduler)
        of_others = isinstance(value, FunctionType) and value.__module__ != function.__module__
        if not known and (of_others or _is_shared(value)):
            return value
        with suppress(Exception):  # a proxy of nothing
            self._share_within(value)
        return self.value_of(value)

    def _share_within(self, value: Any) -> None:
        """Have copy.deepcopy share the models and the data that an object leads to, as a trainer does."""
        waiting, seen = [value], set()
        while waiting:
            each = waiting.pop()
            if id(each) in seen or id(each) in self._copies or isinstance(each, lrs.LRScheduler):
                continue
            seen.add(id(each))
            if _is_shared(each):
                self._copies[id(each)] = each
            elif isinstance(each, (list, tuple)):
                waiting += each
            else:
                held = each if isinstance(each, dict) else getattr(each, "__dict__", {})
                waiting += held.values()


def _is_shared(value: Any) -> bool:
    """Return whether a value is a model, a library, or what a run trains on, by its class or size."""
    if isinstance(value, (ModuleType, type, nn.Module, Optimizer)):
        return True
    if any(base.__module__.startswith("torch.utils.data") for base in type(value).__mro__):
        return True
    if isinstance(value, Tensor):
        return is_lazy(value) or value.numel() > _MANY
    return isinstance(value, (list, dict, set)) and len(value) > _MANY


def names_in(code: CodeType) -> set[str]:
    """Return the names that code has, and the functions in it: of globals, among others."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return {*code.co_names}.union(*map(names_in, inner))


class UnforeseenError(RuntimeError):
    """A schedule follows what can't be looked at."""


class _Unseen:
    """Stands for a generator, which gives each number once."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __iter__(self) -> _Unseen:
        return self

    def __next__(self) -> Any:
        raise UnforeseenError(
            f"it takes numbers from a {self._kind}, which gives each of them once"
        )


class _NoState(dict[Any, Any]):
    """Stands for the state of an optimizer that does not step."""

    def __missing__(self, key: object) -> Any:
        raise RuntimeError("it reads the optimizer's state, which only real steps change")


def _stepped(self: object) -> None:
    """Stand for ``optimizer.step``."""


# torch/optim/lr_scheduler.py, 2.15: LRScheduler.__init__ wraps a step that is not marked so.
_stepped._wrapped_by_lr_sched = True  # type: ignore[attr-defined]


def steps_made(state: Mapping[str, Any]) -> int:
    """Count the steps of a scheduler by its state: its attributes, or a state dict."""
    if "last_epoch" in state:
        return int(state["last_epoch"])
    nested = state.get("_schedulers", ())
    return max((steps_made(e if isinstance(e, Mapping) else vars(e)) for e in nested), default=0)


def outpaces(state: Mapping[str, Any], taken: float) -> bool:
    """Return whether a scheduler has made more steps than its optimizer, by its state, not just a few."""
    # Not what last_epoch= has told it when it was made.
    # CosineAnnealingWarmRestarts has a step() of its own, which does not count.
    made = steps_made(state)
    if counted_so := state.get("_step_count", 0):
        made = min(made, counted_so - 1)
    return 1.2 * taken + 10 < made


def last_lrs(state: Mapping[str, Any]) -> Sequence[Any] | None:
    """Return the lr of each group that a scheduler has set last, by its state; None if not known."""
    # torch/optim/lr_scheduler.py, 2.15: get_last_lr() returns it, and fails where there is none.
    lrs = state.get("_last_lr")
    if state.get("_step_count", 2) == 1 and state.get("last_epoch", 0) > 0:
        # Ignite's LRScheduler counts for it, and never steps it: what it has set is not known.
        lrs = None if same(lrs, state.get("base_lrs")) else lrs
    return list(map(plain, lrs)) if isinstance(lrs, (list, tuple)) else None


def lrs_agree(expected: Sequence[Any], actual: Sequence[Any], tolerance: float = 1e-6) -> bool:
    """Return whether two lists of lr are equal, but for rounding; extra groups are not judged."""
    scale = max((abs(lr) for lr in expected if isinstance(lr, (int, float))), default=0.0)
    return all(
        not (isinstance(one, (int, float)) and isinstance(other, (int, float)))
        or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance * scale)
        for one, other in zip(expected, actual, strict=False)
    )


def restart(scheduler: Any) -> None:
    """Bring a copy, and those nested in it, to where they began; the groups must have that lr."""
    for child in children_of(scheduler):
        restart(child)
    kept_by(scheduler).restart(scheduler)


def steps_to(scheduler: Any, state: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield the calls that lead a copy from where it is to where a state is, later on."""
    key, now = kept_by(scheduler).fraction, vars(scheduler)
    if key and (now[key] % 1 or state[key] % 1):
        yield partial(scheduler.step, steps_made(state) + state[key] % 1)
        return
    for _ in range(steps_made(state) - steps_made(now)):
        yield scheduler.step


def replay(scheduler: Any, state: Mapping[str, Any]) -> None:
    """Bring a copy to where a saved state is, by its own configuration."""
    kept = kept_by(scheduler)
    if kept.by_metric:  # what it has counted is all there is
        vars(scheduler).update({key: copied(state[key]) for key in kept.progress if key in state})
        return
    if steps_made(state) < steps_made(vars(scheduler)):
        for group in scheduler.optimizer.param_groups:
            group["lr"] = copied(group.get("initial_lr", group["lr"]))
        restart(scheduler)
    for step in steps_to(scheduler, state):
        step()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let copies step unheard: warnings are dropped, and random numbers put back."""
    python = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    drawn = numpy.random.get_state(legacy=False) if numpy else None
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the live scheduler has said it, or will
        try:
            yield
        finally:
            random.setstate(python)
            if drawn is not None:
                numpy.random.set_state(drawn)
