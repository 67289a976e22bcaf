"""What changes as a run goes on: one more group for its optimizer and schedulers; what is trained."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from .._errors import GroupError, broken, first_few
from .._torch_optimizers import NOT_OPTIONS
from .._torch_schedulers import Schedulers, list_schedulers
from .._values import copied
from .._wrappers import readable, unwrapped
from .extend import Start, extend, start_of
from .options import bad_options, is_made, numbered, own_options, takes, unknown_options

Named = tuple[str, Tensor]
Target = nn.Module | Tensor | Mapping[str, nn.Module] | Iterable[Any]


def add_param_group(
    optimizer: Optimizer,
    group: dict[str, Any],
    schedulers: Schedulers = (),
    lr_lambda: Callable[[int], float] | None = None,
    start: Start = "beginning",
) -> None:
    """Add a parameter group to an optimizer, and to its learning-rate schedulers.

    The schedule of the old groups stays as it is, to the last bit.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer.
    group : dict
        As ``optimizer.add_param_group`` takes it: ``params``, and options. It is copied.
    schedulers : torch.optim.lr_scheduler.LRScheduler or iterable, optional
        The optimizer's scheduler, or all of them, in the order in which they are stepped.
    lr_lambda : callable, optional
        The group's function for ``LambdaLR`` and ``MultiplicativeLR``, if the old groups don't
        all have the same one.
    start : {"beginning", "now"}, optional
        When the group has the ``lr`` asked for. ``"beginning"``: the schedule starts from it, and
        has moved it on by now; it becomes the group's ``initial_lr``, and with ``OneCycleLR`` and
        ``CyclicLR``, too, it is the start and not the peak. ``"now"``: the group has it from here
        on, and it moves with the schedule as if it had started from what leads here. A
        ``ReduceLROnPlateau`` that has reduced the old groups' does not reduce it for that.

    Raises
    ------
    GroupError
        If the optimizer has one of the parameters already, an option is unknown or out of
        range, or a scheduler can't be extended. Nothing has been changed then.
    TypeError, ValueError
        If an argument is of a wrong type, or `start` another word.

    Warns
    -----
    UserWarning
        If the optimizer has schedulers (its groups have an ``initial_lr``), and none is passed.

    Notes
    -----
    Gradients that have piled up while no optimizer managed the parameters are cleared.

    What the group's learning rate would be is found by replaying the schedule on copies, which
    calls a ``LambdaLR``'s functions for the steps of the past. Old groups that do not come out at
    the learning rates that they have are an error.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.ones(1)], lr=0.1)
    >>> scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> optimizer.step(), scheduler.step()
    (None, None)
    >>> add_param_group(optimizer, {"params": [torch.ones(1)], "lr": 0.01}, scheduler)
    >>> scheduler.get_last_lr()
    [0.05, 0.005]
    """
    optimizer = unwrapped(optimizer)
    _check_arguments(optimizer, group, lr_lambda, start)
    readable(optimizer)
    roots = list_schedulers(schedulers)
    pairs = _pairs(group)
    given = {key: value for key, value in group.items() if key not in NOT_OPTIONS}
    options = {**getattr(optimizer, "defaults", {}), **start_of(optimizer, roots), **given}
    problems = _wrong_parameters(optimizer, pairs)
    names = [old["name"] for old in optimizer.param_groups if "name" in old]
    problems += _wrong_options(optimizer, given, names)
    if roots and options.get("lr") is None:
        problems.append("the group has no 'lr' for the schedulers to scale. Give it one.")
    if problems:
        raise GroupError(*problems)
    options = own_options(options)
    if "name" in options:
        options["name"] = numbered(options["name"], names)
    extended, entries = (
        extend(optimizer, options, roots, lr_lambda, start) if roots else (options, [])
    )
    scheduled = any("initial_lr" in old for old in optimizer.param_groups)
    if scheduled and not roots:
        extended["initial_lr"] = copied(options["lr"])
        warnings.warn(
            "this optimizer has been scheduled: its groups have an 'initial_lr'. "
            "Pass schedulers=, or they may not know the new group.",
            stacklevel=2,
        )
    params = [pair if pair[0] else pair[1] for pair in pairs]
    _add(optimizer, {"params": params, **extended})
    for scheduler, lists in entries:
        for name, new in lists.items():
            setattr(scheduler, name, [*getattr(scheduler, name), new])
    for _, param in pairs:
        param.grad = None


def _add(optimizer: Optimizer, group: dict[str, Any]) -> None:
    try:
        optimizer.add_param_group(group)
    except (TypeError, ValueError):  # what is wrong with the parameters, torch says
        raise
    except Exception as error:
        kind = type(optimizer).__name__
        raise GroupError(broken(f"add_param_group() of {kind}", kind, error)) from error


def _check_arguments(optimizer: object, group: object, lr_lambda: object, start: str) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be a torch.optim.Optimizer, not {type(optimizer).__name__}"
        )
    if not isinstance(group, dict):
        raise TypeError(f"group must be a dict, not {type(group).__name__}")
    if not (lr_lambda is None or callable(lr_lambda)):
        raise TypeError(f"lr_lambda must be callable, not {type(lr_lambda).__name__}")
    if start not in ("beginning", "now"):
        raise ValueError(f'start must be "beginning" or "now", not {start!r}')


def _pairs(group: dict[str, Any]) -> list[Named]:
    """List a group's parameters, each with its name; ``""`` if it has none."""
    if "params" not in group:
        raise GroupError("the group has no 'params'. Put the parameters there.")
    params = group["params"]
    if isinstance(params, set):
        raise TypeError("params must be ordered, and a set is not: pass a list")
    if not isinstance(params, Iterable):
        raise TypeError(
            f"params must be a tensor, or an iterable of them, not {type(params).__name__}"
        )
    given: Iterable[Any] = [params] if isinstance(params, Tensor) else params
    return [each if isinstance(each, tuple) and len(each) == 2 else ("", each) for each in given]


