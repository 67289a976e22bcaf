"""
Clear gradients with zero_grad() | 用 zero_grad() 把梯度清零
============================================================

Each ``backward()`` *adds* to ``.grad``, and nothing but you takes it away. So call
``zero_grad()`` once per iteration: after ``step()``, before the next ``backward()``.
Leave it out on purpose and you get gradient accumulation, which makes one big batch
out of small ones.

每次 ``backward()`` 都把新梯度 **加** 到 ``.grad`` 上，除了你，没人会去清。
所以每次迭代清零一次：在 ``step()`` 之后、下一次 ``backward()`` 之前调用 ``zero_grad()``。
有意不清，就是梯度累积：用几个小批量凑出一个大批量。

**What you will learn**

- What ``zero_grad()`` leaves behind, and why ``None`` is not zero.
- The safe places for it, and the one place that stops all learning.
- Level: beginner. Time: 15 minutes. Needs: tutorial 01.

**你会学到**

- ``zero_grad()`` 之后剩下什么，为什么 ``None`` 不等于零。
- 哪些位置可以清零，放在哪个位置会什么也学不到。
- 难度：入门。用时：15 分钟。预备：教程 01。
"""

import warnings

import matplotlib.pyplot as plt
import torch
from torch import nn

plt.rcParams["font.sans-serif"] = [
    "Noto Sans CJK SC",
    "PingFang SC",
    "Microsoft YaHei",
    "DejaVu Sans",
]
torch.manual_seed(0)

# %%
# Not every tensor has a gradient | 不是每个张量都有梯度
# ------------------------------------------------------
# The note says that "every tensor has a gradient". Almost: every tensor has the
# attribute ``.grad``, and it starts as ``None``. A value arrives with ``backward()``,
# and only in a leaf tensor that requires gradient. Ask a tensor computed on the way,
# and PyTorch answers ``None`` with a warning, unless you called ``retain_grad()``.
#
# 原笔记说“张量当中都会有梯度”，差一点：每个张量都有 ``.grad`` 这个属性，
# 但一开始都是 ``None``。要等 ``backward()`` 之后才有值，
# 而且只给需要梯度的叶子张量。去问一个中间结果，PyTorch 会发出警告，
# 再答 ``None``，除非你事先调用过 ``retain_grad()``。

# sphinx_gallery_covers = "C20"
x = torch.tensor(3.0, requires_grad=True)
constant = torch.tensor(2.0)
middle = constant * x
print("before:", x.grad)
middle.backward()
print("after :", x.grad, constant.grad)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert middle.grad is None
print(caught[0].category.__name__, "-", str(caught[0].message)[:55])
assert x.grad == 2
assert constant.grad is None

# %%
# Each backward() adds | 每次 backward() 都在累加
# -----------------------------------------------
# Take :math:`x^2` at 3, where the gradient is 6, and call ``backward()`` in three
# iterations. Without clearing, ``.grad`` reads 6, 12, 18. With it, 6, 6, 6. The note
# is right: gradients are "not cleared automatically". Its picture is lost; here is
# a new one.
#
# 在 3 处对 :math:`x^2` 求导，梯度是 6。连续三次迭代都调用 ``backward()``：
# 不清零，``.grad`` 依次是 6、12、18；每次清零，就是 6、6、6。
# 原笔记说得对，梯度“不自动清零”。笔记里的配图已经丢失，这里重画一张。

# sphinx_gallery_covers = "C19 C21"
# sphinx_gallery_thumbnail_number = 1


def three_iterations(clear):
    x = torch.tensor(3.0, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=0.1)
    seen = []
    for _ in range(3):
        if clear:
            optimizer.zero_grad()
        (x**2).backward()
        seen.append(x.grad.item())
    return seen


kept, cleared = three_iterations(clear=False), three_iterations(clear=True)
print("kept   :", kept)
print("cleared:", cleared)
assert kept == [6.0, 12.0, 18.0]
assert cleared == [6.0, 6.0, 6.0]

fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.6), layout="constrained")
fig.set_label(
    "Bars of the gradient: 6, 12, 18 when kept, and 6, 6, 6 when cleared | "
    "梯度的柱状图：不清零是 6、12、18，清零是 6、6、6"
)
for ax, grads in zip(axes, (kept, cleared), strict=True):
    for i, grad in enumerate(grads, start=1):
        for base in range(0, int(grad), 6):
            color = ("C0", 0.9) if base + 6 == grad else ("C1", 0.45)
            ax.bar(i, 5.7, 0.62, bottom=base, color=color, lw=0)
        ax.text(i, grad + 0.4, int(grad), ha="center", size=14, weight="bold")
    ax.set_xticks([1, 2, 3])
    ax.set(ylim=(0, 21.5), yticks=[], xlabel="iteration | 迭代")
    ax.spines[["top", "right", "left"]].set_visible(False)
