"""
Checkpoint and resume exactly | 断点续训：存好检查点，分毫不差地恢复
=====================================================================

To resume so that every later loss is the same number, bring back five things: model,
optimizer, scheduler, epoch, and the state of the random number generators. Leave one
out and training silently runs on, as another run. One file can hold all five.

想让恢复之后的每个损失都与不中断时一模一样，要找回五样东西：模型、优化器、调度器、轮数，
还有随机数生成器的状态。少了一样，训练照跑，也不报错，只是成了另一次训练。五样可以存进同一个文件。

**What you will learn**

- What each missing piece costs, and how to change the learning rate on purpose.
- How to write a file that a crash can't ruin, and a loop that is safe to restart.
- Level: intermediate. Time: 20 minutes. Needs: tutorial 07, tutorial 11.

**你会学到**

- 少一样东西会差多少，怎样有意换一个学习率。
- 怎样写出崩溃也毁不掉的文件，怎样写一个随时可以重新启动的循环。
- 难度：进阶。用时：20 分钟。预备：教程 07、教程 11。
"""

# %%
# A run to interrupt | 一次用来中断的训练
# ---------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), saves the
# optimizer's state dict, loads it, and means to "train on from the current state". Try
# that on a real run, with a network, shuffled batches, and any of three schedulers.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），存下优化器的状态字典，再加载回来，
# 打算“接着当前状态往下训练”。拿一次真正的训练试试：有网络，有打乱的批次，三种调度器任选。

import torch
from torch import nn, optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, StepLR

torch.manual_seed(0)
x = torch.randn(64, 4)
y = torch.sin(x.sum(1, keepdim=True))
schedules = {
    "StepLR": lambda optimizer: StepLR(optimizer, 10, 0.5),
    "Cosine": lambda optimizer: CosineAnnealingLR(optimizer, 40),
    "LambdaLR": lambda optimizer: LambdaLR(optimizer, lambda epoch: 0.9**epoch),
}


def build(kind, lr=0.05):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = optim.Adam(model.parameters(), lr=lr)
    scheduler = schedules[kind](optimizer)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler}


# %%
# Each has 40 epochs. After 15, save a state dict of each object, and the random state.
#
# 每次训练共 40 轮，第 15 轮后存一次：每个对象的状态字典，还有随机数生成器的状态。


def train(model, optimizer, scheduler, epochs):
    losses = []
    for _ in range(epochs):
        for batch in torch.randperm(64).split(16):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
        scheduler.step()
        losses.append(nn.functional.mse_loss(model(x), y).item())
    return losses


def save_plainly(run, path):
    saved = {name: part.state_dict() for name, part in run.items()}
    torch.save(saved | {"rng": torch.get_rng_state()}, path)


# %%
# Leave something out | 少一样试试
# --------------------------------
# ``resume`` builds all again, as in a new process, loads ``parts`` of a checkpoint, and trains
# for the 25 epochs that are left.
#
# ``resume`` 像换了新进程那样，把一切重新建好，从检查点里加载 ``parts`` 指定的几样，再练完剩下的 25 轮。

# sphinx_gallery_covers = "S13 C38"
import tempfile
from pathlib import Path

folder = tempfile.TemporaryDirectory()
here, whole = Path(folder.name), {}
for kind in schedules:
    run = build(kind)
    first = train(**run, epochs=15)
    save_plainly(run, here / kind)
    whole[kind] = first + train(**run, epochs=25)


def resume(kind, parts):
    run, saved = build(kind), torch.load(here / kind)
    for name in run.keys() & set(parts):
        run[name].load_state_dict(saved[name])
    if "rng" in parts:
        torch.set_rng_state(saved["rng"])
    return train(**run, epochs=25)


losses = whole["Cosine"]
# sphinx_gallery_start_ignore
assert resume("Cosine", ["optimizer"])[0] > 5 * losses[14]
# sphinx_gallery_end_ignore

