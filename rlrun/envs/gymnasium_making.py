"""Makes instances of a Gymnasium environment from its id; whatever goes wrong is one readable line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeAlias

import gymnasium

from rlrun.envs.gymnasium_options import Option, checked_options
from rlrun.errors import UserError, nearest

Env: TypeAlias = gymnasium.Env[Any, Any]

PICTURES = "rgb_array"  # Gymnasium's name of the render mode that returns pictures


class Maker:
    """Knows how an instance of one environment is made, as often as one is needed.

    Args:
        id: a registered id; `ALE/...` registers Atari's.
        max_episode_steps: the time limit in agent steps; None takes the registered one.
        imports: packages to import first, because they register environments.
        options: keyword arguments of the environment's own constructor.

    Raises:
        UserError: if a package is missing, or an option does not exist or is of another type.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 Gymnasium's own word
        max_episode_steps: int | None,
        imports: Sequence[str],
        options: dict[str, Option] | None,
    ) -> None:
        _import(imports, id)
        self._id = id
        self._limit = max_episode_steps
        self._options: dict[str, Option] = dict(options or {})
        registered = gymnasium.registry.get(id)
        self._options_are_checked = registered is not None
        if registered is not None:  # before it is made, which may raise anything
            self._options = checked_options(self._options, registered.entry_point, id)

    def make(self, *, pictures: bool = False) -> Env:
        """A fresh instance; with `pictures`, one that can be looked at.

        Raises:
            UserError: if the id is unknown or outdated, or the environment cannot be made.
        """
        shown = {"render_mode": PICTURES} if pictures else {}
        env = _make(self._id, self._limit, self._options | shown)
        if self._options_are_checked or env.spec is None:
            return env
        self._options_are_checked = True  # "package:id", or an id without its version: known only now
        env.close()
        self._options = checked_options(self._options, env.spec.entry_point, self._id)
        return _make(self._id, self._limit, self._options | shown)


def _import(packages: Sequence[str], env_id: str) -> None:
    """Lets third parties register their environments."""
    if env_id.startswith("ALE/"):
        gymnasium.register_envs(import_module("ale_py"))
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise UserError(
                f"env.imports: cannot import {package} ({error}); install it, or correct its name"
            ) from None


def _make(env_id: str, max_episode_steps: int | None, options: dict[str, Option]) -> Env:
    """`gymnasium.make` whose errors are one readable line."""
    try:
        # The checker only warns, and would do so in every slot.
        return gymnasium.make(env_id, max_episode_steps=max_episode_steps, disable_env_checker=True, **options)
    except gymnasium.error.DeprecatedEnv as error:
        raise UserError(f"env.id={env_id} is outdated: {first_line(error)}") from None
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"env.id={env_id} needs a package that is not installed: {advice(error)}") from None
    except gymnasium.error.Error as error:  # also malformed ids
        if env_id in gymnasium.registry:
            raise UserError(f"env.id={env_id} cannot be made: {first_line(error)}") from None
        close = ", ".join(nearest(env_id, gymnasium.registry))
        raise UserError(
            f"unknown env.id={env_id}; nearest: {close} (third parties' need env.imports=[package])"
        ) from None
    except ImportError as error:
        raise UserError(f"env.id={env_id} needs a package that is not installed: {first_line(error)}") from None
    except (TypeError, ValueError, LookupError, AssertionError) as error:
        if not options:
            raise  # the environment's own fault
        raise UserError(f"env.options do not fit env.id={env_id}: {first_line(error)}") from None


def advice(error: Exception) -> str:
    """How to install what is missing, as far as the error says."""
    extra = re.search(r"gymnasium\[([\w-]+)\]", str(error))
    return f'pip install "gymnasium[{extra[1]}]"' if extra else first_line(error)


def first_line(error: Exception) -> str:
    """The first line of its text, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
