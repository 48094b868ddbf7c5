import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from PIL import Image

from rlrun.agents.planning.policy_evaluation import PolicyEvaluation
from rlrun.envs.grid_map import load_map, tabular_model
from rlrun.errors import UserError
from rlrun.loop.collect import empty_rollout
from rlrun.pictures.planning_video import frames_to_show, save_planning_video
from rlrun.types import EnvSpec, GridLayout, Metrics, Rollout

CPU = torch.device("cpu")
MODEL = tabular_model(load_map("lecture"))
SPEC = EnvSpec("lecture", spaces.Discrete(16), spaces.Discrete(4), 1, model=MODEL)


def layout() -> GridLayout:
    assert MODEL.layout is not None
    return MODEL.layout


def planner(kind: type[PolicyEvaluation] = PolicyEvaluation) -> PolicyEvaluation:
    return kind(policy="uniform", gamma=1.0, tolerance=1e-3, spec=SPEC, device=CPU)


@pytest.mark.parametrize("count", [1, 2, 59, 60, 61, 100, 9999])
def test_films_show_the_first_sweeps_the_last_and_ever_fewer_between(count: int) -> None:
    shown = frames_to_show(count)
    assert shown[0] == 0
    assert shown[-1] == count - 1
    assert len(shown) == min(count, 60) or 50 <= len(shown) <= 60
    assert shown == sorted(set(shown))
    if count <= 60:
        assert shown == list(range(count))
    else:
        assert shown[:30] == list(range(30))
        gaps = np.diff(shown[30:])
        assert (np.diff(gaps) >= -1).all(), "rounding aside, gaps never shrink"


def test_large_grids_are_not_filmed(tmp_path: Path) -> None:
    class Never(PolicyEvaluation):
        def learn(self, rollout: Rollout) -> Metrics:
            raise AssertionError("it must not plan again")

    save_planning_video(
        tmp_path, planner(Never), GridLayout(np.zeros((21, 20), bool), np.zeros((21, 20), bool)), "large", 3
    )
    assert list(tmp_path.iterdir()) == []


def test_long_plans_are_filmed_in_sixty_frames(tmp_path: Path) -> None:
    plan, sweeps = planner(), 0
    while not plan.finished:
        plan.learn(empty_rollout(CPU))
        sweeps += 1
    save_planning_video(tmp_path, planner(), layout(), "mine", sweeps)
    with Image.open(tmp_path / "values.gif") as film:
        assert sweeps + 1 > 60
        assert getattr(film, "n_frames", 1) == len(frames_to_show(sweeps + 1)) <= 60


def test_a_film_shows_as_many_sweeps_as_the_run_took(tmp_path: Path) -> None:
    untouched = planner()
    save_planning_video(tmp_path, untouched, layout(), "mine", 3)
    assert not untouched.tables().values.any()
    with Image.open(tmp_path / "values.gif") as film:
        assert getattr(film, "n_frames", 1) == 4


def test_a_film_that_fails_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    class Failing(PolicyEvaluation):
        def learn(self, rollout: Rollout) -> Metrics:
            raise UserError("no more")

    log = logging.getLogger("rlrun.agents")
    before = log.level
    with pytest.raises(UserError, match="no more"):
        save_planning_video(tmp_path, planner(Failing), layout(), "mine", 3)
    assert log.level == before != logging.WARNING
