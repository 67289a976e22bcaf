"""
What is an optimizer? Gradient descent from scratch | 什么是优化器？从零写一遍梯度下降
======================================================================================

An optimizer holds your tensors and, at each ``step()``, moves them against their
gradients. Plain gradient descent is one line, ``p -= lr * p.grad``, and ``optim.SGD``
gives the same result. Whether it arrives depends on one number: the learning rate
must stay below 2/L, where L is the largest curvature of the loss.

优化器手里拿着你的张量，每调用一次 ``step()``，就让它们逆着各自的梯度挪一步。
最朴素的梯度下降只有一行：``p -= lr * p.grad``，``optim.SGD`` 算出来的结果和它一样。
走不走得到谷底，全看学习率：它要小于 2/L，这里 L 是损失的最大曲率。

**What you will learn**

- Where the rule comes from, and how to write it by hand without an error.
- How to see, measure and predict the learning rate at which training diverges.
- Level: beginner. Time: 15 minutes. Needs: Python, PyTorch tensors,
  and what a derivative is.

**你会学到**

- 梯度下降的公式从哪里来，怎样手写才不出错。
- 学习率大到多少训练就会发散：看得见，量得出，也算得准。
- 难度：入门。用时：15 分钟。预备：Python，PyTorch 张量，知道导数是什么。
"""

# %%
# An optimizer sees tensors, nothing else | 优化器只看得见张量
# ------------------------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), says that
# an optimizer "manages and updates the learnable parameters of the model, so that its
# output gets closer to the true labels". It does manage: it holds the same tensor, not a
# copy. To update, it reads the tensor's ``.grad``, which autograd fills as a rule. Here we
# do, so ``step()`` works without a model, a label or a loss.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），说优化器“管理并更新模型中可学习
# 参数的值，使得模型输出更接近真实标签”。“管理”说得很准：它拿着的就是原来的张量，不是副本；
# “更新”时，它读的是张量的 ``.grad``，平时由自动微分填好。这里我们手写，
# 所以没有模型，没有标签，连损失都没有，``step()`` 照样能走。

# sphinx_gallery_covers = "C1 C3"
import torch
from torch import optim

w = torch.tensor([5.0, -3.0], requires_grad=True)
optimizer = optim.SGD([w], lr=0.1)
w.grad = torch.tensor([1.0, -1.0])
optimizer.step()
print(w.detach())
assert optimizer.param_groups[0]["params"][0] is w
# sphinx_gallery_start_ignore
torch.testing.assert_close(w.detach(), torch.tensor([4.9, -2.9]))
# sphinx_gallery_end_ignore

# %%
# Which way is down? | 哪边是下坡？
# ---------------------------------
# The note leaves its section on gradient descent empty. Three lines fill it. Let
# :math:`\theta` be the tensor, and :math:`f` the loss, with gradient :math:`\nabla f`:
#
# 1. Take a small step :math:`d`. To first order, :math:`f(\theta + d) \approx
#    f(\theta) + \nabla f(\theta) \cdot d`.
# 2. Among all steps of one length, :math:`\nabla f(\theta) \cdot d` is smallest when
#    :math:`d` points against the gradient.
# 3. So the rule is :math:`\theta \leftarrow \theta - \eta \nabla f(\theta)`. The factor
#    :math:`\eta` is the learning rate, ``lr`` in code.
#
# The code tests line 2 in a valley, :math:`f = (x^2 + 10 y^2) / 2`: of 360 small steps, a
# degree apart, the one that ends lowest points against the gradient.
#
# 笔记里“什么是梯度下降法”一节是空的，三行就能补上。
# 记张量为 :math:`\theta`，损失为 :math:`f`，它的梯度为 :math:`\nabla f`：
#
# 1. 迈一小步 :math:`d`，按一阶近似，:math:`f(\theta + d) \approx
#    f(\theta) + \nabla f(\theta) \cdot d`。
# 2. 同样长的步子，:math:`d` 与梯度正好相反时，:math:`\nabla f(\theta) \cdot d` 最小。
# 3. 所以更新规则是 :math:`\theta \leftarrow \theta - \eta \nabla f(\theta)`，
#    系数 :math:`\eta` 就是学习率，代码里写作 ``lr``。
#
# 下面在山谷 :math:`f = (x^2 + 10 y^2) / 2` 里验证第 2 行：每隔一度试一小步，
# 一共 360 个方向，落点最低的那一步正好逆着梯度。


