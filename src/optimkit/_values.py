"""Values in options and state: copy them, compare them, count their bytes."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ._errors import let_through

PLAIN = frozenset({float, int, str, bool, type(None)})  # most values; a tensor is slow to tell
FEW = 1024  # values of a tensor that are looked at together with others
TENSORS = (Tensor, nn.Parameter)  # no subclass: it is not known how another one computes
_WITH_NORM = {
    *(torch.float64, torch.float32, torch.bfloat16, torch.float16),
    *(torch.complex128, torch.complex64),
}
_FLOAT8 = {getattr(torch, name) for name in dir(torch) if name.startswith("float8_")}


def copied(value: Any, device: torch.device | None = None) -> Any:
    """Copy tensors, in lists and mappings too; without a device, none is waited for."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, (dict, Mapping)):  # dict first: an abstract class is slow to tell, too
        items = {key: copied(item, device) for key, item in value.items()}
        if type(value) is defaultdict:
            return defaultdict(value.default_factory, items)
        if type(value) is Counter:
            return Counter(items)
        return OrderedDict(items) if isinstance(value, OrderedDict) else items
    if isinstance(value, Tensor):
        made = _copied_tensor(value.detach(), device)
        return nn.Parameter(made, value.requires_grad) if type(value) is nn.Parameter else made
    if isinstance(value, (list, tuple, deque)):
        return _map_items(value, lambda item: copied(item, device))
    try:
        return copy.deepcopy(value)
    except Exception as error:  # an object that can't be copied is the same one
        let_through(error)
        return value


def _copied_tensor(tensor: Tensor, device: torch.device | None) -> Tensor:
    parts = parts_of(tensor)
    if parts:  # few subclasses know clone(): torchao's 8-bit state does not
        copies = {key: _copied_tensor(part, device) for key, part in parts.items()}
        _, context = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
        made: Tensor = type(tensor).__tensor_unflatten__(  # type: ignore[attr-defined]
            copies, context, tensor.shape, tensor.stride()
        )
        return made
    return tensor.clone() if device in (None, tensor.device) else tensor.to(device)


def parts_of(tensor: Tensor) -> dict[str, Tensor]:
    """Return the tensors that one of a subclass is made of; a plain tensor and a DTensor have none."""
    if type(tensor) is Tensor or local(tensor) is not tensor:
        return {}
    if not hasattr(tensor, "__tensor_flatten__"):
        return {}
    return {key: getattr(tensor, key) for key in tensor.__tensor_flatten__()[0]}


def plain(value: Any) -> Any:
    """Take a number out of its tensor, in lists too; a tensor on a device stays: it costs a wait."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, Tensor):
        ready = value.is_cpu and value.layout is torch.strided
        return value.item() if ready and value.numel() == 1 else value
    return value.item() if _is_numpy(value, number=True) else _map_items(value, plain)


def of_python(value: Any) -> Any:
    """Return the numbers of numpy as Python's, in lists and dicts too, and all else as it is."""
    if type(value) in PLAIN or isinstance(value, Tensor):
        return value
    if type(value) in (dict, OrderedDict):
        return type(value)((key, of_python(item)) for key, item in value.items())
    return value.item() if _is_numpy(value, number=True) else _map_items(value, of_python)


def _is_numpy(value: Any, *, number: bool) -> bool:
    own = type(value).__module__ == "numpy" and hasattr(value, "ndim")
    return own and (value.ndim == 0) is number


def as_form_of(current: Any, value: Any) -> Any:
    """Copy an option in the form that the current one has: an lr may be a tensor, or a number."""
    if isinstance(current, Tensor) and isinstance(value, (int, float, Tensor)):
        return torch.as_tensor(value, dtype=current.dtype, device=current.device).detach().clone()
    if isinstance(current, (int, float)) and isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    return copied(value)


