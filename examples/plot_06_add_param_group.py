"""
Parameter groups and add_param_group() | 参数组与 add_param_group()
===================================================================

How do you give parts of a model settings of their own? Pass a list of dicts when you
build the optimizer: each is a parameter group, with its own options. Keep
``add_param_group()`` for parameters that join later, and then mind their old gradients
and the learning-rate scheduler.

怎样让模型的各部分用不同的设置？建优化器时传一个由字典组成的列表：一个字典就是一个参数组，
各带各的选项。``add_param_group()`` 留给中途才加入的参数，
用它时要留意攒下的梯度，还有学习率调度器。

**What you will learn**

- How to group parameters by hand, and by rule, so that a typo can't pass.
- How to give every layer a learning rate of its own.
- What goes wrong when a group joins late, and how to add it safely.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 02, tutorial 03.

**你会学到**

- 怎样手工分组，又怎样按规则分组，让笔误蒙混不过去。
- 怎样让每一层有自己的学习率。
- 参数组中途加入会出什么问题，怎样加才稳妥。
- 难度：进阶。用时：15 分钟。预备：教程 02、教程 03。
"""

# %%
# The note adds a group | 笔记加了一个参数组
# ------------------------------------------
# Here is the note's example. ``w2`` is random and not seeded, so its numbers don't come
# back; the two learning rates do. A bare tensor in ``{"params": w2}`` is fine: torch
# wraps it in a list. ``print`` shows more keys today; ``optimkit.describe`` shows
# those that matter.
#
# 下面是笔记里的例子。``w2`` 是随机的，又没设种子，数字对不上，两个学习率对得上。
# ``{"params": w2}`` 没写方括号，这里没问题，torch 会替你包成列表。
# 今天直接打印，键比当年多；用 ``optimkit.describe`` 看，只显示要紧的。

# sphinx_gallery_covers = "S11 C30 C32"
import warnings
from collections import OrderedDict
from textwrap import shorten

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, StepLR

import optimkit
from optimkit import is_bias, is_matrix, is_norm, layer_decay, when

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
torch.manual_seed(0)

weight = torch.tensor([[2.0, 3.0], [4.0, 5.0]], requires_grad=True)
weight.grad = torch.ones((2, 2))
optimizer = torch.optim.Adam([weight], lr=1.0)
w2 = torch.randn((3, 3), requires_grad=True)
optimizer.add_param_group({"params": w2, "lr": 0.0001})
assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.0001]
assert isinstance(optimizer.param_groups[1]["params"], list)
optimkit.describe(optimizer)

# %%
# Two tensors, one of them unsaid | 两个张量，注释漏了一个
# --------------------------------------------------------
# In its second example the note says "put the parameter w2" there, and puts ``w2`` and
# ``w3``. Neither has a gradient, so a step moves ``weight`` alone.
#
# 第二个例子的注释写着“放置参数 w2”，实际放的是 ``w2`` 和 ``w3`` 两个。
# 它们都没有梯度，所以走一步，动的只有 ``weight``。

# sphinx_gallery_covers = "S12 C33"
weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
weight.grad = torch.ones((2, 2))
optimizer = torch.optim.Adam([weight], lr=1)
w2 = torch.tensor([[11.0, 12.0], [13.0, 14.0]], requires_grad=True)
w3 = torch.tensor([[11.0, 12.0], [13.0, 14.0]], requires_grad=True)
optimizer.add_param_group({"params": [w2, w3], "lr": 0.0001})
optimizer.step()
print([len(group["params"]) for group in optimizer.param_groups])
print(weight.detach().round())
assert weight.detach().round().tolist() == [[0.0, 1.0], [2.0, 3.0]]
assert w2.tolist() == w3.tolist() == [[11.0, 12.0], [13.0, 14.0]]

