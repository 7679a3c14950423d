"""The registry of operators, the graphs they are tried on, and what is compared.

An operator that is entered in `OPERATORS` gets every test of `tests/transformations`.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.conv import GATConv, GCNConv, GINConv, GraphConv, SAGEConv
from jraphx_eqx.nn.models import GCN, GIN, MLP, GraphUNet
from jraphx_eqx.nn.norm import BatchNorm, GraphNorm, LayerNorm
from jraphx_eqx.nn.pool import (
    PoolOutput,
    SAGPooling,
    TopKPooling,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
    global_min_pool,
)

FEATURES = 3
EDGE_FEATURES = 2

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


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator with one set of options.

    `build` makes the module, given its dtype and a key; `call` applies it to `Inputs`. An operator
    that differs from another in options only is a `variant`, and is left out of the tests that
    compile a program of their own. `per_node` is for one that takes a batch, pools nothing in the
    end, and returns a row for each node. One that `mixes` has statistics of the whole batch, so
    that one graph changes another.
    """

    name: str
    build: Callable
    call: Callable
    takes_batch: bool
    variant: bool = False
    per_node: bool = False
    mixes: bool = False

    def __str__(self) -> str:
        return self.name

    def module(self, dtype: Any = jnp.float32) -> Any:
        return _build(self, jnp.dtype(dtype))

    def __call__(self, module: Any, inputs: Inputs) -> Any:
        return self.call(module, inputs)


@functools.cache
def _build(operator, dtype):
    seed = zlib.crc32(operator.name.encode())
    with jax.ensure_compile_time_eval():
        return operator.build(dtype=dtype, key=jax.random.key(seed))


def _readout(function, variant=False):
    return Operator(
        function.__name__,
        lambda dtype, key: function,
        lambda function, inputs: function(inputs.x, inputs.batch),
        takes_batch=True,
        variant=variant,
    )


def _pool(name, cls, variant=False, **options):
    def build(dtype, key):
        return cls(FEATURES, dtype=dtype, key=key, **options)

    return Operator(name, build, lambda pool, inputs: pool(*inputs), True, variant)


def _with_attn(pool, inputs):
    return pool(*inputs, attn=inputs.x[:, ::-1])


def _multi_head_scorer(dtype, key):
    gnn = GATConv(FEATURES, 1, heads=2, dtype=dtype, key=key)
    return SAGPooling(FEATURES, gnn=gnn, dtype=dtype, key=key)


def _conv(name, cls, variant=False, edges=None, **options):
    """`edges` picks what the layer takes of the edge attributes."""

    def build(dtype, key):
        return cls(FEATURES, 2, dtype=dtype, key=key, **options)

    def call(conv, inputs):
        x, edge_index, edge_attr, _ = inputs
        return conv(x, edge_index) if edges is None else conv(x, edge_index, edges(edge_attr))

    return Operator(name, build, call, False, variant)


def _weight(edge_attr):
    return edge_attr[:, 0]


def _unet(name, variant=False, **options):
    def build(dtype, key):
        # Of tanh, because a step of finite differences may cross the kink of ReLU.
        return GraphUNet(FEATURES, 4, 2, act="tanh", dtype=dtype, key=key, **options)

    def call(unet, inputs):
        x, edge_index, edge_attr, batch = inputs
        return unet(x, edge_index, batch, _weight(edge_attr))

    return Operator(name, build, call, True, variant, per_node=True)


def _norm(name, cls, variant=True, inference=False, mixes=False, **options):
    def build(dtype, key):
        norm = eqx.nn.inference_mode(cls(FEATURES, dtype=dtype, **options), inference)
        leaves, structure = jax.tree.flatten(norm)
        # Other numbers than 0 and 1.
        return jax.tree.unflatten(structure, [(i + 2) * leaf for i, leaf in enumerate(leaves)])

    def call(norm, inputs):
        return norm(inputs.x, inputs.batch)

    return Operator(name, build, call, True, variant, per_node=True, mixes=mixes)


def _gin(name, variant=False, **options):
    def build(dtype, key):
        mlp = MLP([FEATURES, 4, 2], norm=None, act="tanh", dtype=dtype, key=key)
        return GINConv(FEATURES, 2, mlp, dtype=dtype, **options)

    return Operator(
        name, build, lambda conv, inputs: conv(inputs.x, inputs.edge_index), False, variant
    )


def _model(name, cls, call, mixes=False, **options):
    def build(dtype, key):
        return cls(**{"act": "tanh", "norm": "graph_norm", **options}, dtype=dtype, key=key)

    return Operator(name, build, call, True, variant=True, per_node=True, mixes=mixes)


def _with_edges(model, inputs):
    return model(inputs.x, inputs.edge_index, batch=inputs.batch)


def _attributes(edge_attr):
    return edge_attr


topk = _pool("topk", TopKPooling, ratio=0.5)
gat_options = {"edges": _attributes, "heads": 2, "edge_dim": EDGE_FEATURES}

