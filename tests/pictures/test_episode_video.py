"""Episodes of real trainings, played again: what the agent saw then is what the film's environment shows now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from gymnasium_env import gymnasium_env
from numpy.typing import NDArray
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from rlrun.agents.random import Random
from rlrun.build import build, instantiate
from rlrun.config.compose import load_config
from rlrun.config.files import config_directory
from rlrun.errors import UserError
from rlrun.loop.collect import Collector
from rlrun.loop.loop import iterate
from rlrun.pictures import video_file
from rlrun.pictures.episode_video import DifferentReplayError, record_video, replay
from rlrun.protocols import Agent, Renderable, VecEnv
from rlrun.runs.episode_log import FILE, RESTARTED, EpisodeLog, read_episode_log
from rlrun.runs.episode_recorder import EpisodeRecorder
from rlrun.types import (
    ActorOutput,
    Array,
    BoolArray,
    Carry,
    EnvSpec,
    Episodes,
    Int64Array,
    Metrics,
    Rollout,
    State,
    TimeStep,
    WholeEpisodes,
)

CPU = torch.device("cpu")


class Watched:
    """Passes everything on, and remembers a digest of all that was seen of each episode, by (slot, its last row)."""

    def __init__(self, env: VecEnv) -> None:
        self._env = env
        self._row = 0
        self._seen: list[list[bytes]] = [[] for _ in range(env.spec.num_envs)]
        self.episodes: dict[tuple[int, int], str] = {}

    @property
    def spec(self) -> EnvSpec:
        return self._env.spec

    def reset(self, seed: int) -> Array:
        return self._began(self._env.reset(seed), np.ones(self.spec.num_envs, bool))

    def restart(self, slots: BoolArray) -> Array:
        return self._began(self._env.restart(slots), slots)

    def step(self, action: Int64Array) -> TimeStep:
        time_step = self._env.step(action)
        for slot in range(self.spec.num_envs):
            self._seen[slot] += [time_step.next_obs[slot].tobytes(), time_step.reward[slot].tobytes()]
            if time_step.last[slot]:
                self.episodes[slot, self._row] = digest(self._seen[slot])
        self._began(time_step.obs, time_step.last)
        self._row += 1
        return time_step

    def close(self) -> None:
        self._env.close()

    def state_dict(self) -> State:
        return self._env.state_dict()

    def load_state_dict(self, state: State) -> Array:
        shown: Array = self._env.load_state_dict(state)
        return shown

    def _began(self, obs: Array, slots: BoolArray) -> Array:
        for slot in np.flatnonzero(slots):
            self._seen[slot] = [obs[slot].tobytes()]
        return obs


def digest(seen: Sequence[bytes]) -> str:
    return blake2b(b"".join(seen)).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A training that was recorded and watched."""

    log: EpisodeLog
    seen: dict[tuple[int, int], str]
    ended: list[Episodes]
    steps: list[int]
    env: Renderable  # like the one it was trained in, but with one slot


def trained(directory: Path, *words: str, agent: Agent | None = None) -> Trained:
    """Trains as a run does, or with another agent."""
    words += ("device=cpu", "logger=none", "record_episodes=true", "evaluation.num_envs=1", f"runs_dir={directory}")
    config = load_config(words, [config_directory()])
    built = build(config)
    run, collector = built.run, built.run.collector
    run.directory.mkdir(parents=True)
    # A recorder notes the environment's class, so it gets the environment itself.
    recorder = collector.recorder if agent is None else EpisodeRecorder(collector.env, run.directory)  # type: ignore[arg-type] # it was built for videos
    agent, watched = agent or run.agent, Watched(collector.env)
    collector = Collector(watched, agent.collection, CPU, config.seed, recorder)
    turns = list(iterate(agent, collector, run.total_steps))
    collector.recorder.close()
    built.close()
    env = instantiate(config.env, {}, num_envs=1)
    log = read_episode_log(run.directory / FILE)
    return Trained(log, watched.episodes, [turn.episodes for turn in turns], [turn.step for turn in turns], env)


def check_exact(result: Trained, numbers: Sequence[int] | None = None) -> None:
    """The log has the episodes of the training, and each of `numbers` (None: all) shows again what it showed."""
    log = result.log
    found = [log.episode(number) for number in range(1, len(log) + 1)]
    assert [episode.slot for episode in found] == np.concatenate([turn.slots for turn in result.ended]).tolist()
    returns = np.concatenate([turn.returns for turn in result.ended])
    assert [episode.episode_return for episode in found] == returns.tolist()
    lengths = np.concatenate([turn.lengths for turn in result.ended])
    assert [episode.length for episode in found] == lengths.tolist()
    assert log.episodes["step"].max() <= result.steps[-1]
    before = 0
    for turn, step in zip(result.ended, result.steps, strict=True):  # each ended in the turn that reported it
        ended_at = log.episodes["step"][before : before + len(turn.slots)]
        assert (ended_at <= step).all()
        before += len(turn.slots)
    for number in numbers or range(1, len(log) + 1):
        episode = log.episode(number)
        seen = []
        for moment in replay(result.env, log, episode):
            if moment.action is not None:
                seen += [moment.obs.tobytes(), np.float32(moment.reward).tobytes()]
            else:
                seen = [moment.obs.tobytes()]
        assert digest(seen) == result.seen[episode.slot, int(log.episodes["last_row"][number - 1])], f"episode {number}"
    result.env.close()


