"""The packages, and how an optimizer is made and stepped where that is not ``cls(params, lr=its default)``.

A recipe may have

- ``lr``: the learning rate to give, else the class's own default, else 1e-3; None, if it takes none
- ``options``: more arguments
- ``build``: ``build(module, cls, params, **options)`` makes it
- ``step``: "plain", "closure", "hessian" (a backward pass with create_graph), "sam" (a closure, and
  a backward pass before it), or a function ``step(optimizer, loss_of)``; found out, if left out
- ``model``: "matrix" (no vectors), "wide" (a matrix of 4096 elements, from which on state is quantized)
- ``ready``: called with the optimizer before it trains, as its documents ask for
- ``within``: the submodule that has the class
- ``whole_model``: it is made of a model, not of parameters
- ``distributed``: it wants a process group
- ``skip``: why it can't run here

A class may come again in another form, with a word behind an ``@``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import StepLR

Recipe = dict[str, Any]

PACKAGES: dict[str, tuple[str, str]] = {
    "torchao": (
        "torchao.optim",
        "AdamW8bit AdamW4bit AdamWFp8 Adam8bit AdamW8bit@wide AdamW4bit@wide AdamWFp8@wide",
    ),
    "bitsandbytes": (
        "bitsandbytes.optim",
        "AdamW8bit AdamW32bit AdamW Adam8bit Lion8bit AdEMAMix AdEMAMix8bit LAMB8bit LARS8bit "
        "SGD8bit RMSprop8bit Adagrad8bit PagedAdamW8bit PytorchLARS AdamW8bit@wide Lion8bit@wide "
        "AdEMAMix8bit@wide",
    ),
    "schedulefree": ("schedulefree", ""),
    "heavyball": ("heavyball", ""),
    "torch-optimi": ("optimi", ""),
    "prodigyopt": ("prodigyopt", ""),
    "dadaptation": ("dadaptation", ""),
    "lion-pytorch": ("lion_pytorch", ""),
    "came-pytorch": ("came_pytorch", ""),
    "adan-pytorch": ("adan_pytorch", ""),
    "madgrad": ("madgrad", ""),
    "kron-torch": ("kron_torch", ""),
    "adabelief-pytorch": ("adabelief_pytorch", ""),
    "flashoptim": ("flashoptim", ""),
    "muonium": ("muonium", ""),
    "adafactor8bit": ("adafactor8bit", "Adafactor8Bit Adafactor8Bit@wide"),
    "apollo-torch": ("apollo_torch", "APOLLOAdamW QAPOLLOAdamW"),
    "galore-torch": ("galore_torch", ""),
    "transformers": ("transformers.optimization", "Adafactor Adafactor@relative"),
    "timm": (
        "timm.optim",
        "AdaBelief Adafactor AdafactorBigVision Adahessian AdamP AdamWLegacy Adan Adopt LaProp "
        "Lamb Lars Lion Lookahead MADGRAD Mars Muon NAdamLegacy NAdamW NvNovoGrad RAdamLegacy "
        "RMSpropTF SGDP SGDW Kron",
    ),
    "pytorch-ranger": ("pytorch_ranger", ""),
    "torch-optimizer": ("torch_optimizer", ""),
    "pytorch-optimizer": ("pytorch_optimizer", ""),
    "torchium": ("torchium.optimizers", ""),
}
"""The module of each package, and the classes; all that it has, if none is named."""


def around(cls: type, options: Recipe) -> Callable[..., Any]:
    """Build a wrapper: it takes an optimizer."""

    def build(module, wrapper, params, lr, **more):
        return wrapper(cls(params, lr=lr, **options), **more)

    return build


AROUND_SGD = around(SGD, {"momentum": 0.9})
AROUND_ADAMW = around(AdamW, {})


def with_base(module, cls, params, lr, **options):
    """Build a SAM: it takes the class of an optimizer, and its options."""
    return cls(params, base_optimizer=SGD, lr=lr, momentum=0.9, **options)


def split(params: Iterable[Any], marks: tuple[Recipe, Recipe]) -> list[Recipe]:
    """Part each group in matrices and others, and mark both; parameters may have names."""
    params = list(params)
    groups = params if params and isinstance(params[0], dict) else [{"params": params}]
    found = []
    for group in groups:
        members = group["params"]
        members = [members] if isinstance(members, torch.Tensor) else list(members)
        rest = {key: value for key, value in group.items() if key != "params"}
        for mark, matrices in zip(marks, (True, False), strict=True):
            chosen = [each for each in members if (tensor_of(each).ndim >= 2) == matrices]
            if chosen:
                found.append({"params": chosen, **mark, **rest})
    return found


def tensor_of(param: Any) -> torch.Tensor:
    """Return a parameter that may stand behind its name."""
    return param[1] if isinstance(param, tuple) else param


def of_two(*marks: Recipe) -> Callable[..., Any]:
    """Build of groups: one for matrices, one for all else."""

    def build(module, cls, params, **options):
        return cls(split(params, marks), **options)

    return build


MUON = of_two({"use_muon": True}, {"use_muon": False})
GALORE = of_two({"rank": 4, "update_proj_gap": 2, "scale": 0.25, "proj_type": "std"}, {})
APOLLO = of_two(
    {
        "rank": 1,
        "proj": "random",
        "scale_type": "tensor",
        "scale": 128,
        "update_proj_gap": 2,
        "proj_type": "std",
    },
    {},
)


def two_classes(module, cls, params, lr):
    """Build heavyball's SplitOpt: groups name their optimizers."""
    marks = ({"optimizer": module.Muon, "lr": lr}, {"optimizer": module.AdamW, "lr": lr})
    return cls(split(params, marks))


