"""Tensors that are still in the file: each is read once it is known where it goes."""

from __future__ import annotations

import contextlib
import ctypes
import io
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from .._errors import CorruptCheckpointError
from .._values import items_of, tensors_in
from .layout import Layout

if sys.platform == "linux":
    import fcntl

SMALL = 1024  # bytes: what is no larger is read at once


class Placeholder(Tensor):
    """A tensor that has not been read: its shape and dtype, no values, and the key it is read by."""

    key: Hashable
    anywhere = False  # whether it can be read into any layout: many processes saved it
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(cls, key: Hashable, like: Tensor) -> Placeholder:
        form = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")
        found = form.as_subclass(cls)
        found.key = key
        return found


def placeholders_in(value: Any) -> list[Placeholder]:
    return [each for each in tensors_in(value) if isinstance(each, Placeholder)]


def filled(value: Any, tensors: Mapping[Any, Tensor]) -> Any:
    """Put tensors where their placeholders are, into the dicts and lists that there are."""
    if isinstance(value, Placeholder):
        return tensors.get(value.key, value)
    if type(value) is tuple:
        return tuple(filled(item, tensors) for item in value)
    if type(value) in (dict, OrderedDict, list):
        for key, item in items_of(value):
            value[key] = filled(item, tensors)
    return value


def rebuilt(value: Any, change: Callable[[Any, Any], Any], path: tuple[Any, ...] = ()) -> Any:
    """Rebuild containers, with all that is in them changed; what is changed is not looked into."""
    changed = change(value, path)
    if changed is not value:
        return changed
    if type(value) in (dict, OrderedDict):
        found = type(value)(
            (key, rebuilt(item, change, (*path, key))) for key, item in value.items()
        )
        if hasattr(value, "__dict__"):  # a state dict has its _metadata there
            vars(found).update(vars(value))
        return found
    if type(value) in (list, tuple):
        return type(value)(rebuilt(item, change, (*path, i)) for i, item in enumerate(value))
    return value