# %%
# Leave out one piece at a time, and take the largest difference from the uninterrupted
# run, under ``StepLR``, cosine and ``LambdaLR``. (The fifth piece is the epoch, known here.)
# With all, each loss is the same number. Without the random state, data is shuffled
# differently; without the scheduler, ``lr`` is not the planned one; without the optimizer,
# Adam's moments start from zero, and the loss jumps. Without the model, as in the note,
# training begins again: the weights are not in the optimizer's dict.
#
# 每次少一样，与不中断的那次训练相比，取差得最多的那个损失；三列依次是 ``StepLR``、余弦和 ``LambdaLR``。
# （第五样是轮数，这里是已知的。）样样齐全时，每个损失都相同。少了随机数状态，
# 数据打乱的次序就变了；少了调度器，``lr`` 就不是计划里的值；少了优化器，Adam 的两个矩从零开始，
# 损失猛地一跳。少了模型，笔记就是这样，等于从头练起：权重本来就不在优化器的字典里。

# sphinx_gallery_covers = "C38"
# sphinx_gallery_thumbnail_number = 1
pieces = ("rng", "scheduler", "optimizer", "model")
# sphinx_gallery_start_ignore
runs, gaps = [], []
# sphinx_gallery_end_ignore
for missing in ("nothing", *pieces):
    parts = [piece for piece in pieces if piece != missing]
    resumed = {kind: resume(kind, parts) for kind in schedules}
    ends = torch.tensor([whole[kind][15:] for kind in schedules])
    gap = (torch.tensor([*resumed.values()]) - ends).abs().amax(1).tolist()
    print(f"without {missing:9}", *(f"{one:.3f}" for one in gap))
    # sphinx_gallery_start_ignore
    runs.append(resumed)
    gaps.append(gap)
everything, *others = gaps
assert everything == [0, 0, 0] and all(min(row) > 1e-4 for row in others)
assert runs[3]["Cosine"][0] > 2 * losses[14]
assert runs[2]["Cosine"][-1] < losses[-1]

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
names = ["all | 全部", "no random state | 缺随机数状态", "no scheduler | 缺调度器"]
names += ["no optimizer | 缺优化器", "no model | 缺模型"]
fig, ax = plt.subplots(figsize=(7.5, 2.7), layout="constrained")
fig.set_label(
    "Loss of a run stopped at 15: with all pieces, the curve goes on unchanged | "
    "在第 15 轮中断的训练，损失曲线：样样齐全，原样延续"
)
ax.semilogy(range(1, 41), losses, color="0.5", lw=7, alpha=0.5)
for i, (name, curves) in enumerate(zip(names, runs, strict=True)):
    ax.semilogy(range(16, 41), curves["Cosine"], f"C{i}", lw=2.2)
    va = {0: "top", 1: "bottom", 3: "bottom"}.get(i, "center")
    ax.text(40.5, curves["Cosine"][-1], name, color=f"C{i}", va=va)
ax.axvline(15.5, color="0.5", ls=":")
ax.set(xlim=(0, 50), xticks=range(0, 41, 10), xlabel="epoch | 轮", ylabel="loss | 损失")
ax.set_title("Only with everything does the run go on | 样样齐全，才是接着训练")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Build all, then load all | 先全部建好，再全部加载
# -------------------------------------------------
# Wrong: load the optimizer, then make the scheduler. Making a ``LambdaLR`` writes the
# first ``lr`` of its schedule into the groups, and loading the scheduler does not take
# that back: one epoch runs at 0.05, not at 0.0103. (``StepLR`` leaves ``lr`` alone.) ``optimkit.audit``
# notices. Right, whatever the kind: build everything, then load everything.
#
# 错误写法：先加载优化器，再建调度器。``LambdaLR`` 一创建，就把起始的 ``lr`` 写进参数组，之后加载
# 调度器也改不回来，于是有一轮用的是 0.05，而不是 0.0103。（``StepLR`` 就不动 ``lr``。）
# ``optimkit.audit`` 看得出来。不管哪一种，正确写法都是先全部建好，再全部加载。

# sphinx_gallery_covers = "C38"
import optimkit

run, saved = build("LambdaLR"), torch.load(here / "LambdaLR")
run["optimizer"].load_state_dict(saved["optimizer"])
late = schedules["LambdaLR"](run["optimizer"])
late.load_state_dict(saved["scheduler"])
lr = run["optimizer"].param_groups[0]["lr"]
print(lr, *optimkit.audit(run["optimizer"], schedulers=late).codes)
# sphinx_gallery_start_ignore
right = saved["optimizer"]["param_groups"][0]["lr"]
assert lr == 0.05 and round(right, 4) == 0.0103
assert optimkit.audit(run["optimizer"], schedulers=late).codes == ("lr-mismatch",)
# sphinx_gallery_end_ignore

