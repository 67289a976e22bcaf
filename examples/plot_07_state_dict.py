"""
Save and load with state_dict() | 用 state_dict() 保存和加载
=============================================================

A state dict holds what the optimizer remembers, and the options of its groups,
learning rate included; loading overwrites both. The weights are not inside. And torch
does not go by names: parameters are numbered, and on loading their order decides.

状态字典里有两样：优化器记住的东西，以及各参数组的选项，学习率也在其中；一加载，两样都被覆盖。
权重不在里面。torch 也不按名字认参数：每个参数只有一个编号，加载时全凭次序。

**What you will learn**

- What a state dict holds, and how to see what it would change before you load it.
- How to load by name, when the order or the groups have changed.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 03, tutorial 06.

**你会学到**

- 状态字典里有什么，怎样在加载之前就看清它会改动什么。
- 次序或分组变了，怎样按名字加载。
- 难度：进阶。用时：15 分钟。预备：教程 03、教程 06。
"""

# %%
# Numbers, not names | 只有编号，没有名字
# ---------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), prints
# a state dict before and after ``step()``, without the output. Before, ``state`` is empty;
# after, there is an entry for 0 alone, since ``w2`` and ``w3`` have no gradient. The 0 stands
# for the first tensor you passed; the tensors themselves are not in the dict.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），在 ``step()`` 前后各打印一次状态字典，
# 没贴输出。之前 ``state`` 是空的；之后只有编号 0 这一项，因为 ``w2`` 和 ``w3`` 没有梯度，没有更新过。
# 0 指的是你传进去的第一个张量；张量本身并不在字典里。

# sphinx_gallery_covers = "S13 C35"
import torch


def build(lr):
    weight, w2, w3 = (torch.ones((2, 2), requires_grad=True) for _ in range(3))
    optimizer = torch.optim.Adam([weight], lr=lr)
    optimizer.add_param_group({"params": [w2, w3], "lr": 0.0001})
    return weight, optimizer


weight, optimizer = build(lr=1)
weight.grad = torch.ones((2, 2))
before = optimizer.state_dict()
optimizer.step()
saved = optimizer.state_dict()
print("state:", before["state"], "->", list(saved["state"]), list(saved["state"][0]))
# sphinx_gallery_start_ignore
assert before["state"] == {} and list(saved["state"]) == [0]
assert [group["params"] for group in saved["param_groups"]] == [[0], [1, 2]]

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.8, 3), layout="constrained")
fig.set_label(
    "Three tensors point to numbers 0, 1, 2 in two groups; only 0 has state | "
    "三个张量依次对应两个参数组里的编号 0、1、2；只有 0 有状态"
)
center = {"ha": "center", "va": "center"}
arrow = {"arrowstyle": "-|>", "color": "0.5", "lw": 1.8}
yours = ["weight", "w2", "w3"]


def box(x, y, width, text, color, low=0.35, high=0.35):
    ax.bar(x, low + high, width, y - low, color=color, alpha=0.3, lw=0)
    ax.text(x, y, text, family="monospace", **center)


for color, group in zip(("C0", "C1"), saved["param_groups"], strict=True):
    *_, last = numbers = group["params"]
    box(5.5, -numbers[0], 3.6, f"    lr {group['lr']}", color, last - numbers[0] + 0.35)
    for number in numbers:
        box(1, -number, 2, yours[number], "C2")
        ax.annotate("", (3.7, -number), (2, -number), arrowprops=arrow)
        ax.text(4.1, -number, number, fontsize=14, **center)
        if number in saved["state"]:
            box(11, -number, 5, "step\nexp_avg, exp_avg_sq", "C3")
            ax.annotate("", (8.5, 0), (7.3, 0), arrowprops=arrow)
        else:
            ax.text(11, -number, "no state | 没有状态", **center)
for x, name in ((1, "yours | 你手里的"), (5.5, "param_groups"), (11, "state")):
    ax.text(x, 0.6, name, **center)
ax.text(8.7, -2.68, "the state dict | 状态字典", **center)
ax.plot([3.2, 13.9, 13.9, 3.2, 3.2], [-2.5, -2.5, 0.85, 0.85, -2.5], ":", c="0.5")
ax.set(xlim=(-0.2, 14), ylim=(-2.9, 0.95))
ax.axis("off")
ax.set_title("Which tensor is 0? The first you pass | 0 是哪个张量？你传的第一个")
plt.show()
# sphinx_gallery_end_ignore