# %%
# Groups from the start | 一开始就分组
# ------------------------------------
# What the note wants groups for is sound: the feature extractor learns slowly, the
# fully connected layer fast. But you know that from the start, so no
# ``add_param_group()`` is needed. Pass the groups when you build; what a group leaves
# out comes from ``defaults``. Adam's first step is as long as the learning rate
# (tutorial 05), so one step shows both.
#
# 笔记说分组是为了让特征提取部分学得慢一点，全连接层学得快一点，这很有道理。
# 不过这是一开始就知道的事，用不着 ``add_param_group()``，建优化器时传进去就行；
# 组里没写的选项，取自 ``defaults``。Adam 的第一步正好和学习率一样长（见教程 05），
# 走一步就能看出两组的差别。

# sphinx_gallery_covers = "C30 C31"
blocks = [nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU()) for _ in range(6)]
model = nn.Sequential(OrderedDict(features=nn.Sequential(*blocks), head=nn.Linear(8, 2)))
groups = [
    {"params": model.features.parameters(), "lr": 1e-4},
    {"params": model.head.parameters(), "lr": 1e-2},
]
optimizer = torch.optim.Adam(groups)
model(torch.randn(4, 8)).sum().backward()
watched = [model.features[0][0].weight, model.head.weight]
before = [param.detach().clone() for param in watched]
optimizer.step()
moves = zip(watched, before, strict=True)
moved = [(new - old).abs().max().item() for new, old in moves]
print(f"features moved by {moved[0]:.4f}, head by {moved[1]:.4f}")
torch.testing.assert_close(moved, [1e-4, 1e-2], rtol=0.01, atol=0)

# %%
# By name: a typo passes | 按名字分组：笔误也能过
# -----------------------------------------------
# To tell more groups apart, people filter names. Here is the wrong way: one letter too
# many, and the fast group is empty. torch takes it, and everything learns slowly.
# ``optimkit.audit`` finds the empty group.
#
# 组一多，常见的做法是按名字筛选。下面是错误的写法：多打了一个字母，快的那组就空了。
# torch 照收不误，于是全部都学得慢。``optimkit.audit`` 查得出空的组。

named = list(model.named_parameters())
fast = [param for name, param in named if name.startswith("heads.")]
slow = [param for name, param in named if not name.startswith("heads.")]
groups = [{"params": slow, "lr": 1e-4}, {"params": fast, "lr": 1e-2}]
optimizer = torch.optim.Adam(groups)
print("parameters:", [len(group["params"]) for group in optimizer.param_groups])
print("audit:", optimkit.audit(optimizer).codes[0])
assert optimkit.audit(optimizer).codes[0] == "empty-group"

# %%
# By rule: the typo is refused | 按规则分组：笔误过不了
# -----------------------------------------------------
# ``optimkit.param_groups`` takes rules, made with ``optimkit.when``, and the options
# that all parameters start from. If two rules differ, the later one wins. A name that
# no parameter has is refused. The second rule below frees biases and normalization
# layers from weight decay, as is usual. The head's bias meets both rules, and so gets a
# group of its own.
#
# ``optimkit.param_groups`` 收两样东西：用 ``optimkit.when`` 写的规则，和所有参数共用的选项。
# 两条规则冲突时，后一条说了算。写了不存在的名字会被拒绝。
# 下面的第二条规则照惯例不对偏置和归一化层做权重衰减。
# ``head`` 的偏置两条规则都符合，于是自成一组。

# sphinx_gallery_covers = "C31"
try:
    optimkit.param_groups(model, when("heads.*", lr=1e-2), lr=1e-4)
    raise AssertionError
except optimkit.GroupError as error:
    print("GroupError -", str(error).split(". ")[0].partition(": ")[2])

groups = optimkit.param_groups(
    model,
    when("head.*", name="head", lr=1e-2),
    when(is_bias | is_norm, name="plain", weight_decay=0.0),
    optimizer=torch.optim.AdamW,
    lr=1e-4,
    weight_decay=0.1,
)
optimizer = torch.optim.AdamW(groups)
assert [len(group["params"]) for group in optimizer.param_groups] == [6, 18, 1, 1]
optimkit.describe(optimizer, model)