def as_model(params: Any) -> nn.Module:
    """Return a model, or parameters as one."""
    return params if isinstance(params, nn.Module) else nn.ParameterList(list(params))


def of_model(module, cls, params, **options):
    """Build of a model."""
    return cls(as_model(params), **options)


def wsam(module, cls, params, lr, **options):
    """Build WSAM: of a model, its parameters and the class of an optimizer."""
    model = as_model(params)
    return cls(model, model.parameters(), base_optimizer=SGD, lr=lr, momentum=0.9, **options)


def gsam(module, cls, params, lr, **options):
    """Build GSAM: of a model, an optimizer and a schedule of the radius."""
    model = as_model(params)
    base = SGD(model.parameters(), lr=lr, momentum=0.9)
    rates = {"max_lr": lr, "min_lr": 0.0, "max_value": 0.1, "min_value": 0.01}
    radius = module.ProportionScheduler(StepLR(base, 100), **rates)
    given = {"base_optimizer": base, "model": model, "rho_scheduler": radius}
    return cls(model.parameters(), **given, **options)


def step_gsam(optimizer, loss_of):
    """Step GSAM, which runs both passes itself."""

    def both():
        optimizer.base_optimizer.zero_grad()
        with torch.enable_grad():
            loss = loss_of()
        loss.backward()
        return None, loss.detach()

    optimizer.forward_backward_func = both
    optimizer.step()


def step_lomo(optimizer, loss_of):
    """Step LOMO: the step is within the backward pass."""
    optimizer.fused_backward(loss_of(), lr=optimizer.param_groups[0]["lr"])


def step_tasks(optimizer, loss_of):
    """Step with two losses."""
    optimizer.zero_grad()
    loss = loss_of()
    optimizer.pc_backward([loss, loss * 0.5])
    optimizer.step()


def train_mode(optimizer):
    """Put an optimizer that averages the weights into its mode of training."""
    optimizer.train()


def for_each(package: str, names: str, **recipe: Any) -> dict[str, Recipe]:
    """Return one recipe for several classes."""
    return {f"{package}.{name}": recipe for name in names.split()}


