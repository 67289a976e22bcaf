"""
Speed and memory of an optimizer | 优化器的速度与内存
=====================================================

On many small tensors, most of ``step()`` is overhead, and ``fused=True`` takes most of that
away. Memory is arithmetic: Adam keeps two numbers for each weight, twice the model once
more, and you can know it before you rent the machine. Factored state, 8-bit state and
steps inside ``backward()`` make it smaller.

小张量一多，``step()`` 的时间大半花在零碎开销上，``fused=True`` 能省掉其中的大部分。
内存则是算得出来的：Adam 给每个权重存两个数，又是两个模型那么大，租机器之前就能知道。
分解状态、8 位状态，以及在反向传播中更新，都能让它变小。

**What you will learn**

- What for-loop, foreach, fused and compiled steps are, and how to compare them.
- How many bytes each optimizer keeps, and what a model of 7 billion weights needs.
- How to step inside ``backward()``, so that gradients never pile up.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 03, tutorial 05.

**你会学到**

- 循环、foreach、fused 和编译四种走法各是什么，怎样比较。
- 每种优化器存多少字节，70 亿个权重的模型要多少。
- 怎样在反向传播中更新，不让梯度堆积。
- 难度：进阶。用时：15 分钟。预备：教程 03、教程 05。
"""

# %%
# Three ways to take the same step | 同一步的三种走法
# ---------------------------------------------------
# A for-loop takes one tensor after the other, some ten small operations for each.
# ``foreach=True`` gives each operation a list of all tensors: the default on a GPU, where
# each start of a kernel costs. ``fused=True`` does the whole rule in one. On a CPU the
# default is the for-loop. Here half a million weights lie in 4, 32 or 256 tensors; times
# are those of this machine, in one thread, so look at the ratios: fused is the fastest,
# the more tensors the more so. Wrong: to ask for both.
#
# 循环是一个张量接一个张量，每个要做十来个小运算。``foreach=True`` 让每个运算一次处理一串张量，
# 在 GPU 上这是默认，因为那里每启动一次核函数都有代价。``fused=True`` 一个运算做完整条规则。
# 在 CPU 上默认是循环。下面把五十来万个权重分别放在 4、32、256 个张量里；
# 时间是本机单线程的，所以只看比例：fused 最快，张量越多越明显。错误写法：foreach 和 fused 都要。

import time

import torch
from torch import nn, optim

