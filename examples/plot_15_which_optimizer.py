"""
Which optimizer, and which learning rate to start with | 选哪个优化器，学习率从多少开始
=======================================================================================

Give each optimizer a learning rate of its own, and the differences shrink: below, the
three end within 4 metres of one another. At one shared rate, you compare rates, not
optimizers. Start with AdamW at 1e-3; or run a range test, 120 steps in which the rate
rises, and take a third of the rate at the lowest loss.

让每个优化器各用各的学习率，差别就小了：下面三种优化器，最后的误差相差不到 4 米。
共用一个学习率，比的其实是学习率，不是优化器。先用 AdamW，学习率 1e-3；或者做一次范围测试：
跑 120 步，学习率一路升高，取损失最低处学习率的三分之一。

**What you will learn**

- How to race optimizers fairly, and why nobody wins everywhere.
- How to find a learning rate: one range test, then three real runs.
- What warm-up and a larger batch do to the rate that you found.
- Level: intermediate. Time: 20 minutes. Needs: tutorial 11, tutorial 13.

**你会学到**

- 怎样让优化器公平地赛跑，为什么没有谁处处都赢。
- 怎样找到学习率：一次范围测试，再真正跑三次。
- 预热和加大批量，会让找到的学习率怎样变。
- 难度：进阶。用时：20 分钟。预备：教程 11、教程 13。
"""

# %%
# Four surfaces | 四种曲面
# ------------------------
# A narrow valley; the same valley with noise in the gradient; a saddle point, from which
# a start a thousandth beside it must get away; and Rosenbrock's banana, a bent valley
# with a flat floor. Each has its minimum at 0, and each asks for something else.
#
# 一个狭长的山谷；同一个山谷，梯度里加上噪声；一个鞍点，起点离它的脊线只有千分之一，得自己滚下去；
# 还有 Rosenbrock 的香蕉谷，弯弯的，谷底很平。最低点的值都是 0，考的本事各不相同。

import torch
from torch import nn, optim


def valley(p):
    x, y = p.unbind(-1)
    return (x**2 + 100 * y**2) / 2


def noisy(p):
    return valley(p) + 10 * (p @ torch.randn(2))


def saddle(p):
    x, y = p.unbind(-1)
    return x**2 / 2 + (y**2 - 1) ** 2 / 4


def banana(p):
    x, y = p.unbind(-1)
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


starts = {valley: (10.0, 1.0), noisy: (10.0, 1.0)}
starts |= {saddle: (2.0, 0.001), banana: (-1.2, 1.0)}
print(*(surface.__name__ for surface in starts))
# sphinx_gallery_start_ignore
lowest = {valley: (0.0, 0.0), saddle: (0.0, 1.0), banana: (1.0, 1.0)}
assert all(surface(torch.tensor(p)) == 0 for surface, p in lowest.items())
# sphinx_gallery_end_ignore

# %%
# Thirteen learning rates in one optimizer | 一个优化器，十三个学习率
# -------------------------------------------------------------------
# From 1e-3 to 10, three to a decade. Thirteen parameter groups, each with one point and one
# learning rate, run side by side: each step is as in a run alone. The score is the mean loss
# of the last 20 of 150 steps, without the noise; what ends as NaN counts as infinite.
#
# 学习率从 1e-3 到 10，每个数量级三个。十三个参数组，每组一个点、一个学习率，并排着走，
# 每一步都与单独跑一样。成绩是 150 步里最后 20 步的平均损失，不算噪声；走成 NaN 的记为无穷大。

lrs = [10 ** (k / 3) for k in range(-9, 4)]
entries = {
    "SGD": (optim.SGD, {}),
    "momentum": (optim.SGD, {"momentum": 0.9}),
    "Adam": (optim.Adam, {}),
}


def race(kind, options, surface):
    torch.manual_seed(0)
    points = [torch.tensor(starts[surface], requires_grad=True) for _ in lrs]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(points, lrs, strict=True)]
    optimizer, paths = kind(groups, lr=1.0, **options), []
    for _ in range(150):
        optimizer.zero_grad()
        surface(torch.stack(points)).sum().backward()
        optimizer.step()
        paths.append(torch.stack(points).detach())
    loss = valley if surface is noisy else surface
    scores = loss(torch.stack(paths[-20:])).mean(dim=0)
    return scores.nan_to_num(nan=torch.inf)


