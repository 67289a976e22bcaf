"""Describe an optimizer: every group, every parameter, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from .._errors import first_few
from .._optimizer_view import OptimizerView, Source, entries, view_of_any
from .._parameters import Walk
from .._values import copied, plain, same
from .models import Models, Schedulers, list_schedulers, names_by_id, walk_models
from .norms import state_norms
from .records import Columns, GroupRow, total
from .report import Report
from .rows import parameter_columns


def describe(
    optimizer: Source,
    models: Models = (),
    *,
    schedulers: Schedulers = (),
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
    models : torch.nn.Module, mapping of str to torch.nn.Module, or iterable of these, optional
        The models it trains. They give names where the optimizer has none, and show what it
        leaves out. The names of a mapping stand before those of its modules' parameters.
    schedulers : scheduler or iterable of schedulers, optional
        The schedulers of the run: the report says which set its lr, and how far each has come.
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
    walks = walk_models(models)
    held = view_of_any(optimizer, names_by_id(walks), key)
    norms = state_norms(held.states) if values else None
    columns = parameter_columns(held, _shapes(held, walks), norms)
    missing = list(_missing(held, walks))
    return Report(
        optimizer=held.kind,
        groups=tuple(_groups(held, columns)),
        columns=columns,
        unmanaged=tuple(name for name, trainable in missing if trainable),
        frozen=tuple(name for name, trainable in missing if not trainable),
        notes=tuple(_notes(held, walks, missing, schedulers)),
    )


def _groups(held: OptimizerView, columns: Columns) -> Iterator[GroupRow]:
    """Give a record for each group."""
    numels: list[list[int | None]] = [[] for _ in held.options]
    for index, numel in zip(columns.group, columns.numel, strict=True):
        numels[index].append(numel)
    defaults = {key: plain(value) for key, value in held.defaults.items()}
    for index, (group, label, numbers) in enumerate(
        zip(held.options, held.labels, numels, strict=True)
    ):
        yield GroupRow(
            index=index,
            name=label,
            options=copied(group),
            overrides={
                key: copied(value)
                for key, value in group.items()
                if key in defaults and not same(value, defaults[key])
            },
            parameters=len(numbers),
            numel=total(numbers),
        )


def _shapes(held: OptimizerView, walks: Iterable[Walk]) -> list[Any]:
    """Return the parameters; for a state dict with names, the model's of these names."""
    if held.optimizer is not None or not held.named:
        return held.params
    known = {
        name: param
        for found in walks
        for name, param in zip(found.places, found.tensors, strict=True)
    }
    return [known.get(name) for name in held.names]


def _missing(held: OptimizerView, walks: Iterable[Walk]) -> Iterator[tuple[str, bool]]:
    """Give what the models have and the optimizer has not: name, trainable."""
    if held.optimizer is None and not held.named:
        return  # positions do not tell
    ids = set(map(id, held.params))
    live = held.optimizer is not None
    names = set() if live else set(held.names)
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
    held: OptimizerView, walks: Sequence[Walk], missing: Sequence[object], schedulers: Schedulers
) -> Iterator[str]:
    """Say what does not fit in a record."""
    for scheduler in list_schedulers(schedulers):
        kind, at = type(scheduler).__name__, getattr(scheduler, "last_epoch", None)
        driven = getattr(scheduler, "optimizer", held.optimizer)
        if driven is held.optimizer or held.optimizer is None:
            yield f"lr set by {kind}" + ("" if at is None else f", at step {at}")
        else:
            yield f"{kind} sets the lr of another optimizer"
    count = sum(len(found) for found in walks)
    if count and len(missing) == count:
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


def _unlike_names(held: OptimizerView) -> Iterator[tuple[str, int, int]]:
    """Find groups whose names are not as many as their parameters."""
    if held.optimizer is None:
        return
    for label, group in zip(held.labels, held.groups, strict=True):
        params, names = entries(group.get("params")), entries(group.get("param_names"))
        if "param_names" in group and len(names) != len(params):
            yield label, len(params), len(names)


def _orphan(key: object) -> str:
    return f"a tensor of shape {tuple(key.shape)}" if isinstance(key, Tensor) else repr(key)
