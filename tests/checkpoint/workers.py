"""What each process of a distributed test does: ``workers.py FOLDER`` does all of it.

The processes are forked, so that torch, with all that DDP and FSDP need of it, is imported once
for all of them, which takes longer than the tests. torch.multiprocessing ends a forked process without Python's own end.
That matters: in Python's own end a process aborts now and then, with "terminate called without an
active exception", as torch 2.15 has it. After a collective one of gloo's threads drops the
tensors, for which it needs the GIL, and a thread that waits for the GIL when Python ends is
unwound through a destructor (pytorch/pytorch#190489). ``destroy_process_group`` joins these
threads only where nothing else holds the group, and DTensor's caches hold it as long as Python
runs, as do the default arguments of torch.distributed.nn.functional where that is first imported
with a group in being. A barrier does not help: it is one collective more.
"""

import importlib
import os
import signal
import sys
import threading
import warnings
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, start_processes
from torch.nn.parallel import DistributedDataParallel

import optimkit
from optimkit.checkpoint import distributed

SHAPE = (12, 6)
PATIENCE = 80  # seconds for what takes ten
HELD = []  # torch 2.6 waits forever for the threads of a group that it drops just after a collective


def model():
    """Return the model, the same in every process."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(*SHAPE), nn.ReLU(), nn.Linear(SHAPE[1], 4), nn.BatchNorm1d(4))


def sharded():
    """Return the model, sharded."""
    found = model()
    for layer in found:
        if list(layer.parameters()):
            fully_shard(layer)
    return fully_shard(found)


def wrapped():
    """Return the model in DistributedDataParallel."""
    return DistributedDataParallel(model())


def parts(net, turned=False, one=False, lr=0.1):
    """Build optimizer and scheduler: weights and biases in groups of their own."""
    named = dict(net.named_parameters())
    weights = [param for param in named.values() if param.ndim > 1]
    others = [param for param in named.values() if param.ndim < 2]
    groups = [
        {"params": weights, "weight_decay": 0.1, "lr": lr},
        {"params": others, "weight_decay": 0.0, "lr": lr / 2},
    ]
    if one:
        groups = [{"params": list(named.values())}]
    optimizer = torch.optim.AdamW(groups[::-1] if turned else groups, lr=lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    return {"model": net, "optimizer": optimizer, "scheduler": scheduler}


def train(objects, steps=3):
    """Train on the same data in every process."""
    for number in range(steps):
        torch.manual_seed(number)
        objects["optimizer"].zero_grad()
        objects["model"](torch.randn(8, SHAPE[0])).square().mean().backward()
        objects["optimizer"].step()
        objects["scheduler"].step()


def full(value):
    """Gather a tensor that may be sharded."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def contents(objects):
    """Return all there is, by name, gathered."""
    net = objects["model"]
    plain = getattr(net, "module", net)
    optimizer = objects["optimizer"]
    of = {id(p): i for i, group in enumerate(optimizer.param_groups) for p in group["params"]}
    return {
        "model": {name: full(value).clone() for name, value in plain.state_dict().items()},
        "state": {
            name: {key: full(value).clone() for key, value in optimizer.state[param].items()}
            for name, param in plain.named_parameters()
            if param in optimizer.state
        },
        "options": {
            name: [optimizer.param_groups[of[id(param)]][key] for key in ("lr", "weight_decay")]
            for name, param in plain.named_parameters()
        },
        "last_epoch": objects["scheduler"].last_epoch,
    }