# %%
# A zip called ``.pkl`` | 叫 ``.pkl`` 的 zip
# ------------------------------------------
# The note saves to ``optimizer_state_dict.pkl``. The file is no pickle but a zip, which
# ``pickle`` can't read: call it ``.pt`` or ``.pth``. The note's next comment, "create the
# name for the loaded state", stands over the line that reads it. Since PyTorch 2.6,
# ``torch.load`` by default reads tensors and plain data, and runs no code: enough here.
#
# 笔记存成 ``optimizer_state_dict.pkl``。看后缀是 pickle，其实是 zip，``pickle`` 读不了；
# 后缀应该用 ``.pt`` 或 ``.pth``。后面的注释“创建加载状态名”，下面那行做的其实是读文件。
# 从 PyTorch 2.6 起，``torch.load`` 默认只读张量和普通数据，不执行文件里的代码；这里也够用了。

# sphinx_gallery_covers = "S13 C36 C37"
import pickle
import tempfile
from pathlib import Path

folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "optimizer_state_dict.pkl")
torch.save(saved, path)
try:
    pickle.loads(path.read_bytes())
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except pickle.UnpicklingError as error:
    print("UnpicklingError:", error)
state_dict = torch.load(path)
# sphinx_gallery_start_ignore
import zipfile

assert zipfile.is_zipfile(path)
# sphinx_gallery_end_ignore

# %%
# Loading overwrites your learning rate | 加载会覆盖你的学习率
# ------------------------------------------------------------
# The note builds the optimizer again, now with ``lr=0.1``, and loads, to "train on from the
# current state". The 0.1 silently becomes the file's 1, and only ``defaults`` still says
# 0.1. Look before you load: ``state_dict["param_groups"]`` is a plain list of dicts, and
# ``optimkit.diff`` lists all that loading would change. To use another learning rate, write
# it into the groups **after** loading. (Tutorial 12 has a way that schedulers follow, too.)
#
# 笔记重建优化器，这次写的是 ``lr=0.1``，然后加载，“接着当前状态往下训练”。
# 0.1 变成了文件里的 1，没有任何提示，``defaults`` 却还是 0.1。加载之前先看一眼：
# ``state_dict["param_groups"]`` 就是一个由字典组成的列表；加载会改动什么，``optimkit.diff`` 全部列出来。
# 想换个学习率接着训练，要在加载 **之后** 写进参数组。（教程 12 有个办法，调度器也会跟着变。）

# sphinx_gallery_covers = "S13 C38"
import optimkit

fresh, optimizer = build(lr=0.1)
print(optimkit.diff(optimizer, path))
optimizer.load_state_dict(state_dict)
lrs = [group["lr"] for group in optimizer.param_groups]
print("now", lrs, " defaults", optimizer.defaults["lr"])
# sphinx_gallery_start_ignore
assert lrs == [1, 0.0001] and optimizer.defaults["lr"] == 0.1
assert not optimkit.diff(optimizer, path)
# sphinx_gallery_end_ignore

# %%
# The weights are not inside | 权重不在里面
# -----------------------------------------
# In the note nothing seems lost, since ``weight`` is still in memory. A new process builds
# a ``fresh`` one, and the loaded optimizer goes on from step 1 over weights that never took
# it. Right: save both. Tutorial 12 saves the rest, too.
#
# 在笔记里似乎什么也没丢，因为 ``weight`` 这个张量还在内存里。换一个进程，权重就是新建的
# ``fresh``，加载过的优化器却以为已经走过一步。正确写法：两样一起存。还要存哪些，教程 12 接着讲。

# sphinx_gallery_covers = "C38"
print("step:", optimizer.state[fresh]["step"].item())
print(f"fresh - trained: {(fresh - weight).mean().item():.2f}")
torch.save({"weight": weight.detach(), "optimizer": saved}, path.with_suffix(".pt"))
with torch.no_grad():
    fresh.copy_(torch.load(path.with_suffix(".pt"))["weight"])
# sphinx_gallery_start_ignore
assert torch.equal(fresh, weight)
# sphinx_gallery_end_ignore

# %%
# A state dict is alive | 状态字典是活的
# --------------------------------------
# Wrong: keep ``state_dict()`` in memory as a backup. Its tensors are the optimizer's
# own, and the next step writes into your backup. ``load_state_dict`` shares them in the
# same way. Right: ``copy.deepcopy``, or a file.
#
# 错误写法：把 ``state_dict()`` 留在内存里当备份。里面的张量就是优化器正在用的那些，
# 再走一步，备份也跟着变。``load_state_dict`` 同样是共用张量，不复制。
# 正确写法：用 ``copy.deepcopy``，或者存成文件。

import copy

kept = optimizer.state_dict()
deep = copy.deepcopy(kept)
fresh.grad = torch.ones((2, 2))
optimizer.step()
for name, backup in (("kept", kept), ("deep copy", deep)):
    print(f"{name}: {backup['state'][0]['exp_avg'].mean():.2f}")
