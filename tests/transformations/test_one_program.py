"""An eager call compiles one program for a new shape, and not one for each operation."""

import contextlib
import logging

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DISTINCT, Variant, assert_close, named, random_inputs, run

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn._entry import op_by_op
from jraphx_eqx.nn.conv import GATConv, GINConv
from jraphx_eqx.nn.models import MLP
from jraphx_eqx.nn.norm import call_and_update
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling, global_max_pool, global_mean_pool

pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(0)
EDGES = jnp.array([[0, 1, 2, 3, 4], [1, 2, 0, 4, 3]])


class _Names(logging.Handler):
    def __init__(self):
        super().__init__()
        self.names = []

    def emit(self, record):
        message = record.getMessage()
        if message.startswith("Compiling"):
            self.names.append(message.split()[1])


@contextlib.contextmanager
def programs():
    """The names of what is compiled meanwhile, in a list."""
    jax.clear_caches()
    handler, logger = _Names(), logging.getLogger("jax._src.interpreters.pxla")
    logger.addHandler(handler)
    jax.config.update("jax_log_compiles", True)
    before, logger.propagate = logger.propagate, False
    try:
        yield handler.names
    finally:
        logger.propagate = before
        jax.config.update("jax_log_compiles", False)
        logger.removeHandler(handler)


def features(num_nodes=5):
    return jax.device_put(np.random.default_rng(0).normal(size=(num_nodes, 4)).astype(np.float32))


def batch(num_nodes=5):
    return BatchVector(jax.device_put(np.repeat([0, 1], [3, num_nodes - 3]).astype(np.int32)), 2)


POOLS = {
    "topk": lambda: TopKPooling(4, key=KEY),
    "topk min_score": lambda: TopKPooling(4, min_score=0.1, key=KEY),
    "sag gcn": lambda: SAGPooling(4, key=KEY),
    "sag gat": lambda: SAGPooling(4, gnn="gat", key=KEY),
}
BATCHES = {"none": lambda: None, "bare": lambda: batch().index, "known": batch}
PAIRS = [("topk", "none"), ("topk", "bare"), *((name, "known") for name in POOLS)]


@pytest.mark.parametrize(("name", "given"), PAIRS)
def test_an_eager_pool_is_one_program(name, given):
    pool, x, index = POOLS[name](), features(), BATCHES[given]()
    with programs() as names:
        out = pool(x, EDGES, batch=index)
        again = pool(x, EDGES, batch=index)
    assert names == ["jit(__call__)"]
    assert jnp.array_equal(out.perm, again.perm)


def test_the_count_sees_a_program_for_each_operation():
    pool, x = TopKPooling(4, key=KEY), features()
    with programs() as names, op_by_op():
        pool(x, EDGES)
    assert len(names) > 20
    with programs() as names, jax.disable_jit():
        pool(x, EDGES)
    assert len(names) > 20


def test_an_equal_pool_and_equal_shapes_take_the_program_that_is_there():
    x = features()
    with programs() as names:
        for key in range(3):
            TopKPooling(4, key=jax.random.key(key))(x, EDGES)
    assert names.count("jit(__call__)") == 1


@pytest.mark.parametrize("function", [global_mean_pool, global_max_pool])
def test_an_eager_readout_is_one_program(function):
    x, index = features(), batch()
    with programs() as names:
        function(x, index)
    assert len(names) == 1


def test_an_eager_model_is_one_program_and_not_one_for_each_layer():
    model, x, index = MLP([4, 8, 8, 2], norm="graph_norm", key=KEY), features(), batch()
    with programs() as names:
        model(x, index)
    assert len(names) == 1


