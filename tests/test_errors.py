"""Bad inputs, each with the error that it gives, and near-misses that are none.

Options, feature widths and sizes are `ValueError`s of our own. Ranks, dtypes and lengths are found
by jaxtyping first, which names the parameter; with its checks switched off they are `ValueError`s
too. The last test runs this file with the checks switched off.
"""

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data, validate
from jraphx_eqx.nn.conv import GATConv, GCNConv, GraphConv, SAGEConv
from jraphx_eqx.nn.pool import SAGPooling, SelectTopK, TopKPooling, global_add_pool

pytestmark = pytest.mark.usefixtures("quick_compile")

UNCHECKED = jaxtyping.config.jaxtyping_disable

key = jax.random.key(0)
x = jnp.ones((5, 3))
edge_index = jnp.array([[0, 1, 2, 3], [1, 2, 3, 4]], jnp.int32)
edge_attr = jnp.ones((4, 2))
ids = jnp.array([0, 0, 1, 1, 1], jnp.int32)
batch = BatchVector(ids, 2)
half = x.astype(jnp.float16)


def topk(**options):
    return TopKPooling(3, key=key, **options)


def sag(**options):
    return SAGPooling(3, key=key, **options)


def pooled(**changes):
    return topk()(**{"x": x, "edge_index": edge_index} | changes)


def convolved(cls, *args, **options):
    return cls(3, 2, key=key, **options)(x, edge_index, *args)


def selected():
    return pooled().select


class Case(NamedTuple):
    bad: Callable
    message: str
    # What jaxtyping calls the parameter, where it finds the mistake first.
    parameter: str | None = None


