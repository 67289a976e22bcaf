"""
Adjust the learning rate with a scheduler | 用调度器调整学习率
===============================================================

Make a scheduler from the optimizer, and call ``scheduler.step()`` after
``optimizer.step()``, in the loop whose turns its numbers count: that of the epochs if
they are epochs, that of the batches if they are steps. All it does is write ``lr`` into
the parameter groups. torch has 16 kinds; the figure below shows every one.

用优化器建一个调度器，在 ``optimizer.step()`` 之后调用 ``scheduler.step()``。
它的参数写的是轮数，就放在逐轮的循环里；写的是步数，就放在逐批次的循环里。
它所做的，不过是往参数组里写 ``lr``。torch 有 16 种调度器，下面一张图全部画出。

**What you will learn**

- What each of the 16 schedulers does, when to step it, and how to see where it will go.
- How to warm up, how not to run past the end, and how to follow a metric.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 03, tutorial 06.

**你会学到**

- 16 种调度器各做什么，什么时候调用，怎样在训练之前就看到走向。
- 怎样预热，怎样不走过头，怎样跟着指标走。
- 难度：进阶。用时：15 分钟。预备：教程 03、教程 06。
"""

# %%
# By hand, then by a scheduler | 先手动改，再交给调度器
# -----------------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), breaks
# off here, with one line: "torch.optim.lr_scheduler: adjust the learning rate". A learning
# rate lives in ``param_groups``, so a loop can change it: a tenth, every ten epochs.
# ``StepLR`` is that loop, and keeps count; ``get_last_lr()`` tells what it has set.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），写到这里就断了，
# 只有一行“torch.optim.lr_scheduler:调整学习率”。
# 学习率就放在 ``param_groups`` 里，写个循环就能改：每十轮降为原来的十分之一。
# ``StepLR`` 就是这个循环，还替你数着轮数。``get_last_lr()`` 会告诉你它设成了多少。

# sphinx_gallery_covers = "C51"
import torch
from torch import nn, optim
from torch.optim import lr_scheduler as sched


def make_sgd(*lrs):
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return optim.SGD(groups, momentum=0.9)


by_hand, scheduled = make_sgd(1.0), make_sgd(1.0)
scheduler = sched.StepLR(scheduled, step_size=10, gamma=0.1)
for epoch in range(1, 31):
    scheduled.step()
    scheduler.step()
    if epoch % 10 == 0:
        by_hand.param_groups[0]["lr"] *= 0.1
        print(f"epoch {epoch}: lr {scheduler.get_last_lr()[0]:.3f}")
    assert scheduler.get_last_lr() == [by_hand.param_groups[0]["lr"]]

# %%
# All 16 schedulers | 全部 16 种调度器
# ------------------------------------
# To see where a scheduler will go you need no training: step an optimizer with an empty
# parameter, as ``make_sgd`` builds it, then the scheduler, and note ``lr``.
# ``optimkit.lr_curve`` does that with a copy of yours. Each row of the figure is a family;
# the last follows your function or your metric, or joins other schedulers, one after the
# other (``SequentialLR``) or all at once (``ChainedScheduler``).
#
# 想知道调度器会怎么走，不必真的训练：像 ``make_sgd`` 那样，用一个空参数建优化器，让它和调度器
# 轮流 ``step()``，把 ``lr`` 记下来。``optimkit.lr_curve`` 就是这样做的，走的是副本，你手里的原样不动。
# 图里一行是一类；最后一行听你的函数，或者听你的指标，
# 或者把别的调度器接起来（``SequentialLR``）、叠起来（``ChainedScheduler``）用。

# sphinx_gallery_covers = "C51"
# sphinx_gallery_thumbnail_number = 1
import optimkit

