"""The bytes of an optimizer's state: of what there is, or of what the first step will make."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from .._optimizer_view import OptimizerView, Source, view_of, view_of_any
from .._tables import Table
from .._torch_optimizers import flat_dtype, flat_size
from .._torch_schedulers import Copies
from .._values import dtype_name, local, nbytes, tensors_in

By = Literal["key", "group", "param", "dtype", "device"]
State = Mapping[str, Any]

# A meta tensor has no values to fuse, capture or differentiate; what is kept is the same.
_PLAIN = {"fused": False, "capturable": False, "differentiable": False, "foreach": False}


class MemoryRow(NamedTuple):
    """What some of the state takes.

    Parameters
    ----------
    name : str
        A state key, a group, a parameter, a data type or a device.
    bytes : int
        The bytes of its tensors.
    tensors : int
        How many there are.

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
    rows : iterable of MemoryRow
        The records.
    caption : str
        Whose state it is, and how it was found.

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
        make: a copy steps on the meta device, where tensors have no values; where its class
        can't, on tiny copies, and the caption says so.

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
        If what a class will make can't be predicted: it needs a closure, for example.

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
        states, how = view.states, ""
    elif isinstance(optimizer, Optimizer):
        view = view_of(optimizer)
        states, how = _predicted(view, optimizer)
        how = f", after the first step{how}"
    else:
        raise TypeError(
            "predict=True needs a torch.optim.Optimizer, which knows how it steps, "
            f"not {type(optimizer).__name__}"
        )
    sums: dict[str, list[int]] = {}
    seen: set[int] = set()
    for name, tensor in _pieces(view, states, by):
        if id(tensor) not in seen:  # one tensor may be in several lists
            seen.add(id(tensor))
            entry = sums.setdefault(name, [0, 0])
            entry[0] += nbytes(tensor)
            entry[1] += 1
    rows = (MemoryRow(name, *entry) for name, entry in sums.items())
    return MemoryTable(rows, f"State of {view.kind}{how}")


