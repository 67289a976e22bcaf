"""
What is an optimizer? Gradient descent from scratch | 什么是优化器？从零写一遍梯度下降
======================================================================================

An optimizer holds your tensors and, at each ``step()``, moves them against their
gradients. Plain gradient descent is one line, ``p -= lr * p.grad``, and ``optim.SGD``
gives the same numbers. Whether it arrives depends on one number: the learning rate
must stay below 2/L, where L is the largest curvature of the loss.

优化器手里拿着你的张量，每调用一次 ``step()``，就让它们逆着各自的梯度挪一步。最朴素的梯度下降只有一行：
``p -= lr * p.grad``，``optim.SGD`` 算出来的数和它一样。最后能不能走到谷底，看一个数：
学习率要小于 2/L，其中 L 是损失函数的最大曲率。

**What you will learn**

- Where the rule comes from, and how to write it by hand without an error.
- How to see, measure and predict the learning rate at which training diverges.
- Level: beginner. Time: 15 minutes. Needs: Python, and what a derivative is.

**你会学到**

- 梯度下降的公式从哪里来，怎样手写才不报错。
- 学习率大到多少训练就会发散：看得见，量得出，也算得准。
- 难度：入门。用时：15 分钟。预备：Python，知道导数是什么。
"""

# %%
# An optimizer sees tensors, nothing else | 优化器只看得见张量
# ------------------------------------------------------------
# The note says that an optimizer "manages and updates the learnable parameters of the
# model, so that the model's output gets closer to the true labels". This is how most
# of us learned it, and the first half is exact. Managing means holding: the optimizer
# keeps the same tensor object, not a copy. Updating means reading its ``.grad``.
#
# 笔记里说，优化器“管理并更新模型中可学习参数的值，使得模型输出更接近真实标签”。我们大多是这样入门的，
# 前半句也很准确。“管理”就是持有：优化器存的是同一个张量对象，不是副本。“更新”就是读取它的 ``.grad``。
#
# The second half needs care. Below there is no model, no label and no loss, and
# ``step()`` works. An optimizer lowers a loss when you give it the gradient of that
# loss, and even this is no promise: further down a loss grows past ten billion.
#
# 后半句要打个折扣。下面没有模型，没有标签，连损失函数都没有，``step()`` 照样工作。给它某个损失的梯度，
# 它才去减小这个损失，而且不保证成功：后面就有一个损失涨过了一百亿。

# sphinx_gallery_covers = "C1 C3"
# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation
from torch import optim

plt.rcParams["font.sans-serif"] = [
    "Noto Sans CJK SC",
    "PingFang SC",
    "Microsoft YaHei",
    "DejaVu Sans",
]
torch.manual_seed(0)

w = torch.tensor([5.0, -3.0], requires_grad=True)
optimizer = optim.SGD([w], lr=0.1)
w.grad = torch.tensor([1.0, -1.0])
optimizer.step()
print(w.detach())

assert optimizer.param_groups[0]["params"][0] is w
torch.testing.assert_close(w.detach(), torch.tensor([4.9, -2.9]))

# %%
# Which way is down? | 哪边是下坡？
# ---------------------------------
# The note leaves its section on gradient descent empty. Three lines fill it:
#
# 1. Take a small step :math:`d`. To first order, :math:`f(\theta + d) \approx
#    f(\theta) + \nabla f(\theta) \cdot d`.
# 2. Among all steps of one length, the product :math:`\nabla f(\theta) \cdot d` is
#    smallest when :math:`d` points against the gradient.
# 3. So :math:`d = -\eta \nabla f(\theta)`, and the rule is
#    :math:`\theta \leftarrow \theta - \eta \nabla f(\theta)`. The factor :math:`\eta`
#    is the learning rate.
#
# 笔记里“什么是梯度下降法”一节是空的，三行就能补上：
#
# 1. 迈一小步 :math:`d`，按一阶近似，:math:`f(\theta + d) \approx
#    f(\theta) + \nabla f(\theta) \cdot d`。
# 2. 步长相同的各个方向里，:math:`d` 与梯度正好相反时，:math:`\nabla f(\theta) \cdot d`
#    最小。
# 3. 所以取 :math:`d = -\eta \nabla f(\theta)`，更新规则就是
#    :math:`\theta \leftarrow \theta - \eta \nabla f(\theta)`，系数 :math:`\eta` 叫学习率。
#
# Line 2 can be checked: try 360 directions on a valley, and see which one falls most.
#
# 第 2 行可以验证：在一个山谷里试 360 个方向，看哪个方向降得最多。


