"""What the planning agents have in common: a model to ask, a policy that changes, and acting on it."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn.functional import one_hot

from rlrun.distributions import epsilon_greedy, epsilon_greedy_legal, greedy
from rlrun.errors import UserError
from rlrun.legality import legal_actions
from rlrun.types import EnvSpec, Float64Array, State, Tables, TabularModel

_MOST_PAIRS = 2**26  # of state and action: 512 MiB for each table of them, and an agent keeps a few


def require_model(spec: EnvSpec) -> TabularModel:
    """The model of an environment whose observations are its states.

    Raises:
        UserError: if it has none, or shows something else.
    """
    model = spec.model
    if model is None:
        raise UserError(
            f"planning needs a model of every state and outcome, which {spec.name} does not have: choose one with a "
            "finite model (env=gridworld, env=racing_car, env=mdp, or a toy-text id), or an agent that learns"
        )
    num_seen = require_states(spec)
    if num_seen != model.num_states:
        raise UserError(
            f"a plan needs to know the state, and the {model.num_states} states of {spec.name} look like {num_seen}: "
            "choose an agent that learns"
        )
    return model


def require_states(spec: EnvSpec) -> int:
    """How many states a table needs.

    Raises:
        UserError: if observations are no states, or so many that a table would not fit.
    """
    if not isinstance(spec.observation, spaces.Discrete):
        raise UserError(
            f"a table needs numbered states, and {spec.name} shows {spec.shown}: set env.observation=index "
            "where there is such a key, or choose an agent with a network"
        )
    num_states = int(spec.observation.n)
    if num_states * spec.num_actions > _MOST_PAIRS:
        raise UserError(
            f"a table of {num_states:,} states and {spec.num_actions} actions, which {spec.name} needs, would not fit "
            f"(more than {_MOST_PAIRS:,} entries): choose an agent with a network, or env.wrappers=[...] that show less"
        )
    return num_states


class LegalActions:
    """Which actions a table may choose, as far as the environment says so.

    Args:
        spec: the environment's; without a model of what is seen every action is legal everywhere.
        num_states: rows of the table.
        device: where the table lives.

    Raises:
        UserError: if some actions are illegal and observations do not say where.
    """

    def __init__(self, spec: EnvSpec, num_states: int, device: torch.device) -> None:
        legal = torch.ones(num_states, spec.num_actions, dtype=torch.bool)
        known = legal_actions(spec)
        if known is not None:
            legal = torch.from_numpy(known).clone()
        self.legal = legal.to(device)  # [S, A]
        self.playable = self.legal.any(dim=1)  # [S] False: terminal, nothing can be done
        self._everything = bool((self.legal | ~self.playable[:, None]).all())

    def masked(self, q: Tensor) -> Tensor:
        """Q [S, A] with −inf where an action is illegal in a state that goes on."""
        return q.masked_fill(~self.legal & self.playable[:, None], -torch.inf)

    def epsilon_greedy(self, q: Tensor, obs: Tensor, epsilon: float, rng: torch.Generator) -> Tensor:
        """An action for each of the states obs [B]."""
        rows = q.index_select(0, obs)
        if self._everything:
            return epsilon_greedy(rows, epsilon, rng)
        return epsilon_greedy_legal(rows, self.legal.index_select(0, obs), epsilon, rng)

    def probabilities(self, q: Tensor, obs: Tensor, epsilon: float) -> Tensor:
        """What `epsilon_greedy` draws from: [B, A]."""
        rows, legal = q.index_select(0, obs), self.legal.index_select(0, obs)
        share = legal.to(q.dtype) / legal.sum(dim=1, keepdim=True).clamp(min=1)
        return epsilon * share + (1.0 - epsilon) * one_hot(greedy(rows), q.shape[1]).to(q.dtype)

    def tables(self, q: Tensor, visits: Tensor) -> Tables:
        """V as the best of Q, Q, and all greedy actions; 0 and none where nothing can be done."""
        best = q.amax(dim=1, keepdim=True)
        values = torch.where(self.playable, best.squeeze(1), 0.0)
        greedy_set = (q == best) & self.legal
        shown = q.masked_fill(~self.legal, -torch.inf)
        return Tables(
            values.cpu().numpy().copy(),
            shown.cpu().numpy().copy(),
            greedy_policy(greedy_set.T.cpu()),
            visits.cpu().numpy().copy(),
        )


class PolicyWatch:
    """Counts in how many states the set of best actions changes from sweep to sweep; ties are sets, not noise.

    Args:
        best: [A, S] bool, the best actions before the first sweep.
    """

    def __init__(self, best: Tensor) -> None:
        self.sweeps = 0
        self.last_change = 0  # the sweep after which the best actions were last others than before it; 0: none yet
        self._best = best

    def sweep(self, best: Tensor) -> int:
        """Takes note of the best actions [A, S] after one more sweep; returns in how many states they are others."""
        self.sweeps += 1
        count = int((best != self._best).any(dim=0).sum())
        self._best = best
        if count:
            self.last_change = self.sweeps
        return count

    def state_dict(self) -> State:
        """The counters and the policy."""
        return {"sweeps": self.sweeps, "last_change": self.last_change, "best": self._best}

    def load_state_dict(self, state: State) -> None:
        """Goes on counting."""
        self.sweeps, self.last_change = state["sweeps"], state["last_change"]
        self._best = state["best"].to(self._best.device)


def settled_line(watch: PolicyWatch, residual: float) -> str:
    """What a planner says when it stops."""
    return (
        f"values settled in sweep {watch.sweeps:,} (residual {residual:.2g}); the policy changed last in sweep "
        f"{watch.last_change:,}"
    )


def one_best(q: Tensor) -> Tensor:
    """One action of each state that its best value is the value of: q [A, S] to [A, S] bool."""
    return torch.zeros_like(q, dtype=torch.bool).scatter_(0, q.argmax(dim=0, keepdim=True), value=True)


def greedy_policy(best: Float64Array | Tensor) -> Float64Array:
    """The best actions [A, S] as a policy [S, A] that shares equally among ties; 0 where nothing can be done."""
    chosen = np.asarray(best, np.float64).T
    total = chosen.sum(axis=1, keepdims=True)
    policy: Float64Array = np.divide(chosen, total, out=np.zeros_like(chosen), where=total > 0)
    return policy


def sample_rows(policy: Tensor, states: Tensor, rng: torch.Generator) -> Tensor:
    """An action for each of the states [B], drawn from policy [S, A]; the lowest where a row is empty."""
    cumulative = policy.index_select(0, states).cumsum(dim=1)  # [B, A]
    draw = torch.rand(len(states), 1, generator=rng, device=policy.device, dtype=policy.dtype)
    total = cumulative[:, -1:]
    return (cumulative <= draw * total).to(torch.int64).sum(dim=1).clamp_(max=policy.shape[1] - 1) * (
        total.squeeze(1) > 0
    )
