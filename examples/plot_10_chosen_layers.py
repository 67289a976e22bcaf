"""
Train only the layers you choose | 只训练你选中的层
===================================================

Do two things: pass the optimizer only the layers you want to train, and freeze the rest
with ``requires_grad_(False)``. The first keeps the others still. The second spares you
their gradients, which pile up and cost time although no one uses them.

要做两件事：只把想训练的层交给优化器，再用 ``requires_grad_(False)`` 冻结其余的层。
前一件让其余的层不动；后一件省掉它们的梯度，这些梯度没人用，却照样花时间去算，还越攒越多。

**What you will learn**

- What leaving layers out does and leaves undone; how to freeze during training.
- Three slips in a script that runs without complaint, and what each costs.
- Level: beginner. Time: 15 minutes. Needs: tutorial 04, tutorial 06.

**你会学到**

- 不把某些层交给优化器，做到了什么，又漏掉了什么；训练中途怎样冻结。
- 一段不报错的脚本里的三处疏漏，各有什么代价。
- 难度：入门。用时：15 分钟。预备：教程 04、教程 06。
"""

# %%
# Pass only some layers | 只把一部分层交给优化器
# ----------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), ends with
# a program that "optimizes only certain chosen layers": the optimizer gets ``layer0`` and
# ``layer2``, and knows nothing of ``layer4``. (Two groups with the same ``lr`` do what one
# would.) ``optimkit.describe`` names what an optimizer lacks.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），最后一段程序“只优化网络的某些指定的层”：
# 交给优化器的是 ``layer0`` 和 ``layer2``，``layer4`` 它根本不知道。（两个组的 ``lr`` 相同，
# 合成一组效果也一样。）优化器手里缺了哪些参数，``optimkit.describe`` 会列出来。

# sphinx_gallery_covers = "S19 S20 C46"
from collections import OrderedDict

import torch
from torch import nn, optim

import optimkit


def mlp():
    linear = nn.Linear(10, 3), nn.Linear(3, 3), nn.Linear(3, 10)
    layers = [layer for one in linear for layer in (one, nn.ReLU())]
    return nn.Sequential(OrderedDict((f"layer{i}", one) for i, one in enumerate(layers)))


torch.manual_seed(5)
model = mlp()
chosen = model.layer0, model.layer2
optimizer = optim.SGD([{"params": layer.parameters(), "lr": 0.01} for layer in chosen])
print("left out:", optimkit.describe(optimizer, model).unmanaged)
# sphinx_gallery_start_ignore
assert optimkit.describe(optimizer, model).unmanaged == ("layer4.weight", "layer4.bias")
# sphinx_gallery_end_ignore

# %%
# Two layers learn, one stays | 两层在学，一层不动
# ------------------------------------------------
# To compare before with after, the note prints the layers at ``i == 0`` and ``i == 99``.
# That is late: one step is taken by then. Right: copy the weights ahead of the loop, as
# ``start`` does. ``layer4`` does not move, as the note says. But the loss hardly falls: 100
# iterations at ``lr=0.01`` are few, and the next two sections show what else is wrong.
#
# 笔记在 ``i == 0`` 和 ``i == 99`` 时各打印一次这几层，想对比训练前后。
# 差了一步：第一次打印之前已经更新过。正确写法：像 ``start`` 那样，进循环之前先把权重复制一份。
# ``layer4`` 分毫未动，笔记说得对。可损失也几乎没降：``lr=0.01`` 只迭代 100 次太少，
# 还有两处毛病，接下来两节分别说。

