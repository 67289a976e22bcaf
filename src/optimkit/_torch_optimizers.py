"""What the optimizers of ``torch.optim`` keep for a parameter, and which options they know."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from functools import reduce
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._torch_schedulers import keys_in_groups
from ._values import items_of

Shape = tuple[int, ...]
Layout = Literal["parameter", "scalar", "row", "column", "flat"]


class Kept(NamedTuple):
    """A piece of the state of a parameter: its shape, and whether ``step()`` fails without it."""

    layout: Layout = "parameter"  # whose shape it has; flat: of all parameters, end to end
    needed: bool | str = True  # or the option with which it is needed
    matrix: bool | None = None  # of matrices only, or of all others only
    first: bool | str | None = None  # whether the first step makes a tensor of it, if not as needed


_LIKE = Kept()
_SCALAR = Kept("scalar")
_FLAT = Kept("flat", needed=False)

FLAT = ("d", "prev_flat_grad")  # what LBFGS keeps for all parameters at once, end to end
FLAT_LISTS = ("old_dirs", "old_stps")  # its history: lists of the same

_ADAM = {
    "step": _SCALAR,
    "exp_avg": _LIKE,
    "exp_avg_sq": _LIKE,
    "max_exp_avg_sq": Kept(needed="amsgrad"),
}

STATE: dict[str, Mapping[str, Kept]] = {
    "ASGD": {"step": _SCALAR, "eta": _SCALAR, "mu": _SCALAR, "ax": _LIKE},
    "Adadelta": {"step": _SCALAR, "square_avg": _LIKE, "acc_delta": _LIKE},
    "Adafactor": {
        "step": _SCALAR,
        "row_var": Kept("row", matrix=True),
        "col_var": Kept("column", matrix=True),
        "variance": Kept(matrix=False),
    },
    "Adagrad": {"step": _SCALAR, "sum": _LIKE},
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "Adamax": {"step": _SCALAR, "exp_avg": _LIKE, "exp_inf": _LIKE},
    "LBFGS": {
        "func_evals": _SCALAR,
        "n_iter": _SCALAR,
        **dict.fromkeys(FLAT + FLAT_LISTS, _FLAT),
    },
    "Muon": {"momentum_buffer": Kept(needed=False, first=True)},  # a step makes it where it is None
    "NAdam": {"step": _SCALAR, "mu_product": _SCALAR, "exp_avg": _LIKE, "exp_avg_sq": _LIKE},
    "RAdam": {"step": _SCALAR, "exp_avg": _LIKE, "exp_avg_sq": _LIKE},
    "RMSprop": {
        "step": _SCALAR,
        "square_avg": _LIKE,
        "momentum_buffer": Kept(needed="momentum"),
        "grad_avg": Kept(needed="centered"),
    },
    "Rprop": {"step": _SCALAR, "prev": _LIKE, "step_size": _LIKE},
    "SGD": {"momentum_buffer": Kept(needed=False, first="momentum")},
    "SparseAdam": {"step": Kept("scalar", first=False), "exp_avg": _LIKE, "exp_avg_sq": _LIKE},
}
"""The class -> the keys of its state -> what is kept there; add a row to teach the kit another.

