"""
Write your own PyTorch optimizer | 自己写一个 PyTorch 优化器
============================================================

Subclass ``torch.optim.Optimizer``: options go into the groups, memory into
``self.state[p]``, and ``step`` reads both. Then saving, groups, schedulers and hooks work
by themselves. Six short tests tell whether it is so, for yours and for torch's Adam.

继承 ``torch.optim.Optimizer``：选项放进参数组，要记住的放进 ``self.state[p]``，``step`` 从这两处读。
这样保存、分组、调度器、钩子自然就都能用。是不是真的能用，六个小测试见分晓，torch 自带的 Adam 也照样测。

**What you will learn**

- Why a draft that trains well fails five tests out of six.
- Where options and memory belong, and what the base class then does for you.
- What sparse and complex gradients ask for, and how files stay readable.
- Level: advanced. Time: 15 minutes. Needs: tutorial 05, tutorial 07.

**你会学到**

- 一个训练得不错的初稿，为什么六个测试有五个过不了。
- 选项和要记住的东西该放哪里，放对了，基类会替你做什么。
- 稀疏梯度和复数有什么要求，怎样让旧文件以后还能读。
- 难度：高级。用时：15 分钟。预备：教程 05、教程 07。
"""

# %%
# A draft that trains | 一个能训练的初稿
# --------------------------------------
# Momentum, as in tutorial 05, written as one would at first: options and buffers are
# attributes of the object. Fed with the same gradients it takes the same steps as torch's
# own, ``optim.SGD(momentum=0.9)``.
#
# 教程 05 里的动量法，照最先想到的写法写出来：选项和缓冲区都是对象的属性。喂同样的梯度，
# 它走的每一步都与 torch 自带的 ``optim.SGD(momentum=0.9)`` 相同。

import torch
from torch import nn, optim


class Draft(optim.Optimizer):
    def __init__(self, params, lr=0.1, momentum=0.9):
        super().__init__(params, {})
        self.lr, self.momentum, self.buffers = lr, momentum, {}

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                old = self.buffers.get(p, 0)
                self.buffers[p] = self.momentum * old + p.grad
                p.data -= self.lr * self.buffers[p]


# %%
# ``feed`` writes gradients by hand, so that a test needs no model.
#
# ``feed`` 直接手写梯度，这样测试就用不着模型。


def feed(optimizer, p, gradients):
    for gradient in gradients:
        p.grad = gradient
        optimizer.step()
    return p.detach()


def zeros(*shape, dtype=None):
    return nn.Parameter(torch.zeros(*shape, dtype=dtype))


torch.manual_seed(0)
gradients, mine, theirs = torch.randn(10, 3), zeros(3), zeros(3)
feed(Draft([mine]), mine, gradients)
feed(optim.SGD([theirs], lr=0.1, momentum=0.9), theirs, gradients)
print("same as torch:", torch.allclose(mine, theirs))
# sphinx_gallery_start_ignore
assert torch.allclose(mine, theirs)
assert mine.abs().min() > 0.01
# sphinx_gallery_end_ignore

# %%
# Three tests of what every loop relies on | 三个测试：谁都离不开的
# ------------------------------------------------------------------
# Resuming through a file must change nothing. Each group must follow its own ``lr``, also
# once a scheduler has changed it. And a parameter without a gradient must stay.
#
# 存进文件再恢复，结果要分毫不差。每个参数组都得听自己的 ``lr``，调度器改了之后也一样。
# 没有梯度的参数，必须原地不动。

import io


def resume(kind):
    whole, first, second = zeros(3), zeros(3), zeros(3)
    feed(kind([whole]), whole, gradients)
    optimizer, file = kind([first]), io.BytesIO()
    second.data.copy_(feed(optimizer, first, gradients[:5]))
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    optimizer = kind([second])
    optimizer.load_state_dict(torch.load(file))
    return torch.equal(feed(optimizer, second, gradients[5:]), whole)


# %%
# ``groups`` changes one ``lr`` as a scheduler would.
#
# ``groups`` 像调度器那样，改掉其中一个 ``lr``。


def groups(kind):
    a, b = zeros(3), zeros(3)
    optimizer = kind([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.1}])
    optimizer.param_groups[1]["lr"] = 0.05
    a.grad = b.grad = gradients[0]
    optimizer.step()
    return torch.allclose(a, 2 * b)


