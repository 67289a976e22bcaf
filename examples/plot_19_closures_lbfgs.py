"""
Closures and L-BFGS in PyTorch | PyTorch 的闭包与 L-BFGS 优化器
================================================================

A closure is a function that clears the gradients, computes the loss, goes backward, and
returns the loss. ``step(closure)`` hands it to the optimizer: Adam calls it once, L-BFGS
often more than twenty times in a step. So each call must see the same data. Give L-BFGS
all of it, and ``line_search_fn="strong_wolfe"``.

闭包是这样一个函数：清空梯度，计算损失，反向传播，返回损失。``step(closure)`` 把它交给优化器去调用：
Adam 调用一次，L-BFGS 一步里常要调用二十多次。因此每次调用看到的数据必须相同。
用 L-BFGS，就把全部数据给它，并写上 ``line_search_fn="strong_wolfe"``。

**What you will learn**

- How often each optimizer calls a closure, and what becomes of a forgotten line in it.
- When L-BFGS gets by with a tenth of the gradients, and when mini-batches ruin it.
- What its line search is for, and why it takes one group and much memory.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 04, tutorial 05.

**你会学到**

- 各种优化器调用闭包几次，闭包里漏写一行会怎样。
- L-BFGS 什么时候只要十分之一的梯度就够，什么时候会被小批量毁掉。
- 它的线搜索有什么用，为什么只收一个参数组，又为什么那么占内存。
- 难度：进阶。用时：15 分钟。预备：教程 04、教程 05。
"""

# %%
# One step, many calls | 一步，多次调用
# -------------------------------------
# In one step, L-BFGS needs the loss in several places. For that it must be able to compute
# it again, and a closure is how. This one also writes down each call: where the weights
# were, and the loss.
#
# L-BFGS 走一步，要在好几个位置上看损失，所以它得能随时重新计算，闭包就是为此准备的。
# 下面这个闭包还顺手记下每次调用：当时权重在哪里，损失是多少。

import torch
from torch import nn, optim
from torch.nn.functional import binary_cross_entropy_with_logits as loss_on