scheduler = sched.StepLR(make_sgd(1.0), step_size=14, gamma=0.5)
curve = optimkit.lr_curve(scheduler, steps=60)
# sphinx_gallery_start_ignore
recipes = {
    sched.StepLR: {"step_size": 14, "gamma": 0.5},
    sched.MultiStepLR: {"milestones": [10, 40], "gamma": 0.4},
    sched.ExponentialLR: {"gamma": 0.95},
    sched.MultiplicativeLR: {"lr_lambda": lambda t: 0.8 if t % 4 == 0 else 1.0},
    sched.PolynomialLR: {"total_iters": 50, "power": 2.0},
    sched.CosineAnnealingLR: {"T_max": 60},
    sched.CosineAnnealingWarmRestarts: {"T_0": 9, "T_mult": 2},
    optim.swa_utils.SWALR: {"swa_lr": 0.2, "anneal_epochs": 30},
    sched.ConstantLR: {"factor": 0.3, "total_iters": 20},
    sched.LinearLR: {"start_factor": 0.1, "total_iters": 30},
    sched.OneCycleLR: {"max_lr": 1.0, "total_steps": 60},
    sched.CyclicLR: {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 10},
    sched.LambdaLR: {"lr_lambda": lambda t: 1 / (1 + t / 10)},
    sched.ReduceLROnPlateau: {"factor": 0.5, "patience": 9},
}
assert curve.lrs()[::14] == [1.0, 0.5, 0.25, 0.125, 0.0625]


def make(kind, optimizer):
    if kind in recipes:
        return kind(optimizer, **recipes[kind])
    rise = 20 if kind is sched.ChainedScheduler else 10
    parts = [sched.LinearLR(optimizer, 0.1, total_iters=rise)]
    if kind is sched.ChainedScheduler:
        return kind([*parts, sched.StepLR(optimizer, 25, 0.5)])
    return kind(optimizer, [*parts, sched.CosineAnnealingLR(optimizer, 50)], milestones=[10])


kinds = [*recipes, sched.SequentialLR, sched.ChainedScheduler]
names = {kind.__name__ for kind in kinds}
assert names == {*sched.__all__, "SWALR"} - {"LRScheduler"} and len(names) == 16

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
joined = {sched.SequentialLR: "linear, then cosine | 先线性，再余弦"}
joined[sched.ChainedScheduler] = "linear × steps | 线性 × 阶梯"
stalled = [max(1 - t / 15, 0.3) for t in range(60)]
rows = ["× a factor | 乘以因子", "a curve | 沿曲线", "start low | 低处起步", "yours | 你来定"]
fig, axes = plt.subplots(4, 4, figsize=(8, 5.4), sharex=True, sharey=True)
fig.set_layout_engine("constrained")
for i, (ax, kind) in enumerate(zip(axes.flat, kinds, strict=True)):
    metrics = stalled if kind is sched.ReduceLROnPlateau else None
    curve = optimkit.lr_curve(make(kind, make_sgd(1.0)), 60, metrics)
    ax.plot(curve.lrs(), f"C{i // 4}", lw=2.5)
    options = [(k, v) for k, v in recipes.get(kind, {}).items() if k != "base_lr"]
    text = ", ".join(f"{k}={'f' if callable(v) else v}" for k, v in options)
    halves = [f"{kind.__name__}\n{half}" for half in joined.get(kind, text).split(" | ")]
    ax.set_title(" | ".join(halves), fontsize=7.5)
    ax.set(ylim=(-0.05, 1.1), xticks=[0, 30, 60], yticks=[0, 1])
    ax.spines[["top", "right"]].set_visible(False)
for ax, row in zip(axes[:, 0], rows, strict=True):
    ax.set_ylabel(row)
fig.supxlabel("calls of scheduler.step() | scheduler.step() 的次数", fontsize=10)
fig.suptitle("Sixteen ways to move the learning rate | 调整学习率的十六种走法")
fig.set_label(
    "Learning rate over 60 steps for each of torch's 16 schedulers, four to a row | "
    "torch 的 16 种调度器在 60 步里的学习率曲线，每行四种"
)
plt.show()
# sphinx_gallery_end_ignore

# %%
# How often to call ``scheduler.step()`` | ``scheduler.step()`` 多久调用一次
# --------------------------------------------------------------------------
# Large steps travel fast and end in noise; small ones settle. In a noisy bowl, 30 epochs
# of 10 batches, ``StepLR(10, 0.1)`` ends lower than a constant 0.5. Wrong: the same
# ``scheduler.step()`` in the batch loop. It counts calls, not epochs, so hardly any ``lr``
# is left in epoch 3. Right: call it in the loop whose turns its arguments count.
#
# 步子大走得快，最后停在噪声里；步子小才能落稳。在一个有噪声的碗里走 30 轮，每轮 10 个批次，
# 用 ``StepLR(10, 0.1)``，最后比学习率恒为 0.5 低。错误写法：把同一句 ``scheduler.step()``
# 放进批次循环。它只数调用次数，不认轮数，到第 3 轮 ``lr`` 就降得所剩无几。
# 正确写法：参数写的是轮数，就每轮调用；写的是步数，就每个批次调用。

