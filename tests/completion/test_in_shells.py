"""Typing and pressing Tab in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from shells import Shell, program

LINES = [
    ("rlrun algo=d", "rlrun algo=dqn "),
    ("rlrun -m algo=dqn,rei", "rlrun -m algo=dqn,reinforce "),
    ("rlrun algo=dqn env=cartpole algo.op", "rlrun algo=dqn env=cartpole algo.optimizer."),
    ("rlrun algo=dqn algo.optimizer.le", "rlrun algo=dqn algo.optimizer.learning_rate="),
    ("rlrun algo=dqn algo.loss=sq", "rlrun algo=dqn algo.loss=squared "),
    ("rlrun algo=dqn algo.loss=huber,", "rlrun algo=dqn algo.loss=huber,squared "),
    ("rlrun algo=dqn algo.gamma=", "rlrun algo=dqn algo.gamma=0.99 "),
    ("rlrun algo=dqn optimizer@algo.optimizer=ad", "rlrun algo=dqn optimizer@algo.optimizer=adam "),
    ("rlrun env=atari env.game=space_i", "rlrun env=atari env.game=space_invaders "),
    ("rlrun env=gridworld env.map=mi", "rlrun env=gridworld env.map=mine.txt "),
    ("rlrun env=gridworld env.map=map", "rlrun env=gridworld env.map=maps\\ of\\ mine/"),
    ("rlrun --cf", "rlrun --cfg "),
    ("rlrun --cfg j", "rlrun --cfg job "),
    ("rlrun --config-dir=th", "rlrun --config-dir=theirs/"),
    ("rlrun --config-dir theirs algo=min", "rlrun --config-dir theirs algo=mine "),
    ("rlrun show ", "rlrun show runs/cartpole/dqn/0123456789/seed"),
    ("rlrun show runs/cartpole/dqn/0123456789/seed1", "rlrun show runs/cartpole/dqn/0123456789/seed1 "),
    ("rlrun completion z", "rlrun completion zsh "),
    ("rlrun nothing_such", "rlrun nothing_such"),
    ("X=1 rlrun algo=d", "X=1 rlrun algo=dqn "),
    ("true && rlrun algo=d", "true && rlrun algo=dqn "),
    ("bin/rlrun algo=d", "bin/rlrun algo=dqn "),
]


# In every run of the tests: the words are found by one program, which test_candidates.py asks for all there is.
SOME, FEW = LINES[1::3], LINES[1::6]
SHELLS = [
    pytest.param(shell, *line, marks=[] if line in quick else [pytest.mark.slow])
    for shell, quick in (("bash", SOME), ("zsh", FEW), ("fish", FEW))
    for line in LINES
]


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Shell]]:
    """One shell of each name, started when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def shell(name: str) -> Shell:
            folder = tmp_path_factory.mktemp(name)
            (folder / "maps of mine").mkdir()
            (folder / "mine.txt").touch()
            (folder / "theirs" / "algo").mkdir(parents=True)
            (folder / "theirs" / "algo" / "mine.yaml").write_text("# Mine.\n_target_: mine.Agent\n")
            for seed in ("seed0", "seed1"):
                run = folder / "runs" / "cartpole" / "dqn" / "0123456789" / seed
                run.mkdir(parents=True)
                (run / "manifest.json").write_text("{}")
            return stack.enter_context(Shell(name, folder))

        yield shell


@pytest.mark.parametrize(("name", "line", "expected"), SHELLS)
def test_tab_completes(shells: Callable[[str], Shell], name: str, line: str, expected: str) -> None:
    assert shells(name).complete(line) == expected


def test_bash_without_its_word_breaks(tmp_path: Path) -> None:
    """Some people take `=` or `:` out of COMP_WORDBREAKS, or add to it."""
    with Shell("bash", tmp_path) as shell:
        shell.run("COMP_WORDBREAKS=' '")
        assert shell.complete("rlrun -m algo=dqn,rei") == "rlrun -m algo=dqn,reinforce "
        shell.run("COMP_WORDBREAKS=$' =,.:@'")
        assert shell.complete("rlrun -m algo=dqn,rei") == "rlrun -m algo=dqn,reinforce "
        assert shell.complete("rlrun algo=dqn algo.optimizer.le") == "rlrun algo=dqn algo.optimizer.learning_rate="


def test_bash_answers_by_its_completion_function(tmp_path: Path) -> None:
    """As other programs call it: with COMP_LINE, COMP_POINT and COMP_WORDS set."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed here")
    script = (
        'eval "$(rlrun completion bash)"\ncomplete -p rlrun\nCOMP_LINE="rlrun algo=dqn,re env=pong" COMP_POINT=17\n'
        "COMP_CWORD=3 COMP_WORDS=(rlrun algo = dqn,re env = pong)\n_rlrun rlrun dqn,re =\n"
        'printf "<%s>\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=program(tmp_path / "bin"), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1:] == ["<dqn,reinforce >"]
    assert "_rlrun rlrun" in done.stdout.splitlines()[0]
    assert done.stderr == ""
