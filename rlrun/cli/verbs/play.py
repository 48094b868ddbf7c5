"""`rlrun play env=...`: an environment at the keyboard, as an agent sees it and with the actions that it has."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from contextlib import closing

from rlrun.cli.arguments import Arguments
from rlrun.errors import UserError

_ALLOWED = ("env", "seed")


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "overrides", nargs="+", metavar="env=...", help="the environment, its keys and seed=", kind="overrides"
    )
    parser.add_argument("-cd", "--config-dir", metavar="DIR", help="config files of your own", kind="directory")


def run(chosen: Namespace) -> int:
    """Plays until the window is closed, or Escape or q is pressed.

    Raises:
        UserError: if there is no display, or no such environment, or it cannot be drawn.
    """
    for override in chosen.overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key.partition(".")[0] not in _ALLOWED:
            raise UserError(f"{override} has no effect on playing: give env=, keys of it (env.KEY=), or seed=")
    _require_display()

    from rlrun.build import instantiate
    from rlrun.config.compose import load_config
    from rlrun.config.files import config_directories
    from rlrun.pictures.window import play_at_keyboard
    from rlrun.protocols import Renderable

    config = load_config(["algo=random", *chosen.overrides], config_directories(chosen.config_dir))
    with closing(instantiate(config.env, {}, num_envs=1)) as env:
        if not isinstance(env, Renderable):
            raise UserError(f"{env.spec.name} draws no pictures (see rlrun.protocols.Renderable)")
        for line in play_at_keyboard(env, config.seed):
            print(line, flush=True)
    return 0


def _require_display() -> None:
    """Raises UserError where no window can be opened."""
    driver = os.environ.get("SDL_VIDEODRIVER")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or driver):
        raise UserError("rlrun play opens a window, and there is no display here (DISPLAY is not set)")
