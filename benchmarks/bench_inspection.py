"""How long it takes to look, beside one ``optimizer.step()``.

Run ``python benchmarks/bench_inspection.py [WIDTH] [ROUNDS]``. The rounds are interleaved, and each
figure is the median of the ratios of a round: what disturbs the machine disturbs both.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

import optimkit


class Block(nn.Module):
    """A block of GPT-2: twelve tensors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict(
            {"c_attn": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)}
        )
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        )


def gpt2(width: int, blocks: int = 124) -> nn.Module:
    """Return a model of 12 tensors a block, and six more: 1,494."""
    return nn.ModuleDict(
        {
            "wte": nn.Embedding(1000, width),
            "wpe": nn.Embedding(128, width),
            "h": nn.ModuleList([Block(width) for _ in range(blocks)]),
            "ln_f": nn.LayerNorm(width),
            "head": nn.Linear(width, 1000),
        }
    )


def trained(model: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW with state for every parameter."""
    optimizer = torch.optim.AdamW(model.named_parameters())
    for param in model.parameters():
        param.grad = torch.full_like(param, 1e-3)
    optimizer.step()
    return optimizer


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(width: int = 64, rounds: int = 15) -> None:
    """Print each ratio beside its budget."""
    torch.manual_seed(0)
    model = gpt2(width)
    optimizer = trained(model)
    large = gpt2(8, 496)
    large_optimizer = trained(large)
    small = gpt2(8)
    small_optimizer = trained(small)
    looks: dict[str, tuple[Callable[[], object], float | None]] = {
        "str(describe)": (lambda: str(optimkit.describe(optimizer, model)), 0.5),
        "str(describe(values=True))": (
            lambda: str(optimkit.describe(optimizer, model, values=True)),
            1.0,
        ),
        "str(audit)": (lambda: str(optimkit.audit(optimizer, models=model)), 0.5),
        "describe()._repr_html_()": (
            lambda: optimkit.describe(optimizer, model)._repr_html_(),
            None,
        ),
        "state_memory": (lambda: str(optimkit.state_memory(optimizer)), None),
        "snapshot": (lambda: optimkit.snapshot(optimizer), None),
    }
    ratios: dict[str, list[float]] = {name: [] for name in looks}
    growth: list[float] = []
    steps = []
    for _ in range(rounds):
        step = seconds(optimizer.step)
        steps.append(step)
        for name, (look, _) in looks.items():
            ratios[name].append(seconds(look) / step)
        few = seconds(lambda: str(optimkit.describe(small_optimizer, small)))
        many = seconds(lambda: str(optimkit.describe(large_optimizer, large)))
        growth.append(many / few)
    count = len(list(model.parameters()))
    print(f"{count} tensors, one step: {statistics.median(steps) * 1e3:.1f} ms")
    for name, (_, budget) in looks.items():
        limit = "" if budget is None else f"   budget {budget}"
        print(f"{name:28s} {statistics.median(ratios[name]):6.3f} of a step{limit}")
    times = statistics.median(growth)
    print(f"{'describe, 4 x the tensors':28s} {times:6.2f} x the time")
    size = len(str(optimkit.describe(optimizer, model, values=True)))
    print(f"{'text':28s} {size:6d} bytes   budget 20000")
    written = seconds(lambda: repr(optimizer.state_dict())) / statistics.median(steps)
    print(f"{'repr(state_dict())':28s} {written:6.1f} of a step")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
