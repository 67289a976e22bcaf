"""What is written of tensors, and a copy of it that a thread writes beside training."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import copy
import os
import sys
import threading
import warnings
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from .._errors import CheckpointError, UnsafeCheckpointError
from .._files.unread import rebuilt
from .._values import PLAIN, compressed_parts, dtype_name, tensors_in

_ALIGNED = 16  # bytes: a multiple of the size of every dtype
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
_CONTAINERS = (dict, OrderedDict, list, tuple)
_NICENESS = 10  # more, of the thread that writes: a core that both want is training's first
_T = TypeVar("_T")
_Copies: TypeAlias = list[tuple[Tensor, Tensor]]  # where to, and where from
_Copied: TypeAlias = tuple[Any, list[tuple[Any, _Copies]]]  # and what tells the end of some


def compact(content: Any) -> Any:
    """Leave out the memory that views in a content do not show: torch writes whole storages.

    Tensors of one dtype that share memory go on sharing it; torch writes no others that do.
    """
    groups: defaultdict[_Memory, list[Tensor]] = defaultdict(list)
    for each in filter(_shows_memory, tensors_in(content)):
        groups[_memory(each)].append(each)
    # What is more than a view is written whole, and so is a storage for its first dtype.
    whole = dict.fromkeys(
        key for key, tensors in groups.items() if not all(map(_is_plain, tensors))
    )
    owners = dict([*reversed(groups), *reversed(whole)])
    for storage, dtype in whole:
        if owners[storage] != dtype:
            raise UnsafeCheckpointError(
                f"two tensors view one memory as {dtype_name(owners[storage])} and as "
                f"{dtype_name(dtype)}. Save detach().clone() of one of them."
            )
    parts = {
        key: _parts_of(tensors, apart=owners[key[0]] != key[1])
        for key, tensors in groups.items()
        if key not in whole and (owners[key[0]] != key[1] or not any(map(_shows_all, tensors)))
    }

    dense: dict[object, Tensor] = {}  # by what it shows

    def cut(value: Any, _: object) -> Any:
        if not isinstance(value, Tensor):
            return value
        if not _is_plain(value):
            alone = not _has_storage(value) or len(groups[_memory(value)]) == 1
            return _cloned(value) if alone and _wastes(value) else value
        if not value.numel():  # it shows nothing
            return _like(torch.empty_like(value.detach()), value)
        if (key := _memory(value)) not in parts:
            return value
        part = parts[key][bisect_right(parts[key], _span(value)[0], key=lambda each: each.low) - 1]
        if part.apart:
            shown = key, *_layout(value)
            if shown not in dense:
                dense[shown] = value.detach().clone(memory_format=torch.contiguous_format)
            return _like(dense[shown].detach(), value)
        own = value.untyped_storage()
        if (own.data_ptr(), own.nbytes()) == (part.storage.data_ptr(), part.storage.nbytes()):
            return value  # one tensor in two places stays one
        return _laid_out(part.storage, value, part.low // value.itemsize)

    return rebuilt(content, cut)


_Memory: TypeAlias = tuple[int, torch.dtype]


def _memory(value: Tensor) -> _Memory:
    return value.untyped_storage()._cdata, value.dtype


class _Part(NamedTuple):
    """Memory that views show, without gaps, or a copy of it."""

    low: int  # the byte of the storage where it begins
    storage: torch.UntypedStorage
    apart: bool  # whether they leave out half of it or more, and no value is in two


def _parts_of(tensors: list[Tensor], *, apart: bool) -> list[_Part]:
    """Divide a storage into what views of it show together, in order."""
    storage: Any = tensors[0].untyped_storage()
    runs: list[tuple[int, int, list[Tensor]]] = []
    for tensor in sorted(tensors, key=_span):
        low, high = _span(tensor)
        if runs and low <= runs[-1][1]:
            first, last, views = runs.pop()
            views.append(tensor)
            runs.append((first, max(last, high), views))
        else:
            runs.append((low, high, [tensor]))
    found = []
    for low, high, views in runs:
        part = storage
        if high - low < storage.nbytes():
            # On mps, the address is of an object: no number may be added to it.
            mps = storage.device.type == "mps"
            whole = _numbers(storage, torch.uint8) if mps else None
            part = storage[low:high] if whole is None else whole[low:high].clone().untyped_storage()
        found.append(_Part(low, part.clone() if apart else part, _are_apart(views, low, high)))
    return found


def _are_apart(views: list[Tensor], low: int, high: int) -> bool:
    """Return whether views leave out half of their memory or more, and no value is in two."""
    different = {_layout(each): each for each in views}
    if 2 * sum(each.nbytes for each in different.values()) > high - low:
        return False
    if len(different) > 1:
        seen = torch.zeros((high - low) // views[0].itemsize, dtype=torch.bool, device="cpu")
        for offset, shape, stride in different:
            once = [n if step else 1 for n, step in zip(shape, stride, strict=True)]  # if expanded
            own = seen.as_strided(once, stride, offset - low // views[0].itemsize)
            if own.any():
                return False
            own[...] = True
    return True


def _layout(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return the bytes of its storage between which a tensor lies."""
    low = int(tensor.storage_offset())
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    high = low + 1 + sum(int(n - 1) * int(step) for n, step in steps)
    return low * tensor.itemsize // _ALIGNED * _ALIGNED, high * tensor.itemsize


