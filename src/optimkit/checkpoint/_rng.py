"""The state of the random number generators, as values that a checkpoint can hold."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any

import torch

from .._errors import CheckpointError
from .._files.unread import rebuilt

_DEVICES = ("cuda", "xpu", "mps")


def get_rng_state() -> dict[str, Any]:
    """Return the state of the global random number generators.

    Returns
    -------
    dict
        That of ``"torch"`` and ``"python"``, of ``"numpy"`` if it is in use, and of each kind of
        device that torch can use: tensors, numbers, tuples.

    Examples
    --------
    >>> import torch, optimkit
    >>> state = optimkit.get_rng_state()
    >>> first = torch.rand(2)
    >>> optimkit.set_rng_state(state)
    >>> torch.equal(first, torch.rand(2))
    True
    """
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if "numpy" in sys.modules:
        state["numpy"] = rebuilt(sys.modules["numpy"].random.get_state(legacy=False), _as_tensor)
    for name in _DEVICES:
        device = getattr(torch, name)
        if device.is_available():
            several = hasattr(device, "get_rng_state_all")
            state[name] = device.get_rng_state_all() if several else [device.get_rng_state()]
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Set the global random number generators, as :func:`get_rng_state` found them.

    Parameters
    ----------
    state : mapping
        What :func:`get_rng_state` returned. Devices that this machine has not are left out, and
        so is numpy where it is not installed.

    Raises
    ------
    TypeError
        If it is nothing of the kind.
    CheckpointError
        If one of them does not take it. All of them are then as they were.

    Examples
    --------
    >>> import random, optimkit
    >>> state = optimkit.get_rng_state()
    >>> drawn = random.random()
    >>> optimkit.set_rng_state(state)
    >>> drawn == random.random()
    True
    """
    if not isinstance(state, Mapping) or not {"torch", "python"} <= state.keys():
        raise TypeError(
            "set_rng_state takes what get_rng_state() returned, a mapping with 'torch' and 'python', "
            f"not {sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__}"
        )
    before = get_rng_state()
    for name in state:
        try:
            _set(name, state[name])
        except Exception as error:
            for each in before:
                _set(each, before[each])
            raise CheckpointError(
                f"the random number generator {name!r} does not take this state: {error}. "
                "All of them are as they were."
            ) from error


def _set(name: str, state: Any) -> None:
    if name == "torch":
        torch.set_rng_state(state.cpu())
    elif name == "python":
        version, internal, gauss = state
        random.setstate((version, tuple(internal), gauss))
    elif name == "numpy":
        try:
            import numpy
        except ImportError:
            return
        numpy.random.set_state(rebuilt(state, _as_array))
    elif name in _DEVICES and (device := getattr(torch, name)).is_available():
        if hasattr(device, "set_rng_state_all"):
            if len(state) > device.device_count():
                raise ValueError(f"it is of {len(state)} devices, here are {device.device_count()}")
            device.set_rng_state_all([each.cpu() for each in state])
        else:
            device.set_rng_state(state[0].cpu())


def _as_tensor(value: Any, _: object) -> Any:
    """Turn an array of numpy into a tensor, bit for bit: torch has few unsigned types."""
    if hasattr(value, "dtype") and hasattr(value, "view") and value.ndim:
        signed = value.view(f"i{value.dtype.itemsize}")
        return {"dtype": str(value.dtype), "bits": torch.from_numpy(signed.copy())}
    return value.item() if hasattr(value, "item") else value


def _as_array(value: Any, _: object) -> Any:
    if isinstance(value, Mapping) and value.keys() == {"dtype", "bits"}:
        return value["bits"].cpu().numpy().view(value["dtype"])
    return value