# %%
# Wrong: one rate for all; right: the best of each | 错误：共用学习率；正确：各取最好的
# -------------------------------------------------------------------------------------
# At 0.01, Adam comes in last in both valleys (37.7 against 0.00003 with momentum, without noise),
# and on the banana it is the only one that does not diverge. That ranks the number 0.01. With the
# best rate of each, Adam is level with momentum in the valley and first in the noise; momentum
# wins on the banana, and at the saddle all three arrive. No optimizer wins everywhere. But their
# rates lie far apart: in the valleys Adam's best is 46 and 100 times that of momentum.
#
# 学习率都取 0.01，两个山谷里 Adam 都垫底（没有噪声的那个，它是 37.7，动量是 0.00003）；
# 到了香蕉谷，又只有它没发散。这样比，比的是 0.01 这个数。各取最好的学习率之后，
# 山谷里 Adam 与动量持平，有噪声时 Adam 第一；香蕉谷动量赢；鞍点三家都走到了底。没有谁处处都赢。
# 倒是学习率差得远：在两个山谷里，Adam 最好的学习率分别是动量的 46 倍和 100 倍。

# sphinx_gallery_thumbnail_number = 1
results = {}
print(" " * 16, *(f"{name:>7}" for name in entries))
for surface in starts:
    for name, (kind, options) in entries.items():
        scores = race(kind, options, surface)
        results[surface, name] = scores, scores.argmin().item()
    rows = [results[surface, name][0] for name in entries]
    print(f"{surface.__name__:6} at 0.01:", *(f"{row[3]:7.2g}" for row in rows), end="")
    print("   best:", *(f"{row.min():7.2g}" for row in rows))
# sphinx_gallery_start_ignore
best = {key: scores[at].item() for key, (scores, at) in results.items()}
rate = {key: lrs[at] for key, (_, at) in results.items()}
shared = {key: scores[3].item() for key, (scores, _) in results.items()}
assert shared[valley, "Adam"] > 37 and shared[valley, "momentum"] < 1e-4
for surface in (valley, noisy):
    assert shared[surface, "Adam"] == max(shared[surface, name] for name in entries)
ratios = [rate[s, "Adam"] / rate[s, "momentum"] for s in (valley, noisy)]
assert [round(one) for one in ratios] == [46, 100]
assert [shared[banana, name] < torch.inf for name in entries] == [False, False, True]
assert best[valley, "SGD"] > 1 > 1e-4 > max(best[valley, n] for n in ("momentum", "Adam"))
assert best[noisy, "Adam"] < 0.5 < 0.6 < best[noisy, "momentum"] < best[noisy, "SGD"]
assert best[banana, "momentum"] < 0.01 < best[banana, "Adam"] < best[banana, "SGD"]
assert max(best[saddle, name] for name in entries) < 1e-5

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, axes = plt.subplots(2, 2, figsize=(7.8, 4.4), layout="constrained", sharex=True)
fig.set_label(
    "Loss after 150 steps against learning rate, on four surfaces: each optimizer has a "
    "range of its own, Adam's lies to the right | "
    "四种曲面上 150 步后的损失随学习率的变化：每个优化器各有各的范围，Adam 的靠右"
)
titles = ["valley | 山谷", "valley with noise | 有噪声的山谷"]
titles += ["saddle point | 鞍点", "banana | 香蕉谷"]
for ax, surface, title in zip(axes.flat, starts, titles, strict=True):
    for i, name in enumerate(entries):
        scores, at = results[surface, name]
        drawn = scores < 1e3
        ax.loglog(torch.tensor(lrs)[drawn], scores[drawn].clamp(min=1e-8), f"C{i}o-", ms=3, lw=2)
        ax.plot(lrs[at], max(scores[at].item(), 1e-8), f"C{i}o", ms=9)
    ax.axvline(0.01, color="0.5", ls=":", lw=1)
    ax.set_title(title)
for i, (name, lr, loss) in enumerate(
    (("SGD", 1.2e-2, 1), ("momentum | 动量", 5e-3, 1e-3), ("Adam", 0.15, 1e-2))
):
    axes[0, 0].text(lr, loss, name, color=f"C{i}")
fig.supxlabel("learning rate | 学习率", fontsize=11)
fig.supylabel("loss | 损失", fontsize=11)
fig.suptitle("Each optimizer has a range of its own | 每个优化器各有各的学习率范围")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Real data: a mountain range | 真实数据：一片山地
# ------------------------------------------------
# Matplotlib, which draws the figures of this site, carries a map of heights around a fault
# in Tennessee: nothing to download. A small network learns the height at a place from sines
# and cosines of 16 random waves. 6000 places are for training, the rest for validation; a
# run is 200 steps with batches of 64. What counts is the error in metres on places not
# seen; the heights themselves spread by 162.
#
# 本站画图用的 Matplotlib 自带一张高程图，画的是美国田纳西州一处断层附近，不必下载。
# 用一个小网络，从 16 个随机方向的正弦、余弦波推出每个位置的高度；6000 个位置用来训练，其余用来验证。
# 训练 200 步，每个批次 64 个。成绩是没见过的位置上的误差，单位是米；高度本身的标准差是 162 米。

