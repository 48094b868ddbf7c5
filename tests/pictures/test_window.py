"""Playing at the keyboard: which keys mean which action, and a window of SDL's dummy driver."""

from __future__ import annotations

import threading
from pathlib import Path
from time import sleep

import pytest

from rlrun.build import instantiate
from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.pictures.window import action_for, keys_to_hold, play_at_keyboard

PONG = ("noop", "fire", "right", "left", "rightfire", "leftfire")


def test_keys_come_from_names_and_digits_from_numbers() -> None:
    assert keys_to_hold(("uprightfire", "noop", "north")) == [{"up", "right", "space"}, frozenset(), {"up"}]
    assert keys_to_hold(("torque", "left", "leftover")) == [{"0"}, {"left"}, {"2"}]


@pytest.mark.parametrize(
    ("held", "action"),
    [((), 0), (("space",), 1), (("right",), 2), (("up",), 2), (("down", "space"), 5), (("a", "left"), 3)],
)
def test_the_action_of_most_keys_is_taken(held: tuple[str, ...], action: int) -> None:
    assert action_for(held, keys_to_hold(PONG)) == action


def test_without_an_action_for_no_key_time_stands_still() -> None:
    keys = keys_to_hold(("north", "east", "south", "west"))
    assert action_for((), keys) is None
    assert action_for(("down",), keys) == 2


def test_an_episode_is_played_by_the_keys_that_are_pressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame")
    config = load_config(["algo=random", "env=gridworld"], [config_directory()])
    env = instantiate(config.env, {}, num_envs=1)
    monkeypatch.setattr(type(env), "steps_per_second", 1000.0)
    stop = threading.Event()

    def press(*keys: int) -> None:
        while not stop.is_set():
            sleep(0.02)
            if pygame.display.get_init() and pygame.display.get_surface() is not None:
                for key in keys:
                    for kind in (pygame.KEYDOWN, pygame.KEYUP):
                        pygame.event.post(pygame.event.Event(kind, key=key))

    typist = threading.Thread(target=press, args=(pygame.K_RIGHT, pygame.K_DOWN), daemon=True)
    typist.start()
    lines = play_at_keyboard(env, seed=0)
    try:
        first = next(lines)  # east and south lead to the corner from everywhere
    finally:
        stop.set()
        typist.join()
    pygame.event.clear()
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    rest = list(lines)
    assert first.startswith("episode 1: return -")
    assert "not finished" not in first
    assert len(rest) <= 1
    assert pygame.display.get_surface() is None
    env.close()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["env=cartpole"], ["display"]),
        (["env=cartpole", "algo=dqn"], ["algo=dqn", "env="]),
        ([], ["env=..."]),
    ],
)
def test_what_cannot_be_played_is_one_line_and_status_2(
    arguments: list[str], named: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(variable, raising=False)
    assert run_command(["rlrun", "play", *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert [each for each in named if each not in said.err] == [], said.err


def test_an_unknown_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    del tmp_path
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert run_command(["rlrun", "play", "env=cartpool"]) == 2
    assert "cartpole" in capsys.readouterr().err
