"""
step(): what SGD, momentum and Adam compute | step()：SGD、动量和 Adam 各算什么
===============================================================================

Does ``step()`` compute ``param - lr * grad``? For plain SGD, yes. Adam's first step
moves every entry by the learning rate, whether its gradient is 0.01 or a million, and a
later step can go uphill, or move while the gradient is zero. Each optimizer has a rule
of its own, and most of them remember something.

``step()`` 算的是 ``param - lr * grad`` 吗？普通的 SGD 是。Adam 的第一步，
不管梯度是 0.01 还是一百万，每个元素移动的距离都等于学习率；往后它还可能往上坡走，
梯度为零时也会动。每个优化器都有自己的更新规则，而且多数要记住一些东西。

**What you will learn**

- Five update rules, each in two or three lines, checked against ``torch.optim``.
- Why changing the gradient tells you more about an optimizer than changing ``lr``.
- Level: beginner. Time: 15 minutes. Needs: tutorial 01.

**你会学到**

- 五种更新规则，每种两三行，并与 ``torch.optim`` 核对。
- 想看懂一个优化器，为什么改梯度比改 ``lr`` 更管用。
- 难度：入门。用时：15 分钟。预备：教程 01。
"""

# %%
# One step of Adam, with a gradient written by hand | 手写一个梯度，用 Adam 走一步
# --------------------------------------------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), has the
# order right: the loss, ``backward()``, ``step()``. To see ``step()`` alone, it writes the
# gradient by hand, a good trick. Its formula, "new parameter = old parameter + negative
# gradient * learning rate", gives 2 - 1 * 1 here. That fits, all but a last digit.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），说的顺序没错：
# 先算损失，再 ``backward()``，然后 ``step()``。要单独观察 ``step()``，它直接手写梯度，这是个好办法。
# 它的公式 ``参数_new = 参数_old + 负梯度值 * 学习率``，在这里就是 2 - 1 * 1。对得上，只差最末一位。

# sphinx_gallery_covers = "S9 S10 C25"
import torch
from torch import optim

weight = torch.tensor([[2.0, 3.0], [4.0, 5.0]], requires_grad=True)
weight.grad = torch.ones((2, 2))
optim.Adam([weight], lr=1.0).step()
print(f"{weight[0, 0].item():.10f}")
# sphinx_gallery_start_ignore
expected = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
torch.testing.assert_close(weight.detach(), expected)
# sphinx_gallery_end_ignore

# %%
# Change the gradient, not ``lr`` | 要改就改梯度，别改 ``lr``
# -----------------------------------------------------------
# The note suggests trying ``lr=0.1``. That turns 2 into 1.9, as the formula says: the
# gradient is 1, and 1 is where the two rules agree. So change the gradient. For 100 the
# formula predicts 2 - 100 = -98. SGD gets there. Adam stops at 1.
#
# 笔记建议改成 ``lr=0.1`` 试试，2 变成 1.9，仍然符合公式。可这里梯度是 1，
# 两种规则碰巧在这一点上一样。那就改梯度：梯度为 100 时，公式预测 2 - 100 = -98，
# SGD 算出来确实如此。换成 Adam 就不灵了：它给出的是 1。

# sphinx_gallery_covers = "C27 C28"


def first_step(kind, gradient, lr=1.0):
    w = torch.tensor([2.0], requires_grad=True)
    w.grad = torch.tensor([gradient])
    kind([w], lr=lr).step()
    return w.item()


for g in (0.01, 1.0, 100.0, 1e6):
    by_sgd, by_adam = first_step(optim.SGD, g), first_step(optim.Adam, g)
    print(f"gradient {g:9}: formula {2 - g:10.2f}  SGD {by_sgd:10.2f}  Adam {by_adam:.2f}")
    # sphinx_gallery_start_ignore
    assert abs(by_sgd - (2 - g)) < 1e-3 and abs(by_adam - 1) < 1e-5
torch.testing.assert_close(first_step(optim.Adam, 1.0, lr=0.1), 1.9)
# sphinx_gallery_end_ignore

