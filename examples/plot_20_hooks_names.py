"""
Optimizer hooks and named parameters | 优化器的钩子与命名参数
=============================================================

A hook is a function of yours that torch calls at its own moment: around ``step()``,
around saving and loading, or when a gradient is ready. Named parameters write their names
into the state dict. Loading still goes by position, unless a hook makes it go by name.

钩子是你写的函数，由 torch 在特定的时刻调用：``step()`` 前后，保存和加载前后，或者某个梯度刚算好的时候。
命名参数会把名字写进状态字典；加载时仍按位置对应，除非有钩子让它按名字来。

**What you will learn**

- How to measure and change steps without touching the loop.
- How to change what is saved and loaded, and to load by name.
- How to step while the backward pass runs, and what that saves and costs.
- Level: advanced. Time: 15 minutes. Needs: tutorial 05, tutorial 07.

**你会学到**

- 怎样不动训练循环，就能观察、改变每一步。
- 怎样改写保存和加载的内容，怎样按名字加载。
- 怎样在反向传播中更新，省下什么，又失去什么。
- 难度：高级。用时：15 分钟。预备：教程 05、教程 07。
"""

# %%
# A loop to hook into | 一个用来挂钩子的循环
# ------------------------------------------
# Two layers of one size, in the order that you give. The optimizer gets
# ``named_parameters()``, which torch takes since 2.6: each group then has a list
# ``param_names``.
#
# 两个同样大小的层，先后顺序由你给。传给优化器的是 ``named_parameters()``，torch 2.6 起可以这样传：
# 每个参数组里会多一个列表 ``param_names``。

import torch
from torch import nn, optim


class Net(nn.Module):
    def __init__(self, *order):
        super().__init__()
        for name in order:
            self.add_module(name, nn.Linear(16, 16))

    def forward(self, x):
        for _, layer in sorted(self.named_children()):
            x = layer(x).tanh()
        return x


# %%
# ``train`` is the usual loop. Nothing in it will change.
#
# ``train`` 就是平常的训练循环，后面一个字都不改。


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()


torch.manual_seed(0)
x = torch.randn(64, 16)
y = x.sin()
model = Net("layer1", "layer2")
optimizer = optim.Adam(model.named_parameters(), lr=0.01)
print(optimizer.param_groups[0]["param_names"])
# sphinx_gallery_start_ignore
ours = ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"]
assert optimizer.param_groups[0]["param_names"] == ours
# sphinx_gallery_end_ignore

# %%
# Before and after each step | 每一步之前、之后
# ---------------------------------------------
# How large is a step, measured by the weights that it moves? One hook keeps them before
# the step, another compares. A rule of thumb wants a ratio near 1e-3 for weights: here
# they begin above 0.03, and get below 0.01 within 100 steps. ``remove()`` ends it: the
# steps after that are not seen. To hook into every optimizer at once,
# ``torch.optim.optimizer`` has ``register_optimizer_step_post_hook``.
#
# 一步有多大，要跟它移动的权重比。一个钩子在更新之前留下权重，另一个在更新之后来比。
# 经验上，权重的这个比值在 1e-3 上下为宜；这里开头超过 0.03，100 步之内降到 0.01 以下。
# ``remove()`` 摘掉钩子，之后的步子就不再记录。想一次挂到所有优化器上，
# ``torch.optim.optimizer`` 里有 ``register_optimizer_step_post_hook``。


def remember(optimizer, args, kwargs):
    (group,) = optimizer.param_groups
    before[:] = [p.detach().clone() for p in group["params"]]


def compare(optimizer, args, kwargs):
    (group,) = optimizer.param_groups
    for name, p, old in zip(group["param_names"], group["params"], before, strict=True):
        ratios[name].append(((p.detach() - old).norm() / old.norm()).item())


before, ratios = [], {name: [] for name in optimizer.param_groups[0]["param_names"]}
handles = [optimizer.register_step_pre_hook(remember)]
handles.append(optimizer.register_step_post_hook(compare))
train(model, optimizer, 100)
for handle in handles:
    handle.remove()
