"""Runs sorted into tasks, and within a task into groups: seeds of one experiment, of one length.

A group is named by its algorithm, and where several groups have the same one, by the keys in which they differ.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlrun.annotations.type_words import shown
from rlrun.reports.scores import ReportedRun
from rlrun.runs.manifest import experiment_hash, flat

# Keys of environments that leave the task as it is: how it is played in parallel, seeded, shown to the agent, and
# what belongs to the evaluation protocol.
_NOT_THE_TASK = frozenset(
    {"num_envs", "reseed_every_steps", "observation", "protocol", "max_episode_frames", "fresh_instances"}
)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one experiment that differ in their seeds."""

    label: str
    runs: Sequence[ReportedRun]  # finished, by seed
    unfinished: Sequence[ReportedRun]


@dataclass(frozen=True, slots=True)
class Task:
    """An environment, and the groups of runs in it."""

    name: str
    groups: Sequence[Group]

    @property
    def env(self) -> Mapping[str, Any]:
        """What the experiments say of the environment."""
        group = self.groups[0]
        return [*group.runs, *group.unfinished][0].env


def task_key(run: ReportedRun) -> str:
    """Equal for runs in the same task."""
    return json.dumps({key: value for key, value in run.env.items() if key not in _NOT_THE_TASK}, sort_keys=True)


def task_name(run: ReportedRun) -> str:
    """The game, the id, or what a person calls the environment."""
    return str(run.env.get("game") or run.env.get("id") or run.label.get("env", "-"))


def tasks_of(runs: Iterable[ReportedRun]) -> list[Task]:
    """Tasks in alphabetical order, and their groups likewise."""
    by_task: dict[str, list[ReportedRun]] = defaultdict(list)
    for run in runs:
        by_task[task_key(run)].append(run)
    by_name: dict[str, list[list[ReportedRun]]] = defaultdict(list)
    for members in by_task.values():
        by_name[task_name(members[0])].append(members)
    tasks = []
    for name, sharing in by_name.items():
        suffixes = _suffixes([{"env": json.loads(task_key(members[0]))} for members in sharing])
        tasks += [
            Task(f"{name} {suffix}".strip(), _groups(members))
            for members, suffix in zip(sharing, suffixes, strict=True)
        ]
    return sorted(tasks, key=lambda task: task.name)


def _groups(runs: Iterable[ReportedRun]) -> list[Group]:
    by_experiment: dict[tuple[str, int], list[ReportedRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.seed):
        by_experiment[experiment_hash(run.manifest["experiment"]), run.manifest["total_steps"]].append(run)
    by_algorithm: dict[str, list[list[ReportedRun]]] = defaultdict(list)
    for members in by_experiment.values():
        by_algorithm[members[0].label.get("algo", "-")].append(members)
    groups = []
    for algorithm, sharing in by_algorithm.items():
        suffixes = _suffixes([_defining(members[0]) for members in sharing])
        for members, suffix in zip(sharing, suffixes, strict=True):
            finished = [run for run in members if run.finished]
            unfinished = [run for run in members if not run.finished]
            groups.append(Group(f"{algorithm} {suffix}".strip(), finished, unfinished))
    return sorted(groups, key=lambda group: group.label)


def _defining(run: ReportedRun) -> dict[str, Any]:
    return {**run.manifest["experiment"], "total_steps": run.manifest["total_steps"]}


def _suffixes(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """`key=value` of what differs between the trees, for each."""
    leaves = [flat(tree) for tree in trees]
    names = dict.fromkeys(name for tree in leaves for name in tree)
    differing = [name for name in names if len({json.dumps(tree.get(name, "not set")) for tree in leaves}) > 1]
    suffixes = [" ".join(_pair(name, tree[name]) for name in differing if name in tree) for tree in leaves]
    hashes = [f"[{experiment_hash(tree)}]" for tree in trees]  # for values too long to be shown whole
    return (
        suffixes if len(set(suffixes)) == len(suffixes) else [f"{a} {b}" for a, b in zip(suffixes, hashes, strict=True)]
    )


def _pair(name: str, value: Any) -> str:
    if name.endswith("_target_"):  # the class of a component, without its module
        return f"{name.removesuffix('._target_')}={str(value).rpartition('.')[2]}"
    return f"{name}={shown(value)}"
