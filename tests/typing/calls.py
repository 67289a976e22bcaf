"""Every public name as a reader's own typed file would use it: ``nox -s types`` checks this one.

A call with ``type: ignore`` is a wrong one: mypy reports it, or reports the comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau
from typing_extensions import assert_type

import optimkit
from optimkit.checkpoint import distributed


class Net(nn.Module):
    """A model of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)

    def forward(self, given: Tensor) -> Tensor:
        """Return two numbers."""
        answer: Tensor = self.head(self.norm(self.body(given)))
        return answer


def is_wide(info: optimkit.ParamInfo) -> bool:
    """Select matrices of a wide layer: a predicate with its argument annotated."""
    name: str = info.name
    owner: nn.Module = info.module
    weight: nn.Parameter = info.param
    aliases: tuple[str, ...] = info.aliases
    return isinstance(owner, nn.Linear) and weight.ndim == 2 and not aliases and name != "head"


def layer_of(name: str) -> int:
    """Return the depth of a layer."""
    return 1 if name.startswith("head") else 0


def rules() -> list[optimkit.Rule]:
    """Return rules of every kind."""
    no_decay: optimkit.Selector = optimkit.is_bias | optimkit.is_norm
    matrices: optimkit.Selector = optimkit.is_matrix & ~optimkit.is_embedding
    found: list[optimkit.Rule] = [
        optimkit.when(no_decay, weight_decay=0.0),
        optimkit.when(matrices & is_wide, lr=1e-2),
        optimkit.when(is_wide, betas=(0.9, 0.95)),
        optimkit.when(nn.LayerNorm, name="norm"),
        optimkit.when(re.compile("bias$"), weight_decay=0.0),
        optimkit.layer_decay(0.8, layer_of, min_scale=0.1),
    ]
    found.append(optimkit.when("head.*", name="head", lr=torch.tensor(1e-2)))
    optimkit.when(3)  # type: ignore[arg-type]
    return found


def groups(model: Net) -> AdamW:
    """Build groups, part a model, freeze and unfreeze."""
    made = optimkit.param_groups(
        model, *rules(), optimizer=AdamW, frozen="keep", unused="ignore", lr=1e-3
    )
    assert_type(made, list[dict[str, Any]])
    optimkit.param_groups({"a": model, "b": Net()}, lr=0.1)
    optimkit.param_groups(model, unused="no")  # type: ignore[arg-type]

    parts = optimkit.partition(model, matrices=optimkit.is_matrix, rest=~optimkit.is_matrix)
    assert_type(parts, dict[str, list[tuple[str, nn.Parameter]]])

    optimkit.freeze(model.head, model.body.weight)
    optimkit.unfreeze(model, [model.head.bias])
    return AdamW(made)


def added(model: Net) -> Optimizer:
    """Add a group under a schedule."""
    optimizer = SGD(model.body.parameters(), lr=0.1)
    scheduler = LambdaLR(optimizer, lambda step: 0.9**step)
    half: Callable[[int], float] = lambda step: 0.5**step  # noqa: E731
    optimkit.add_param_group(
        optimizer, {"params": model.head.parameters()}, [scheduler], lr_lambda=half, start="now"
    )
    optimkit.add_param_group(optimizer, {"params": model.norm.parameters()}, scheduler)
    return optimizer


def looked_at(model: Net, optimizer: Optimizer, scheduler: LRScheduler) -> dict[str, Any]:
    """Describe and audit, with one of each or several."""
    report = optimkit.describe(optimizer, model, schedulers=scheduler, values=True)
    assert_type(report, optimkit.Report)
    unmanaged: tuple[str, ...] = report.unmanaged + report.frozen + report.notes
    for row in report.rows:
        assert_type(row, optimkit.ParameterRow)
        assert_type(row.name, str)
        assert_type(row.dtype, torch.dtype | None)
        assert_type(row.lr, float | Tensor | None)
        assert_type(row.step, float | Tensor | None)
    for group in report.groups:
        assert_type(group, optimkit.GroupRow)
        overrides: Mapping[str, Any] = group.overrides
        assert_type(group.index, int)
        del overrides
    assert_type(report.expand("head"), optimkit.Table)
    optimkit.describe(optimizer.state_dict())
    optimkit.describe(optimizer, models=[model, {"other": Net()}], schedulers=[scheduler])

    found = optimkit.audit([optimizer], [model], schedulers=[scheduler])
    assert_type(found, optimkit.Findings)
    for each in found:
        assert_type(each, optimkit.Finding)
        if each.severity == "error":
            print(each.code, each.names, each.message, each.remedy)
    optimkit.audit(optimizer, model, schedulers=scheduler).at_least("warning").raise_if("error")
    optimkit.audit(optimizers=optimizer, models={"net": model})
    optimkit.audit(model)  # type: ignore[arg-type]
    optimkit.audit(optimizer, optimizer)  # type: ignore[arg-type]
    return {"unmanaged": unmanaged, **report.to_dict(), **found.to_dict()}