train(model, optimizer, 100)
print(len(ratios["layer1.weight"]), "steps seen")
# sphinx_gallery_start_ignore
for name in ("layer1.weight", "layer2.weight"):
    assert len(ratios[name]) == 100
    assert ratios[name][0] > 0.03 and ratios[name][-1] < 0.01

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
fig, ax = plt.subplots(figsize=(7.5, 3), layout="constrained")
fig.set_label(
    "Size of each step over the size of the weights, for four parameters and 100 steps: "
    "it falls from some hundredths to some thousandths | "
    "四个参数在 100 步里，步长与权重大小之比：从百分之几降到千分之几"
)
for i, (name, values) in enumerate(ratios.items()):
    ax.semilogy(range(1, 101), values, f"C{i}", lw=2)
    va = ("bottom", "bottom", "top", "top")[i]
    ax.text(101, values[-1], name, color=f"C{i}", va=va, family="monospace")
ax.axhline(1e-3, color="0.5", ls=":")
ax.text(1, 1.05e-3, "rule of thumb | 经验值", color="0.5", va="bottom")
ax.set(xlim=(0, 128), xticks=range(0, 101, 20), xlabel="step | 第几步")
ax.set_ylabel("step / weights | 步长 ÷ 权重")
ax.set_title("Hooks measure; the loop knows nothing of it | 钩子在量，循环毫不知情")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Wrong: a closure, and a hook that clips | 错误：用了闭包，还在钩子里裁剪
# ---------------------------------------------------------------------------
# A hook before the step may change things, too: this one clips. In the usual loop the
# weight moves by 1 instead of 50. Wrong: the same hook, and ``step(closure)``. The hook
# runs first and clips the old gradient; then the closure makes a new one, and the
# weight moves by 50, silently. Right: clip inside the closure.
#
# 更新之前的钩子也可以动手改，这一个做梯度裁剪：在平常的循环里，权重移动 1，而不是 50。
# 错误写法：还是这个钩子，却用 ``step(closure)``。钩子先运行，裁的是旧梯度；
# 然后闭包算出新梯度，权重照样移动 50，一声不吭。正确写法：在闭包里裁剪。

w = nn.Parameter(torch.tensor([3.0]))
sgd = optim.SGD([w], lr=1.0)


def clip(optimizer, args, kwargs):
    for group in optimizer.param_groups:
        nn.utils.clip_grad_norm_(group["params"], 1.0)


def closure():
    sgd.zero_grad()
    loss = (50 * w).sum()
    loss.backward()
    return loss


sgd.register_step_pre_hook(clip)
closure()
sgd.step()
print(f"usual loop: moved by {3 - w.item():.0f}")
start = w.item()
sgd.step(closure)
print(f"closure:    moved by {start - w.item():.0f}")
# sphinx_gallery_start_ignore
assert (round(3 - start, 4), round(start - w.item(), 4)) == (1, 50)
handle = sgd.register_step_pre_hook(lambda *_: "words")
said = ""
try:
    sgd.step()
except RuntimeError as error:
    said = str(error)
assert "must return None or a tuple of (new_args, new_kwargs)" in said
handle.remove()
handle = sgd.register_step_pre_hook(lambda sgd, args, kwargs: ((sgd, closure), kwargs))
start = w.item()
sgd.step()
assert start - w.item() == 50
# sphinx_gallery_end_ignore

# %%
# Change what is loaded | 改写要加载的内容
# ----------------------------------------
# Loading brings back the saved ``lr``. A hook can keep yours: it gets the state dict
# first. Wrong: write into it. Only the outer dict is a copy; the groups are those of your
# saved dict, which now has another ``lr``. Right: return a new one. For this purpose
# the kit has ``optimkit.load_optimizer(..., options="current")``. To change what is
# saved, there is ``register_state_dict_post_hook``.
#
# 加载会把存下的 ``lr`` 也带回来。钩子能留住你现在的：状态字典先交给它。错误写法：直接往里写。
# 只有最外层是副本，里面的参数组就是你存的那份，它的 ``lr`` 也跟着变了。正确写法：返回一个新的。
# 单为这件事，工具包里有 ``optimkit.load_optimizer(..., options="current")``。
# 要改写保存的内容，用 ``register_state_dict_post_hook``。