def test_grid_world_with_slips(tmp_path: Path) -> None:
    words = ("algo=q_learning", "env=gridworld", "env.map=cliff", "env.slip=0.2", "env.num_envs=3")
    result = trained(tmp_path, *words, "total_steps=1500")
    assert len(result.log) > 10
    check_exact(result)


def test_finite_mdp(tmp_path: Path) -> None:
    result = trained(tmp_path, "algo=q_learning", "env=racing_car", "env.num_envs=2", "total_steps=400")
    check_exact(result)


def test_cartpole_with_actor_critic(tmp_path: Path) -> None:
    result = trained(tmp_path, "algo=actor_critic", "env=cartpole", "total_steps=1500")
    assert len(result.log) > 25
    check_exact(result)


def test_cartpole_with_whole_episodes(tmp_path: Path) -> None:
    result = trained(tmp_path, "algo=reinforce", "env=cartpole", "env.num_envs=4", "total_steps=3000")
    assert len(set(result.log.episodes["stream"].tolist())) > len(result.log) / 4, (
        "slots waited in episodes of no number"
    )
    check_exact(result)


@pytest.mark.parametrize("env_id", ["Acrobot-v1", "FrozenLake-v1"])
def test_a_gymnasium_id(env_id: str, tmp_path: Path) -> None:
    words = ("algo=random", "env=gym", f"env.id={env_id}", "env.num_envs=2", "env.max_episode_steps=40")
    result = trained(tmp_path, *words, "total_steps=400", "algo.rollout_steps=10")
    check_exact(result)


def test_pong_with_sticky_actions_and_changing_streams(tmp_path: Path) -> None:
    words = ["algo=random", "env=pong", "env.num_envs=2", "env.protocol=machado2018", "env.num_threads=1"]
    words += ["env.reseed_every_steps=70", "env.max_episode_frames=160"]  # 40 steps an episode, two in a stream
    result = trained(tmp_path, *words, "total_steps=320", "algo.rollout_steps=20")
    episodes = [result.log.episode(number) for number in range(1, len(result.log) + 1)]
    assert [episode.stream for episode in episodes] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [episode.start for episode in episodes] == [0, 0, 40, 40, 0, 0, 40, 40]
    check_exact(result, [4, 8])


def test_restarts_inside_a_stream(tmp_path: Path) -> None:
    words = ("algo=random", "env=breakout", "env.num_envs=2", "env.num_threads=1", "env.reseed_every_steps=100000")
    config = load_config([*words], [config_directory()])
    env = instantiate(config.env, {})
    result = trained(tmp_path, *words, "total_steps=700", agent=WholeRandom(env.spec))
    env.close()
    histories = [result.log.episode(number).history for number in range(1, len(result.log) + 1)]
    restarts = [int((history == RESTARTED).sum()) for history in histories]
    assert max(restarts) >= 1
    check_exact(result, [1 + int(np.argmax(restarts)), len(result.log)])


class WholeRandom:
    """Plays at random, one whole episode of each slot at a time."""

    collection = WholeEpisodes(1)
    finished = False

    def __init__(self, spec: EnvSpec) -> None:
        self._random = Random(rollout_steps=1, spec=spec)

    def initial_carry(self, num_envs: int) -> Carry:
        return ()

    def act(self, obs: torch.Tensor, carry: Carry, rng: torch.Generator, *, explore: bool) -> ActorOutput:
        return self._random.act(obs, carry, rng, explore=explore)

    def learn(self, rollout: Rollout) -> Metrics:
        return {}

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        pass


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("run"), "algo=random", "env=cartpole", "env.num_envs=2", "total_steps=600")


def frames(path: Path) -> list[NDArray[np.uint8]]:
    with Image.open(path) as film:
        assert isinstance(film, GifImageFile)
        found = []
        for number in range(film.n_frames):
            film.seek(number)
            found.append(np.asarray(film.convert("RGB")))
        return found


def test_a_film_has_one_picture_more_than_there_are_steps(cartpole: Trained, tmp_path: Path) -> None:
    episode = cartpole.log.episode(3)
    count = record_video(cartpole.env, cartpole.log, episode, tmp_path / "film.gif", every=1)
    shown = frames(tmp_path / "film.gif")
    assert count == len(shown) == episode.length + 1
    assert shown[0].shape == (230, 400, 3)  # 160 of the picture, three lines of 20, 10 of paper
    with Image.open(tmp_path / "film.gif") as film:
        assert film.info["duration"] == 20  # real time: Gymnasium's cart is stepped 50 times a second
    # What the film shows is what the agent saw: pictures drawn from its observations.
    from rlrun.envs.render.cartpole import render_cartpole

    for number, moment in enumerate(replay(cartpole.env, cartpole.log, episode)):
        expected = render_cartpole(float(moment.obs[0]), float(moment.obs[2])).astype(int)
        assert np.abs(shown[number][:160].astype(int) - expected).max() < 40, f"picture {number}"  # few colours


