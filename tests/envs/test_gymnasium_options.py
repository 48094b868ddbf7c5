"""`env.options` that are lists, and what people's constructors raise: by value and through the command line."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import JsonValue

from rlrun.annotations.plain_values import as_far_as_known, coerced
from rlrun.build import instantiate
from rlrun.cli.main import run_command
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.envs.gymnasium_options import checked_options
from rlrun.errors import UserError

QUICK = ["logger=none", "evaluation.every_steps=null", "device=cpu"]
LAKE = "desc: [SFF, FHF, FFG], is_slippery: false"


def test_a_lake_of_ones_own_is_the_one_that_is_played() -> None:
    options = f"env.options={{{LAKE}, reward_schedule: [1, -0.2, -0.01]}}"
    config = load_config(["algo=q_learning", "env=frozenlake", options], [config_directory()])
    env = instantiate(config.env, {}, num_envs=1)
    assert env.spec.observation.n == 9
    env.reset(0)
    right, down = np.array([2]), np.array([1])
    steps = [env.step(action) for action in (right, right, down, down)]  # S F F, then F and G below
    assert [step.next_obs.item() for step in steps] == [1, 2, 5, 8]
    np.testing.assert_allclose([step.reward.item() for step in steps], [-0.01, -0.01, -0.01, 1])
    assert [step.discount.item() for step in steps] == [1, 1, 1, 0]
    into_the_hole = [env.step(action) for action in (right, down)]
    np.testing.assert_allclose(into_the_hole[-1].reward, [-0.2])
    assert env.spec.model.layout.marks == ("SFF", "FHF", "FFG")


def test_lists_belong_to_the_experiment() -> None:
    def defining(options: str) -> Any:
        config = load_config(["algo=q_learning", "env=frozenlake", f"env.options={options}"], [config_directory()])
        return config.experiment()["env"]["options"]

    assert defining(f"{{{LAKE}}}") == defining("{is_slippery: false, desc: [SFF, FHF, FFG]}")
    assert defining(f"{{{LAKE}}}") != defining("{desc: [SFF, FFF, FFG], is_slippery: false}")
    assert defining("{reward_schedule: [1, 0.5, 0]}") == {"reward_schedule": [1, 0.5, 0]}


def own(
    board: list[list[int]],
    weights: Mapping[str, float] | None = None,
    names: Sequence[str] = (),
    size: tuple[int, int] = (1, 1),
    mode: Literal["a", "b"] = "a",
    anything: Any = None,
    array: np.ndarray[Any, Any] | None = None,
) -> None:
    """Annotations of containers, as environments have them."""


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"board": [[1, 2], [3, 4]]}, {"board": [[1, 2], [3, 4]]}),
        ({"board": [[0.5]]}, {"board": [[0.5]]}),  # whole numbers inside lists may be any
        ({"weights": {"x": 1, "y": 0.5}}, {"weights": {"x": 1.0, "y": 0.5}}),
        ({"weights": None}, {"weights": None}),
        ({"names": ["a", "b"]}, {"names": ["a", "b"]}),
        ({"size": [4, 5]}, {"size": (4, 5)}),
        ({"mode": "b"}, {"mode": "b"}),
        ({"anything": {"deep": [1, ["x", None]]}}, {"anything": {"deep": [1, ["x", None]]}}),
        ({"array": [[1, 2]]}, {"array": [[1, 2]]}),
    ],
)
def test_lists_and_mappings_are_what_the_annotations_say(given: dict[str, Any], taken: dict[str, Any]) -> None:
    checked = checked_options(given, own, "Own-v0")
    assert checked == taken
    assert [type(value) for value in checked.values()] == [type(value) for value in taken.values()]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"board": [1, 2]}, r"board=\[1, 2\] .*env\.id=Own-v0"),
        ({"board": [["a"]]}, "board="),
        ({"weights": [1]}, r"weights=\[1\] .*mapping.*number.*null"),
        ({"names": "ab"}, r"names='ab' .*list"),
        ({"names": ["a", 1]}, r"names=\['a', 1\]"),
        ({"size": [4]}, r"size=\[4\]"),
        ({"size": [4, 5, 6]}, r"size=\[4, 5, 6\]"),
        ({"mode": "c"}, r"mode='c' .*a, b"),
        ({"anything": "yes"}, r"anything='yes'"),
    ],
)
def test_what_the_annotations_do_not_say_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"env\.options\.{message}"):
        checked_options(given, own, "Own-v0")


def test_what_is_not_known_of_an_argument_may_be_anything() -> None:
    def foreign(plain, number=3, pair=(1, 2), thing=None, own_type: "Nowhere" = None):  # type: ignore # noqa: F821, UP037
        """Hardly any annotations, and one that cannot be read."""

    known = as_far_as_known(foreign, inspect.signature(foreign).parameters)
    assert known["plain"] is known["thing"] is known["own_type"] is JsonValue
    assert coerced(known["number"], 2.5) == 2.5
    assert coerced(known["pair"], [5]) == (5,)
    for annotation, wrong in (
        (known["number"], "3"),
        (known["number"], True),
        (known["pair"], 5),
        (float, float("nan")),
    ):
        with pytest.raises(ValueError, match=re.escape(str(wrong))):
            coerced(annotation, wrong)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["env=frozenlake", "env.options={map_name: 6x6}"],
            r"env\.options do not fit env\.id=FrozenLake-v1: with map_name=6x6 its constructor raises KeyError: '6x6', "
            r"at frozen_lake\.py, line \d+; HYDRA_FULL_ERROR=1 shows the traceback$",
        ),
        (
            ["env=frozenlake", "env.options={desc: 6x6}"],
            r"env\.options\.desc='6x6' is not valid.*a list \(each a string\)",
        ),
        (["env=frozenlake", "env.options={reward_schedule: [1, 2]}"], r"reward_schedule=\[1, 2\] is not valid"),
        (
            ["env=gym", "env.imports=[wrapped_work]", "env.id=wrapped_work/Engine-v0"],
            r"Engine-v0 cannot be made: its constructor raises TypeError: .*missing 1 required positional argument: "
            r"'size'; give its arguments with env\.options=\{name: value\}$",
        ),
        (
            ["env=gym", "env.imports=[wrapped_work]", "env.id=wrapped_work/Engine-v0", "env.options={size: 4}"],
            r"with size=4 its constructor raises RuntimeError: the engine holds 3 at most, at wrapped_work\.py, line",
        ),
        (
            ["env=gym", "env.imports=[wrapped_work]", "env.id=wrapped_work/Leaves-v0"],
            r"Leaves-v0 cannot be made: its constructor raises SystemExit: 3, at wrapped_work\.py, line \d+",
        ),
        *(
            (
                ["env=gym", "env.imports=[wrapped_work]", "env.id=wrapped_work/NoPackage-v0", *more],
                r"NoPackage-v0 needs a package that is not installed: No module named 'rlrun_no_such_package'$",
            )
            for more in ([], ["env.options={size: 4}"])
        ),
        (["env=gym", "env.imports=[leaving_work]", "env.id=X-v0"], r"env\.imports: leaving_work raises SystemExit"),
        (
            ["env=gym", "env.imports=[wrapped_work]", "env.id=wrapped_work/NoSuch-v0"],
            r"NoSuch-v0 cannot be made: its constructor raises AttributeError: module 'wrapped_work' has no attribute",
        ),
        (
            ["env=gym", "env.imports=[wrapped_work]", "env.id=wrapped_work/Lime-v0"],
            r"unknown env\.id=wrapped_work/Lime-v0; nearest: wrapped_work/Line-v0.*"
            r"env\.imports=\[wrapped_work\] has not registered it",
        ),
        (
            ["env=gym", "env.imports=[broken_work]", "env.id=X-v0"],
            r"env\.imports: broken_work raises ZeroDivisionError",
        ),
        (["env=gym", "env.imports=[no_work]", "env.id=X-v0"], r"env\.imports: cannot import no_work"),
        (["env=gym", "env.id=Pendulum-v1"], r"actions Box of shape \[1\].*gymnasium\.wrappers\.DiscretizeAction"),
    ],
)
def test_what_a_constructor_raises_is_said_in_its_words_on_one_line(
    overrides: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "broken_work.py").write_text("1 / 0\n")
    (tmp_path / "elsewhere" / "leaving_work.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run_command(["rlrun", "algo=random", *overrides, *QUICK, "total_steps=200"]) == 2
    said = capsys.readouterr().err
    (line,) = (line for line in said.splitlines() if line.startswith("rlrun: error: "))
    assert re.search(message, line), line
    assert "Traceback" not in said
    assert list((tmp_path / "here").iterdir()) == []


def test_blackjack_is_learned_with_a_table(tmp_path: Path) -> None:
    """Random play loses 0.42 +- 0.01 a hand (4,000 hands), the best play about 0.05 (Sutton and Barto 2018, 5.3)."""
    overrides = ["algo=q_learning", "env=blackjack", "env.num_envs=16", *QUICK, "total_steps=8000"]
    overrides += ["algo.gamma=1", "evaluation.episodes=2000", "evaluation.num_envs=20", f"runs_dir={tmp_path}"]
    assert run_command(["rlrun", *overrides]) == 0
    (path,) = tmp_path.glob("blackjack/q_learning/*/seed0/result.json")
    assert -0.15 < json.loads(path.read_text())["eval/episode_return"] < 0
