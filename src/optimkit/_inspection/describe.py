"""Describe an optimizer: every group, every parameter, and what it leaves out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from .._errors import first_few
from .._optimizer_view import (
    SLICES,
    OptimizerView,
    Source,
    entries,
    names_that_fit,
    of_its_shape,
    orphan_label,
    view_of_any,
)
from .._parameters import Models, ParameterIndex, index_models, left_out, names_by_id
from .._torch_schedulers import Schedulers, list_schedulers
from .._values import copied, nbytes, plain, same, tensors_held
from .._wrappers import optimizers_within
from .norms import non_finite, state_norms
from .report import GroupRow, ParameterRow, Report, Shape, total


def describe(
    optimizer: Source,
    models: Models = (),
    *,
    schedulers: Schedulers = (),
    values: bool = False,
    key: str | None = None,
) -> Report:
    """Describe what an optimizer holds: every group, every parameter, and what it leaves out.

    It only looks: nothing steps, and no device is waited for unless `values` asks for norms.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, mapping, str or os.PathLike
        The optimizer, its state dict, or a checkpoint: verified, and nothing in it is run.
    models : torch.nn.Module, mapping of str to torch.nn.Module, or iterable of these, optional
        The models it trains. They give names where the optimizer has none, and show what it
        leaves out. The names of a mapping stand before those of its modules' parameters.
    schedulers : scheduler or iterable of schedulers, optional
        The schedulers of the run: the report says which set its lr, and how far each has come.
    values : bool, optional
        Whether to compute the norm of each state tensor, and to say what is NaN or infinite.
    key : str, optional
        Which optimizer of a checkpoint that holds several.

    Returns
    -------
    Report
        Its records; it prints itself, parameters that are alike on one line.

    Raises
    ------
    TypeError, CheckpointError
        If `optimizer` or a model is nothing of the kind; if the file has no optimizer, or several
        and no `key`, or is corrupt or unsafe.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(8, 2)
    >>> print(describe(torch.optim.SGD([model.weight], lr=0.1), model))
    SGD: 1 group, 1 parameter, 16 elements, no state
    Groups
    parameters  numel   lr  weight_decay
    ----------  -----  ---  ------------
             1     16  0.1             0
    Parameters
    name    shape   dtype
    ------  ------  -------
    weight  (2, 8)  float32
    In every group: momentum=0, dampening=0, nesterov=False, maximize=False, differentiable=False
    Trainable, but not in this optimizer: 1: bias
    """
    indexes = index_models(models)
    view, told = _named(view_of_any(optimizer, names_by_id(indexes), key), indexes)
    view = replace(view, options=copied(view.options))  # as they are now
    norms = state_norms(view.states) if values else [{}] * len(view.states)
    params = _params(view, indexes)
    rows = tuple(_rows(view, params, norms))
    missing = left_out(indexes, params) if view.named or view.optimizer else []  # places tell none
    bad = non_finite(view, norms) if values else []
    return Report(
        optimizer=view.kind,
        groups=tuple(_groups(view, rows)),
        rows=rows,
        unmanaged=tuple(each.name for each in missing if each.param.requires_grad),
        frozen=tuple(each.name for each in missing if not each.param.requires_grad),
        notes=(
            *told,
            *_notes(view, schedulers),
            *([f"NaN or infinite: {first_few(what for _, what in bad)}"] if bad else ()),
        ),
    )


def _named(
    view: OptimizerView, indexes: Sequence[ParameterIndex]
) -> tuple[OptimizerView, list[str]]:
    """Name what was saved without names by the model, where an order of its parameters fits."""
    if view.optimizer is not None or view.named or len(indexes) != 1:
        return view, []
    found = names_that_fit(view, indexes[0])
    if found is None:
        return view, []
    told = (
        f"The file has {view.names_told}: these are the model's, in the order and groups of "
        f"{found[0]}"
    )
    return replace(view, names=found[1], named=True), [told]


def _params(view: OptimizerView, indexes: Iterable[ParameterIndex]) -> list[Any]:
    """Return the parameters: of a saved optimizer those that the models have under its names."""
    if view.optimizer is not None or not view.named:
        return view.params
    known = {each.name: each.param for index in indexes for each in index.occurrences}
    return [known.get(name) for name in view.names]


def _rows(
    view: OptimizerView, params: Sequence[Any], norms: Sequence[Mapping[str, float]]
) -> Iterator[ParameterRow]:
    each = zip(view.names, view.params, view.group_of, view.states, params, norms, strict=True)
    for name, own, group, state, param, norm in each:
        tensor = param if isinstance(param, Tensor) else None
        if view.optimizer is None and tensor is None:
            tensor = of_its_shape(state)
        shaped = None if tensor is None or is_lazy(tensor) else tensor
        shapes, size = _kept(state)
        yield ParameterRow(
            name=name,
            shape=None if shaped is None else tuple(shaped.shape),
            dtype=None if tensor is None else tensor.dtype,
            numel=None if shaped is None else shaped.numel(),
            trainable=getattr(own, "requires_grad", None),
            group=group,
            lr=view.options[group].get("lr"),
            weight_decay=view.options[group].get("weight_decay"),
            state=shapes,
            step=_step(state.get("step")),
            bytes=size,
            norms=norm,
        )


def _kept(state: Mapping[Any, Any]) -> tuple[dict[str, Shape | None], int]:
    """Return the shape of each piece of state, and the bytes of all."""
    shapes: dict[str, Shape | None] = {}
    size = 0
    for key, value in state.items():
        if type(value) is Tensor and value.layout is torch.strided:  # as nearly always
            shapes[str(key)] = tuple(value.shape)
            size += value.nbytes
        else:
            shapes[str(key)] = _shape(value)
            size += sum(map(nbytes, tensors_held(value)))
    return shapes, size


def _shape(value: Any) -> Shape | None:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple, deque, dict)):
        return (len(value),)
    return None if value is None else ()


def _step(count: object) -> Any:
    """Return a count of steps, where no device must be waited for; torch stores it as a float."""
    number = plain(count)
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number if isinstance(number, (int, float)) else None


def _groups(view: OptimizerView, rows: Sequence[ParameterRow]) -> Iterator[GroupRow]:
    numels: list[list[int | None]] = [[] for _ in view.options]
    for row in rows:
        numels[row.group].append(row.numel)
    defaults = {key: plain(value) for key, value in view.defaults.items()}
    for index, (label, options) in enumerate(zip(view.labels, view.options, strict=True)):
        overrides = {
            key: value
            for key, value in options.items()
            if key in defaults and not same(value, defaults[key])
        }
        numel = total(numels[index])
        yield GroupRow(index, label, options, overrides, len(numels[index]), numel)


def _notes(view: OptimizerView, schedulers: Schedulers) -> Iterator[str]:
    for scheduler in list_schedulers(schedulers):
        kind, at = type(scheduler).__name__, getattr(scheduler, "last_epoch", None)
        driven = getattr(scheduler, "optimizer", view.optimizer)
        if driven is view.optimizer or view.optimizer is None:
            yield f"lr set by {kind}" + ("" if at is None else f", at step {at}")
        else:
            yield f"{kind} sets the lr of another optimizer"
    yield from _slices(view)
    held = {} if view.state else optimizers_within(view.optimizer)
    if where := [f".{name} ({type(each).__name__})" for name, each in held.items() if each.state]:
        yield f"The state is in {first_few(where)}, which {view.kind} steps: describe that"
    if view.words:
        yield f"State of all parameters together: {first_few(map(repr, view.words))}"
    if strays := [orphan_label(key) for key, _ in view.orphans if key not in view.words]:
        yield f"State of no parameter in any group: {first_few(strays)}"
    for label, group in zip(view.labels, view.groups, strict=True):
        params, names = entries(group.get("params")), entries(group.get("param_names"))
        if "param_names" in group and len(names) != len(params):
            yield f"{label} has {len(params)} parameters and {len(names)} names for them"


def _slices(view: OptimizerView) -> Iterator[str]:
    """Say of which parameters the flat tensors of DeepSpeed's ZeRO are, one for each group."""
    slices = view.more.get(SLICES)
    for label, names in zip(view.labels, slices if isinstance(slices, list) else (), strict=False):
        if isinstance(names, Mapping):
            yield f"{label} is one flat tensor, as ZeRO keeps it, of {first_few(map(str, names))}"
