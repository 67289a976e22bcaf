"""Find what is wrong with an optimizer, before it shows in a curve.

Each code below is about a way in which torch trains on without a word. The rows S1 to S34 are
the list of these ways that the project keeps, each with a script that shows it.

.. code-block:: text

    seen here
      S1 S2 S3    wrong-names       state was loaded by position (where the groups have names)
      S4 S5       state-shape       state of another shape
      S6 S23      orphan-state      state of nobody
      S7 S8       state-keys        state or options of another class
      S9          state-dtype       a count or a scalar in half precision
      S13         scheduler-groups  a group was added after the scheduler was made
      S14 S15     lr-mismatch       scheduler and optimizer were restored apart
      S18         several-schedulers
      S19         duplicate         S20 shared    S21 duplicate-name
      S22         stale, unmanaged  the model and the optimizer have drifted apart
      S24         frozen-with-grad  S25 zero-lr   S27 frozen-batchnorm
      S28         stale-grad
      S29         unknown-option, bad-option, empty-group
      S30         differs-from-defaults
      S31         aliased-lr

    not to be seen in live objects
      S6 (in part)  state that is missing: a parameter that never had a gradient looks the same
      S10 S16 S17   options replaced by a load: nothing is left of what was asked for
      S11           group keys deleted by a load: the same
      S12           a state dict that goes on changing: it is not among the objects
      S26           gradients of zeros: `describe` shows state and steps; the cause is in the model
      S32 S33       a scaler, an average restored from weights alone: not looked at
      S34           files: `python -m optimkit verify`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.optim import Optimizer

from .checks import options, parameters, state
from .checks import schedulers as scheduling
from .findings import SEVERITIES, Finding, Findings
from .models import Models, Schedulers
from .scene import Scene, gather

_CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    parameters.duplicate,
    parameters.shared,
    parameters.duplicate_name,
    parameters.stale,
    parameters.wrong_names,
    state.orphan_state,
    state.state_shape,
    state.state_keys,
    scheduling.scheduler_groups,
    scheduling.lr_mismatch,
    options.aliased_lr,
    options.unknown_option,
    options.bad_option,
    parameters.unmanaged,
    parameters.stale_grad,
    parameters.frozen_with_grad,
    options.empty_group,
    state.state_dtype,
    parameters.frozen_batchnorm,
    scheduling.several_schedulers,
    options.zero_lr,
    options.differs_from_defaults,
)


def audit(
    *optimizers: Optimizer,
    models: Models = (),
    schedulers: Schedulers = (),
) -> Findings:
    """Find what is wrong with optimizers, their models and their schedulers.

    It only looks; nothing is changed. A healthy set-up gives no error and no warning.

    Parameters
    ----------
    *optimizers : torch.optim.Optimizer
        All optimizers of the run.
    models : torch.nn.Module, mapping of str to torch.nn.Module, or iterable of these, optional
        All models that they train. Without them, what is missing can't be seen.
    schedulers : scheduler or iterable of schedulers, optional
        The schedulers; of one that chains others, the outermost is enough.

    Returns
    -------
    Findings
        Records first (``rows``, each with ``code``, ``severity``, ``names``, ``message``,
        ``remedy``), then text, a rich table, HTML; ``raise_if("error")`` for a script.

    Raises
    ------
    TypeError
        If something is no optimizer, model or scheduler.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    >>> print(audit(optimizer, models=model, schedulers=scheduler))
    Nothing found.
    >>> optimizer.param_groups[0]["weigth_decay"] = 0.1
    >>> for found in audit(optimizer, models=model):
    ...     print(found.code, "|", found.message, found.remedy)
    unknown-option | SGD does not know weigth_decay, and ignores it: torch takes any key in a \
group. Did you mean weigth_decay -> weight_decay?
    """
    scene = gather(optimizers, models, schedulers)
    found = [each for check in _CHECKS for each in check(scene)]
    found.sort(key=lambda each: SEVERITIES.index(each.severity))
    return Findings(tuple(found))
