"""Room for fewer nodes and edges than there can be: nothing is dropped in silence."""

import dataclasses
import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import TopKPooling, global_add_pool

pytestmark = pytest.mark.usefixtures("quick_compile")

X = jnp.arange(6.0)[:, None] + 1
EDGES = jnp.array([[0, 3, 5, 4, 5], [1, 4, 3, 5, 5]], jnp.int32)
ATTRS = jnp.arange(5.0) + 1
BATCH = BatchVector(jnp.zeros(6, jnp.int32), 1)
# Keeps nodes 5, 4, 3 and the last four edges.
MODES = {"fraction": {"ratio": 0.5}, "count": {"ratio": 3}, "min_score": {"min_score": 0.05}}


def pooled(options, x=X, **limits):
    pool = TopKPooling(1, **options, key=jax.random.key(0))
    pool = eqx.tree_at(lambda pool: pool.select.weight, pool, jnp.ones((1, 1)))
    return pool(x, EDGES, ATTRS, BATCH, **limits)


@pytest.mark.parametrize("mode", MODES)
def test_an_exact_fit_is_what_trim_gives(mode):
    limited = pooled(MODES[mode], max_nodes=3, max_edges=4)
    trimmed = pooled(MODES[mode]).trim()
    assert limited.x.shape == (3, 1) and limited.edge_index.shape == (2, 4)
    for ours, theirs in zip(limited, trimmed, strict=True):
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert not limited.overflow


@pytest.mark.parametrize("limits", [(9, 9), (3, 5)])
def test_room_for_as_many_as_there_can_be_changes_nothing(limits):
    nodes, edges = limits
    free = pooled(MODES["fraction"])
    limited = pooled(MODES["fraction"], max_nodes=nodes, max_edges=edges)
    jax.tree.map(np.testing.assert_array_equal, limited, free)


def test_room_to_spare_is_padding_at_the_end():
    limited = pooled(MODES["min_score"], max_nodes=4, max_edges=5)
    np.testing.assert_array_equal(limited.perm, [3, 4, 5, 6])
    np.testing.assert_array_equal(limited.batch.index, [0, 0, 0, 1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", ["max_nodes", "max_edges"])
def test_what_does_not_fit_is_an_error_in_eager_and_under_jit(mode, limit):
    message = f"{limit}=2 has room for; raise {limit}"
    with pytest.raises(RuntimeError, match=message):
        pooled(MODES[mode], **{limit: 2})
    program = eqx.filter_jit(lambda x: pooled(MODES[mode], x, **{limit: 2}))
    with pytest.raises(RuntimeError, match=message):
        jax.block_until_ready(program(X))


@pytest.mark.parametrize("room", [0, 2])
@pytest.mark.parametrize("limit", ["max_nodes", "max_edges"])
def test_every_part_of_the_output_carries_the_error_and_there_is_a_row_to_carry_it(limit, room):
    @eqx.filter_jit
    def program(part, x):
        return getattr(pooled(MODES["fraction"], x, **{limit: room}), part)

    for part in ("x", "edge_index", "edge_attr", "batch", "perm", "score"):
        with pytest.raises(RuntimeError, match=f"{limit}={room} has room for; raise {limit}"):
            jax.block_until_ready(program(part, X))


@pytest.mark.parametrize("limit", ["max_nodes", "max_edges"])
def test_no_room_for_what_is_kept_is_an_error_in_eager(limit):
    with pytest.raises(RuntimeError, match=f"{limit}=0 has room for; raise {limit}"):
        pooled(MODES["fraction"], **{limit: 0})


def test_no_room_is_an_error_in_a_loss_of_the_features_alone():
    def loss(x):
        out = pooled(MODES["fraction"], x, max_nodes=0)
        return jnp.sum(global_add_pool(out.x, out.batch))

    for function in (loss, jax.grad(loss)):
        with pytest.raises(RuntimeError, match="max_nodes=0 has room for"):
            jax.block_until_ready(eqx.filter_jit(function)(X))


@pytest.mark.parametrize("where", [lambda out: out.select.overflow, lambda out: out.edge_overflow])
def test_trim_keeps_what_overflow_says(where):
    out = pooled(MODES["fraction"])
    assert not out.trim().overflow
    assert eqx.tree_at(where, out, jnp.asarray(True)).trim().overflow


def test_trim_keeps_losses():
    out = pooled(MODES["fraction"])
    out = dataclasses.replace(out, loss={"entropy": jnp.array(3.0)})
    assert out.trim().loss == {"entropy": 3.0}


def test_trim_is_refused_whatever_is_traced():
    out = pooled(MODES["fraction"])
    with pytest.raises(ValueError, match=r"trim\(\) needs values"):
        jax.jit(lambda loss: dataclasses.replace(out, loss={"entropy": loss}).trim())(3.0)


def test_no_room_at_all_is_fine_where_nothing_is_kept():
    nothing = BatchVector(jnp.ones(6, jnp.int32), 1)
    pool = TopKPooling(1, key=jax.random.key(0))
    out = pool(X, EDGES, batch=nothing, max_nodes=0, max_edges=0)
    assert out.x.shape == (1, 1) and out.edge_index.shape == (2, 1) and not out.overflow
    trimmed = out.trim()
    assert trimmed.x.shape == (0, 1) and trimmed.edge_index.shape == (2, 0)


def test_no_room_is_fine_for_graphs_that_have_nothing_to_keep():
    pool, none = TopKPooling(1, key=jax.random.key(0)), jnp.zeros((2, 0), jnp.int32)
    out = pool(X[:0], none, batch=BatchVector(jnp.zeros(0, jnp.int32), 1), max_nodes=0, max_edges=0)
    assert out.x.shape == (0, 1) and out.edge_index.shape == (2, 0) and not out.overflow


SWITCHED_OFF = """
import jax
from test_max_nodes import MODES, X, pooled

for mode in ("fraction", "min_score"):
    for nodes, edges in [(2, 4), (3, 3), (3, 4)]:
        out = jax.jit(lambda x: pooled(MODES[mode], x, max_nodes=nodes, max_edges=edges))(X)
        assert bool(out.overflow) == (nodes < 3 or edges < 4), (mode, nodes, edges)
print("done")
"""


def test_overflow_says_so_where_runtime_errors_are_switched_off():
    environment = {**os.environ, "EQX_ON_ERROR": "nan"}
    here = os.path.dirname(__file__)
    path = [here, *sys.path]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    child = subprocess.run(
        [sys.executable, "-c", SWITCHED_OFF], env=environment, capture_output=True, text=True
    )
    assert child.stdout == "done\n", child.stderr
