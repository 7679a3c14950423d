"""Layers and models by hand-worked numbers, and what they refuse."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx import nn
from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.conv import GCNConv, GINConv
from jraphx_eqx.nn.models import GAT, GCN, MLP, GraphSequential, JumpingKnowledge
from jraphx_eqx.nn.pool import TopKPooling, global_mean_pool

pytestmark = pytest.mark.usefixtures("quick_compile")
KEY = jax.random.key(0)
X = jnp.array([[1.0, -2.0], [3.0, 4.0], [0.0, 1.0]])
EDGES = jnp.array([[0, 1], [1, 2]])
NO_EDGES = jnp.zeros((2, 0), jnp.int32)


def test_gin_adds_the_neighbours_to_one_plus_epsilon_times_the_node():
    conv = GINConv(2, 2, lambda x: x, eps=0.5)
    np.testing.assert_allclose(conv(X, EDGES), [[1.5, -3.0], [5.5, 4.0], [3.0, 5.5]])


def test_epsilon_gets_a_gradient_only_if_it_is_trained():
    for trained in (True, False):
        conv = GINConv(2, 2, lambda x: x, train_eps=trained)
        slope = eqx.filter_grad(lambda conv: jnp.sum(conv(X, EDGES)))(conv).eps
        np.testing.assert_allclose(slope, [7.0 if trained else 0.0])


def test_an_index_past_the_end_of_an_embedding_is_padding():
    table = nn.Embedding(3, 2, padding_idx=1, key=KEY)
    out = table(jnp.array([0, 1, 5]))
    np.testing.assert_array_equal(out[0], table.weight[0])
    assert not np.any(out[1:])
    slope = eqx.filter_grad(lambda table: jnp.sum(table(jnp.array([0, 1, 5]))))(table).weight
    np.testing.assert_array_equal(slope, [[1, 1], [0, 0], [0, 0]])


def test_jumping_knowledge_puts_layers_side_by_side_or_takes_the_largest():
    cat, largest = JumpingKnowledge("cat"), JumpingKnowledge("max")
    np.testing.assert_array_equal(cat([X, -X]), jnp.concatenate([X, -X], axis=1))
    np.testing.assert_array_equal(largest([X, -X]), jnp.abs(X))
    slope = jax.grad(lambda x: jnp.sum(largest([x, x])))(X)
    np.testing.assert_array_equal(slope, jnp.ones_like(X))


def test_of_equal_layers_the_first_gets_the_gradient_of_the_largest():
    first, second = jax.grad(lambda xs: jnp.sum(JumpingKnowledge("max")(xs)))([X, X])
    np.testing.assert_array_equal(first, jnp.ones_like(X))
    np.testing.assert_array_equal(second, jnp.zeros_like(X))


def identity_maps(model):
    """`model` with weights that change nothing, so that only dropout does."""
    maps = [leaf for leaf in jax.tree.leaves(model, is_leaf=is_linear) if is_linear(leaf)]
    return eqx.tree_at(lambda model: weights(model), model, [jnp.eye(len(m.weight)) for m in maps])


def is_linear(leaf):
    return isinstance(leaf, nn.Linear | eqx.nn.Linear)


def weights(model):
    return [m.weight for m in jax.tree.leaves(model, is_leaf=is_linear) if is_linear(m)]


def mlp():
    return MLP([64] * 3, dropout=[0.5, 0.5], norm=None, act=None, bias=False, key=KEY)


DROPPING = {  # and how often each entry meets dropout
    "mlp": (lambda: identity_maps(mlp()), (), 2),
    "sequential": (lambda: nn.Sequential([eqx.nn.Dropout(0.5)] * 2), (), 2),
    "nested": (lambda: nn.Sequential([identity_maps(mlp()), eqx.nn.Dropout(0.5)]), (), 3),
    "graph sequential": (
        lambda: GraphSequential("x", [(eqx.nn.Dropout(0.5), "x -> x")] * 2),
        (),
        2,
    ),
    "gnn": (lambda: identity_maps(GCN(64, 64, 3, dropout=0.5, key=KEY)), (NO_EDGES,), 2),
    # Attention, features, attention: those of the attention take whole rows.
    "gat": (lambda: identity_maps(GAT(64, 64, 2, dropout=0.5, key=KEY)), (NO_EDGES,), 3),
}


@pytest.mark.parametrize("name", DROPPING)
def test_each_dropout_of_a_model_draws_numbers_of_its_own(name):
    make, rest, times = DROPPING[name]
    out = eqx.filter_jit(make())(jnp.ones((400, 64)), *rest, key=KEY)
    assert set(np.unique(out)) == {0, 2**times}
    # Rows that are dropped whole are 400 draws: a deviation of at most 0.025.
    assert abs(np.mean(np.asarray(out) > 0) - 0.5**times) < 0.08


WIDTHS = {
    "as wide as hidden": ({}, [(16, 8, True), (16, 16, True)], None),
    "averaged heads": ({"concat": False}, [(32, 8, False), (32, 16, False)], None),
    "other width": ({"out_features": 6}, [(16, 8, True), (12, 16, False)], None),
    "the same width, said": ({"out_features": 16}, [(16, 8, True), (32, 16, False)], None),
    "last": ({"out_features": 6, "jk": "last"}, [(16, 8, True), (16, 16, True)], (6, 16)),
    "cat": ({"out_features": 6, "jk": "cat"}, [(16, 8, True), (16, 16, True)], (6, 32)),
    "max": ({"jk": "max"}, [(16, 8, True), (16, 16, True)], (16, 16)),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_only_a_last_layer_that_makes_out_features_averages_its_heads(name):
    options, convs, lin = WIDTHS[name]
    model = GAT(8, 16, 2, heads=2, **options, key=KEY)
    assert [(*conv.lin.weight.shape, conv.concat) for conv in model.convs] == convs
    assert (None if model.lin is None else model.lin.weight.shape) == lin
    out = model(jnp.ones((3, 8)), EDGES)
    assert out.shape == (3, model.out_features) == (3, options.get("out_features", 16))


def test_a_sequence_keeps_its_order_under_jit_whatever_its_names():
    layers = {"z": (lambda x: x + 1, "x -> y"), "a": (lambda y: 2 * y, "y -> z")}
    model = GraphSequential("x", layers)
    np.testing.assert_array_equal(eqx.filter_jit(model)(X), 2 * (X + 1))
    many = GraphSequential(
        "x", [(lambda x: x, "x -> x")] + [lambda x, i=i: x * 2 + i for i in range(12)]
    )
    np.testing.assert_array_equal(eqx.filter_jit(many)(X), many(X))


def test_a_pooling_in_a_sequence_returns_six_as_in_pyg():
    names = "x, edge_index, edge_attr, batch, perm, score"
    model = GraphSequential(
        "x, edge_index, edge_attr, batch",
        [
            (GCNConv(2, 2, key=KEY), "x, edge_index -> x"),
            nn.Activation("relu"),
            (TopKPooling(2, 2, key=KEY), f"x, edge_index, edge_attr, batch -> {names}"),
            (global_mean_pool, "x, batch -> x"),
        ],
    )
    batch = BatchVector(jnp.zeros(3, jnp.int32), 1)
    assert eqx.filter_jit(model)(X, EDGES, None, batch).shape == (1, 2)
    assert model(x=X, edge_index=EDGES, edge_attr=None, batch=batch).shape == (1, 2)


REFUSED = {
    "gin": (lambda: GINConv(2, 2, MLP), "nn must be a module or a function"),
    "gin width": (
        lambda: GINConv(2, 3, lambda x: x)(X, EDGES),
        "nn must return 3 features for each of the 3 nodes",
    ),
    "linear": (lambda: nn.Linear(3, 2, key=KEY)(X), r"x must have shape \(..., 3\), got \(3, 2\)"),
    "padding_idx": (lambda: nn.Embedding(3, 2, 3, key=KEY), r"padding_idx must be in \[0, 3\)"),
    "activation": (lambda: nn.Activation("sing"), "nonlinearity must be a callable or one of"),
    "softmax": (lambda: nn.Activation("softmax"), "must be given dim="),
    "softmax of nodes": (lambda: nn.Activation("softmax", dim=0), "dim=0 mixes all nodes"),
    "gelu": (lambda: nn.Activation("gelu", approximate="erf"), "approximate must be 'none' or"),
    "no options": (lambda: nn.Activation("relu", slope=1), "must be given no options"),
    "state": (
        lambda: nn.GRUCell(2, 3, key=KEY)(X, X),
        r"hidden must have shape \(3, 3\) for this x, got \(3, 2\)",
    ),
    "mlp": (lambda: MLP([2], key=KEY), "features must hold at least two numbers"),
    "mlp norm": (lambda: MLP([2, 2, 2], norm="pair", key=KEY), "norm must be 'batch_norm', "),
    "mlp bias": (lambda: MLP([2, 2, 2], bias=[True], key=KEY), "bias must be one, or one for each"),
    "dropout": (lambda: MLP([2, 2], dropout=[1.0], key=KEY), "dropout must be a probability in"),
    "act": (lambda: MLP([2, 2], act=jnp.sin, act_kwargs={"a": 1}, key=KEY), "act_kwargs are for"),
    "heads": (lambda: GAT(2, 3, 2, heads=2, key=KEY), "heads must divide 3 features, got 2"),
    "jump": (lambda: JumpingKnowledge("sum"), "mode must be 'cat', 'max' or 'lstm', got 'sum'"),
    "jump lstm": (lambda: JumpingKnowledge("lstm"), "mode='lstm' needs in_features, num_layers"),
    "jump layers": (
        lambda: JumpingKnowledge("lstm", 2, 3, key=KEY)([X, X]),
        "xs must hold 3 layers, got 2",
    ),
    "attributes": (
        lambda: GCN(2, 2, 2, key=KEY)(X, EDGES, edge_attr=jnp.ones((2, 1))),
        "edge_attr must be None: a GCN has no use for it",
    ),
    "signature": (lambda: GraphSequential("x", [(jnp.sin, "x")]), "must be like 'x, edge_index"),
    "first": (lambda: GraphSequential("x", [jnp.sin]), "the first, must have a signature"),
    "empty": (lambda: GraphSequential("x", []), "modules must not be empty"),
    "value": (
        lambda: GraphSequential("x", [(jnp.sin, "y -> x")])(X),
        "module_0 takes 'y', which has no value yet",
    ),
    "arguments": (
        lambda: GraphSequential("x", [(jnp.sin, "x -> x")])(X, x=X),
        "the arguments must",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()
