"""One form of an optimizer: from the live object, or from what was saved."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Number
from typing import Any, NamedTuple

from torch import Tensor, optim
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ._errors import CheckpointError, first_few
from ._files.folders import look_into
from ._parameters import ParameterIndex, names_by_rule
from ._tables import counted
from ._torch_optimizers import (
    NOT_OPTIONS,
    STATE,
    is_state_dict,
    layouts_of,
    optimizers_in,
    part_at,
    torch_class,
)
from ._values import plain
from ._wrappers import layers, readable, unwrapped

Source = Optimizer | Mapping[str, Any] | str | os.PathLike[str]
Names = Mapping[int, str]  # the id of a parameter -> its name

FORMAT = 2  # of what the header of a checkpoint says of its objects
SLICES = "param_slice_mappings"  # deepspeed/runtime/zero/stage_1_and_2.py, 0.17
_NOTHING: Mapping[Any, Any] = {}


class Held(NamedTuple):
    """A parameter, and what its optimizer has for it."""

    name: str
    param: Any  # None if saved
    group: int
    options: Mapping[str, Any]
    state: Mapping[Any, Any]


@dataclass(frozen=True, eq=False, repr=False)
class OptimizerView:
    """An optimizer: an entry for each parameter, or for each group; nothing is copied but options."""

    kind: str  # the class, or the place of a state dict in its checkpoint
    optimizer: Optimizer | None  # None if saved
    defaults: Mapping[str, Any]
    groups: list[Mapping[str, Any]]  # as they are
    options: list[Mapping[str, Any]]  # without parameters; numbers in place of tensors of one
    ids: list[Any]  # under which its state is found: the parameter, or what a state dict has for it
    params: list[Any]  # None if saved
    names: list[str]
    named: bool  # whether these are names, each another; else some are places
    group_of: list[int]
    state: Mapping[Any, Any]  # as it is
    states: list[Mapping[str, Any]]
    orphans: list[tuple[Any, Any]]  # state of no parameter

    around: tuple[
        Any, ...
    ] = ()  # the wrappers that it was found in, which may have state of their own

    # What only a header of a checkpoint says, or only a state dict.
    saved_class: str | None = None
    model: str | None = None  # the key of the only model that it is of
    aliases: Mapping[str, list[str]] = field(default_factory=dict)
    shapes: list[tuple[int, ...]] | None = None
    dtypes: list[str] | None = None
    stateless: frozenset[int] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)  # of a class that saves more than torch's

    @cached_property
    def held(self) -> list[Held]:
        """A record for each parameter."""
        options = [self.options[group] for group in self.group_of]
        return list(map(Held, self.names, self.params, self.group_of, options, self.states))

    @cached_property
    def alike(self) -> list[list[int]]:
        """The places of parameters with state that are of one form, and so is their state."""
        forms: defaultdict[Any, list[int]] = defaultdict(list)
        for place, (_, param, group, _, state) in enumerate(self.held):
            if state and isinstance(param, Tensor):
                form: list[Any] = [group, None if is_lazy(param) else param.shape, param.dtype]
                for key, value in state.items():
                    own = type(value) is Tensor
                    form += (key, value.shape, value.dtype) if own else (key, type(value))
                forms[tuple(form)].append(place)
        return list(forms.values())

    @property
    def steps_taken(self) -> float:
        """How many steps it has taken; infinity if its state does not say."""
        counts = [plain(state.get("step")) for state in self.states]
        return max((each for each in counts if isinstance(each, (int, float))), default=math.inf)

    @property
    def labels(self) -> list[str]:
        """The name of each group, or its index."""
        return [group_label(index, group) for index, group in enumerate(self.groups)]

    @property
    def words(self) -> Mapping[str, Any]:
        """State of no parameter that a class keeps under a word: a step count, say."""
        if any(isinstance(key, str) for key in self.ids):
            return {}  # torch.distributed.checkpoint has names of parameters
        others = (Tensor, Number)  # a number may stand for a parameter that is gone
        return {key: value for key, value in self.orphans if not isinstance(key, others)}

    @property
    def names_told(self) -> str:
        """Say what there is in place of a name for each parameter."""
        names = [str(name) for group in self.groups for name in entries(group.get("param_names"))]
        several = [repr(name) for name, count in Counter(names).items() if count > 1]
        if several:
            return f"the name {first_few(several)} for several parameters"
        had = counted(len(names), "name") if names else "no names"
        return f"{had} for its {counted(len(self.ids), 'parameter')}"

    @property
    def torch_class(self) -> str | None:
        """The class of ``torch.optim`` whose state it keeps."""
        if self.optimizer is not None:
            return torch_class(type(self.optimizer))
        module, _, name = (self.saved_class or "").rpartition(".")
        known = module.startswith("torch.optim") and name in STATE and hasattr(optim, name)
        return name if known else None


def view_of(optimizer: Optimizer, names: Names = _NOTHING) -> OptimizerView:
    """Look at a live optimizer: no state is made, and no device is waited for."""
    *around, optimizer = layers(optimizer)
    groups = list(map(_mapping, entries(getattr(readable(optimizer), "param_groups", None))))
    params, own, group_of = _members(groups)
    return _view(
        [names.get(id(param)) or name for param, name in zip(params, own, strict=True)],
        kind=type(optimizer).__name__,
        optimizer=optimizer,
        defaults=_mapping(getattr(optimizer, "defaults", None)),
        groups=groups,
        ids=params,
        params=params,
        group_of=group_of,
        state=_mapping(getattr(optimizer, "state", None)),
        around=tuple(around),
    )


def view_of_saved(
    state_dict: Mapping[str, Any],
    header: Mapping[str, Any] | None = None,
    *,
    kind: str = "state dict",
) -> OptimizerView:
    """Look at a state dict, and at what the header of its checkpoint says of it."""
    header = header or {}
    groups = list(state_dict["param_groups"])
    keys, own, group_of = _members(groups)
    ids = [key if isinstance(key, (int, str)) else None for key in keys]
    # torch.distributed.checkpoint has names in place of numbers.
    known = [
        key if name is None and isinstance(key, str) else name
        for key, name in zip(keys, own, strict=True)
    ]
    shapes = _of_each(header.get("shapes"), len(ids))
    stateless = header.get("stateless")
    return _view(
        _of_each(header.get("names"), len(ids)) or known,
        kind=kind,
        optimizer=None,
        defaults=_NOTHING,
        groups=groups,
        ids=ids,
        params=[None] * len(ids),
        group_of=group_of,
        state=state_dict["state"],
        saved_class=header.get("class"),
        model=header.get("model"),
        aliases=header.get("aliases") or {},
        shapes=None if shapes is None else list(map(tuple, shapes)),
        dtypes=_of_each(header.get("dtypes"), len(ids)),
        stateless=None if stateless is None else frozenset(stateless),
        more={k: v for k, v in state_dict.items() if k not in ("state", "param_groups")},
    )


def _view(
    names: list[str | None], *, groups: Any, ids: list[Any], state: Any, **more: Any
) -> OptimizerView:
    """Put together what follows from the groups, the state, and the names."""
    held = set(ids)
    return OptimizerView(
        groups=groups,
        options=[
            {str(key): plain(value) for key, value in group.items() if key not in NOT_OPTIONS}
            for group in groups
        ],
        ids=ids,
        names=[f"params[{place}]" if name is None else name for place, name in enumerate(names)],
        named=bool(names) and None not in names and len(set(names)) == len(names),
        state=state,
        states=[_mapping(state.get(key)) for key in ids],  # `[]` would make one
        orphans=[(key, value) for key, value in state.items() if key not in held],
        **more,
    )


def view_of_any(source: object, names: Names = _NOTHING, key: str | None = None) -> OptimizerView:
    """Look at an optimizer, at a state dict, or into a checkpoint."""
    if isinstance(live := unwrapped(source), Optimizer):
        return view_of(live, names)
    if isinstance(source, (str, os.PathLike)):
        where = os.fspath(source)
        content = look_into(source).content
    elif isinstance(source, Mapping):
        where, content = "the mapping", source
    else:
        raise TypeError(
            "optimizer must be a torch.optim.Optimizer, its state dict, or the path of a "
            f"checkpoint, not {type(source).__name__}"
        )
    if is_state_dict(content):
        return view_of_saved(content)
    found = optimizers_in(content)
    if not found and isinstance(source, Mapping):
        raise TypeError(
            "optimizer must be a state dict with 'state' and 'param_groups', or hold one; "
            f"this mapping has {first_few(map(repr, source)) or 'nothing'}"
        )
    chosen = choose(found, key, where, content)
    beside = part_at(content, chosen.rpartition(".")[0])
    slices = {SLICES: beside[SLICES]} if isinstance(beside, Mapping) and SLICES in beside else {}
    return view_of_saved({**found[chosen], **slices}, kind=chosen)


def names_that_fit(view: OptimizerView, index: ParameterIndex) -> tuple[str, list[str]] | None:
    """Name saved parameters by the order in which a trainer takes those of a model, and say whose."""
    sizes = [view.group_of.count(group) for group in range(len(view.groups))]
    tensors = map(of_its_shape, view.states)
    return names_by_rule(
        index, sizes, [each if each is None else tuple(each.shape) for each in tensors]
    )


def of_its_shape(state: Mapping[str, Any]) -> Tensor | None:
    """Return what has the shape of the parameter, of what is kept for it."""
    found = (
        value
        for key, value in state.items()
        if isinstance(value, Tensor) and value.ndim and layouts_of(key) == {"parameter"}
    )
    return next(found, None)


def group_label(index: int, group: Mapping[str, Any]) -> str:
    """Return a group's own name, or its index."""
    name = group.get("name")
    return name if isinstance(name, str) and name else f"group {index}"


