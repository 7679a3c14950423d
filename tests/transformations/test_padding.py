"""What padding holds changes nothing that is real, bit by bit, in one compiled program."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    BATCHED,
    CONVS,
    KEEPING,
    OPERATORS,
    Inputs,
    Variant,
    assert_same,
    describe,
    edge_mask,
    named,
    node_mask,
    random_inputs,
    run,
)

from jraphx_eqx.data import BatchVector

pytestmark = pytest.mark.usefixtures("quick_compile")

POISONS = [np.nan, np.inf, -np.inf, 1e30, -1.0]


def poisoned(inputs, rows, edges):
    """Padding rows of `x` hold `rows`, and those of `edge_attr` hold `edges`."""
    x = jnp.where(node_mask(inputs)[:, None], inputs.x, rows)
    edge_attr = jnp.where(edge_mask(inputs)[:, None], inputs.edge_attr, edges)
    return inputs._replace(x=x, edge_attr=edge_attr)


def with_padding_indices(inputs, extra):
    """Padding is any index past the end; of an edge, one end is enough."""
    nodes, edges = node_mask(inputs), edge_mask(inputs)
    source, target = np.array(inputs.edge_index)
    some = np.flatnonzero(~edges)
    source[some] += extra
    target[some[::2]] = 0
    source[some[1::2]], target[some[1::2]] = 1, source[some[1::2]]
    batch = jnp.where(nodes, inputs.batch.index, inputs.batch.num_graphs + extra)
    return inputs._replace(
        edge_index=jnp.asarray(np.stack([source, target])),
        batch=BatchVector(batch, inputs.batch.num_graphs),
    )


def assert_nothing_real_changed(operator, inputs, changed):
    before, after = run(operator, inputs), run(operator, changed)
    assert_same(describe(operator, after, changed), describe(operator, before, inputs))
    assert_same(after.parameters, before.parameters)
    assert np.isfinite(after.loss)
    return after


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize(**named(BATCHED))
def test_operators_with_batch_ignore_what_padding_holds(operator: Variant, poison):
    inputs = random_inputs()
    changed = poisoned(inputs, rows=poison, edges=poison)
    after = assert_nothing_real_changed(operator, inputs, changed)
    assert_same(after, run(operator, inputs))
    assert not np.any(np.asarray(after.x)[~node_mask(inputs)])
    assert not np.any(np.asarray(after.edge_attr)[~edge_mask(inputs)])


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize(**named(CONVS))
def test_convolutions_ignore_padding_edges_and_finite_padding_rows(operator: Variant, poison):
    inputs = random_inputs()
    changed = poisoned(inputs, rows=-3.0, edges=poison)
    after = assert_nothing_real_changed(operator, inputs, changed)
    assert not np.any(np.asarray(after.x)[~node_mask(inputs)])
    assert not np.any(np.asarray(after.edge_attr)[~edge_mask(inputs)])


@pytest.mark.parametrize(**named(OPERATORS))
def test_every_index_past_the_end_is_padding(operator: Variant):
    inputs = random_inputs()
    changed = with_padding_indices(inputs, extra=5)
    assert not np.array_equal(changed.edge_index, inputs.edge_index)
    changed = poisoned(changed, rows=0.0, edges=np.nan)
    assert_nothing_real_changed(operator, inputs, changed)


@pytest.mark.parametrize(**named(KEEPING))
def test_padding_of_a_pooled_batch_is_zero_and_comes_last(operator: Variant):
    inputs = poisoned(random_inputs(), rows=np.nan, edges=np.nan)
    out = run(operator, inputs).out
    kept, size = int(out.num_kept), len(out.perm)
    assert 0 < kept < size
    assert_same(out.perm[kept:], np.full(size - kept, len(inputs.x), np.int32))
    assert_same(out.batch.index[kept:], np.full(size - kept, inputs.batch.num_graphs, np.int32))
    assert np.all(out.perm[:kept] < len(inputs.x))
    assert not np.any(out.x[kept:]) and not np.any(out.score[kept:])
    real = np.all(out.edge_index < kept, axis=0)
    assert 0 < real.sum() < edge_mask(inputs).sum()
    assert np.all(out.edge_index[:, ~real] == size)
    assert not np.any(out.edge_attr[~real])


@pytest.mark.parametrize(**named([pool for pool in KEEPING if not pool.minor]))
def test_stacked_pools_ignore_what_padding_holds(operator: Variant):
    """The padding that the first pool makes is padding to the second one."""
    pool = operator.module()
    trained = eqx.is_inexact_array

    @eqx.filter_jit
    def twice(parameters, x, edge_attr, inputs):
        def loss(leaves):
            parameters, x, edge_attr = leaves
            model = eqx.combine(parameters, pool)
            once = operator(model, inputs._replace(x=x, edge_attr=edge_attr))
            x, edge_index, edge_attr, batch, _ = once
            again = operator(model, Inputs(x, edge_index, edge_attr, batch))
            lifted = once.lift(again.lift(again.x))
            return jnp.sum(jnp.sin(lifted)) + jnp.sum(again.edge_attr), again

        return eqx.filter_value_and_grad(loss, has_aux=True)((parameters, x, edge_attr))

    inputs = random_inputs()
    parameters = eqx.filter(pool, trained)
    clean = twice(parameters, inputs.x, inputs.edge_attr, inputs)
    for poison in POISONS:
        changed = poisoned(inputs, rows=poison, edges=poison)
        assert_same(twice(parameters, changed.x, changed.edge_attr, changed), clean)
    (_, again), gradients = clean
    assert int(again.num_kept) > 0
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradients)[:1])


def test_the_poison_test_catches_a_late_mask():
    """Masking after the arithmetic gives right values and NaN gradients."""

    def late(x, batch):
        return jnp.where(batch.node_mask[:, None], jnp.sqrt(jnp.square(x)), 0)

    def build(dtype, key):
        return late

    operator = Variant("late", build, lambda f, inputs: f(inputs.x, inputs.batch), "conv")
    inputs = random_inputs()
    with pytest.raises(AssertionError):
        assert_nothing_real_changed(operator, inputs, poisoned(inputs, 0.0, 0.0))
        changed = run(operator, poisoned(inputs, np.nan, 0.0))
        assert not np.any(np.asarray(changed.x)[~node_mask(inputs)])