def write_into(optimizer, state_dict):
    for saved, mine in zip(state_dict["param_groups"], optimizer.param_groups, strict=True):
        saved["lr"] = mine["lr"]


def make_new(optimizer, state_dict):
    groups = zip(state_dict["param_groups"], optimizer.param_groups, strict=True)
    groups = [saved | {"lr": mine["lr"]} for saved, mine in groups]
    return state_dict | {"param_groups": groups}


for hook in (write_into, make_new):
    saved = optimizer.state_dict()
    other = optim.Adam(model.named_parameters(), lr=0.5)
    other.register_load_state_dict_pre_hook(hook)
    other.load_state_dict(saved)
    lr, kept = other.param_groups[0]["lr"], saved["param_groups"][0]["lr"]
    print(f"{hook.__name__:10} optimizer {lr}, the saved dict {kept}")
    # sphinx_gallery_start_ignore
    assert lr == 0.5 and kept == (0.5 if hook is write_into else 0.01)
import optimkit

other = optim.Adam(model.named_parameters(), lr=0.5)
optimkit.load_optimizer(other, saved, options="current")
assert other.param_groups[0]["lr"] == 0.5 and other.state
handle = other.register_state_dict_post_hook(lambda _, made: made | {"note": "words"})
assert "note" in other.state_dict()
optimizer.load_state_dict(other.state_dict())
optimizer.load_state_dict(saved)
assert "note" not in optimizer.state_dict()
# sphinx_gallery_end_ignore

# %%
# Names travel, but do not match | 名字跟着走，却不用来对应
# ---------------------------------------------------------
# Now build the model with its layers in the other order. Wrong: ``load_state_dict``. It
# matches by position, so each layer gets the other's moments; and it writes the saved
# names over the right ones, so that now they lie. ``optimkit.audit`` sees it.
#
# 现在换个顺序建这个模型。错误写法：``load_state_dict``。它按位置对应，于是每一层拿到的都是另一层的矩；
# 它还用存下的名字盖掉了原来正确的名字，名字从此也不作数了。``optimkit.audit`` 看得出来。

import optimkit

swapped = Net("layer2", "layer1")
wrong = optim.Adam(swapped.named_parameters(), lr=0.01)
print("before:", wrong.param_groups[0]["param_names"])
wrong.load_state_dict(optimizer.state_dict())
print("after: ", wrong.param_groups[0]["param_names"])
print("audit: ", *optimkit.audit(wrong, models=swapped).codes)
# sphinx_gallery_start_ignore
theirs = optimizer.state[model.layer1.weight]["exp_avg"]
assert torch.equal(wrong.state[swapped.layer2.weight]["exp_avg"], theirs)
assert wrong.param_groups[0]["param_names"] == ours
assert optimkit.audit(wrong, models=swapped).codes == ("wrong-names",)
# sphinx_gallery_end_ignore

# %%
# Right: a hook that puts the saved ids into the order of the names here. Or
# ``optimkit.load_optimizer``, which matches by name, and checks shapes before it
# changes anything.
#
# 正确写法：用钩子把存下的编号按这里的名字重新排好。或者用 ``optimkit.load_optimizer``，
# 它按名字对应，而且先核对形状，再动手。


def by_name(optimizer, state_dict):
    ids, groups = {}, []
    for group in state_dict["param_groups"]:
        ids |= zip(group["param_names"], group["params"], strict=True)
    for group, mine in zip(state_dict["param_groups"], optimizer.param_groups, strict=True):
        names = mine["param_names"]
        groups.append(group | {"params": [ids[n] for n in names], "param_names": names})
    return state_dict | {"param_groups": groups}


right = optim.Adam(swapped.named_parameters(), lr=0.01)
right.register_load_state_dict_pre_hook(by_name)
right.load_state_dict(optimizer.state_dict())
kit = optim.Adam(swapped.named_parameters(), lr=0.01)
optimkit.load_optimizer(kit, optimizer.state_dict())
theirs = optimizer.state[model.layer1.weight]["exp_avg"]
for one in (wrong, right, kit):
    same = torch.equal(one.state[swapped.layer1.weight]["exp_avg"], theirs)
    print("layer1 has its own moments:", same)
    # sphinx_gallery_start_ignore
    assert same == (one is not wrong)
    assert (optimkit.audit(one, models=swapped).codes == ()) == (one is not wrong)
