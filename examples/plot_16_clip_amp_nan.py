"""
Clipping, mixed precision and NaN | 梯度裁剪、混合精度与 NaN
============================================================

A gradient can be too large, too small, or not a number. Clip its norm, and one bad batch
does little harm. In float16, scale the loss, so that small gradients are not lost. Look
for NaN before the step: after it, NaN is in the weights, and no step takes it out again.

梯度可能太大、太小，或者干脆不是数。裁剪范数，一个坏批次就掀不起风浪。
用 float16 就给损失乘上缩放系数，免得小梯度丢失。NaN 要在更新之前查：
一旦进了权重，后面走多少步都出不来。

**What you will learn**

- What clipping does to a step of SGD, and to Adam for hundreds of steps.
- What ``autocast`` and ``GradScaler`` do to a step, and in which order to call things.
- Where NaN comes from, how to stop it, and how to find where it began.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 05, tutorial 08.

**你会学到**

- 裁剪对 SGD 的一步有什么作用，对 Adam 往后几百步又有什么作用。
- ``autocast`` 和 ``GradScaler`` 各对一步做了什么，调用顺序应当怎样。
- NaN 从哪里来，怎样挡住它，怎样找到源头。
- 难度：进阶。用时：15 分钟。预备：教程 05、教程 08。
"""

# %%
# One bad batch | 一个坏批次
# --------------------------
# Fit eight weights, in batches of 16. In three of the 200 batches one target is wrong:
# 1000. Wrong: step all the same. SGD is thrown out each time, and walks back. Adam is not
# thrown far, but stalls: it divides by the root of its second moment, which remembers the
# outlier. With gradients of 1, and once 1000, each step 50 steps later is 0.015 of the
# learning rate, and 300 steps later still only 0.02. Right: ``clip_grad_norm_`` between
# ``backward()`` and ``step()``. It takes the norm of all gradients together and, where that
# is above the limit, scales them down to it.
#
# 拟合八个权重，每批 16 个样本。200 批里有三批各有一个目标值写错了，成了 1000。
# 错误写法：照样更新。SGD 每次都被甩出去，再一步步走回来。Adam 没被甩远，却停滞不前：
# 它要除以二阶矩的平方根，而二阶矩还记着那个离群值。假如梯度一直是 1，只有一次是 1000，
# 那么 50 步以后，每步只走学习率的 0.015 倍，再过 300 步也才 0.02 倍。
# 正确写法：在 ``backward()`` 和 ``step()`` 之间调用 ``clip_grad_norm_``。
# 它把所有梯度合在一起求范数，超过上限，就按同一比例缩小到上限。

# sphinx_gallery_thumbnail_number = 1
import torch
from torch import nn, optim

# sphinx_gallery_start_ignore
runs = {}


# sphinx_gallery_end_ignore
def train(kind, lr, limit):
    torch.manual_seed(0)
    w, truth = nn.Parameter(torch.zeros(8)), torch.linspace(-1, 1, 8)
    optimizer = kind([w], lr=lr)
    # sphinx_gallery_start_ignore
    far = runs[kind, limit] = []
    # sphinx_gallery_end_ignore
    for batch in range(200):
        x = torch.randn(16, 8)
        y = x @ truth + 0.1 * torch.randn(16)
        if batch in (50, 110, 170):
            y[0] = 1000.0
        optimizer.zero_grad()
        ((x @ w - y) ** 2).mean().backward()
        nn.utils.clip_grad_norm_([w], limit)
        optimizer.step()
        # sphinx_gallery_start_ignore
        far.append((w.detach() - truth).norm().item())
        # sphinx_gallery_end_ignore
    return (w.detach() - truth).norm().item()


for kind, lr in ((optim.SGD, 0.1), (optim.Adam, 0.02)):
    plain, clipped = train(kind, lr, limit=float("inf")), train(kind, lr, limit=1.0)
    print(f"{kind.__name__:4} off by {plain:.3f}, clipped {clipped:.3f}")
