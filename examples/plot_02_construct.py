"""
Construct an optimizer: what may you pass? | 构造优化器：可以传什么进去？
=========================================================================

You pass tensors: leaf tensors that require a gradient, in a list, or straight from
``model.parameters()``. The optimizer keeps these very tensors, not copies, and it
knows of nothing else. A tensor that you don't pass never moves, and torch says nothing.

传的是张量：需要梯度的叶子张量，放在列表里，或者直接写 ``model.parameters()``。
优化器拿着的就是这些张量本身，不是副本，除此之外它什么都不知道。
漏传的张量永远不会动，torch 也不会提醒你。

**What you will learn**

- What today's Adam takes, which arguments are refused, and which wrong one is not.
- Which tensors of a model are its learnable parameters, and which only look so.
- How to see what an optimizer holds, and what it lacks.
- Level: beginner. Time: 15 minutes. Needs: tutorial 01.

**你会学到**

- 今天的 Adam 收哪些参数，哪些写法会报错，哪种错了也不吭声。
- 模型里哪些张量是可学习参数，哪些只是看着像。
- 怎样查看优化器拿着什么，还缺什么。
- 难度：入门。用时：15 分钟。预备：教程 01。
"""

# %%
# The optimizer holds your tensor | 优化器拿着的就是你的张量
# ----------------------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), says that
# an optimizer "manages" its parameters: it holds the same object, your ``weight``. Its
# comment calls this tensor "random", and says "open up the gradient": it is a constant, and
# requires a gradient. ``optimkit.describe`` lists what else an optimizer holds.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），说优化器“管理”参数：
# 它拿着同一个对象，就是你的 ``weight``。注释说这是“随机张量”，又说开放“梯度”：
# 其实它是常量，“开放”的意思是它需要梯度。优化器手里还有什么，用 ``optimkit.describe`` 看。

# sphinx_gallery_covers = "S2 C3 C7"
import torch
from torch import nn

import optimkit

weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
optimizer = torch.optim.Adam([weight], lr=0.01)
print("the same object:", optimizer.param_groups[0]["params"][0] is weight)
optimkit.describe(optimizer)

# %%
# The arguments of Adam | Adam 收哪些参数
# ---------------------------------------
# The note shows three lines from the source of Adam, the body cut off, so they don't run.
# Their five options, from ``lr`` to ``amsgrad``, still have the same defaults. Those after
# came later, ``maximize`` first, in PyTorch 1.11, ``decoupled_weight_decay`` last, in 2.7,
# and must be given by name. Leave them alone for now: most choose how the same step is
# computed.
#
# 笔记贴了三行 Adam 的源码，函数体没贴，所以跑不起来。
# 里面的五个选项，从 ``lr`` 到 ``amsgrad``，默认值到今天都没变。再往后的是陆续加上的，
# 最早是 PyTorch 1.11 的 ``maximize``，最近是 2.7 的 ``decoupled_weight_decay``，只能写明名字来传。
# 现在不用管它们，多半只是换一种方式来算同样的一步。

# sphinx_gallery_covers = "S1 C6"
import inspect

print(*inspect.signature(torch.optim.Adam).parameters)
# sphinx_gallery_start_ignore
source = """class Adam(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8,
                 weight_decay=0, amsgrad=False):
"""
try:
    compile(source, "note", "exec")
    raise AssertionError
except IndentationError:
    pass
names = {"Optimizer": torch.optim.Optimizer}
exec(source + "        pass", names)
then = inspect.signature(names["Adam"]).parameters
now = inspect.signature(torch.optim.Adam).parameters
assert list(now)[:6] == list(then)
assert all(now[name].default == then[name].default for name in then)
assert all(now[name].kind is inspect.Parameter.KEYWORD_ONLY for name in now if name not in then)
# sphinx_gallery_end_ignore

# %%
# What may be passed | 可以传什么
# -------------------------------
# The note passes ``[weight]``, and the brackets matter: torch wants an iterable in a
# fixed order. Its items are tensors; or dicts, each a parameter group; or, from PyTorch
# 2.6 on, pairs of a name and a tensor.
#
# 笔记传的是 ``[weight]``，这对方括号很要紧：torch 要的是一个顺序固定的可迭代对象。
# 里面可以是张量；可以是字典，一个字典就是一个参数组；
# PyTorch 2.6 起，还可以是名字和张量组成的二元组。

# sphinx_gallery_covers = "C9"
layer = nn.Linear(3, 2)
torch.optim.Adam([layer.weight, layer.bias])
torch.optim.Adam(layer.parameters())
torch.optim.Adam([{"params": layer.weight}, {"params": layer.bias, "lr": 0.1}])
torch.optim.Adam(layer.named_parameters())

