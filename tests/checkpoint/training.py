"""A small training run with all that a run may have, to stop and to go on with.

Run as a script, it goes on in a fresh process:

    python training.py FOLDER
"""

import random
import sys
from pathlib import Path

import torch
from torch import nn
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

import optimkit

OPTIMIZERS = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and kind is not torch.optim.Optimizer
}
OPTIONS = {
    "SGD": {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    "RMSprop": {"lr": 0.01, "momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True},
    "LBFGS": {"lr": 0.1, "max_iter": 2, "history_size": 3},
}
SCHEDULERS = {
    "LambdaLR": lambda o: lrs.LambdaLR(o, lambda step: 0.9**step),
    "MultiplicativeLR": lambda o: lrs.MultiplicativeLR(o, lambda step: 0.9),
    "StepLR": lambda o: lrs.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lrs.MultiStepLR(o, [1, 4], 0.5),
    "ConstantLR": lambda o: lrs.ConstantLR(o, 0.5, total_iters=4),
    "LinearLR": lambda o: lrs.LinearLR(o, 0.1, total_iters=5),
    "ExponentialLR": lambda o: lrs.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lrs.PolynomialLR(o, 8, 2.0),
    "CosineAnnealingLR": lambda o: lrs.CosineAnnealingLR(o, 4),
    "CosineAnnealingWarmRestarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 2, 2),
    "CyclicLR": lambda o: lrs.CyclicLR(o, 0.001, 0.01, 2, cycle_momentum=_has_momentum(o)),
    "OneCycleLR": lambda o: lrs.OneCycleLR(o, 0.01, 10, cycle_momentum=_has_momentum(o)),
    "ReduceLROnPlateau": lambda o: lrs.ReduceLROnPlateau(o, patience=0, cooldown=1),
    "SequentialLR": lambda o: lrs.SequentialLR(
        o, [lrs.LinearLR(o, 0.1, total_iters=2), lrs.CosineAnnealingLR(o, 5)], [2]
    ),
    "ChainedScheduler": lambda o: lrs.ChainedScheduler(
        [lrs.ConstantLR(o, 0.5, total_iters=2), lrs.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: SWALR(o, 0.001, anneal_epochs=5),
}
CASES = [(optimizer, scheduler) for optimizer in OPTIMIZERS for scheduler in SCHEDULERS]


def _has_momentum(optimizer):
    return "momentum" in optimizer.defaults or "betas" in optimizer.defaults


class Run:
    """A run: model, average, optimizer, scheduler, scaler, data."""

    def __init__(self, optimizer, scheduler):
        if optimizer == "SparseAdam":
            self.model = nn.Sequential(nn.Embedding(6, 3, sparse=True), nn.Dropout(0.2))
            data = torch.arange(6)
        else:
            bias = optimizer != "Muon"
            layers = [nn.Linear(3, 4, bias=bias), nn.Dropout(0.2), nn.Linear(4, 2, bias=bias)]
            self.model = nn.Sequential(*layers, *([nn.BatchNorm1d(2)] if bias else []))
            data = torch.linspace(-1, 1, 24).reshape(8, 3)
        self.flat = optimizer == "LBFGS"
        self.optimizer = OPTIMIZERS[optimizer](
            self.model.parameters(), **OPTIONS.get(optimizer, {"lr": 0.01})
        )
        self.scheduler = SCHEDULERS[scheduler](self.optimizer)
        self.scaler = torch.amp.GradScaler(
            "cpu", init_scale=8.0, growth_interval=2, enabled=optimizer != "SparseAdam"
        )
        self.ema = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True
        )
        self.loader = DataLoader(TensorDataset(data), batch_size=4, shuffle=True)

    @property
    def parts(self):
        """What a checkpoint holds."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "scaler": self.scaler,
            "ema": self.ema,
        }

    def train(self, epochs):
        """Train: two batches are accumulated, one step an epoch."""
        for _ in range(epochs):
            batches = [batch for (batch,) in self.loader]
            noise = random.random()
            loss = self.step_flat(batches) if self.flat else self.step(batches, noise)
            self.ema.update_parameters(self.model)
            metric = isinstance(self.scheduler, lrs.ReduceLROnPlateau)
            self.scheduler.step(*([loss] if metric else []))

    def loss(self, batch):
        """Return a loss."""
        return self.model(batch).square().sum()

    def step(self, batches, noise):
        """Step once, scaled."""
        self.optimizer.zero_grad()
        for batch in batches:
            loss = self.loss(batch) * (1 + noise)
            self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()

    def step_flat(self, batches):
        """Step as LBFGS asks."""

        def closure():
            self.optimizer.zero_grad()
            loss = sum(self.loss(batch) for batch in batches)
            loss.backward()
            return loss

        return self.optimizer.step(closure).item()

    def outcome(self):
        """Return everything there is, to be compared bit for bit."""
        groups = [
            {key: value for key, value in group.items() if key != "params"}
            for group in self.optimizer.param_groups
        ]
        state = self.optimizer.state_dict()["state"]
        scheduler = {
            key: value
            for key, value in self.scheduler.state_dict().items()
            if key != "_schedulers" and not callable(value)
        }
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "state": state,
            "groups": groups,
            "scheduler": scheduler,
            "last_lr": list(self.scheduler.get_last_lr()),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "python": random.random(),
        }


def start(optimizer, scheduler, seed):
    """Make a run from a seed."""
    torch.manual_seed(seed)
    random.seed(seed)
    return Run(optimizer, scheduler)


def shuffled(parts, seed):
    """Give the parts in any order."""
    names = random.Random(seed).sample(sorted(parts), len(parts))
    return {name: parts[name] for name in names}


def go_on(folder):
    """Load each case and train on: what is compared with the runs that were never stopped."""
    outcomes = {}
    for path in Path(folder).glob("*.pt"):
        number = int(path.stem)
        run = start(*CASES[number], seed=1000 + number)
        loaded = optimkit.load(path, **shuffled(run.parts, number))
        optimkit.set_rng_state(loaded["rng"])
        groups = [group["lr"] for group in run.optimizer.param_groups]
        agreed = groups == list(run.scheduler.get_last_lr())
        run.train(3)
        outcomes[number] = {**run.outcome(), "agreed": agreed}
    torch.save(outcomes, Path(folder, "outcomes"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    go_on(sys.argv[1])
