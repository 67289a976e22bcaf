"""
Train several networks: groups or optimizers? | 训练多个网络：分成几组，还是用几个优化器？
==================================================================================================

One optimizer can hold any number of networks. In one parameter group they share a
learning rate; with a group each, each has its own. Take several optimizers only where
networks step at different moments, as in a GAN, or by different rules; and never give
two of them the same tensor.

一个优化器可以装下任意多个网络。放进同一个参数组，学习率就相同；各放一组，学习率就各归各。
只有当几个网络在不同的时刻更新（比如 GAN），或者用不同的算法更新时，才需要多个优化器；
而且同一个张量绝不能交给两个优化器。

**What you will learn**

- When one group and two groups train alike, to the last bit, and when they don't.
- Five lines that look right, and what happens to a tensor that is held twice.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 06, tutorial 08.

**你会学到**

- 一个组和两个组什么时候训练结果分毫不差，什么时候不一样。
- 五行看着没错的代码；一个张量被拿了两次会怎样。
- 难度：进阶。用时：15 分钟。预备：教程 06、教程 08。
"""

# %%
# One group for both, or a group each | 合成一组，还是各成一组
# ------------------------------------------------------------
# The note, the Chinese post that these pages began with (checked line by line), takes two
# networks "as one network", in one group, or "as several networks", in two. (Its text
# calls both two-group versions ``optimizer_3``; its program says ``optimizer_4`` for the
# second.) The ``defaults`` of that one say 0.001, and nothing trains with it: each group
# brings its own ``lr``.
#
# 笔记，也就是这套教程最初依据的那篇中文文章（已逐条核对），把两个网络“当成一个网络优化”，放在一个组里；
# 或者“当成多个网络优化”，分成两个组。（两种分组的写法，正文里都叫 ``optimizer_3``，
# 程序里把后一个叫 ``optimizer_4``。）后一个的 ``defaults`` 是 0.001，可没有谁用它训练：
# 每个组都自带 ``lr``。

# sphinx_gallery_covers = "S15 S16 S17 S18 C42 C44"
import torch
from torch import nn

net_1, net_2 = (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)) for _ in range(2))
optimizer_2 = torch.optim.Adam([*net_1.parameters(), *net_2.parameters()], lr=0.1)
optimizer_3 = torch.optim.Adam(
    [{"params": net_1.parameters()}, {"params": net_2.parameters()}], lr=0.1
)
groups = [{"params": net.parameters(), "lr": 0.1} for net in (net_1, net_2)]
optimizer_4 = torch.optim.Adam(groups)
# sphinx_gallery_start_ignore
notes = [optimizer_2, optimizer_3, optimizer_4]
assert [len(each.param_groups) for each in notes] == [1, 2, 2]
assert [each.defaults["lr"] for each in notes] == [0.1, 0.1, 0.001]
assert {group["lr"] for each in notes for group in each.param_groups} == {0.1}

import matplotlib.pyplot as plt

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
labels = {
    p: (f"{net}.{name}", color)
    for net, model, color in (("net_1", net_1, "C0"), ("net_2", net_2, "C1"))
    for name, p in model.named_parameters()
}
fig, axes = plt.subplots(1, 2, figsize=(7.8, 2.8), layout="constrained")
fig.set_label(
    "Eight tensors: all in group 0, or four in group 0 and four in group 1. | "
    "八个张量：全在第 0 组，或者四个在第 0 组、四个在第 1 组。"
)
for ax, optimizer in zip(axes, (optimizer_2, optimizer_3), strict=True):
    row = 0.0
    for number, group in enumerate(optimizer.param_groups):
        top = row - 0.4
        for p in group["params"]:
            label, color = labels[p]
            ax.barh(row, 1, color=color, alpha=0.35)
            ax.text(0.5, row, label, ha="center", va="center", fontsize=8.5)
            row += 1
        ax.plot([1.06, 1.06], [top, row - 0.6], color="0.5", lw=3)
        text = f"group {number}\nlr {group['lr']}"
        ax.text(1.1, (top + row - 0.6) / 2, text, va="center", family="monospace")
        row += 0.6
    ax.set(xlim=(0, 1.65), ylim=(9, -0.5))
    ax.axis("off")
