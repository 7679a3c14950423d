"""What the compiled programs are made of: counted, because times are noisy."""

import collections

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling, global_max_pool, global_mean_pool

NODES, EDGES, GRAPHS, FEATURES = 48, 96, 4, 8
# Adding to one of these numbers makes the layer slower for everybody: think twice.
EXPECTED = {
    "topk": {"sort": 1, "scatter": 1, "scatter-add": 1, "gather": 7},
    "topk min_score": {"sort": 0, "scatter": 1, "scatter-add": 4, "gather": 7},
    "sag gcn": {"sort": 1, "scatter": 1, "scatter-add": 3, "gather": 9},
    "mean": {"sort": 0, "scatter-add": 2, "gather": 0},
    "max": {"sort": 0, "scatter-max": 1, "scatter-add": 1, "gather": 0},
}


def program(name):
    key = jax.random.key(0)
    x = jnp.ones((NODES, FEATURES))
    edge_index = jnp.zeros((2, EDGES), jnp.int32)
    batch = BatchVector(jnp.zeros(NODES, jnp.int32), GRAPHS)
    pools = {
        "topk": TopKPooling(FEATURES, key=key),
        "topk min_score": TopKPooling(FEATURES, min_score=0.1, key=key),
        "sag gcn": SAGPooling(FEATURES, gnn="gcn", key=key),
    }
    readouts = {"mean": global_mean_pool, "max": global_max_pool}
    if name in readouts:
        return jax.make_jaxpr(readouts[name])(x, batch)
    arrays, static = eqx.partition(pools[name], eqx.is_array)

    def call(arrays, x, edge_index, batch):
        return eqx.combine(arrays, static)(x, edge_index, batch=batch)

    return jax.make_jaxpr(call)(arrays, x, edge_index, batch)


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(equation.params, is_leaf=is_program):
            if is_program(value):
                yield from equations(getattr(value, "jaxpr", value))


def is_program(value):
    return hasattr(value, "eqns")


@pytest.mark.parametrize("name", EXPECTED)
def test_the_program_has_no_more_sorts_scatters_and_gathers_than_it_needs(name):
    counts = collections.Counter(e.primitive.name for e in equations(program(name).jaxpr))
    assert {primitive: counts[primitive] for primitive in EXPECTED[name]} == EXPECTED[name]


@pytest.mark.parametrize("name", ["topk", "sag gcn"])
def test_nodes_are_ordered_by_one_sort_of_one_integer_operand(name):
    sorts = [e for e in equations(program(name).jaxpr) if e.primitive.name == "sort"]
    (operands,) = [sort.invars for sort in sorts]
    assert [operand.aval.dtype.name for operand in operands] == ["uint64"]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_float32_program_computes_nothing_in_float64(name):
    results = [out.aval for e in equations(program(name).jaxpr) for out in e.outvars]
    assert {a.dtype.name for a in results if jnp.issubdtype(a.dtype, jnp.floating)} == {"float32"}
