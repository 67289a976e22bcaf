"""Files with more than tensors and plain data: the rest stands there by its name, and is not run."""

from __future__ import annotations

import pickle
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Any, BinaryIO

import torch
from torch import Tensor

from .._values import equal

_DEEPEST = 100
_NUMBER = re.compile(r"[biufc]\d+")  # a dtype of numpy's without parts, as its pickle spells it
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_WANTS_TENSOR = ("not inherit from Tensor", "must define __torch_dispatch__")  # 2.15, 2.6
_ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")


class _Compared(threading.local):
    """The pairs that a comparison has come to: what they hold leads back to them, by many ways."""

    def __init__(self) -> None:
        self.pairs: set[tuple[int, int]] = set()


_compared = _Compared()


class Opaque:
    """An object that was not made: the name of its class or function, and what it would be made of."""

    name = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Opaque:
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Opaque) or self.name != other.name:
            return False
        pair, outermost = (id(self), id(other)), not _compared.pairs
        if self is other or pair in _compared.pairs:
            return True  # it holds itself: nothing that is left to look at differs
        _compared.pairs.add(pair)
        try:
            return equal([self.args, self.state], [other.args, other.state])
        except RecursionError:
            return False
        finally:
            if outermost:
                _compared.pairs.clear()

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<{self.name}>"


class OpaqueTensor(Tensor):
    """A tensor of a class that was not made: its form, and the tensors that it is made of."""

    name = ""

    def __new__(cls, *args: Any) -> Any:  # as an object that is none is made
        return _class(cls.name)(*args)

    @classmethod
    def __torch_dispatch__(cls, func: Any, *_: Any) -> Any:
        raise NotImplementedError(f"{cls.name} is needed for {func}")

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return [key for key, value in vars(self).items() if isinstance(value, Tensor)], None

    def __repr__(self) -> str:  # type: ignore[override]
        return f"<{self.name}>"


@cache
def _class(name: str, form: type = Opaque) -> type:
    """Make a class that stands for a name, one for all files, or makes a dict or list in its place."""
    if form in (Opaque, OpaqueTensor):
        return type(name, (form,), {"name": name})
    return type(name, (), {"__new__": lambda _, *args: form()})


def opaque(name: str, *args: Any) -> Any:
    """Return what stands for an object, by a name."""
    return _class(name)(*args)


def load_opaque(file: BinaryIO) -> Any:
    """Let torch read, with a class of ours in the place of each that it refuses."""
    names = names_refused(file)
    forms: dict[str, type] = dict.fromkeys(names, Opaque)
    while True:
        try:
            _load(file, forms, "meta")  # no values yet
            return _load(file, forms, "cpu")
        except (TypeError, pickle.UnpicklingError) as error:
            # torch/_weights_only_unpickler.py: it fills what is a dict or a list, no kind of one, and
            # names the class; 2.6 leaves it to Python to say what is no dict.
            told = str(error)
            left = [name for name in names if forms[name] in (Opaque, OpaqueTensor)]
            tensor = any(text in told for text in _WANTS_TENSOR)
            if tensor and OpaqueTensor not in forms.values():
                forms |= dict.fromkeys(left, OpaqueTensor)
                continue
            found = [name for name in left if f"{name}'" in told]
            if not found:
                raise
            is_dict = "SETITEM" in told or "item assignment" in told
            forms[max(found, key=len)] = OrderedDict if is_dict else list


def names_refused(file: BinaryIO) -> list[str]:
    """Name the classes and functions in a file that weights_only=True does not read."""
    file.seek(0)
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except ValueError:  # as torch wrote until 1.5: no zip, but four pickles, and then the values
        file.seek(0)
        found: set[str] = set()
        for _ in range(4):
            found |= torch._weights_only_unpickler.get_globals_in_pkl(file)
        return sorted(found - torch._weights_only_unpickler._get_allowed_globals().keys())


def _load(file: BinaryIO, forms: Mapping[str, type], device: str) -> Any:
    classes = [(_class(name, form), name) for name, form in forms.items()]
    classes += [(_class(name), f"made in place of {name}") for name in forms]
    file.seek(0)
    with torch.serialization.safe_globals([*classes]):
        return torch.load(file, map_location=device, weights_only=True)


def to_show(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Rebuild what is in a file: with numbers in place of numpy's, and nothing within itself."""
    value = _number_of(value)
    if type(value) not in (dict, OrderedDict, list, tuple):
        return value
    if id(value) in above:
        return opaque("itself")
    if len(above) == _DEEPEST:
        return opaque(f"nested deeper than {_DEEPEST} levels")
    inner = (*above, id(value))
    if isinstance(value, (list, tuple)):
        return type(value)(to_show(item, inner) for item in value)
    found = type(value)((key, to_show(item, inner)) for key, item in value.items())
    if hasattr(value, "__dict__"):  # a state dict has its _metadata there
        vars(found).update(vars(value))
    return found


def holds_opaque(value: Any) -> bool:
    """Return whether anything in a value stands for what was not made."""
    if isinstance(value, Mapping):
        return any(map(holds_opaque, [*value, *value.values()]))
    if isinstance(value, (list, tuple, set)):
        return any(map(holds_opaque, value))
    kinds = (Opaque, OpaqueTensor)
    return isinstance(value, kinds) or (isinstance(value, type) and issubclass(value, kinds))


def _number_of(value: Any) -> Any:
    """Read a number, or an array of numbers, of numpy's; anything else stays as it is."""
    if isinstance(value, type) and issubclass(value, (Opaque, OpaqueTensor)):
        return value()
    if not isinstance(value, Opaque):
        return value
    if value.name == "builtins.bytes" and not value.args:  # as torch's pickles spell none
        return b""
    if value.name in _SCALARS and len(value.args) == 2:
        found = _array(value.args[0], value.args[1], ())
        return value if found is None else found.item()
    if value.name in _ARRAYS and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, dtype, fortran, data = value.state
        found = _array(dtype, _number_of(data), shape, "F" if fortran else "C")
        return value if found is None else found
    return value


def _array(dtype: Any, data: Any, shape: Any, order: Any = "C") -> Any:
    """Return the numbers that bytes spell; None if they don't fit, or numpy is not there."""
    code = dtype.args[0] if isinstance(dtype, Opaque) and dtype.args else None
    if not isinstance(code, str) or not _NUMBER.fullmatch(code) or not isinstance(data, bytes):
        return None
    sign = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "|"
    try:
        import numpy as np

        return np.frombuffer(data, np.dtype(f"{sign}{code}")).reshape(shape, order=order).copy()
    except (ImportError, TypeError, ValueError):
        return None