# sphinx_gallery_covers = "C51"


# sphinx_gallery_start_ignore
runs = []


# sphinx_gallery_end_ignore
def train(gamma, per_batch=False):
    torch.manual_seed(0)
    curvature = torch.linspace(0.05, 1, 200)
    w = nn.Parameter(torch.full((200,), 10.0))
    optimizer = optim.SGD([w], lr=0.5)
    scheduler = sched.StepLR(optimizer, 10, gamma)
    # sphinx_gallery_start_ignore
    losses = []
    runs.append(losses)
    # sphinx_gallery_end_ignore
    for batch in range(1, 301):
        w.grad = curvature * w.detach() + torch.randn(200)
        optimizer.step()
        if per_batch or batch % 10 == 0:
            scheduler.step()
        # sphinx_gallery_start_ignore
        losses.append((curvature * w.detach() ** 2).mean().item() / 2)
        # sphinx_gallery_end_ignore
    return (curvature * w.detach() ** 2).mean().item() / 2


print(f"constant {train(1.0):.2f}, per epoch {train(0.1):.2f}, ", end="")
print(f"per batch {train(0.1, per_batch=True):.2f}")
# sphinx_gallery_start_ignore
final = [losses[-1] for losses in runs]
torch.testing.assert_close(final, [0.119, 0.016, 0.398], rtol=0.05, atol=0)

names = ["constant | 恒定", "per epoch | 每轮", "wrong: per batch | 错误：每个批次"]
fig, ax = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
for i, (name, losses) in enumerate(zip(names, runs, strict=True)):
    ax.semilogy([batch / 10 for batch in range(300)], losses, f"C{i}", lw=2)
    ax.text(30.4, losses[-1], name, color=f"C{i}", va="center")
ax.set(xlim=(0, 38), xticks=range(0, 31, 10), xlabel="epoch | 轮", ylabel="loss | 损失")
ax.set_title("Lower the rate slowly, not all at once | 学习率要慢慢降，不能一下降光")
fig.set_label(
    "Loss over 30 epochs: 0.02 if stepped per epoch, 0.12 never, 0.40 per batch | "
    "30 轮的损失：每轮调一次，降到 0.02；不调，0.12；每个批次调一次，0.40"
)
plt.show()
# sphinx_gallery_end_ignore

# %%
# Wrong: the scheduler first | 错误：先调度器，后优化器
# -----------------------------------------------------
# Before PyTorch 1.1 the scheduler went first, and old posts still do it. The first
# value of the schedule is then never used, and PyTorch warns. It warns of ``get_lr()``,
# too: schedulers compute the next value with it, here 0.25 while 0.5 is in force. Right:
# ``optimizer.step()`` first, and read ``get_last_lr()``.
#
# PyTorch 1.1 之前是调度器在前，老文章里还这么写。这样一来，计划里的第一个值就用不上了，
# PyTorch 会发出警告。用 ``get_lr()`` 读 ``lr`` 也会，那是调度器用来算下一个值的：
# 这里它返回 0.25，而正在用的是 0.5。正确写法：先 ``optimizer.step()``，读数用 ``get_last_lr()``。

# sphinx_gallery_covers = "C51"
import warnings

optimizer = make_sgd(1.0)
scheduler = sched.ExponentialLR(optimizer, gamma=0.5)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    scheduler.step()
    optimizer.step()
    # sphinx_gallery_start_ignore
    computed = scheduler.get_lr()
    # sphinx_gallery_end_ignore
print("UserWarning:", caught[0].message)
# sphinx_gallery_start_ignore
assert len(caught) == 2 and computed == [0.25]
assert scheduler.get_last_lr() == [optimizer.param_groups[0]["lr"]] == [0.5]
# sphinx_gallery_end_ignore

# %%
# Past the end of the plan | 走过了头
# -----------------------------------
# Wrong: a schedule made for 10 steps, in a loop that makes more. ``OneCycleLR`` raises an
# error at step 11, perhaps at the end of a long night. ``CosineAnnealingLR`` silently
# climbs back up, after 20 steps to the top; ``optimkit.lr_curve`` shows that before you
# train. Right: count the steps once, and give loop and scheduler the same number.
#
# 错误写法：计划按 10 步定，循环却走得更多。``OneCycleLR`` 在第 11 步报错，可能已经白跑了一夜；
# ``CosineAnnealingLR`` 一声不响地往回爬，到第 20 步又回到最高，用 ``optimkit.lr_curve``
# 在训练之前就能看到。正确写法：步数只算一次，循环和调度器用同一个数。

