"""
Why momentum and Adam work | 动量和 Adam 为什么管用
===================================================

In a long valley, a step that the steep sides can stand is far too short for the floor.
Momentum averages gradients: across the valley they cancel, along it they add up, to ten
times one. Adam divides each entry by its own size, so that all walk at one pace. Without
a valley neither helps; and one that lies askew, Adam's division does not level.

在狭长的山谷里，陡坡受得住的步子，放到谷底就太短了。动量把前后的梯度累加起来：横着的互相抵消，
顺着的越积越多，最多到单个梯度的十倍。Adam 让每个元素除以自己的大小，大家走得一样快。
没有山谷，两者都帮不上忙；山谷要是斜的，Adam 的除法也拉不平。

**What you will learn**

- What a leaky average does to gradients that agree, and to gradients that don't.
- How much momentum gains in a valley, and why it doesn't remove noise.
- Why Adam can't see how steep a valley is, but sees which way it runs.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 01, tutorial 05.

**你会学到**

- 会漏的平均怎样对待方向一致的梯度，又怎样对待来回变号的梯度。
- 动量在山谷里能快多少，为什么它去不掉噪声。
- 为什么 Adam 看不见山谷有多陡，却看得见山谷朝哪边。
- 难度：进阶。用时：15 分钟。预备：教程 01、教程 05。
"""

# %%
# One learning rate for two directions | 一个学习率，要顾两个方向
# ---------------------------------------------------------------
# Here is the valley of tutorial 01, ten times as steep across: curvature 1 along the
# floor, in x, and L = 100 across it, in y. Each step of gradient descent multiplies x by
# ``1 - lr`` and y by ``1 - 100 * lr``. The best it can do in the long run is to make both
# equally slow, at ``lr = 2 / 101``: 0.98 and -0.98. From (10, 10), it takes 248 steps
# until it is, and stays, within 0.1 of the minimum.
#
# 还是教程 01 的山谷，只是横着的坡陡到原来的十倍：沿谷底（x 方向）曲率是 1，横着（y 方向）L = 100。
# 梯度下降每走一步，x 乘以 ``1 - lr``，y 乘以 ``1 - 100 * lr``。长远来看，最多只能让两边一样慢，
# 也就是取 ``lr = 2 / 101``：一个乘 0.98，一个乘 -0.98。从 (10, 10) 出发，
# 走到离最低点不超过 0.1 并且不再出去，要 248 步。

import torch
from torch import optim


def valley(p, L=100):
    x, y = p.unbind(-1)
    return (x**2 + L * y**2) / 2


def walk(kind, loss=valley, start=(10.0, 10.0), **options):
    p = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer, path = kind([p], **options), [p.detach().clone()]
    for _ in range(300):
        optimizer.zero_grad()
        loss(p).backward()
        optimizer.step()
        path.append(p.detach().clone())
    return torch.stack(path)


def steps(path):
    far = path.norm(dim=1) > 0.1
    return "300+" if far[-1] else int(far.nonzero().max()) + 1


descent = walk(optim.SGD, lr=2 / 101)
print("gradient descent:", steps(descent), "steps")
# sphinx_gallery_start_ignore
assert steps(descent) == 248
x, y = (descent[1:] / descent[:-1]).T
torch.testing.assert_close(x, torch.full_like(x, 99 / 101))
torch.testing.assert_close(y, torch.full_like(y, -99 / 101))
# sphinx_gallery_end_ignore

# %%
# A leaky average | 会漏的平均
# ----------------------------
# Momentum keeps a buffer, ``m = 0.9 * m + g``, and steps along ``m`` in place of ``g``.
# A tenth leaks out each time. Pour in gradients that agree, and it fills to 10, that is
# :math:`1 / (1 - 0.9)`. Pour in gradients that change sign each time, as on the sides of
# the valley, and it stays at about half of one, :math:`1 / (1 + 0.9)`. So against the
# side, the floor has become 19 times as fast.
#
# 动量有一个缓冲区，``m = 0.9 * m + g``，走的时候用 ``m`` 代替 ``g``。它像个漏水的桶，
# 每次漏掉十分之一。往里倒方向一致的梯度，最后会积到 10，即 :math:`1 / (1 - 0.9)`。
# 倒进去的梯度要是每次都变号，就像在山谷两侧来回跳那样，它只停在半个梯度上下，即 :math:`1 / (1 + 0.9)`。
# 相对于横着的方向，谷底方向的步子放大到了 19 倍。


