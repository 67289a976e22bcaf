"""Real models, at random weights: our groups beside those of timm and of Hugging Face."""

import pytest
import timm
import torch
from timm.models import group_parameters
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from transformers import GPT2Config, GPT2LMHeadModel, Trainer

from optimkit import is_bias, is_embedding, is_matrix, is_norm, layer_decay, param_groups, when

NO_DECAY = when(is_bias | is_norm, weight_decay=0.0)


@pytest.fixture(scope="module")
def vit():
    """Return a vision transformer."""
    return timm.create_model("vit_tiny_patch16_224", depth=3, num_classes=5)


@pytest.fixture(scope="module")
def resnet():
    """Return a residual network."""
    return timm.create_model("resnet18", num_classes=5)


@pytest.fixture(scope="module")
def gpt2():
    """Return a language model whose output layer is tied to its embedding."""
    config = GPT2Config(
        n_layer=2, n_embd=8, n_head=2, vocab_size=11, n_positions=5, bos_token_id=1, eos_token_id=1
    )
    return GPT2LMHeadModel(config)


def without_decay(groups):
    """Return the names of the parameters that are not decayed."""
    [group] = [group for group in groups if group["weight_decay"] == 0]
    return {name for name, _ in group["params"]}


def named(model, groups):
    """Give timm's groups, which are nameless, their names."""
    names = {id(param): name for name, param in model.named_parameters()}
    return [
        {**group, "params": [(names[id(param)], param) for param in group["params"]]}
        for group in groups
    ]


def test_resnet_as_timm(resnet):
    """On a ResNet, biases and norms are what timm leaves undecayed: what has one dimension."""
    ours = param_groups(resnet, NO_DECAY, weight_decay=0.05)
    theirs = named(resnet, param_groups_weight_decay(resnet, 0.05))
    assert without_decay(ours) == without_decay(theirs)
    assert len(ours) == len(theirs) == 2


def test_vit_as_timm(vit):
    """On a ViT too; its own list of what not to decay is one more rule, by name."""
    ours = param_groups(vit, NO_DECAY, weight_decay=0.05)
    theirs = named(vit, param_groups_weight_decay(vit, 0.05))
    assert without_decay(ours) == without_decay(theirs)

    listed = vit.no_weight_decay()
    theirs = named(vit, param_groups_weight_decay(vit, 0.05, no_weight_decay_list=listed))
    # The list names tokens that this ViT has not, and timm can't say so; a rule by name would.
    assert "dist_token" in listed
    difference = without_decay(theirs) - without_decay(ours)
    assert difference == {"pos_embed", "cls_token"}
    tokens = when(lambda info: info.name in listed, weight_decay=0.0)
    ours = param_groups(vit, NO_DECAY, tokens, weight_decay=0.05)
    assert without_decay(ours) == without_decay(theirs)


def test_vit_layer_decay_as_timm(vit):
    """The scale that timm writes down as lr_scale is here in the lr, where torch reads it."""
    layers = group_parameters(vit, vit.group_matcher(coarse=False), reverse=True)
    theirs = named(vit, param_groups_layer_decay(vit, 0.05, layer_decay=0.75))
    scales = {name: group["lr_scale"] for group in theirs for name, _ in group["params"]}
    ours = param_groups(
        vit, NO_DECAY, layer_decay(0.75, layers.__getitem__), lr=1e-3, weight_decay=0.05
    )
    for group in torch.optim.AdamW(ours).param_groups:
        for name in group["param_names"]:
            assert group["lr"] == pytest.approx(1e-3 * scales[name])
    assert len(ours) == len(theirs)
    assert {group["lr"] for group in torch.optim.AdamW(theirs, lr=1e-3).param_groups} == {1e-3}


def test_gpt2_as_hugging_face(gpt2):
    """On a GPT-2, biases and norms are what the Trainer leaves undecayed."""
    decayed = set(Trainer.get_decay_parameter_names(None, gpt2))
    ours = param_groups(gpt2, NO_DECAY, weight_decay=0.05)
    left = {name for name, _ in gpt2.named_parameters()} - decayed
    assert without_decay(ours) == left
    # The Trainer's list has the tied output layer's name too, which no parameter goes by.
    assert decayed - {name for name, _ in gpt2.named_parameters()} == {"lm_head.weight"}


def test_gpt2_ties(gpt2):
    """The tied weight is one parameter, an embedding and no matrix, under either name."""
    head, embedding = when("lm_head.weight", name="tied"), when(is_embedding, weight_decay=0.0)
    groups = param_groups(gpt2, when(is_matrix, weight_decay=0.1), embedding, head, lr=0.1)
    by_name = {group["name"]: [name for name, _ in group["params"]] for group in groups}
    assert by_name["tied"] == ["transformer.wte.weight"]
    assert by_name["weight_decay=0"] == ["transformer.wpe.weight"]
    torch.optim.AdamW(groups)


def test_where_hugging_face_and_we_differ():
    """By name, the Trainer decays norms called otherwise, and spares a weight called bias."""

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_f = torch.nn.RMSNorm(3)
            self.bn = torch.nn.BatchNorm1d(3)
            self.bias_predictor = torch.nn.Linear(3, 3)

    model = Block()
    names = {name for name, _ in model.named_parameters()}
    theirs = names - set(Trainer.get_decay_parameter_names(None, model))
    ours = without_decay(param_groups(model, NO_DECAY, weight_decay=0.05))
    assert ours - theirs == {"ln_f.weight", "bn.weight"}
    assert theirs - ours == {"bias_predictor.weight"}


def test_where_timm_and_we_differ():
    """By dimensions, timm decays a norm over several of them, and what is not decayed is 1-D."""
    model = torch.nn.Sequential(torch.nn.LayerNorm((3, 4, 4)), torch.nn.PReLU(3))
    theirs = without_decay(named(model, param_groups_weight_decay(model, 0.05)))
    ours = without_decay(param_groups(model, NO_DECAY, weight_decay=0.05))
    assert ours - theirs == {"0.weight"}
    assert theirs - ours == {"1.weight"}  # a slope is neither a bias nor a norm