def valley(p):
    return (p[..., 0] ** 2 + 10 * p[..., 1] ** 2) / 2


p = torch.tensor([10.0, 5.0], dtype=torch.float64, requires_grad=True)
valley(p).backward()
angle = torch.arange(360) * torch.pi / 180
around = torch.stack([angle.cos(), angle.sin()], dim=1)
best = around[valley(p.detach() + 1e-3 * around).argmin()]
downhill = -p.grad / p.grad.norm()
print("best of 360:", best)
print("-gradient  :", downhill.float())

torch.testing.assert_close(best, downhill.float(), atol=0.01, rtol=0)

# %%
# Steep slope, long step | 坡越陡，步子越大
# -----------------------------------------
# On :math:`f(x) = x^2` the gradient is the slope of the tangent, :math:`2x`. With a
# learning rate of 0.2 each step is :math:`-0.2 \cdot 2x`, so 60% of :math:`x` is left
# after it: the steps shorten by themselves as the bottom comes near. The tangent
# promises more than the curve gives; that gap is what line 1 leaves out.
#
# 在 :math:`f(x) = x^2` 上，梯度就是切线的斜率 :math:`2x`。学习率取 0.2，每一步走
# :math:`-0.2 \cdot 2x`，走完之后 :math:`x` 剩下 60%：离谷底越近，步子自己就越小。切线许诺的下降
# 比曲线实际给的多，多出来的这一截，正是第 1 行略去的部分。

xs = [torch.tensor(-2.0)]
for _ in range(5):
    xs.append(xs[-1] - 0.2 * 2 * xs[-1])
xs = torch.stack(xs)
torch.testing.assert_close(xs[1:] / xs[:-1], torch.full((5,), 0.6))

fig, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
grid = torch.linspace(-2.3, 1.3, 200)
ax.plot(grid, grid**2, "C0", lw=2)
for start, end in zip(xs[:4], xs[1:5], strict=True):
    promised = start**2 + 2 * start * (end - start)
    ax.plot([start, end], [start**2, promised], "C1", lw=2.5)
    ax.plot([end, end], [promised, end**2], color="0.5", lw=1, ls=":")
    ax.annotate(
        "",
        (end, -0.6),
        (start, -0.6),
        arrowprops={"arrowstyle": "->", "color": "C2", "lw": 2, "shrinkA": 0, "shrinkB": 0},
    )
ax.plot(xs[:5], xs[:5] ** 2, "C0o", ms=7)
ax.text(-1.66, 2.0, "slope -4.0 | 斜率 -4.0", color="C1", ha="right")
ax.text(-1.0, 0.3, "-2.4", color="C1", ha="right")
ax.text(-0.2, -0.68, "steps | 每一步", color="C2")
ax.text(0.95, 1.1, r"$f(x)=x^2$", color="C0", ha="right")
ax.set(xlabel="x", ylabel="f(x)", ylim=(-1, 5.4))
ax.set_title("The steeper the tangent, the longer the step | 切线越陡，步子越大")
fig.set_label(
    "Parabola with four steps of gradient descent. From each point the tangent leads "
    "down to the next x; arrows below show that the steps shorten. | "
    "抛物线上的四步梯度下降。从每个点沿切线往下走到下一个 x，下方的箭头显示步子越来越短。"
)
plt.show()

# %%
# Two ways that look right | 两种看着没错的写法
# ---------------------------------------------
# Now in code, and first two wrong ways. Wrong way 1 changes the tensor in place while
# autograd is recording. Wrong way 2 runs, which is worse: ``w = w - ...`` makes a new
# tensor and gives it the old name. It is no leaf, and the optimizer still holds the
# old one, at 1.0.
#
# 下面写成代码，先看两种错误写法。错误一：自动微分正在记录时，对张量做原地操作。错误二不报错，反而更糟：
# ``w = w - ...`` 造出一个新张量，沿用了旧名字。它不是叶子张量，而优化器手里仍是旧的那个，值还是 1.0。

w = torch.tensor([1.0], requires_grad=True)
optimizer = optim.SGD([w], lr=0.1)
(w**2).sum().backward()
try:
    w -= 0.1 * w.grad
