from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlrun.cli.arguments import run_arguments
from rlrun.cli.completion.candidate import Candidate
from rlrun.cli.completion.candidates import candidates
from rlrun.cli.main import run_command
from rlrun.cli.verb_table import VERBS, parser_of
from rlrun.config.files import GROUPS, config_directory, options
from rlrun.envs.atari_games import bundled_games

OWN = config_directory()


def texts(*words: str) -> list[str]:
    return [each.text for each in candidates(words, [OWN])]


def of(line: str) -> list[str]:
    """The candidates for a line; a space at its end begins a new word."""
    return texts(*line.split(" "))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_word_may_be_a_group_a_key_or_a_verb() -> None:
    found = of("")
    assert {f"{group}=" for group in GROUPS} <= set(found)
    assert {"seed=", "total_steps=", "evaluation.", "ls", "completion"} <= set(found)
    assert not any(word.startswith(("-", "hydra", "_", "defaults")) for word in found)
    assert len(found) == len(set(found))


def test_every_group_has_its_options() -> None:
    for group in GROUPS:
        names = [word.removeprefix(f"{group}=") for word in of(f"{group}=")]
        assert [name for name in names if name != "null"] == options([OWN], group)
        assert ("null" in names) == (group in ("preset", "experiment", "debug"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("algo=d", ["algo=dqn"]),
        ("algo=dqn see", ["seed=", "seeds="]),
        ("seeds=3 env=pong see", ["seed="]),
        ("check algo=dqn see", ["seed="]),
        ("algo=dqn,rei", ["algo=dqn,reinforce"]),
        ("-m algo=dqn,d", []),  # it stands there already
        ("algo=dqn env=cartpole algo.op", ["algo.optimizer."]),
        ("algo=dqn env=acrobot algo.optimizer.", ["algo.optimizer.learning_rate=", "algo.optimizer.eps="]),
        ("algo=dqn ++algo.optimizer.l", ["++algo.optimizer.learning_rate="]),
        ("algo=dqn algo.optimizer.eps=1 algo.optimizer.", ["algo.optimizer.learning_rate="]),
        ("algo=actor_critic algo.targ", []),  # a key of another algorithm
        ("algo.", []),  # before there is an algorithm
        ("algo=dqn algo.loss=", ["algo.loss=huber", "algo.loss=squared"]),
        ("algo=dqn env=pong experiment=dqn_nips2013 algo.loss=", ["algo.loss=squared", "algo.loss=huber"]),
        ("algo=dqn algo.loss=huber,", ["algo.loss=huber,squared"]),
        ("algo=dqn algo.target.double=", ["algo.target.double=false", "algo.target.double=true"]),
        (
            "algo=dqn env=cartpole algo.target.double=",
            ["algo.target.double=true", "algo.target.double=false"],
        ),  # tuned for this pair
        ("record_episodes=t", ["record_episodes=true"]),
        ("algo=dqn algo.gamma=", ["algo.gamma=0.99"]),
        ("algo=dqn env=cartpole total_steps=", ["total_steps=50000"]),
        ("algo=dqn algo.target.period_steps=", ["algo.target.period_steps=10000", "algo.target.period_steps=null"]),
        ("algo=dqn algo.max_grad_norm=", ["algo.max_grad_norm=null"]),
        ("evaluation.every_steps=", ["evaluation.every_steps=10000", "evaluation.every_steps=null"]),
        ("checkpoint.k", ["checkpoint.keep="]),
        ("env=pong env.protocol=", ["env.protocol=nature2015", "env.protocol=machado2018"]),
        ("device.kind=", ["device.kind=auto", "device.kind=cpu", "device.kind=cuda"]),
        ("device=cuda device.kind=", ["device.kind=cuda", "device.kind=auto", "device.kind=cpu"]),
        ("env=atari env.game=space_i", ["env.game=space_invaders"]),
        ("env=atari env.game=joust", []),  # the emulator cannot load it
        ("env=mdp env.mdp=sh", ["env.mdp=short_corridor"]),
        (
            "algo=dqn optimizer@algo.optimizer=rms",
            ["optimizer@algo.optimizer=rmsprop", "optimizer@algo.optimizer=rmsprop_centred"],
        ),
        ("algo=dqn optimizer@algo.optimizer=rmsprop algo.optimizer.dec", ["algo.optimizer.decay="]),
        ("env=gym env.options={a", []),
        ("seed=range(", []),
        ("logger=[ws", []),
        ("logger=[csv,w", ["logger=[csv,wandb"]),
        ("logger=[csv,c", []),
        ("algo=[d", []),  # only one may be chosen
        ("logger=[csv,wandb] logger.", ["logger.csv.", "logger.wandb."]),
        ("logger=[csv,wandb] logger.wandb.m", ["logger.wandb.mode="]),
        (
            "logger=wandb logger.wandb.mode=",
            ["logger.wandb.mode=null", "logger.wandb.mode=online", "logger.wandb.mode=offline"],
        ),
        ("--c", ["--cfg", "--config-dir"]),
        ("--cfg ", ["job"]),
        ("algo=dqn --cfg=j", ["--cfg=job"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("completion zsh ", []),
        ("video --e", ["--episodes", "--episode", "--every"]),
        ("explain algo=dqn algo.opt", ["algo.optimizer."]),
        ("explain algo=dqn algo.optimizer.", ["algo.optimizer.learning_rate", "algo.optimizer.eps"]),
        ("explain algo=d", ["algo=dqn"]),
        ("check algo=dqn algo.optimizer.e", ["algo.optimizer.eps="]),
        ("nothing_such", []),
        ("algo=nothing_such algo.", []),
        ("algo=nothing_such env=cartpole env.max", ["env.max_episode_steps="]),
        ("=", []),
        ("algo=dqn algo..", []),
    ],
)
def test_a_line_can_become(line: str, expected: list[str], elsewhere: Path) -> None:
    assert of(line) == expected


def test_keys_of_a_sweep_are_those_of_its_first_run() -> None:
    assert "algo.target." in of("-m algo=dqn,actor_critic env=cartpole algo.")
    assert of("-m algo=dqn seed=0,1,2 algo.target.doub") == ["algo.target.double="]


def test_games_are_those_that_can_be_played() -> None:
    assert [word.removeprefix("env.game=") for word in of("env=atari env.game=")] == bundled_games()


def test_meanings_come_along_and_words_with_more_to_come_are_not_complete() -> None:
    found = {each.text: each for each in candidates(["algo=dqn", "algo."], [OWN])}
    assert found["algo.gamma="] == Candidate("algo.gamma=", "discount factor per agent step.", False)
    assert not found["algo.optimizer."].complete
    (dqn,) = candidates(["algo=dq"], [OWN])
    assert dqn.meaning.startswith("DQN with the hyperparameters")
    assert dqn.complete


def test_what_was_chosen_is_not_offered_again() -> None:
    found = of("algo=dqn seed=3 ")
    assert not {"algo=", "seed=", "ls"} & set(found)
    assert {"env=", "total_steps=", "algo."} <= set(found)


def test_files_and_directories(elsewhere: Path) -> None:
    (elsewhere / "maps" / "deep").mkdir(parents=True)
    (elsewhere / "maps" / "a.txt").touch()
    (elsewhere / "maps" / "it's.txt").touch()  # an override cannot have this name without quotes
    (elsewhere / ".hidden").touch()
    (elsewhere / "with space.txt").touch()
    found = candidates(["env=gridworld", "env.map="], [OWN])
    assert [each.text for each in found] == [
        *(f"env.map={name}" for name in ("lecture", "book", "cliff", "karpathy_10x10", "sutton_5x5")),
        "env.map=maps/",
        "env.map=with space.txt",
    ]
    assert not found[5].complete
    assert of("env=gridworld env.map=maps/") == ["env.map=maps/a.txt", "env.map=maps/deep/"]
    assert of("env=gridworld env.map=.h") == ["env.map=.hidden"]
    assert of("algo=td algo.policy=") == ["algo.policy=uniform", "algo.policy=maps/", "algo.policy=with space.txt"]
    assert of("--config-dir ") == ["maps/"]
    assert of("runs_dir=m") == ["runs_dir=maps/"]
    assert of("algo=dqn algo.replay.folder=m") == ["algo.replay.folder=maps/"]
    assert of("ls ") == ["maps/"]
    assert of("env=gridworld env.map=nowhere/") == []


def test_runs_are_found_below_runs(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in ("seed0", "seed1"):
        run = elsewhere / "runs" / "cartpole" / "dqn" / "0123456789" / seed
        (run / "checkpoints").mkdir(parents=True)
        (run / "manifest.json").write_text("{}")
    start = "runs/cartpole/dqn/0123456789"
    assert of("show ") == [f"{start}/seed0", f"{start}/seed1"]  # nothing to choose on the way
    (elsewhere / "runs" / "pong").mkdir()
    assert of("show ") == ["runs/cartpole/", "runs/pong/"]
    assert of("show runs/c") == [f"{start}/seed0", f"{start}/seed1"]
    assert of(f"show {start}/seed0") == [f"{start}/seed0"]
    assert of(f"diff {start}/seed0 {start}/") == [f"{start}/seed1"]
    assert of(f"diff {start}/seed0 {start}/seed1 ") == []
    monkeypatch.setenv("HOME", str(elsewhere))
    assert of("resume ~/runs/c") == [f"~/{start}/seed0", f"~/{start}/seed1"]


def test_resume_offers_the_keys_of_the_run(elsewhere: Path) -> None:
    run = elsewhere / "run"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
    (run / "config.yaml").write_text(
        json.dumps({"total_steps": 600, "algo": {"_target_": "rlrun.agents.dqn.DQN", "loss": "huber"}})
    )
    assert of("resume run ") == ["total_steps=", "algo."]
    assert of("resume run total_steps=") == ["total_steps=600"]
    assert of("resume run algo.loss=") == ["algo.loss=huber", "algo.loss=squared"]
    assert of("resume run --config-dir r") == ["run/"]


def test_configs_of_somebody_else(elsewhere: Path) -> None:
    (elsewhere / "theirs" / "algo").mkdir(parents=True)
    mine = elsewhere / "theirs" / "algo" / "mine.yaml"
    mine.write_text("# Mine.\n_target_: mine_agent.Agent\nmood: calm # calm or wild\nlimit: 3\nonly: {here: true}\n")
    assert of("algo=mi") == []
    for flag in ("--config-dir theirs", "--config-dir=theirs", "-cd theirs"):
        assert of(f"{flag} algo=mi") == ["algo=mine"]
        assert of(f"{flag} algo=mine algo.") == ["algo.mood=", "algo.limit=", "algo.only."]
        assert of(f"{flag} algo=mine algo.limit=") == ["algo.limit=3"]
        assert of(f"{flag} algo=mine algo.only.here=") == ["algo.only.here=true", "algo.only.here=false"]
    (mood,) = candidates(["--config-dir", "theirs", "algo=mine", "algo.m"], [OWN])
    assert mood.meaning == "calm or wild"
    assert of("check --config-dir theirs algo=mi") == ["algo=mine"]
    mine.write_text("_target_: mine_agent.Agent\nother: 1\n")
    assert of("--config-dir theirs algo=mine algo.") == ["algo.other="]  # nothing is remembered


def test_a_network_is_what_is_named_or_else_suggested(elsewhere: Path) -> None:
    for name, text in {
        "config.yaml": "defaults:\n  - _self_\n  - algo: null\n  - env: null\n  - experiment: null\n\nseed: 0\n",
        "algo/learns.yaml": "defaults:\n  - /network@network: small\n  - _self_\n\ngamma: 1\n",
        "algo/random.yaml": "steps: 1\n",
        "env/plain.yaml": "num_envs: 1\n",
        "env/screens.yaml": "network: large\nnum_envs: 1\n",
        "experiment/paper.yaml": "# @package _global_\nnetwork: deep\n",
        "network/small.yaml": "width: 1\n",
        "network/large.yaml": "height: 1\n",
        "network/deep.yaml": "depth: 1\n",
    }.items():
        (elsewhere / name).parent.mkdir(exist_ok=True)
        (elsewhere / name).write_text(text)

    def keys(line: str) -> list[str]:
        return [each.text for each in candidates(line.split(" "), [elsewhere])]

    assert keys("net") == ["network="]
    assert keys("algo=learns algo.network.") == ["algo.network.width="]
    assert keys("algo=learns env=plain algo.network.") == ["algo.network.width="]
    assert keys("algo=learns env=screens algo.network.") == ["algo.network.height="]
    assert keys("algo=learns env=screens experiment=paper algo.network.") == ["algo.network.depth="]
    assert keys("algo=learns env=screens experiment=paper network=small algo.network.") == ["algo.network.width="]
    assert keys("algo=learns env=screens network@algo.network=deep algo.network.") == ["algo.network.depth="]
    assert keys("algo=random env=screens algo.") == ["algo.steps="]
    assert keys("algo=learns env=screens env.") == ["env.num_envs="]


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_offered_with_the_flags_that_it_has(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_status:
        run_command(["rlrun", name, "--help"])
    assert exit_status.value.code == 0
    usage = capsys.readouterr().out
    assert VERBS[name].summary in " ".join(usage.split())
    offered = of(f"{name} --")
    assert set(offered) == {word.strip("[],") for word in usage.split() if word.strip("[").startswith("--")}
    assert "--help" in offered
    assert all(taken.action.help for taken in parser_of(name).taken)


@pytest.mark.parametrize("flag", [flag for taken in run_arguments().taken for flag in taken.action.option_strings])
def test_every_flag_of_a_run_is_understood(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = {"--cfg": ["job"], "-c": ["job"], "--config-dir": ["."], "-cd": ["."]}.get(flag, [])
    run_command(["rlrun", flag, *value, "algo=no_such"])
    assert "unrecognized" not in capsys.readouterr().err
