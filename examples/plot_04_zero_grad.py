"""
Clear gradients with zero_grad() | 用 zero_grad() 把梯度清零
============================================================

Each ``backward()`` *adds* to ``.grad``, and nothing but you takes it away. So call
``zero_grad()`` once per iteration: after ``step()``, before the next ``backward()``.
Leave it out on purpose and you get gradient accumulation, which makes one big batch
out of small ones.

每次 ``backward()`` 都把新梯度 **加** 到 ``.grad`` 上，除了你，没人会去清。
所以每次迭代清零一次：在 ``step()`` 之后、下一次 ``backward()`` 之前调用 ``zero_grad()``。
有意不清，就是梯度累积：用几个小批次凑出一个大批次。

**What you will learn**

- What ``zero_grad()`` leaves behind, and which gradients it does not reach.
- The safe places for it, and the one place that stops all learning.
- Level: beginner. Time: 15 minutes. Needs: tutorial 01.

**你会学到**

- ``zero_grad()`` 之后剩下什么，哪些梯度它清不到。
- 哪些位置可以放心清零，放在哪个位置会什么也学不到。
- 难度：入门。用时：15 分钟。预备：教程 01。
"""

# %%
# After ``zero_grad()`` | ``zero_grad()`` 之后
# --------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), clears a
# gradient of ones and prints zeros. Today that prints ``None``: the default of the argument
# ``set_to_none`` became ``True`` in PyTorch 2.0. ``False`` brings back zeros, and the memory
# they take.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），先打印全是 1 的梯度，清零之后再打印，是全零矩阵。
# 今天再跑，打印的是 ``None``：``zero_grad()`` 有个参数 ``set_to_none``，
# PyTorch 2.0 起默认值改成了 ``True``。传 ``False``，零就回来了，它占的内存也回来了。

# sphinx_gallery_covers = "S8 C24"
import torch
from torch import nn

weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
optimizer = torch.optim.Adam([weight], lr=0.01)
for set_to_none in (True, False):
    weight.grad = torch.ones((2, 2))
    optimizer.zero_grad(set_to_none=set_to_none)
    print(weight.grad)
# sphinx_gallery_start_ignore
assert torch.equal(weight.grad, torch.zeros(2, 2)) and weight.grad.nbytes == 16
optimizer.zero_grad()
assert weight.grad is None
# sphinx_gallery_end_ignore

# %%
# Not every tensor has a gradient | 不是每个张量都有梯度
# ------------------------------------------------------
# "Every tensor has a gradient", says the note. Every tensor has the attribute ``.grad``; a
# value arrives with ``backward()``, and only in a leaf tensor that requires a gradient.
# Read it from an intermediate tensor, and PyTorch warns and returns ``None``, unless you
# called ``retain_grad()`` first. Old code that reads a cleared gradient, as in
# ``weight.grad.norm()``, fails now: read first, or test for ``None`` (tutorial 23).
#
# 笔记说“张量当中都会有梯度 grad”，差一点：属性每个张量都有，值却要等 ``backward()`` 之后才有，
# 而且只给需要梯度的叶子张量。读中间结果的 ``.grad``，PyTorch 会先警告，再返回 ``None``，
# 除非事先调用过它的 ``retain_grad()``。老代码若在清零之后才读梯度，例如 ``weight.grad.norm()``，
# 如今会报错：要么先读再清，要么先判断是不是 ``None``，见教程 23。

# sphinx_gallery_covers = "C20 C24"
import warnings

x = torch.tensor(3.0, requires_grad=True)
middle = 2 * x
middle.backward()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print("x:", x.grad, " middle:", middle.grad)
print("UserWarning:", caught[0].message)
# sphinx_gallery_start_ignore
optimizer.zero_grad()
try:
    weight.grad.norm()
    raise AssertionError
except AttributeError:
    pass
assert x.grad == 2 and torch.tensor(2.0).grad is None and len(caught) == 1
# sphinx_gallery_end_ignore

# %%
# Each ``backward()`` adds | 每次 ``backward()`` 都在累加
# -------------------------------------------------------
# Take :math:`x^2` at 3, where the gradient is 6, and run backpropagation in three
# iterations, without a ``step()``. If you don't clear, ``.grad`` reads 6, 12, 18. If
# you do, 6, 6, 6. The note is right: gradients are "not cleared automatically".
#
# 在 3 处对 :math:`x^2` 求导，梯度是 6。连续三次迭代都做反向传播，但不调用 ``step()``：
# 不清零，``.grad`` 依次是 6、12、18；每次清零，就是 6、6、6。
# 笔记说得对，梯度“不自动清零”。

# sphinx_gallery_covers = "C19 C21"
x = torch.tensor(3.0, requires_grad=True)
for _ in range(3):
    (x**2).backward()
