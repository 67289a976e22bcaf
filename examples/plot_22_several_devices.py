"""
Several devices: who keeps the optimizer state | 多设备训练：优化器状态由谁保存
===============================================================================

Each process has an optimizer of its own. With DDP, all of them keep the same state;
``ZeroRedundancyOptimizer`` and FSDP2 split it up, and what one process saves is a part.
So save with all processes together; any number of them can load it.

每个进程都有自己的优化器。用 DDP，每个进程都存着同样的一整份状态；
用 ``ZeroRedundancyOptimizer`` 或 FSDP2，状态分给各个进程，单独一个进程存下来的只是一部分。
所以要所有进程一起保存；加载时，用几个进程都行。

**What you will learn**

- Why two processes, or three, take the same steps as one.
- What each process keeps with DDP, with ``ZeroRedundancyOptimizer``, with FSDP2.
- How to save with two processes, and go on with one or three.
- Level: advanced. Time: 20 minutes. Needs: tutorial 12, torch 2.9, Linux.

**你会学到**

- 两个进程、三个进程，为什么和一个进程走的是同样的步子。
- 用 DDP、``ZeroRedundancyOptimizer``、FSDP2 时，每个进程各存什么。
- 怎样用两个进程保存，再用一个或三个进程接着训练。
- 难度：高级。用时：20 分钟。预备：教程 12、torch 2.9、Linux。
"""

# %%
# Two processes on this machine | 在这台机器上开两个进程
# ------------------------------------------------------
# No GPU is needed: ``gloo`` connects processes over the CPU, and what follows holds for
# ``nccl`` on GPUs, too. ``together`` forks processes, gives each its number, the rank, and
# collects what they return. Your own training is a file that ``torchrun`` starts as many
# times. A notebook has no such file, so we fork; Windows can't, WSL can.
#
# 不需要 GPU：``gloo`` 在 CPU 上把进程连起来，换成 GPU 上的 ``nccl``，下面的内容同样成立。
# ``together`` 用 fork 开出几个进程，给每个进程一个编号（rank），再把它们的返回值收集起来。
# 你自己的训练是一个文件，用 ``torchrun`` 启动相应的份数；笔记本里没有这样的文件，所以这里用 fork。
# Windows 没有 fork，请用 WSL。

import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.distributed as dist

folder = tempfile.TemporaryDirectory()
here = Path(folder.name)


def start(work, store, size, rank):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    return work()


def together(work, size=2):
    store = f"file://{tempfile.mkdtemp(dir=here)}/store"
    with ProcessPoolExecutor(size, get_context("fork")) as pool:
        return list(pool.map(partial(start, work, store, size), range(size)))


ranks = together(dist.get_rank)
print("ranks:", ranks)
# sphinx_gallery_start_ignore
assert ranks == [0, 1]
# What DDP and FSDP2 import at first use: once here, not in each process.
import importlib

importlib.import_module("torch._dynamo")
# sphinx_gallery_end_ignore

# %%
# Gradients are averaged, so all steps are one | 平均的是梯度，所以步子一致
# -------------------------------------------------------------------------
# A batch of 12 samples is cut up: each process computes on its part. Wrong: that alone.
# Each optimizer follows the gradient of its own samples, and you train two models. Right:
# ``DistributedDataParallel``. It averages the gradients during ``backward()``; ``step()``
# finds the same ``.grad`` everywhere and needs no word from the others. Two processes end
# where one ends that has all 12 samples.
#
# 一个批次有 12 个样本，切开后每个进程算自己的那份。错误写法：只做这一步。
# 每个优化器都跟着自己那几个样本的梯度走，训练出来的是两个模型。
# 正确写法：用 ``DistributedDataParallel``，它在 ``backward()`` 期间求出各进程梯度的平均；
# 轮到 ``step()``，各处的 ``.grad`` 已经一样，不用再互相通信。
# 两个进程的终点，就是一个进程用全部 12 个样本走到的终点。

from torch import nn, optim
from torch.nn.parallel import DistributedDataParallel


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 40), nn.Tanh(), nn.Linear(40, 10))


def train(model, optimizer, steps=range(6), samples=12):
    for step in steps:
        torch.manual_seed(step)
        batches = torch.randn(samples, 20).chunk(dist.get_world_size())
        optimizer.zero_grad()
        (model(batches[dist.get_rank()]) - 1).square().mean().backward()
        optimizer.step()


# %%
# Each returns the sum of all weights: where it ended.
#
# 每个进程返回全部权重之和，看它走到了哪里。


def total(model):
    whole = (getattr(p, "full_tensor", lambda p=p: p)() for p in model.parameters())
    return round(sum(p.sum().item() for p in whole), 4)