def idle(kind):
    a, b = zeros(3), zeros(3)
    feed(kind([a, b]), a, gradients)
    return not b.any()


# %%
# Three tests of what some loops need | 三个测试：有时才用到的
# ---------------------------------------------------------------
# A closure is called once, with gradients switched on, and its loss comes back
# (tutorial 19). A sparse gradient, such as ``nn.Embedding(sparse=True)`` makes, counts
# the same as a dense one, or is refused in plain words. A complex number is two real ones.
#
# 闭包调用一次，调用时要能求梯度，损失要返回（教程 19）。``nn.Embedding(sparse=True)`` 那样的稀疏梯度，
# 结果要与稠密的一样，不然就明确拒绝。复数要当成两个实数。


def closure(kind):
    w, calls = nn.Parameter(torch.ones(3)), []
    optimizer = kind([w])

    def loss_again():
        optimizer.zero_grad()
        calls.append((w**2).sum())
        calls[-1].backward()
        return calls[-1]

    return optimizer.step(loss_again) == 3 and len(calls) == 1 and bool((w != 1).all())


def sparse(kind):
    rows, values, a, b = [[1, 1, 3]], torch.ones(3, 2), zeros(4, 2), zeros(4, 2)
    g = torch.sparse_coo_tensor(rows, values, (4, 2), check_invariants=True)
    feed(kind([a]), a, [g] * 3)
    return torch.allclose(a, feed(kind([b]), b, [g.to_dense()] * 3))


# %%
# The draft passes one of the six. Its saved state is empty, since the buffers are not in
# it; ``lr`` in a group is not read; and three cases it never thought of.
#
# 六个里初稿只过了一个。存下的状态是空的，缓冲区不在里面；参数组里的 ``lr``，它不看；另外三种情形，它压根没想到。


def complex_numbers(kind):
    g, z, pair = torch.randn(3, 2), zeros(3, dtype=torch.cfloat), zeros(3, 2)
    feed(kind([z]), z, [torch.view_as_complex(g)] * 3)
    return torch.allclose(torch.view_as_real(z), feed(kind([pair]), pair, [g] * 3))


def check(kind):
    verdicts = {}
    for test in (resume, groups, idle, closure, sparse, complex_numbers):
        try:
            verdicts[test.__name__] = "right" if test(kind) else "WRONG"
        except (TypeError, RuntimeError) as error:
            verdicts[test.__name__] = f"{type(error).__name__}: {error}"
    return verdicts


for name, verdict in check(Draft).items():
    print(f"{name:15} {verdict}")
# sphinx_gallery_start_ignore
drafts = list(check(Draft).values())
assert drafts[:2] == ["WRONG", "WRONG"]
assert drafts[5] == "right"
assert [verdict[:5] for verdict in drafts[2:5]] == ["TypeE", "TypeE", "Runti"]

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts


def swing(kind, stop=None):
    w, places = nn.Parameter(torch.tensor([-5.0])), [-5.0]
    optimizer = kind([w], lr=0.05)
    for step in range(1, 61):
        if step == stop:
            saved, optimizer = optimizer.state_dict(), kind([w], lr=0.05)
            optimizer.load_state_dict(saved)
        w.grad = w.detach().clone()
        optimizer.step()
        places.append(w.item())
    return places


# sphinx_gallery_end_ignore

# %%
# Options in the groups, memory in the state | 选项进参数组，记忆进状态
# ----------------------------------------------------------------------
# Right: what you hand to ``super().__init__`` as defaults becomes an option of each
# group. ``self.state[p]`` is an empty dict at first, and goes into the state dict, under
# the position of ``p``. The part that every optimizer needs comes first: the closure, the
# loop, parameters without a gradient.
#
# 正确写法：交给 ``super().__init__`` 的默认值，会成为每个参数组的选项。``self.state[p]`` 一开始是个空字典，
# 会跟着进状态字典，编号就是 ``p`` 的位置。先写每个优化器都要的部分：闭包、循环、没有梯度的参数。


class EachParameter(optim.Optimizer):
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, p.grad, self.state[p], group)
        return loss