axes[0].text(0.7, 14.5, "new gradient | 新的梯度", color="C0", fontsize=11)
axes[0].text(0.7, 12.4, "left over | 上次留下的", color="C1", fontsize=11)
axes[0].set_title("without zero_grad() | 不调用 zero_grad()", fontsize=11)
axes[1].set_title("with zero_grad() | 调用 zero_grad()", fontsize=11)
fig.suptitle("backward() adds, never replaces | backward() 只累加，从不覆盖")
plt.show()

# %%
# Wrong: forget to clear | 错误：忘了清零
# ---------------------------------------
# Now train with the old gradients left in. The loss falls, climbs back, and falls
# again, for ever. There is a reason. A gradient that is never cleared is a sum of all
# gradients so far, and that is momentum with factor 1.0: a pendulum without friction.
#
# 现在带着旧梯度训练：损失降下去，又爬回来，再降下去，没完没了。
# 这是有道理的：一直不清的梯度，就是至今所有梯度之和，
# 等于系数为 1.0 的动量，像一个没有摩擦的摆。

# sphinx_gallery_covers = "C22"
inputs = torch.randn(64, 3)
targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]])


def train(clear, momentum=0.0):
    weight = nn.Parameter(torch.zeros(3, 1))
    optimizer = torch.optim.SGD([weight], lr=0.05, momentum=momentum)
    losses = []
    for _ in range(80):
        loss = nn.functional.mse_loss(inputs @ weight, targets)
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


right, wrong = train(clear=True), train(clear=False)
worst_right, worst_wrong = max(right[-20:]), max(wrong[-20:])
print(f"first loss {right[0]:.2f}; worst of the last 20:")
print(f"cleared {worst_right:.2f}, kept {worst_wrong:.2f}")
assert worst_right < 0.05 < 1.0 < worst_wrong
torch.testing.assert_close(wrong, train(clear=True, momentum=1.0))

fig, ax = plt.subplots(figsize=(7.5, 3.3), layout="constrained")
fig.set_label(
    "Loss over 80 iterations: it decays when cleared, swings when kept | "
    "80 次迭代的损失：清零时平稳下降，不清零时摆动不止"
)
ax.plot(wrong, color="C1", lw=2)
ax.plot(right, color="C0", lw=2.5)
ax.text(80, wrong[-1], "kept | 不清零", color="C1", fontsize=11)
ax.text(80, 0.06, "cleared | 清零", color="C0", fontsize=11)
ax.set(ylim=(0, None), xlim=(0, 91))
ax.set_xlabel("iteration | 迭代")
ax.set_ylabel("loss | 损失")
ax.spines[["top", "right"]].set_visible(False)
ax.set_title("Without zero_grad() the loss swings on | 不清零，损失来回摆动")
plt.show()

# %%
# What is left: None today, zeros then | 清完剩什么：如今是 None，当年是零
# ---------------------------------------------------------------------------
# Here is the note's program. It printed a matrix of zeros; today it prints ``None``.
# The note was right in its day: ``zero_grad()`` has an argument ``set_to_none``, whose
# default became ``True`` in PyTorch 2.0. Pass ``False`` and the zeros come back,
# with the memory they take.
#
# 下面是原笔记的程序。当年最后打印的是全零矩阵，今天是 ``None``。
# 笔记在当时没有错：``zero_grad()`` 有个参数 ``set_to_none``，
# PyTorch 2.0 起默认值改成了 ``True``。传 ``False``，零就回来了，
# 它占的内存也回来了。

# sphinx_gallery_covers = "S8 C24"
weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
weight.grad = torch.ones((2, 2))
optimizer = torch.optim.Adam([weight], lr=0.01, betas=(0.9, 0.999), eps=1e-08)
print(weight.grad)

optimizer.zero_grad()
print(weight.grad)
assert weight.grad is None

weight.grad = torch.ones((2, 2))
optimizer.zero_grad(set_to_none=False)
print(weight.grad, weight.grad.nbytes, "bytes")
assert torch.equal(weight.grad, torch.zeros(2, 2))
assert weight.grad.nbytes == 16

# %%
# Old code that reads a gradient after clearing it now fails, which is better than
# logging a norm of zero without a word. Read first, or test for ``None``.
#
# 老代码若在清零之后才去读梯度，如今会报错。这比不声不响记下一个零要好。
# 要么先读再清，要么先判断是不是 ``None``。

# sphinx_gallery_covers = "C24"
optimizer.zero_grad()
try:
    weight.grad.norm()
except AttributeError as error:
    print(type(error).__name__, "-", str(error).splitlines()[0][:70])
assert [p.grad.norm() for p in [weight] if p.grad is not None] == []

