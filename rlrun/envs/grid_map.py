"""Grid worlds as text files, each of them a finite MDP.

A map file has a header, a blank line, and rows of cells:

    # The book grid of CS188.
    slip: 0.2
    + : exit 1
    - : exit -1

    . . . +
    . # . -
    S . . .

Header lines are `key: value` with the keys of `SETTINGS`, or `X : meaning`, which defines the character X:
`wall`, `start`, `terminal [reward]`, `exit REWARD`, `reward REWARD`, `jump X [REWARD]` (every action leads to the cell
marked X), or `fall X [REWARD]` (stepping in pays and moves to the cell marked X at once). `.` is free, `#` a wall and
`S` a start without a definition; spaces between cells do not count. Lines that begin with `# ` are comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from rlrun.errors import UserError, nearest
from rlrun.files import read_text
from rlrun.types import BoolArray, Float64Array, GridLayout, Int64Array, TabularModel

# Actions, as (row, column) steps: north, east, south, west.
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
ACTION_NAMES = ("north", "east", "south", "west")

SETTINGS: dict[str, float | str] = {
    "step_reward": 0.0,  # paid for every move
    "slip": 0.0,  # probability of moving to one of the two perpendicular sides instead, half each
    "edge_reward": 0.0,  # added for a move off the grid, which stays
    "reward_on": "enter",  # whether a cell's reward is paid on entering or on leaving it
    "off_grid": "stay",  # stay, or illegal: the model does not allow the move
}
_KINDS = ("wall", "start", "terminal", "exit", "reward", "jump", "fall")


@dataclass(frozen=True, slots=True, eq=False)
class GridMap:
    """A grid of cells; a state is a cell, numbered row by row, walls included (nothing leads into one)."""

    name: str
    step_reward: float
    slip: float
    edge_reward: float
    reward_on_leaving: bool
    off_grid_is_illegal: bool
    wall: BoolArray  # [H, W]
    start: BoolArray  # [H, W]
    terminal: BoolArray  # [H, W] the episode is over on entering
    exits: BoolArray  # [H, W] every action pays the cell's reward and ends the episode
    cell_reward: Float64Array  # [H, W]
    jump: Int64Array  # [H, W] where every action leads; -1: an ordinary cell
    fall: Int64Array  # [H, W] where stepping in leads at once; -1: stays
    marks: list[str] = field(default_factory=list)  # rows as written, for drawing

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.wall.shape
        return height, width

    @property
    def num_states(self) -> int:
        """H * W."""
        return self.wall.size

    @property
    def ends(self) -> bool:
        """Whether some cell ends the episode."""
        return bool(self.terminal.any() or self.exits.any())

    def changed(self, *, slip: float | None, step_reward: float | None) -> GridMap:
        """The map with another slip or step reward; None keeps its own."""
        return replace(
            self,
            slip=self.slip if slip is None else slip,
            step_reward=self.step_reward if step_reward is None else step_reward,
        )

    def ending_at_jumps(self) -> GridMap:
        """The episodic variant: leaving a jump cell ends the episode instead of leading elsewhere."""
        jumps = self.jump >= 0
        return replace(self, exits=self.exits | jumps, jump=np.full_like(self.jump, -1))


def bundled_maps() -> list[str]:
    """Names of the maps that come with rlrun."""
    folder = files("rlrun.envs") / "maps"
    return sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir() if entry.name.endswith(".txt"))


def load_map(name: str) -> GridMap:
    """A bundled map by its name, or the user's own file by its path.

    Raises:
        UserError: if there is none, or it is malformed.
    """
    if name in bundled_maps():
        return parse_map((files("rlrun.envs") / "maps" / f"{name}.txt").read_text(encoding="utf-8"), name)
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(
            f"env.map={name} is neither a bundled map ({', '.join(bundled_maps())}) nor a file; "
            f"nearest: {', '.join(nearest(name, bundled_maps(), 1))}"
        )
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"env.map={name} cannot be read as text: {error}") from error
    return parse_map(text, name)


class _MapError(UserError):
    def __init__(self, name: str, line: int, problem: str, column: int | None = None) -> None:
        where = f"line {line}" + ("" if column is None else f", column {column}")
        super().__init__(f"map {name}, {where}: {problem}")


def parse_map(text: str, name: str) -> GridMap:
    """Reads a map.

    Raises:
        UserError: naming the map, the line and what would be right there.
    """
    lines = text.expandtabs().split("\n")
    meanings: dict[str, tuple[int, list[str]]] = {"#": (0, ["wall"]), "S": (0, ["start"]), ".": (0, [])}
    settings: dict[str, float | str] = dict(SETTINGS)
    number = _read_header(lines, name, meanings, settings)
    rows, first = _read_rows(lines, number, name)
    grid = np.array([list(row) for row in rows])
    for row_number, row in enumerate(rows):
        for column, mark in enumerate(row):
            if mark not in meanings:
                raise _MapError(name, first + row_number, f"{mark!r} is not defined in the header", column + 1)
    return _build(name, grid, rows, meanings, settings)


def _read_header(
    lines: list[str], name: str, meanings: dict[str, tuple[int, list[str]]], settings: dict[str, float | str]
) -> int:
    """Fills `meanings` and `settings`; returns the index of the line after the header."""
    for index, line in enumerate(lines):
        if not line.strip():
            if index:
                return index + 1
            continue
        if line.startswith("# "):
            continue
        key, colon, value = line.partition(":")
        key = key.strip()
        if not colon:
            if index == 0 or all(earlier.startswith("# ") for earlier in lines[:index]):
                return index  # no header at all
            raise _MapError(name, index + 1, f"expected `key: value` or a blank line before the cells, found {line!r}")
        if len(key) == 1:
            meanings[key] = (index + 1, _meaning(value.split(), name, index + 1))
        elif key in SETTINGS:
            settings[key] = _setting(key, value.strip(), name, index + 1)
        else:
            raise _MapError(name, index + 1, f"unknown key {key!r}; nearest: {', '.join(nearest(key, SETTINGS))}")
    raise _MapError(name, len(lines), "there are no cells; they come after a blank line")


def _meaning(words: list[str], name: str, line: int) -> list[str]:
    if not words or words[0] not in _KINDS:
        raise _MapError(name, line, f"a cell must mean one of {', '.join(_KINDS)}, not {' '.join(words)!r}")
    kind, rest = words[0], words[1:]
    needs_target = kind in ("jump", "fall")
    rewards = rest[1:] if needs_target else rest
    if needs_target and (not rest or len(rest[0]) != 1):
        raise _MapError(name, line, f"`{kind}` needs the character of the cell that it leads to")
    least = 1 if kind in ("exit", "reward") else 0
    most = 0 if kind in ("wall", "start") else 1
    if not least <= len(rewards) <= most:
        raise _MapError(name, line, f"`{kind}` takes {'a' if least else 'at most one' if most else 'no'} reward")
    for reward in rewards:
        _number(reward, name, line)
    return words


def _number(text: str, name: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _MapError(name, line, f"{text!r} is not a number") from None
    if not np.isfinite(value):
        raise _MapError(name, line, f"{text} is not finite")
    return value


def _setting(key: str, value: str, name: str, line: int) -> float | str:
    choices = {"reward_on": ("enter", "leave"), "off_grid": ("stay", "illegal")}
    if key in choices:
        if value not in choices[key]:
            raise _MapError(name, line, f"{key} must be {' or '.join(choices[key])}, not {value!r}")
        return value
    number = _number(value, name, line)
    if key == "slip" and not 0 <= number <= 1:
        raise _MapError(name, line, f"slip must be a probability from 0 to 1, not {value}")
    return number


def _read_rows(lines: list[str], start: int, name: str) -> tuple[list[str], int]:
    """The rows without the spaces in them, and the number of the first line of cells."""
    numbered = [(index + 1, line.replace(" ", "")) for index, line in enumerate(lines[start:], start)]
    while numbered and not numbered[-1][1]:
        numbered.pop()
    while numbered and not numbered[0][1]:
        numbered.pop(0)
    if not numbered:
        raise _MapError(name, len(lines), "there are no cells; they come after a blank line")
    width = len(numbered[0][1])
    for line, row in numbered:
        if len(row) != width:
            raise _MapError(name, line, f"this row has {len(row)} cells, but the first one has {width}")
    return [row for _, row in numbered], numbered[0][0]


def _build(
    name: str,
    grid: np.ndarray[tuple[int, ...], np.dtype[np.str_]],
    rows: list[str],
    meanings: dict[str, tuple[int, list[str]]],
    settings: dict[str, float | str],
) -> GridMap:
    reward = np.zeros(grid.shape)
    kinds = {kind: np.zeros(grid.shape, bool) for kind in _KINDS}
    targets = {kind: np.full(grid.shape, -1, np.int64) for kind in ("jump", "fall")}
    for mark, (line, words) in meanings.items():
        if not words:
            continue
        here = grid == mark
        kinds[words[0]] |= here
        rewards = words[2:] if words[0] in targets else words[1:]
        if rewards:
            reward[here] = float(rewards[0])
        if words[0] in targets and here.any():
            goal = np.flatnonzero(grid == words[1])
            if len(goal) != 1:
                raise _MapError(name, line, f"{words[1]!r} must mark exactly one cell, not {len(goal)}")
            targets[words[0]][here] = goal[0]
    free = ~kinds["wall"] & ~kinds["terminal"] & ~kinds["fall"]  # an agent never stays where it falls
    start = kinds["start"] if kinds["start"].any() else free
    if not start.any():
        raise UserError(f"map {name}: there is no cell to start from; mark one with S")
    return GridMap(
        name=name,
        step_reward=float(settings["step_reward"]),
        slip=float(settings["slip"]),
        edge_reward=float(settings["edge_reward"]),
        reward_on_leaving=settings["reward_on"] == "leave",
        off_grid_is_illegal=settings["off_grid"] == "illegal",
        wall=kinds["wall"],
        start=start,
        terminal=kinds["terminal"],
        exits=kinds["exit"],
        cell_reward=reward,
        jump=targets["jump"],
        fall=targets["fall"],
        marks=rows,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What each of the four directions does in each state, before slipping; arrays [S, 4]."""

    next_state: Int64Array
    reward: Float64Array
    ends: BoolArray
    legal: BoolArray


