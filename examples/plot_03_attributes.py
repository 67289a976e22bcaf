"""
Read an optimizer's three attributes | 读懂优化器的三个属性
===========================================================

``step()`` works from ``param_groups`` and ``state``; it never looks at
``defaults``. To change a learning rate, edit ``param_groups``. ``defaults`` only
fills in what a new parameter group leaves out, and ``state`` is what one step
leaves for the next.

``step()`` 只看 ``param_groups`` 和 ``state``，从不看 ``defaults``。
要改学习率，就改 ``param_groups``。``defaults`` 只在新建参数组时补上没写的项，
``state`` 则是这一步留给下一步的东西。

**What you will learn**

- Which attribute is read when, and which edit takes effect.
- What ``state`` holds for 13 optimizer settings.
- Level: beginner. Time: 15 minutes. Needs: tutorial 01.

**你会学到**

- 每个属性在什么时候被读取，改哪里才算数。
- 13 种优化器设置各自在 ``state`` 里存什么。
- 难度：入门。用时：15 分钟。预备：教程 01。
"""

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
# ``defaults``: five keys then, more today | ``defaults``：当年五个键，如今更多
# -----------------------------------------------------------------------------
# Here is the note's first program; the dict ``note`` holds the settings it passed.
# Its ``print`` showed those five keys and no others. Today's Adam has the same five,
# and several more that arrived between PyTorch 1.11 (``maximize``) and 2.7
# (``decoupled_weight_decay``).
#
# 下面是原笔记的第一段程序，字典 ``note`` 里是它传的设置。
# 当年 ``print`` 出来就是这五个键，再无其他。今天的 Adam 里五个都在，另外多了几个，
# 是 PyTorch 从 1.11（``maximize``）到 2.7（``decoupled_weight_decay``）陆续加上的。

# sphinx_gallery_covers = "S4"


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels=3, out_channels=3, kernel_size=3)
        self.conv2 = nn.Conv2d(in_channels=3, out_channels=3, kernel_size=3)

    def forward(self, x):
        pass


note = {
    "lr": 0.01,
    "betas": (0.9, 0.999),
    "eps": 1e-08,
    "weight_decay": 0,
    "amsgrad": False,
}
net = Model()
optimizer = torch.optim.Adam(net.parameters(), **note)

print("the note:", *note)
print("since   :", *list(optimizer.defaults)[5:])
assert note.items() <= optimizer.defaults.items()

# %%
# Wrong: change ``defaults`` in mid-training | 错误：训练中途改 ``defaults``
# --------------------------------------------------------------------------
# The note says that ``defaults`` is "used to store the learning rate", momentum and
# so on. What it stores are fallbacks: copied into a group when the group is made, and
# not read again. So the two edits below look right and do nothing to the group you
# have. The second one lies in wait, and catches a group added later.
#
# 原笔记说 ``defaults`` “用来存储学习率”和动量等等。更准确地说，
# 它存的是备用值：新建参数组时抄进去一次，之后不再读取。
# 所以下面两种改法看着都对，对现有的参数组却毫无作用。
# 第二种还埋下了隐患：以后新加的参数组会用上它。

# sphinx_gallery_covers = "C12"
a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
sgd = torch.optim.SGD([a], lr=0.1)

sgd.lr = 5.0
sgd.defaults["lr"] = 9.0
a.grad = torch.ones(1)
sgd.step()
print(f"moved by {a.item():.1f}, so step() used lr = 0.1")
torch.testing.assert_close(a.item(), -0.1)

sgd.add_param_group({"params": [b]})
print("lr of the two groups:", [group["lr"] for group in sgd.param_groups])
assert [group["lr"] for group in sgd.param_groups] == [0.1, 9.0]

# %%
# Right: change the groups | 正确：改参数组
# -----------------------------------------
# Write to ``param_groups`` and the next step obeys. ``defaults`` stays as it was.
#
# 直接写 ``param_groups``，下一步就生效，``defaults`` 则保持原样。

# sphinx_gallery_covers = "C12"
for group in sgd.param_groups:
    group["lr"] = 0.5
sgd.step()
print(f"moved by {a.item() + 0.1:.1f}; defaults still say {sgd.defaults['lr']}")
torch.testing.assert_close(a.item(), -0.1 - 0.5)

