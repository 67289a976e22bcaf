"""One class of the atlas: how it is made, and how it trains."""

from __future__ import annotations

import importlib
import inspect
import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR

from recipes import PACKAGES, RECIPES

ABSENT: Any = object()


def seed(number: int) -> None:
    """Set all generators, so that a run does not depend on what was drawn before."""
    torch.manual_seed(number)
    random.seed(number)
    numpy.random.seed(number)


def names_in(package: str) -> list[str]:
    """Return the names of the classes to look at."""
    module, names = PACKAGES[package]
    if names:
        return names.split()
    found = vars(importlib.import_module(module)).items()
    classes = {name: cls for name, cls in found if inspect.isclass(cls)}
    return sorted(
        name
        for name, cls in classes.items()
        if not cls.__module__.startswith("torch.optim")
        and (issubclass(cls, torch.optim.Optimizer) or f"{package}.{name}" in RECIPES)
    )


class Subject:
    """One class: it is made anew for each question."""

    def __init__(self, package: str, name: str) -> None:
        self.package, self.name = package, name
        plain, _, form = name.partition("@")
        usual = RECIPES.get(f"{package}.{plain}", {})
        self.recipe = dict(RECIPES.get(f"{package}.{name}", usual))
        if form == "wide":
            self.recipe["model"] = "wide"
        self.module = importlib.import_module(PACKAGES[package][0])
        within = getattr(self.module, self.recipe.get("within", ""), self.module)
        self.cls = getattr(within, plain)
        self.drive: Any = self.recipe.get("step", "plain")
        default = self.argument("lr")
        number = isinstance(default, float | int) and not isinstance(default, bool)
        self.lr = self.recipe.get("lr", default if number else 1e-3)
        named = "lr" in self.recipe or "build" in self.recipe or default is not ABSENT
        self.takes_lr = self.lr is not None and named

    def argument(self, name: str) -> Any:
        """Return the default of an argument of the class; ABSENT, if it has no such argument."""
        try:
            found = inspect.signature(self.cls).parameters.get(name)
        except (TypeError, ValueError):
            return ABSENT
        return ABSENT if found is None else found.default

    def build(self, params: Any, **options: Any) -> Any:
        """Make the optimizer of parameters, of groups, or of a model."""
        dist = torch.distributed
        if self.recipe.get("distributed") and not dist.is_initialized():
            dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        rate = {"lr": self.lr} if self.takes_lr else {}
        given = {**self.recipe.get("options", {}), **rate, **options}
        build = self.recipe.get("build")
        made = build(self.module, self.cls, params, **given) if build else self.cls(params, **given)
        self.recipe.get("ready", lambda _: None)(made)
        return made

    def model(self, start: int = 0) -> nn.Sequential:
        """Return a small model with weights of its own."""
        seed(start)
        if self.recipe.get("model") == "matrix":
            layers = nn.Linear(8, 16, bias=False), nn.Tanh(), nn.Linear(16, 4, bias=False)
            return nn.Sequential(*layers)
        width = 512 if self.recipe.get("model") == "wide" else 16
        return nn.Sequential(
            nn.Linear(8, width), nn.LayerNorm(width), nn.Tanh(), nn.Linear(width, 4)
        )

    def start(self, start: int = 0) -> tuple[nn.Sequential, Any, Any]:
        """Return a model, its optimizer, and a schedule where torch can make one, else None."""
        model = self.model(start)
        optimizer = self.build(
            model if self.recipe.get("whole_model") else list(model.parameters())
        )
        try:
            schedule = StepLR(optimizer, 2, gamma=0.5)
        except Exception:  # some have no lr, some are no optimizers for torch
            return model, optimizer, None
        finds_its_own = any(group["lr"] is None for group in optimizer.param_groups)
        return model, optimizer, None if finds_its_own else schedule

    def alone(self, *shapes: Sequence[int], **options: Any) -> tuple[list[nn.Parameter], Any]:
        """Return parameters by themselves, and an optimizer."""
        generator = torch.Generator().manual_seed(7)
        params = [nn.Parameter(torch.rand(shape, generator=generator) + 0.5) for shape in shapes]
        return params, self.build(params, **options)

    def step(self, optimizer: Any, loss_of: Callable[[], Tensor]) -> None:
        """Take one step, as the class asks for it."""
        if callable(self.drive):
            self.drive(optimizer, loss_of)
            return

        def closure() -> Tensor:
            with torch.enable_grad():
                optimizer.zero_grad()
                loss = loss_of()
                loss.backward(create_graph=self.drive == "hessian")
                return loss

        if self.drive != "closure":
            closure()
        optimizer.step(*([closure] if self.drive in ("closure", "sam") else []))

    def train(self, model: nn.Module, optimizer: Any, schedule: Any, steps: Iterable[int]) -> None:
        """Train on data that depend on the number of the step alone."""
        for number in steps:
            generator = torch.Generator().manual_seed(500 + number)
            x, y = (torch.randn(32, size, generator=generator) for size in (8, 4))
            seed(1000 + number)
            self.step(optimizer, lambda x=x, y=y: nn.functional.mse_loss(model(x), y))
            if schedule is not None:
                schedule.step()

    def pull(
        self, optimizer: Any, params: list[nn.Parameter], steps: Iterable[int], scale: float = 1.0
    ) -> None:
        """Step along gradients that do not depend on the weights."""
        for number in steps:
            generator = torch.Generator().manual_seed(900 + number)
            grads = [scale * torch.randn(param.shape, generator=generator) for param in params]
            seed(2000 + number)

            def loss_of(grads: list[Tensor] = grads) -> Tensor:
                pairs = zip(params, grads, strict=True)
                return sum(
                    ((param - param.detach() + grad) ** 2).sum() / 2 for param, grad in pairs
                )

            self.step(optimizer, loss_of)

    def find_drive(self) -> None:
        """Find out how it wants to be stepped; raise what it raised first, if in no way."""
        errors: list[Exception] = []
        ways = (self.drive,) if "step" in self.recipe else ("plain", "closure", "hessian", "sam")
        for self.drive in ways:
            try:
                model, optimizer, schedule = self.start()
                before = copies(model.parameters())
                self.train(model, optimizer, schedule, range(2))
                if "step" in self.recipe or not alike(before, model.parameters()):
                    return
                errors.append(RuntimeError("nothing moved"))
            except Exception as error:
                errors.append(error)
        raise errors[0]