from matplotlib.cbook import get_sample_data

height = get_sample_data("jacksboro_fault_dem.npz")["elevation"][::4, ::4]
height = torch.tensor(height.astype("float32"))
spread = height.std()
rows, columns = (torch.linspace(-1, 1, n) for n in height.shape)
torch.manual_seed(0)
waves = torch.cartesian_prod(rows, columns) @ (4 * torch.randn(2, 16))
x = torch.cat([waves.sin(), waves.cos()], dim=1)
y = ((height - height.mean()) / spread).flatten()[:, None]
seen, unseen = torch.randperm(len(x)).split([6000, len(x) - 6000])
print(f"{len(seen)} and {len(unseen)} places, spread {spread:.0f} m")
# sphinx_gallery_start_ignore
assert len(unseen) == 2686 and round(spread.item()) == 162
# sphinx_gallery_end_ignore

# %%
# The range test | 范围测试
# -------------------------
# One run of 120 steps, in which the learning rate rises from 1e-5 to almost 10. The loss falls, finds
# its lowest point, and shoots up: that is the edge. A third of the rate at the lowest point is
# a good start. With SGD that is 0.1, with momentum and with AdamW 0.02.
#
# 只跑一次，120 步，学习率从 1e-5 一路升到将近 10。损失先降，到了最低点就猛地往上蹿，那里就是边界。
# 取最低点学习率的三分之一，是个不错的起点。SGD 是 0.1，动量和 AdamW 是 0.02。


def build(kind, lr, seed=0, **options):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1))
    return net, kind(net.parameters(), lr=lr, **options)


def range_test(kind, **options):
    net, optimizer = build(kind, lr=1e-5, **options)
    rates, losses = [], []
    for t in range(120):
        batch = seen[torch.randint(6000, (64,))]
        optimizer.param_groups[0]["lr"] = 1e-5 * 10 ** (t / 20)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
        losses.append(0.8 * losses[-1] + 0.2 * loss.item() if losses else loss.item())
    return rates, losses


# %%
# The loss is a moving average, or else its noise would hide the edge.
#
# 损失取的是移动平均，不然噪声会把边界盖住。

kinds = {
    "SGD": (optim.SGD, {}),
    "momentum": (optim.SGD, {"momentum": 0.9}),
    "AdamW": (optim.AdamW, {}),
}
tests, start = {}, {}
for name, (kind, options) in kinds.items():
    tests[name] = rates, losses = range_test(kind, **options)
    lowest = rates[losses.index(min(losses))]
    start[name] = lowest / 3
    print(f"{name}: lowest at {lowest:.2f}, start with {start[name]:.3f}")
# sphinx_gallery_start_ignore
torch.testing.assert_close([*start.values()], [0.105, 0.021, 0.021], rtol=0.5, atol=0)

fig, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
fig.set_label(
    "Range test: as the rate rises, the loss of each optimizer falls to a lowest point "
    "and then shoots up; dots mark a third of that rate | "
    "范围测试：学习率升高，损失先降到最低点，再猛地上升；圆点是最低点学习率的三分之一"
)
for i, (name, (rates, losses)) in enumerate(tests.items()):
    ends = next((t for t, loss in enumerate(losses) if not loss < 2), len(losses))
    ax.semilogx(rates[:ends], losses[:ends], f"C{i}", lw=2.5)
    near = min(range(120), key=lambda t: abs(rates[t] - start[name]))
    ax.plot(rates[near], losses[near], f"C{i}o", ms=9)
ax.text(2.6e-3, 0.42, "AdamW", color="C2")
ax.text(1.2e-2, 1.08, "SGD", color="C0")
ax.text(0.3, 0.95, "momentum | 动量", color="C1", ha="right")
ax.set(ylim=(0, 2), xlabel="learning rate | 学习率", ylabel="loss | 损失")
ax.set_title("Where the loss shoots up, the edge is near | 损失往上蹿，边界就到了")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Then the real runs | 然后真正跑几次
# -----------------------------------
# The rate from the test, a third of it, and three times as much: three runs each. The
# best of them end at 81 to 84 metres, all three optimizers alike. It is easy to be unfair:
# at a shared 0.001, AdamW seems far ahead of SGD. What AdamW does give is width: from 0.001
# to 0.3 it stays within 12 metres of its best; momentum does from 0.003 to 0.1. So it is
# the one to start with when you don't know the rate.
#
# 测出来的学习率、它的三分之一、它的三倍，各跑一次。最好的成绩在 81 到 84 米之间，三种优化器差不多。
# 想比得不公平也很容易：都用 0.001，AdamW 看上去远胜 SGD。AdamW 真正的好处是范围宽：
# 从 0.001 到 0.3，成绩都与自己最好的相差不到 12 米；动量是从 0.003 到 0.1。
# 所以，还不知道学习率该取多少时，先用它。


