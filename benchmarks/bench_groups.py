"""How fast parameter groups are built: medians of ratios, each taken in one run.

    python benchmarks/bench_groups.py

Budgets: param_groups with 8 rules takes at most 5 times as long as listing the model's named
parameters, at any size; for the groups that timm makes, at most 1.2 times as long as timm; and
building the optimizer from its groups is faster where they are fewer.

What is measured is the time of the processor, which does not count what else runs. Each call
begins with no garbage, so that neither side pays for the other's.
"""

import gc
import re
import statistics
import time
from collections.abc import Callable
from functools import partial

import timm
import torch
from timm.models import group_parameters
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from optimkit import (
    is_bias,
    is_embedding,
    is_matrix,
    is_norm,
    layer_decay,
    param_groups,
    when,
)

SIZES = (150, 1_500, 15_000)
BUDGET = 5.0
TIMM_BUDGET = 1.2

EIGHT_RULES = {
    "by name": [
        when("*.bias", weight_decay=0.0),
        when("*.ln_?.weight", weight_decay=0.0),
        when("*attn*", lr=0.2),
        when("blocks.0.*", lr=0.1),
        when("blocks.*.mlp.*", lr=0.3),
        when(re.compile(r"attn\.in_proj"), momentum=0.8),
        when(re.compile(r"^wte"), weight_decay=0.0),
        when("head.*", name="head", lr=1.0),
    ],
    "by kind": [
        when(is_bias, weight_decay=0.0),
        when(is_norm, weight_decay=0.0),
        when(is_embedding, lr=0.1),
        when(is_matrix, momentum=0.95),
        when(nn.LayerNorm, lr=0.2),
        when(nn.Linear & ~is_bias, momentum=0.9),
        when(nn.MultiheadAttention, lr=0.3),
        when(lambda info: info.param.ndim > 2, lr=0.4),
    ],
}


class Block(nn.Module):
    """A block of a GPT, 12 tensors."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, 1)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))


def gpt(tensors: int) -> nn.Module:
    """Make a model shaped like a GPT, with about so many tensors."""
    model = nn.Module()
    model.wte = nn.Embedding(4, 2)
    model.blocks = nn.ModuleList(Block() for _ in range(tensors // 12))
    model.head = nn.Linear(2, 4)
    return model


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    gc.collect()
    start = time.process_time()
    function()
    return time.process_time() - start


def ratio(one: Callable[[], object], other: Callable[[], object], times: int) -> float:
    """Return the median of the ratio of two times, taken in turn."""
    one(), other()
    gc.collect()
    gc.freeze()  # what stands so far need not be looked at again before each call
    return statistics.median(seconds(one) / seconds(other) for _ in range(times))


def judged(value: float, budget: float) -> str:
    """Write a ratio, and whether it is over the budget."""
    return f"{value:4.2f}{'' if value <= budget else ' (over)'}"


def against_listing() -> None:
    """Compare with list(model.named_parameters())."""
    print("param_groups with 8 rules / list(model.named_parameters())")
    for size in SIZES:
        model = gpt(size)
        times = max(7, min(201, 300_000 // size))
        found = {
            name: ratio(
                partial(param_groups, model, *rules, lr=0.1, weight_decay=0.1),
                partial(_listed, model),
                times,
            )
            for name, rules in EIGHT_RULES.items()
        }
        shown = "  ".join(f"{name} {judged(value, BUDGET)}" for name, value in found.items())
        print(f"{size:8,d} tensors: {shown}")


def against_timm() -> None:
    """Compare with timm's builders, on a ViT with 150 tensors."""
    model = timm.create_model("vit_tiny_patch16_224")
    no_decay = when(is_bias | is_norm, weight_decay=0.0)
    options = {"lr": 1e-3, "weight_decay": 0.05}

    def plain() -> list:
        return param_groups(model, no_decay, **options)

    def by_layer(min_scale: float = 0.0) -> list:
        # timm looks the layers up itself: so does this.
        layers = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
        decay = layer_decay(0.75, layers.__getitem__, min_scale)
        return param_groups(model, no_decay, decay, **options)

    print(f"\nparam_groups / timm, ViT of {len(list(model.parameters()))} tensors")
    flat = ratio(plain, lambda: param_groups_weight_decay(model, 0.05), 201)
    deep = ratio(by_layer, lambda: param_groups_layer_decay(model), 201)
    print(f"weight decay: {judged(flat, TIMM_BUDGET)}")
    print(f"layer decay:  {judged(deep, TIMM_BUDGET)}")

    print("\nAdamW(groups) / AdamW(groups of timm)")
    for title, ours, theirs in (
        ("weight decay", plain(), param_groups_weight_decay(model, 0.05)),
        ("layer decay", by_layer(), param_groups_layer_decay(model)),
        ("min_scale=0.1", by_layer(0.1), param_groups_layer_decay(model, min_scale=0.1)),
    ):
        found = ratio(_builder(ours), _builder(theirs), 201)
        print(f"{title + ':':15s}{found:.2f}  ({len(ours)} groups here, {len(theirs)} there)")


def _listed(model: nn.Module) -> list:
    """List the named parameters."""
    return list(model.named_parameters())


def _builder(groups: list[dict]) -> Callable[[], object]:
    """Return what builds an optimizer from fresh copies of the groups."""
    return lambda: torch.optim.AdamW([dict(group) for group in groups], lr=1e-3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    against_listing()
    against_timm()