# sphinx_gallery_end_ignore

# %%
# Step in the backward pass | 在反向传播中更新
# --------------------------------------------
# A third kind of hook belongs to a tensor: it is called as soon as its gradient is ready.
# Give each parameter an optimizer of its own, step there, and clear: after 10 steps the
# weights are the same to the last bit, and at most one ``.grad`` is there at a time, an
# eighth of the memory for these eight layers. The price: no clipping by the norm of all
# gradients, which never are there together, and no gradient accumulation.
#
# 还有一种钩子挂在张量上：它的梯度一算好就被调用。给每个参数配一个自己的优化器，就在那一刻更新，
# 随即清掉梯度：走 10 步，权重逐位相同，而同一时刻最多只留着一个 ``.grad``，这里有八层，
# 梯度只占八分之一的内存。代价：不能按全部梯度的范数裁剪，因为它们从不同时存在；也不能做梯度累积。


def deep():
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(64, 64) for _ in range(8)))


def step_in_backward(model):
    for p in model.parameters():
        optimizer = optim.Adam([p])

        def step(p, optimizer=optimizer):
            optimizer.step()
            optimizer.zero_grad()

        p.register_post_accumulate_grad_hook(step)


# %%
# ``watch`` notes the bytes of all gradients, each time that one is ready.
#
# ``watch`` 在每个梯度算好时，记下此刻所有梯度一共多少字节。


def watch(model):
    def note(_):
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        sizes.append(sum(grad.numel() * grad.element_size() for grad in grads))

    sizes = []
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(note)
    return sizes


inputs, usual, fused = torch.randn(32, 64), deep(), deep()
adam, usual_sizes, fused_sizes = optim.Adam(usual.parameters()), watch(usual), watch(fused)
step_in_backward(fused)
for _ in range(10):
    usual(inputs).square().mean().backward()
    adam.step()
    adam.zero_grad()
    fused(inputs).square().mean().backward()
print("most bytes of gradients:", max(usual_sizes), "and", max(fused_sizes))
# sphinx_gallery_start_ignore
for a, b in zip(usual.parameters(), fused.parameters(), strict=True):
    assert torch.equal(a, b) and b.grad is None
assert not torch.equal(usual[0].weight, deep()[0].weight)
assert 8 < max(usual_sizes) / max(fused_sizes) < 8.2
twice = []
tied = nn.Parameter(torch.ones(1))
tied.register_post_accumulate_grad_hook(lambda p: twice.append(p.grad.item()))
(2 * tied + 3 * tied).sum().backward()
assert twice == [5.0]

fig, ax = plt.subplots(figsize=(7.5, 2.9), layout="constrained")
fig.set_label(
    "Bytes of gradients alive while backward runs over eight layers: a stair that rises "
    "to 133 kB, or one layer at a time | "
    "反向传播经过八层时，留着的梯度占多少字节：平常一级级升到 133 kB，在反向传播中更新则始终只有一层"
)
kilobytes = [[size / 1000 for size in sizes[:16]] for sizes in (usual_sizes, fused_sizes)]
for i, values in enumerate(kilobytes):
    ax.bar([n + 0.4 * i for n in range(1, 17)], values, 0.4, color=f"C{i}")
ax.text(9, 105, "usual | 平常", color="C0", ha="right")
ax.text(0.6, 22, "step in backward | 在反向传播中更新", color="C1")
ax.set_xlabel("gradients ready, from the last layer | 算好的梯度，从最后一层数起")
ax.set_ylabel("kB of gradients | 梯度（kB）")
ax.set_title("One gradient at a time | 一次只留一个梯度")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - You ``copy.deepcopy`` an optimizer that has hooks, or pickle it. Has the copy got them?
# - You call ``backward()`` on two half batches, and step in backward. How many steps?
#
# - 优化器挂着钩子，你用 ``copy.deepcopy`` 或 pickle 复制它，副本上还有吗？
# - 两个半批各做一次 ``backward()``，又在反向传播中更新，一共走几步？

