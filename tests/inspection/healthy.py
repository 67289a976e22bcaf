"""Healthy set-ups: an audit of any of them may only give notes."""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR, AveragedModel

Setup = tuple[tuple[torch.optim.Optimizer, ...], list[nn.Module], list[object]]

OPTIMIZERS = {
    "ASGD": {},
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {},
    "Adam": {},
    "AdamW": {},
    "Adamax": {},
    "LBFGS": {"max_iter": 3},
    "Muon": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {},
    "Rprop": {},
    "SGD": {},
    "SparseAdam": {},
}

VARIANTS = {
    "Adam amsgrad": ("Adam", {"amsgrad": True}),
    "Adam fused": ("Adam", {"fused": True}),
    "Adam decoupled_weight_decay": ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    "Adam tensor lr": ("Adam", {"lr": torch.tensor(1e-3)}),
    "AdamW foreach": ("AdamW", {"foreach": True}),
    "SGD momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}),
    "SGD fused": ("SGD", {"lr": 0.1, "momentum": 0.9, "fused": True}),
    "RMSprop all": ("RMSprop", {"momentum": 0.9, "centered": True}),
    "LBFGS wolfe": ("LBFGS", {"max_iter": 3, "line_search_fn": "strong_wolfe"}),
}

SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], object]] = {
    "LambdaLR": lambda o: lrs.LambdaLR(o, lambda step: min(1.0, step / 3)),
    "MultiplicativeLR": lambda o: lrs.MultiplicativeLR(o, lambda step: 0.9),
    "StepLR": lambda o: lrs.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lrs.MultiStepLR(o, [1, 3], 0.5),
    "ConstantLR": lambda o: lrs.ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: lrs.LinearLR(o, 0.1, 1.0, 4),
    "ExponentialLR": lambda o: lrs.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: lrs.PolynomialLR(o, 5, 2.0),
    "CosineAnnealingLR": lambda o: lrs.CosineAnnealingLR(o, 4, 1e-5),
    "CosineAnnealingWarmRestarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 2, 2),
    "CyclicLR": lambda o: lrs.CyclicLR(o, 1e-4, 1e-2, 3, cycle_momentum=_has_momentum(o)),
    "OneCycleLR": lambda o: lrs.OneCycleLR(
        o, 1e-2, total_steps=12, cycle_momentum=_has_momentum(o)
    ),
    "ReduceLROnPlateau": lambda o: lrs.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: lrs.SequentialLR(
        o, [lrs.LinearLR(o, 0.1, total_iters=3), lrs.CosineAnnealingLR(o, 5)], [3]
    ),
    "SequentialLR of three": lambda o: lrs.SequentialLR(
        o,
        [lrs.ConstantLR(o, 0.5, 2), lrs.StepLR(o, 2, 0.5), lrs.ExponentialLR(o, 0.9)],
        [2, 5],
    ),
    "ChainedScheduler": lambda o: lrs.ChainedScheduler(
        [lrs.ConstantLR(o, 0.5, 3), lrs.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: SWALR(o, 1e-4, 3),
}


def _has_momentum(optimizer: torch.optim.Optimizer) -> bool:
    return "momentum" in optimizer.defaults or "betas" in optimizer.defaults


def model_for(kind: str) -> nn.Module:
    """Return a model that a class can train: Muon takes matrices only."""
    if kind == "SparseAdam":
        return nn.Embedding(6, 3, sparse=True)
    if kind == "Muon":
        return nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Train one step on made-up data."""
    given = torch.randint(0, 6, (4,)) if isinstance(model, nn.Embedding) else torch.randn(5, 3)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(given).square().mean()
        loss.backward()
        return loss

    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


def step_scheduler(scheduler: object, at: int) -> None:
    """Step a scheduler, one on a plateau with a loss that stands still."""
    if isinstance(scheduler, lrs.ReduceLROnPlateau):
        scheduler.step(1.0)
    else:
        scheduler.step()


def run(kind: str, options: dict, scheduler: str | None) -> Iterator[Setup]:
    """Train seven steps, with or without a scheduler: yield it before, after one, and after all."""
    torch.manual_seed(0)
    model = model_for(kind)
    options = {
        key: value.clone() if isinstance(value, torch.Tensor) else value
        for key, value in options.items()
    }
    optimizer = getattr(torch.optim, kind)(model.parameters(), **options)
    schedulers = [SCHEDULERS[scheduler](optimizer)] if scheduler else []
    for at in range(8):
        if at in (0, 1, 7):
            yield (optimizer,), [model], schedulers
        step(model, optimizer)
        for each in schedulers:
            step_scheduler(each, at)


def pairs() -> Iterator[tuple[str, Callable[[], Iterator[Setup]]]]:
    """Yield every optimizer and every scheduler at least once, and every variant."""
    kinds = [(name, name, options) for name, options in OPTIMIZERS.items()]
    variants = [(name, kind, options) for name, (kind, options) in VARIANTS.items()]
    schedulers = list(SCHEDULERS)
    count = max(len(kinds), len(schedulers)) + len(variants)
    at_least_once = zip(
        itertools.chain(variants, itertools.cycle(kinds)),
        itertools.chain(itertools.repeat(None, len(variants)), itertools.cycle(schedulers)),
        strict=False,
    )
    for (name, kind, options), scheduler in itertools.islice(at_least_once, count):
        yield f"{name} + {scheduler}", partial(run, kind, options, scheduler)


def net() -> nn.Module:
    """Return a small model."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, *schedulers: object) -> Setup:
    """Train three steps."""
    for at in range(3):
        step(model, optimizer)
        for scheduler in schedulers:
            step_scheduler(scheduler, at)
    return (optimizer,), [model], list(schedulers)


PATTERNS: dict[str, Callable[[], Setup]] = {}


def pattern(function: Callable[[], Setup]) -> Callable[[], Setup]:
    """Add a set-up to the table, under its docstring."""
    PATTERNS[str(function.__doc__)] = function
    return function


@pattern
def amp() -> Setup:
    """AMP with a gradient scaler"""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(torch.randn(5, 3)).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    return (optimizer,), [model], []


@pattern
def bfloat16() -> Setup:
    """a model wholly in bfloat16"""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).bfloat16()
    optimizer = torch.optim.NAdam(model.parameters())
    model(torch.randn(5, 3).bfloat16()).square().mean().backward()
    optimizer.step()
    return (optimizer,), [model], []


@pattern
def double() -> Setup:
    """a model in float64"""
    model = nn.Linear(3, 2).double()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 3).double()).square().mean().backward()
    optimizer.step()
    return (optimizer,), [model], []


