"""
What changed after torch 1.10 | torch 1.10 以来变了什么
=======================================================

Nearly all the code of a post from the days of torch 1.10 runs on the current torch, and
much of what it prints is different. Two changes matter most: a cleared gradient is
``None``, no longer zeros, and ``torch.load`` reads plain values only. Most of the rest is
new options, off unless you ask; only ``foreach`` is on by itself, on a GPU.

一篇 torch 1.10 时代的文章，里面的代码在当前的 torch 上几乎都能运行，只是打印出来的有不少变了。影响最大的有两处：
清零后的梯度是 ``None``，不再是零；``torch.load`` 只读普通的值。其余大多是新选项，不打开就不起作用，
只有 ``foreach`` 在 GPU 上自动启用。

**What you will learn**

- Which version brought each option that an old post does not show.
- What became of gradients, of the state, and of files that an old torch wrote.
- How to bring old training code up to date.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 04, tutorial 07.

**你会学到**

- 老文章里没有的那些选项，各是哪个版本加进来的。
- 梯度、状态和旧版 torch 写的文件，如今有什么不同。
- 怎样把旧的训练代码改到现在能用。
- 难度：进阶。用时：15 分钟。预备：教程 04、教程 07。
"""

# %%
# Five options then, eleven now | 当年五个选项，现在十一个
# --------------------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), prints
# what Adam holds: five options, as torch 1.10 had them. Print it today and there are more.
# Each came with a version; ``decoupled_weight_decay``, which makes an AdamW of Adam, last.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），打印了 Adam 里有什么：五个选项，
# 那是 torch 1.10 的样子。现在再打印，会多出好几个，每个都是某个版本加进来的；
# 最晚的是 ``decoupled_weight_decay``，打开它，Adam 就成了 AdamW。

# sphinx_gallery_covers = "S4 S7 C6"
import torch
from torch import nn, optim

then = ["lr", "betas", "eps", "weight_decay", "amsgrad"]
since = {"maximize": "1.11", "foreach": "1.12", "capturable": "1.12"}
since |= {"differentiable": "1.13", "fused": "1.13", "decoupled_weight_decay": "2.7"}
weight = torch.tensor([[2.0, 3.0], [4.0, 5.0]], requires_grad=True)
now = optim.Adam([weight], lr=0.01).defaults
for key, value in now.items():
    print(f"{key:22} {value!s:13} {since.get(key, '')}")
# sphinx_gallery_start_ignore
assert list(now)[:5] == then and set(now) - set(then) <= set(since)
assert not any(now[key] for key in set(now) - set(then))
assert now["foreach"] is None  # not False: torch decides, by the device

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
versions = [f"1.{n}" for n in range(10, 14)] + [f"2.{n}" for n in range(16)]
changes = {
    "maximize": "1.11",
    "foreach": "1.12",
    "capturable": "1.12",
    "step_is_a_tensor": "1.12",
    "differentiable": "1.13",
    "fused": "1.13",
    "zero_grad_sets_none": "2.0",
    "step_hooks": "2.0",
    "load_is_safe": "2.6",
    "named_parameters": "2.6",
    "decoupled_weight_decay": "2.7",
    "Muon": "2.9",
}
words = {
    "step_is_a_tensor": "step is a tensor | step 是张量",
    "zero_grad_sets_none": "zero_grad() leaves None | zero_grad() 后是 None",
    "step_hooks": "step hooks | step 钩子",
    "load_is_safe": "torch.load refuses objects | torch.load 拒读对象",
    "named_parameters": "named parameters | 命名参数",
}
fig, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
fig.set_label(
    "Since which version of torch twelve changes are there, from maximize in 1.11 to Muon "
    "in 2.9 | "
    "十二处变化各从 torch 的哪个版本开始：最早是 1.11 的 maximize，最晚是 2.9 的 Muon"
)
acts = {"zero_grad_sets_none", "load_is_safe"}
for row, (name, version) in enumerate(changes.items()):
    color = "C1" if name in acts else "C0"
    ax.plot([versions.index(version), len(versions) - 1], [row, row], color, lw=5)
    ax.text(versions.index(version) - 0.4, row, version, color=color, ha="right", va="center")
ax.set_yticks(range(len(changes)), [words.get(name, name) for name in changes])
for name, label in zip(changes, ax.get_yticklabels(), strict=True):
    label.set_color("C1" if name in acts else "black")