# %%
# None and zero train differently | None 和零，训练结果不同
# ---------------------------------------------------------
# ``step()`` skips a parameter whose ``.grad`` is ``None``. A gradient of zero is still
# a gradient: momentum coasts on, and weight decay pulls. Take one real step, clear, and
# step again. The weight moves by 0.0670 with Adam, and by 0.1835 with SGD that has
# momentum and weight decay. With ``None`` it stays. This matters for any parameter that
# a batch does not use.
#
# 参数的 ``.grad`` 是 ``None``，``step()`` 就跳过它。值为零的梯度也是梯度：
# 动量带着参数继续滑，权重衰减照样拉它。先用真实的梯度走一步，清零，再走一步：
# 用 Adam，权重又移动 0.0670；用带动量和权重衰减的 SGD，又移动 0.1835；
# 清成 ``None``，则一动不动。某个参数在这个批量里没用上时，就要留意这个差别。

# sphinx_gallery_covers = "C24"


def drift(make, set_to_none, steps=20):
    weight = torch.tensor([[2.0, 3.0], [4.0, 5.0]], requires_grad=True)
    optimizer = make([weight])
    weight.grad = torch.ones((2, 2))
    optimizer.step()
    start, moved = weight.detach().clone(), [0.0]
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=set_to_none)
        optimizer.step()
        moved.append((weight.detach() - start).abs().max().item())
    return moved


def adam(params):
    return torch.optim.Adam(params, lr=0.1)


def sgd(params):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1)


fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained")
fig.set_label(
    "With zeros, Adam and SGD keep moving the weight; with None it rests | "
    "清成零，Adam 和 SGD 都继续移动权重；清成 None，权重不动"
)
for ax, make, first in zip(axes, (adam, sgd), (0.0670, 0.1835), strict=True):
    zeros, none = drift(make, False), drift(make, True)
    print(f"{make.__name__:4}  zeros: {zeros[1]:.4f}   None: {none[1]:.4f}")
    assert max(none) == 0.0
    assert abs(zeros[1] - first) < 1e-4
    ax.plot(zeros, "o-", color="C1", ms=4)
    ax.plot(none, "o-", color="C0", ms=4)
    ax.text(11, zeros[11] * 0.82, "zeros | 零", color="C1", fontsize=12)
    ax.text(11, zeros[-1] * 0.04, "None", color="C0", fontsize=12)
    ax.set_xlabel("steps without a gradient | 没有梯度的步数")
    ax.set_xticks(range(0, 21, 5))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("moved by | 移动了多少")
axes[0].set_title("Adam", fontsize=11)
axes[1].set_title("SGD, momentum, decay | SGD，动量，权重衰减", fontsize=11)
fig.suptitle("Zeros push a weight on; None stops it | 零推着权重走，None 才停")
plt.show()

# %%
# When to clear | 什么时候清
# --------------------------
# The note says to clear after using the gradient, or "between" the backward pass; it
# means "before". The first two orders below are right, and give the same weight. The
# third is wrong: clear between ``backward()`` and ``step()``, and you throw away what
# you have computed. The weight stays at 3.
#
# 原笔记说在用完梯度后，或者反向传播“之间”清零，“之间”应为“之前”。
# 下面前两种顺序都对，得到的权重也一样。第三种是错的：
# 在 ``backward()`` 和 ``step()`` 之间清零，刚算好的梯度就扔掉了，权重停在 3 不动。

# sphinx_gallery_covers = "C23"


def run(order):
    weight = nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(3):
        for action in order.split():
            if action == "backward":
                (weight**2).backward()
            else:
                getattr(optimizer, action)()
    return weight.item()


orders = {
    "zero_grad backward step": 1.536,
    "backward step zero_grad": 1.536,
    "backward zero_grad step": 3.0,
}
for order, expected in orders.items():
    weight = run(order)
    print(f"{order}: {weight:.3f}")
    torch.testing.assert_close(weight, expected)

# %%
# Only what it manages | 只清自己管理的
# -------------------------------------
# ``optimizer.zero_grad()`` reaches the parameters in its groups, no others. A layer
# that you leave out of the optimizer still gets gradients, and they pile up. Add it
# later, and its first step is ten times what it should be. First, that wrong way.
#
# ``optimizer.zero_grad()`` 只清自己参数组里的参数。没交给优化器的层照样会算梯度，
# 于是越积越多；等你以后再把它加进来，第一步就走出该走的十倍远。
# 下面先看这个错误的做法。

# sphinx_gallery_covers = "C18"
net = nn.ParameterDict({"head": torch.zeros(1), "body": torch.zeros(1)})
optimizer = torch.optim.SGD([net["head"]], lr=0.1)
for _ in range(10):
    optimizer.zero_grad()
    (3 * net["head"] + 3 * net["body"]).backward()
    optimizer.step()
grads = {name: net[name].grad.item() for name in ("head", "body")}
print("grad:", grads)
assert grads == {"head": 3.0, "body": 30.0}