axes[0].set_title("as one network | 当成一个网络")
axes[1].set_title("as several networks | 当成多个网络")
title = "A learning rate belongs to a group, not a network | 学习率属于参数组，不属于网络"
fig.suptitle(title)
plt.show()
# sphinx_gallery_end_ignore

# %%
# Equal learning rates: the same training | 学习率相同：结果也相同
# ----------------------------------------------------------------
# Does it matter, then, whether there is one group or two? Try it on a pair with a task:
# an encoder squeezes each point of a ring into one number, a decoder draws it again.
#
# 那么分一组还是两组，到底有没有区别？拿一对有事可做的网络来试：
# 编码器把圆环上的每个点压成一个数，解码器再把点画回来。


def ring(n):
    angle = 2 * torch.pi * torch.rand(n)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    return 2 * circle + 0.1 * torch.randn(n, 2)


def mlp(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, outputs))


torch.manual_seed(0)
points = ring(512)

# %%
# The note says that as one network "the learning rate of each network is the same".
# True, and its two-group versions set that same 0.1. Then all 300 losses agree in every
# bit.
#
# 笔记说，当成一个网络时，“每个网络的学习率是相同的”。没错；可它的两种分组写法，
# 设的也都是 0.1。这样的话，300 步的损失每一位都相等。

# sphinx_gallery_covers = "C40"


def fit(*lrs):
    torch.manual_seed(0)
    encoder, decoder = mlp(2, 1), mlp(1, 2)
    parts = [[*encoder.parameters()], [*decoder.parameters()]]
    if len(lrs) == 1:
        parts = [parts[0] + parts[1]]
    groups = [{"params": part, "lr": lr} for part, lr in zip(parts, lrs, strict=True)]
    optimizer = torch.optim.Adam(groups)
    losses = []
    for _ in range(300):
        loss = (decoder(encoder(points)) - points).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


one, two = fit(0.001), fit(0.001, 0.001)
print(f"loss after 300 steps: {one[-1]:.4f} and {two[-1]:.4f}")
assert one == two

# %%
# Different learning rates | 让学习率真的不同
# -------------------------------------------
# Groups, says the note, make it "easy to let the learning rates differ". Let them: the
# encoder keeps 0.001, the decoder gets 0.01, and the training differs. With many networks
# write the exceptions alone: ``optimkit.param_groups`` takes rules by name; the rest keeps
# the base options, and a rule that fits no parameter is an error.
#
# 笔记说，分组“可以很容易的让多个网络的学习率各不相同”。那就真的设成不同：
# 编码器还是 0.001，解码器用 0.01，训练过程就不一样了。网络一多，不妨只写例外：
# ``optimkit.param_groups`` 接收按名字写的规则，规则没提到的参数用基础设置，
# 规则里的名字谁也对不上就报错。

# sphinx_gallery_covers = "C41"
import optimkit

own = fit(0.001, 0.01)
print(f"loss after 300 steps: {own[-1]:.4f}")

nets = {"encoder": mlp(2, 1), "decoder": mlp(1, 2)}
groups = optimkit.param_groups(nets, optimkit.when("decoder.*", lr=0.01), lr=0.001)
# sphinx_gallery_start_ignore
assert own[-1] < 0.7 * two[-1]
assert [(len(group["params"]), group["lr"]) for group in groups] == [(4, 0.001), (4, 0.01)]
fig, ax = plt.subplots(figsize=(7.8, 2.4), layout="constrained")
fig.set_label(
    "Loss over 300 steps: slow with 0.001 for both, faster with 0.01 for the decoder. | "
    "300 步的损失：两个网络都用 0.001，下降得慢；解码器用 0.01，快得多。"
)
ax.plot(two, "C0", lw=2.5)
ax.plot(own, "C1", lw=2.5)
ax.text(300, two[-1] + 0.15, "lr 0.001, 0.001", color="C0", ha="right")
ax.text(300, own[-1] + 0.12, "lr 0.001, 0.01", color="C1", ha="right")
ax.set(xlabel="step | 步", ylabel="loss | 损失", ylim=(0, None))
ax.set_title("Two groups, two learning rates | 两个组，两种学习率")
plt.show()
# sphinx_gallery_end_ignore

