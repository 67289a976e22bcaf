"""Kinds of parameters: biases, norms, embeddings, matrices."""

from __future__ import annotations

from torch import Tensor, nn

from .._parameters import Walk
from .columns import YES, visits_by_type
from .selectors import Selector

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
# LlamaRMSNorm, T5LayerNorm, MambaRMSNormGated, SimpleNorm2d
_CALLED_NORM = ("Norm", "NormGated", "Norm1d", "Norm2d", "Norm3d")


def _owned(found: Walk, kinds: tuple[type, ...], called: tuple[str, ...] = ()) -> bytes:
    """Answer yes for what modules of these types own, parametrized or not."""
    answer = bytearray(len(found.places))
    for kind, visits in visits_by_type(found).items():
        real = issubclass(kind, kinds)
        if not (real or kind.__name__.endswith(called)):
            continue
        for visit in visits:
            start, stop, all_inside = found.spans[visit]
            if "parametrizations" in found.modules[visit]._modules:
                stop = all_inside
            if real or max(found.dims[start:stop], default=0) < 2:
                answer[start:stop] = YES * (stop - start)
    return bytes(answer)


def _called_bias(leaf: str) -> bool:
    """Tell whether the last part of a name is that of a bias."""
    return leaf == "bias" or leaf.startswith("bias_") or leaf.endswith("_bias")


def _is_table(param: Tensor) -> bool:
    """Tell whether more than one dimension is longer than 1."""
    return sum(size > 1 for size in param.shape) > 1


def _one_each(leaf: str, param: Tensor, owner: nn.Module) -> bool:
    """Tell whether these are biases of several matrices in one tensor: of experts, an ensemble."""
    stem = leaf.removesuffix("bias")
    for name in (f"{stem}weight", stem.removesuffix("_")):
        matrices = owner._parameters.get(name)
        if matrices is not None and matrices.dim() > 2 and len(matrices) == len(param):
            return True
    return False


def _biases(found: Walk) -> bytes:
    """Answer yes for what is called a bias, and is no table."""
    called = set(filter(_called_bias, set(found.leaves)))
    return bytes(
        [
            leaf in called
            and (dim < 2 or not _is_table(param) or _one_each(leaf, param, found.modules[owner]))
            for leaf, dim, param, owner in zip(
                found.leaves, found.dims, found.tensors, found.owners, strict=True
            )
        ]
    )


is_bias = Selector("is_bias", _biases)
is_norm = Selector("is_norm", lambda found: _owned(found, _NORMS, _CALLED_NORM))
is_embedding = Selector("is_embedding", lambda found: _owned(found, _EMBEDDINGS))
_has_two_dimensions = Selector(
    "_has_two_dimensions", lambda found: bytes([dim > 1 for dim in found.dims])
)
_matrices = _has_two_dimensions & ~(is_bias | is_norm | is_embedding)
is_matrix = Selector("is_matrix", _matrices.over, parts=(_matrices,))
