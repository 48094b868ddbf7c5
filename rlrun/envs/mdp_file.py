"""A finite MDP from one YAML file, as docs/mdp_files.md describes:

    states: [cool, warm, overheated] # a state without rows is terminal
    actions: [slow, fast]
    start: cool # or {state: probability}; left out: any state that is not terminal
    looks: {cool: car, warm: car} # optional: states that look alike to the agent
    transitions: # state, action, next state, probability, reward
      - [cool, slow, cool, 1, 1]
      - [cool, fast, warm, 1/2, 2]
      ...

Files are read as YAML nodes instead of Python values: every refusal can name its line, a state called `no` stays a
name, and no tag can make an object.
"""  # noqa: D415 - an example follows

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import yaml
from pydantic import Field

from rlrun.annotations import FILE, Named
from rlrun.envs.tabular import Observation, TabularEnv, differing_looks
from rlrun.errors import UserError, nearest
from rlrun.files import read_text
from rlrun.types import Float64Array, Int64Array, TabularModel

KEYS = ("states", "actions", "start", "looks", "transitions")
FIELDS = ("state", "action", "next state", "probability", "reward")
TOLERANCE = 1e-9  # how far from 1 probabilities may sum

_FRACTION = re.compile(r"([+-]?\d{1,18})\s*/\s*(\d{1,18})")
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FLOAT32_MAX = float(np.finfo(np.float32).max)

_Node: TypeAlias = Any  # a yaml.Node, whose `value` has no type


@dataclass(frozen=True, slots=True, eq=False)
class MdpFile:
    """The contents of a file: the MDP, and what its states look like."""

    model: TabularModel
    looks: Int64Array  # [num_states] numbers from 0, in order of the states
    look_names: tuple[str, ...]  # [looks]


class MdpEnv(TabularEnv):
    """The MDP of a file in B slots.

    Args:
        mdp: a bundled MDP's name, or the path of a YAML file.
        observation: `index` of what the state looks like, or `one_hot` float32. States are numbered as the file lists
            them; where it says that states look alike, so are looks.
        max_episode_steps: time limit (discount 1, last True); None: no limit.
        num_envs: slots that step together.

    Raises:
        UserError: if the MDP does not exist or is malformed.
    """

    def __init__(
        self,
        *,
        mdp: Annotated[str, FILE, Named(tuple(bundled_mdps()))],
        observation: Observation,
        max_episode_steps: Annotated[int, Field(gt=0)] | None,
        num_envs: Annotated[int, Field(gt=0)],
    ) -> None:
        self.file = load_mdp(mdp)
        super().__init__(
            model=self.file.model,
            name=Path(mdp).stem,
            looks=self.file.looks,
            observation=observation,
            max_episode_steps=max_episode_steps,
            num_envs=num_envs,
        )


def bundled_mdps() -> list[str]:
    """Names of the MDPs that come with rlrun."""
    folder = files("rlrun.envs") / "mdps"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_mdp(name: str) -> MdpFile:
    """A bundled MDP by its name, or the user's own file by its path.

    Raises:
        UserError: if there is none, or it is malformed.
    """
    if name in bundled_mdps():
        return parse_mdp((files("rlrun.envs") / "mdps" / f"{name}.yaml").read_text(encoding="utf-8"), name)
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(
            f"env.mdp={name} is neither a bundled MDP ({', '.join(bundled_mdps())}) nor a file; "
            f"nearest: {', '.join(nearest(name, bundled_mdps(), 1))}"
        )
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"env.mdp={name} cannot be read as text: {error}") from error
    return parse_mdp(text, name)


def parse_mdp(text: str, name: str) -> MdpFile:
    """Reads an MDP.

    Raises:
        UserError: naming the file, the line and what would be right there.
    """
    return _Reader(name).read(text)


