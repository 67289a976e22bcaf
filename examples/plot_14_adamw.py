"""
Adam or AdamW, and what to decay | Adam 还是 AdamW，该衰减什么
==============================================================

``Adam(weight_decay=...)`` adds the decay to the gradient, and divides both by the
gradient's size: a weight with large gradients hardly shrinks. ``AdamW`` shrinks every
weight by one factor, ``1 - lr * weight_decay``. Take ``AdamW``, decay the matrices, and
leave out biases and norms.

``Adam(weight_decay=...)`` 把衰减加进梯度，再一起除以梯度的大小：梯度大的权重，几乎不缩小。
``AdamW`` 让每个权重都乘以同一个数 ``1 - lr * weight_decay``。用 ``AdamW``，衰减各层的权重矩阵，
偏置和归一化层不衰减。

**What you will learn**

- Where the two differ, in one line of code, and for which weights it matters.
- How strong a weight decay is, as the number of steps in which a weight halves.
- Which parameters to leave out, why, and how to build the groups.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 05, tutorial 06.

**你会学到**

- 两者的差别在哪一行代码，对哪些权重影响大。
- 权重衰减有多强：换算成权重减半要走多少步。
- 哪些参数不该衰减，为什么，怎样分组。
- 难度：进阶。用时：15 分钟。预备：教程 05、教程 06。
"""

# %%
# One step without a gradient | 没有梯度，走一步
# ----------------------------------------------
# Three weights, 10, 1 and 0.1, with a gradient of zero: whatever moves is the decay. At
# ``lr=0.1`` and ``weight_decay=0.1``, SGD and ``AdamW`` take a hundredth of each. ``Adam``
# takes 0.1 from all three, and the smallest is gone: the decay was all there was in its
# gradient, and Adam's first step has the length of ``lr`` for every gradient well above
# ``eps``, 1e-8.
#
# 三个权重：10、1、0.1，梯度都是零，所以动了多少，都是衰减造成的。
# ``lr=0.1``、``weight_decay=0.1`` 时，SGD 和 ``AdamW`` 各拿走百分之一。
# ``Adam`` 从三个里各拿走 0.1，最小的那个一步归零：
# 它的梯度里只有衰减，而只要梯度远大于 ``eps``，也就是 1e-8，Adam 第一步的长度总是 ``lr``。

import torch
from torch import nn, optim

for kind in (optim.SGD, optim.AdamW, optim.Adam):
    w = torch.tensor([10.0, 1.0, 0.1], requires_grad=True)
    w.grad = torch.zeros(3)
    kind([w], lr=0.1, weight_decay=0.1).step()
    print(f"{kind.__name__:5}", [round(one, 3) for one in w.tolist()])
    # sphinx_gallery_start_ignore
    expected = [9.9, 0.9, 0.0] if kind is optim.Adam else [9.9, 0.99, 0.099]
    torch.testing.assert_close(w.tolist(), expected, rtol=1e-5, atol=1e-6)
# sphinx_gallery_end_ignore

# %%
# One line, in two places | 同一行，放在两处
# ------------------------------------------
# Here are both, by hand. In Adam the decay joins the gradient before the averages, as if
# the loss had an extra :math:`\lambda w^2 / 2`: L2 regularization. In AdamW it acts on the
# weight, past the averages: decoupled weight decay.
#
# 两种都手写一遍。Adam 把衰减在求平均之前就并进梯度，好比损失里多了一项
# :math:`\lambda w^2 / 2`，这是 L2 正则化。AdamW 绕过平均值，直接作用在权重上，
# 这叫解耦权重衰减。


def train_by_hand(gradients, lr, decay, decoupled):
    w, m, v = torch.ones(gradients.shape[1]), 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        if decoupled:
            w = w * (1 - lr * decay)
        else:
            g = g + decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        w = w - lr * m_hat / (v_hat.sqrt() + 1e-8)
    return w


# %%
# 100 steps with random gradients end where ``torch.optim`` ends.
#
# 用随机的梯度走 100 步，终点与 ``torch.optim`` 相同。


def train(kind, gradients, **options):
    w = torch.ones(gradients.shape[1], requires_grad=True)
    optimizer = kind([w], **options)
    for g in gradients:
        w.grad = g.clone()
        optimizer.step()
    return w.detach()


