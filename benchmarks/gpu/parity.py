"""Whether recorded updates are the plain ones on this GPU, and the plain ones a CPU's; run by `benchmarks/gpu.sh`.

Each check is a row of `results/gpu_parity.csv`, written as it comes: the largest difference that was seen, and what may
be. All is done with deterministic kernels. Ends with status 1 if one of them is not met.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from cases import Case, actor_critic_case, dqn_cases
from parts import Chosen, Clock, Parts, chosen
from provenance import write_rows
from torch import Tensor, nn

from rlrun.agents.dqn import DQN
from rlrun.agents.rewards import clip_reward
from rlrun.compute.captured import Captured
from rlrun.compute.execution import Compile, Precision
from rlrun.compute.transfer import WholeArrays, upload_to
from rlrun.loop.collect import Collector
from rlrun.protocols import Agent
from rlrun.runs.checkpoint import Checkpoints
from rlrun.runs.state_comparison import first_difference
from rlrun.types import Rollout

_FLOAT64 = 1e-6  # between devices, after 100 updates
_FLOAT32 = 1e-3  # between devices, after one update
_KEY = ("case", "check", "precision", "updates", "what", "gpu")
_FIELDS = ("obs_sequence", "final_obs", "action", "reward", "discount", "last")


class _AsDouble(nn.Module):
    """What follows in float64."""

    def __init__(self, encode: nn.Module) -> None:
        super().__init__()
        self._encode = encode

    def forward(self, obs: Tensor) -> Tensor:
        """As the encoder, in float64."""
        return cast(Tensor, self._encode(obs)).double()


def in_float64(agent: DQN) -> DQN:
    """The agent with networks, losses and optimizer in float64."""
    for network in {agent._q, agent._target}:
        network.double()
        trunk = next(network.children())
        trunk._modules["0"] = _AsDouble(next(trunk.children()))
    agent._optimizer.state.clear()
    return agent


def after_updates(agent: DQN, rollouts: Sequence[Rollout], updates: int) -> dict[str, list[Tensor]]:
    """Parameters, gradients, optimizer state, metrics and Q-values after so many updates, on the CPU in float64."""
    for rollout in rollouts:
        agent._replay.extend(clip_reward(rollout, agent._reward_clip))
    metrics: Mapping[str, Tensor] = {}
    for batch, next_q in agent._batches(updates):
        metrics = agent._update(batch, next_q)
    parameters = list(agent._q.parameters())
    states = [value for state in agent._optimizer.state.values() for value in state.values()]
    found = {
        "parameters": [parameter.detach() for parameter in parameters],
        "gradients": [cast(Tensor, parameter.grad) for parameter in parameters],
        "optimizer": states,
        "metrics": list(metrics.values()),
        "Q of the last observations": [agent._q_to_act_on(rollouts[-1].obs_sequence[-1]).detach()],
    }
    return {name: [tensor.cpu().double() for tensor in tensors] for name, tensors in found.items()}


def largest_difference(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The largest absolute difference; NaN counts as infinite."""
    differences = torch.stack([(one - other).abs().max() for one, other in zip(ones, others, strict=True)])
    return float(differences.nan_to_num(nan=torch.inf).max())


def moved_to(rollout: Rollout, device: torch.device) -> Rollout:
    names = (*_FIELDS, "mask")
    return Rollout(
        **{name: getattr(rollout, name).to(device) for name in names},
        extras={},
        episodes=rollout.episodes,
        num_steps=rollout.num_steps,
    )


def recorded_after_updates(
    parts: Parts, precision: Precision, rollouts: Sequence[Rollout], updates: int, *, wide: bool = False
) -> tuple[dict[str, list[Tensor]], bool]:
    """The same with recordings, and whether there were any: of updates, and of the network that acts."""
    recorder = parts.recorder()
    agent = parts.agent("graphs", precision, recorder=recorder)
    found = after_updates(in_float64(agent) if wide else agent, rollouts, updates)
    return found, isinstance(agent._update, Captured) and recorder.made == 2


