"""rlrun: trains, evaluates and records one reinforcement-learning experiment.

What `from rlrun import ...` gives is what agents, environments and notebooks of your own need; docs/plugins.md lists
it. With `rlrun.testing` it is all that is public. A name is loaded when it is first asked for: torch takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlrun.annotations import *
    from rlrun.api import *
    from rlrun.errors import *
    from rlrun.nn.networks import *
    from rlrun.nn.optimizers import *
    from rlrun.numerics.distributions import *
    from rlrun.numerics.schedules import *
    from rlrun.protocols import *
    from rlrun.replay.uniform import *
    from rlrun.rng import *
    from rlrun.runs.interruption import *
    from rlrun.types import *

__version__ = "0.1.0"

_PUBLIC = (
    "errors",
    "annotations",
    "types",
    "protocols",
    "rng",
    "numerics.schedules",
    "numerics.distributions",
    "nn.networks",
    "nn.optimizers",
    "replay.uniform",
    "runs.interruption",
    "api",
)


def __getattr__(name: str) -> Any:
    """Finds a public name in the `__all__` of the first module that has it."""
    if name == "__all__":
        return sorted(public_names())
    if not name.startswith("_"):
        for part in _PUBLIC:
            module = import_module(f"rlrun.{part}")
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def public_names() -> frozenset[str]:
    """All that `from rlrun import ...` gives."""
    return frozenset(name for part in _PUBLIC for name in import_module(f"rlrun.{part}").__all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *public_names()})