# %%
# Then the rule, in place, from ``group`` and ``state`` alone. All six tests pass. Torch's
# Adam passes five, and refuses sparse gradients: it says so before any parameter of that
# group has moved; earlier groups have. Yours, too, should refuse before it moves anything
# where the rule can't be right.
#
# 然后是规则本身，原地更新，只用 ``group`` 和 ``state`` 里的东西。六个测试全过。torch 的 Adam 过五个，
# 稀疏梯度它拒绝：那一组的参数都还没动，就先说清楚，不过排在前面的组已经更新了。
# 你的规则要是对付不了稀疏梯度，也该在动手之前就拒绝。


class Momentum(EachParameter):
    def __init__(self, params, lr=0.1, momentum=0.9):
        if lr < 0:
            raise ValueError(f"lr must be at least 0, got {lr}")
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def update(self, p, grad, state, group):
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(grad)
        p.sub_(group["lr"] * buffer)


print("Momentum:", set(check(Momentum).values()))
print("Adam:", check(optim.Adam)["sparse"])
# sphinx_gallery_start_ignore
assert set(check(Momentum).values()) == {"right"}
verdicts = check(optim.Adam)
assert "sparse gradients" in verdicts.pop("sparse")
assert set(verdicts.values()) == {"right"}
mine = zeros(3)
feed(Momentum([mine]), mine, gradients)
assert torch.allclose(mine, theirs)
first, table = zeros(3), zeros(4, 2)
first.grad = torch.ones(3)
table.grad = torch.sparse_coo_tensor([[1]], torch.ones(1, 2), (4, 2), check_invariants=True)
try:
    optim.Adam([first, table]).step()
    raise AssertionError
except RuntimeError:
    assert not first.any()
try:
    optim.Adam([{"params": [first]}, {"params": [table]}]).step()
    raise AssertionError
except RuntimeError:
    assert first.all()
said = ""
try:
    Momentum([first], lr=-1)
except ValueError as error:
    said = str(error)
assert said == "lr must be at least 0, got -1"


whole, drifted = swing(Momentum), swing(Draft, stop=8)
sgd = swing(lambda params, lr: optim.SGD(params, lr, momentum=0.9))
torch.testing.assert_close(sgd, whole, rtol=1e-3, atol=1e-5)
assert swing(Momentum, stop=8) == whole
torch.testing.assert_close(drifted[:8], whole[:8])
assert max(abs(a - b) for a, b in zip(whole, drifted, strict=True)) > 1

fig, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
fig.set_label(
    "A weight that swings to rest, saved and loaded after 7 steps: with the buffer in the "
    "state it swings on as before; the draft loses its speed | "
    "一个来回摆动、渐渐停下的权重，第 7 步后保存再加载：缓冲区在状态里，照原样摆下去；初稿失去了速度"
)
ax.plot(whole, color="0.5", lw=7, alpha=0.5)
ax.plot(swing(Momentum, stop=8), "C2", lw=2.2)
ax.plot(range(7, 61), drifted[7:], "C1", lw=2.2)
ax.axvline(7.5, color="0.5", ls=":")
ax.text(8, -4.6, "saved, loaded | 保存再加载", color="0.5")
ax.text(17.5, 1.9, "Momentum", color="C2", family="monospace")
ax.text(17, -1.2, "Draft", color="C1", family="monospace")
ax.set(xlabel="step | 第几步", ylabel="weight | 权重", xlim=(0, 60))
ax.set_title("Memory outside the state is lost | 没进状态的记忆，一加载就没了")
plt.show()

kinds = {"Draft": Draft, "Momentum": Momentum}
kinds |= {"optim.SGD": lambda params: optim.SGD(params, 0.1, 0.9), "optim.Adam": optim.Adam}
colors = {"right": "C2", "WRONG": "C1", "refused": "C0", "error": "C1"}
shown = {"right": "right | 通过", "WRONG": "wrong | 错误"}
shown |= {"refused": "refused | 拒绝", "error": "error | 报错"}
fig, ax = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
fig.set_label(
    "Six tests of four optimizers: the draft passes one, Momentum and SGD all, Adam five, "
    "and refuses sparse gradients | "
    "四个优化器的六个测试：初稿过一个，Momentum 和 SGD 全过，Adam 过五个，稀疏梯度它拒绝"
)
for row, (name, kind) in enumerate(kinds.items()):
    for column, verdict in enumerate(check(kind).values()):
        said = verdict if verdict in shown else "error"
        said = "refused" if "support sparse" in verdict else said
        ax.add_patch(plt.Rectangle((column, row), 0.94, 0.86, color=colors[said]))
        middle = {"ha": "center", "va": "center", "color": "w"}
        ax.text(column + 0.47, row + 0.43, shown[said], fontsize=9, **middle)
        if name == "optim.SGD":
            assert said == "right"
