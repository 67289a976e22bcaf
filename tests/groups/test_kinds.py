"""Kinds of parameters: what is a bias, a norm, an embedding, a matrix."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from optimkit import (
    GroupError,
    is_bias,
    is_embedding,
    is_matrix,
    is_norm,
    param_groups,
    when,
)


class LlamaRMSNorm(nn.Module):
    """A norm of a user's, known by its name."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))


class PreNorm(nn.Module):
    """A block that is called a norm, and owns nothing itself."""

    def __init__(self, inside):
        super().__init__()
        self.norm = nn.LayerNorm(3)
        self.inside = inside


class Normalizer(LlamaRMSNorm):
    """A class whose name only begins like a norm's."""


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm1d(3),
        nn.BatchNorm2d(3),
        nn.BatchNorm3d(3),
        nn.SyncBatchNorm(3),
        nn.InstanceNorm1d(3, affine=True),
        nn.InstanceNorm2d(3, affine=True),
        nn.InstanceNorm3d(3, affine=True),
        nn.LayerNorm(3),
        nn.LayerNorm((3, 4, 4)),
        nn.GroupNorm(1, 3),
        nn.RMSNorm(3),
        nn.RMSNorm((3, 4)),
        LlamaRMSNorm(3),
        type("LayerNorm2d", (LlamaRMSNorm,), {})(3),
        type("MambaRMSNormGated", (LlamaRMSNorm,), {})(3),
        weight_norm(nn.LayerNorm(3)),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_norms(chosen, norm):
    """Every norm of torch's is one whatever its shape, and so is a class called one."""
    model = nn.Sequential(norm, nn.Linear(3, 3))
    names = [name for name, _ in model.named_parameters()]
    assert chosen(is_norm, model) == names[:-2]
    assert chosen(is_matrix, model) == ["1.weight"]


def test_what_is_no_norm(chosen):
    """A module that wraps a norm, owns a matrix, or is called otherwise is none."""
    model = nn.Sequential(PreNorm(nn.Linear(3, 3)), LlamaRMSNorm(3, 3), Normalizer(3))
    assert chosen(is_norm, model) == ["0.norm.weight", "0.norm.bias"]


def test_a_norm_owns_only_its_own(chosen):
    """What lies inside a norm, such as its activation, belongs to that."""
    norm = nn.BatchNorm2d(3)
    norm.act = nn.PReLU()
    assert chosen(is_norm, norm) == ["weight", "bias"]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("bias", (3,), True),
        ("in_proj_bias", (9,), True),
        ("bias_ih_l0", (12,), True),
        ("bias_k", (1, 1, 4), True),
        ("bias", (1, 3, 1, 1), True),
        ("bias", (), True),
        ("q_bias", (3,), True),
        ("relative_position_bias_table", (9, 2), False),
        ("rel_pos_bias", (2, 4, 4), False),
        ("bias_table", (4, 4), False),
        ("weight", (3,), False),
        ("biased", (3,), False),
        ("unbiased", (3,), False),
        ("weight_bias_scale", (3,), False),
    ],
)
def test_biases(chosen, name, shape, expected):
    """A bias is known by the last part of its name, if it is no table."""
    model = nn.Module()
    model.register_parameter(name, nn.Parameter(torch.zeros(shape)))
    assert (chosen(is_bias, model) == [name]) is expected


def test_only_the_last_part_of_the_name_counts(chosen):
    """The weight of a module called bias_predictor is a weight."""
    model = nn.ModuleDict({"bias_predictor": nn.Linear(2, 2), "bias": nn.Linear(2, 2)})
    assert chosen(is_bias, model) == ["bias_predictor.bias", "bias.bias"]
    assert chosen(is_matrix, model) == ["bias_predictor.weight", "bias.weight"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.LSTM(2, 3), ["bias_ih_l0", "bias_hh_l0"]),
        (
            nn.MultiheadAttention(4, 1, add_bias_kv=True),
            ["in_proj_bias", "bias_k", "bias_v", "out_proj.bias"],
        ),
        (nn.Bilinear(2, 2, 3), ["bias"]),
        (nn.ConvTranspose2d(2, 2, 3), ["bias"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_biases_of_torch(chosen, model, expected):
    """The biases of torch's own modules are found."""
    assert chosen(is_bias, model) == expected


def test_embeddings_are_known_by_type(chosen):
    """Embedding, EmbeddingBag and what is derived from them; a parametrized one too."""

    class Words(nn.Embedding):
        """A user's embedding."""

    model = nn.Sequential(
        nn.Embedding(3, 2), nn.EmbeddingBag(3, 2), Words(3, 2), weight_norm(nn.Embedding(3, 2))
    )
    assert chosen(is_embedding, model) == [name for name, _ in model.named_parameters()]
    assert chosen(is_matrix, model) == []


def test_a_matrix_is_what_is_left_with_two_dimensions(chosen):
    """Weights of linear and convolutional layers are matrices, vectors and scalars are not."""
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(3, 3), nn.PReLU(), nn.LayerNorm((3, 4)))
    model.scale = nn.Parameter(torch.tensor(1.0))
    assert chosen(is_matrix, model) == ["0.weight", "1.weight"]


def test_a_tied_parameter_is_what_it_is_in_any_place(chosen):
    """An output layer that shares the embedding's weight is an embedding, and no matrix."""
    for order in (("embed", "head"), ("head", "embed")):
        modules = {"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)}
        modules["head"].weight = modules["embed"].weight
        model = nn.ModuleDict({name: modules[name] for name in order})
        assert chosen(is_embedding, model) == [f"{order[0]}.weight"]
        assert chosen(is_matrix, model) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64, torch.float64])