# %%
# Wrong, and refused: a tensor without its list; a layer, which has parameters but is no
# list of them; a generator that has been looped over once, and is empty; and
# ``weight * 2``, the result of a computation, and so no leaf tensor.
#
# 错误而被拒绝的：张量没放进列表；层有参数，但它本身不是参数的列表；
# 生成器遍历过一次，已经空了；``weight * 2`` 是算出来的结果，不是叶子张量。

# sphinx_gallery_covers = "C7 C9"
used = layer.parameters()
print(len(list(used)), "parameters")
for wrong in (weight, layer, used, [weight * 2]):
    try:
        torch.optim.Adam(wrong)
        # sphinx_gallery_start_ignore
        raise AssertionError
        # sphinx_gallery_end_ignore
    except (TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")

# %%
# Wrong, and not refused: ``state_dict()`` hands out the values for saving: the same
# memory, but other tensor objects, which never get a gradient. ``step()`` runs, and
# nothing moves. Pass ``layer.parameters()``. ``optimkit.audit`` compares an optimizer with
# the model.
#
# 错误却没被拒绝的：``state_dict()`` 交出来的值是拿去保存的，内存是同一块，
# 张量却是另外的对象，永远得不到梯度。``step()`` 照跑，什么都不动。要传的是
# ``layer.parameters()``。``optimkit.audit`` 会拿优化器和模型对一遍。

# sphinx_gallery_covers = "C3 C9"
deaf = torch.optim.Adam(layer.state_dict().values(), lr=0.1)
before = layer.weight.detach().clone()
layer(torch.ones(1, 3)).sum().backward()
deaf.step()
print("moved:", not torch.equal(layer.weight, before))
print(*optimkit.audit(deaf, models=layer).codes)
# sphinx_gallery_start_ignore
assert torch.equal(layer.weight, before)
assert optimkit.audit(deaf, models=layer).codes == ("stale", "unmanaged", "stale-grad")
# sphinx_gallery_end_ignore

# %%
# Wrong: two optimizers, one tensor | 错误：两个优化器，一个张量
# --------------------------------------------------------------
# A line of the note is commented out: ``optimizer2 = torch.optim.Adam([weight])``, the
# same tensor, with the default learning rate of 0.001. It would run, but neither knows of
# the other: with 0.1 each, the tensor moves by 0.2. ``optimkit.audit`` finds it.
#
# 笔记有一行被注释掉了：``optimizer2 = torch.optim.Adam([weight])``，
# 还是那个张量，学习率是默认的 0.001。真跑起来并不报错，可两个优化器互不知情：
# 各用 0.1，张量就动了 0.2。把两个优化器一起交给 ``optimkit.audit``，一查便知。

# sphinx_gallery_covers = "C10"
w = torch.ones(1, requires_grad=True)
w.grad = torch.ones(1)
one, two = torch.optim.Adam([w], lr=0.1), torch.optim.Adam([w], lr=0.1)
one.step()
two.step()
print(f"moved by {1 - w.item():.1f}; audit:", *optimkit.audit([one, two]).codes)
# sphinx_gallery_start_ignore
assert torch.optim.Adam([weight]).param_groups[0]["lr"] == 0.001
torch.testing.assert_close(w.item(), 0.8)
assert optimkit.audit([one, two]).codes == ("shared",)
# sphinx_gallery_end_ignore

# %%
# A gradient written by hand must fit | 手写的梯度要对得上
# --------------------------------------------------------
# The note sets ``weight.grad`` by hand, a good way to try out an optimizer. Shape and
# dtype must be the tensor's own; ``weight`` holds floats, so integers are refused.
#
# 笔记直接给 ``weight.grad`` 赋值，想单独试试优化器时很好用。
# 形状和数据类型都要与张量一致：``weight`` 是浮点数，给它整数的梯度就会报错。

# sphinx_gallery_covers = "C8"
try:
    weight.grad = torch.ones((2, 2), dtype=torch.int64)
    # sphinx_gallery_start_ignore
    raise AssertionError
    # sphinx_gallery_end_ignore
except RuntimeError as error:
    print("RuntimeError:", error)
# sphinx_gallery_start_ignore
try:
    weight.grad = torch.ones((2, 3))
    raise AssertionError
except RuntimeError:
    pass
# sphinx_gallery_end_ignore

# %%
# Which tensors of a network are learnable? | 网络里哪些张量是可学习参数？
# ------------------------------------------------------------------------
# What you will nearly always pass is a whole network. Its learnable parameters are weights
# and biases, says the note. There is more: an embedding's table, the scale and shift of a
# normalization, the slope of a PReLU, an ``nn.Parameter`` of your own. Buffers, such as
# the running mean of a BatchNorm, are recorded, not learned. And two things look
# learnable, but ``parameters()`` can't see them: a plain tensor, and a layer in a Python
# list. In the figure ``net`` trains for 30 steps; the brighter, the farther a tensor moved.
#
# 平时传的几乎都是整个网络。笔记说可学习参数就是权重和偏置，其实不止：嵌入表、
# 归一化层的缩放和平移、PReLU 的斜率、自己写的 ``nn.Parameter`` 都算。
# 缓冲区不算，比如 BatchNorm 的滑动均值，那是记下来的，不是学出来的。
# 还有两样看着像，``parameters()`` 却看不见：普通张量，和放在 Python 列表里的层。
# 下图里 ``net`` 训练 30 步，越亮，说明张量累计移动得越远。
#
# The note's own network returns ``None`` (tutorial 08). And its class is called ``model``:
# after ``model = model()`` the next ``model()`` runs ``forward``. Begin a class with a capital.
#
# 笔记自己的网络只会返回 ``None``，见教程 08。它的类名又叫 ``model``：
# 一旦写了 ``model = model()``，再写 ``model()``，跑的就是 ``forward``。所以类名请用大写开头。

# sphinx_gallery_covers = "S3 C2 C11 C52"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.act = nn.PReLU()
        self.scale = nn.Parameter(torch.ones(1))
        self.out = nn.Linear(3, 4)
        self.shift = torch.zeros(1, requires_grad=True)
        self.layers = [nn.Linear(3, 3)]

    def forward(self, words):
        x = self.norm(self.embed(words)) * self.scale + self.shift
        return self.out(self.layers[0](self.act(x)))


torch.manual_seed(0)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
# sphinx_gallery_start_ignore


class model(nn.Module):  # noqa: N801 (the name is what is wrong)
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels=3, out_channels=3, kernel_size=(3, 3))
        self.conv2 = nn.Conv2d(in_channels=3, out_channels=3, kernel_size=(3, 3))

    def forward(self, x):
        pass


