"""Environments: our own worlds, Atari, and the adapter to Gymnasium, all batched as `rlrun.protocols.VecEnv`.

Only here `terminated` and `truncated` become `discount` and `last`. `render/` draws states.
"""
