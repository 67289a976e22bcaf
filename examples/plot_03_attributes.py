"""
Read an optimizer's three attributes | 读懂优化器的三个属性
===========================================================

``step()`` takes its hyperparameters from ``param_groups``, none from ``defaults``.
To change a learning rate, edit ``param_groups``. ``defaults`` only fills in what a
new parameter group leaves out, and ``state`` is what one step leaves for the next.

``step()`` 用的超参数都取自 ``param_groups``，不取自 ``defaults``。
要改学习率，就改 ``param_groups``。``defaults`` 只在新建参数组时补上没写的项，
``state`` 则是这一步留给下一步的东西。

**What you will learn**

- Which attribute is read when, and which edit takes effect.
- What ``state`` holds for 13 optimizer settings, and how to count its bytes.
- Level: beginner. Time: 15 minutes. Needs: tutorial 01.

**你会学到**

- 每个属性在什么时候被读取，改哪里才算数。
- 13 种优化器设置各自在 ``state`` 里存什么，怎样数它占多少字节。
- 难度：入门。用时：15 分钟。预备：教程 01。
"""

# %%
# ``defaults``: five keys then, more today | ``defaults``：当年五个键，如今更多
# -----------------------------------------------------------------------------
# Here is the note's program that prints ``defaults``, with two layers in place of its
# class; ``note`` is what it passed. It got those five keys back, and no others. Today's
# Adam has the same five, and several more that came between PyTorch 1.11 (``maximize``)
# and 2.7 (``decoupled_weight_decay``).
#
# 下面是笔记里打印 ``defaults`` 的程序，只是把那个类换成了两个卷积层，
# ``note`` 里是它传的参数。当年打印出来就是这五个键，再无其他。今天的 Adam 里五个都在，
# 另外多了几个，是 PyTorch 从 1.11（``maximize``）到 2.7（``decoupled_weight_decay``）陆续加上的。

# sphinx_gallery_covers = "S4"
import matplotlib.pyplot as plt
import torch
from torch import nn

import optimkit

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
torch.manual_seed(0)

net = nn.ModuleDict({"conv1": nn.Conv2d(3, 3, 3), "conv2": nn.Conv2d(3, 3, 3)})
note = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-08}
note |= {"weight_decay": 0, "amsgrad": False}
optimizer = torch.optim.Adam(net.parameters(), **note)
print("the note:", *note)
print("since   :", *list(optimizer.defaults)[5:])
assert note.items() <= optimizer.defaults.items()

# %%
# Wrong: change ``defaults`` in mid-training | 错误：训练中途改 ``defaults``
# --------------------------------------------------------------------------
# The note says that ``defaults`` is "used to store the learning rate, the value of
# momentum and so on". What it stores are fallbacks, copied into a group when the group
# is made; from then on, the copy counts. So the two edits below look right, and do
# nothing to the group you have. The second lies in wait: it catches a group added later.
#
# 笔记说 ``defaults`` “用来存储学习率、momentum 的值等等”。其实它存的是备用值：
# 新建参数组时抄进去一次，之后只认抄好的那份。所以下面两种改法看着都对，
# 对现有的参数组却毫无作用。第二种还埋下了隐患：以后新加的参数组会用上它。

# sphinx_gallery_covers = "C12"
a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
sgd = torch.optim.SGD([a], lr=0.1)
sgd.lr = 5.0
sgd.defaults["lr"] = 9.0
a.grad = torch.ones(1)
sgd.step()
print(f"gradient 1, moved by {a.item():.1f}")
torch.testing.assert_close(a.item(), -0.1)

sgd.add_param_group({"params": [b]})
print("lr of the two groups:", [group["lr"] for group in sgd.param_groups])
assert [group["lr"] for group in sgd.param_groups] == [0.1, 9.0]

# %%
# Right: change the groups | 正确：改参数组
# -----------------------------------------
# Write to ``param_groups`` and the next step obeys; ``defaults`` stays as it was. This
# explains a line that the note prints without comment: an Adam whose ``defaults`` say
# 0.001 while its groups say 0.1. There, every group brought its own ``lr``. To know the
# learning rate, ask the groups.
#
# 直接写 ``param_groups``，下一步就生效，``defaults`` 则保持原样。
# 笔记里有一行没加说明的输出，道理也在这里：参数组里是 0.1，
# ``defaults`` 里却写着 0.001。
# 那里的每个参数组都自带 ``lr``。想知道学习率是多少，要去问参数组。