# %%
# How far does the first step go? | 第一步走多远？
# ------------------------------------------------
# Adam divides the gradient by its own size. After one step, with bias correction, that
# is :math:`\eta \cdot g / (\sqrt{g^2} + \epsilon)`: the sign of :math:`g` times the
# learning rate. The size of :math:`g` shows only near ``eps=1e-8``, where it is half
# a step, and below. All of that is per entry: the step of a tensor with four entries is
# twice as long, :math:`\eta \sqrt{4}`.
#
# Adam 把梯度除以它自身的大小。走第一步时，经过偏差修正，就是
# :math:`\eta \cdot g / (\sqrt{g^2} + \epsilon)`，即 :math:`g` 的符号乘以学习率。
# 只有 :math:`g` 小到 1e-8（``eps``）上下，步长才跟着变小；:math:`g` 恰为 1e-8 时，正好走半步。
# 这说的都是单个元素：四个元素的张量，整步的长度是 :math:`\eta \sqrt{4}`，也就是两倍。

sizes = torch.logspace(-12, 6, 73)
w = torch.zeros(73, requires_grad=True)
w.grad = sizes.clone()
optim.Adam([w], lr=1.0).step()
torch.testing.assert_close(-w.detach(), sizes / (sizes + 1e-8), rtol=1e-4, atol=0)
# sphinx_gallery_start_ignore
four = torch.zeros(4, requires_grad=True)
four.grad = torch.tensor([0.01, -1.0, 100.0, -1e6])
optim.Adam([four], lr=0.1).step()
torch.testing.assert_close(four.detach().abs(), torch.full((4,), 0.1))
torch.testing.assert_close(four.detach().norm().item(), 0.1 * 2)
by_sgd = torch.zeros(73, requires_grad=True)
by_sgd.grad = sizes.clone()
optim.SGD([by_sgd], lr=1.0).step()
torch.testing.assert_close(-by_sgd.detach(), sizes)

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
fig.set_gid("moves-first-step")
fig.set_label(
    "Length of the first step: SGD is a diagonal; Adam is flat, but below 1e-8 | "
    "第一步的长度：SGD 是一条斜线；Adam 停在 1，到 1e-8 以下才下弯"
)
ax.loglog(sizes, -by_sgd.detach(), "C0", lw=3)
ax.loglog(sizes, -w.detach(), "C1", lw=3)
ax.plot(1e-8, 0.5, "C1o", ms=9)
ax.text(1e-8, 4, "eps = 1e-8: half a step | eps = 1e-8：半步", color="C1", ha="center")
ax.text(2e3, 0.01, "Adam: the learning rate | Adam：等于学习率", color="C1", ha="center")
ax.text(2e-3, 3e-6, "SGD: the gradient | SGD：等于梯度", color="C0")
ax.set_xlabel("size of the gradient | 梯度的大小")
ax.set_ylabel("length of the first step | 第一步的长度")
ax.set_title("Adam's first step ignores the gradient's size | Adam 的第一步不看梯度大小")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Five update rules by hand | 手写五种更新规则
# --------------------------------------------
# The note names three families: stochastic gradient descent, momentum, and "autograd
# adaptive learning rates". The last is a slip for ``Adagrad``, a forerunner of Adam:
# autograd computes the gradients. Below, ``m`` remembers gradients, ``v`` their squares,
# both start at 0, and ``t`` counts steps from 1.
#
# 笔记列了三类方法：随机梯度下降法、动量方法、“autograd 自适应学习率”。最后一个是笔误，
# 该是 ``Adagrad``，Adam 的前辈；autograd 是自动微分，负责算梯度。
# 下面 ``m`` 记梯度，``v`` 记梯度的平方，都从 0 开始，``t`` 是步数，从 1 数起。

# sphinx_gallery_covers = "C26"


def rule(name, g, m, v, t):
    if name == "SGD":
        return g, m, v
    if name == "momentum":
        m = 0.9 * m + g
        return m, m, v
    if name == "Adagrad":
        v = v + g**2
        return g / (v.sqrt() + 1e-10), m, v
    if name == "RMSprop":
        v = 0.99 * v + 0.01 * g**2
        return g / (v.sqrt() + 1e-8), m, v
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    return m_hat / (v_hat.sqrt() + 1e-8), m, v