def same(one: Any, other: Any) -> bool:
    """Return whether two options mean the same to an optimizer.

    A tensor equals its number, True equals 1, a list equals a tuple, NaN equals NaN: torch
    computes the same with either.
    """
    if one is other:
        return True
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return _same_tensors(one, other)
    return _same_items(one, other, same)


def equal(one: Any, other: Any) -> bool:
    """Return whether two pieces of state are equal bit for bit, but for the device."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _equal_tensors(local(one), local(other))
    one, other = plain(one), plain(other)
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return False
    return _same_items(one, other, equal)


def listed(given: object) -> list[Any]:
    """List what is iterable; take all else for one, which will be refused by its type."""
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def items_of(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return what a mapping or a list holds, each with its key or place; nothing for all else."""
    if isinstance(value, (dict, Mapping)):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple, deque)) else ()


def tensors_in(value: Any) -> list[Tensor]:
    """List the tensors in a value: LBFGS keeps lists of them."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for _, item in items_of(value) for tensor in tensors_in(item)]


def tensors_held(value: Any) -> list[Tensor]:
    """List the tensors in a value, and in the attributes of an object: some classes keep those."""
    if type(value) in PLAIN or isinstance(value, (Tensor, Mapping, list, tuple, deque)):
        return tensors_in(value)
    return [
        tensor for each in getattr(value, "__dict__", {}).values() for tensor in tensors_in(each)
    ]


def local(tensor: Tensor) -> Tensor:
    """Return what this rank holds of a tensor."""
    # torch/distributed/tensor/_api.py, 2.15: to_local() is public, and needs its process group.
    return getattr(tensor, "_local_tensor", tensor)


def nbytes(tensor: Tensor) -> int:
    """Count the bytes of a tensor's values on this rank."""
    if type(tensor) is not Tensor:
        tensor = local(tensor)
        if parts := parts_of(tensor):
            return sum(map(nbytes, parts.values()))
    if tensor.layout is torch.strided:
        return tensor.nbytes
    if held := compressed_parts(tensor):
        return sum(map(nbytes, held))
    return tensor.untyped_storage().nbytes()


def compressed_parts(tensor: Tensor) -> list[Tensor]:
    """Return the indices and the values that a sparse tensor is made of; else nothing."""
    if tensor.layout is torch.sparse_coo:
        # torch/_tensor.py, 2.15: indices() and values() are public, and refuse uncoalesced ones.
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return []


@torch.no_grad()
def non_finite(values: Iterable[Any]) -> list[int]:
    """Return which of some values are tensors that hold NaN or infinity, on this rank."""
    own = [each if type(each) in TENSORS else local(each) for each in values]
    kinds: defaultdict[Any, list[Tensor]] = defaultdict(list)
    for each in own:
        if type(each) in TENSORS:
            few = each.ndim == 1 and each.numel() <= FEW and each.dtype in _WITH_NORM
            kind = each.dtype, each.layout, each.device, each.is_nested, few
            kinds[kind].append(each)
    sums = []
    for (dtype, layout, *_, few), alike in kinds.items():
        if dtype in _FLOAT8:  # one after the other, as each is widened
            sums += [each.sum() for each in map(_numbers, alike) if each is not None]
        elif _numbers(alike[0]) is not None:
            plain = alike if layout is torch.strided else list(map(_numbers, alike))
            # A call for each of thousands of biases takes longer than to read all that is large.
            sums.append((torch.cat(plain) if few else _in_short(plain)).sum())
    if all(each.isfinite() for each in sums):
        return []  # as nearly always; else each is asked, as the sum of large numbers is infinite
    found = enumerate(map(_numbers, own))
    return [at for at, each in found if each is not None and not each.isfinite().all()]


