"""An environment of Gymnasium's for tests, which give only the keys that they are about."""

from typing import Any

from rlrun.envs.gymnasium import GymnasiumEnv


def gymnasium_env(id: str, num_envs: int = 1, **changed: Any) -> GymnasiumEnv:  # noqa: A002 Gymnasium's own word
    """With the registered time limit, nothing around it, and as much time to try whether it replays as it takes."""
    usual: dict[str, Any] = {
        "max_episode_steps": None,
        "imports": [],
        "options": None,
        "wrappers": [],
        "channels": "auto",
        "fresh_instances": False,
        "replay_probe_seconds": 60.0,
    }
    return GymnasiumEnv(id=id, num_envs=num_envs, **usual | changed)