def updates_agree(parts: Parts, rollouts: Sequence[Rollout], updates: int) -> Iterator[dict[str, object]]:
    """Recorded against plain, in float32 (bits), bfloat16 (bits) and float64; plain against the CPU."""
    cpu = torch.device("cpu")
    plains = {}
    precisions: list[Precision] = ["float32", "bfloat16"]
    for precision in precisions:
        plain = plains[precision] = after_updates(parts.agent("none", precision), rollouts, updates)
        recorded, was_recorded = recorded_after_updates(parts, precision, rollouts, updates)
        yield asked("updates and acting were recorded", precision, updates, was_recorded)
        for name in plain:
            yield row(
                "recorded = plain", precision, updates, name, largest_difference(plain[name], recorded[name]), 0.0
            )
    for name in ("gradients", "Q of the last observations"):
        other = largest_difference(plains["float32"][name], plains["bfloat16"][name])
        yield asked("bfloat16 is not float32", "bfloat16", updates, 0 < other < torch.inf, name)
    there = [moved_to(rollout, cpu) for rollout in rollouts]
    wide = after_updates(in_float64(parts.agent("none")), rollouts, updates)
    recorded, was_recorded = recorded_after_updates(parts, "float32", rollouts, updates, wide=True)
    yield asked("updates and acting were recorded", "float64", updates, was_recorded)
    of_cpu = after_updates(in_float64(parts.agent("none", device=cpu)), there, updates)
    for name in wide:
        yield row(
            "recorded = plain", "float64", updates, name, largest_difference(wide[name], recorded[name]), _FLOAT64
        )
        yield row("plain = CPU", "float64", updates, name, largest_difference(wide[name], of_cpu[name]), _FLOAT64)
    if updates == 1:
        on_cpu = after_updates(parts.agent("none", device=cpu), there, 1)
        for name in ("gradients", "Q of the last observations"):
            different = largest_difference(plains["float32"][name], on_cpu[name])
            yield row("plain = CPU", "float32", 1, name, different, _FLOAT32)


def row(check: str, precision: str, updates: int, what: str, difference: float, allowed: float) -> dict[str, object]:
    return {
        "check": check,
        "precision": precision,
        "updates": updates,
        "what": what,
        "largest_difference": difference,
        "allowed": allowed,
        "met": difference <= allowed,
    }


def asked(check: str, precision: str, updates: int, met: bool, what: str = "-") -> dict[str, object]:
    """A row of what is so or is not."""
    return row(check, precision, updates, what, float(not met), 0.0)


def alike(check: str, count: int, one: object, other: object) -> dict[str, object]:
    """A row of two states; it names the first difference."""
    difference = first_difference(one, other)
    return row(check, "float32", count, difference or "everything", float(difference is not None), 0.0)


def turns(agent: Agent, collector: Collector, count: int) -> int:
    """Collects and learns so often; how many episodes ended."""
    ended = 0
    for _ in range(count):
        rollout = collector.collect(agent)
        agent.learn(rollout)
        ended += int(cast(Any, rollout.ends).sum())
    return ended


def state_of(agent: Agent, collector: Collector) -> dict[str, Any]:
    return {"agent": agent.state_dict(), "collector": collector.state_dict()}


def recordings_of(agent: Any) -> dict[Any, object]:
    """Of its updates, by the shapes of inputs."""
    updates = agent._update
    return dict(updates._recordings) if isinstance(updates, Captured) else {}


def resumes_exactly(parts: Parts, count: int) -> Iterator[dict[str, object]]:
    """Training with recordings, saved to a file half way and loaded by an agent that has recordings of its own."""
    agent = parts.agent("graphs")
    collector = parts.collector(agent)
    turns(agent, collector, count)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), {}, 1)
        checkpoints.save(1, state_of(agent, collector))
        turns(agent, collector, count)
        recorder = parts.recorder()
        resumed = parts.agent("graphs", recorder=recorder)
        turns(resumed, parts.collector(resumed), count)
        own = recordings_of(resumed)
        other = parts.collector(resumed)
        saved = checkpoints.newest_sound(print, lambda state: None)
        assert saved is not None
        other.load_state_dict(saved["collector"])
        resumed.load_state_dict(saved["agent"])
        made = recorder.made
        turns(resumed, other, count)
    yield asked("recorded before it loads", "float32", count, len(own) > 0)
    anew = {key for key, recording in recordings_of(resumed).items() if recording is not own.get(key)}
    yield asked("recorded anew after loading", "float32", count, len(anew) > 0 and recorder.made > made)
    yield alike("resumed = not interrupted", count, state_of(agent, collector), state_of(resumed, other))


