"""Optimizers: saved state finds its parameter, saved options find their group."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._errors import first_few, let_through
from .._files.unread import Placeholder, Unread, is_dense
from .._optimizer_view import OptimizerView, group_label, view_of, view_of_saved
from .._tables import counted
from .._torch_optimizers import (
    FLAT,
    FLAT_LISTS,
    NOT_OPTIONS,
    arguments_of,
    flat_dtype,
    flat_size,
    is_extra,
    is_state_dict,
    keys_by_option,
    keys_of,
    required_keys,
    shape_of,
    torch_class,
)
from .._values import PLAIN, as_form_of, copied, dtype_name, equal_but_cast, plain, same, tensors_in
from .._wrappers import state_around
from ._header import class_of, same_class, short
from ._loaders import Loader, ObjectLoader, in_sentence, or_grown, with_rows
from ._names import Pairing, names_of, pair_by_name
from ._results import LoadRow

Shape = tuple[int, ...]
_DECOUPLED = "decoupled_weight_decay"  # in AdamW True, in Adam False


@dataclass(eq=False)
class _Param:
    """A current parameter, and what was saved of it."""

    param: Tensor
    label: str  # what a report calls it
    group: int
    place: int | None  # in what was saved; None if it is not there
    state: Mapping[str, Any]
    was: Shape | None = None  # its shape when it was saved, if that is known
    keeps: bool = False  # whether it keeps its current state
    begun: list[str] = field(default_factory=list)  # what an option needs that was off: zeros
    casts: dict[str, torch.dtype] = field(default_factory=dict)
    room: dict[str, Tensor] = field(default_factory=dict)  # what is read in place


class OptimizerLoader(Loader):
    """Loads an optimizer: state by parameter, options by group."""

    turn = 2  # after the schedulers, whose lr it sets right
    live: Optimizer
    was: OptimizerView  # what was saved
    groups: list[int | None]  # the saved group that each current one comes from
    params: list[_Param]
    former_around: dict[Any, Any]

    @property
    def around(self) -> dict[Any, Any]:
        """The state that a wrapper keeps beside that of the optimizer; nothing without one."""
        return state_around(self.wrapper)

    @property
    def counts_steps(self) -> bool:
        """Whether the class counts the steps of each parameter that it has trained."""
        return self.kind is not None and "step" in required_keys(self.kind, False, {})

    @property
    def words(self) -> Mapping[str, Any]:
        """The saved state of no parameter that the class keeps, or its wrapper: torch's keep none."""
        return {} if self.kind and self.wrapper is self.live else self.was.words

    @property
    def paired(self) -> list[_Param]:
        """Those that were saved."""
        return [each for each in self.params if each.place is not None]

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        """Whether only code of torch's will see the state, and it is tensors, not lists of them."""
        values = (value for state in self.was.states for value in state.values())
        nested = any(isinstance(value, (list, tuple, Mapping)) for value in values)
        beside = tensors_in(self.was.more) or tensors_in(self.words)
        return not (nested or beside or self.grown) and _loads_plainly(self.live)

    def compare(self) -> None:
        if not is_state_dict(self.saved) or not all(
            "params" in group for group in self.saved["param_groups"]
        ):
            self.add_problem(
                f"what {self.source.where} has for it is no state dict of an optimizer, but a "
                f"{type(self.saved).__name__} without 'state' and 'param_groups'."
            )
            return
        self.was = view_of_saved(self.saved, self.about)
        self.kind = torch_class(type(self.live))
        self._compare_class()
        alike = not self.problems
        self._pair()
        sources = self._sources()
        self.groups = [found[0] if found else None for found in sources]
        if alike:
            if self.kind == "LBFGS":
                self._compare_flat()
            else:
                self._compare_state()
            self._compare_options(sources)

    # What kind, and who is who

    def _compare_class(self) -> None:
        if self.was.saved_class is not None:
            _refuse_another_class(self, self.was.saved_class)
        elif doubt := self._other_class():
            self.add_problem(
                f"{self.source.where} was not saved by {type(self.live).__name__}: {doubt}. Make the "
                "same optimizer."
            )

    def _other_class(self) -> str:
        """Return what shows that another class wrote a state dict; else nothing."""
        kind, saved, live = self.kind, self.was, self.live
        state = next(filter(None, saved.states), {})
        if kind is not None and state:
            strange = sorted(set(map(str, state)) - keys_of(kind))
            if strange and kind != "LBFGS":  # it keeps more, which no step needs
                return f"it keeps {first_few(strange)} for a parameter"
            if not keys_of(kind) & set(state):
                return f"it keeps none of {first_few(sorted(keys_of(kind)))} for a parameter"
        if saved.groups and live.param_groups:
            was, now = set(_options_of(saved, 0)), set(live.defaults)
            known = now | {_DECOUPLED, *live.param_groups[0]}
            strange = sorted(key for key in was - known if not is_extra(key))
            lacking = sorted(key for key in now - was if not key.startswith("_"))  # kept to itself
            if strange and lacking:
                return f"its groups have {first_few(strange)}, and no {first_few(lacking)}"
            found = saved.options[0].get(_DECOUPLED)
            mine = live.defaults.get(_DECOUPLED, kind == "AdamW")
            if kind in ("Adam", "AdamW") and found not in (None, mine):
                return f"its groups have {_DECOUPLED}={found}"
        return ""

    def _pair(self) -> None:
        """Find what was saved of each parameter, by name or by position."""
        saved, now = self.was, view_of(self.live)
        names = names_of(self.live, self.source.models)
        by_name = self.choices.match == "name"
        if by_name and saved.named and names is not None:
            self.match = "name"
            found = pair_by_name(saved, names)
            pairs = found.pairs
            self._note_unpaired(found, now.params)
        else:
            self.match = "position"
            which, view = (
                ("the current optimizer", now) if saved.named else (self.source.where, saved)
            )
            why = f"{which} has {view.names_told}" if by_name else 'match="position" was passed'
            pairs = self._by_position(len(now.params), why)
            told = self.notes if saved.saved_class else self.warnings
            if by_name:
                told.append(
                    f"{self.name} was matched by position: {why}. Shapes were checked; whether the "
                    "order is the same can't be."
                )
        places = range(len(now.params))
        labels = names.params if names else [f"params[{place}]" for place in places]
        states = [{} if at is None else saved.states[at] for at in pairs]
        prefix = f"{names.model}." if names and names.model else ""
        shapes = self._saved_shapes([prefix + label for label in labels], pairs)
        self.params = list(map(_Param, now.params, labels, now.group_of, pairs, states, shapes))
        self._note_frozen()

    def _note_frozen(self) -> None:
        """Warn of what is in a group still, and does not train any more."""
        before = (self.about or {}).get("frozen")
        frozen = [
            each.label
            for each in self.paired
            if each.state and not each.param.requires_grad and each.place not in (before or ())
        ]
        if self.choices.strict and before is not None and frozen:
            self.warn(
                f"{self.source.where} has {first_few(frozen)} trained, now frozen in its group: its "
                "state is loaded, and stands still. If it should train, set requires_grad=True."
            )

    def _saved_shapes(self, names: list[str], pairs: list[int | None]) -> list[Shape | None]:
        """Return the shape that each had: by the header, or by the models in the file."""
        if (shapes := self.was.shapes) is not None:
            return [None if at is None else shapes[at] for at in pairs]
        found = {
            f"{key}.{name}": tuple(param.shape)
            for key, model in self.source.parts.items()
            for name, param in (model.items() if isinstance(model, Mapping) else ())
            if isinstance(param, Tensor)
        }
        return list(map(found.get, names))

    def _by_position(self, count: int, why: str) -> list[int | None]:
        before, now = (
            [len(group["params"]) for group in each]
            for each in (self.was.groups, self.live.param_groups)
        )
        if before == now:
            return list(range(count))
        self.add_problem(
            f"{self.source.where} has {_counted(before)}, the current optimizer "
            f"{_counted(now)}, and nothing says which is which: {why}. Save with optimkit.save, "
            "the model beside the optimizer, or build both from named parameters. To what is saved "
            "already, load_optimizer gives names: names=model."
        )
        return [None] * count

    def _sources(self) -> list[list[int]]:
        """Return for each current group the saved groups that its parameters were in."""
        groups, before = self.live.param_groups, self.was.groups
        found: list[dict[int, None]] = [{} for _ in groups]
        for each in self.paired:
            found[each.group][self.was.group_of[each.place]] = None  # type: ignore[index]
        for index, group in enumerate(groups):
            empty = not group["params"] and len(groups) == len(before)
            if empty and not before[index]["params"]:
                found[index][index] = None
        return list(map(list, found))

    def _note_unpaired(self, found: Pairing, params: list[Tensor]) -> None:
        """Note who is only in the file, or only here; what is frozen now may be left out."""
        where, saved = self.source.where, self.was
        for name, place, param in zip(found.now, found.pairs, params, strict=True):
            if place is None:
                self.missing.append(LoadRow(name, "parameter", None, tuple(param.shape)))
        taken = set(found.pairs)
        left = {name: at for at, name in enumerate(found.before) if at not in taken}
        for name, at in left.items():
            shape = saved.shapes and saved.shapes[at]
            self.unexpected.append(LoadRow(name, "parameter", shape, None))
        strangers = [name for name in left if name not in found.frozen]
        frozen = [name for name in left if name in found.frozen and saved.states[left[name]]]
        if self.choices.strict and frozen:
            self.warn(
                f"{where} has state of {first_few(frozen)}, now frozen and in no group: it is left "
                "out. If they should train, unfreeze them before the optimizer is made."
            )
        if self.choices.strict and self.missing:
            other = self.about is None and len(self.missing) == len(found.now) == len(found.before)
            by_order = ', match="position" to go by the order' if other else ""
            self.add_problem(
                f"{where} lacks {first_few(row.name for row in self.missing)}. Rename what was "
                f"renamed, or pass strict=False to start afresh what is missing{by_order}."
            )
        if self.choices.strict and strangers:
            self.add_problem(
                f"{where} has {first_few(strangers)}, which the current optimizer does not have. "
                "Add these parameters to it, or pass strict=False to leave their state out."
            )

    # What state, and what options

    def _compare_flat(self) -> None:
        """Compare what LBFGS keeps of all parameters, end to end, under the first of them."""
        state, params = next(iter(self.was.states), {}), [each.param for each in self.params]
        flat = tensors_in([state.get(key) for key in (*FLAT, *FLAT_LISTS)])
        form = (flat_size(params),), flat_dtype(params)
        fits = (
            [each.place for each in self.params] == list(range(len(self.was.ids)))
            and all((tuple(each.shape), each.dtype) == form for each in flat)
            and self._options(0)["history_size"] == self.was.options[0]["history_size"]
        )
        if not state or fits:
            return
        for each in self.params:
            each.keeps = True
        self.mismatched.append(LoadRow(self.params[0].label, "state", None, None))
        if self.choices.strict:
            self.add_problem(
                f"{self.source.where} has one vector for all parameters, and these are others, or "
                "their order, their dtype or history_size is another. Make the optimizer as it "
                "was, or pass strict=False to start it afresh."
            )

    def _compare_state(self) -> None:
        orphans = [key for key, _ in self.was.orphans if key not in self.words]
        self.unexpected += [LoadRow(f"state[{key!r}]", "state", None, None) for key in orphans]
        options = [self._options(index) for index in range(len(self.live.param_groups))]
        by_option = keys_by_option(self.kind)
        lost: list[LoadRow] = []
        for each in self.paired:
            rows: list[LoadRow] = []
            misfits: list[LoadRow] = []
            if each.state:
                needed = required_keys(self.kind, each.param.ndim > 1, options[each.group])
                lacking = [key for key in sorted(needed) if each.state.get(key) is None]
                rows = [LoadRow(each.label, key, None, tuple(each.param.shape)) for key in lacking]
                misfits = [LoadRow(each.label, *found) for found in self._misfits(each)]
            elif self._lost(each):
                rows = [LoadRow(each.label, "state", None, None)]
            lost += rows
            self.mismatched += misfits
            if rows and not misfits and by_option.issuperset(row.key for row in rows):
                each.begun = [row.key for row in rows]
            else:
                each.keeps = bool(rows or misfits)
        self._note_casts()
        self.missing += lost
        if self.choices.strict:
            begin = by_option.issuperset(row.key for row in lost)
            how = "begin it with zeros" if begin else "start afresh what lacks it"
            self._refuse_state(orphans, lost, how)

    def _refuse_state(self, orphans: list[Any], lost: list[LoadRow], how: str) -> None:
        where = self.source.where
        if orphans:
            self.add_problem(
                f"{where} has state of no parameter: {first_few(map(repr, orphans))}. "
                "Pass strict=False to leave it out."
            )
        if lost:
            self.add_problem(
                f"{where} lacks {first_few(f'{row.key} of {row.name}' for row in lost)}. "
                f"Pass strict=False to {how}."
            )
        if self.mismatched:
            self.add_problem(
                f"{where} does not fit {in_sentence(self.mismatched)}. Make the parameters as they were, or "
                f"pass strict=False to start these afresh{or_grown(self.mismatched)}."
            )

    def _lost(self, each: _Param) -> bool:
        """Return whether a parameter should have state, and has none."""
        if not self.was.state or not each.param.requires_grad:
            return False
        if self.was.stateless is not None:
            return each.place not in self.was.stateless
        return bool(required_keys(self.kind, False, {}))

    def _misfits(self, each: _Param) -> Iterator[tuple[str, Any, Shape]]:
        """Yield what does not fit: the key, the saved shape or type, the shape expected."""
        shape, name, was = tuple(each.param.shape), each.label, each.was
        if was is not None and was != shape and not self.takes_rows(name, was, shape):
            yield "shape", was, shape
            return
        for key, value in each.state.items():
            if isinstance(value, Tensor):
                found = tuple(value.shape)
                expected = self._expected_shape(each, key, found)
                if expected not in (None, found) and not self.takes_rows(name, found, expected):
                    yield key, found, expected
            # A count may be a number, and what is made later may be None so far.
            elif value is not None and (expected := shape_of(self.kind, key, shape)):
                yield key, type(value).__name__, expected
        for key, value in each.state.items() if self.choices.grown else ():
            if isinstance(value, Tensor) and (
                self._by_row(each, key, value) is None
                if name in self.grown
                else was is None and self._may_be_rows(tuple(value.shape), shape)
            ):
                yield key, tuple(value.shape), shape

    def _may_be_rows(self, found: Shape, shape: Shape) -> bool:
        """Return whether an unknown class may keep a number for each row, of what had fewer."""
        vector = self.kind is None and len(found) == 1 and found[0] not in (1, *shape)
        return vector and found < shape

    def _by_row(self, each: _Param, key: str, value: Tensor) -> bool | None:
        """Return whether state begins with the rows of what has more now; None if it may not."""
        shape, rows = tuple(each.param.shape), self.grown[each.label]
        if not value.ndim or len(value) != rows:
            return False
        if self.kind is not None:
            return shape_of(self.kind, key, shape) not in (None, (), tuple(value.shape))
        known = value.ndim == len(shape) and rows > 1
        if known or value.shape == (rows, *shape[1:]) or rows not in (1, *shape[1:]):
            return True
        return None  # a number for each column, it may be

    def _expected_shape(self, each: _Param, key: str, found: Shape) -> Shape | None:
        """Return which shape a piece of state should have; None if any will do.

        Of another shape, a fused step would read past its end.
        """
        shape = tuple(each.param.shape)
        if self.kind is not None:
            usual = shape_of(self.kind, key, shape)
            return found if usual == () and prod(found) == 1 else usual
        if self.was.shapes is not None or prod(found) == 1 or len(found) != len(shape):
            return None  # the parameter is as it was, or the class keeps what it likes
        # State of low rank has sides that the group of a parameter asks for.
        options = self.was.options[self.was.group_of[each.place]]  # type: ignore[index]
        ranks = {1, *(value for key, value in options.items() if "rank" in key)}
        fits = all(one == other or one in ranks for one, other in zip(found, shape, strict=True))
        return None if fits else shape

    def _note_casts(self) -> None:
        """Note the state that had its parameter's dtype when it was saved, and has not now."""
        for each in self.paired:
            for key, value in each.state.items():
                if not isinstance(value, Tensor) or not self._follows(each, key, value):
                    continue
                now = each.param.dtype
                row = LoadRow(each.label, key, dtype_name(value.dtype), dtype_name(now))
                if not torch.can_cast(value.dtype, now):
                    self.mismatched.append(row)
                    each.keeps = True
                elif not each.keeps:
                    each.casts[key] = now
                    self.cast.append(row)

    def _follows(self, each: _Param, key: str, value: Tensor) -> bool:
        """Return whether state is to be cast to the dtype of its parameter."""
        now, before = each.param.dtype, self.was.dtypes
        if value.dtype == now or self._is_count(each, key, value):
            return False
        if before is None:
            follows = self.kind is not None and value.shape == each.param.shape
        else:
            was = before[each.place]  # type: ignore[index]
            follows = dtype_name(value.dtype) == was != dtype_name(now)
        return follows and (value.is_floating_point() or value.is_complex())

    def _is_count(self, each: _Param, key: str, value: Tensor) -> bool:
        """Return whether state is one number beside its parameter, and no average of it.

        That of a parameter that is one number itself has no side either.
        """
        if value.ndim or each.param.ndim:
            return not value.ndim
        return key == "step" or shape_of(self.kind, key, (1,)) == ()

    def _compare_options(self, sources: list[list[int]]) -> None:
        """Note which options differ; refuse those of which it is not known which count."""
        for index, (group, places) in enumerate(zip(self.live.param_groups, sources, strict=True)):
            label = group_label(index, group)
            options = [_options_of(self.was, at) for at in places]
            for each in options:
                for key, was in each.items():
                    row = LoadRow(label, key, was, plain(group.get(key)))
                    known = key in group and same(was, group[key])
                    if not known and (each is options[0] or row not in self.options_changed):
                        self.options_changed.append(row)
            differing = [
                f"{key} {' and '.join(repr(each.get(key)) for each in options)}"
                for key in dict.fromkeys(key for each in options for key in each)
                if not all(same(options[0].get(key), each.get(key)) for each in options[1:])
            ]
            if differing and self.choices.options == "saved":
                names = first_few(self.was.labels[at] for at in places)
                self.add_problem(
                    f"parameters of {names} of {self.source.where} are together in {label} now, "
                    f"and these differ: {first_few(differing)}. Group them as they were, or pass "
                    'options="current" to keep the current options.'
                )

    # Loading

    def wanted(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        for each in self.paired:
            for value in () if each.keeps else tensors_in(each.state):
                yield value, each.param if value.shape == each.param.shape else None
        for value in tensors_in(self.words):
            yield value, None

    @torch.inference_mode(False)
    def rooms(self, unread: Unread | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the state of each parameter, with the current state where it has the same form."""
        held, taken = [each.param for each in self.params], self.source.taken
        taken.update(_memory(each) for param in held for each in (param, param.grad))
        shared: dict[int, Tensor] = {}
        for each in self.paired:
            device, current = each.param.device, self.live.state.get(each.param, {})
            for key, saved in each.state.items():
                if unread is None or not isinstance(saved, Placeholder) or each.keeps:
                    continue
                if id(saved) in shared:
                    each.room[key] = shared[id(saved)]
                    continue
                dtype, now = each.casts.get(key, saved.dtype), current.get(key)
                if not _takes(now, saved.shape, dtype, device) or _memory(now) in taken:
                    now = unread.room_for(saved, dtype, device)
                taken.add(_memory(now))
                each.room[key] = shared[id(saved)] = now
                yield saved, now

    @torch.inference_mode(False)  # no step can use what is made in it
    def load(self) -> None:
        live = self.live
        self.was = view_of_saved(self.saved, self.about)  # its tensors have been read meanwhile
        plainly = type(live).load_state_dict is Optimizer.load_state_dict
        hooked = any(getattr(live, each, None) for each in _HOOKS)  # they may load something else
        self.former = _tables(live) if plainly else copy.deepcopy(live.state_dict())
        self.former_around = dict(self.around)
        seen: dict[Any, Tensor] = {}
        state = {index: self._state_for(each, seen) for index, each in enumerate(self.params)}
        start = iter(range(len(self.params)))
        groups = [
            {**self._options(index), "params": [next(start) for _ in group["params"]]}
            for index, group in enumerate(live.param_groups)
        ]
        self._share(groups)
        saved = copied(self.was.more)
        around = saved.pop("wrapper", {})
        kept = {index: each for index, each in state.items() if each is not None}
        given = {index: _as_torch_takes(each) for index, each in kept.items()} if plainly else kept
        state_dict = {"state": {**given, **copied(self.words)}, "param_groups": groups}
        taken: list[dict[str, Any]] = []  # by torch, from the hooks before it
        with contextlib.ExitStack() as stack:
            if hooked:
                last = live.register_load_state_dict_pre_hook(lambda _, given: taken.append(given))
                stack.callback(last.remove)
            self._load_into_tables({**saved, **state_dict})
        for index, found in kept.items() if plainly else ():
            each = self.params[index]
            loaded = live.state[each.param]
            if hooked:
                found = _left_by_hooks(loaded, found, taken[-1]["state"].get(index, {}))
            _restore_dtypes(loaded, found, each.param.device)
            loaded.update(each.room)
        self.around.clear()
        self.around.update(
            (each.param, around[each.place]) for each in self.paired if each.place in around
        )

    def _load_into_tables(self, state_dict: dict[str, Any]) -> None:
        """Load into the dicts and the list that there are: a wrapper or a scheduler may hold them."""
        held = _tables(self.live)
        self.live.load_state_dict(state_dict)
        _refill(self.live, held, _tables(self.live))

    def undo(self) -> None:
        if type(self.live).load_state_dict is Optimizer.load_state_dict:
            _refill(self.live, self.former, self.former)
        else:
            self._load_into_tables(self.former)
        self.around.clear()
        self.around.update(self.former_around)

    def _state_for(self, each: _Param, seen: dict[Any, Tensor]) -> dict[str, Any] | None:
        """Copy the state that a parameter is to have, shared tensors once; None for none."""
        param = each.param
        if each.place is None or each.keeps:
            return dict(self.live.state[param]) if param in self.live.state else None
        state: dict[str, Any] = dict.fromkeys(each.state)
        for key, value in each.state.items():
            if key not in each.room:
                found = _copied_once(value, seen)
                state[key] = found.to(each.casts[key]) if key in each.casts else found
        for key, value in state.items() if each.label in self.grown else ():
            if isinstance(value, Tensor) and self._by_row(each, key, value):
                zeros = value.new_zeros(len(param), *value.shape[1:])
                state[key] = with_rows(value, zeros, each.param)
        state.update((key, torch.zeros_like(param)) for key in each.begun)
        return state or None

    def _share(self, groups: list[dict[str, Any]]) -> None:
        """Let groups share a tensor, such as an lr, if those that were saved did."""
        if self.choices.options == "current":
            return
        shared: dict[tuple[str, int], Tensor] = {}
        for group, at in zip(groups, self.groups, strict=True):
            for key, value in self.was.groups[at].items() if at is not None else ():
                if isinstance(value, Tensor) and isinstance(group.get(key), Tensor):
                    group[key] = shared.setdefault((key, value.data_ptr()), group[key])

    def _options(self, index: int) -> dict[str, Any]:
        group = self.live.param_groups[index]
        options = {key: value for key, value in group.items() if key != "params"}
        at = self.groups[index]
        if at is not None:
            options |= {
                key: as_form_of(group.get(key), value)
                for key, value in self.was.groups[at].items()
                if key not in NOT_OPTIONS
                and not (key == "name" and key in group)
                and (self.choices.options == "saved" or self._is_progress(key, group))
            }
        return options

    def _is_progress(self, key: str, group: Mapping[str, Any]) -> bool:
        """Whether a class that is none of torch's counts in a group: no one can give it such a key."""
        own = key == "step" or key in self.live.defaults or key not in group
        own = own or bool(tensors_in(group[key]))
        return not self.kind and own and not is_extra(key) and key not in arguments_of(self.live)


class OwnFormLoader(ObjectLoader):
    """Loads an optimizer with a state dict of its own, which only the class itself can read."""

    def compare(self) -> None:
        if was := (self.about or {}).get("class"):
            _refuse_another_class(self, was)


def _refuse_another_class(loader: Loader, was: str) -> None:
    if not same_class(was, class_of(loader.live)):
        loader.add_problem(
            f"{loader.source.where} was saved by {short(was)}, the current optimizer is "
            f"{type(loader.live).__name__}. Make the same one: their state means different things."
        )


def has_own_form(optimizer: Optimizer) -> bool:
    """Whether a class writes and reads a state dict that is none of torch's form."""
    kind = type(optimizer)
    if Optimizer.state_dict is kind.state_dict or Optimizer.load_state_dict is kind.load_state_dict:
        return False
    try:
        state = optimizer.state_dict()
        names = (each for group in state["param_groups"] for each in group["params"])
        return not is_state_dict(state) or not all(isinstance(each, int) for each in names)
    except (KeyError, TypeError):  # of another form
        return True
    except Exception as error:  # it can't be loaded into, which the load will say
        let_through(error)
        return False


def _options_of(saved: OptimizerView, group: int) -> dict[str, Any]:
    """Return the options of a saved group: its name is none."""
    return {key: value for key, value in saved.options[group].items() if key != "name"}


_Tables = tuple[Any, dict[Any, Any], Any, list[dict[str, Any]]]


def _tables(optimizer: Optimizer) -> _Tables:
    """Return the state and the groups of an optimizer, each with a copy of what is in it."""
    state, groups = optimizer.state, optimizer.param_groups
    return state, dict(state), groups, list(map(dict, groups))


def _refill(optimizer: Optimizer, held: _Tables, content: _Tables) -> None:
    """Put content into the tables that are held, and give them to the optimizer."""
    # torch/optim/optimizer.py, 2.15: load_state_dict replaces both tables, and every group.
    for table, new in zip((held[0], *held[2]), (content[1], *content[3]), strict=True):
        table.clear()
        table.update(new)
    vars(optimizer).update(state=held[0], param_groups=held[2])


_HOOKS = ("_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks")


def _loads_plainly(optimizer: Optimizer) -> bool:
    # torch/optim/optimizer.py, 2.15: load_state_dict ends with __setstate__, between the hooks.
    kind = type(optimizer)
    return (
        kind.load_state_dict is Optimizer.load_state_dict
        and getattr(kind.__setstate__, "__module__", "").startswith("torch.")
        and not any(getattr(optimizer, each) for each in _HOOKS)
    )


def _takes(now: Any, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether a tensor can hold what is read: of this form, writable, each value apart."""
    return (
        type(now) is Tensor
        and (now.shape, now.dtype, now.device) == (shape, dtype, device)
        and now.layout is torch.strided
        and is_dense(now)
        and not (now.is_inference() or now.requires_grad)
    )


def _copied_once(value: Any, seen: dict[Any, Tensor]) -> Any:
    """Copy a piece of state, or return the copy: a class may keep one tensor for several parameters."""
    if not _memory(value):
        return copied(value)
    form = value.data_ptr(), value.dtype, tuple(value.shape), value.stride()
    if form not in seen:
        seen[form] = copied(value).requires_grad_(value.requires_grad)
    return seen[form]


def _memory(tensor: Tensor | None) -> int:
    if not isinstance(tensor, Tensor) or type(tensor) not in (Tensor, nn.Parameter):
        return 0
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


def _restore_dtypes(now: dict[str, Any], state: Mapping[str, Any], device: torch.device) -> None:
    """Restore the dtypes that torch has cast.

    torch/optim/optimizer.py, 2.15: _process_value_according_to_param_policy casts to the dtype of
    the parameter, all but what is called step; what is no tensor it makes anew, from its items.
    """
    for key, value in state.items():
        if isinstance(value, Tensor):
            if key != "step" and now[key].dtype != value.dtype:
                now[key] = value.to(device)
        elif type(value) is str or type(value) not in PLAIN:
            now[key] = copied(value, device)


def _left_by_hooks(
    loaded: Mapping[str, Any], state: Mapping[str, Any], taken: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the state in whose place a hook has loaded nothing else, as torch was given it."""
    given = {key: state.get(key) if value is None else value for key, value in taken.items()}
    return {
        key: value
        for key, value in given.items()
        if key in loaded and (loaded[key] is None or equal_but_cast(loaded[key], value))
    }


def _as_torch_takes(state: Mapping[str, Any]) -> dict[str, Any]:
    """Hide what torch can't make anew from its items: an array, a tuple with names."""
    taken = {*PLAIN, list, tuple, dict}
    return {
        key: value if type(value) in taken or isinstance(value, Tensor) else None
        for key, value in state.items()
    }


def _counted(sizes: list[int]) -> str:
    of = f" of {', '.join(map(str, sizes))} parameters" if sizes else ""
    return f"{counted(len(sizes), 'group')}{of}"