# sphinx_gallery_start_ignore
inf = float("inf")
assert max(runs[optim.SGD, inf][50:]) > 30 and max(runs[optim.SGD, 1.0][50:]) < 0.2
assert min(runs[optim.Adam, inf]) > 0.3 and runs[optim.Adam, 1.0][-1] < 0.05
w = nn.Parameter(torch.zeros(1))
optimizer, path = optim.Adam([w], lr=1.0), [0.0]
for step in range(401):
    w.grad = torch.tensor([1000.0 if step == 50 else 1.0])
    optimizer.step()
    path.append(w.item())
moves = -torch.tensor(path).diff()
torch.testing.assert_close(moves[[100, 400]].tolist(), [0.015, 0.022], rtol=0, atol=5e-4)
assert moves.max() < 1.001

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True, layout="constrained")
fig.set_label(
    "Distance to the right weights over 200 batches, three of them bad: clipped, SGD and "
    "Adam hardly notice; unclipped, SGD is thrown out, and Adam stalls | "
    "200 批里与正确权重的距离，其中三批有错：裁剪之后，SGD 和 Adam 几乎不受影响；"
    "不裁剪，SGD 被甩出去，Adam 停滞不前"
)
titles = {optim.SGD: "SGD: thrown out | SGD：被甩出去", optim.Adam: "Adam: stalls | Adam：停滞"}
for ax, (kind, title) in zip(axes, titles.items(), strict=True):
    ax.semilogy(runs[kind, inf], "C1", lw=2)
    ax.semilogy(runs[kind, 1.0], "C0", lw=2)
    ax.set(xlabel="batch | 批次", title=title)
    for batch in (50, 110, 170):
        ax.axvline(batch, color="0.5", ls=":", lw=1)
axes[0].text(112, 60, "not clipped | 不裁剪", color="C1")
axes[0].text(112, 0.006, "clipped | 裁剪", color="C0")
axes[0].set_ylabel("distance | 距离")
fig.suptitle("Three bad batches of 200 | 200 批里的三个坏批次")
plt.show()
# sphinx_gallery_end_ignore

# %%
# What half precision can't hold | 半精度装不下什么
# -------------------------------------------------
# float16 has a short range: the largest number is 65504, and 1e-8 is 0. bfloat16 has the
# range of float32, and fewer digits still. Wrong: ``model.half()``. A weight of 1 minus
# 0.0001 is 1, a thousand times over. And Adam's ``eps``, 1e-8, is 0 in float16: where
# the gradient is 0, its first step divides 0 by 0. (Not with ``fused=True``, which
# computes in float32.)
#
# float16 的范围很窄：最大到 65504，1e-8 就成了 0。bfloat16 的范围和 float32 一样大，有效数字却更少。
# 错误写法：``model.half()``。权重 1 减去 0.0001 还是 1，减一千次也一样。
# 而且 Adam 的 ``eps`` 是 1e-8，在 float16 里等于 0：梯度为 0 的地方，第一步就是 0 除以 0。
# （``fused=True`` 按 float32 计算，没有这个问题。）

for dtype in (torch.float16, torch.bfloat16, torch.float32):
    weight = torch.ones(1, dtype=dtype)
    for _ in range(1000):
        weight -= 0.0001
    small = torch.tensor(1e-8).to(dtype).item()
    print(f"{dtype!s:14} 1e-8 is {small:.0e}, 1 after 1000 steps {weight.item():.1f}")
    # sphinx_gallery_start_ignore
    assert round(weight.item(), 3) == (0.9 if dtype is torch.float32 else 1.0)
    assert (small == 0) == (dtype is torch.float16)
    # sphinx_gallery_end_ignore

w = nn.Parameter(torch.ones(2, dtype=torch.float16))
w.grad = torch.tensor([1.0, 0.0], dtype=torch.float16)
optim.Adam([w], lr=0.1).step()
print("Adam in float16:", w.tolist())
# sphinx_gallery_start_ignore
assert w.isnan().tolist() == [False, True] and torch.finfo(torch.float16).max == 65504
w = nn.Parameter(torch.ones(2, dtype=torch.float16))
w.grad = torch.tensor([1.0, 0.0], dtype=torch.float16)
optim.Adam([w], lr=0.1, fused=True).step()
assert w[0] < 1 and w[1] == 1
assert torch.finfo(torch.bfloat16).eps > torch.finfo(torch.float16).eps
# sphinx_gallery_end_ignore