def valley(p):
    x, y = p.unbind(-1)
    return (x**2 + 10 * y**2) / 2


p = torch.tensor([10.0, 5.0], dtype=torch.float64, requires_grad=True)
valley(p).backward()
angle = torch.arange(360) * torch.pi / 180
around = torch.stack([angle.cos(), angle.sin()], dim=1)
best = around[valley(p.detach() + 1e-3 * around).argmin()]
print("best:", best, " against the gradient:", (-p.grad / p.grad.norm()).float())
# sphinx_gallery_start_ignore
torch.testing.assert_close(best, (-p.grad / p.grad.norm()).float(), atol=0.01, rtol=0)
# sphinx_gallery_end_ignore

# %%
# Wrong: two ways that look right | 错误：两种看着没错的写法
# ----------------------------------------------------------
# The first changes the tensor in place while autograd is recording, and is refused. The
# second runs, which is worse: ``w = w - ...`` computes a new tensor and gives it the old
# name. Computed from others, it is no leaf tensor, so ``backward()`` won't fill its
# ``.grad``. And the optimizer holds the old one, at 1.0.
#
# 第一种：自动微分正在记录，却对张量做原地操作，会报错。
# 第二种不报错，反而更糟：``w = w - ...`` 算出一个新张量，沿用了旧名字。
# 它是由别的张量算出来的，不再是叶子张量，``backward()`` 不会填它的 ``.grad``；
# 优化器手里仍是旧的那个，值还是 1.0。

w = torch.tensor([1.0], requires_grad=True)
optimizer = optim.SGD([w], lr=0.1)
(w**2).sum().backward()
try:
    w -= 0.1 * w.grad
except RuntimeError as error:
    print("RuntimeError:", error)

w = w - 0.1 * w.grad
held = optimizer.param_groups[0]["params"][0]
print(f"w = {w.item():.1f}, leaf: {w.is_leaf}, the optimizer holds {held.item():.1f}")
# sphinx_gallery_start_ignore
assert held is not w and held.item() == 1.0 and not w.is_leaf
# sphinx_gallery_end_ignore

# %%
# Right: by hand, then with ``optim.SGD`` | 正确：先手写，再换成 ``optim.SGD``
# -----------------------------------------------------------------------------
# Switch autograd off with ``torch.no_grad()``, update in place, clear the gradient, or
# the next ``backward()`` adds to it (tutorial 04). ``optim.SGD`` does the same in
# ``step()`` and ``zero_grad()``, and ends at the same place.
#
# 用 ``torch.no_grad()`` 关掉自动微分，原地更新，再把梯度清零，
# 不然下一次 ``backward()`` 会接着往上加（见教程 04）。
# ``optim.SGD`` 把这几件事放进了 ``step()`` 和 ``zero_grad()``，终点相同。

by_hand = torch.tensor([10.0, 5.0], requires_grad=True)
by_sgd = torch.tensor([10.0, 5.0], requires_grad=True)
optimizer = optim.SGD([by_sgd], lr=0.05)
for _ in range(50):
    valley(by_hand).backward()
    with torch.no_grad():
        by_hand -= 0.05 * by_hand.grad
    by_hand.grad = None
    optimizer.zero_grad()
    valley(by_sgd).backward()
    optimizer.step()
print(by_hand.detach(), by_sgd.detach())
# sphinx_gallery_start_ignore
torch.testing.assert_close(by_hand, by_sgd)
# sphinx_gallery_end_ignore

# %%
# Five learning rates, one valley | 同一个山谷，五个学习率
# --------------------------------------------------------
# The curvatures of the valley, its second derivatives, are 1 along, in x, and 10 across,
# in y. Start at (10, 5) and take 100 steps. 0.01 is smooth and slow; 0.19 zigzags home.
# At 0.2 it jumps from side to side forever, and the loss stays at 125. At 0.21, a
# twentieth more, the loss ends above :math:`10^{10}`. On a logarithmic axis the lines of
# the losses all end up straight: a step multiplies the loss by a fixed factor.
#
# 山谷的曲率就是二阶导数：顺着走（x 方向）是 1，横着走（y 方向）是 10。
# 从 (10, 5) 出发走 100 步：0.01 平稳但慢；0.19 来回摇摆，也能到底；
# 0.2 在谷的两侧来回跳，永远停不下来，损失停在 125；
# 0.21 只大了二十分之一，损失最后却超过 :math:`10^{10}`。
# 损失画在对数坐标上，每条线到后来都是直的：每走一步，损失都乘以一个固定的倍数。


