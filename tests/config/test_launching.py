"""Sweeps are checked as a whole, and launchers that nobody would heed are refused."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from rlrun.cli.main import run_command
from rlrun.config import launching
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.files import config_directory
from rlrun.config.hydra_settings import refuse_words
from rlrun.config.sweep import check_sweep, for_sweep, without_globs
from rlrun.errors import UserError

FILES = {
    "preset/mild": "algo:\n  rollout_steps: 20\n",
    "experiment/plain": "algo:\n  rollout_steps: 10\n",
    "experiment/params": "hydra:\n  sweeper:\n    params:\n      algo.rollout_step: 1,2\n",
    "experiment/good_params": "hydra:\n  sweeper:\n    params:\n      algo.rollout_steps: 1,2\n",
    "experiment/elsewhere": "hydra:\n  run:\n    dir: x\n",
    "experiment/sweeps": "hydra:\n  mode: MULTIRUN\n",
    "experiment/misspelt": "hydra:\n  lancher:\n    x: 1\n",
    "experiment/batches": "hydra:\n  sweep:\n    dir: x\n",
    "experiment/debugs": "debug: short\n",
    "experiment/unset": "preset: null\n",
    "experiment/algos": "algo: dqn\n",
    "experiment/chosen": "defaults:\n  - override /algo: dqn\n  - override /preset: null\n",
    "experiment/jobs": "hydra:\n  launcher:\n    n_jobs: 2\n",
    "experiment/launched": "defaults:\n  - override /hydra/launcher: later\n",
    "hydra/launcher/later": "hydra:\n  launcher:\n    _target_: hydra_plugins.later.Later\n",
}
RANDOM = ["algo=random", "env=cartpole"]


@pytest.fixture
def directories(tmp_path: Path) -> list[Path]:
    for name, text in FILES.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# @package _global_\n{text}")
    return [tmp_path, config_directory()]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["algo=dqn", "env=cartpole", "algo.optimizer.learning_rate=1e-3,abc"], "learning_rate=abc is not valid"),
        ([*RANDOM, "algo.rollout_step=1,2"], "unknown key algo.rollout_step; nearest: algo.rollout_steps"),
        ([*RANDOM, "+algo.rollout_step=1,2"], "unknown key algo.rollout_step; nearest: algo.rollout_steps"),
        ([*RANDOM, "experiment=plain,plan"], "unknown experiment 'plan'; nearest: plain"),
        (["algo=dqn,random", "env=cartpole", "algo.gamma=0.9"], "it belongs to algo=actor_critic, dqn"),
        ([*RANDOM, "experiment=params"], "unknown key algo.rollout_step; nearest: algo.rollout_steps"),
        ([*RANDOM, "experiment=plain,good_params"], "which Hydra ignores where the file is swept over"),
        (
            [*RANDOM, "experiment=null,a2c"],
            "overrides /optimizer@algo.optimizer, but algo=random has none: the file is",
        ),
        ([*RANDOM, "experiment=plain,batches"], "sets hydra.sweep.dir=x, which Hydra ignores where the file is swept"),
        ([*RANDOM, "hydra/launcher=joblb"], "unknown hydra/launcher 'joblb'"),
        ([*RANDOM, "seed=range(3,0)"], "seed=range(3,0) is no value at all, so nothing would be run"),
        ([*RANDOM, "seed=0", "seed=1"], "seed is given twice, as seed=0 and as seed=1: leave one out"),
        ([*RANDOM, "seed=interval(0,1)"], "takes values one by one, as seed=1,2"),
        ([*RANDOM, "hydra.sweeper.max_batch_size=0"], "hydra.sweeper.max_batch_size=0 is not valid"),
        ([*RANDOM, "hydra.sweeper.max_batch_size=abc"], "max_batch_size=abc is not valid: Value 'abc' of type 'str'"),
        ([*RANDOM, 'hydra.sweeper.params={algo.gamma: "0.9,0.8"}'], "for files only; on the command line"),
        ([*RANDOM, "+hydra.sweeper.params.algo.gama=0.9"], "for files only; on the command line"),
        ([*RANDOM, "seed=0,1", "name=${hydra:job.num}"], "name=${hydra:job.num} cannot be"),
        ([*RANDOM, "experiment=elsewhere"], "a config file sets hydra.run.dir=x, which cannot be: runs_dir= and name="),
        ([*RANDOM, "experiment=plain,sweeps"], "a config file sets hydra.mode=MULTIRUN, which cannot be"),
    ],
)
def test_a_sweep_is_refused_before_its_first_run(directories: list[Path], overrides: list[str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_sweep(overrides, directories)
    assert words in str(caught.value)


def test_a_good_sweep_passes(directories: list[Path]) -> None:
    check_sweep([*RANDOM, "experiment=good_params"], directories)
    check_sweep([*RANDOM, "hydra/launcher=basic"], directories)
    check_sweep(["algo=dqn,q_learning", "env=gridworld", "algo.gamma=0.9", "env.observation=index"], directories)
    check_sweep([*RANDOM, "experiment=batches", "hydra.sweeper.max_batch_size=1", "seed=0,1"], directories)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("seed=0,1", False),
        ("seed=0,1 hydra/launcher=basic", False),
        ("seed=0,1 ++hydra.sweep.dir=x", True),
        ("seed=0,1 hydra={sweep:{dir:x}}", True),
        ("seed=0,1 experiment=batches", True),
        ("seed=0,1 hydra/launcher=later", True),
        ("seed=0,1 experiment=launched", True),
    ],
)
def test_what_is_kept_of_a_sweep_is_kept_where_it_was_asked_for(
    words: str, wanted: bool, directories: list[Path]
) -> None:
    assert check_sweep([*RANDOM, *words.split()], directories) == wanted


def test_a_sweep_fills_the_directory_that_a_file_names(
    directories: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["total_steps=20", "logger=none", "evaluation.episodes=1"]
    assert run_command(["rlrun", "-m", "--config-dir", ".", *RANDOM, *quick, "experiment=batches", "seed=0,1"]) == 0
    assert (tmp_path / "x" / "multirun.yaml").is_file()


def test_a_glob_is_the_options_of_every_directory_that_fit(directories: list[Path]) -> None:
    words = without_globs([*RANDOM, "experiment=glob(p*)"], directories)
    assert words == [*RANDOM, "experiment=params,plain"]
    for glob, message in (("algo=glob(zz*)", "fits nothing; available: "), ("seed=glob(1*)", "glob() is for groups")):
        with pytest.raises(UserError, match=re.escape(message)):
            without_globs([glob, "env=cartpole"], directories)


def test_every_combination_is_checked_and_a_file_compared_with_none(
    directories: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[list[str]] = []
    checked: list[Config] = []

    def noted(job: Sequence[str], directories: Sequence[Path], *, in_sweep: bool) -> Config:
        jobs.append(list(job))
        checked.append(load_config(job, directories, in_sweep=in_sweep))
        return checked[-1]

    monkeypatch.setattr(launching, "load_config", noted)
    check_sweep([*RANDOM, "seed=1,2", "preset=null,mild", "experiment=null,plain"], directories)
    assert jobs == [
        [*RANDOM, f"seed={seed}", f"preset={preset}", f"experiment={experiment}"]
        for seed in (1, 2)
        for preset in ("'null'", "mild")
        for experiment in ("[]", "plain")
    ]
    without = load_config([*RANDOM, "preset=null"], directories).algo.arguments["rollout_steps"]
    assert [config.algo.arguments["rollout_steps"] for config in checked[:2]] == [without, 10]


def test_keys_of_a_swept_group_are_left_to_each_run() -> None:
    words = ["algo=dqn,sarsa", "algo.gamma=0.9", "+algo.x=[1,2]", "seed=1", "env.map=cliff,book", "algo.alpha=1,2"]
    assert for_sweep(words) == [words[0], "algo.gamma=choice(0.9)", "+algo.x=choice([1,2])", *words[3:]]
    assert for_sweep(["algo=dqn", "algo.gamma=0.9"]) == ["algo=dqn", "algo.gamma=0.9"]


@pytest.mark.parametrize(
    "word",
    [
        "hydra/launcher=basic",
        "hydra.launcher.n_jobs=2",
        "+hydra.sweeper.params.seed=1",
        "hydra.sweep.dir=x",
        "hydra={launcher:{n_jobs:2}}",
    ],
)
def test_without_a_sweep_nobody_heeds_a_launcher(word: str) -> None:
    with pytest.raises(UserError, match="would do nothing: launchers and sweepers are for sweeps, which -m makes"):
        refuse_words([*RANDOM, word], in_sweep=False)
    refuse_words(RANDOM, in_sweep=False)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("hydra.run.dir=x", "cannot be: runs_dir= and name= say where a run is kept"),
        ("++hydra.output_subdir=x", "cannot be: runs_dir= and name= say where a run is kept"),
        ("hydra.run={dir:foo}", "cannot be: runs_dir= and name= say where a run is kept"),
        ("hydra={run:{dir:foo}}", "cannot be: runs_dir= and name= say where a run is kept"),
        ("hydra.job.chdir=true", "cannot be: runs_dir= and name= say where a run is kept"),
        ("hydra.searchpath=[conf]", "cannot be: --config-dir adds a directory"),
        ("hydra.mode=MULTIRUN", "cannot be: -m makes a sweep, and nothing else does"),
        ("hydra.runtime.choices.algo=sarsa", "cannot be: Hydra writes down there what it has found"),
        ("++hydra.runtime.choices.x=", "cannot be: Hydra writes down there what it has found"),
        ("hydra.overrides.task=[x]", "cannot be: Hydra writes down there which words were given"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_what_hydra_would_do_elsewhere_is_refused_and_leaves_nothing(
    word: str,
    message: str,
    flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", *flags, *RANDOM, word]) == 2
    assert f"{word} {message}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("+hydra.lancher.x=1", "unknown key hydra.lancher, which would be Hydra's; nearest: hydra.launcher"),
        ("hydra.job.env_set.X=1", "to add it: +hydra.job.env_set.X=..."),
        ("hydra.verbos=1", "nearest: hydra.verbose"),
        ("experiment=elsewhere", "a config file sets hydra.run.dir=x, which cannot be: runs_dir= and name="),
        ("experiment=sweeps", "a config file sets hydra.mode=MULTIRUN, which cannot be: -m makes a sweep"),
        ("experiment=misspelt", "unknown key hydra.lancher, which would be Hydra's; nearest: hydra.launcher; set in"),
        ("experiment=batches", "a config file sets hydra.sweep (dir=x), which would do nothing without a sweep"),
        ("experiment=good_params", "a config file sets hydra.sweeper (params={'algo.rollout_steps': '1,2'})"),
        ("name=${hydra:job.name}", "name=${hydra:job.name} cannot be"),
        ("algo=dqn", "algo is given twice, as algo=random and as algo=dqn: leave one out"),
        ("env=gym env.id=Taxi-v3", "env is given twice, as env=cartpole and as env=gym: leave one out"),
        ("'env={num_envs: 2}' env.num_envs=3", "env.num_envs is given twice"),
        (
            "'network={hidden:[3]}'",
            "algo=random uses no network, so network={hidden:[3]} would do nothing: leave it out",
        ),
        ("+network.hiden=[3]", "algo=random uses no network, so +network.hiden=[3] would do nothing: leave it out"),
        ("network@foo=mlp", "network@foo=mlp cannot be: network has one place, where network=mlp puts it"),
        ("+network=mlp", "+network=mlp cannot be: an option of a group is chosen without +, as network=mlp"),
        ("+experiment=plain", "an option of a group is chosen without +, as experiment=plain"),
        ("+seed=1", "+seed=1 cannot be: + adds a key, and seed is there already; write seed=1"),
        ("~seed=5", "~seed=5 cannot be: seed is 0"),
        ("experiment=[null]", "experiment=[null] cannot be: an option is chosen by name here"),
        ("experiment=[plain,null]", "experiment=[plain,null] cannot be: an option is chosen by name here"),
        ("experiment=[[plain]]", "cannot be: an option is chosen by name here"),
        ("preset=[1]", "cannot be: an option is chosen by name here"),
        ("'experiment={a: 1}'", "cannot be: an option is chosen by name here"),
        ("experiment=debugs", "debug: short in a config file chooses nothing: give debug=short on the command line"),
        (
            "experiment=unset",
            "preset: null in a config file chooses nothing: write - override /preset: null into the",
        ),
        ("experiment=algos", "algo: dqn in a config file chooses nothing: write - override /algo: dqn into the list"),
        ("experiment=jobs", "unknown key hydra.launcher.n_jobs, which would be Hydra's"),
        ("++preset=foo", "++preset=foo cannot be: an option of a group is chosen without +, as preset=foo"),
        ("seed==1", "write one =, as seed=1"),
        ("'seed=1 # comment'", "the value has # where it cannot be"),
        ("seed=1,2", "seed=1,2 gives several values: add -m on the command line to run each of them, in Python"),
        ("algo.rollout_steps=${algo}", "algo.rollout_steps refers to a section that it is part of"),
    ],
)
def test_a_run_is_refused_through_every_door(words: str, message: str, directories: list[Path]) -> None:
    with pytest.raises(UserError) as caught:  # `explain`, `check` and Python ask the same function
        load_config([*RANDOM, *shlex.split(words)], directories)
    assert message in str(caught.value)


def test_a_file_that_should_choose_the_algorithm_is_named(directories: list[Path]) -> None:
    with pytest.raises(
        UserError, match="algo: dqn in a config file chooses nothing: write - override /algo: dqn"
    ) as it:
        load_config(["env=cartpole", "experiment=algos"], directories)
    assert it.value.details == (f"set in {directories[0] / 'experiment' / 'algos.yaml'}, line 2",)
    chosen = load_config(["env=cartpole", "experiment=chosen", "network=mlp"], directories)
    assert chosen == load_config(["algo=dqn", "env=cartpole", "preset=null", "network=mlp"], directories)


def test_a_value_of_a_sweeper_is_said_to_be_of_a_file(directories: list[Path]) -> None:
    with pytest.raises(UserError) as caught:
        check_sweep([*RANDOM, "experiment=params"], directories)
    assert caught.value.details[0] == "set in hydra.sweeper.params of a config file: algo.rollout_step=1"
    with pytest.raises(UserError) as caught:
        check_sweep([*RANDOM, "experiment=good_params", "algo.rollout_step=1"], directories)
    assert caught.value.details[0] == "set on the command line: algo.rollout_step=1"


def test_what_hydra_prints_of_itself_is_asked_for_in_words_that_can_be_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["rlrun", "--info", "all", "experiment=[a"]) == 2
    assert "cannot read 'experiment=[a'" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["algo.rollout_steps=abc", "preset=typo"])
def test_what_is_printed_without_a_run_is_checked_as_well(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "--cfg", "job", *RANDOM, word]) == 2
    assert word.partition("=")[2] in capsys.readouterr().err


def test_a_value_is_told_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", *RANDOM, "seed=${oc.env:NO_SUCH_SEED,3}"]) == 2
    error = capsys.readouterr().err
    assert "set on the command line: seed=${oc.env:NO_SUCH_SEED,3}" in error
    assert "seed='3' is not valid" in error


@pytest.mark.parametrize("word", ["experiment=null", "+hydra.job.env_set.X=1", "algo=random"])
def test_what_hydra_offers_and_does_no_harm_passes(word: str, directories: list[Path]) -> None:
    assert load_config([*RANDOM, word], directories) == load_config(RANDOM, directories)


def test_a_file_with_a_sweep_in_it_is_refused_where_there_is_none(
    directories: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    for name in ("good_params", "elsewhere", "sweeps"):
        assert run_command(["rlrun", *RANDOM, f"experiment={name}", "--config-dir", str(directories[0])]) == 2
        assert "a config file sets hydra." in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
