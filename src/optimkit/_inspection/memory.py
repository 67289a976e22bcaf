"""The bytes of an optimizer's state: of what there is, or of what the first step will make."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache, partial
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from .._errors import first_few
from .._optimizer_view import Held, OptimizerView, Source, view_of, view_of_any
from .._tables import Table
from .._torch_optimizers import (
    flat_dtype,
    flat_size,
    keys_of,
    layouts_of,
    required_keys,
    shape_of,
)
from .._torch_schedulers import names_in, undisturbed
from .._values import PLAIN, dtype_name, local, nbytes, parts_of, tensors_held, tensors_in
from .._wrappers import layers, own_state_of, unwrapped

By = Literal["key", "group", "param", "dtype", "device"]
State = Mapping[str, Any]

# A meta tensor has no values to fuse, capture or differentiate; what is kept is the same.
_FAST = {"fused", "capturable", "differentiable"}
_LARGE = 2**26  # so many bytes are not copied to find out
_CACHED = type(lru_cache(len))
# What two objects may share, though a step of one runs: it does not change.
_FIXED: tuple[Any, ...] = (
    *PLAIN,
    *(complex, bytes, tuple, frozenset, FunctionType, BuiltinFunctionType, CellType),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)


class MemoryRow(NamedTuple):
    """What some of the state takes.

    Parameters
    ----------
    name : str
        A state key, a group, a parameter, a data type or a device.
    bytes, tensors : int
        The bytes of its tensors, and how many there are.

    Examples
    --------
    >>> MemoryRow("exp_avg", 4000, 1).bytes
    4000
    """

    name: str
    bytes: int
    tensors: int


class MemoryTable(Table):
    """The bytes of an optimizer's state; see :func:`optimkit.state_memory`.

    Parameters
    ----------
    rows, caption : iterable of MemoryRow, str
        The records; whose state it is, and how it was found.

    Examples
    --------
    >>> table = MemoryTable([MemoryRow("exp_avg", 4000, 1), MemoryRow("step", 4, 1)], "State")
    >>> table.total, table.rows[0].name
    (4004, 'exp_avg')
    """

    rows: tuple[MemoryRow, ...]

    def __init__(self, rows: Iterable[MemoryRow], caption: str) -> None:
        super().__init__(tuple(rows), MemoryRow._fields, caption, summed="bytes")

    @property
    def total(self) -> int:
        """The sum of the bytes."""
        return sum(row.bytes for row in self.rows)


def state_memory(optimizer: Source, by: By = "key", predict: bool = False) -> MemoryTable:
    """Count the bytes of an optimizer's state.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, mapping, str or os.PathLike
        The optimizer, its state dict, or a checkpoint.
    by : {"key", "group", "param", "dtype", "device"}, optional
        What each row is for.
    predict : bool, optional
        Whether to count, for each trainable parameter without state, what its first step will
        make. Of torch's classes that is known; of another class a copy steps, which shares nothing
        with the live optimizer, and has no values if they take more than 64 MiB. Where a step
        needs a closure, it gets one of the copy's weights alone: yours is never called.

    Returns
    -------
    MemoryTable
        Rows of `name`, `bytes` and `tensors`; ``.total`` is the sum of the bytes. A DTensor
        counts what this rank holds of it.

    Raises
    ------
    TypeError, ValueError
        If `optimizer` is nothing of the kind, or no live one with `predict`; if `by` is none of
        the five.
    NotImplementedError
        If that can't be predicted: a class needs values, or can't be copied whole.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(100, 100)
    >>> print(state_memory(torch.optim.AdamW(model.parameters()), predict=True))
    State of AdamW, after the first step
    name        bytes  tensors
    ----------  -----  -------
    step            8        2
    exp_avg     40400        2
    exp_avg_sq  40400        2
    ----------  -----  -------
    total       80808
    """
    if by not in get_args(By):
        raise ValueError(f"by must be one of {', '.join(get_args(By))}, not {by!r}")
    if not predict:
        view = view_of_any(optimizer)
        states, words, how = _with_own(optimizer, view.params, view.states), view.words, ""
    elif isinstance(live := unwrapped(optimizer), Optimizer):
        view = view_of(live)
        states, words, how = _predicted(view, optimizer if _keeps_more(optimizer) else live)
        how = f", after the first step{how}"
    else:
        raise TypeError(
            "predict=True needs a torch.optim.Optimizer, which knows how it steps, "
            f"not {type(optimizer).__name__}"
        )
    sums: dict[str, list[int]] = {}
    seen: set[int] = set()
    for name, tensor in _pieces(view, states, words, by):
        if id(tensor) not in seen:  # one tensor may be in several lists
            seen.add(id(tensor))
            entry = sums.setdefault(name, [0, 0])
            entry[0] += nbytes(tensor)
            entry[1] += 1
    rows = (MemoryRow(name, *entry) for name, entry in sums.items())
    return MemoryTable(rows, f"State of {view.kind}{how}")


def _pieces(
    view: OptimizerView, states: list[State], words: State, by: By
) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor of the state, and the row it counts in."""
    labels = view.labels
    rows = [
        (each, labels[each.group], state) for each, state in zip(view.held, states, strict=True)
    ]
    together = Held("all together", None, 0, {}, words)  # what a class keeps for all parameters
    for held, group, state in [*rows, (together, together.name, words)]:
        for key, value in state.items():
            for tensor in tensors_held(value):
                row = {
                    "key": str(key),
                    "group": group,
                    "param": held.name,
                    "dtype": dtype_name(tensor.dtype),
                    "device": _device(tensor, held.param, held.options),
                }
                yield row[by], tensor


