"""Mistakes of the kind people make: every key of every config of ours misspelt, every value wrong in type or range."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlrun.config import catalogue
from rlrun.config.files import config_directory
from rlrun.config.provenance import Setting, read

DOORS = ("plain", "plus", "sweep", "sweep plus", "preset", "experiment")  # the ways in which a key can be given
EDITS = ("drop", "swap", "double", "add")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TABULAR = {"linear_q", "linear_v", "policy_evaluation", "policy_iteration", "q_iteration", "q_learning", "sarsa"} | {
    "td",
    "value_iteration",
}
_NEEDED = {"atari": "env.game=space_invaders", "gym": "env.id=MountainCar-v0", "mdp": "env.mdp=racing_car"}


@dataclass(frozen=True, slots=True)
class Case:
    """One wrong command."""

    file: str  # whose key it is, such as "algo/dqn"
    key: str  # the right one
    given: str  # what is written instead; the same where the value is wrong
    value: str  # as on the command line
    door: str
    base: tuple[str, ...]  # valid overrides around it
    header: str = ""  # what a file needs above it

    @property
    def about(self) -> str:
        """For messages of tests."""
        return f"{self.file}: {self.given}={self.value} ({self.door})"

    def overrides(self, directory: Path) -> tuple[list[str], bool]:
        """The arguments of the command without flags, and whether it is a sweep; writes the file that the door needs.

        Args:
            directory: of config files of one's own, for `--config-dir`.
        """
        if self.door in ("preset", "experiment"):
            base = [word for word in self.base if word.split("=")[0] not in (self.door, self._shadowing)]
            path = directory / self.door / "wrong.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# @package _global_\n{self.header}{self._nested()}", encoding="utf-8")
            return [*base, f"{self.door}=wrong"], False
        sweep = self.door.startswith("sweep")
        plus = "+" if self.door.endswith("plus") else ""
        return [*self.base, f"{plus}{self.given}={self.value}{',7' if sweep else ''}"], sweep

    @property
    def _shadowing(self) -> str:
        """A word for the same key would win over the file; groups must stay chosen."""
        return self.key if "." in self.key else ""

    def _nested(self) -> str:
        *parents, name = self.given.split(".")
        lines = [f"{'  ' * depth}{parent}:" for depth, parent in enumerate(parents)]
        return "\n".join([*lines, f"{'  ' * len(parents)}{name}: {self.value}", ""])


def misspelt(name: str, edit: str, rng: random.Random) -> str:
    """`name` with one letter dropped, swapped with the next, doubled or added."""
    place = rng.randrange(len(name))
    match edit:
        case "drop":
            return name[:place] + name[place + 1 :]
        case "swap":
            place = rng.choice([i for i in range(len(name) - 1) if name[i] != name[i + 1]])
            return name[:place] + name[place + 1] + name[place] + name[place + 2 :]
        case "double":
            return name[: place + 1] + name[place:]
        case _:
            return name[:place] + rng.choice(_LETTERS) + name[place:]


@dataclass(frozen=True, slots=True)
class OurKey:
    """One key of one config file of ours, and overrides with which the file is in use."""

    file: str
    setting: Setting
    base: tuple[str, ...]
    header: str


def our_keys() -> list[OurKey]:
    """Every key of every config file of ours but Hydra's own node and `defaults`, which are no hyperparameters."""
    conf = config_directory()
    found = []
    for path in sorted(conf.rglob("*.yaml")):
        group = path.parent.name if path.parent != conf else ""
        text = path.read_text(encoding="utf-8")
        package = {"": "", "optimizer": "algo.optimizer", "network": "algo.network", "debug_algo": "algo"}.get(
            group, group
        )
        if text.startswith("# @package _global_"):
            package = ""
        header = _defaults(text) if group == "experiment" else ""
        found += [
            OurKey(f"{group}/{path.stem}", setting, _base(group, path.stem), header)
            for setting in read(path, package)
            if setting.key.split(".")[0] != "hydra" and setting.key not in ("network", "env.network")  # names, no keys
        ]
    return found


def misspellings(seed: int = 0) -> Iterator[Case]:
    """Every key of every file, misspelt in four ways; each way through two doors, so that every key meets all doors."""
    rng = random.Random(seed)
    keys = our_keys()
    names = {key.setting.key for key in keys}
    for key in keys:
        parent, dot, name = key.setting.key.rpartition(".")
        doors = rng.sample(DOORS, len(DOORS)) * 2
        for number, edit in enumerate(EDITS):
            given = parent + dot + misspelt(name, edit, rng)
            if given not in names:
                for door in doors[2 * number : 2 * number + 2]:
                    yield Case(key.file, key.setting.key, given, "1", door, key.base, key.header)