torch.manual_seed(0)
gradients = torch.randn(100, 3)
for kind, decoupled in ((optim.Adam, False), (optim.AdamW, True)):
    mine = train_by_hand(gradients, 0.01, 0.1, decoupled)
    theirs = train(kind, gradients, lr=0.01, weight_decay=0.1)
    print(kind.__name__, mine.tolist())
    torch.testing.assert_close(mine, theirs)
# sphinx_gallery_start_ignore
ends = []
for decay in (0.0, 0.1):
    w = torch.ones(3, requires_grad=True)
    optimizer = optim.Adam([w], lr=0.01, weight_decay=decay)
    for g in gradients:
        optimizer.zero_grad()
        ((w * g).sum() + (0.1 - decay) / 2 * (w**2).sum()).backward()
        optimizer.step()
    ends.append(w.detach())
torch.testing.assert_close(*ends)
# sphinx_gallery_end_ignore

# %%
# Adam shrinks weights unequally | 在 Adam 里，权重缩得不一样多
# -------------------------------------------------------------
# Now gradients that change sign at each step, so that they lead nowhere, and that are
# 0.01 in one weight, 100 in another. All weights start at 1. After 500 steps AdamW has
# left 0.60 of each. Adam has left 0.00 of the first and 0.98 of the last: what is divided
# by a large gradient is small. So the weights that work the most decay the least.
#
# 再给一组每步变号的梯度，来回抵消，哪儿也不去；有的权重梯度是 0.01，有的是 100。
# 权重都从 1 出发。500 步后，AdamW 让每个权重都剩 0.60；Adam 呢，第一个剩 0.00，最后一个剩 0.98：
# 衰减被很大的梯度一除，就所剩无几了。于是越是卖力的权重，衰减得越少。

# sphinx_gallery_thumbnail_number = 1
sizes = torch.tensor([0.01, 0.1, 1.0, 10.0, 100.0])
signs = torch.tensor([1.0, -1.0]).repeat(250)[:, None]
left = {}
for kind in (optim.AdamW, optim.Adam):
    left[kind] = train(kind, signs * sizes, lr=0.01, weight_decay=0.1)
    print(f"{kind.__name__:5}", [f"{one:.2f}" for one in left[kind].tolist()])
# sphinx_gallery_start_ignore
torch.testing.assert_close(left[optim.AdamW], torch.full((5,), 0.60), rtol=0, atol=0.005)
adam = left[optim.Adam]
assert abs(adam[0]) < 0.005 and abs(adam[4] - 0.98) < 0.005 and (adam.diff() > 0).all()

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
many = torch.logspace(-3, 3, 61)
fig, ax = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
fig.set_gid("moves-decay")
fig.set_label(
    "What is left of a weight after 500 steps, against the size of its gradients: 0.6 "
    "everywhere with AdamW; with Adam from nothing to nearly all | "
    "500 步后权重还剩多少，随梯度大小的变化：AdamW 处处剩 0.6；Adam 从一点不剩到几乎没动"
)
for i, kind in enumerate((optim.AdamW, optim.Adam)):
    ax.semilogx(many, train(kind, signs * many, lr=0.01, weight_decay=0.1), f"C{i}", lw=3)
    ax.plot(sizes, left[kind], f"C{i}o", ms=7)
ax.text(1.5e-3, 0.64, "AdamW: the same for all | AdamW：一视同仁", color="C0")
ax.text(1.4, 0.42, "Adam: depends on the gradient | Adam：看梯度大小", color="C1")
ax.set(xlabel="size of the gradients | 梯度的大小", ylabel="what is left | 还剩多少")
ax.set_title("Adam hardly decays what has large gradients | 梯度大的，Adam 几乎不衰减")
plt.show()
# sphinx_gallery_end_ignore

# %%
# After how many steps a weight is halved | 多少步之后，权重减半
# --------------------------------------------------------------
# AdamW multiplies by ``1 - lr * weight_decay`` each step, so where the gradient is zero a
# weight halves in :math:`\ln 2 / (\text{lr} \cdot \text{weight_decay})` steps. (Where it is
# ``None``, the weight is skipped, and doesn't decay.) At AdamW's own defaults, 0.001 and
# 0.01, that is 69,315 steps. Wrong: take the number from ``Adam``, whose default is 0, and
# where 1e-4 may be plenty. In AdamW 1e-4 halves a weight in 6.9 million steps: as good as
# none. Right: choose the number of steps. And a schedule lowers the decay with ``lr``:
# cosine annealing to zero leaves half of the decay in all.
#
# AdamW 每步乘以 ``1 - lr * weight_decay``，所以梯度为零时，权重减半要
# :math:`\ln 2 / (\text{lr} \cdot \text{weight_decay})` 步。
# （梯度是 ``None`` 的会被跳过，并不衰减。）按 AdamW 的默认值 0.001 和 0.01，是 69315 步。
# 错误写法：把 ``Adam`` 用的数照搬过来。``Adam`` 默认是 0，用的时候 1e-4 也许就够强；
# 到了 AdamW，1e-4 要 690 万步才减半，等于没有。正确做法：先定步数，再算衰减。另外，学习率一降，
# 衰减也跟着降：用余弦退火降到零，总的衰减只有一半。