except RuntimeError as error:
    print(type(error).__name__, "-", str(error).splitlines()[0][:60])

w = w - 0.1 * w.grad
held = optimizer.param_groups[0]["params"][0]
print(f"w = {w.item():.1f}, held = {held.item():.1f}, leaf: {w.is_leaf}")
try:
    optim.SGD([w], lr=0.1)
except ValueError as error:
    print(type(error).__name__, "-", error)

assert held is not w and held.item() == 1.0 and not w.is_leaf

# %%
# By hand, then with ``optim.SGD`` | 先手写，再换成 ``optim.SGD``
# ---------------------------------------------------------------
# The right way: switch autograd off with ``torch.no_grad()``, update in place, clear
# the gradient. ``optim.SGD`` does these things in ``step()`` and ``zero_grad()``, and
# 50 steps of both end in the same place.
#
# 正确的写法：用 ``torch.no_grad()`` 关掉自动微分，原地更新，再把梯度清零。``optim.SGD`` 把这几件事放进了
# ``step()`` 和 ``zero_grad()``，两种写法各走 50 步，终点相同。

by_hand = torch.tensor([10.0, 5.0], requires_grad=True)
for _ in range(50):
    valley(by_hand).backward()
    with torch.no_grad():
        by_hand -= 0.05 * by_hand.grad
    by_hand.grad = None

by_sgd = torch.tensor([10.0, 5.0], requires_grad=True)
optimizer = optim.SGD([by_sgd], lr=0.05)
for _ in range(50):
    optimizer.zero_grad()
    valley(by_sgd).backward()
    optimizer.step()

print("by hand:", by_hand.detach())
print("SGD    :", by_sgd.detach())
torch.testing.assert_close(by_hand, by_sgd)

# %%
# The note writes this rule in Chinese: "new parameter = old parameter + negative
# gradient * learning rate". Python accepts Chinese names, so the line runs once they
# have values: it is gradient descent, to the letter. It is not what Adam does;
# tutorial 05 shows the difference.
#
# 笔记把这条规则写成了中文：``参数_new = 参数_old + 负梯度值 * 学习率``。
# Python 允许中文变量名，给它们赋上值，这一行就能运行：一字不差，正是梯度下降。
# 不过 Adam 并不是这样更新的，差别见教程 05。

# sphinx_gallery_covers = "S9"
line = "参数_new = 参数_old + 负梯度值 * 学习率"
try:
    exec(line)
except NameError as error:
    print(type(error).__name__, "-", error)

names = {"参数_old": 2.0, "负梯度值": -1.0, "学习率": 0.1}
exec(line, names)
print(names["参数_new"])
assert names["参数_new"] == 1.9

# %%
# Five learning rates, one valley | 同一个山谷，五个学习率
# --------------------------------------------------------
# The valley :math:`f = (x^2 + 10 y^2) / 2` curves ten times as much across as along
# (curvature is the second derivative: 10 and 1). Start at (10, 5) and take 100 steps.
# At 0.01 the path is smooth and slow. At 0.19 it zigzags home. At 0.2 it jumps from
# side to side for ever, and :math:`f` stays at 125. At 0.21, a twentieth more,
# :math:`f` ends above :math:`10^{10}`.
#
# 山谷 :math:`f = (x^2 + 10 y^2) / 2` 的横向曲率是纵向的十倍（曲率即二阶导数，分别是 10 和 1）。
# 从 (10, 5) 出发走 100 步。0.01 平稳但慢；0.19 左右摇摆着也能到底；0.2 在两侧之间永远跳下去，:math:`f` 停在 125；
# 0.21 只大了二十分之一，:math:`f` 最后超过 :math:`10^{10}`。