class _PlainLoader(yaml.SafeLoader):
    """Composes nodes, and refuses aliases, anchors and tags."""

    def compose_node(self, parent: _Node, index: _Node) -> _Node:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        what = None
        if isinstance(event, yaml.AliasEvent):
            what = f"the alias *{event.anchor}"
        elif event.anchor is not None:
            what = f"the anchor &{event.anchor}"
        elif event.tag is not None:
            what = f"the tag {event.tag}"
        if what is not None:
            raise yaml.composer.ComposerError(None, None, f"{what} is not allowed in an MDP file", event.start_mark)
        return super().compose_node(parent, index)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    state: int
    action: int
    next_state: int
    probability: float
    reward: float


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, text: str) -> MdpFile:
        root = self._compose(text)
        keys = self._keys(root)
        states = self._names(keys["states"], "state")
        actions = self._names(keys["actions"], "action")
        rows = self._rows(keys["transitions"], states, actions)
        self._check_sums(rows, tuple(states), tuple(actions))
        initial = self._start(keys.get("start"), states, {row.state for row in rows})
        model = _model(tuple(states), tuple(actions), rows, initial)
        looks, look_names = self._looks(keys.get("looks"), states)
        self._check_looks(keys.get("looks"), model, looks)
        return MdpFile(model, looks, look_names)

    def _error(self, line: int, problem: str) -> UserError:
        return UserError(f"mdp {self._name}, line {line}: {problem}")

    def _compose(self, text: str) -> _Node:
        try:
            root = yaml.compose(text, _PlainLoader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._error(line, f"the character {chr(error.character)!r} is not allowed in YAML") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = " ".join(str(part) for part in (error.context, error.problem) if part)
            raise self._error(mark.line + 1 if mark else 1, " ".join(problem.split())) from error
        except RecursionError as error:
            raise self._error(1, "lists are nested too deeply") from error
        if root is None:
            raise self._error(1, f"the file is empty; an MDP has the keys {', '.join(KEYS)}")
        return root

    def _keys(self, root: _Node) -> dict[str, _Node]:
        if not isinstance(root, yaml.MappingNode):
            raise self._error(_line(root), f"an MDP must be a mapping with the keys {', '.join(KEYS)}")
        keys = {}
        for key, value in self._mapping(root, "key"):
            if key.value not in KEYS:
                close = ", ".join(nearest(key.value, KEYS, 1))
                raise self._error(_line(key), f"there is no key {key.value!r}; nearest: {close}")
            keys[key.value] = value
        for needed in ("states", "actions", "transitions"):
            if needed not in keys:
                raise self._error(_line(root), f"`{needed}` is missing; an MDP has states, actions and transitions")
        return keys

    def _mapping(self, node: _Node, kind: str) -> list[tuple[_Node, _Node]]:
        """The pairs of a mapping, whose keys are distinct names."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            word = self._word(key, kind)
            if word in lines:
                raise self._error(_line(key), f"{kind} {word!r} is a duplicate; first on line {lines[word]}")
            lines[word] = _line(key)
        return list(node.value)

    def _word(self, node: _Node, kind: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            found = _shown(node)
            raise self._error(_line(node), f"a {kind} must be a name, not {found}")
        word: str = node.value
        return word

    def _names(self, node: _Node, kind: str) -> dict[str, int]:
        """Name -> number, in order."""
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self._error(_line(node), f"`{kind}s` must be a list of names, such as [a, b], not {_shown(node)}")
        names: dict[str, int] = {}
        lines: dict[str, int] = {}
        for item in node.value:
            word = self._word(item, kind)
            if word in names:
                raise self._error(_line(item), f"{kind} {word!r} is a duplicate; first on line {lines[word]}")
            names[word] = len(names)
            lines[word] = _line(item)
        return names

    def _named(self, node: _Node, names: Mapping[str, int], kind: str) -> int:
        word = self._word(node, kind)
        if word not in names:
            close = ", ".join(nearest(word, names))
            raise self._error(_line(node), f"there is no {kind} {word!r}; nearest: {close}")
        return names[word]

    def _number(self, node: _Node, what: str) -> float:
        word = node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
        if fraction := _FRACTION.fullmatch(word):
            numerator, denominator = map(int, fraction.groups())
            if denominator == 0:
                raise self._error(_line(node), f"{what} {word} divides by 0")
            return float(Fraction(numerator, denominator))
        if not _DECIMAL.fullmatch(word):
            raise self._error(_line(node), f"{what} must be a number or a fraction such as 1/3, not {_shown(node)}")
        return float(word)

    def _probability(self, node: _Node) -> float:
        number = self._number(node, "a probability")
        if not 0 <= number <= 1:
            raise self._error(_line(node), f"a probability must be from 0 to 1, not {node.value}")
        return number

    def _reward(self, node: _Node) -> float:
        number = self._number(node, "a reward")
        if abs(number) > _FLOAT32_MAX:
            raise self._error(_line(node), f"a reward must fit into float32 (at most 3.4e38), not {node.value}")
        return number

    def _rows(self, node: _Node, states: Mapping[str, int], actions: Mapping[str, int]) -> list[_Row]:
        shape = f"[{', '.join(FIELDS)}]"
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self._error(_line(node), f"`transitions` must be a list of rows {shape}, not {_shown(node)}")
        rows: list[_Row] = []
        seen: dict[tuple[int, int, int, float], int] = {}
        for item in node.value:
            if not isinstance(item, yaml.SequenceNode):
                raise self._error(_line(item), f"a row must be {shape}, not {_shown(item)}")
            if len(item.value) != len(FIELDS):
                raise self._error(_line(item), f"a row must have 5 fields, {shape}, not {len(item.value)}")
            state, action, next_state, probability, reward = item.value
            row = _Row(
                line=_line(item),
                state=self._named(state, states, "state"),
                action=self._named(action, actions, "action"),
                next_state=self._named(next_state, states, "state"),
                probability=self._probability(probability),
                reward=self._reward(reward),
            )
            outcome = (row.state, row.action, row.next_state, row.reward)
            if outcome in seen:
                raise self._error(
                    row.line, f"this row repeats the state, action, next state and reward of line {seen[outcome]}"
                )
            seen[outcome] = row.line
            rows.append(row)
        return rows

    def _check_sums(self, rows: list[_Row], states: tuple[str, ...], actions: tuple[str, ...]) -> None:
        pairs: dict[tuple[int, int], list[_Row]] = {}
        for row in rows:
            pairs.setdefault((row.state, row.action), []).append(row)
        for (state, action), group in pairs.items():
            total = math.fsum(row.probability for row in group)
            if abs(total - 1.0) > TOLERANCE:
                raise self._error(
                    group[0].line,
                    f"the probabilities of ({states[state]}, {actions[action]}) must sum to 1, not {total:.10g}",
                )

    def _start(self, node: _Node | None, states: Mapping[str, int], playable: set[int]) -> Float64Array:
        initial = np.zeros(len(states))
        if node is None:
            initial[list(playable)] = 1.0 / len(playable)
        elif isinstance(node, yaml.MappingNode):
            for key, value in self._mapping(node, "state"):
                initial[self._start_state(key, states, playable)] = self._probability(value)
            total = math.fsum(initial)
            if abs(total - 1.0) > TOLERANCE:
                raise self._error(_line(node), f"the probabilities of `start` must sum to 1, not {total:.10g}")
        elif isinstance(node, yaml.ScalarNode):
            initial[self._start_state(node, states, playable)] = 1.0
        else:
            raise self._error(_line(node), "`start` must be a state, or a mapping {state: probability}, not a list")
        return initial

    def _start_state(self, node: _Node, states: Mapping[str, int], playable: set[int]) -> int:
        state = self._named(node, states, "state")
        if state not in playable:
            raise self._error(_line(node), f"no episode can start in {node.value!r}: it has no rows, so it is terminal")
        return state

    def _looks(self, node: _Node | None, states: Mapping[str, int]) -> tuple[Int64Array, tuple[str, ...]]:
        look_of = {state: state for state in states}
        if node is not None:
            if not isinstance(node, yaml.MappingNode):
                raise self._error(_line(node), f"`looks` must be a mapping {{state: look}}, not {_shown(node)}")
            for key, value in self._mapping(node, "state"):
                self._named(key, states, "state")
                look_of[key.value] = self._word(value, "look")
        numbers = {look: number for number, look in enumerate(dict.fromkeys(look_of.values()))}
        return np.array([numbers[look] for look in look_of.values()], np.int64), tuple(numbers)

    def _check_looks(self, node: _Node | None, model: TabularModel, looks: Int64Array) -> None:
        pair = differing_looks(model.legal, looks)
        if node is None or pair is None:
            return
        names = model.state_names
        # States look alike only if one of them is named here; the message names the line of the later one.
        line = max(_line(key) for key, _ in node.value if key.value in (names[pair[0]], names[pair[1]]))
        first, second = (
            f"{names[state]} ({', '.join(np.array(model.action_names)[model.legal[state]])})" for state in pair
        )
        raise self._error(
            line, f"states that look alike must have the same legal actions, but {first} and {second} do not"
        )


def _line(node: _Node) -> int:
    return int(node.start_mark.line) + 1


def _shown(node: _Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value) if node.value else "nothing"
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if node.value else "an empty list"


def _model(states: tuple[str, ...], actions: tuple[str, ...], rows: list[_Row], initial: Float64Array) -> TabularModel:
    rows = sorted(rows, key=lambda row: (row.state, row.action))
    state = np.array([row.state for row in rows], np.int64)
    action = np.array([row.action for row in rows], np.int64)
    next_state = np.array([row.next_state for row in rows], np.int64)
    legal = np.zeros((len(states), len(actions)), bool)
    legal[state, action] = True
    return TabularModel(
        num_states=len(states),
        num_actions=len(actions),
        state=state,
        action=action,
        next_state=next_state,
        probability=np.array([row.probability for row in rows], np.float64),
        reward=np.array([row.reward for row in rows], np.float64),
        discount=np.asarray(legal.any(axis=1))[next_state].astype(np.float64),
        initial=initial,
        legal=legal,
        state_names=states,
        action_names=actions,
    )