import math

for lr, decay in ((1e-3, 0.01), (1e-3, 1e-4), (1e-3, 0.1), (3e-4, 0.1)):
    print(f"lr {lr}, weight_decay {decay}: {math.log(2) / (lr * decay):,.0f} steps")
half = train(optim.AdamW, torch.zeros(693, 1), lr=0.01, weight_decay=0.1)
print("after 693 steps at 0.01 and 0.1:", round(half.item(), 3))
# sphinx_gallery_start_ignore
assert round(math.log(2) / 1e-5) == 69315 and round(math.log(2) / 1e-7 / 1e6, 1) == 6.9
torch.testing.assert_close(half.item(), 0.5, rtol=1e-3, atol=0)
w = torch.ones(1, requires_grad=True)
assert [kind([w]).defaults["weight_decay"] for kind in (optim.Adam, optim.AdamW)] == [0, 0.01]
assert optim.AdamW([w]).defaults["lr"] == 0.001
optimizer = optim.AdamW([w], lr=0.01, weight_decay=0.1)
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 693)
cosine = []
for _ in range(693):
    w.grad = torch.zeros(1)
    optimizer.step()
    scheduler.step()
    cosine.append(w.item())
torch.testing.assert_close(cosine[-1], 0.5**0.5, rtol=2e-3, atol=0)
# sphinx_gallery_end_ignore

# %%
# What to leave out: biases | 不该衰减的：偏置
# --------------------------------------------
# Adam's step is about ``lr`` long, and the decay takes ``lr * weight_decay * w``. They
# cancel where w is ``1 / weight_decay``, and no steady gradient pulls a weight further.
# Wrong: decay everything at 0.1. The data below lie around 100, so the bias has to get
# there, and it stays below 10. Right: a group of its own for the bias, without decay. A
# large bias is no sign of overfitting: it moves all predictions alike.
#
# Adam 每步走 ``lr`` 左右，衰减每步往回拉 ``lr * weight_decay * w``。w 到了 ``1 / weight_decay``，
# 两边正好抵消，梯度再怎么稳定地推，也推不过去。错误写法：统统按 0.1 衰减。下面的数据都在 100 附近，
# 偏置也该走到那里，却始终不到 10。正确写法：偏置单独一组，不衰减。偏置大不等于过拟合，
# 它只是让所有预测一起挪动。

torch.manual_seed(0)
x = torch.randn(64, 4)
y = x.sum(dim=1, keepdim=True) + 100


# sphinx_gallery_start_ignore
biases = []


# sphinx_gallery_end_ignore
def fit(decay_of_bias):
    torch.manual_seed(0)
    layer = nn.Linear(4, 1)
    groups = [{"params": [layer.weight]}]
    groups += [{"params": [layer.bias], "weight_decay": decay_of_bias}]
    optimizer = optim.AdamW(groups, lr=0.5, weight_decay=0.1)
    # sphinx_gallery_start_ignore
    biases.append([])
    # sphinx_gallery_end_ignore
    for _ in range(600):
        optimizer.zero_grad()
        nn.functional.mse_loss(layer(x), y).backward()
        optimizer.step()
        # sphinx_gallery_start_ignore
        biases[-1].append(layer.bias.item())
        # sphinx_gallery_end_ignore
    return layer.bias.item()


print(f"decayed: bias {fit(0.1):.2f}, not decayed: bias {fit(0.0):.2f}")
# sphinx_gallery_start_ignore
assert 9.5 < biases[0][-1] < 10 and abs(biases[1][-1] - 100) < 0.5

fig, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
fig.set_label(
    "The bias over 600 steps: without decay it climbs to 100; with decay 0.1 it bends "
    "and stays below 10 | "
    "偏置在 600 步里的变化：不衰减，升到 100；按 0.1 衰减，很快变平，停在 10 以下"
)
names = "wrong: decayed | 错误：衰减", "right: not decayed | 正确：不衰减"
for i, (name, values) in enumerate(zip(names, biases, strict=True)):
    color = ("C1", "C0")[i]
    ax.plot(values, color, lw=3)
    ax.text(607, values[-1], name, color=color, va="center", size=10)
