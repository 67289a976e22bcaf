"""
step(): one formula is not enough | step()：一个公式不够用
==========================================================

Does ``step()`` compute ``param - lr * grad``? For plain SGD, yes. Adam's first step has
the length of the learning rate whether the gradient is 0.01 or a million, and a later
step can go uphill, or move while the gradient is zero. Each optimizer has a rule of
its own, and most of them remember something.

``step()`` 算的是 ``param - lr * grad`` 吗？普通的 SGD 是。Adam 的第一步，不管梯度是 0.01 还是一百万，
步长都等于学习率；往后它还可能往上坡走，梯度为零时也会动。每个优化器都有自己的更新规则，而且多数要记住一些东西。

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
# The note's example, run today | 今天再跑一遍笔记的例子
# ----------------------------------------------------------
# The order in the note is right: compute the loss, call ``backward()``, then
# ``step()``. Its example skips the first two and writes the gradient by hand, a good
# trick for looking at ``step()`` alone. It still prints what the note printed, with
# ``detach()`` in place of ``.data``; a section below says why.
#
# 笔记说的顺序没错：先算损失，再调用 ``backward()``，然后 ``step()``。它的例子跳过前两步，直接手写梯度，
# 单独观察 ``step()`` 时这是个好办法。今天打印的结果与笔记一致，只是把 ``.data`` 换成了 ``detach()``，
# 原因见后文。

# sphinx_gallery_covers = "S10 C25"
# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
import torch
from torch import optim

plt.rcParams["font.sans-serif"] = [
    "Noto Sans CJK SC",
    "PingFang SC",
    "Microsoft YaHei",
    "DejaVu Sans",
]

weight = torch.tensor([[2.0, 3.0], [4.0, 5.0]], requires_grad=True)
weight.grad = torch.ones((2, 2))
optimizer = optim.Adam([weight], lr=1.0)
print(weight.detach())
optimizer.step()
print(weight.detach())

expected = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
torch.testing.assert_close(weight.detach(), expected)

# %%
# Look at how it prints: ``1.0000``, not ``1.``. One entry is not exactly 1. Plain
# ``2 - 1 * 1`` would be exact, so something else has been computed.
#
# 注意打印出来的是 ``1.0000``，不是 ``1.``，说明有一个元素并不正好是 1。如果算的是 ``2 - 1 * 1``，
# 结果应该分毫不差，可见算的是别的东西。

print(f"{weight[0, 0].item():.10f}")
assert abs(weight[0, 0].item() - 1) < 1e-6

# %%
# Change the gradient, not ``lr`` | 要改就改梯度，别改 ``lr``
# -----------------------------------------------------------
# The note suggests trying ``lr=0.1``. That gives [[1.9, 2.9], [3.9, 4.9]], which again
# looks like "new = old + negative gradient * learning rate". The gradient is 1, and 1
# is where the two rules agree. So predict with the note's formula for a gradient of
# 100: 2 - 100 = -98. Wrong for Adam: it prints 1.
#
# 笔记建议改成 ``lr=0.1`` 试试，结果是 [[1.9, 2.9], [3.9, 4.9]]，看上去仍然符合
# ``参数_new = 参数_old + 负梯度值 * 学习率``。可这里梯度是 1，两种规则在 1 这一点上恰好一样。
# 那就把梯度改成 100，用笔记的公式预测：2 - 100 = -98。对 Adam 来说错了，它给出 1。

# sphinx_gallery_covers = "S9 C27 C28"


def first_step(kind, gradient, lr=1.0, **options):
    w = torch.tensor([[2.0, 3.0], [4.0, 5.0]], requires_grad=True)
    w.grad = torch.full((2, 2), gradient)
    kind([w], lr=lr, **options).step()
    return w.detach()


torch.testing.assert_close(first_step(optim.Adam, 1.0, lr=0.1), expected + 0.9)

for g in (0.01, 1.0, 100.0, 1e6):
    by_sgd, by_adam = (first_step(kind, g)[0, 0] for kind in (optim.SGD, optim.Adam))
    print(f"g {g:9}: formula {2 - g:10.2f}  SGD {by_sgd:10.2f}  Adam {by_adam:.2f}")
    assert abs(by_sgd - (2 - g)) < 1e-3 and abs(by_adam - 1) < 1e-5

# %%
# How long is the first step? | 第一步有多长？
# --------------------------------------------
# Adam divides the gradient by its own size. After one step, with bias correction, that
# is :math:`\eta \cdot g / (\sqrt{g^2} + \epsilon)`: the sign of :math:`g` times the
# learning rate. The size of :math:`g` shows only near ``eps=1e-8``, where it is half
# a step, and below.
#
# Adam 会用梯度自身的大小去除梯度。走第一步时，经过偏差修正，就是
# :math:`\eta \cdot g / (\sqrt{g^2} + \epsilon)`，即 :math:`g` 的符号乘以学习率。
# 要到 ``eps=1e-8`` 附近及以下，:math:`g` 的大小才看得出来，在 1e-8 处正好是半步。

sizes = torch.logspace(-12, 6, 73)


def lengths(kind):
    w = torch.zeros(73, requires_grad=True)
    w.grad = sizes.clone()
    kind([w], lr=1.0).step()
    return w.detach().abs()


by_sgd, by_adam = lengths(optim.SGD), lengths(optim.Adam)
torch.testing.assert_close(by_adam, sizes / (sizes + 1e-8), rtol=1e-4, atol=0)
torch.testing.assert_close(by_sgd, sizes)

fig, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
ax.loglog(sizes, by_sgd, "C0", lw=3)
ax.loglog(sizes, by_adam, "C1", lw=3)
ax.plot(1e-8, 0.5, "C1o", ms=9)
ax.text(1e-8, 4, "eps = 1e-8: half a step | eps = 1e-8：半步", color="C1", ha="center")
ax.text(2e3, 0.04, "Adam: the learning rate | Adam：等于学习率", color="C1", ha="center")
ax.text(2e-3, 3e-6, "SGD: the gradient | SGD：等于梯度", color="C0")
ax.set_xlabel("size of the gradient | 梯度的大小")
ax.set_ylabel("length of the first step | 第一步的长度")
ax.set_title("Adam's first step ignores the size of the gradient | Adam 的第一步不看梯度大小")
fig.set_label(
    "Length of the first step against the gradient, both logarithmic, lr 1. SGD is a "
    "diagonal; Adam is flat at 1 and bends down below 1e-8. | "
    "第一步的长度随梯度大小的变化，双对数坐标，学习率为 1。SGD 是一条斜线；Adam 停在 1，到 1e-8 以下才下弯。"
)
plt.show()

# %%
# Three families, and a slip of the pen | 三类方法，和一处笔误
# ------------------------------------------------------------
# The note names three families: SGD, momentum, and "autograd adaptive learning rates".
# The last is a slip: autograd is automatic differentiation, it computes the gradients.
# What was meant is ``Adagrad``, the first of the adaptive methods. Here are five rules
# by hand; ``m`` and ``v`` start at 0, ``t`` counts from 1.
#
# 笔记列了三类方法：随机梯度下降法、动量方法、“autograd 自适应学习率”。最后一个是笔误：autograd 是自动微分，
# 负责算梯度；想说的应该是 ``Adagrad``，自适应方法里最早的一个。下面手写五种规则，
# ``m`` 和 ``v`` 从 0 开始，``t`` 从 1 数起。

# sphinx_gallery_covers = "C26"


def sgd(g, m, v, t):
    return g, m, v


def momentum(g, m, v, t):
    m = 0.9 * m + g
    return m, m, v


def adagrad(g, m, v, t):
    v = v + g**2
    return g / (v.sqrt() + 1e-10), m, v


def rmsprop(g, m, v, t):
    v = 0.99 * v + 0.01 * g**2
    return g / (v.sqrt() + 1e-8), m, v


def adam(g, m, v, t):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    return m_hat / (v_hat.sqrt() + 1e-8), m, v


# %%
# Now feed all five the same gradients, 1, -0.5, 2, 0, 0, with the same learning rate,
# by hand and through ``torch.optim``. All five agree with torch.
#
# 给五种规则喂同样的梯度 1、-0.5、2、0、0，学习率也相同，一遍手写，一遍用 ``torch.optim``。五种都与 torch 一致。

gradients = torch.tensor([1.0, -0.5, 2.0, 0.0, 0.0])
rules = {
    "SGD": (sgd, optim.SGD, {}),
    "momentum": (momentum, optim.SGD, {"momentum": 0.9}),
    "Adagrad": (adagrad, optim.Adagrad, {}),
    "RMSprop": (rmsprop, optim.RMSprop, {}),
    "Adam": (adam, optim.Adam, {}),
}
moves = {}
for name, (rule, kind, options) in rules.items():
    w = torch.zeros(1, requires_grad=True)
    optimizer = kind([w], lr=1.0, **options)
    m = v = torch.zeros(1)
    moved = []
    for t, g in enumerate(gradients, start=1):
        before = w.detach().clone()
        w.grad = g.reshape(1)
        optimizer.step()
        update, m, v = rule(g.reshape(1), m, v, t)
        moved.append((w.detach() - before).item())
        torch.testing.assert_close(w.detach() - before, -update, rtol=1e-5, atol=2e-6)
    moves[name] = moved
    print(f"{name:8}", " ".join(f"{x:7.3f}" for x in moved))

# %%
# A step is not minus the gradient | 一步不等于负梯度
# ---------------------------------------------------
# Read the Adam line. On the second step the gradient has changed sign and the step has
# not: -0.266, uphill. On steps 4 and 5 the gradient is zero and Adam moves on by 0.539
# and 0.456. Momentum coasts in the same way; SGD, Adagrad and RMSprop stop. And RMSprop
# starts with ten times the learning rate: it lacks the bias correction that Adam has.
#
# 看 Adam 那一行。第 2 步梯度已经变号，步子却没有：-0.266，走的是上坡。第 4、5 步梯度为零，Adam 仍然走了
# 0.539 和 0.456。动量法也会这样滑行；SGD、Adagrad 和 RMSprop 则停住不动。另外，RMSprop 的第一步是学习率的
# 10 倍，因为它没有 Adam 的偏差修正。

adam_moves = torch.tensor(moves["Adam"])
expected = torch.tensor([-1.0, -0.266, -0.658, -0.539, -0.456])
torch.testing.assert_close(adam_moves, expected, rtol=0, atol=1e-3)
assert abs(moves["RMSprop"][0] + 10) < 1e-3
for name in ("SGD", "Adagrad", "RMSprop"):
    assert moves[name][3:] == [0.0, 0.0]

fig, axes = plt.subplots(1, 3, figsize=(8, 3.2), sharey=True, layout="constrained")
for i, (ax, name) in enumerate(zip(axes, ("SGD", "momentum", "Adam"), strict=True)):
    ax.plot(range(1, 6), -gradients, "_", color="0.5", ms=26, mew=2)
    ax.bar(range(1, 6), moves[name], color=f"C{i}", width=0.6)
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set(xticks=range(1, 6))
    ax.set_xlabel("step | 步")
axes[0].set_title("SGD: minus the gradient | SGD：负梯度", color="C0")
axes[1].set_title("momentum: coasts on | 动量：继续滑行", color="C1")
axes[2].set_title("Adam: shorter, coasts | Adam：步子短，也滑行", color="C2")
axes[0].set_ylabel("move of the weight | 权重的移动")
fig.suptitle("The same gradients (grey) make different steps | 同样的梯度（灰线），不同的步子")
fig.set_label(
    "Bars of five steps for SGD, momentum and Adam over grey marks of minus the "
    "gradient. Only SGD meets the marks; the others move on when they are zero. | "
    "SGD、动量和 Adam 各走五步的柱状图，灰线是负梯度。只有 SGD 与灰线重合，梯度为零时另外两个还在走。"
)
plt.show()

# %%
# One buffer, not a list of gradients | 一个缓冲区，不是一串梯度
# --------------------------------------------------------------
# How does it coast? The note says that the last few gradients are cached. What is kept
# is one tensor per parameter, as large as the parameter, however many steps you take.
# With gradients 1, 1, 1 the momentum buffer reads 1, 1.9, 2.71.
#
# 它凭什么滑行？笔记说“把前几次的梯度值缓存下来”。实际上每个参数只存一个张量，形状与参数相同，走多少步都是这一个。
# 梯度依次为 1、1、1 时，动量缓冲区依次是 1、1.9、2.71。

# sphinx_gallery_covers = "C13"
w = torch.zeros(1, requires_grad=True)
optimizer = optim.SGD([w], lr=1.0, momentum=0.9)
w.grad = torch.ones(1)
buffers = []
for _ in range(3):
    optimizer.step()
    buffers.append(optimizer.state[w]["momentum_buffer"].item())
print([f"{b:.2f}" for b in buffers])
torch.testing.assert_close(torch.tensor(buffers), torch.tensor([1.0, 1.9, 2.71]))

for name, (_, kind, options) in rules.items():
    w = torch.zeros(1, requires_grad=True)
    optimizer = kind([w], lr=1.0, **options)
    w.grad = torch.ones(1)
    optimizer.step()
    kept = {key for key, value in optimizer.state[w].items() if value is not None}
    print(f"{name:8}", sorted(kept))
    assert len(kept - {"step"}) == {"SGD": 0, "Adam": 2}.get(name, 1)

# %%
# What does the buffer remember? | 缓冲区记得多久以前的事？
# ---------------------------------------------------------
# Give a gradient of 1 once, then zeros, and read the buffer: a gradient that is
# :math:`k` steps old still counts :math:`0.9^k`. Momentum sums these, Adam's first
# moment is an exponential moving average, with weights :math:`0.1 \cdot 0.9^k`, and a
# list of the last four would forget at once. Half is gone after 7 steps.
#
# 先给一次梯度 1，之后全给 0，再读缓冲区：:math:`k` 步以前的梯度仍有 :math:`0.9^k` 的分量。
# 动量把它们加起来；Adam 的一阶矩是指数移动平均，权重是 :math:`0.1 \cdot 0.9^k`；
# 要是只存最近四次，到时候就忘得一干二净。7 步之后，分量剩下不到一半。


def memory(kind, key, **options):
    w = torch.zeros(1, requires_grad=True)
    optimizer = kind([w], lr=1.0, **options)
    seen = []
    for k in range(25):
        w.grad = torch.tensor([1.0 if k == 0 else 0.0])
        optimizer.step()
        seen.append(optimizer.state[w][key].item())
    return torch.tensor(seen)


heavy = memory(optim.SGD, "momentum_buffer", momentum=0.9)
moment = memory(optim.Adam, "exp_avg")
age = torch.arange(25)
torch.testing.assert_close(heavy, 0.9**age)
torch.testing.assert_close(moment, 0.1 * 0.9**age)
assert heavy[6] > 0.5 > heavy[7]

fig, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
ax.bar(age, heavy, color="C1", width=0.8)
ax.bar(age, moment, color="C2", width=0.8)
ax.step([-0.5, 3.5, 3.5, 24.5], [1, 1, 0, 0], color="0.5", ls="--", lw=1.5)
ax.text(3.8, 0.92, "a list of four would end here | 只存四次，到此为止", color="0.5")
ax.text(8, 0.47, "momentum buffer | 动量缓冲区", color="C1")
ax.text(17, 0.27, "Adam's first moment | Adam 的一阶矩", color="C2", ha="center")
ax.set_xlabel("age of a gradient in steps | 这个梯度是多少步以前的")
ax.set_ylabel("weight | 权重")
ax.set_title("The buffer forgets a tenth each step | 缓冲区每步忘掉十分之一")
fig.set_label(
    "Weight of a gradient in the momentum buffer and in Adam's first moment against "
    "its age: both decay smoothly by a tenth a step; a list would drop to zero. | "
    "梯度在动量缓冲区和 Adam 一阶矩中的权重随时间的变化：每步平滑地减少十分之一；存成列表则会突然归零。"
)
plt.show()

# %%
# No gradient, no step | 没有梯度就不更新
# ---------------------------------------
# A gradient of zero and no gradient differ. Wrong: calling ``step()`` before
# ``backward()``. There is no error; ``.grad`` is None and the parameter is skipped.
# Right: loss, ``backward()``, ``step()``.
#
# 梯度为零和没有梯度是两回事。错误写法：还没 ``backward()`` 就 ``step()``。它不报错，但 ``.grad`` 是 None，
# 这个参数会被跳过。正确的顺序：损失，``backward()``，``step()``。

w = torch.tensor([3.0], requires_grad=True)
optimizer = optim.Adam([w], lr=0.1)
optimizer.step()
print(w.item(), len(optimizer.state))
assert w.item() == 3.0 and len(optimizer.state) == 0

loss = (w**2).sum()
loss.backward()
optimizer.step()
print(f"{w.item():.1f}", len(optimizer.state))
assert len(optimizer.state) == 1 and abs(w.item() - 2.9) < 1e-6

# %%
# Read with ``detach()``, not ``.data`` | 用 ``detach()`` 读，不用 ``.data``
# -----------------------------------------------------------------------------
# The note prints ``weight.data``. Reading it does no harm; writing through it hides the
# change from autograd. Wrong: change a weight between the forward pass and
# ``backward()``. The true gradient of :math:`w^2` at 1 is 2, and you get 10 in silence.
# The same change under ``no_grad()`` is noticed and refused.
#
# 笔记打印的是 ``weight.data``。只读没有问题，通过它写入就会瞒过自动微分。错误写法：在前向计算和 ``backward()``
# 之间修改权重。:math:`w^2` 在 1 处的梯度是 2，你却会得到 10，没有任何提示。同样的修改放在 ``no_grad()`` 里，
# 会被发现并报错。

# sphinx_gallery_covers = "C29"
w = torch.ones(2, requires_grad=True)
loss = (w**2).sum()
w.data.mul_(5)
loss.backward()
print("via .data:", w.grad)
assert w.grad.tolist() == [10.0, 10.0]

w = torch.ones(2, requires_grad=True)
loss = (w**2).sum()
with torch.no_grad():
    w.mul_(5)
try:
    loss.backward()
except RuntimeError as error:
    print(type(error).__name__, "-", str(error).splitlines()[0][:60])

# %%
# Exercise | 练习
# ---------------
# Write ``adam_step(p, state, lr)``, eight lines or fewer, that updates ``p`` in place
# from ``p.grad``. Train a small problem with it and with ``optim.Adam`` for 100 steps,
# and compare. Which single change makes it forget the bias correction, and how long is
# the first step then?
#
# 写一个 ``adam_step(p, state, lr)``，不超过八行，根据 ``p.grad`` 原地更新 ``p``。用它和 ``optim.Adam``
# 各训练一个小问题 100 步，再对比结果。去掉偏差修正要改哪里？那样第一步有多长？

# %%
# Solution | 参考答案
# -------------------
# Start the count at a huge ``t``: both corrections become 1. The first step is then
# :math:`0.1 / \sqrt{0.001}`, about 3.16 times the learning rate.
#
# 让 ``t`` 从一个极大的数开始，两个修正系数就都成了 1。这时第一步是 :math:`0.1 / \sqrt{0.001}`，
# 约为学习率的 3.16 倍。


def adam_step(p, state, lr):
    state["t"] += 1
    state["m"] = 0.9 * state["m"] + 0.1 * p.grad
    state["v"] = 0.999 * state["v"] + 0.001 * p.grad**2
    m = state["m"] / (1 - 0.9 ** state["t"])
    v = state["v"] / (1 - 0.999 ** state["t"])
    with torch.no_grad():
        p -= lr * m / (v.sqrt() + 1e-8)


def train(update, p):
    for _ in range(100):
        p.grad = None
        ((p - 1) ** 2 * torch.tensor([1.0, 10.0])).sum().backward()
        update()


mine = torch.tensor([5.0, -3.0], requires_grad=True)
theirs = torch.tensor([5.0, -3.0], requires_grad=True)
state = {"t": 0, "m": 0.0, "v": 0.0}
train(lambda: adam_step(mine, state, lr=0.1), mine)
train(optim.Adam([theirs], lr=0.1).step, theirs)
print(mine.detach(), theirs.detach())
torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)

w = torch.zeros(1, requires_grad=True)
w.grad = torch.ones(1)
adam_step(w, {"t": 10**6, "m": 0.0, "v": 0.0}, lr=1.0)
print(f"{w.item():.2f}")
assert abs(w.item() + 3.16) < 0.01

# %%
# Where to go next | 接下来读什么
# -------------------------------
# From here:
#
# - Tutorial 06 gives different parameters different hyperparameters.
# - Tutorial 11 changes the learning rate while you train.
# - The paper: `Adam, a Method for Stochastic Optimization
#   <https://arxiv.org/abs/1412.6980>`__.
#
# 接下来可以读：
#
# - 教程 06 给不同的参数设不同的超参数。
# - 教程 11 讲训练途中怎样调整学习率。
# - Adam 的论文：`Adam, a Method for Stochastic Optimization
#   <https://arxiv.org/abs/1412.6980>`__。