def buffer(gradients):
    m, kept = 0.0, []
    for g in gradients:
        m = 0.9 * m + g
        kept.append(m)
    return kept


agree, alternate = buffer([1.0] * 60), buffer([1.0, -1.0] * 30)
print(f"agreeing: {agree[-1]:.2f}, alternating: {abs(alternate[-1]):.2f}")
# sphinx_gallery_start_ignore
assert abs(agree[-1] - 10) < 0.02 and abs(alternate[-1] + 1 / 1.9) < 0.01
w = torch.zeros(2, requires_grad=True)
optimizer = optim.SGD([w], lr=1.0, momentum=0.9)
for i in range(60):
    w.grad = torch.tensor([1.0, (-1.0) ** i])
    optimizer.step()
theirs = optimizer.state[w]["momentum_buffer"].tolist()
torch.testing.assert_close([agree[-1], alternate[-1]], theirs, rtol=1e-5, atol=1e-5)

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, axes = plt.subplots(1, 2, figsize=(7.8, 2.2), layout="constrained", sharey=True)
fig.set_label(
    "Momentum buffer over 40 steps: it climbs to 10 if gradients agree, and stays near "
    "0.5 if they alternate | "
    "动量缓冲区在 40 步里的变化：梯度方向一致，升到 10；来回变号，停在 0.5 附近"
)
shown = range(1, 41)
for ax, kept, sign in zip(axes, (agree, alternate), (1, -1), strict=True):
    ax.bar(shown, [sign**i for i in range(40)], color="0.5", width=0.7)
    ax.plot(shown, kept[:40], "C1o-", ms=3.5, lw=1.5)
    ax.set(xlabel="step | 第几步", ylim=(-2, 11))
axes[0].set_title("agreeing: ten times one | 方向一致：十倍")
axes[1].set_title("alternating: half of one | 来回变号：一半")
axes[0].text(40, 2, "gradients | 梯度", color="0.5", ha="right")
axes[0].text(20, 6.6, "buffer | 缓冲区", color="C1")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Momentum in the valley | 山谷里的动量
# -------------------------------------
# Now with ``momentum=0.9``. At the same learning rate it needs 98 steps, at half of it
# 89: along the floor steps may grow tenfold, and across it the jumps cancel. The best
# pair, from the map below, needs 45. With 0.9 it rolls past the minimum and back.
#
# 现在加上 ``momentum=0.9``。学习率不变，98 步；减半，89 步：沿着谷底，步子可以长到十倍，
# 横着的来回跳则互相抵消。用下面那张图里最好的一对数，只要 45 步。动量取 0.9 时，会冲过最低点，再滚回来。

# sphinx_gallery_thumbnail_number = 2
best = {"lr": 4 / 121, "momentum": 81 / 121}
walks = {"gradient descent": descent}
for options in ({"lr": 2 / 101, "momentum": 0.9}, {"lr": 1 / 101, "momentum": 0.9}, best):
    name = f"lr {options['lr']:.3f}, momentum {options['momentum']:.2f}"
    walks[name] = walk(optim.SGD, **options)
for name, path in walks.items():
    print(f"{name}: {steps(path)} steps")
# sphinx_gallery_start_ignore
assert [steps(path) for path in walks.values()] == [248, 98, 89, 45]
assert all(path[:, 0].min() < -1 for path in list(walks.values())[1:3])
assert 4 < descent[40, 0] < 5 and list(walks.values())[2][40, 0] < 0

