"""Which parameters? A selector answers with a set of them, once for each model."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from fnmatch import translate
from functools import partial, reduce
from glob import escape
from operator import or_
from types import UnionType
from typing import Literal, TypeAlias, Union, get_args, get_origin

import torch
from torch import nn

from .._errors import GroupError, first_few
from .._parameters import ParameterIndex, ParamInfo, held_as, is_bias_of, is_norm_layer

Chosen: TypeAlias = frozenset[int]  # positions in the index of a model


class Selector:
    """A question about the parameters of a model, to be combined with ``&``, ``|`` and ``~``.

    `is_bias`, `is_norm`, `is_embedding` and `is_matrix` are selectors, and so is what they are
    combined to. Whatever :func:`~optimkit.when` takes can stand on the other side of ``&`` and
    ``|``. Called with a :class:`~optimkit.ParamInfo`, as in a predicate of yours, a selector
    returns whether it selects this parameter.

    Examples
    --------
    >>> from optimkit import is_bias, is_norm
    >>> is_norm | (is_bias & "head.*")
    is_norm | (is_bias & 'head.*')
    """

    _text: str  # how it is written in messages
    _find: Callable[[ParameterIndex], Chosen]
    _parts: tuple[Selector, ...]
    _advice: Callable[[ParameterIndex], str] | None  # why no parameter has it, if that is wrong

    def _chosen(self, index: ParameterIndex) -> Chosen:
        """Return the selected parameters of a model, which are looked for once."""
        if self not in index.answers:
            index.answers[self] = self._find(index)
        return index.answers[self]

    def _misses(self, index: ParameterIndex) -> list[str]:
        """Return a problem for each part of this selector that should have found a parameter, and has not."""
        if self._advice and not self._chosen(index):
            return [text for text in [self._advice(index)] if text]
        return [text for part in self._parts for text in part._misses(index)]

    def __call__(self, info: ParamInfo) -> bool:
        index = None if info._index is None else info._index()
        if index is None:  # made by hand: all that is known is the module
            index = ParameterIndex({info.module_name: info.module})
        return index[info.param]._position in self._chosen(index)

    def __and__(self, other: Select) -> Selector:
        return _joined("&", self, other)

    def __rand__(self, other: Select) -> Selector:
        return _joined("&", other, self)

    def __or__(self, other: Select) -> Selector:
        return _joined("|", self, other)

    def __ror__(self, other: Select) -> Selector:
        return _joined("|", other, self)

    def __invert__(self) -> Selector:
        def find(index: ParameterIndex) -> Chosen:
            return frozenset(range(len(index))) - self._chosen(index)

        return _selector(f"~{_bracketed(self)}", find, self)

    def __repr__(self) -> str:
        return self._text


Select: TypeAlias = (
    str
    | re.Pattern[str]
    | type[nn.Module]
    | UnionType
    | nn.Module
    | Callable[[ParamInfo], object]
    | Selector
)
"""What selects parameters: see :func:`optimkit.when`."""


def _selector(
    text: str,
    find: Callable[[ParameterIndex], Chosen],
    *parts: Selector,
    advice: Callable[[ParameterIndex], str] | None = None,
) -> Selector:
    made = Selector()
    made._text, made._find, made._parts, made._advice = text, find, parts, advice
    return made


def select_by(select: Select) -> Selector:
    """Make a selector of whatever selects."""
    if isinstance(select, Selector):
        return select
    if isinstance(select, str):  # a glob for the whole name, * standing for dots too
        return _named(repr(select), re.compile(translate(select)).match, partial(_no_name, select))
    if isinstance(select, re.Pattern) and isinstance(select.pattern, str):
        text = repr(select.pattern)
        advice = f"{text} is found in no parameter's name"
        return _named(f"re.compile({text})", select.search, lambda _: advice)
    if isinstance(select, type) and issubclass(select, nn.Module):
        return _selector(select.__name__, partial(_in_type, select))
    if get_origin(select) in (Union, UnionType):
        return reduce(or_, map(select_by, get_args(select)))
    if isinstance(select, nn.Module):
        return _in_module(select)
    if callable(select) and not isinstance(select, type):
        title = getattr(select, "__name__", type(select).__name__)
        return _selector(title, partial(_where, select, title))
    what = select.__name__ if isinstance(select, type) else type(select).__name__
    raise TypeError(
        "select must be a glob, a compiled regular expression, a module, a module type, "
        f"a predicate or a combination of these, not {what}"
    )


def failed_for(name: str, title: str, error: Exception) -> GroupError:
    reason = "next() finds nothing" if isinstance(error, StopIteration) else error
    return GroupError(
        f"{title} fails at {name}: {type(error).__name__}: {reason}. "
        "It must have an answer for every parameter."
    )


def _joined(sign: Literal["&", "|"], one: Select, other: Select) -> Selector:
    parts = select_by(one), select_by(other)

    def find(index: ParameterIndex) -> Chosen:
        chosen, others = (part._chosen(index) for part in parts)
        return chosen & others if sign == "&" else chosen | others

    return _selector(f" {sign} ".join(map(_bracketed, parts)), find, *parts)


def _bracketed(selector: Selector) -> str:
    return f"({selector})" if len(selector._parts) > 1 else str(selector)


def _named(
    text: str, found: Callable[[str], object], advice: Callable[[ParameterIndex], str]
) -> Selector:
    def find(index: ParameterIndex) -> Chosen:
        return frozenset(each._position for each in index.occurrences if found(each.name))

    return _selector(text, find, advice=advice)


def _no_name(pattern: str, index: ParameterIndex) -> str:
    near = nearest(pattern, index)
    return f"no parameter is called {pattern!r}" + (f" (is it {near!r}?)" if near else "")


def _in_module(module: nn.Module) -> Selector:
    while attribute := held_as(module):
        module = getattr(module, attribute)
    kind = type(module).__name__

    def advice(_: ParameterIndex) -> str:
        if next(module.parameters(), None) is None:
            return f"this {kind} has no parameters"
        return f"this {kind} is not in the model (a copy, or replaced?)"

    return _selector(
        f"<{kind}>", lambda index: index.inside(lambda each: each is module), advice=advice
    )


def _in_type(kind: type[nn.Module], index: ParameterIndex) -> Chosen:
    _refuse_scripted(index)
    return index.inside(lambda module: isinstance(module, kind))


def _where(predicate: Callable[[ParamInfo], object], title: str, index: ParameterIndex) -> Chosen:
    """Ask a question of the user's about each parameter at each of its names."""
    chosen = set()
    for each in index.occurrences:
        try:
            if predicate(each):
                chosen.add(each._position)
        except Exception as error:
            raise failed_for(each.name, f"the predicate {title}", error) from error
    return frozenset(chosen)