def _wastes(tensor: Tensor) -> bool:
    """Return whether a tensor that is more than a view lies in memory twice its own."""
    if tensor.is_meta or tensor.is_nested or type(tensor) not in (Tensor, nn.Parameter):
        return False
    if tensor.layout is torch.strided:
        return 2 * tensor.nbytes <= tensor.untyped_storage().nbytes()
    return any(
        2 * each.nbytes <= each.untyped_storage().nbytes() for each in compressed_parts(tensor)
    )


def _cloned(tensor: Tensor) -> Tensor:
    """Copy a tensor that is more than a view, without the memory behind it."""
    return _like(tensor.detach().clone(), tensor)


def _like(made: Tensor, value: Tensor) -> Tensor:
    """Give a copy what another tensor has beside its values."""
    if type(value) is nn.Parameter:
        made = nn.Parameter(made, value.requires_grad)
    made.requires_grad_(value.requires_grad)
    vars(made).update(vars(value))
    return made


def _is_plain(value: Tensor) -> bool:
    """Return whether a tensor is no more than a view of its memory, or a parameter."""
    special = value.is_quantized or value.is_conj() or value.is_neg()
    ordinary = type(value) in (Tensor, nn.Parameter) and not special
    return ordinary and _has_storage(value) and not vars(value)


def _shows_memory(value: Tensor) -> bool:
    return _has_storage(value) and value.numel() > 0


def _shows_all(value: Tensor) -> bool:
    return value.is_contiguous() and value.nbytes == value.untyped_storage().nbytes()


def _has_storage(value: Tensor) -> bool:
    strided = value.layout is torch.strided and not (value.is_meta or value.is_nested)
    return strided and not hasattr(value, "_local_tensor")


def _laid_out(storage: torch.UntypedStorage, like: Tensor, cut: int = 0) -> Tensor:
    """View memory as another tensor views its own, of which so many values are cut off."""
    found = torch.empty(0, dtype=like.dtype, device=storage.device)
    found.set_(storage, like.storage_offset() - cut, like.shape, like.stride())
    return _like(found, like)


