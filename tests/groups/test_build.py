"""Parameter groups and partitions of a model."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from optimkit import (
    GroupError,
    freeze,
    is_bias,
    is_matrix,
    layer_decay,
    param_groups,
    partition,
    when,
)


def net():
    """Return a model with a norm between two layers."""
    return nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))


def shown(groups):
    """Return, for each group, its name and those of its parameters."""
    return {group["name"]: [name for name, _ in group["params"]] for group in groups}


def test_no_rules_is_one_group():
    """Without rules all parameters are one group, called default, in torch's named form."""
    model = net()
    [group] = param_groups(model, lr=0.1)
    assert list(group) == ["params", "lr", "name"]
    assert group["lr"] == 0.1
    assert group["name"] == "default"
    for (name, param), (own_name, own) in zip(
        group["params"], model.named_parameters(), strict=True
    ):
        assert name == own_name
        assert param is own


def test_later_rules_win_key_by_key():
    """A later rule overrides the options that it names, and leaves the others."""
    groups = param_groups(
        net(),
        when("*", lr=1.0, weight_decay=1.0),
        when(is_bias, lr=2.0),
        when("2.*", weight_decay=3.0),
        lr=0.1,
        momentum=0.9,
    )
    found = {
        name: (group["lr"], group["weight_decay"], group["momentum"])
        for group in groups
        for name, _ in group["params"]
    }
    assert found == {
        "0.weight": (1.0, 1.0, 0.9),
        "0.bias": (2.0, 1.0, 0.9),
        "1.weight": (1.0, 1.0, 0.9),
        "1.bias": (2.0, 1.0, 0.9),
        "2.weight": (1.0, 3.0, 0.9),
        "2.bias": (2.0, 3.0, 0.9),
    }


def test_equal_options_share_a_group_in_model_order():
    """Whichever rules led there, equal options are one group, its parameters in model order."""
    groups = param_groups(
        net(), when("0.*", lr=0.5), when("2.*", lr=0.5), when("0.bias", lr=0.1), lr=0.1
    )
    assert shown(groups) == {
        "lr=0.5": ["0.weight", "2.weight", "2.bias"],
        "default": ["0.bias", "1.weight", "1.bias"],
    }


def test_a_name_asked_for_is_a_group_asked_for():
    """A named rule makes a group of its own, even with the options of another."""
    groups = param_groups(net(), when("2.*", name="head"), lr=0.1)
    assert shown(groups) == {
        "default": ["0.weight", "0.bias", "1.weight", "1.bias"],
        "head": ["2.weight", "2.bias"],
    }


def test_frozen_parameters():
    """Frozen parameters are skipped, kept, or an error; a rule may match only them."""
    model = net()
    freeze(model[0])
    rule = when("0.*", lr=0.5)
    assert shown(param_groups(model, rule, lr=0.1)) == {
        "default": ["1.weight", "1.bias", "2.weight", "2.bias"]
    }
    assert shown(param_groups(model, rule, lr=0.1, frozen="keep"))["lr=0.5"] == [
        "0.weight",
        "0.bias",
    ]
    with pytest.raises(GroupError) as caught:
        param_groups(model, rule, lr=0.1, frozen="error")
    assert str(caught.value) == (
        "these parameters are frozen: 0.weight, 0.bias. "
        'Unfreeze them, or pass frozen="skip" or "keep".'
    )


def test_tied_parameters_come_once():
    """A tied parameter is in one group, under its first name, with the options of any alias."""
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4)})
    model["head"].weight = model["embed"].weight
    groups = param_groups(model, when("head.weight", lr=0.5), lr=0.1)
    assert shown(groups) == {"lr=0.5": ["embed.weight"], "default": ["head.bias"]}
    torch.optim.SGD(groups)


def test_each_group_has_its_own_tensor_lr():
    """A tensor lr is cloned: no group shares it with another, or with the caller."""
    lr = torch.tensor(0.1)
    groups = param_groups(net(), when(is_bias, weight_decay=0.0), layer_decay(0.5, len), lr=lr)
    tensors = [lr, *(group["lr"] for group in groups)]
    assert len({id(tensor) for tensor in tensors}) == len(groups) + 1
    assert len({tensor.data_ptr() for tensor in tensors}) == len(groups) + 1
    [same] = param_groups(net(), when("0.*", lr=torch.tensor(0.1)), lr=lr)
    assert same["lr"] == lr


