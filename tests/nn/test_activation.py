import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.nn._activation import activation, leaky_relu

# name: {x: (value, slope)}, as torch gives them.
E = np.e
POINTS = {
    "celu": {0: (0, 1), 2: (2, 1), -1: (1 / E - 1, 1 / E)},
    "elu": {0: (0, 1), 2: (2, 1), -1: (1 / E - 1, 1 / E)},
    "gelu": {0: (0, 0.5), 1: (0.841344746, 1.083315470)},
    "hard_shrink": {0.5: (0, 0), -0.5: (0, 0), 0.75: (0.75, 1), 0: (0, 0)},
    "hard_sigmoid": {-3: (0, 0), 0: (0.5, 1 / 6), 3: (1, 0)},
    "hard_swish": {-3: (0, 0), 0: (0, 0.5), 1.5: (1.125, 1), 3: (3, 1)},
    "hardtanh": {-1: (-1, 0), 0.5: (0.5, 1), 1: (1, 0)},
    "identity": {-2: (-2, 1), 0: (0, 1)},
    "leaky_relu": {-2: (-0.02, 0.01), 0: (0, 0.01), 2: (2, 1)},
    "log_sigmoid": {0: (-np.log(2), 0.5), -30: (-30, 1)},
    "mish": {0: (0, 0.6), 1: (0.865098388, 1.049036220)},
    "relu": {-1: (0, 0), 0: (0, 0), 1: (1, 1)},
    "relu6": {0: (0, 0), 3: (3, 1), 6: (6, 0)},
    "selu": {0: (0, 1.758099341), 1: (1.050700987, 1.050700987)},
    "sigmoid": {0: (0.5, 0.25)},
    "silu": {0: (0, 0.5), 1: (0.731058579, 0.927670512)},
    "softplus": {0: (np.log(2), 0.5), 21: (21, 1)},
    "softshrink": {0.5: (0, 0), -0.5: (0, 0), 0.75: (0.25, 1), -1: (-0.5, 1)},
    "softsign": {0: (0, 1), 1: (0.5, 0.25), -3: (-0.75, 0.0625)},
    "swish": {0: (0, 0.5), 1: (0.731058579, 0.927670512)},
    "tanh": {0: (0, 1), 0.5: (0.462117157, 0.786447733)},
    "tanhshrink": {0: (0, 0), 0.5: (0.037882843, 0.213552267)},
}


@pytest.mark.parametrize("name", POINTS)
def test_values_and_slopes_are_those_of_torch_at_the_kinks_too(name):
    x = jnp.array(list(POINTS[name]), jnp.float32)
    value, slope = jax.jit(lambda x: jax.jvp(activation(name), (x,), (jnp.ones_like(x),)))(x)
    expected_value, expected_slope = np.array(list(POINTS[name].values())).T
    np.testing.assert_allclose(value, expected_value, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", POINTS)
def test_dtypes_stay(name, x64):
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64):
        with jax.numpy_dtype_promotion("strict"):
            out = jax.eval_shape(activation(name), jax.ShapeDtypeStruct((2,), dtype))
            assert out.dtype == dtype


def test_case_and_separators_make_no_difference():
    for name in ("LeakyReLU", "leaky_relu", "LEAKY-RELU", "leaky relu"):
        assert activation(name) is leaky_relu


def test_softplus_becomes_the_identity_at_20_as_in_torch(x64):
    softplus = activation("softplus")
    x = jnp.array([20.0, 20.5, 1000.0])
    np.testing.assert_array_equal(softplus(x)[1:], x[1:])
    assert softplus(x)[0] > 20
    np.testing.assert_array_equal(jax.vmap(jax.grad(softplus))(x)[1:], [1, 1])


@pytest.mark.parametrize(("dtype", "one"), [("float32", 9.011), ("float64", 19.062)])
def test_tanh_is_right_to_the_last_bit_near_1(dtype, one, x64):
    x = np.append(np.linspace(2, 25, 4001), one).astype(dtype)
    exact = np.tanh(x.astype(np.longdouble))
    found = np.asarray(jax.jit(activation("tanh"))(jnp.stack([x, -x])))
    np.testing.assert_array_equal(found[1], -found[0])
    assert np.all(np.abs(found[0] - exact) <= 0.51 * np.spacing(exact.astype(dtype) - 1e-3))
    assert found[0, -1] == 1 and found[0, x < one - 0.01].max() < 1


def test_tanh_of_what_is_no_finite_number():
    x = jnp.array([jnp.inf, -jnp.inf, jnp.nan, -0.0])
    value, slope = jax.jvp(activation("tanh"), (x,), (jnp.ones(4),))
    np.testing.assert_array_equal(value, [1, -1, np.nan, 0])
    np.testing.assert_array_equal(slope, [0, 0, np.nan, 1])


def test_callables_are_returned_as_they_are():
    prelu = eqx.nn.PReLU()
    assert activation(prelu) is prelu
    assert activation(leaky_relu) is leaky_relu


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("softmax", "mixes all nodes, of different graphs too; .* pass a callable"),
        ("Softmin", "mixes all nodes"),
        ("log_softmax", "mixes all nodes"),
        ("PReLU", "has parameters"),
        ("rrelu", "is random"),
        ("GLU", "halves the features"),
        ("threshold", "needs a threshold and a value"),
        ("tanhh", "must be a callable or one of 'celu', .*'tanhshrink', got 'tanhh'"),
        (None, "must be a name or a callable, got None; .* 'identity'"),
        (1, "must be a name or a callable, got 1"),
        (eqx.nn.PReLU, "got the class PReLU; pass an instance of it"),
    ],
)
def test_what_cannot_be_an_activation_is_refused_with_the_reason(name, message):
    with pytest.raises(ValueError, match=message):
        activation(name)


def test_gelu_is_computed_as_in_torch(x64):
    gelu = activation("gelu")
    far = jnp.array([-5.8, -6.0, -9.0], jnp.float32)
    np.testing.assert_array_equal(gelu(far), [0, 0, 0])
    # The last is -1e-18 in exact arithmetic; torch's is 0 as well.
    np.testing.assert_allclose(
        gelu(jnp.array([-5.8, -6.0, -9.0], jnp.float64)),
        [-1.9231326542e-08, -5.9195258695e-09, 0],
        rtol=1e-6,
    )
    # Half precision is rounded in the end only: gelu(-3) is -0.00404969.
    half = gelu(jnp.array([-3.0], jnp.float16))
    np.testing.assert_array_equal(half, np.array([-0.00404969], np.float16))
