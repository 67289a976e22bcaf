"""
Average the weights: EMA and SWA | 权重平均：EMA 与 SWA
=======================================================

The last weights of a run are where the last batches threw them; an average of many is
nearer to the minimum. Keep one beside the model and update it after each step. Choose its
decay by a half-life, and see to it that BatchNorm's statistics fit it.

训练结束时的权重，停在最后几个批次把它甩到的地方；把许多步的权重平均起来，离最低点更近。
在模型旁边放一份平均，每走一步更新一次。衰减系数按半衰期来选，还要让 BatchNorm 的统计量与它相配。

**What you will learn**

- What an average of weights gains, and why a longer one isn't always better.
- ``AveragedModel``, ``SWALR`` and ``update_bn``: what each of them does.
- How to save an average so that it goes on where it was.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 08, tutorial 11.

**你会学到**

- 权重平均有什么好处，为什么不是平均得越久越好。
- ``AveragedModel``、``SWALR``、``update_bn`` 各做什么。
- 平均怎样保存，恢复后才能接着算。
- 难度：进阶。用时：15 分钟。预备：教程 08、教程 11。
"""

# %%
# The path shakes, its average doesn't | 路径在抖，平均不抖
# ---------------------------------------------------------
# A narrow valley, and gradients with noise, as from mini-batches. SGD gets down in 20
# steps, then it is thrown about: over the last 100 steps its mean distance from the
# minimum is 1.09. An exponential moving average (EMA) of the same weights is 0.33 away.
# It costs one line, and does not touch the run.
#
# 一条窄谷，梯度里带着噪声，就像来自小批量。SGD 二十来步就下到谷底，之后却一直被甩来甩去：
# 最后 100 步，离最低点平均 1.09。同样这些权重，取指数移动平均（EMA），只差 0.33。
# 代价是一行代码，训练本身不受影响。

# sphinx_gallery_thumbnail_number = 1
import torch
from torch import nn, optim

torch.manual_seed(0)
model = nn.Module()
model.w = nn.Parameter(torch.tensor([8.0, 4.0]))
optimizer = optim.SGD(model.parameters(), lr=0.5)
decay = 0.966
path, averages, average = [], [], None
for _ in range(200):
    model.w.grad = torch.tensor([0.3, 3.0]) * model.w.detach() + torch.randn(2)
    optimizer.step()
    now = model.w.detach().clone()
    average = now if average is None else decay * average + (1 - decay) * now
    path.append(now)
    averages.append(average)
path, averages = torch.stack(path), torch.stack(averages)
for name, points in (("weights", path), ("average", averages)):
    print(f"{name}: mean distance {points[100:].norm(dim=1).mean():.2f}")
# sphinx_gallery_start_ignore
far, near = (points[100:].norm(dim=1).mean().item() for points in (path, averages))
torch.testing.assert_close([far, near], [1.09, 0.33], rtol=0, atol=0.01)
assert path[20].norm() < 1.5

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
fig.set_label(
    "Contours of a valley: the path of the weights zigzags around the minimum, the path of "
    "their average runs smoothly into it | "
    "山谷的等高线：权重的路径在最低点周围来回跳，平均的路径平稳地走进去"
)
first, second = torch.meshgrid(
    torch.linspace(-3, 9, 80), torch.linspace(-3, 4.5, 60), indexing="xy"
)
ax.contour(
    first, second, 0.15 * first**2 + 1.5 * second**2, levels=12, colors="0.8", linewidths=0.8
)
ax.plot(*path.T, "C0", lw=0.9)
ax.plot(*averages.T, "C1", lw=3)
ax.plot(0, 0, "k+", ms=14, mew=2)
ax.text(4, -2.2, "weights | 权重", color="C0")
ax.text(6.2, 2.6, "their average | 权重的平均", color="C1", ha="center")
ax.set(xlabel="first weight | 第一个权重", ylabel="second weight | 第二个权重")
ax.set_title("The average doesn't shake | 平均不跟着抖")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Of a whole model: ``AveragedModel`` | 整个模型：``AveragedModel``
# -------------------------------------------------------------------
# ``torch.optim.swa_utils`` has that line for a whole model. ``AveragedModel`` deep-copies
# the model; ``update_parameters`` copies the weights the first time, and then mixes them
# in. The average is ``averaged.module``. Wrong: to give its weights to the optimizer. It
# has no gradients; it only follows.
#
# ``torch.optim.swa_utils`` 里有现成的，管的是整个模型。``AveragedModel`` 先深拷贝一份模型；
# ``update_parameters`` 第一次直接复制权重，以后每次掺进去一点。平均好的模型是 ``averaged.module``。
# 错误写法：把它的权重交给优化器。它没有梯度，只是跟着走。

