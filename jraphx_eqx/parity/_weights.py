from collections.abc import Collection, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np


class WeightMismatch(Exception):
    """The parameters of the two sides are not the same set of names and shapes."""


def leaf_name(path: tuple[Any, ...]) -> str:
    """A leaf's path as attributes and indices with dots, as PyTorch names parameters."""
    return ".".join(
        str(getattr(key, "name", getattr(key, "idx", getattr(key, "key", key)))) for key in path
    )


def leaves(module: Any) -> dict[str, Any]:
    """The float arrays of a module by name."""
    floats = eqx.filter(module, eqx.is_inexact_array)
    return {leaf_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(floats)}


def match(
    pyg: Mapping[str, np.ndarray], module: Any, renames: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """The PyTorch weights under the Equinox names.

    **Raises:** `WeightMismatch` if a name or a shape has no counterpart on the other side: a weight
    that is used on one side only would make every comparison meaningless.
    """
    unknown = set(renames) - set(pyg)
    if unknown:
        raise WeightMismatch(f"renames for names that PyTorch does not have: {sorted(unknown)}")
    named = {renames.get(name, name): value for name, value in pyg.items()}
    if len(named) != len(pyg):
        raise WeightMismatch("two PyTorch weights are renamed to the same leaf")
    ours = leaves(module)
    missing, unused = set(named) - set(ours), set(ours) - set(named)
    if missing or unused:
        raise WeightMismatch(
            f"only in PyTorch: {sorted(missing)}; only in Equinox: {sorted(unused)}"
        )
    for name, value in named.items():
        if np.shape(value) != np.shape(ours[name]):
            raise WeightMismatch(
                f"{name} has shape {np.shape(ours[name])} in Equinox, {np.shape(value)} in PyTorch"
            )
    return named


def load(module: Any, weights: Mapping[str, np.ndarray], dtype: Any) -> Any:
    """The module with its float arrays replaced, by Equinox name."""

    def replace(path, leaf):
        if not eqx.is_inexact_array(leaf):
            return leaf
        return jax.device_put(np.asarray(weights[leaf_name(path)], dtype))

    return jax.tree_util.tree_map_with_path(replace, module)


def with_moved(
    weights: Mapping[str, np.ndarray], buffers: Collection[str]
) -> dict[str, np.ndarray]:
    """The weights with other numbers in the buffers; no variance becomes negative."""
    return {name: w + (1 + abs(w)) / 4 if name in buffers else w for name, w in weights.items()}


def draw(rng: np.random.Generator, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Random float32 weights, of unit variance after a product along the last axis, in which both
    signs occur. Variances, which PyTorch calls `running_var`, are positive.
    """
    drawn = {name: _uniform(rng, shape) for name, shape in shapes.items()}
    variances = {name: 0.5 + abs(drawn[name]) for name in drawn if name.endswith("running_var")}
    return drawn | variances


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    bound = np.sqrt(3 / max(shape[-1] if len(shape) > 1 else 3, 1))
    values = rng.uniform(-bound, bound, shape)
    if values.size > 1 and np.all(np.sign(values) == np.sign(values.flat[0])):
        values.flat[0] *= -1
    return np.where(np.abs(values) < 1e-3, 1e-3, values).astype(np.float32)