ax.set(xlim=(0, 6), ylim=(4, 0), yticks=[n + 0.43 for n in range(4)], yticklabels=kinds)
tests = ["resume | 恢复", "groups | 分组", "idle | 无梯度", "closure | 闭包"]
tests += ["sparse | 稀疏", "complex | 复数"]
ax.set_xticks([n + 0.47 for n in range(6)], tests)
ax.tick_params(length=0)
ax.grid(visible=False)
ax.spines[:].set_visible(False)
ax.set_title("Training well is not a test | 能训练，不等于过关")
plt.show()
# sphinx_gallery_end_ignore

# %%
# What you get for nothing | 白得的好处
# -------------------------------------
# All that reads groups and state works now: schedulers, ``zero_grad``,
# ``add_param_group``, hooks, and the kit. ``optimkit.describe`` shows the buffers and the
# ``lr`` that the scheduler has set, ``optimkit.audit`` finds nothing to say. Of the
# draft, ``describe`` shows no state.
#
# 凡是靠参数组和状态工作的，现在都能用：调度器、``zero_grad``、``add_param_group``、钩子，还有工具包。
# ``optimkit.describe`` 列出缓冲区，也看得到调度器设的 ``lr``；``optimkit.audit`` 挑不出毛病。
# 换成初稿，``describe`` 看不到任何状态。

import optimkit

model = nn.Linear(3, 2)
optimizer = Momentum(model.named_parameters(), lr=0.1)
scheduler = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
model(gradients).square().mean().backward()
optimizer.step()
scheduler.step()
print(optimkit.describe(optimizer, model))
print(optimkit.audit(optimizer, models=model, schedulers=scheduler))
# sphinx_gallery_start_ignore
report = optimkit.describe(optimizer, model)
assert [row.lr for row in report.rows] == [0.05, 0.05]
assert [list(row.state) for row in report.rows] == [["momentum_buffer"]] * 2
assert optimkit.audit(optimizer, models=model, schedulers=scheduler).codes == ()
draft = Draft(model.parameters())
draft.step()
assert sum(row.bytes for row in optimkit.describe(draft, model).rows) == 0
assert not any(row.state for row in optimkit.describe(draft, model).rows)
swapped = nn.ModuleDict({"b": nn.Linear(3, 2), "a": nn.Linear(3, 2)})
ordered = nn.ModuleDict({"a": swapped["a"], "b": swapped["b"]})
one = Momentum(ordered.named_parameters())
sum(layer(gradients).square().mean() for layer in ordered.values()).backward()
one.step()
other = Momentum(swapped.named_parameters())
optimkit.load_optimizer(other, one.state_dict())
for p in swapped.parameters():
    assert torch.equal(one.state[p]["momentum_buffer"], other.state[p]["momentum_buffer"])
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - Next month you add an option ``nesterov`` to the defaults, and load last month's file.
#   What does the next ``step()`` say?
# - You keep a count in the state, as a tensor. The weights are ``bfloat16``. What comes
#   back from 1001?
#
# - 下个月你给默认值加了个选项 ``nesterov``，再加载上个月的文件，下一次 ``step()`` 会说什么？
# - 状态里用张量记了个次数，权重是 ``bfloat16``。存的是 1001，加载回来是多少？

# %%
# Answers | 答案
# --------------
# - ``KeyError: 'nesterov'``: loading replaces each group by the saved one. Fill in the gap
#   in ``__setstate__``, which loading calls; torch's Adam does.
# - 1000: loading casts the tensors of the state to the dtype of the parameter, except for
#   the key ``step``. Call your count that, or keep it as a Python number.
#
# - ``KeyError: 'nesterov'``：加载时，存下的参数组把现有的整个换掉。缺的选项在 ``__setstate__`` 里补上，
#   加载时会调用它；torch 的 Adam 就是这样做的。
# - 1000：加载时，状态里的张量都转成参数的数据类型，只有键 ``step`` 例外。就用这个名字，或者用 Python 的数来记。


