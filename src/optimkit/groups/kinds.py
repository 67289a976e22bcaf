"""Kinds of parameters: biases, norms, embeddings, matrices."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor, nn

from ..parameters import Walk
from .selectors import Selector, yes_at

_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_CALLED_NORM = re.compile(r"Norm(\dd)?$").search  # LlamaRMSNorm, T5LayerNorm, SimpleNorm2d


def _owned(
    found: Walk, kinds: tuple[type, ...], called: Callable[[str], object] | None = None
) -> bytes:
    """Answer yes for what modules of these types own, parametrized or not.

    A type that is only called so counts if all that it owns are vectors.
    """
    owned = []
    for kind, visits in found.by_type.items():
        real = issubclass(kind, kinds)
        if not real and not (called and called(kind.__name__)):
            continue
        for visit in visits:
            start, own_stop, stop = found.spans[visit]
            end = stop if "parametrizations" in found.modules[visit]._modules else own_stop
            if real or all(param.dim() <= 1 for param in found.tensors[start:end]):
                owned.append((start, end))
    return yes_at(owned, len(found.places))


def _called_bias(leaf: str) -> bool:
    """Tell whether the last part of a name is that of a bias."""
    return leaf == "bias" or leaf.startswith("bias_") or leaf.endswith("_bias")


def _is_table(param: Tensor) -> bool:
    """Tell whether more than one dimension is longer than 1."""
    return sum(size > 1 for size in param.shape) > 1


def _biases(found: Walk) -> bytes:
    """Answer yes for what is called a bias, and is no table."""
    leaves = [name.rpartition(".")[2] for name in found.places]
    called = {leaf: _called_bias(leaf) for leaf in set(leaves)}
    return bytes(
        [
            called[leaf] and (param.dim() < 2 or not _is_table(param))
            for leaf, param in zip(leaves, found.tensors, strict=True)
        ]
    )


is_bias = Selector("is_bias", _biases)
is_norm = Selector("is_norm", lambda found: _owned(found, _NORMS, _CALLED_NORM))
is_embedding = Selector("is_embedding", lambda found: _owned(found, _EMBEDDINGS))
_has_two_dimensions = Selector(
    "_has_two_dimensions",
    lambda found: bytes([param.dim() > 1 for param in found.tensors]),
)
_matrices = _has_two_dimensions & ~(is_bias | is_norm | is_embedding)
is_matrix = Selector("is_matrix", _matrices.over, parts=(_matrices,))