ways = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def make(tensors, **way):
    params = [nn.Parameter(torch.zeros(2**19 // tensors)) for _ in range(tensors)]
    for p in params:
        p.grad = torch.ones_like(p)
    return optim.Adam(params, **way)


def seconds(optimizer, turns=7):
    optimizer.step()
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return min(times)


# %%
# Take the shortest of several turns: the others were disturbed. The weights come out the same.
#
# 取几次里最短的一次，其余的都受了干扰。三种走法，权重都一样。

# sphinx_gallery_start_ignore
measured, threads = {}, torch.get_num_threads()
torch.set_num_threads(1)
# sphinx_gallery_end_ignore
for tensors in (4, 32, 256):
    optimizers = {name: make(tensors, **way) for name, way in ways.items()}
    times = {name: seconds(optimizer) for name, optimizer in optimizers.items()}
    ratios = (f"{name} {times[name] / times['for-loop']:.2f}" for name in ways)
    print(f"{tensors:3} tensors, times against the for-loop:", ", ".join(ratios))
    # sphinx_gallery_start_ignore
    measured[tensors] = times
    first = [optimizer.param_groups[0]["params"][0] for optimizer in optimizers.values()]
    for other in first[1:]:
        torch.testing.assert_close(first[0], other)
    # sphinx_gallery_end_ignore

try:
    optim.Adam([nn.Parameter(torch.zeros(1))], foreach=True, fused=True)
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except RuntimeError as error:
    print("RuntimeError:", error)
# sphinx_gallery_start_ignore
from torch.optim.optimizer import _default_to_fused_or_foreach

torch.set_num_threads(threads)
assert all(one["fused"] < one["for-loop"] for one in measured.values())
assert measured[256]["fused"] < 0.7 * measured[256]["for-loop"]
assert _default_to_fused_or_foreach([nn.Parameter(torch.zeros(1))], False, False) == (False, False)

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.5, 3.0), layout="constrained")
fig.set_label(
    "Time of a step against the number of tensors that hold the same weights: it grows for the "
    "for-loop and foreach, and far less for fused | "
    "权重总数不变，一步的时间随张量个数的变化：循环和 foreach 越来越慢，fused 慢得少得多"
)
for i, name in enumerate(ways):
    times = [1000 * one[name] for one in measured.values()]
    ax.loglog(list(measured), times, f"C{i}o-", lw=2.5)
    va = {"for-loop": "bottom", "foreach": "top"}.get(name, "center")
    ax.text(280, times[-1], {"for-loop": "for-loop | 循环"}.get(name, name), color=f"C{i}", va=va)
ax.set(xlim=(3, 700), xticks=list(measured), xticklabels=list(measured))
ax.margins(y=0.2)
ax.minorticks_off()
ax.set_xlabel("tensors with half a million weights in all | 张量个数（共五十来万个权重）")
ax.set_ylabel("ms a step | 每步毫秒")
ax.set_title("The same weights in more tensors cost more | 权重一样多，张量越多越慢")
plt.show()
# sphinx_gallery_end_ignore

# %%
# A compiled step | 编译过的一步
# ------------------------------
# ``step = torch.compile(optimizer.step)`` writes and builds such a fused kernel for most
# optimizers of torch. It needs a C++ compiler, and time, so this page does not run it.
# Recorded on torch 2.15.0, CPU, one thread, on 30 November 2026, Adam on 64 tensors of 2048:
# the first call took 24 seconds of CPU time, a later one 0.14 to 0.19 of the for-loop's, about
# as ``fused=True``. Make ``lr`` a tensor first: a number is built in, and when a schedule
# first changes it, all is built once more.
#
# ``step = torch.compile(optimizer.step)`` 会为 torch 的大多数优化器现写现编一个这样的融合核函数。
# 它要有 C++ 编译器，还要时间，所以本页不运行，只给一份记录：torch 2.15.0，CPU 单线程，
# 2026 年 11 月 30 日，Adam，64 个 2048 元素的张量。第一次调用用了 24 秒 CPU 时间，
# 之后每次用时是循环的 0.14 到 0.19 倍，与 ``fused=True`` 差不多。先把 ``lr`` 换成张量：
# 普通的数会被写死在代码里，调度器第一次改它的时候，又要整个编译一遍。

# %%
# What each keeps for a weight | 每个权重要存多少
# -----------------------------------------------
# A gradient takes as much as the weights. What the optimizer keeps comes on top of that,
# and comes with the first ``step()``; Adagrad alone makes it at once. In plain torch you add
# up the tensors of ``optimizer.state`` after one; ``optimkit.state_memory`` says it before.
# For a matrix of 1000 × 1000, in multiples of the weights: Adafactor keeps one mean for each
# row and one for each column in place of a million numbers.
#
# 梯度占的内存和权重一样多，优化器要存的还在这之外，第一次 ``step()`` 时才出现，
# 只有 Adagrad 一建好就有。只用 torch，可以走一步，再把 ``optimizer.state`` 里各张量的大小加起来；
# ``optimkit.state_memory`` 事先就能说出来。
# 下面是一个 1000 × 1000 的矩阵，以权重的大小为 1。Adafactor 不存一百万个数，
# 只给每行、每列各存一个平均值。

# sphinx_gallery_thumbnail_number = 2
from optimkit import state_memory

kinds = {
    "SGD": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "Adagrad": optim.Adagrad,
    "AdamW": optim.AdamW,
    "amsgrad": lambda params: optim.AdamW(params, amsgrad=True),
    "Adafactor": optim.Adafactor,
}
matrix = nn.Parameter(torch.zeros(1000, 1000))
# sphinx_gallery_start_ignore
kept = {}
# sphinx_gallery_end_ignore
for name, kind in kinds.items():
    table = state_memory(kind([matrix]), predict=True)
    print(f"{name:9} {table.total / matrix.nbytes:.3f}", [row.name for row in table.rows])
    # sphinx_gallery_start_ignore
    kept[name] = table.total / matrix.nbytes
    # sphinx_gallery_end_ignore
# sphinx_gallery_start_ignore
torch.testing.assert_close(list(kept.values()), [0.0, 1.0, 1.0, 2.0, 3.0, 0.002], rtol=0, atol=1e-4)
at_once = [name for name, kind in kinds.items() if kind([matrix]).state]
assert at_once == ["Adagrad"]
matrix.grad = torch.ones_like(matrix)
optimizer = optim.AdamW([matrix])
optimizer.step()
summed = sum(each.nbytes for each in optimizer.state[matrix].values())
assert summed == state_memory(optim.AdamW([matrix]), predict=True).total

fig, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
fig.set_label(
    "State of six optimizers in multiples of the weights: SGD 0, momentum and Adagrad 1, AdamW "
    "2, amsgrad 3, Adafactor 0.002 | "
    "六种优化器的状态是权重的几倍：SGD 0，动量和 Adagrad 1，AdamW 2，amsgrad 3，Adafactor 0.002"
)
ax.barh(range(6), [2] * 6, color="0.5", alpha=0.35)
ax.barh(range(6), list(kept.values()), left=2, color=[f"C{i}" for i in range(6)])
for i, ratio in enumerate(kept.values()):
    ax.text(2.05 + ratio, i, f"+ {ratio:.3g}", va="center")
ax.text(1, 0, "weights, gradients | 权重、梯度", ha="center", va="center")
ax.set(yticks=range(6), yticklabels=list(kept), xlim=(0, 5.6))
ax.invert_yaxis()
ax.set_xlabel("memory, in multiples of the weights | 内存，以权重为 1")
ax.set_title("AdamW: four times the weights | AdamW：权重的四倍")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Seven billion, before you rent | 70 亿，租机器之前先算
# ------------------------------------------------------
# Tensors on the meta device have a shape and no values: 6.7 billion weights, those of the
# best-known model of this size, take no memory here. In float32, training with AdamW
# needs 107.8 GB before the first activation. Activations come on top, and grow with the
# batch. Wrong: to hope that ``autocast`` halves it: weights, gradients and state stay
# float32. bfloat16 weights do halve it, at a price that tutorial 16 shows.
#
# meta 设备上的张量只有形状，没有数值：67 亿个权重（这个大小里最有名的那个模型）在这里不占内存。
# 用 float32、AdamW 训练，还没算激活值就要 107.8 GB；激活值另算，随批大小增长。
# 错误想法：用了 ``autocast`` 就能减半。权重、梯度、状态都还是 float32。
# 权重用 bfloat16 倒真能减半，代价见教程 16。

d, f = 4096, 11008
shapes = [(32000, d), (32000, d), (d,)]
shapes += 32 * [*4 * [(d, d)], *3 * [(d, f)], (d,), (d,)]
# sphinx_gallery_start_ignore
needs = {}
# sphinx_gallery_end_ignore
for dtype in (torch.float32, torch.bfloat16):
    params = [nn.Parameter(torch.empty(s, dtype=dtype, device="meta")) for s in shapes]
    weights = sum(p.nbytes for p in params)
    for name in ("momentum", "AdamW", "Adafactor"):
        state = state_memory(kinds[name](params), predict=True).total
        total = (2 * weights + state) / 1e9
        print(f"{dtype!s:14} {name:9} state {state / 1e9:6.3f} GB, in all {total:5.1f} GB")
        # sphinx_gallery_start_ignore
        needs[dtype, name] = (state / 1e9, total)
        # sphinx_gallery_end_ignore
# sphinx_gallery_start_ignore
assert sum(p.numel() for p in params) == 6_738_415_616
torch.testing.assert_close(needs[torch.float32, "AdamW"], (53.9, 107.8), rtol=1e-3, atol=0)
torch.testing.assert_close(needs[torch.bfloat16, "AdamW"][1], 53.9, rtol=1e-3, atol=0)
# sphinx_gallery_end_ignore

# %%
# State in eight bits | 8 位的状态
# --------------------------------
# Adam's averages do not need 32 bits. `torchao <https://github.com/pytorch/ao>`__ keeps them in
# 8: in blocks of 256 numbers, each one byte, and one float32 scale for the block. That makes
# 2 × (1 + 4 / 256) = 2.03 bytes a weight in place of 8: 13.7 GB for the model above, not 53.9. (The
# page computes that and does not run it: torchao compiles its step. Its tensors had these sizes in
# torchao 0.18.0 on torch 2.15.0, on 30 November 2026; it leaves small tensors in float32.) Below,
# the idea, with even steps: off by half a 127th of the largest in the block, at most.
#
# Adam 的两个平均值用不着 32 位。`torchao <https://github.com/pytorch/ao>`__ 用 8 位来存：每 256 个数一块，
# 每个数一字节，每块再加一个 float32 的系数。算下来每个权重 2 × (1 + 4 / 256) = 2.03 字节，
# 原来是 8 字节；上面的模型只要 13.7 GB，不是 53.9。（这是本页算出来的，没有运行：torchao 的一步要先编译。
# 2026 年 11 月 30 日看过 torchao 0.18.0 配 torch 2.15.0，张量正是这么大；小张量它仍用 float32。）
# 下面是它的思路，只是刻度均匀：误差最多是块内最大值的 127 分之一的一半。


def store(values):
    blocks = values.view(-1, 256)
    scale = blocks.abs().amax(1, keepdim=True) / 127
    return (blocks / scale).round().to(torch.int8), scale


torch.manual_seed(0)
average = torch.randn(2**16)
codes, scale = store(average)
error = ((codes * scale).view(-1) - average).abs().max() / average.abs().max()
print(f"{(codes.nbytes + scale.nbytes) / average.numel():.4f} bytes, error {error:.4f}")
# sphinx_gallery_start_ignore
assert (codes.nbytes + scale.nbytes) / average.numel() == 1 + 4 / 256 and error <= 0.5 / 127
assert f"{2 * (1 + 4 / 256) * 6.738415616:.1f}" == "13.7"
# sphinx_gallery_end_ignore

# %%
# Step inside backward | 在反向传播中更新
# ---------------------------------------
# A gradient is complete as soon as ``backward()`` has passed its layer. A hook can step then,
# and drop it: at no time is there more than one gradient. Here 16 layers of equal size need a
# sixteenth. The weights end the same. Wrong with it: to clip by the norm of all gradients, to
# accumulate them, or to unscale them, since they are never there together.
#
# ``backward()`` 一走过某一层，那一层的梯度就算完了。用钩子当场更新，随手丢掉，任何时候都只有一个梯度在。
# 这里 16 层一样大，梯度只占原来的十六分之一。最后的权重一模一样。用了它就不能：
# 按全体梯度的范数裁剪、累积梯度、把梯度反缩放，因为它们从不同时存在。


def train(inside):
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(16)))
    optimizers = {p: optim.AdamW([p], lr=0.01) for p in model.parameters()}
    held = []

    def ready(p):
        held.append(sum(q.grad.nbytes for q in optimizers if q.grad is not None))
        if inside:
            optimizers[p].step()
            p.grad = None

    for p in optimizers:
        p.register_post_accumulate_grad_hook(ready)
    for _ in range(3):
        model(torch.ones(8, 64)).square().sum().backward()
        for p in () if inside else optimizers:
            optimizers[p].step()
            p.grad = None
    return torch.stack([p.detach() for p in optimizers]), held