OPERATORS = [
    _readout(global_add_pool),
    _readout(global_mean_pool, variant=True),
    _readout(global_max_pool),
    _readout(global_min_pool, variant=True),
    topk,
    _pool("topk_count", TopKPooling, variant=True, ratio=2),
    _pool("topk_options", TopKPooling, variant=True, nonlinearity="sigmoid", multiplier=-2),
    _pool("topk_min_score", TopKPooling, min_score=0.2),
    Operator("topk_attn", topk.build, _with_attn, takes_batch=True, variant=True),
    _pool("sag_gcn", SAGPooling, gnn="gcn", variant=True),
    _pool("sag_gat", SAGPooling, gnn="gat", ratio=0.7),
    _pool("sag_sage", SAGPooling, gnn="sage", variant=True, nonlinearity="identity"),
    _pool("sag_graph", SAGPooling, gnn="graph", variant=True, ratio=3),
    _pool("sag_min_score", SAGPooling, gnn="graph", variant=True, min_score=0.2, multiplier=1.5),
    Operator("sag_heads", _multi_head_scorer, lambda pool, inputs: pool(*inputs), True, True),
    _conv("gcn", GCNConv, variant=True),
    _conv("gcn_weighted", GCNConv, edges=_weight, improved=True),
    _conv("gcn_plain", GCNConv, variant=True, edges=_weight, normalize=False, bias=False),
    _conv("graph", GraphConv, edges=_weight),
    _conv("graph_max", GraphConv, variant=True, aggr="max"),
    _conv("sage", SAGEConv),
    _conv("sage_options", SAGEConv, variant=True, aggr="min", normalize=True, project=True),
    _conv("gat", GATConv, variant=True),
    _conv("gat_edges", GATConv, **gat_options),
    _conv(
        "gat_options",
        GATConv,
        variant=True,
        concat=False,
        residual=True,
        add_self_loops=False,
        **gat_options,
    ),
    _gin("gin", train_eps=True, eps=0.5),
    _gin("gin_max", variant=True, aggr="max"),
    _norm("batch_norm", BatchNorm, variant=False, mixes=True),
    _norm("batch_norm_running", BatchNorm, inference=True),
    _norm("graph_norm", GraphNorm, variant=False),
    _norm("layer_norm", LayerNorm),
    _norm("layer_norm_node", LayerNorm, mode="node"),
    _model("mlp", MLP, lambda mlp, inputs: mlp(inputs.x, inputs.batch), features=[FEATURES, 4, 2]),
    _model(
        "gcn_model",
        GCN,
        _with_edges,
        in_features=FEATURES,
        hidden_features=4,
        num_layers=2,
        norm=None,  # after which the gradient of a bias is nothing but rounding
        jk="cat",
    ),
    _model(
        "gin_model",
        GIN,
        _with_edges,
        mixes=True,  # the norms inside the convolutions take all nodes for one graph
        in_features=FEATURES,
        hidden_features=2,
        num_layers=2,
        jk="lstm",
    ),
    _unet("unet", depth=2),
    _unet("unet_concat", variant=True, depth=1, pool_ratios=2, sum_res=False),
]
DISTINCT = [operator for operator in OPERATORS if not operator.variant]
BATCHED = [operator for operator in OPERATORS if operator.takes_batch]
ISOLATED = [operator for operator in OPERATORS if not operator.mixes]
CONVS = [operator for operator in OPERATORS if not operator.takes_batch]
POOLS = [op for op in BATCHED if not op.per_node and not op.name.startswith("global")]


def named(operators: list[Operator]) -> dict[str, Any]:
    """Arguments of `pytest.mark.parametrize`."""
    return {"argnames": "operator", "argvalues": operators, "ids": str}


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


def loss_of(operator: Operator, out: Any, inputs: Inputs) -> jax.Array:
    """A scalar that uses every float of the result, padding too, and no order of rows.

    Rows of padded nodes mean nothing after a convolution, so there they are left out.
    """
    if not operator.takes_batch:
        out = jnp.where(inputs.batch.node_mask[:, None], out, 0)
    floats, _ = eqx.partition(out, eqx.is_inexact_array)
    total = jnp.zeros((), inputs.x.dtype)
    for leaf in jax.tree.leaves(floats):
        columns = 0.5 + jnp.arange(leaf.shape[-1] if leaf.ndim > 1 else 1, dtype=leaf.dtype)
        columns = columns.reshape((1,) * (leaf.ndim - 1) + columns.shape)
        total = total + jnp.sum(jnp.sin(leaf) * columns)
    return total


def differentiate(operator: Operator, module: Any, inputs: Inputs, call: Any = None) -> Run:
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


def run(operator: Operator, inputs: Inputs, module: Any = None) -> Run:
    """One compiled program for each operator, dtype and shape, shared by all tests.

    It is traced under strict dtype promotion and without rank promotion.
    """
    module = operator.module(inputs.x.dtype) if module is None else module
    program, _ = _program(operator, inputs.x.dtype)
    parameters = eqx.filter(module, eqx.is_inexact_array)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        return program(parameters, inputs)


def num_traces(operator: Operator) -> int:
    return len(_program(operator, jnp.dtype(np.float32))[1])


def traced_program(operator: Operator, inputs: Inputs) -> Any:
    program, _ = _program(operator, inputs.x.dtype)
    parameters = eqx.filter(operator.module(inputs.x.dtype), eqx.is_inexact_array)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        return program.trace(parameters, inputs)


# Comparisons


def describe(operator: Operator, run: Run, inputs: Inputs) -> dict[str, dict[str, np.ndarray]]:
    """Results and gradients as arrays by node, edge and graph of the *input*, without padding.

    So the results of one batch in two orders or two paddings can be compared.
    """
    nodes, edges = node_mask(inputs), edge_mask(inputs)
    out = run.out
    node = {"x gradient": np.asarray(run.x)}
    edge = {"edge_attr gradient": np.asarray(run.edge_attr)}
    graph = {}
    if isinstance(out, PoolOutput):
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
    elif operator.takes_batch and not operator.per_node:
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
