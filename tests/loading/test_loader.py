"""Batches of one shape: every graph once an epoch, in an order that can be had again."""

import dataclasses
import pickle
import threading

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, Data, EdgeIndex
from jraphx_eqx.loading import Budget, Loader, LoaderState, budget

SIZES = [3, 5, 1, 4, 2, 6, 0, 3, 5, 2]


def graph(num_nodes, label, edges=None):
    """A ring, or as many of its edges as wanted, whose features name the graph."""
    node = np.arange(num_nodes)
    edge_index = np.stack([node, np.roll(node, -1)]).astype(np.int32)[:, :edges]
    x = np.stack([np.full(num_nodes, label), node], axis=1).astype(np.float32)
    extras = {"node": {"id": node.astype(np.int32)}, "graph": {"weight": np.float32(label / 2)}}
    edge_attr = np.full(edge_index.shape[1], label, np.float32)
    return Data(x, edge_index, edge_attr, y=label, extras=extras)


GRAPHS = [graph(size, label) for label, size in enumerate(SIZES)]
ROOM = Budget(num_nodes=9, num_edges=10, num_graphs=3, max_count=6)


def labels(batch):
    return np.asarray(batch.y)[np.asarray(batch.graph_mask)].tolist()


def epoch(loader):
    return [labels(batch) for batch in loader]


def order_of(loader):
    return [label for batch in loader for label in labels(batch)]


def test_a_batch_is_what_padding_by_hand_gives():
    loader = Loader(GRAPHS, ROOM, shuffle=False)
    batches = list(loader)
    assert [labels(batch) for batch in batches] == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9]]
    for batch in batches:
        by_hand = Batch.from_data_list([GRAPHS[i] for i in labels(batch)]).pad(**ROOM.sizes)
        assert eqx.tree_equal(batch, by_hand)
    with_checks = Batch(batch.x, batch.edge_index, batch=batch.batch, graph_mask=batch.graph_mask)
    assert with_checks.num_nodes == 9