def wrong_values(keys: Sequence[OurKey]) -> Iterator[Case]:
    """The values of `keys`, of a wrong type and out of range; the first of each through three doors."""
    for key in keys:
        for number, value in enumerate(_wrong(key)):
            for door in ("plain", "sweep", "experiment") if number == 0 else ("plain",):
                # A value that is overridden is never used: nothing may take precedence over the file.
                weaker = tuple(word for word in key.base if not word.startswith("debug="))
                base = weaker if door == "experiment" else key.base
                yield Case(key.file, key.setting.key, key.setting.key, value, door, base, key.header)


def _wrong(key: OurKey) -> list[str]:
    entry = entry_of(key)
    if entry is None:
        return []
    number = {"number", "integer"}
    wrong = ["{a: 1}"] if entry["type"] != "mapping" else ["3"]
    if entry["type"] in number:
        wrong = ["abc", "true", "nan", "inf", "[1]"]
        wrong += ["1.5"] if entry["type"] == "integer" else []
        if entry["min"] is not None:
            wrong.append(str(entry["min"] - (0 if entry["exclusive_min"] else 1)))
        if entry["max"] is not None:
            wrong.append(str(entry["max"] + (0 if entry["exclusive_max"] else 1)))
    elif entry["type"] == "boolean":
        wrong = ["3", "maybe"]
    elif entry["type"] in ("text", "path"):
        wrong = ["3", "true", "[a]"]
    elif entry["type"] == "choice":
        wrong = ["nosuch", "3"]
    elif entry["type"] == "list":
        wrong = ["3", "[{}]"]
    elif entry["type"] == "object":
        wrong = ["3", "abc"]
    return wrong + ([] if entry["nullable"] else ["null"])


_TOP = {
    "seed": ("integer", 0),
    "total_steps": ("integer", 1),
    "runs_dir": ("text", None),
    "name": ("text", None),
    "fresh": ("boolean", None),
    "log_every_steps": ("integer", 1),
    "record_episodes": ("boolean", None),
}
_SECTIONS = {
    "evaluation": "rlrun.loop.evaluate.EvaluationSettings",
    "checkpoint": "rlrun.runs.checkpoint.CheckpointSettings",
}


def entry_of(key: OurKey) -> dict[str, Any] | None:
    """The catalogue's entry for a key; None for sections and `_target_`."""
    parent, _, name = key.setting.key.rpartition(".")
    if not parent:
        if name not in _TOP:
            return None
        kind, low = _TOP[name]
        bounds = {"min": low, "max": None, "exclusive_min": False, "exclusive_max": False}
        return {"type": kind, "nullable": name == "name", **bounds}
    target = _SECTIONS.get(parent) or _target(parent, key.base)
    known = catalogue.target(target)
    return dict(known.parameters[name].entry) if known is not None and name in known.parameters else None


_COMPOSED: dict[tuple[str, ...], dict[str, Any]] = {}


def _target(section: str, base: tuple[str, ...]) -> object:
    from rlrun.config.compose import load_config

    if base not in _COMPOSED:
        _COMPOSED[base] = load_config(base, [config_directory()]).as_plain()
    inside: Any = _COMPOSED[base]
    for part in section.split("."):
        inside = (inside or {}).get(part)
    return (inside or {}).get("_target_")


def _defaults(text: str) -> str:
    content = yaml.safe_load(text)
    return yaml.safe_dump({"defaults": content["defaults"]}) if "defaults" in content else ""


def _base(group: str, name: str) -> tuple[str, ...]:
    """Valid overrides with which a config file is in use."""
    match group:
        case "algo":
            return (f"algo={name}", "env=gridworld" if name in _TABULAR else "env=cartpole")
        case "env":
            return ("algo=dqn" if name not in _NEEDED else "algo=random", f"env={name}", *_only(name))
        case "network":
            return ("algo=dqn", "env=pong" if name.startswith("n") else "env=cartpole", f"network={name}")
        case "optimizer":
            return ("algo=dqn", "env=cartpole", f"optimizer@algo.optimizer={name}")
        case "device" | "logger":
            return ("algo=random", "env=cartpole", f"{group}={name}")
        case "preset":
            algo = max((a for a in _names("algo") if name.startswith(f"{a}_")), key=len)
            env = name.removeprefix(f"{algo}_")
            return (f"algo={algo}", f"env={'pong' if env == 'atari' else env}", f"preset={name}")
        case "experiment":
            return ("algo=actor_critic" if name.startswith("a2c") else "algo=dqn", "env=pong", f"experiment={name}")
        case "debug" | "debug_algo":
            return ("algo=dqn", "env=cartpole", "debug=short")
    return ("algo=random", "env=cartpole")


def _only(env: str) -> Sequence[str]:
    return (_NEEDED[env],) if env in _NEEDED else ()


def _names(group: str) -> list[str]:
    return [path.stem for path in (config_directory() / group).glob("*.yaml")]