# %%
# autocast, and a scale | autocast，再加一个缩放系数
# --------------------------------------------------
# Right: mixed precision. Weights, state and step stay float32; inside ``autocast``, matrix
# products are in half precision, and what the optimizer gets has come back through it. This
# loss is a mean over 262,144 numbers, times 0.002, as an extra term may be: on their way
# back the gradients are tiny, float16 loses most of them, and the result is wrong by 67
# percent. Multiply the loss by 65536, where ``GradScaler`` begins, divide the gradients by
# it afterwards, and that is 0.04 percent. With too large a scale they are inf. bfloat16
# has the range, and needs none.
#
# 正确写法：混合精度。权重、状态、更新都还是 float32；在 ``autocast`` 里，矩阵乘法用半精度，
# 梯度要经过半精度才传到优化器。这里的损失是 262144 个数的平均，又乘了 0.002（附加的损失项常这样加权），
# 往回传的梯度小得很，float16 大都装不下，结果差了 67%。先把损失乘以 65536（``GradScaler`` 的初始系数），
# 事后再把梯度除回来，就只差 0.04%。系数太大，梯度又成了 inf。bfloat16 的范围够大，用不着缩放。

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 4096))
x, y = torch.randn(64, 16), torch.randn(64, 4096)


def gradient(dtype, scale):
    model.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss = 0.002 * nn.functional.mse_loss(model(x), y)
    (scale * loss).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]) / scale


true = gradient(torch.float32, 1)
for dtype, scale in ((torch.float16, 1), (torch.float16, 65536), (torch.bfloat16, 1)):
    error = (gradient(dtype, scale) - true).norm() / true.norm()
    print(f"{dtype!s:14} scale {scale:5}: wrong by {error:.2%}")
# sphinx_gallery_start_ignore
assert y.numel() == 262144 and torch.amp.GradScaler("cpu").get_scale() == 65536
scales = range(0, 41, 2)
half, brain = (
    [((gradient(dtype, 2.0**k) - true).norm() / true.norm()).item() for k in scales]
    for dtype in (torch.float16, torch.bfloat16)
)
with torch.autocast("cpu", torch.float16):
    out = model(x)
    loss = nn.functional.mse_loss(out, y)
assert out.dtype == torch.float16 and loss.dtype == model[0].weight.grad.dtype == torch.float32
torch.testing.assert_close([half[0], half[8]], [0.67, 0.0004], rtol=0.1, atol=0)
assert max(brain) < 0.005 and not any(torch.tensor(half[-3:]).isfinite())
finite = [k for k, one in zip(scales, half, strict=True) if torch.tensor(one).isfinite()]

fig, ax = plt.subplots(figsize=(7.5, 3.1), layout="constrained")
fig.set_label(
    "Error of the gradient against the scale: in float16 it falls from 67 percent to 0.04, "
    "and from 2 to the 36 there are only infinities; bfloat16 is flat at 0.3 percent | "
    "梯度的误差随缩放系数的变化：float16 从 67% 降到 0.04%，到 2 的 36 次方以上只剩无穷大；"
    "bfloat16 一直在 0.3% 上下"
)
ax.semilogy(finite, half[: len(finite)], "C0", lw=3)
ax.semilogy(scales, brain, "C1", lw=3)
ax.axvspan(finite[-1] + 1, 40, color="0.5", alpha=0.2, lw=0)
ax.plot(16, half[8], "C0o", ms=9)
ax.text(16, 6e-4, "65536, the default | 65536，默认值", color="C0", ha="center")
ax.text(1.6, 0.35, "float16: lost | float16：丢失", color="C0")
ax.text(16, 5e-3, "bfloat16", color="C1", ha="center")
ax.text((finite[-1] + 41) / 2, 0.05, "inf", ha="center")
ax.set(xlim=(-1, 40), xlabel="scale, as a power of 2 | 缩放系数，2 的几次方")
ax.set_ylabel("error of the gradient | 梯度的误差")
ax.set_title("float16 needs a scale; bfloat16 does not | float16 要缩放，bfloat16 不用")
plt.show()
# sphinx_gallery_end_ignore