# sphinx_gallery_covers = "S20 C45 C50"
# sphinx_gallery_thumbnail_number = 1
start = {name: param.detach().clone() for name, param in model.named_parameters()}
data = torch.randn(10, 10)
label = torch.Tensor([1, 0, 4, 7, 9, 2, 4, 5, 3, 2]).long()
criterion = nn.CrossEntropyLoss()
for i in range(100):
    loss = criterion(model(data), label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if i == 0:
        late = (model.layer0.weight - start["layer0.weight"]).abs().max().item()
        first = loss.item()
    optimizer.step()
print(f"layer0 at the note's first print: moved by {late:.5f} already")
print(f"loss: {first:.3f} -> {loss.item():.3f}")
# sphinx_gallery_start_ignore
moved = {n: (p.detach() - start[n]).abs() for n, p in model.named_parameters()}
assert late > 0 and first - loss.item() < 0.1
for name, distance in moved.items():
    assert (distance.max() == 0) == name.startswith("layer4")

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
titles = ("trained | 训练", "trained | 训练", "left out | 没交给优化器")
fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.9), layout="constrained")
for i, ax, title in zip((0, 2, 4), axes, titles, strict=True):
    cells = torch.cat([moved[f"layer{i}.weight"], moved[f"layer{i}.bias"][:, None]], 1)
    cells = (cells if i == 4 else cells.T).numpy()
    image = ax.imshow(cells, vmin=0, vmax=0.12, aspect=0.6)
    ax.set(xticks=[], yticks=[], xlabel=f"layer{i}", title=title, anchor="N")
    ax.spines[:].set_visible(False)
fig.colorbar(image, ax=axes, panchor=False, label="distance moved | 移动的距离")
fig.suptitle("Only the layers passed to the optimizer move | 只有交给优化器的层才会动")
fig.set_label(
    "How far each number moved, as a heat map: layers 0 and 2 did, layer 4 did not | "
    "每个数移动距离的热力图：第 0、2 层动了，第 4 层没动"
)
plt.show()
# sphinx_gallery_end_ignore

# %%
# Wrong: two steps per gradient | 错误：一个梯度走两步
# ----------------------------------------------------
# The note's loop calls ``optimizer.step()`` twice. For plain SGD that doubles ``lr``: 0.1
# moves a weight by 0.20. With momentum it is 0.29, because the momentum buffer adds the
# same gradient twice. Adam counts 200 steps in 100 turns. Right: one ``backward()``, one
# ``step()``.
#
# 笔记的循环里 ``optimizer.step()`` 调用了两次。普通 SGD 这样做，等于 ``lr`` 加倍：下面 ``lr`` 是 0.1，
# 却移动了 0.20；带动量就是 0.29，因为同一个梯度进了两次动量缓冲区。
# Adam 则在 100 次迭代里记成 200 步。正确写法：一次 ``backward()``，一次 ``step()``。

# sphinx_gallery_covers = "C48"
w = nn.Parameter(torch.zeros(1))
w.grad = torch.ones(1)
for momentum in (0.0, 0.9):
    before = w.item()
    sgd = optim.SGD([w], lr=0.1, momentum=momentum)
    sgd.step()
    sgd.step()
    print(f"momentum {momentum}: two steps move by {w.item() - before:.2f}")
    # sphinx_gallery_start_ignore
    torch.testing.assert_close(w.item() - before, -0.29 if momentum else -0.20)
adam = optim.Adam([w])
for _ in range(2 * 100):
    adam.step()
assert adam.state[w]["step"] == 200
# sphinx_gallery_end_ignore

# %%
# Wrong: a ReLU before the loss | 错误：损失函数前还有一层 ReLU
# -------------------------------------------------------------
# ``CrossEntropyLoss`` wants logits, which may be negative; ``layer5`` of the note's network
# is a ReLU. Where the true class has a negative logit, the ReLU makes it 0 and passes no
# gradient back: nothing pulls that class up. In the figure all layers train for 1000 steps,
# with the last ReLU and without: each of 20 seeds is worse off with it.
#
# ``CrossEntropyLoss`` 要的是 logits，可以是负数，而笔记的网络最后一层 ``layer5`` 偏偏是 ReLU。
# 如果正确类别的 logit 是负数，ReLU 会把它变成 0，也不往回传梯度，再没有什么能把这一类的得分拉上来。
# 图里所有层都训练 1000 步，最后的 ReLU 留着、去掉各一遍：20 个随机种子无一例外，都是留着更差。