def test_any_dtype_and_the_meta_device(chosen, dtype):
    """Kinds are told without looking at values."""
    model = nn.Sequential(nn.Linear(2, 3, dtype=dtype), nn.Embedding(3, 2, device="meta"))
    assert chosen(is_matrix, model) == ["0.weight"]
    assert chosen(is_bias, model) == ["0.bias"]


def test_a_kind_can_be_asked_of_one_parameter():
    """In a predicate of yours, a selector is called with the ParamInfo."""
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Embedding(3, 2))
    infos = []
    param_groups(model, when(infos.append))
    assert [is_bias(info) for info in infos] == [False, True, False, True, False]
    assert [is_norm(info) for info in infos] == [False, False, True, True, False]
    assert [(is_embedding | is_matrix)(info) for info in infos] == [True, False, False, False, True]


def test_biases_of_experts(chosen):
    """A row of biases for each of several matrices in one tensor is a bias; a table is none."""
    model = nn.Module()
    model.gate_up_proj = nn.Parameter(torch.ones(4, 3, 6))
    model.gate_up_proj_bias = nn.Parameter(torch.ones(4, 6))
    model.ensemble = nn.Module()
    model.ensemble.weight = nn.Parameter(torch.ones(5, 3, 2))
    model.ensemble.bias = nn.Parameter(torch.ones(5, 1, 2))
    model.relative_position_bias = nn.Parameter(torch.ones(9, 2))
    assert chosen(is_bias, model) == ["gate_up_proj_bias", "ensemble.bias"]
    assert chosen(is_matrix, model) == [
        "gate_up_proj",
        "relative_position_bias",
        "ensemble.weight",
    ]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_scripted_models_are_refused():
    """A scripted module no longer says what kind it is: a rule by kind is refused, by name not."""
    model = torch.jit.script(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)))
    for select in (is_norm, nn.LayerNorm):
        with pytest.raises(GroupError) as caught:
            param_groups(model, when(select, weight_decay=0.0))
        assert str(caught.value) == (
            "these modules are scripted, which hides their types: the model, 0, 1. "
            "Build the groups before torch.jit.script, or select by name."
        )
    assert len(param_groups(model, when("1.*", weight_decay=0.0))) == 2


def test_a_model_of_keras():
    """Its parameters are in one dict, by their paths: a kind that finds none there is refused."""
    inner = nn.Module()
    inner._torch_params = nn.ParameterDict(
        {"dense/kernel": torch.ones(2, 3), "dense/bias": torch.ones(3)}
    )
    model = nn.ModuleDict({"net": inner})
    for kind, name, glob in (
        (is_bias, "is_bias", "*/bias"),
        (is_norm, "is_norm", "*/gamma"),
        (is_embedding, "is_embedding", "*/embeddings"),
    ):
        with pytest.raises(GroupError) as error:
            param_groups(model, when(kind, weight_decay=0.0))
        assert str(error.value) == (
            f"when({name}, weight_decay=0.0): a model of Keras has no layers of torch, by which "
            f'{name} goes; select by name, as {glob!r}. Correct the rule, or pass unused="ignore".'
        )
    rule = when("*/bias", name="bias", weight_decay=0.0)
    assert {group["name"] for group in param_groups(model, rule)} == {"default", "bias"}
    param_groups(nn.Linear(2, 2, bias=False), when(is_bias | is_norm, weight_decay=0.0))
