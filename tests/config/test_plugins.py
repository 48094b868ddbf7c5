"""Configs that installed packages bring: the example, really installed, and packages that are broken."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import refusal

from rlrun.cli.help_page import help_page
from rlrun.cli.main import main, run_command
from rlrun.config.compose import load_config
from rlrun.config.config import Config
from rlrun.config.files import config_directories, config_directory
from rlrun.config.plugins import installed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "plugin"
QUICK = ["total_steps=300", "evaluation.every_steps=null", "evaluation.episodes=2", "logger=none", "device=cpu"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has installed the example."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "--target", target, EXAMPLE], check=True, capture_output=True)
    return target


@pytest.fixture
def example(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(site)
    return site


def composed(*overrides: str) -> Config:
    return load_config(overrides, config_directories(None))


def package(site: Path, name: str, files: dict[str, str], *, names: str | None = None) -> None:
    """Installs, by hand, a package with an entry point."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rlrun.configs]\n{name} = {names or name}\n")
    for path, content in files.items():
        (site / name / path).parent.mkdir(parents=True, exist_ok=True)
        (site / name / path).write_text(content)


@pytest.fixture
def own_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    return site


def test_nothing_is_installed_here_but_what_a_test_installs() -> None:
    assert installed() == []
    assert config_directories(None) == [config_directory()]


def test_an_installed_package_is_found_and_its_preset_applies(example: Path) -> None:
    (plugin,) = installed()
    assert (plugin.distribution, plugin.directory) == ("rlrun-example", example / "rlrun_example" / "conf")
    config = composed("algo=expected_sarsa", "env=corridor")
    assert config.labels == {"algo": "expected_sarsa", "env": "corridor", "preset": "expected_sarsa_corridor"}
    assert (config.total_steps, config.algo.arguments["gamma"]) == (4000, 0.95)


def test_the_help_page_has_its_options(example: Path) -> None:
    page = help_page(config_directories(None))
    assert "algo=expected_sarsa" in page
    assert "A corridor with head wind" in page


def test_it_mixes_with_our_own(example: Path) -> None:
    assert composed("algo=expected_sarsa", "env=taxi").env.target == "rlrun.envs.gymnasium.GymnasiumEnv"
    assert composed("algo=q_learning", "env=corridor").algo.target == "rlrun.agents.tables.td_control.TDControl"


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("algo.gama=0.9", "algo.gama algo.gamma"),
        ("+algo.gama=0.9", "algo.gama algo.gamma"),
        ("algo.alpha=0", "algo.alpha=0"),
        ("env.wind=strong", "env.wind=strong"),
        ("algo=expected_sarsaa", "expected_sarsa"),
    ],
)
def test_its_keys_are_checked_like_ours(example: Path, word: str, named: str) -> None:
    refusal(lambda: composed("algo=expected_sarsa", "env=corridor", word), *named.split())


def test_it_trains_and_is_resumed(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A sweep, so that the search path reaches the jobs of sweeps too.
    monkeypatch.chdir(tmp_path)
    assert run_command(["rlrun", "-m", "algo=expected_sarsa", "env=corridor", "seed=1,2", *QUICK]) == 0
    printed = capsys.readouterr()
    assert (printed.out.count("preset expected_sarsa_corridor"), printed.err) == (2, "")
    (directory,) = tmp_path.glob("runs/corridor/expected_sarsa/*/seed1")
    assert run_command(["rlrun", "resume", str(directory), "total_steps=600"]) == 0
    assert "resuming at step 300" in capsys.readouterr().out


class Passed:
    """A plug-in of pytest that counts."""

    def __init__(self) -> None:
        self.count = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.count += report.when == "call" and report.passed


def test_its_own_tests_pass_where_it_is_installed(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passed = Passed()  # pytest inside of pytest, since another process would import torch again
    tests = [str(EXAMPLE / "tests"), "-p", "no:cacheprovider", "--import-mode=importlib", "--capture=no"]
    assert pytest.main(tests, [passed]) == 0, capsys.readouterr().out
    assert passed.count == 26
    assert Path(str(sys.modules["rlrun_example"].__file__)).is_relative_to(example)


@pytest.mark.slow  # its own tests, above, run the same contracts
def test_the_check_of_the_example_passes(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["rlrun", "check", "algo=expected_sarsa", "env=corridor"]) == 0
    assert "all 24 checks passed: env=corridor and algo=expected_sarsa keep the contracts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({}, "gone_for_good"),
        ({"__init__.py": ""}, None),
        ({"__init__.py": "", "conf/algo/x.yaml": ""}, "lost.inside"),
    ],
)
def test_a_package_without_configs_breaks_nothing(own_site: Path, files: dict[str, str], names: str | None) -> None:
    package(own_site, "lost", files, names=names)
    assert composed("algo=random", "env=cartpole").labels["algo"] == "random"
    refusal(lambda: composed("algo=theirs", "env=cartpole"), "'theirs'")