CASES = {
    # Options
    "ratio zero": Case(lambda: topk(ratio=0), r"ratio must be a fraction in \(0, 1\) .* got 0"),
    "ratio negative": Case(lambda: topk(ratio=-0.5), "ratio must be .* got -0.5"),
    "ratio nan": Case(lambda: topk(ratio=float("nan")), "ratio must be .* got nan"),
    "ratio infinite": Case(lambda: topk(ratio=float("inf")), "ratio .* must be whole, got inf"),
    "ratio no count": Case(lambda: sag(ratio=1.9), "ratio .* must be whole, got 1.9"),
    "ratio bool": Case(lambda: topk(ratio=True), "ratio must be .* got True"),
    "ratio string": Case(lambda: topk(ratio="0.5"), "ratio must be .* got '0.5'", "ratio"),
    "ratio and min_score none": Case(lambda: sag(ratio=None), "one of ratio and min_score"),
    "min_score nan": Case(lambda: topk(min_score=float("nan")), "min_score must be .* got nan"),
    "in_features zero": Case(
        lambda: TopKPooling(0, key=key), "in_features must be at least 1, got 0"
    ),
    "nonlinearity unknown": Case(
        lambda: topk(nonlinearity="tan"), "nonlinearity must be .*'tanh'.* got 'tan'"
    ),
    "nonlinearity none": Case(
        lambda: topk(nonlinearity=None), "nonlinearity must be .* 'identity'", "nonlinearity"
    ),
    "nonlinearity softmax": Case(
        lambda: sag(nonlinearity="softmax"), "nonlinearity 'softmax' mixes all nodes"
    ),
    "nonlinearity class": Case(
        lambda: topk(nonlinearity=eqx.nn.PReLU), "nonlinearity .* class PReLU; pass an instance"
    ),
    "gnn unknown": Case(lambda: sag(gnn="gin"), "gnn must be one of 'gcn', .* got 'gin'"),
    "gnn class": Case(lambda: sag(gnn=GCNConv), "gnn must be one of .* not a class, got"),
    "gnn none": Case(lambda: sag(gnn=None), "gnn must be one of .* got None", "gnn"),
    "gnn of another shape": Case(
        lambda: sag(gnn=lambda x, edge_index: x[:2, :1])(x, edge_index),
        r"gnn must return .* 5 nodes, got shape \(2, 1\)",
    ),
    "gnn of another dtype": Case(
        lambda: sag(gnn=lambda x, edge_index: half[:, 0])(x, edge_index),
        "what gnn returns must have the dtype .* float32, got float16",
    ),
    "heads zero": Case(lambda: GATConv(3, 2, heads=0, key=key), "heads must be at least 1, got 0"),
    "dropout": Case(lambda: GATConv(3, 2, dropout=1.5, key=key), "dropout must be .* got 1.5"),
    "dropout without key": Case(lambda: convolved(GATConv, dropout=0.5), "key must be given"),
    "fill_value unknown": Case(
        lambda: GATConv(3, 2, fill_value="median", key=key), "fill_value must be .* got 'median'"
    ),
    "aggr unknown": Case(
        lambda: SAGEConv(3, 2, aggr="mode", key=key),
        "aggr must be one of 'add', .* got 'mode'",
    ),
    "loops without norm": Case(
        lambda: GCNConv(3, 2, add_self_loops=True, normalize=False, key=key),
        "add_self_loops=True needs normalize=True",
    ),
    # Edges
    "edge_index transposed": Case(
        lambda: pooled(edge_index=edge_index.T),
        r"edge_index must have shape \(2, edges\), got \(4, 2\); it looks transposed",
        "edge_index",
    ),
    "edge_index float": Case(
        lambda: pooled(edge_index=edge_index.astype(jnp.float32)),
        "edge_index must have dtype int32 or int64, got float32",
        "edge_index",
    ),
    "edge_index 8 bit": Case(
        lambda: pooled(edge_index=edge_index.astype(jnp.int8)),
        "edge_index must have dtype int32 or int64, got int8",
    ),
    "edge_index of a conv": Case(
        lambda: SAGEConv(3, 2, key=key)(x, edge_index[:1]),
        r"edge_index must have shape \(2, edges\), got \(1, 4\)",
        "edge_index",
    ),
    "edge_attr rows": Case(
        lambda: pooled(edge_attr=edge_attr[:3]),
        r"edge_attr must have one row for each of the 4 edges, got shape \(3, 2\)",
        "edge_attr",
    ),
    "edge_attr scalar": Case(
        lambda: pooled(edge_attr=jnp.ones(())), "edge_attr must have one row .* 4", "edge_attr"
    ),
    "edge_attr without edge_dim": Case(
        lambda: convolved(GATConv, edge_attr), "edge_attr must be None for a layer without"
    ),
    "edge_attr width": Case(
        lambda: convolved(GATConv, edge_attr, edge_dim=3),
        r"edge_attr must have shape \(edges, 3\), .* got \(4, 2\)",
    ),
    "edge_weight width": Case(lambda: convolved(GCNConv, edge_attr), "edge_weight .*4, 2"),
    "edge_weight rows": Case(
        lambda: convolved(GraphConv, jnp.ones(3)), "edge_weight .*4 edges", "edge_weight"
    ),
    "edge_weight dtype": Case(
        lambda: convolved(GCNConv, jnp.ones(4, jnp.float16)),
        "edge_weight must have the dtype .* float32, got float16",
    ),
    # Nodes
    "x width": Case(
        lambda: pooled(x=x[:, :2]), r"x must have 3 features, .* got 2 \(shape \(5, 2\)\)"
    ),
    "x 1-D": Case(
        # PyG returns features of shape (k, k) here.
        lambda: TopKPooling(1, key=key)(x[:, 0], edge_index),
        r"x must have shape \(nodes, 1\), got \(5,\); add a feature axis, x\[:, None\]",
        "x",
    ),
    "x 3-D": Case(lambda: pooled(x=x[None]), r"x must have shape \(nodes, 3\), got \(1, 5", "x"),
    "x float16": Case(
        lambda: pooled(x=half), "x must have the dtype of the parameters, float32, got float16"
    ),
    "x integer": Case(
        lambda: pooled(x=x.astype(jnp.int32)), "x must have the dtype .* got int32", "x"
    ),
    "x width of a conv": Case(
        lambda: GraphConv(4, 2, key=key)(x, edge_index), "x must have 4 features, .* got 3"
    ),
    "x rank of a readout": Case(
        lambda: global_add_pool(jnp.ones((1, 2, 3, 4))), r"x must have shape .* got \(1, 2, 3, 4\)"
    ),
    "x scalar of a readout": Case(
        lambda: global_add_pool(jnp.ones(())), r"x must have shape .* got \(\)"
    ),
    "attn width": Case(lambda: pooled(attn=x[:, :2]), "attn must have 3 features"),
    "attn rows": Case(
        lambda: pooled(attn=x[:4]), "attn must have one row for each of the 5 nodes", "attn"
    ),
    "attn 3-D": Case(lambda: pooled(attn=x[:, None]), r"attn must have shape \(nodes, 3\)"),
    # Batch
    "batch length": Case(
        lambda: pooled(batch=ids[:4]),
        r"batch must have one entry for each of the 5 nodes, got shape \(4,\)",
    ),
    "batch vector length": Case(
        lambda: global_add_pool(x[:4], batch), r"batch must have one entry .* 4 nodes"
    ),
    "batch 2-D": Case(lambda: pooled(batch=ids[:, None]), "batch must have one entry", "batch"),
    "batch float": Case(
        lambda: global_add_pool(x, ids.astype(jnp.float32)),
        "batch must have dtype int32 or int64, got float32",
        "batch",
    ),
    "batch 8 bit": Case(
        lambda: pooled(batch=ids.astype(jnp.int8)), "batch must have dtype .* got int8"
    ),
    "batch negative": Case(lambda: pooled(batch=ids - 1), "batch must not hold negative ids"),
    "batch vector negative": Case(lambda: BatchVector(ids - 1, 2), "must not hold negative ids"),
    "num_graphs negative": Case(
        lambda: BatchVector(ids, -1), "num_graphs must not be negative, got -1"
    ),
    "size missing": Case(
        lambda: jax.jit(global_add_pool)(x, ids), "size must be given where batch is traced"
    ),
    "size contradicts": Case(lambda: pooled(batch=batch, size=3), "size is 3, .* 2 graphs"),
    "size too small": Case(
        lambda: global_add_pool(x, ids, 1), "batch must hold ids below size=1, got 1"
    ),
    "size negative": Case(lambda: global_add_pool(x, ids, -1), "size must not be negative"),
    "size without batch": Case(lambda: global_add_pool(x, size=3), "size must be None or 1 .* 3"),
    # Capacities, stages, outputs
    "max_nodes negative": Case(lambda: pooled(max_nodes=-1), "max_nodes must not be negative"),
    "max_edges negative": Case(lambda: pooled(max_edges=-1), "max_edges must not be negative"),
    "scores in a column": Case(
        lambda: SelectTopK(3, key=key)(x[:, :1]), r"score must have shape \(nodes,\)", "score"
    ),
    "score of other width": Case(
        lambda: topk().score(x[:, :2], edge_index), "x must have 3 features"
    ),
    "reduce other nodes": Case(
        lambda: topk().reduce(x[:4], selected()), "x must have one row .* 5 nodes of select"
    ),
    "lift too few": Case(
        lambda: pooled().lift(x[:2]), "x must have one row .* 3 clusters of select"
    ),
    "lift too many": Case(
        lambda: selected().lift(x), "x must have one row .* 3 clusters of select"
    ),
    "connect other batch": Case(
        lambda: topk().connect(selected(), edge_index, None, BatchVector(ids[:4], 2)),
        "batch must have one entry for each of the 5 nodes",
    ),
    "trim under jit": Case(
        lambda: eqx.filter_jit(lambda: pooled(x=2 * x).trim())(), r"trim\(\) needs values"
    ),
    "trim a stack": Case(
        lambda: jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), pooled()).trim(),
        r"trim\(\) needs one pooled batch",
    ),
    # Containers
    "Data past the end": Case(
        lambda: Data(x=x, edge_index=edge_index + 1), r"edge_index .* in \[0, 5\).*; edge 3 has"
    ),
    "Data negative": Case(
        lambda: Data(x=x, edge_index=edge_index - 1), r"edge_index .* edge 0 has \(-1, 0\)"
    ),
    "Data edge_attr rows": Case(
        lambda: Data(x=x, edge_index=edge_index, edge_attr=edge_attr[:2]), "edge_attr .* 4 edges"
    ),
    "Batch past the end": Case(
        lambda: Batch(x, edge_index + 2, batch=batch), "edge_index must hold node indices below 5"
    ),
    "Batch edge between graphs": Case(
        lambda: Batch(x, edge_index, batch=batch), "edge_index must join nodes of one graph"
    ),
    "pad too small": Case(
        lambda: Data(x=x, edge_index=edge_index).pad(num_nodes=4), "num_nodes=4 is too small"
    ),
    "validate negative": Case(
        lambda: validate(x, edge_index - 1), "edge_index must not hold negative indices"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_input_gives_one_clear_error(name):
    case = CASES[name]
    if case.parameter is None or UNCHECKED:
        with pytest.raises(ValueError, match=case.message):
            case.bad()
    else:
        with pytest.raises(jaxtyping.TypeCheckError, match=f"parameter '{case.parameter}'"):
            case.bad()


def test_the_table_is_long_enough_and_no_two_cases_are_the_same():
    assert len(CASES) >= 30
    assert len({case.bad for case in CASES.values()}) == len(CASES)


NEAR_MISSES = {
    "ratio just above 0": lambda: pooled().num_kept == topk(ratio=1e-6)(x, edge_index).num_kept,
    "ratio a whole float": lambda: topk(ratio=2.0)(x, edge_index),
    "ratio above any graph": lambda: topk(ratio=10**12)(x, edge_index),
    "ratio none with min_score": lambda: topk(ratio=None, min_score=0.1)(x, edge_index),
    "min_score above all": lambda: topk(min_score=2)(x, edge_index),
    "name in other letters": lambda: topk(nonlinearity="Leaky_ReLU")(x, edge_index),
    "two edges are square": lambda: pooled(edge_index=edge_index[:, :2]),
    "edge_attr 1-D": lambda: pooled(edge_attr=edge_attr[:, 0]),
    "edge_attr 4-D and boolean": lambda: pooled(edge_attr=jnp.ones((4, 1, 2, 1), bool)),
    "no edges": lambda: pooled(edge_index=edge_index[:, :0], edge_attr=edge_attr[:0]),
    "edge_weight in a column": lambda: convolved(GCNConv, edge_attr[:, :1]),
    "attn 1-D": lambda: TopKPooling(1, key=key)(x, edge_index, attn=x[:, 0]),
    "attn of another width than x": lambda: topk()(jnp.ones((5, 7)), edge_index, attn=x),
    "bare batch and size": lambda: pooled(batch=ids, size=7),
    "bare batch captured by jit": lambda: jax.jit(lambda x: pooled(x=x, batch=ids))(x),
    "bare batch traced, with size": lambda: eqx.filter_jit(global_add_pool)(x, ids, 2),
    "size that agrees": lambda: pooled(batch=batch, size=2),
    "size without batch": lambda: global_add_pool(x, size=1),
    "max_nodes above need": lambda: pooled(max_nodes=100, max_edges=100),
    "max_nodes that fits": lambda: pooled(max_nodes=3),
    "gnn a plain function": lambda: sag(gnn=lambda x, edge_index: x)(x, edge_index),
    "padding in Batch": lambda: Batch(
        x[:2], jnp.array([[0, 2], [1, 2]]), batch=BatchVector(ids[:2], 1)
    ),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_no_error(name):
    leaves = jax.tree.leaves(NEAR_MISSES[name]())
    assert leaves and all(isinstance(leaf, jax.Array) for leaf in leaves)


def test_a_float_ratio_of_one_warns_because_it_keeps_one_node():
    with pytest.warns(UserWarning, match=re.escape("ratio=1.0 keeps one node of each graph")):
        pool = topk(ratio=1.0)
    assert pool(x, edge_index).num_kept == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        topk(ratio=1)


@pytest.mark.parametrize("cls", [TopKPooling, SAGPooling, SelectTopK])
def test_a_warning_is_at_the_line_that_asked_for_it(cls):
    with pytest.warns(UserWarning) as caught:
        cls(3, 1.0, key=key)
    assert caught[0].filename == __file__


@pytest.mark.skipif(UNCHECKED, reason="this is the process that the test starts")
def test_all_of_this_holds_with_the_type_checks_switched_off():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-k", "bad_input or switch_is"]
    environment = {**os.environ, "JAXTYPING_DISABLE": "1"}
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout + child.stderr
    assert f"{len(CASES) + 1} passed" in child.stdout


def test_the_switch_is_as_this_process_was_started():
    assert (os.environ.get("JAXTYPING_DISABLE") == "1") == UNCHECKED
    # The hook wraps what it checks.
    assert hasattr(TopKPooling.reduce, "__wrapped__") != UNCHECKED
