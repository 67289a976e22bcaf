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
- Five lines that look right: four raise an error, one changes ``lr`` in silence.
- What happens to a tensor that is held twice, and how to notice.
- Level: intermediate. Time: 15 minutes. Needs: tutorial 06, tutorial 08.

**你会学到**

- 一个组和两个组什么时候训练结果分毫不差，什么时候不一样。
- 五行看着没错的代码：四行报错，还有一行悄悄换了学习率。
- 一个张量被拿了两次会怎样，又怎么发现。
- 难度：进阶。用时：15 分钟。预备：教程 06、教程 08。
"""

import warnings

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import optimkit

fonts = ["Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "DejaVu Sans"]
plt.rcParams["font.sans-serif"] = fonts
torch.manual_seed(0)

# %%
# What the note builds | 笔记搭了什么
# -----------------------------------
# Under "optimizing several networks at once", the note takes two networks "as one
# network", in one group, or "as several networks", in two. Its text calls both two-group
# versions ``optimizer_3``; its program says ``optimizer_4`` for the second, and so do we.
# All three still run, with as many groups as the note printed: 1, 2, 2.
#
# 笔记的“同时优化多个网络”一节，把两个网络“当成一个网络优化”，放在一个组里；或者“当成多个网络优化”，分成两个组。
# 两种分组的写法，正文里都叫 ``optimizer_3``，程序里把后一个叫 ``optimizer_4``，
# 这里也这么叫。三个优化器今天都能运行，组数也和笔记打印的一样：1、2、2。

# sphinx_gallery_covers = "S15 S16 S17 S18 C42"
initial_lr = 0.1


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels=1, out_channels=1, kernel_size=(3, 3))
        self.conv2 = nn.Conv2d(in_channels=1, out_channels=1, kernel_size=(3, 3))

    def forward(self, x):
        pass


net_1, net_2 = Model(), Model()
optimizer_2 = torch.optim.Adam([*net_1.parameters(), *net_2.parameters()], lr=initial_lr)
optimizer_3 = torch.optim.Adam(
    [{"params": net_1.parameters()}, {"params": net_2.parameters()}], lr=initial_lr
)
groups = [{"params": net.parameters(), "lr": initial_lr} for net in (net_1, net_2)]
optimizer_4 = torch.optim.Adam(groups)

notes = [optimizer_2, optimizer_3, optimizer_4]
for number, optimizer in enumerate(notes, start=2):
    lrs = [group["lr"] for group in optimizer.param_groups]
    print(f"optimizer_{number}  groups {lrs}  defaults {optimizer.defaults['lr']}")
    assert set(lrs) == {0.1}
assert [len(each.param_groups) for each in notes] == [1, 2, 2]

# %%
# The note prints, without comment, that ``defaults`` of ``optimizer_4`` say 0.001. Nothing
# trains with that: each group brought its own ``lr``, and ``defaults`` only fill in what
# a group leaves out. The figure, drawn from the optimizers, stands in for a lost one.
#
# 笔记还打印出 ``optimizer_4`` 的 ``defaults`` 是 0.001，但没有解释。其实没有谁用它训练：
# 每个组都自带 ``lr``，``defaults`` 只补上组里没写的项。
# 笔记在这里丢了一张图，下面照着真实的优化器补画一张。

# sphinx_gallery_covers = "C44"
assert optimizer_4.defaults["lr"] == 0.001

labels = {
    p: (f"{net}.{name}", color)
    for net, model, color in (("net_1", net_1, "C0"), ("net_2", net_2, "C1"))
    for name, p in model.named_parameters()
}
fig, axes = plt.subplots(1, 2, figsize=(7.8, 3.4), layout="constrained")
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

# %%
# Equal learning rates: the same training | 学习率相同：结果也相同
# ----------------------------------------------------------------
# The note says that as one network "the learning rate of each network is the same".
# True, and its two-group versions set that same 0.1. Do they differ at all? Take two
# networks with a purpose: an encoder squeezes each point of a ring into one number, a
# decoder draws it again. One group or two equal ones: all 300 losses agree in every bit.
#
# 笔记说，当成一个网络时，“每个网络的学习率是相同的”。没错；可它的两种分组写法，
# 设的也都是 0.1。那到底有没有区别？换两个有事可做的网络来试：
# 编码器把圆环上的每个点压成一个数，解码器再把点画回来。
# 一个组，还是两个相同的组，300 步的损失每一位都相等。

# sphinx_gallery_covers = "C40"


def ring(n):
    angle = 2 * torch.pi * torch.rand(n)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    return 2 * circle + 0.1 * torch.randn(n, 2)


def mlp(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, outputs))


points = ring(512)


def fit(*lrs):
    torch.manual_seed(0)
    encoder, decoder = mlp(2, 1), mlp(1, 2)
    groups = [{"params": encoder.parameters()}, {"params": decoder.parameters()}]
    if len(lrs) == 1:
        groups = [{"params": [*encoder.parameters(), *decoder.parameters()]}]
    for group, lr in zip(groups, lrs, strict=True):
        group["lr"] = lr
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
# Different learning rates, at last | 让学习率真的不同
# ----------------------------------------------------
# Groups, says the note, make it "easy to let the learning rates differ". Let them: the
# encoder keeps 0.001, the decoder gets 0.01. Now the training differs.
#
# 笔记说，分组“可以很容易的让多个网络的学习率各不相同”。那就真的设成不同：
# 编码器还是 0.001，解码器用 0.01。这一回，训练过程就不一样了。

# sphinx_gallery_covers = "C41"
own = fit(0.001, 0.01)
assert own[-1] < 0.7 * two[-1]

fig, ax = plt.subplots(figsize=(7.8, 3), layout="constrained")
fig.set_label(
    "Loss over 300 steps: slow with 0.001 for both, faster with 0.01 for the decoder. | "
    "300 步的损失：两个网络都用 0.001，下降得慢；解码器用 0.01，快得多。"
)
ax.plot(two, "C0", lw=2.5)
ax.plot(own, "C1", lw=2.5)
ax.text(300, two[-1] + 0.15, "lr 0.001, 0.001", color="C0", ha="right")
ax.text(300, own[-1] - 0.17, "lr 0.001, 0.01", color="C1", ha="right")
ax.set(xlabel="step | 步", ylabel="loss | 损失", ylim=(0, None))
ax.set_title("Two groups, two learning rates | 两个组，两种学习率")
plt.show()

# %%
# Or write the exception alone. ``optimkit.param_groups`` takes several networks by name;
# what no rule mentions keeps the base options, and a rule that fits no parameter is an
# error. The names go along into the optimizer, and into the table.
#
# 也可以只写例外。``optimkit.param_groups`` 按名字接收多个网络：
# 没有规则提到的用基础设置，规则里的名字谁也对不上就报错。名字会一路带进优化器和表格。

nets = {"encoder": mlp(2, 1), "decoder": mlp(1, 2)}
fast = optimkit.when("decoder.*", lr=0.01)
adam = torch.optim.Adam(optimkit.param_groups(nets, fast, lr=0.001))
assert [group["lr"] for group in adam.param_groups] == [0.001, 0.01]
optimkit.describe(adam)

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
chained = "torch.opotim.Adam(itertools.chain(net_1.parameters(), net_2.parameters()))"
for line in (
    chained,
    chained.replace("opotim", "optim"),
    "torch.optim.Adam([net_1.parameters(), net_2.parameters()])",
    "torch.optim.Adam(net_1.parameters() + net_2.parameters())",
):
    try:
        eval(line)
    except (AttributeError, NameError, TypeError) as error:
        print(type(error).__name__, str(error), sep="\n  ")

import itertools

silent = torch.optim.Adam(itertools.chain(net_1.parameters(), net_2.parameters()))
lrs = [each.param_groups[0]["lr"] for each in (silent, optimizer_2)]
print("lr of the comment, and of the line above:", lrs)
assert lrs == [0.001, 0.1]

# %%
# Wrong: one tensor, two optimizers | 错误：一个张量，两个优化器
# --------------------------------------------------------------
# The note builds ``optimizer_2``, ``optimizer_3`` and ``optimizer_4`` over the same two
# networks. No harm there, since none of them steps. If two do, each weight moves twice.
# PyTorch says nothing; ``optimkit.audit`` does.
#
# 笔记在同样的两个网络上，先后建了 ``optimizer_2``、``optimizer_3``、``optimizer_4``。
# 那里没出事，因为谁也没有调用 ``step()``。要是有两个都更新，每个权重就会走两次。
# PyTorch 一声不吭，``optimkit.audit`` 会告诉你。

# sphinx_gallery_covers = "C56"
bias = net_1.conv1.bias
before = bias.item()
bias.grad = torch.ones(1)
optimizer_2.step()
optimizer_3.step()
print(f"moved by {bias.item() - before:.2f}, with lr {initial_lr}")
torch.testing.assert_close(bias.item() - before, -0.2, rtol=0, atol=1e-4)

found = optimkit.audit([optimizer_2, optimizer_3], models={"net_1": net_1, "net_2": net_2})
print("audit:", *found.codes)
assert "shared" in found.codes

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

gen, disc = mlp(2, 2), mlp(2, 1)
yes, no = torch.ones(128, 1), torch.zeros(128, 1)


def fooled():
    made = gen(torch.randn(128, 2))
    return binary_cross_entropy_with_logits(disc(made), yes)


start = disc[0].weight.detach().clone()
both = torch.optim.Adam([*gen.parameters(), *disc.parameters()], lr=0.005)
fooled().backward()
both.step()
moved = (disc[0].weight - start).abs().max().item()
print(f"the discriminator moved by {moved:.4f}")
torch.testing.assert_close(moved, 0.005, rtol=0.02, atol=0)

# %%
# Right: two optimizers take turns | 正确：两个优化器轮流更新
# -----------------------------------------------------------
# ``optimkit.partition`` splits the parameters by name: none left out, none twice. Each
# optimizer clears its own gradients and takes its own steps; ``detach()`` keeps the
# discriminator's loss out of the generator. The generated points start as a blob and
# end on the ring.
#
# ``optimkit.partition`` 按名字把参数分成几份，一个不漏，一个不重。
# 两个优化器各清各的梯度，各走各的步；``detach()`` 让判别器的损失传不到生成器。
# 生成的点起初挤成一团，最后落在圆环上。

# sphinx_gallery_thumbnail_number = 3

torch.manual_seed(0)
gen, disc = mlp(2, 2), mlp(2, 1)
gan = {"gen": gen, "disc": disc}
parts = optimkit.partition(gan, gen="gen.*", disc="disc.*")
gen_adam = torch.optim.Adam(parts["gen"], lr=0.005, betas=(0.5, 0.9))
disc_adam = torch.optim.Adam(parts["disc"], lr=0.005, betas=(0.5, 0.9))
assert not optimkit.audit([gen_adam, disc_adam], models=gan)

shots = {}
for step in range(801):
    if step in (0, 100, 200, 800):
        shots[step] = gen(torch.randn(1000, 2)).detach()

    made = gen(torch.randn(128, 2)).detach()
    logits = disc(torch.cat([ring(128), made]))
    disc_adam.zero_grad()
    binary_cross_entropy_with_logits(logits, torch.cat([yes, no])).backward()
    disc_adam.step()

    gen_adam.zero_grad()
    fooled().backward()
    gen_adam.step()

fig, axes = plt.subplots(1, 4, figsize=(7.8, 2.6), layout="constrained")
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

x, y = shots[800].T
print(f"mean radius {x.hypot(y).mean():.1f}, of the real points 2.0")
assert abs(x.hypot(y).mean() - 2) < 0.3
assert torch.histc(torch.atan2(y, x), 12, -torch.pi, torch.pi).min() > 10

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

body = nn.Linear(2, 2)
a, b = nn.Sequential(body, nn.Linear(2, 1)), nn.Sequential(body, nn.Linear(2, 1))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    twice = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)
(group,) = optimkit.param_groups({"a": a, "b": b})
sizes = [len(each["params"]) for each in (*twice.param_groups, group)]
print(caught[0].category.__name__, *optimkit.audit(twice).codes, sizes)
assert sizes == [8, 6]

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
low, decoder, encoder, high = (losses[-1] for losses in runs.values())
assert high < min(decoder, encoder) / 2 and max(decoder, encoder) < 0.7 * low

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