# sphinx_gallery_start_ignore
assert x.grad == 18
for _ in range(3):
    torch.optim.SGD([x], lr=0.1).zero_grad()
    (x**2).backward()
    assert x.grad == 6
kept, cleared = [6.0, 12.0, 18.0], [6.0, 6.0, 6.0]

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, axes = plt.subplots(1, 2, figsize=(7.6, 2.5), layout="constrained")
fig.set_label(
    "Bars of the gradient: 6, 12, 18 when kept, and 6, 6, 6 when cleared | "
    "梯度的柱状图：不清零是 6、12、18，清零是 6、6、6"
)
titles = "without zero_grad() | 不调用 zero_grad()", "with zero_grad() | 调用 zero_grad()"
for ax, grads, title in zip(axes, (kept, cleared), titles, strict=True):
    for i, grad in enumerate(grads, start=1):
        for base in range(0, int(grad), 6):
            color = ("C0", 0.9) if base + 6 == grad else ("C1", 0.45)
            ax.bar(i, 5.7, 0.62, bottom=base, color=color, lw=0)
        ax.text(i, grad + 0.6, int(grad), ha="center", size=12)
    ax.set(ylim=(0, 22.5), yticks=[], xticks=[1, 2, 3], xlabel="iteration | 迭代")
    ax.spines["left"].set_visible(False)
    ax.grid(False)
    ax.set_title(title, fontsize=11)
axes[0].text(0.7, 14.5, "new gradient | 新的梯度", color="C0", fontsize=11)
axes[0].text(0.7, 11.2, "left over | 上次留下的", color="C1", fontsize=11)
fig.suptitle("backward() adds, never replaces | backward() 只累加，从不覆盖")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Wrong: forget to clear | 错误：忘了清零
# ---------------------------------------
# Now train with the old gradients left in. The loss falls, climbs back, and falls again,
# forever. A gradient that is never cleared is the sum of all so far, and that is momentum
# with factor 1.0: a pendulum without friction.
#
# 现在带着旧梯度训练：损失降下去，又爬回来，再降下去，没完没了。
# 一直不清的梯度，就是至今所有梯度之和，等于系数为 1.0 的动量，像一个没有摩擦的摆。

# sphinx_gallery_covers = "C22"
torch.manual_seed(0)
inputs = torch.randn(64, 3)
targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]])


def train(clear, momentum=0.0):
    weight = nn.Parameter(torch.zeros(3, 1))
    optimizer = torch.optim.SGD([weight], lr=0.05, momentum=momentum)
    losses = []
    for _ in range(80):
        if clear:
            optimizer.zero_grad()
        losses.append(nn.functional.mse_loss(inputs @ weight, targets))
        losses[-1].backward()
        optimizer.step()
    return torch.stack(losses).detach()


right, wrong = train(clear=True), train(clear=False)
print(f"worst of the last 20: {right[-20:].max():.2f} cleared, {wrong[-20:].max():.2f} not")
# sphinx_gallery_start_ignore
assert right[-20:].max() < 0.05 < 1.0 < wrong[-20:].max()
torch.testing.assert_close(wrong, train(clear=True, momentum=1.0))

fig, ax = plt.subplots(figsize=(7.5, 2.4), layout="constrained")
fig.set_label(
    "Loss over 80 iterations: it decays when cleared, swings when kept | "
    "80 次迭代的损失：清零时平稳下降，不清零时摆动不止"
)
ax.plot(wrong, color="C1", lw=2)
ax.plot(right, color="C0", lw=2.5)
ax.text(80, wrong[-1], "kept | 不清零", color="C1")
ax.text(80, 0.06, "cleared | 清零", color="C0")
ax.set(ylim=(0, None), xlim=(0, 91), xlabel="iteration | 迭代", ylabel="loss | 损失")
ax.set_title("Without zero_grad() the loss swings on | 不清零，损失来回摆动")
plt.show()
# sphinx_gallery_end_ignore

# %%
# When to clear | 什么时候清
# --------------------------
# The note says to clear after using the gradient, or "between" the backward pass; it
# means "before". The first two orders below are right, and give the same weight. Wrong:
# clear between ``backward()`` and ``step()``; what you computed is lost, and 3 stays 3.
#
# 笔记说在用完梯度后，或者反向传播“之间”清零，“之间”应为“之前”。
# 下面前两种顺序都对，得到的权重也一样。第三种是错的：在 ``backward()`` 和 ``step()`` 之间清零，
# 刚算好的梯度就扔掉了，权重停在 3 不动。

# sphinx_gallery_covers = "C23"


def run(order):
    weight = nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for action in 3 * order.split():
        if action == "backward":
            (weight**2).backward()
        else:
            getattr(optimizer, action)()
    return weight.item()