# %%
# A file that is there when you need it | 要用的时候，文件得在
# ------------------------------------------------------------
# Wrong: ``torch.save`` over your only checkpoint. It empties the file first, so whatever
# stops it (a full disk, a kill, here a generator that can't be pickled) destroys the old
# one. Worse, an object of your own class is saved, and refused on loading: "Weights only
# load failed". Right, in plain torch: save beside it, then ``os.replace``. ``optimkit.save``
# does that, and refuses both before it writes. It takes objects and plain values by name;
# ``optimkit.get_rng_state`` is the random state of torch, of Python, and of NumPy if you
# use it.
#
# 错误写法：用 ``torch.save`` 直接覆盖唯一的检查点。它先清空文件，所以中途一旦失败（磁盘满、进程被杀，
# 或者像这里，存了个不能 pickle 的生成器），旧的也没了。自己写的类更糟：存得进去，等到要用，
# ``torch.load`` 却不肯读，报 ``Weights only load failed``。正确写法，只用 torch：先存到旁边的新文件，
# 再 ``os.replace``。``optimkit.save`` 就是这样做的，而且在写文件之前就拒绝上面两种。对象和普通的值，
# 都按名字交给它；``optimkit.get_rng_state`` 是 torch、Python 的随机数状态，用了 NumPy 也包括在内。

# sphinx_gallery_covers = "C36"
import os

run = build("LambdaLR")
train(**run, epochs=15)
path, weights = here / "last.pt", run["model"].state_dict()
torch.save({"model": weights}, path)
batches = (batch for batch in x)
for action in (lambda: torch.save({"batches": batches}, path), lambda: torch.load(path)):
    try:
        action()
        # sphinx_gallery_start_ignore
        raise AssertionError
        # sphinx_gallery_end_ignore
    except (TypeError, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}")

torch.save({"model": weights}, here / "new.pt")
os.replace(here / "new.pt", path)
optimkit.save(path, **run, epoch=15, rng=optimkit.get_rng_state())


# sphinx_gallery_start_ignore
class Config:
    width = 32


torch.save({"config": Config()}, here / "config.pt")
try:
    torch.load(here / "config.pt")
    refused = ""
except Exception as error:
    refused = str(error)
assert refused.startswith("Weights only load failed")
kept = path.read_bytes()
for refused in ({"config": Config()}, {"batches": batches}):
    try:
        optimkit.save(path, **run, **refused)
        raise AssertionError
    except optimkit.UnsafeCheckpointError:
        assert path.read_bytes() == kept
# sphinx_gallery_end_ignore

# %%
# A loop that may start again | 可以随时重新启动的循环
# ----------------------------------------------------
# On a cluster the same command starts a run and restarts it. ``optimkit.CheckpointDir``
# keeps the last few files; ``restore`` loads the latest intact one, or returns ``None``
# when there is nothing yet. Like ``optimkit.load``, it checks all, names and shapes too,
# before it touches an object: a model of another size gets an error, and keeps its
# weights. If saving takes long, save with ``background=True``: training waits for a copy
# in memory only, and a thread writes it.
#
# 在集群上，首次启动和重新启动用的是同一条命令。``optimkit.CheckpointDir`` 保留最新的几个文件；
# ``restore`` 加载最新且完好的一个，还没有文件时返回 ``None``。它和 ``optimkit.load`` 一样，先全部核对一遍，
# 名字和形状也不例外，然后才动第一个对象：模型大小不对，就报错，权重保持原样。
# 保存太慢时，可以用 ``background=True``：训练只等内存里复制一份，写盘的事交给一个线程。

# sphinx_gallery_covers = "C36 C38"


def go_on(folder, until):
    run, done = build("Cosine"), 0
    checkpoints = optimkit.CheckpointDir(folder, keep=optimkit.Last(2))
    loaded = checkpoints.restore(**run)
    if loaded is not None:
        optimkit.set_rng_state(loaded["rng"])
        done = loaded.step
    for step in range(done + 1, until + 1):
        (loss,) = train(**run, epochs=1)
        checkpoints.save(step, **run, loss=loss, rng=optimkit.get_rng_state())
    return loss


