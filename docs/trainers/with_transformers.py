# /// script
# dependencies = ["transformers", "accelerate", "numpy"]
# ///
"""Hugging Face's Trainer: the optimizer is passed ready-made; it adds the schedule."""

import torch
from transformers import Trainer, TrainingArguments

import optimkit
from check import Run, check
from example import Net, Words, loss_of


class NetWithLoss(Net):
    """What Trainer asks of a model: the loss beside the output."""

    def forward(self, words, labels):
        scores = super().forward(words)
        return {"loss": loss_of(scores, labels), "logits": scores}


def collate(samples):
    words, labels = zip(*samples, strict=True)
    return {"words": torch.stack(words), "labels": torch.stack(labels)}


QUIET = {"use_cpu": True, "disable_tqdm": True, "report_to": "none", "save_steps": 5}


def recipe(folder, steps, checkpoint):
    model, data = NetWithLoss(), Words()
    arguments = TrainingArguments(
        folder,
        max_steps=steps,
        per_device_train_batch_size=4,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=3,
        **QUIET,
    )
    # recipe
    no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
    groups = optimkit.param_groups(model, no_decay)
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    # None: Trainer makes the schedule
    trainer = Trainer(model, arguments, collate, data, optimizers=(optimizer, None))
    trainer.train(resume_from_checkpoint=checkpoint)
    # recipe end
    saved = folder / f"checkpoint-{steps}"
    return Run(model, trainer.optimizer, [trainer.lr_scheduler], saved, saved / "optimizer.pt")


def facts(half):
    """What the page says of Trainer."""
    assert {group["initial_lr"] for group in half.optimizer.param_groups} == {0.01}
    assert isinstance(half.optimizer.optimizer, torch.optim.AdamW)
    assert {path.name for path in half.checkpoint.iterdir()} >= {"scheduler.pt", "rng_state.pth"}
    model = NetWithLoss()
    trainer = Trainer(model, TrainingArguments(half.checkpoint.parent, weight_decay=0.1, **QUIET))
    names = {parameter: name for name, parameter in model.named_parameters()}
    decayed, rest = trainer.create_optimizer().param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    assert "param_names" not in decayed
    order = [names[parameter] for group in (decayed, rest) for parameter in group["params"]]
    assert order != list(names.values())
    assert order[:2] == ["embedding.weight", "hidden.weight"]
    assert "bn.weight" in order[: len(decayed["params"])]
    assert "norm.weight" not in order[: len(decayed["params"])]
    folder = half.checkpoint.parent / "plain"
    folder.mkdir()
    torch.save(trainer.optimizer.state_dict(), folder / "optimizer.pt")
    assert [row.name for row in optimkit.describe(folder, model).rows] == order


if __name__ == "__main__":
    facts(check("transformers", recipe))
