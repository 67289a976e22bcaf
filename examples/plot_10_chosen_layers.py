"""
Train only the layers you choose | 只训练你选中的层
===================================================

Do two things: hand the optimizer only the layers you want to train, and freeze the rest
with ``requires_grad_(False)``. The first keeps the others still. The second spares you
their gradients, which pile up and cost time although nobody uses them.

要做两件事：只把想训练的层交给优化器，再用 ``requires_grad_(False)`` 冻结其余的层。
前一件让其余的层不动；后一件省掉它们的梯度，这些梯度没人用，却照样花时间去算，还越攒越多。

**What you will learn**

* What leaving layers out does, and what it leaves undone.
* Three slips in a script that runs without complaint, and what each costs.
* How to freeze in mid-training, and how to unfreeze later.
* Level: beginner. Time: 15 minutes. Needs: tutorial 04, tutorial 06.

**你会学到**

- 不把某些层交给优化器，做到了什么，又漏掉了什么。
- 一段不报错的脚本里的三处疏漏，各有什么代价。
- 怎样在训练中途冻结，之后又怎样解冻。
- 难度：入门。用时：15 分钟。预备：教程 04、教程 06。
"""

import matplotlib.pyplot as plt
import torch
from torch import nn, optim
from torch.utils.flop_counter import FlopCounterMode

import optimkit

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts

# %%
# Hand over only some layers | 只交出一部分层
# -------------------------------------------
# The note's last program "optimizes only certain chosen layers": the optimizer gets
# ``layer0`` and ``layer2``, and never hears of ``layer4``. (Two groups with the same
# ``lr`` do what one would.) The last line of ``optimkit.describe`` names what it lacks.
#
# 笔记的最后一段程序“只优化网络的某些指定的层”：交给优化器的是 ``layer0`` 和 ``layer2``，
# ``layer4`` 它根本不知道。（两个组的 ``lr`` 相同，合成一组效果也一样。）
# ``optimkit.describe`` 的最后一行，就是它手里没有的参数。

# sphinx_gallery_covers = "S19 S20 C46"


class MLP(nn.Module):
    def __init__(self, in_dim, hid_dim1, hid_dim2, out_dim):
        super().__init__()
        self.layer0 = nn.Linear(in_dim, hid_dim1)
        self.layer1 = nn.ReLU()
        self.layer2 = nn.Linear(hid_dim1, hid_dim2)
        self.layer3 = nn.ReLU()
        self.layer4 = nn.Linear(hid_dim2, out_dim)
        self.layer5 = nn.ReLU()

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


torch.manual_seed(5)
model = MLP(10, 3, 3, 10)
groups = [
    {"params": model.layer0.parameters(), "lr": 0.01},
    {"params": model.layer2.parameters(), "lr": 0.01},
]
optimizer = optim.SGD(groups)
report = optimkit.describe(optimizer, model)
assert report.unmanaged == ("layer4.weight", "layer4.bias")
report

# %%
# Run the note's loop | 跑一遍笔记的循环
# --------------------------------------
# The note prints ``layer0`` and ``layer4`` at ``i == 0`` and ``i == 99``, to compare
# before with after. Its first print is late: one step is taken by then. Right: copy the
# weights ahead of the loop, as ``start`` does. The figure shows the change since then.
# ``layer4`` has not moved at all: the note is right. But the loss has hardly fallen: 100
# iterations at ``lr=0.01`` are few, and the untrained ``layer4`` holds back the rest (see
# the exercise). The next sections show what else is wrong with the script.
#
# 笔记在 ``i == 0`` 和 ``i == 99`` 时各打印一次 ``layer0`` 和 ``layer4``，想对比训练前后。
# 差了一步：第一次打印之前已经更新过，算不上“训练前”。正确写法：像 ``start`` 那样，
# 进循环之前先把权重复制一份。图里画的是从那以后的变化：``layer4`` 分毫未动，笔记说得对。
# 可损失也几乎没降：``lr=0.01`` 只迭代 100 次太少，没训练的 ``layer4`` 也拖了后腿（见练习）。
# 脚本里别的毛病，下面几节再说。