# sphinx_gallery_covers = "C12 C44"
for group in sgd.param_groups:
    group["lr"] = 0.5
sgd.step()
print(f"moved by {a.item() + 0.1:.1f}; defaults still say {sgd.defaults['lr']}")
torch.testing.assert_close(a.item(), -0.1 - 0.5)
adam = torch.optim.Adam([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.1}])
print([group["lr"] for group in adam.param_groups], "defaults:", adam.defaults["lr"])
assert adam.param_groups[1]["lr"] == 0.1 and adam.defaults["lr"] == 0.001

# %%
# ``param_groups``: a list of dicts | ``param_groups``：由字典组成的列表
# ----------------------------------------------------------------------
# The note calls this the optimizer's "most important attribute", and rightly so. It is
# a list of dicts. In each, the key ``params`` holds a list of tensors, and every other
# key is a hyperparameter of that group alone: all that ``defaults`` has, so here, too,
# more is printed today.
#
# 笔记说它是“优化器最重要的属性”，说得很对。它是一个列表，每个元素是一个字典：
# ``params`` 这个键存着张量的列表，其余的键都是这一组自己的超参数，
# ``defaults`` 里有的它都有，所以今天打印出来也比当年长。

# sphinx_gallery_covers = "S7 C15"
weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
weight.grad = torch.ones((2, 2))
optimizer = torch.optim.Adam([weight], **note)
(group,) = optimizer.param_groups
print(group["params"])
assert note.items() <= group.items()
assert set(group) == {"params"} | set(optimizer.defaults)

# %%
# The note also draws its shape in a line of code, and that line cannot run. Its curly
# quotes are not Python; with straight quotes, it puts the list inside itself, before
# there is one. A blog editor curls quotes for you, so the first slip is hard to see.
# What goes in there is tensors.
#
# 笔记还用一行代码画出了它的样子，可惜跑不起来：弯引号不是 Python 语法；
# 换成直引号，又成了自己装自己，而这时它自己还不存在。
# 博客编辑器会自动把引号变弯，前一处很难察觉。该装进去的是张量。

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
# Wrong: a key that nobody reads | 错误：写一个没人读的键
# -------------------------------------------------------
# The note says that "only 'params' stores the parameters of the model". True; but
# nobody checks the other keys. Misspell ``lr``, and torch takes the group and trains it
# with the fallback. ``optimkit.audit`` knows which keys the class reads.
#
# 笔记说“只有‘params’当中才会存储训练模型的参数”，没错；可其余的键没人检查。
# 把 ``lr`` 写错了，torch 照收不误，然后用备用值训练这一组。
# ``optimkit.audit`` 知道这个类读哪些键，写错了会告诉你。

# sphinx_gallery_covers = "C17"
sgd = torch.optim.SGD([{"params": [a], "learning_rate": 0.5}], lr=0.1)
print("lr:", sgd.param_groups[0]["lr"])
assert sgd.param_groups[0]["lr"] == 0.1
assert optimkit.audit(sgd).codes == ("unknown-option",)
optimkit.audit(sgd)

# %%
# Everyone holds the same tensors | 大家拿的是同一批张量
# ------------------------------------------------------
# ``params`` holds references, not copies: the optimizer updates the very tensors that
# your model computes with. ``state`` is a dict whose keys are those same tensors.
# The figure is drawn from a real optimizer: group 0 took its 0.01 from
# ``defaults``, group 1 brought 0.1 along.
#
# ``params`` 里是引用，不是副本：优化器更新的，就是模型计算时用的那些张量。
# ``state`` 是一个字典，键也是这些张量。下图照着一个真实的优化器画成：
# 第 0 组的 0.01 取自 ``defaults``，第 1 组的 0.1 是自带的。

# sphinx_gallery_covers = "C3 C17"
# sphinx_gallery_thumbnail_number = 1
bias = torch.zeros(2, requires_grad=True)
bias.grad = torch.ones(2)
adam = torch.optim.Adam([{"params": [weight]}, {"params": [bias], "lr": 0.1}], lr=0.01)
adam.step()
assert adam.param_groups[0]["params"][0] is weight
assert [id(key) for key in adam.state] == [id(weight), id(bias)]