def test_every_graph_comes_once_an_epoch_in_an_order_of_its_own():
    loader = Loader(GRAPHS, ROOM)
    orders = [order_of(loader) for _ in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    again = Loader(GRAPHS, ROOM)
    assert [order_of(again) for _ in range(3)] == orders
    assert order_of(Loader(GRAPHS, ROOM, seed=1)) != orders[0]


def test_all_batches_have_one_shape_and_make_one_program():
    loader = Loader(GRAPHS, ROOM)
    traces = []

    @jax.jit
    def total(batch):
        traces.append(1)
        return jnp.sum(batch.x)

    sums = [total(batch) for _ in range(2) for batch in loader]
    assert len(traces) == 1
    expected = sum(float(np.sum(one.x)) for one in GRAPHS)
    assert float(sum(sums)) == 2 * expected


def test_an_epoch_goes_on_where_it_was_left():
    loader = Loader(GRAPHS, ROOM)
    whole = [epoch(loader) for _ in range(3)]
    loader = Loader(GRAPHS, ROOM)
    epoch(loader)
    for number, _ in enumerate(loader, 1):
        if number == 2:
            break
    state = loader.state()
    assert state == (1, 2)
    other = Loader(GRAPHS, ROOM)
    other.restore(state)
    assert epoch(other) == whole[1][2:]
    assert epoch(other) == whole[2]
    assert other.state() == (3, 0)


def test_a_state_that_was_taken_after_the_last_batch_ends_the_epoch():
    loader = Loader(GRAPHS, ROOM)
    number = len(loader)
    for _ in loader:
        state = loader.state()
    assert state == (0, number)
    loader.restore(state)
    assert epoch(loader) == []
    assert loader.state() == (1, 0)


def test_without_restore_an_epoch_that_was_left_begins_again():
    loader = Loader(GRAPHS, ROOM)
    first = labels(next(iter(loader)))
    assert epoch(loader)[0] == first


def test_the_state_is_written_with_the_model(tmp_path):
    state = LoaderState(3, 2)
    assert pickle.loads(pickle.dumps(state)) == state
    eqx.tree_serialise_leaves(tmp_path / "state.eqx", (jnp.ones(2), state))
    _, read = eqx.tree_deserialise_leaves(tmp_path / "state.eqx", (jnp.ones(2), LoaderState()))
    loader = Loader(GRAPHS, ROOM)
    loader.restore(read)
    assert loader.state() == state


def test_a_sampler_of_the_users_own_makes_the_order():
    def rare_ones_more_often(rng):
        return rng.choice(10, 20, p=np.array([10, *[1] * 9]) / 19)

    loader = Loader(GRAPHS, ROOM, sampler=rare_ones_more_often)
    first, second = order_of(loader), order_of(loader)
    assert len(first) == 20 and first != second
    assert first.count(0) > 3
    loader.restore(LoaderState())
    assert order_of(loader) == first


def test_stacked_batches_hold_what_the_single_ones_hold():
    single = list(Loader(GRAPHS, ROOM))
    stacked = list(Loader(GRAPHS, ROOM, stack=3))
    assert len(single) in (4, 5) and len(stacked) == 2
    for number, batch in enumerate(single):
        one = jax.tree.map(lambda array, n=number: array[n % 3], stacked[number // 3])
        assert eqx.tree_equal(one, batch)
    empty = jax.tree.map(lambda array: array[2], stacked[1])
    assert not empty.graph_mask.any() and not empty.node_mask.any() and not empty.edge_mask.any()


def test_batches_are_put_where_they_should_be():
    mesh = jax.make_mesh((1,), ("device",))
    sharding = jax.NamedSharding(mesh, jax.P("device"))
    (batch, *_) = Loader(GRAPHS, ROOM, stack=1, device=sharding)
    assert batch.x.sharding == sharding and batch.x.shape == (1, 9, 2)


def test_large_graphs_have_a_room_of_their_own():
    room = Budget(9, 10, 3, 4, beyond=Budget(12, 12, 3, 6))
    batches = list(Loader(GRAPHS, room, shuffle=False))
    assert [(batch.num_nodes, labels(batch)) for batch in batches] == [
        (9, [0, 2, 3]),
        (12, [1, 5]),
        (9, [4, 6, 7]),
        (12, [8]),
        (9, [9]),
    ]
    assert [batch.batch.max_count for batch in batches] == [4, 6, 4, 6, 4]
    assert len(list(Loader(GRAPHS, room, shuffle=False, stack=2))) == 3


def test_64_bit_types_stay_where_they_are_switched_on(x64):
    graphs = [Data(np.ones((2, 1)), np.array([[0], [1]])) for _ in range(3)]
    (batch,) = Loader(graphs, Budget(6, 3, 3, 2))
    assert batch.x.dtype == jnp.float64 and batch.edge_index.dtype == jnp.int64


def test_64_bit_types_become_32_bit_types_otherwise():
    graphs = [Data(np.ones((2, 1)), np.array([[0], [1]]), y=1) for _ in range(3)]
    (batch,) = Loader(graphs, Budget(6, 3, 3, 2))
    dtypes = {array.dtype.name for array in (batch.x, batch.edge_index, batch.y)}
    assert dtypes == {"float32", "int32"}
    assert eqx.tree_equal(batch, Batch.from_data_list(graphs).pad(max_count=2))


def test_an_integer_that_does_not_fit_is_refused():
    large = Data(np.ones((1, 1), np.float32), np.zeros((2, 0), np.int32), y=np.int64(2**40))
    with pytest.raises(ValueError, match="fit into int32, got 1099511627776"):
        Loader([large], Budget(2, 2, 2, 2))


def test_graphs_are_made_when_they_are_asked_for():
    asked = []

    class Made:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            asked.append(int(index))
            return GRAPHS[index]

    loader = Loader(Made(), ROOM, shuffle=False)
    assert asked == [0, 1, 2, 3]
    assert epoch(loader) == [[0, 1, 2], [3]]
    assert asked == 2 * [0, 1, 2, 3]


def test_a_budget_has_room_for_average_graphs_and_for_the_largest():
    room = budget(GRAPHS, 2)
    assert (room.num_nodes, room.num_edges, room.num_graphs, room.max_count) == (7, 7, 3, 6)
    assert budget(GRAPHS, 1).num_nodes == 6  # the largest, not the average of 3.1
    assert budget(GRAPHS, 2, slack=1.5).num_nodes == 10
    assert room == Budget(7, 7, 3, 6) and hash(room) == hash(Budget(7, 7, 3, 6))


def test_a_budget_of_several_rooms_grows_to_the_largest_graph():
    graphs = [graph(size, 0) for size in [2] * 30 + [10, 40]]
    rooms = budget(graphs, 2, buckets=3).rooms
    assert [(room.num_nodes, room.max_count) for room in rooms] == [(7, 2), (16, 10), (40, 40)]
    assert len(budget(graphs[:30], 2, buckets=3).rooms) == 1
    held = sum(
        len(np.asarray(b.graph_mask).nonzero()[0])
        for b in Loader(graphs, budget(graphs, 2, buckets=3))
    )
    assert held == 32


def test_a_budget_says_what_is_padding():
    text = str(budget(GRAPHS, 2))
    assert text.startswith("7 nodes, 7 edges, 3 graphs of at most 6 nodes\n10 graphs in ")
    batches = list(Loader(GRAPHS, budget(GRAPHS, 2)))
    # Seed 0 and epoch 0 are another order, so the number of batches may differ by one.
    assert abs(int(text.split(" graphs in ")[1].split()[0]) - len(batches)) <= 1
    assert " % of the nodes and " in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: [], "graphs must hold at least one graph, got none"),
        (lambda g: [*g, 3], "graph 10 must be a Data, got int"),
        (lambda g: [*g, graph(7, 0)], "graph 10 must fit the budget .* 7 nodes and 7 edges"),
        (
            lambda g: [*g, Data(edge_index=np.zeros((2, 0), int), num_nodes=2)],
            "graph 0 has .*, but graph 10 has none",
        ),
        (
            lambda g: [Data(g[0].x, g[0].edge_index), Data(g[0].x[:, :1], g[0].edge_index)],
            r"x of graph 1 has rows of shape \(1,\)",
        ),
        (
            lambda g: [Data(g[0].x, g[0].edge_index), Data(g[0].x.astype(int), g[0].edge_index)],
            "x of graph 1 has dtype int64",
        ),
        (
            lambda g: [Data(g[0].x, g[0].edge_index), Data(g[0].x * np.nan, g[0].edge_index)],
            "x of graph 1 must be finite",
        ),
    ],
)
def test_a_data_set_that_makes_no_batches_is_refused_at_once(change, message):
    with pytest.raises(ValueError, match=message):
        Loader(change(GRAPHS), ROOM, check_finite=True)