def test_gradients_and_vmap_of_an_eager_call_take_few_programs():
    pool, x, index = SAGPooling(4, key=KEY), features(), batch()
    with programs() as names:
        gradient = jax.grad(lambda x: pool(x, EDGES, batch=index).x[0, 0])(x)
    assert 2 <= names.count("jit(__call__)") + names.count("jit(fun_wrapped)") <= len(names) <= 8
    with op_by_op():
        expected = jax.grad(lambda x: pool(x, EDGES, batch=index).x[0, 0])(x)
    assert_close(gradient, expected)
    many = jnp.stack([x, -x])
    with programs() as names:
        found = jax.vmap(lambda x: pool(x, EDGES, batch=index).perm)(many)
    assert len(names) <= 2
    for one, row in zip(many, found, strict=True):
        assert jnp.array_equal(row, pool(one, EDGES, batch=index).perm)


@pytest.mark.parametrize(**named(DISTINCT))
def test_one_program_gives_what_single_operations_give(operator: Variant):
    inputs = random_inputs()
    assert_close(operator(operator.module(), inputs), run(operator, inputs).out)


def test_inside_of_a_program_nothing_is_wrapped():
    pool = SAGPooling(4, key=KEY)
    program = jax.make_jaxpr(lambda x: pool(x, EDGES).x)(features())
    assert "name=__call__" not in str(program)
    assert "device_put" not in str(program)
    eager = jax.make_jaxpr(lambda x: jax.jit(lambda x: pool(x, EDGES).x)(x))(features())
    assert str(eager).count("jit[") >= 1


def test_functions_and_layers_of_others_see_values():
    seen = []

    def own(x):
        seen.append(isinstance(x, jax.core.Tracer))
        return jnp.tanh(x)

    class Scorer(eqx.Module):
        def __call__(self, x, edge_index):
            return own(jnp.sum(x, axis=1))

    x = features()
    TopKPooling(4, nonlinearity=own, key=KEY)(x, EDGES)
    SAGPooling(4, gnn=Scorer(), key=KEY)(x, EDGES)
    SAGPooling(4, gnn=lambda x, edge_index: own(x[:, 0]), key=KEY)(x, EDGES)
    GINConv(4, 4, own)(x, EDGES)
    assert seen == [False] * 4


def test_errors_are_those_of_the_call():
    pool, x = TopKPooling(4, key=KEY), features()
    with pytest.raises(ValueError, match="x must have 4 features"):
        pool(x[:, :3], EDGES)
    with pytest.raises(ValueError, match="batch must have one entry for each of the 5 nodes"):
        pool(x, EDGES, batch=jnp.zeros(3, jnp.int32))
    with pytest.raises(ValueError, match="batch must hold ids below size=1, got 1"):
        pool(x, EDGES, batch=batch().index, size=1)
    with pytest.raises(ValueError, match="batch must not hold negative ids"):
        pool(x, EDGES, batch=batch().index - 1)
    with pytest.raises(RuntimeError, match="raise max_nodes"):
        jax.block_until_ready(pool(x, EDGES, batch=batch(), max_nodes=1))
    with pytest.raises(TypeError, match="unexpected keyword argument 'nodes'"):
        pool(x, EDGES, nodes=1)


def test_statistics_of_an_eager_call_are_collected_and_no_tracers():
    mlp, x = MLP([4, 3, 2], norm="batch_norm", key=KEY), features()
    _, after = call_and_update(mlp, x, batch())
    leaves = jax.tree.leaves(eqx.filter(after, eqx.is_array))
    assert not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
    assert not eqx.tree_equal(after, mlp)


def test_debug_infs_raises_no_alarm_of_our_own_infinities():
    x, index = features(), batch()
    calls = {
        "max": lambda: global_max_pool(x, index),
        "min_score": lambda: TopKPooling(4, min_score=0.1, key=KEY)(x, EDGES, batch=index).x,
        "gat": lambda: GATConv(4, 2, key=KEY)(x, EDGES),
        "gradient": lambda: jax.grad(lambda x: global_max_pool(x, index).sum())(x),
    }
    with jax.debug_infs(True):
        for call in calls.values():
            assert np.isfinite(call()).all()