# %%
# The loop with GradScaler, in order | 用 GradScaler 的循环，次序别乱
# -------------------------------------------------------------------
# ``scale`` the loss, go back, ``unscale_``, clip, ``step``, then ``update`` the scale.
# Wrong: without ``unscale_``. The clipping sees gradients that carry the scale, a norm of
# 109,000 where it is 27. ``step`` divides what is left of them by the scale, and next to
# nothing moves: in 50 turns the loss goes from 207.5 to 207.4. Right: to 48.1.
#
# 依次是：用 ``scale`` 放大损失，反向传播，``unscale_`` 把梯度缩回来，裁剪，``step``，
# 最后 ``update`` 更新系数。错误写法：少了 ``unscale_``。裁剪看到的梯度还带着系数，
# 范数本是 27，它看到的是 109000；裁完剩下的，``step`` 还要再除以系数，几乎什么都不动：
# 50 圈下来，损失从 207.5 只降到 207.4。正确写法：降到 48.1。

import copy

torch.manual_seed(0)
start = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
x = torch.randn(64, 8)
y = 5 * x.sum(1, keepdim=True)
for unscale in (True, False):
    model, scaler = copy.deepcopy(start), torch.amp.GradScaler("cpu")  # or "cuda"
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = nn.functional.mse_loss(model(x), y)
        scaler.scale(loss).backward()
        if unscale:
            scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    print(f"unscale_ {unscale}: loss {loss:.1f}, last norm {norm:.0f}")
    # sphinx_gallery_start_ignore
    expected = {True: [48.1, 27.0], False: [207.4, 109_466.0]}[unscale]
    torch.testing.assert_close([loss.item(), norm.item()], expected, rtol=2e-3, atol=0)
assert f"{nn.functional.mse_loss(start(x), y):.1f}" == "207.5"
# sphinx_gallery_end_ignore

# %%
# A step that is left out | 跳过的一步
# ------------------------------------
# ``scaler.step`` looks first. If any gradient of its optimizer is inf or NaN, it leaves the
# step out, and ``update`` halves the scale; after 2000 good steps in a row it doubles it.
# Here 20 are enough, and 7 of 120 turns take no step: Adam counts 113. A few at the start
# are normal. A scale that falls on and on is not: then there is a NaN that no scale can
# help. A scheduler must not count them. The scale tells: it has fallen.
#
# ``scaler.step`` 会先检查：交给它的优化器，梯度里只要有 inf 或 NaN，这一步就跳过，
# ``update`` 随即把系数减半；连续 2000 步都正常，再翻倍。这里改成 20 步，120 圈里有 7 圈没有更新，
# Adam 只数到 113。
# 开头跳几步是正常的；系数一直往下掉就不正常了，说明另有 NaN，再怎么缩放也没用。
# 跳过的步，调度器不能数。怎么知道跳过了？系数变小了。

model = copy.deepcopy(start)
optimizer = optim.Adam(model.parameters(), lr=0.01)
scheduler = optim.lr_scheduler.StepLR(optimizer, 100)
scaler = torch.amp.GradScaler("cpu", growth_interval=20)
# sphinx_gallery_start_ignore
skipped = []
# sphinx_gallery_end_ignore
for _ in range(120):
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.float16):
        loss = nn.functional.mse_loss(model(x), y)
    scaler.scale(loss).backward()
    before = scaler.get_scale()
    scaler.step(optimizer)
    scaler.update()
    # sphinx_gallery_start_ignore
    skipped.append(scaler.get_scale() < before)
    # sphinx_gallery_end_ignore
    if scaler.get_scale() >= before:
        scheduler.step()
steps = int(optimizer.state[model[0].weight]["step"])
print(f"Adam {steps}, scheduler {scheduler.last_epoch}, scale {scaler.get_scale():.0f}")
# sphinx_gallery_start_ignore
assert skipped[:5] == [True] * 4 + [False] and sum(skipped) == 7
assert steps == scheduler.last_epoch == 113
constants = torch.amp.GradScaler("cpu").state_dict()
assert (constants["growth_factor"], constants["backoff_factor"]) == (2, 0.5)
assert constants["growth_interval"] == 2000
# sphinx_gallery_end_ignore

