"""The border to third-party environments: everything that crosses it is checked and encoded here, and only here.

Every step is checked completely; what is valid is recognised by its type, in a microsecond.
"""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from rlrun.envs.gymnasium_faults import describe_error, files_of
from rlrun.envs.gymnasium_making import Env, layers
from rlrun.envs.gymnasium_observations import check_of, described
from rlrun.envs.gymnasium_spaces import Channels, Encoding, actions_of, encoding_of
from rlrun.errors import FaultyEnvironmentError
from rlrun.numerics.finite import LARGEST_FLOAT32
from rlrun.types import ObsArray

_NUM_RETURNED = 5  # by step
_WANTED = {
    "reset": "two values, the observation and a dict",
    "step": "five values: observation, reward, terminated, truncated and a dict",
}
_WRAPPERS = tuple(Path(gymnasium.__file__).parent / name for name in ("core.py", "wrappers"))


class Shown(NamedTuple):
    """The result of a step, once it has been checked."""

    obs: ObsArray  # [...] as agents see it
    reward: float
    terminated: bool
    truncated: bool


class Border:
    """Resets and steps instances of one environment, as agents see it.

    Args:
        env: any instance; all of them have its spaces.
        name: of the environment, for messages.
        num_envs: number of slots.
        channels: the channel axis of pictures.

    Raises:
        UserError: if its spaces are missing or not supported.
    """

    def __init__(self, env: Env, name: str, num_envs: int, channels: Channels) -> None:
        self.name = name
        observation, action = (self._space(env, each) for each in ("observation_space", "action_space"))
        self.action: spaces.Discrete
        self.action, self._first_action = actions_of(action, name)
        self._encoding = encoding_of(observation, name, channels, int(self.action.n))
        self._trouble_with = check_of(observation)
        self._times = [0] * num_envs  # steps of each slot's running episode

    def _space(self, env: Env, name: str) -> spaces.Space[Any]:
        try:
            space = getattr(env, name, None)
        except Exception as error:  # a property may raise anything
            fault = f"its {name} raised {describe_error(error, files_of(map(type, layers(env))))}"
            raise FaultyEnvironmentError(self.name, fault) from error
        if isinstance(space, spaces.Space):
            return space
        what = "no" if space is None else f"a {type(space).__module__}.{type(space).__name__} for its"
        raise FaultyEnvironmentError(self.name, f"it has {what} {name}; Gymnasium requires one of gymnasium.spaces")

    @property
    def encoding(self) -> Encoding:
        """How agents see its observations."""
        return self._encoding

    def reset(self, slot: int, env: Env, seed: int) -> ObsArray:
        """Begins an episode. Returns its first observation.

        Raises:
            FaultyEnvironmentError: if it raises an error, or returns no valid first observation.
        """
        self._times[slot] = 0
        try:
            returned: Any = env.reset(seed=seed)
        except Exception as error:
            raise self._raised(slot, env, error, "reset", {"seed": seed}) from error
        trouble = _malformed("reset", returned)
        if trouble is not None:
            raise self._fault(slot, f"reset(seed=...) {trouble}")
        trouble = self._trouble_with(returned[0])
        if trouble is not None:
            raise self._fault(slot, f"reset(seed=...) returned an observation that {trouble}")
        return self._playable(slot, "reset(seed=...)", self._encoding.encode(returned[0]))

    def step(self, slot: int, env: Env, action: int) -> Shown:
        """Plays an action, counted from 0.

        Raises:
            FaultyEnvironmentError: if it raises an error, or returns no valid step.
        """
        self._times[slot] += 1
        sent = action + self._first_action
        try:
            returned: Any = env.step(sent)
        except Exception as error:
            raise self._raised(slot, env, error, "step", {"action": sent}) from error
        if not isinstance(returned, tuple) or len(returned) != _NUM_RETURNED:
            raise self._fault(slot, f"step({sent}) {_malformed('step', returned)}")
        obs, reward, terminated, truncated, _ = returned
        if type(reward) is not float:
            reward = self._number(slot, sent, reward)
        if not -LARGEST_FLOAT32 <= reward <= LARGEST_FLOAT32:  # NaN neither
            raise self._fault(slot, f"step({sent}) returned the reward {reward:g}; rewards must be finite in float32")
        if type(terminated) is not bool:
            terminated = self._truth(slot, sent, "terminated", terminated)
        if type(truncated) is not bool:
            truncated = self._truth(slot, sent, "truncated", truncated)
        trouble = self._trouble_with(obs)
        if trouble is not None:
            raise self._fault(slot, f"step({sent}) returned an observation that {trouble}")
        shown = self._encoding.encode(obs)
        if not terminated:
            self._playable(slot, f"step({sent})", shown)
        return Shown(shown, reward, terminated, truncated)

    def _playable(self, slot: int, call: str, shown: ObsArray) -> ObsArray:
        if self._encoding.shows_mask and not shown["action_mask"].any():
            raise self._fault(slot, f"{call} returned an action_mask without any action, but has not terminated")
        return shown

    def _number(self, slot: int, action: int, reward: Any) -> float:
        """The reward as a float, from any kind of number or an array of one."""
        number = _single(reward, "fiub")
        if number is None and not isinstance(reward, str | bytes | bytearray | np.ndarray | np.generic):
            try:
                number = float(reward)  # a fraction, a decimal, a tensor on a device
            except OverflowError:
                raise self._fault(slot, f"step({action}) returned a reward that is too large for float32") from None
            except (TypeError, ValueError, RuntimeError):  # None; a tensor of several numbers
                pass
        if number is None:
            what = f"returned the reward {described(reward)}; Gymnasium requires a single number"
            raise self._fault(slot, f"step({action}) {what}")
        return float(number)

    def _truth(self, slot: int, action: int, name: str, value: Any) -> bool:
        number = _single(value, "iub")
        if number not in (0, 1):
            what = f"returned {described(value)} for {name}; Gymnasium requires True or False"
            raise self._fault(slot, f"step({action}) {what}")
        return bool(number)

    def _fault(self, slot: int, what: str) -> FaultyEnvironmentError:
        time = self._times[slot]
        where = f"slot {slot}, step {time} of the episode" if time else f"slot {slot}, at the beginning of an episode"
        return FaultyEnvironmentError(self.name, f"{what} ({where})")

    def _raised(
        self, slot: int, env: Env, error: Exception, method: str, arguments: dict[str, int]
    ) -> FaultyEnvironmentError:
        """What went wrong where `method` raised `error`: perhaps one of Gymnasium's wrappers met an invalid value."""
        for layer in layers(env):
            if isinstance(error, TypeError) and method == "reset" and not _takes_seed(layer):
                wanted = "Gymnasium requires reset(self, *, seed=None, options=None)"
                return self._fault(slot, f"reset() of {type(layer).__name__} does not take seed and options; {wanted}")
        frames = traceback.extract_tb(error.__traceback__)
        if any(Path(frames[-1].filename).is_relative_to(place) for place in _WRAPPERS):
            for layer in layers(env):
                trouble = _malformed_by(layer, method, arguments)
                if trouble is not None:
                    return self._fault(slot, f"{method}() of {type(layer).__name__} {trouble}")
        call = f"{method}({', '.join(f'{name}={value}' for name, value in arguments.items())})"
        return self._fault(slot, f"{call} raised {describe_error(error, files_of(map(type, layers(env))))}")


