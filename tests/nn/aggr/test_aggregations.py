"""What is true of every aggregation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn import Sequential, aggr, trainable
from jraphx_eqx.nn.models import MLP

pytestmark = pytest.mark.usefixtures("quick_compile")

GRAPHS, WIDTH = 4, 3
SIZES = (3, 0, 5, 1)
KEY = jax.random.key(0)

LAYERS = {
    "sum": aggr.SumAggregation(),
    "mean": aggr.MeanAggregation(),
    "max": aggr.MaxAggregation(),
    "min": aggr.MinAggregation(),
    "mul": aggr.MulAggregation(),
    "var": aggr.VarAggregation(),
    "std": aggr.StdAggregation(),
    "variance preserving": aggr.VariancePreservingAggregation(),
    "softmax": aggr.SoftmaxAggregation(0.5, learn=True),
    "softmax semi": aggr.SoftmaxAggregation(semi_grad=True),
    "power mean": aggr.PowerMeanAggregation(1.5, learn=True),
    "median": aggr.MedianAggregation(),
    "quantile": aggr.QuantileAggregation([0.3, 0.6]),
    "sort": aggr.SortAggregation(2),
    "set2set": aggr.Set2Set(WIDTH, 2, key=KEY),
    "attentional": aggr.AttentionalAggregation(
        MLP([WIDTH, 4, 1], act="tanh", norm="graph_norm", key=KEY),
        Sequential([MLP([WIDTH, 4], plain_last=False, act="tanh", key=KEY)]),
    ),
    "deep sets": aggr.DeepSetsAggregation(
        MLP([WIDTH, 4], key=KEY), lambda x: jnp.tanh(x[:, :2] * x[:, 2:])
    ),
    "multi": aggr.MultiAggregation(
        ["mean", aggr.LCMAggregation(WIDTH, WIDTH, key=KEY)],
        mode="attn",
        mode_kwargs={"in_features": WIDTH, "out_features": 4, "num_heads": 2},
        key=KEY,
    ),
    "degree scaler": aggr.DegreeScalerAggregation(
        ["mean", "max"], ["identity", "attenuation", "linear"], np.array([0, 1, 3])
    ),
    "lstm": aggr.LSTMAggregation(WIDTH, 2, bidirectional=True, key=KEY),
    "gru": aggr.GRUAggregation(WIDTH, 2, key=KEY),
    "mlp": aggr.MLPAggregation(WIDTH, 2, 5, key=KEY),
    "set transformer": aggr.SetTransformerAggregation(WIDTH, 2, layer_norm=True, key=KEY),
    "graph multiset transformer": aggr.GraphMultisetTransformer(WIDTH, 2, key=KEY),
    "equilibrium": aggr.EquilibriumAggregation(WIDTH, 2, [4], grad_iter=2, key=KEY),
    "patch transformer": aggr.PatchTransformerAggregation(
        WIDTH, 2, 2, 4, aggr=["mean", "max", "std"], key=KEY
    ),
}
# They read rows in their order, and so are not the same for others.
ORDERED = ("multi", "lstm", "gru", "mlp", "patch transformer")


def random_rows(seed=0):
    rng = np.random.default_rng(seed)
    index = np.full(12, GRAPHS)
    index[np.sort(rng.permutation(12)[: sum(SIZES)])] = rng.permutation(np.repeat(range(4), SIZES))
    return rng.normal(size=(12, WIDTH)).astype(np.float32), index


def with_padding(x, index, value):
    x = np.where((index < GRAPHS)[:, None], x, value)
    return jnp.asarray(x), BatchVector(jnp.asarray(index, jnp.int32), GRAPHS)


@eqx.filter_jit
def run(layer, x, batch):
    def loss(given):
        out = given[0](given[1], batch)
        return jnp.sum(jnp.sin(out)), out

    (_, out), gradients = eqx.filter_value_and_grad(loss, has_aux=True)((layer, x))
    return out, gradients


@pytest.mark.parametrize("name", LAYERS)
def test_padding_may_hold_anything_and_batches_come_in_any_order(name):
    layer, (x, index) = LAYERS[name], random_rows()
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        out, gradients = run(layer, *with_padding(x, index, 0))
        assert out.shape[0] == GRAPHS and out.dtype == x.dtype and np.all(np.isfinite(out))
        for leaf in jax.tree.leaves(gradients):
            assert np.all(np.isfinite(leaf))
        assert not np.any(gradients[1][index == GRAPHS])
        for value in (np.nan, np.inf, -1e30):
            found = run(layer, *with_padding(x, index, value))
            for left, right in zip(*map(jax.tree.leaves, (found, (out, gradients))), strict=True):
                np.testing.assert_array_equal(left, right)
    order = np.random.default_rng(1).permutation(12)
    if name in ORDERED:
        order = np.argsort(index, kind="stable")  # those of a graph keep their order
    found, _ = run(layer, *with_padding(x[order], index[order], np.nan))
    np.testing.assert_allclose(found, out, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_each_graph_alone_gives_its_row_of_the_batch_and_eager_is_as_jitted(name):
    if name == "attentional":
        pytest.skip("its batch norm takes all graphs for one")
    layer, (x, index) = LAYERS[name], random_rows()
    whole, _ = run(layer, *with_padding(x, index, np.nan))
    alone = layer(jnp.asarray(x[index == 2]))
    assert alone.shape == (1, *whole.shape[1:])
    np.testing.assert_allclose(alone[0], whole[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: aggr.SoftmaxAggregation(learn=True, semi_grad=True), "semi_grad must be False"),
        (lambda: aggr.SoftmaxAggregation(channels=3), "channels must be 1 where t is not learnt"),
        (lambda: aggr.PowerMeanAggregation(channels=3), "channels must be 1 where p is not"),
        (lambda: aggr.QuantileAggregation([]), "q must hold at least one number"),
        (lambda: aggr.QuantileAggregation(1.5), r"q must be in \[0, 1\], got 1.5"),
        (lambda: aggr.QuantileAggregation(0.5, "cubic"), "interpolation must be one of 'linear'"),
        (lambda: aggr.SortAggregation(0), "k must be at least 1, got 0"),
        (lambda: aggr.Set2Set(3, 0, key=KEY), "processing_steps must be at least 1, got 0"),
        (lambda: aggr.MultiAggregation([]), "aggrs must hold at least one aggregation"),
        (
            lambda: aggr.MultiAggregation(["sum"], mode="prod"),
            "mode must be one of 'cat', .*'prod'",
        ),
        (lambda: aggr.MultiAggregation(["sum"] * 2, [{}]), "one entry for each of 2 aggrs, got 1"),
        (
            lambda: aggr.MultiAggregation(["sum"] * 2, mode="proj"),
            "mode='proj' needs at least two aggrs, key, and in_features and out_features",
        ),
        (lambda: aggr.aggregation_resolver("mode"), "aggr must be one of 'add', .* got 'mode'"),
        (
            lambda: aggr.DegreeScalerAggregation("sum", "log", np.array([1])),
            "scaler must hold some of 'identity', .* got",
        ),
        (lambda: aggr.MLPAggregation(3, 2, 4, num_layers=2, key=KEY), "hidden_features must be"),
        (lambda: aggr.LCMAggregation(3, 2, False, key=KEY), "project must be True where"),
        (lambda: aggr.SetTransformerAggregation(3, heads=2, key=KEY), "heads must divide the 3"),
        (
            lambda: aggr.PatchTransformerAggregation(3, 2, 2, 4, aggr="mul", key=KEY),
            "aggr must hold some of 'sum', .* got 'mul'",
        ),
        (
            lambda: aggr.PatchTransformerAggregation(3, 2, 2, 3, key=KEY),
            "out_features must be even, got 3",
        ),
        (lambda: aggr.AttentionalAggregation(MLP), "gate_nn must be a module or a function"),
    ],
)
def test_wrong_options_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


X = jnp.ones((3, WIDTH))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: aggr.SumAggregation()(X, jnp.zeros(2, jnp.int32)),
            "one entry for each of the 3|'batch'",
        ),
        (lambda: aggr.SumAggregation()(X, jnp.array([0, 1, 2]), 2), "ids below size=2, got 2"),
        (lambda: aggr.SumAggregation()(X, max_rows=0), "max_rows must be at least 1, got 0"),
        (lambda: aggr.SumAggregation()(jnp.ones(())), "x must have at least one axis|'x'"),
        (lambda: aggr.SortAggregation(2)(X[0]), r"x must have shape \(rows, features\), got|'x'"),
        (lambda: aggr.SortAggregation(2)(X[:, :0]), "x must have a feature to sort by"),
        (
            lambda: aggr.SoftmaxAggregation(learn=True, channels=2)(X),
            "x must have 2 features, as given by channels, got 3",
        ),
        (lambda: LAYERS["set2set"](X[:, :2]), "x must have 3 features"),
        (lambda: LAYERS["set2set"](X.astype(jnp.bfloat16)), "dtype of the parameters, float32"),
        (
            lambda: aggr.AttentionalAggregation(lambda x: x[:, :2])(X),
            r"gate_nn must return shape \(3, 1\) or \(3, 3\), got \(3, 2\)",
        ),
        (
            lambda: LAYERS["gru"](X, max_rows=2),
            "batch holds a graph of more than 2 rows; raise max_rows",
        ),
        (lambda: LAYERS["mlp"](jnp.ones((6, WIDTH))), "a graph of more than 5 rows"),
        (
            lambda: LAYERS["patch transformer"](X, max_rows=1),
            "max_rows must be at least the patch_size of 2, got 1",
        ),
        (
            lambda: aggr.MultiAggregation(["sum", aggr.SortAggregation(2)], mode="mean")(X),
            "aggrs must return one shape for mode='mean'",
        ),
        (
            lambda: jax.eval_shape(
                lambda x, index: LAYERS["gru"](x, index, 1000),
                jax.ShapeDtypeStruct((1000, WIDTH), jnp.float32),
                jax.ShapeDtypeStruct((1000,), jnp.int32),
            ),
            "max_rows must be given for a traced batch vector of 1000 rows in 1000 graphs",
        ),
        (
            lambda: eqx.filter_jit(aggr.SumAggregation())(X, jnp.zeros(3, jnp.int32)),
            "size must be given where batch is traced",
        ),
    ],
)
def test_wrong_inputs_are_named(call, message):
    # `RuntimeError` where it is found at run time.
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        call()


ROWS = [name for name, layer in LAYERS.items() if layer.takes_rows]


@pytest.mark.parametrize("name", ROWS)
def test_the_largest_graph_of_a_batch_gives_the_room_and_more_room_changes_nothing(name):
    layer, (x, index) = LAYERS[name], random_rows()
    expected, _ = run(layer, *with_padding(x, index, np.nan))
    batch = BatchVector(jnp.asarray(index, jnp.int32), GRAPHS, max_count=5)
    shape = jax.eval_shape(lambda x: aggr._aggregation.rows_by_graph(x, batch)[0], x)
    assert shape.shape == (GRAPHS, 5, WIDTH)
    out, _ = run(layer, jnp.asarray(x), batch)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("add", aggr.SumAggregation),
        ("Set_2-Set", aggr.Set2Set),
        ("variance preserving", aggr.VariancePreservingAggregation),
        ("GraphMultisetTransformer", aggr.GraphMultisetTransformer),
        (aggr.SumAggregation(), aggr.SumAggregation),
        (["sum", "max"], aggr.MultiAggregation),
    ],
)
def test_aggregations_have_the_names_of_pyg(query, kind):
    options = {"Set_2-Set": (3, 2), "GraphMultisetTransformer": (4, 2)}.get(str(query))
    made = aggr.aggregation_resolver(query, *options, key=KEY) if options else None
    assert isinstance(made or aggr.aggregation_resolver(query), kind)


def test_what_is_not_learnt_is_told_apart():
    scaler = aggr.DegreeScalerAggregation(["median", "mean"], "linear", np.array([0, 1]))
    assert not any(jax.tree.leaves(trainable(scaler)))
    learnt = aggr.DegreeScalerAggregation("sum", "linear", np.array([0, 1]), train_norm=True)
    assert sum(jax.tree.leaves(trainable(learnt))) == 2
