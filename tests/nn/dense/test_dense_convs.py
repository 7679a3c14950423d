"""Two graphs on paper: a path 0 → 1 → 2 by rows, and a node beside padding."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.nn import Linear, trainable
from jraphx_eqx.nn.dense import (
    DenseGATConv,
    DenseGCNConv,
    DenseGINConv,
    DenseGraphConv,
    DenseSAGEConv,
)

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
X = jnp.array([[[1.0], [2.0], [4.0]], [[3.0], [jnp.nan], [jnp.nan]]])
ADJ = jnp.zeros((2, 3, 3)).at[0, 0, 1].set(2.0).at[0, 1, 2].set(1.0)
MASK = jnp.array([[True, True, True], [True, False, False]])


def with_ones(layer):
    """All weights are 1, and biases and what attends 0."""
    ones = jax.tree.map(lambda leaf: jnp.ones_like(leaf) if eqx.is_array(leaf) else leaf, layer)
    names = ("bias", "att_src", "att_dst")
    for name in names:
        if getattr(ones, name, None) is not None:
            ones = eqx.tree_at(lambda o, n=name: getattr(o, n), ones, replace_fn=jnp.zeros_like)
    return ones


def rows(layer, **options):
    out = with_ones(layer)(X, ADJ, MASK, **options)
    assert out.shape == (2, 3, 1)
    return out[:, :, 0].ravel()


def test_gcn_by_hand():
    # The degrees are 3, 2 and 1 with the loops.
    out = rows(DenseGCNConv(1, 1, key=KEY))
    expected = [1 / 3 + 2 * 2 / 6**0.5, 2 / 2 + 4 / 2**0.5, 4, 3, 0, 0]
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    improved = rows(DenseGCNConv(1, 1, improved=True, key=KEY))
    np.testing.assert_allclose(improved[2:4], [2 * 4 / 2, 2 * 3 / 2], rtol=1e-6)


def test_sage_and_graph_by_hand():
    np.testing.assert_allclose(
        rows(DenseSAGEConv(1, 1, bias=False, key=KEY)), [1 + 2, 2 + 4, 4, 3, 0, 0]
    )
    graph = {
        "add": [1 + 2 * 2, 2 + 4, 4, 3, 0, 0],
        "mean": [1 + 2, 2 + 4, 4, 3, 0, 0],
        # Over columns, and without the weights.
        "max": [1, 2 + 1, 4 + 2, 3, 0, 0],
    }
    for aggr, expected in graph.items():
        out = rows(DenseGraphConv(1, 1, aggr, bias=False, key=KEY))
        np.testing.assert_allclose(out, expected)


def test_gat_averages_where_all_attention_is_equal():
    np.testing.assert_allclose(rows(DenseGATConv(1, 1, key=KEY)), [1.5, 3, 4, 3, 0, 0])
    alone = rows(DenseGATConv(1, 1, key=KEY), add_loop=False)
    np.testing.assert_allclose(alone, [2, 4, 0, 0, 0, 0])
    layer = DenseGATConv(1, 1, 3, False, dropout=0.5, key=KEY)
    with pytest.raises(ValueError, match="key must be given in training"):
        layer(X, ADJ)
    assert layer(X, ADJ, MASK, key=KEY).shape == (2, 3, 1)


def test_gin_by_hand():
    layer = DenseGINConv(1, 1, Linear(1, 1, False, key=KEY), eps=1.0)
    assert not trainable(layer).eps and trainable(layer).nn.weight
    layer = eqx.tree_at(lambda layer: layer.nn.weight, layer, jnp.ones((1, 1)))
    out = layer(X, ADJ, MASK)[:, :, 0].ravel()
    np.testing.assert_allclose(out, [2 + 4, 4 + 4, 8, 6, 0, 0])
    np.testing.assert_allclose(layer(X, ADJ, MASK, False)[0, :, 0], [4, 4, 0])


def test_one_graph_needs_no_axis_and_one_matrix_is_for_all():
    layer = DenseSAGEConv(1, 1, key=KEY)
    whole = layer(X, ADJ[:1], MASK)
    np.testing.assert_allclose(layer(X[0], ADJ[0])[0], whole[0], rtol=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: DenseGCNConv(0, 1, key=KEY), "in_features must be at least 1, got 0"),
        (lambda: DenseGraphConv(1, 1, "min", key=KEY), "aggr must be one of 'add', 'mean', 'max'"),
        (lambda: DenseGATConv(1, 1, dropout=1.0, key=KEY), r"dropout must be a probability in"),
        (lambda: DenseGINConv(1, 1, Linear), "nn must be a module or a function"),
        (lambda: DenseGCNConv(2, 1, key=KEY)(X, ADJ), r"x must have shape \(\.\.\., 2\)"),
        (lambda: DenseGCNConv(1, 1, key=KEY)(X, ADJ[:, :2, :2]), r"adj must have shape \(2, 3, 3"),
    ],
)
def test_bad_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