# %%
# A learning rate for every layer | 每层一个学习率
# ------------------------------------------------
# Early layers learn general features, so in fine-tuning their learning rates are often
# smaller, layer by layer. ``optimkit.layer_decay`` is a rule too. You say which layer a
# name belongs to, and it multiplies the learning rate by 0.7 for each layer below the
# last.
#
# 越靠前的层，学到的东西越通用，所以微调时常常从后往前，让学习率一层比一层小。
# ``optimkit.layer_decay`` 也是一条规则：你说明每个名字在第几层，
# 它就从最后一层往前数，每退一层，学习率多乘一个 0.7。

# sphinx_gallery_covers = "C31"
# sphinx_gallery_thumbnail_number = 1


def depth(name):
    return 6 if name.startswith("head") else int(name.split(".")[1])


groups = optimkit.param_groups(model, layer_decay(0.7, depth), lr=1e-2)
optimizer = torch.optim.AdamW(groups)
rates = [group["lr"] for group in optimizer.param_groups]
torch.testing.assert_close(rates, [0.01 * 0.7 ** (6 - layer) for layer in range(7)])

fig, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
fig.set_label(
    "Bars: the learning rate of seven layers, 0.0012 at the first, 0.01 at the head | "
    "七层的学习率柱状图，从第一层的 0.0012 升到 head 的 0.01"
)
layers = [*(f"features.{layer}" for layer in range(6)), "head"]
shades = plt.get_cmap("viridis")([0.3 + layer / 10 for layer in range(7)])
bars = ax.barh(layers, rates, color=shades)
ax.bar_label(bars, [f"{rate:.4f}" for rate in rates], padding=4)
ax.grid(False)
ax.set(xlim=(0, 0.0115), xlabel="learning rate | 学习率")
ax.set_title("The earlier the layer, the smaller its steps | 层越靠前，步子越小")
plt.show()

# %%
# Wrong: a parameter twice, or a set | 错误：参数重复，或用集合
# -------------------------------------------------------------
# Twice in two groups is an error. Twice in one group is only a warning, and the
# parameter moves twice. A set is refused inside a dict, since it has no order. At top
# level it is taken, and newer versions warn: its order can change from run to run, and
# with it what a state dict means.
#
# 同一个参数出现在两个组里，会报错；在一个组里出现两次，只有一条警告，然后一步动两次。
# 集合没有顺序，放在字典里会被拒绝；直接当第一个参数传却收，较新的版本会警告：
# 每次运行顺序可能不同，状态字典的含义也就跟着变。

# sphinx_gallery_covers = "C32"
w = nn.Parameter(torch.zeros(1))
twice, unordered = [{"params": [w]}, {"params": [w]}], [{"params": {w}}]
for bad in (twice, unordered):
    try:
        torch.optim.SGD(bad, lr=0.1)
        raise AssertionError
    except (ValueError, TypeError) as error:
        print(type(error).__name__, "-", shorten(str(error), 65, placeholder=" ..."))

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch.optim.SGD({w}, lr=0.1)
    print("warnings for a set:", len(caught))
    sgd = torch.optim.SGD([w, w], lr=0.1)
w.grad = torch.ones(1)
sgd.step()
print(f"moved by {-w.item():.1f}")
torch.testing.assert_close(w.item(), -0.2)
assert optimkit.audit(sgd).codes == ("duplicate",)

# %%
# Wrong: a late group and its old gradient | 错误：后加入的组带着旧梯度
# ---------------------------------------------------------------------
# Now for ``add_param_group()``: train the head first, then the features too. Until they
# join, ``optimizer.zero_grad()`` does not reach them, and 50 iterations of gradients
# pile up, to be spent in their first step: it is some 50 times too long.
# ``optimkit.add_param_group`` clears them first; in plain torch, call ``zero_grad()`` of
# the model, as tutorial 04 does.
#
# 现在用 ``add_param_group()``：先训练 ``head``，再把特征提取部分加进来。
# 加进来之前，``optimizer.zero_grad()`` 管不到它们，50 次迭代的梯度越积越多，
# 全在第一步一次用上，这一步就长了大约 50 倍。``optimkit.add_param_group`` 会先清零；
# 只用 torch 的话，就像教程 04 那样调用模型的 ``zero_grad()``。