# sphinx_gallery_start_ignore
exp_avg, before_step = (each["state"][0]["exp_avg"] for each in (kept, deep))
torch.testing.assert_close(exp_avg, torch.full((2, 2), 0.19))
torch.testing.assert_close(before_step, torch.full((2, 2), 0.1))
assert state_dict["state"][0]["exp_avg"] is exp_avg
# sphinx_gallery_end_ignore

# %%
# Order decides; names do not help | 次序说了算，有名字也没用
# -----------------------------------------------------------
# Walk half-way down a valley, and save. Then build the optimizer with ``a`` and ``b`` in
# the other order, and load. Wrong: trust torch with it. Each gets the other's momentum;
# both have the same shape, so no error follows. They even have names (since PyTorch 2.6),
# which torch does not compare: the file's overwrite yours, and now ``b`` is called ``a``.
#
# 沿山谷走到一半，存下来。再建优化器时，``a`` 和 ``b`` 换了次序，然后加载。错误写法：交给 torch
# 就不管了。两个参数各自拿到了对方的动量；形状相同，所以之后也不报错。
# 它们其实有名字（PyTorch 2.6 起支持），torch 却不比对，还用文件里的把你的盖掉了，现在 ``b`` 名叫 ``a``。


def make(order, at=(-8.0, 1.0)):
    a, b = (torch.tensor([x], requires_grad=True) for x in at)
    named = [(name, {"a": a, "b": b}[name]) for name in order]
    return a, b, torch.optim.SGD(named, lr=0.02, momentum=0.9)


def walk(a, b, optimizer, steps):
    points = []
    for _ in range(steps):
        optimizer.zero_grad()
        (a**2 / 2 + b**2).sum().backward()
        optimizer.step()
        points.append((a.item(), b.item()))
    return points


first = make("ab")
half = walk(*first, 9)
half_way = copy.deepcopy(first[-1].state_dict())
whole = walk(*first, 18)

a, b, optimizer = make("ba", half[-1])
optimizer.load_state_dict(copy.deepcopy(half_way))
print("b, a are called", optimizer.param_groups[0]["param_names"])
wrong = walk(a, b, optimizer, 18)
# sphinx_gallery_start_ignore
(group,) = optimizer.param_groups
assert group["param_names"] == ["a", "b"] and group["params"][0] is b
# sphinx_gallery_end_ignore

# %%
# Right, in plain torch: keep the order, and assert that the saved ``param_names`` are
# yours before you load. Or ``optimkit.load_optimizer``, which goes by name: the order may
# change, or the groups, and every momentum buffer finds its parameter.
#
# 正确写法，只用 torch：次序别变，加载之前断言存下的 ``param_names`` 与你的相同。
# 或者用 ``optimkit.load_optimizer``，它按名字加载：次序变了、分组变了，每个动量缓冲区照样
# 找得到自己的参数。

# sphinx_gallery_thumbnail_number = 2
a, b, optimizer = make("ba", half[-1])
(saved_group,), (group,) = half_way["param_groups"], optimizer.param_groups
print("same order:", saved_group["param_names"] == group["param_names"])
print(optimkit.load_optimizer(optimizer, half_way))
by_name = walk(a, b, optimizer, 18)
assert by_name == whole != wrong
# sphinx_gallery_start_ignore
assert saved_group["param_names"] == ["a", "b"]
fig, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
fig.set_label(
    "A path into a valley; loaded by name it goes on, by order it turns off | "
    "走进山谷的路径：按名字加载，接着往前走；按次序加载，拐向别处"
)
x, y = torch.linspace(-9, 5, 99), torch.linspace(-2, 3, 99)
height = x**2 / 2 + y[:, None] ** 2
ax.contour(x, y, height.sqrt(), 9, cmap="viridis", alpha=0.4)
for start, steps, color in (
    ((-8, 1), half, "0.5"),
    (half[-1], wrong, "C1"),
    (half[-1], by_name, "C0"),
):
    ax.plot(*zip(start, *steps, strict=True), "o-", color=color, ms=4, lw=2.5)
ax.plot(*half[-1], "D", color="C3", ms=9)
ax.text(-3.4, -0.8, "saved here | 在此保存", color="C3", fontsize=14, ha="right")
ax.text(-1.6, 2.2, "by order | 按次序", color="C1", fontsize=14)
ax.text(0.2, -1.3, "by name | 按名字", color="C0", fontsize=14)
ax.set(xlabel="a", ylabel="b")
ax.set_title("Swapped momentum goes off the road | 动量给错了参数，就走上岔路")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - ``before`` was taken before the first step. What is in its ``state`` now?
# - Load a dict whose tensors have other shapes, or load Adam's dict into SGD: when do
#   you hear that it is the wrong one?
#
# - ``before`` 是第一步之前取的。现在它的 ``state`` 里有什么？
# - 字典里的张量形状不对，或者把 Adam 的字典加载到 SGD 里，什么时候才会知道弄错了？