class Unread:
    """The tensors of an open file that have not been read."""

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        layout: Layout,
        device: torch.device,
        check: Callable[[], None],
    ) -> None:
        self._path, self._file, self._device = path, file, device
        self.check = check  # raises an error if the file was written to since it was verified
        self._sizes = {
            entry.start: entry.stop - entry.start
            for entry in layout.entries
            if entry.name.startswith("data/") and entry.stop > entry.start
        }
        order = next((entry for entry in layout.entries if entry.name == "byteorder"), None)
        if order is not None:
            file.seek(order.start)
            if file.read(order.stop - order.start).decode() != sys.byteorder:
                raise ValueError("of another byte order")
        self._forms: list[Tensor] = []
        self._places: dict[int, Placeholder] = {}  # by the id of a form: one may be in two places
        self._storages: dict[int, torch.UntypedStorage] = {}

    def placed(self, content: Any) -> Any:
        """Put placeholders where tensors on the meta device are; read the small ones."""
        seen: set[int] = set()
        found = rebuilt(content, lambda value, _: self._placed(value, seen))
        if seen != self._sizes.keys():  # tensors where they are not looked for, as in a set
            raise ValueError("other tensors are hidden in it")
        self._storages.clear()
        return found

    def _placed(self, value: Any, seen: set[int]) -> Any:
        if not isinstance(value, Tensor):
            return value
        plain = type(value) is Tensor and value.layout is torch.strided and not vars(value)
        start = _start(value)  # less than 0 if it was saved without values
        bits = value.is_conj() or value.is_neg()  # what is to be done to the values in the file
        if not plain or value.requires_grad or value.is_quantized or bits or start < 0:
            raise ValueError("it holds what is read whole")
        seen.update({start} & self._sizes.keys())
        if self._sizes.get(start, 0) <= SMALL:
            return self._read(value)
        if id(value) not in self._places:
            self._forms.append(value)
            self._places[id(value)] = Placeholder(len(self._forms) - 1, value)
        return self._places[id(value)]

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Let who opens the file to write to it wait, where the system can see to it."""
        if sys.platform != "linux":
            yield
            return
        with contextlib.suppress(OSError):  # of another user, written to right now, or on a network
            # A signal tells of one who waits: SIGIO, which ends the process, or one that is ignored.
            fcntl.fcntl(self._file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._file, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def read(self, placeholders: Iterable[Placeholder]) -> dict[Hashable, Tensor]:
        """Read tensors by their keys; those that shared memory when they were saved share it."""
        found = {each.key: self._read(self._forms[each.key]) for each in placeholders}  # type: ignore[call-overload]
        self._storages.clear()
        return found

    def read_into(self, placeholder: Placeholder, room: Tensor) -> None:
        """Read a tensor into the memory of another one."""
        form, room = self._forms[placeholder.key], room.detach()  # type: ignore[call-overload]
        alike = form.dtype == room.dtype and type(room) is Tensor and room.is_cpu
        bits = room.is_conj() or room.is_neg()
        if alike and not bits and is_dense(room) and _steps(room) == _steps(form):
            start = _start(form) + form.storage_offset() * form.itemsize
            self._read_bytes(start, room.data_ptr(), room.nbytes)
            if not room.is_inference():  # so that no backward pass takes these for those before
                torch.autograd.graph.increment_version(room)
            return
        room.copy_(self._read(form, torch.device("cpu")))
        self._storages.clear()

    def room_for(
        self,
        form: Tensor,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Make a tensor of a form to read into."""
        try:
            # Not empty_like: of a tensor on the meta device, it imports sympy.
            dtype = dtype or form.dtype
            if is_dense(form):
                return torch.empty_strided(form.shape, form.stride(), dtype=dtype, device=device)
            return torch.empty(form.shape, dtype=dtype, device=device)
        except RuntimeError as error:
            if "allocate memory" in str(error):
                raise MemoryError(f"{self._path}: there is not enough memory to load it") from error
            raise

    def _read(self, form: Tensor, device: torch.device | None = None) -> Tensor:
        """Read a tensor, with all that shares its memory."""
        start = _start(form)
        if start not in self._storages:
            size = torch.empty(self._sizes.get(start, 0), dtype=torch.uint8, device="meta")
            storage = self.room_for(size).untyped_storage()
            self._read_bytes(start, storage.data_ptr(), storage.nbytes())
            self._storages[start] = storage.to(device=device or self._device)
        storage = self._storages[start]
        empty = torch.empty(0, dtype=form.dtype, device=storage.device)
        return empty.set_(storage, form.storage_offset(), form.shape, form.stride())

    def _read_bytes(self, start: int, address: int, count: int) -> None:
        if not count:
            return
        room = memoryview((ctypes.c_char * count).from_address(address)).cast("B")
        self._file.seek(start)
        while room:
            read = self._file.readinto(room)  # type: ignore[attr-defined]
            if not read:
                raise CorruptCheckpointError(
                    f"{self._path} was cut off while it was read. Load an older copy."
                )
            room = room[read:]
        self.check()


def is_dense(tensor: Tensor) -> bool:
    """Return whether its values fill a piece of memory, each once, in whatever order."""
    filled = 1
    for step, count in sorted(_steps(tensor)):
        if step != filled:
            return False
        filled *= count
    return True


def _steps(tensor: Tensor) -> list[tuple[int, int]]:
    """Return how its values lie in memory: the step along each side, and how many there are."""
    sides = zip(tensor.stride(), tensor.shape, strict=True)
    return [(step, count) for step, count in sides if count != 1]


def _start(form: Tensor) -> int:
    # torch/serialization.py, 2.15: what map_location="meta" notes of each storage; None in 2.9.
    offset = getattr(form.untyped_storage(), "_checkpoint_offset", None)
    return -1 if offset is None else int(offset)


@lru_cache
def can_defer() -> bool:
    """Return whether this torch says where in a file a tensor is; 2.9 does not, 2.13 does."""
    buffer = io.BytesIO()
    torch.save(torch.ones(1), buffer)
    buffer.seek(0)
    return _start(torch.load(buffer, map_location="meta", weights_only=True)) > 0
