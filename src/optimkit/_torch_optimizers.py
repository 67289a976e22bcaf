"""What the optimizers of ``torch.optim`` keep for a parameter, and which options they know.

Torch writes this down nowhere: it is in the ``_init_group`` of each class. The tests compare
this table with what each class really makes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """The state that a class keeps for a parameter."""

    alike: tuple[str, ...]
    single: tuple[str, ...] = ("step",)
    optional: tuple[str, ...] = ()
    needs: Mapping[str, str] | None = None

    @property
    def required(self) -> frozenset[str]:
        """The keys without which ``step()`` fails."""
        return frozenset(self.alike + self.single) - frozenset(self.optional)


_ADAM = Kept(
    ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    optional=("max_exp_avg_sq",),
    needs={"max_exp_avg_sq": "amsgrad"},
)

KEPT: dict[str, Kept] = {
    "ASGD": Kept(("ax",), single=("step", "eta", "mu")),
    "Adadelta": Kept(("square_avg", "acc_delta")),
    "Adafactor": Kept(("variance",), optional=("variance",)),  # row_var, col_var: see `shape_of`
    "Adagrad": Kept(("sum",)),
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "Adamax": Kept(("exp_avg", "exp_inf")),
    "LBFGS": Kept((), single=("func_evals", "n_iter")),
    "Muon": Kept(("momentum_buffer",), single=(), optional=("momentum_buffer",)),
    "NAdam": Kept(("exp_avg", "exp_avg_sq"), single=("step", "mu_product")),
    "RAdam": Kept(("exp_avg", "exp_avg_sq")),
    "RMSprop": Kept(
        ("square_avg", "momentum_buffer", "grad_avg"),
        optional=("momentum_buffer", "grad_avg"),
        needs={"momentum_buffer": "momentum", "grad_avg": "centered"},
    ),
    "Rprop": Kept(("prev", "step_size")),
    "SGD": Kept(("momentum_buffer",), single=(), optional=("momentum_buffer",)),
    "SparseAdam": Kept(("exp_avg", "exp_avg_sq")),
}

FLAT = ("d", "prev_flat_grad")
"""What LBFGS keeps for all parameters at once, end to end."""

FLAT_LISTS = ("old_dirs", "old_stps")
"""Its history: lists of the same."""

_BEYOND = {"Adafactor": ("row_var", "col_var"), "LBFGS": (*FLAT, *FLAT_LISTS)}

VOCABULARY = frozenset(
    key
    for name, kept in KEPT.items()
    for key in (*kept.alike, *kept.single, *_BEYOND.get(name, ()))
)
"""Every key that some class of torch keeps."""

SINGLE = frozenset(key for kept in KEPT.values() for key in kept.single)
"""The keys that hold a single number in some class."""

# Keys of a group that are no options of the class: who puts them there.
EXTRAS = frozenset(
    {
        "params",
        "param_names",  # torch, of named parameters
        "name",  # Lightning's LearningRateMonitor and the trackers read it
        "initial_lr",  # every scheduler
        "max_lr",  # OneCycleLR
        "min_lr",
        "max_momentum",  # OneCycleLR, CyclicLR
        "base_momentum",
        "swa_lr",  # SWALR
        "differentiable",  # unpickling adds it
    }
)


def flat_size(params: Iterable[Tensor]) -> int:
    """Return how long what LBFGS keeps end to end is: a complex number is two."""
    return sum(param.numel() * (2 if param.is_complex() else 1) for param in params)


def flat_dtype(params: Iterable[Tensor]) -> torch.dtype:
    """Return the dtype of what LBFGS keeps end to end: what all parameters fit into."""
    return reduce(torch.promote_types, (param.dtype.to_real() for param in params))


_SYNONYMS = {"learning_rate": "lr", "wd": "weight_decay", "epsilon": "eps"}


def meant(key: str, options: Iterable[str], likeness: float) -> str | None:
    """Return the option that a key perhaps stands for."""
    known = list(options)
    if _SYNONYMS.get(key) in known:
        return _SYNONYMS[key]
    return next(iter(get_close_matches(key, known, 1, likeness)), None)


def torch_class(kind: type) -> str | None:
    """Name the class of ``torch.optim`` whose state a class keeps."""
    for base in kind.__mro__:
        if base.__name__ in KEPT and getattr(torch.optim, base.__name__, None) is base:
            return base.__name__ if _steps_like(kind, base) else None
    return None


def _steps_like(kind: type, base: type) -> bool:
    """Tell whether a class has not changed how another one steps."""
    return all(
        inspect.unwrap(getattr(kind, name, _steps_like))
        is inspect.unwrap(getattr(base, name, _steps_like))
        for name in ("step", "_init_group")
    )


def keys_of(name: str) -> frozenset[str]:
    """Return every key that a class of torch may keep."""
    kept = KEPT[name]
    return frozenset((*kept.alike, *kept.single, *_BEYOND.get(name, ())))


def required_keys(name: str, matrix: bool, options: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that the state of a parameter must have, once it has any."""
    kept = KEPT[name]
    if name == "Adafactor":
        return _REQUIRED[name] | ({"row_var", "col_var"} if matrix else {"variance"})
    if not kept.needs:
        return _REQUIRED[name]
    return _REQUIRED[name] | {key for key, option in kept.needs.items() if options.get(option)}


_REQUIRED = {name: kept.required for name, kept in KEPT.items()}


def shape_of(name: str, key: str, shape: Shape) -> Shape | None:
    """Return the shape that a state tensor should have."""
    kept = KEPT[name]
    if key in kept.alike:
        return shape
    if key in kept.single:
        return ()
    if name == "Adafactor" and len(shape) > 1:
        if key == "row_var":
            return (*shape[:-1], 1)
        if key == "col_var":
            return (*shape[:-2], 1, shape[-1])
    return None


def optimizers_in(content: object) -> dict[str, Mapping[str, Any]]:
    """Find the optimizer state dicts in what a checkpoint holds."""
    found: dict[str, Mapping[str, Any]] = {}

    def look(value: object, where: str, depth: int) -> None:
        if is_state_dict(value):
            found[where] = value  # type: ignore[assignment]
        elif depth < 5 and isinstance(value, Mapping):
            for key, item in value.items():
                look(item, f"{where}.{key}" if where else str(key), depth + 1)
        elif depth < 5 and isinstance(value, (list, tuple)) and len(value) < 100:
            for index, item in enumerate(value):
                look(item, f"{where}.{index}" if where else str(index), depth + 1)

    look(content, "", 0)
    return found


def is_state_dict(value: object) -> bool:
    """Return whether a value is the state dict of an optimizer."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("state"), Mapping)
        and isinstance(value.get("param_groups"), (list, tuple))
        and all(isinstance(group, Mapping) for group in value["param_groups"])
    )
