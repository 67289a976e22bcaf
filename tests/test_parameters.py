"""The parameters of a model: names, ties, owners, wrappers."""

import gc
import weakref

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.parallel import DistributedDataParallel

from optimkit import GroupError, ParamInfo, is_bias, param_groups, when


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


def pairs(model) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters of a model with the names that its group has."""
    [group] = param_groups(model)
    return group["params"]


def names(model) -> list[str]:
    """Return the names in the group of a model."""
    return [name for name, _ in pairs(model)]


def infos(model) -> list[ParamInfo]:
    """Return what a predicate is asked, at every name of every parameter."""
    asked: list[ParamInfo] = []
    param_groups(model, when(asked.append))
    return asked


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
    ],
    ids=lambda model: type(model).__name__,
)
def test_same_as_named_parameters(model):
    """A group has the names and parameters that named_parameters gives, in its order."""
    expected = [(name, id(param)) for name, param in model.named_parameters()]
    assert [(name, id(param)) for name, param in pairs(model)] == expected


def test_each_parameter_knows_its_owner():
    """A ParamInfo has the module that owns the parameter, and that module's name."""
    model = net()
    for info in infos(model):
        leaf = info.name.rpartition(".")[2]
        assert getattr(info.module, leaf) is info.param
        assert model.get_submodule(info.module_name) is info.module


def test_a_param_info_is_equal_to_itself_alone():
    """Comparing two records, or keeping them in a set, never compares tensors."""
    first, *_ = asked = infos(net())
    again = ParamInfo(first.name, first.param, first.module, first.module_name)
    assert first == first
    assert first != again
    assert len({*asked, again}) == len(asked) + 1


def test_a_param_info_is_written_in_one_line():
    """A ParamInfo shows the name, the shape, the type of the owner and the aliases, and no values."""
    model = net()
    model[2] = nn.Linear(2, 3, bias=False)
    model[2].weight = model[0].weight
    first, second, *_ = infos(model)
    assert repr(first) == (
        "ParamInfo('0.weight', shape=(3, 2), module=Linear, aliases=('2.weight',))"
    )
    assert repr(second) == "ParamInfo('0.bias', shape=(3,), module=Linear)"
    lazy = nn.LazyLinear(2)
    assert repr(ParamInfo("bias", lazy.bias, lazy, "")) == (
        "ParamInfo('bias', no shape yet, module=LazyLinear)"
    )


def test_a_param_info_made_by_hand():
    """A selector can be asked about a record of the user's own: it knows the module then."""
    layer = nn.Linear(2, 2)
    assert is_bias(ParamInfo("head.bias", layer.bias, layer, "head"))
    assert not is_bias(ParamInfo("head.weight", layer.weight, layer, "head"))


def test_tied_parameters_are_one_with_aliases():
    """A tied parameter comes once, under its first name, with the others as aliases."""
    model = net()
    model[2] = nn.Linear(2, 3, bias=False)
    model[2].weight = model[0].weight
    assert names(model) == own_names(model) == ["0.weight", "0.bias", "1.0.weight", "1.0.bias"]
    aliases = {info.name: info.aliases for info in infos(model)}
    assert aliases["0.weight"] == ("2.weight",)
    assert aliases["2.weight"] == ("0.weight",)
    assert aliases["0.bias"] == ()


def test_every_name_of_a_tie_is_seen_from_there():
    """Seen at its second name, a tied parameter has that owner, and the first name as alias."""
    model = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3, bias=False))
    model[1].weight = model[0].weight
    first, second = infos(model)
    assert (first.name, first.aliases, first.module) == ("0.weight", ("1.weight",), model[0])
    assert (second.name, second.aliases, second.module) == ("1.weight", ("0.weight",), model[1])


def test_a_shared_module_gives_aliases():
    """A module that is used three times gives each of its parameters two aliases."""
    layer = nn.Linear(2, 2)
    model = nn.ModuleDict({"a": layer, "b": nn.Sequential(layer), "c": layer})
    assert names(model) == ["a.weight", "a.bias"]
    assert [(info.name, info.aliases) for info in infos(model)] == [
        ("a.weight", ("b.0.weight", "c.weight")),
        ("a.bias", ("b.0.bias", "c.bias")),
        ("b.0.weight", ("a.weight", "c.weight")),
        ("b.0.bias", ("a.bias", "c.bias")),
        ("c.weight", ("a.weight", "b.0.weight")),
        ("c.bias", ("a.bias", "b.0.bias")),
    ]


def test_a_module_that_holds_its_parent_ends():
    """A cycle of modules is gone through once, as torch does."""
    model = net()
    model[1].parent = model
    assert names(model) == own_names(model)


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
    """What a wrapper puts before the names is left out, around the model and inside it."""
    model = net()
    expected = own_names(model)
    assert names(wrap(model)) == expected
    model[1] = wrap(model[1])
    assert names(model) == expected
    assert [info.module_name for info in infos(model)] == ["0", "0", "1.0", "1.0", "2", "2"]


def test_names_are_seen_through_ddp(process_group):
    """DistributedDataParallel, and a compiled model in it, keep the model's own names."""
    model = net()
    for wrapped in (DistributedDataParallel(model), DistributedDataParallel(torch.compile(model))):
        assert names(wrapped) == own_names(model)
        assert names(torch.compile(wrapped)) == own_names(model)


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
    assert names(wrapped) == expected


def test_an_attribute_called_module_keeps_its_name():
    """Only real wrappers are seen through: a model's own ``module`` is part of the name."""
    model = nn.ModuleDict({"module": net(), "_orig_mod": nn.Linear(1, 1)})
    assert names(model) == own_names(model)
    assert names(nn.DataParallel(model)) == own_names(model)


def test_several_models_get_their_key_as_prefix():
    """Names of several models begin with the key, and a shared parameter is still one."""
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    critic.shared = generator
    models = {"g": nn.DataParallel(generator), "gan.critic": critic}
    assert names(models) == ["g.weight", "g.bias", "gan.critic.weight", "gan.critic.bias"]
    found = {info.name: (info.module_name, info.aliases) for info in infos(models)}
    assert found["g.weight"] == ("g", ("gan.critic.shared.weight",))
    assert found["gan.critic.weight"] == ("gan.critic", ())
    assert found["gan.critic.shared.weight"] == ("gan.critic.shared", ("g.weight",))


def test_two_models_with_one_prefix_are_refused():
    """Keys that give two parameters the same name are an error that lists the names."""
    models = {"a": nn.Sequential(nn.Linear(1, 1)), "a.0": nn.Linear(1, 1)}
    with pytest.raises(GroupError) as caught:
        param_groups(models)
    assert str(caught.value) == (
        "two parameters would have the same name: a.0.weight, a.0.bias. "
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
        param_groups(model)
    assert str(caught.value) == message


def test_nothing_keeps_the_model_alive():
    """A model goes as soon as its last user lets go of it, without waiting for the collector."""
    model = net()
    watched = weakref.ref(model[0].weight)
    gc.disable()
    try:
        groups = param_groups(model, when(is_bias, lr=0.1), when(lambda info: is_bias(info)))
        del model, groups
        assert watched() is None
    finally:
        gc.enable()