model = model()
assert model(torch.zeros(1, 3, 8, 8)) is None
assert len(torch.optim.Adam(model.parameters(), lr=0.1).param_groups[0]["params"]) == 4
try:
    model()
    raise AssertionError
except TypeError:
    pass

hidden = {"shift": net.shift, "layers[0].weight": net.layers[0].weight}
tensors = dict(net.named_parameters()) | dict(net.named_buffers()) | hidden
words = torch.arange(4).repeat(4)
distance = torch.zeros(len(tensors), 31)
for step in range(1, 31):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(words), words.roll(1)).backward()
    before = [tensor.detach().clone() for tensor in tensors.values()]
    optimizer.step()
    for row, (new, old) in enumerate(zip(tensors.values(), before, strict=True)):
        distance[row, step] = distance[row, step - 1] + (new - old).abs().max()
assert bool((distance[:7, -1] > 0.1).all() and (distance[7:] == 0).all())
assert all(tensor.grad.abs().sum() > 0 for tensor in hidden.values())

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.8, 3.6), layout="constrained")
fig.set_label(
    "12 tensors over 30 steps: seven parameters light up, the others stay dark | "
    "12 个张量走 30 步：七个参数亮起来，其余一直是暗的"
)
rows = [n + (n > 6) + (n > 9) for n in range(12)]
for row, path in zip(rows, distance.tolist(), strict=True):
    ax.imshow([path], extent=(0, 30, row + 0.45, row - 0.45), vmin=0, vmax=1.5)
ax.set(xlim=(0, 41), ylim=(13.6, -0.6), aspect="auto", xticks=(0, 10, 20, 30))
ax.set_yticks(rows, tensors)
ax.text(30.7, 3, "parameters: in | 参数：在", va="center")
ax.text(30.7, 9, "buffers: out | 缓冲区：不在", va="center")
ax.text(30.7, 12.5, "not seen: out | 看不见：不在", va="center")
ax.spines[:].set_visible(False)
ax.grid(False)
ax.set_xlabel("step | 步")
ax.set_title("What was passed moves; all else stays dark | 传进去的会动，其余一直是暗的")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Let the module see them | 让模块看得见
# --------------------------------------
# ``net.shift``, a plain tensor, and ``net.layers``, a list, do get gradients: they could
# learn. But even ``optimkit.audit`` finds nothing, since it asks the module, too. Register
# them: ``nn.Parameter`` for a tensor, ``nn.ModuleList`` for layers. Now the audit says that
# the optimizer lacks them. So register first, and build the optimizer last.
#
# ``net.shift`` 是普通张量，``net.layers`` 是列表，它们其实也有梯度，本来学得动。
# 可连 ``optimkit.audit`` 也查不出来，因为它同样是去问模块。要登记：单个张量用 ``nn.Parameter``，
# 一串层用 ``nn.ModuleList``。这下它看见了，并指出优化器漏了它们。所以要先登记，最后再建优化器。