def copies(params: Iterable[Tensor]) -> list[Tensor]:
    """Return the values of parameters."""
    return [param.detach().clone() for param in params]


def alike(params: Iterable[Tensor], others: Iterable[Tensor]) -> bool:
    """Whether values are the same, bit for bit; NaN equals NaN."""
    pairs = zip(params, others, strict=True)
    return all(
        torch.equal(one.detach().nan_to_num(7.0), two.detach().nan_to_num(7.0))
        for one, two in pairs
    )


def tensors_of(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """Yield the plain tensors in a value: those within subclasses and objects too, each once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inner: Iterable[Any] = ()
    if hasattr(value, "__tensor_flatten__"):
        inner = [getattr(value, name) for name in value.__tensor_flatten__()[0]]
    elif isinstance(value, Tensor):
        yield value
    elif hasattr(value, "items"):
        inner = list(value.values())
    elif isinstance(value, list | tuple | set | deque):
        inner = value
    elif (
        hasattr(value, "__dict__")
        and not isinstance(value, type | nn.Module)
        and not callable(value)
    ):
        inner = list(vars(value).values())
    for each in inner:
        yield from tensors_of(each, seen)


def bytes_of(value: Any) -> int:
    """Return the bytes of all tensors in a value."""
    return sum(each.numel() * each.element_size() for each in tensors_of(value, set()))


def state_of(optimizer: Any) -> list[dict[Any, Any]]:
    """Return the state of an optimizer, and of those that it holds."""
    held = [optimizer, *vars(optimizer).values()]
    return [dict(each.state) for each in held if hasattr(each, "param_groups")]


def state_keys(optimizer: Any, param: Tensor) -> str:
    """Return the keys that the state of a parameter has; its type, where it has none."""
    state = getattr(optimizer, "state", {}).get(param, {})
    if not hasattr(state, "items"):
        return f"({type(state).__name__})"
    return " ".join(sorted(map(str, state)))


def said(error: BaseException) -> str:
    """Return an error in one line, without paths."""
    text = re.sub(r"\x1b.[0-9;]*m|/[\w./+-]*/", "", f"{type(error).__name__}: {error}")
    return re.sub(r"[\s`|]+", " ", text)[:100].strip()