@pattern
def complex_numbers() -> Setup:
    """complex parameters"""
    model = nn.Linear(3, 2, dtype=torch.complex64)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3, dtype=torch.complex64)).abs().mean().backward()
    optimizer.step()
    return (optimizer,), [model], []


@pattern
def on_meta() -> Setup:
    """a model on the meta device"""
    model = nn.Linear(3, 2, device="meta")
    return (torch.optim.AdamW(model.parameters()),), [model], []


@pattern
def lazy() -> Setup:
    """lazy parameters, before the first batch"""
    model = nn.LazyLinear(2)
    return (torch.optim.AdamW(model.parameters()),), [model], []


@pattern
def ema() -> Setup:
    """an average of the model's weights"""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    average = AveragedModel(model, multi_avg_fn=None)
    trained(model, optimizer)
    average.update_parameters(model)
    return (optimizer,), [model, average], []


@pattern
def swa() -> Setup:
    """SWA with its own lr after a cosine"""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    cosine, swa_lr = lrs.CosineAnnealingLR(optimizer, 3), None
    trained(model, optimizer, cosine)
    swa_lr = SWALR(optimizer, 0.05)
    trained(model, optimizer, swa_lr)
    return (optimizer,), [model], [cosine, swa_lr]


@pattern
def data_parallel() -> Setup:
    """DataParallel, and names through it"""
    model = nn.DataParallel(net())
    return trained(model, torch.optim.AdamW(model.named_parameters()))


@pattern
def compiled() -> Setup:
    """a compiled model, and names through it"""
    model = net()
    compiled_model = torch.compile(model)
    optimizer = torch.optim.AdamW(compiled_model.named_parameters())
    trained(model, optimizer)
    return (optimizer,), [compiled_model], []


@pattern
def tied() -> Setup:
    """tied weights"""
    model = nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 6, bias=False))
    model[1].weight = model[0].weight
    optimizer = torch.optim.AdamW(model.named_parameters())
    model(torch.randint(0, 6, (4,))).square().mean().backward()
    optimizer.step()
    return (optimizer,), [model], []