def train(kind, lr, batch=64, steps=200, seed=0, **options):
    net, optimizer = build(kind, lr, seed, **options)
    for places in torch.randint(6000, (steps, batch)):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x[seen[places]]), y[seen[places]]).backward()
        optimizer.step()
    with torch.no_grad():
        error = nn.functional.mse_loss(net(x[unseen]), y[unseen]).sqrt()
    return (error * spread).item()


# sphinx_gallery_start_ignore
ends = {}
# sphinx_gallery_end_ignore
for name, (kind, options) in kinds.items():
    rates = [start[name] / 3, start[name], start[name] * 3]
    runs = [train(kind, lr, **options) for lr in rates]
    print(name, *(f"{lr:.3f}" for lr in rates), "->", *(f"{end:.0f} m" for end in runs))
    # sphinx_gallery_start_ignore
    ends[name] = runs
grid = [10 ** (k / 2) for k in range(-6, 0)]
errors = {n: [train(kind, lr, **o) for lr in grid] for n, (kind, o) in kinds.items()}
best_ends = [min(row) for row in ends.values()]
assert min(best_ends) > 80 and max(best_ends) < min(best_ends) + 4
assert errors["AdamW"][0] < errors["SGD"][0] - 50
near = {name: [one < min(row) + 12 for one in row] for name, row in errors.items()}
assert near["AdamW"] == [True] * 6 and near["momentum"] == [False, True, True, True, True, False]
assert (height.min(), height.max()) == (247, 1067)

fig, (left, right) = plt.subplots(1, 2, figsize=(7.8, 2.9), layout="constrained")
fig.set_label(
    "The map of heights, and the error against the learning rate: the lowest points of "
    "the three optimizers are level, and AdamW's curve is the widest | "
    "高程图，以及误差随学习率的变化：三种优化器的最低点一样低，AdamW 的曲线最宽"
)
left.imshow(height, cmap="viridis")
left.set(xticks=[], yticks=[], title="247 to 1067 metres | 高度 247 到 1067 米")
left.grid(visible=False)
for i, row in enumerate(errors.values()):
    right.semilogx(grid, row, f"C{i}o-", ms=4, lw=2.5)
for i, (name, lr, error) in enumerate(
    (("SGD", 2.6e-3, 145), ("momentum | 动量", 1.05e-3, 107), ("AdamW", 1.2e-3, 79))
):
    right.text(lr, error, name, color=f"C{i}")
right.set(ylim=(75, 165), xlabel="learning rate | 学习率", ylabel="error in metres | 误差，米")
right.set_title("Equal at their best | 最好时不相上下")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Warm-up: past a steep start | 预热：先过了陡坡
# ----------------------------------------------
# The banana is steeper where the race starts than where it ends: its curvature is 1506
# there, and 1002 at the minimum. Wrong: momentum at 0.0036 from the first step; it flies
# off, though the floor further on would stand it. Right: raise the rate over the first 50
# steps. Then 0.0036 arrives, lower than 0.003 does either way. Warm-up moves no wall: at
# 0.004, past :math:`2 (1 + 0.9) / 1002`, it is thrown out again near the minimum. Networks
# often start steep, too; where they don't, as here with the heights, expect no gain.
#
# 香蕉谷的起点比终点陡：起点的曲率是 1506，最低点是 1002。错误写法：动量一上来就用 0.0036，
# 结果飞了出去，其实后面的谷底受得住。正确写法：前 50 步把学习率慢慢升上来。
# 这样 0.0036 也走得到，终点比 0.003 预不预热都低。预热并不会把分界线往外挪：取 0.004，
# 超过了 :math:`2 (1 + 0.9) / 1002`，走到最低点附近还是会被甩出来。
# 网络的开头往往也陡；要是不陡，比如这里的高程图，就别指望预热有什么好处。


def roll(lr, warm_up, steps=150):
    p = torch.tensor(starts[banana], requires_grad=True)
    optimizer = optim.SGD([p], lr=lr, momentum=0.9)
    rise = optim.lr_scheduler.LinearLR(optimizer, 1 / warm_up, total_iters=warm_up)
    for _ in range(steps):
        optimizer.zero_grad()
        banana(p).backward()
        optimizer.step()
        rise.step()
    return banana(p).item()