def descend(lr, steps=100):
    p = torch.tensor([10.0, 5.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=lr)
    path = [p.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        valley(p).backward()
        optimizer.step()
        path.append(p.detach().clone())
    return torch.stack(path)


paths = {lr: descend(lr) for lr in (0.01, 0.1, 0.19, 0.2, 0.21)}
final = {lr: valley(path[-1]).item() for lr, path in paths.items()}
print({lr: f"{f:.3g}" for lr, f in final.items()})

assert final[0.19] < 1e-6 < final[0.01] < 10
assert abs(final[0.2] - 125) < 0.1 and final[0.21] > 1e10

# %%
# The cross marks the bottom. The last panel shows the five losses on a logarithmic
# scale. After the first steps they are straight lines: each step multiplies the loss
# by a fixed factor.
#
# 十字标出谷底。最后一格是五个损失，纵轴为对数。过了开头几步都是直线：
# 每一步都让损失乘以一个固定的倍数。

fig, axes = plt.subplots(2, 3, figsize=(8, 4.2), layout="constrained")
x, y = torch.linspace(-11, 11, 89), torch.linspace(-8, 8, 65)
height = valley(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)).sqrt()
curves = axes[1, 2]
for i, (ax, (lr, path)) in enumerate(zip(axes.flat, paths.items(), strict=False)):
    ax.contour(x, y, height, levels=9, cmap="viridis", linewidths=0.8, alpha=0.6)
    ax.plot(*path.T, f"C{i}o-", ms=3, lw=1.2)
    ax.plot(0, 0, "+", color="0.5", ms=10)
    ax.set(xlim=(-11, 11), ylim=(-8, 8), xticks=[], yticks=[], title=f"lr = {lr}")
    curves.plot(valley(path), f"C{i}", lw=2)
    curves.text(
        103, final[lr], lr, color=f"C{i}", size=8, va="top" if lr in (0.01, 0.1) else "bottom"
    )
curves.yaxis.tick_right()
curves.set(yscale="log", xlim=(0, 130), ylim=(1e-11, 1e13), xticks=[0, 50, 100])
curves.set_title("loss by step | 每一步的损失")
fig.suptitle("0.19 arrives, 0.2 never, 0.21 flies off | 0.19 能到，0.2 到不了，0.21 飞走")
fig.set_label(
    "Contours of a valley with the paths of five learning rates, and their losses by "
    "step: 0.01 is slow, 0.1 and 0.19 arrive, 0.2 stays level, 0.21 grows. | "
    "山谷等高线上五个学习率的路径，以及各自的损失随步数的变化："
    "0.01 很慢，0.1 和 0.19 到达谷底，0.2 不降，0.21 不断变大。"
)
plt.show()

# %%
# The wall stands at 2/L | 分界线在 2/L
# -------------------------------------
# Why 0.2? Along a direction of curvature :math:`L` the gradient is :math:`L y`, so a
# step turns :math:`y` into :math:`(1 - \eta L) y`. It shrinks only while
# :math:`-1 < 1 - \eta L < 1`, that is, :math:`0 < \eta < 2 / L`. The valley is steepest
# across, :math:`L = 10`, so the wall is at 0.2.
#
# 为什么是 0.2？沿着曲率为 :math:`L` 的方向，梯度是 :math:`L y`，走一步，:math:`y` 变成
# :math:`(1 - \eta L) y`。只有 :math:`-1 < 1 - \eta L < 1`，也就是 :math:`0 < \eta < 2 / L` 时，
# 它才会变小。山谷最陡的方向 :math:`L = 10`，分界线就在 0.2。
#
# Measure it: 500 learning rates run side by side in each of three valleys. The largest
# one that still makes the loss fall is 2/L. The fastest one, the dot, is about
# 2/(1 + L), close to the wall; the 1 is the curvature along the valley. In a real
# network the curvature changes on the way, and the wall moves with it.
#
# 量一下：三个山谷里各有 500 个学习率同时下降。仍能让损失变小的最大学习率就是 2/L；最快的那个，
# 也就是图中的圆点，大约是 2/(1 + L)，离分界线很近，其中的 1 是山谷纵向的曲率。
# 真实网络的曲率一路都在变，分界线也跟着移动。

rates = torch.linspace(0.0005, 0.4995, 500, dtype=torch.float64)


def losses_after(steps, L):
    p = torch.tensor([[10.0, 5.0]], dtype=torch.float64).repeat(500, 1)
    curvature = torch.tensor([1.0, L])
    for _ in range(steps):
        p = p - rates[:, None] * curvature * p
    return (curvature * p**2).sum(dim=1) / 2


fig, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
for i, L in enumerate((20.0, 10.0, 5.0)):
    loss = losses_after(50, L)
    largest = rates[loss < losses_after(49, L)].max().item()
    fastest = rates[loss.argmin()].item()
    print(f"L = {L:2.0f}: largest {largest:.3f}, fastest {fastest:.3f}")
    assert abs(largest - 2 / L) < 0.001 and abs(fastest - 2 / (1 + L)) < 0.005
    ax.axvline(2 / L, color=f"C{i}", lw=1, ls="--")
    ax.plot(rates, loss, f"C{i}", lw=5 - 1.5 * i)
    ax.plot(fastest, loss.min(), f"C{i}o", ms=9)
    ax.text(2 / L + 0.005, 1e-15, f"L = {L:.0f}\n2/L = {2 / L:.1f}", color=f"C{i}")
ax.set(yscale="log", xlim=(0, 0.5), ylim=(1e-18, 1e6))
ax.set_xlabel("learning rate | 学习率")
ax.set_ylabel("loss after 50 steps | 50 步后的损失")
ax.set_title("The best learning rate is next to the wall | 最好的学习率紧挨着分界线")
fig.set_label(
    "Loss after 50 steps against the learning rate in three valleys: each curve falls "
    "to a minimum, then shoots up at its dashed line 2/L. | "
    "三个山谷里 50 步后的损失随学习率的变化：每条曲线先降到最低，到虚线 2/L 处陡然升高。"
)
plt.show()

# %%
# Watch four balls | 看四个小球
# -----------------------------
# Across the valley, :math:`f(y) = 5 y^2`, all balls start at 1.4. The first and the
# third take equally long: a step leaves 0.9 of the distance at 0.01, and -0.9 at 0.19.
# At 0.1, which is 1/L, one step is enough. At 0.205 every jump lands higher.
#
# 只看山谷的横向，:math:`f(y) = 5 y^2`，小球都从 1.4 出发。第一个和第三个一样慢：每走一步，
# 到谷底的距离在学习率 0.01 时乘以 0.9，在 0.19 时乘以 -0.9。0.1 正好是 1/L，一步到底。
# 0.205 每跳一次，落点更高。

balls = {
    0.01: "creeps | 慢慢挪",
    0.1: "one step | 一步到底",
    0.19: "zigzags | 左右摇摆",
    0.205: "climbs out | 越跳越高",
}
kept = torch.tensor([1 - 10 * lr for lr in balls])
torch.testing.assert_close(kept, torch.tensor([0.9, 0.0, -0.9, -1.05]))
track = 1.4 * kept ** torch.arange(15)[:, None]

fig = plt.figure(figsize=(7.5, 3.4))
ax = fig.add_axes((0, 0, 1, 0.9), xlim=(-3.2, 24.2), ylim=(-14, 52))
ax.set_axis_off()
y = torch.linspace(-3, 3, 61)
artists = []
for i, (lr, what) in enumerate(balls.items()):
    ax.fill_between(7 * i + y, 5 * y**2, -4, color="0.5", alpha=0.3, lw=0)
    trail = ax.plot([], [], f"C{i}o-", ms=3, lw=1)[0]
    artists.append((trail, ax.plot([], [], f"C{i}o", ms=13)[0]))
    ax.text(7 * i, 46, f"lr {lr}", color=f"C{i}", ha="center", size=12)
    ax.text(7 * i, -12, what, color=f"C{i}", ha="center")
counter = ax.text(0, 34, "k = 0", ha="center")
title = "Too small and almost too large are equally slow | 太小和差点太大，一样慢"
ax.set_title(title, y=1)
fig.set_label(
    "Animation: four balls in the same bowl. One creeps down, one lands in one step, "
    "one zigzags to the bottom, one jumps higher and higher. | "
    "动画：同一个碗里的四个小球。一个慢慢挪，一个一步到底，一个左右摇摆着到底，一个越跳越高。"
)


def draw(frame):
    step, part = divmod(frame, 3)
    here, there = track[step], track[min(step + 1, 14)]
    now = torch.lerp(here, there, part / 3)
    height = torch.lerp(5 * here**2, 5 * there**2, part / 3)
    for i, (trail, ball) in enumerate(artists):
        past = track[: step + 1, i]
        trail.set_data(7 * i + past, 5 * past**2)
        ball.set_data([7 * i + now[i]], [height[i]])
    counter.set_text(f"k = {step}")


animation = FuncAnimation(fig, draw, frames=43, interval=100)
fig.canvas.draw()

# %%
# Full batch, mini-batch, one sample | 全量、小批量、单样本
# ---------------------------------------------------------
# So far every step used the exact gradient. On real data that means reading all of it.
# A gradient from a few samples is noisy but cheap. Fit a line to 64 points and give
# each way the same budget, eight passes over the data: 8 steps with all 64 samples, 64
# steps with 8, or 512 steps with one.
#
# 到这里为止，每一步用的都是精确的梯度；换成真实数据，就要先把数据读完一遍。只用几个样本算出的梯度有噪声，
# 但便宜。用一条直线拟合 64 个点，三种做法的预算相同，都把数据看八遍：每步 64 个样本走 8 步，
# 每步 8 个走 64 步，每步 1 个走 512 步。
#
# All three use ``optim.SGD``. The S, for stochastic, is in the data you feed it, not in
# the class: with the full batch it is plain gradient descent.
#
# 三种做法用的都是 ``optim.SGD``。那个 S，也就是“随机”，在于你喂给它的数据，不在这个类里：
# 喂全量数据，它就是普通的梯度下降。

x = torch.rand(64) * 2
target = 1.5 * x - 1 + 0.3 * torch.randn(64)


def squared_error(theta, x, target):
    return ((theta[..., :1] * x + theta[..., 1:] - target) ** 2).mean(dim=-1)


def fit(batch_size):
    theta = torch.tensor([-1.0, 1.5], requires_grad=True)
    optimizer = optim.SGD([theta], lr=0.1)
    path = [theta.detach().clone()]
    for _ in range(8):
        for batch in torch.randperm(64).split(batch_size):
            optimizer.zero_grad()
            squared_error(theta, x[batch], target[batch]).backward()
            optimizer.step()
            path.append(theta.detach().clone())
    return torch.stack(path)


fits = {size: fit(size) for size in (64, 8, 1)}
A = torch.stack([x, torch.ones(64)], dim=1)
answer = torch.linalg.lstsq(A, target[:, None]).solution.flatten()
lowest = squared_error(answer, x, target)
over = {n: (squared_error(p[-1], x, target) - lowest).item() for n, p in fits.items()}
print({n: f"{excess:.3f}" for n, excess in over.items()})

assert over[64] > 1 and 0 < over[8] < 0.05
assert abs(over[1] - over[8]) < 0.02

# %%
# Printed is how far the loss is above its minimum. With the full batch it is still more
# than 1 above. With 8 samples a step it ends within 0.05 after 64 steps. With one
# sample it ends about as low after 512 steps, and does not come to rest. Mini-batches
# are the usual bargain: enough steps, little noise, and a batch computed at once.
#
# 打印的是损失比最小值高出多少。用全量数据，还高出 1 以上；每步 8 个样本，64 步就进到 0.05 以内；
# 每步 1 个样本，走了 512 步也只是差不多低，而且在最小值附近晃来晃去，停不下来。小批量是常见的折中：
# 步数够多，噪声不大，一批样本还能一起算。

fig, axes = plt.subplots(1, 3, figsize=(8, 3), sharey=True, layout="constrained")
slope, shift = torch.linspace(-1.3, 2.6, 79), torch.linspace(-1.8, 2.1, 79)
grid = torch.stack(torch.meshgrid(slope, shift, indexing="xy"), dim=-1)
height = squared_error(grid, x, target)
for i, (ax, (size, path)) in enumerate(zip(axes, fits.items(), strict=True)):
    ax.contour(slope, shift, height.log(), levels=9, cmap="viridis", linewidths=0.8, alpha=0.6)
    ax.plot(*path.T, f"C{i}o-", ms=3, lw=1.2)
    ax.plot(*answer, "+", color="0.5", ms=12, mew=2)
    steps = 512 // size
    ax.set_title(f"{steps} steps of {size} | {steps} 步，每步 {size} 个", color=f"C{i}")
    ax.set_xlabel("slope | 斜率")
axes[0].set_ylabel("intercept | 截距")
fig.suptitle("Same data read, more steps, more noise | 读的数据一样多，步数越多，噪声越大")
fig.set_label(
    "Three paths on the contours of a squared error: 8 smooth steps stop early, 64 "
    "steps come close, 512 rough steps reach the minimum and shake around it. | "
    "均方误差等高线上的三条路径：8 个平滑的步子停在半路，64 步接近谷底，512 个毛躁的小步到达谷底并在附近晃动。"
)
plt.show()

# %%
# Not every optimizer is gradient descent | 优化器不都是梯度下降
# ---------------------------------------------------------------
# The note's summary says that an optimizer updates by gradient descent. "Gradient
# based" is safer. Give three optimizers the gradient (1, 100) and the same learning
# rate: SGD moves 100 times as far in the second direction, Rprop reads only the sign,
# and Adam's first step is equally long in both. L-BFGS goes further and estimates the
# curvature; Muon, in ``torch`` since 2.9, orthogonalises the update of a matrix.
#
# 笔记总结说，优化器采用梯度下降法更新参数。说成“基于梯度”更稳妥。给三个优化器同样的梯度 (1, 100)
# 和同样的学习率：SGD 在第二个方向上走了 100 倍远，Rprop 只看符号，Adam 的第一步在两个方向上一样长。
# L-BFGS 走得更远，还会估计曲率；``torch`` 2.9 加入的 Muon 会先把矩阵的更新量正交化。

# sphinx_gallery_covers = "C4 C5"
moved = {}
for kind in (optim.SGD, optim.Rprop, optim.Adam):
    w = torch.zeros(2, requires_grad=True)
    w.grad = torch.tensor([1.0, 100.0])
    kind([w], lr=0.1).step()
    moved[kind.__name__] = w.detach()
    print(f"{kind.__name__:5}", w.detach())

torch.testing.assert_close(moved["SGD"], torch.tensor([-0.1, -10.0]))
torch.testing.assert_close(moved["Rprop"], torch.tensor([-0.1, -0.1]))
torch.testing.assert_close(moved["Adam"], torch.tensor([-0.1, -0.1]))

# %%
# Exercise | 练习
# ---------------
# Take the valley :math:`(x^2 + 25 y^2) / 2`. Find the largest stable learning rate to
# three decimals by running gradient descent, without the formula. Then compute
# :math:`L` as the largest eigenvalue of the Hessian, the matrix of second derivatives,
# and compare with 2/L.
#
# 换一个山谷 :math:`(x^2 + 25 y^2) / 2`。先不用公式，靠实际运行梯度下降，找出最大的稳定学习率，精确到三位小数；
# 再算出 :math:`L`，也就是黑塞矩阵（二阶导数组成的矩阵）的最大特征值，与 2/L 对比。

# %%
# Solution | 参考答案
# -------------------
# Halve the interval: a learning rate is stable if the last of 100 steps still makes the
# loss fall. Twelve halvings of (0, 1) leave an interval of 1/4096.
#
# 用二分法：走 100 步，如果最后一步仍让损失变小，这个学习率就是稳定的。区间 (0, 1) 对半分 12 次，
# 只剩 1/4096。


def steep(p):
    return (p[0] ** 2 + 25 * p[1] ** 2) / 2


def is_stable(lr):
    p = torch.tensor([10.0, 5.0], dtype=torch.float64, requires_grad=True)
    losses = []
    for _ in range(101):
        losses.append(steep(p))
        (gradient,) = torch.autograd.grad(losses[-1], p)
        with torch.no_grad():
            p -= lr * gradient
    return losses[-1] < losses[-2]


low, high = 0.0, 1.0
for _ in range(12):
    middle = (low + high) / 2
    low, high = (middle, high) if is_stable(middle) else (low, middle)

hessian = torch.autograd.functional.hessian(steep, torch.zeros(2))
L = torch.linalg.eigvalsh(hessian)[-1].item()
print(f"measured {low:.3f}, 2/L = {2 / L:.3f}")
assert L == 25 and low <= 2 / L <= high

# %%
# Where to go next | 接下来读什么
# -------------------------------
# From here you can go on in several directions:
#
# - Tutorial 02 shows what may be passed to an optimizer, and what it refuses.
# - The gradient was cleared on every step here; tutorial 04 says why.
# - A page to play with: `Why Momentum Really Works
#   <https://distill.pub/2017/momentum/>`__.
# - The contract: `the torch.optim page <https://pytorch.org/docs/stable/optim.html>`__.
#
# 接下来可以读：
#
# - 教程 02 讲哪些东西可以交给优化器，哪些它不收。
# - 这里每一步都把梯度清零，原因见教程 04。
# - 可以动手拖动的网页：`Why Momentum Really Works <https://distill.pub/2017/momentum/>`__。
# - 官方文档：`torch.optim <https://pytorch.org/docs/stable/optim.html>`__。