x, y = torch.linspace(-8, 11, 120), torch.linspace(-11, 11, 120)
height = valley(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)).sqrt()
names = ["gradient descent | 梯度下降", "momentum 0.9 | 动量 0.9"]
fig, axes = plt.subplots(1, 2, figsize=(7.8, 2.5), layout="constrained", sharey=True)
fig.set_label(
    "Forty steps in the valley: gradient descent jumps from side to side, little more "
    "than half way; momentum has rolled past the minimum | "
    "在山谷里走 40 步：梯度下降在两侧来回跳，才走了一半多一点；动量已经冲过了最低点"
)
for ax, name, key in zip(axes, names, [0, 2], strict=True):
    path = list(walks.values())[key][:41]
    ax.contour(x, y, height, levels=9, cmap="viridis", linewidths=0.8, alpha=0.6)
    ax.plot(*path.T, f"C{min(key, 1)}o-", ms=3, lw=1)
    ax.plot(0, 0, "+", color="0.5", ms=14, mew=2)
    ax.set(xticks=[], yticks=[], title=name)
fig.suptitle("Forty steps each | 各走 40 步")
plt.show()
# sphinx_gallery_end_ignore

# %%
# All pairs of learning rate and momentum | 学习率与动量的所有组合
# ----------------------------------------------------------------
# Along a direction of curvature c, the distance shrinks in the long run by a fixed factor
# a step, the larger root of a quadratic equation, worked out in the code. The slower of
# the two directions counts. The wall, 2/L in tutorial 01, has moved out to
# :math:`2 (1 + \beta) / L`. The best factor is 0.82 where descent had 0.98. In general,
# with condition number :math:`\kappa`: from :math:`(\kappa - 1) / (\kappa + 1)` to
# :math:`(\sqrt{\kappa} - 1) / (\sqrt{\kappa} + 1)`. Momentum makes a valley of 100 like
# one of 10.
#
# 沿曲率为 c 的方向，走久了，每走一步，距离就乘以一个固定的倍数，它是一个二次方程较大的根，
# 算式见代码；两个方向取慢的那个。教程 01 里 2/L 处的分界线，往外挪到了
# :math:`2 (1 + \beta) / L`。最好的倍数是 0.82，而梯度下降是 0.98。一般地，条件数为
# :math:`\kappa` 时，从 :math:`(\kappa - 1) / (\kappa + 1)` 变成
# :math:`(\sqrt{\kappa} - 1) / (\sqrt{\kappa} + 1)`：有了动量，条件数 100 的山谷，
# 走起来像条件数 10 的。


def factor(lr, beta, c):
    b = 1 + beta - lr * c
    d = b**2 - 4 * beta
    return torch.where(d < 0, beta.sqrt(), (b.abs() + d.clamp(min=0).sqrt()) / 2)


lr = torch.linspace(0.0002, 0.04, 200)
beta = torch.linspace(0, 0.98, 197)[:, None]
slower = torch.maximum(factor(lr, beta, 1), factor(lr, beta, 100))
row, column = divmod(slower.argmin().item(), 200)
print(f"best: lr {lr[column]:.3f}, momentum {beta[row, 0]:.2f}, ", end="")
print(f"factor {slower.min():.2f}; without momentum {slower[0].min():.2f}")
# sphinx_gallery_start_ignore
assert abs(lr[column] - 4 / 121) < 3e-4 and abs(beta[row, 0] - 81 / 121) < 0.006
assert abs(slower.min() - 9 / 11) < 2e-3 and abs(slower[0].min() - 99 / 101) < 2e-4
assert (10 - 1) / (10 + 1) == 9 / 11
diverges = slower >= 1
inside = lr < 2 * (1 + beta) / 100
assert (diverges != inside)[(lr - 2 * (1 + beta) / 100).abs() > 1e-6].all()
tail = walk(optim.SGD, lr=1 / 101, momentum=0.9)[:, 0].abs()
measured = (tail[200:300].max() / tail[100:200].max()) ** (1 / 100)
assert abs(measured - factor(1 / 101, torch.tensor(0.9), 1)) < 0.01, measured