def _numbers(tensor: Any) -> Any:
    """Return the numbers of a tensor that are to be finite; None if it has none."""
    if type(tensor) not in TENSORS or tensor.is_meta or tensor.is_nested:
        return None
    if tensor.dtype in _FLOAT8:  # torch has next to nothing that takes these
        return tensor.bfloat16() if tensor.layout is torch.strided else None
    if tensor.dtype not in _WITH_NORM:
        return None
    if tensor.layout is torch.strided:
        return tensor
    held = compressed_parts(tensor)
    return held[-1] if held else None


def _in_short(tensors: list[Tensor]) -> Tensor:
    """Return numbers of each that are finite where all of its own are, but for overflow."""
    if tensors[0].dtype not in (torch.float16, torch.bfloat16):
        return torch.stack(torch._foreach_norm(tensors))
    # On a CPU, norms of float16 take eight times longer.
    edges = [edge for each in tensors if each.numel() for edge in torch.aminmax(each)]
    return torch.stack(edges) if edges else torch.zeros(())


def dtype_name(dtype: torch.dtype | None) -> str:
    """Write a dtype without its ``torch.``; nothing for None."""
    return "" if dtype is None else str(dtype).removeprefix("torch.")


def _map_items(value: Any, change: Any) -> Any:
    """Rebuild a list or tuple of any kind from its changed items; return all else as it is."""
    if isinstance(value, list):
        return [change(item) for item in value]
    if type(value) is deque:
        return deque(map(change, value), value.maxlen)
    if isinstance(value, tuple) and hasattr(value, "_make"):  # one with names
        return value._make(map(change, value))
    return tuple(map(change, value)) if type(value) is tuple else value  # no torch.Size


def equal_but_cast(one: Any, other: Any) -> bool:
    """Return whether something is equal to another thing, or to what a cast makes of that."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return equal(one, other.to(one.dtype))
    return _same_items(one, other, equal_but_cast)


def _same_items(one: Any, other: Any, compare: Any) -> bool:
    """Compare containers item by item, and all else by value."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(compare(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple, deque)) and isinstance(other, (list, tuple, deque)):
        return len(one) == len(other) and all(map(compare, one, other))
    try:
        if _is_numpy(one, number=False) and _is_numpy(other, number=False):
            alike = (one.shape, one.dtype) == (other.shape, other.dtype)
            return alike and bool(((one == other) | ((one != one) & (other != other))).all())
        if type(one) is type(other) and not _has_equality(type(one)) and one is not other:
            return bool(compare(one.__reduce_ex__(2), other.__reduce_ex__(2)))  # one may be a copy
        return bool(one == other) or bool(one != one and other != other)
    except Exception as error:  # a foreign object that can't be compared is another one
        let_through(error)
        return one is other


def _has_equality(kind: type) -> bool:
    return any("__eq__" in vars(base) for base in kind.__mro__[:-1])


def _same_tensors(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        # A float32 lr and a float64 one differ only by how they were written down.
        return one.shape == other.shape and _equal_tensors(
            one.detach().cpu().double(), other.detach().cpu().double()
        )
    tensor, number = (one, other) if isinstance(one, Tensor) else (other, one)
    if tensor.numel() != 1 or tensor.is_meta or not isinstance(number, (int, float)):
        return False
    return _same_items(tensor.item(), tensor.new_tensor(number).item(), same)


def _equal_tensors(one: Tensor, other: Tensor) -> bool:
    parts, others = parts_of(one), parts_of(other)
    if parts or others:
        return type(one) is type(other) and _same_items(parts, others, equal)
    one, other = one.detach(), other.detach()
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    if "meta" in (one.device.type, other.device.type):
        return one.device == other.device
    if one.layout is not torch.strided or other.layout is not torch.strided:
        one, other = one.to_dense(), other.to_dense()
    other = other.to(one.device)
    if one.is_floating_point() and one.element_size() == 1:  # torch compares no float8
        one, other = one.float(), other.float()
    if torch.equal(one, other):
        return True
    both_nan = (one != one) & (other != other)
    return bool(((one == other) | both_nan).all())