def descend(lr, loss=valley):
    p = torch.tensor([10.0, 5.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=lr)
    path = [p.detach().clone()]
    for _ in range(100):
        optimizer.zero_grad()
        loss(p).backward()
        optimizer.step()
        path.append(p.detach().clone())
    return torch.stack(path)


paths = {lr: descend(lr) for lr in (0.01, 0.1, 0.19, 0.2, 0.21)}
# sphinx_gallery_start_ignore
final = {lr: valley(path[-1]).item() for lr, path in paths.items()}
assert final[0.19] < 1e-6 < final[0.01] < 10
assert abs(final[0.2] - 125) < 0.1 and final[0.21] > 1e10

import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, axes = plt.subplots(2, 3, figsize=(8, 3.8), layout="constrained")
fig.set_gid("moves-valley")
fig.set_label(
    "Paths and losses in a valley: 0.01 is slow, 0.1 and 0.19 arrive, 0.21 grows | "
    "山谷里的路径和损失：0.01 很慢，0.1 和 0.19 到底，0.21 不断变大"
)
x, y = torch.linspace(-11, 11, 89), torch.linspace(-8, 8, 65)
height = valley(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)).sqrt()
curves = axes[1, 2]
for i, (lr, path) in enumerate(paths.items()):
    ax = axes.flat[i]
    ax.contour(x, y, height, levels=9, cmap="viridis", linewidths=0.8, alpha=0.6)
    ax.plot(*path.T, f"C{i}o-", ms=3, lw=1.2)
    ax.plot(0, 0, "+", color="0.5", ms=10)
    ax.set(xlim=(-11, 11), ylim=(-8, 8), xticks=[], yticks=[], title=f"lr = {lr}")
    curves.plot(valley(path), f"C{i}", lw=2)
    side = "top" if lr in (0.01, 0.1) else "bottom"
    curves.text(103, final[lr], lr, color=f"C{i}", size=8, va=side)
curves.yaxis.tick_right()
curves.set(yscale="log", xlim=(0, 130), ylim=(1e-11, 1e13), xticks=[0, 50, 100])
curves.set_title("loss by step | 每一步的损失")
fig.suptitle("0.19 arrives, 0.2 never, 0.21 flies off | 0.19 能到，0.2 到不了，0.21 飞走")
plt.show()
# sphinx_gallery_end_ignore

# %%
# The wall stands at 2/L | 分界线在 2/L
# -------------------------------------
# Why does 0.2 divide them? Along a direction of curvature :math:`L` the gradient is
# :math:`L y`, so a step turns :math:`y` into :math:`(1 - \eta L) y`. It shrinks only while
# :math:`-1 < 1 - \eta L < 1`, that is, :math:`0 < \eta < 2 / L`. See four balls roll across
# the valley, :math:`f(y) = 5 y^2`; the slope of the grey tangent is the gradient. A step
# leaves 0.9 of the distance at 0.01 and -0.9 at 0.19, which is equally slow. At 0.1, which
# is 1/L, one step is enough. At 0.205 every jump lands higher.
#
# 为什么是 0.2？沿着曲率为 :math:`L` 的方向，梯度是 :math:`L y`，走一步，:math:`y` 变成
# :math:`(1 - \eta L) y`。只有 :math:`-1 < 1 - \eta L < 1`，也就是
# :math:`0 < \eta < 2 / L` 时，它才会变小。下面把山谷横着切开，只看 :math:`f(y) = 5 y^2`，
# 灰线是切线，它的斜率就是梯度。每走一步，小球到谷底的距离在学习率 0.01 时乘以 0.9，
# 在 0.19 时乘以 -0.9，一样慢；0.1 正好是 1/L，一步到底；0.205 每跳一次，落点更高。
#
# Then 50 steps with 500 learning rates, in three valleys. The fastest, the dot, is close
# to the wall. L to 1, the largest curvature to the smallest, is the condition number: the
# larger, the slower even the best learning rate. In a real network the curvature changes
# on the way.
#
# 再在三个山谷里各试 500 个学习率，各走 50 步。最快的是图中的圆点，离分界线不远。
# 最大与最小的曲率之比，这里是 L 比 1，叫条件数：它越大，就算用最好的学习率也越慢。
# 真实网络的曲率一路都在变，分界线也跟着动。