fig, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
fig.set_label(
    "Map of learning rate and momentum, coloured by the steps needed: the best point is "
    "at 0.033 and 0.67, in the tip of a wedge below the wall | "
    "学习率与动量的地图，颜色是所需步数：最好的一点是 0.033 配 0.67，在分界线内侧的楔形尖上"
)
needed = torch.log(torch.tensor(100.0)) / -slower.clamp(max=0.9999).log()
needed[diverges] = torch.nan
image = ax.pcolormesh(lr, beta[:, 0], needed.log10(), vmin=1.4, vmax=3, cmap="viridis_r")
bar = fig.colorbar(image, ax=ax, ticks=[1.5, 2, 2.5, 3], label="steps | 步数")
bar.ax.set_yticklabels(["30", "100", "300", "1000"])
for x, y, text in ((2 / 101, 0.0, "248"), (1 / 101, 0.9, "89"), (4 / 121, 81 / 121, "45")):
    ax.plot(x, y, "o", color="w", mec="k", ms=9, clip_on=False, zorder=3)
    ax.text(x + 0.0007, y + 0.01, text, va="bottom" if y < 0.5 else "center", weight="bold")
ax.text(0.033, 0.3, "diverges | 发散", ha="center")
ax.set(xlabel="learning rate | 学习率", ylabel="momentum | 动量", ylim=(0, 0.98))
ax.grid(visible=False)
ax.set_title("Steps until the distance is a hundredth | 距离缩到百分之一要多少步")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Where momentum does not help | 动量帮不上的地方
# -----------------------------------------------
# A round bowl has nothing to cancel: with L = 1 and ``lr=1.0``, descent lands in one step,
# and momentum 0.9 needs 97, since it rolls to and fro. Nor does momentum average noise
# away. Wrong: switch it on and keep ``lr``. In a noisy bowl the weights come to rest at
# 0.72 from the minimum instead of 0.23. Right: divide ``lr`` by 10. Then the noise is the
# same, 0.22, and so is the pace: an old gradient still counts ten times in all.
#
# 圆碗里没有什么可抵消的：L = 1，``lr=1.0``，梯度下降一步到底；动量 0.9 来回滚，要 97 步。
# 动量也平均不掉噪声。错误写法：打开动量，``lr`` 照旧。在有噪声的碗里，权重最后停在离最低点
# 0.72 的地方，原来是 0.23。正确写法：``lr`` 除以 10。这时噪声和原来一样，是 0.22，快慢也一样，
# 因为每个梯度前前后后加起来还是算了十次。


def bowl(p):
    return valley(p, L=1)


def noisy(**options):
    torch.manual_seed(0)
    w = torch.full((1000,), 10.0, requires_grad=True)
    optimizer, distance = optim.SGD([w], **options), []
    for _ in range(300):
        w.grad = w.detach() + torch.randn(1000)
        optimizer.step()
        distance.append(w.detach().square().mean().sqrt().item())
    return distance