def same(one, other):
    """Tell whether two are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def expect(folder, objects, name="expected.pt"):
    """Compare with what another run had."""
    expected = torch.load(Path(folder, name), weights_only=True)
    found = contents(objects)
    for key in expected:
        assert same(expected[key], found[key]), (key, expected[key], found[key])


def refused(kind, save=False, **options):
    """Load, or save, and return the error, which every process gets."""
    try:
        distributed.save(**options) if save else distributed.load(**options)
    except kind as error:
        return str(error)
    raise AssertionError("nothing was raised")


class Picky:
    """Raises when it is loaded, if it is told to."""

    number, refuses = 1, False

    def state_dict(self):
        return {"number": self.number}

    def load_state_dict(self, state):
        if self.refuses and state != self.state_dict():
            raise ValueError("not here")
        self.number = state["number"]


def of_two(folder):
    """Two processes, DDP: save, load regrouped, refuse; all collective errors are shared."""
    objects = parts(wrapped())
    distributed.save(Path(folder, "zero"), **objects)
    train(objects)
    path = distributed.save(Path(folder, "ddp"), metadata={"note": 1}, **objects, epoch=7)
    expected = contents(objects)
    if dist.get_rank() == 0:
        torch.save(expected, Path(folder, "expected.pt"))
    dist.barrier()
    # What is not sharded is the first process's, all of it.
    mine = {f"part{index}": torch.full((64,), float(dist.get_rank())) for index in range(6)}
    distributed.save(Path(folder, "first"), **mine)
    found = distributed.load(Path(folder, "first"))
    assert [found[name].unique().tolist() for name in mine] == [[0.0]] * 6
    # Step 0 is untouched by a save and by a load.
    fresh = parts(wrapped())
    distributed.load(Path(folder, "zero"), **fresh)
    assert not fresh["optimizer"].state
    # The groups keep their own options, in another order.
    turned = parts(wrapped(), turned=True, lr=0.9)
    loaded = distributed.load(path, **turned)
    expect(folder, turned)
    assert (loaded["epoch"], loaded.metadata, loaded.verified) == (7, {"note": 1}, True)
    # Two groups with different options do not silently become one.
    one = parts(wrapped(), one=True)
    before = contents(one)
    text = refused(
        optimkit.MismatchError, path=path, optimizer=one["optimizer"], model=one["model"]
    )
    assert "are together in group 0 now, and these differ: weight_decay" in text, text
    # What fails in one process fails in all, and nothing is touched.
    odd = nn.Sequential(nn.Linear(3, 3)) if dist.get_rank() else one["model"]
    text = refused(optimkit.MismatchError, path=path, model=odd)
    assert "does not fit 0.weight (shape: saved (6, 12), current (3, 3))" in text, text
    assert same(before, contents(one))
    # What raises in one process while it is loaded is taken back in all.
    picky, now = Picky(), parts(wrapped(), lr=0.9)
    distributed.save(Path(folder, "picky"), picky=picky, **objects)
    picky.number, before = 5, contents(now)
    picky.refuses = dist.get_rank() == 1
    text = refused(optimkit.MismatchError, path=Path(folder, "picky"), picky=picky, **now)
    assert text == "picky: loading it raised ValueError: not here", text
    assert same(before, contents(now))
    assert picky.number == 5
    bad = {"bad": {1}.__iter__} if dist.get_rank() else {"bad": 1}
    try:
        distributed.save(path, **bad)
    except optimkit.UnsafeCheckpointError:
        pass
    else:
        raise AssertionError
    distributed.load(path, **turned)


def of_four(folder):
    """Four processes, FSDP2: load what two of DDP saved, go on, save."""
    objects = parts(sharded(), turned=True, lr=0.9)
    distributed.load(Path(folder, "ddp"), **objects)
    expect(folder, objects)
    if hasattr(torch.cpu.Stream, "record_event"):  # FSDP2 needs it to train on a CPU
        train(objects, 1)
    after = contents(objects)
    saving = distributed.save(Path(folder, "fsdp"), **objects, background=True)
    with torch.no_grad():  # what is written is the state at the call
        for value in [*objects["model"].parameters(), *objects["optimizer"].state.values()]:
            for each in value.values() if isinstance(value, dict) else [value]:
                each.zero_()
    assert saving.wait() == Path(folder, "fsdp")
    again = parts(sharded(), lr=0.3)
    distributed.load(Path(folder, "fsdp"), **again)
    if dist.get_rank() == 0:
        torch.save(after, Path(folder, "after.pt"))
    dist.barrier()
    expect(folder, again, "after.pt")
    grown(folder)


def grown(folder):
    """A table with more rows now takes those that were saved, sharded as it is."""

    def table(rows):
        found = fully_shard(nn.Embedding(rows, 3))
        optimizer = torch.optim.Adagrad(found.named_parameters(), initial_accumulator_value=2.0)
        return {"model": found, "optimizer": optimizer}

    small, large = table(61), table(67)
    distributed.save(Path(folder, "table"), **small)
    distributed.load(Path(folder, "table"), **large, grown=True)
    param = large["model"].weight
    assert full(param)[:61].equal(full(small["model"].weight))
    kept = full(large["optimizer"].state[param]["sum"])
    assert (kept[:61].unique().tolist(), kept[61:].unique().tolist()) == ([2.0], [0.0])


def beside(folder):
    """Two processes, in the background: in order, beside what training sends, and errors in both."""
    path, part = Path(folder, "beside"), torch.zeros(300_000)
    for number in range(3):
        part.fill_(number)
        saving = distributed.save(path, number=number, part=part, background=True)
        part.fill_(-1)
        ready = torch.zeros(1000)
        while not ready.eq(2).all():  # both go on, or neither
            ready.fill_(saving.done())
            dist.all_reduce(ready)
    assert saving.wait() == saving.wait() == saving.path == path
    loaded = distributed.load(path)
    assert (loaded["number"], loaded["part"].unique().tolist()) == (2, [2.0])
    # An error of the first one's writer is raised in both, at wait or at the next save, once.
    gone = Path(folder, "gone", "last")
    for again in (False, True):
        saving = distributed.save(gone, part=part, background=True)
        with pytest.raises(FileNotFoundError, match="gone"):
            distributed.save(path, number=3) if again else saving.wait()
    assert distributed.load(path)["number"] == 2
    # What one can't copy, none begins to write.
    bad = {"number": {1}.__iter__} if dist.get_rank() else {"number": 1}
    text = refused(optimkit.UnsafeCheckpointError, save=True, path=path, background=True, **bad)
    assert "refuses" in text, text
    # Nor do they wait for each other if one was asked for something else.
    text = refused(
        optimkit.CheckpointError, save=True, path=path, number=3, background=dist.get_rank() == 1
    )
    assert text.startswith("distributed.save: some processes have background=True"), text
    for save in (True, False):
        objects = ["no mapping"] if dist.get_rank() else {"number": Picky()}
        kind = TypeError if dist.get_rank() else optimkit.CheckpointError
        text = refused(kind, save=save, path=path, objects=objects)
        assert "objects" in text, text
    distributed.save(path, number=4, part=part, background=True)
    assert distributed.load(path)["number"] == 4  # a load waits


def apart(folder):
    """Two processes: of what each has a part, or its own, nothing is saved without a word."""
    rank, path = dist.get_rank(), Path(folder, "apart")
    stage = nn.ModuleDict({f"stage{rank}": nn.Linear(2, 3)})
    text = refused(optimkit.CheckpointError, save=True, path=path, model=stage, epoch=rank)
    assert text == (
        "rank 0 has model.stage0.weight (3, 2), model.stage0.bias (3,), where rank 1 has "
        "model.stage1.weight (3, 2), model.stage1.bias (3,), and a directory holds what all "
        "processes have. Save what each has of its own into a file of its own, with optimkit.save."
    ), text
    wider = nn.Linear(2, 2 + rank, bias=False)
    text = refused(optimkit.CheckpointError, save=True, path=path, model=wider)
    assert "has model.weight (2, 2), where rank 1 has model.weight (3, 2), and" in text, text
    assert not path.exists()
    half = nn.Linear(2, 2)
    with torch.no_grad():
        half.weight.fill_(rank + 1)
        half.bias.zero_()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        distributed.save(path, model=half, epoch=rank)
    assert [str(each.message) for each in told] == [
        "rank 0's values of model.weight are saved, and other ranks have other ones. If each "
        "process trains a part of its own, save that into a file of its own with optimkit.save."
    ]
    zero(folder)
    flattened(folder)


def zero(folder):
    """ZeroRedundancyOptimizer: refused, and what the error says to do resumes it to the bit."""
    path = Path(folder, "zero.pt")
    objects = zero_parts()
    train(objects)
    for save in (distributed.save, optimkit.save):
        with pytest.raises(optimkit.UnsafeCheckpointError) as error:
            save(path, optimizer=objects["optimizer"])
        assert str(error.value) == (
            "ZeroRedundancyOptimizer has a part of its state in each process. Call "
            "consolidate_state_dict() in all of them, save with optimkit.save, on the first "
            "process, what state_dict() returns, and give that to load_state_dict() in each."
        )
    objects["optimizer"].consolidate_state_dict()
    if dist.get_rank() == 0:
        whole = objects["optimizer"].state_dict()
        optimkit.save(path, model=objects["model"], optimizer=whole)
    dist.barrier()
    again = zero_parts()
    again["optimizer"].load_state_dict(optimkit.load(path, model=again["model"])["optimizer"])
    for each in (objects, again):
        train(each)
    assert same(objects["model"].state_dict(), again["model"].state_dict())


def zero_parts():
    """Build what ZeroRedundancyOptimizer trains."""
    net = wrapped()
    optimizer = ZeroRedundancyOptimizer(net.parameters(), torch.optim.Adam, lr=0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    return {"model": net, "optimizer": optimizer, "scheduler": scheduler}


def flattened(folder):
    """FSDP1: refused, and what the error says to save is whole."""
    cpu, options = torch.device("cpu"), {"full_state_dict": True, "cpu_offload": True}
    for own in (False, True):
        net = FullyShardedDataParallel(model(), use_orig_params=own, device_id=cpu)
        objects = parts(net)
        train(objects, 1)
        for name, kind in (("model", "FullyShardedDataParallel"), ("optimizer", "AdamW")):
            part = {name: objects[name]}
            text = refused(
                optimkit.UnsafeCheckpointError, save=True, path=Path(folder, "no"), **part
            )
            assert text == (
                f"{kind} holds parameters flattened by FSDP1 (FullyShardedDataParallel), of which "
                "each process has a part. Shard the model with fully_shard instead, or save with "
                "optimkit.save, on the first process, what get_state_dict of torch.distributed."
                "checkpoint.state_dict returns with full_state_dict=True."
            ), text
        if torch.__version__ < "2.15":
            continue  # it can't put FSDP1 together on a CPU
        whole = get_state_dict(net, objects["optimizer"], options=StateDictOptions(**options))
        if dist.get_rank() == 0:
            path = optimkit.save(Path(folder, "whole.pt"), model=whole[0], optimizer=whole[1])
            moments = optimkit.load(path)["optimizer"]["state"]["0.weight"]["exp_avg"]
            assert moments.shape == SHAPE[::-1]
        dist.barrier()


def destroyed(folder):
    """The process group is gone while the save is written: an error says so, in both, or it is there."""
    saving = distributed.save(Path(folder, "last"), part=torch.ones(3_000_000), background=True)
    dist.destroy_process_group()
    text = ""
    try:
        saving.wait()
    except optimkit.CheckpointError as error:
        text = str(error)
    told = (
        f"{saving.path} was not written: the process group was destroyed meanwhile. Call wait() "
        "before destroy_process_group()."
    )
    assert text == told or distributed.load(saving.path)["part"].eq(1).all(), text


def killed(folder):
    """Save over and over; one process is killed in the middle."""
    path = Path(folder, "last")
    big = {f"part{index}": torch.full((1 << 20,), 0.0) for index in range(8)}
    distributed.save(path, durable=False, number=0, **big)
    dist.barrier()
    Path(folder, "started").touch()
    if dist.get_rank() == 1:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()
    for number in range(1, 1000):
        for each in big.values():
            each.fill_(number)
        distributed.save(path, durable=False, number=number, **big)


def run(rank, work, size, folder):
    """Be one of several processes."""
    signal.alarm(PATIENCE)  # gloo waits half an hour for a process that has died
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store-of-{work.__name__}",
        timeout=timedelta(seconds=PATIENCE),
        rank=rank,
        world_size=size,
    )
    HELD.append(dist.group.WORLD)
    work(folder)
    if dist.is_initialized():
        dist.destroy_process_group()


def launch(size, work, folder):
    """Do the same in so many processes."""
    start_processes(run, (work, size, folder), size, start_method="fork")


def main(folder):
    """Do all there is."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    importlib.import_module("torch._dynamo")  # as DDP and FSDP do at their first use
    launch(2, of_two, folder)
    launch(2, beside, folder)
    launch(4, of_four, folder)
    launch(2, apart, folder)
    launch(2, destroyed, folder)
    alone = Path(folder, "killed")
    alone.mkdir()
    # Whichever is seen first: the one that was killed, or the other, which waits for it.
    with suppress(ProcessExitedException, ProcessRaisedException):
        launch(2, killed, alone)


if __name__ == "__main__":
    main(sys.argv[1])
