# /// script
# dependencies = ["ultralytics", "numpy"]
# ///
"""Ultralytics: a subclass of the trainer overrides ``build_optimizer``."""

from contextlib import suppress

import torch
from PIL import Image
from ultralytics.models.yolo.classify import ClassificationTrainer

import example
import optimkit
from check import Run, check

QUIET = {"verbose": False, "plots": False, "workers": 0, "device": "cpu", "exist_ok": True}


# recipe
class Grouped(ClassificationTrainer):
    def build_optimizer(self, model, name, lr, momentum, decay, iterations):
        no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
        groups = optimkit.param_groups(model, no_decay)
        return torch.optim.AdamW(groups, lr=lr, weight_decay=decay)

    # recipe end


class InterruptionError(Exception):
    """What ends a run before its time."""


def images(folder):
    """Make ten images of each of two colours, in the folders that Ultralytics reads."""
    for part in ("train", "val"):
        for colour in ("red", "blue"):
            place = folder / part / colour
            place.mkdir(parents=True)
            for index in range(10):
                Image.new("RGB", (32, 32), colour).save(place / f"{index}.png")
    return folder


def train(folder, checkpoint=None, stop_after=None, kind=Grouped, **options):
    """Train on five batches an epoch; last.pt holds the optimizer until training ends."""
    trainer = kind(
        overrides={
            "model": "yolov8n-cls.yaml",
            "data": str(images(folder / "data")),
            "epochs": 3,
            "batch": 4,
            "nbs": 4,
            "imgsz": 32,
            "project": str(folder),
            "name": "run",
            "dropout": 0.1 if example.chance else 0.0,
            "resume": str(checkpoint) if checkpoint else False,
            **QUIET,
            **options,
        }
    )

    def interrupt(trainer):
        if trainer.epoch + 1 == stop_after:
            raise InterruptionError

    trainer.add_callback("on_model_save", interrupt)
    with suppress(InterruptionError):
        trainer.train()
    return trainer


def recipe(folder, steps, checkpoint):
    trainer = train(folder, checkpoint, stop_after=steps // 5)
    file = trainer.last
    return Run(trainer.model, trainer.optimizer, [trainer.scheduler], file, file, ("optimizer",))


def facts(half):
    """What the page says of Ultralytics."""
    saved = torch.load(half.file, weights_only=False)
    assert saved["model"] is None
    assert {parameter.dtype for parameter in saved["ema"].parameters()} == {torch.float16}
    assert not any("scheduler" in key or "rng" in key for key in saved)

    folder = half.checkpoint.parent / "more"
    done = train(folder, epochs=1, warmup_epochs=0)
    assert torch.load(done.last, weights_only=False)["optimizer"] is None

    assert len({group["lr"] for group in half.optimizer.param_groups}) == 1
    folder = half.checkpoint.parent / "own"
    own = train(folder, stop_after=1, kind=ClassificationTrainer, optimizer="AdamW").optimizer
    weight, norm, bias = own.param_groups
    assert [group["param_group"] for group in own.param_groups] == ["weight", "bn", "bias"]
    assert "param_names" not in weight
    assert weight["lr"] == norm["lr"] < 0.01 < bias["lr"]  # in the middle of the warm-up


if __name__ == "__main__":
    facts(check("ultralytics", recipe))