# %%
# This explains a line that the note prints without comment: an Adam whose
# ``defaults`` say 0.001 while it trains with 0.1. There, every group brought its own
# ``lr``, so the fallback was never needed. To know the learning rate, ask the groups.
#
# 原笔记里有一行没加说明的输出，道理就在这里：训练用的是 0.1，
# ``defaults`` 里却写着 0.001。那里的每个参数组都自带 ``lr``，备用值没派上用场。
# 想知道学习率是多少，要去问参数组。

# sphinx_gallery_covers = "C44"
groups = [{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.1}]
adam = torch.optim.Adam(groups)
print("groups  :", [group["lr"] for group in adam.param_groups])
print("defaults:", adam.defaults["lr"])
assert adam.param_groups[0]["lr"] == 0.1
assert adam.defaults["lr"] == 0.001

# %%
# ``param_groups``: a list of dicts | ``param_groups``：由字典组成的列表
# ----------------------------------------------------------------------
# The note calls this the most important attribute, and rightly so. It is a list of
# dicts. In each, the key ``params`` holds a list of tensors, and every other key is
# a hyperparameter of that group alone. They are the keys of ``defaults``, so what the
# note printed here has grown too.
#
# 原笔记说它是“优化器最重要的属性”，说得很对。它是一个列表，每个元素是一个字典：
# ``params`` 这个键存着张量的列表，其余的键都是这一组自己的超参数。
# 这些键和 ``defaults`` 的键相同，所以整个打印出来，也会比当年长。

# sphinx_gallery_covers = "S7 C15"
weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
weight.grad = torch.ones((2, 2))
optimizer = torch.optim.Adam([weight], **note)

(group,) = optimizer.param_groups
print(type(optimizer.param_groups).__name__, "of", type(group).__name__)
print(group["params"])
assert note.items() <= group.items()
assert set(group) == {"params"} | set(optimizer.defaults)

# %%
# The note also draws its shape in one line of code, and that line cannot run. Its
# curly quotes are not Python; with straight quotes, it puts the list inside itself.
# A blog editor curls quotes for you, so the first slip is hard to see.
#
# 原笔记还用一行代码画出了它的样子，可惜跑不起来：弯引号不是 Python 语法；
# 换成直引号，又成了自己装自己。博客编辑器会自动把引号变弯，前一处很难察觉。

# sphinx_gallery_covers = "S6 C16"
line = "param_groups=[{‘params’:param_groups,‘lr’: 0.01,}]"
for text in (line, line.replace("‘", "'").replace("’", "'")):
    try:
        exec(compile(text, "note", "exec"), {})
    except (SyntaxError, NameError) as error:
        print(type(error).__name__, "-", str(error).splitlines()[0][:70])

param_groups = [{"params": [weight], "lr": 0.01}]
assert torch.optim.Adam(param_groups).param_groups[0]["params"][0] is weight

# %%
# Everyone holds the same tensors | 大家拿的是同一批张量
# ------------------------------------------------------
# ``params`` holds references, not copies: the optimizer updates the very tensors that
# your model computes with. ``state`` is a dict whose keys are those same tensors.
# The figure is drawn from a living optimizer: group 0 took its 0.01 from
# ``defaults``, group 1 brought 0.1 along.
#
# ``params`` 里是引用，不是副本：优化器更新的，就是模型计算时用的那些张量。
# ``state`` 是一个字典，键也是这些张量。下图照着一个真实的优化器画成：
# 第 0 组的 0.01 取自 ``defaults``，第 1 组的 0.1 是自带的。

# sphinx_gallery_covers = "C3 C17"
# sphinx_gallery_thumbnail_number = 1
bias = torch.zeros(2, requires_grad=True)
bias.grad = torch.ones(2)
groups = [{"params": [weight]}, {"params": [bias], "lr": 0.1}]
adam = torch.optim.Adam(groups, lr=0.01)
adam.step()
assert adam.param_groups[0]["params"][0] is weight
assert [id(key) for key in adam.state] == [id(weight), id(bias)]

fig, ax = plt.subplots(figsize=(7.8, 3.7), layout="constrained")
fig.set_label(
    "Defaults feed group 0 once; each group points to a tensor, "
    "and so does its entry in state | "
    "defaults 给第 0 组补一次值；参数组指向张量，state 里的条目也指向它"
)
columns = {  # left edge, width
    "defaults": (0, 3.2),
    "param_groups": (5, 3.8),
    "tensors | 张量": (10.4, 2.2),
    "state": (14.2, 4.4),
}
spans = list(columns.values())
center = {"ha": "center", "va": "center"}