go_on(here / "run", until=4)
print("equal:", go_on(here / "run", until=8) == losses[7])
# sphinx_gallery_start_ignore
assert optimkit.save(here / "beside.pt", **build("Cosine"), background=True).wait().exists()
assert optimkit.CheckpointDir(here / "run").restore()["loss"] == losses[7]
other = nn.Sequential(nn.Linear(4, 48), nn.Tanh(), nn.Linear(48, 1))
weight = other[0].weight.detach().clone()
try:
    optimkit.load(path, model=other)
    raise AssertionError
except optimkit.MismatchError:
    assert torch.equal(other[0].weight, weight)
# sphinx_gallery_end_ignore

# %%
# Another learning rate, on purpose | 有意换个学习率
# --------------------------------------------------
# Wrong: load, then write ``lr`` into the groups. ``LambdaLR`` counts from its own
# ``base_lrs``, and its next ``step()`` is back on the old schedule. Right, in plain torch:
# write ``base_lrs``, too. Or build the run with the new rate, and load with
# ``options="current"``: progress comes from the file, options from you. At epoch 15 that
# is 0.02 × 0.9¹⁵.
#
# 错误写法：加载之后，往参数组里写 ``lr``。``LambdaLR`` 从自己的 ``base_lrs`` 算起，下一次
# ``step()`` 又回到旧计划。正确写法，只用 torch：``base_lrs`` 也一起改。或者用新的学习率建好一切，
# 加载时传 ``options="current"``：进度听文件的，选项听你的。在第 15 轮，就是 0.02 × 0.9¹⁵。

# sphinx_gallery_covers = "C38"
wrong, plain, current = build("LambdaLR"), build("LambdaLR"), build("LambdaLR", lr=0.02)
for run in (wrong, plain):
    optimkit.load(path, **run)
    run["optimizer"].param_groups[0]["lr"] = 0.02 * 0.9**15
plain["scheduler"].base_lrs = [0.02]
optimkit.load(path, **current, options="current")
for run in (wrong, plain, current):
    print([round(lr, 4) for lr in optimkit.lr_curve(run["scheduler"], 1).lrs()])
# sphinx_gallery_start_ignore
curves = [optimkit.lr_curve(run["scheduler"], 1).lrs() for run in (wrong, plain, current)]
right = [0.02 * 0.9**15, 0.02 * 0.9**16]
torch.testing.assert_close(curves, [[right[0], 0.05 * 0.9**16], right, right])
# sphinx_gallery_end_ignore

# %%
# A signal, and a NaN | 信号与 NaN
# --------------------------------
# A cluster that takes a machine away sends SIGTERM, which ends a process in the middle of
# a step. In plain Python: a handler notes it, the loop saves after the step, and raises
# it again with ``SIG_DFL``, so that the exit status is the signal's. The context manager
# ``CheckpointDir.on_signal`` does all of it, and stops several processes after the same step.
#
# 集群收回机器时会发 SIGTERM，进程默认当场结束，哪怕一步才走到一半。只用 Python：处理函数只记下信号，
# 循环走完这一步再保存，然后恢复 ``SIG_DFL``，把信号再发一次，退出状态就还是这个信号的。
# 上下文管理器 ``CheckpointDir.on_signal`` 一并做好，多个进程也会停在同一步之后。

import signal

received = []
before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
signal.raise_signal(signal.SIGTERM)  # as the cluster does, in the middle of a step
if received:  # after the step
    torch.save(run["model"].state_dict(), here / "new.pt")
    os.replace(here / "new.pt", here / "stopped.pt")
signal.signal(signal.SIGTERM, before)
print(received, (here / "stopped.pt").exists())
# sphinx_gallery_start_ignore
assert received == [signal.SIGTERM]
import subprocess
import sys

loop = """
import signal, torch, optimkit
model = torch.nn.Linear(4, 1)
with optimkit.CheckpointDir("stopped").on_signal() as safe_point:
    for step in range(9):
        if step == 3:
            signal.raise_signal(signal.SIGTERM)
        safe_point(step, model=model)
"""
done = subprocess.run([sys.executable, "-c", loop], cwd=here)
assert sys.platform == "win32" or done.returncode == -signal.SIGTERM
assert optimkit.CheckpointDir(here / "stopped").restore().step == 3
# sphinx_gallery_end_ignore

