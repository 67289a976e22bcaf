# /// script
# dependencies = ["keras", "torch", "numpy"]
# ///
"""Keras: its own optimizers have no groups; on torch, its models are modules, and torch's have."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch

import example
import optimkit
from check import Run, check
from example import loader, loss_of


def net():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Embedding(11, 8),
            keras.layers.LayerNormalization(),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(16),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1 if example.chance else 0.0),
            keras.layers.Dense(11),
        ]
    )


def recipe(folder, steps, checkpoint):
    keras.utils.clear_session()  # names begin at 0 again, as in a new process
    keras.utils.set_random_seed(0)
    model, batches = net(), loader()

    # recipe
    def bias_or_norm(info):
        return info.name.rsplit("/", 1)[-1] in {"bias", "gamma", "beta"}

    groups = optimkit.param_groups(model, optimkit.when(bias_or_norm, weight_decay=0.0))
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    if checkpoint:
        optimkit.load(checkpoint, model=model, optimizer=optimizer)
    # recipe end
    for words, target in list(batches)[5 if checkpoint else 0 : steps]:
        optimizer.zero_grad()
        loss_of(model(words, training=True), target).backward()
        optimizer.step()
    file = optimkit.save(folder / "last.pt", model=model, optimizer=optimizer)
    return Run(model, optimizer, [], file, file, ("optimizer",))


def facts(half):
    """What the page says of Keras."""
    names = [
        name.rsplit("sequential/", 1)[1]
        for name, _ in half.model.named_parameters()
        if "seq" in name
    ]
    assert names == sorted(names)
    assert names[0].startswith("batch_normalization")
    assert half.model.trainable_variables[0].path == "sequential/embedding/embeddings"
    trained = {name for name, p in half.model.named_parameters() if p.requires_grad}
    assert not any("moving" in name or "seed" in name for name in trained)


if __name__ == "__main__":
    facts(check("keras", recipe))