ax.set_xticks(range(0, len(versions), 3), versions[::3])
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)
ax.grid(axis="y", visible=False)
ax.set_xlim(-1, len(versions) - 0.5)
ax.set_xlabel("version of torch | torch 的版本")
ax.set_title("Orange: the two that matter most | 橙色：影响最大的两处")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Cleared gradients are None | 清零后的梯度是 None
# ------------------------------------------------
# The note clears a gradient and prints zeros. Since torch 2.0 it is ``None``, and that is
# no matter of looks. An optimizer skips a parameter whose gradient is ``None``. One whose
# gradient is zero it steps, and what Adam remembers moves it: by 0.67 here. So if some of
# your parameters get no gradient in some steps, as with a branch that is not always taken,
# the same code trains another model than in 2021. ``set_to_none=False`` brings back zeros.
#
# 笔记清零之后打印出来的是零。torch 2.0 起是 ``None``，这不只是样子不同。
# 梯度为 ``None`` 的参数，优化器会跳过；梯度为零的，照样更新，Adam 记住的东西会推着它走：这里走了 0.67。
# 所以，如果有些参数在某些步里没有梯度，比如不是每次都经过的分支，同样的代码，
# 训练出来的就和 2021 年不一样。想要回到零，传 ``set_to_none=False``。

# sphinx_gallery_covers = "S8 C24"


def moved_without_gradient(**how):
    w = torch.tensor([2.0, 3.0], requires_grad=True)
    optimizer = optim.Adam([w], lr=1.0)
    w.grad = torch.ones(2)
    optimizer.step()
    before = w.detach().clone()
    optimizer.zero_grad(**how)
    optimizer.step()
    return w.grad, (w - before)[0].item()


print("now: ", moved_without_gradient())
print("then:", moved_without_gradient(set_to_none=False))
# sphinx_gallery_start_ignore
assert moved_without_gradient() == (None, 0.0)
gradient, moved = moved_without_gradient(set_to_none=False)
assert gradient.tolist() == [0, 0] and abs(moved + 0.67) < 1e-3
# sphinx_gallery_end_ignore

# %%
# Wrong: read ``.grad`` after it was cleared, as old logging code does. Right: read it
# between ``backward()`` and ``zero_grad()``, and leave out what is ``None``.
#
# 错误写法：清零之后再读 ``.grad``，老的日志代码常这么写。
# 正确写法：在 ``backward()`` 和 ``zero_grad()`` 之间读，并略过 ``None``。

model = nn.Linear(2, 1)
optimizer = optim.SGD(model.parameters(), lr=0.1)
model(torch.ones(1, 2)).sum().backward()
found = [p.grad.norm().item() for p in model.parameters() if p.grad is not None]
optimizer.zero_grad()
try:
    print([p.grad.norm().item() for p in model.parameters()])
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except AttributeError as error:
    print("AttributeError:", error)
print("right:", [round(norm, 3) for norm in found])
# sphinx_gallery_start_ignore
torch.testing.assert_close(found, [2**0.5, 1.0])
# sphinx_gallery_end_ignore

# %%
# An old state dict still loads | 旧的状态字典仍能加载
# ----------------------------------------------------
# Up to 1.11 ``state["step"]`` was an ``int``; since torch 1.12 it is a tensor. Here is
# what torch 1.10 saved after one step of the note's Adam. The current one loads it, turns
# the step into a tensor, and fills in the options that the file lacks. The second step is
# the one that it would have made without a break.
#
# 1.11 及更早，``state["step"]`` 是 ``int``；torch 1.12 起是张量。下面是笔记里的 Adam
# 走完一步后，torch 1.10 存下的内容。现在的 torch 能加载：步数转成张量，文件里没有的选项补上。
# 接着走的第二步，与不中断时完全一样。

# sphinx_gallery_covers = "S13"
moments = {"exp_avg": torch.full((2, 2), 0.1), "exp_avg_sq": torch.full((2, 2), 0.001)}
group = dict(zip(then, (1.0, (0.9, 0.999), 1e-8, 0, False), strict=True))
old = {"state": {0: {"step": 1} | moments}, "param_groups": [group | {"params": [0]}]}


def second_step(state_dict=None):
    w = torch.tensor([[2.0, 3.0], [4.0, 5.0]], requires_grad=True)
    w.grad = torch.ones(2, 2)
    optimizer = optim.Adam([w], lr=1.0)
    optimizer.step()
    if state_dict:
        optimizer.load_state_dict(state_dict)
    optimizer.step()
    return w.detach(), optimizer