def test_nan_is_taken_unless_it_is_checked():
    graphs = [Data(np.full((2, 1), np.nan), np.zeros((2, 0), int))]
    (batch,) = Loader(graphs, ROOM)
    assert bool(jnp.isnan(batch.x[:2]).all()) and not bool(jnp.isnan(batch.x[2:]).any())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stack": 0}, "stack must be at least 1, got 0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"shuffle": False, "sampler": lambda rng: [0]}, "shuffle must not be False with"),
        ({"sampler": lambda rng: [10]}, r"sampler must give indices in \[0, 10\)"),
        ({"sampler": lambda rng: [-1]}, r"sampler must give indices in \[0, 10\)"),
        ({"sampler": lambda rng: [0.5]}, "sampler must give the indices"),
        ({"sampler": lambda rng: []}, "sampler must give the indices"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        list(Loader(GRAPHS, ROOM, **options))


@pytest.mark.parametrize("workers", [2, 50])
def test_batches_are_the_same_for_any_number_of_workers(workers):
    one, several = Loader(GRAPHS, ROOM), Loader(GRAPHS, ROOM, workers=workers)
    assert [epoch(several), epoch(several)] == [epoch(one), epoch(one)]
    for _ in several:
        break
    several.restore(several.state())
    assert len(epoch(several)) == len(epoch(one)) - 1
    assert several.state() == one.state()


def test_several_workers_read_at_once():
    together = threading.Barrier(3, timeout=20)

    class Read:
        def __len__(self):
            return 9

        def __getitem__(self, index):
            if armed:
                together.wait()
            return GRAPHS[0]

    armed = []
    loader = Loader(Read(), Budget(4, 8, 1, 3), workers=3)
    armed.append(True)
    assert len(list(loader)) == 9


@pytest.mark.parametrize("state", [(0, 99), (-1, 0), (0, -1)])
def test_a_state_of_another_loader_is_refused(state):
    with pytest.raises(ValueError, match="state must be one of this loader"):
        Loader(GRAPHS, ROOM).restore(LoaderState(*state))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2, "slack": 0.5}, "slack must be at least 1, got 0.5"),
        ({"batch_size": 2, "buckets": 0}, "buckets must be at least 1, got 0"),
        ({"batch_size": 2, "graphs": []}, "graphs must hold at least one graph, got none"),
        ({"batch_size": 2, "graphs": [None]}, "graph 0 must be a Data, got NoneType"),
    ],
)
def test_a_budget_of_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        budget(**{"graphs": GRAPHS} | arguments)


