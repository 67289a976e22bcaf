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
# ``defaults``: the options of the class | ``defaults``：这个类的选项
# -------------------------------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), prints
# ``defaults`` and gets five keys. Today's Adam has the same five, and several more that
# came between PyTorch 1.11 (``maximize``) and 2.7 (``decoupled_weight_decay``).
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），打印 ``defaults`` 得到五个键。
# 今天的 Adam 里五个都在，另外多了几个，是 PyTorch 从 1.11（``maximize``）到
# 2.7（``decoupled_weight_decay``）陆续加上的。

# sphinx_gallery_covers = "S4"
import torch
from torch import nn

net = nn.ModuleDict({"conv1": nn.Conv2d(3, 3, 3), "conv2": nn.Conv2d(3, 3, 3)})
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
print(*optimizer.defaults)
# sphinx_gallery_start_ignore
note = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-08}
note |= {"weight_decay": 0, "amsgrad": False}
assert note.items() <= optimizer.defaults.items()
assert list(optimizer.defaults)[:5] == list(note)
# sphinx_gallery_end_ignore

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
sgd.add_param_group({"params": [b]})
print("lr of the two groups:", [group["lr"] for group in sgd.param_groups])
# sphinx_gallery_start_ignore
torch.testing.assert_close(a.item(), -0.1)
assert [group["lr"] for group in sgd.param_groups] == [0.1, 9.0]
# sphinx_gallery_end_ignore

# %%
# Right: change the groups | 正确：改参数组
# -----------------------------------------
# Write to ``param_groups`` and the next step of ``sgd`` obeys; ``defaults`` stays as it was.
# So an Adam can say 0.001 in its ``defaults`` and train with 0.1, as one in the note does:
# every group brought its own ``lr``. To know the learning rate, ask the groups.
#
# 直接写 ``param_groups``，``sgd`` 下一步就照办，``defaults`` 则保持原样。
# 所以 ``defaults`` 里写着 0.001 的 Adam，可能是在用 0.1 训练，笔记里就有一个：
# 它的每个参数组都自带 ``lr``。想知道学习率是多少，要去问参数组。

# sphinx_gallery_covers = "C12 C44"
for group in sgd.param_groups:
    group["lr"] = 0.5
sgd.step()
print(f"moved by {a.item() + 0.1:.1f}; defaults still say {sgd.defaults['lr']}")
# sphinx_gallery_start_ignore
torch.testing.assert_close(a.item(), -0.1 - 0.5)
adam = torch.optim.Adam([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.1}])
assert adam.param_groups[1]["lr"] == 0.1 and adam.defaults["lr"] == 0.001
# sphinx_gallery_end_ignore

# %%
# ``param_groups``: a list of dicts | ``param_groups``：由字典组成的列表
# ----------------------------------------------------------------------
# The note calls this the optimizer's "most important attribute", and rightly so. In each
# dict, the key ``params`` holds a list of tensors, and every other key is a hyperparameter
# of that group alone. The note's sketch of it, ``[{'params':param_groups,'lr': 0.01,}]``,
# has curly quotes, which are not Python, and puts the list inside itself: what goes in
# there is tensors.
#
# 笔记说它是“优化器最重要的属性”，说得很对。它是一个列表，每个元素是一个字典：
# ``params`` 这个键存着张量的列表，其余的键都是这一组自己的超参数。
# 笔记把它画成 ``[{'params':param_groups,'lr': 0.01,}]``，原文用的是弯引号，不是 Python 语法；
# 换成直引号，又成了自己装自己。该装进去的是张量。

# sphinx_gallery_covers = "S6 S7 C15 C16"
weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
optimizer = torch.optim.Adam([{"params": [weight], "lr": 0.01}])
(group,) = optimizer.param_groups
print(group["lr"], group["params"])
# sphinx_gallery_start_ignore
assert set(group) == {"params"} | set(optimizer.defaults)
line = "param_groups=[{‘params’:param_groups,‘lr’: 0.01,}]"
for text, kind in ((line, SyntaxError), (line.replace("‘", "'").replace("’", "'"), NameError)):
    try:
        exec(compile(text, "note", "exec"), {})
        raise AssertionError
    except kind:
        pass
