import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn import LayerNorm, Sequential, trainable
from jraphx_eqx.nn._entry import op_by_op
from jraphx_eqx.nn.norm import BatchNorm, BatchNorm1d, GraphNorm, call_and_update
from jraphx_eqx.nn.norm import LayerNorm as GraphLayerNorm

pytestmark = pytest.mark.usefixtures("quick_compile")
X = jnp.array([[1.0, 2.0], [3.0, 6.0]])


def test_two_nodes_are_normalised_to_plus_and_minus_one():
    np.testing.assert_allclose(BatchNorm1d(2, eps=0.0)(X), [[-1, -1], [1, 1]])
    np.testing.assert_allclose(GraphNorm(2, eps=0.0)(X), [[-1, -1], [1, 1]])
    np.testing.assert_allclose(LayerNorm(2, eps=0.0)(X), [[-1, 1], [-1, 1]], rtol=1e-6)


def test_running_statistics_take_a_tenth_of_a_batch_and_the_unbiased_variance():
    after = BatchNorm1d(2).update(X)
    np.testing.assert_allclose(after.running_mean, [0.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(after.running_var, [0.9 + 0.2, 0.9 + 0.8], rtol=1e-6)
    assert after.num_batches_tracked == 1


def test_the_statistics_of_a_batch_of_nothing_but_padding_do_not_count():
    norm = BatchNorm1d(2)
    after = norm.update(jnp.full((2, 2), jnp.nan), BatchVector(jnp.array([1, 1]), 1))
    assert bool(eqx.tree_equal(after, norm))


def test_a_norm_that_is_called_twice_is_updated_twice():
    norm = BatchNorm1d(2)
    _, after = call_and_update(lambda x: norm(norm(x)), X)
    model = Sequential([norm])

    class Twice(eqx.Module):
        layer: Sequential

        def __call__(self, x):
            return self.layer(self.layer(x))

    _, after = call_and_update(Twice(model), X)
    with op_by_op():  # As in `call_and_update`: one program would round otherwise.
        expected = norm.update(X).update(norm(X))
    assert bool(eqx.tree_equal(after.layer[0], expected))
    assert after.layer[0].num_batches_tracked == 2


def test_a_model_without_norms_is_just_called():
    model = eqx.nn.Lambda(jnp.sin)
    out, after = call_and_update(model, X)
    np.testing.assert_array_equal(out, jnp.sin(X))
    assert after is model


def test_a_norm_inside_a_transformation_of_the_model_is_an_error_and_no_silence():
    class Scanned(eqx.Module):
        norm: BatchNorm

        def __call__(self, xs):
            return jax.lax.map(self.norm, xs)

    @jax.jit
    def statistics(xs):
        return call_and_update(Scanned(BatchNorm(2)), xs)[1].norm.module.running_mean

    with pytest.raises(jax.errors.UnexpectedTracerError):
        statistics(jnp.stack([X, X]))


def test_weight_decay_leaves_the_statistics_of_trainable_parts_alone():
    model = eqx.tree_at(lambda n: n.module.running_mean, BatchNorm(2), jnp.array([5.0, 7.0]))
    optimiser = optax.adamw(0.1, weight_decay=0.5)
    parameters, rest = eqx.partition(model, trainable(model))
    state = optimiser.init(parameters)
    gradient = jax.grad(lambda p: jnp.sum(eqx.combine(p, rest)(X) ** 2))(parameters)
    updates, _ = optimiser.update(gradient, state, parameters)
    after = eqx.combine(eqx.apply_updates(parameters, updates), rest)
    np.testing.assert_array_equal(after.module.running_mean, [5.0, 7.0])
    np.testing.assert_array_equal(after.module.running_var, [1.0, 1.0])
    assert np.all(after.module.weight != model.module.weight)
    assert trainable(model).module.running_mean is False
    assert trainable(BatchNorm(2, track_running_stats=False)).module.weight is True


def test_no_gradient_reaches_running_statistics():
    norm = eqx.nn.inference_mode(BatchNorm(2))
    gradient = eqx.filter_grad(lambda norm: jnp.sum(norm(X) ** 2))(norm)
    assert not np.any(gradient.module.running_mean) and not np.any(gradient.module.running_var)
    assert np.any(gradient.module.weight)


def test_layer_norm_of_one_graph_has_eps_outside_of_the_root_without_a_batch_vector():
    batch = jnp.zeros(2, jnp.int32)
    norm = GraphLayerNorm(2, eps=1.0)
    deviation = np.sqrt(3.5)  # of 1, 2, 3, 6
    centred = np.asarray(X) - 3
    np.testing.assert_allclose(norm(X), centred / (deviation + 1), rtol=1e-6)
    np.testing.assert_allclose(norm(X, batch), centred / np.sqrt(3.5 + 1), rtol=1e-6)


@pytest.mark.parametrize("norm", [BatchNorm(3), GraphNorm(3), GraphLayerNorm(3)])
def test_widths_and_dtypes_are_checked(norm):
    with pytest.raises(ValueError, match="x must have 3 features, as given by in_features, got 2"):
        norm(X)
    with pytest.raises(ValueError, match="x must have the dtype of the parameters, float32"):
        norm(jnp.ones((2, 3), jnp.float16))


def test_options_are_checked():
    with pytest.raises(ValueError, match="mode must be 'graph' or 'node', got 'edge'"):
        GraphLayerNorm(2, mode="edge")
    with pytest.raises(ValueError, match="allow_single_element needs track_running_stats"):
        BatchNorm(2, track_running_stats=False, allow_single_element=True)
    with pytest.raises(ValueError, match="in_features must be at least 1, got 0"):
        GraphNorm(0)