def loss_after(steps, lr, L):
    x, y = 10 * (1 - lr) ** steps, 5 * (1 - lr * L) ** steps
    return (x**2 + L * y**2) / 2


rates = torch.linspace(0.0005, 0.4995, 500, dtype=torch.float64)
for L in (20.0, 10.0, 5.0):
    loss = loss_after(50, rates, L)
    falls = loss < loss_after(49, rates, L)
    print(f"2/L = {2 / L}: largest {rates[falls].max():.3f}, fastest {rates[loss.argmin()]:.3f}")
# sphinx_gallery_start_ignore

texts = "creeps | 慢慢挪", "one step | 一步到底", "zigzags | 左右摇摆", "climbs | 越跳越高"
lrs = torch.tensor([0.01, 0.1, 0.19, 0.205])
assert [round(1 - 10 * lr.item(), 3) for lr in lrs] == [0.9, 0.0, -0.9, -1.05]
track = 1.4 * (1 - 10 * lrs) ** torch.arange(15)[:, None]
points = torch.stack([track + 7 * torch.arange(4), 5 * track**2], dim=-1)

fig = plt.figure(figsize=(7.5, 3))
fig.set_label(
    "Animation: four balls in a bowl creep down, land at once, zigzag, climb out | "
    "动画：碗里的四个小球，一个慢慢挪，一个一步到底，一个左右摇摆，一个越跳越高"
)
ax = fig.add_axes((0, 0, 1, 0.9), xlim=(-3.2, 24.2), ylim=(-22, 60))
ax.set_axis_off()
ax.set_title("Too small and almost too large are equally slow | 太小和差点太大，一样慢", y=1)
bowl, reach = torch.linspace(-3, 3, 61), torch.tensor([-1.0, 1.0])
drawn = []
for i, text in enumerate(texts):
    ax.fill_between(7 * i + bowl, 5 * bowl**2, -4, color="0.5", alpha=0.3, lw=0)
    styles = (f"C{i}o-", 3), ("0.5", 0), (f"C{i}o", 13)
    drawn.append([ax.plot([], [], style, ms=ms, lw=1.5)[0] for style, ms in styles])
    ax.text(7 * i, 55, f"lr {lrs[i]:.3g}", color=f"C{i}", ha="center", size=12)
    ax.text(7 * i, 49, text, color=f"C{i}", ha="center")


def draw(step):
    for i, (trail, tangent, ball) in enumerate(drawn):
        x, y = points[: step + 1, i].T
        trail.set_data(x, y)
        tangent.set_data(x[-1] + reach, y[-1] + 10 * track[step, i] * reach)
        ball.set_data(x[-1:], y[-1:])


animation = FuncAnimation(fig, draw, frames=15, interval=300)
fig.canvas.draw()
plt.show()

lowest = []
fig, ax = plt.subplots(figsize=(7.5, 2.7), layout="constrained")
fig.set_label(
    "Loss against learning rate: each curve falls, then shoots up at its line 2/L | "
    "损失随学习率的变化：每条曲线先降到最低，到虚线 2/L 处陡然升高"
)
for i, L in enumerate((20.0, 10.0, 5.0)):
    before, loss = (loss_after(steps, rates, L) for steps in (49, 50))
    largest, fastest = rates[loss < before].max().item(), rates[loss.argmin()].item()
    assert abs(largest - 2 / L) < 0.001 and abs(fastest - 2 / (1 + L)) < 0.005
    lowest.append(loss.min().item())
    ax.axvline(2 / L, color=f"C{i}", lw=1, ls="--")
    ax.plot(rates, loss, f"C{i}", lw=5 - 1.5 * i)
    ax.plot(fastest, lowest[-1], f"C{i}o", ms=9)
    ax.text(2 / L + 0.005, 1e-15, f"L = {L:.0f}\n2/L = {2 / L:.1f}", color=f"C{i}")