@pytest.mark.parametrize("every", [3, 1000])
def test_fewer_pictures_still_begin_and_end_where_the_episode_does(
    cartpole: Trained, every: int, tmp_path: Path
) -> None:
    episode = cartpole.log.episode(2)
    record_video(cartpole.env, cartpole.log, episode, tmp_path / "all.gif", every=1)
    count = record_video(cartpole.env, cartpole.log, episode, tmp_path / "some.gif", every=every)
    complete, some = frames(tmp_path / "all.gif"), frames(tmp_path / "some.gif")
    chosen = sorted({*range(0, episode.length + 1, every), episode.length})
    assert count == len(some) == len(chosen)
    for picture, step in zip(some, chosen, strict=True):
        assert np.abs(picture.astype(int) - complete[step].astype(int)).max() < 40


def test_a_film_that_would_be_too_large_says_what_would_fit(
    cartpole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = cartpole.log.episode(cartpole.log.best)
    assert episode.length > 12
    monkeypatch.setitem(video_file.MOST_PIXELS, ".gif", 6 * 230 * 400)  # six pictures
    with pytest.raises(UserError, match=r"\b6\b.*--every \d+") as refused:
        record_video(cartpole.env, cartpole.log, episode, tmp_path / "film.gif", every=1)
    enough = int(str(refused.value).split("--every ")[1].split()[0])
    assert record_video(cartpole.env, cartpole.log, episode, tmp_path / "film.gif", every=enough) <= 6
    with pytest.raises(UserError, match=r"\b6\b"):
        record_video(cartpole.env, cartpole.log, episode, tmp_path / "film.gif", every=enough - 1)


def test_an_episode_that_comes_out_differently_is_no_film(cartpole: Trained, tmp_path: Path) -> None:
    log = cartpole.log
    episodes = log.episodes.copy()
    episodes["episode_return"][1] += 1.0
    wrong = EpisodeLog(log.path, log.header, log.actions, episodes, log.restarts)
    with pytest.raises(DifferentReplayError, match="episode 2 "):
        record_video(cartpole.env, wrong, wrong.episode(2), tmp_path / "film.gif", every=1)
    other_actions = EpisodeLog(log.path, log.header, 1 - log.actions, log.episodes, log.restarts)
    with pytest.raises(DifferentReplayError):
        list(replay(cartpole.env, other_actions, other_actions.episode(2)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (("env=gridworld", "env.map=cliff"), (4 * 48 + 1, 12 * 48 + 1)),
        (("env=random_walk",), (96, 336)),
        (("env=pong", "env.max_episode_frames=40", "env.num_threads=1"), (336, 336)),
        (("env=acrobot", "env.max_episode_steps=30"), (500, 500)),
    ],
)
def test_pictures_of_every_kind_of_environment(words: tuple[str, ...], size: tuple[int, int], tmp_path: Path) -> None:
    result = trained(tmp_path, "algo=random", *words, "total_steps=200", "algo.rollout_steps=10")
    episode = result.log.episode(1)
    count = record_video(result.env, result.log, episode, tmp_path / "film.gif", every=1)
    shown = frames(tmp_path / "film.gif")
    assert count == len(shown) == episode.length + 1
    assert {picture.shape for picture in shown} == {(size[0] + 70, size[1], 3)}
    result.env.close()


def test_the_last_picture_is_of_the_end_and_not_of_the_next_beginning(tmp_path: Path) -> None:
    result = trained(tmp_path, "algo=q_learning", "env=gridworld", "total_steps=300", "env.observation=index")
    env, log = result.env, result.log
    pictures = [(env.render_rgb(ended=moment.last), moment) for moment in replay(env, log, log.episode(2))]
    from rlrun.envs.grid_map import load_map
    from rlrun.envs.render.grid import render_rgb

    for picture, moment in pictures:
        assert np.array_equal(picture, render_rgb(load_map("lecture"), int(moment.obs)))
    assert int(pictures[-1][1].obs) in (0, 15)  # the two corners that end an episode


def test_what_draws_no_pictures_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    env = gymnasium_env("Acrobot-v1")
    seeds = np.array([3])
    env.begin_streams(seeds)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pygame", None)
        with pytest.raises(UserError, match=r'pip install "gymnasium\[classic'):
            env.render_rgb(ended=False)
    monkeypatch.setattr(AcrobotEnv, "metadata", {"render_modes": ["ansi"]})
    with pytest.raises(UserError, match="rgb_array"):
        env.begin_streams(seeds)
    env.close()