from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
for weights in path:
    with torch.no_grad():
        model.w.copy_(weights)
    averaged.update_parameters(model)
print("torch:", averaged.module.w.tolist(), " mine:", averages[-1].tolist())
# sphinx_gallery_start_ignore
torch.testing.assert_close(averaged.module.w.detach(), averages[-1])
assert averaged.n_averaged == 200 and averaged.module.w.grad is None
# sphinx_gallery_end_ignore

# %%
# Choose the decay by its half-life | 按半衰期选衰减系数
# ------------------------------------------------------
# Who can picture 0.999? Say after how many steps half of an old value is gone; then
# ``decay = 0.5 ** (1 / half_life)``. In the noisy bowl of tutorial 11, 300 steps at a
# constant 0.5 end at a loss of 0.12. A half-life of 10 makes that 0.031, of 50, 0.013, and
# the learning rate was never lowered. Wrong: the longer the better. With 1000, a decay of
# 0.9993, the average still remembers the start: 8.05.
#
# 0.999 是多长，谁心里有数？不如换个说法：过多少步，旧值只剩一半；那么
# ``decay = 0.5 ** (1 / half_life)``。在教程 11 那个有噪声的碗里，学习率恒为 0.5 走 300 步，
# 损失停在 0.12。半衰期取 10，是 0.031；取 50，是 0.013，学习率从头到尾没有降过。
# 错误想法：越长越好。半衰期取 1000，也就是衰减系数 0.9993，平均还忘不掉起点：8.05。

curvature = torch.linspace(0.05, 1, 200)


def bowl(*options):
    torch.manual_seed(0)
    model = nn.Module()
    model.w = nn.Parameter(torch.full((200,), 10.0))
    averages = [AveragedModel(model, **each) for each in options]
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for _ in range(300):
        model.w.grad = curvature * model.w.detach() + torch.randn(200)
        optimizer.step()
        for average in averages:
            average.update_parameters(model)
    return model, averages


def loss_of(model):
    return (curvature * model.w.detach() ** 2).mean().item() / 2


def ema(half_life):
    return {"multi_avg_fn": get_ema_multi_avg_fn(0.5 ** (1 / half_life))}


model, averages = bowl(ema(10), ema(50), ema(1000))
print(f"last weights {loss_of(model):.3f}", *(f"{loss_of(a.module):.3f}" for a in averages))
# sphinx_gallery_start_ignore
reached = [loss_of(one) for one in (model, *(average.module for average in averages))]
torch.testing.assert_close(reached, [0.119, 0.0307, 0.0127, 8.05], rtol=0.02, atol=0)
half_lives = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
curve = [loss_of(average.module) for average in bowl(*map(ema, half_lives))[1]]
assert min(curve) == curve[5] and round(0.5 ** (1 / 1000), 4) == 0.9993


fig, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
fig.set_label(
    "Loss of the average against its half-life: it falls from 0.12 to 0.013 at 50 steps, and "
    "rises to 8 at 1000 | 平均的损失随半衰期的变化：到 50 步时从 0.12 降到 0.013，到 1000 步又升到 8"
)
ax.loglog(half_lives, curve, "C0o-", lw=2.5)
ax.axhline(reached[0], color="C1", ls="--")
ax.text(1, 0.14, "the last weights | 最后的权重", color="C1")
ax.text(9, 0.045, "too short: still noise | 太短：还有噪声", color="C0")
ax.text(150, 2, "too long: the start | 太长：忘不掉起点", color="C0", ha="right")
ax.set_xlabel("half-life in steps | 半衰期（步）")
ax.set_ylabel("loss | 损失")
ax.set_title("Not too short, not too long | 不能太短，也不能太长")
plt.show()
# sphinx_gallery_end_ignore