def _takes_seed(layer: Env) -> bool:
    try:
        inspect.signature(layer.reset).bind(seed=0, options=None)
    except TypeError:
        return False
    except ValueError:  # written in C
        pass
    return True


def _malformed(method: str, returned: Any) -> str | None:
    """What is wrong with the form of what a method returned."""
    fits = isinstance(returned, tuple) and len(returned) == (2 if method == "reset" else _NUM_RETURNED)
    if fits and (method == "step" or isinstance(returned[1], dict)):
        return None
    what = described(returned)
    if method == "reset" and isinstance(returned, tuple) and len(returned) == 2:
        what = f"{what}, the second of which is {described(returned[1])}"
    return f"returned {what}; Gymnasium requires {_WANTED[method]}"


def _malformed_by(layer: Env, method: str, arguments: dict[str, int]) -> str | None:
    """Calls it again, since its result was not kept; the run ends here, so another step does no harm."""
    try:
        returned: Any = layer.reset(seed=arguments["seed"]) if method == "reset" else layer.step(arguments["action"])
    except Exception:  # the first error is the one that is reported
        return None
    return _malformed(method, returned)


def _single(value: Any, kinds: str) -> Any:
    """The single number that `value` is or holds, if it is of one of numpy's `kinds`; None if it is not."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # ragged lists, tensors on a device
        return None
    return array.item() if array.size == 1 and array.dtype.kind in kinds else None