@pattern
def lora() -> Setup:
    """adapters on a frozen model, only they in the optimizer"""
    model = net()
    model.requires_grad_(False).eval()
    model.adapter = nn.Linear(2, 2)
    return trained(model, torch.optim.AdamW(model.adapter.parameters()))


@pattern
def frozen_inside() -> Setup:
    """frozen parameters left in the optimizer"""
    model = net()
    model[0].requires_grad_(False)
    return trained(model, torch.optim.AdamW(model.parameters()))


@pattern
def frozen_later() -> Setup:
    """freezing in the middle of training, gradients set to None"""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    trained(model, optimizer)
    model[0].requires_grad_(False)
    optimizer.zero_grad()
    return trained(model, optimizer)


@pattern
def unused() -> Setup:
    """a parameter that is in the optimizer and never used"""
    model = net()
    model.unused = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW(model.parameters())
    inner = nn.Sequential(*list(model)[:3])
    for _ in range(2):
        optimizer.zero_grad()
        inner(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
    return (optimizer,), [model], []


@pattern
def gan() -> Setup:
    """a GAN: two models, two optimizers, names that clash"""
    generator, critic = nn.Linear(3, 3), nn.Linear(3, 1)
    first = torch.optim.Adam(generator.named_parameters(), betas=(0.5, 0.999))
    second = torch.optim.Adam(critic.named_parameters())
    critic(generator(torch.randn(4, 3))).mean().backward()
    first.step()
    critic(torch.randn(4, 3)).mean().backward()
    second.step()
    return (first, second), [generator, critic], []


@pattern
def gan_schedulers() -> Setup:
    """a GAN with a scheduler for each optimizer"""
    (first, second), models, _ = gan()
    return (first, second), models, [lrs.StepLR(first, 3), lrs.ExponentialLR(second, 0.9)]


@pattern
def muon_and_adam() -> Setup:
    """Muon for the matrices, AdamW for the rest"""
    model = net()
    muon = torch.optim.Muon([p for p in model.parameters() if p.ndim == 2])
    adam = torch.optim.AdamW([p for p in model.parameters() if p.ndim != 2])
    model(torch.randn(5, 3)).square().mean().backward()
    muon.step()
    adam.step()
    return (muon, adam), [model], []


@pattern
def two_groups() -> Setup:
    """weight decay for matrices only, groups with names"""
    model = net()
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [n for n in named if n[1].ndim > 1], "name": "decay"},
            {"params": [n for n in named if n[1].ndim < 2], "name": "rest", "weight_decay": 0.0},
        ],
        lr=1e-3,
    )
    return trained(model, optimizer, lrs.CosineAnnealingLR(optimizer, 10))


@pattern
def layerwise() -> Setup:
    """a learning rate for each layer"""
    model = net()
    optimizer = torch.optim.SGD(
        [{"params": layer.parameters(), "lr": 0.1 * 0.5**i} for i, layer in enumerate(model)],
        lr=0.1,
    )
    return trained(model, optimizer, lrs.LinearLR(optimizer, 0.1, total_iters=5))


@pattern
def two_lambdas() -> Setup:
    """LambdaLR with a function for each group"""
    model = net()
    optimizer = torch.optim.SGD([{"params": layer.parameters()} for layer in model], lr=0.1)
    scheduler = lrs.LambdaLR(optimizer, [lambda s: 1.0, lambda s: 0.5**s, lambda s: 0.0])
    return trained(model, optimizer, scheduler)


@pattern
def in_turn() -> Setup:
    """two schedulers stepped in turn, as torch documents"""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    one, two = lrs.ExponentialLR(optimizer, 0.9), lrs.MultiStepLR(optimizer, [2], 0.1)
    return trained(model, optimizer, one, two)


@pattern
def warmup_by_hand() -> Setup:
    """a warm-up by np.interp at each step, beside a LambdaLR by the epoch, as Ultralytics has it"""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = lrs.LambdaLR(optimizer, lambda epoch: 1 - epoch / 10)
    for _epoch in range(2):
        trained(model, optimizer)
        trained(model, optimizer)
        scheduler.step()
        optimizer.param_groups[0]["lr"] = 0.001
    return (optimizer,), [model], [scheduler]


@pattern
def warmup_in_the_first_epoch() -> Setup:
    """a warm-up by hand in the first epoch, before the cosine by the epoch has stepped"""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = lrs.CosineAnnealingLR(optimizer, 10)
    optimizer.param_groups[0]["lr"] = 0.01
    (optimizers, models, _) = trained(model, optimizer)
    return optimizers, models, [scheduler]