ax.plot([0, 600], [10, 10], "--", color="0.5", lw=1)
ax.text(330, 14, "1 / weight_decay", color="0.5", family="monospace")
ax.set(xlim=(0, 820), xticks=range(0, 601, 100), xlabel="step | 步", ylabel="bias | 偏置")
ax.set_title("Decay holds the bias below 10 | 衰减把偏置拦在 10 以下")
plt.show()
# sphinx_gallery_end_ignore

# %%
# What to leave out: norms | 不该衰减的：归一化层
# -----------------------------------------------
# The weight of a norm starts at 1 and sets the scale of what leaves it; decay pulls that
# to 0, and the output with it. The matrix before a norm is another matter. Double it (and
# its bias, if it has one), and nothing changes: the norm divides it out. There, decay
# makes no function simpler; it keeps the matrix from growing, and so the steps from
# getting small beside it.
#
# 归一化层的权重从 1 开始，决定输出的尺度；衰减把它往 0 拉，输出也跟着变小。归一化之前的矩阵是另一回事：
# 把它放大一倍（有偏置就连偏置一起），输出不变，归一化会除掉。衰减在这里并不会让函数变简单，
# 它的作用是不让矩阵越长越大，免得每步的改动相比之下越来越小。

layers = nn.Linear(4, 8, bias=False), nn.LayerNorm(8)
before = layers[1](layers[0](x))
with torch.no_grad():
    layers[0].weight *= 2
    doubled = layers[1](layers[0](x))
    layers[1].weight *= 0.5
    halved = layers[1](layers[0](x))
print(f"matrix doubled: {(doubled - before).abs().max():.0e}")
print(f"norm halved: {(halved / before).mean():.2f} of the output")
# sphinx_gallery_start_ignore
torch.testing.assert_close(doubled, before, rtol=1e-3, atol=1e-3)
torch.testing.assert_close(halved, 0.5 * doubled)
# sphinx_gallery_end_ignore

# %%
# Build the groups | 分组
# -----------------------
# The common rule: decay what has two dimensions or more, that is, matrices and the kernels
# of convolutions; leave out the rest, which has one number a channel. That takes two lines
# of plain torch. It decays embeddings too. ``optimkit.param_groups`` asks the layers in
# place of the shapes, keeps the names, and ``optimkit.describe`` shows who got what.
#
# 通行的规则：维数不小于 2 的衰减，也就是矩阵和卷积核；其余的每个通道只有一个数，不衰减。
# 只用 torch，两行就够，不过嵌入层也会跟着衰减。``optimkit.param_groups`` 看的是层的种类，
# 不是形状，还会留住名字；谁分到了什么，用 ``optimkit.describe`` 看。

import optimkit

model = nn.Sequential(
    nn.Embedding(50, 8), nn.Linear(8, 16), nn.LayerNorm(16), nn.PReLU(), nn.Linear(16, 4)
)
decayed = [p for p in model.parameters() if p.ndim >= 2]
others = [p for p in model.parameters() if p.ndim < 2]
groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
by_shape = optim.AdamW(groups, lr=1e-3, weight_decay=0.1)

rule = optimkit.when(optimkit.is_matrix, name="decayed", weight_decay=0.1)
groups = optimkit.param_groups(model, rule, weight_decay=0.0)
by_layer = optim.AdamW(groups, lr=1e-3)
# sphinx_gallery_start_ignore
named = {p: name for name, p in model.named_parameters()}
first, _ = by_shape.param_groups
assert [named[p] for p in first["params"]] == ["0.weight", "1.weight", "4.weight"]
(decays,) = [group for group in by_layer.param_groups if group["weight_decay"]]
assert [named[p] for p in decays["params"]] == ["1.weight", "4.weight"]
# sphinx_gallery_end_ignore
optimkit.describe(by_layer, model)

# %%
# Ask yourself | 问问自己
# -----------------------
# - With plain SGD, without momentum, is there a choice to make?
# - A word of an embedding occurs in no batch. What does AdamW do to its row?
# - You replace ``Adam(params)`` by ``AdamW(params)``, nothing else. Same training?
#
# - 用不带动量的普通 SGD，还需要二选一吗？
# - 嵌入层里有个词，哪个批次都没出现过。AdamW 会拿它那一行怎么办？
# - 把 ``Adam(params)`` 换成 ``AdamW(params)``，别的不动，训练还一样吗？

