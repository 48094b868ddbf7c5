"""How much memory a config takes at the very least: refused before anything is built, not after a minute of building.

The estimates are lower bounds that constructors state of themselves (`rlrun.annotations.Takes`), so what is refused
could not be. What they cannot know, such as the size of observations, is asked for again once an environment is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from rlrun.annotations import Takes
from rlrun.config.config import Config
from rlrun.errors import UserError, WrongKeyError
from rlrun.replay.memory import available_memory, readable
from rlrun.types import Collection, EnvSpec, Steps

_SLOT = Takes(40)  # of an environment that says nothing: a state, an observation, a reward and flags
_STEP = 18  # bytes of a step in a rollout, without what is observed: action, reward, discount, last and mask
_ALWAYS_THERE = 2**28  # bytes; less than what importing torch takes is not worth asking about
_HOST = torch.device("cpu")


@dataclass(slots=True)
class _Need:
    """What one key asks for, on one device."""

    value: Any
    each: int = 0  # bytes
    total: int = 0  # bytes


def refuse_too_large(config: Config, device: torch.device | None) -> None:
    """Refuses a config that takes more memory than there is.

    Args:
        config: a checked one.
        device: where the agent learns; None where that is not known yet.

    Raises:
        WrongKeyError: naming the key that takes most, how much that is, and how much is free.
    """
    slots = config.env.arguments.get("num_envs")
    on_host = {"env.num_envs": _Need(slots if isinstance(slots, int) else 1)}
    on_host["evaluation.num_envs"] = _Need(config.evaluation["num_envs"])
    on_device: dict[str, _Need] = {}
    for need in on_host.values():
        _add(need, config.env.takes.get("num_envs", _SLOT).num_bytes, need.value)
    num_envs = on_host["env.num_envs"].value
    for path, component in config.components():
        for name, takes in component.takes.items():
            key, value = f"{path}.{name}", component.arguments.get(name)
            if name in component.unused or value is None or key == "env.num_envs":
                continue
            if takes.per_slot and value <= num_envs:
                _add(on_host["env.num_envs"], takes.num_bytes * value, num_envs)
                continue
            units = sum(a * b for a, b in pairwise([1, *value, 1])) if isinstance(value, list) else value
            place = on_host if takes.per_slot or path.split(".")[0] == "env" else on_device
            each = takes.num_bytes * (num_envs if takes.per_slot else 1)
            _add(place.setdefault(key, _Need(value)), each, units)
    _refuse(on_host, _HOST)
    if device is not None:
        _refuse(on_device if device.type != "cpu" else on_host | on_device, device)


def _add(need: _Need, each: int, units: int) -> None:
    need.each += each
    need.total += each * units


def _refuse(needs: Mapping[str, _Need], device: torch.device) -> None:
    total = sum(need.total for need in needs.values())
    if total < _ALWAYS_THERE or total <= (room := available_memory(device)):
        return
    key, most = max(needs.items(), key=lambda item: item[1].total)
    fit = "" if isinstance(most.value, list) else f": at most {max(room - total + most.total, 0) // most.each:,} fit"
    besides = f", {readable(total)} with all else" if most.total <= room else ""
    raise WrongKeyError(
        f"{key}={most.value} needs at least {readable(most.total)} of memory{besides}, and {readable(room)} are free "
        f"here{fit}",
        key,
    )


@contextmanager
def in_words() -> Iterator[None]:
    """Turns an allocation that failed, which no estimate foresaw, into an error of one line.

    Raises:
        UserError: where memory was too short.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise UserError(f"there is not enough memory for this run: {' '.join(str(error).split())}") from error
    except RuntimeError as error:  # torch has no kind of its own for it on a CPU
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise UserError(f"there is not enough memory for this run: {str(error).splitlines()[0]}") from error


def refuse_long_rollouts(collection: Collection, spec: EnvSpec) -> None:
    """Refuses rollouts, [T + 1, B] observations and what goes with them, for which there is not enough memory.

    Args:
        collection: what the agent asks for.
        spec: the environment's.

    Raises:
        WrongKeyError: naming the number of steps, how much they need, and how much is free.
    """
    if not isinstance(collection, Steps):
        return  # how long whole episodes are is not known
    need = spec.num_envs * (collection.num_steps * (spec.obs_bytes + _STEP) + spec.obs_bytes)
    if need > _ALWAYS_THERE and need > (room := available_memory(_HOST)):
        raise WrongKeyError(
            f"rollouts of {collection.num_steps:,} steps in env.num_envs={spec.num_envs} slots need {readable(need)} "
            f"of memory, and {readable(room)} are free here: give shorter rollouts or a smaller env.num_envs",
            "env.num_envs",
        )