# sphinx_gallery_end_ignore

# %%
# Wrong: a key that nothing reads | 错误：写一个没人读的键
# --------------------------------------------------------
# The note says that "only 'params' stores the parameters of the model". True; but the
# other keys are not checked. Misspell ``lr``, and torch takes the group and trains it
# with the fallback. Compare the keys with those of ``defaults``, or ask
# ``optimkit.audit``, which knows what the class reads.
#
# 笔记说“只有‘params’当中才会存储训练模型的参数”，没错；可其余的键没人检查。
# 把 ``lr`` 写错了，torch 照收不误，然后用备用值训练这一组。
# 可以拿它的键和 ``defaults`` 的键比一比，也可以问 ``optimkit.audit``，它知道这个类读哪些键。

# sphinx_gallery_covers = "C17"
import optimkit

sgd = torch.optim.SGD([{"params": [a], "learning_rate": 0.5}], lr=0.1)
print("lr:", sgd.param_groups[0]["lr"])
print("unread:", set(sgd.param_groups[0]) - {"params"} - set(sgd.defaults))
print("audit:", *optimkit.audit(sgd).codes)
# sphinx_gallery_start_ignore
assert sgd.param_groups[0]["lr"] == 0.1
assert optimkit.audit(sgd).codes == ("unknown-option",)
# sphinx_gallery_end_ignore

# %%
# All three hold the same tensors | 三处拿的是同一批张量
# ------------------------------------------------------
# ``params`` holds references, not copies: the optimizer updates the very tensors that
# your model computes with. ``state`` is a dict whose keys are those same tensors.
# The figure is drawn from this optimizer: group 0 took its 0.01 from ``defaults``, group 1
# brought 0.1 along.
#
# ``params`` 里是引用，不是副本：优化器更新的，就是模型计算时用的那些张量。
# ``state`` 是一个字典，键也是这些张量。下图照着这个优化器画成：
# 第 0 组的 0.01 取自 ``defaults``，第 1 组的 0.1 是自带的。