# %%
# Wrong: five lines that look right | 错误：看着没错的五行
# --------------------------------------------------------
# In a comment the note offers ``itertools.chain``, which it says does "the same as the
# line above". Uncommented, it shows three slips: a letter too many, a missing import,
# and, once it runs, a missing ``lr``, which is silent. Two more lines fail because
# ``parameters()`` is a generator: ``params`` may be one, as in ``optimizer_3``, but a list
# of two is no list of tensors, and they don't add up.
#
# 笔记在注释里给了 ``itertools.chain`` 的写法，说“和上一行作用相同”。取消注释，
# 三处笔误一个接一个冒出来：多敲了一个字母；没有导入模块；等终于能跑了，又少了 ``lr``，
# 而这一处不报错。另外两行错在 ``parameters()`` 返回的是生成器：像 ``optimizer_3`` 那样
# 直接交给 ``params`` 没问题，但装着生成器的列表不是张量的列表，生成器之间也不能相加。

# sphinx_gallery_covers = "C43 C55"
for line in (
    "torch.opotim.Adam(itertools.chain(net_1.parameters(), net_2.parameters()))",
    "torch.optim.Adam(itertools.chain(net_1.parameters(), net_2.parameters()))",
    "torch.optim.Adam([net_1.parameters(), net_2.parameters()])",
    "torch.optim.Adam(net_1.parameters() + net_2.parameters())",
):
    try:
        eval(line)
        # sphinx_gallery_start_ignore
        raise AssertionError
        # sphinx_gallery_end_ignore
    except (AttributeError, NameError, TypeError) as error:
        print(f"{type(error).__name__}: {error}")

import itertools

silent = torch.optim.Adam(itertools.chain(net_1.parameters(), net_2.parameters()))
print("and it runs, with lr", silent.param_groups[0]["lr"])
# sphinx_gallery_start_ignore
assert silent.param_groups[0]["lr"] == 0.001
# sphinx_gallery_end_ignore

# %%
# Wrong: one tensor, two optimizers | 错误：一个张量，两个优化器
# --------------------------------------------------------------
# The note builds ``optimizer_2``, ``optimizer_3`` and ``optimizer_4`` over the same two
# networks. No harm there, since none of them steps. If two do, each weight moves twice, and
# PyTorch says nothing (tutorial 02). Right: build each from the ``parameters()`` of networks
# of its own. ``optimkit.audit`` finds what two optimizers share; ``optimkit.partition``
# splits the parameters of models by name, none left out, none twice.
#
# 笔记在同样的两个网络上，先后建了 ``optimizer_2``、``optimizer_3``、``optimizer_4``。
# 那里没出事，因为谁也没有调用 ``step()``。要是有两个都更新，每个权重就会走两次，PyTorch 一声不吭（见教程 02）。
# 正确写法：每个优化器只用自己那几个网络的 ``parameters()``。两个优化器共用了什么，
# ``optimkit.audit`` 会告诉你；``optimkit.partition`` 则按名字把模型的参数分成几份，一个不漏，一个不重。

# sphinx_gallery_covers = "C56"
models = {"net_1": net_1, "net_2": net_2}
print(optimkit.audit([optimizer_2, optimizer_3], models=models))
parts = optimkit.partition(models, first="net_1.*", second="net_2.*")
# sphinx_gallery_start_ignore
bias = net_1[0].bias
before = bias.item()
bias.grad = torch.ones(1)
optimizer_2.step()
optimizer_3.step()
torch.testing.assert_close(bias.item() - before, -0.2, rtol=0, atol=1e-4)
assert "shared" in optimkit.audit([optimizer_2, optimizer_3], models=models).codes
apart = [torch.optim.Adam(part) for part in parts.values()]
assert "shared" not in optimkit.audit(apart, models=models).codes
# sphinx_gallery_end_ignore

