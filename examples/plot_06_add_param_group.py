"""
Parameter groups and add_param_group() | 参数组与 add_param_group()
===================================================================

How do you give parts of a model settings of their own? Pass a list of dicts when you
build the optimizer: each is a parameter group, with its own options. Keep
``add_param_group()`` for parameters that join later; then clear their old gradients
first, and mind the learning-rate scheduler.

怎样让模型的各部分用不同的设置？建优化器时传一个由字典组成的列表：一个字典就是一个参数组，
各带各的选项。``add_param_group()`` 留给中途才加入的参数，
用它之前要先清掉攒下的梯度，还要留意学习率调度器。

**What you will learn**

- How to group parameters by hand and by rule, down to a learning rate for each layer.
- What goes wrong when a group joins late, and how to add it safely.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 02, tutorial 03.

**你会学到**

- 怎样手工分组，怎样按规则分组，直到每一层有自己的学习率。
- 参数组中途加入会出什么问题，怎样加才稳妥。
- 难度：进阶。用时：15 分钟。预备：教程 02、教程 03。
"""

# %%
# Groups from the start | 一开始就分组
# ------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), wants
# groups for a sound reason: the feature extractor should learn slowly, the fully
# connected layer fast. You know that from the start, so pass the groups when you build;
# what a group leaves out comes from ``defaults``.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），说分组是为了让特征提取部分
# 学得慢一点，全连接层学得快一点，这很有道理。这是一开始就知道的事，建优化器时传进去就行；
# 组里没写的选项，取自 ``defaults``。

# sphinx_gallery_covers = "C30 C31"
from collections import OrderedDict

import torch
from torch import nn

blocks = [nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU()) for _ in range(6)]
model = nn.Sequential(OrderedDict(features=nn.Sequential(*blocks), head=nn.Linear(8, 2)))
groups = [
    {"params": model.features.parameters(), "lr": 1e-4},
    {"params": model.head.parameters(), "lr": 1e-2},
]
optimizer = torch.optim.Adam(groups)
print([(len(group["params"]), group["lr"]) for group in optimizer.param_groups])
# sphinx_gallery_start_ignore
assert [len(group["params"]) for group in optimizer.param_groups] == [24, 2]
# sphinx_gallery_end_ignore

# %%
# Groups that are added later | 建好之后再加组
# --------------------------------------------
# The note adds its groups with ``add_param_group()``. A bare tensor in ``{"params": w2}``
# is fine: torch wraps it in a list. Its second example says "put the parameter w2", and
# puts two. The added ones have no gradient, so a step moves ``weight`` alone.
#
# 笔记里的组是用 ``add_param_group()`` 加上去的。``{"params": w2}`` 没写方括号，没问题，
# torch 会替你包成列表。第二个例子的注释写着“放置参数 w2”，代码放的却是两个张量。
# 加进来的都没有梯度，所以走一步，动的只有 ``weight``。

# sphinx_gallery_covers = "S11 S12 C30 C32 C33"
weight, w2, w3, w4 = (torch.full((2, 2), 2.0, requires_grad=True) for _ in range(4))
weight.grad = torch.ones((2, 2))
optimizer = torch.optim.Adam([weight], lr=1.0)
optimizer.add_param_group({"params": w2, "lr": 0.0001})
optimizer.add_param_group({"params": [w3, w4], "lr": 0.0001})
optimizer.step()
print(f"weight {weight.mean():.4f}, w2 {w2.mean()}, w3 {w3.mean()}, w4 {w4.mean()}")
# sphinx_gallery_start_ignore
assert isinstance(optimizer.param_groups[1]["params"], list)
assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.0001, 0.0001]
torch.testing.assert_close(weight.detach(), torch.ones(2, 2))
assert all((w == 2).all() for w in (w2, w3, w4))
# sphinx_gallery_end_ignore