def outcomes(grid: GridMap) -> Outcomes:
    """The deterministic consequences of moving, as the map defines them."""
    height, width = grid.shape
    state = np.arange(grid.num_states)[:, None]
    row, column = state // width + MOVES[:, 0], state % width + MOVES[:, 1]  # [S, 4]
    off_grid = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    target = np.where(off_grid, state, row * width + column)
    target = np.where(grid.wall.reshape(-1)[target], state, target)

    jump, fall = grid.jump.reshape(-1)[state], grid.fall.reshape(-1)
    cell_reward = grid.cell_reward.reshape(-1)
    exits = np.broadcast_to(grid.exits.reshape(-1)[state], target.shape)
    jumps = np.broadcast_to(jump >= 0, target.shape)
    moved = np.where(jumps, jump, target)
    leaving = cell_reward[state]
    on_entering = np.where((grid.jump >= 0) | grid.exits, 0.0, grid.cell_reward).reshape(-1)  # those pay on leaving
    entering = np.where(grid.reward_on_leaving, leaving, on_entering[moved])
    reward = grid.step_reward + entering + grid.edge_reward * off_grid
    # A jump or an exit pays its own reward alone, whatever the direction.
    reward = np.where(jumps | exits, leaving + np.where(grid.reward_on_leaving & jumps, grid.step_reward, 0.0), reward)
    next_state = np.where(fall[moved] >= 0, fall[moved], moved)
    next_state = np.where(exits, state, next_state)
    ends = exits | grid.terminal.reshape(-1)[next_state]
    playable = ~(grid.wall | grid.terminal).reshape(-1)[:, None]
    legal = np.broadcast_to(playable, target.shape) & ~(off_grid & grid.off_grid_is_illegal & ~jumps & ~exits)
    return Outcomes(next_state, reward, ends, legal)