# %%
# NaN stays | NaN 赖着不走
# ------------------------
# Wrong: one NaN, in one entry of one gradient, and a step. It goes into the weight and
# both averages of Adam; from there through the loss into every gradient, and at the next
# step into every weight. Clipping makes it worse: the norm is NaN, and so is all that it
# multiplies. Right, in plain torch: look at the norm that ``clip_grad_norm_`` returns, and
# step if it is finite, or have it raise. ``optimkit.audit`` says what is spoilt; go back to
# a checkpoint from before.
#
# 错误写法：某个梯度里有一个元素是 NaN，照样更新。它先进了那个权重和 Adam 的两个平均值，
# 再经过损失进了每个梯度，下一步就进了每个权重。裁剪只会更糟：范数是 NaN，乘到谁，谁就是 NaN。
# 正确写法，只用 torch：看 ``clip_grad_norm_`` 返回的范数，有限才更新，也可以让它直接报错。
# ``optimkit.audit`` 会指出哪里坏了；要回到出事之前的检查点。

import optimkit

model = copy.deepcopy(start)
optimizer = optim.Adam(model.parameters(), lr=0.01)
for turn in range(2):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(x), y).backward()
    if turn == 0:
        model[2].bias.grad[0] = float("nan")
        try:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
            # sphinx_gallery_start_ignore
            raise AssertionError
            # sphinx_gallery_end_ignore
        except RuntimeError as error:
            print("RuntimeError:", error)
    optimizer.step()
    spoilt = sum(int(p.isnan().sum()) for p in model.parameters())
    print(f"after step {turn + 1}: {spoilt} of 161 weights are NaN")
    # sphinx_gallery_start_ignore
    assert spoilt == [1, 161][turn]
    # sphinx_gallery_end_ignore
print(optimkit.audit(optimizer, models=model))
# sphinx_gallery_start_ignore
assert optimkit.audit(optimizer, models=model).codes == ("non-finite",)
assert sum(p.numel() for p in model.parameters()) == 161

model = copy.deepcopy(start)
nn.functional.mse_loss(model(x), y).backward()
model[2].bias.grad[0] = float("nan")
norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
assert norm.isnan() and all(p.grad.isnan().all() for p in model.parameters())
# sphinx_gallery_end_ignore

# %%
# Where NaN is born | NaN 从哪里来
# --------------------------------
# Often in a branch that nobody takes. Wrong: ``torch.where`` around a square root. The
# value is right, 0; but the slope of the root at 0 is inf, and backward multiplies it by
# 0: NaN. ``torch.autograd.detect_anomaly`` names the function, and with its warning the
# line; it is slow, so only to search. Right: put a harmless number in first.
#
# 往往出在没有走到的那个分支里。错误写法：用 ``torch.where`` 包住开方。值没错，是 0；
# 可平方根在 0 处的斜率是无穷大，反向传播再乘上 0，就成了 NaN。
# ``torch.autograd.detect_anomaly`` 会报出是哪个函数，警告里还有是哪一行；它很慢，只在查错时用。
# 正确写法：先换成一个无害的数，再开方。

import warnings

a = torch.tensor([4.0, 0.0], requires_grad=True)
root = torch.where(a > 0, a.sqrt(), 0.0)
root.sum().backward()
print("root", root.tolist(), " gradient", a.grad.tolist())
# sphinx_gallery_start_ignore
assert root.tolist() == [2.0, 0.0] and a.grad.isnan().tolist() == [False, True]
# sphinx_gallery_end_ignore
try:
    with warnings.catch_warnings(record=True), torch.autograd.detect_anomaly():
        torch.where(a > 0, a.sqrt(), 0.0).sum().backward()
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except RuntimeError as error:
    print("RuntimeError:", error)

a.grad = None
harmless = torch.where(a > 0, a, 1.0)
torch.where(a > 0, harmless.sqrt(), 0.0).sum().backward()
print("right:", a.grad.tolist())
# sphinx_gallery_start_ignore
assert a.grad.tolist() == [0.25, 0.0]
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - ``clip_grad_value_`` cuts each entry to the limit. What does that change?
# - With Adam, all gradients of a run are clipped. You halve the limit. What changes?
# - An entry of a gradient is inf, not NaN. What does clipping make of it?
#
# - ``clip_grad_value_`` 把每个元素分别截到上限，这会改变什么？
# - 用 Adam，每一步的梯度都被裁剪了。把上限减半，会怎样？
# - 梯度里有个元素是 inf，不是 NaN，裁剪之后会变成什么？