loaded, optimizer = second_step(old)
step = optimizer.state_dict()["state"][0]["step"]
print(step, len(optimizer.param_groups[0]) - 1, "options")
torch.testing.assert_close(loaded, second_step()[0])
# sphinx_gallery_start_ignore
assert torch.is_tensor(step)
assert optimizer.param_groups[0].keys() >= now.keys()
# sphinx_gallery_end_ignore

# %%
# A file that is refused | 不让读的文件
# -------------------------------------
# Optimizer state is tensors and numbers, and is read as ever. But since torch 2.6 a file is
# refused for one object that is neither a tensor nor a plain value, even a path, or an
# ``lr`` that is a number of NumPy: to unpickle is to run what the file says. Wrong:
# ``weights_only=False`` wherever the error appears. Right: once, for a file that you made;
# then save plain values, here ``str``.
#
# 优化器状态都是张量和数字，照旧能读。但 torch 2.6 起，文件里只要有一个对象既不是张量，也不是普通的值，
# 哪怕只是个路径，或者 ``lr`` 是个 NumPy 的数，整个文件就不让读：
# 反序列化（unpickle）等于执行文件里写的东西。
# 错误写法：哪里报错，就在哪里加 ``weights_only=False``。
# 正确写法：只对自己写的文件用一次，然后改存普通的值，这里是 ``str``。

# sphinx_gallery_covers = "S13"
import pickle
import tempfile
from pathlib import Path

folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "old.pt")
torch.save({"optimizer": old, "data": Path("data/train")}, path)
try:
    torch.load(path)
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except pickle.UnpicklingError as error:
    print("UnpicklingError:", str(error)[:25])

mine = torch.load(path, weights_only=False)
torch.save(mine | {"data": str(mine["data"])}, path)
print(torch.load(path)["data"])
# sphinx_gallery_start_ignore
assert torch.load(path)["optimizer"]["state"][0]["step"] == 1
of_numpy = 0.1 * torch.ones(1, dtype=torch.float64).numpy()[0]
torch.save(optim.SGD([weight], lr=of_numpy).state_dict(), path)
try:
    torch.load(path)
    raise AssertionError
except pickle.UnpicklingError:
    pass
folder.cleanup()
# sphinx_gallery_end_ignore

# %%
# What is gone, and what now raises | 去掉了什么，什么会报错
# ----------------------------------------------------------
# Schedulers no longer take ``verbose``, and ``print_lr`` is gone, both by 2.9: print
# ``get_last_lr()``. A group that comes after a ``LambdaLR`` kept its ``lr`` for good, and
# nothing was said; by 2.13 the next ``scheduler.step()`` raises. ``optimkit.add_param_group``
# tells the scheduler of it. "By" means: so in that version, and not yet in 2.6, or 2.9.
#
# 调度器不再接受 ``verbose``，``print_lr`` 也没有了，两处都不晚于 2.9：改成打印 ``get_last_lr()``。
# 建好 ``LambdaLR`` 之后再加的参数组，``lr`` 从此不变，过去没有任何提示；不晚于 2.13，
# 下一次 ``scheduler.step()`` 会报错。用 ``optimkit.add_param_group`` 加，调度器就会知道。
# “不晚于”的意思是：那个版本已经如此，而 2.6（或 2.9）还不是这样。

from torch.optim import lr_scheduler as sched


def add_late():
    optimizer = optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = sched.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    optimizer.step()
    scheduler.step()


# %%
# Three old habits, tried on the torch that made this page:
#
# 三个老习惯，在生成本页的 torch 上试一试：

step_lr = sched.StepLR(optimizer, 10)
habits = {
    "verbose": lambda: sched.StepLR(optimizer, 10, verbose=True),
    "print_lr": lambda: step_lr.print_lr(False, 0, 0.1),
    "late group": add_late,
}
# sphinx_gallery_start_ignore
raised = {}
# sphinx_gallery_end_ignore
for name, habit in habits.items():
    try:
        habit()
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
        # sphinx_gallery_start_ignore
        raised[name] = type(error)
new = tuple(int(number) for number in torch.__version__.split(".")[:2]) >= (2, 13)
kinds = {"verbose": TypeError, "print_lr": AttributeError, "late group": ValueError}
assert raised == kinds or not new
# sphinx_gallery_end_ignore