# sphinx_gallery_covers = "C49"
for last in (nn.ReLU(), nn.Identity()):
    logits = torch.tensor([[-1.0, -2.0, 3.0]], requires_grad=True)
    criterion(last(logits), torch.tensor([0])).backward()
    print(f"{type(last).__name__:8}", [f"{g:.3f}" for g in logits.grad[0].tolist()])
    # sphinx_gallery_start_ignore
    assert (logits.grad[0, 0] == 0) == isinstance(last, nn.ReLU)

# All 40 at once, stacked into one.
networks, inputs = [], []
for seed in 2 * list(range(20)):
    torch.manual_seed(seed)
    networks.append(mlp())
    inputs.append(torch.randn(10, 10))
params, _ = torch.func.stack_module_state(networks)
inputs, labels = torch.stack(inputs), label.expand(40, 10)
keep = torch.arange(40).view(40, 1, 1) < 20
each_loss = nn.CrossEntropyLoss(reduction="none")
sgd = optim.SGD(params.values(), lr=0.2)
for _ in range(1000):
    x = inputs
    for i in (0, 2, 4):
        x = x @ params[f"layer{i}.weight"].mT + params[f"layer{i}.bias"][:, None]
        x = x.relu() if i < 4 else torch.where(keep, x.relu(), x)
    each = each_loss(x.mT, labels).mean(1)
    sgd.zero_grad()
    each.sum().backward()
    sgd.step()


final = each.detach().view(2, 20)
medians = [row.quantile(0.5).item() for row in final]
torch.testing.assert_close(medians, [1.354, 0.374], rtol=0, atol=0.02)
assert (final[0] > final[1]).all()

fig, ax = plt.subplots(figsize=(7.5, 2.2), layout="constrained")
for i, row in enumerate(final):
    ax.plot(row, torch.full((20,), i), f"C{i}o", alpha=0.5)
    ax.plot(medians[i], i, f"C{i}|", ms=34, mew=4)
    ax.text(medians[i], i + 0.4, f"{medians[i]:.2f}", color=f"C{i}", ha="center")
ax.set_yticks([0, 1], ["last ReLU kept | 留着 ReLU", "last ReLU removed | 去掉 ReLU"])
ax.set(ylim=(-0.5, 1.7), xlabel="loss after 1000 steps | 1000 步后的损失")
ax.set_title("A ReLU before cross-entropy blocks learning | 交叉熵前的 ReLU 会挡住学习")
fig.set_label(
    "Final losses of 20 seeds: median 1.35 with the last ReLU, 0.37 without | "
    "20 个种子的最终损失：留着最后的 ReLU，中位数是 1.35；去掉是 0.37"
)
plt.show()
# sphinx_gallery_end_ignore

# %%
# Left out, and still paying | 没交给优化器，梯度照样算
# -----------------------------------------------------
# ``layer4``, left out of the optimizer, stays still, but ``backward()`` goes on adding to its
# gradient: ``optimizer.zero_grad()`` does not reach it, ``model.zero_grad()`` does.
#
# ``layer4`` 没交给优化器，是不动了，可 ``backward()`` 照样往它的梯度上加：
# ``optimizer.zero_grad()`` 管不到它，``model.zero_grad()`` 才清得到。

# sphinx_gallery_covers = "C45"


def train(model, clear_model=False, lr=0.01, steps=100):
    model.load_state_dict(start)
    chosen = [*model.layer0.parameters(), *model.layer2.parameters()]
    optimizer = optim.SGD(chosen, lr=lr)
    norms, losses = [], []
    for _ in range(steps):
        (model if clear_model else optimizer).zero_grad()
        loss = criterion(model(data), label)
        loss.backward()
        optimizer.step()
        grads = [p.grad for p in model.layer4.parameters() if p.grad is not None]
        norms.append(nn.utils.get_total_norm(grads).item())
        losses.append(loss.item())
    return optimizer, norms, losses


