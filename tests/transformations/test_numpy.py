"""NumPy arrays are taken wherever JAX arrays are."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DISTINCT, Inputs, Variant, assert_same, named, random_inputs
from jax.test_util import check_grads

from jraphx_eqx.data import BatchVector, EdgeIndex
from jraphx_eqx.nn import Activation, Embedding, GRUCell, Linear, LSTMCell, PReLU, Sequential
from jraphx_eqx.nn.models import GraphSequential, JumpingKnowledge
from jraphx_eqx.nn.pool import TopKPooling, global_mean_pool

pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(0)
SMOOTH = [op for op in DISTINCT if "max" not in op.name and "min" not in op.name]


def in_numpy(inputs: Inputs) -> Inputs:
    index, num_graphs = np.asarray(inputs.batch.index), inputs.batch.num_graphs
    arrays = map(np.asarray, inputs[:3])
    return Inputs(*arrays, BatchVector(index, num_graphs))


@pytest.mark.parametrize(**named(DISTINCT))
def test_every_operator_takes_numpy_arrays(operator: Variant):
    inputs, module = random_inputs(), operator.module()
    expected = jax.tree.leaves(operator(module, inputs))
    found = jax.tree.leaves(operator(module, in_numpy(inputs)))
    assert all(isinstance(leaf, jax.Array) for leaf in found)
    assert_same(found, expected)


SCORED = [op for op in DISTINCT if op.name.startswith(("topk", "sag_", "edge"))]


@pytest.mark.parametrize(**named(SCORED))
def test_scores_take_numpy_arrays_and_edges_with_lists(operator: Variant):
    pool, (x, edge_index, *_) = operator.module(), random_inputs()
    expected = pool.score(x, edge_index)
    assert_same(pool.score(*map(np.asarray, (x, edge_index))), expected)
    assert_same(pool.score(x, EdgeIndex.of(edge_index, len(x))), expected)


@pytest.mark.parametrize(**named(SMOOTH))
def test_the_check_of_gradients_of_jax_runs(operator: Variant):
    inputs, module = random_inputs(), operator.module()

    def floats(x):
        out = operator(module, inputs._replace(x=x))
        return eqx.filter(out, eqx.is_inexact_array)

    check_grads(floats, (inputs.x,), order=1, atol=3e-2, rtol=3e-2)


LAYERS = {
    "Linear": lambda x: Linear(3, 2, key=KEY)(x),
    "PReLU": lambda x: PReLU()(x),
    "Activation": lambda x: Activation("elu")(x),
    "GRUCell": lambda x: GRUCell(3, 3, key=KEY)(x, x),
    "LSTMCell": lambda x: LSTMCell(3, 3, key=KEY)(x, (x, x)),
    "Sequential": lambda x: Sequential([Linear(3, 2, key=KEY), jnp.tanh])(x),
    "Embedding": lambda x: Embedding(4, 3, key=KEY)((x > 0).astype(np.int32)),
    "JumpingKnowledge": lambda x: JumpingKnowledge("max")([x, x]),
    "GraphSequential": lambda x: GraphSequential("x", [(Linear(3, 2, key=KEY), "x -> x")])(x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_takes_numpy_arrays(name):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    found, expected = LAYERS[name](x), LAYERS[name](jnp.asarray(x))
    assert_same(jax.tree.leaves(found), jax.tree.leaves(expected))


def test_bare_batches_and_keyword_arguments_may_be_numpy():
    x, index = np.ones((4, 3), np.float32), np.array([0, 0, 1, 1])
    edges, pool = np.array([[0, 1], [1, 0]]), TopKPooling(3, key=KEY)
    assert global_mean_pool(x, index).shape == (2, 3)
    out = pool(x=x, edge_index=edges, batch=index, edge_attr=np.ones(2, np.float32))
    assert int(out.num_kept) == 2
    assert out.edge_attr.dtype == jnp.float32


def test_symbolic_shapes_are_refused_in_one_sentence():
    pool = TopKPooling(4, key=KEY)
    nodes, edges = jax.export.symbolic_shape("n, e")
    x = jax.ShapeDtypeStruct((nodes, 4), jnp.float32)
    edge_index = jax.ShapeDtypeStruct((2, edges), jnp.int32)
    message = "shapes must be numbers, .* got the symbolic shape .*; export one program for each"
    with pytest.raises(ValueError, match=message):
        jax.export.export(jax.jit(lambda x, e: pool(x, e).x))(x, edge_index)
    with pytest.raises(ValueError, match=message):
        jax.export.export(jax.jit(global_mean_pool))(x)


UNCHECKED = """
import jax, numpy as np
from jraphx_eqx.nn.conv import GCNConv
from jraphx_eqx.nn.pool import TopKPooling, global_mean_pool
x, edges = np.ones((3, 4), np.float32), np.array([[0, 1], [1, 2]])
pool, conv = TopKPooling(4, key=jax.random.key(0)), GCNConv(4, 2, key=jax.random.key(0))
print(pool(x, edges).x.shape, conv(x, edges).shape, global_mean_pool(x).shape)
wrong = {
    "x": lambda: pool(x.tolist(), edges),
    "edge_index": lambda: pool(x, edges.tolist()),
    "edge_attr": lambda: pool(x, edges, edge_attr=[1.0, 2.0]),
    "batch": lambda: pool(x, edges, batch=[0, 0, 0]),
    "conv x": lambda: conv(x.tolist(), edges),
    "edge_weight": lambda: conv(x, edges, [1.0, 2.0]),
    "readout x": lambda: global_mean_pool(x.tolist()),
}
for name, call in wrong.items():
    try:
        call()
    except ValueError as error:
        print(name, "|", error)
"""


@pytest.mark.parametrize("way", ["python -O", "JAXTYPING_DISABLE"])
def test_without_the_checks_of_types_arrays_are_taken_and_lists_refused_by_us(way, tmp_path):
    options = ["-O"] if way == "python -O" else []
    environment = {**os.environ, "JAXTYPING_DISABLE": "0" if options else "1"}
    # Elsewhere there may be bytecode with the checks, which Python would take.
    fresh = ["-X", f"pycache_prefix={tmp_path}"]
    command = [sys.executable, *fresh, *options, "-c", UNCHECKED]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    shapes, *messages = child.stdout.splitlines()
    assert shapes == "(2, 4) (3, 2) (1, 4)"
    expected = ["x", "edge_index", "edge_attr", "batch", "conv x", "edge_weight", "readout x"]
    assert [message.partition(" |")[0] for message in messages] == expected
    for name, message in zip(expected, messages, strict=True):
        argument = name.split()[-1]
        end = f"{argument} must be an array, got list; write jnp.asarray({argument})"
        assert message.endswith(end), message