class Saving:
    """A save that a thread writes, beside training; see :func:`optimkit.save`.

    What is written is the state at the call. Only one is written at a time: the next save waits
    for it, a load too, and so does the end of the process. An error is raised by :meth:`wait`,
    or else by the next save, or else shown at the end of the process, whose exit status stays as
    it is; a warning is given there too.

    Parameters
    ----------
    path : pathlib.Path
        The file. A :class:`optimkit.CheckpointDir` renames it if it holds NaN or infinity.
    write : callable
        What writes it, and returns its path and a warning.

    Examples
    --------
    >>> import torch, optimkit
    >>> model = torch.nn.Linear(2, 1)
    >>> saving = optimkit.save("last.pt", model=model, background=True)
    >>> saving.wait().name, saving.done()
    ('last.pt', True)
    """

    def __init__(self, path: Path, write: Callable[[], tuple[Path, str]]) -> None:
        self.path = path
        self._write = write
        self._note = ""
        self._error: BaseException | None = None
        self._told = self._done = False
        self._worker: int | None = None  # the thread
        # No Thread, no Event: the handler of a signal may raise, or save, in the middle of their
        # Python; an interrupted Thread.join then took the thread for ended (3.11).
        self._begun, self._ended = threading.Lock(), threading.Lock()
        self._ended.acquire()

    def __repr__(self) -> str:
        """Return the path, and how far it is."""
        state = "failed" if self._error else "done" if self.done() else "being written"
        return f"<Saving {str(self.path)!r}: {state}>"

    def done(self) -> bool:
        """Return whether the file is complete, or could not be written."""
        return self._done

    def wait(self) -> Path:
        """Return the path when the file is complete, or raise what went wrong."""
        self._settle()
        told, self._told = self._told, True
        if self._error is not None:
            raise self._error
        if self._note and not told:
            frame, level = sys._getframe(1), 2  # who asks, or saves again: not a line of the kit
            while frame.f_back and frame.f_globals["__name__"].startswith("optimkit."):
                frame, level = frame.f_back, level + 1
            warnings.warn(self._note, stacklevel=level)
        return self.path

    def _begin(self) -> None:
        """Let a thread write."""
        try:
            _thread.start_new_thread(self._run_beside, ())
        except RuntimeError:  # the process ends, or may have no more threads
            self._run()

    def _settle(self) -> None:
        if not self._begun.locked():  # a signal came before the thread
            self._begin()
        if self._worker != threading.get_ident():
            with self._ended:
                pass

    def _run_beside(self) -> None:
        _give_way()
        self._run()

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        self._worker = threading.get_ident()
        try:
            self.path, self._note = self._write()
        except BaseException as error:
            self._error = error
        finally:
            del self._write
            self._done = True
            self._ended.release()

    def _forget(self) -> None:
        """In a fork, where no thread writes, wait for none."""
        if not self._done:
            self._error = CheckpointError(
                f"{self.path} is written by the process that this one is a fork of. Wait there."
            )
            self._begun, self._ended, self._done = threading.Lock(), threading.Lock(), True
            self._begun.acquire()