# %%
# A step is not minus the gradient | 一步不等于负梯度
# ---------------------------------------------------
# Feed the five rules with the gradients 1, -0.5, 2, 0, 0; ``torch.optim`` makes the same
# moves. See Adam: on step 2 the gradient has changed sign and the move has not, it goes
# uphill; on steps 4 and 5 the gradient is zero, and it moves on. Momentum coasts too; SGD,
# Adagrad and RMSprop stop. RMSprop starts with ten times the learning rate: it lacks
# Adam's bias correction. So "is based on gradients" is safer than "uses gradient
# descent", the note's words.
#
# 依次喂给这五种规则梯度 1、-0.5、2、0、0，``torch.optim`` 走出来的每一步都一样。
# 看 Adam 那一行：第 2 步梯度已经变号，步子却没有，走的是上坡；第 4、5 步梯度为零，
# 它仍然在走。动量法也会这样滑行；SGD、Adagrad 和 RMSprop 则停住不动。RMSprop 的第一步
# 是学习率的 10 倍，因为它没有 Adam 的偏差修正。所以笔记说优化器“采用梯度下降法”，说成“基于梯度”更稳妥。

# sphinx_gallery_covers = "C4 C5"
gradients = torch.tensor([1.0, -0.5, 2.0, 0.0, 0.0])
moves = {}
for name in ("SGD", "momentum", "Adagrad", "RMSprop", "Adam"):
    m = v = torch.tensor(0.0)
    moves[name] = []
    for t, g in enumerate(gradients, start=1):
        update, m, v = rule(name, g, m, v, t)
        moves[name].append(0 - update.item())
    print(f"{name:8}", *(f"{move:7.3f}" for move in moves[name]))
# sphinx_gallery_start_ignore
for name, mine in moves.items():
    kind = optim.SGD if name == "momentum" else getattr(optim, name)
    w = torch.zeros(1, requires_grad=True)
    optimizer = kind([w], lr=1.0, **({"momentum": 0.9} if name == "momentum" else {}))
    path = [0.0]
    for g in gradients:
        w.grad = g[None]
        optimizer.step()
        path.append(w.item())
    theirs = torch.tensor(path).diff().tolist()
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=2e-6)
expected = [-1.0, -0.266, -0.658, -0.539, -0.456]
torch.testing.assert_close(moves["Adam"], expected, rtol=0, atol=1e-3)
assert abs(moves["RMSprop"][0] + 10) < 1e-3
assert all(moves[name][3:] == [0.0, 0.0] for name in ("SGD", "Adagrad", "RMSprop"))

fig, axes = plt.subplots(1, 3, figsize=(8, 2.7), sharey=True, layout="constrained")
fig.set_label(
    "Five steps of SGD, momentum and Adam: only SGD's are minus the gradient, grey | "
    "SGD、动量和 Adam 各走五步，灰线是负梯度：只有 SGD 与灰线重合"
)
titles = {"SGD": "SGD: minus the gradient | SGD：负梯度"}
titles |= {"momentum": "momentum: coasts on | 动量：继续滑行"}
titles |= {"Adam": "Adam: shorter, coasts | Adam：步子短，也滑行"}
for i, (ax, name) in enumerate(zip(axes, titles, strict=True)):
    ax.plot(range(1, 6), -gradients, "_", color="0.5", ms=26, mew=2)
    ax.bar(range(1, 6), moves[name], color=f"C{i}", width=0.6)
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set(xticks=range(1, 6), xlabel="step | 第几步")
    ax.set_title(titles[name], color=f"C{i}")
axes[0].set_ylabel("move of the weight | 权重移动量")
fig.suptitle("The same gradients (grey), different steps | 同样的梯度（灰线），不同的步子")
plt.show()
# sphinx_gallery_end_ignore

