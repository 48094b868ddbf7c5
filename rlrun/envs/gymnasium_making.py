"""Makes instances of a Gymnasium environment from its id; whatever goes wrong is one readable line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from pydantic import JsonValue

from rlrun.envs.gymnasium_options import checked_options
from rlrun.envs.space_words import in_words
from rlrun.errors import UserError, nearest
from rlrun.type_words import shown as value_in_words

Env: TypeAlias = gymnasium.Env[Any, Any]
Wrap: TypeAlias = Callable[[Env], gymnasium.Wrapper[Any, Any, Any, Any]]

_HARMLESS = (TimeLimit, OrderEnforcing, PassiveEnvChecker)

PICTURES = "rgb_array"  # Gymnasium's name of the render mode that returns pictures


class Maker:
    """Knows how an instance of one environment is made, as often as one is needed.

    Args:
        id: a registered id; `ALE/...` registers Atari's.
        max_episode_steps: the time limit, which counts inside all wrappers; None takes the registered one.
        imports: packages to import first, because they register environments.
        options: keyword arguments of the environment's own constructor.
        wrappers: what is put around each instance, the first innermost.

    Raises:
        UserError: if a package is missing, or an option does not exist or is of another type.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 Gymnasium's own word
        max_episode_steps: int | None,
        imports: Sequence[str],
        options: Mapping[str, JsonValue] | None,
        wrappers: Sequence[Wrap],
    ) -> None:
        self._id = id
        self._limit = max_episode_steps
        self._imports = imports
        self._options: dict[str, Any] = dict(options or {})
        self._wrappers = wrappers
        if id.startswith("ALE/"):
            gymnasium.register_envs(import_module("ale_py"))
        for package in imports:
            _import(package)
        registered = gymnasium.registry.get(id)
        self._options_are_checked = registered is not None
        if registered is not None:  # before it is made, which may raise anything
            self._check_options(registered)

    @property
    def identity(self) -> tuple[Any, ...]:
        """All that is given for making an instance; equal where instances are made alike."""
        wrappers = [
            (wrap.func, wrap.args, wrap.keywords) if isinstance(wrap, partial) else wrap for wrap in self._wrappers
        ]
        return self._id, self._limit, list(self._imports), self._options, wrappers

    def make(self, *, pictures: bool = False) -> Env:
        """A fresh instance; with `pictures`, one that can be looked at.

        Raises:
            UserError: if the id is unknown or outdated, or the environment or a wrapper cannot be made.
        """
        shown = {"render_mode": PICTURES} if pictures else {}
        env = self._made(shown)
        if not self._options_are_checked and env.spec is not None:
            self._options_are_checked = True  # "package:id", or an id without its version: known only now
            env.close()
            self._check_options(env.spec)
            env = self._made(shown)
        for place, wrap in enumerate(self._wrappers):
            env = self._wrapped(env, wrap, f"env.wrappers[{place}]")
        return env

    def _check_options(self, spec: EnvSpec) -> None:
        entry_point: Any = spec.entry_point  # what makes it, or its name
        try:
            make = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
        except Exception as error:  # whatever their module does
            raise self._cannot_be_made(error) from None
        self._options = checked_options(self._options, make, self._id)

    def _made(self, shown: Mapping[str, str]) -> Env:
        """`gymnasium.make` whose errors are one readable line."""
        try:
            # The checker only warns, and would do so in every slot.
            return gymnasium.make(
                self._id, max_episode_steps=self._limit, disable_env_checker=True, **self._options, **shown
            )
        except gymnasium.error.DeprecatedEnv as error:
            raise UserError(f"env.id={self._id} is outdated: {first_line(error)}") from None
        except gymnasium.error.DependencyNotInstalled as error:
            raise UserError(f"env.id={self._id} needs a package that is not installed: {advice(error)}") from None
        except gymnasium.error.Error as error:  # also malformed ids
            if self._id in gymnasium.registry:
                raise self._cannot_be_made(error) from None
            close = ", ".join(nearest(self._id, gymnasium.registry))
            imported = (
                f"env.imports=[{', '.join(self._imports)}] has registered no such id"
                if self._imports
                else ("third parties' need env.imports=[package]")
            )
            raise UserError(f"unknown env.id={self._id}; nearest: {close} ({imported})") from None
        except ImportError as error:
            raise UserError(f"env.id={self._id} needs a package that is not installed: {first_line(error)}") from None
        except Exception as error:  # third parties' constructors may raise anything
            raise self._cannot_be_made(error) from None

    def _cannot_be_made(self, error: Exception) -> UserError:
        if isinstance(error, TypeError) and isinstance(error.__cause__, TypeError):
            error = error.__cause__  # without what `gymnasium.make` adds
        said = f"{type(error).__name__}: {first_line(error)}" if str(error).strip() else type(error).__name__
        if not self._options:
            hint = "; arguments are given by env.options={name: value}" if isinstance(error, TypeError) else ""
            return UserError(f"env.id={self._id} cannot be made: its constructor raises {said}{hint}")
        given = ", ".join(f"{name}={value_in_words(value)}" for name, value in self._options.items())
        return UserError(f"env.options do not fit env.id={self._id}: with {given} its constructor raises {said}")

    def _wrapped(self, env: Env, wrap: Wrap, key: str) -> Env:
        name = _name_of(wrap)
        try:
            wrapped: object = wrap(env)
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            raise UserError(f"{key}={name} needs a package that is not installed: {advice(error)}") from None
        except Exception as error:  # third parties' code may raise anything
            raise UserError(
                f"{key}={name} does not fit env.id={self._id}, which shows {in_words(env.observation_space)}: "
                f"it raises {type(error).__name__}: {first_line(error)}"
            ) from None
        if not isinstance(wrapped, gymnasium.Env):
            raise UserError(
                f"{key}={name} must make a gymnasium.Wrapper, and makes an object of type {type(wrapped).__name__}"
            )
        return wrapped


def _name_of(wrap: Wrap) -> str:
    call = wrap.func if isinstance(wrap, partial) else wrap
    return f"{call.__module__}.{call.__qualname__}"


def _import(package: str) -> None:
    """Lets third parties register their environments."""
    try:
        import_module(package)
    except ImportError as error:
        raise UserError(f"env.imports: cannot import {package} ({error}); install it, or correct its name") from None
    except Exception as error:  # whatever somebody's module does when it is imported
        raise UserError(
            f"env.imports: {package} raises {type(error).__name__} when it is imported: {first_line(error)}"
        ) from None


def is_bare(env: Env) -> bool:
    """Whether nothing is around it that could change what it shows, does or pays."""
    while isinstance(env, gymnasium.Wrapper):
        if type(env) not in _HARMLESS:
            return False
        env = env.env
    return True


def advice(error: Exception) -> str:
    """How to install what is missing, as far as the error says."""
    extra = re.search(r"gymnasium\[([\w-]+)\]", str(error))
    return f'pip install "gymnasium[{extra[1]}]"' if extra else first_line(error)


def first_line(error: Exception) -> str:
    """The first line of its text, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
