"""What the planning agents have in common: a model to ask, a policy that changes, and acting on it."""

from __future__ import annotations

import logging

import torch
from gymnasium import spaces
from torch import Tensor

from rlrun.agents.legality import legal_actions
from rlrun.agents.planning.settling import Settling
from rlrun.errors import DoesNotFitError
from rlrun.numerics.bellman import Bellman, as_policy
from rlrun.numerics.distributions import epsilon_greedy_among_ties, epsilon_greedy_among_ties_probs, tied_best
from rlrun.numerics.tied_actions import Choice, choose, lowered
from rlrun.types import EnvSpec, Int64Array, State, Tables, TabularModel

_LOG = logging.getLogger(__name__)

_MOST_PAIRS = 2**26  # of state and action: 512 MiB for each table of them, and an agent keeps a few


def require_model(spec: EnvSpec) -> TabularModel:
    """The model of an environment whose observations are its states.

    Raises:
        DoesNotFitError: if it has none, or shows something else.
    """
    model = spec.model
    if model is None:
        raise DoesNotFitError(
            f"planning needs a model of every state and outcome, which {spec.name} does not have: choose one with a "
            "finite model (env=gridworld, env=racing_car, env=mdp, or a toy-text id), or an agent that learns "
            f"({'algo=q_learning' if isinstance(spec.observation, spaces.Discrete) else 'algo=dqn, algo=actor_critic'})"
        )
    num_seen = require_states(spec)
    if num_seen != model.num_states:
        raise DoesNotFitError(
            f"a plan needs to know the state, and the {model.num_states} states of {spec.name} look like {num_seen}: "
            "choose an agent that learns"
        )
    return model


def require_states(spec: EnvSpec) -> int:
    """How many states a table needs.

    Raises:
        DoesNotFitError: if observations are no states, or so many that a table would not fit.
    """
    if not isinstance(spec.observation, spaces.Discrete):
        raise DoesNotFitError(
            f"a table needs numbered states, and {spec.name} shows {spec.shown}: set env.observation=index "
            "where there is such a key, or choose an agent with a network (algo=dqn, algo=actor_critic)"
        )
    num_states = int(spec.observation.n)
    if num_states * spec.num_actions > _MOST_PAIRS:
        raise DoesNotFitError(
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
        """An action for each of the states obs [B]; of equally good ones any, by chance."""
        legal = None if self._everything else self.legal.index_select(0, obs)
        return epsilon_greedy_among_ties(q.index_select(0, obs), epsilon, rng, legal)

    def probabilities(self, q: Tensor, obs: Tensor, epsilon: float) -> Tensor:
        """What `epsilon_greedy` draws from: [B, A]."""
        return epsilon_greedy_among_ties_probs(q.index_select(0, obs), epsilon, self.legal.index_select(0, obs))

    def tables(self, q: Tensor, visits: Tensor, epsilon: float) -> Tables:
        """V as the best of Q, Q, and the policy that acts with this epsilon; 0 and none where nothing can be done."""
        return tables_of(q, self.legal, epsilon, visits.cpu().numpy().copy())


def tables_of(q: Tensor, legal: Tensor, epsilon: float, visits: Int64Array | None) -> Tables:
    """What is known from Q of every state, [S, A], to an agent that is evaluated with this epsilon.

    Args:
        q: [S, A].
        legal: [S, A] bool; none where the episode is over.
        epsilon: probability of a random action.
        visits: [S, A] how often each was learned from; None: not counted.
    """
    values = torch.where(legal.any(dim=1), q.amax(dim=1), 0.0)
    shown = q.masked_fill(~legal, -torch.inf)
    policy = epsilon_greedy_among_ties_probs(shown, epsilon, legal)
    columns = [table.cpu().numpy().copy() for table in (values, shown, policy, tied_best(shown) & legal)]
    return Tables(columns[0], columns[1], columns[2], visits, best=columns[3])


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


class Acting:
    """How a planner acts on its values: of tied actions it takes those that get what the values claim.

    Args:
        bellman: of the model.
        gamma: discount factor per step.
    """

    def __init__(self, bellman: Bellman, gamma: float) -> None:
        self._bellman, self._gamma = bellman, gamma
        self._of: Tensor | None = None  # the Q that was chosen by
        self._choice: Choice | None = None

    def choice(self, values: Tensor, q: Tensor) -> Choice:
        """By these values [S] and q [A, S], which are never written to; chosen once for each q."""
        if self._choice is None or self._of is not q:
            self._of, self._choice = q, choose(self._bellman, values, q, self._gamma)
        return self._choice

    def tables(self, values: Tensor, q: Tensor, margin: float) -> Tables:
        """V, Q, the policy that acts, and all actions that are equally good within `margin`."""
        terminal = self._bellman.terminal
        action = as_policy(self.choice(values, q).action, self._bellman.num_actions).masked_fill_(terminal, 0.0)
        best = self._bellman.greedy_set(q, margin)
        columns = [column.T.cpu().numpy().copy() for column in (q, action, best)]
        return Tables(values.cpu().numpy().copy(), columns[0], columns[1], best=columns[2])

    def to_go_on_from(self, values: Tensor, q: Tensor, settling: Settling) -> Tensor | None:
        """Values to sweep on from, although these have settled; None: planning is over, and they are got.

        Raises:
            UserError: if nobody will ever get them.
        """
        if self._gamma < 1.0:
            return None
        if not settling.worth_a_look:
            return values
        kept = self.choice(values, q).kept
        if kept.all():
            return None
        lower = lowered(self._bellman, values, q, kept)
        if lower is None:
            if settling.exact:
                settling.refuse_promises(kept)
            return values
        _LOG.info(
            f"values of {int((lower < values).sum()):,} states put off a cost for ever, which no policy gets: lowered"
        )
        settling.restart()
        return lower


def sample_rows(policy: Tensor, states: Tensor, rng: torch.Generator) -> Tensor:
    """An action for each of the states [B], drawn from policy [S, A]; the lowest where a row is empty."""
    cumulative = policy.index_select(0, states).cumsum(dim=1)  # [B, A]
    draw = torch.rand(len(states), 1, generator=rng, device=policy.device, dtype=policy.dtype)
    total = cumulative[:, -1:]
    return (cumulative <= draw * total).to(torch.int64).sum(dim=1).clamp_(max=policy.shape[1] - 1) * (
        total.squeeze(1) > 0
    )