class Newer(Momentum):
    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("nesterov", False)


newer, p = Newer(model.parameters()), nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
newer.load_state_dict(optimizer.state_dict())
print("nesterov:", newer.param_groups[0]["nesterov"])
counting = Momentum([p])
counting.state[p] = {"step": torch.tensor(1001.0), "count": torch.tensor(1001.0)}
counting.load_state_dict(counting.state_dict())
print({key: value.item() for key, value in counting.state[p].items()})
# sphinx_gallery_start_ignore
assert newer.param_groups[0]["nesterov"] is False
assert [value.item() for value in counting.state[p].values()] == [1001, 1000]


class Careless(EachParameter):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.1, "momentum": 0.9, "nesterov": False})

    def update(self, p, grad, state, group):
        p.sub_(group["lr"] * grad * group["nesterov"])


careless, said = Careless(model.parameters()), None
careless.load_state_dict(optimizer.state_dict())
try:
    careless.step()
except KeyError as error:
    said = error.args
assert said == ("nesterov",)
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# Lion, `found by a program <https://arxiv.org/abs/2302.06675>`__ in 2023, is not in torch.
# It keeps one average :math:`m` of gradients, and moves by a sign:
# :math:`w \leftarrow w - \eta\,(\mathrm{sign}(0.9\,m + 0.1\,g) + \lambda w)`, then
# :math:`m \leftarrow 0.99\,m + 0.01\,g`. Write it as an ``EachParameter``, in 12 lines, and
# make it pass all six tests.
#
# `Lion 是 2023 年由程序搜索出来的 <https://arxiv.org/abs/2302.06675>`__，torch 里没有。
# 它只留一个梯度的平均 :math:`m`，每次按符号走：
# :math:`w \leftarrow w - \eta\,(\mathrm{sign}(0.9\,m + 0.1\,g) + \lambda w)`，然后
# :math:`m \leftarrow 0.99\,m + 0.01\,g`。继承 ``EachParameter``，用 12 行写出来，让六个测试全部通过。

# %%
# Solution | 参考答案
# -------------------
# The trap is the last test: ``sign`` takes no complex numbers, so look at them as pairs.
#
# 坑在最后一个测试：``sign`` 不收复数，要把复数看成一对实数。


class Lion(EachParameter):
    def __init__(self, params, lr=0.01, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def update(self, p, grad, state, group):
        if p.is_complex():
            p, grad = torch.view_as_real(p), torch.view_as_real(grad)
        if not state:
            state["exp_avg"] = torch.zeros_like(p)
        average, (fast, slow) = state["exp_avg"], group["betas"]
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(group["lr"] * (fast * average + (1 - fast) * grad).sign())
        average.mul_(slow).add_(grad, alpha=1 - slow)


print(check(Lion))
# sphinx_gallery_start_ignore
assert set(check(Lion).values()) == {"right"}
p, w, m = nn.Parameter(torch.ones(3)), torch.ones(3), torch.zeros(3)
feed(Lion([p], weight_decay=0.5), p, gradients)
for g in gradients:
    w = w - 0.01 * (torch.sign(0.9 * m + 0.1 * g) + 0.5 * w)
    m = 0.99 * m + 0.01 * g
torch.testing.assert_close(p.detach(), w)
said = ""
try:
    torch.zeros(1, dtype=torch.cfloat).sign()
except RuntimeError as error:
    said = str(error)
assert "complex" in said
assert not hasattr(optim, "Lion")
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 05 writes five update rules by hand.
# - Tutorial 20 hooks into optimizers that you did not write.
# - The source of torch's own momentum, `torch.optim.SGD
#   <https://github.com/pytorch/pytorch/blob/main/torch/optim/sgd.py>`__.
#
# - 教程 05 手写五种更新规则。
# - 教程 20 给不是你写的优化器挂钩子。
# - torch 自带的动量法，`torch.optim.SGD 的源码
#   <https://github.com/pytorch/pytorch/blob/main/torch/optim/sgd.py>`__。