# %%
# How old gradients fade | 旧梯度的影响怎样消退
# ---------------------------------------------
# The note says that momentum caches "the gradient values of the previous few times". It
# keeps one tensor per parameter. After a gradient of 1 come zeros: :math:`k` steps later it
# counts :math:`0.9^k` in the momentum buffer, and :math:`0.1 \cdot 0.9^k` in Adam's first
# moment, an exponential moving average. A list of four would drop it all at once.
#
# 笔记说动量要“把前几次的梯度值缓存下来”，实际上每个参数只存一个张量。
# 先给一次梯度 1，之后全给 0：过了 :math:`k` 步，它在动量缓冲区里只剩 :math:`0.9^k`；
# Adam 的一阶矩是指数移动平均，它占 :math:`0.1 \cdot 0.9^k`。要是只存最近四次，四步之后就忘得一干二净。

# sphinx_gallery_covers = "C13"
a, b = (torch.zeros(1, requires_grad=True) for _ in range(2))
sgd, adam = optim.SGD([a], lr=1.0, momentum=0.9), optim.Adam([b], lr=1.0)
buffer, moment = [], []
for k in range(25):
    a.grad = b.grad = torch.tensor([1.0 if k == 0 else 0.0])
    sgd.step()
    adam.step()
    buffer.append(sgd.state[a]["momentum_buffer"].item())
    moment.append(adam.state[b]["exp_avg"].item())
print(f"7 steps old: {buffer[7]:.3f} of it in the buffer, {moment[7]:.4f} in the moment")
# sphinx_gallery_start_ignore
age = torch.arange(25)
torch.testing.assert_close(torch.tensor(buffer), 0.9**age)
torch.testing.assert_close(torch.tensor(moment), 0.1 * 0.9**age)
assert buffer[6] > 0.5 > buffer[7]

fig, ax = plt.subplots(figsize=(7.5, 2.5), layout="constrained")
fig.set_gid("moves-half-life")
fig.set_label(
    "What is left of a gradient fades by a tenth a step; a list would lose it | "
    "一个梯度还剩多少：每步减少十分之一；存成一串则会突然归零"
)
ax.bar(age, buffer, color="C1", width=0.8)
ax.bar(age, moment, color="C2", width=0.8)
ax.step([-0.5, 3.5, 3.5, 24.5], [1, 1, 0, 0], color="0.5", ls="--", lw=1.5)
ax.text(3.8, 0.92, "a list of four would end here | 只存四次，到此为止", color="0.5")
ax.text(8, 0.47, "momentum buffer | 动量缓冲区", color="C1")
ax.text(17, 0.27, "Adam's first moment | Adam 的一阶矩", color="C2", ha="center")
ax.set_xlabel("age of a gradient in steps | 这个梯度是多少步以前的")
ax.set_ylabel("what is left | 还剩多少")
ax.set_title("The buffer forgets a tenth each step | 缓冲区每步忘掉十分之一")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Read with ``detach()``, not ``.data`` | 用 ``detach()`` 读，不用 ``.data``
# -----------------------------------------------------------------------------
# The note prints ``weight.data``. Reading it does no harm; writing through it hides the
# change from autograd. Wrong: change a weight between the forward pass and
# ``backward()``. The true gradient of :math:`w^2` at 1 is 2, and you silently get 10.
# The same change under ``no_grad()`` is noticed and refused.
#
# 笔记打印的是 ``weight.data``。只读没有问题，通过它写入就会瞒过自动微分。
# 错误写法：在前向计算和 ``backward()`` 之间修改权重。:math:`w^2` 在 1 处的梯度是 2，
# 你却会得到 10，没有任何提示。同样的修改放在 ``no_grad()`` 里，会被发现并报错。

# sphinx_gallery_covers = "C29"
w = torch.ones(2, requires_grad=True)
loss = (w**2).sum()
w.data.mul_(5)
loss.backward()
print("through .data:", w.grad)
# sphinx_gallery_start_ignore
assert w.grad.tolist() == [10.0, 10.0]
# sphinx_gallery_end_ignore

loss = (w**2).sum()
with torch.no_grad():
    w.mul_(5)
try:
    loss.backward()
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except RuntimeError as error:
    print("RuntimeError:", error)