# sphinx_gallery_covers = "C31"


def first_step(add):
    torch.manual_seed(0)
    features, head = nn.Linear(4, 4), nn.Linear(4, 1)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.001)
    x, y = torch.randn(64, 4), torch.ones(64, 1)
    for step in range(51):
        if step == 50:
            before = features.weight.detach().clone()
            add(optimizer, {"params": features.parameters(), "lr": 0.001})
        nn.functional.mse_loss(head(features(x)), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return (features.weight - before).norm().item()


stale = first_step(torch.optim.SGD.add_param_group)
clean = first_step(optimkit.add_param_group)
print(f"first step, stale / clean: {stale / clean:.0f}")
assert 40 < stale / clean < 70

# %%
# Wrong: a late group and its scheduler | 错误：后加入的组和调度器
# ----------------------------------------------------------------
# A scheduler changes the learning rate as training goes on (tutorial 11). ``StepLR``
# multiplies the present ``lr`` of every group, and takes a late one along.
# ``LambdaLR`` keeps a list with an entry for each group, made when it was built.
# Depending on the version, it raises at its next step, or leaves the late group out in
# silence. Either way, ``LambdaLR`` never schedules the late group.
#
# 调度器随着训练的进度改学习率（见教程 11）。``StepLR`` 拿每一组当前的 ``lr`` 来乘，
# 后加入的组也会带上。
# ``LambdaLR`` 则在建好时给每个参数组记下一项，后加入的组不在其中，下一步会怎样要看版本：
# 有的报错，有的不声不响地漏掉这一组。无论哪种，``LambdaLR`` 都不会管这一组。

late = nn.Parameter(torch.zeros(1))
for kind, option in ((StepLR, 1), (LambdaLR, lambda epoch: 0.9**epoch)):
    sgd = torch.optim.SGD([w], lr=0.1)
    scheduler = kind(sgd, option)
    sgd.add_param_group({"params": [late], "lr": 0.01})
    sgd.step()
    try:
        scheduler.step()
    except ValueError as error:
        print("ValueError -", error)
    print(f"{kind.__name__}, late group: lr = {sgd.param_groups[1]['lr']:.3f}")
    assert (sgd.param_groups[1]["lr"] == 0.01) == (kind is LambdaLR)
assert "scheduler-groups" in optimkit.audit(sgd, schedulers=scheduler).codes

# %%
# Right: let the group join the schedule | 正确：让它接上进度
# -----------------------------------------------------------
# Give ``optimkit.add_param_group`` the scheduler. The group gets the learning rate it
# would have by now, had it been there from the start. So layers can be unfrozen one
# after another: below, one joins at epoch 10, and one at 20.
#
# 把调度器也交给 ``optimkit.add_param_group``，这一组的学习率就是它从头参加到现在该有的值。
# 这样就能逐层解冻：下面有一组在第 10 轮加入，还有一组在第 20 轮。

first, second, head = (nn.Linear(4, 4) for _ in range(3))
joining = {10: (second, 0.03), 20: (first, 0.01)}
sgd = torch.optim.SGD(head.parameters(), lr=0.1)
scheduler = LambdaLR(sgd, lambda epoch: 0.95**epoch)
curves = [], [], []
for epoch in range(40):
    if epoch in joining:
        layer, lr = joining[epoch]
        group = {"params": layer.parameters(), "lr": lr}
        optimkit.add_param_group(sgd, group, schedulers=scheduler)
    for curve, group in zip(curves, sgd.param_groups, strict=False):
        curve.append(group["lr"])
    sgd.step()
    scheduler.step()

fig, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
fig.set_label(
    "Three falling learning rates; two begin at epochs 10 and 20, on the dashed lines "
    "they would have followed from the start | "
    "三条下降的学习率曲线，后两条从第 10、第 20 轮开始，正好接在各自的虚线上"
)
texts = {"head": 0.1, "joins at 10 | 第 10 轮加入": 0.03}
texts["joins at 20 | 第 20 轮加入"] = 0.01
for number, (text, base) in enumerate(texts.items()):
    start, color = 10 * number, f"C{number}"
    whole = [base * 0.95**epoch for epoch in range(40)]
    torch.testing.assert_close(curves[number], whole[start:])
    ax.plot(whole, "--", color=color, alpha=0.6)
    ax.plot(range(start, 40), curves[number], color=color, lw=3)
    ax.plot(start, whole[start], "o", color=color, ms=9)
    ax.text(start + 0.8, whole[start] * 1.12, text, color=color)
ax.set(yscale="log", ylim=(0.001, 0.2))
ax.set(xlabel="epoch | 轮", ylabel="learning rate | 学习率")
ax.set_title("A late group joins where the schedule is | 后加入的组，直接接上进度")
plt.show()

# %%
# Ask yourself | 问问自己
# -----------------------
# - You call ``add_param_group()`` without ``lr``. Which learning rate does it get?
# - Do 100 tensors take the same step in one group as in 100 groups?
#
# - 调用 ``add_param_group()`` 时没写 ``lr``，学习率是多少？
# - 100 个张量放一组，和分成 100 组，走出来的一步一样吗？

# %%
# Answers | 答案
# --------------
# - That of ``defaults``, whatever the other groups have by now.
# - Yes, if the options are equal (tutorial 09 tries it). But many groups can take longer.
#
# - ``defaults`` 里的那个，不管其他组现在是多少。
# - 选项相同就一样（教程 09 试给你看），只是组多了可能会慢。

sgd.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
print(f"head: {sgd.param_groups[0]['lr']:.3f}, new: {sgd.param_groups[-1]['lr']}")
assert sgd.param_groups[-1]["lr"] == sgd.defaults["lr"] == 0.1

# %%
# Exercise | 练习
# ---------------
# Give weight decay to weight matrices only: not to biases, normalization layers, or an
# embedding's table. First filter by ``param.ndim``, then use a rule with ``is_matrix``.
# Where do they differ?
#
# 只对权重矩阵做权重衰减：偏置、归一化层、嵌入表都不做。
# 先用 ``param.ndim`` 筛选，再用带 ``is_matrix`` 的规则，看看两者哪里不同。

model = nn.Sequential(nn.Embedding(9, 4), nn.LayerNorm(4), nn.Linear(4, 2))

# %%
# Solution | 参考答案
# -------------------
# At the embedding: its table has two dimensions, and ``is_matrix`` leaves it out, since
# its rows are looked up, not multiplied.
#
# 不同在嵌入层：它的表也是二维的，而 ``is_matrix`` 不算它，因为那是用来查的，不是用来乘的。

by_hand = [name for name, param in model.named_parameters() if param.ndim > 1]
rule = when(is_matrix, weight_decay=0.1)
groups = optimkit.param_groups(model, rule, lr=1e-3, weight_decay=0.0)
by_rule = [name for g in groups if g["weight_decay"] for name, _ in g["params"]]
print(by_hand, by_rule)
assert by_hand == ["0.weight", "2.weight"]
assert by_rule == ["2.weight"]

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 07 saves groups and loads them, and tutorial 10 freezes layers.
# - Tutorial 11 is about schedulers.
# - Where unfreezing layer by layer comes from: `ULMFiT, Howard and Ruder
#   <https://arxiv.org/abs/1801.06146>`__.
#
# - 教程 07 讲保存和加载参数组，教程 10 讲冻结层。
# - 教程 11 讲调度器。
# - 逐层解冻的出处：`ULMFiT, Howard and Ruder
#   <https://arxiv.org/abs/1801.06146>`__。