# %%
# A run that diverges goes on saving, until every good file has made room for NaN. In plain
# torch, ask before you save. ``CheckpointDir`` saves, too, but it warns, marks the file,
# and keeps the good ones. ``restore`` passes over it, unless you say ``finite=False``.
#
# 训练发散之后还在存，好文件便一个个给 NaN 让了位。只用 torch，就在保存之前查一遍。``CheckpointDir``
# 照样保存，但会发出警告，在文件名里标出，好文件照旧留着；``restore`` 会跳过它，除非传 ``finite=False``。

# sphinx_gallery_start_ignore
import contextlib
import warnings

quiet = contextlib.ExitStack()
told = quiet.enter_context(warnings.catch_warnings(record=True))
warnings.simplefilter("always")
# sphinx_gallery_end_ignore
checkpoints = optimkit.CheckpointDir(here / "nan", keep=optimkit.Last(1))
checkpoints.save(1, **run)
run["model"][0].bias.data[0] = float("nan")
print("finite:", all(each.isfinite().all() for each in run["model"].parameters()))
path = checkpoints.save(2, **run)
print(path.suffixes[-2:], "restored:", checkpoints.restore(**run).step)
# sphinx_gallery_start_ignore
quiet.close()
assert path.name.endswith(".nonfinite.pt") and len(told) == 2
assert checkpoints.restore(finite=False).step == 2
assert all(each.isfinite().all() for each in run["model"].parameters())
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - You test resuming with ``StepLR(10)``, stop at 20, forget the scheduler, and get a
#   difference of zero. Is forgetting it harmless?
# - Why is the random state restored last?
#
# - 你用 ``StepLR(10)`` 测试恢复训练，停在第 20 轮，忘了调度器，差值居然是零。忘了也没事吗？
# - 随机数状态为什么放到最后恢复？

# %%
# Answers | 答案
# --------------
# - No, a coincidence: a new scheduler counts from 0, and 20 is a multiple of 10, so
#   both halve ``lr`` at 30. Test at 15, as above.
# - Building a model draws random numbers, for its first weights. Nothing else may draw
#   any between restoring and training.
#
# - 有事，这回是碰巧：新的调度器从 0 数起，20 又是 10 的倍数，两边都在第 30 轮减半。
#   要像上面那样，停在 15 来测。
# - 新建模型就要抽随机数，也就是初始权重。恢复之后到训练之前，不能再有别的东西去抽。

run = build("StepLR")
train(**run, epochs=20)
save_plainly(run, here / "StepLR")
again = resume("StepLR", ["model", "optimizer", "rng"])
print("equal:", again[:20] == whole["StepLR"][20:])
# sphinx_gallery_start_ignore
assert again[:20] == whole["StepLR"][20:]
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Prove that the loop stands any interruption. Stop it with an exception, after a step
# that chance picks; start it again, and so on to the end. Is the last loss the same?
#
# 证明这个循环经得起任何中断：在随机挑中的某一步之后抛出异常，让它停下，再启动，如此反复，直到跑完。
# 最后的损失还是同一个数吗？

# %%
# Solution | 参考答案
# -------------------
# A hook on every optimizer raises by chance. It draws from a generator of its own:
# restoring the global one would replay the same accident endlessly.
#
# 用一个对所有优化器生效的钩子，随机抛出异常。它用自己的随机数生成器：
# 若用全局的，一恢复就会重演同一场事故，没完没了。

import random

from torch.optim.optimizer import register_optimizer_step_post_hook

chance = random.Random(0)


def strike(*_):
    if chance.random() < 0.06:
        raise InterruptedError


handle = register_optimizer_step_post_hook(strike)
stops, loss = 0, None
while loss is None:
    try:
        loss = go_on(here / "struck", until=15)
    except InterruptedError:
        stops += 1
handle.remove()
print(f"stopped {stops} times, equal: {loss == losses[14]}")
# sphinx_gallery_start_ignore
assert stops > 1 and loss == losses[14]
folder.cleanup()
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 11 makes the schedules that you resume here.
# - Which computations repeat exactly, and which don't: `Reproducibility
#   <https://docs.pytorch.org/docs/stable/notes/randomness.html>`__.
#
# - 教程 11 讲怎样建这里要恢复的调度器。
# - 哪些计算能分毫不差地重复，哪些不能：`可复现性
#   <https://docs.pytorch.org/docs/stable/notes/randomness.html>`__。