round_bowl = [walk(optim.SGD, bowl, lr=1.0, momentum=beta) for beta in (0.0, 0.9)]
print("round bowl:", *(steps(path) for path in round_bowl))
noise = []
for options in ({"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.01, "momentum": 0.9}):
    noise.append(noisy(**options))
    print(options, f"rests at {sum(noise[-1][150:]) / 150:.2f}")
# sphinx_gallery_start_ignore
assert [steps(path) for path in round_bowl] == [1, 97]
rests = [sum(distance[150:]) / 150 for distance in noise]
torch.testing.assert_close(rests, [0.23, 0.72, 0.22], rtol=0, atol=0.005)
assert 0.7 < noise[0][20] / noise[2][20] < 1.4
# sphinx_gallery_end_ignore

# %%
# Adam: one pace for every entry | Adam：每个元素走得一样快
# ---------------------------------------------------------
# Adam divides by the root of a leaky average of squares. Make the valley a hundred times
# as steep, L = 10,000: every y-gradient is a hundred times as large, so is what it is
# divided by, and the path is the same. A curvature that a parameter has to itself is
# something that Adam can't see. That is why one learning rate serves layers whose
# gradients differ in size. It need not be exact, either: of six between 0.2 and 5, all
# arrive, in 84 to 110 steps.
#
# Adam 除以的，是梯度平方的移动平均再开根号。让山谷陡到原来的一百倍，L = 10000：
# y 方向的梯度成了一百倍，除数也成了一百倍，走出来的路一模一样。
# 某个参数自己的曲率，Adam 根本看不见。各层的梯度有大有小，用同一个学习率却都训练得动，道理就在这里。
# 学习率也不必很准：从 0.2 到 5 取六个来试，个个走得到，用 84 到 110 步。

steep = walk(optim.Adam, lambda p: valley(p, L=10_000), lr=0.3)
same = walk(optim.Adam, lr=0.3)
print("farthest apart:", (steep - same).abs().max().item())
rates = [0.2, 0.3, 0.5, 1.0, 2.0, 5.0]
straight = [steps(walk(optim.Adam, lr=lr)) for lr in rates]
print(dict(zip(rates, straight, strict=True)))
# sphinx_gallery_start_ignore
torch.testing.assert_close(steep, same, rtol=0, atol=1e-5)
assert min(straight) == 84 and max(straight) == straight[0] == 110
# sphinx_gallery_end_ignore

# %%
# Turn the valley | 把山谷转一转
# ------------------------------
# The same valley, turned by 45 degrees, and the start turned with it. Gradient descent and
# momentum take as many steps as before: they know no axes. Adam does. Each entry now
# holds a share of the steep side and is divided by it, so the floor is slow again: from
# 0.2 to 1, where Adam took 110 steps at most, 300 are not enough; at 2 it takes 229, and
# at 5, the largest, 103. So Adam levels a valley that runs along the axes, one parameter
# steeper than another. Against the others there is momentum, which is half of Adam.
#
# 还是同一个山谷，转 45 度，起点跟着转。梯度下降和动量用的步数不变：它们眼里没有坐标轴。
# Adam 有。现在每个元素里都掺了陡的那一份，又都除以它，谷底方向就又慢了：学习率从 0.2 到 1，
# 原来最多 110 步，现在 300 步也不够；取 2 要 229 步，取最大的 5，103 步。所以，山谷要是顺着坐标轴，
# 也就是各个参数陡缓不同，Adam 能把它拉平。对付别的山谷要靠动量，而动量本来就是 Adam 的一半。


def turned(p):
    x, y = p.unbind(-1)
    return valley(torch.stack([x + y, y - x], dim=-1) / 2**0.5)


start = (0.0, 200**0.5)
# sphinx_gallery_start_ignore
counts = []
# sphinx_gallery_end_ignore
for name, kind, options in (
    ("descent", optim.SGD, {"lr": 2 / 101}),
    ("momentum", optim.SGD, best),
    ("Adam", optim.Adam, {"lr": 0.3}),
):
    ways = walk(kind, **options), walk(kind, turned, start, **options)
    print(name, *(steps(way) for way in ways))
    # sphinx_gallery_start_ignore
    counts.append([steps(way) for way in ways])
    # sphinx_gallery_end_ignore
askew = {lr: steps(walk(optim.Adam, turned, start, lr=lr)) for lr in rates}
print(askew)
# sphinx_gallery_start_ignore
assert counts == [[248, 248], [45, 45], [84, "300+"]]
assert list(askew.values()) == ["300+"] * 4 + [229, 103]

fig, axes = plt.subplots(1, 2, figsize=(7.8, 3.0), layout="constrained")
fig.set_label(
    "Adam at 0.3: in the straight valley it walks to the minimum at 45 degrees; in the "
    "turned one it crawls along the floor and is far from it after 300 steps | "
    "学习率 0.3 的 Adam：在正的山谷里斜着 45 度走到最低点；在转过的山谷里沿谷底慢慢爬，300 步后还差得远"
)
x = y = torch.linspace(-4, 15, 120)
grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
names = "84 steps | 84 步", "300 steps, not there | 300 步，还没到"
for ax, loss, path, name in zip(axes, (valley, turned), ways, names, strict=True):
    ax.contour(x, y, loss(grid).sqrt(), levels=9, cmap="viridis", linewidths=0.8, alpha=0.6)
    ax.plot(*path.T, "C2o-", ms=2.5, lw=1)
    ax.plot(0, 0, "+", color="0.5", ms=14, mew=2)
    ax.set(xticks=[], yticks=[], title=name, xlim=(-4, 15), ylim=(-4, 15), aspect="equal")
fig.suptitle("Adam levels the left valley, not the right | 左边的山谷 Adam 能拉平，右边的不行")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - You raise ``momentum`` from 0.9 to 0.99. What should become of ``lr``?
# - What does ``nesterov=True`` change in the valley?
#
# - 把 ``momentum`` 从 0.9 提到 0.99，``lr`` 该怎么改？
# - 在这个山谷里，``nesterov=True`` 会有什么不同？

# %%
# Answers | 答案
# --------------
# - Divide it by 10: each gradient now counts 100 times in all. And it forgets ten times
#   as slowly: half of a gradient is left after 69 steps, not 7.
# - It looks ahead, and steps along ``g + 0.9 * m``: it turns a little sooner, and needs 82
#   steps where it needed 89.
#
# - 除以 10，因为每个梯度前前后后要算 100 次。而且忘得也慢，要花十倍的时间：一个梯度过 69 步
#   才剩一半，原来是 7 步。
# - 它往前看一步，沿 ``g + 0.9 * m`` 走，所以回头早一点，89 步变成 82 步。

path = walk(optim.SGD, lr=1 / 101, momentum=0.9, nesterov=True)
print("with nesterov=True:", steps(path), "steps")
# sphinx_gallery_start_ignore
w = torch.zeros(1, requires_grad=True)
optimizer = optim.SGD([w], lr=1.0, momentum=0.99)
for _ in range(2000):
    w.grad = torch.ones(1)
    optimizer.step()
torch.testing.assert_close(optimizer.state[w]["momentum_buffer"].item(), 100.0, rtol=1e-3, atol=0)
assert steps(path) == 82
assert 0.99**69 < 0.5 < 0.99**68 and 0.9**7 < 0.5 < 0.9**6
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Go back to the valley of tutorial 01, L = 10. The formula says that the best pair is
# :math:`\eta = (2 / (\sqrt{L} + 1))^2` and
# :math:`\beta = ((\sqrt{L} - 1) / (\sqrt{L} + 1))^2`. Find it on a map of your own, and
# count the steps of the best descent, ``lr = 2 / 11``, and of this pair.
#
# 回到教程 01 的山谷，L = 10。公式说最好的一对数是
# :math:`\eta = (2 / (\sqrt{L} + 1))^2` 和
# :math:`\beta = ((\sqrt{L} - 1) / (\sqrt{L} + 1))^2`。自己画一张地图把它找出来，
# 再数一数最好的梯度下降（``lr = 2 / 11``）和这一对数各走多少步。

# %%
# Solution | 参考答案
# -------------------
# The same ``factor``, with another curvature and a wider range of learning rates.
#
# 还是那个 ``factor``，换一个曲率，学习率的范围放宽。

lr, beta = torch.linspace(0.002, 0.4, 200), torch.linspace(0, 0.98, 197)[:, None]
slower = torch.maximum(factor(lr, beta, 1), factor(lr, beta, 10))
row, column = divmod(slower.argmin().item(), 200)
found = lr[column].item(), beta[row, 0].item()
root = 10**0.5
formula = (2 / (root + 1)) ** 2, ((root - 1) / (root + 1)) ** 2
print([round(one, 2) for one in (*found, *formula)])


def gentle(p):
    return valley(p, L=10)


paths = [walk(optim.SGD, gentle, lr=2 / 11)]
paths.append(walk(optim.SGD, gentle, lr=formula[0], momentum=formula[1]))
print(*(steps(path) for path in paths))
# sphinx_gallery_start_ignore
assert abs(found[0] - formula[0]) < 0.005 and abs(found[1] - formula[1]) < 0.01
assert [steps(path) for path in paths] == [25, 12]
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 11 lowers the learning rate in time, which does remove the noise.
# - Tutorial 14 adds weight decay to Adam, and shows where it belongs; tutorial 15 races
#   these optimizers, each with a learning rate of its own.
# - A page to play with: `Why Momentum Really Works
#   <https://distill.pub/2017/momentum/>`__.
#
# - 教程 11 让学习率慢慢降下来，那才去得掉噪声。
# - 教程 14 给 Adam 加上权重衰减，看它该加在哪里；教程 15 让这些优化器赛跑，各用各的学习率。
# - 可以动手拖着玩的网页：`Why Momentum Really Works
#   <https://distill.pub/2017/momentum/>`__。