def _device(tensor: Tensor, param: Any, options: Mapping[str, Any]) -> str:
    """Name the device: of a predicted tensor, the one that it will be on."""
    moved = tensor.ndim == 0 and tensor.device.type == "cpu"
    moved = moved and bool(options.get("fused") or options.get("capturable"))
    if isinstance(param, Tensor) and (tensor.is_meta or moved):
        return str(param.device)
    return str(tensor.device)


def _with_own(wrapper: Any, params: list[Any], states: list[State]) -> list[State]:
    """Return the state of parameters, with what a wrapper keeps for them beside it."""
    own = own_state_of(wrapper)
    pairs = zip(params, states, strict=True)
    return [{**own.get(param, {}), **state} for param, state in pairs] if own else states


def _keeps_more(optimizer: Any) -> bool:
    """Return whether a wrapper writes into the state of what it wraps, by its code."""
    for each in layers(optimizer)[:-1]:
        with contextlib.suppress(OSError, TypeError):  # of a class made on the way there is no code
            if ".state[" in inspect.getsource(type(each)):
                return True
    return False


def _predicted(view: OptimizerView, optimizer: Any) -> tuple[list[State], State, str]:
    """Return the state that each parameter has, or will have after its first step; that of all."""
    states, words = list(view.states), view.words
    trained = [
        place
        for place, param in enumerate(view.params)
        if isinstance(param, Tensor) and param.requires_grad
    ]
    missing = [place for place in trained if not tensors_in(states[place])]
    lazy = sum(is_lazy(view.params[place]) for place in missing)
    if lazy:
        raise NotImplementedError(
            f"{lazy} lazy parameters have no shape yet: run the model once before predict=True"
        )
    kind = view.torch_class if optimizer is view.optimizer else None
    if kind == "LBFGS" and missing:
        if not any(states):
            states[0] = _full_history(view)
        return states, words, ", with a full history"
    found: Iterable[State]
    if kind:
        options = [view.options[view.group_of[each]] for each in missing]
        found = map(partial(_first_state, kind), [view.params[each] for each in missing], options)
    else:  # some make a part of it when they are built
        try:
            found, words = _stepped_apart(optimizer, [view.params[each] for each in trained])
        except NotImplementedError:
            if missing:
                raise
            return states, words, ""
        missing = trained
    for place, state in zip(missing, found, strict=True):
        states[place] = state
    return states, words, ""