def test_several_models():
    """A mapping of models gives names that begin with the key."""
    groups = param_groups({"g": nn.Linear(1, 1), "d": nn.Linear(1, 1)}, when("d.*", lr=0.5), lr=0.1)
    assert shown(groups) == {"default": ["g.weight", "g.bias"], "lr=0.5": ["d.weight", "d.bias"]}


def test_parameter_containers_and_shared_modules():
    """ParameterList, ParameterDict and a module used twice give their own names."""
    model = nn.Module()
    model.scales = nn.ParameterList([torch.ones(1), torch.ones(2)])
    model.tables = nn.ParameterDict({"a": nn.Parameter(torch.ones(2, 2))})
    model.first = model.second = nn.Linear(1, 1)
    groups = param_groups(model, when("scales.*", lr=1.0), when("second.*", lr=2.0), lr=0.1)
    assert shown(groups) == {
        "lr=1": ["scales.0", "scales.1"],
        "default": ["tables.a"],
        "lr=2": ["first.weight", "first.bias"],
    }


def test_wrapped_models(tmp_path):
    """A model gives the same groups wrapped by DDP, compiled, or both, and by rule on a part."""
    model = net()
    rules = when("2.*", lr=0.5), when(model[1], lr=0.2), when(is_bias, weight_decay=0.0)
    expected = shown(param_groups(model, *rules, lr=0.1))
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        ddp = DistributedDataParallel(model)
        for wrapped in (ddp, torch.compile(model), torch.compile(ddp)):
            assert shown(param_groups(wrapped, *rules, lr=0.1)) == expected
    finally:
        dist.destroy_process_group()


def optimizers():
    """List the classes of torch.optim."""
    kinds = [getattr(torch.optim, name) for name in torch.optim.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type)]
    return [kind for kind in kinds if kind is not torch.optim.Optimizer]


@pytest.mark.parametrize("kind", optimizers(), ids=lambda kind: kind.__name__)
def test_every_optimizer_takes_the_groups(kind):
    """Every class in torch.optim is built from the groups, keeps the names, and steps."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    rules = [] if kind is torch.optim.LBFGS else [when("1.*", name="head", lr=0.5)]
    groups = param_groups(model, *rules, optimizer=kind, lr=0.1)
    names = [[name for name, _ in group["params"]] for group in groups]
    optimizer = kind(groups)  # which rewrites the groups
    assert [group["param_names"] for group in optimizer.param_groups] == names
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5][: len(groups)]
    if kind is not torch.optim.SparseAdam:

        def closure():
            optimizer.zero_grad()
            loss = model(torch.ones(1, 2)).sum()
            loss.backward()
            return loss

        optimizer.step(closure)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64])
def test_other_dtypes_and_the_meta_device(dtype):
    """Parameters of any dtype, and on the meta device, are grouped without being touched."""
    model = nn.Sequential(nn.Linear(2, 2, dtype=dtype), nn.Linear(2, 2, device="meta"))
    assert shown(param_groups(model, when(is_matrix, weight_decay=0.1), lr=0.1)) == {
        "weight_decay=0.1": ["0.weight", "1.weight"],
        "default": ["0.bias", "1.bias"],
    }


def test_a_partition_feeds_several_optimizers():
    """Muon takes the matrices and AdamW the rest, each parameter once."""
    model = net()
    parts = partition(model, muon=is_matrix, adamw=~is_matrix, none=nn.Conv2d)
    assert list(parts) == ["muon", "adamw", "none"]
    assert parts["none"] == []
    if hasattr(torch.optim, "Muon"):
        torch.optim.Muon(parts["muon"])
    optimizer = torch.optim.AdamW(parts["adamw"])
    assert optimizer.param_groups[0]["param_names"] == ["0.bias", "1.weight", "1.bias", "2.bias"]


def test_a_partition_leaves_out_what_is_frozen():
    """Frozen parameters belong to no part, and need none."""
    model = net()
    freeze(model[0], model[1])
    assert [name for name, _ in partition(model, head="2.*")["head"]] == ["2.weight", "2.bias"]


def test_building_leaves_the_model_alone():
    """Neither groups nor parts change a model, or what was passed."""
    model = net()
    before = {
        name: (param.clone(), param.requires_grad) for name, param in model.named_parameters()
    }
    options = {"betas": [0.9, 0.95]}
    groups = param_groups(model, when("*", **options), lr=0.1)
    groups[0]["betas"].append(1)
    partition(model, all="*")
    assert options == {"betas": [0.9, 0.95]}
    for name, param in model.named_parameters():
        assert torch.equal(param, before[name][0])
        assert param.requires_grad == before[name][1]
        assert param.grad is None