for lr in (0.003, 0.0036):
    without, warmed = roll(lr, 1), roll(lr, 50)
    print(f"lr {lr}: without {without:.4f}, with warm-up {warmed:.4f}")
    # sphinx_gallery_start_ignore
    if lr == 0.003:
        lower = min(without, warmed)
assert without != without and warmed < 0.8 * lower
curvature = [
    torch.linalg.eigvalsh(torch.autograd.functional.hessian(banana, torch.tensor(p)))[-1].item()
    for p in (starts[banana], (1.0, 1.0))
]
assert [round(one) for one in curvature] == [1506, 1002]
assert 0.0036 < 2 * 1.9 / 1002 < 0.004 and roll(0.0036, 50, 1000) < 1e-6
assert min(roll(0.004, 50, steps) for steps in (900, 950, 1000)) > 1e-5
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - Your batch is four times as large, and an epoch a quarter of the steps. What about
#   ``lr``?
# - A paper shows that a new optimizer beats AdamW, both at 1e-3. What is missing?
#
# - 批大小变成四倍，一轮的步数只剩四分之一，``lr`` 该怎么办？
# - 一篇论文说新优化器胜过 AdamW，两者都用 1e-3。它缺了什么？

# %%
# Answers | 答案
# --------------
# - Raise it, for SGD and momentum up to four times, but not past the edge. At the same
#   rate the quarter of the steps goes less far; at four times the rate, just as far: below,
#   the mean of three seeds. For Adam, the usual advice is the square root, twice.
# - AdamW's own best rate: a tuned new one against an untuned old one proves little.
#
# - 调大。SGD 和动量最多四倍，但别过边界。学习率不变，只走四分之一的步数，就走不了那么远；
#   学习率也乘以四，就一样远：下面是三个种子的平均。Adam 一般建议按平方根来，也就是两倍。
# - 缺 AdamW 自己最好的学习率：调过的新方法赢了没调过的旧方法，说明不了什么。

# sphinx_gallery_start_ignore
means = []
# sphinx_gallery_end_ignore
for batch, steps, lr in ((16, 200, 0.005), (64, 50, 0.005), (64, 50, 0.02)):
    runs = [train(optim.SGD, lr, batch, steps, seed, momentum=0.9) for seed in range(3)]
    print(f"batch {batch}, {steps} steps, lr {lr}: {sum(runs) / 3:.0f} m")
    # sphinx_gallery_start_ignore
    means.append(sum(runs) / 3)
assert means[1] > means[0] + 7 and abs(means[2] - means[0]) < 5
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Enter ``optim.RMSprop`` in the race. Guess first: is its best rate in the valley nearer
# to that of momentum, 0.01, or to that of Adam, 0.46?
#
# 让 ``optim.RMSprop`` 也来参赛。先猜一猜：它在山谷里最好的学习率，离动量的 0.01 近，还是离 Adam 的 0.46 近？

# %%
# Solution | 参考答案
# -------------------
# To Adam's: it too divides by the size of the gradient. It has no momentum unless you ask
# for it; on the banana that helps, but momentum without the division, at 0.002, stays ahead.
#
# 离 Adam 的近，因为它也除以梯度的大小。动量要另外打开，默认没有。
# 在香蕉谷里，打开动量会好一些，但还是赢不了不做除法的动量，那是 0.002。

for surface in starts:
    scores = race(optim.RMSprop, {}, surface)
    print(f"{surface.__name__:6} lr {lrs[scores.argmin()]:.2f}: {scores.min():.2g}")
    # sphinx_gallery_start_ignore
    if surface is valley:
        assert lrs[scores.argmin()] > 0.4
    # sphinx_gallery_end_ignore
helped = race(optim.RMSprop, {"momentum": 0.9}, banana).min()
print(f"banana, with momentum: {helped:.2g}")
# sphinx_gallery_start_ignore
assert best[banana, "momentum"] < helped < min(scores)
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 11 lowers the rate that you found, on a schedule.
# - Tutorial 13 says why these optimizers differ; tutorial 14, what to decay with AdamW.
# - Smith's paper on the range test: `Cyclical Learning Rates for Training Neural Networks
#   <https://arxiv.org/abs/1506.01186>`__.
#
# - 教程 11 把找到的学习率按计划降下来。
# - 教程 13 讲这些优化器为什么不同；教程 14 讲用 AdamW 该衰减什么。
# - Smith 提出范围测试的论文：`Cyclical Learning Rates for Training Neural Networks
#   <https://arxiv.org/abs/1506.01186>`__。