def _first_state(kind: str, param: Tensor, options: Mapping[str, Any]) -> State:
    """Return what the first step of a class of torch makes for a parameter: nothing has to step."""
    param = local(param)
    keys = required_keys(kind, param.ndim > 1, options, first=True)
    # torch/optim/optimizer.py, 2.15: _get_scalar_dtype
    double = torch.get_default_dtype() == torch.float64 and not options.get("fused")
    scalar = torch.float64 if double else torch.float32
    state = {}
    for key in [key for key in keys_of(kind) if key in keys]:
        if layouts_of(key) == {"scalar"}:
            state[key] = torch.zeros((), dtype=scalar)
        else:
            shape = shape_of(kind, key, tuple(param.shape)) or ()
            state[key] = torch.empty(shape, dtype=param.dtype, device="meta")
    return state


# The step of any other class is foreign code. It may write into whatever the optimizer leads to: the
# parameters, an optimizer within, a table of its own. So a copy steps, which leads to nothing of
# the live optimizer's; a large one has no values.


def _stepped_apart(optimizer: Any, params: list[Tensor]) -> tuple[list[State], State]:
    """Step a copy once, and return the state that it makes for each parameter, and for all."""
    tensors = [each for each in _reached(optimizer).values() if isinstance(each, Tensor)]
    small = sum(map(nbytes, tensors)) <= _LARGE and not any(each.is_meta for each in tensors)
    alone = not (dist.is_available() and dist.is_initialized())  # else it may wait for other ranks
    step = inspect.unwrap(type(optimizer).step)  # without the hooks, the user's
    takes_closure = "closure" in inspect.signature(step).parameters
    refusals: dict[bool, NotImplementedError] = {}
    for values in (True, False) if small and alone else (False,):
        for closed in (False, True) if takes_closure else (False,):
            try:
                return _stepped(optimizer, params, values, closed)
            except NotImplementedError as refusal:
                refusals[values] = refusal
                if refusal.__cause__ is None:  # it has stepped: a closure makes no difference
                    break
    raise next(iter(refusals.values()))


def _stepped(
    optimizer: Any, params: list[Tensor], values: bool, closed: bool
) -> tuple[list[State], State]:
    try:
        with undisturbed(), torch.no_grad(), _rest_kept(optimizer):
            copied, stubs = _apart(optimizer, params, values)
            shared = _shared(optimizer, copied)
            if not shared:
                _step(copied, stubs, closed)
    except Exception as error:
        without = "" if values else ", which has no values,"
        reason = f"a step of its copy{without} fails ({type(error).__name__}: {error})"
        raise _refusal(optimizer, reason) from error
    if shared:
        raise _refusal(optimizer, f"its step may change {first_few(shared)}, which no copy can own")
    made = view_of(copied)
    states = _with_own(copied, stubs, [made.state.get(stub) or {} for stub in stubs])
    lacking = sum(not any(map(tensors_held, state.values())) for state in states)
    if lacking and not (values and lacking == len(states)):  # as plain SGD, which keeps nothing
        raise _refusal(optimizer, f"its step makes none for {lacking} of {len(stubs)} parameters")
    owned = [{id(each) for each in tensors_in(state) if each.is_meta} for state in states]
    if len(set[int]().union(*owned)) < sum(map(len, owned)):  # a table by address, as heavyball's
        raise _refusal(optimizer, "its step takes parameters without values for one another")
    values_of = [value for state in states for value in state.values()]
    if odd := sorted({type(value).__name__ for value in values_of if not _is_known(value)}):
        what = f"its step makes {first_few(odd)}, of which the bytes are not known"
        raise _refusal(optimizer, what)
    if closed and any(isinstance(value, (list, tuple)) for value in values_of):
        raise _refusal(optimizer, "it makes lists, whose length may depend on the closure's loss")
    return states, made.words


