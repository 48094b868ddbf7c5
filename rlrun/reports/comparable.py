"""Whether runs may be compared: the same evaluation protocol, environment version and code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlrun.annotations.type_words import shown
from rlrun.errors import UserError
from rlrun.reports.groups import task_key
from rlrun.reports.scores import ReportedRun
from rlrun.runs.manifest import facts

CODE, EPISODES, ACTIONS = "code", "evaluation.episodes", "actions in evaluation"
_PACKAGES = {"rlrun.envs.atari.Atari": ("ale-py",)}  # what else an environment's numbers depend on, by its class
_GYMNASIUM = ("gymnasium",)


class Fact(NamedTuple):
    """Something that must be equal in all runs of a scope."""

    scope: str  # runs of the same scope are compared with one another
    name: str
    value: Any


class Difference(NamedTuple):
    """Runs that differ in a fact: the first run found with each value."""

    name: str
    values: Mapping[str, Path]

    def __str__(self) -> str:
        return f"{self.name}: " + ", ".join(f"{value} in {path}" for value, path in self.values.items())


def check_comparable(runs: Sequence[ReportedRun], *, mixed_code: bool) -> Difference | None:
    """Makes sure that runs may be pooled; returns by how much their code differs, if that is allowed.

    Raises:
        UserError: naming what differs, and in which runs.
    """
    differences = list(_differences(runs))
    mixed = next((found for found in differences if found.name == CODE), None)
    if mixed is not None and not mixed_code:
        raise UserError(f"these runs cannot be compared, {mixed}; --mixed-code allows it, and the page says so")
    for found in differences:
        if found.name != CODE:
            raise UserError(f"these runs cannot be compared, {found}; report them separately")
    return mixed


def protocol_of(run: ReportedRun) -> Mapping[str, Any]:
    """How the policies of a run are evaluated, by the name of what decides it."""
    settings = run.manifest.get("settings", {})
    frames = settings.get("evaluation.max_episode_frames") or run.env.get("max_episode_frames")
    found = {EPISODES: settings.get(EPISODES)}
    if frames is not None:
        found["the frame limit of an evaluation"] = frames
    if "protocol" in run.manifest["evaluation"]:
        found["env.protocol"] = run.manifest["evaluation"]["protocol"]
    return found | {ACTIONS: _actions(run)}


def _actions(run: ReportedRun) -> str:
    """How actions are chosen in an evaluation: epsilon plays unless they are sampled."""
    policy = run.manifest["experiment"]["algo"].get("evaluation_policy")
    epsilon = run.manifest.get("settings", {}).get("evaluation.epsilon")
    if policy is None:
        return f"evaluation.epsilon={shown(epsilon)}"
    return f"{policy}, evaluation.epsilon={shown(epsilon)}" if epsilon and policy != "sampled" else str(policy)


def code_of(run: ReportedRun) -> str:
    """The digest of the code that trained a run, in short; several if its sessions differ."""
    return " then ".join(str(value or "unknown")[:10] for value in over_sessions(run.manifest, "code_digest"))


def over_sessions(manifest: Mapping[str, Any], name: str) -> list[Any]:
    """The different values of a fact over the sessions of a run, in order."""
    count = len(manifest.get("sessions", []))
    return list(dict.fromkeys(facts(manifest, number).get(name) for number in range(count or 1)))


def _facts(run: ReportedRun) -> Iterator[Fact]:
    target = str(run.env["_target_"])
    yield Fact("", CODE, code_of(run))
    for package in _PACKAGES.get(target, _GYMNASIUM if target.startswith("rlrun.envs.gymnasium") else ()):
        versions = over_sessions(run.manifest, f"versions.{package}")
        yield Fact(target, f"the version of {package}", " then ".join(str(version) for version in versions))
    for name, value in protocol_of(run).items():
        yield Fact(_scope(run, name), name, shown(value))


def _scope(run: ReportedRun, name: str) -> str:
    """Games are one suite under one protocol; the number of episodes may fit the game, and actions the agent."""
    if name == EPISODES:
        return task_key(run)
    return str(run.env["_target_"]) + (str(run.manifest["experiment"]["algo"]["_target_"]) if name == ACTIONS else "")


def _differences(runs: Iterable[ReportedRun]) -> Iterator[Difference]:
    found: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for run in runs:
        for fact in _facts(run):
            found[fact.scope, fact.name].setdefault(fact.value, run.directory)
    yield from (Difference(name, values) for (_, name), values in found.items() if len(values) > 1)