# sphinx_gallery_covers = "C3 C17"
bias = torch.zeros(2, requires_grad=True)
weight.grad, bias.grad = torch.ones(2, 2), torch.ones(2)
adam = torch.optim.Adam([{"params": [weight]}, {"params": [bias], "lr": 0.1}], lr=0.01)
adam.step()
# sphinx_gallery_start_ignore
assert adam.param_groups[0]["params"][0] is weight
assert [id(key) for key in adam.state] == [id(weight), id(bias)]

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.8, 3.2), layout="constrained")
fig.set_label(
    "Defaults feed group 0 once; groups and entries of state point to tensors | "
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
# sphinx_gallery_end_ignore

# %%
# ``state`` is empty until the first step | 第一步之前，``state`` 是空的
# ----------------------------------------------------------------------
# The note prints ``state`` right after construction and gets an empty dict. So do we. A
# parameter gets its entry at the first ``step()`` that finds it with a gradient: of ``net``,
# the loss uses ``conv1`` alone. To look, use ``get`` or ``in``: ``state`` is a
# ``defaultdict``, and square brackets create the entry that is missing. Adagrad is the
# exception: it fills ``state`` when it is built.
#
# 笔记刚建好优化器就打印 ``state``，得到一个空字典。今天也一样。
# 参数第一次带着梯度遇上 ``step()``，才会有自己的条目：下面的损失只用到 ``net`` 的 ``conv1``。
# 查的时候用 ``get`` 或 ``in``：``state`` 是 ``defaultdict``，用方括号去查，
# 条目不存在时会当场新建一个。Adagrad 例外，一建好就把 ``state`` 填上了。

# sphinx_gallery_covers = "S5 C14"
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
print(optimizer.state)
net.conv1(torch.randn(1, 3, 8, 8)).sum().backward()
optimizer.step()
print({name: param in optimizer.state for name, param in net.named_parameters()})
print(*optimizer.state[net.conv1.weight])
# sphinx_gallery_start_ignore
assert list(optimizer.state) == list(net.conv1.parameters())
adam, adagrad = torch.optim.Adam([a]), torch.optim.Adagrad([a])
assert adam.state.get(a) is None and len(adam.state) == 0
assert adam.state[a] == {} and len(adam.state) == 1
assert "step" in adagrad.state[a]
# sphinx_gallery_end_ignore

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
#
# Each is one running value, no list. Momentum, says the note, caches "the gradient values
# of the previous few times"; but with 0.9, the buffer of SGD becomes 0.9 of itself plus the
# gradient: 1, 1.9 and 2.71 for three gradients of 1 (see tutorial 05).
#
# 每一格都是滚动更新的一个值，不是一张列表。笔记说采用动量时会“把前几次的梯度值缓存下来”，
# 其实动量为 0.9 时，SGD 的缓冲区每步变成原来的 0.9 倍加上梯度：
# 连续三次梯度为 1，就是 1、1.9、2.71（见教程 05）。

# sphinx_gallery_covers = "C13"
names = "SGD RMSprop Adagrad ASGD Adam AdamW NAdam RAdam Adamax Adadelta Rprop"
settings = {name: {} for name in names.split()}
settings |= {"SGD, momentum": {"momentum": 0.9}, "Adam, amsgrad": {"amsgrad": True}}
kept = {}
for name, options in settings.items():
    p = nn.Parameter(torch.zeros(100))
    p.grad = torch.ones(100)
    optimizer = getattr(torch.optim, name.split(",")[0])([p], lr=0.1, **options)
    optimizer.step()
    state = optimizer.state.get(p, {})
    kept[name] = [key for key in state if state[key].shape == p.shape]
# sphinx_gallery_start_ignore
kept = dict(sorted(kept.items(), key=lambda item: len(item[1])))
assert [len(keys) for keys in kept.values()] == [0] + [1] * 4 + [2] * 7 + [3]
p = nn.Parameter(torch.zeros(1))
sgd = torch.optim.SGD([p], lr=0.1, momentum=0.9)
for value in (1.0, 1.9, 2.71):
    p.grad = torch.ones(1)
    sgd.step()
    torch.testing.assert_close(sgd.state[p]["momentum_buffer"].item(), value)

fig, ax = plt.subplots(figsize=(7.8, 3.7), layout="constrained")
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
# sphinx_gallery_end_ignore

# %%
# How many bytes is that? Sum them up. ``optimkit.state_memory`` does it by group and by
# key, and with ``predict=True`` before the first step: of ``net``, two small convolutions,
# Adam's averages take 1344 bytes, twice the 672 of the weights, and four counts take 16.
#
# 一共多少字节？加起来就是。``optimkit.state_memory`` 会按组、按键分别数；
# 加上 ``predict=True``，还没走第一步也能算：``net`` 是两层小卷积，Adam 的两种平均值共 1344 字节，
# 是权重 672 字节的两倍，另有四个计数，占 16 字节。

optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
print("before the first step:", optimkit.state_memory(optimizer, predict=True).total)
nn.Sequential(*net.values())(torch.randn(1, 3, 8, 8)).sum().backward()
optimizer.step()
print("after:", sum(t.nbytes for state in optimizer.state.values() for t in state.values()))
# sphinx_gallery_start_ignore
memory = optimkit.state_memory(optimizer)
assert sum(param.nbytes for param in net.parameters()) == 672
assert memory.total == 2 * 672 + 16
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - Two layers need different momentum. Can they be in one group?
# - During training you call ``optimizer.state.clear()``. Does the next step fail?
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
print(optimizer.state[net.conv1.bias]["step"])
optimizer.state.clear()
optimizer.step()
print(optimizer.state[net.conv1.bias]["step"])
# sphinx_gallery_start_ignore
assert optimizer.state[net.conv1.bias]["step"] == 1
# sphinx_gallery_end_ignore

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
# sphinx_gallery_start_ignore
assert (lrs, len(opt.state), y in opt.state) == ([0.1, 0.01, 0.5], 1, False)
torch.testing.assert_close(opt.state[x]["momentum_buffer"].item(), 1.9)
torch.testing.assert_close(x.item(), -0.029)
# sphinx_gallery_end_ignore

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
