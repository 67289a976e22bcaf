"""One walk over a model: each parameter's names, its owner, and what lies inside what.

The names are the model's own. A wrapper such as ``DistributedDataParallel`` or
``torch.compile`` adds a ``module.`` or an ``_orig_mod.`` that no checkpoint wants; it is
known here by its class, so an attribute of yours that is called ``module`` keeps its name.

A tied parameter is found in several places. It is one parameter, with aliases.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from typing import TypeVar

from torch import Tensor, nn

from .errors import GroupError, first_few

_T = TypeVar("_T")

# Where a wrapper's class lives, and the attribute that holds the model itself. A class can only
# have instances when its module has been imported, so nothing is imported to look for one.
_WRAPPERS = (
    ("torch.nn.parallel.distributed", "DistributedDataParallel", "module"),
    ("torch.nn.parallel.data_parallel", "DataParallel", "module"),
    (
        "torch.distributed.fsdp.fully_sharded_data_parallel",
        "FullyShardedDataParallel",
        "_fsdp_wrapped_module",
    ),
    ("torch._dynamo.eval_frame", "OptimizedModule", "_orig_mod"),
    (
        "torch.distributed.algorithms._checkpoint.checkpoint_wrapper",
        "ActivationWrapper",
        "_checkpoint_wrapped_module",
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class ParamInfo:
    """A parameter, and where in the model it is.

    Parameters
    ----------
    name : str
        Its name, as ``model.named_parameters()`` has it, without the prefixes of wrappers.
    param : torch.nn.Parameter
        The parameter itself, not a copy.
    module : torch.nn.Module
        The module that owns it.
    module_name : str
        That module's name; ``""`` for the model itself.
    aliases : tuple of str, optional
        Its other names, when it is tied or its module is used in several places.

    Examples
    --------
    >>> from torch import nn
    >>> [info] = walk(nn.ModuleDict({"head": nn.Linear(2, 1, bias=False)}))
    >>> info.name, info.module_name, info.module, tuple(info.param.shape)
    ('head.weight', 'head', Linear(in_features=2, out_features=1, bias=False), (1, 2))
    """

    name: str
    param: nn.Parameter
    module: nn.Module
    module_name: str
    aliases: tuple[str, ...] = ()


class Walk:
    """The parameters of a model, each once, in the order of ``model.named_parameters()``.

    Made by :func:`walk`. To look at every parameter of a large model costs little, because
    the walk is kept in columns: a *place* is a name under which a parameter is found, and
    `places`, `tensors` have an entry for each. Most parameters have one place, a tied one has
    several. Iterating gives a :class:`ParamInfo` for each parameter.

    Attributes
    ----------
    places : list of str
        The name of each place, in the order of the walk.
    tensors : list of torch.nn.Parameter
        The parameter at each place.
    modules : list of torch.nn.Module
        Each visit to a module, an owner before what is inside it.
    module_names : list of str
        The name of each visited module.
    spans : list of tuple of (int, int, int)
        For each visit, where its places start, where its own end, where all inside it end.
    ties : list of list of int
        The places of each parameter that has more than one.
    """

    def __init__(self) -> None:
        self.places: list[str] = []
        self.tensors: list[nn.Parameter] = []
        self.modules: list[nn.Module] = []
        self.module_names: list[str] = []
        self.spans: list[tuple[int, int, int]] = []
        self.ties: list[list[int]] = []
        self._firsts: bytearray | None = None
        self._open: set[int] = set()
        self._held_as: dict[type, str | None] = {}

    def __len__(self) -> int:
        """Return the number of parameters, a tied one counted once."""
        return len(self.places) - sum(len(tie) - 1 for tie in self.ties)

    def __iter__(self) -> Iterator[ParamInfo]:
        """Give each parameter at its first place."""
        return iter(self.first_of(list(self.infos())))

    @property
    def names(self) -> list[str]:
        """The name of each parameter: that of its first place."""
        return self.first_of(self.places)

    @property
    def params(self) -> list[nn.Parameter]:
        """The parameters, each once."""
        return self.first_of(self.tensors)

    def first_of(self, column: list[_T]) -> list[_T]:
        """Keep, of a column with an entry for each place, the entry of each first place.

        Parameters
        ----------
        column : list
            An entry for each place.

        Returns
        -------
        list
            An entry for each parameter.
        """
        return column if self._firsts is None else list(compress(column, self._firsts))

    def infos(self) -> Iterator[ParamInfo]:
        """Give every place, tied ones too: what is named there, and the other names.

        Yields
        ------
        ParamInfo
            One for each place.
        """
        places, tensors = self.places, self.tensors
        others = {
            place: tuple(places[other] for other in tie if other != place)
            for tie in self.ties
            for place in tie
        }
        for module, name, (start, stop, _) in zip(
            self.modules, self.module_names, self.spans, strict=True
        ):
            for place in range(start, stop):
                yield ParamInfo(places[place], tensors[place], module, name, others.get(place, ()))

    def _visit(self, module: nn.Module, prefix: str) -> None:
        """Add a module's own parameters, then those of its children, as torch orders them."""
        if id(module) in self._open:  # a module that holds its own parent: torch allows it
            return
        self._open.add(id(module))
        places, tensors = self.places, self.tensors
        visit, start = len(self.modules), len(places)
        self.modules.append(module)
        self.module_names.append(prefix[:-1])
        # Module's own dicts: its public iterators cost several times as much.
        for leaf, param in module._parameters.items():
            if param is not None:
                places.append(prefix + leaf)
                tensors.append(param)
        own_stop = len(places)
        self.spans.append((start, own_stop, own_stop))
        if module._modules:
            held_as = self._wrapped_attribute(type(module))
            for leaf, child in module._modules.items():
                if child is not None:
                    self._visit(child, prefix if leaf == held_as else f"{prefix}{leaf}.")
            self.spans[visit] = (start, own_stop, len(places))
        self._open.remove(id(module))

    def _wrapped_attribute(self, kind: type) -> str | None:
        """Return the attribute under which a wrapper class holds the model, else None."""
        if kind not in self._held_as:
            self._held_as[kind] = next(
                (attribute for wrapper, attribute in _wrappers() if issubclass(kind, wrapper)),
                None,
            )
        return self._held_as[kind]

    def _finish(self) -> Walk:
        """Find the ties, and refuse one name for two places."""
        keys = list(map(id, self.tensors))
        if len(set(keys)) < len(keys):
            found: dict[int, list[int]] = {}
            for place, key in enumerate(keys):
                found.setdefault(key, []).append(place)
            self.ties = [tie for tie in found.values() if len(tie) > 1]
            self._firsts = bytearray(len(keys))
            for tie in found.values():
                self._firsts[tie[0]] = 1
        if len(set(self.places)) < len(self.places):
            raise GroupError(_name_clash(self.places))
        return self