def valley(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def run(kind, steps, function=valley, start=(-1.2, 1.0), **options):
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer, calls = kind([w], **options), []

    def closure():
        optimizer.zero_grad()
        loss = function(w)
        loss.backward()
        calls.append((w.tolist(), loss.item()))
        return loss

    for _ in range(steps):
        # sphinx_gallery_start_ignore
        before = len(calls)
        # sphinx_gallery_end_ignore
        returned = optimizer.step(closure)
        # sphinx_gallery_start_ignore
        assert returned.item() == calls[before][1]
        # sphinx_gallery_end_ignore
    return w.detach(), calls, returned.item()


# %%
# The valley is curved, and its lowest point is (1, 1). Two steps of SGD or Adam are two
# calls. Two steps of L-BFGS are more than 40, and it stands at the bottom. Without a
# closure it refuses to step.
#
# 这条山谷是弯的，最低点在 (1, 1)。SGD 或 Adam 走两步，就调用两次；L-BFGS 走两步，调用四十多次，
# 而且已经到了谷底。不给闭包，它拒绝更新。

wolfe = {"line_search_fn": "strong_wolfe"}
for kind, options in ((optim.SGD, {"lr": 1e-3}), (optim.Adam, {}), (optim.LBFGS, wolfe)):
    w, calls, _ = run(kind, steps=2, **options)
    print(f"{kind.__name__:5} {len(calls):2} calls, at {w[0]:.3f}, {w[1]:.3f}")
    # sphinx_gallery_start_ignore
    assert 40 < len(calls) < 50 if kind is optim.LBFGS else len(calls) == 2
    if kind is optim.LBFGS:
        torch.testing.assert_close(w, torch.ones_like(w), rtol=0, atol=1e-3)
    # sphinx_gallery_end_ignore
try:
    optim.LBFGS([w], **wolfe).step()
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except TypeError as error:
    print("TypeError:", error)

# %%
# A closure with Adam | Adam 拿闭包做什么
# ---------------------------------------
# The other optimizers call it once, then step: the same numbers as in the usual loop. So
# one loop can serve both kinds. And mind what ``step(closure)`` returns, L-BFGS too: the
# loss of the first call, that is, before the step.
#
# 其他优化器只调用一次，然后更新，结果与平常的循环分毫不差。所以写一个循环，两类优化器都能用。
# 还要留意 ``step(closure)`` 返回的是什么：第一次调用时的损失，也就是更新之前的。L-BFGS 也一样。

w = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
adam = optim.Adam([w], lr=0.1)
for _ in range(20):
    adam.zero_grad()
    valley(w).backward()
    adam.step()

by_closure, calls, returned = run(optim.Adam, 20, lr=0.1)
print("same weights:", torch.equal(w, by_closure))
print(f"returned {returned:.3f}, the loss is now {valley(w).item():.3f}")
# sphinx_gallery_start_ignore
assert torch.equal(w, by_closure) and len(calls) == 20
assert returned != valley(w).item()
# sphinx_gallery_end_ignore

# %%
# Wrong: forget one of its four jobs | 错误：四件事漏掉一件
# ---------------------------------------------------------
# Leave one line out, and give L-BFGS five steps. Without ``zero_grad()`` each call adds
# to the gradient of the one before; it stops half-way, silently. Without ``backward()``
# there is no gradient, which it takes for the bottom: it does not move, silently. Only a
# missing ``return`` is an error, and not with Adam: there you get ``None`` back. Right:
# clear, compute, go backward, return.
#
# 每次漏掉一行，让 L-BFGS 走五步。漏了 ``zero_grad()``，每次调用都把梯度加在上一次的上面，
# 它走到半路就停了，一声不吭。漏了 ``backward()``，没有梯度，它以为到了谷底，一动不动，也不吭声。
# 只有漏了 ``return`` 才报错，换成 Adam 连错都不报，只是返回 ``None``。
# 正确写法：清空，计算，反向传播，返回，一样不少。


def attempt(forgotten):
    w = torch.tensor([-1.2, 1.0], requires_grad=True)
    optimizer = optim.LBFGS([w], **wolfe)

    def closure():
        if forgotten != "zero_grad":
            optimizer.zero_grad()
        loss = valley(w)
        if forgotten != "backward":
            loss.backward()
        return loss if forgotten != "return" else None

    for _ in range(5):
        optimizer.step(closure)
    return valley(w).item()


for forgotten in ("nothing", "zero_grad", "backward", "return"):
    try:
        print(f"{forgotten:9} -> loss {attempt(forgotten):.2g}")
    except TypeError as error:
        print(f"{forgotten:9} -> TypeError: {error}")
# sphinx_gallery_start_ignore
assert attempt("nothing") < 1e-6
assert 1 < attempt("zero_grad") < 24
assert round(attempt("backward"), 3) == 24.2
try:
    attempt("return")
    raise AssertionError
except TypeError:
    assert optim.Adam([w.detach().requires_grad_()]).step(lambda: None) is None
# sphinx_gallery_end_ignore

# %%
# L-BFGS needs fewer calls | L-BFGS 的调用次数更少
# ------------------------------------------------
# A call costs a forward and a backward pass, so count calls, not steps. To a loss of 1e-6
# Adam takes 679 with ``lr=0.3``; L-BFGS takes fewer than 50. From the last changes of
# the weights and of the gradient it learns how the valley curves, and aims at the bottom
# instead of downhill. Hence "quasi-Newton": Newton's method needs the curvature itself.
#
# 调用一次，就是一次前向加一次反向，所以要比就比调用次数，不比步数。损失降到 1e-6，
# ``lr=0.3`` 的 Adam 要 679 次，L-BFGS 不到 50 次。它从权重和梯度最近几次的变化里，
# 看出山谷怎么弯，于是直奔谷底，而不是只顾往下走。这就是“拟牛顿法”：真正的牛顿法要用曲率本身。

# sphinx_gallery_thumbnail_number = 1
runs = {
    "SGD": run(optim.SGD, 700, lr=1e-3),
    "Adam": run(optim.Adam, 700, lr=0.3),
    "L-BFGS": run(optim.LBFGS, 3, **wolfe),
}
for name, (_, calls, _) in runs.items():
    below = [number for number, (_, loss) in enumerate(calls) if loss < 1e-6]
    print(f"{name:6} below 1e-6 after {below[0] if below else 'more than 700'} calls")
    # sphinx_gallery_start_ignore
    assert {"SGD": not below, "Adam": below[:1] == [679]}.get(name, below and below[0] < 50)

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, (ax, right) = plt.subplots(1, 2, figsize=(8, 3.3), layout="constrained")
fig.set_label(
    "Paths in a curved valley, and the loss by calls: L-BFGS is at the bottom within "
    "50, Adam after 679 | "
    "弯曲山谷里的路线，以及损失随调用次数的变化：L-BFGS 不到 50 次就到谷底，Adam 要 679 次"
)
across, up = torch.linspace(-1.7, 1.5, 80), torch.linspace(-0.5, 2, 80)
height = (0.3 + valley((across, up[:, None]))).log()
ax.contour(across, up, height, 12, colors="0.7", linewidths=0.7)
for i, (name, (_, calls, _)) in enumerate(runs.items()):
    places, losses = zip(*calls, strict=True)
    x, y = zip(*places, strict=True)
    mark = "o-" if name == "L-BFGS" else "-"
    ax.plot(x, y, f"C{i}{mark}", lw=1.8, ms=3.5)
    right.loglog(range(1, len(losses) + 1), losses, f"C{i}", lw=2.2)
ax.plot(1, 1, "k*", ms=11)
ax.set(xlim=(-1.7, 1.5), ylim=(-0.5, 2), xlabel="w[0]", ylabel="w[1]")
ax.set_title("three paths | 三条路线", fontsize=10)
right.text(1.3, 1.2, "SGD", color="C0")
right.text(160, 4e-7, "Adam", color="C1", ha="right")
right.text(20, 1e-8, "L-BFGS", color="C2", ha="right")
right.set(xlabel="calls of the closure | 调用闭包的次数", ylim=(1e-10, 100))
right.set_title("loss | 损失", fontsize=10)
fig.suptitle("More calls a step, far fewer in all | 每步调用多，总共却少得多")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Let it search along the line | 让它沿线搜索
# -------------------------------------------
# Wrong: the default. It goes ``lr=1`` times as far as the curvature says, without a look.
# In a bowl that gets straight further out, :math:`\sqrt{1 + w^2}`, it jumps from 3 to the other
# side and back, and ends past 1e60. Right: ``"strong_wolfe"`` tries lengths until
# the loss has fallen enough and the slope is flatter, and is at 0 in fewer than 10; ``lr``
# then is the first length that it tries.
#
# 错误写法：用默认设置。它按曲率算出步长，乘上 ``lr=1``，看也不看就走。有的碗越往外，碗壁越直，
# 例如 :math:`\sqrt{1 + w^2}`：从 3 出发，它跳到对面，又跳回来，最后跳到 1e60 以外。
# 正确写法：``"strong_wolfe"`` 会试不同的步长，直到损失降得够多、坡度也缓了，才走过去，
# 不到 10 次调用就到了 0。这时 ``lr`` 只是它试的第一个步长。


def bowl(w):
    return (1 + w**2).sqrt().sum()


for search in (None, "strong_wolfe"):
    w, calls, _ = run(optim.LBFGS, 1, bowl, start=[3.0], line_search_fn=search)
    print(f"{search}: {len(calls)} calls, w {w.item():.1e}")
    # sphinx_gallery_start_ignore
    assert len(calls) < 10 and abs(w) < 1e-5 if search else abs(w) > 1e60
    # sphinx_gallery_end_ignore

# %%
# All the data, in each call | 每次调用，都用全部数据
# ---------------------------------------------------
# L-BFGS compares losses and subtracts gradients, so both must come from one function.
# Wrong: a mini-batch drawn in the closure, for then each comparison is of different data:
# the loss stays above 0.38. Wrong, too: a new one for each step. It fits each batch as
# well as it can, and the rest badly: above 0.6. Right: all rows. The first step, of fewer
# than 20 calls, ends at 0.37, the least there is. Dropout, too, makes each call differ.
#
# L-BFGS 拿损失来比大小，拿梯度来相减，所以它们必须出自同一个函数。错误写法：在闭包里抽小批量，
# 每次比的都是不同的数据，损失停在 0.38 以上。同样错误：每步换一个小批量。它把每一小批都拟合到极致，
# 在其余数据上却很差：0.6 以上。正确写法：全部数据。第一步调用不到 20 次，损失就到了 0.37，
# 不能再低了。dropout 也会让每次调用都不一样，同样不行。

torch.manual_seed(0)
x = torch.randn(512, 10, dtype=torch.float64)
y = (torch.rand(512) < torch.sigmoid(x @ torch.randn(10, dtype=torch.float64))).double()


def fit(size, per_call=False):
    w = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    optimizer, losses = optim.LBFGS([w], **wolfe), []

    def closure():
        optimizer.zero_grad()
        rows = torch.randperm(512)[:size] if per_call else batch
        loss = loss_on(x[rows] @ w, y[rows])
        loss.backward()
        return loss

    for _ in range(5):
        batch = torch.randperm(512)[:size]
        optimizer.step(closure)
        losses.append(loss_on(x @ w, y).item())
    return losses


fits = {"all": fit(512), "per step": fit(32), "per call": fit(32, per_call=True)}
for name, losses in fits.items():
    print(f"{name:8}", *(f"{loss:6.2f}" for loss in losses))
# sphinx_gallery_start_ignore
assert round(fits["all"][0], 2) == round(fits["all"][-1], 2) == 0.37
assert min(fits["per call"]) > 0.38 and min(fits["per step"]) > 0.6


def logistic(w):
    return loss_on(x @ w, y)


finer = {"tolerance_grad": 1e-12, "tolerance_change": 1e-20}
w, calls, _ = run(optim.LBFGS, 1, logistic, [0.0] * 10, **wolfe)
least, *_ = run(optim.LBFGS, 5, logistic, [0.0] * 10, **wolfe, **finer)
assert len(calls) < 20
torch.testing.assert_close(logistic(w), logistic(least), rtol=0, atol=1e-6)

fig, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
fig.set_label(
    "Loss on all rows after each of five steps: with all rows in each call it is at its "
    "least at once, with mini-batches never | "
    "五步里每步之后在全部数据上的损失：每次调用都用全部数据，一步到底；用小批量，始终到不了"
)
names = {"all": "all rows | 全部数据"}
names |= {"per step": "wrong: a batch a step | 错误：每步换一批"}
names |= {"per call": "wrong: a batch a call | 错误：每次调用换一批"}
for name, color in zip(names, ("C2", "C1", "C3"), strict=True):
    ax.semilogy(range(1, 6), fits[name], f"{color}o-", lw=2.2)
    va = "bottom" if name == "per call" else "top"
    ax.text(5.1, fits[name][-1], names[name], color=color, va=va)
ax.set(
    xlim=(0.8, 7.6),
    xticks=range(1, 6),
    ylim=(0.2, 30),
    xlabel="step | 第几步",
    ylabel="loss | 损失",
)
ax.set_title("One step on all the data beats five on batches | 全部数据走一步，胜过小批量走五步")
plt.show()
# sphinx_gallery_end_ignore

# %%
# One group, and much memory | 只收一个参数组，还占内存
# -----------------------------------------------------
# L-BFGS lays all parameters end to end in one vector, with one direction and one
# step, so a second parameter group is an error, and there is no ``weight_decay``: add
# that to the loss. Its optimizer state stands in one place, under the first
# parameter: up to ``history_size=100`` pairs of vectors. That is 203 times the size of the weights
# here, where Adam keeps 2; with ``history_size=10``, 22. It is for small models, few
# parameters and little data; ``optimkit.state_memory`` says what yours would take.
#
# L-BFGS 把所有参数首尾相接，拼成一个向量，共用一个方向和一个步长。所以给两个参数组会报错，
# 也没有 ``weight_decay`` 选项，要用就加进损失里。它的优化器状态全放在一处，也就是第一个参数名下：
# 最多 ``history_size=100`` 对向量。这里是权重的 203 倍，而 Adam 是 2 倍；``history_size=10`` 时是 22 倍。
# 它适合参数少、数据也少的小模型。你的模型要多少，``optimkit.state_memory`` 会告诉你。

import optimkit

model = nn.Sequential(nn.Linear(20, 10), nn.Tanh(), nn.Linear(10, 1))
try:
    optim.LBFGS([{"params": layer.parameters()} for layer in (model[0], model[2])])
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except ValueError as error:
    print("ValueError:", error)
weights = sum(p.numel() * p.element_size() for p in model.parameters())
# sphinx_gallery_start_ignore
ratios = []
# sphinx_gallery_end_ignore
short = {"history_size": 10}
for kind, options in ((optim.Adam, {}), (optim.LBFGS, {}), (optim.LBFGS, short)):
    table = optimkit.state_memory(kind(model.parameters(), **options), predict=True)
    state = sum(row.bytes for row in table.rows)
    print(f"{kind.__name__} {options}: {state / weights:.0f} times the weights")
    # sphinx_gallery_start_ignore
    ratios.append(round(state / weights))
assert ratios == [2, 203, 22]
try:
    optim.LBFGS(model.parameters(), weight_decay=0.1)
    raise AssertionError
except TypeError:
    pass
lbfgs = optim.LBFGS(model.parameters(), history_size=10)
inputs = torch.randn(30, 20)


def squared():
    lbfgs.zero_grad()
    loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
    loss.backward()
    return loss


lbfgs.step(squared)
((first, kept),) = lbfgs.state.items()
assert first is model[0].weight and len(kept["old_dirs"]) == 10
assert kept["old_dirs"][0].numel() == sum(p.numel() for p in model.parameters())
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - After some steps L-BFGS calls the closure once a step, and nothing moves. Is it broken?
# - Your loop clips the gradient between ``backward()`` and ``step()``. Where does that
#   line go now that ``step`` gets a closure?
#
# - 走了几步之后，L-BFGS 每步只调用一次闭包，权重也不动了，是坏了吗？
# - 原来的循环在 ``backward()`` 和 ``step()`` 之间裁剪梯度。现在 ``step`` 接收闭包，这一行该放哪里？

# %%
# Answers | 答案
# --------------
# - No: it is done, by its own measure, ``tolerance_grad=1e-7`` and
#   ``tolerance_change=1e-9``. Smaller ones let it go on.
# - Into the closure, after ``backward()``: the closure makes the gradient that the step
#   uses. With L-BFGS leave gradient clipping out: it reads the curvature from differences
#   of gradients. In the valley, clipped to 1, it is still above 1 after five steps.
#
# - 没坏，按它自己的标准已经完成了：``tolerance_grad=1e-7``，``tolerance_change=1e-9``。调小就会继续走。
# - 放进闭包，在 ``backward()`` 之后：这一步用的梯度是闭包算出来的。
#   用 L-BFGS 就别做梯度裁剪了：它靠梯度之差来看曲率。在山谷里裁剪到 1，走了五步，损失还在 1 以上。

finer = {"tolerance_grad": 1e-12, "tolerance_change": 1e-20}
_, calls, stopped = run(optim.LBFGS, 5, **wolfe)
_, _, further = run(optim.LBFGS, 5, **wolfe, **finer)
print(f"stops at {stopped:.0e}, or at {further:.0e}")
# sphinx_gallery_start_ignore
assert calls[-1] == calls[-2] == calls[-3] and stopped > 1e-12 > further


def moved(inside):
    w = torch.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    w.grad = torch.tensor([50.0])

    def closure():
        optimizer.zero_grad()
        loss = (50 * w).sum()
        loss.backward()
        if inside:
            nn.utils.clip_grad_norm_([w], 1.0)
        return loss

    nn.utils.clip_grad_norm_([w], 1.0)
    optimizer.step(closure)
    return 3 - w.item()


assert round(moved(inside=True), 4) == 1 and moved(inside=False) == 50
w = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
lbfgs = optim.LBFGS([w], **wolfe)


def clipped():
    lbfgs.zero_grad()
    loss = valley(w)
    loss.backward()
    nn.utils.clip_grad_norm_([w], 1.0)
    return loss


for _ in range(5):
    lbfgs.step(clipped)
assert valley(w) > 1
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Ridge regression has an exact solution, which makes it a good test. Fit ``targets`` from
# ``inputs`` with L-BFGS, and a weight decay of 0.1 that you write into the closure:
# add :math:`0.05 |w|^2` to half the mean squared error. How many calls does one step take to
# be right to four decimals?
#
# 岭回归有精确解，正好拿来检验。用 L-BFGS 从 ``inputs`` 拟合 ``targets``，
# 权重衰减取 0.1，自己写进闭包：在均方误差的一半上加 :math:`0.05 |w|^2`。
# 一步要调用几次，才能准到小数点后四位？

torch.manual_seed(1)
inputs = torch.randn(100, 8, dtype=torch.float64)
targets = inputs @ torch.arange(8.0, dtype=torch.float64) + torch.randn(100)

# %%
# Solution | 参考答案
# -------------------
# Fewer than 20. Setting the gradient to zero gives the exact solution.
#
# 不到 20 次。令梯度为零，就得到精确解。


def ridge(w):
    return (inputs @ w - targets).square().mean() / 2 + 0.05 * w.square().sum()


w, calls, _ = run(optim.LBFGS, 1, ridge, start=[0.0] * 8, **wolfe)
curvature = inputs.T @ inputs / 100 + 0.1 * torch.eye(8)
exact = torch.linalg.solve(curvature, inputs.T @ targets / 100)
print(len(calls), "calls, largest error", (w - exact).abs().max().item())
# sphinx_gallery_start_ignore
assert len(calls) < 20
torch.testing.assert_close(w, exact, rtol=0, atol=5e-5)
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 13 takes momentum and Adam through a valley.
# - Tutorial 16 is about clipping, and mixed precision.
# - Nocedal's paper of 1980: `Updating Quasi-Newton Matrices with Limited Storage
#   <https://doi.org/10.1090/S0025-5718-1980-0572855-7>`__.
#
# - 教程 13 让动量和 Adam 走过山谷。
# - 教程 16 讲裁剪，还有混合精度。
# - Nocedal 1980 年的论文：`Updating Quasi-Newton Matrices with Limited Storage
#   <https://doi.org/10.1090/S0025-5718-1980-0572855-7>`__。
