"""Conversions of graphs and batches between PyTorch Geometric and this package, bit by bit."""

import functools
import re
import warnings

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data
from jraphx_eqx.interop import from_pyg, to_pyg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyG's import warns of what PyTorch has deprecated.
    import torch
    import torch_geometric.data as pyg_data


def graph(num_nodes, num_edges, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    return pyg_data.Data(
        x=torch.tensor(rng.normal(size=(num_nodes, 2)), dtype=torch.float32),
        edge_index=torch.tensor(rng.integers(0, max(num_nodes, 1), (2, num_edges))),
        **kwargs,
    )


def test_data_keeps_its_order_and_sorts_attributes_by_level():
    theirs = graph(3, 5, y=torch.tensor([2]), pos=torch.rand(3, 3), edge_attr=torch.rand(5, 2))
    theirs.train_mask = torch.tensor([True, False, True])
    theirs.edge_weight = torch.arange(5.0)
    theirs.weight = 0.5
    theirs.energy = torch.rand(1, 4)
    ours = from_pyg(theirs)
    for name in ("x", "edge_index", "edge_attr", "pos"):
        np.testing.assert_array_equal(getattr(ours, name), theirs[name].numpy())
    assert ours.y.shape == () and ours.y == 2
    assert {level: sorted(names) for level, names in ours.extras.items()} == {
        "node": ["train_mask"],
        "edge": ["edge_weight"],
        "graph": ["energy", "weight"],
    }
    assert ours.extras["graph"]["weight"] == 0.5
    np.testing.assert_array_equal(ours.extras["graph"]["energy"], theirs.energy[0].numpy())


def test_data_shares_no_memory():
    theirs = graph(3, 4)
    ours = from_pyg(theirs)
    before = ours.x.copy()
    theirs.x.zero_()
    np.testing.assert_array_equal(ours.x, before)


def test_labels_of_nodes_go_to_extras_but_that_of_a_graph_of_one_node_is_its_own():
    labels = from_pyg(graph(3, 4, y=torch.tensor([5, 6, 7])))
    assert labels.y is None
    np.testing.assert_array_equal(labels.extras["node"]["y"], [5, 6, 7])
    assert from_pyg(graph(1, 0, y=torch.tensor([5]))).y == 5
    assert from_pyg(graph(3, 4, y=1)).y == 1
    np.testing.assert_array_equal(from_pyg(graph(3, 4, y=torch.tensor([1.0, 2]))).y, [1, 2])


def ours_with_everything(num_nodes, num_edges, seed=0):
    rng = np.random.default_rng(seed)
    return Data(
        x=rng.normal(size=(num_nodes, 2)).astype(np.float32),
        edge_index=rng.integers(0, max(num_nodes, 1), (2, num_edges)),
        edge_attr=rng.normal(size=(num_edges, 3)).astype(np.float32),
        y=np.array([seed, 4]),
        extras={
            "node": {"mask": rng.integers(0, 2, num_nodes) == 1},
            "edge": {"edge_weight": rng.normal(size=num_edges).astype(np.float32)},
            "graph": {"temperature": np.array(seed, np.float32), "energy": np.ones((2, 3))},
        },
    )


def test_our_data_goes_there_and_back():
    for sizes in [(4, 6), (3, 0), (0, 0), (5, 2)]:
        ours = ours_with_everything(*sizes)
        theirs = to_pyg(ours)
        assert theirs.num_nodes == sizes[0] and theirs.validate()
        assert bool(eqx.tree_equal(from_pyg(theirs), ours))


def test_data_without_features_knows_its_number_of_nodes():
    ours = Data(edge_index=np.array([[0], [1]]), num_nodes=5)
    theirs = to_pyg(ours)
    assert theirs.num_nodes == 5
    assert from_pyg(theirs).num_nodes == 5


class Described(pyg_data.Data):
    def __cat_dim__(self, key, value, *args, **kwargs):
        return None if key == "description" else super().__cat_dim__(key, value, *args, **kwargs)


def test_what_a_subclass_stacks_keeps_its_leading_axis():
    one = Described(x=torch.ones(2, 1), edge_index=torch.zeros(2, 0, dtype=torch.long))
    one.description = torch.ones(1, 4)
    assert from_pyg(one).extras["graph"]["description"].shape == (1, 4)
    batch = from_pyg(pyg_data.Batch.from_data_list([one] * 3))
    assert batch.extras["graph"]["description"].shape == (3, 1, 4)


SIZES = [(3, 4), (2, 0), (1, 3), (4, 5)]


def test_a_batch_equals_the_batch_of_its_graphs():
    graphs = []
    for seed, (num_nodes, num_edges) in enumerate(SIZES):
        one = graph(num_nodes, num_edges, seed, y=torch.tensor([[seed, 7]]), weight=seed / 2)
        one.mask = torch.ones(num_nodes, dtype=torch.bool)
        one.edge_weight = torch.arange(float(num_edges))
        one.moments = torch.full((6, 3), float(seed))
        graphs.append(one)
    theirs = pyg_data.Batch.from_data_list(graphs)
    ours = from_pyg(theirs)
    np.testing.assert_array_equal(ours.edge_index, theirs.edge_index)
    np.testing.assert_array_equal(ours.batch.index, theirs.batch)
    assert ours.num_graphs == 4 and ours.y.shape == (4, 2)
    assert ours.extras["graph"]["moments"].shape == (4, 6, 3)
    assert set(ours.extras["node"]) == {"mask"} and set(ours.extras["edge"]) == {"edge_weight"}
    assert_same_batch(ours, Batch.from_data_list([from_pyg(one) for one in graphs]))
    assert_same_pyg_batch(to_pyg(ours), theirs, but={"moments"})


def assert_same_batch(left, right):
    left, right = (
        eqx.tree_at(lambda b: b.batch.index, b, b.batch.index.astype(jnp.int32))
        for b in (left, right)
    )
    assert bool(eqx.tree_equal(left, right))


def assert_same_pyg_batch(left, right, but=()):
    assert set(left.keys()) == set(right.keys()) and left.num_graphs == right.num_graphs
    for name in set(left.keys()) - set(but):
        assert torch.equal(torch.as_tensor(left[name]), torch.as_tensor(right[name])), name
    for mine, other in zip(left.to_data_list(), right.to_data_list(), strict=True):
        for name in set(other.keys()) - {*but, "weight"}:
            assert torch.equal(torch.as_tensor(mine[name]), torch.as_tensor(other[name])), name


def test_labels_of_the_nodes_of_a_batch_go_to_extras_even_where_a_graph_has_one_node():
    graphs = [graph(n, e, y=torch.arange(n)) for n, e in SIZES]
    ours = from_pyg(pyg_data.Batch.from_data_list(graphs))
    assert ours.y is None
    np.testing.assert_array_equal(ours.extras["node"]["y"], [0, 1, 2, 0, 1, 0, 0, 1, 2, 3])


def test_labels_of_graphs_of_one_node_are_theirs():
    graphs = [graph(1, e, y=torch.tensor([e])) for e in (0, 2)]
    np.testing.assert_array_equal(from_pyg(pyg_data.Batch.from_data_list(graphs)).y, [0, 2])


def test_a_batch_made_by_hand_is_read_by_its_shapes():
    theirs = pyg_data.Batch(
        x=torch.ones(4, 2),
        edge_index=torch.tensor([[0, 2, 3], [1, 3, 2]]),
        batch=torch.tensor([0, 0, 1, 1]),
        y=torch.tensor([3, 4]),
        mask=torch.ones(4),
        edge_weight=torch.ones(3),
    )
    ours = from_pyg(theirs)
    np.testing.assert_array_equal(ours.y, [3, 4])
    assert set(ours.extras["node"]) == {"mask"} and set(ours.extras["edge"]) == {"edge_weight"}


def test_a_batch_keeps_empty_graphs_and_loses_padding_on_the_way_to_pyg():
    graphs = [ours_with_everything(n, e, i) for i, (n, e) in enumerate([(0, 0), (3, 4), (0, 0)])]
    ours = Batch.from_data_list(graphs)
    theirs = to_pyg(ours.pad(num_nodes=9, num_edges=11, num_graphs=5))
    assert theirs.num_graphs == 3 and theirs.num_nodes == 3
    assert_same_batch(from_pyg(theirs), ours)


def batch_with_rows_of_nothing():
    batch = pyg_data.Batch.from_data_list([graph(3, 4)] * 2)
    batch.w = torch.ones(5)
    return batch


def hetero_batch():
    hetero = pyg_data.HeteroData()
    hetero["a"].x = torch.ones(2, 1)
    return pyg_data.Batch.from_data_list([hetero, hetero])


DATA_REFUSED = {
    "batch": (lambda: graph(2, 1, batch=torch.zeros(2).long()), ValueError, "holds several graphs"),
    "string": (
        lambda: graph(2, 1, name="benzene"),
        ValueError,
        r"name must be a dense tensor, an array or a number, got builtins\.str; remove it",
    ),
    "sparse": (
        lambda: graph(2, 1, adj=torch.eye(2).to_sparse()),
        ValueError,
        "adj must be a dense",
    ),
    "indices": (
        lambda: graph(2, 1, train_index=torch.tensor([0])),
        ValueError,
        "train_index cannot be converted: PyG shifts it",
    ),
    "no edges": (
        lambda: pyg_data.Data(x=torch.ones(2, 1)),
        ValueError,
        r"Data must have an edge_index; for graphs without",
    ),
    "no edges in a batch": (
        lambda: pyg_data.Batch.from_data_list([pyg_data.Data(x=torch.ones(2, 1), y=1)]),
        ValueError,
        r"DataBatch must have an edge_index",
    ),
    "hetero batch": (hetero_batch, TypeError, r"HeteroDataBatch \(it has nodes of several types"),
    "ragged": (
        lambda: pyg_data.Batch.from_data_list(
            [graph(3, 4, w=torch.ones(2)), graph(3, 4, w=torch.ones(5))]
        ),
        ValueError,
        r"w must have a row for each node, .*got \[2, 5\] rows",
    ),
    "added later": (
        batch_with_rows_of_nothing,
        ValueError,
        r"w must have a row for each node, edge or graph of the batch, got shape \(5,\)",
    ),
}


@pytest.mark.parametrize("name", DATA_REFUSED)
def test_data_without_a_twin_is_refused_with_the_reason(name):
    make, error, message = DATA_REFUSED[name]
    with pytest.raises(error, match=message):
        from_pyg(make())


def test_our_data_that_pyg_cannot_hold_is_refused():
    one = functools.partial(Data, np.ones((2, 1)), np.array([[0], [1]]))
    with pytest.raises(ValueError, match=re.escape("extras['edge']['mask'] must have another n")):
        to_pyg(one(extras={"node": {"mask": np.ones(2)}, "edge": {"mask": np.ones(1)}}))
    with pytest.raises(ValueError, match=re.escape("extras['graph']['x'] must have another name")):
        to_pyg(one(extras={"graph": {"x": np.ones(2)}}))
    with pytest.raises(ValueError, match="my_index cannot be converted"):
        to_pyg(one(extras={"node": {"my_index": np.ones(2)}}))
    with pytest.raises(ValueError, match="a Batch of no graphs has no twin"):
        to_pyg(Batch.from_data_list([]))
    with pytest.raises(IndexError):
        pyg_data.Batch.from_data_list([])
    unsorted = Batch(
        jnp.ones((2, 1)), jnp.zeros((2, 0), int), batch=BatchVector(jnp.array([1, 0]), 2)
    )
    with pytest.raises(ValueError, match="the nodes of the Batch must be ordered by graph"):
        to_pyg(unsorted)