@contextlib.contextmanager
def _rest_kept(optimizer: Any) -> Iterator[None]:
    """Put back what a step writes outside the optimizer: into classes, and globals its code names."""
    reached = [each for each in _reached(optimizer).values() if isinstance(each, Optimizer)]
    kinds = {kind for each in reached for kind in type(each).__mro__}
    own = [kind for kind in kinds if not kind.__module__.startswith("torch")]
    before = {kind: dict(vars(kind)) for kind in own}
    named = list(_globals_of(own))
    values = [value for held in before.values() for value in held.values()]
    tables, tensors = _kept_in([*values, *(value for *_, value in named)])
    try:
        yield
    finally:
        for kind, held in before.items():
            for name in [name for name, value in vars(kind).items() if held.get(name) is not value]:
                delattr(kind, name)
            for name in held.keys() - vars(kind).keys():
                setattr(kind, name, held[name])
        for space, name, value in named:
            if space.get(name) is not value:
                space[name] = value
        for table, content in tables:
            table.clear()
            (table.update if isinstance(table, (dict, set)) else table.extend)(content)
        for tensor, content in tensors:
            if not torch.equal(tensor, content):
                tensor.data.copy_(content)


def _globals_of(kinds: Sequence[type]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yield what the code of classes names outside of them, and that of functions of theirs."""
    packages = {kind.__module__.partition(".")[0] for kind in kinds}
    waiting: list[Any] = [value for kind in kinds for value in vars(kind).values()]
    seen = set()
    while waiting:
        each = _within(waiting.pop())
        function = inspect.unwrap(each) if isinstance(each, (FunctionType, _CACHED)) else None
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        if str(function.__module__).partition(".")[0] in packages:
            space = function.__globals__
            for name in names_in(function.__code__) & space.keys():
                yield space, name, space[name]
                waiting.append(space[name])


def _kept_in(values: list[Any]) -> tuple[list[tuple[Any, Any]], list[tuple[Tensor, Tensor]]]:
    """Return the containers in some values, and the tensors, each with a copy."""
    tables: dict[int, tuple[Any, Any]] = {}
    tensors: dict[int, tuple[Tensor, Tensor]] = {}
    while values:
        each = _within(values.pop())
        if id(each) in tables or id(each) in tensors:
            continue
        if type(each) is Tensor and not each.is_meta and nbytes(each) <= _LARGE:
            tensors[id(each)] = each, each.detach().clone()
        elif isinstance(each, (dict, list, set, deque)):
            tables[id(each)] = each, copy.copy(each)
            values += each.values() if isinstance(each, dict) else each
    return list(tables.values()), list(tensors.values())


def _within(value: Any) -> Any:
    """Return the function in a static method, a class method or a property."""
    around = isinstance(value, (staticmethod, classmethod, property))
    return getattr(value, "__func__", getattr(value, "fget", None)) if around else value


def _step(copied: Any, stubs: list[Tensor], closed: bool) -> None:
    closures = [_closure(stubs)] if closed else []
    try:
        for closure in closures:
            closure()
        inspect.unwrap(type(copied).step)(copied, *closures)
    finally:
        for stub in stubs:
            stub.grad = None  # its graph may hold the stub: a cycle that Python can't see


def _closure(stubs: list[Tensor]) -> Callable[[], Tensor]:
    """Return a closure of the stubs alone; their gradients have a graph, for a second derivative."""

    def closure() -> Tensor:
        with torch.enable_grad():
            loss = torch.stack([(stub * stub.conj()).real.sum().float() for stub in stubs]).sum()
            grads = torch.autograd.grad(loss, stubs, create_graph=True)
        for stub, grad in zip(stubs, grads, strict=True):
            stub.grad = grad
        return loss

    return closure


def _is_known(value: Any) -> bool:
    """Return whether the size is known of all tensors that a piece of state leads to."""
    held = set(map(id, tensors_held(value)))
    return all(
        id(each) in held and (type(each) in (Tensor, nn.Parameter) or bool(parts_of(each)))
        for each in _reached(value).values()
        if isinstance(each, Tensor)
    )


def _apart(optimizer: Any, params: list[Tensor], values: bool) -> tuple[Any, list[Tensor]]:
    """Copy an optimizer and all that it leads to; return the copies of the parameters too."""
    reached = _reached(optimizer).values()
    memo: dict[int, Any] = {
        id(each): _stub(each, values) for each in reached if isinstance(each, Tensor)
    }
    stubs = [memo[id(param)] for param in params]
    for stub in stubs:
        stub.grad = torch.randn_like(stub)
    # torch/optim/optimizer.py, 2.15: __getstate__ leaves all but three attributes out.
    within = [each for each in reached if isinstance(each, Optimizer) or each is optimizer]
    memo.update((id(each), object.__new__(type(each))) for each in within)
    for each in within:
        memo[id(each)].__dict__.update(copy.deepcopy(_attributes(each), memo))
        for group in vars(memo[id(each)]).get("param_groups", ()):
            group["params"][:] = [param for param in group["params"] if param.grad is not None]
            group.update((key, False) for key in group.keys() & _FAST if not values)
    return memo[id(optimizer)], stubs


def _attributes(optimizer: Any) -> dict[str, Any]:
    """Return what belongs to an optimizer: not hooks, nor a step that a scheduler has wrapped."""
    return {
        key: OrderedDict() if key.endswith("_hooks") else value
        for key, value in vars(optimizer).items()
        if key != "step"
    }


def _stub(tensor: Tensor, values: bool) -> Tensor:
    """Return a tensor of the same shape; without values, but of numbers, which may be read."""
    number = tensor.numel() == 1 and tensor.is_cpu and not tensor.requires_grad
    stub = local(tensor).detach()
    stub = stub.to("cpu", copy=True) if values or number else torch.empty_like(stub, device="meta")
    return stub.requires_grad_(tensor.requires_grad)


def _reached(root: object) -> dict[int, Any]:
    """Return all that an object leads to, by id; not through classes, modules and their globals."""
    found: dict[int, Any] = {}
    waiting: list[Any] = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in found or isinstance(each, (type, ModuleType, Enum)):
            continue
        found[id(each)] = each
        if isinstance(each, Optimizer):
            waiting.append(_attributes(each))
        elif isinstance(each, FunctionType):
            waiting += (each.__closure__, each.__defaults__)
        elif not isinstance(each, Tensor):
            waiting += gc.get_referents(each)
    return found


def _shared(optimizer: Any, copied: Any) -> list[str]:
    """Name the types of what a copy leads to, and the live optimizer too, and a step may change."""
    live = _reached(optimizer)
    both = (each for key, each in _reached(copied).items() if key in live)
    return sorted({type(each).__name__ for each in both if not isinstance(each, _FIXED)})


def _refusal(optimizer: Any, reason: str) -> NotImplementedError:
    return NotImplementedError(
        f"the state of {type(optimizer).__name__} can't be predicted: {reason}. "
        "Take a step, then call state_memory without predict=True."
    )


def _full_history(view: OptimizerView) -> State:
    """Return what LBFGS keeps, end to end, for all parameters at once, when its history is full."""
    group = view.options[0]
    total, dtype = flat_size(view.params), flat_dtype(view.params)
    history = int(group["history_size"])
    empty = partial(torch.empty, dtype=dtype, device="meta")
    return {
        "d": empty(total),
        "prev_flat_grad": empty(total),
        "old_dirs": [empty(total) for _ in range(history)],
        "old_stps": [empty(total) for _ in range(history)],
        "ro": [empty(()) for _ in range(history)],
        "al": [empty(()) for _ in range(history)],
        "H_diag": empty(()),
    }