def measured(optimizer: Optimizer) -> int:
    """Count bytes, keep and compare."""
    table = optimkit.state_memory(optimizer, by="group", predict=True)
    assert_type(table, optimkit.MemoryTable)
    rows: Sequence[optimkit.MemoryRow] = table.rows
    assert_type(table.total, int)
    assert_type(rows[0].bytes, int)
    optimkit.state_memory(optimizer, by="size")  # type: ignore[arg-type]

    before = optimkit.snapshot(optimizer, values="copy")
    assert_type(before, optimkit.Snapshot)
    entries: tuple[optimkit.SnapshotRow, ...] = before.rows
    difference = optimkit.diff(before, optimizer)
    assert_type(difference, optimkit.Diff)
    for change in difference:
        assert_type(change, optimkit.DiffRow)
        assert_type(change.change, float | None)
    optimkit.diff(optimizer.state_dict(), "old.pt")
    return table.total + len(rows) + len(entries) + len(difference)


def drawn(optimizer: Optimizer, scheduler: LRScheduler, axes: Axes) -> Axes:
    """Ask for the learning rates to come, and draw."""
    curve = optimkit.lr_curve(scheduler, 10)
    assert_type(curve, optimkit.LrCurve)
    assert_type(curve.rows, tuple[optimkit.LrRow, ...])
    assert_type(curve.lrs(0), list[float])
    plateau = ReduceLROnPlateau(optimizer)
    optimkit.lr_curve(plateau, 10, metrics=[1.0] * 10)
    optimkit.lr_curve(optimizer, 10)  # type: ignore[arg-type]
    return optimkit.plot_lr(curve, ax=axes)


def shown(*results: optimkit.Report | optimkit.Loaded) -> Iterator[str]:
    """Take results as what they are."""
    for result in results:
        yield str(result)
    table = optimkit.Table([{"name": "weight", "bytes": 4}], caption="State", summed="bytes")
    assert_type(table.total, float | None)
    yield str(table)


def saved(path: Path, model: Net, optimizer: Optimizer, scheduler: LRScheduler) -> int:
    """Save, load, and read what came of it."""
    assert_type(
        optimkit.save(
            path, model=model, optimizer=optimizer, rng=optimkit.get_rng_state(), epoch=3
        ),
        Path,
    )
    loaded = optimkit.load(
        str(path), map_location=torch.device("cpu"), model=model, scheduler=scheduler, strict=False
    )
    assert_type(loaded, optimkit.Loaded)
    optimkit.set_rng_state(loaded["rng"])
    report: optimkit.LoadReport = loaded.reports["model"]
    for row in report.rows:
        assert_type(row, optimkit.LoadRow)
        assert_type(row.name, str)
    optimkit.save(path, {"model.ema": model, "optimizers": {"adam": optimizer}}, durable=False)
    saving = optimkit.save(path, model=model, background=True)
    assert_type(saving, optimkit.Saving)
    assert_type(saving.wait(), Path)
    optimkit.load(path, {"optimizers": {"adam": optimizer}}, map_location={"cuda:0": "cpu"})
    again = optimkit.load_optimizer(optimizer, optimizer.state_dict(), match="position")
    optimkit.load(path, optimizer=optimizer, key="optimizer_states.0")
    optimkit.load(path, model=model, key={"model": "state_dict"}, grown=True)
    optimkit.load_optimizer(optimizer, path, key="optimizer", names=model)
    optimkit.load_optimizer(optimizer, path, key=0)  # type: ignore[arg-type]
    assert_type(again, optimkit.LoadReport)
    optimkit.load_optimizer(optimizer, path, models={"net": model}, options="current")
    optimkit.load(path, optimizer=optimizer, options="other")  # type: ignore[arg-type]
    optimkit.load(path, map_location=0, model=model)  # type: ignore[arg-type]
    epoch: int = loaded["epoch"]
    return epoch


def kept(folder: Path, model: Net) -> list[Path]:
    """Keep the last and the best checkpoints of a run."""
    checkpoints = optimkit.CheckpointDir(
        folder, keep=[optimkit.Last(3), optimkit.Best(1, "loss", "min")]
    )
    checkpoints.save(1, {"loss": 0.5}, model=model)
    optimkit.CheckpointDir(folder, keep=optimkit.Last(1))
    restored = checkpoints.restore("best", model=model)
    assert_type(restored, optimkit.Loaded | None)
    step: int | None = restored.step if restored else None
    for each in checkpoints.verify():
        if isinstance(each, optimkit.Integrity):
            print(each.path, each.bytes, each.entries, step)
        else:
            assert_type(each, optimkit.CheckpointError)
    optimkit.Best(1, "loss", "least")  # type: ignore[arg-type]
    distributed.save(folder / "shards", model=model)
    assert_type(distributed.load(folder / "shards", model=model), optimkit.Loaded)
    return checkpoints.paths


def refused(path: Path, model: Net) -> tuple[str, ...]:
    """Tell the errors apart."""
    try:
        optimkit.load(path, model=model)
    except optimkit.MismatchError as error:
        report = error.report
        assert_type(report, optimkit.LoadReport | None)
        assert_type(error.reports, Mapping[str, optimkit.LoadReport])
        return report.problems if report else ()
    except (optimkit.CorruptCheckpointError, optimkit.UnsafeCheckpointError) as error:
        return error.problems
    except optimkit.CheckpointError as error:
        return error.problems
    try:
        optimkit.param_groups(model, optimkit.when("*.gamma"))
    except (optimkit.GroupError, optimkit.AuditError) as error:
        assert_type(error.problems, tuple[str, ...])
        wider: optimkit.OptimkitError = error
        return wider.problems
    return ()