# %%
# Answers | 答案
# --------------
# - No: only groups, state and defaults are copied. Nor are hooks in a state dict: register
#   them again.
# - Two, each with half the data: nothing adds up the halves.
#
# - 没有：复制的只有参数组、状态和默认值。状态字典里也没有钩子，要重新挂。
# - 两步，每步只看一半数据：两半的梯度没有机会相加。

import copy

called = []
optimizer.register_step_post_hook(lambda *_: called.append("hook"))
copied = copy.deepcopy(optimizer)
copied.step()
print("called by the copy:", called)
optimizer.step()
print("called by the optimizer:", called)
# sphinx_gallery_start_ignore
assert called == ["hook"]
counted = nn.Linear(64, 1)
steps = []
for p in counted.parameters():
    p.register_post_accumulate_grad_hook(lambda p: steps.append(p.shape))
step_in_backward(counted)
for half in inputs.split(16):
    counted(half).square().mean().backward()
assert len(steps) == 2 * 2
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# The model gets a third layer. torch refuses the old state dict: one group has grown.
# Extend ``by_name``: a name that the dict lacks starts without state, one that the model
# lacks is left out. Load, and check that layers 1 and 2 have their moments.
#
# 模型加了第三层，旧的状态字典 torch 就不收了：组变大了。把 ``by_name`` 扩展一下：
# 字典里没有的名字，从没有状态开始；模型里没有的名字，不要。加载，再核对第 1、2 层的矩是不是各归各位。

# %%
# Solution | 参考答案
# -------------------
# A new name gets an id that no state has.
#
# 新名字得到一个没有状态的编号。


def by_name_or_new(optimizer, state_dict):
    ids, groups, state = {}, [], {}
    for group in state_dict["param_groups"]:
        ids |= zip(group["param_names"], group["params"], strict=True)
    for group, mine in zip(state_dict["param_groups"], optimizer.param_groups, strict=True):
        names = mine["param_names"]
        params = [ids.setdefault(name, f"new: {name}") for name in names]
        state |= {i: state_dict["state"][i] for i in params if i in state_dict["state"]}
        groups.append(group | {"params": params, "param_names": names})
    return state_dict | {"param_groups": groups, "state": state}


grown = Net("layer3", "layer2", "layer1")
bigger = optim.Adam(grown.named_parameters(), lr=0.01)
bigger.register_load_state_dict_pre_hook(by_name_or_new)
bigger.load_state_dict(optimizer.state_dict())
print("with state:", [n for n, p in grown.named_parameters() if p in bigger.state])
# sphinx_gallery_start_ignore
assert set(bigger.state) == {*grown.layer1.parameters(), *grown.layer2.parameters()}
theirs = optimizer.state[model.layer1.weight]["exp_avg"]
assert torch.equal(bigger.state[grown.layer1.weight]["exp_avg"], theirs)
train(grown, bigger, 3)
assert len(bigger.state) == 6
fewer = Net("layer2")
smaller = optim.Adam(fewer.named_parameters(), lr=0.01)
smaller.register_load_state_dict_pre_hook(by_name_or_new)
smaller.load_state_dict(optimizer.state_dict())
assert set(smaller.state) == set(fewer.parameters())
said = ""
try:
    optim.Adam(grown.parameters()).load_state_dict(optimizer.state_dict())
except ValueError as error:
    said = str(error)
assert "doesn't match the size of optimizer's group" in said
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 07 shows what a state dict holds, and loading by position.
# - Tutorial 19 is about closures.
# - PyTorch's tutorial on `stepping in backward
#   <https://docs.pytorch.org/tutorials/intermediate/optimizer_step_in_backward_tutorial.html>`__.
#
# - 教程 07 讲状态字典里有什么，以及按位置加载。
# - 教程 19 讲闭包。
# - PyTorch 官方教程：`在反向传播中更新
#   <https://docs.pytorch.org/tutorials/intermediate/optimizer_step_in_backward_tutorial.html>`__。
