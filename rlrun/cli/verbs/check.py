"""`rlrun check algo=... env=...`: the public contract tests of an environment and an agent, whosever they are."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlrun.cli.arguments import Arguments, positive

if TYPE_CHECKING:
    from rlrun.config.config import Config


def declare(parser: Arguments) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "overrides", nargs="+", metavar="key=value", help="as for a run: algo=mine env=cartpole", kind="overrides"
    )
    parser.add_argument("--config-dir", metavar="DIR", help="where to look for options of your own", kind="directory")
    parser.add_argument(
        "--iterations",
        metavar="N",
        type=positive,
        help="iterations of collecting and learning before a state is saved, and as many after it",
    )
    parser.add_argument("--steps", metavar="N", type=positive, help="steps that are played of the environment")


def run(chosen: Namespace) -> int:
    """Runs the contracts of `rlrun.testing`, a line for each test; status 0 if all pass, 1 if not.

    Raises:
        UserError: if the overrides cannot be composed, the parts do not fit together, or what the environment shows
            cannot be used: nothing else can be checked then.
    """
    from rlrun.config.compose import load_config
    from rlrun.config.files import config_directories

    config = load_config(chosen.overrides, config_directories(chosen.config_dir))

    with tempfile.TemporaryDirectory() as folder:  # agents may write into the directory of their run
        return _check(config, Path(folder) / "run", chosen.iterations, chosen.steps)


def _check(config: Config, directory: Path, iterations: int | None, steps: int | None) -> int:
    from rlrun.cli.checked_parts import CheckedParts
    from rlrun.config.schema import components_in
    from rlrun.testing.checked import CheckedAgent, CheckedEnv, checked_replay

    parts = CheckedParts(config, directory)
    env, agent = f"env={config.labels['env']}", f"algo={config.labels['algo']}"
    env_contract = CheckedEnv(
        lambda num_envs: parts.env(num_envs=num_envs),
        (lambda num_envs, limit: parts.env(num_envs=num_envs, max_episode_steps=limit))
        if "max_episode_steps" in config.env.arguments
        else None,
        steps,
    )
    counts = {env: _check_one(f"{env} ({config.env.target})", env_contract)}
    agent_contract = CheckedAgent(parts.env, parts.agent, iterations)
    for path, component in components_in(config.algo, "algo"):
        for name in sorted(component.before_end):
            if (starts := component.arguments[name]) > agent_contract.steps:
                agent_contract.notes.append(
                    f"learning begins after {starts:,} steps, too late to be checked: add {path}.{name}=500"
                )
    counts[agent] = _check_one(f"{agent} ({config.algo.target})", agent_contract)
    replay_contract = checked_replay(agent_contract.trained, parts.spec)
    if replay_contract is not None:
        counts[f"the replay of {agent}"] = _check_one(f"the replay of {agent}", replay_contract)
    print(_verdict(env, counts, f"{env_contract.range_in_words} and {agent_contract.range_in_words}"))
    return 1 if any(failed for _, failed in counts.values()) else 0


def _check_one(title: str, contract: Any) -> tuple[int, int]:
    """Prints a line for each test, and what to do where it failed. Returns how many passed and failed."""
    from rlrun.testing.outcomes import outcomes

    passed = failed = 0
    print(title, flush=True)
    for note in contract.notes:
        print(f"  note    {note}")
    for outcome in outcomes(contract, contract.leaves_out):
        if outcome.trouble is None:
            passed += 1
            print(f"  passed  {outcome.name}", flush=True)
        else:
            failed += 1
            print(f"  FAILED  {outcome.name}\n          {outcome.trouble}", flush=True)
            if outcome.advice:
                print(f"          to do: {outcome.advice}")
    return passed, failed


def _verdict(env: str, counts: dict[str, tuple[int, int]], looked: str) -> str:
    passed, failed = (sum(count[index] for count in counts.values()) for index in (0, 1))
    if not failed:
        return (
            f"all {passed} checks passed: {' and '.join(counts)} keep the contracts, as far as {looked} show; "
            "--steps and --iterations look further"
        )
    parts = ", ".join(f"{count[1]} of {name}" for name, count in counts.items() if count[1])
    first = f"; mend {env} first, since everything else was checked in it" if counts[env][1] else ""
    return f"{failed} of {passed + failed} checks FAILED: {parts}{first}"