(after, piled), (within, dropped) = train(inside=False), train(inside=True)
print(f"same weights: {after.equal(within)}, gradients {max(piled)} and {max(dropped)} bytes")
# sphinx_gallery_start_ignore
assert after.equal(within) and max(piled) == 16 * max(dropped) == 16 * 64 * 64 * 4
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - Half of the weights are frozen. What does that save?
# - Does ``zero_grad()`` free memory?
#
# - 冻结一半权重，能省什么？
# - ``zero_grad()`` 会释放内存吗？

# %%
# Answers | 答案
# --------------
# - Their gradients and their state: of AdamW's four parts in float32, three.
# - The gradients, until the next ``backward()``, as it sets them to None. State stays.
#
# - 它们的梯度和状态：用 AdamW，四份里省三份。
# - 释放梯度，到下一次 ``backward()`` 为止，因为它把梯度设成了 None。状态还在。

model = nn.Sequential(nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False))
model[0].weight.requires_grad_(False)
optimizer = optim.AdamW(model.parameters())
model(torch.ones(8, 64)).sum().backward()
optimizer.step()
optimizer.zero_grad()
print("frozen:", optimizer.state.get(model[0].weight), model[0].weight.grad)
print("trained:", list(optimizer.state[model[1].weight]), model[1].weight.grad)
# sphinx_gallery_start_ignore
assert model[0].weight not in optimizer.state and len(optimizer.state) == 1
assert all(p.grad is None for p in model.parameters())
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# You have 24 GB, and the model above, with 8 GB to leave for activations. Which data type,
# which optimizer, with or without the step in backward? Try them all; count one gradient,
# the largest, where you step inside.
#
# 你有 24 GB，要训练上面的模型，还得给激活值留 8 GB。用哪种数据类型、哪个优化器，
# 要不要在反向传播中更新？全试一遍；在反向传播中更新时，梯度只算最大的那一个。