def walk(model: nn.Module | Mapping[str, nn.Module]) -> Walk:
    """Walk a model once, and note where each parameter is.

    Parameters
    ----------
    model : torch.nn.Module or mapping of str to torch.nn.Module
        A model, or several by name; each name then begins with its key.

    Returns
    -------
    Walk
        The parameters, in the order of ``named_parameters()``.

    Raises
    ------
    TypeError
        If `model`, or a value of the mapping, is not a module.
    GroupError
        If two parameters would have the same name.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> generator = torch.compile(nn.Linear(2, 2))
    >>> walk({"g": generator, "d": nn.Linear(2, 1, bias=False)}).names
    ['g.weight', 'g.bias', 'd.weight']
    >>> tied = nn.ModuleDict({"embed": nn.Embedding(3, 2), "head": nn.Linear(2, 3, bias=False)})
    >>> tied["head"].weight = tied["embed"].weight
    >>> [(info.name, info.aliases) for info in walk(tied)]
    [('embed.weight', ('head.weight',))]
    """
    roots = _roots(model)
    result = Walk()
    for key, root in roots.items():
        result._visit(root, f"{key}." if key else "")
    return result._finish()


def is_lazy(param: Tensor) -> bool:
    """Tell whether a parameter still waits for the first batch to get its shape.

    Parameters
    ----------
    param : torch.Tensor
        A parameter.

    Returns
    -------
    bool
        True for an ``UninitializedParameter``.

    Examples
    --------
    >>> from torch import nn
    >>> is_lazy(nn.LazyLinear(3).weight), is_lazy(nn.Linear(2, 3).weight)
    (True, False)
    """
    return isinstance(param, nn.UninitializedParameter)


def _roots(model: object) -> Mapping[str, nn.Module]:
    """Bring both forms of a model to a mapping, or say what was given instead."""
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
    """Name a value's type, and a string's content."""
    return f"the string {value!r}" if isinstance(value, str) else type(value).__name__


def _wrappers() -> Iterator[tuple[type, str]]:
    """Give the wrapper classes that have been imported, each with its attribute."""
    for module, name, attribute in _WRAPPERS:
        wrapper = getattr(sys.modules.get(module), name, None)
        if wrapper is not None:
            yield wrapper, attribute


def _name_clash(names: list[str]) -> str:
    """Say which names two places share."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    return (
        f"two parameters would be called the same: {first_few(twice)}. "
        "Give each model a key that no name of another begins with."
    )