def trainings_agree(parts: Parts, count: int, recordings: int) -> Iterator[dict[str, object]]:
    """Whole trainings, environment and all: with recordings (at least so many) and without."""
    states, recorder, ended = [], parts.recorder(), 0
    modes: list[Compile] = ["none", "graphs"]
    for how in modes:
        agent = parts.agent(how, recorder=recorder if how == "graphs" else None)
        collector = parts.collector(agent)
        ended = turns(agent, collector, count)
        states.append(state_of(agent, collector))
    yield asked("episodes ended", "float32", count, ended > 0)
    yield asked("training was recorded", "float32", count, recorder.made >= recordings)
    yield alike("recorded training = plain", count, states[0], states[1])


def uploads_agree(parts: Parts, count: int) -> Iterator[dict[str, object]]:
    """Observations put together on the device against whole ones."""
    agent = parts.agent("none")
    played = []
    for upload in (WholeArrays(parts.device), upload_to(parts.device, parts.spec)):
        collector = Collector(parts.env(), agent.collection, parts.device, 0, upload=upload)
        played.append([collector.collect(agent) for _ in range(count)])
    fields = [[{name: getattr(rollout, name) for name in _FIELDS} for rollout in rollouts] for rollouts in played]
    yield asked("episodes ended", "-", count, any(bool(rollout.last.any()) for rollout in played[0]))
    yield alike("newest planes = whole uploads", count, fields[0], fields[1])


def dqn_checks(case: Case, options: Chosen) -> Iterator[dict[str, object]]:
    """One row after another."""
    parts = Parts(case.overrides, deterministic=True)
    agent = parts.agent("none")
    per_turn = parts.spec.num_envs * agent.collection.num_steps
    yield from uploads_agree(parts, 2 + 2000 // per_turn)
    collector = parts.collector(agent)
    rollouts = [collector.collect(agent) for _ in range(40)]
    for updates in (1, 12 if options.tiny else 100):
        yield from updates_agree(parts, rollouts, updates)
    count = int(parts.config.algo.arguments["replay"].arguments["learning_starts_steps"]) // per_turn + case.turns
    yield from trainings_agree(parts, count, recordings=2)  # of updates and of acting
    yield from resumes_exactly(parts, count)


def checks(options: Chosen) -> Iterator[dict[str, object]]:
    """The rows of all cases."""
    for case in dqn_cases(options):
        for each in dqn_checks(case, options):
            yield {"case": case.name, **each}
    case = actor_critic_case(options)
    parts = Parts(case.overrides, deterministic=True)
    for check in (trainings_agree(parts, case.turns, recordings=2), resumes_exactly(parts, case.turns)):
        for each in check:
            yield {"case": case.name, **each}


def main() -> int:
    options = chosen(__doc__.splitlines()[0] if __doc__ else "")
    clock, met = Clock(options.seconds), True

    def tell(each: dict[str, object]) -> None:
        print(
            f"{'ok' if each['met'] else 'NOT MET':>7}  {each['case']}: {each['check']}, {each['precision']}, "
            f"{each['updates']} updates, {each['what']}: {each['largest_difference']:.3g} "
            f"(allowed {each['allowed']:.3g})",
            flush=True,
        )
        made = {**each, "gpu": options.machine(), "tiny": options.tiny}
        write_rows(options.results / "gpu_parity.csv", [made], _KEY)

    for each in checks(options):
        tell(each)
        met = met and bool(each["met"])
        if clock.left < 0:
            print(f"NOT ALL: {options.seconds:g} s are over", flush=True)
            tell({"case": "-", **asked("all checks in the time", "-", 0, False)})
            return 1
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
