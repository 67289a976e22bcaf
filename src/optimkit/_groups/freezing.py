"""Parameters that are not trained for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from .._errors import GroupError, first_few
from .._parameters import ParameterIndex

Target = nn.Module | Tensor | Mapping[str, nn.Module] | Iterable[Any]


def freeze(*targets: Target) -> None:
    """Stop training parameters: no gradient is computed for them, and none is left over.

    A parameter whose gradient is left, as plain ``requires_grad_(False)`` leaves it, keeps
    moving: the optimizer takes the old gradient, its momentum and its weight decay. BatchNorm's
    running statistics are no parameters; ``module.eval()`` stops them.

    Parameters
    ----------
    *targets : torch.nn.Module, torch.Tensor, mapping or iterable
        What to freeze: modules, parameters, and what holds them; pairs of a name and a
        parameter too.

    Raises
    ------
    GroupError
        If a tensor is no parameter but the result of a computation.
    TypeError
        If a target is none of these. Nothing has been changed then.

    Examples
    --------
    >>> from torch import nn
    >>> layer = nn.Linear(2, 1)
    >>> freeze(layer.weight)
    >>> layer.weight.requires_grad, layer.bias.requires_grad
    (False, True)
    """
    for _, param in _found(targets):
        param.requires_grad = False
        param.grad = None


def unfreeze(*targets: Target) -> None:
    """Let parameters train again, if their optimizer has them; else see :func:`add_param_group`.

    Parameters
    ----------
    *targets : torch.nn.Module, torch.Tensor, mapping or iterable
        What to unfreeze, as in :func:`freeze`.

    Raises
    ------
    GroupError
        If a parameter's type, such as an integer one, can't have a gradient, or a tensor is
        the result of a computation, or was made in inference mode. Nothing has been changed
        then.
    TypeError
        If a target is none of these. Nothing has been changed then.

    Examples
    --------
    >>> from torch import nn
    >>> layer = nn.Linear(2, 1)
    >>> freeze(layer)
    >>> unfreeze(layer.bias)
    >>> layer.weight.requires_grad, layer.bias.requires_grad
    (False, True)
    """
    pairs = _found(targets)
    problems, wrong, made = [], [], []
    for name, param in pairs:
        if not (param.is_floating_point() or param.is_complex()):
            wrong.append(f"{name} ({param.dtype})")
        if not isinstance(param, nn.UninitializedParameter) and param.is_inference():
            made.append(name)
    if wrong:
        problems.append(
            f"only floating point and complex parameters can be trained, not {first_few(wrong)}. "
            "Leave them out."
        )
    if made:
        problems.append(
            f"these were made in inference mode, and can't be trained: {first_few(made)}. "
            "Create them outside of it."
        )
    if problems:
        raise GroupError(*problems)
    for _, param in pairs:
        param.requires_grad = True  # the method refuses a lazy parameter


def _found(targets: Iterable[object]) -> list[tuple[str, Tensor]]:
    """Find every parameter in the targets, with a name for messages."""
    found = [pair for target in targets for pair in _within(target)]
    pairs = [(name, each) for name, each in found if isinstance(each, Tensor)]
    strangers = [each for _, each in found if not isinstance(each, Tensor)]
    if strangers:
        what = [repr(each) if isinstance(each, str) else type(each).__name__ for each in strangers]
        raise TypeError(
            f"a target must be a module, a parameter, or an iterable of them, not {first_few(what)}"
        )
    wrong = [name for name, param in pairs if not param.is_leaf]
    if wrong:
        raise GroupError(
            f"these are results of a computation, not parameters: {first_few(wrong)}. "
            "Pass what they were computed from."
        )
    return pairs


def _within(target: Any) -> Iterator[tuple[str, object]]:
    """Yield the parameters of one target, and whatever else is found in their place."""
    if isinstance(target, Tensor):
        yield "a parameter", target
    elif isinstance(target, nn.Module) or (
        isinstance(target, Mapping)
        and all(isinstance(value, nn.Module) for value in target.values())
    ):
        for record in ParameterIndex(target):
            yield record.name, record.param
    elif isinstance(target, Mapping):
        yield from _within(target.items())
    elif isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], str):
        for _, param in _within(target[1]):
            yield target[0], param
    elif isinstance(target, Iterable) and not isinstance(target, str):
        for each in target:
            yield from _within(each)
    else:
        yield "", target