Read from the ``_init_group`` of each class in torch/optim/*.py, 2.15; tests compare what they make.
"""

NOT_OPTIONS = frozenset({"params", "param_names"})  # keys of a group that hold the parameters

# What Lightning and the trackers read; what unpickling adds (torch/optim/optimizer.py, 2.15:
# Optimizer.__setstate__).
_EXTRAS = NOT_OPTIONS | {"name", "differentiable"}


def is_extra(key: str) -> bool:
    """Return whether a key is in groups without being an option of the optimizer."""
    return key in _EXTRAS or key in keys_in_groups()


def flat_size(params: Iterable[Tensor]) -> int:
    """Return how long what LBFGS keeps end to end is: a complex number is two."""
    return sum(param.numel() * (2 if param.is_complex() else 1) for param in params)


def flat_dtype(params: Iterable[Tensor]) -> torch.dtype:
    """Return the dtype of what LBFGS keeps end to end: what all parameters fit into."""
    return reduce(torch.promote_types, (param.dtype.to_real() for param in params))


_SYNONYMS = {"learning_rate": "lr", "wd": "weight_decay", "epsilon": "eps"}


def closest_option(key: str, options: Iterable[str], likeness: float) -> str | None:
    """Return the option that a key perhaps stands for."""
    known = list(options)
    if _SYNONYMS.get(key) in known:
        return _SYNONYMS[key]
    return next(iter(get_close_matches(key, known, 1, likeness)), None)


def torch_class(kind: type) -> str | None:
    """Name the class of ``torch.optim`` whose state a class keeps."""
    for base in kind.__mro__:
        if base.__name__ in STATE and getattr(torch.optim, base.__name__, None) is base:
            return base.__name__ if _steps_like(kind, base) else None
    return None


def _steps_like(kind: type, base: type) -> bool:
    return all(
        inspect.unwrap(getattr(kind, name, _steps_like))
        is inspect.unwrap(getattr(base, name, _steps_like))
        for name in ("step", "_init_group")
    )


def arguments_of(optimizer: Optimizer) -> set[str]:
    """Return what the class of an optimizer can be given, and those that it is made of."""
    inits = [vars(kind)["__init__"] for kind in type(optimizer).__mro__ if "__init__" in vars(kind)]
    return {name for init in inits[:-1] for name in inspect.signature(init).parameters}


def keys_of(name: str) -> AbstractSet[str]:
    """Return every key that a class of torch may keep."""
    return STATE[name].keys()


def layouts_of(key: str) -> set[Layout]:
    """Return how the classes of torch lay out what they keep under a key; nothing if none does."""
    return {row[key].layout for row in STATE.values() if key in row}


def _kept_by(name: str | None) -> Mapping[str, Kept]:
    return STATE.get(name, {}) if name else {}  # of another class, nothing is known


def required_keys(
    name: str | None, matrix: bool, options: Mapping[str, Any], *, first: bool = False
) -> set[str]:
    """Return the keys that the state of a parameter must have, or of which a first step makes tensors."""
    found = set()
    for key, kept in _kept_by(name).items():
        when = kept.needed if kept.first is None or not first else kept.first
        if kept.matrix in (None, matrix) and (options.get(when) if isinstance(when, str) else when):
            found.add(key)
    return found


def keys_by_option(name: str | None) -> set[str]:
    """Return the keys that come with an option; torch begins them with zeros."""
    return {key for key, kept in _kept_by(name).items() if isinstance(kept.needed, str)}


def shape_of(name: str | None, key: str, shape: Shape) -> Shape | None:
    """Return the shape that a state tensor should have; None if it follows from no rule."""
    kept = _kept_by(name).get(key)
    if kept is None or kept.layout == "flat":
        return None
    if kept.layout == "scalar":
        return ()
    if kept.layout == "parameter":
        return shape
    if len(shape) < 2:
        return None
    return (*shape[:-1], 1) if kept.layout == "row" else (*shape[:-2], 1, shape[-1])


def optimizers_in(content: Any, where: str = "", depth: int = 0) -> dict[str, Mapping[str, Any]]:
    """Find the optimizer state dicts in what a checkpoint holds, down to 5 levels."""
    if is_state_dict(content):
        return {where: content}
    long = isinstance(content, (list, tuple)) and len(content) >= 100
    found: dict[str, Mapping[str, Any]] = {}
    for key, item in () if long or depth == 5 else items_of(content):
        found.update(optimizers_in(item, f"{where}.{key}" if where else str(key), depth + 1))
    return found


def part_at(content: Any, place: str) -> Any:
    """Return what is at a place in a checkpoint, as show and diff call it; None if nothing is."""
    if not place:
        return content
    for key, item in items_of(content):
        head, rest = str(key), place[len(str(key)) :]
        if place.startswith(head) and rest[:1] in ("", "."):
            found = part_at(item, rest[1:])
            if found is not None:
                return found
    return None


def is_state_dict(value: object) -> bool:
    """Return whether a value is the state dict of an optimizer."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("state"), Mapping)
        and isinstance(value.get("param_groups"), (list, tuple))
        and all(isinstance(group, Mapping) for group in value["param_groups"])
    )