# %%
# A long average, warmed up | 又想久，又想忘掉起点
# ------------------------------------------------
# Right, if you want a long one: let the decay grow. ``avg_fn`` gets the average, the
# weights, and the number of updates before this one. The rule below, which many libraries
# use, begins at 0.18 and reaches 0.9 after 80 updates: 0.018 with the half-life of 1000
# that gave 8.05. Without any function ``AveragedModel`` takes the plain mean.
#
# 正确写法：想要长的平均，就让衰减系数慢慢变大。``avg_fn`` 拿到的是平均、当前权重，
# 以及此前更新过多少次。下面这条规则很多库都在用：从 0.18 起，更新 80 次后到 0.9。
# 同样是 1000 的半衰期，刚才是 8.05，这回是 0.018。什么函数都不给，``AveragedModel`` 就取普通的平均。


def warm(average, weights, count):
    decay = min(0.5 ** (1 / 1000), (1 + count) / (10 + count))
    return torch.lerp(weights, average, decay)


_, (average, mean) = bowl({"avg_fn": warm}, {})
print(f"warmed up {loss_of(average.module):.3f}, plain mean {loss_of(mean.module):.3f}")
# sphinx_gallery_start_ignore
torch.testing.assert_close(loss_of(average.module), 0.0184, rtol=0.02, atol=0)
assert round(2 / 11, 2) == 0.18 and 81 / 90 == 0.9
# sphinx_gallery_end_ignore

# %%
# SWA, in a network | 在网络里用 SWA
# ----------------------------------
# Stochastic weight averaging (SWA) takes the plain mean from a late epoch on, with a
# learning rate that stays high, so that the weights keep moving about. ``SWALR`` leads it
# there. This network learns whether two numbers have the same sign; a fifth of its labels
# are wrong.
#
# 随机权重平均（SWA）从靠后的某一轮起取普通的平均，同时让学习率保持在高处，好让权重四处走动；
# 把学习率带到那里的是 ``SWALR``。下面这个网络学的是两个数是否同号，五分之一的标签是错的。

torch.manual_seed(0)
x, fresh = torch.randn(512, 10), torch.randn(2000, 10)
y, answers = ((rows[:, 0] * rows[:, 1] > 0).long() for rows in (x, fresh))
y[torch.rand(512) < 0.2] ^= 1


def block(inputs):
    return nn.Linear(inputs, 32), nn.BatchNorm1d(32), nn.ReLU()


def test(net):
    net.eval()
    with torch.no_grad():
        loss = nn.functional.cross_entropy(net(fresh), answers).item()
    net.train()
    return loss


net = nn.Sequential(*block(10), *block(32), *block(32), nn.Linear(32, 2))
optimizer = optim.SGD(net.parameters(), lr=0.2)

# %%
# After 8 epochs of 16, ``SWALR`` raises the rate from 0.2 to 0.5, and the mean takes in
# the weights at the end of each epoch. Beside it runs an EMA with a half-life of two
# epochs, which are 32 steps. On fresh data the last weights have a loss of 0.60, the EMA
# of 0.51.
#
# 一共 16 轮，8 轮之后，``SWALR`` 把学习率从 0.2 升到 0.5，每轮结束时的权重也从此算进平均。
# 旁边还有一个 EMA，半衰期是两轮，也就是 32 步。在新数据上，最后的权重损失是 0.60，EMA 是 0.51。

scheduler = SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
follower = AveragedModel(net, use_buffers=True, **ema(32))
plain, buffered = AveragedModel(net), AveragedModel(net, use_buffers=True)
# sphinx_gallery_start_ignore
rates, curves = [], {"last": [], "ema": []}
# sphinx_gallery_end_ignore
for epoch in range(16):
    # sphinx_gallery_start_ignore
    rates.append(round(scheduler.get_last_lr()[0], 3))
    # sphinx_gallery_end_ignore
    for batch in torch.randperm(512).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
        optimizer.step()
        follower.update_parameters(net)
    # sphinx_gallery_start_ignore
    curves["last"].append(test(net))
    curves["ema"].append(test(follower))
    # sphinx_gallery_end_ignore
    if epoch >= 8:
        plain.update_parameters(net)
        buffered.update_parameters(net)
        scheduler.step()