def _pieces(view: OptimizerView, states: list[State], by: By) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor of the state, and the row it counts in."""
    labels = view.labels
    for place, state in enumerate(states):
        group = view.group_of[place]
        for key, value in state.items():
            for tensor in tensors_in(value):
                if by == "key":
                    yield str(key), tensor
                elif by == "group":
                    yield labels[group], tensor
                elif by == "param":
                    yield view.names[place], tensor
                elif by == "dtype":
                    yield dtype_name(tensor.dtype), tensor
                else:
                    yield _device(tensor, view.params[place], view.options[group]), tensor


def _device(tensor: Tensor, param: Any, options: Mapping[str, Any]) -> str:
    """Name the device: of a predicted tensor, the one that it will be on."""
    moved = tensor.ndim == 0 and tensor.device.type == "cpu"
    moved = moved and bool(options.get("fused") or options.get("capturable"))
    if isinstance(param, Tensor) and (tensor.is_meta or moved):
        return str(param.device)
    return str(tensor.device)


# What a first step will make: a copy of the optimizer steps parameters on the meta device, which
# have shapes and types, and no values. The live optimizer lends its options, and nothing else.


def _predicted(view: OptimizerView, optimizer: Optimizer) -> tuple[list[State], str]:
    """Return the state that each parameter has, or will have after its first step."""
    states = list(view.states)
    missing = [
        place
        for place, (param, state) in enumerate(zip(view.params, states, strict=True))
        if not state and isinstance(param, Tensor) and param.requires_grad
    ]
    if not missing:
        return states, ""
    if isinstance(optimizer, LBFGS):
        if not any(states):
            states[0] = _full_history(view)
        return states, ", with a full history"
    params = [view.params[place] for place in missing]
    groups = [view.group_of[place] for place in missing]
    lazy = [param for param in params if isinstance(param, torch.nn.UninitializedParameter)]
    if lazy:
        raise NotImplementedError(
            f"{len(lazy)} lazy parameters have no shape yet: run the model once before predict=True"
        )
    try:
        found, how = _stepped(optimizer, [_on_meta(param) for param in params], groups), ""
    except Exception:  # whatever a class can't do on meta, it may on real values
        found, how = _tiny(optimizer, params, groups), ", predicted by a step of tiny copies"
    for place, state in zip(missing, found, strict=True):
        states[place] = state
    return states, how


def _on_meta(param: Tensor) -> Tensor:
    """Make a stub with a gradient, and without values."""
    stub = torch.empty_like(local(param), device="meta", requires_grad=True)
    stub.grad = torch.empty_like(stub, requires_grad=False)
    return stub


def _stepped(optimizer: Optimizer, stubs: list[Tensor], groups: list[int]) -> list[State]:
    """Step a copy of the optimizer that holds stubs, and return their states."""
    copy = _copy(optimizer, stubs, groups)
    step = inspect.unwrap(type(optimizer).step)  # without the hooks, which are the user's
    with torch.no_grad():
        step(copy)
    states: list[State] = []
    for param, group in zip(stubs, groups, strict=True):
        state = dict(copy.state.get(param, {}))
        if optimizer.param_groups[group].get("fused") and "step" in state:
            state["step"] = state["step"].float()  # as fused kernels want it, whatever the default
        states.append(state)
    return states


def _copy(optimizer: Optimizer, stubs: list[Tensor], groups: list[int]) -> Optimizer:
    """Copy an optimizer: its attributes, its options, no state, no hooks."""
    copy: Any = Copies().stub_of(optimizer)
    for index, group in enumerate(copy.param_groups):
        group.update({key: value for key, value in _PLAIN.items() if key in group})
        group["params"] = [p for p, where in zip(stubs, groups, strict=True) if where == index]
        if isinstance(group.get("lr"), Tensor):
            group["lr"] = 1e-3
    if "_need_device_dtype_check_for_fused" in vars(copy):
        copy._need_device_dtype_check_for_fused = False
    return copy  # type: ignore[no-any-return]


def _tiny(optimizer: Optimizer, params: list[Tensor], groups: list[int]) -> list[State]:
    """Step tiny real copies, and return what they keep in the size of the parameters."""
    failure: Exception | None = None
    for sparse in (False, True):
        stubs = [_tiny_copy(param, sparse) for param in params]
        try:
            states = _stepped(optimizer, stubs, groups)
        except Exception as error:
            failure = error
            continue
        return [
            {key: _grown(value, tiny, param, optimizer, key) for key, value in state.items()}
            for state, tiny, param in zip(states, stubs, params, strict=True)
        ]
    raise NotImplementedError(
        f"the state of {type(optimizer).__name__} can't be predicted: {failure}. "
        "Take a step, then call state_memory without predict=True."
    ) from failure


def _tiny_copy(param: Tensor, sparse: bool) -> Tensor:
    """Make a stub with a gradient, of which no two sides are alike."""
    size = tuple(range(2, 2 + param.ndim))
    stub = torch.zeros(size, dtype=param.dtype, requires_grad=True)
    grad = torch.ones(size, dtype=param.dtype)
    stub.grad = grad.to_sparse() if sparse else grad
    return stub


def _grown(value: Any, tiny: Tensor, param: Tensor, optimizer: Optimizer, key: str) -> Any:
    """Return the state of a tiny copy in the size of the parameter."""
    if not isinstance(value, Tensor):
        return value
    if value.shape == tiny.shape:
        return torch.empty_like(local(param), dtype=value.dtype, device="meta")
    if value.numel() == 1:
        return value
    if value.ndim == tiny.ndim and all(
        side in (1, whole) for side, whole in zip(value.shape, tiny.shape, strict=True)
    ):  # factored, as in Adafactor
        shape = [
            1 if side == 1 else full for side, full in zip(value.shape, param.shape, strict=False)
        ]
        return torch.empty(shape, dtype=value.dtype, device="meta")
    raise NotImplementedError(
        f"the state of {type(optimizer).__name__} can't be predicted: {key} is of no shape that "
        "follows from its parameter's. Take a step, then call state_memory."
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