def box(column, y, text):
    x, width = spans[column]
    ax.barh(y, width, 1.8, left=x, color=f"C{column}", alpha=0.3, lw=0)
    ax.text(x + width / 2, y, text, family="monospace", **center)


def arrow(start, end, y, **style):
    style = {"arrowstyle": "-|>", "lw": 1.8} | style
    ax.annotate("", (end, y), (start, y), arrowprops=style)


box(0, 3.7, f"lr {adam.defaults['lr']}")
arrow(3.2, 5, 3.7, color="C0", linestyle="dashed")
ax.text(1.6, 2.4, "copied once | 只抄一次", ha="center", va="top")
for y, group in zip((3.7, 1.2), adam.param_groups, strict=True):
    step, *averages = adam.state[group["params"][0]]
    box(1, y, f"lr {group['lr']}\nparams")
    box(2, y, "weight" if group["params"][0] is weight else "bias")
    box(3, y, f"{step}\n{', '.join(averages)}")
    arrow(8.8, 10.4, y, color="C1")
    arrow(14.2, 12.6, y, color="C3")

for name, (x, width) in columns.items():
    ax.text(x + width / 2, 5.1, name, ha="center", fontsize=13, weight="bold")
ax.plot([4.5, 19.1, 19.1, 4.5, 4.5], [-0.1, -0.1, 6.2, 6.2, -0.1], ":", c="0.5")
ax.text(11.8, 6.4, "what step() touches | step() 用到的", ha="center")
ax.set(xlim=(-0.1, 19.2), ylim=(-0.2, 7.1))
ax.axis("off")
ax.set_title(
    "step() works from param_groups and state, never from defaults | "
    "step() 只看 param_groups 和 state，从不看 defaults"
)
plt.show()

# %%
# Wrong: a key that nobody reads | 错误：写一个没人读的键
# -------------------------------------------------------
# The note says that only ``params`` stores the model's parameters. True; and nobody
# checks the other keys. Misspell ``lr`` and torch accepts the group as it is, then
# trains it with the fallback.
#
# 原笔记说“只有’params’当中才会存储训练模型的参数”，没错；而其余的键没人检查。
# 把 ``lr`` 写错了，torch 照收不误，然后悄悄用备用值去训练这一组。

# sphinx_gallery_covers = "C17"
sgd = torch.optim.SGD([{"params": [a], "learning_rate": 0.5}], lr=0.1)
(group,) = sgd.param_groups
unread = set(group) - {"params"} - set(sgd.defaults)
print("lr:", group["lr"], "  never read:", unread)
assert unread == {"learning_rate"}
assert group["lr"] == 0.1

# %%
# ``state`` is empty until the first step | 第一步之前，``state`` 是空的
# ----------------------------------------------------------------------
# The note prints ``state`` right after construction and gets an empty dict. So do we:
# no step has happened yet. A parameter gets its entry at the first ``step()`` that
# finds it with a gradient, and until then it has none.
#
# 原笔记刚建好优化器就打印 ``state``，得到一个空字典。今天也一样，因为还没走过一步。
# 参数第一次带着梯度遇上 ``step()``，才会有自己的条目；在那之前，它什么也没有。

# sphinx_gallery_covers = "S5 C14"
optimizer = torch.optim.Adam(net.parameters(), **note)
print(optimizer.state)
assert len(optimizer.state) == 0

net.conv1(torch.randn(1, 3, 8, 8)).sum().backward()
optimizer.step()
for name, param in net.named_parameters():
    print(f"{name:13}", list(optimizer.state.get(param, {})))
assert len(optimizer.state) == 2

# %%
# Look with ``get``, as above, or with ``in``. ``state`` is a ``defaultdict``: square
# brackets are the wrong way to look, since they *create* the missing entry. One
# optimizer on this page fills ``state`` before any step: Adagrad.
#
# 查看时要像上面那样用 ``get``，或者用 ``in``。``state`` 是 ``defaultdict``，
# 用方括号去看是错误的做法：条目不存在时，会当场 **新建** 一个。
# 本页的优化器里，只有 Adagrad 例外，一步没走就先把 ``state`` 填好了。

# sphinx_gallery_covers = "C14"
adam, adagrad = torch.optim.Adam([a]), torch.optim.Adagrad([a])
assert a not in adam.state
adam.state[a]
print("Adam, after one look:", len(adam.state), "entry")
print("Adagrad, before step:", list(adagrad.state[a]))
assert len(adam.state) == 1
assert len(adagrad.state) == 1