# %%
# What you can use now | 现在可以用什么
# -------------------------------------
# ``SGD`` without ``lr`` was an error in 2.0; by 2.3 it is 1e-3. Hooks around ``step()``
# came with 2.0. With 2.6 an optimizer takes ``named_parameters()``, and the names go into
# its state dict, though ``load_state_dict`` still goes by order: tutorial 07. ``Muon``
# came by 2.9.
#
# ``SGD`` 不写 ``lr``，2.0 会报错；不晚于 2.3，默认 1e-3。``step()`` 前后的钩子是 2.0 加的。
# 2.6 起，优化器可以接收 ``named_parameters()``，名字会进入状态字典，不过 ``load_state_dict``
# 仍按顺序对应，见教程 07。``Muon`` 的加入不晚于 2.9。

optimizer = optim.SGD(model.named_parameters())
handle = optimizer.register_step_post_hook(lambda *_: print("stepped"))
optimizer.step()
handle.remove()
print(optimizer.param_groups[0]["param_names"], "lr", optimizer.param_groups[0]["lr"])
# sphinx_gallery_start_ignore
assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
assert optimizer.param_groups[0]["lr"] == 1e-3
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - A file from a newer torch brings an option that yours does not know. What happens?
# - An old post runs ``optimizer.zero_grad()`` and then ``p.grad.zero_()``. And now?
#
# - 新版 torch 的文件里有一个你这版不认识的选项，加载时会怎样？
# - 老文章先调用 ``optimizer.zero_grad()``，再 ``p.grad.zero_()``。现在会怎样？

# %%
# Answers | 答案
# --------------
# - Nothing that you notice: an optimizer takes any key into its groups, and never reads it.
#   Where it matters, as ``decoupled_weight_decay`` does, you train on without it.
# - ``AttributeError``: there is no tensor left to fill with zeros. The first line is enough.
#
# - 看不出任何异样：什么键都会收进参数组，收下之后从来不读。如果这个选项要紧，
#   比如 ``decoupled_weight_decay``，之后的训练里它就不起作用。
# - ``AttributeError``：已经没有张量可以填零。只留第一行就够了。

state_dict = optimizer.state_dict()
state_dict["param_groups"][0]["of_the_future"] = True
optimizer.load_state_dict(state_dict)
print(optimizer.param_groups[0]["of_the_future"])
optimizer.step()
# sphinx_gallery_start_ignore
assert optimizer.param_groups[0]["of_the_future"] is True
optimizer.zero_grad()
try:
    model.weight.grad.zero_()
    raise AssertionError
except AttributeError:
    pass
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# This loop is from 2021. Bring it up to date, so that it runs without an error or a
# warning and prints the norm of each gradient and the learning rate.
#
# 这个循环写于 2021 年。请改到没有报错、没有警告，能打印每个梯度的范数和学习率。


def of_2021():
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = sched.StepLR(optimizer, 2, gamma=0.1, verbose=True)
    for epoch in range(4):
        model(torch.ones(4, 2)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step(epoch)
        print([p.grad.data.norm() for p in model.parameters()])


# %%
# Solution | 参考答案
# -------------------
# Four things: ``verbose``; the number in ``scheduler.step(epoch)``, which has long been
# deprecated; gradients read too late; ``.data``.
#
# 四处：``verbose``；``scheduler.step(epoch)`` 里的数字，早已不推荐使用；读梯度读得太晚；``.data``。


torch.manual_seed(0)
model = nn.Linear(2, 1)


def up_to_date():
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = sched.StepLR(optimizer, 2, gamma=0.1)
    for _ in range(4):
        model(torch.ones(4, 2)).square().mean().backward()
        optimizer.step()
        norms = [round(p.grad.norm().item(), 3) for p in model.parameters()]
        optimizer.zero_grad()
        scheduler.step()
        print(norms, f"{scheduler.get_last_lr()[0]:.3f}")
    return scheduler


# sphinx_gallery_start_ignore
import warnings

guard = warnings.catch_warnings()
guard.__enter__()
warnings.simplefilter("error")
# sphinx_gallery_end_ignore
scheduler = up_to_date()
# sphinx_gallery_start_ignore
guard.__exit__(None, None, None)
torch.testing.assert_close(scheduler.get_last_lr(), [0.001])
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 04 clears gradients and accumulates them; tutorial 07 opens a state dict.
# - "Checked line by line", above, leads to all of the note, with what holds.
# - PyTorch's own list of changes: `releases
#   <https://github.com/pytorch/pytorch/releases>`__.
#
# - 教程 04 讲梯度的清零与累积；教程 07 把状态字典打开来看。
# - 整篇笔记核对的结果，点上文的“已逐条核对”就能看到。
# - PyTorch 官方的更新记录：`releases
#   <https://github.com/pytorch/pytorch/releases>`__。