def _wrong_parameters(optimizer: Optimizer, pairs: list[Named]) -> list[str]:
    if not pairs:
        return ["the group has no parameters (an exhausted generator?). Pass a list of them."]
    if isinstance(optimizer, LBFGS):
        return ["LBFGS takes one group. Make a new optimizer, with all parameters."]
    held = {
        id(param): f"group {index}"
        for index, old in enumerate(optimizer.param_groups)
        for param in old["params"]
    }
    called = [(name or f"params[{index}]", param) for index, (name, param) in enumerate(pairs)]
    count = Counter(id(param) for _, param in pairs)
    problems = []
    taken = [f"{name} ({held[id(param)]})" for name, param in called if id(param) in held]
    if taken:
        problems.append(
            f"the optimizer has these parameters already: {first_few(taken)}. Leave them out."
        )
    twice = [name for name, param in called if count[id(param)] > 1]
    if twice:
        problems.append(
            f"the group has a parameter more than once: {first_few(twice)}. Name it once."
        )
    old = {name for group in optimizer.param_groups for name in group.get("param_names", ())}
    names = Counter(name for name, _ in pairs if name)
    again = [name for name, many in names.items() if many > 1 or name in old]
    if again and not taken:
        problems.append(f"these names belong to other parameters: {first_few(again)}. Rename them.")
    return problems


def _wrong_options(
    optimizer: Optimizer, options: dict[str, Any], names: Sequence[str]
) -> list[str]:
    """Return a problem for each option that can't be added."""
    kind: Any = type(optimizer)
    known = [*optimizer.defaults, *(takes(kind) or ())]
    known += [key for old in optimizer.param_groups for key in old if key not in NOT_OPTIONS]
    problems = bad_options(options)
    problems += unknown_options(options, dict.fromkeys(known), kind.__name__)
    name = options.get("name")
    if name in names and not is_made(name, options):
        problems.append(f"a group is called {name!r} already. Choose another name.")
    return problems


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
    wrong = [f"{name} ({reason})" for name, param in pairs if (reason := _untrainable(param))]
    if wrong:
        raise GroupError(f"these can't be trained: {first_few(wrong)}. Leave them out.")
    for _, param in pairs:
        param.requires_grad = True  # the method refuses a lazy parameter


def _untrainable(param: Tensor) -> str:
    """Return why a parameter can have no gradient; nothing if it can."""
    if not (param.is_floating_point() or param.is_complex()):
        return str(param.dtype)
    lazy = isinstance(param, nn.UninitializedParameter)
    return "made in inference mode" if not lazy and param.is_inference() else ""


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


def _within(target: Any, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the parameters of one target, and whatever else is found in their place."""
    if isinstance(target, nn.Module):
        yield from target.named_parameters(name)
    elif isinstance(target, Mapping):
        yield from _within(target.items(), name)
    elif isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], str):
        yield from _within(target[1], target[0])
    elif isinstance(target, Iterable) and not isinstance(target, (str, Tensor)):
        for each in target:
            yield from _within(each, name)
    else:
        yield name or "a parameter", target