# sphinx_gallery_covers = "S20 C45 C50"
# sphinx_gallery_thumbnail_number = 1
start = {name: param.detach().clone() for name, param in model.named_parameters()}
data = torch.randn(10, 10)
label = torch.Tensor([1, 0, 4, 7, 9, 2, 4, 5, 3, 2]).long()
criterion = nn.CrossEntropyLoss()
losses = []
for i in range(100):
    output = model(data)
    loss = criterion(output, label)
    losses.append(loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if i == 0:
        late = (model.layer0.weight - start["layer0.weight"]).abs().max()
    optimizer.step()

print(f"layer0 at the note's first print: moved by {late:.5f} already")
print(f"loss: {losses[0]:.3f} -> {losses[-1]:.3f}")
moved = {n: (p.detach() - start[n]).abs() for n, p in model.named_parameters()}
assert late > 0 and losses[0] - losses[-1] < 0.1
for name, distance in moved.items():
    assert (distance.max() == 0) == name.startswith("layer4")

titles = ("trained | 训练", "trained | 训练", "left out | 没交出去")
fig, axes = plt.subplots(1, 3, figsize=(7.5, 3.8), layout="constrained")
for i, ax, title in zip((0, 2, 4), axes, titles, strict=True):
    cells = torch.cat([moved[f"layer{i}.weight"], moved[f"layer{i}.bias"][:, None]], 1)
    cells = (cells if i == 4 else cells.T).numpy()
    image = ax.imshow(cells, vmin=0, vmax=0.12, aspect=0.6)
    ax.set(xticks=[], yticks=[], xlabel=f"layer{i}", title=title, anchor="N")
    ax.spines[:].set_visible(False)
fig.colorbar(image, ax=axes, panchor=False, label="distance moved | 移动的距离")
fig.suptitle("Only the layers handed over move | 只有交出去的层才会动")
fig.set_label(
    "How far each number moved, as a heat map: layers 0 and 2 did, layer 4 did not | "
    "每个数移动距离的热力图：第 0、2 层动了，第 4 层没动"
)
plt.show()

# %%
# Wrong: two steps per gradient | 错误：一个梯度走两步
# ----------------------------------------------------
# The loop calls ``optimizer.step()`` twice. For plain SGD that doubles ``lr``: 0.1 moves
# a weight by 0.20 here. With momentum it is 0.29, for the momentum buffer takes the same
# gradient twice. Adam counts 200 steps in 100 iterations. Right: one ``backward()``, one
# ``step()``.
#
# 循环里 ``optimizer.step()`` 调用了两次。普通 SGD 这样做，等于 ``lr`` 加倍：下面 ``lr`` 是 0.1，
# 却移动了 0.20；带动量就是 0.29，因为同一个梯度进了两次动量缓冲区。
# Adam 则在 100 次迭代里数出 200 步。正确写法：一次 ``backward()``，一次 ``step()``。

# sphinx_gallery_covers = "C48"
w = nn.Parameter(torch.zeros(1))
w.grad = torch.ones(1)
for momentum, expected in ((0.0, -0.20), (0.9, -0.29)):
    before = w.item()
    sgd = optim.SGD([w], lr=0.1, momentum=momentum)
    sgd.step()
    sgd.step()
    print(f"momentum {momentum}: two steps move by {w.item() - before:.2f}")
    torch.testing.assert_close(w.item() - before, expected)

adam = optim.Adam([w])
for _ in range(2 * 100):
    adam.step()
print("Adam's step after 100 iterations:", int(adam.state[w]["step"]))
assert adam.state[w]["step"] == 200

# %%
# Wrong: a ReLU before the loss | 错误：损失函数前还有一层 ReLU
# -------------------------------------------------------------
# ``CrossEntropyLoss`` wants logits, which may be negative; ``layer5`` is a ReLU. Where
# the true class has a negative logit, the ReLU makes it 0 and passes no gradient back:
# nothing pulls that class up. What does it cost? Train all layers for 1000 steps from 20
# seeds, with the last ReLU and without: 40 networks stacked into one. The median loss is
# 1.35 with it, 0.37 without, and each of the 20 is worse off with it.
#
# ``CrossEntropyLoss`` 要的是 logits，可以是负数，而 ``layer5`` 偏偏是 ReLU。如果正确类别的
# logit 是负数，ReLU 会把它变成 0，也不往回传梯度，再没有什么把这个类别往上拉。代价有多大？
# 取 20 个种子，最后的 ReLU 留着、去掉各训练一遍，所有层都练，各走 1000 步；40 个网络叠成一个一起算。
# 损失的中位数，留着是 1.35，去掉是 0.37；20 个种子无一例外，都是留着更差。

# sphinx_gallery_covers = "C49"
for last in (nn.ReLU(), nn.Identity()):
    logits = torch.tensor([[-1.0, -2.0, 3.0]], requires_grad=True)
    criterion(last(logits), torch.tensor([0])).backward()
    print(f"{type(last).__name__:8}", [f"{g:.3f}" for g in logits.grad[0].tolist()])
    assert (logits.grad[0, 0] == 0) == isinstance(last, nn.ReLU)

networks, inputs = [], []
for seed in 2 * list(range(20)):
    torch.manual_seed(seed)
    networks.append(MLP(10, 3, 3, 10))
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
worse = (final[0] > final[1]).sum().item()
medians = [row.quantile(0.5).item() for row in final]
print("median loss:", [f"{m:.2f}" for m in medians], " worse:", worse, "of 20")
torch.testing.assert_close(medians, [1.354, 0.374], rtol=0, atol=0.02)
assert worse == 20

fig, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
for i, row in enumerate(final):
    ax.plot(row, torch.full((20,), i), f"C{i}o", alpha=0.5)
    ax.plot(medians[i], i, f"C{i}|", ms=45, mew=4)
    ax.text(medians[i], i + 0.4, f"{medians[i]:.2f}", color=f"C{i}", ha="center")
ax.set_yticks([0, 1], ["last ReLU kept | 留着 ReLU", "last ReLU removed | 去掉 ReLU"])
ax.set(ylim=(-0.5, 1.7), xlabel="loss after 1000 steps | 1000 步后的损失")
ax.set_title("A ReLU before cross-entropy blocks learning | 交叉熵前的 ReLU 会挡住学习")
fig.set_label(
    "Final losses of 20 seeds: median 1.35 with the last ReLU, 0.37 without | "
    "20 个种子的最终损失：留着最后的 ReLU，中位数是 1.35；去掉是 0.37"
)
plt.show()

# %%
# Left out, and still paying | 没交出去，梯度照样算
# -------------------------------------------------
# ``layer4`` stays still, but ``backward()`` does not know that. It goes on adding to
# that gradient, and ``optimizer.zero_grad()`` clears only what the optimizer holds.
# Who suffers? Gradient clipping over ``model.parameters()``, for one. The stale
# gradients make the total norm 23.9, so clipping it to 1 divides the useful ones, of
# norm 0.14, by 24. ``model.zero_grad()`` reaches everything. The figure shows the norm
# for all of ``layer4``, weight and bias.
#
# ``layer4`` 是不动了，可 ``backward()`` 并不知道，照样往它的梯度上加；
# ``optimizer.zero_grad()`` 又只清自己管的参数。谁会受害？比如对 ``model.parameters()``
# 做梯度裁剪：陈旧的梯度把总范数撑到 23.9，裁剪到 1，有用的梯度本来范数才 0.14，
# 也得跟着除以 24。``model.zero_grad()`` 才清得到全部。图里画的是整个 ``layer4``
# （权重和偏置）的梯度范数。

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
        grads = [w.grad for w in model.layer4.parameters() if w.grad is not None]
        norms.append(nn.utils.get_total_norm(grads).item() if grads else None)
        losses.append(loss.item())
    return optimizer, norms, losses


_, cleared, _ = train(MLP(10, 3, 3, 10), clear_model=True)
model = MLP(10, 3, 3, 10)
optimizer, kept, losses = train(model)
print(f"optimizer.zero_grad(): {kept[0]:.2f} -> {kept[-1]:.2f}")
print(f"model.zero_grad()    : {cleared[0]:.2f} -> {cleared[-1]:.2f}")
assert kept[-1] > 50 * kept[0] and max(cleared) < 0.3

total, used = (
    nn.utils.clip_grad_norm_(params, float("inf")).item()
    for params in (model.parameters(), optimizer.param_groups[0]["params"])
)
print(f"norm of all gradients {total:.1f}, of those in use {used:.2f}")
torch.testing.assert_close([total, used], [23.86, 0.143], rtol=0.01, atol=0)

fig, ax = plt.subplots(figsize=(7.5, 3), layout="constrained")
ax.plot(kept, "C0", lw=3)
ax.plot(cleared, "C1", lw=3)
ax.text(60, 17, "optimizer.zero_grad()", color="C0", ha="right")
ax.text(99, 1.4, "model.zero_grad()", color="C1", ha="right")
ax.set(xlabel="iteration | 迭代", ylabel="norm, layer4 | 范数，layer4")
ax.set_title("The gradient of a layer left out keeps growing | 没交出去的层，梯度越攒越大")
fig.set_label(
    "Gradient norm of layer4: up to 23.9 if the optimizer clears, else about 0.2 | "
    "layer4 的梯度范数：由优化器清零，会涨到 23.9；由模型清零，在 0.2 左右"
)
plt.show()

# %%
# Freeze what you leave out | 没交出去的，就冻结
# ----------------------------------------------
# ``optimkit.audit`` reports two things: trainable but managed by nobody, and a gradient
# that nobody clears. ``optimkit.freeze`` ends both: it sets ``requires_grad`` to
# ``False``, and drops old gradients too. The losses are the same to the last bit.
#
# ``optimkit.audit`` 报出两处毛病：可以训练却没人管，有梯度却没人清。
# ``optimkit.freeze`` 两处都能了结：把 ``requires_grad`` 设为 ``False``，旧梯度也丢掉。
# 训练的损失一位都不差。

# sphinx_gallery_covers = "C45"
print([found.code for found in optimkit.audit(optimizer, models=model)])
optimkit.freeze(model.layer4)
print(optimkit.audit(optimizer, models=model))
_, frozen, frozen_losses = train(model)
assert not optimkit.audit(optimizer, models=model)
assert set(frozen) == {None} and losses == frozen_losses

# %%
# Three ways, three prices | 三种办法，三种代价
# ---------------------------------------------
# Fine-tuning goes the other way round: keep the front, train a new head. Here are three
# ways to keep two of three layers still, with the floating point operations of
# ``backward()`` and the tensors in Adam's state. ``lr = 0`` saves nothing. Leaving them
# out saves their state. Freezing them saves that and more: the backward pass ends early,
# at a fifth of the cost.
#
# 微调时正好相反：保留前面的层，训练新的输出层。下面用三种办法让三层中的前两层不动，并数出
# ``backward()`` 的浮点运算次数，和 Adam 的状态里有多少个张量。``lr = 0`` 什么也没省；
# 不交出去，省下它们的状态；冻结起来还不止于此：反向传播提前结束，只花五分之一。

prices = []
for way in ("lr = 0", "left out", "frozen"):
    net = nn.Sequential(*(nn.Linear(100, 100) for _ in range(3)))
    groups = [{"params": net[2].parameters()}]
    if way == "lr = 0":
        groups.append({"params": net[:2].parameters(), "lr": 0.0})
    if way == "frozen":
        optimkit.freeze(net[:2])
    adam = optim.Adam(groups)
    output = net(torch.randn(10, 100)).sum()
    with FlopCounterMode(display=False) as counter:
        output.backward()
    adam.step()
    prices.append((counter.get_total_flops(), sum(map(len, adam.state.values()))))
    print(f"{way:8}  {prices[-1][0]:9,} operations  {prices[-1][1]:2} tensors")
assert prices == [(1_000_000, 18), (1_000_000, 6), (200_000, 6)]

# %%
# Freeze in mid-training | 训练中途冻结
# -------------------------------------
# Wrong: ``requires_grad_(False)`` and no more. The last gradient is still there, and a
# gradient is all that ``step()`` looks for: the "frozen" weight moves by -0.19. Right:
# drop the gradient too, as ``optimkit.freeze`` does.
#
# 错误写法：只写 ``requires_grad_(False)``。上一次的梯度还留着，而 ``step()`` 只看有没有梯度，
# 结果“冻结”的权重又动了 -0.19。正确写法：像 ``optimkit.freeze`` 那样，把梯度也丢掉。

later = []
for freeze in (lambda w: w.requires_grad_(False), optimkit.freeze):
    w = nn.Parameter(torch.zeros(1))
    sgd = optim.SGD([w], lr=0.1, momentum=0.9)
    w.sum().backward()
    sgd.step()
    before = w.item()
    freeze(w)
    sgd.step()
    later.append(w.item() - before)
print("then moves by", [f"{move:.2f}" for move in later])
torch.testing.assert_close(later, [-0.19, 0.0])

# %%
# Unfreeze later, with a smaller step | 之后再解冻，步子小一点
# ------------------------------------------------------------
# Earlier on, the note wants a smaller learning rate for the "feature extraction part"
# and a larger one for the fully connected layers. Good advice, and you can take it in
# two stages: train the head first, then unfreeze the features and add them as a group
# of their own.
#
# 笔记前面建议，“特征提取部分”的学习率小一点，“全连接层”的学习率大一点。这个建议很好，
# 还可以分两步走：先训练全连接层，再把特征提取部分解冻，单独加成一组。

# sphinx_gallery_covers = "C31"
features, head = nn.Linear(10, 3), nn.Linear(3, 10)
optimkit.freeze(features)
sgd = optim.SGD(head.parameters(), lr=0.01)

optimkit.unfreeze(features)
sgd.add_param_group({"params": features.parameters(), "lr": 0.001})
report = optimkit.describe(sgd, {"features": features, "head": head})
assert [row.lr for row in report.rows] == [0.01, 0.01, 0.001, 0.001]
report

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
optimkit.freeze(layer)
layer(torch.ones(4, 2))
sgd.step()
print("weight:", layer.weight.tolist(), f" mean: {layer.running_mean[0]:.1f}")
assert layer.weight.tolist() == [1.0, 1.0] and layer.running_mean.min() > 0

# %%
# Exercise | 练习
# ---------------
# Mend the note's script. List five faults, then write it anew, so that only ``layer0``
# and ``layer2`` learn, ``layer4`` has no gradient and ``optimkit.audit`` finds nothing.
# How far does the loss fall in 1500 iterations with ``lr=0.2``?
#
# 把笔记的脚本改好。先列出五处问题，再重写一遍：只有 ``layer0`` 和 ``layer2`` 在学习，
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
model = MLP(10, 3, 3, 10)
model.layer5 = nn.Identity()
optimkit.freeze(model.layer4)
label = torch.tensor([1, 0, 4, 7, 9, 2, 4, 5, 3, 2])
optimizer, norms, losses = train(model, lr=0.2, steps=1500)
print(f"loss: {losses[0]:.2f} -> {losses[-1]:.2f}")
torch.testing.assert_close(losses[-1], 1.80, rtol=0, atol=0.01)
assert set(norms) == {None} and label.dtype == torch.int64
assert not optimkit.audit(optimizer, models=model)

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