# %%
# Ask yourself | 问问自己
# -----------------------
# - You multiply the loss by 1000. What changes for SGD, and for Adam?
# - You call ``step()`` twice after one ``backward()``. Is that an error?
#
# - 把损失乘以 1000，SGD 会怎样，Adam 又会怎样？
# - 做一次 ``backward()``，调用两次 ``step()``，会报错吗？

# %%
# Answers | 答案
# --------------
# - SGD's steps get 1000 times as long. Adam's stay as they are, except for ``eps``, and
#   without weight decay: Adam adds that to the gradient, so it counts for less in a
#   larger one.
# - No. The same gradient is used twice, and Adam counts two steps.
#
# - SGD 每步走的距离变成原来的 1000 倍。Adam 的步子不变，只差 ``eps`` 那一点点，
#   前提是没有权重衰减：Adam 把它加在梯度上，梯度大了，它的分量就轻了。
# - 不会。同一个梯度用了两次，Adam 也记成两步。


def train(scale, **options):
    w = torch.tensor([3.0], requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1, **options)
    for _ in range(30):
        optimizer.zero_grad()
        (scale * (w - 5) ** 2).sum().backward()
        optimizer.step()
    return w.item()


for options in ({}, {"weight_decay": 0.1}):
    print(options, f"{train(1, **options):.4f} {train(1000, **options):.4f}")
# sphinx_gallery_start_ignore
torch.testing.assert_close(train(1), train(1000))
assert abs(train(1, weight_decay=0.1) - train(1000, weight_decay=0.1)) > 0.01
w = torch.tensor([3.0], requires_grad=True)
optimizer = optim.Adam([w], lr=0.1)
(w**2).sum().backward()
optimizer.step()
optimizer.step()
assert optimizer.state[w]["step"] == 2
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Write ``adam_step(p, state, lr)``, eight lines or fewer, that updates ``p`` in place
# from ``p.grad``. Begin with ``state = {"t": 0, "m": 0.0, "v": 0.0}``. Train a small
# problem with it and with ``optim.Adam`` for 100 steps, and compare.
#
# 写一个 ``adam_step(p, state, lr)``，不超过八行，根据 ``p.grad`` 原地更新 ``p``，
# 开头 ``state = {"t": 0, "m": 0.0, "v": 0.0}``。用它和 ``optim.Adam`` 各训练一个小问题 100 步，再对比结果。

# %%
# Solution | 参考答案
# -------------------
# From step to step, two averages and a count are all there is to keep: the optimizer
# state. The bias correction is computed each time.
#
# 要留给下一步的，只有两个平均值和一个步数，这就是优化器状态；偏差修正每次现算。


def adam_step(p, state, lr):
    state["t"] += 1
    state["m"] = 0.9 * state["m"] + 0.1 * p.grad
    state["v"] = 0.999 * state["v"] + 0.001 * p.grad**2
    m = state["m"] / (1 - 0.9 ** state["t"])
    v = state["v"] / (1 - 0.999 ** state["t"])
    with torch.no_grad():
        p -= lr * m / (v.sqrt() + 1e-8)


mine, theirs = (torch.tensor([5.0, -3.0], requires_grad=True) for _ in range(2))
state, optimizer = {"t": 0, "m": 0.0, "v": 0.0}, optim.Adam([theirs], lr=0.1)
for _ in range(100):
    mine.grad = theirs.grad = None
    ((mine - 1) ** 2 + (theirs - 1) ** 2).sum().backward()
    adam_step(mine, state, lr=0.1)
    optimizer.step()
print(mine.detach(), theirs.detach())
# sphinx_gallery_start_ignore
torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 06 gives different parameters different hyperparameters.
# - Tutorial 11 changes the learning rate while you train.
# - The paper: `Adam, a Method for Stochastic Optimization
#   <https://arxiv.org/abs/1412.6980>`__.
#
# - 教程 06 给不同的参数设不同的超参数。
# - 教程 11 讲训练途中怎样调整学习率。
# - Adam 的论文：`Adam, a Method for Stochastic Optimization
#   <https://arxiv.org/abs/1412.6980>`__。
