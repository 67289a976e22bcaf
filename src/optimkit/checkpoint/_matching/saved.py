"""A saved optimizer, brought to one form: from its state dict and the header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from ..._errors import first_few
from ..._torch_optimizers import is_extra, keys_of
from .._names import saved_names

NOT_OPTIONS = frozenset({"params", "param_names"})
LABELS = frozenset({"name"})


@dataclass(frozen=True)
class SavedOptimizer:
    """A saved optimizer: lists have an entry for each parameter, in the saved order."""

    groups: Sequence[Mapping[str, Any]]
    state: Mapping[Any, Mapping[str, Any]]
    ids: list[Any]
    group_of: list[int]
    names: list[str] | None
    aliases: Mapping[str, Sequence[str]]
    shapes: list[Sequence[int]] | None
    dtypes: list[str] | None
    stateless: frozenset[int] | None
    kind: str | None
    stale: bool
    more: Mapping[str, Any]  # what a class of the user's, or a hook, adds to the state dict
    model: str | None  # the key of the only model it is of

    def state_of(self, place: int) -> Mapping[str, Any]:
        """Return the state of a parameter; empty if there is none."""
        return self.state.get(self.ids[place]) or {}

    def written(self, with_model: bool) -> list[str]:
        """Return the names, with the key of the only model if asked for."""
        prefix = f"{self.model}." if with_model else ""
        return [prefix + name for name in self.names or ()]


def read_saved(
    state_dict: Mapping[str, Any], about: Mapping[str, Any] | None, *, foreign: bool = False
) -> SavedOptimizer:
    """Bring a state dict, and what the header says of it, to one form."""
    groups = state_dict["param_groups"]
    ids = [key for group in groups for key in group["params"]]
    about = about or {}
    stateless = about.get("stateless")

    def of_each(values: list[Any] | None) -> list[Any] | None:
        return values if values and len(values) == len(ids) else None

    return SavedOptimizer(
        groups=groups,
        state=state_dict["state"],
        ids=ids,
        group_of=[index for index, group in enumerate(groups) for _ in group["params"]],
        names=of_each(_flat(about.get("names")) or saved_names(groups)),
        aliases=about.get("aliases") or {},
        shapes=of_each(_flat(about.get("shapes"))),
        dtypes=of_each(_flat(about.get("dtypes"))),
        stateless=None if stateless is None else frozenset(stateless),
        kind=about.get("class"),
        model=about.get("model"),
        more={k: v for k, v in state_dict.items() if k not in ("state", "param_groups")},
        stale=foreign and not all(isinstance(key, str) for key in ids),
    )


def _flat(groups: Any) -> list[Any] | None:
    return None if groups is None else [each for group in groups for each in group]


def other_class(saved: SavedOptimizer, live: Optimizer, kind: str | None) -> str:
    """Say by what a state dict gives away that another class wrote it; else nothing."""
    state: Mapping[str, Any] = next((each for each in saved.state.values() if each), {})
    if kind is not None and state:
        strange = sorted(set(map(str, state)) - keys_of(kind))
        if strange and kind != "LBFGS":
            return f"it keeps {first_few(strange)} for a parameter"
        if not keys_of(kind) & set(state):
            return f"it keeps none of {first_few(sorted(keys_of(kind)))} for a parameter"
    if saved.groups and live.param_groups:
        was, now = set(options_of(saved.groups[0])), set(live.defaults)
        beyond = was - set(live.param_groups[0]) - now - {"decoupled_weight_decay"}
        strange = sorted(key for key in beyond if not is_extra(key))
        if strange and now - was:
            return f"its groups have {first_few(strange)}, and no {first_few(sorted(now - was))}"
        decoupled = "decoupled_weight_decay"
        found = saved.groups[0].get(decoupled)
        if kind in ("Adam", "AdamW") and found not in (None, live.defaults.get(decoupled)):
            return f"its groups have {decoupled}={found}"
    return ""


def options_of(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in group.items() if key not in NOT_OPTIONS and key not in LABELS
    }


def label_of(index: int, group: Mapping[str, Any]) -> str:
    name = group.get("name")
    return name if isinstance(name, str) and name else f"group {index}"