# sphinx_gallery_covers = "C51"
optimizer = make_sgd(1.0)
scheduler = sched.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
try:
    for _ in range(11):
        optimizer.step()
        scheduler.step()
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except ValueError as error:
    print("ValueError:", error)

lrs = optimkit.lr_curve(sched.CosineAnnealingLR(make_sgd(1.0), 10), 20).lrs()
print("cosine at 0, 10, 11, 20:", [f"{lrs[t]:.3f}" for t in (0, 10, 11, 20)])
# sphinx_gallery_start_ignore
torch.testing.assert_close(lrs[:11], lrs[:9:-1])
# sphinx_gallery_end_ignore

# %%
# Warm up, then anneal: two groups | 先预热，再退火：两个参数组
# -------------------------------------------------------------
# Wrong: make ``LinearLR`` and ``CosineAnnealingLR`` on one optimizer and step both; they
# multiply each other, and ``lr`` gets no higher than 0.85. Right: ``SequentialLR`` runs
# one after the other, and the second counts from 0 at the milestone. Each group keeps its
# own scale: these two give a factor, and it applies to the ``initial_lr`` of the group.
#
# 错误写法：在同一个优化器上建 ``LinearLR`` 和 ``CosineAnnealingLR``，两个都调用，
# 结果互相乘在一起，``lr`` 最高只到 0.85。正确写法：``SequentialLR`` 让它们一个接一个，
# 过了里程碑，后一个从 0 数起。每个参数组各有各的幅度：这两个调度器给出的是倍数，
# 乘在各组自己的 ``initial_lr`` 上。

# sphinx_gallery_covers = "C51"


def warm_up_and_cosine(optimizer):
    warm_up = sched.LinearLR(optimizer, start_factor=0.1, total_iters=10)
    return [warm_up, sched.CosineAnnealingLR(optimizer, T_max=40)]


optimizer = make_sgd(1.0, 0.3)
parts = warm_up_and_cosine(optimizer)
scheduler = sched.SequentialLR(optimizer, parts, milestones=[10])
curve = optimkit.lr_curve(scheduler, 35)
# sphinx_gallery_start_ignore
optimizer, highest = make_sgd(1.0), 0.0
both = warm_up_and_cosine(optimizer)
for _ in range(40):
    optimizer.step()
    for scheduler in both:
        scheduler.step()
    highest = max(highest, optimizer.param_groups[0]["lr"])
assert round(highest, 2) == 0.85
assert max(curve.lrs(0)) == curve.lrs(0)[10] == 1.0
torch.testing.assert_close(curve.lrs(1), [0.3 * lr for lr in curve.lrs(0)])

fig, ax = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
optimkit.plot_lr(curve, ax)
ax.axvline(10, color="0.5", ls=":")
ax.text(10.5, 0.04, "milestone | 里程碑", color="0.5")
ax.set(title="One schedule, two scales | 同一条曲线，两种幅度", xlim=(0, 39))
fig.set_gid("moves-schedule")
fig.set_label(
    "Two curves, one 0.3 of the other: 10 steps up in a line, then down a cosine | "
    "两条曲线，一条是另一条的 0.3 倍：先用 10 步直线上升，再沿余弦下降"
)
plt.show()
# sphinx_gallery_end_ignore

# %%
# A scheduler that watches | 看指标的调度器
# -----------------------------------------
# ``ReduceLROnPlateau`` wants a metric in each ``step()``. Wrong: none. Right: the loss
# on validation data. Here it stands still, and ``patience=2``: the third epoch without
# progress halves ``lr``.
#
# ``ReduceLROnPlateau`` 每次 ``step()`` 都要一个指标。错误写法：不给。正确写法：给验证集上的损失。
# 这里让损失一直不变，``patience=2``：连续三轮没有进步，第三轮就把学习率减半。

# sphinx_gallery_covers = "C51"
optimizer = make_sgd(1.0)
scheduler = sched.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
try:
    scheduler.step()
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except TypeError as error:
    print("TypeError:", error)
for _ in range(4):
    optimizer.step()
    scheduler.step(0.7)
    print(optimizer.param_groups[0]["lr"], end=" ")