# %%
# Wrong: one optimizer for two opponents | 错误：一个优化器管两个对手
# -------------------------------------------------------------------
# In a GAN, a generator learns to fool a discriminator, which learns not to be fooled.
# The generator's loss passes through both, so both get gradients. One optimizer moves
# both: the discriminator takes a full step, 0.005, towards being fooled.
#
# 在 GAN 里，生成器学着骗过判别器，判别器学着不被骗。生成器的损失要穿过两个网络，
# 所以两边都有梯度。要是只用一个优化器，两边会一起更新：
# 判别器朝着“更好骗”的方向走了一整步，0.005。

from torch.nn.functional import binary_cross_entropy_with_logits as bce

gen, disc = mlp(2, 2), mlp(2, 1)
yes, no = torch.ones(128, 1), torch.zeros(128, 1)
both = torch.optim.Adam([*gen.parameters(), *disc.parameters()], lr=0.005)
start = disc[0].weight.detach().clone()
bce(disc(gen(torch.randn(128, 2))), yes).backward()
both.step()
moved = (disc[0].weight - start).abs().max().item()
print(f"the discriminator moved by {moved:.4f}")
# sphinx_gallery_start_ignore
torch.testing.assert_close(moved, 0.005, rtol=0.02, atol=0)
# sphinx_gallery_end_ignore

# %%
# Right: two optimizers take turns | 正确：两个优化器轮流更新
# -----------------------------------------------------------
# Each optimizer clears its own gradients and takes its own steps; ``detach()`` keeps the
# discriminator's loss out of the generator, ``gen``. Its points start as a blob and end on
# the ring of real ones, at a radius of 2.
#
# 两个优化器各清各的梯度，各走各的步；``detach()`` 让判别器的损失传不到生成器。
# ``gen`` 生成的点起初挤成一团，最后落在真实数据所在的圆环上，半径为 2。

# sphinx_gallery_thumbnail_number = 3
torch.manual_seed(0)
gen, disc = mlp(2, 2), mlp(2, 1)
gen_adam, disc_adam = (
    torch.optim.Adam(net.parameters(), lr=0.005, betas=(0.5, 0.9)) for net in (gen, disc)
)
# sphinx_gallery_start_ignore
assert not optimkit.audit([gen_adam, disc_adam], models={"gen": gen, "disc": disc})
noise = torch.randn(1000, 2, generator=torch.Generator().manual_seed(1))
shots = {0: gen(noise).detach()}
# sphinx_gallery_end_ignore
for step in range(1, 801):
    made = gen(torch.randn(128, 2))
    disc_adam.zero_grad()
    bce(disc(torch.cat([ring(128), made.detach()])), torch.cat([yes, no])).backward()
    disc_adam.step()

    gen_adam.zero_grad()
    bce(disc(made), yes).backward()
    gen_adam.step()
    # sphinx_gallery_start_ignore
    if step in (100, 200, 800):
        shots[step] = gen(noise).detach()
    # sphinx_gallery_end_ignore
# sphinx_gallery_start_ignore
radius = gen(torch.randn(1000, 2)).detach().norm(dim=1)
assert abs(radius.mean() - 2) < 0.3
x, y = shots[800].T
assert torch.histc(torch.atan2(y, x), 12, -torch.pi, torch.pi).min() > 10
random_state = torch.get_rng_state()

fig, axes = plt.subplots(1, 4, figsize=(7.8, 2.5), layout="constrained")
fig.set_label(
    "Generated points at four steps: a blob spreads and ends on a grey ring. | "
    "四个时刻生成的点：一小团散开，最后落在灰色的圆环上。"
)
for ax, (step, shot) in zip(axes, shots.items(), strict=True):
    ax.scatter(*ring(400).T, s=4, color="0.5", alpha=0.5, lw=0)
    ax.scatter(*shot.T, s=5, color="C1", alpha=0.7, lw=0)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    ax.set_title(f"step {step} | 第 {step} 步")
