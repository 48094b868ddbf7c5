"""An option that is not there never counts as none, wherever it was chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlrun.composition import load_config
from rlrun.config import Config
from rlrun.config_files import config_directory
from rlrun.errors import UserError

ENV = "_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 2\n"


def load(directory: Path, *words: str, **files: str) -> Config:
    for name, text in {"env__scripted": ENV, **files}.items():
        path = directory / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return load_config(["algo=dqn", "env=scripted", *words], [directory, config_directory()])


def chooses(group: str, option: str) -> str:
    return f"# @package _global_\ndefaults:\n  - override /{group}: {option}\n"


def preset(gamma: float) -> str:
    return f"# @package _global_\nalgo:\n  gamma: {gamma}\n"


@pytest.mark.parametrize(
    ("word", "chosen", "words"),
    [
        ("experiment=own", chooses("preset", "dqn_cartpol"), "unknown preset 'dqn_cartpol'; nearest: dqn_cartpole"),
        (
            "experiment=own",
            chooses("debug", "shrt"),
            "experiment/own.yaml cannot override /debug, which is chosen after",
        ),
        ("experiment=own", chooses("optimzer@algo.optimizer", "adam"), "nearest: optimizer@algo.optimizer"),
        ("debug_algo@algo=typo", "", "unknown debug_algo 'typo'; nearest: short_dqn"),
    ],
)
def test_an_option_of_an_optional_group_must_be_there(tmp_path: Path, word: str, chosen: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, word, **({"experiment__own": chosen} if chosen else {}))
    assert words in str(caught.value)


def test_what_is_found_by_itself_need_not_be_there(tmp_path: Path) -> None:
    assert load(tmp_path).algo.arguments["gamma"] == 0.99
    assert load(tmp_path, "debug=short").total_steps == 2000
    own = load(tmp_path, "experiment=own", experiment__own=chooses("preset", "tuned"), preset__tuned=preset(0.5))
    assert own.algo.arguments["gamma"] == 0.5
    assert own.labels["preset"] == "tuned"


@pytest.mark.parametrize("name", ["dqn_scriptd", "dqn_scirpted", "dnq_scripted", "dqn_scriptedd"])
def test_a_preset_with_a_slip_in_its_name_is_told_about(tmp_path: Path, name: str) -> None:
    (tmp_path / "preset").mkdir()
    file = tmp_path / "preset" / f"{name}.yaml"
    file.write_text(preset(0.5))
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{file} would not be used, though it is nearly called dqn_scripted")
    assert load(tmp_path, "preset=null").algo.arguments["gamma"] == 0.99
    assert load(tmp_path, f"preset={name}").algo.arguments["gamma"] == 0.5


def test_a_preset_that_is_a_variant_or_anothers_is_left_alone(tmp_path: Path) -> None:
    names = ("dqn_scripted2", "dqn_scripted_fast", "dqn_scripter", "other")
    files = {f"preset__{name}": preset(0.5) for name in names}
    assert load(tmp_path, env__scripter=ENV, **files).algo.arguments["gamma"] == 0.99