# sphinx_gallery_start_ignore
assert optimizer.param_groups[0]["lr"] == 0.5
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - You write ``group["lr"] = 0.01``, once under a ``LambdaLR``, once under a ``StepLR``.
#   How long does it last?
# - You double the batch size. What changes for a scheduler stepped per batch?
#
# - 你手动写了 ``group["lr"] = 0.01``。管着它的如果是 ``LambdaLR``，能管多久？是 ``StepLR`` 呢？
# - 批大小加倍，每个批次调用一次的调度器要改什么？

# %%
# Answers | 答案
# --------------
# - ``LambdaLR`` undoes it at the next ``scheduler.step()``: it starts from ``initial_lr``,
#   not ``lr``. ``StepLR`` multiplies the ``lr`` that it finds: yours stays, and is lowered
#   with the next step down.
# - Its numbers of steps: an epoch now has half as many.
#
# - ``LambdaLR`` 只容它到下一次 ``scheduler.step()``：它从 ``initial_lr`` 算起，不看 ``lr``。
#   ``StepLR`` 拿眼下的 ``lr`` 来乘：你写的值留着，到下一级台阶再跟着降。
# - 里面的步数：一轮的步数只剩一半。

for kind, argument in ((sched.LambdaLR, lambda epoch: 0.5**epoch), (sched.StepLR, 2)):
    optimizer = make_sgd(1.0)
    scheduler = kind(optimizer, argument)
    optimizer.param_groups[0]["lr"] = 0.01
    # sphinx_gallery_start_ignore
    lrs = []
    # sphinx_gallery_end_ignore
    for _ in range(2):
        optimizer.step()
        scheduler.step()
        print(kind.__name__, optimizer.param_groups[0]["lr"])
        # sphinx_gallery_start_ignore
        lrs.append(optimizer.param_groups[0]["lr"])
    assert lrs == ([0.5, 0.25] if kind is sched.LambdaLR else [0.01, 0.001])
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# `Goyal and others <https://arxiv.org/abs/1706.02677>`__ trained ImageNet in one hour:
# ``lr`` rises in a line from 0.1 to 3.2 in 5 epochs, then falls to a tenth at epochs
# 30, 60 and 80, of 90. Write it once with ``SequentialLR`` and once with one
# ``LambdaLR``.
#
# `Goyal 等人用一小时训练完 ImageNet <https://arxiv.org/abs/1706.02677>`__：前 5 轮，
# ``lr`` 从 0.1 直线升到 3.2，然后在第 30、60、80 轮各降为原来的十分之一，共 90 轮。
# 用 ``SequentialLR`` 写一遍，再只用一个 ``LambdaLR`` 写一遍。

# %%
# Solution | 参考答案
# -------------------
# The trap: inside ``SequentialLR`` the second scheduler counts from 0, so its
# milestones are 25, 55 and 75.
#
# 容易踩的坑：在 ``SequentialLR`` 里，后一个调度器从 0 数起，所以它的里程碑是 25、55、75。

optimizer = make_sgd(3.2)
rise = sched.LinearLR(optimizer, start_factor=1 / 32, total_iters=5)
stairs = sched.MultiStepLR(optimizer, [25, 55, 75], gamma=0.1)
joined = sched.SequentialLR(optimizer, [rise, stairs], milestones=[5])


def factor(epoch):
    if epoch < 5:
        return 1 / 32 + epoch / 5 * 31 / 32
    return 0.1 ** sum(epoch >= milestone for milestone in (30, 60, 80))


single = sched.LambdaLR(make_sgd(3.2), factor)
one, other = (optimkit.lr_curve(each, 89).lrs() for each in (joined, single))
for lrs in (one, other):
    print([round(lrs[epoch], 4) for epoch in (0, 5, 30, 60, 80)])
# sphinx_gallery_start_ignore
torch.testing.assert_close(one, other)
torch.testing.assert_close([one[0], one[5], one[-1]], [0.1, 3.2, 0.0032])
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 06 adds a parameter group while a scheduler is at work; tutorial 12 resumes
#   a run, scheduler included.
# - PyTorch's list of `schedulers
#   <https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate>`__.
# - Loshchilov and Hutter's paper on cosine annealing, `SGDR
#   <https://arxiv.org/abs/1608.03983>`__.
#
# - 教程 06 讲调度器工作时怎样加入新的参数组；教程 12 恢复训练，调度器也一起恢复。
# - PyTorch 官方文档：`调度器一览
#   <https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate>`__。
# - Loshchilov 和 Hutter 提出余弦退火的论文 `SGDR
#   <https://arxiv.org/abs/1608.03983>`__。
