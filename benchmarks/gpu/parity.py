"""Whether recorded updates are the plain ones on this GPU, and the plain ones a CPU's; run by `benchmarks/gpu.sh`.

Each check is a row of `results/gpu_parity.csv`: the largest difference that was seen, and what may be. All is done
with deterministic kernels. Ends with status 1 if one of them is not met.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from parts import Chosen, Clock, Parts, chosen
from provenance import write_rows
from torch import Tensor, nn

from rlrun.agents.dqn import DQN
from rlrun.checkpoint import Checkpoints
from rlrun.collect import Collector
from rlrun.execution.execution import Compile
from rlrun.state_comparison import first_difference
from rlrun.types import Rollout
from rlrun.upload import WholeArrays, upload_to

_FLOAT64 = 1e-6  # between devices, after 100 updates
_FLOAT32 = 1e-3  # between devices, after one update
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


def drawn(agent: DQN, updates: int) -> list[tuple[Tensor, Tensor]]:
    """Times and slots of so many updates, four at a time and then the rest."""
    rng = torch.Generator().manual_seed(7)
    sizes = [4] * (updates // 4) + ([updates % 4] if updates % 4 else [])
    return [agent._replay.draw(size * agent._batch_size, rng) for size in sizes]


def after_updates(agent: DQN, rollouts: Sequence[Rollout], updates: int) -> dict[str, list[Tensor]]:
    """Parameters, gradients, optimizer state, metrics and Q-values after so many updates, on the CPU in float64."""
    for rollout in rollouts:
        agent._replay.extend(agent._clipped(rollout))
    metrics: Mapping[str, Tensor] = {}
    for time, slot in drawn(agent, updates):
        metrics = agent._learn_from(time, slot)
    states = [value for state in agent._optimizer.state.values() for value in state.values()]
    found = {
        "parameters": [parameter.detach() for parameter in agent._parameters],
        "gradients": [cast(Tensor, parameter.grad) for parameter in agent._parameters],
        "optimizer": states,
        "metrics": list(metrics.values()),
        "Q of the last observations": [agent._values_to_act_on(rollouts[-1].obs_sequence[-1])],
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


def updates_agree(parts: Parts, rollouts: Sequence[Rollout], updates: int) -> Iterator[dict[str, object]]:
    """Recorded against plain, in float32 (bits), bfloat16 (bits) and float64; plain against the CPU."""
    cpu = torch.device("cpu")
    for precision in ("float32", "bfloat16"):
        plain, recorded = (after_updates(parts.agent(how, precision), rollouts, updates) for how in ("none", "graphs"))
        for name in plain:
            yield row(
                "recorded = plain", precision, updates, name, largest_difference(plain[name], recorded[name]), 0.0
            )
    there = [moved_to(rollout, cpu) for rollout in rollouts]
    wide, recorded = (after_updates(in_float64(parts.agent(how)), rollouts, updates) for how in ("none", "graphs"))
    of_cpu = after_updates(in_float64(parts.agent("none", device=cpu)), there, updates)
    for name in wide:
        yield row(
            "recorded = plain", "float64", updates, name, largest_difference(wide[name], recorded[name]), _FLOAT64
        )
        yield row("plain = CPU", "float64", updates, name, largest_difference(wide[name], of_cpu[name]), _FLOAT64)
    if updates == 1:
        narrow = after_updates(parts.agent("none"), rollouts, 1)
        on_cpu = after_updates(parts.agent("none", device=cpu), there, 1)
        for name in ("gradients", "Q of the last observations"):
            yield row("plain = CPU", "float32", 1, name, largest_difference(narrow[name], on_cpu[name]), _FLOAT32)


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


def turns(agent: DQN, collector: Collector, count: int) -> list[Mapping[str, Any]]:
    return [dict(agent.learn(collector.collect(agent))) for _ in range(count)]


def state_of(agent: DQN, collector: Collector) -> dict[str, Any]:
    return {"agent": agent.state_dict(), "collector": collector.state_dict()}


def resumes_exactly(parts: Parts, count: int) -> dict[str, object]:
    """Training with recordings, saved to a file half way and loaded by an agent that has recordings of its own."""
    agent = parts.agent("graphs")
    collector = parts.collector(agent)
    turns(agent, collector, count)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), {}, 1)
        checkpoints.save(1, state_of(agent, collector), best=False)
        turns(agent, collector, count)
        resumed = parts.agent("graphs")
        turns(resumed, parts.collector(resumed), count // 2)
        other = parts.collector(resumed)
        saved = checkpoints.newest_sound(print, lambda state: None)
        assert saved is not None
        other.load_state_dict(saved["collector"])
        resumed.load_state_dict(saved["agent"])
        turns(resumed, other, count)
    difference = first_difference(state_of(agent, collector), state_of(resumed, other))
    return row(
        "resumed = not interrupted", "float32", count, difference or "everything", float(difference is not None), 0
    )


def trainings_agree(parts: Parts, count: int) -> dict[str, object]:
    """Whole trainings, environment and all: with recordings and without."""
    states = []
    modes: list[Compile] = ["none", "graphs"]
    for how in modes:
        agent = parts.agent(how)
        collector = parts.collector(agent)
        turns(agent, collector, count)
        states.append(state_of(agent, collector))
    difference = first_difference(states[0], states[1])
    return row(
        "recorded training = plain", "float32", count, difference or "everything", float(difference is not None), 0
    )


def uploads_agree(parts: Parts, count: int) -> dict[str, object]:
    """Observations put together on the device against whole ones."""
    agent = parts.agent("none")
    played = []
    for upload in (WholeArrays(parts.device), upload_to(parts.device, parts.spec)):
        collector = Collector(parts.env(), agent.collection, parts.device, 0, upload=upload)
        played.append([collector.collect(agent) for _ in range(count)])
    fields = [[{name: getattr(rollout, name) for name in _FIELDS} for rollout in rollouts] for rollouts in played]
    difference = first_difference(fields[0], fields[1])
    return row("newest planes = whole uploads", "-", 0, difference or "everything", float(difference is not None), 0)


def checks(options: Chosen) -> Iterator[dict[str, object]]:
    """One row after another."""
    parts = Parts(options.words(), deterministic=True)
    yield uploads_agree(parts, 20 if options.tiny else 300)  # turns of 4 steps; games of Pong end in them
    agent = parts.agent("none")
    collector = parts.collector(agent)
    rollouts = [collector.collect(agent) for _ in range(40)]
    for updates in (1, 12 if options.tiny else 100):
        yield from updates_agree(parts, rollouts, updates)
    starts = int(parts.config.algo.arguments["learning_starts_steps"])
    before = starts // (parts.spec.num_envs * agent.collection.num_steps)  # turns
    count = before + (10 if options.tiny else 40)
    yield trainings_agree(parts, count)
    yield resumes_exactly(parts, count)


def main() -> int:
    options = chosen(__doc__.splitlines()[0] if __doc__ else "")
    clock, rows = Clock(options.seconds), []
    for each in checks(options):
        rows.append({**each, "gpu": options.machine(), "tiny": options.tiny})
        verdict = "ok" if each["met"] else "NOT MET"
        print(
            f"{verdict:>7}  {each['check']}, {each['precision']}, {each['updates']} updates, {each['what']}: "
            f"{each['largest_difference']:.3g} (allowed {each['allowed']:.3g})",
            flush=True,
        )
        if clock.left < 0:
            print(f"NOT ALL: {options.seconds:g} s are over", flush=True)
            rows.append(
                {**row("all checks in the time", "-", 0, "-", 1.0, 0.0), "gpu": options.machine(), "tiny": options.tiny}
            )
            break
    write_rows(options.results / "gpu_parity.csv", rows, ["check", "precision", "updates", "what", "gpu"])
    return 0 if all(each["met"] for each in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
