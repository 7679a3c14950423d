import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data
from jraphx_eqx.interop import state_dict
from jraphx_eqx.nn.models import GraphUNet

pytestmark = pytest.mark.usefixtures("quick_compile")
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


@pytest.mark.full
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


def ring(num_nodes):
    node = np.arange(num_nodes)
    there = np.stack([node, (node + 1) % num_nodes])
    edge_index = np.concatenate([there, there[::-1]], axis=1)
    x = np.random.default_rng(num_nodes).normal(size=(num_nodes, 3)).astype(np.float32)
    return Data(x=x, edge_index=edge_index)


def temporary_bytes(unet, batch):
    call = jax.jit(lambda x, edge_index, batch: unet(x, edge_index, batch))
    lowered = call.lower(batch.x, batch.edge_index, batch.batch)
    return lowered.compile().memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_graphs_and_not_with_their_square(unet):
    few, many = (temporary_bytes(unet, Batch.from_data_list([ring(30)] * n)) for n in (4, 16))
    assert many < 5 * few < 5_000_000


def test_what_is_known_of_the_largest_graph_changes_no_value(unet):
    batch = Batch.from_data_list([ring(n) for n in (9, 4, 6)]).pad(num_nodes=24, num_edges=50)
    call = eqx.filter_jit(unet)
    known = call(batch.x, batch.edge_index, batch.batch)
    # As many paths are few enough to be written out.
    loose = BatchVector(batch.batch.index, 3)
    loose = call(batch.x, batch.edge_index, loose, max_paths=(100, 1000))
    assert np.count_nonzero(known[:19]) > 19 and not np.any(known[19:])
    np.testing.assert_allclose(known, loose, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_counted_paths_suffice_under_jit(unet):
    batch = Batch.from_data_list([ring(12)] * 6)
    counts = unet.count_paths(batch.x, batch.edge_index, batch.batch)
    room = tuple(int(count) for count in counts)
    call = eqx.filter_jit(
        lambda unet, batch: unet(batch.x, batch.edge_index, batch.batch, max_paths=room)
    )
    expected = eqx.filter_jit(unet)(batch.x, batch.edge_index, batch.batch)
    np.testing.assert_allclose(call(unet, batch), expected, rtol=1e-5, atol=1e-6)


def test_more_paths_than_memory_holds_are_refused_before_they_are_made(unet):
    def call(edge_index, index):
        return unet(jnp.zeros((20_000, 3)), edge_index, BatchVector(index, 1000))

    index = jnp.repeat(jnp.arange(1000, dtype=jnp.int32), 20)
    edge_index = jax.ShapeDtypeStruct((2, 40_000), jnp.int32)
    with pytest.raises(ValueError, match="BatchVector with max_count"):
        jax.eval_shape(call, edge_index, index)
    # Where the graphs can be counted, there are not so many.
    assert jax.eval_shape(lambda edges: call(edges, index), edge_index).shape == (20_000, 2)


def test_an_edge_between_graphs_is_an_error_or_nan(unet):
    across = EDGES.at[:, 0].set(jnp.array([0, 7], EDGES.dtype))
    with pytest.raises(ValueError, match="must not join nodes of two graphs, got edge 0"):
        unet(X, across, BATCH)
    assert np.all(np.isnan(eqx.filter_jit(unet)(X, across, BATCH)))


def test_a_graph_that_outgrew_its_bound_under_tracing_is_nan(unet):
    batch = BatchVector(BATCH.index, 2, 6)
    merged = eqx.tree_at(lambda batch: batch.index, batch, jnp.zeros(9, jnp.int32))
    call = eqx.filter_jit(unet)
    assert not np.any(np.isnan(call(X, EDGES, batch)))
    assert np.all(np.isnan(call(X, EDGES, merged)))