# %%
# Who suffers? Gradient clipping over ``model.parameters()``, for one. The stale gradients
# make the total norm 23.9, so clipping it to 1 divides the useful ones by 24, too.
#
# 谁会受害？比如对 ``model.parameters()`` 做梯度裁剪：陈旧的梯度把总范数撑到 23.9，
# 裁剪到 1，有用的梯度也跟着缩到二十四分之一。

# sphinx_gallery_covers = "C45"
_, cleared, _ = train(mlp(), clear_model=True)
model = mlp()
optimizer, kept, losses = train(model)
print(f"norm in layer4: {kept[-1]:.2f}, with model.zero_grad(): {cleared[-1]:.2f}")

used = [p.grad for p in optimizer.param_groups[0]["params"]]
print(f"useful gradients: norm {nn.utils.get_total_norm(used):.4f}", end=", ")
total = nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
print(f"of a total of {total:.1f}; clipped: {nn.utils.get_total_norm(used):.4f}")
# sphinx_gallery_start_ignore
assert kept[-1] > 50 * kept[0] and max(cleared) < 0.3
clipped = nn.utils.get_total_norm(used)
torch.testing.assert_close(
    [total.item(), clipped.item()], [23.86, 0.143 / 23.86], rtol=0.01, atol=0
)
# sphinx_gallery_end_ignore

# %%
# Freeze what you leave out | 没交给优化器的，就冻结
# --------------------------------------------------
# Of ``layer4``, ``optimkit.audit`` reports two things: trainable but managed by no optimizer,
# and a gradient that no one clears. Two lines end both, or ``optimkit.freeze`` in one call.
# The losses are the same to the last bit.
#
# ``optimkit.audit`` 报出 ``layer4`` 的两处毛病：可以训练却没有优化器管，有梯度却没人清。
# 两行代码就能了结，或者调用一次 ``optimkit.freeze``。训练损失与之前逐位相同。

# sphinx_gallery_covers = "C45"
print(optimkit.audit(optimizer, models=model).codes)
model.layer4.requires_grad_(False)
model.layer4.zero_grad()
print(optimkit.audit(optimizer, models=model))
_, frozen, frozen_losses = train(model)
assert losses == frozen_losses and set(frozen) == {0.0}
# sphinx_gallery_start_ignore
assert not optimkit.audit(optimizer, models=model)
# sphinx_gallery_end_ignore

# %%
# Three ways, three prices | 三种办法，三种代价
# ---------------------------------------------
# Fine-tuning keeps the front, and trains a new head. Here are three ways to keep two of
# three layers still, with the floating point operations of ``backward()`` and the tensors
# in Adam's state. ``lr = 0`` saves nothing. Leaving them out saves their state. Freezing
# them also ends the backward pass early, at a fifth of the cost.
#
# 微调时保留前面的层，训练新的输出层。下面用三种办法让三层中的前两层不动，并数出
# ``backward()`` 的浮点运算次数，和 Adam 的状态里有多少个张量。``lr = 0`` 什么也没省；
# 不交给优化器，省下它们的状态；冻结起来还不止于此：反向传播提前结束，只花五分之一。

from torch.utils.flop_counter import FlopCounterMode

# sphinx_gallery_start_ignore
prices = []
# sphinx_gallery_end_ignore
for way in ("lr = 0", "left out", "frozen"):
    net = nn.Sequential(*(nn.Linear(100, 100) for _ in range(3)))
    groups = [{"params": net[2].parameters()}]
    if way == "lr = 0":
        groups.append({"params": net[:2].parameters(), "lr": 0.0})
    if way == "frozen":
        net[:2].requires_grad_(False)
    adam = optim.Adam(groups)
    output = net(torch.randn(10, 100)).sum()
    with FlopCounterMode(display=False) as counter:
        output.backward()
    adam.step()
    tensors = sum(map(len, adam.state.values()))
    print(f"{way:8}  {counter.get_total_flops():9,} operations  {tensors:2} tensors")
    # sphinx_gallery_start_ignore
    prices.append((counter.get_total_flops(), tensors))