# %%
# By name a typo passes, by rule it is refused | 按名字分组，笔误能过；按规则，过不了
# -------------------------------------------------------------------------------------
# To tell more groups apart, people filter names. Wrong: one letter too many below, and
# the fast group is empty. torch takes it, and everything learns slowly. Right: assert
# that it is not. Or give ``optimkit.param_groups`` rules, made with ``optimkit.when``, and
# the options that all start from: a name that no parameter has is refused, and where two
# rules differ, the later one wins. The second rule frees biases and normalization layers
# from weight decay, as is usual. The head's bias meets both, and gets a group of its own.
#
# 组一多，常见的做法是按名字筛选。错误写法：下面多打了一个字母，快的那组就空了，
# torch 照收不误，于是全部都学得慢。正确的做法是断言它不为空；
# 或者把用 ``optimkit.when`` 写的规则，连同所有参数共用的选项，交给 ``optimkit.param_groups``：
# 写了不存在的名字会被拒绝，两条规则冲突时，后一条说了算。
# 第二条规则照惯例不对偏置和归一化层做权重衰减。``head`` 的偏置两条都符合，于是自成一组。

# sphinx_gallery_covers = "C31"
import optimkit
from optimkit import is_bias, is_norm, when

fast = [param for name, param in model.named_parameters() if name.startswith("heads.")]
print(len(fast), "fast parameters")
try:
    optimkit.param_groups(model, when("heads.*", lr=1e-2), lr=1e-4)
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except optimkit.GroupError as error:
    print("GroupError:", error)

head = when("head.*", name="head", lr=1e-2)
plain = when(is_bias | is_norm, name="plain", weight_decay=0.0)
groups = optimkit.param_groups(model, head, plain, lr=1e-4, weight_decay=0.1)
for group in torch.optim.AdamW(groups).param_groups:
    print(len(group["params"]), "parameters:", group["lr"], group["weight_decay"])
# sphinx_gallery_start_ignore
assert fast == []
assert [len(group["params"]) for group in groups] == [6, 18, 1, 1]
# sphinx_gallery_end_ignore

# %%
# A learning rate for every layer | 每层一个学习率
# ------------------------------------------------
# Early layers learn general features, so in fine-tuning their learning rates are often
# smaller, layer by layer: here each is 0.7 of the one above. In plain torch, a dict per
# layer does it. ``optimkit.layer_decay`` is a rule, to be combined with others: you say
# which layer a name belongs to.
#
# 越靠前的层，学到的东西越通用，所以微调时常常从后往前，让学习率一层比一层小，
# 这里每退一层乘一个 0.7。只用 torch，一层写一个字典就行。
# ``optimkit.layer_decay`` 则是一条规则，能和别的规则合用：你说明每个名字在第几层。

# sphinx_gallery_covers = "C31"
layers = [*model.features, model.head]
groups = [
    {"params": layer.parameters(), "lr": 1e-2 * 0.7 ** (6 - i)} for i, layer in enumerate(layers)
]
optimizer = torch.optim.AdamW(groups)


def depth(name):
    return 6 if name.startswith("head") else int(name.split(".")[1])


groups = optimkit.param_groups(model, optimkit.layer_decay(0.7, depth), lr=1e-2)
print([round(group["lr"], 4) for group in torch.optim.AdamW(groups).param_groups])
# sphinx_gallery_start_ignore
rates = [group["lr"] for group in groups]
torch.testing.assert_close(rates, [0.01 * 0.7 ** (6 - layer) for layer in range(7)])
torch.testing.assert_close(rates, [group["lr"] for group in optimizer.param_groups])
# sphinx_gallery_end_ignore

# %%
# Wrong: a parameter twice, or a set | 错误：参数重复，或用集合
# -------------------------------------------------------------
# Twice in two groups is an error. Twice in one group is only a warning, and then each
# ``step()`` moves the parameter twice. A set is refused inside a dict, since it has no
# order. As the first argument itself it is taken, and newer versions warn: its order can
# change from run to run, and with it what a state dict means.
#
# 同一个参数出现在两个组里，会报错；在一个组里出现两次，只给一条警告，
# 之后每次 ``step()`` 都会把它更新两遍。集合没有顺序，放在字典里会被拒绝；
# 直接作为第一个参数传进去，torch 却照收，只是较新的版本会警告：
# 每次运行顺序可能不同，状态字典的含义也就跟着变。

