"""Makes instances of a Gymnasium environment from its id; every error is one readable line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

import gymnasium
from gymnasium.envs import registration
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from pydantic import JsonValue

from rlrun.annotations.type_words import shown as value_in_words
from rlrun.envs.gymnasium_faults import advice, brief_error, describe_error, files_of, first_line, lacks_arguments
from rlrun.envs.gymnasium_options import checked_options
from rlrun.envs.space_messages import describe_space
from rlrun.errors import UserError, nearest

Env: TypeAlias = gymnasium.Env[Any, Any]
Wrap: TypeAlias = Callable[[Env], gymnasium.Wrapper[Any, Any, Any, Any]]

_LOG = logging.getLogger(__name__)
_HARMLESS = (TimeLimit, OrderEnforcing, PassiveEnvChecker)

PICTURES = "rgb_array"  # Gymnasium's name of the render mode that returns pictures


class Maker:
    """Makes instances of one environment.

    Args:
        id: a registered id; `ALE/...` registers Atari games.
        max_episode_steps: the time limit, which counts inside all wrappers; None: the registered one.
        imports: packages to import first, because they register environments.
        options: keyword arguments of the environment's own constructor.
        wrappers: wrappers of each instance, the first one innermost.

    Attributes:
        name: of the environment, for messages.

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
        self._their_errors: tuple[type[BaseException], ...] = (Exception, SystemExit)  # what third-party code may raise
        self._has_told_of_close = False
        around = ", ".join(map(_name_of, wrappers))
        self.name = f"env.id={id}" + (f" with env.wrappers=[{around}]" if around else "")
        if id.startswith("ALE/"):
            try:
                gymnasium.register_envs(import_module("ale_py"))
            except self._their_errors as error:
                raise self._refusal(error) from error
        for package in imports:
            _import(package)
        registered = gymnasium.registry.get(id)
        self._options_are_checked = registered is not None or not self._options
        if registered is not None and self._options:  # before making it, which may raise anything
            self._check_options(registered)

    @property
    def identity(self) -> tuple[Any, ...]:
        """Everything that determines how an instance is made."""
        wrappers = [
            (wrap.func, wrap.args, wrap.keywords) if isinstance(wrap, partial) else wrap for wrap in self._wrappers
        ]
        return self._id, self._limit, list(self._imports), self._options, wrappers

    def make(self, *, pictures: bool = False) -> Env:
        """A new instance; with `pictures`, one that draws.

        Raises:
            UserError: if the id is unknown or outdated, or the environment or a wrapper cannot be made.
        """
        shown = {"render_mode": PICTURES} if pictures else {}
        env = self._made(shown)
        if not self._options_are_checked and env.spec is not None:
            self._options_are_checked = True  # for "package:id", or an id without its version, they are known only now
            self.close(env)
            self._check_options(env.spec)
            env = self._made(shown)
        for place, wrap in enumerate(self._wrappers):
            env = self._wrapped(env, wrap, f"env.wrappers[{place}]")
        self._their_errors = (Exception,)  # from here on only a batch launcher's signal handler exits
        return env

    def close(self, env: Env) -> None:
        """Closes an instance. An error of `close` neither ends a run nor hides why it ended: it is logged once."""
        try:
            env.close()
        except Exception as error:  # third-party code may raise anything
            if not self._has_told_of_close:
                self._has_told_of_close = True
                _LOG.warning(f"{self.name}: close() raised {brief_error(error, files_of(map(type, layers(env))))}")

    def _check_options(self, spec: EnvSpec) -> None:
        entry_point: Any = spec.entry_point  # what makes it, or its name
        try:
            make = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
        except self._their_errors as error:  # third-party modules may raise anything
            raise self._refusal(error) from error
        self._options = checked_options(self._options, make, self._id)

    def _made(self, shown: Mapping[str, str]) -> Env:
        """`gymnasium.make` whose errors are one readable line."""
        try:
            # The checker only warns, and would do so in every slot.
            return gymnasium.make(
                self._id, max_episode_steps=self._limit, disable_env_checker=True, **self._options, **shown
            )
        except self._their_errors as error:  # third-party constructors may raise anything
            raise self._refusal(error) from error

    def _refusal(self, error: BaseException) -> UserError:
        """The message for an error from finding or calling the constructor."""
        if isinstance(error, gymnasium.error.DeprecatedEnv):
            return UserError(f"env.id={self._id} is outdated: {first_line(error)}")
        if isinstance(error, gymnasium.error.DependencyNotInstalled | ImportError):
            return UserError(f"env.id={self._id} needs a package that is not installed: {advice(error)}")
        if isinstance(error, gymnasium.error.Error) and self._id not in gymnasium.registry:  # also malformed ids
            close = ", ".join(nearest(self._id, gymnasium.registry))
            imported = (
                f"env.imports=[{', '.join(self._imports)}] has not registered it"
                if self._imports
                else "those of other packages need env.imports=[package]"
            )
            return UserError(f"unknown env.id={self._id}; nearest: {close} ({imported})")
        if isinstance(error, TypeError) and isinstance(error.__cause__, TypeError):
            error = error.__cause__  # without what `gymnasium.make` adds
        message = describe_error(error, files_of([self._constructor()]))
        if lacks_arguments(error, registration.__file__):
            message = f"TypeError: {first_line(error)}; give its arguments with env.options={{name: value}}"
        if not self._options:
            return UserError(f"env.id={self._id} cannot be made: its constructor raises {message}")
        given = ", ".join(f"{name}={value_in_words(value)}" for name, value in self._options.items())
        return UserError(f"env.options do not fit env.id={self._id}: with {given} its constructor raises {message}")

    def _constructor(self) -> object:
        """What Gymnasium calls to make it; None: unknown."""
        spec = gymnasium.registry.get(self._id.rpartition(":")[2])
        if spec is None or not isinstance(spec.entry_point, str):
            return spec and spec.entry_point
        module, _, name = spec.entry_point.partition(":")
        return getattr(sys.modules.get(module), name, None)

    def _wrapped(self, env: Env, wrap: Wrap, key: str) -> Env:
        name = _name_of(wrap)
        try:
            wrapped: object = wrap(env)
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            raise UserError(f"{key}={name} needs a package that is not installed: {advice(error)}") from error
        except self._their_errors as error:  # third-party code may raise anything
            files = files_of([wrap.func if isinstance(wrap, partial) else wrap])
            raise UserError(
                f"{key}={name} does not fit env.id={self._id}{_shows(env)}: it raises {describe_error(error, files)}"
            ) from error
        if not isinstance(wrapped, gymnasium.Env):
            raise UserError(
                f"{key}={name} must make a gymnasium.Wrapper, not an object of type {type(wrapped).__name__}"
            )
        return wrapped


def _name_of(wrap: Wrap) -> str:
    call = wrap.func if isinstance(wrap, partial) else wrap
    return f"{call.__module__}.{call.__qualname__}"


def _import(package: str) -> None:
    """Imports packages that register environments."""
    try:
        import_module(package)
    except ImportError as error:
        raise UserError(f"env.imports: cannot import {package} ({error}); install it, or correct its name") from error
    except (Exception, SystemExit) as error:  # third-party modules may raise anything
        raise UserError(f"env.imports: {package} raises {describe_error(error, ())}") from error


def _shows(env: Env) -> str:
    try:
        return f", which shows {describe_space(env.observation_space)}"
    except Exception:  # perhaps it has none, which is what the wrapper failed on
        return ""


def layers(env: Env) -> Iterator[Env]:
    """The environment itself, and then what is wrapped around it, to the outermost."""
    if isinstance(env, gymnasium.Wrapper):
        yield from layers(env.env)
    yield env


def is_bare(env: Env) -> bool:
    """Whether no wrapper could change its observations, actions or rewards."""
    while isinstance(env, gymnasium.Wrapper):
        if type(env) not in _HARMLESS:
            return False
        env = env.env
    return True
