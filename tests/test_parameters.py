"""The walk: names, ties, owners, wrappers."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.parallel import DistributedDataParallel

from optimkit._errors import GroupError
from optimkit._parameters import ParamInfo
from optimkit._walking import walk


@pytest.fixture
def process_group(tmp_path):
    """One process that is a whole gloo group."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def net() -> nn.Sequential:
    """Return a model with a plain, a nested and an empty module."""
    return nn.Sequential(
        nn.Linear(2, 3), nn.Sequential(nn.LayerNorm(3), nn.ReLU()), nn.Linear(3, 1)
    )


def own_names(model: nn.Module) -> list[str]:
    """Return torch's names."""
    return [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize(
    "model",
    [
        net(),
        nn.Transformer(8, 2, 1, 1, 8, batch_first=True),
        nn.LSTM(2, 3, num_layers=2, bidirectional=True),
        nn.ParameterDict({"a": nn.Parameter(torch.ones(1)), "b": nn.Parameter(torch.ones(2))}),
        nn.ParameterList([torch.ones(1), torch.ones(2)]),
        nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
        nn.Linear(2, 2, bias=False),
        nn.Linear(2, 2, device="meta"),
        nn.ReLU(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_same_as_named_parameters(model):
    """The walk gives what named_parameters gives, in its order."""
    expected = list(model.named_parameters())
    found = walk(model)
    assert found.names == [name for name, _ in expected]
    assert [id(param) for param in found.params] == [id(param) for _, param in expected]
    assert len(found) == len(expected)


def test_each_parameter_knows_its_owner():
    """A ParamInfo has the module that owns the parameter, and that module's name."""
    model = net()
    for info in walk(model):
        leaf = info.name.rpartition(".")[2]
        assert getattr(info.module, leaf) is info.param
        assert model.get_submodule(info.module_name) is info.module


def test_param_info_is_frozen_and_compares_by_identity():
    """A ParamInfo can't be changed, and comparing two never compares tensors."""
    info = next(iter(walk(net())))
    with pytest.raises(AttributeError):
        info.name = "other"
    assert info == info
    assert info != ParamInfo(info.name, info.param, info.module, info.module_name)


def test_tied_parameters_are_one_with_aliases():
    """A tied parameter comes once, under its first name, with the others as aliases."""
    model = net()
    model[2] = nn.Linear(2, 3, bias=False)
    model[2].weight = model[0].weight
    found = {info.name: info.aliases for info in walk(model)}
    assert list(found) == own_names(model)
    assert found["0.weight"] == ("2.weight",)
    assert found["0.bias"] == ()
    assert len(walk(model)) == 4


def test_every_place_of_a_tie_is_seen_from_there():
    """Seen from its second place, a tied parameter has that owner, and the first name as alias."""
    model = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3, bias=False))
    model[1].weight = model[0].weight
    first, second = walk(model).infos()
    assert (first.name, first.aliases, first.module) == ("0.weight", ("1.weight",), model[0])
    assert (second.name, second.aliases, second.module) == ("1.weight", ("0.weight",), model[1])


def test_a_shared_module_gives_aliases():
    """A module that is used three times gives each of its parameters two aliases."""
    layer = nn.Linear(2, 2)
    model = nn.ModuleDict({"a": layer, "b": nn.Sequential(layer), "c": layer})
    assert [(info.name, info.aliases) for info in walk(model)] == [
        ("a.weight", ("b.0.weight", "c.weight")),
        ("a.bias", ("b.0.bias", "c.bias")),
    ]


def test_a_module_that_holds_its_parent_ends():
    """A cycle of modules is walked once, as torch does."""
    model = net()
    model[1].parent = model
    assert walk(model).names == own_names(model)


@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        nn.DataParallel,
        lambda model: nn.DataParallel(torch.compile(model)),
        checkpoint_wrapper,
    ],
    ids=["compile", "DataParallel", "DataParallel of compile", "checkpoint_wrapper"],
)
def test_names_are_seen_through_wrappers(wrap):
    """What a wrapper puts before the names is left out."""
    model = net()
    assert walk(wrap(model)).names == own_names(model)


