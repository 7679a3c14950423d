"""What ours promise beyond PyG's results: dtypes; of poolings the room and what is padding."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import PoolOutput, SelectOutput


def keeps_dtypes(call: Callable[..., Mapping[str, Any]]) -> Callable[..., str | None]:
    """A property of all operators: in bfloat16, with 64 bits switched on, floats come back in
    bfloat16 and indices in the same dtype as without. Nothing is computed. `call` is
    `Spec.call_eqx`."""
    call = eqx.filter_jit(call)  # so that it is traced once for all inputs of the same shapes

    def dtypes(module: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str | None:
        at = jax.tree.map(_in_bfloat16, (module, dict(inputs)))
        with jax.enable_x64(True):
            try:
                found = eqx.filter_eval_shape(call, *at)
            except Exception as error:
                return f"in bfloat16: {type(error).__name__}: {error}"
        for name, value in outputs.items():
            if value is None:
                continue
            expected = "bfloat16" if value.dtype.kind == "f" else value.dtype
            if found[name].dtype != expected:
                return f"in bfloat16, {name} has dtype {found[name].dtype}, expected {expected}"
        return None

    return dtypes


def _in_bfloat16(leaf):
    if not isinstance(leaf, jax.Array | np.ndarray):
        return leaf
    kinds = {"f": jnp.bfloat16, "b": bool}
    return jax.ShapeDtypeStruct(leaf.shape, kinds.get(leaf.dtype.kind, jnp.int32))


def room(module: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str | None:
    """As many rows as the docs say, and as many edges as there were, or as were asked for, which is
    one at least where there could be one."""
    rows, edges = len(outputs["x"]), outputs["edge_index"].shape[1]
    max_nodes, max_edges = inputs.get("max_nodes"), inputs.get("max_edges")
    enough = _capacity(module.select, inputs, outputs["score"].dtype)
    all_edges = inputs["edge_index"].shape[1]
    expected = (
        enough if max_nodes is None else min(enough, max(max_nodes, 1)),
        all_edges if max_edges is None else min(all_edges, max(max_edges, 1)),
    )
    if (rows, edges) != expected:
        return f"room for {rows} nodes and {edges} edges, expected {expected}"
    return None


def _capacity(select, inputs, dtype) -> int:
    num_nodes, num_graphs = len(inputs["x"]), inputs["num_graphs"]
    if select.min_score is not None:
        return num_nodes
    if select.ratio >= 1:
        return min(num_nodes, int(select.ratio) * num_graphs)
    if num_graphs == 1:
        return math.ceil(dtype.type(select.ratio) * dtype.type(num_nodes))
    most = Fraction(float(dtype.type(select.ratio))) * num_nodes
    return min(num_nodes, math.floor(most) + num_graphs)


def padding(module: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str | None:
    """Real nodes come first. All after them is past the end and has the score 0; so are both ends
    of edges that are gone, and their attributes 0."""
    num_nodes, rows = len(inputs["x"]), len(outputs["x"])
    real = outputs["perm"] < num_nodes
    lost = np.any(outputs["edge_index"] >= rows, axis=0)
    after = np.arange(rows) >= np.sum(real)
    marks = {
        "perm": (outputs["perm"][after], num_nodes),
        "batch": (outputs["batch"][after], inputs["num_graphs"]),
        "score": (outputs["score"][after], 0),
        "edge_index": (outputs["edge_index"][:, lost], rows),
    }
    if outputs["edge_attr"] is not None:
        marks["edge_attr"] = outputs["edge_attr"][lost], 0
    wrong = [name for name, (marked, mark) in marks.items() if np.any(marked != mark)]
    return f"padding is not marked as such in {', '.join(wrong)}" if wrong else None


def trim(module: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str | None:
    """`PoolOutput.trim` leaves what is real, in the shapes that PyG has."""
    rows, graphs = len(outputs["x"]), inputs["num_graphs"]
    real = outputs["perm"] < len(inputs["x"])
    edges = np.all(outputs["edge_index"] < rows, axis=0)
    perm, cluster, score, x, index, edge_index, attr, false = jax.device_put(
        (
            *(outputs["perm"], np.arange(rows, dtype=np.int32), outputs["score"]),
            *(outputs["x"], outputs["batch"], outputs["edge_index"], outputs["edge_attr"]),
            np.zeros((), bool),
        )
    )
    sizes = {"num_nodes": len(inputs["x"]), "num_clusters": rows}
    select = SelectOutput(perm, cluster, score, **sizes, overflow=false, keeps_nodes=True)
    vector = BatchVector(index, graphs)
    trimmed = PoolOutput(x, edge_index, attr, vector, select, edge_overflow=false).trim()
    x, edge_index, attr, batch, perm = trimmed
    found = {
        "x": (x, outputs["x"][real]),
        "edge_index": (edge_index, outputs["edge_index"][:, edges]),
        "batch": (batch.index, outputs["batch"][real]),
        "perm": (perm, outputs["perm"][real]),
        "score": (trimmed.score, outputs["score"][real]),
        "clusters": (trimmed.select.cluster_index, np.arange(np.sum(real))),
    }
    if attr is not None:
        found["edge_attr"] = attr, outputs["edge_attr"][edges]
    wrong = [name for name, arrays in found.items() if not np.array_equal(*arrays, equal_nan=True)]
    sizes = (trimmed.select.num_nodes, trimmed.select.num_clusters, batch.num_graphs)
    wrong += ["sizes"] if sizes != (len(inputs["x"]), np.sum(real), graphs) else []
    # `trimmed.overflow` would compile a program.
    wrong += ["overflow"] if trimmed.select.overflow or trimmed.edge_overflow else []
    return f"trim() does not leave what is real of {', '.join(wrong)}" if wrong else None


POOLING = {"room": room, "padding": padding, "trim": trim}