# sphinx_gallery_covers = "C32"
w = nn.Parameter(torch.zeros(1))
for wrong in ([{"params": [w]}, {"params": [w]}], [{"params": {w}}]):
    try:
        torch.optim.SGD(wrong, lr=0.1)
        # sphinx_gallery_start_ignore
        raise AssertionError
        # sphinx_gallery_end_ignore
    except (ValueError, TypeError) as error:
        print(f"{type(error).__name__}: {error}")
# sphinx_gallery_start_ignore
import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    sgd = torch.optim.SGD([w, w], lr=0.1)
    assert "duplicate parameters" in str(caught[0].message)
    assert torch.optim.SGD({w}, lr=0.1).param_groups[0]["params"] == [w]
w.grad = torch.ones(1)
sgd.step()
torch.testing.assert_close(w.item(), -0.2)
assert optimkit.audit(sgd).codes == ("duplicate",)
# sphinx_gallery_end_ignore

# %%
# A late group and its old gradient | 后加入的组带着旧梯度
# --------------------------------------------------------
# Train ``head`` first, and let ``features`` join later. Until then ``optimizer.zero_grad()``
# does not reach them. Wrong: add them as they are. The gradients of 50 iterations have
# piled up, and their first step is some 50 times too long. Right: ``zero_grad()`` of the
# layer, or of the model, and then add the group. ``optimkit.add_param_group`` does both.
#
# 先训练 ``head``，再让 ``features`` 加入。加入之前，``optimizer.zero_grad()`` 管不到它们。
# 错误的做法是直接加：50 次迭代的梯度越积越多，加入后的第一步全用上，
# 这一步的步幅约为正常的 50 倍。正确的做法是先对这一层（或整个模型）调用 ``zero_grad()``，
# 再加这一组。``optimkit.add_param_group`` 两件事一起做。

# sphinx_gallery_covers = "C31"
torch.manual_seed(0)
features, head = nn.Linear(4, 4), nn.Linear(4, 1)
optimizer = torch.optim.SGD(head.parameters(), lr=0.001)
x, y = torch.randn(64, 4), torch.ones(64, 1)
for _ in range(50):
    optimizer.zero_grad()
    nn.functional.mse_loss(head(features(x)), y).backward()
    optimizer.step()
old = features.weight.grad.norm()

features.zero_grad()
optimizer.add_param_group({"params": features.parameters(), "lr": 0.001})
nn.functional.mse_loss(head(features(x)), y).backward()
print(f"old gradients: {old / features.weight.grad.norm():.0f} times as long as a new one")
# sphinx_gallery_start_ignore
assert 40 < old / features.weight.grad.norm() < 70
layer = nn.Linear(2, 2)
layer(torch.ones(2)).sum().backward()
optimkit.add_param_group(optimizer, {"params": layer.parameters()})
assert layer.weight.grad is None
# sphinx_gallery_end_ignore

# %%
# Wrong: a late group and its scheduler | 错误：后加入的组和调度器
# ----------------------------------------------------------------
# A scheduler changes the learning rate as training goes on (tutorial 11). ``StepLR``
# multiplies the present ``lr`` of every group, and includes one added late. ``LambdaLR``
# keeps a list with an entry for each group, made when it was built: depending on the
# version, it raises at its next step, or silently leaves the late group out.
#
# 调度器随着训练的进度改学习率（见教程 11）。``StepLR`` 拿每一组当前的 ``lr`` 来乘，
# 后加入的组也不会落下。``LambdaLR`` 则在创建时就为每个参数组各记一项，
# 后加入的组不在其中，下一步会怎样要看版本：有的报错，有的不声不响地漏掉这一组。

from torch.optim.lr_scheduler import LambdaLR

sgd = torch.optim.SGD([w], lr=0.1)
scheduler = LambdaLR(sgd, lambda epoch: 0.9**epoch)
sgd.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.01})
sgd.step()
try:
    scheduler.step()
except ValueError as error:
    print("ValueError:", error)
print([round(group["lr"], 3) for group in sgd.param_groups])
# sphinx_gallery_start_ignore
assert sgd.param_groups[1]["lr"] == 0.01
assert "scheduler-groups" in optimkit.audit(sgd, schedulers=scheduler).codes
sgd = torch.optim.SGD([w], lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(sgd, 1)
sgd.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.01})
sgd.step()
scheduler.step()
torch.testing.assert_close(sgd.param_groups[1]["lr"], 0.001)
# sphinx_gallery_end_ignore

