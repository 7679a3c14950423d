"""Checkpoints of older releases of PyG, and what their networks return."""
