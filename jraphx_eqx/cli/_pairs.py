"""How our networks and layers are called beside PyTorch's: batches, padding, single rows."""

import copy
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..data import BatchVector
from ..interop import state_dict
from ..interop._state_dict import _named_leaves
from ..nn.pool import AbstractKeepPool, PoolOutput
from ..parity import Case, Spec, stable_sort
from ..parity._torch import is_float
from ..parity._weights import leaf_name
from ._decision import decision_of, pooled, with_batch

_POOLED = ("x", "edge_index", "edge_attr", "batch", "perm", "score")


def pair(name: str, ours: Any, theirs: Any, given: list[Any], num_graphs: int) -> tuple[Spec, Case]:
    """What compares a network, or a layer, on these positional arguments.

    An argument that is called `batch` on our side arrives as a `BatchVector`.
    """
    if isinstance(ours, AbstractKeepPool):
        given = with_batch(given)
    names = [f"arg{i}" for i in range(len(given))]
    arrays = dict(zip(names, map(_plain, given), strict=True))

    def call(module, inputs, decide):
        arguments = [inputs[name] for name in names]
        if decide is not None:
            return pooled(module, arguments, decide, num_graphs)
        return _named(_call(module, arguments, num_graphs))

    def call_pyg(module, inputs):
        # PyTorch's own sort leaves equal scores in any order.
        with stable_sort():
            return _named(module(*(inputs[name] for name in names)))

    spec = Spec(
        name,
        pyg=lambda: copy.deepcopy(theirs),
        eqx=lambda: ours,
        call_pyg=call_pyg,
        call_eqx=call,
        inputs=lambda case: case.arrays,
        real=_real,
        differentiate=[name for name in names if is_float(arrays[name])],
        renames=_leaf_names(ours),
        decision=lambda config: decision_of(ours, names, num_graphs),
        expect_zero=functools.partial(_flat, _signs(ours)),
    )
    return spec, Case("data", arrays)


def _plain(value: Any) -> Any:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy().copy()
    if not isinstance(value, np.ndarray):
        return value
    return value.astype(np.float32) if value.dtype.kind == "f" else value


def _call(module: Any, given: list[Any], num_graphs: int) -> Any:
    if type(module).__module__.startswith("equinox.nn"):
        # Equinox's own layers take a single row; PyTorch's take any number of them.
        for _ in range(given[0].ndim - 1):
            module = jax.vmap(module)
        return module(*given)
    parameters = list(inspect.signature(module).parameters)
    for place, name in enumerate(parameters[: len(given)]):
        array = given[place]
        if name == "batch" and eqx.is_array(array) and array.ndim == 1:
            given[place] = BatchVector(array, num_graphs)
    return module(*given)


def _named(outputs: Any) -> dict[str, Any]:
    if isinstance(outputs, PoolOutput):
        x, edge_index, edge_attr, batch, perm = outputs
        values = (x, edge_index, edge_attr, batch.index, perm, outputs.score)
        return dict(zip(_POOLED, values, strict=True))
    if isinstance(outputs, tuple | list):
        names = _POOLED if len(outputs) == len(_POOLED) else map(str, range(len(outputs)))
        return dict(zip(names, outputs, strict=True))
    return {"0": outputs}


def _real(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What is not padding in the outputs of a pooling; all of the others."""
    if set(outputs) != set(_POOLED):
        return {}
    num_nodes = len(inputs["arg0"])
    kept = outputs["perm"] < num_nodes
    edges = np.all(outputs["edge_index"] < len(outputs["x"]), axis=0)
    rows = {name: kept for name in ("x", "batch", "perm", "score")}
    return {**rows, "edge_index": np.s_[:, edges], "edge_attr": edges}


def _signs(module: Any) -> set[str]:
    """The gradients of numbers that are divided by their absolute value: `SAGPooling`'s
    `select.weight`, of which only the sign counts (without `min_score`)."""
    found = state_dict(module).items()
    return {f"d.{n}" for n, leaf in found if n.endswith("select.weight") and leaf.shape == (1, 1)}


def _flat(signs: set[str], tensor: str) -> str | None:
    return "only the sign of this number counts" if tensor in signs else None


def _leaf_names(module: Any) -> dict[str, str]:
    """The names of a state dict to those of the tree, where they differ."""
    names, leaves, _ = _named_leaves(module)
    paths = [leaf_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(module)]
    found = {}
    for name, path, leaf in zip(names, paths, leaves, strict=True):
        if name is not None and name != path and eqx.is_inexact_array(leaf):
            found[name] = path
    return found