def nearest(pattern: str, index: ParameterIndex) -> str | None:
    """Return the glob that was perhaps meant."""
    modules = {each.name for each in index.modules}
    names = [each.name for each in index.occurrences]
    if pattern.removesuffix(".") in modules:
        return f"{pattern.removesuffix('.')}.*"
    if "[" in pattern and pattern in names:
        return escape(pattern)
    inside = re.findall(re.escape(pattern), " ".join(names), re.IGNORECASE) if pattern else []
    if inside:  # a substring, as lists of no_decay have
        text = pattern if pattern in inside else inside[0]
        return f"*{text}" if any(name.endswith(text) for name in names) else f"*{text}*"
    if len(names) > 2_000:  # to compare a misspelt name with so many takes minutes
        return None
    known = set(names)
    if "*" in pattern:
        leaves = {name.rpartition(".")[2] for name in names}
        known = {f"{name}.*" for name in modules if name}
        known |= {f"*.{leaf}" for leaf in leaves} | {f"*{leaf}" for leaf in leaves}
    return next(iter(get_close_matches(pattern, sorted(known), 1, 0.8)), None)


def _refuse_scripted(index: ParameterIndex) -> None:
    scripted = torch.jit.ScriptModule
    names = [
        each.name or "the model" for each in index.modules if isinstance(each.module, scripted)
    ]
    if names:
        raise GroupError(
            f"these modules are scripted, which hides their types: {first_few(names)}. "
            "Build the groups before torch.jit.script, or select by name."
        )


# The kinds that have a name of their own


def _biases(index: ParameterIndex) -> Chosen:
    return frozenset(
        each._position for each in index.occurrences if "bias" in each.name and is_bias_of(each)
    )


def _owned_by_layers(test: Callable[[nn.Module], bool], index: ParameterIndex) -> Chosen:
    """Return what layers that pass a test own; of a parametrized one, what computes it, too."""
    _refuse_scripted(index)
    layers = [each for each in index.modules if test(each.module)]
    # torch/nn/utils/parametrize.py, 2.15: the layer gets a ModuleDict called "parametrizations".
    computed = {id(each.module._modules.get("parametrizations")) for each in layers} - {id(None)}
    own = frozenset(position for layer in layers for position in layer.positions)
    return own | index.inside(lambda module: id(module) in computed) if computed else own


def _is_embedding(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Embedding, nn.EmbeddingBag))


def _matrices(index: ParameterIndex) -> Chosen:
    several = frozenset(each._position for each in index if each.param.dim() > 1)
    return several.difference(*(kind._chosen(index) for kind in (is_bias, is_norm, is_embedding)))


def _hidden_in(name: str, glob: str, index: ParameterIndex) -> str:
    """Return why no parameter of a model of Keras is of a kind; nothing for another model."""
    # keras/src/backend/torch/layer.py, 3.15: a model has all of them in one dict, by their paths.
    if not any("_torch_params." in each.name and "/" in each.name for each in index):
        return ""
    return f"a model of Keras has no layers of torch, by which {name} goes; select by name, as {glob!r}"


is_bias = _selector("is_bias", _biases, advice=partial(_hidden_in, "is_bias", "*/bias"))
is_norm = _selector(
    "is_norm",
    partial(_owned_by_layers, is_norm_layer),
    advice=partial(_hidden_in, "is_norm", "*/gamma"),
)
is_embedding = _selector(
    "is_embedding",
    partial(_owned_by_layers, _is_embedding),
    advice=partial(_hidden_in, "is_embedding", "*/embeddings"),
)
is_matrix = _selector("is_matrix", _matrices)