fig.suptitle("Two optimizers, taking turns, draw a ring | 两个优化器轮流更新，画出圆环")
plt.show()
torch.set_rng_state(random_state)
# sphinx_gallery_end_ignore

# %%
# Ask yourself | 问问自己
# -----------------------
# - In the loop above, the generator's ``backward()`` fills the discriminator's gradients
#   as well. Why does that do no harm?
# - Two networks share a layer. What does ``[*a.parameters(), *b.parameters()]`` hold?
#
# * 上面的循环里，生成器那次 ``backward()`` 也填好了判别器的梯度。为什么没出问题？
# * 两个网络共用一层，``[*a.parameters(), *b.parameters()]`` 里装了什么？

# %%
# Answers | 答案
# --------------
# - ``gen_adam`` does not hold those tensors, and ``disc_adam`` clears them before its
#   own ``backward()``. Without that ``zero_grad()``, it would matter.
# - The shared tensors, twice. In one group PyTorch only warns, and each step moves them
#   twice, as tutorial 06 shows. ``optimkit.param_groups`` takes them once.
#
# * ``gen_adam`` 没有拿着这些张量，而 ``disc_adam`` 在自己的 ``backward()`` 之前会先清零。
#   要是漏了那次 ``zero_grad()``，就有影响了。
# * 共用的张量出现了两次。放在一个组里，PyTorch 只给一条警告，然后每一步都更新它们两次
#   （见教程 06）。``optimkit.param_groups`` 只取一次。

import warnings

body = nn.Linear(2, 2)
a, b = nn.Sequential(body, nn.Linear(2, 1)), nn.Sequential(body, nn.Linear(2, 1))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    twice = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)
print(f"{caught[0].category.__name__}: {caught[0].message}")
(group,) = optimkit.param_groups({"a": a, "b": b})
print(len(twice.param_groups[0]["params"]), len(group["params"]))
# sphinx_gallery_start_ignore
assert (len(twice.param_groups[0]["params"]), len(group["params"])) == (8, 6)
assert optimkit.audit(twice).codes == ("duplicate",)
# sphinx_gallery_end_ignore

# %%
# Exercise | 练习
# ---------------
# The decoder with ten times the learning rate did better. Is ten the right ratio, then?
# Train the pair twice more: with the faster rate for the encoder instead, and for both.
# Say what helped.
#
# 解码器的学习率调成十倍，效果更好。那么“十倍”就是合适的比例吗？
# 再训练两次：一次让编码器快，一次两个都快。说说到底是什么起了作用。

# %%
# Solution | 参考答案
# -------------------
# The larger rate helped, not the ratio: given to the encoder it does much the same, and
# given to both it does best. Before you credit a ratio, try equal rates, low and high.
#
# 起作用的是更大的学习率，不是比例：给编码器，效果差不多；两个都给，效果最好。
# 想把功劳记给比例之前，先试试两个相同的情形，低的和高的都试。

runs = {(0.001, 0.001): two, (0.001, 0.01): own}
for lrs in ((0.01, 0.001), (0.01, 0.01)):
    runs[lrs] = fit(*lrs)
for lrs, losses in runs.items():
    print(f"encoder, decoder {lrs!s:14}  loss {losses[-1]:.2f}")
# sphinx_gallery_start_ignore
low, decoder, encoder, high = (losses[-1] for losses in runs.values())
assert high < min(decoder, encoder) / 2 and max(decoder, encoder) < 0.7 * low
# sphinx_gallery_end_ignore

# %%
# Where to go next | 接下来读什么
# -------------------------------
# - Tutorial 10 trains only some layers of one network; tutorial 06 adds groups later.
# - A real GAN on images: `the DCGAN tutorial
#   <https://docs.pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html>`__.
#
# * 教程 10 只训练一个网络的某几层，教程 06 讲中途添加参数组。
# * 在图像上训练真正的 GAN：`DCGAN 教程
#   <https://docs.pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html>`__。
