import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import state_dict
from jraphx_eqx.nn.models import GraphUNet

KEY = jax.random.key(0)
# A ring of six nodes, both ways, and three isolated ones.
RING = np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]], np.int32)
EDGES = jnp.asarray(np.concatenate([RING, RING[::-1]], axis=1))
X = jax.random.normal(KEY, (9, 3))
BATCH = BatchVector(jnp.array([0] * 6 + [1] * 3, jnp.int32), 2)


@pytest.fixture(scope="module")
def unet():
    return GraphUNet(3, 4, 2, depth=2, key=KEY)


def test_its_parameters_have_the_names_of_pyg(unet):
    convs = [f"{way}.{i}" for way, n in (("down_convs", 3), ("up_convs", 2)) for i in range(n)]
    names = [f"{conv}.{name}" for conv in convs for name in ("lin.weight", "bias")]
    names += [f"pools.{i}.select.weight" for i in range(2)]
    assert set(state_dict(unet)) == set(names)


def test_a_lowered_room_for_paths_is_enough_or_an_error(unet):
    call = eqx.filter_jit(lambda unet, room: unet(X, EDGES, BATCH, max_paths=room))
    counts = eqx.filter_jit(unet.count_paths)(X, EDGES, BATCH)
    # Of the six nodes three are kept: at most three paths out of each, two of which end elsewhere.
    assert 0 < int(counts[0]) <= 12
    expected = eqx.filter_jit(unet)(X, EDGES, BATCH)
    assert np.any(expected != 0)
    enough = tuple(int(count) for count in counts)
    np.testing.assert_allclose(call(unet, enough), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(eqx.EquinoxRuntimeError, match=r"level 0 than max_paths=1 has room for"):
        jax.block_until_ready(call(unet, 1))


def test_counts_with_too_little_room_are_right_up_to_the_first_level_that_exceeds_it(unet):
    whole = eqx.filter_jit(unet.count_paths)(X, EDGES, BATCH)
    few = eqx.filter_jit(unet.count_paths)(X, EDGES, BATCH, max_paths=1)
    assert few[0] == whole[0] > 1


def test_without_a_lowered_room_there_is_no_callback(unet):
    arrays, static = eqx.partition(unet, eqx.is_array)

    def text(room):
        call = lambda arrays: eqx.combine(arrays, static)(X, EDGES, BATCH, max_paths=room)  # noqa: E731
        return str(jax.make_jaxpr(call)(arrays))

    assert "callback" not in text(None) and "callback" not in text(10**9)
    assert "callback" in text(4)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([0.7, 0.5], [0.7, 0.5, 0.5]),
        ([0.7], [0.7, 0.7, 0.7]),
        ((0.9, 3, 0.5, 0.1), [0.9, 3, 0.5]),
    ],
)
def test_too_few_ratios_end_with_the_last_and_too_many_are_cut_as_in_pyg(ratios, expected):
    unet = GraphUNet(3, 4, 2, depth=3, pool_ratios=ratios, key=KEY)
    assert [pool.select.ratio for pool in unet.pools] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"depth": 2, "pool_ratios": []}, "pool_ratios must be one ratio or several, got none"),
        ({"depth": 1, "act": "softmax"}, "mixes all nodes"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GraphUNet(3, 4, 2, **options, key=KEY)


def test_calls_that_do_not_fit_are_refused(unet):
    with pytest.raises(ValueError, match="one for each of the 2 levels, got 3"):
        unet(X, EDGES, BATCH, max_paths=(1, 2, 3))
    with pytest.raises(ValueError, match="x must have 3 features"):
        unet(X[:, :2], EDGES, BATCH)