# %%
# Solution | 参考答案
# -------------------
# One way is left for each of two optimizers: bfloat16, inside, and next to no state.
#
# 只剩一条路：用 bfloat16，在反向传播中更新，优化器的状态几乎为零；这样的优化器有两个。

for dtype in (torch.float32, torch.bfloat16):
    params = [nn.Parameter(torch.empty(s, dtype=dtype, device="meta")) for s in shapes]
    sizes = [p.nbytes for p in params]
    for name, kind in kinds.items():
        state = state_memory(kind(params), predict=True).total
        for inside in (False, True):
            total = sum(sizes) + state + (max(sizes) if inside else sum(sizes))
            if total <= 16e9:
                print(dtype, name, "inside" if inside else "after", f"{total / 1e9:.1f} GB")
                # sphinx_gallery_start_ignore
                assert dtype is torch.bfloat16 and inside and name in ("SGD", "Adafactor")
                # sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 03 shows what lies in the state; tutorial 16 what half precision costs a step.
# - Shazeer and Stern: `Adafactor <https://arxiv.org/abs/1804.04235>`__.
# - PyTorch's `step in backward
#   <https://docs.pytorch.org/tutorials/intermediate/optimizer_step_in_backward_tutorial.html>`__.
#
# - 教程 03 讲状态里有什么；教程 16 讲半精度让一步付出什么代价。
# - Shazeer 和 Stern 提出 `Adafactor <https://arxiv.org/abs/1804.04235>`__ 的论文。
# - PyTorch 官方教程：`在反向传播中更新
#   <https://docs.pytorch.org/tutorials/intermediate/optimizer_step_in_backward_tutorial.html>`__。
