"""Whether two checkouts learn the same numbers: 14 short runs in each, compared bit for bit.

    .venv/bin/python benchmarks/same_numbers.py --before OTHER_CHECKOUT [--only PAIR ...]

A checkout is a directory with `.venv/bin/rlrun` in it; `--before` is the older one, and the other is this one. Rows of
metrics, returns of the last evaluation and what the agent's last checkpoint holds are compared. Bits differ between
instruction sets and library versions, so both sides run here and now, and nothing is stored. The status is 1 if a pair
differs that was not expected to, or the reverse. Keys and metrics that were renamed since stand in the tables below.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlrun.runs.state_file import leaves, read_state

ROOT = Path(__file__).resolve().parent.parent
KEYS_BEFORE: dict[str, str] = {}  # argument today -> argument in the older checkout (c2a177a or later)
METRICS_BEFORE: dict[str, str] = {}  # metric today -> metric in the older checkout
STATE_BEFORE = {  # place in an agent's state today -> place in the older checkout
    "convergence/converged_sweeps": "settling/settled_sweeps",
    **{
        f"convergence/{name}": f"settling/{name}" for name in ("exact", "least", "length", "residual", "seen", "waited")
    },
    **{name: f"watch/{name}" for name in ("best", "last_change", "sweeps")},
}
# The one class of Q-learning and Sarsa keeps a step whose next action is not known yet; value iteration keeps Q.
ONE_SIDED_STATE = frozenset({"waits", "pair", "reward", "discount", "q"})
ADDED_METRICS = frozenset(
    {"env_steps", "eval/greedy_return", "eval/discounted_return", "grad/norm"}
)  # that the older checkout does not know

COMMON = (
    "device=cpu",
    "device.num_threads=1",
    "logger=none",
    "name=same",
    "runs_dir=runs",
    "seed=3",
    "evaluation.episodes=2",
    "evaluation.num_envs=2",
    "evaluation.every_steps=null",
)
SMALL_REPLAY = (
    "algo.replay.learning_starts_steps=150",
    "algo.replay.capacity_steps=600",
    "algo.replay.batch_size=8",
    "algo.replay.ratio=2",
)
PONG = ("env=pong", "network=nips2013", "env.num_threads=1", "env.max_episode_frames=240", "log_every_steps=100")
GREEDY = "algo.evaluation_policy=greedy"
RESUMED = "resumed"  # in the name of a pair that is stopped half way and resumed
PAIRS: dict[str, tuple[str, ...]] = {
    "dqn cartpole": ("algo=dqn", "env=cartpole", *SMALL_REPLAY, "total_steps=1200", "log_every_steps=100"),
    "dqn acrobot, resumed": ("algo=dqn", "env=acrobot", *SMALL_REPLAY, "total_steps=1000", "log_every_steps=100"),
    "dqn pong, sticky actions": (
        *("algo=dqn", *PONG, *SMALL_REPLAY, "env.protocol=machado2018", "env.num_envs=3", "total_steps=600"),
    ),
    "dqn pong, replay on disk": ("algo=dqn", *PONG, *SMALL_REPLAY, "algo.replay.storage=disk", "total_steps=400"),
    "actor_critic cartpole, gae": ("algo=actor_critic", "env=cartpole", GREEDY, "total_steps=4000"),
    "actor_critic cartpole, resumed": (
        *("algo=actor_critic", "env=cartpole", "preset=null", "env.num_envs=4", GREEDY, "total_steps=2000"),
    ),
    "actor_critic pong, n_step": ("algo=actor_critic", *PONG, "env.num_envs=4", GREEDY, "total_steps=600"),
    "reinforce cartpole": ("algo=reinforce", "env=cartpole", "algo.normalize=false", GREEDY, "total_steps=3000"),
    "reinforce short_corridor": (
        *("algo=reinforce", "env=short_corridor", "env.num_envs=4", "algo.gamma=1", GREEDY, "total_steps=2000"),
    ),
    "q_learning taxi": ("algo=q_learning", "env=taxi", "total_steps=20000"),
    "sarsa cliffwalking, resumed": ("algo=sarsa", "env=cliffwalking", "total_steps=8000"),
    "linear_q mountaincar": ("algo=linear_q", "env=mountaincar", "total_steps=3000"),
    "td random_walk": ("algo=td", "env=random_walk", "total_steps=2000"),
    "value_iteration gridworld": ("algo=value_iteration", "env=gridworld", "env.map=book"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the older checkout")
    parser.add_argument("--only", nargs="+", choices=list(PAIRS), metavar="PAIR", help=", ".join(PAIRS))
    parser.add_argument("--differs", nargs="*", choices=list(PAIRS), default=[], help="pairs that are to differ")
    chosen = parser.parse_args()
    unexpected = 0
    for name in chosen.only or PAIRS:
        with tempfile.TemporaryDirectory() as scratch:
            before = run(chosen.before.resolve(), Path(scratch) / "before", name, KEYS_BEFORE)
            now = run(ROOT, Path(scratch) / "now", name, {})
            difference = next(differences(before, now), None)
        unexpected += (difference is not None) != (name in chosen.differs)
        print(f"{name:32} {'equal' if difference is None else difference}", flush=True)
    print(f"{unexpected} of {len(chosen.only or PAIRS)} are not as expected")
    return 1 if unexpected else 0


def run(checkout: Path, folder: Path, name: str, renamed: Mapping[str, str]) -> Path:
    """Runs a pair in a checkout; returns the run's directory."""
    folder.mkdir()
    arguments = [_renamed(argument, renamed) for argument in (*PAIRS[name], *COMMON)]
    if RESUMED in name:
        steps = next(int(argument.partition("=")[2]) for argument in arguments if argument.startswith("total_steps="))
        _call(checkout, folder, [*arguments, f"total_steps={steps // 2}"])
    _call(checkout, folder, arguments)
    (directory,) = folder.glob("runs/*/*/same/seed3")
    return directory