print(f"last weights {test(net):.2f}, EMA {test(follower):.2f}")
# sphinx_gallery_start_ignore
torch.testing.assert_close([test(net), test(follower)], [0.60, 0.51], rtol=0, atol=0.03)
assert rates[:9] == [0.2] * 9 and rates[9:] == [0.35] + [0.5] * 6
assert test(follower) < min(curves["last"][8:])
# sphinx_gallery_end_ignore

# %%
# BatchNorm's statistics | BatchNorm 的统计量
# -------------------------------------------
# Wrong: to use the mean as it is. ``AveragedModel`` averages parameters; buffers are
# copied from the model, so BatchNorm works with a mean and variance that belong to the
# last weights. Right, one of two: ``update_bn`` sends the training data through once,
# when all is done; ``use_buffers=True`` averages the statistics too, and it did so in the
# EMA above. Either takes the loss of the mean from 0.52 to 0.50.
#
# 错误写法：平均出来直接用。``AveragedModel`` 只平均参数，缓冲区是从模型那里照抄的，
# 所以 BatchNorm 用的均值和方差属于最后的那组权重。正确写法二选一：训练完之后，
# 用 ``update_bn`` 把训练数据过一遍；或者用 ``use_buffers=True`` 把统计量也一起平均，
# 上面的 EMA 就是这样。两种都能让损失从 0.52 降到 0.50。

wrong = test(plain)
update_bn(x.split(64), plain)
print(f"as it is {wrong:.2f}, update_bn {test(plain):.2f}, use_buffers {test(buffered):.2f}")
# sphinx_gallery_start_ignore
ends = [test(plain), test(buffered)]
torch.testing.assert_close([wrong, *ends], [0.52, 0.50, 0.50], rtol=0, atol=0.015)
assert max(ends) < wrong - 0.005 and wrong < test(net) - 0.03

fig, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
fig.set_label(
    "Loss on fresh data over 16 epochs: that of the weights jumps about and ends at 0.60; EMA "
    "and SWA end at 0.51 and 0.50 | "
    "16 轮里新数据上的损失：权重的损失上下跳动，停在 0.60；EMA 和 SWA 停在 0.51 和 0.50"
)
ax.plot(range(1, 17), curves["last"], "C0", lw=2)
ax.plot(range(1, 17), curves["ema"], "C1", lw=3)
ax.plot(16, wrong, "C3x", ms=10, mew=3)
ax.plot(16, ends[0], "C2o", ms=9)
ax.axvline(8.5, color="0.5", ls=":")
ax.text(8.7, 0.67, "SWA from here | 从这里起 SWA", color="0.5")
ax.text(16.4, curves["last"][-1], "last weights | 最后的权重", color="C0", va="center")
ax.text(16.4, wrong + 0.012, "SWA, wrong statistics | SWA，统计量不对", color="C3", va="center")
ax.text(16.4, ends[0] - 0.012, "SWA", color="C2", va="center")
ax.text(5.3, 0.655, "EMA", color="C1")
ax.set(
    xlim=(0.5, 24),
    ylim=(0.47, 0.71),
    xticks=range(2, 17, 2),
    xlabel="epoch | 轮",
    ylabel="loss | 损失",
)
ax.set_title("Averages end lower | 平均的损失更低")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Save the average, whole | 保存平均，要整个存
# --------------------------------------------
# Wrong: to save only ``average.module``, the model that you will use. The count of
# updates stands beside it; loaded into a new average, which counts 0, the next update
# takes that for the first, and copies the weights: 300 steps of averaging are gone. Right:
# the state dict of the whole ``AveragedModel``. ``optimkit.save`` takes it like any model.
#
# 错误写法：只存 ``average.module``，也就是以后要用的那个模型。更新次数记在它旁边；
# 加载进新的平均，次数还是 0，下一次更新就当成第一次，直接复制权重：300 步的平均全没了。
# 正确写法：存整个 ``AveragedModel`` 的状态字典。``optimkit.save`` 把它当普通模型一样收下。

