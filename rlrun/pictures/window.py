"""A window in which a person plays an environment at the keyboard."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrun.errors import UserError
from rlrun.pictures.action_scores import names_of_actions
from rlrun.pictures.caption import captioned
from rlrun.protocols import Renderable
from rlrun.rng import named_seed, stream_seeds

_WORDS = {"up": "up", "down": "down", "right": "right", "left": "left", "fire": "space"}
_WORDS |= {"north": "up", "south": "down", "east": "right", "west": "left"}
_INSTEAD = {"up": "right", "down": "left"}  # where no action goes up or down, as in Pong, whose paddle goes right
_WIDTH = 640  # pixels, about
_LOOK_SECONDS = 0.005  # between looks at the keyboard
_ENDING = ("escape", "q")
_INVISIBLE = ("offscreen", "dummy")  # what SDL falls back to without a display; nobody could press a key


def keys_to_hold(names: Sequence[str]) -> list[frozenset[str]]:
    """For each action the keys that mean it: arrows and space by its name, none for `noop`, or its number's digit."""
    return [_keys_of(name, number) for number, name in enumerate(names)]


def _keys_of(name: str, number: int) -> frozenset[str]:
    """ALE's `uprightfire` is made of three of the words."""
    rest, keys = name.lower(), set()
    if rest in ("noop", "nothing", "none"):
        return frozenset()
    while rest:
        word = next((word for word in _WORDS if rest.startswith(word)), None)
        if word is None:
            return frozenset({str(number)})
        keys.add(_WORDS[word])
        rest = rest.removeprefix(word)
    return frozenset(keys)


def action_for(held: Collection[str], keys: Sequence[frozenset[str]]) -> int | None:
    """The action with the most keys of those that are held; None if there is none, and time stands still."""
    if not any(set(_INSTEAD) & needed for needed in keys):
        held = {_INSTEAD.get(key, key) for key in held}
    fitting = [action for action, needed in enumerate(keys) if needed <= set(held)]
    return max(fitting, key=lambda action: (len(keys[action]), -action), default=None)


def play_at_keyboard(env: Renderable, seed: int) -> Iterator[str]:
    """Plays episodes until the window is closed; yields a line about each.

    Args:
        env: of one slot.
        seed: of the episodes.

    Raises:
        UserError: if no window can be opened, or the environment cannot be drawn.
    """
    names = names_of_actions(env)
    keys = keys_to_hold(names)
    for episode in count(1):
        streams = stream_seeds(named_seed(seed, "play/env"), np.zeros(1, np.int64), np.array([episode]))
        env.begin_streams(streams)
        if episode == 1:
            window = _Window(env.spec.name, _legend(names, keys))
        step, total, last = 0, 0.0, False
        before = monotonic()
        while not last:
            window.show(env.render_rgb(ended=False), episode, step, total, "")
            action = window.wait_for_action(keys, before + 1 / env.steps_per_second)
            before = monotonic()
            if action is None:
                window.close()
                yield f"{_line(episode, step, total)}, not finished"
                return
            time_step = env.step(np.array([action]))
            step, total, last = step + 1, total + float(time_step.reward[0]), bool(time_step.last[0])
        window.show(env.render_rgb(ended=True), episode, step, total, "end: press any key")
        yield _line(episode, step, total)
        if not window.wait_for_any_key():
            window.close()
            return


def _line(episode: int, step: int, total: float) -> str:
    return f"episode {episode:,}: return {total:g} in {step:,} step{'s' if step != 1 else ''}"


def _legend(names: Sequence[str], keys: Sequence[frozenset[str]]) -> str:
    """Which keys there are, in a line."""
    used = set().union(*keys)
    parts = ["arrows"] * bool(used & {"up", "down", "left", "right"}) + ["space"] * ("space" in used)
    parts += [f"{key}: {names[int(key)]}" for key in sorted(used) if key.isdigit()]
    return f"keys: {', '.join(parts)}; Escape ends"


class _Window:
    """A window of pygame's.

    Args:
        title: of the window.
        legend: under the picture.
    """

    def __init__(self, title: str, legend: str) -> None:
        try:
            import pygame  # comes with gymnasium[classic-control]
        except ImportError as error:
            raise UserError("rlrun play needs pygame: pip install pygame-ce") from error
        self._pygame: Any = pygame
        self._title, self._legend = title, legend
        self._surface: Any = None
        self._held: set[str] = set()

    def show(self, picture: NDArray[np.uint8], episode: int, step: int, total: float, remark: str) -> None:
        """Shows a picture [h, w, 3] with its caption."""
        facts = [f"episode {episode:,}", f"step {step:,}", f"return {total:,.6g}"]
        frame = captioned(picture, [facts, [remark or self._legend]])
        zoom = max(1, round(_WIDTH / frame.shape[1]))
        frame = frame.repeat(zoom, axis=0).repeat(zoom, axis=1)
        size = frame.shape[1::-1]
        if self._surface is None or self._surface.get_size() != size:
            self._surface = self._open(size)
        self._pygame.surfarray.blit_array(self._surface, frame.swapaxes(0, 1))
        self._pygame.display.flip()

    def _open(self, size: tuple[int, ...]) -> Any:
        try:
            self._pygame.display.init()
            surface = self._pygame.display.set_mode(size)
        except self._pygame.error as error:
            raise UserError(f"no window can be opened: {error}") from error
        driver = self._pygame.display.get_driver()
        if driver in _INVISIBLE and driver != os.environ.get("SDL_VIDEODRIVER"):
            raise UserError("no window can be opened: there is no display here, or it does not answer")
        self._pygame.display.set_caption(f"rlrun play: {self._title}")
        return surface

    def wait_for_action(self, keys: Sequence[frozenset[str]], until: float) -> int | None:
        """The action of the keys that are held or were pressed, from `until` on; None if it is to end."""
        pressed: set[str] = set()
        while True:
            for key in self._events():
                if key in _ENDING:
                    return None
                pressed.add(key)
            if monotonic() >= until:
                action = action_for(self._held | pressed, keys)
                if action is not None:
                    return action
            self._pygame.time.wait(round(1000 * _LOOK_SECONDS))

    def wait_for_any_key(self) -> bool:
        """Whether another key came than one that ends."""
        self._held.clear()
        while True:
            for key in self._events():
                return key not in _ENDING
            self._pygame.time.wait(round(1000 * _LOOK_SECONDS))

    def _events(self) -> Iterator[str]:
        """Names of keys as they are pressed; `escape` where the window is closed."""
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                yield "escape"
            elif event.type in (self._pygame.KEYDOWN, self._pygame.KEYUP):
                name = self._pygame.key.name(event.key)
                if event.type == self._pygame.KEYDOWN:
                    self._held.add(name)
                    yield name
                else:
                    self._held.discard(name)

    def close(self) -> None:
        """Closes the window."""
        self._pygame.display.quit()