fig, ax = plt.subplots(figsize=(7.8, 3.7), layout="constrained")
fig.set_label(
    "Defaults feed group 0 once; each group points to a tensor, "
    "and so does its entry in state | "
    "defaults 给第 0 组补一次值；参数组指向张量，state 里的条目也指向它"
)
center = {"ha": "center", "va": "center"}
boxes = [(0, 3.2, 3.7, 0, f"lr {adam.defaults['lr']}")]
arrows = [(3.2, 5, 3.7, 0)]
for y, group in zip((3.7, 1.2), adam.param_groups, strict=True):
    param = group["params"][0]
    step, *averages = adam.state[param]
    boxes += [(5, 3.8, y, 1, f"lr {group['lr']}\nparams")]
    boxes += [(10.4, 2.2, y, 2, "weight" if param is weight else "bias")]
    boxes += [(14.2, 4.8, y, 3, f"{step}\n{', '.join(averages)}")]
    arrows += [(8.8, 10.4, y, 1), (14.2, 12.6, y, 3)]
for x, width, y, color, text in boxes:
    ax.barh(y, width, 1.8, left=x, color=f"C{color}", alpha=0.3, lw=0)
    ax.text(x + width / 2, y, text, family="monospace", **center)
for start, end, y, color in arrows:
    style = {"arrowstyle": "-|>", "lw": 1.8, "color": f"C{color}"}
    ax.annotate("", (end, y), (start, y), arrowprops=style)
titles = {"defaults": 1.6, "param_groups": 6.9, "tensors | 张量": 11.5, "state": 16.6}
for name, x in titles.items():
    ax.text(x, 5.3, name, fontsize=13, **center)
ax.text(1.6, 2.2, "copied once | 只抄一次", **center)
ax.plot([4.5, 19.5, 19.5, 4.5, 4.5], [-0.1, -0.1, 6.2, 6.2, -0.1], ":", c="0.5")
ax.text(11.8, 6.4, "what step() touches | step() 用到的", ha="center")
ax.set(xlim=(-0.1, 19.6), ylim=(-0.2, 7.1))
ax.axis("off")
ax.set_title("A step asks the groups, not defaults | step() 问参数组，不问 defaults")
plt.show()

# %%
# ``state`` is empty until the first step | 第一步之前，``state`` 是空的
# ----------------------------------------------------------------------
# The note prints ``state`` right after construction and gets an empty dict. So do we:
# no step has happened yet. A parameter gets its entry at the first ``step()`` that
# finds it with a gradient. Below, the loss uses ``conv1`` alone, and
# ``optimkit.describe`` shows that ``conv2`` has no state.
#
# 笔记刚建好优化器就打印 ``state``，得到一个空字典。今天也一样，因为还没走过一步。
# 参数第一次带着梯度遇上 ``step()``，才会有自己的条目。
# 下面的损失只用到 ``conv1``，用 ``optimkit.describe`` 一看，``conv2`` 果然没有状态。

# sphinx_gallery_covers = "S5 C14"
optimizer = torch.optim.Adam(net.parameters(), **note)
print(optimizer.state)
assert len(optimizer.state) == 0
net.conv1(torch.randn(1, 3, 8, 8)).sum().backward()
optimizer.step()
assert list(optimizer.state) == list(net.conv1.parameters())
optimkit.describe(optimizer, net)

# %%
# To look by hand, use ``get`` or ``in``. ``state`` is a ``defaultdict``: square
# brackets are the wrong way, since they create the entry that is missing. By the way,
# Adagrad does not wait for a step: it fills ``state`` when it is built.
#
# 自己动手查，用 ``get`` 或 ``in``。``state`` 是 ``defaultdict``，
# 用方括号去查是错的：条目不存在时，会当场新建一个。
# 顺带一提，Adagrad 不等第一步，一建好就把 ``state`` 填上了。

# sphinx_gallery_covers = "C14"
adam, adagrad = torch.optim.Adam([a]), torch.optim.Adagrad([a])
print("Adam, get:", adam.state.get(a), len(adam.state))
print("Adam, [] :", adam.state[a], len(adam.state))
print("Adagrad  :", list(adagrad.state[a]))
assert len(adam.state) == 1 and "step" in adagrad.state[a]