# %%
# Answers | 答案
# --------------
# - No: nothing divides the gradient, so ``lr * (g + decay * w)`` and ``lr * g`` after
#   the factor are the same step.
# - It shrinks it: a row that was not looked up has a gradient of zero, not None, and
#   AdamW decays the tensor as a whole. So embeddings are often left out.
# - No: AdamW decays by default, at 0.01. With ``weight_decay=0`` they are the same.
#
# - 不需要：SGD 不会拿梯度的大小做除法，``lr * (g + decay * w)`` 与先乘倍数再走 ``lr * g`` 是同一步。
# - 把它缩小：没查到的行，梯度是零，不是 None，而 AdamW 对整个张量做衰减。所以嵌入层常常不衰减。
# - 不一样：AdamW 默认就衰减，取 0.01。设 ``weight_decay=0``，两者才相同。

words = nn.Embedding(3, 1)
row = words.weight[2].item()
optimizer = optim.AdamW(words.parameters(), lr=0.1, weight_decay=0.1)
for _ in range(100):
    optimizer.zero_grad()
    words(torch.tensor([0, 1])).square().sum().backward()
    optimizer.step()
print(f"left of the unused row: {words.weight[2].item() / row:.3f}")
# sphinx_gallery_start_ignore
torch.testing.assert_close(words.weight[2].item() / row, 0.99**100, rtol=1e-4, atol=0)
same = [train(kind, gradients, lr=0.01, weight_decay=0) for kind in (optim.Adam, optim.AdamW)]
torch.testing.assert_close(*same, rtol=0, atol=0)
w = torch.ones(3)
for g in gradients:
    w = w * (1 - 0.01 * 0.1) - 0.01 * g
torch.testing.assert_close(w, train(optim.SGD, gradients, lr=0.01, weight_decay=0.1))
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Write ``decay_for(steps, lr)``: the weight decay with which AdamW halves an unused
# weight in so many steps. Try it with 500 steps at a constant ``lr=0.01``. Then under
# ``LinearLR`` from 1 down to 0 over those steps: what must be doubled?
#
# 写一个 ``decay_for(steps, lr)``：用它给出的权重衰减，AdamW 恰好在这么多步里让没人用的权重减半。
# 先在学习率恒为 0.01 时试 500 步，再换成在这 500 步里从 1 降到 0 的 ``LinearLR``：什么要加倍？

# %%
# Solution | 参考答案
# -------------------
# The decay, since the average of ``lr`` is half: 0.139 becomes 0.277.
#
# 权重衰减要加倍，因为学习率平均下来只有一半：0.139 变成 0.277。


def decay_for(steps, lr):
    return math.log(2) / (steps * lr)


def left_after(steps, lr, decay, end=1.0):
    w = torch.ones(1, requires_grad=True)
    optimizer = optim.AdamW([w], lr=lr, weight_decay=decay)
    scheduler = optim.lr_scheduler.LinearLR(optimizer, 1.0, end, steps)
    for _ in range(steps):
        w.grad = torch.zeros(1)
        optimizer.step()
        scheduler.step()
    return w.item()


decay = decay_for(500, 0.01)
print(f"{decay:.3f}: {left_after(500, 0.01, decay):.3f} left")
print(f"{2 * decay:.3f}: {left_after(500, 0.01, 2 * decay, end=0.0):.3f} left")
# sphinx_gallery_start_ignore
assert f"{decay:.3f} {2 * decay:.3f}" == "0.139 0.277"
torch.testing.assert_close(left_after(500, 0.01, decay), 0.5, rtol=2e-3, atol=0)
torch.testing.assert_close(left_after(500, 0.01, 2 * decay, end=0.0), 0.5, rtol=3e-3, atol=0)
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 06 is about groups: layer by layer, and added while training.
# - Tutorial 13 shows what the division in Adam is good for.
# - The paper: `Decoupled Weight Decay Regularization
#   <https://arxiv.org/abs/1711.05101>`__.
#
# - 教程 06 讲参数组：逐层设置，或者训练途中再加。
# - 教程 13 讲 Adam 的除法好在哪里。
# - 提出解耦权重衰减的论文：`Decoupled Weight Decay Regularization
#   <https://arxiv.org/abs/1711.05101>`__。
