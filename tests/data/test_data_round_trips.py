import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jraphx_eqx.data import Batch, BatchVector, Data

FIELDS = ("x", "edge_attr", "y", "pos")
SHAPES = st.sampled_from([(), (1,), (3,), (2, 2), (0,)])
DTYPES = st.sampled_from([np.float32, np.int32, np.bool_, np.float16, jnp.bfloat16, np.uint8])


def numbers(rng, shape, dtype):
    return np.asarray(rng.integers(0, 100, shape)).astype(dtype)


# Strategies only draw plain values: beartype uses `random` when it checks our containers, which
# Hypothesis forbids inside a strategy.
GRAPHS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "sizes": st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=5),
        "rows": st.fixed_dictionaries({name: st.tuples(SHAPES, DTYPES) for name in FIELDS}),
        "absent": st.sets(st.sampled_from(FIELDS)),
        "with_extras": st.booleans(),
    }
)


def build_graphs(seed, sizes, rows, absent, with_extras):
    rng = np.random.default_rng(seed)
    graphs = []
    for num_nodes, wanted_edges in sizes:
        num_edges = wanted_edges if num_nodes else 0
        lead = {"x": (num_nodes,), "pos": (num_nodes,), "edge_attr": (num_edges,), "y": ()}
        fields = {
            name: numbers(rng, lead[name] + shape, dtype)
            for name, (shape, dtype) in rows.items()
            if name not in absent
        }
        extras = {
            "node": {"a": numbers(rng, (num_nodes, 2), np.float32)},
            "edge": {"b": numbers(rng, (num_edges,), np.bool_)},
            "graph": {"c": numbers(rng, (), np.int32), "d": numbers(rng, (2, 0), np.float32)},
        }
        edge_index = rng.integers(0, max(num_nodes, 1), (2, num_edges)).astype(np.int32)
        fields["extras"] = extras if with_extras else None
        graphs.append(Data(edge_index=edge_index, num_nodes=num_nodes, **fields))
    return graphs


def assert_same(left, right):
    ours, theirs = jax.tree.flatten(left), jax.tree.flatten(right)
    assert ours[1] == theirs[1]
    for a, b in zip(ours[0], theirs[0], strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


ROOM = st.tuples(*[st.integers(0, 4)] * 3)


def grow(batch, room):
    return batch.pad(
        num_nodes=batch.num_nodes + room[0],
        num_edges=batch.num_edges + room[1],
        num_graphs=batch.num_graphs + room[2],
    )


@settings(deadline=None, max_examples=60)
@given(GRAPHS, ROOM, ROOM)
def test_collating_padding_twice_and_splitting_gives_the_same_graphs(spec, room, more):
    graphs = build_graphs(**spec)
    batch = Batch.from_data_list(graphs)
    assert_same(batch.to_data_list(), graphs)
    padded = grow(grow(batch, room), more)
    assert_same(padded.trim(), batch)
    assert_same(padded.to_data_list(), graphs)


@settings(deadline=None, max_examples=30)
@given(GRAPHS, ROOM, st.integers(0, 2**32 - 1))
def test_trim_does_not_care_where_padding_sits(spec, room, seed):
    batch = Batch.from_data_list(build_graphs(**spec))
    padded = jax.tree.map(np.asarray, grow(batch, room))
    rng = np.random.default_rng(seed)
    spread = {
        "node": spread_order(rng, batch.num_nodes, padded.num_nodes),
        "edge": spread_order(rng, batch.num_edges, padded.num_edges),
        "graph": spread_order(rng, batch.num_graphs, padded.num_graphs),
    }
    moved = move_rows(padded, spread)
    assert_same(moved.trim(), batch)
    assert_same(grow(moved, room).trim(), batch)


def test_rows_of_many_graphs_in_any_order_split_into_each_graphs_own_order():
    """From 17 rows on, NumPy's default sort no longer keeps the order of equal keys."""
    rng = np.random.default_rng(0)
    rows = {name: ((2,), np.float32) for name in FIELDS}
    graphs = build_graphs(1, [(40, 90), (30, 60), (50, 80)], rows, set(), True)
    batch = jax.tree.map(np.asarray, Batch.from_data_list(graphs))
    order = {
        "node": mixed_order(rng, batch.batch.index),
        "edge": mixed_order(rng, batch.batch.index[batch.edge_index[0]]),
        "graph": np.arange(3),
    }
    mixed = move_rows(batch, order)
    assert np.any(np.diff(mixed.batch.index.__array__()) < 0)
    assert_same(mixed.to_data_list(), graphs)
    assert_same(grow(mixed, (9, 9, 2)).to_data_list(), graphs)
    assert_same(grow(mixed, (9, 9, 2)).trim(), mixed)


def mixed_order(rng, graph):
    """An order of rows that mixes the graphs and keeps the order within each."""
    mixed = rng.permutation(graph)
    order = np.empty(len(graph), int)
    order[np.argsort(mixed, kind="stable")] = np.argsort(graph, kind="stable")
    return order


def spread_order(rng, real, capacity):
    """A permutation of rows that puts padding anywhere and keeps the order of the real rows."""
    order = np.full(capacity, -1)
    order[np.sort(rng.choice(capacity, real, replace=False))] = np.arange(real)
    order[order < 0] = np.arange(real, capacity)
    return order


def move_rows(batch, spread):
    new_node = np.append(np.argsort(spread["node"]), batch.num_nodes).astype(np.int32)
    new_graph = np.append(np.argsort(spread["graph"]), batch.num_graphs).astype(np.int32)

    def moved(level, array):
        return None if array is None else array[spread[level]]

    return Batch(
        x=moved("node", batch.x),
        edge_index=new_node[batch.edge_index[:, spread["edge"]]],
        edge_attr=moved("edge", batch.edge_attr),
        y=moved("graph", batch.y),
        pos=moved("node", batch.pos),
        batch=BatchVector(
            jnp.asarray(new_graph[batch.batch.index[spread["node"]]]),
            batch.num_graphs,
            batch.batch.max_count,
        ),
        graph_mask=moved("graph", batch.graph_mask),
        extras={
            level: {name: moved(level, array) for name, array in arrays.items()}
            for level, arrays in batch.extras.items()
        },
    )