RECIPES: dict[str, Recipe] = {
    **for_each(
        "schedulefree",
        "AdamWScheduleFree SGDScheduleFree AdamWScheduleFreePaper AdamWScheduleFreeReference "
        "SGDScheduleFreeReference",
        ready=train_mode,
    ),
    # by default its first steps move nothing
    **for_each(
        "schedulefree",
        "RAdamScheduleFree",
        ready=train_mode,
        options={"silent_sgd_phase": False},
    ),
    **for_each(
        "schedulefree",
        "AdamWScheduleFreeClosure SGDScheduleFreeClosure",
        step="closure",
    ),
    **for_each(
        "schedulefree",
        "RAdamScheduleFreeClosure",
        step="closure",
        options={"silent_sgd_phase": False},
    ),
    **for_each(
        "schedulefree",
        "ScheduleFreeWrapper ScheduleFreeWrapperReference",
        build=AROUND_SGD,
        lr=0.01,
        ready=train_mode,
    ),
    **for_each("bitsandbytes", "LARS8bit SGD8bit PytorchLARS", options={"momentum": 0.9}, lr=0.01),
    **for_each("torch-optimi", "StableAdamW", options={"triton": False}),
    **for_each(
        "flashoptim",
        "FlashAdam FlashAdamW FlashLion FlashSGD FlashSGDW",
        options={"quantize": False, "fused": False, "master_weight_bits": None},
    ),
    **for_each("flashoptim", "FlashOptimizer", skip="abstract"),
    **for_each("kron-torch", "DistributedKron DistributedOneSidedKron", skip="needs a GPU"),
    **for_each("galore-torch", "GaLoreAdamW", build=GALORE),
    **for_each(
        "galore-torch",
        "GaLoreAdafactor",
        build=GALORE,
        lr=1e-3,
        options={"scale_parameter": False, "relative_step": False, "warmup_init": False},
    ),
    **for_each("galore-torch", "GaLoreAdamW8bit", skip="needs a GPU"),
    **for_each("apollo-torch", "APOLLOAdamW QAPOLLOAdamW", build=APOLLO),
    **for_each(
        "transformers",
        "Adafactor",
        lr=1e-3,
        options={"scale_parameter": False, "relative_step": False},
    ),
    **for_each("transformers", "Adafactor@relative", lr=None),
    **for_each("muonium", "Muon MuonLP", skip="needs a GPU"),
    **for_each("timm", "Kron", within="kron"),
    **for_each("timm", "Lookahead", build=AROUND_ADAMW, lr=1e-3),
    **for_each("torch-optimizer", "Lookahead", build=AROUND_ADAMW, lr=1e-3),
    **for_each("heavyball", "SplitOpt", build=two_classes, lr=0.01),
    **for_each("heavyball", "PSGDBase SOAPBase", skip="abstract"),
    **for_each("heavyball", "SAMWrapper", step="closure", lr=None),
    **for_each("pytorch-optimizer", "Muon AdaMuon AdaGO NorMuon MuonClip", build=MUON),
    **for_each("pytorch-optimizer", "DistributedMuon", build=MUON, distributed=True),
    **for_each("pytorch-optimizer", "DeMo", distributed=True),
    # by default their first steps move nothing
    **for_each("pytorch-optimizer", "AdaShift", options={"keep_num": 1}),
    **for_each("pytorch-optimizer", "RAdam", options={"degenerated_to_sgd": True}),
    **for_each(
        "pytorch-optimizer", "ScheduleFreeWrapper", build=AROUND_SGD, lr=0.01, ready=train_mode
    ),
    **for_each("pytorch-optimizer", "SpectralSphere", model="matrix"),
    **for_each("pytorch-optimizer", "Lookahead OrthoGrad TRAC Magma", build=AROUND_ADAMW, lr=1e-3),
    **for_each("pytorch-optimizer", "PCGrad", build=AROUND_ADAMW, lr=1e-3, step=step_tasks),
    **for_each("pytorch-optimizer", "SafeFP16Optimizer", skip="has no param_groups"),
    **for_each(
        "pytorch-optimizer", "SAM LookSAM FriendlySAM", build=with_base, lr=0.01, step="sam"
    ),
    **for_each("pytorch-optimizer", "WSAM", build=wsam, lr=0.01, step="sam", whole_model=True),
    **for_each("pytorch-optimizer", "GSAM", build=gsam, lr=0.01, step=step_gsam, whole_model=True),
    **for_each("pytorch-optimizer", "BSAM", options={"num_data": 100}, step="closure"),
    **for_each("pytorch-optimizer", "Ranger21", options={"num_iterations": 100}),
    **for_each(
        "pytorch-optimizer", "LOMO AdaLOMO", build=of_model, step=step_lomo, whole_model=True
    ),
    **for_each("pytorch-optimizer", "AdamMini", build=of_model, whole_model=True),
    **for_each("pytorch-optimizer", "ScheduleFreeSGD ScheduleFreeAdamW", ready=train_mode),
    **for_each("pytorch-optimizer", "ScheduleFreeRAdam", ready=train_mode, step="plain"),
    **for_each("pytorch-optimizer", "AliG", step="closure"),
    **for_each("torchium", "SAM ASAM GSAM LookSAM WSAM", lr=0.01, step="sam"),
    **for_each("torchium", "GradientCentralization PCGrad GradNorm", lr=0.01),
    **for_each("torchium", "AdaFactor", lr=None),
    **for_each("torchium", "SparseAdam", skip="takes sparse gradients only"),
    **for_each("torchium", "AdaLOMO", build=of_model, whole_model=True),
    **for_each(
        "torchium",
        "CMAES DifferentialEvolution GeneticAlgorithm ParticleSwarmOptimization "
        "QuantumAnnealing LBFGS",
        step="closure",
    ),
}