# %%
# One running value, not a list | 一个滚动更新的值，不是一张列表
# --------------------------------------------------------------
# The note says that momentum caches "the gradient values of the previous few times".
# Let us count. After three gradients of 1, SGD with momentum 0.9 holds one tensor of
# the parameter's own shape: 1, then 0.9 × 1 + 1, then 0.9 × 1.9 + 1.
#
# 原笔记说，采用动量时会“把前几次的梯度值缓存下来”。我们数一数：
# 连续三次梯度都是 1，动量为 0.9 的 SGD 手里始终只有一个和参数同形的张量，
# 值依次是 1、0.9 × 1 + 1、0.9 × 1.9 + 1。

# sphinx_gallery_covers = "C13"
p = nn.Parameter(torch.zeros(1))
sgd = torch.optim.SGD([p], lr=0.1, momentum=0.9)
held = []
for _ in range(3):
    p.grad = torch.ones(1)
    sgd.step()
    held.append(sgd.state[p]["momentum_buffer"].item())

print("momentum_buffer:", [f"{value:.2f}" for value in held])
torch.testing.assert_close(held, [1.0, 1.9, 2.71])
assert sgd.state[p]["momentum_buffer"].shape == p.shape

# %%
# How much of an old gradient is left? Send in a single 1, then zeros, and read the
# momentum buffer after each step. Nothing is dropped; everything fades by a factor
# 0.9 a step. Adam's ``exp_avg`` fades alike, at 0.1 of the size.
#
# 旧梯度还剩多少？先送进一个 1，之后全送 0，每走一步读一次动量缓冲区。
# 没有哪个梯度被丢掉，只是每过一步就乘以 0.9，越来越淡。
# Adam 的 ``exp_avg`` 也这样变淡，大小是它的 0.1 倍。

# sphinx_gallery_covers = "C13"


def fading(optimizer, key):
    left = []
    for age in range(24):
        p.grad = torch.full((1,), float(age == 0))
        optimizer.step()
        left.append(optimizer.state[p][key].item())
    return left


momentum = fading(torch.optim.SGD([p], lr=0.1, momentum=0.9), "momentum_buffer")
exp_avg = fading(torch.optim.Adam([p]), "exp_avg")
torch.testing.assert_close(momentum, [0.9**age for age in range(24)])
torch.testing.assert_close(exp_avg, [0.1 * value for value in momentum])

fig, ax = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
fig.set_label(
    "Bars shrink by a factor 0.9 a step; a list of five would drop to zero | "
    "柱子每步缩为 0.9 倍；若是只记五个的列表，会骤降到零"
)
shades = [("C0", 0.25 + 0.75 * value) for value in momentum]
ax.bar(range(24), momentum, color=shades, lw=0)
ax.stairs([1] * 5, [age - 0.5 for age in range(6)], color="C1", lw=2.5)
ax.text(4.8, 0.94, "a list of the last 5 | 只记最近 5 个的列表", color="C1")
ax.text(7.8, 0.5, "momentum_buffer", color="C0", family="monospace")
ax.set_xlabel("age of a gradient, in steps | 梯度是几步之前的")
ax.set_ylabel("how much is left | 还剩多少")
ax.spines[["top", "right"]].set_visible(False)
ax.set_title("Momentum is a fading sum, not a list | 动量是渐淡的和，不是列表")
plt.show()

# %%
# What thirteen settings keep | 十三种设置各存什么
# ------------------------------------------------
# Take one step with each and look. A block in the figure is a tensor as large as the
# parameter; ``step`` and its like are single numbers, not drawn. Plain SGD keeps
# nothing. Adam keeps two blocks, so its optimizer state is twice the size of the model.
#
# 每种各走一步，看看留下什么。图中一格是一个和参数一样大的张量；
# ``step`` 之类只是单个数，没有画出来。不带动量的 SGD 什么也不存；
# Adam 存两格，它的优化器状态是模型的两倍大。

# sphinx_gallery_covers = "C13"
names = "SGD RMSprop Adagrad ASGD Adam AdamW NAdam RAdam Adamax Adadelta Rprop"
settings = {name: {} for name in names.split()}
settings["SGD, momentum"] = {"momentum": 0.9}
settings["Adam, amsgrad"] = {"amsgrad": True}

