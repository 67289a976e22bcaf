"""The parameters of a model, in columns: each one's names, its owner, and what lies inside what.

A tied parameter is found in several places. It is one parameter, with aliases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import compress, repeat
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

_T = TypeVar("_T")
_LAZY = nn.UninitializedParameter


class ParamInfo(NamedTuple):
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
    >>> from optimkit._walking import walk
    >>> [info] = walk(nn.ModuleDict({"head": nn.Linear(2, 1, bias=False)}))
    >>> info.name, info.module_name, info.module, tuple(info.param.shape)
    ('head.weight', 'head', Linear(in_features=2, out_features=1, bias=False), (1, 2))
    """

    name: str
    param: nn.Parameter
    module: nn.Module
    module_name: str
    aliases: tuple[str, ...] = ()

    # As a tuple it would compare tensors, whose equality is no truth value.
    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same record."""
        return self is other

    def __ne__(self, other: object) -> bool:
        """Tell whether it is another record."""
        return self is not other

    def __contains__(self, item: object) -> bool:
        """Refuse ``"bias" in info``: it would look among the fields, and find nothing."""
        raise TypeError("a ParamInfo is no name; ask its .name")

    def __hash__(self) -> int:
        """Tell it from other records."""
        return id(self)


class Walk:
    """The parameters of a model, each once, in the order of ``model.named_parameters()``."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.leaves: list[str] = []
        self.tensors: list[nn.Parameter] = []
        self.owners: list[int] = []
        self.modules: list[nn.Module] = []
        self.prefixes: list[str] = []
        self.spans: list[tuple[int, int, int]] = []
        self.ties: list[list[int]] = []
        self.wrapped = False
        self.answers: dict[object, bytes] = {}
        self.firsts: bytearray | None = None

    def __len__(self) -> int:
        """Return the number of parameters, a tied one counted once."""
        return len(self.places) - sum(len(tie) - 1 for tie in self.ties)

    def __iter__(self) -> Iterator[ParamInfo]:
        """Give each parameter at its first place."""
        return self.infos() if self.firsts is None else compress(self.infos(), self.firsts)

    @property
    def names(self) -> Sequence[str]:
        """The name of each parameter: that of its first place."""
        return self.first_of(self.places)

    @property
    def module_names(self) -> list[str]:
        """The name of each visited module."""
        return [prefix[:-1] for prefix in self.prefixes]

    @cached_property
    def by_type(self) -> dict[type, list[int]]:
        """The visits to modules of each type."""
        visits: dict[type, list[int]] = defaultdict(list)
        for visit, module in enumerate(self.modules):
            visits[type(module)].append(visit)
        return visits

    @cached_property
    def scripted(self) -> list[int]:
        """The visits to scripted modules."""
        return [
            visit
            for kind, visits in self.by_type.items()
            if issubclass(kind, torch.jit.ScriptModule)
            for visit in visits
        ]

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each name."""
        return {name: place for place, name in enumerate(self.places)}

    @cached_property
    def dims(self) -> bytes:
        """The number of dimensions at each place."""
        return bytes(map(Tensor.dim, self.tensors))

    @property
    def lazy(self) -> list[str]:
        """The names of the parameters that get their shape from the first batch."""
        if not any(issubclass(kind, _LAZY) for kind in set(map(type, self.tensors))):
            return []
        places = zip(self.places, self.tensors, strict=True)
        return [name for name, param in places if isinstance(param, _LAZY)]

    @property
    def params(self) -> Sequence[nn.Parameter]:
        """The parameters, each once."""
        return self.first_of(self.tensors)

    def first_of(self, column: Sequence[_T]) -> Sequence[_T]:
        """Keep, of a column with an entry for each place, the entry of each first place."""
        return column if self.firsts is None else list(compress(column, self.firsts))

    def infos(self) -> Iterator[ParamInfo]:
        """Give every place, tied ones too: what is named there, and the other names."""
        columns = zip(
            self.places,
            self.tensors,
            map(self.modules.__getitem__, self.owners),
            map(self.module_names.__getitem__, self.owners),
            self._aliases(),
            strict=True,
        )
        # What the class does itself, in twice the time.
        return map(tuple.__new__, repeat(ParamInfo), columns)

    def _aliases(self) -> list[tuple[str, ...]]:
        """Give, for each place, the other names of its parameter."""
        aliases: list[tuple[str, ...]] = [()] * len(self.places)
        for tie in self.ties:
            for place in tie:
                aliases[place] = tuple(self.places[other] for other in tie if other != place)
        return aliases
