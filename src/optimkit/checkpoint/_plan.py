"""Saved state against live objects: everything is checked, then everything is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from .._errors import (
    CheckpointError,
    CorruptCheckpointError,
    MismatchError,
    UnsafeCheckpointError,
    raised_by_handler,
)
from .._files.unread import Placeholder, Unread, filled, placeholders_in
from .._wrappers import stored, unwrapped
from ._header import kind_of, models_in, parts_in, parts_of
from ._loaders import ABSENT, Choices, Loader, ObjectLoader, ScalerLoader, Source
from ._modules import ModuleLoader
from ._optimizers import OptimizerLoader, OwnFormLoader, has_own_form
from ._results import LoadReport
from ._schedulers import SchedulerLoader

_LOADERS: dict[str, type[Loader]] = {
    "module": ModuleLoader,
    "optimizer": OptimizerLoader,
    "scheduler": SchedulerLoader,
    "scaler": ScalerLoader,
    "stateful": ObjectLoader,
}


def loader_for(value: object) -> type[Loader]:
    inner = stored(value)
    if isinstance(inner, Optimizer) and has_own_form(inner):
        return OwnFormLoader
    return _LOADERS[kind_of(value)]


def refuse_what_no_load_takes(
    objects: Mapping[str, Any], content: Mapping[str, Any], header: Mapping[str, Any]
) -> None:
    """Refuse an optimizer of which a hook, or its class, has put into its state what load refuses."""
    parts = {name: value for name, value in parts_of(objects).items() if _saves_more(stored(value))}
    choices = Choices("name", strict=True, options="saved")
    saved = parts_in(content, header["objects"]) if parts else {}
    source = Source(choices, "what would be saved", saved, models_in(parts_of(objects)))
    for name, value in parts.items():
        loader = loader_for(value)(name, value, saved[name], header["objects"][name], source)
        loader.check()
        if loader.problems:
            what = loader.problems[0].partition(". ")[0]
            raise UnsafeCheckpointError(
                f"{what}: load would refuse it. A hook, the class or the script has put it there. Save "
                "state_dict() itself, as a plain value, and give that to load_state_dict()."
            )


def _saves_more(optimizer: Any) -> bool:
    """Return whether a state dict may hold what torch has not put there."""
    return isinstance(optimizer, Optimizer) and (
        type(optimizer).state_dict is not Optimizer.state_dict
        or bool(getattr(optimizer, "_optimizer_state_dict_post_hooks", None))
        or not all(isinstance(key, Tensor) for key in optimizer.state)
    )


class Plan:
    """The loaders of a call, in the order that the objects were given in, and the plain values.

    It is made if what was saved fits the objects; nothing is touched. Without a header, optimkit did
    not write it. Without models, those among the objects name the optimizers' parameters.
    """

    def __init__(
        self,
        content: Mapping[Any, Any],
        header: Mapping[str, Any] | None,
        objects: Mapping[str, Any],
        choices: Choices,
        *,
        where: str,
        models: Mapping[Any, nn.Module] | None = None,
    ) -> None:
        about: Mapping[str, Any] = (header or {}).get("objects", {})
        parts = parts_of(objects)
        known = parts.keys() if header is None else about.keys()
        saved = parts_in(content, known)
        source = Source(
            choices,
            where,
            saved,
            models=models_in(parts) if models is None else models,
            others=[value for name, value in saved.items() if name not in parts],
        )
        self.where = where
        self.plain = {name: value for name, value in saved.items() if name not in known}
        self.loaders = [
            loader_for(value)(name, value, saved.get(name, ABSENT), about.get(name), source)
            for name, value in parts.items()
        ]
        self._check()

    @property
    def reports(self) -> dict[str, LoadReport]:
        return {each.name: each.report for each in self.loaders}

    def _check(self) -> None:
        # Schedulers last: how their groups go together, their optimizers know.
        schedulers = [each for each in self.loaders if isinstance(each, SchedulerLoader)]
        optimizers = [each for each in self.loaders if isinstance(each, OptimizerLoader)]
        for loader in self.loaders:
            if not isinstance(loader, SchedulerLoader):
                loader.check()
        for scheduler in schedulers:
            driven = unwrapped(scheduler.live.optimizer)
            scheduler.optimizer = next((each for each in optimizers if each.live is driven), None)
            scheduler.check()
        steered = [each.optimizer for each in schedulers]
        self.pairs = [
            (scheduler, optimizer)
            for scheduler, optimizer in zip(schedulers, steered, strict=True)
            if optimizer is not None and steered.count(optimizer) == 1  # else others have set it
        ]
        for scheduler, optimizer in self.pairs:
            scheduler.compare_with(optimizer)
        problems = [text for each in self.loaders for text in each.problems]
        if problems:
            raise MismatchError(*problems, reports=self.reports)

    def wanted(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        for loader in self.loaders:
            yield from loader.wanted()

    def fill(self, tensors: Mapping[Any, Tensor]) -> None:
        """Put tensors in the place of their placeholders."""
        for loader in self.loaders:
            loader.saved = filled(loader.saved, tensors)
        self.plain = filled(self.plain, tensors)

    def load(
        self,
        unread: Unread | None = None,
        together: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        """Load all objects, or none: if one raises, all get their former state back.

        ``together`` runs what may raise: if it fails in one of many processes, it fails in all.
        """
        order = sorted(self.loaders, key=lambda each: each.turn)
        if unread is not None:
            unread.check()
            # What can't be read in place.
            fresh = [saved for each in order if not each.in_place for saved, _ in each.wanted()]
            self.fill(unread.read(placeholders_in([*fresh, self.plain])))
        rooms = [pair for each in self.loaders if each.in_place for pair in each.rooms(unread)]
        count = len(rooms)
        try:
            together(lambda: self._load(each for each in order if not each.safe))
            self._load(each for each in order if each.safe)
            for scheduler, _ in self.pairs:
                scheduler.agree()
            with contextlib.nullcontext() if unread is None else unread.kept():
                if unread is not None:
                    unread.check()  # while all can be undone
                interrupt = self._fill(rooms, unread)
                if interrupt is not None and rooms:
                    raise self._in_part(interrupt) from interrupt
        except BaseException as error:
            if count and not rooms:  # a signal, when all are loaded
                raise
            lost = [text for each in reversed(order) for text in _undone(each)]
            if lost and isinstance(error, CheckpointError):
                raise MismatchError(*error.problems, *lost, reports=self.reports) from error
            raise
        if interrupt is not None:
            raise interrupt

    def _fill(
        self, rooms: list[tuple[Tensor, Tensor]], unread: Unread | None
    ) -> BaseException | None:
        """Read in place; return what interrupted it, to be raised when all objects are whole."""
        interrupt: BaseException | None = None
        tries = 0  # of one tensor
        while rooms:
            try:
                while rooms:  # all that takes time is in here, where another signal may come
                    signal = not isinstance(interrupt, Exception) or raised_by_handler(interrupt)
                    if tries > 1 and not signal:
                        return interrupt
                    tries += 1
                    _fill_one(*rooms[-1], unread)
                    rooms.pop()
                    tries = 0
            except BaseException as error:
                interrupt = error
        return interrupt

    def _in_part(self, error: BaseException) -> CorruptCheckpointError:
        what = f"{self.where} could not be read to its end: {error!r}. Load an older copy."
        return CorruptCheckpointError(
            f"{error if isinstance(error, CorruptCheckpointError) else what} The objects hold a "
            "part of it until then."
        )

    def _load(self, loaders: Iterable[Loader]) -> None:
        for loader in loaders:
            try:
                loader.load()
            except Exception as error:
                loader.add_problem(f"loading it raised {type(error).__name__}: {error}")
                raise MismatchError(*loader.problems, reports=self.reports) from error

    @property
    def warnings(self) -> list[str]:
        return [text for each in self.loaders for text in each.warnings]


def _fill_one(saved: Tensor, room: Tensor, unread: Unread | None) -> None:
    if unread is not None and isinstance(saved, Placeholder):
        unread.read_into(saved, room)
    else:
        room.detach().copy_(saved)


def _undone(loader: Loader) -> list[str]:
    """Undo a load; return what went wrong if the object does not take its former state."""
    try:
        if loader.former is not ABSENT:  # load() has begun to change it
            loader.undo()
    except Exception as error:
        loader.add_problem(f"it did not take its former state back: {error!r}. Make a new one.")
        return loader.problems[-1:]
    return []
