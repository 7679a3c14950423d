"""What `tests/transformations` try: the operators, the graphs, and what is compared.

An operator with `variants` in its entry, in `parity_tests/operators`, gets every test of them.
"""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from parity_tests._operator import Variant
from parity_tests.catalogue import OPERATORS as ENTRIES
from parity_tests.families.common import EDGE_WIDTH as EDGE_FEATURES
from parity_tests.families.common import WIDTH as FEATURES

# One table for all tests: (relative to the largest entry of an array, absolute). Two programs for
# the same formula differ by a few roundings; the largest sums here have about 30 terms.
TOLERANCE = {
    "float16": (1e-2, 1e-3),
    "bfloat16": (5e-2, 1e-2),
    "float32": (1e-5, 1e-6),
    "float64": (1e-13, 1e-14),
}


class Inputs(NamedTuple):
    x: Any
    edge_index: Any
    edge_attr: Any
    batch: Any


OPERATORS = [variant for entry in ENTRIES.values() for variant in entry.variants]
DISTINCT = [operator for operator in OPERATORS if not operator.minor]
CONVS = [operator for operator in OPERATORS if operator.kind == "conv"]
BATCHED = [operator for operator in OPERATORS if operator.kind != "conv"]
ISOLATED = [operator for operator in OPERATORS if not operator.mixes]
# Poolings that keep nodes, and all poolings.
KEEPING = [operator for operator in OPERATORS if operator.kind == "keep"]
POOLS = [operator for operator in OPERATORS if operator.kind in ("keep", "pool")]


def named(operators: list[Variant], long: tuple[str, ...] = ()) -> dict[str, Any]:
    """Arguments of `pytest.mark.parametrize`. A Graph U-Net of two levels takes XLA long, and so do
    those that are named `long`."""
    marked = [
        pytest.param(operator, marks=pytest.mark.full)
        if operator.name in ("unet", *long)
        else operator
        for operator in operators
    ]
    return {"argnames": "operator", "argvalues": marked, "ids": str}


# Graphs

SIZES = (4, 0, 6, 1, 3, 0)
NUM_NODES = 20
NUM_EDGES = 40


def random_inputs(
    seed: int = 0,
    dtype: Any = np.float32,
    sizes: tuple[int, ...] = SIZES,
    num_nodes: int = NUM_NODES,
    num_edges: int = NUM_EDGES,
) -> Inputs:
    """Random graphs with self-loops and double edges; nodes, edges and padding are shuffled."""
    rng = np.random.default_rng(seed)
    graph = np.repeat(np.arange(len(sizes)), sizes)
    index = np.full(num_nodes, len(sizes), np.int32)
    index[rng.permutation(num_nodes)[: len(graph)]] = graph
    edge_index = np.full((2, num_edges), num_nodes, np.int32)
    real_edges = rng.permutation(num_edges)[: 2 * len(graph)]
    for edge in real_edges:
        nodes = np.flatnonzero(index == rng.choice(graph))
        edge_index[:, edge] = rng.choice(nodes, 2)
    x = rng.normal(size=(num_nodes, FEATURES))
    edge_attr = rng.uniform(0.5, 1.5, size=(num_edges, EDGE_FEATURES))
    x[index == len(sizes)] = 0
    edge_attr[edge_index[0] == num_nodes] = 0
    return Inputs(
        jnp.asarray(x, dtype),
        jnp.asarray(edge_index),
        jnp.asarray(edge_attr, dtype),
        BatchVector(jnp.asarray(index), len(sizes)),
    )


def node_mask(inputs: Inputs) -> np.ndarray:
    return np.asarray(inputs.batch.node_mask)


def edge_mask(inputs: Inputs) -> np.ndarray:
    return (np.asarray(inputs.edge_index) < inputs.x.shape[0]).all(axis=0)


def stacked(inputs: list[Inputs]) -> Inputs:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *inputs)


def entry(position: int, tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[position], tree)


# Runs


class Run(NamedTuple):
    """What an operator returns, a loss of it, and the gradients of the loss."""

    out: Any
    loss: Any
    parameters: Any
    x: Any
    edge_attr: Any


def loss_of(operator: Variant, out: Any, inputs: Inputs) -> jax.Array:
    """A scalar that uses every float of the result, padding too, and no order of rows.

    Rows of padded nodes mean nothing after a convolution, so there they are left out.
    """
    if operator.kind == "conv":
        out = jnp.where(inputs.batch.node_mask[:, None], out, 0)
    floats, _ = eqx.partition(out, eqx.is_inexact_array)
    total = jnp.zeros((), inputs.x.dtype)
    for leaf in jax.tree.leaves(floats):
        columns = 0.5 + jnp.arange(leaf.shape[-1] if leaf.ndim > 1 else 1, dtype=leaf.dtype)
        columns = columns.reshape((1,) * (leaf.ndim - 1) + columns.shape)
        total = total + jnp.sum(jnp.sin(leaf) * columns)
    return total


def differentiate(operator: Variant, module: Any, inputs: Inputs, call: Any = None) -> Run:
    """Runs `operator`, or `call` in its place, and differentiates."""
    call = operator if call is None else call
    parameters, static = eqx.partition(module, eqx.is_inexact_array)

    def loss(parameters, x, edge_attr):
        given = inputs._replace(x=x, edge_attr=edge_attr)
        out = call(eqx.combine(parameters, static), given)
        return loss_of(operator, out, given), out

    with_gradients = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
    (value, out), gradients = with_gradients(parameters, inputs.x, inputs.edge_attr)
    return Run(out, value, *gradients)