kept, filled_early = {}, []
for name, options in settings.items():
    p = nn.Parameter(torch.zeros(100))
    optimizer = getattr(torch.optim, name.split(",")[0])([p], lr=0.1, **options)
    if optimizer.state:
        filled_early.append(name)
    p.grad = torch.ones(100)
    optimizer.step()
    state = optimizer.state.get(p, {})
    kept[name] = [key for key in state if state[key].shape == p.shape]
kept = dict(sorted(kept.items(), key=lambda item: len(item[1])))
assert filled_early == ["Adagrad"]
assert [len(keys) for keys in kept.values()] == [0] + [1] * 4 + [2] * 7 + [3]

fig, ax = plt.subplots(figsize=(7.8, 4.2), layout="constrained")
fig.set_label(
    "State tensors of 13 optimizer settings, from none to three | "
    "13 种优化器设置的状态张量，从零个到三个"
)
for row, keys in enumerate(kept.values()):
    for column, key in enumerate(keys):
        ax.barh(row, 0.97, left=column, color=f"C{column}", alpha=0.35, lw=0)
        ax.text(column + 0.485, row, key, fontsize=8.5, **center)
ax.text(0.02, 0, "nothing | 什么也不存", va="center", fontsize=8.5)
ax.set_yticks(range(13), kept)
ax.invert_yaxis()
ax.set(xlim=(0, 3), xticks=range(4))
ax.tick_params(axis="y", length=0)
ax.spines[["top", "right", "left"]].set_visible(False)
ax.set_xlabel("tensors as large as the parameter | 与参数同样大小的张量（个）")
ax.set_title("State takes 0 to 3 copies of the model | 状态要占 0 到 3 份模型")
plt.show()

# %%
# Exercise | 练习
# ---------------
# Before you run anything, write down six values that follow from this program: the
# ``lr`` in ``defaults``; the ``lr`` of each group; the length of ``state``; whether
# ``y`` is in it; the momentum buffer of ``x``; and ``x`` itself.
#
# 先别运行。读完这段程序，在纸上写出六个值：``defaults`` 里的 ``lr``；
# 两个参数组各自的 ``lr``；``state`` 的长度；``y`` 在不在其中；
# ``x`` 的动量缓冲区；还有 ``x`` 自己。

x, y = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
groups = [{"params": [x]}, {"params": [y], "lr": 0.5}]
opt = torch.optim.SGD(groups, lr=0.1, momentum=0.9)

opt.param_groups[0]["lr"] = 0.01
opt.defaults["momentum"] = 0.0
x.grad = torch.ones(1)
opt.step()
opt.step()

# %%
# Solution | 参考答案
# -------------------
# The new ``lr`` counts, since it is in the group. The new ``momentum`` does not, since
# it is in ``defaults``. The two steps move ``x`` by 0.01 × 1 and 0.01 × 1.9. And ``y``
# never had a gradient, so ``state`` does not know it.
#
# 新的 ``lr`` 写在参数组里，算数；新的 ``momentum`` 写在 ``defaults`` 里，不算数。
# 两步分别让 ``x`` 移动 0.01 × 1 和 0.01 × 1.9。``y`` 从来没有梯度，
# 所以 ``state`` 里没有它。

print(opt.defaults["lr"], [group["lr"] for group in opt.param_groups])
print(len(opt.state), y in opt.state)
print(f"{opt.state[x]['momentum_buffer'].item():.1f} {x.item():.3f}")
assert (opt.defaults["lr"], opt.param_groups[0]["lr"]) == (0.1, 0.01)
assert len(opt.state) == 1
assert y not in opt.state
torch.testing.assert_close(opt.state[x]["momentum_buffer"].item(), 1.9)
torch.testing.assert_close(x.item(), -0.029)

# %%
# Where to go next | 接下来读什么
# -------------------------------
# * Tutorial 04 clears gradients, and tutorial 05 opens up ``step()``.
# * Tutorial 06 builds parameter groups, and tutorial 07 saves ``state`` to a file.
# * Attributes and methods, the official list: `the torch.optim page
#   <https://docs.pytorch.org/docs/stable/optim.html>`__.
#
# - 教程 04 讲梯度清零，教程 05 拆开 ``step()`` 来看。
# - 教程 06 搭建参数组，教程 07 把 ``state`` 存进文件。
# - 属性与方法的官方清单：`torch.optim 文档
#   <https://docs.pytorch.org/docs/stable/optim.html>`__。