def orphan_label(key: object) -> str:
    """Say for what there is state, and no parameter in any group."""
    return f"a tensor of shape {tuple(key.shape)}" if isinstance(key, Tensor) else repr(key)


def entries(value: object) -> list[Any]:
    """List what a group holds; what can't be a list of parameters, or names, holds none."""
    if isinstance(value, Tensor):
        return [value]
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []


def _members(groups: Iterable[Mapping[str, Any]]) -> tuple[list[Any], list[str | None], list[int]]:
    """List what groups have for parameters, the name that each gives it, and its index."""
    members: list[Any] = []
    names: list[str | None] = []
    group_of: list[int] = []
    for index, group in enumerate(groups):
        mine = entries(group.get("params"))
        own = entries(group.get("param_names"))
        members += mine
        named = [str(name) for name in own] if len(own) <= len(mine) else []
        names += [*named, *[None] * (len(mine) - len(named))]
        group_of += [index] * len(mine)
    return members, names, group_of


def choose(found: Mapping[str, Any], key: str | None, where: str, content: object) -> str:
    """Choose one optimizer of a checkpoint, or say which there are."""
    if key is not None and key in found:
        return key
    if not found:
        keys = (
            first_few(map(repr, content))
            if isinstance(content, Mapping)
            else type(content).__name__
        )
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


def _mapping(value: object) -> Mapping[Any, Any]:
    """Return a state, or a group, as it is; an empty one if it is no mapping."""
    # dict first: an abstract class takes ten times as long
    return value if type(value) is dict or isinstance(value, Mapping) else _NOTHING


def _of_each(found: Any, count: int) -> list[Any] | None:
    """Return what a header says of each parameter; None if it is not about this many."""
    return found if isinstance(found, list) and found and len(found) == count else None