# sphinx_gallery_covers = "C2"
print("hidden:", optimkit.audit(optimizer, models=net))
net.layers = nn.ModuleList(net.layers)
del net.shift
net.shift = nn.Parameter(torch.zeros(1))
report = optimkit.audit(optimizer, models=net)
print("registered:", report.codes[0], *report.rows[0].names)
optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
print("built last:", optimkit.audit(optimizer, models=net))
# sphinx_gallery_start_ignore
assert report.codes[0] == "unmanaged" and len(optimizer.param_groups[0]["params"]) == 10
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - Two layers share one weight. How often does ``parameters()`` give it?
# - The optimizer is built, then you replace ``net.out``. Which layer is trained?
# - Does a tensor with ``requires_grad=False`` raise an error when you pass it?
#
# - 两层共用一个权重，``parameters()`` 会给出几次？
# - 优化器建好之后，你把 ``net.out`` 换成了新的层。训练的是哪一个？
# - 传入 ``requires_grad=False`` 的张量，会报错吗？

# %%
# Answers | 答案
# --------------
# - Once, so that it doesn't move twice a step.
# - The old one, which no longer belongs to the model. The audit calls it stale.
# - No. It gets no gradient, so ``step()`` passes it over.
#
# - 一次，所以不会一步动两回。
# - 旧的那个，可是它已经不在模型里了。审计报告里叫 ``stale``。
# - 不会。它没有梯度，``step()`` 直接跳过它。

net.out = nn.Linear(3, 4)
print(*optimkit.audit(optimizer, models=net).codes)
# sphinx_gallery_start_ignore
assert optimkit.audit(optimizer, models=net).codes == ("stale", "unmanaged")
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# The network below hides some of its layers. Write a function that lists all leaf
# tensors a loss depends on, and take away ``net.parameters()``: which are hidden? Start
# from ``loss.grad_fn``, the last node of the graph that autograd recorded. The node of a
# leaf has an attribute ``variable``; any other has ``next_functions``, a list of pairs,
# whose first item is a node or ``None``.
#
# 下面的网络藏了几层。写一个函数，列出损失依赖的所有叶子张量，
# 再去掉 ``net.parameters()`` 里有的，看看藏起来的是哪些。
# 从 ``loss.grad_fn`` 出发，它是自动微分记下的计算图里最后一个节点。
# 叶子张量的节点有属性 ``variable``；其余节点有 ``next_functions``，
# 里面是一串二元组，第一项是节点或 ``None``。

net = nn.Linear(3, 3)
net.heads = {"left": nn.Linear(3, 1), "right": nn.Linear(3, 2)}
loss = sum(head(net(torch.ones(2, 3))).sum() for head in net.heads.values())

# %%
# Solution | 参考答案
# -------------------
# Walk the graph, and take away what ``parameters()`` gives. A weight and a bias of each
# head are left: a plain dict hides layers, as a list does. Use ``nn.ModuleDict``.
#
# 沿计算图走一遍，再去掉 ``parameters()`` 给出的，剩下两个 ``heads`` 各自的权重和偏置：
# 普通字典和列表一样，会把层藏起来。换成 ``nn.ModuleDict`` 就好了。


def leaves(node):
    if hasattr(node, "variable"):
        return {node.variable}
    return {leaf for each, _ in node.next_functions if each for leaf in leaves(each)}


lacking = leaves(loss.grad_fn) - set(net.parameters())
print(sorted(tuple(leaf.shape) for leaf in lacking))
net.heads = nn.ModuleDict(net.heads)
print(leaves(loss.grad_fn) == set(net.parameters()))
# sphinx_gallery_start_ignore
assert len(lacking) == 4
assert leaves(loss.grad_fn) == set(net.parameters())
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 03 opens the optimizer: ``defaults``, ``state``, ``param_groups``.
# - Tutorial 06 passes dicts, so that parts of a model get settings of their own.
# - All arguments, officially: `torch.optim.Adam
#   <https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html>`__.
#
# - 教程 03 打开建好的优化器，看 ``defaults``、``state`` 和 ``param_groups``。
# - 教程 06 传入字典，让模型的各部分有自己的设置。
# - 全部参数的官方说明：`torch.optim.Adam
#   <https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html>`__。
