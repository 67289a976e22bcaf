"""The parameters of a model: each once, with every name it has and the modules it lies in."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any
from weakref import ReferenceType, ref

from torch import nn
from torch.nn.parameter import is_lazy

from ._errors import GroupError, first_few
from ._values import listed

# Where the class of a wrapper is, and the attribute that holds the model, which is no part of any
# name. A class has no instances before its module is imported: none is imported to look for one.
_WRAPPERS = (
    ("torch.nn.parallel.distributed", "DistributedDataParallel", "module"),
    ("torch.nn.parallel.data_parallel", "DataParallel", "module"),
    # torch/distributed/fsdp/_common_utils.py, 2.15: FSDP_WRAPPED_MODULE
    (
        "torch.distributed.fsdp.fully_sharded_data_parallel",
        "FullyShardedDataParallel",
        "_fsdp_wrapped_module",
    ),
    # torch/_dynamo/eval_frame.py, 2.15: OptimizedModule.__init__
    ("torch._dynamo.eval_frame", "OptimizedModule", "_orig_mod"),
    # The same file, 2.15: _CHECKPOINT_WRAPPED_MODULE
    (
        "torch.distributed.algorithms._checkpoint.checkpoint_wrapper",
        "ActivationWrapper",
        "_checkpoint_wrapped_module",
    ),
)


def held_as(module: nn.Module) -> str | None:
    """Return the attribute in which a wrapper holds the model; None if this is no wrapper."""
    kind: Any = type(module)
    return _held_by(kind)


@lru_cache(maxsize=1024)  # the bases of a class never change
def _held_by(kind: type) -> str | None:
    for path, name, attribute in _WRAPPERS:
        wrapper = getattr(sys.modules.get(path), name, None)
        if wrapper is not None and issubclass(kind, wrapper):
            return attribute
    return None


@dataclass(eq=False, repr=False, slots=True)
class ParamInfo:
    """A parameter and where it is in the model: what a predicate is asked about.

    Parameters
    ----------
    name : str
        Its name, as ``model.named_parameters()`` has it, without the prefixes of wrappers.
    param : torch.nn.Parameter
        The parameter itself, not a copy.
    module : torch.nn.Module
        The module that owns it.
    module_name : str
        The name of that module; ``""`` for the model itself.
    aliases : tuple of str, optional
        Its other names, if it is tied or its module is used in several places. A predicate
        is asked once for each name.

    Examples
    --------
    >>> from torch import nn
    >>> from optimkit import ParamInfo, param_groups, when
    >>> def is_wide(info: ParamInfo) -> bool:
    ...     return isinstance(info.module, nn.Linear) and info.param.shape[-1] > 100
    >>> model = nn.Sequential(nn.Linear(2, 200), nn.Linear(200, 1))
    >>> [group["name"] for group in param_groups(model, when(is_wide, lr=1e-4), lr=1e-3)]
    ['default', 'lr=0.0001']
    >>> ParamInfo("1.weight", model[1].weight, model[1], "1")
    ParamInfo('1.weight', shape=(1, 200), module=Linear)
    """

    name: str
    param: nn.Parameter
    module: nn.Module
    module_name: str
    aliases: tuple[str, ...] = ()
    _index: ReferenceType[ParameterIndex] | None = field(default=None, init=False)
    _position: int = field(default=-1, init=False)  # among the parameters, each counted once

    def __contains__(self, item: object) -> bool:
        """Refuse ``"bias" in info``, which is meant for the name."""
        raise TypeError("a ParamInfo is not a name; use its .name")

    def __repr__(self) -> str:
        aliases = f", aliases={self.aliases}" if self.aliases else ""
        shape = "no shape yet" if is_lazy(self.param) else f"shape={tuple(self.param.shape)}"
        return f"ParamInfo({self.name!r}, {shape}, module={type(self.module).__name__}{aliases})"


@dataclass(eq=False, slots=True)
class IndexedModule:
    """A module at one of its names."""

    name: str  # "" for the model itself
    module: nn.Module
    outer: IndexedModule | None  # the module that holds it
    positions: list[int]  # of the parameters that it owns itself


Model = nn.Module | Mapping[str, nn.Module]
Models = Model | Iterable[Model]


class ParameterIndex:
    """The parameters of a model, each once, in the order of ``model.named_parameters()``."""

    def __init__(self, model: Model) -> None:
        self.modules: list[IndexedModule] = []  # those that hold anything, each before its children
        self.occurrences: list[ParamInfo] = []  # each parameter at each of its names
        self._first: dict[int, ParamInfo] = {}  # by id: a tensor is slow to hash
        self.answers: dict[object, frozenset[int]] = {}  # what selectors have found: positions
        self._itself = ref(self)
        for key, module in _roots(model).items():
            self._add(module, f"{key}." if key else "", None, ())
        if len(self.occurrences) > len(self._first):
            self._note_aliases()
        names = [each.name for each in self.occurrences]
        if len(set(names)) < len(names):
            twice = [name for name, count in Counter(names).items() if count > 1]
            raise GroupError(
                f"two parameters would have the same name: {first_few(twice)}. "
                "Rename one, or give each model a key that no name of another begins with."
            )

    def _add(
        self,
        module: nn.Module,
        prefix: str,
        outer: IndexedModule | None,
        around: tuple[nn.Module, ...],
    ) -> None:
        """Note what a module holds: first the parameters that it owns itself."""
        if module in around:  # torch lets a module hold its own parent
            return
        owner = IndexedModule(prefix[:-1], module, outer, [])
        self.modules.append(owner)
        for leaf, param in module._parameters.items():
            if param is not None:
                info = ParamInfo(prefix + leaf, param, module, owner.name)
                info._index, info._position = self._itself, len(self._first)
                info._position = self._first.setdefault(id(param), info)._position
                owner.positions.append(info._position)
                self.occurrences.append(info)
        unnamed, around = held_as(module), (*around, module)
        for key, child in module._modules.items():
            if child is not None and (child._parameters or child._modules):
                inner = prefix if key == unnamed else f"{prefix}{key}."
                self._add(child, inner, owner, around)

    def _note_aliases(self) -> None:
        names: defaultdict[int, list[str]] = defaultdict(list)
        for each in self.occurrences:
            names[each._position].append(each.name)
        for each in self.occurrences:
            each.aliases = tuple(name for name in names[each._position] if name != each.name)

    def __len__(self) -> int:
        return len(self._first)

    def __iter__(self) -> Iterator[ParamInfo]:
        """Yield each parameter once, at its first name."""
        return iter(self._first.values())

    def __getitem__(self, param: nn.Parameter) -> ParamInfo:
        return self._first[id(param)]

    def inside(self, test: Callable[[nn.Module], bool]) -> frozenset[int]:
        """Return the parameters in the modules that pass a test."""
        found: dict[IndexedModule, None] = {}
        for each in self.modules:
            if each.outer in found or test(each.module):
                found[each] = None
        return frozenset(position for each in found for position in each.positions)


# The group that a trainer puts a parameter into, each group in the order of the model.
# transformers/trainer.py, 5.24: get_decay_parameter_names; timm/optim/_param_groups.py, 1.0:
# param_groups_weight_decay; ultralytics/engine/trainer.py, 8.4: build_optimizer.
_UNDECAYED = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")


def _of_transformers(each: ParamInfo) -> int:
    norm = isinstance(each.module, nn.LayerNorm)
    return int(norm or _UNDECAYED.search(each.name.lower()) is not None)


def _of_timm(each: ParamInfo) -> int:
    return int(each.param.ndim > 1 and not each.name.endswith(".bias"))


def _of_ultralytics(each: ParamInfo) -> int:
    if "bias" in each.name:
        return 2
    return int("Norm" in type(each.module).__name__ or "logit_scale" in each.name)


_RULES: dict[str, Callable[[ParamInfo], int]] = {
    "the Trainer of transformers": _of_transformers,
    "timm": _of_timm,
    "Ultralytics": _of_ultralytics,
    "the model": lambda each: 0,
}


def names_by_rule(
    index: ParameterIndex, sizes: Sequence[int], shapes: Sequence[tuple[int, ...] | None]
) -> tuple[str, list[str]] | None:
    """Name saved parameters by whose order has groups of these sizes and shapes: whose, and the names."""
    for whose, group_of in _RULES.items():
        for params in (list(index), [each for each in index if each.param.requires_grad]):
            ordered = sorted(params, key=group_of)
            found = [sum(group_of(each) == group for each in params) for group in range(len(sizes))]
            if whose != "the model" and found != list(sizes):
                continue
            if len(ordered) == len(shapes) and all(
                shape is None or (not is_lazy(each.param) and shape == tuple(each.param.shape))
                for each, shape in zip(ordered, shapes, strict=True)
            ):
                return whose, [each.name for each in ordered]
    return None


def index_models(models: Models) -> list[ParameterIndex]:
    """Index one model or several, so that no two parameters have the same name."""
    given: list[Any] = [models] if isinstance(models, (nn.Module, Mapping)) else listed(models)
    indexes = [ParameterIndex(model) for model in given]
    if len(indexes) == 1:
        return indexes
    named = {(each.name, id(each.param)) for index in indexes for each in index.occurrences}
    if len(named) == len({name for name, _ in named}):
        return indexes
    kinds = [type(model).__name__ for model in given]
    prefixes = [
        kind if kinds.count(kind) == 1 and kind != "dict" else f"models[{index}]"
        for index, kind in enumerate(kinds)
    ]
    return [
        ParameterIndex({".".join(filter(None, (prefix, key))): each for key, each in roots.items()})
        for prefix, roots in zip(prefixes, map(_roots, given), strict=True)
    ]


def left_out(indexes: Iterable[ParameterIndex], params: Iterable[object]) -> list[ParamInfo]:
    """Return what models have beside some parameters, each once."""
    seen = set(map(id, params))
    found = []
    for each in chain.from_iterable(indexes):
        if id(each.param) not in seen:
            seen.add(id(each.param))
            found.append(each)
    return found


def names_by_id(indexes: Iterable[ParameterIndex]) -> dict[int, str]:
    return {id(each.param): each.name for index in [*indexes][::-1] for each in index}


def _roots(model: object) -> Mapping[str, nn.Module]:
    if isinstance(model, nn.Module):
        return {"": model}
    if not isinstance(model, Mapping):
        raise TypeError(
            f"model must be a torch.nn.Module, or a mapping of names to modules, not {_what(model)}"
        )
    wrong = [
        f"{key!r} is {_what(value)}"
        for key, value in model.items()
        if not (isinstance(key, str) and isinstance(value, nn.Module))
    ]
    if wrong:
        raise TypeError(f"model must map names to torch.nn.Module: {first_few(wrong)}")
    return model


def _what(value: object) -> str:
    return f"the string {value!r}" if isinstance(value, str) else type(value).__name__


_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
)
_CALLED_NORM = ("Norm", "NormGated", "Norm1d", "Norm2d", "Norm3d")  # LlamaRMSNorm, SimpleNorm2d


def is_bias_of(info: ParamInfo) -> bool:
    """Return whether a parameter is called a bias, and is no table but for a row per matrix."""
    leaf = info.name.rpartition(".")[2]
    if not (leaf == "bias" or leaf.startswith("bias_") or leaf.endswith("_bias")):
        return False
    param = info.param
    if is_lazy(param) or param.dim() < 2 or sum(size > 1 for size in param.shape) < 2:
        return True
    stem = leaf.removesuffix("bias")  # experts, or an ensemble, have their matrices in one tensor
    for weight in (f"{stem}weight", stem.removesuffix("_")):
        matrices = info.module._parameters.get(weight)
        if matrices is not None and matrices.dim() > 2 and len(matrices) == len(param):
            return True
    return False


def is_norm_layer(layer: nn.Module) -> bool:
    """Return whether a layer is a norm of torch's, or is called one and owns only vectors."""
    if isinstance(layer, _NORMS):
        return True
    if not type(layer).__name__.endswith(_CALLED_NORM):
        return False
    parametrizations = layer._modules.get("parametrizations")
    own = [param for param in layer._parameters.values() if param is not None]
    own += parametrizations.parameters() if parametrizations is not None else []
    return all(is_lazy(param) or param.dim() < 2 for param in own)