assert prices == [(1_000_000, 18), (1_000_000, 6), (200_000, 6)]
# sphinx_gallery_end_ignore

# %%
# Freeze in mid-training | 训练中途冻结
# -------------------------------------
# ``step()`` looks for a gradient, not at ``requires_grad``. In the usual loop ``zero_grad()``
# makes the old one None before the next step, and the weight stays. Wrong: freeze between
# ``backward()`` and ``step()``, or while gradients accumulate: nothing clears it, and the
# "frozen" weight moves once more. With ``set_to_none=False`` it is zero, and momentum or
# weight decay move the weight at every step. Right, wherever you are: drop the gradient,
# too, with ``w.grad = None``. ``optimkit.freeze`` does both.
#
# ``step()`` 只看有没有梯度，不看 ``requires_grad``。常见的循环里，下一步之前 ``zero_grad()``
# 会把旧梯度变成 None，权重就不动了。错误写法：在 ``backward()`` 和 ``step()`` 之间冻结，
# 或者梯度累积到一半时冻结，旧梯度没人清，“冻结”的权重会再动一次。用 ``set_to_none=False``
# 的话，梯度是零而不是 None，动量或权重衰减会让权重步步都动。正确写法，放在哪里都管用：
# 梯度也丢掉，即 ``w.grad = None``。``optimkit.freeze`` 两件事一起做。

# sphinx_gallery_start_ignore
moves = {}
# sphinx_gallery_end_ignore
calls = ("zero_grad()", "zero_grad(set_to_none=False)", "nothing", "w.grad = None")
for until_step in calls:
    w = nn.Parameter(torch.zeros(1))
    sgd = optim.SGD([w], lr=0.1, momentum=0.9)
    w.sum().backward()
    sgd.step()
    before = w.item()
    w.requires_grad_(False)
    if until_step.startswith("zero_grad"):
        sgd.zero_grad(set_to_none="False" not in until_step)
    if until_step == "w.grad = None":
        w.grad = None
    sgd.step()
    print(f"{until_step}: moves by {w.item() - before:.2f}")
    # sphinx_gallery_start_ignore
    moves[until_step] = w.item() - before
torch.testing.assert_close([*moves.values()], [0.0, -0.09, -0.19, 0.0])

# In both usual loops: frozen just before one of the calls, does it move later?
for order in (("zero_grad", "backward", "step"), ("backward", "step", "zero_grad")):
    for place in order:
        w, other = (nn.Parameter(torch.zeros(1)) for _ in range(2))
        sgd = optim.SGD([w, other], lr=0.1, momentum=0.9)
        for iteration in range(3):
            for call in order:
                if iteration == 1 and call == place:
                    w.requires_grad_(False)
                    before = w.item()
                if call == "backward":
                    (w + other).sum().backward()
                else:
                    getattr(sgd, call)()
        assert (w.item() != before) == (place == "step")

w = nn.Parameter(torch.zeros(1))
sgd = optim.SGD([w], lr=0.1, momentum=0.9)
w.sum().backward()
optimkit.freeze(w)
sgd.step()
assert w.item() == 0
decayed = nn.Parameter(torch.ones(1))
sgd = optim.SGD([decayed], lr=0.1, weight_decay=0.1)
decayed.grad = torch.zeros(1)
sgd.step()
assert decayed.item() < 1
# sphinx_gallery_end_ignore

# %%
# Unfreeze later, with a smaller step | 之后再解冻，步子小一点
# ------------------------------------------------------------
# The note's advice, a smaller learning rate for the "feature extraction part", can be taken
# in two stages: train the head first, then unfreeze the features with
# ``requires_grad_(True)``, and add them to the optimizer as a group of their own, with a
# smaller ``lr``. Tutorial 06 does so, and says what to mind with a scheduler.
#
# 笔记建议“特征提取部分”的学习率小一点，这可以分两步走：先训练输出层，再用
# ``requires_grad_(True)`` 解冻特征提取部分，作为单独的一组加进优化器，``lr`` 小一些。
# 教程 06 就是这样做的，还讲了有调度器时要注意什么。