import tempfile
from pathlib import Path

import optimkit

path = Path(tempfile.mkdtemp(), "run.pt")
model, (average,) = bowl(ema(50))
optimkit.save(path, model=model, average=average)

wrong, right = (AveragedModel(model, **ema(50)) for _ in range(2))
wrong.module.load_state_dict(average.module.state_dict())
optimkit.load(path, average=right)
for name, restored in (("wrong", wrong), ("right", right)):
    restored.update_parameters(model)
    print(f"{name}: {loss_of(restored.module):.3f}, {restored.n_averaged.item()} updates")
# sphinx_gallery_start_ignore
path.unlink()
path.parent.rmdir()
torch.testing.assert_close(loss_of(wrong.module), loss_of(model))
average.update_parameters(model)
assert right.n_averaged == 301 and torch.equal(right.module.w, average.module.w)
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - Does keeping an average change the training?
# - You double the batch size and keep the decay of an EMA. What happens to it?
#
# - 放一份平均在旁边，会改变训练吗？
# - 批大小加倍，EMA 的衰减系数不改，会怎样？

# %%
# Answers | 答案
# --------------
# - No, apart from time and memory: one more copy of the weights. The losses are the same.
# - An epoch has half as many steps, so its half-life in epochs doubles. Square the decay
#   to keep it.
#
# - 不会，只多花一点时间，多占一份权重的内存，损失分毫不差。
# - 一轮的步数只剩一半，按轮数算的半衰期就加倍了。想保持不变，把衰减系数平方。

import math

print("same loss:", loss_of(bowl()[0]) == loss_of(bowl(ema(50))[0]))
for decay in (0.99, 0.99**2):
    print(f"decay {decay:.4f}: half-life {math.log(0.5) / math.log(decay):.1f}")
# sphinx_gallery_start_ignore
assert loss_of(bowl()[0]) == loss_of(bowl(ema(50))[0])
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Epochs have 100 steps, and updating after each costs too much: you update every 5 steps.
# The average should forget half in one epoch. Which decay? Prove it by an impulse: average a
# weight that was 1 up to now, and is 0 from now on.
#
# 一轮有 100 步，每步都更新太贵，于是每 5 步更新一次。要让平均在一轮里忘掉一半，衰减系数取多少？
# 用一个脉冲来证明：平均的对象以前一直是 1，从现在起是 0。

# %%
# Solution | 参考答案
# -------------------
# The average counts updates, not steps, and an epoch has 20 of those.
#
# 平均只数更新次数，不数步数，而一轮有 20 次更新。

model = nn.Linear(1, 1, bias=False)
nn.init.ones_(model.weight)
average = AveragedModel(model, **ema(100 / 5))
average.update_parameters(model)
nn.init.zeros_(model.weight)
for step in range(1, 101):
    if step % 5 == 0:
        average.update_parameters(model)
print(f"decay {0.5 ** (5 / 100):.4f}: after an epoch {average.module.weight.item():.3f} is left")
# sphinx_gallery_start_ignore
torch.testing.assert_close(average.module.weight.item(), 0.5)
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 12 resumes a run exactly; put the average in its file.
# - Izmailov and others: `Averaging Weights Leads to Wider Optima and Better Generalization
#   <https://arxiv.org/abs/1803.05407>`__.
# - PyTorch's page on `weight averaging
#   <https://docs.pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema>`__.
#
# - 教程 12 讲怎样分毫不差地恢复训练，平均也要放进那个文件。
# - Izmailov 等人提出 SWA 的论文：`Averaging Weights Leads to Wider Optima and Better
#   Generalization <https://arxiv.org/abs/1803.05407>`__，讲它为什么泛化更好。
# - PyTorch 官方文档的一节：`权重平均
#   <https://docs.pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema>`__。