optimizer.add_param_group({"params": [net["body"]]})
optimizer.step()
print(f"first step of body: {net['body'].item():.1f}, should be -0.3")
torch.testing.assert_close(net["body"].item(), -3.0)

# %%
# The right way: ``zero_grad()`` of the model, which reaches every parameter in it. Or
# freeze the layer with ``requires_grad_(False)``, and no gradient is made at all.
#
# 正确的做法：调用模型的 ``zero_grad()``，模型里的参数一个不漏。
# 或者用 ``requires_grad_(False)`` 冻结这一层，就根本不会算它的梯度。

# sphinx_gallery_covers = "C18"
net.zero_grad()
assert all(p.grad is None for p in net.parameters())

net["body"].requires_grad_(False)
(3 * net["head"] + 3 * net["body"]).backward()
print("frozen:", net["body"].grad, "  head:", net["head"].grad.item())
assert net["body"].grad is None

# %%
# On purpose: gradient accumulation | 有意为之：梯度累积
# ------------------------------------------------------
# The note says that accumulating "causes errors". It does when you forget; it is a tool
# when you mean it. Suppose a batch of 8 does not fit in memory. Send 4 batches of 2,
# divide each loss by 4, clear once at the start and step once at the end. The gradient
# is that of the whole batch; forget the division, and it is 4 times as large. (A
# BatchNorm layer would still see 2 samples at a time.)
#
# 原笔记说累加会“造成错误”。忘了清零时确实如此，有意使用时它却是工具。
# 假如 8 个样本的批量放不进内存，就分成 4 个小批量，每个 2 个样本：
# 每个损失除以 4，开头清零一次，最后走一步。得到的梯度和整批一样。
# 忘了除，梯度就成了 4 倍。（如果有 BatchNorm，它每次看到的仍是 2 个样本。）

# sphinx_gallery_covers = "C22"
loss_of = nn.MSELoss()
linear = nn.Linear(3, 1)
X, Y = inputs[:8], targets[:8]
loss_of(linear(X), Y).backward()
whole = linear.weight.grad.clone()


def accumulate(pieces, share):
    linear.zero_grad()
    for x, y in pieces:
        (loss_of(linear(x), y) * share(x)).backward()
    return linear.weight.grad.clone()


pieces = list(zip(X.split(2), Y.split(2), strict=True))
divided = accumulate(pieces, lambda x: 1 / 4)
forgot = accumulate(pieces, lambda x: 1.0)
print(f"divided: {(divided / whole).mean():.2f} of the whole batch")
print(f"forgot : {(forgot / whole).mean():.2f} of the whole batch")
torch.testing.assert_close(divided, whole)
torch.testing.assert_close(forgot, 4 * whole)

# %%
# Exercise | 练习
# ---------------
# Ten samples, in pieces of 4, 4 and 2. Dividing each loss by 3 is wrong now: it gives
# a sample of the last piece twice the say of the others. Find the share that makes the
# gradient equal to that of the whole batch.
#
# 十个样本，分成 4、4、2 三份。这时每个损失除以 3 就错了：
# 最后一份里的每个样本，分量是别人的两倍。
# 请找出每份该乘的比例，让梯度和整批一样。

X, Y = inputs[:10], targets[:10]
pieces = list(zip(X.split(4), Y.split(4), strict=True))
whole = accumulate([(X, Y)], lambda x: 1.0)
naive = accumulate(pieces, lambda x: 1 / 3)
print("sizes:", [len(x) for x, _ in pieces])
print(f"divided by 3, off by {(naive - whole).abs().max().item():.2f}")

# %%
# Solution | 参考答案
# -------------------
# A piece counts by its samples: multiply its mean loss by its size over 10. The shares
# are 0.4, 0.4 and 0.2.
#
# 每一份按样本数计：平均损失乘以它的样本数，再除以 10。
# 三份的比例是 0.4、0.4、0.2。

fair = accumulate(pieces, lambda x: len(x) / 10)
print([len(x) / 10 for x, _ in pieces])
torch.testing.assert_close(fair, whole)
assert (naive - whole).abs().max() > 0.01

# %%
# Where to go next | 接下来读什么
# -------------------------------
# * Tutorial 05 looks at what ``step()`` does with the gradient.
# * Tutorial 10 trains chosen layers only, and meets the piled-up gradients again.
# * How ``.grad`` gets filled: `the autograd notes
#   <https://docs.pytorch.org/docs/stable/notes/autograd.html>`__.
#
# - 教程 05 看 ``step()`` 拿梯度做什么。
# - 教程 10 只训练选定的层，会再次遇到越积越多的梯度。
# - ``.grad`` 是怎样填上的：`官方的 autograd 说明
#   <https://docs.pytorch.org/docs/stable/notes/autograd.html>`__。
