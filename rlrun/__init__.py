"""rlrun: trains, evaluates and records one reinforcement-learning experiment.

From Python: `from rlrun import compose, make, train` (docs/python.md). They are loaded when they are first asked for,
since torch takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlrun.errors import UserError

if TYPE_CHECKING:
    from rlrun.api import compose, make, train

__version__ = "0.1.0"
__all__ = ["UserError", "__version__", "compose", "make", "train"]

_LOADED_LATER = ("compose", "make", "train")


def __getattr__(name: str) -> Any:
    """Loads the functions for notebooks."""
    if name not in _LOADED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rlrun import api as notebook

    return getattr(notebook, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