def test_a_budget_without_room_is_refused():
    with pytest.raises(ValueError, match="num_graphs must be at least 1, got 0"):
        Budget(3, 3, 0, 3)
    with pytest.raises(ValueError, match="num_edges must be at least 0, got -1"):
        Budget(3, -1, 1, 3)


def test_an_error_of_reading_reaches_the_loop():
    files = dict(enumerate(GRAPHS))

    class Broken:
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return files[int(index)]

    loader = Loader(Broken(), ROOM, shuffle=False)
    del files[9]
    with pytest.raises(KeyError, match="9"):
        list(loader)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_loader_is_pickled_where_it_stands(shuffle):
    loader, whole = (Loader(GRAPHS, ROOM, shuffle=shuffle) for _ in range(2))
    next(iter(loader))
    again = pickle.loads(pickle.dumps(loader))
    again.restore(again.state())
    assert epoch(again) == epoch(whole)[1:]
    assert epoch(again) == epoch(whole)


def wheel(num_spokes):
    """A hub that everything points at, and that points at everything."""
    rim = np.arange(1, num_spokes + 1)
    hub = np.zeros_like(rim)
    return Data(edge_index=np.stack([np.r_[rim, hub], np.r_[hub, rim]]), num_nodes=num_spokes + 1)


def test_lists_of_neighbours_are_those_of_the_edges():
    graphs = [wheel(number) for number in (5, 1, 9, 4, 2, 7)]
    room = budget(graphs, 2, neighbours=True)
    assert room.columns == 3 and room.num_late >= 6 and "3 neighbours and" in str(room)
    batches = list(Loader(graphs, room))
    assert sum(int(batch.graph_mask.sum()) for batch in batches) == 6
    for batch in batches:
        want = EdgeIndex.of(batch.edge_index, room.num_nodes, room.columns, room.num_late)
        assert eqx.tree_equal(batch.edges, want)
        # They would be those of other edges.
        assert dataclasses.replace(batch, edge_index=batch.edge_index[::-1]).neighbours is None
        assert batch.pad(num_nodes=99).neighbours is None


def test_stacks_and_lazy_graphs_have_lists_as_well():
    graphs = [wheel(number) for number in (5, 1, 9, 4, 2)]

    class Made:
        def __len__(self):
            return len(graphs)

        def __getitem__(self, index):
            return graphs[index]

    room = budget(Made(), 2, neighbours=True)
    stacked = [Loader(given, room, stack=2, shuffle=False) for given in (graphs, Made())]
    for batch, same in zip(*stacked, strict=True):
        assert eqx.tree_equal(batch, same)
        for half in range(2):
            edges = jax.tree.map(lambda array, half=half: array[half], batch).edges
            want = EdgeIndex.of(edges.index, room.num_nodes, room.columns, room.num_late)
            assert eqx.tree_equal(edges, want)


def test_edges_beyond_the_columns_end_a_batch_and_must_fit():
    room = Budget(100, 100, 10, 10, columns=1, num_late=8)
    assert [int(batch.graph_mask.sum()) for batch in Loader([wheel(5)] * 3, room)] == [2, 1]
    with pytest.raises(ValueError, match="18 edges, 8 of them beyond the columns"):
        Loader([wheel(5), wheel(9)], Budget(100, 100, 10, 10, columns=1, num_late=4))


def test_without_lists_the_edges_are_a_plain_array():
    graphs = [wheel(3)]
    (batch,) = Loader(graphs, budget(graphs, 1))
    assert batch.neighbours is None and batch.edges is batch.edge_index
