# /// script
# dependencies = ["deepspeed", "setuptools", "numpy"]
# ///
"""DeepSpeed: optimizer and schedule are passed ready-made; without ZeRO, and with it."""

import os

import deepspeed
import torch

import optimkit
from check import Run, check
from example import Net, loader, loss_of

os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "RANK": "0", "WORLD_SIZE": "1"}
os.environ |= {"LOCAL_RANK": "0", "DS_ACCELERATOR": "cpu"}
# the messages between the processes of one machine: compiled at first use, and we are but one
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def recipe(folder, steps, checkpoint, stage=0):
    model, batches = Net(), loader()
    config = {"train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": stage}}
    # recipe
    no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
    groups = optimkit.param_groups(model, no_decay)
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    engine, optimizer, _, schedule = deepspeed.initialize(
        model=model, optimizer=optimizer, lr_scheduler=schedule, config=config
    )
    if checkpoint:
        engine.load_checkpoint(checkpoint)
    # recipe end
    batches = list(batches)[5 if checkpoint else 0 : steps]
    for words, target in batches:
        engine.backward(loss_of(engine(words), target))
        engine.step()
    engine.save_checkpoint(folder, tag="last")
    file = folder / "last" / "mp_rank_00_model_states.pt"
    return Run(model, optimizer, [schedule], folder, file, ("optimizer",))


def facts(half):
    """What the page says of DeepSpeed."""
    saved = torch.load(half.file, weights_only=True)
    assert saved["lr_scheduler"]["last_epoch"] == 5
    assert not any("rng" in key or "random" in key for key in saved if key != "random_ltd")

    folder = half.checkpoint / "zero"
    run = recipe(folder, 5, None, stage=1)
    assert not isinstance(run.optimizer, torch.optim.Optimizer)
    assert torch.load(folder / "last" / half.file.name, weights_only=True)["optimizer"] is None
    [file] = (folder / "last").glob("*optim_states.pt")
    zero = torch.load(file, weights_only=False)["optimizer_state_dict"]
    decayed, rest = zero["base_optimizer_state"]["state"].values()
    assert decayed["exp_avg"].dim() == rest["exp_avg"].dim() == 1
    assert decayed["exp_avg"].numel() == 11 * 8 + 16 * 8 + 11 * 16
    names = [name for part in zero["param_slice_mappings"] for name in part]
    assert sorted(names) == sorted(name for name, _ in half.model.named_parameters())


if __name__ == "__main__":
    facts(check("deepspeed", recipe))