def test_a_module_that_cannot_be_imported_is_named_in_one_line(
    own_site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "__init__.py": "raise RuntimeError('no licence')",
        "conf/algo/theirs.yaml": "_target_: boom.Agent\n",
        "conf/algo/needy.yaml": "_target_: needy.Agent\n",
    }
    package(own_site, "boom", files)
    (own_site / "needy.py").write_text("import a_package_that_nobody_has\n")
    assert composed("algo=random", "env=cartpole").labels["algo"] == "random"
    assert "algo=theirs" in help_page(config_directories(None))
    assert run_command(["rlrun", "algo=theirs", "env=cartpole"]) == 2
    line, *_ = capsys.readouterr().err.splitlines()
    assert all(each in line for each in ("algo._target_=boom.Agent", "RuntimeError", "no licence"))
    needy = "algo._target_=needy.Agent"
    refusal(lambda: composed("algo=needy", "env=cartpole"), needy, "a_package_that_nobody_has")


@pytest.mark.parametrize(
    ("error", "sweep"),
    [("yaml.YAMLError", False), ("hydra.errors.HydraException", True)],
)
def test_an_error_in_a_running_agent_is_not_blamed_on_a_config_file(
    own_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, sweep: bool
) -> None:
    code = f"""import hydra.errors, yaml
from rlrun.agents.random import Random
class Agent(Random):
    def learn(self, rollout):
        raise {error}("of its own")
"""
    package(
        own_site, "faulty", {"__init__.py": code, "conf/algo/faulty.yaml": "_target_: faulty.Agent\nrollout_steps: 5\n"}
    )
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    flags = ["-m", "seed=0,1"] if sweep else []
    with pytest.raises(Exception, match=r"^of its own$") as caught:
        run_command(["rlrun", *flags, "algo=faulty", "env=cartpole", *QUICK, f"runs_dir={tmp_path / 'runs'}"])
    assert type(caught.value).__name__ == error.rpartition(".")[2]


def test_a_file_that_is_not_yaml_is_named_by_those_who_use_it(own_site: Path) -> None:
    broken = "_target_: [x\nnum_envs: 1\n"
    package(own_site, "scribbled", {"conf/env/theirs.yaml": broken})
    assert composed("algo=random", "env=gym", "env.id=CartPole-v1").labels["env"] == "gym-CartPole-v1"
    refusal(lambda: composed("algo=random", "env=theirs"), "theirs.yaml", "line 2, column 9")


def test_a_group_of_a_package_may_have_options_of_ones_own(own_site: Path, tmp_path: Path) -> None:
    slow = "_target_: rlrun.numerics.schedules.Constant\nvalue: 0.2\n"
    theirs = "defaults: [q_learning, /schedule@epsilon: slow, _self_]\n"
    package(own_site, "timed", {"conf/algo/timed.yaml": theirs, "conf/schedule/slow.yaml": slow})
    (tmp_path / "conf/schedule").mkdir(parents=True)
    (tmp_path / "conf/schedule/fast.yaml").write_text(slow.replace("0.2", "0.3"))
    overrides = ["algo=timed", "env=taxi", "schedule@algo.epsilon=fast"]
    config = load_config(overrides, config_directories(str(tmp_path / "conf")))
    assert config.as_plain()["algo"]["epsilon"]["value"] == 0.3


def test_a_name_that_two_have_is_refused_in_words(own_site: Path) -> None:
    package(own_site, "copycat", {"conf/algo/random.yaml": "_target_: rlrun.agents.random.Random\nrollout_steps: 7\n"})
    assert composed("algo=q_learning", "env=taxi").labels["algo"] == "q_learning"
    ours = config_directory() / "algo/random.yaml"
    theirs = own_site / "copycat/conf/algo/random.yaml"
    refusal(lambda: composed("algo=random", "env=taxi"), "algo=random", str(theirs), str(ours))


def test_a_file_of_ones_own_does_not_silently_lose_against_ours(tmp_path: Path) -> None:
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "dqn_cartpole.yaml").write_text("# @package _global_\ntotal_steps: 1\n")
    files = (f"{place}/preset/dqn_cartpole.yaml" for place in (tmp_path, config_directory()))
    both = config_directories(str(tmp_path))
    refusal(lambda: load_config(["algo=dqn", "env=cartpole"], both), "preset=dqn_cartpole", *files)
    load_config(["algo=dqn", "env=taxi"], config_directories(str(tmp_path)))


def test_a_directory_with_a_space_and_a_quote_is_searched(tmp_path: Path) -> None:
    conf = tmp_path / "my 'own', [conf]"
    (conf / "env").mkdir(parents=True)
    (conf / "env" / "mine.yaml").write_text("_target_: rlrun.testing.scripted_env.ScriptedEnv\nnum_envs: 3\n")
    config = load_config(["algo=random", "env=mine"], config_directories(str(conf)))
    assert config.env.arguments == {"num_envs": 3}


def test_the_page_about_plugins_says_what_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    ((code,), (config,)) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "yaml"))
    commands = [line for line in page.splitlines() if line.startswith("rlrun ") and "--config-dir conf" in line]
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "conf" / "algo").mkdir(parents=True)
    (tmp_path / "conf" / "algo" / "mine.yaml").write_text(config)
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", os.getcwd())])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command) + ([] if "check" in command else QUICK))
        with pytest.raises(SystemExit) as exit_of_rlrun:
            main()
        assert exit_of_rlrun.value.code == 0
    assert "env=cartpole and algo=mine keep the contracts" in capsys.readouterr().out
    assert len(list(tmp_path.glob("runs/cartpole/mine/*/seed0/result.json"))) == 1