@contextlib.contextmanager
def beside(call: Callable[[], _T]) -> Iterator[Callable[[], _T]]:
    """Let a thread call something meanwhile; give what waits for its answer."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:  # the process ends, or may have no more threads
        run()
    try:
        yield future.result
    finally:
        wait([future])  # a thread that is in torch when the process ends aborts it


def _give_way() -> None:
    """Let this thread wait for a core that another one wants; only Linux has that of threads."""
    if sys.platform == "linux":
        me = os.PRIO_PROCESS, threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(*me, os.getpriority(*me) + _NICENESS)


class _Stage:
    """The saves that have been begun, and the memory that they are copied into."""

    def __init__(self) -> None:
        self.savings: list[Saving] = []  # one, or more if the handler of a signal saved
        self.buffers: list[Tensor] = []  # used again by the next save
        self.copying = threading.RLock()
        self.busy = False  # a copy is being made: the handler of a signal saves in the middle
        self.ended = False  # no one waits any more
        self.last: Any = None  # calls _end in a process of multiprocessing, which has no atexit


_stage = _Stage()


def settle() -> None:
    """Wait for the save that is being written."""
    for saving in list(_stage.savings):
        saving._settle()


def settle_and_raise() -> None:
    """Wait for the save that is being written, and raise its error if no one has seen it."""
    with _stage.copying:
        settle()
        for saving in list(_stage.savings):
            if saving.done() and saving in _stage.savings:  # else the handler of a signal was here
                _stage.savings.remove(saving)
                if not saving._told:
                    saving.wait()


def _end() -> None:
    """Wait at the end of the process, and raise every error."""
    _stage.ended = True
    try:
        settle_and_raise()
    finally:
        if _stage.savings:
            _end()


def write_beside(
    path: Path,
    content: Any,
    write: Callable[[Any], tuple[Path, str]],
    together: Callable[[Callable[[], _Copied]], _Copied] = lambda work: work(),
) -> Saving:
    """Copy what is to be written, and let a thread write the copy: in every process, or in none."""
    with _stage.copying:
        settle_and_raise()
        free = not _stage.busy and all(each.done() for each in _stage.savings)
        buffers = _stage.buffers if free else []
        busy, _stage.busy = _stage.busy, True
        try:
            staged, copying = together(lambda: _copied_out(content, buffers))
        finally:
            _stage.busy = busy

        def work() -> tuple[Path, str]:
            while copying:  # what is copied must not be freed before
                copying[-1][0].synchronize()
                copying.pop()
            return write(staged)

        if _stage.last is None and parent_process() is not None:
            _stage.last = Finalize(None, _end, exitpriority=0)
        saving = Saving(path, work)
        _stage.savings.append(saving)  # first: it is waited for, whatever interrupts the rest
        saving._begin()
        if _stage.ended:
            saving.wait()
        return saving


def _copied_out(content: Any, buffers: list[Tensor]) -> _Copied:
    """Copy all that may change; of what a GPU copies meanwhile, return what tells the end."""
    rooms: dict[int, torch.UntypedStorage] = {}  # by the storage that is copied there
    copies: defaultdict[torch.device, _Copies] = defaultdict(list)
    memo: dict[int, Any] = {}

    def moved(value: Any) -> Any:
        if not isinstance(value, Tensor) or not _is_plain(_bare(value)):
            if isinstance(value, Tensor) and value.is_cuda:
                copies[value.device] += ()  # its copy is waited for too
            # deepcopy refuses these: compressed ones, and what was computed with gradients.
            if isinstance(value, Tensor) and (value.layout in _COMPRESSED or not value.is_leaf):
                return value.detach().clone().requires_grad_(value.requires_grad)
            return copy.deepcopy(value, memo)
        storage = value.untyped_storage()
        if storage._cdata not in rooms:
            room = rooms[storage._cdata] = _room(buffers, len(rooms), storage)
            copies[storage.device].append((_numbers(room), _numbers(storage)))
        found = _laid_out(rooms[storage._cdata], value)
        if vars(value):
            vars(found).update(copy.deepcopy(vars(value), memo))
        return found

    # In two: what calls itself is a cycle, which would hold the memory until garbage is collected.
    def move(value: Any, _: object) -> Any:
        if type(value) in PLAIN or type(value) in _CONTAINERS:
            return value
        if hasattr(value, "_local_tensor"):  # of a sharded tensor, this process has a part
            names, about = value.__tensor_flatten__()
            parts = {name: getattr(value, name) for name in names}
            parts["_local_tensor"] = moved(value._local_tensor.detach())
            return value.__tensor_unflatten__(parts, about, value.shape, value.stride())
        return moved(value)

    try:
        staged = rebuilt(content, move)
        copying = [(_copy(device, pairs), pairs) for device, pairs in copies.items()]
    except BaseException:
        buffers.clear()  # a GPU may still write there
        raise
    del buffers[len(rooms) :]
    return staged, copying


def _bare(value: Tensor) -> Tensor:
    """Leave out what is told of a tensor beside its values."""
    return value.detach() if type(value) in (Tensor, nn.Parameter) and vars(value) else value


def _room(buffers: list[Tensor], at: int, storage: torch.UntypedStorage) -> torch.UntypedStorage:
    """Take the memory that this place had last time, if it is of that size."""
    pinned = storage.device.type == "cuda"
    fits = at < len(buffers) and buffers[at].numel() == storage.nbytes()
    if not fits or (pinned and not buffers[at].is_pinned()):
        del buffers[at:]
        buffers.append(
            torch.empty(storage.nbytes(), dtype=torch.uint8, device="cpu", pin_memory=pinned)
        )
    return buffers[at].untyped_storage()


def _copy(device: torch.device, pairs: _Copies) -> Any:
    """Copy on a stream of its own; return the event of the end.

    It waits for what training has queued, and what trains next waits for it: that may change what
    is copied, or free it.
    """
    streams: Any = torch.get_device_module(device)  # torch.cpu has them too, and they do nothing
    if not hasattr(streams, "Stream"):
        streams = torch.cpu
    training, own = streams.current_stream(device), streams.Stream(device)
    own.wait_stream(training)
    with streams.stream(own):
        for target, source in pairs:
            # From a device into memory that is not pinned, it may go on unseen.
            target.copy_(source, non_blocking=target.is_pinned())
            if source.is_cuda:  # another stream's memory, that stream may use again
                source.record_stream(own)
    training.wait_stream(own)
    event = streams.Event()
    event.record(training)
    return event


def _numbers(storage: torch.UntypedStorage, dtype: torch.dtype | None = None) -> Tensor:
    """View memory as a row of numbers; torch takes a sixth longer to copy single bytes."""
    dtype = dtype or (torch.uint8 if storage.nbytes() % 4 else torch.int32)
    return torch.empty(0, dtype=dtype, device=storage.device).set_(storage)


def _forget() -> None:
    """Begin anew in a fork."""
    for saving in _stage.savings:
        saving._forget()
    _stage.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(_end)
