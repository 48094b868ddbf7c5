"""What `rlrun --help` prints, made from the config files."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from rlrun.cli.verb_table import VERBS
from rlrun.config.files import options, summary

_EXAMPLES = """\
rlrun trains, evaluates and records one reinforcement-learning experiment. Try
  rlrun algo=dqn env=cartpole                          train with tuned numbers; a minute or two
  rlrun algo=dqn env=pong                              the same for an Atari game
  rlrun algo=dqn env=cartpole algo.gamma=0.95 seed=3   change any number
  rlrun algo=dqn env=cartpole debug=short              only see that it goes through
  rlrun algo=dqn env=cartpole seeds=10                 ten seeds side by side, and their mean with an interval
  rlrun -m algo=dqn,random env=cartpole seed=0,1,2     run every combination, one after the other

The same command again resumes where it stopped, or says that it is finished. Curves: tensorboard --logdir runs
"""

_KEYS = """\
Keys of every run (conf/config.yaml has them all, with units)
  seed=0                    everything random comes from it
  seeds=10                  instead: seeds 0 to 9 in processes of their own; also seeds=5,7,9 and seeds=range(5,10)
  total_steps=100000        agent steps, all environment slots together
  runs_dir=runs name=...    where the run is kept: <runs_dir>/<env>/<algo>/<name or hash>/seed<seed>
  fresh=true                a new run next to the ones there are, instead of resuming the latest
  evaluation.episodes=20    and evaluation.every_steps, evaluation.num_envs

Flags: -m (a sweep over a,b,c), --cfg job (print the configuration), --config-dir DIR (your config files), --version
Exit status: 0 finished, 1 rerun and diff found a difference, 2 bad input (one line says what would be right),
  75 saved and stopped because a signal asked for it (Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2), 130 stopped at once."""


def help_page(directories: Sequence[Path]) -> str:
    """The page, with the algorithms, environments and the rest that `directories` offer."""
    verbs = [f"  rlrun {name + ' ' + verb.usage:<27} {verb.summary}" for name, verb in VERBS.items()]
    sections = [_EXAMPLES + "\n".join([*verbs, ""])]
    for group, title in (("algo", "Algorithms"), ("env", "Environments")):
        names = options(directories, group)
        width = max((len(name) for name in names), default=0)
        lines = [
            textwrap.shorten(summary(directories, group, name), 110 - width - len(group), placeholder=" ...")
            for name in names
        ]
        lines = [f"  {group}={name:<{width}}  {line}" for name, line in zip(names, lines, strict=True)]
        sections.append("\n".join([title, *lines, ""]))
    groups = [
        f"{group}= {', '.join(options(directories, group)) or '(none yet)'}"
        for group in ("network", "device", "logger", "experiment", "debug")
    ]
    count = len(options(directories, "preset"))
    presets = f"preset= <algo>_<env>: tuned numbers, found by themselves for {count} pairs; null does without"
    others = [
        textwrap.fill(text, width=118, initial_indent="  ", subsequent_indent="      ")
        for text in ("; ".join(groups), presets)
    ]
    sections.append("\n".join(["Also to choose", *others, ""]))
    sections.append(_KEYS)
    return "\n".join(sections)