# %%
# One running value, not a list | 一个滚动更新的值，不是一张列表
# --------------------------------------------------------------
# The note says that momentum caches "the gradient values of the previous few times".
# Let us count. Through three gradients of 1, SGD with momentum 0.9 holds one tensor of
# the parameter's own shape: 1, then 0.9 × 1 + 1, then 0.9 × 1.9 + 1. Tutorial 05 shows
# how the old gradients fade in it.
#
# 笔记说，采用动量时会“把前几次的梯度值缓存下来”。我们数一数：
# 连续三次梯度都是 1，动量为 0.9 的 SGD 手里始终只有一个和参数同形的张量，
# 值依次是 1、0.9 × 1 + 1、0.9 × 1.9 + 1。旧梯度怎样在里面慢慢变淡，见教程 05。

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
settings |= {"SGD, momentum": {"momentum": 0.9}, "Adam, amsgrad": {"amsgrad": True}}
kept = {}
for name, options in settings.items():
    p = nn.Parameter(torch.zeros(100))
    p.grad = torch.ones(100)
    fresh = getattr(torch.optim, name.split(",")[0])([p], lr=0.1, **options)
    fresh.step()
    state = fresh.state.get(p, {})
    kept[name] = [key for key in state if state[key].shape == p.shape]
kept = dict(sorted(kept.items(), key=lambda item: len(item[1])))
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
ax.set(xlim=(0, 3), ylim=(12.6, -0.7), xticks=range(4))
ax.grid(False)
ax.set_xlabel("tensors as large as the parameter | 与参数同样大小的张量（个）")
ax.set_title("State takes 0 to 3 copies of the model | 状态要占 0 到 3 份模型")
plt.show()

# %%
# ``optimkit.state_memory`` counts the bytes. Of our two layers, one has state; with
# ``predict=True`` the other is counted too, before its first step: 1344 bytes for the
# averages, twice the 672 of the model, and 16 for four counts.
#
# 字节数用 ``optimkit.state_memory`` 来数。我们的两层里，只有一层有状态；
# 加上 ``predict=True``，还没走第一步的那层也会算进去：两种平均值共 1344 字节，
# 是模型 672 字节的两倍，另有四个计数，占 16 字节。

print("now:", optimkit.state_memory(optimizer).total, "bytes")
model_bytes = sum(param.nbytes for param in net.parameters())
memory = optimkit.state_memory(optimizer, predict=True)
assert (model_bytes, memory.total) == (672, 2 * 672 + 16)
memory

# %%
# Ask yourself | 问问自己
# -----------------------
# - Two layers need different momentum. Can they be in one group?
# - In mid-training you call ``optimizer.state.clear()``. Does the next step fail?
#
# - 两层要用不同的动量，能放在一个组里吗？
# - 训练到一半，你调用了 ``optimizer.state.clear()``，下一步会报错吗？

# %%
# Answers | 答案
# --------------
# - No. A hyperparameter belongs to a group; only state belongs to a parameter.
# - No. Adam begins again as if new: the count of steps is 1.
#
# - 不能。超参数是整组共用的，只有状态才是每个参数各有一份。
# - 不会。Adam 就当自己是新建的，步数又从 1 数起。

optimizer.step()
print("step", optimkit.describe(optimizer).rows[0].step)
optimizer.state.clear()
optimizer.step()
print("step", optimkit.describe(optimizer).rows[0].step)
assert optimkit.describe(optimizer).rows[0].step == 1

# %%
# Exercise | 练习
# ---------------
# Before you run anything, write down seven values that follow from this program: the
# ``lr`` in ``defaults``; the ``lr`` of each group; the length of ``state``; whether
# ``y`` is in it; the momentum buffer of ``x``; and ``x`` itself.
#
# 先别运行。读完这段程序，在纸上写出七个值：``defaults`` 里的 ``lr``；
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

lrs = [opt.defaults["lr"], *(group["lr"] for group in opt.param_groups)]
print(lrs, len(opt.state), y in opt.state)
print(f"{opt.state[x]['momentum_buffer'].item():.1f} {x.item():.3f}")
assert (lrs, len(opt.state), y in opt.state) == ([0.1, 0.01, 0.5], 1, False)
torch.testing.assert_close(opt.state[x]["momentum_buffer"].item(), 1.9)
torch.testing.assert_close(x.item(), -0.029)

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 04 clears gradients, and tutorial 05 opens up ``step()``.
# - Tutorial 06 builds parameter groups, and tutorial 07 saves ``state`` to a file.
# - Attributes and methods, the official list: `the torch.optim page
#   <https://docs.pytorch.org/docs/stable/optim.html>`__.
#
# - 教程 04 讲梯度清零，教程 05 拆开 ``step()`` 来看。
# - 教程 06 搭建参数组，教程 07 把 ``state`` 存进文件。
# - 属性与方法的官方清单：`torch.optim 文档
#   <https://docs.pytorch.org/docs/stable/optim.html>`__。