@pattern
def warmup_under_a_plateau() -> Setup:
    """a warm-up by hand in the first epoch, before the plateau has seen a metric"""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = lrs.ReduceLROnPlateau(optimizer)
    optimizer.param_groups[0]["lr"] = 0.01
    (optimizers, models, _) = trained(model, optimizer)
    return optimizers, models, [scheduler]


@pattern
def one_cycle_at_its_end() -> Setup:
    """OneCycleLR, stepped once more than it has lrs for, as every loop does; it is below 0 then"""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = lrs.OneCycleLR(optimizer, 0.1, total_steps=6, anneal_strategy="linear")
    trained(model, optimizer, scheduler)
    return trained(model, optimizer, scheduler)


class ModelEma(nn.Module):
    """An average as packages have it: a copy that is not frozen."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)


@pattern
def ema_of_a_package() -> Setup:
    """an average of timm's kind, whose copy is not frozen, beside its model"""
    model = net()
    (optimizers, models, _) = trained(model, torch.optim.AdamW(model.parameters()))
    return optimizers, [*models, ModelEma(model)], []


@pattern
def warmup_and_plateau() -> Setup:
    """a warm-up, then a plateau, both given"""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    warmup = lrs.LinearLR(optimizer, 0.1, total_iters=2)
    plateau = lrs.ReduceLROnPlateau(optimizer, patience=0)
    trained(model, optimizer, warmup)
    trained(model, optimizer, plateau)
    return (optimizer,), [model], [warmup, plateau]


@pattern
def nested() -> Setup:
    """a chain with a sequence in it, the children given too"""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inner = SCHEDULERS["SequentialLR"](optimizer)
    children = [inner, lrs.ExponentialLR(optimizer, 0.9)]
    outer = lrs.ChainedScheduler(children)
    trained(model, optimizer, outer)
    return (optimizer,), [model], [outer, *children]


@pattern
def resumed() -> Setup:
    """resumed: both made, the scheduler loaded, then the optimizer"""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = SCHEDULERS["SequentialLR"](optimizer)
    trained(model, optimizer, scheduler)
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = SCHEDULERS["SequentialLR"](optimizer)
    scheduler.load_state_dict(saved[1])
    optimizer.load_state_dict(saved[0])
    return trained(model, optimizer, scheduler)


@pattern
def resumed_lbfgs() -> Setup:
    """LBFGS, resumed"""
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters())
    trained(model, optimizer)
    again = torch.optim.LBFGS(model.parameters())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return (again,), [model], []


@pattern
def group_added() -> Setup:
    """a group added before the scheduler was made"""
    model = net()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1, momentum=0.9)
    trained(model[0], optimizer)
    optimizer.add_param_group({"params": [*model[1].parameters(), *model[2].parameters()]})
    optimizer.zero_grad()
    model.zero_grad()
    return trained(model, optimizer, lrs.CosineAnnealingLR(optimizer, 5))


@pattern
def plateau_group_added() -> Setup:
    """a group added after ReduceLROnPlateau, which stretches by itself"""
    model = net()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    plateau = lrs.ReduceLROnPlateau(optimizer)
    optimizer.add_param_group({"params": [*model[1].parameters(), *model[2].parameters()]})
    return (optimizer,), [model], [plateau]


@pattern
def submodule_names() -> Setup:
    """the names of a part of the model"""
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)))
    model[0].requires_grad_(False)
    return trained(model, torch.optim.AdamW(model[1].named_parameters()))


@pattern
def mapping() -> Setup:
    """several networks as a mapping, names with prefixes"""
    models = {"g": nn.Linear(3, 3), "d": nn.Linear(3, 1)}
    named = [(f"{key}.{n}", p) for key, m in models.items() for n, p in m.named_parameters()]
    return (torch.optim.AdamW(named),), [models], []


@pattern
def style_transfer() -> Setup:
    """an image is optimized, the model is frozen"""
    model = net().requires_grad_(False).eval()
    image = torch.zeros(1, 3, requires_grad=True)
    return (torch.optim.Adam([image], lr=0.1),), [model], []


@pattern
def tensor_lr_each() -> Setup:
    """a tensor lr of its own for each group"""
    model = net()
    groups = [{"params": m.parameters(), "lr": torch.tensor(1e-3)} for m in model]
    optimizer = torch.optim.AdamW(groups)
    return trained(model, optimizer, lrs.StepLR(optimizer, 2))