def trained(wrap, samples=12):
    model = wrap(build())
    train(model, optim.Adam(model.parameters(), lr=0.01), samples=samples)
    return total(model)


apart = together(partial(trained, nn.Sequential))
ddp = together(partial(trained, DistributedDataParallel))
(alone,) = together(partial(trained, nn.Sequential), size=1)
print(f"wrong, each on its own: {apart}, DDP: {ddp}, one process: {alone}")
# sphinx_gallery_start_ignore
assert abs(apart[0] - apart[1]) > 0.5
for ends in (ddp, together(partial(trained, DistributedDataParallel), size=3)):
    assert len(set(ends)) == 1 and abs(ends[0] - alone) < 2e-3
# sphinx_gallery_end_ignore

# %%
# Who keeps what | 谁存什么
# -------------------------
# With DDP, both keep all: 1250 weights, as many gradients, and twice as many entries of
# Adam's state. ``ZeroRedundancyOptimizer`` shares out the state: each process steps the
# parameters that are its own, then sends them to the others. ``fully_shard``, called
# FSDP2, cuts every parameter in two, by rows, and so gradient and state: a weight becomes a
# ``DTensor``, whole by its ``shape``, half in memory, and is put together only while the
# model computes.
#
# 用 DDP，两个进程都存全部：1250 个权重、同样多的梯度，外加两倍于此的 Adam 状态。
# ``ZeroRedundancyOptimizer`` 把状态分开：每个进程只更新归自己管的参数，再发给其他进程。
# ``fully_shard``，也就是 FSDP2，把每个参数都按行切成两半，梯度和状态也就跟着减半：
# 权重变成 ``DTensor``，看 ``shape`` 是完整的，内存里只有一半，模型计算时才临时拼成整个。

from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer


def sharded():
    model = fully_shard(build())
    return model, optim.Adam(model.parameters(), lr=0.01)


def prepare(way):
    if way == "FSDP2":
        return sharded()
    model = DistributedDataParallel(build())
    if way == "ZeRO":
        return model, ZeroRedundancyOptimizer(model.parameters(), optim.Adam, lr=0.01)
    return model, optim.Adam(model.parameters(), lr=0.01)


# %%
# Counted in each process, after training. For the weights: where did it end?
#
# 训练之后，在每个进程里各数一遍。再看权重：走到了哪里？


def count(tensors):
    own = (getattr(t, "to_local", lambda t=t: t)() for t in tensors)
    return sum(t.numel() for t in own if t.ndim > 0)


def kept(way):
    model, optimizer = prepare(way)
    train(model, optimizer)
    params = list(model.parameters())
    entries = getattr(optimizer, "optim", optimizer).state.values()
    state = count(t for entry in entries for t in entry.values())
    return total(model), count(params), count(p.grad for p in params), state


# sphinx_gallery_start_ignore
rows = {}
# sphinx_gallery_end_ignore
for way in ("DDP", "ZeRO", "FSDP2"):
    for rank, (end, *sizes) in enumerate(together(partial(kept, way))):
        print(f"{way:5} rank {rank}: weights, gradients, state {sizes}, end {end}")
        # sphinx_gallery_start_ignore
        rows[way, rank] = sizes
        assert abs(end - alone) < 2e-3
assert rows["DDP", 0] == rows["DDP", 1] == [1250, 1250, 2500]
assert rows["ZeRO", 0] == [1250, 1250, 1600] and rows["ZeRO", 1] == [1250, 1250, 900]
assert rows["FSDP2", 0] == rows["FSDP2", 1] == [625, 625, 1250]

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
fig.set_label(
    "What each of two processes keeps: everything with DDP, half of the state with ZeRO, "
    "half of all with FSDP2 | "
    "两个进程各存多少：DDP 存全部，ZeRO 的状态约存一半，FSDP2 样样存一半"
)
names = ["weights | 权重", "gradients | 梯度", "state | 状态"]
marks = []
for i, ((way, rank), sizes) in enumerate(rows.items()):
    y, left = i + 0.4 * (i // 2), 0
    marks.append((y, f"{way}, rank {rank} | {way}，进程 {rank}"))
    for color, size in enumerate(sizes):
        ax.barh(y, size, 0.8, left, color=f"C{color}", edgecolor="w")
        if i == 0:
            ax.text(left + size / 2, -0.65, names[color], color=f"C{color}", ha="center")
        left += size
ax.set_yticks(*zip(*marks, strict=True))
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)
ax.grid(axis="y", visible=False)
ax.set_xlabel("numbers kept between two steps | 两步之间存着多少个数")
ax.set_title("Sharding splits the state | 分片就是把状态分开存", pad=18)
plt.show()
# sphinx_gallery_end_ignore

