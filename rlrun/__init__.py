"""rlrun: trains, evaluates and records one reinforcement-learning experiment."""

__version__ = "0.1.0"