# %%
# Answers | 答案
# --------------
# - Still nothing. What an entry holds is shared, but the list of entries was made when
#   you asked; one that comes later does not show up.
# - With torch, a step later: the sizes don't match, or SGD, which now has Adam's groups,
#   finds no ``momentum``. It refuses at once only where it counts, here two parameters for
#   one. ``optimkit.load_optimizer`` always does, and the optimizer stays as it was.
#
# - 还是空的。条目里的内容是共用的，有哪些条目却在你取字典的那一刻就定了；
#   后来才有的，不会出现在里面。
# - 用 torch，要到下一步：或者大小对不上，或者 SGD 找不到 ``momentum``，它的参数组已经成了
#   Adam 的样子。只有数目不对，它才当场报错，例如下面一个对两个。
#   用 ``optimkit.load_optimizer``，总是当场就知道，优化器保持原样。

longer = torch.zeros(5, requires_grad=True)
longer.grad = torch.ones(5)
for late in (torch.optim.SGD([weight], lr=0.1), torch.optim.Adam([longer])):
    adam = torch.optim.Adam([weight])
    adam.step()
    late.load_state_dict(adam.state_dict())
    try:
        late.step()
        # sphinx_gallery_start_ignore
        raise AssertionError
        # sphinx_gallery_end_ignore
    except (KeyError, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}")

try:
    torch.optim.Adam([weight, longer]).load_state_dict(adam.state_dict())
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except ValueError as error:
    print("ValueError:", error)
sgd = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
try:
    optimkit.load_optimizer(sgd, adam.state_dict(), match="position")
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except optimkit.MismatchError as error:
    print("MismatchError:", error)
# sphinx_gallery_start_ignore
assert before["state"] == {}
assert sgd.param_groups[0]["momentum"] == 0.9
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# The note comments out a line that gives ``w3`` a group of its own. The options stay
# the same, so training does too; but torch counts groups, and will not load two into
# three. Write a hook for ``register_load_state_dict_pre_hook``: it gets the optimizer
# and the dict, and may return another dict. Then do it with the kit, in one line.
#
# 笔记注释掉了一行，让 ``w3`` 自成一组。选项没变，训练起来一样；可是 torch 会数组数，
# 两组的字典加载不到三组里。给 ``register_load_state_dict_pre_hook`` 写一个钩子：
# 它收到优化器和字典，可以返回另一个字典。然后用 optimkit 一行做完同样的事。

# sphinx_gallery_covers = "C34"
named = [(name, torch.zeros(2, requires_grad=True)) for name in "abc"]
for size, (_, tensor) in enumerate(named):
    tensor.grad = torch.full((2,), float(size))
two = torch.optim.Adam([{"params": named[:1]}, {"params": named[1:]}], lr=0.1)
three = torch.optim.Adam([{"params": [pair]} for pair in named], lr=0.0)
two.step()

# %%
# Solution | 参考答案
# -------------------
# ``state`` goes by number and can stay. The list of groups is cut again: each takes as
# many numbers as it has parameters, and the options of the group they came from.
# This needs the order to be the same; the kit's line does not.
#
# ``state`` 按编号来，不用动；要重新切分的是参数组列表：每一组有几个参数，就取几个编号，
# 选项用它们原来那一组的。前提是次序没变；optimkit 那一行不需要这个前提。


try:
    three.load_state_dict(two.state_dict())
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except ValueError as error:
    print("ValueError:", error)


def regroup(optimizer, state_dict):
    old = {n: group for group in state_dict["param_groups"] for n in group["params"]}
    numbers, groups = iter(old), []
    for group in optimizer.param_groups:
        mine = [next(numbers) for _ in group["params"]]
        names = {"param_names": group["param_names"]}
        groups.append(old[mine[0]] | names | {"params": mine})
    return state_dict | {"param_groups": groups}


three.register_load_state_dict_pre_hook(regroup)
three.load_state_dict(two.state_dict())
mixed = torch.optim.Adam([{"params": [pair]} for pair in reversed(named)], lr=0.0)
print(optimkit.load_optimizer(mixed, two.state_dict()))
# sphinx_gallery_start_ignore
for optimizer in (three, mixed):
    assert [group["lr"] for group in optimizer.param_groups] == [0.1] * 3
    for _, tensor in named:
        exp_avg = optimizer.state[tensor]["exp_avg"]
        torch.testing.assert_close(exp_avg, tensor.grad / 10)
folder.cleanup()
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 12 saves a whole run, and resumes it bit for bit.
# - More hooks that adapt a state dict: `the torch.optim page
#   <https://docs.pytorch.org/docs/stable/optim.html>`__.
#
# - 教程 12 保存整个训练，再分毫不差地恢复。
# - 更多改写状态字典的钩子：`torch.optim 文档
#   <https://docs.pytorch.org/docs/stable/optim.html>`__。
