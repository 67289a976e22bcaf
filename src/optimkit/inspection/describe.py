"""Describe an optimizer: every group, every parameter, and what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import first_few
from ..known import SINGLE, VOCABULARY
from ..parameters import Walk
from .holdings import (
    Holding,
    Model,
    Source,
    entries,
    hold_any,
    names_by_id,
    nbytes,
    plain,
    tensors_in,
    walk_all,
)
from .norms import state_norms
from .records import GroupRow, ParameterRow, Shape
from .report import Report


def describe(
    optimizer: Source,
    *models: Model,
    schedulers: Any = (),
    values: bool = False,
    key: str | None = None,
) -> Report:
    """Say what an optimizer holds: every group, every parameter, and what it leaves out.

    It only looks: nothing steps, no state is made, and no device is waited for unless
    `values` asks for norms.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, mapping, str or os.PathLike
        The optimizer; or its state dict; or a checkpoint, whose bytes are verified, and of
        which nothing is run.
    *models : torch.nn.Module or mapping of str to torch.nn.Module
        The models it trains. They give names where the optimizer has none, and show what it
        leaves out.
    schedulers : scheduler or iterable of schedulers, optional
        Its schedulers: the report says how far each has come.
    values : bool, optional
        Whether to compute the norm of each state tensor.
    key : str, optional
        Which optimizer of a checkpoint that holds several.

    Returns
    -------
    Report
        Records first (``rows``, ``groups``, ``unmanaged``, ``frozen``, ``to_dict()``), then
        text, a rich table, HTML. Parameters that are alike share a line; ``expand()`` gives
        each its own.

    Raises
    ------
    TypeError
        If `optimizer` or a model is nothing of the kind.
    CheckpointError
        If the file has no optimizer, or several and no `key`; its subclasses if it is
        corrupt or unsafe.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    >>> optimizer = torch.optim.AdamW([
    ...     {"params": [layer.weight for layer in model]},
    ...     {"params": [layer.bias for layer in model[:2]], "weight_decay": 0.0},
    ... ])
    >>> print(describe(optimizer, model))
    AdamW: 2 groups, 5 parameters, 128 numbers, no state
    Groups
    group  parameters  numel     lr  weight_decay  not the default
    -----  ----------  -----  -----  ------------  ---------------
        0           3    112  0.001          0.01
        1           2     16  0.001             0  weight_decay
    Parameters
    name        tensors  shape   dtype    group
    ----------  -------  ------  -------  -----
    0.weight          1  (8, 4)  float32      0
    1.weight          1  (8, 8)  float32      0
    2.weight          1  (2, 8)  float32      0
    [0,1].bias        2  (8)     float32      1
    In every group: betas=(0.9, 0.999), eps=1e-08, amsgrad=False, maximize=False, capturable=False,
      differentiable=False, decoupled_weight_decay=True
    Trainable, but not in this optimizer: 1: 2.bias
    """
    walks = walk_all(models)
    held = hold_any(optimizer, names_by_id(walks), key)
    norms = state_norms(held.states) if values else None
    rows = tuple(_rows(held, _shapes(held, walks), norms))
    missing = list(_missing(held, walks))
    return Report(
        optimizer=held.kind,
        groups=tuple(_groups(held, rows)),
        rows=rows,
        unmanaged=tuple(name for name, trainable in missing if trainable),
        frozen=tuple(name for name, trainable in missing if not trainable),
        notes=tuple(_notes(held, walks, missing, schedulers)),
    )


def _rows(
    held: Holding, shapes: Sequence[Any], norms: Sequence[Mapping[str, float]] | None
) -> Iterator[ParameterRow]:
    """Give a record for each parameter."""
    lrs = [group.get("lr") for group in held.groups]
    decays = [group.get("weight_decay") for group in held.groups]
    nothing: Mapping[str, float] = MappingProxyType({})
    layouts: dict[Any, Mapping[str, Shape | None]] = {}  # thousands of states, few layouts
    for place, (name, tensor, live, group, state) in enumerate(
        zip(held.names, shapes, held.tensors, held.group_of, held.states, strict=True)
    ):
        layout, size, step = _look(state)
        kept = layouts.get(layout)
        if kept is None:
            half = len(layout) // 2
            kept = MappingProxyType(
                {
                    key: None if shape is None else tuple(shape)
                    for key, shape in zip(layout[:half], layout[half:], strict=True)
                }
            )
            layouts[layout] = kept
        shape, numel, dtype = _dimensions(tensor, state)
        yield ParameterRow(
            name,
            shape,
            dtype,
            numel,
            getattr(live, "requires_grad", None),
            group,
            lrs[group],
            decays[group],
            kept,
            step,
            size,
            nothing if norms is None else norms[place],
        )


_Layout = tuple[Any, ...]  # the keys, then their shapes: flat, since thousands are made
_PLAIN = {Tensor}
_shape_of: Callable[[Tensor], Shape] = attrgetter("shape")
_nbytes_of: Callable[[Tensor], int] = attrgetter("nbytes")


def _look(state: Mapping[str, Any]) -> tuple[_Layout, int, Any]:
    """Return the shape of each piece of a state, its bytes, and how many steps it counts."""
    if not state:
        return (), 0, None
    step = _count(state.get("step"))
    values = state.values()
    if set(map(type, values)) == _PLAIN:  # of thousands of states, nearly all are such
        try:
            size = sum(map(_nbytes_of, values))
            return (*state, *map(_shape_of, values)), size, step
        except RuntimeError:  # a sparse tensor does not tell its bytes
            pass
    layout = (*map(str, state), *map(_shape, values))
    return layout, sum(map(nbytes, tensors_in(state))), step


def _dimensions(
    tensor: Any, state: Mapping[str, Any]
) -> tuple[Shape | None, int | None, torch.dtype | None]:
    """Return a parameter's shape, size and type; in a state dict, as its state tells."""
    if tensor is None:
        tensor = next(
            (
                value
                for key, value in state.items()
                if isinstance(value, Tensor)
                and key in VOCABULARY - SINGLE
                and value.ndim
                and key not in ("row_var", "col_var", "d", "prev_flat_grad")
            ),
            None,
        )
    kind = type(tensor)
    if kind is nn.Parameter or kind is Tensor:
        return tuple(tensor.shape), tensor.numel(), tensor.dtype
    if not isinstance(tensor, Tensor):
        return None, None, None
    if isinstance(tensor, nn.UninitializedParameter):
        return None, None, tensor.dtype
    return tuple(tensor.shape), tensor.numel(), tensor.dtype


