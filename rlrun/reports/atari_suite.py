"""Human-normalised scores over the 49 games of Mnih et al. 2015 (`rlrun report --suite atari49`)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from rlrun.errors import UserError
from rlrun.reports.cells import number
from rlrun.reports.contents import comparison, final_table
from rlrun.reports.figures import Look
from rlrun.reports.groups import Group, Task
from rlrun.reports.layout import Heading, Paragraph, Part, Table
from rlrun.reports.summaries import summarise
from rlrun.types import Float64Array

HUMAN_LEVEL = 0.75  # of the human score; Mnih et al. 2015
NUM_GAMES = 49


class Reference(NamedTuple):
    """Raw scores of a game, Mnih et al. 2015, Extended Data Table 2."""

    random: float
    human: float
    dqn: float

    def normalised(self, score: float) -> float:
        """0 for random play and 1 for the human's."""
        return (score - self.random) / (self.human - self.random)


class GameScore(NamedTuple):
    """The final policies of a group in a game."""

    game: str
    reference: Reference
    scores: Float64Array  # [runs], raw

    @property
    def normalised(self) -> float:
        """Of the mean over runs."""
        return self.reference.normalised(float(self.scores.mean()))


def references() -> dict[str, Reference]:
    """Of the 49 games, by name."""
    with (files("rlrun.reports") / "data" / "atari_scores.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["dqn_nature"]]
    columns = ("random", "human_nature", "dqn_nature")
    return {row["game"]: Reference(*(float(row[name]) for name in columns)) for row in rows}


def scores_by_label(tasks: Sequence[Task]) -> dict[str, list[GameScore]]:
    """The games that each group has finished runs in.

    Raises:
        UserError: if there are none; if a game is there twice, with different environments; if groups of the same
            label have other settings in one game than in another one.
    """
    known = references()
    task_of: dict[str, Task] = {}
    settings: dict[str, tuple[str, str]] = {}
    found: dict[str, list[GameScore]] = {}
    for task in tasks:
        game = str(task.env.get("game"))
        for group in task.groups:
            if game in known and group.runs:
                other = task_of.setdefault(game, task)
                if other is not task:
                    raise UserError(
                        f"--suite atari49: {game} counts once, and is both {other.name!r} and {task.name!r}; "
                        "report them separately"
                    )
                first, same = settings.setdefault(group.label, (game, _settings(group)))
                if same != _settings(group):
                    raise UserError(
                        f"--suite atari49: runs of {group.label!r} have other settings in {game} than in {first}; "
                        "report them separately"
                    )
                finals = np.array([run.scores.final for run in group.runs])
                found.setdefault(group.label, []).append(GameScore(game, known[game], finals))
    if not found:
        raise UserError(f"--suite atari49: no finished run is in one of its {NUM_GAMES} games")
    return found


def _settings(group: Group) -> str:
    """What makes runs in different games those of one agent: their experiment without the game, and their length."""
    manifest = group.runs[0].manifest
    env = {key: value for key, value in group.runs[0].env.items() if key != "game"}
    return json.dumps([manifest["experiment"] | {"env": env}, manifest["total_steps"]], sort_keys=True)


def suite_parts(tasks: Sequence[Task], looks: Mapping[str, Look]) -> Iterator[Part]:
    """A table of games for each group, and the groups compared over the games that all of them have."""
    by_label = scores_by_label(tasks)
    yield Heading(f"Human-normalised scores, the {NUM_GAMES} games of Mnih et al. 2015")
    yield Paragraph(
        "0% is random play and 100% the human of that paper; at human level is 75% of it or more. Scores are means of "
        "final policies over seeds. The paper's DQN (200 million frames, no-op starts, epsilon .05, episodes of up to "
        "5 minutes) is at human level in 29 of 49 games; compare protocols before comparing numbers."
    )
    for label, scores in by_label.items():
        yield Heading(f"{label}: {at_human_level(scores)}", 3)
        yield _games_table(scores)
    games = sorted(set.intersection(*({score.game for score in scores} for scores in by_label.values())))
    matrices = {label: matrix(scores, games) for label, scores in by_label.items()} if games else {}
    if len(games) > 1:
        yield Heading(f"Over {len(games)} games", 3)
        summaries = {label: summarise(scores, 1.0) for label, scores in matrices.items()}
        yield final_table(summaries, matrices, 1.0)
        yield Paragraph(
            f"Of human-normalised final scores, 1 for the human's, over {', '.join(games)}. Seeds are drawn within "
            "each game; of a game with more seeds than another one the first ones count."
        )
        if len(matrices) > 1:
            yield from comparison(matrices, looks, "atari49", "atari49", "human-normalised")


def at_human_level(scores: Sequence[GameScore]) -> str:
    """`n of m games at human level`, and how many of the suite are missing."""
    reached = sum(score.normalised >= HUMAN_LEVEL for score in scores)
    missing = NUM_GAMES - len(scores)
    rest = f" ({missing} of the {NUM_GAMES} were not run)" if missing else ""
    return f"{reached} of {len(scores)} game{'s' * (len(scores) != 1)} at human level{rest}"


def _games_table(scores: Sequence[GameScore]) -> Table:
    head = ["game", "seeds", "random", "human", "score", "% of human", "at human level", "DQN 2015", "its %"]
    rows = []
    for score in sorted(scores, key=lambda score: -score.normalised):
        reference = score.reference
        shares = [f"{100 * share:.0f}%" for share in (score.normalised, reference.normalised(reference.dqn))]
        raw = [number(value) for value in (reference.random, reference.human, float(score.scores.mean()))]
        reached = "yes" if score.normalised >= HUMAN_LEVEL else "no"
        rows.append([score.game, str(len(score.scores)), *raw, shares[0], reached, number(reference.dqn), shares[1]])
    return Table(head, rows)


def matrix(scores: Sequence[GameScore], games: Sequence[str]) -> Float64Array:
    """Human-normalised scores [runs, games]; of games with more runs than others, the first ones."""
    chosen = {score.game: score for score in scores}
    runs = min(len(chosen[game].scores) for game in games)
    columns = [[chosen[game].reference.normalised(value) for value in chosen[game].scores[:runs]] for game in games]
    return np.array(columns).T
