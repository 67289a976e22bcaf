"""What an optimizer holds, brought to one form: from the live object, or from what was saved.

Everything else in this wing reads a :class:`Holding`, and so works on both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import CheckpointError, first_few
from ..files import is_state_dict, optimizers_in, read
from ..parameters import Walk, walk

Model = nn.Module | Mapping[str, nn.Module]
Source = Optimizer | Mapping[str, Any] | str | os.PathLike[str]

_NOT_OPTIONS = ("params", "param_names")
Names = Mapping[int, str]
_NOTHING: Mapping[str, Any] = {}
_UNNAMED: Names = {}


@dataclass(frozen=True, slots=True)
class Holding:
    """What an optimizer holds: a column for each fact, an entry for each parameter.

    Parameters
    ----------
    kind : str
        The optimizer's class, or what it was read from.
    optimizer : torch.optim.Optimizer or None
        The live object, if there is one.
    defaults : mapping
        Its ``defaults``; empty for a state dict, which has none.
    raw_groups : list of mapping
        Each group itself, with its parameters; empty where it is no mapping.
    groups : list of mapping
        The options of each group, without its parameters.
    names : list of str
        The name of each parameter.
    named : bool
        Whether these are names. If not, they say the position: ``params[3]``.
    tensors : list
        The parameters; None where a state dict has none.
    group_of : list of int
        The group of each parameter.
    states : list of mapping
        The state of each parameter; empty before its first step.
    orphans : list of tuple
        Keys of the state that are no parameter of any group, with what they hold.
    """

    kind: str
    optimizer: Optimizer | None
    defaults: Mapping[str, Any]
    raw_groups: list[Mapping[str, Any]]
    groups: list[Mapping[str, Any]]
    names: list[str]
    named: bool
    tensors: list[Any]
    group_of: list[int]
    states: list[Mapping[str, Any]]
    orphans: list[tuple[Any, Any]]

    @property
    def labels(self) -> list[str]:
        """The name of each group, or its place."""
        return [group_label(index, group) for index, group in enumerate(self.groups)]


def group_label(index: int, group: Mapping[str, Any]) -> str:
    """Name a group: by its own name if it has one.

    Parameters
    ----------
    index : int
        Its place.
    group : mapping
        The group.

    Returns
    -------
    str
        A name for people to read.

    Examples
    --------
    >>> group_label(0, {"name": "head"}), group_label(1, {})
    ('head', 'group 1')
    """
    name = group.get("name")
    return name if isinstance(name, str) and name else f"group {index}"


def walk_all(models: Iterable[Model]) -> list[Walk]:
    """Walk several models, so that no two parameters have one name.

    Parameters
    ----------
    models : iterable of torch.nn.Module or mapping
        The models.

    Returns
    -------
    list of Walk
        One for each. If two would share a name, all names get their model's class, or its
        place, as prefix.

    Examples
    --------
    >>> [found.names for found in walk_all([nn.Linear(1, 1), nn.PReLU()])]
    [['Linear.weight', 'Linear.bias'], ['PReLU.weight']]
    """
    given = list(models)
    walks = [walk(model) for model in given]
    owners: dict[str, int] = {}
    clash = False
    for found in walks:
        for name, param in zip(found.places, found.tensors, strict=True):
            clash |= owners.setdefault(name, id(param)) != id(param)
    if not clash:
        return walks
    kinds = [type(model).__name__ for model in given]
    prefixes = [
        kind if kinds.count(kind) == 1 and kind != "dict" else f"models[{index}]"
        for index, kind in enumerate(kinds)
    ]
    return [
        walk({prefix: model})
        if isinstance(model, nn.Module)
        else walk({f"{prefix}.{key}": each for key, each in model.items()})
        for prefix, model in zip(prefixes, given, strict=True)
    ]


def names_by_id(walks: Iterable[Walk]) -> dict[int, str]:
    """Map each parameter to its first name.

    Parameters
    ----------
    walks : iterable of Walk
        The models.

    Returns
    -------
    dict of int to str
        The ``id`` of a parameter -> its name.
    """
    names: dict[int, str] = {}
    for found in walks:
        for name, param in zip(found.names, found.params, strict=True):
            names.setdefault(id(param), name)
    return names


def hold(optimizer: Optimizer, names: Names = _UNNAMED) -> Holding:
    """Look at a live optimizer; nothing of it is changed, or computed.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer, whatever condition it is in.
    names : mapping of int to str, optional
        The names of the models' parameters by ``id``: they go before the optimizer's own,
        which may lie after a load by position.

    Returns
    -------
    Holding
        What it holds.
    """
    labels: list[str] = []
    tensors: list[Any] = []
    group_of: list[int] = []
    named = True
    groups = list(map(_mapping, entries(getattr(optimizer, "param_groups", None))))
    for index, group in enumerate(groups):
        params = entries(group.get("params"))
        own = entries(group.get("param_names"))
        known = [names.get(id(param)) for param in params]
        if None in known:
            for place, name in enumerate(known):
                known[place] = name or (str(own[place]) if place < len(own) else None)
            named &= None not in known
        start = len(labels)
        labels += [name or f"params[{start + place}]" for place, name in enumerate(known)]
        tensors += params
        group_of += [index] * len(params)
    state = _mapping(getattr(optimizer, "state", None))
    held = set(map(id, tensors))
    return Holding(
        kind=type(optimizer).__name__,
        optimizer=optimizer,
        defaults=_mapping(getattr(optimizer, "defaults", None)),
        raw_groups=groups,
        groups=list(map(_options, groups)),
        names=labels,
        named=named and bool(labels),
        tensors=tensors,
        group_of=group_of,
        states=[_mapping(state.get(param)) for param in tensors],  # `get` never fills it
        orphans=[(key, value) for key, value in state.items() if id(key) not in held],
    )


def hold_saved(state_dict: Mapping[str, Any], kind: str = "state dict") -> Holding:
    """Look at the state dict of an optimizer.

    Parameters
    ----------
    state_dict : mapping
        With ``state`` and ``param_groups``. The ids may be numbers, as torch gives them, or
        names, as ``torch.distributed.checkpoint`` does.
    kind : str, optional
        What to call it.

    Returns
    -------
    Holding
        What it holds.
    """
    state = state_dict["state"]
    ids: list[Any] = []
    names: list[str] = []
    group_of: list[int] = []
    named = True
    groups = list(state_dict["param_groups"])
    for index, group in enumerate(groups):
        own = entries(group.get("param_names"))
        for place, key in enumerate(entries(group.get("params"))):
            name = own[place] if place < len(own) else key if isinstance(key, str) else None
            named &= name is not None
            names.append(f"params[{len(names)}]" if name is None else str(name))
            ids.append(key if isinstance(key, (int, str)) else None)
            group_of.append(index)
    held = set(ids)
    return Holding(
        kind=kind,
        optimizer=None,
        defaults=_NOTHING,
        raw_groups=groups,
        groups=list(map(_options, groups)),
        names=names,
        named=named and bool(names),
        tensors=[None] * len(names),
        group_of=group_of,
        states=[_mapping(state.get(key)) for key in ids],
        orphans=[(key, value) for key, value in state.items() if key not in held],
    )


def hold_any(source: object, names: Names = _UNNAMED, key: str | None = None) -> Holding:
    """Look at an optimizer, at a state dict, or into a checkpoint.

    Parameters
    ----------
    source : torch.optim.Optimizer, mapping, str or os.PathLike
        What to look at: a mapping may be a state dict, or hold one.
    names : mapping of int to str, optional
        Names of the models' parameters by ``id``.
    key : str, optional
        Which optimizer of a checkpoint.

    Returns
    -------
    Holding
        What it holds.

    Raises
    ------
    TypeError
        If it is nothing of the kind.
    CheckpointError
        If a checkpoint has no optimizer, or several and no `key` says which.
    """
    if isinstance(source, Optimizer):
        return hold(source, names)
    if isinstance(source, (str, os.PathLike)):
        where = os.fspath(source)
        content = read(source)
    elif isinstance(source, Mapping):
        where, content = "the mapping", source
    else:
        raise TypeError(
            "optimizer must be a torch.optim.Optimizer, its state dict, or the path of a "
            f"checkpoint, not {what(source)}"
        )
    if is_state_dict(content):
        return hold_saved(content)
    found = optimizers_in(content)
    if not found and isinstance(source, Mapping):
        raise TypeError(
            "optimizer must be a state dict with 'state' and 'param_groups', or hold one; "
            f"this mapping has {first_few(map(repr, source)) or 'nothing'}"
        )
    chosen = _choose(found, key, where, content)
    return hold_saved(found[chosen], chosen)


def _choose(found: Mapping[str, Any], key: str | None, where: str, content: object) -> str:
    """Choose one optimizer of a checkpoint, or say which there are."""
    if key is not None and key in found:
        return key
    if not found:
        keys = first_few(map(repr, content)) if isinstance(content, Mapping) else what(content)
        raise CheckpointError(
            f"{where} holds no optimizer: a mapping with 'state' and 'param_groups' was "
            f"expected, found {keys or 'nothing'}. Save optimizer.state_dict() in it."
        )
    if key is not None:
        raise CheckpointError(
            f"{where} holds no optimizer called {key!r}. Choose one of: {first_few(found)}."
        )
    if len(found) > 1:
        raise CheckpointError(
            f"{where} holds {len(found)} optimizers. Choose one by key=: {first_few(found)}."
        )
    return next(iter(found))


def what(value: object) -> str:
    """Name what was given instead.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        The name of its type.

    Examples
    --------
    >>> what([1])
    'list'
    """
    return type(value).__name__


def plain(value: object) -> Any:
    """Take a number out of a tensor, if that costs no wait for a device.

    Parameters
    ----------
    value : object
        An option, or a piece of state.

    Returns
    -------
    Any
        A Python number for a tensor with one element on the CPU; all else as it is.

    Examples
    --------
    >>> plain(torch.tensor(0.5)), plain((0.9, torch.tensor(0.5))), plain("adam")
    (0.5, (0.9, 0.5), 'adam')
    """
    if isinstance(value, Tensor):
        if value.numel() == 1 and value.device.type == "cpu" and value.layout is torch.strided:
            return value.item()
        return value
    if type(value) in (tuple, list):
        return tuple(map(plain, value))  # type: ignore[call-overload]
    return value


def tensors_in(value: object) -> Sequence[Tensor]:
    """Return the tensors of a piece of state: LBFGS keeps lists of them.

    Parameters
    ----------
    value : object
        A piece of state.

    Returns
    -------
    sequence of torch.Tensor
        The tensors in it; of a DTensor, this rank's part.

    Examples
    --------
    >>> len(tensors_in([torch.ones(1), None, {"a": torch.ones(2)}]))
    2
    """
    if isinstance(value, Tensor):
        return (local(value),)
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in tensors_in(item)]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return ()


def local(tensor: Tensor) -> Tensor:
    """Return what this rank holds of a tensor.

    Parameters
    ----------
    tensor : torch.Tensor
        Any tensor, a DTensor too.

    Returns
    -------
    torch.Tensor
        A plain tensor.
    """
    return tensor._local_tensor if hasattr(tensor, "_local_tensor") else tensor


def nbytes(tensor: Tensor) -> int:
    """Count the bytes of a tensor's values.

    Parameters
    ----------
    tensor : torch.Tensor
        Any layout, any device.

    Returns
    -------
    int
        The bytes; a sparse tensor counts its indices and values.

    Examples
    --------
    >>> nbytes(torch.ones(3, dtype=torch.bfloat16)), nbytes(torch.ones(3).to_sparse())
    (6, 36)
    """
    if tensor.layout is torch.strided:
        return tensor.numel() * tensor.element_size()
    if tensor.layout is torch.sparse_coo:
        return nbytes(tensor._indices()) + nbytes(tensor._values())
    return tensor.untyped_storage().nbytes()


def _options(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """Copy a group's options: the group goes on changing."""
    return {str(key): plain(value) for key, value in group.items() if key not in _NOT_OPTIONS}


def entries(value: object) -> list[Any]:
    """List what a group holds; what can't be a list of parameters, or names, holds none.

    Parameters
    ----------
    value : object
        What stands where a list should.

    Returns
    -------
    list
        Its entries; a tensor is one entry.

    Examples
    --------
    >>> entries(("a", "b")), entries(None), entries("weight")
    (['a', 'b'], [], [])
    """
    if isinstance(value, Tensor):
        return [value]
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []


def _mapping(value: object) -> Mapping[str, Any]:
    """Take a state, or a group, as it is; as an empty one if it is no mapping."""
    return value if type(value) is dict or isinstance(value, Mapping) else _NOTHING