# %%
# Ask yourself | 问问自己
# -----------------------
# * A frozen layer is still in the optimizer. Does weight decay shrink it?
# * Does freezing a BatchNorm layer stop its running mean?
#
# - 冻结的层还留在优化器里，权重衰减会让它变小吗？
# - 冻结 BatchNorm 层，它的滑动均值会停下来吗？

# %%
# Answers | 答案
# --------------
# * No, if its ``.grad`` is ``None``: the parameter is skipped altogether.
# * No. The mean is a buffer, not a parameter. ``eval()`` on that layer stops it.
#
# - 不会，只要 ``.grad`` 是 ``None``，整个参数都会被跳过。
# - 不会。均值是缓冲区，不是参数；对这一层调用 ``eval()`` 才能停住它。

layer = nn.BatchNorm1d(2)
sgd = optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.1)
layer.requires_grad_(False)
layer(torch.ones(4, 2))
sgd.step()
print("weight:", layer.weight.tolist(), f" mean: {layer.running_mean[0]:.1f}")
# sphinx_gallery_start_ignore
assert layer.weight.tolist() == [1.0, 1.0] and layer.running_mean.min() > 0
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Fix the program of the second section. List five faults, then rewrite it, so that only
# ``layer0`` and ``layer2`` learn, ``layer4`` has no gradient and ``optimkit.audit`` finds
# nothing. How far does the loss fall in 1500 iterations with ``lr=0.2``?
#
# 把第二节的程序改好。先列出五处问题，再重写一遍：只有 ``layer0`` 和 ``layer2`` 在学习，
# ``layer4`` 没有梯度，``optimkit.audit`` 也挑不出毛病。
# 用 ``lr=0.2`` 迭代 1500 次，损失能降到多少？

# %%
# Solution | 参考答案
# -------------------
# * ``step()`` twice per iteration, and a ReLU before the cross-entropy loss.
# * The gradient of ``layer4`` is never cleared, and the "before" print comes too late.
# * ``torch.Tensor(...).long()`` makes floats first; ``torch.tensor`` keeps integers.
#
# The loss falls to 1.80, and not much further: ten classes have to pass through three
# numbers, and through a last layer that never learns.
#
# - 每次迭代 ``step()`` 两次；交叉熵损失函数前有 ReLU。
# - ``layer4`` 的梯度从不清零；“训练前”打印得太晚。
# - ``torch.Tensor(...).long()`` 先变成浮点数再转回来；用 ``torch.tensor`` 直接就是整数。
#
# 损失降到 1.80，再降就难了：十个类别要从三个数里挤过去，最后一层又从不学习。

# sphinx_gallery_covers = "C47"
model = mlp()
model.layer5 = nn.Identity()
optimkit.freeze(model.layer4)
label = torch.tensor([1, 0, 4, 7, 9, 2, 4, 5, 3, 2])
optimizer, norms, losses = train(model, lr=0.2, steps=1500)
print(f"loss: {losses[0]:.2f} -> {losses[-1]:.2f}")
print(optimkit.audit(optimizer, models=model))
# sphinx_gallery_start_ignore
torch.testing.assert_close(losses[-1], 1.80, rtol=0, atol=0.01)
assert set(norms) == {0.0} and label.dtype == torch.int64
assert not optimkit.audit(optimizer, models=model)
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# * Tutorial 11 adjusts the learning rate while you train.
# * Tutorial 12 stops a run, and resumes it exactly.
# * PyTorch compares the ways of `disabling gradients locally
#   <https://docs.pytorch.org/docs/stable/notes/autograd.html>`__.
#
# - 教程 11 讲怎样在训练中调整学习率。
# - 教程 12 讲怎样中断训练，再分毫不差地接着来。
# - PyTorch 官方文档：`局部关闭梯度的几种办法
#   <https://docs.pytorch.org/docs/stable/notes/autograd.html>`__。