def test_names_are_seen_through_a_wrapper_inside():
    """A wrapper deep in the model is seen through too."""
    model = net()
    expected = own_names(model)
    model[1] = torch.compile(model[1])
    assert walk(model).names == expected
    assert walk(model).module_names == ["", "0", "1", "1", "1.0", "2"]


def test_names_are_seen_through_ddp(process_group):
    """DistributedDataParallel, and a compiled model in it, keep the model's own names."""
    model = net()
    for wrapped in (DistributedDataParallel(model), DistributedDataParallel(torch.compile(model))):
        assert walk(wrapped).names == own_names(model)
        assert walk(torch.compile(wrapped)).names == own_names(model)


# One process is a group of one: FSDP has nothing to shard, and says so.
@pytest.mark.filterwarnings("ignore:FSDP is switching:UserWarning")
@pytest.mark.filterwarnings("ignore:.*NO_SHARD.*:FutureWarning")
def test_names_are_seen_through_fsdp(process_group):
    """FullyShardedDataParallel keeps the model's own names, nested too."""
    from torch.distributed.fsdp import FullyShardedDataParallel

    model = net()
    expected = own_names(model)
    options = {"use_orig_params": True, "device_id": torch.device("cpu")}
    model[1] = FullyShardedDataParallel(model[1], **options)
    wrapped = FullyShardedDataParallel(model, **options)
    assert walk(wrapped).names == expected


def test_an_attribute_called_module_keeps_its_name():
    """Only real wrappers are seen through: a model's own ``module`` is part of the name."""
    model = nn.ModuleDict({"module": net(), "_orig_mod": nn.Linear(1, 1)})
    assert walk(model).names == own_names(model)
    assert walk(nn.DataParallel(model)).names == own_names(model)


def test_several_models_get_their_key_as_prefix():
    """Names of several models begin with the key, and a shared parameter is still one."""
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    critic.shared = generator
    found = walk({"g": nn.DataParallel(generator), "gan.critic": critic})
    assert [(info.name, info.module_name, info.aliases) for info in found] == [
        ("g.weight", "g", ("gan.critic.shared.weight",)),
        ("g.bias", "g", ("gan.critic.shared.bias",)),
        ("gan.critic.weight", "gan.critic", ()),
        ("gan.critic.bias", "gan.critic", ()),
    ]


def test_two_models_with_one_prefix_are_refused():
    """Keys that make two parameters the same name are an error that lists the names."""
    models = {"a": nn.Sequential(nn.Linear(1, 1)), "a.0": nn.Linear(1, 1)}
    with pytest.raises(GroupError) as caught:
        walk(models)
    assert str(caught.value) == (
        "two parameters would be called the same: a.0.weight, a.0.bias. "
        "Rename one, or give each model a key that no name of another begins with."
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "resnet18",
            "model must be a torch.nn.Module, or a mapping of names to modules, "
            "not the string 'resnet18'",
        ),
        (
            [nn.Linear(1, 1)],
            "model must be a torch.nn.Module, or a mapping of names to modules, not list",
        ),
        (
            {"a": "resnet18", 3: nn.Linear(1, 1), "b": None},
            "model must map names to torch.nn.Module: 'a' is the string 'resnet18', "
            "3 is Linear, 'b' is NoneType",
        ),
    ],
)
def test_what_is_no_module_is_refused(model, message):
    """Anything but a module, or a mapping of modules, is a TypeError that says what it was."""
    with pytest.raises(TypeError) as caught:
        walk(model)
    assert str(caught.value) == message


def test_lazy_parameters_are_known():
    """A parameter without a shape yet is walked, and known as lazy."""
    model = nn.Sequential(nn.Linear(2, 3), nn.LazyLinear(2))
    assert walk(model).lazy == ["1.weight", "1.bias"]
    model(torch.ones(1, 2))
    assert walk(model).lazy == []


def test_subtree_spans():
    """Each visit knows its places and those inside it; what holds nothing is not visited."""
    found = walk(net())
    inside = {
        name: found.places[start:stop]
        for name, (start, _, stop) in zip(found.module_names, found.spans, strict=True)
    }
    assert inside[""] == found.places
    assert inside["1"] == ["1.0.weight", "1.0.bias"]
    assert "1.1" not in inside  # a ReLU