# %%
# Right: let the group join the schedule | 正确：让它接上进度
# -----------------------------------------------------------
# In plain torch, build the optimizer with all groups and freeze the late ones with
# ``requires_grad_(False)``: without a gradient they stay, and the schedule runs for all.
# If you can't know them ahead, give ``optimkit.add_param_group`` the scheduler. Either way
# a group has the learning rate it would have by now, had it been there from the start.
# So layers can be unfrozen one after another: at epochs 10 and 20, below.
#
# 只用 torch 的话，建优化器时就把所有的组都放进去，再用 ``requires_grad_(False)`` 冻结晚些才练的：
# 没有梯度就不会动，而调度器从一开始就管着每一组。事先不知道会加哪些组，
# 就把调度器也交给 ``optimkit.add_param_group``。两种做法里，这一组的学习率都等于它若从一开始就在、
# 到现在该有的值。这样就能逐层解冻：下面在第 10 轮和第 20 轮各解冻一层。

first, second, head = (nn.Linear(4, 4) for _ in range(3))
joining = {10: (second, 0.03), 20: (first, 0.01)}
sgd = torch.optim.SGD(head.parameters(), lr=0.1)
scheduler = LambdaLR(sgd, lambda epoch: 0.95**epoch)
# sphinx_gallery_start_ignore
curves = [], [], []
# sphinx_gallery_end_ignore
for epoch in range(40):
    if epoch in joining:
        layer, lr = joining[epoch]
        group = {"params": layer.parameters(), "lr": lr}
        optimkit.add_param_group(sgd, group, schedulers=scheduler)
    # sphinx_gallery_start_ignore
    for curve, group in zip(curves, sgd.param_groups, strict=False):
        curve.append(group["lr"])
    # sphinx_gallery_end_ignore
    sgd.step()
    scheduler.step()
# sphinx_gallery_start_ignore
groups = [{"params": layer.parameters()} for layer in (head, second, first)]
plain = torch.optim.SGD([groups[0], groups[1] | {"lr": 0.03}, groups[2] | {"lr": 0.01}], lr=0.1)
scheduler = LambdaLR(plain, lambda epoch: 0.95**epoch)
for _ in range(40):
    plain.step()
    scheduler.step()
rates = [[group["lr"] for group in each.param_groups] for each in (sgd, plain)]
torch.testing.assert_close(*rates)

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.5, 2.7), layout="constrained")
fig.set_label(
    "Three falling learning rates; two begin late, each on its own dashed line | "
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
# sphinx_gallery_end_ignore

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
# sphinx_gallery_start_ignore
assert sgd.param_groups[-1]["lr"] == sgd.defaults["lr"] == 0.1
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Give weight decay to weight matrices only: not to biases, normalization layers, or an
# embedding's table. First filter by ``param.ndim``, then use a rule with
# ``optimkit.is_matrix``. Where do they differ?
#
# 只对权重矩阵做权重衰减：偏置、归一化层、嵌入表都不做。
# 先用 ``param.ndim`` 筛选，再用带 ``optimkit.is_matrix`` 的规则，看看两者哪里不同。

model = nn.Sequential(nn.Embedding(9, 4), nn.LayerNorm(4), nn.Linear(4, 2))

# %%
# Solution | 参考答案
# -------------------
# At the embedding: its table has two dimensions, and ``is_matrix`` leaves it out, since
# its rows are looked up, not multiplied.
#
# 差别在嵌入层：它的表也是二维的，而 ``is_matrix`` 不算它，因为那是用来查的，不是用来乘的。

by_hand = [name for name, param in model.named_parameters() if param.ndim > 1]
rule = when(optimkit.is_matrix, weight_decay=0.1)
groups = optimkit.param_groups(model, rule, lr=1e-3, weight_decay=0.0)
by_rule = [name for g in groups if g["weight_decay"] for name, _ in g["params"]]
print(by_hand, by_rule)
# sphinx_gallery_start_ignore
assert by_hand == ["0.weight", "2.weight"]
assert by_rule == ["2.weight"]
# sphinx_gallery_end_ignore

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