for order in ("zero_grad backward step", "backward step zero_grad", "backward zero_grad step"):
    print(f"{order}: {run(order):.3f}")
# sphinx_gallery_start_ignore
torch.testing.assert_close(run("zero_grad backward step"), 1.536)
torch.testing.assert_close(run("backward step zero_grad"), 1.536)
torch.testing.assert_close(run("backward zero_grad step"), 3.0)
# sphinx_gallery_end_ignore

# %%
# ``None`` and zero train differently | ``None`` 和零，训练结果不同
# -----------------------------------------------------------------
# ``step()`` skips a parameter whose ``.grad`` is ``None``. A gradient of zero is still
# a gradient: momentum coasts on, and weight decay pulls. After one real step, a weight
# whose gradient is cleared to zero moves on; with ``None`` it stays. This matters for any
# parameter that a batch does not use.
#
# 参数的 ``.grad`` 是 ``None``，``step()`` 就跳过它。值为零的梯度也是梯度：
# 动量带着参数继续滑，权重衰减照样拉它。真正走过一步之后，梯度清成零，权重继续移动；
# 清成 ``None``，就一动不动。只要某个批次没用到某个参数，就要留意这个差别。

# sphinx_gallery_covers = "C24"
for set_to_none in (False, True):
    weight = torch.tensor([5.0], requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.grad = torch.ones(1)
    optimizer.step()
    before = weight.item()
    optimizer.zero_grad(set_to_none=set_to_none)
    optimizer.step()
    print(f"gradient {weight.grad}: moved by {before - weight.item():.4f}")
# sphinx_gallery_start_ignore


def drift(kind, set_to_none, **options):
    weight = torch.tensor([5.0], requires_grad=True)
    optimizer = kind([weight], lr=0.1, **options)
    weight.grad = torch.ones(1)
    optimizer.step()
    positions = [weight.item()]
    for _ in range(20):
        optimizer.zero_grad(set_to_none=set_to_none)
        optimizer.step()
        positions.append(weight.item())
    return [positions[0] - position for position in positions]


adam, none = drift(torch.optim.Adam, False), drift(torch.optim.Adam, True)
decay = {"momentum": 0.9, "weight_decay": 0.1}
sgd = drift(torch.optim.SGD, False, **decay)
torch.testing.assert_close([adam[1], sgd[1]], [0.0670, 0.1835], atol=1e-4, rtol=0)
assert none == drift(torch.optim.SGD, True, **decay) == [0.0] * 21

fig, ax = plt.subplots(figsize=(7.5, 2.4), layout="constrained")
fig.set_label(
    "With zeros, Adam and SGD keep moving the weight; with None it rests | "
    "清成零，Adam 和 SGD 都继续移动权重；清成 None，权重不动"
)
lines = {"zeros, SGD | 零，SGD": sgd, "zeros, Adam | 零，Adam": adam, "None": none}
for i, (text, moved) in enumerate(lines.items()):
    ax.plot(moved, f"C{i}o-", ms=4)
    ax.text(20.4, moved[-1], text, color=f"C{i}", va="center")
ax.set(xlim=(0, 24.5), xticks=range(0, 21, 5), ylabel="moved by | 移动了多少")
ax.set_xlabel("steps without a gradient | 没有梯度的步数")
ax.set_title("Zeros push a weight on; None stops it | 零推着权重走，None 才停")
plt.show()
# sphinx_gallery_end_ignore

# %%
# It clears only what it manages | 只清自己管理的
# -----------------------------------------------
# ``optimizer.zero_grad()`` reaches the parameters in its groups, no others. Wrong: leave out
# a layer, here ``body``. It still gets gradients, and they silently pile up (tutorial 06
# shows the harm). Right: ``net.zero_grad()``, of the whole model, or freeze the layer with
# ``requires_grad_(False)``. ``optimkit.audit`` finds such layers.
#
# ``optimizer.zero_grad()`` 只清自己参数组里的参数。错误写法：漏掉一层，比如这里的 ``body``，
# 照样会算它的梯度，于是越积越多，torch 也不吭声（害处见教程 06）。正确写法：
# 调用整个模型的 ``net.zero_grad()``，或者用 ``requires_grad_(False)`` 冻结这一层。
# ``optimkit.audit`` 能查出这样的层。

# sphinx_gallery_covers = "C18"
import optimkit

net = nn.ParameterDict({"head": torch.zeros(1), "body": torch.zeros(1)})
optimizer = torch.optim.SGD([net["head"]], lr=0.1)
for _ in range(10):
    optimizer.zero_grad()
    (3 * net["head"] + 3 * net["body"]).backward()
    optimizer.step()
print("head:", net["head"].grad.item(), " body:", net["body"].grad.item())
print("audit:", *optimkit.audit(optimizer, models=net).codes)
# sphinx_gallery_start_ignore
net.zero_grad()
assert net["body"].grad is None
assert optimkit.audit(optimizer, models=net).codes == ("unmanaged",)
net["body"].requires_grad_(False)
(3 * net["head"] + 3 * net["body"]).backward()
assert net["body"].grad is None and net["head"].grad == 3
# sphinx_gallery_end_ignore

# %%
# On purpose: gradient accumulation | 有意为之：梯度累积
# ------------------------------------------------------
# Accumulating "causes errors", says the note. Forgotten, it does; on purpose, it is a tool.
# If a batch of 8 does not fit in memory, send 4 batches of 2, divide each loss by 4, clear
# once at the start and step once at the end. The gradient is that of the whole batch;
# without the division, 4 times that. (A BatchNorm layer still sees 2 samples at a time.)
#
# 笔记说累加会“造成错误”。忘了清零时确实如此，有意使用时它却是工具。
# 假如一批 8 个样本放不进内存，就分成 4 小批，每批 2 个样本：
# 每批的损失除以 4，开头清零一次，最后走一步。得到的梯度和整批一样；
# 忘了除，就成了 4 倍。（如果有 BatchNorm，它每次看到的仍是 2 个样本。）

# sphinx_gallery_covers = "C22"
linear = nn.Linear(3, 1)


def gradient(size, share, samples=8):
    linear.zero_grad()
    for rows in torch.arange(samples).split(size):
        loss = nn.functional.mse_loss(linear(inputs[rows]), targets[rows])
        (loss * share(len(rows))).backward()
    return linear.weight.grad.clone()


whole = gradient(8, lambda n: 1)
divided, forgot = gradient(2, lambda n: 1 / 4), gradient(2, lambda n: 1)
print(f"divided: {(divided / whole).mean():.2f}, forgot: {(forgot / whole).mean():.2f}")
# sphinx_gallery_start_ignore
torch.testing.assert_close(divided, whole)
torch.testing.assert_close(forgot, 4 * whole)
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - You have two losses. Is one ``backward()`` of their sum the same as two?
# - You log the norm of the gradient. Where does that line go?
#
# - 有两个损失，加起来做一次 ``backward()``，和各做一次，结果一样吗？
# - 要记录梯度的范数，这一行该放在哪里？

# %%
# Answers | 答案
# --------------
# - Yes, since each ``backward()`` adds. Where the two share computation, the first
#   needs ``retain_graph=True``.
# - After ``backward()``, before ``zero_grad()``.
#
# - 一样，因为每次 ``backward()`` 都是累加。如果两个损失共用一段计算，
#   前一次要加上 ``retain_graph=True``。
# - ``backward()`` 之后，``zero_grad()`` 之前。

once, twice = (torch.tensor(3.0, requires_grad=True) for _ in range(2))
(once**2 + 5 * once).backward()
(twice**2).backward()
(5 * twice).backward()
print(once.grad, twice.grad)
# sphinx_gallery_start_ignore
assert once.grad == twice.grad == 11
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Ten samples, in pieces of 4, 4 and 2. Dividing each loss by 3 is wrong now: it gives
# a sample of the last piece twice the weight of the others. Find the share that makes the
# gradient equal to that of the whole batch.
#
# 十个样本，分成 4、4、2 三份。这时每个损失除以 3 就错了：
# 最后一份里的样本，每个的分量都是其他样本的两倍。
# 请找出每份该乘的比例，让梯度和整批一样。

whole = gradient(10, lambda n: 1, samples=10)
naive = gradient(4, lambda n: 1 / 3, samples=10)
print(f"divided by 3, off by {(naive - whole).abs().max():.2f}")

# %%
# Solution | 参考答案
# -------------------
# A piece counts by its samples: multiply its mean loss by its size over 10. The shares
# are 0.4, 0.4 and 0.2.
#
# 每一份按样本数计：平均损失乘以它的样本数，再除以 10。三份的比例是 0.4、0.4、0.2。

fair = gradient(4, lambda n: n / 10, samples=10)
torch.testing.assert_close(fair, whole)
# sphinx_gallery_start_ignore
assert (naive - whole).abs().max() > 0.01
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 05 looks at what ``step()`` does with the gradient.
# - Tutorial 10 trains chosen layers only, and meets the piled-up gradients again.
# - How ``.grad`` gets filled: `the autograd notes
#   <https://docs.pytorch.org/docs/stable/notes/autograd.html>`__.
#
# - 教程 05 看 ``step()`` 拿梯度做什么。
# - 教程 10 只训练选定的层，会再次遇到越积越多的梯度。
# - ``.grad`` 是怎样填上的：`官方的 autograd 说明
#   <https://docs.pytorch.org/docs/stable/notes/autograd.html>`__。
