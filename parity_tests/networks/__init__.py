"""Whole networks, written for PyG and for Equinox, with weights that were trained in PyG."""