# %%
# Shard first, then make the optimizer | 先切分，再建优化器
# ---------------------------------------------------------
# Wrong: the optimizer first. ``fully_shard`` replaces every parameter by a new one, and
# the optimizer holds the old. Training runs, nothing is said, and the model stays where
# it was: moved by 0. ``optimkit.audit`` calls the parameters stale. Right: ``sharded``
# above.
#
# 错误写法：先建优化器。``fully_shard`` 会用新的参数换掉模型里的每个参数，优化器手里还是旧的。
# 训练照跑，没有任何提示，模型却原地不动：移动量为 0。``optimkit.audit`` 会指出这些参数已经过时。
# 正确写法：像上面的 ``sharded`` 那样。

import optimkit


def early():
    model = build()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    fully_shard(model)
    before = model[0].weight.full_tensor()
    train(model, optimizer)
    moved = (model[0].weight.full_tensor() - before).abs().max().item()
    return moved, optimkit.audit(optimizer, model).codes


((moved, codes), _) = together(early)
print(f"moved by {moved}, audit: {codes}")
# sphinx_gallery_start_ignore
assert moved == 0 and codes[0] == "stale"
# sphinx_gallery_end_ignore

# %%
# Wrong: one process saves | 错误：由一个进程来存
# -----------------------------------------------
# With DDP it does no harm that rank 0 saves: it has everything. With
# ``ZeroRedundancyOptimizer`` the same line raises. With FSDP2 it writes a file, and says
# nothing: each state says that it is 40 × 20, and 20 × 20 of it are there.
#
# 用 DDP，让 0 号进程去存没有问题：它什么都有。用 ``ZeroRedundancyOptimizer``，同样一行会报错。
# 用 FSDP2，文件照写，也没有提示：每份状态都自称 40 × 20，实际只有 20 × 20。


def save_alone(way):
    model, optimizer = prepare(way)
    train(model, optimizer)
    path = here / f"{way}-{dist.get_rank()}.pt"
    try:
        torch.save(optimizer.state_dict(), path)
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    moment = torch.load(path)["state"][0]["exp_avg"]
    there = f"{count([moment])} of {moment.numel()}"
    return f"shape {list(moment.shape)}, in the file {there}"


said = {way: together(partial(save_alone, way))[0] for way in ("DDP", "ZeRO", "FSDP2")}
for way, result in said.items():
    print(f"{way}: {result}")
# sphinx_gallery_start_ignore
assert said["DDP"] == "shape [40, 20], in the file 800 of 800"
assert said["ZeRO"].startswith("RuntimeError: Optimizer state has not been consolidated")
assert said["FSDP2"] == "shape [40, 20], in the file 400 of 800"
# sphinx_gallery_end_ignore

# %%
# Right: save together, load with any number | 正确：一起存，几个进程都能读
# -------------------------------------------------------------------------
# ``torch.distributed.checkpoint``, DCP, writes a directory: each process its shards, under
# the names of the parameters. To load, give it objects that are made as in training:
# it fills in what each process needs. Stop after three of six steps, saved by two
# processes, and go on with two, one or three: all end where the whole run ends.
#
# ``torch.distributed.checkpoint``，简称 DCP，写的是一个目录：每个进程写自己的分片，按参数名存放。
# 加载时，先照训练时那样把对象建好，它会填入每个进程需要的部分。
# 六步走了三步时停下，由两个进程保存，再用两个、一个或三个进程继续：终点都与不中断的那次相同。

import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict


def stop(path):
    model, optimizer = sharded()
    train(model, optimizer, range(3))
    model_state, optimizer_state = get_state_dict(model, optimizer)
    dcp.save({"model": model_state, "optimizer": optimizer_state}, checkpoint_id=path)


def go_on(path):
    model, optimizer = sharded()
    model_state, optimizer_state = get_state_dict(model, optimizer)
    dcp.load({"model": model_state, "optimizer": optimizer_state}, checkpoint_id=path)
    states = {"model_state_dict": model_state, "optim_state_dict": optimizer_state}
    set_state_dict(model, optimizer, **states)
    train(model, optimizer, range(3, 6))
    return total(model)


# %%
# No group of processes is needed to read such a directory; here, though, all go on
# training.
#
# 只是读取这样的目录，并不需要进程组；这里用了进程组，是因为都要接着训练。

together(partial(stop, here / "dcp"))
for size in (2, 1, 3):
    ends = together(partial(go_on, here / "dcp"), size)
    print(f"went on with {size}:", ends)
    # sphinx_gallery_start_ignore
    assert max(abs(end - alone) for end in ends) < 2e-3
# sphinx_gallery_end_ignore