@functools.cache
def _program(operator, dtype):
    static = eqx.partition(operator.module(dtype), eqx.is_inexact_array)[1]
    traces = []

    @jax.jit
    def run(parameters, inputs):
        traces.append(operator.name)
        return differentiate(operator, eqx.combine(parameters, static), inputs)

    return run, traces


def run(operator: Variant, inputs: Inputs, module: Any = None) -> Run:
    """One compiled program for each operator, dtype and shape, shared by all tests.

    It is traced under strict dtype promotion and without rank promotion.
    """
    module = operator.module(inputs.x.dtype) if module is None else module
    program, _ = _program(operator, inputs.x.dtype)
    parameters = eqx.filter(module, eqx.is_inexact_array)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        return program(parameters, inputs)


def num_traces(operator: Variant) -> int:
    return len(_program(operator, jnp.dtype(np.float32))[1])


def traced_program(operator: Variant, inputs: Inputs) -> Any:
    program, _ = _program(operator, inputs.x.dtype)
    parameters = eqx.filter(operator.module(inputs.x.dtype), eqx.is_inexact_array)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        return program.trace(parameters, inputs)


# Comparisons


def describe(operator: Variant, run: Run, inputs: Inputs) -> dict[str, dict[str, np.ndarray]]:
    """Results and gradients as arrays by node, edge and graph of the *input*, without padding.

    So the results of one batch in two orders or two paddings can be compared.
    """
    nodes, edges = node_mask(inputs), edge_mask(inputs)
    out = run.out
    node = {"x gradient": np.asarray(run.x)}
    edge = {"edge_attr gradient": np.asarray(run.edge_attr)}
    graph = {}
    if operator.kind == "keep":
        perm, kept = np.asarray(out.perm), int(out.num_kept)
        perm = perm[:kept]
        index = np.asarray(out.batch.index)
        node["rank"] = _at(perm, kept_ranks(index[:kept]), len(nodes), -1)
        node["graph"] = _at(perm, index[:kept], len(nodes), -1)
        node["features"] = _at(perm, np.asarray(out.x)[:kept], len(nodes), 0)
        node["score"] = _at(perm, np.asarray(out.score)[:kept], len(nodes), 0)
        ends = np.concatenate([perm, np.full(len(out.perm) + 1 - kept, -1)])[out.edge_index]
        edge["kept"] = (ends >= 0).all(axis=0)
        edge["attributes"] = np.asarray(out.edge_attr)
        same_ends = (ends == np.asarray(inputs.edge_index)).all(axis=0)
        np.testing.assert_array_equal(same_ends, edge["kept"])
    elif operator.kind == "pool":
        index, attr = np.asarray(out.batch.index), np.asarray(out.edge_attr)
        attr = attr.reshape(len(attr), -1)
        strength = _summed(attr, np.asarray(out.edge_index)[0], len(index))
        node["features"] = np.asarray(out.select.lift(out.x))
        node["strength"] = np.asarray(out.select.lift(jnp.asarray(strength)))
        rows = {"features": out.x, "strength": strength, "size": np.ones((len(index), 1))}
        for name, of in rows.items():
            graph[name] = _summed(np.asarray(of), index, inputs.batch.num_graphs)
    elif operator.kind == "graph":
        graph["features"] = np.asarray(out)
    else:
        node["features"] = np.asarray(out)
    return {
        "node": {name: array[nodes] for name, array in node.items()},
        "edge": {name: array[edges] for name, array in edge.items()},
        "graph": graph,
    }


def kept_ranks(index: np.ndarray) -> np.ndarray:
    """The place of each row among those of its graph."""
    return np.tril(index[:, None] == index).sum(axis=1) - 1


def _summed(rows, group, number):
    total = np.zeros((number + 1, rows.shape[1]), rows.dtype)
    np.add.at(total, np.minimum(group, number), rows)
    return total[:number]


def _at(perm, rows, num_nodes, fill):
    full = np.full((num_nodes, *rows.shape[1:]), fill, rows.dtype)
    full[perm] = rows
    return full


def assert_same(left: Any, right: Any) -> None:
    """Equal bit by bit, except for the sign of zero; NaN equals NaN."""
    _compare(left, right, np.testing.assert_array_equal)


def assert_close(left: Any, right: Any) -> None:
    """Equal to rounding, by `TOLERANCE`; integers and booleans are equal."""
    _compare(left, right, _assert_close)


def _compare(left, right, compare):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for path, ours in jax.tree.leaves_with_path(left):
        theirs = functools.reduce(_child, path, right)
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        assert ours.dtype == theirs.dtype, jax.tree_util.keystr(path)
        assert ours.shape == theirs.shape, jax.tree_util.keystr(path)
        compare(ours, theirs, err_msg=jax.tree_util.keystr(path))


def _child(tree, key):
    if isinstance(key, jax.tree_util.GetAttrKey):
        return getattr(tree, key.name)
    return tree[key.key if isinstance(key, jax.tree_util.DictKey) else key.idx]


def _assert_close(ours, theirs, err_msg):
    if not jnp.issubdtype(ours.dtype, jnp.inexact):
        np.testing.assert_array_equal(ours, theirs, err_msg)
        return
    relative, absolute = TOLERANCE[ours.dtype.name]
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    scale = np.max(np.abs(theirs), initial=0, where=np.isfinite(theirs))
    np.testing.assert_allclose(ours, theirs, 0, absolute + relative * scale, err_msg=err_msg)
