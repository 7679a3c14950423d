from collections.abc import Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._warn import warn
from ..nn import GRU, LSTM, Sequential
from ..nn.models import GraphSequential
from ._fit import Fit, fit

_Module = TypeVar("_Module")

# What has no name of its own in PyTorch's state dicts: `torch.nn.Sequential` numbers what it holds,
# `equinox.nn.Sequential` keeps it in `layers`.
_UNNAMED = (
    (eqx.nn.Sequential, "layers"),
    (Sequential, "layers"),
    (GraphSequential, "modules"),
    (LSTM, "parameters"),
    (GRU, "parameters"),
)


def state_dict(module: Any) -> dict[str, Array | np.ndarray]:
    """The arrays of a module by name.

    A name is the path of attributes, and of indices and keys in lists, tuples and dictionaries,
    with dots: `"pool1.select.weight"`, `"convs.0.lin.weight"`. For the layers of this package, and
    for `equinox.nn.Linear`, `LayerNorm`, `Embedding` and `Sequential`, that is the name in PyTorch
    as well, so that a network whose attributes have the names of one in PyTorch has the same state
    dict. Parameters that are `None` and static fields have no entry.

    **Arguments:**

    - `module`: a module, or any other tree of modules and arrays.

    **Returns:** the arrays, not copied. [`to_pyg`][jraphx_eqx.interop.to_pyg] turns them into
    tensors, which `load_state_dict` of PyTorch takes.

    **Raises:** `ValueError` if two arrays get the same name.
    """
    names, leaves, _ = _named_leaves(module)
    return {name: leaf for name, leaf in zip(names, leaves, strict=True) if name is not None}


def load_state_dict(module: _Module, mapping: Mapping[str, Any]) -> _Module:
    """A module with its arrays replaced by those of a state dict, of PyTorch or of
    [`state_dict`][jraphx_eqx.interop.state_dict].

    Names, shapes and dtypes must be the same on both sides. Nothing is skipped, reshaped or cast,
    and every value arrives bit by bit; integers may have another width, as long as their values are
    the same. The one mistake that this cannot detect is two weights of equal shape with swapped
    names.

    Names that PyG has changed are known: a state dict of an older release, back to 1.4, is loaded
    with a warning that says what was done. `conv.weight` of a `GCNConv` before 2.0 is the transpose
    of `conv.lin.weight`, for instance. The same warning says what was left out of the names:

    - what wrappers put before all of them: `module.` of `torch.nn.DataParallel`, `model.` as usual
        in Lightning, or any other beginning, if no name fits with it and most do without it;
    - `_orig_mod.` of `torch.compile`, also within a name, and the `n_averaged` of `AveragedModel`;
    - the second name of a layer that PyTorch has under two names, if all its values are equal to
        those of the first, and not all the same number.

    **Arguments:**

    - `module`: a module, whose arrays say what is expected.
    - `mapping`: arrays of JAX or NumPy, or tensors of PyTorch, by name.

    **Returns:** a new module.

    **Raises:** `ValueError` that lists all names that are missing, not expected, or hold something
    of another shape or dtype.
    """
    found = fit(state_dict(module), parts_by_path(module), mapping)
    loaded = load_fit(module, found)
    if found.notes:
        lines = "".join(f"\n  - {note}" for note in found.notes)
        warn(f"the state dict was loaded under other names:{lines}")
    return loaded


def load_fit(module: _Module, found: Fit) -> _Module:
    """The module with the arrays that `fit` found for it."""
    if found.problems:
        lines = "".join(f"\n  - {problem}" for _, problem in found.problems)
        raise ValueError(f"the state dict does not fit {type(module).__name__}:{lines}")
    names, leaves, structure = _named_leaves(module)
    new = [
        leaf if name is None else _copy(found.arrays[name], leaf)
        for name, leaf in zip(names, leaves, strict=True)
    ]
    return jax.tree_util.tree_unflatten(structure, new)


def _named_leaves(module):
    """The leaves, the names of those that are arrays (`None` for the others), and the structure."""
    paths, structure = jax.tree_util.tree_flatten_with_path(module)
    leaves = [leaf for _, leaf in paths]
    names = [_steps(module, path)[-1][0] if eqx.is_array(leaf) else None for path, leaf in paths]
    known = [name for name in names if name is not None]
    if len(set(known)) != len(known):
        twice = sorted({name for name in known if known.count(name) > 1})
        raise ValueError(f"several arrays have the name {', '.join(twice)}; rename an attribute")
    return names, leaves, structure


def parts_by_path(module: Any) -> dict[str, Any]:
    """The parts of a module by the path that the names of their arrays begin with."""
    paths, _ = jax.tree_util.tree_flatten_with_path(module)
    return {name: node for path, _ in paths for name, node in _steps(module, path)[:-1]}


def _steps(module, path):
    """What is on the way to a leaf, the module and the leaf included, each with its name."""
    parts: list[str] = []
    node: Any = module
    steps = [("", module)]
    for key in path:
        if isinstance(key, jax.tree_util.GetAttrKey):
            part, child = key.name, getattr(node, key.name)
        elif isinstance(key, jax.tree_util.SequenceKey):
            part, child = key.idx, node[key.idx]
        elif isinstance(key, jax.tree_util.DictKey):
            part, child = key.key, node[key.key]
        else:  # a container that is not of Equinox, Python or JAX, and numbers its children
            part, child = key.key, None
        if not any(isinstance(node, kind) and part == name for kind, name in _UNNAMED):
            parts.append(str(part))
        node = child
        steps.append((".".join(parts), node))
    return steps


def _copy(value, leaf):
    if value.dtype != leaf.dtype:
        value = np.asarray(value).astype(leaf.dtype)
    return np.array(value) if isinstance(leaf, np.ndarray) else jnp.array(value, copy=True)


def leaf_renames(module: Any) -> dict[str, str]:
    """The names of floats in a state dict to their paths in the tree, where the two differ: what
    the `renames` of a comparison have to be."""
    names, _, _ = _named_leaves(module)
    paths, _ = jax.tree_util.tree_flatten_with_path(module)
    found = {}
    for name, (path, leaf) in zip(names, paths, strict=True):
        parts = (str(getattr(k, "name", getattr(k, "idx", getattr(k, "key", k)))) for k in path)
        leaf_path = ".".join(parts)
        if name is not None and name != leaf_path and eqx.is_inexact_array(leaf):
            found[name] = leaf_path
    return found
