"""Environments: our own worlds, Atari, and the adapter to Gymnasium, all batched as `rlrun.protocols.VecEnv`.

Here, and nowhere else, `terminated` and `truncated` become `discount` and `last`. `render/` draws states.
"""