# %%
# Answers | 答案
# --------------
# - The direction: of 30 and 0.4, the norm keeps the ratio, the value makes 1 and 0.4.
# - Nothing: Adam divides by the size. Only gradients below the limit would tell.
# - The norm is inf, so every other entry becomes 0, and inf divided by inf is NaN.
#
# - 方向：30 和 0.4，按范数裁剪，比例不变；按值裁剪，成了 1 和 0.4。
# - 什么都不变，因为 Adam 会除掉大小。只有梯度低于上限的时候，才看得出差别。
# - 范数成了 inf，于是别的元素都变成 0，而 inf 除以 inf 是 NaN。

w = nn.Parameter(torch.zeros(2))
for clip in (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_):
    w.grad = torch.tensor([30.0, 0.4])
    clip([w], 1.0)
    print(clip.__name__, [round(g, 3) for g in w.grad.tolist()])
w.grad = torch.tensor([float("inf"), 0.4])
nn.utils.clip_grad_norm_([w], 1.0)
print("inf:", w.grad.tolist())
# sphinx_gallery_start_ignore
assert w.grad[0].isnan() and w.grad[1] == 0
w.grad = torch.tensor([30.0, 0.4])
nn.utils.clip_grad_value_([w], 1.0)
torch.testing.assert_close(w.grad, torch.tensor([1.0, 0.4]))


def clipped_adam(limit):
    model = copy.deepcopy(start)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        assert nn.utils.clip_grad_norm_(model.parameters(), limit) > limit
        optimizer.step()
    return model[0].weight


torch.testing.assert_close(clipped_adam(1.0), clipped_adam(0.5), rtol=1e-4, atol=1e-5)
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Write ``Scaler`` with ``scale(loss)``, ``step(optimizer)`` and ``update()``: no more than
# 20 lines. Run it beside ``torch.amp.GradScaler`` for 120 turns, ``growth_interval=20``.
# Scales and weights must agree.
#
# 自己写一个 ``Scaler``，带 ``scale(loss)``、``step(optimizer)`` 和 ``update()``，不超过 20 行。
# 与 ``torch.amp.GradScaler`` 各跑 120 圈，``growth_interval=20``，系数和权重都要一致。

# %%
# Solution | 参考答案
# -------------------
# Two numbers to keep: the scale, and how many good steps there have been in a row.
#
# 要记的只有两个数：缩放系数，以及已经连续正常了多少步。


class Scaler:
    def __init__(self, value, growth_interval):
        self.value, self.interval, self.good = value, growth_interval, 0

    def scale(self, loss):
        return loss * self.value

    def step(self, optimizer):
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        self.finite = all(grad.div_(self.value).isfinite().all() for grad in grads)
        if self.finite:
            optimizer.step()

    def update(self):
        self.good = self.good + 1 if self.finite else 0
        if not self.finite:
            self.value /= 2
        elif self.good == self.interval:
            self.value, self.good = self.value * 2, 0


# %%
# Then the same run with each of the two. | 然后用两种 GradScaler 各跑一遍。


def scaled_run(scaler):
    model = copy.deepcopy(start)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(120):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = nn.functional.mse_loss(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    return model[0].weight


mine, theirs = Scaler(65536.0, 20), torch.amp.GradScaler("cpu", growth_interval=20)
equal = scaled_run(mine).equal(scaled_run(theirs))
print("equal weights:", equal, " scales:", mine.value, theirs.get_scale())
# sphinx_gallery_start_ignore
assert equal and mine.value == theirs.get_scale()
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 12 goes back to a checkpoint; save the scaler in it, too.
# - Tutorial 17 counts what half precision saves, and what it does not.
# - Micikevicius and others: `Mixed Precision Training <https://arxiv.org/abs/1710.03740>`__.
#
# - 教程 12 讲怎样退回检查点；GradScaler 也要存进去。
# - 教程 17 算一算半精度省了什么，没省什么。
# - Micikevicius 等人提出混合精度训练的论文 `Mixed Precision Training <https://arxiv.org/abs/1710.03740>`__。