def _renamed(argument: str, renamed: Mapping[str, str]) -> str:
    key, sign, value = argument.partition("=")
    return renamed.get(key, key) + sign + value


def _call(checkout: Path, folder: Path, arguments: Sequence[str]) -> None:
    last = {argument.partition("=")[0]: argument for argument in arguments}  # a key is given once
    finished = subprocess.run(
        [checkout / ".venv/bin/rlrun", *last.values()],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        sys.exit(f"in {checkout.name}: rlrun {' '.join(last.values())}\n{finished.stderr}")


def differences(before: Path, now: Path) -> Iterator[str]:
    """What differs between two runs' directories, as text."""
    old_rows, new_rows = (
        [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
        for directory in (before, now)
    )
    if len(old_rows) != len(new_rows):
        yield f"{len(old_rows)} and {len(new_rows)} rows of metrics"
    for old, row in zip(old_rows, new_rows, strict=False):
        new = {METRICS_BEFORE.get(key, key): value for key, value in row.items()}
        for key in old | {key: value for key, value in new.items() if key not in ADDED_METRICS}:
            if old.get(key) == new.get(key):
                continue
            yield f"step {old.get('step')}: {key} {old.get(key)} and {new.get(key)}"
    old_result, new_result = (json.loads((each / "result.json").read_text()) for each in (before, now))
    if old_result["eval/returns"] != new_result["eval/returns"]:
        yield f"evaluation {old_result['eval/returns']} and {new_result['eval/returns']}"
    old_state, today = digests(before), digests(now)
    new_state = {place if place in old_state else STATE_BEFORE.get(place, place): today[place] for place in today}
    for place in sorted(old_state.keys() & new_state.keys()):
        if old_state[place] != new_state[place]:
            yield f"the last checkpoint's {place}"
    for place in sorted(old_state.keys() ^ new_state.keys()):
        if not any(part in ONE_SIDED_STATE for part in place.split("/")):
            yield f"the last checkpoint's {place}, which the other checkout does not have"


def digests(directory: Path) -> dict[str, str]:
    """A digest of every array and number that the agent of the newest checkpoint holds, by its place."""
    newest = max((directory / "checkpoints").glob("step-*.state"), key=lambda path: int(path.stem.split("-")[1]))
    state = read_state(newest)["state"]["agent"]
    return {"/".join(map(str, path)): _digest(leaf) for path, leaf in leaves(state)}


def _digest(leaf: Any) -> str:
    array = np.asarray(leaf.detach().cpu() if isinstance(leaf, torch.Tensor) else leaf)
    content = repr(leaf).encode() if array.dtype == object else array.tobytes()
    return hashlib.blake2b(str(array.dtype).encode() + content, digest_size=16).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