assert lowest == sorted(lowest, reverse=True)
ax.set(yscale="log", xlim=(0, 0.5), ylim=(1e-18, 1e6))
ax.set(xlabel="learning rate | 学习率", ylabel="loss after 50 steps | 50 步后的损失")
ax.set_title("Best is just below the wall | 最好的学习率就在分界线左边一点")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - You train on ``2 * loss`` in place of ``loss``. Where is the wall now?
# - The gradient is zero. Are you at the bottom?
# - The S in SGD stands for stochastic. Which line of this page is stochastic?
#
# - 把 ``loss`` 换成 ``2 * loss`` 来训练，分界线会到哪里？
# - 梯度为零，就是到谷底了吗？
# - SGD 的 S 是“随机”的意思。这一页里，哪一行是随机的？

# %%
# Answers | 答案
# --------------
# - At half of what it was, since L doubles: 0.11 used to arrive, and no longer does.
# - Perhaps not: it is zero on a hilltop and at a saddle point too, and SGD stays there.
# - None. Stochastic gradient descent is the same class, fed with the gradient of a
#   mini-batch, a few samples drawn at random: noisier, and cheaper than reading all.
#
# - 退到原来的一半，因为 L 翻倍了：学习率 0.11 原先能到底，现在到不了。
# - 不一定：山顶和鞍点的梯度也是零，SGD 同样会停在那里。
# - 一行也没有。随机梯度下降用的还是这个类，只是喂给它的是小批量的梯度：
#   随机抽几个样本来算，噪声大一些，但比读完全部数据便宜。

once, doubled = descend(0.11), descend(0.11, loss=lambda p: 2 * valley(p))
print(f"{valley(once[-1]):.0e}, then {valley(doubled[-1]):.0e}")
# sphinx_gallery_start_ignore
assert valley(once[-1]) < 1e-6 and valley(doubled[-1]) > 1e6
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Take the valley :math:`(x^2 + 25 y^2) / 2`. Find the largest stable learning rate to
# three decimals with ``descend``, without the formula. Then compute :math:`L` as the
# largest eigenvalue of the Hessian, the matrix of second derivatives, and compare.
#
# 换一个山谷 :math:`(x^2 + 25 y^2) / 2`。先不用公式，靠 ``descend`` 试出最大的稳定学习率，
# 精确到三位小数。再算出 :math:`L`，也就是黑塞矩阵（二阶导数组成的矩阵）的最大特征值，对比一下。

# %%
# Solution | 参考答案
# -------------------
# Halve the interval: a learning rate is stable if the last of 100 steps still makes the
# loss fall. Twelve halvings of (0, 1) leave an interval of 1/4096.
#
# 用二分法：走 100 步，如果最后一步仍让损失变小，这个学习率就是稳定的。
# 区间 (0, 1) 对半分 12 次，只剩 1/4096。


def steep(p):
    x, y = p.unbind(-1)
    return (x**2 + 25 * y**2) / 2


low, high = 0.0, 1.0
for _ in range(12):
    middle = (low + high) / 2
    losses = steep(descend(middle, loss=steep))
    low, high = (middle, high) if losses[-1] < losses[-2] else (low, middle)
hessian = torch.autograd.functional.hessian(steep, torch.zeros(2))
L = torch.linalg.eigvalsh(hessian)[-1].item()
print(f"measured {low:.3f}, 2/L = {2 / L:.3f}")
# sphinx_gallery_start_ignore
assert L == 25 and low <= 2 / L <= high
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 02 shows what may be passed to an optimizer, and what it refuses.
# - Tutorial 05 shows how Adam and others make a step out of a gradient.
# - A page to play with: `Why Momentum Really Works
#   <https://distill.pub/2017/momentum/>`__.
#
# - 教程 02 讲哪些东西可以交给优化器，哪些它不收。
# - 教程 05 看 Adam 等优化器怎样把梯度变成一步。
# - 可以动手拖着玩的网页：`Why Momentum Really Works
#   <https://distill.pub/2017/momentum/>`__。