def _shape(value: object) -> Shape | None:
    """Return the shape of a piece of state: a list counts its entries."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple, dict)):
        return (len(value),)
    return None if value is None else ()


def _count(step: object) -> Any:
    """Return a count of steps, if no device must be waited for."""
    plainly = type(step) is Tensor and step.is_cpu and not step.ndim
    number = step.item() if plainly else plain(step)  # type: ignore[attr-defined]
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number if isinstance(number, (int, float)) else None


def _groups(held: Holding, rows: Sequence[ParameterRow]) -> Iterator[GroupRow]:
    """Give a record for each group."""
    numels: list[list[int | None]] = [[] for _ in held.groups]
    for row in rows:
        numels[row.group].append(row.numel)
    defaults = {key: plain(value) for key, value in held.defaults.items()}
    for index, (group, label, numel) in enumerate(
        zip(held.groups, held.labels, numels, strict=True)
    ):
        yield GroupRow(
            index=index,
            name=label,
            options=group,
            overrides={
                key: value
                for key, value in group.items()
                if key in defaults and not same(value, defaults[key])
            },
            parameters=len(numel),
            numel=None if None in numel else sum(n or 0 for n in numel),
        )


def same(one: object, other: object) -> bool:
    """Tell whether two options are equal, whatever they are.

    Parameters
    ----------
    one, other : object
        Any values; tensors are compared only where no device must be waited for.

    Returns
    -------
    bool
        Whether they are the same.

    Examples
    --------
    >>> same((0.9, 0.99), [0.9, 0.99]), same(torch.ones(2), torch.ones(2))
    (True, False)
    """
    if one is other:
        return True
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return False
    try:
        return bool(one == other) or (one != one and other != other)
    except Exception:  # a foreign object that can't be compared is another one
        return False


def _shapes(held: Holding, walks: Iterable[Walk]) -> list[Any]:
    """Return the parameters; for a state dict with names, the model's of these names."""
    if held.optimizer is not None or not held.named:
        return held.tensors
    known = {
        name: param
        for found in walks
        for name, param in zip(found.places, found.tensors, strict=True)
    }
    return [known.get(name) for name in held.names]


def _missing(held: Holding, walks: Iterable[Walk]) -> Iterator[tuple[str, bool]]:
    """Give what the models have and the optimizer has not: name, trainable."""
    if held.optimizer is None and not held.named:
        return  # positions do not tell
    ids = set(map(id, held.tensors))
    names = set(held.names)
    live = held.optimizer is not None
    seen: set[int] = set()
    for found in walks:
        if live and ids.issuperset(map(id, found.tensors)):
            continue
        aliases = {tie[0]: tie for tie in found.ties}
        firsts = found.first_of(list(range(len(found.places))))
        for place in firsts:
            param = found.tensors[place]
            known_as = [found.places[other] for other in aliases.get(place, (place,))]
            held_here = id(param) in ids if live else not names.isdisjoint(known_as)
            if not held_here and id(param) not in seen:
                seen.add(id(param))
                yield found.places[place], param.requires_grad


def _notes(
    held: Holding, walks: Sequence[Walk], missing: Sequence[object], schedulers: Any
) -> Iterator[str]:
    """Say what does not fit in a record."""
    for scheduler in _several(schedulers):
        at = getattr(scheduler, "last_epoch", None)
        yield type(scheduler).__name__ + ("" if at is None else f": at step {at}")
    total = sum(len(found) for found in walks)
    if total and len(missing) == total:
        yield (
            "The model and the optimizer share no parameter: one of them was copied, loaded "
            "with assign=True, or belongs to another model. Build the optimizer from this "
            "model's parameters."
        )
    if held.orphans:
        keys = first_few(_orphan(key) for key, _ in held.orphans)
        yield f"State of no parameter in any group: {keys}"
    for label, size, group in _unlike_names(held):
        yield f"{label} has {size} parameters and {group} names for them"


def _unlike_names(held: Holding) -> Iterator[tuple[str, int, int]]:
    """Find groups whose names are not as many as their parameters."""
    if held.optimizer is None:
        return
    for label, group in zip(held.labels, held.raw_groups, strict=True):
        params, names = entries(group.get("params")), entries(group.get("param_names"))
        if "param_names" in group and len(names) != len(params):
            yield label, len(params), len(names)


def _orphan(key: object) -> str:
    return f"a tensor of shape {tuple(key.shape)}" if isinstance(key, Tensor) else repr(key)


def _several(value: Any) -> tuple[Any, ...]:
    """Take one scheduler for a sequence of one."""
    return (value,) if hasattr(value, "step") else tuple(value)