# %%
# The same in two calls | 两个调用就够
# ------------------------------------
# ``optimkit.checkpoint.distributed.save`` is DCP with the checks of tutorial 12: files that
# a crash can't ruin, checksums, schedulers and plain values, options by parameter name.
# Two processes of FSDP2 save; one without any wrapper reads it.
#
# ``optimkit.checkpoint.distributed.save`` 底层就是 DCP，再加上教程 12 讲的那些保障：程序崩溃也毁不掉文件，带校验和，
# 调度器和普通的值也能存，选项按参数名对应。下面由两个用 FSDP2 的进程保存，再由一个进程读进没有任何包装的模型。

from optimkit.checkpoint import distributed


def stop_here():
    model, optimizer = sharded()
    train(model, optimizer, range(3))
    distributed.save(here / "kit", model=model, optimizer=optimizer, step=3)


def go_on_alone():
    model = build()
    optimizer = optim.Adam(model.parameters(), lr=0.5)
    step = distributed.load(here / "kit", model=model, optimizer=optimizer)["step"]
    train(model, optimizer, range(step, 6))
    return total(model), optimizer.param_groups[0]["lr"]


together(stop_here)
((end, lr),) = together(go_on_alone, size=1)
print(f"went on alone: {end}, lr {lr}")
# sphinx_gallery_start_ignore
assert abs(end - alone) < 2e-3 and lr == 0.01
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - ``ZeroRedundancyOptimizer`` kept 1600 and 900, not 1250 twice. Why?
# - A last batch of 11 samples gives 6 to one process and 5 to the other. Is the average
#   that DDP takes still that of all 11?
#
# - ``ZeroRedundancyOptimizer`` 两边存了 1600 和 900，不是各 1250，为什么？
# - 最后一个批次只有 11 个样本，一边 6 个，一边 5 个。DDP 取的平均还是 11 个样本的平均吗？

# %%
# Answers | 答案
# --------------
# - It gives away whole parameters. The largest has 800 entries, so 1600 of state; the
#   other three have 450 together.
# - No. Each process takes the mean of its own, and DDP the mean of the two: one of the 5
#   counts for more than one of the 6. With 12 there is no difference.
#
# - 它按整个参数来分。最大的参数有 800 个元素，状态就是 1600；另外三个合起来才 450 个。
# - 不是。每个进程先对自己的样本求平均，DDP 再对两个平均值求平均：5 个里的一个，分量比 6 个里的一个重。
#   12 个样本就没有差别。

for samples in (11, 12):
    two = together(partial(trained, DistributedDataParallel, samples=samples))
    one = together(partial(trained, nn.Sequential, samples=samples), size=1)
    print(f"{samples} samples: {two[0]:.4f} with two processes, {one[0]:.4f} with one")
    # sphinx_gallery_start_ignore
    assert (abs(two[0] - one[0]) < 2e-3) == (samples == 12)
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Gradients are clipped by the norm of all of them, and with FSDP2 each process has halves.
# Compute that norm yourself, from ``p.grad.to_local()`` and ``dist.all_reduce``, and
# compare with what ``nn.utils.clip_grad_norm_`` returns.
#
# 裁剪梯度要用全部梯度的范数，而用 FSDP2 时每个进程只有一半。用 ``p.grad.to_local()`` 和
# ``dist.all_reduce`` 自己算出这个范数，再与 ``nn.utils.clip_grad_norm_`` 的返回值对比。

# %%
# Solution | 参考答案
# -------------------
# Norms don't add up; their squares do. So: squares, sum here, sum over the processes, root.
#
# 范数不能相加，平方可以。所以先平方，在本进程求和，再跨进程求和，最后开方。


def norms():
    model, optimizer = sharded()
    train(model, optimizer)
    squares = sum(p.grad.to_local().square().sum() for p in model.parameters())
    half = squares.sqrt().item()
    dist.all_reduce(squares)
    torchs = nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0).full_tensor()
    return [round(norm, 5) for norm in (half, squares.sqrt().item(), torchs.item())]


found = together(norms)
print("of its half, of all, by torch:", found)
# sphinx_gallery_start_ignore
(half, mine, torchs), (other, *_) = found
assert abs(mine - torchs) < 1e-4 and half != other and max(half, other) < mine
folder.cleanup()
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 12 has the rest of a checkpoint: scheduler, random state, a loop to restart.
# - PyTorch's tutorials on `FSDP2
#   <https://docs.pytorch.org/tutorials/intermediate/FSDP_tutorial.html>`__ and on
#   `torchrun <https://docs.pytorch.org/docs/stable/elastic/run.html>`__.
#
# - 教程 12 讲检查点里的其他内容：调度器、随机数状态、可以重新启动的循环。
# - PyTorch 官方的 `FSDP2 教程
#   <https://docs.pytorch.org/tutorials/intermediate/FSDP_tutorial.html>`__，以及
#   `torchrun 的文档 <https://docs.pytorch.org/docs/stable/elastic/run.html>`__。