@pattern
def foreign() -> Setup:
    """an optimizer of one's own, with state of other shapes and options of its own"""

    class Blocks(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1, "blocks": 2})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["exp_avg"] = torch.zeros(7, dtype=torch.uint8)
                    self.state[p]["codes"] = ["a", {"b": torch.ones(2)}]
            self.state["shared"] = torch.zeros(3)

    model = net()
    optimizer = Blocks([{"params": list(model.parameters()), "rank": 4}])
    optimizer.step()
    return (optimizer,), [model], []


@pattern
def subclass() -> Setup:
    """a subclass of AdamW that steps in its own way"""

    class Mine(torch.optim.AdamW):
        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                self.state[p]["momentum_buffer"] = torch.zeros(1, 2, 3)

    model = net()
    optimizer = Mine(model.parameters())
    optimizer.step()
    return (optimizer,), [model], []


@pattern
def weight_norm() -> Setup:
    """weight_norm put on before the optimizer was built"""
    model = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    return trained(model, torch.optim.AdamW(model.named_parameters()))


@pattern
def frozen_batchnorm() -> Setup:
    """a frozen BatchNorm in eval mode"""
    model = net()
    model[1].requires_grad_(False).eval()
    return trained(model, torch.optim.SGD(model.parameters(), lr=0.1))


@pattern
def accumulated() -> Setup:
    """between backward and step, with accumulated gradients"""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        model(torch.randn(5, 3)).square().mean().backward()
    return (optimizer,), [model], []


@pattern
def distributed() -> Setup:
    """DistributedDataParallel, names through it"""
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group("gloo", init_method=f"file://{folder}/s", rank=0, world_size=1)
        try:
            model = nn.parallel.DistributedDataParallel(net())
            return trained(model, torch.optim.AdamW(model.named_parameters()))
        finally:
            dist.destroy_process_group()


@pattern
def sequence_in_sequence() -> Setup:
    """warm-up, then a cycle, resumed in the middle with names"""
    model = net()
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9)
    scheduler = SCHEDULERS["SequentialLR of three"](optimizer)
    trained(model, optimizer, scheduler)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return trained(model, optimizer, scheduler)


@pattern
def no_models() -> Setup:
    """an optimizer alone, its model not given"""
    model = net()
    (optimizer,), _, _ = trained(model, torch.optim.AdamW(model.named_parameters()))
    return (optimizer,), [], []


@pattern
def tensors_of_ones_own() -> Setup:
    """an image that is optimized and one that is not for now, beside a frozen model"""
    model = net().requires_grad_(False)
    images = [torch.randn(3, 2, requires_grad=True), torch.randn(3, 2)]
    return (torch.optim.Adam(images, lr=0.1),), [model], []


@pattern
def scaled_by_a_script() -> Setup:
    """a script that multiplies by keys of its own: lr_scale of MAE, decay_mult of mmengine"""
    first, norm, last = model = net()
    groups = [
        {"params": first.parameters(), "lr_scale": 0.75, "decay_mult": 0.0},
        {"params": [*norm.parameters(), *last.parameters()], "lr_scale": 1.0, "decay_mult": 1.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    for group in optimizer.param_groups:
        group["lr"] *= group["lr_scale"]
    return trained(model, optimizer)


@pattern
def labelled_groups() -> Setup:
    """labels in groups: param_group of ultralytics, no_weight_decay of many"""
    model = net()
    group = {"params": model.parameters(), "param_group": "weight", "no_weight_decay": False}
    return trained(model, torch.optim.AdamW([group]))


@pattern
def keys_of_the_class() -> Setup:
    """a class that writes keys into its groups, puts some into defaults alone, and finds its own lr"""

    class Own(torch.optim.Optimizer):
        def __init__(self, params, lr=None, cached=True):
            super().__init__(params, {"lr": lr, "cached": cached})
            self.defaults["k"] = 6  # as Lookahead does: no group has it

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                group["is_cached"] = True  # as heavyball does
                for param in group["params"]:
                    if param.grad is not None:
                        param -= 1e-3 * param.grad

    model = net()
    return trained(model, Own(model.parameters()))


@pattern
def defaults_of_an_outer_optimizer() -> Setup:
    """an outer optimizer that shares the defaults of the inner one, and adds to them"""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.defaults.update(k=6, alpha=0.5)
    return trained(model, optimizer)
