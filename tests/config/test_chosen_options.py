"""An option that is not there never counts as none, wherever it was chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from added_directory import with_files

from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.errors import UserError

ENV = "_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 2\n"


def load(directory: Path, *words: str, **files: str) -> Config:
    own = {name.replace("__", "/"): text for name, text in files.items()}
    return load_config(["algo=dqn", "env=scripted", *words], with_files(directory, {"env/scripted": ENV, **own}))


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
        ("preset=[dqn_cartpol]", "", "unknown preset 'dqn_cartpol'; nearest: dqn_cartpole"),
        ("preset=[dqn_cartpole,dqn_pon]", "", "unknown preset 'dqn_pon'; nearest: dqn_pong"),
        ("experiment=own", chooses("preset", "[dqn_cartpol]"), "unknown preset 'dqn_cartpol'; nearest: dqn_cartpole"),
    ],
)
def test_an_option_of_an_optional_group_must_be_there(tmp_path: Path, word: str, chosen: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, word, **({"experiment__own": chosen} if chosen else {}))
    assert words in str(caught.value)


def test_presets_in_a_list_all_count(tmp_path: Path) -> None:
    files = {"preset__one": preset(0.5), "preset__two": "# @package _global_\nseed: 3\n"}
    config = load(tmp_path, "preset=[one,two]", **files)
    assert (config.algo.arguments["gamma"], config.seed, config.labels["preset"]) == (0.5, 3, "one, two")


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


def test_a_preset_that_is_a_variant_or_named_by_a_file_is_left_alone(tmp_path: Path) -> None:
    names = ("dqn_scripted2", "dqn_scripted_fast", "my_dqn_scripted", "dqn_scripter", "dqn_scriptd")
    files = {f"preset__{name}": preset(0.5) for name in names}
    config = load(tmp_path, env__scripter=ENV, experiment__own="defaults: [override /preset: dqn_scriptd]\n", **files)
    assert (config.algo.arguments["gamma"], config.remarks) == (0.99, ())


@pytest.mark.parametrize("name", ["scripted_dqn", "ddqn_scripted", "dqn", "other"])
def test_a_preset_that_no_run_finds_by_itself_is_remarked_upon(tmp_path: Path, name: str) -> None:
    (remark,) = load(tmp_path, **{f"preset__{name}": preset(0.5)}).remarks
    assert remark.startswith(f"{tmp_path / 'preset' / name}.yaml is not used: the preset that is found by itself is")
    assert remark.endswith(f"here dqn_scripted; preset={name} chooses it")
    for word in ("preset=null", f"preset={name}"):
        assert load(tmp_path, word).remarks == ()


def test_a_remark_is_printed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf/preset").mkdir(parents=True)
    (tmp_path / "conf/preset/taxi_q_learning.yaml").write_text(preset(0.5))
    monkeypatch.chdir(tmp_path)
    words = ["algo=q_learning", "env=taxi", "total_steps=100", "logger=none", "evaluation.episodes=1", "device=cpu"]
    assert run_command(["rlrun", "--config-dir", "conf", *words]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rlrun: warning: {tmp_path / 'conf/preset/taxi_q_learning.yaml'} is not used: ")