def tabular_model(grid: GridMap) -> TabularModel:
    """The map as a sparse MDP: at most three outcomes for each (state, action)."""
    what = outcomes(grid)
    num_states = grid.num_states
    sides = [(0, 1.0 - grid.slip), (1, grid.slip / 2), (3, grid.slip / 2)]
    parts = [(turn, weight) for turn, weight in sides if weight > 0]
    states, actions = np.nonzero(what.legal)
    state = np.concatenate([states for _ in parts])
    action = np.concatenate([actions for _ in parts])
    direction = np.concatenate([(actions + turn) % 4 for turn, _ in parts])
    probability = np.concatenate([np.full(len(states), weight) for _, weight in parts])
    order = np.lexsort((action, state))
    state, action, direction = state[order], action[order], direction[order]
    initial = grid.start.reshape(-1) / grid.start.sum()
    return TabularModel(
        num_states=num_states,
        num_actions=4,
        state=state,
        action=action,
        next_state=what.next_state[state, direction],
        probability=probability[order],
        reward=what.reward[state, direction],
        discount=np.where(what.ends[state, direction], 0.0, 1.0),
        initial=initial,
        legal=what.legal,
        action_names=ACTION_NAMES,
        layout=GridLayout(grid.wall, grid.terminal, tuple(grid.marks)),
    )
