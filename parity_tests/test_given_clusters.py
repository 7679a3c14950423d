"""Poolings of a given clustering, and of neighbours, beside PyG's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.data as pyg_data
import torch_geometric.nn as pyg
from torch_geometric.nn.pool.pool import pool_edge
from torch_geometric.utils import normalized_cut

from jraphx_eqx.data import Batch, BatchVector, Data
from jraphx_eqx.nn import pool
from jraphx_eqx.nn.pool import avg_pool, max_pool

pytestmark = pytest.mark.usefixtures("quick_compile")

BATCHES, NODES, EDGES, GRAPHS = 60, 33, 121, 4
POOLS = {"max": (max_pool, pyg.max_pool), "avg": (avg_pool, pyg.avg_pool)}


def random_batch(seed):
    """Graphs side by side, whose clusters have any ids; a cluster is inside of one graph."""
    rng = np.random.default_rng([seed, 77])
    sizes = rng.integers(1, NODES // GRAPHS + 1, GRAPHS)
    index = np.repeat(np.arange(GRAPHS), sizes)
    ids = rng.permutation(5 * GRAPHS) * 1000 - 7000
    cluster = ids[5 * index + rng.integers(0, 5, len(index))]
    first = np.cumsum(sizes) - sizes
    edges = [
        rng.integers(0, n, (2, rng.integers(0, EDGES // GRAPHS))) + f
        for n, f in zip(sizes, first, strict=True)
    ]
    edge_index = np.concatenate(edges, axis=1)
    x, pos = rng.normal(size=(len(index), 3)), rng.normal(size=(len(index), 2))
    attr = rng.normal(size=(edge_index.shape[1], 2))
    return x, pos, edge_index, attr, index, cluster


@pytest.mark.parametrize("name", POOLS)
def test_rows_edges_positions_and_gradients_of_random_batches(name):
    ours, theirs = POOLS[name]

    @jax.jit
    def program(batch, cluster):
        def loss(x, pos, edge_attr):
            given = dataclasses.replace(batch, x=x, pos=pos, edge_attr=edge_attr)
            out = ours(cluster, given)
            return sum(jnp.sum(jnp.sin(a)) for a in (out.x, out.pos, out.edge_attr)), out

        at = (batch.x, batch.pos, batch.edge_attr)
        return jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(*at)

    with jax.enable_x64(True):
        for seed in range(BATCHES):
            x, pos, edge_index, attr, index, cluster = random_batch(seed)
            given = [torch.tensor(value, requires_grad=True) for value in (x, pos, attr)]
            data = pyg_data.Batch(
                x=given[0],
                pos=given[1],
                edge_attr=given[2],
                edge_index=torch.tensor(edge_index),
                batch=torch.tensor(index),
            )
            expected = theirs(torch.tensor(cluster), data)
            loss = sum(torch.sin(expected[key]).sum() for key in ("x", "pos", "edge_attr"))
            loss.backward()
            batch = Batch(
                x, edge_index, attr, pos=pos, batch=BatchVector(jnp.asarray(index), GRAPHS)
            )
            batch = batch.pad(NODES, EDGES, GRAPHS + 1)
            padded = jnp.pad(jnp.asarray(cluster), (0, NODES - len(x)), constant_values=-7000)
            gradients, out = program(batch, padded)
            trimmed = out.trim()
            for key in ("x", "pos", "edge_index", "edge_attr"):
                left, right = getattr(trimmed, key), expected[key].detach().numpy()
                assert left.shape == right.shape
                np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-13, err_msg=key)
            np.testing.assert_array_equal(trimmed.batch.index, expected.batch)
            for left, right in zip(gradients, given, strict=True):
                np.testing.assert_allclose(left[: len(right)], right.grad, rtol=1e-12, atol=1e-13)
                assert not np.any(left[len(right) :])


@pytest.mark.parametrize("name", POOLS)
def test_one_graph_without_features_and_positions(name):
    ours, theirs = POOLS[name]
    edges, cluster = np.array([[0, 1, 2, 2], [1, 2, 0, 2]]), np.array([5, 5, 2])
    out = ours(jnp.asarray(cluster), Data(edge_index=edges, num_nodes=3)).trim()
    expected = theirs(
        torch.tensor(cluster), pyg_data.Data(edge_index=torch.tensor(edges), num_nodes=3)
    )
    np.testing.assert_array_equal(out.edge_index, expected.edge_index)
    assert out.x is None and expected.x is None


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("clusters", [None, 5])
def test_features_alone(name, clusters):
    ours, theirs = (getattr(module, f"{name}_pool_x") for module in (pool, pyg))
    x, *_, index, cluster = random_batch(0)
    if clusters:  # Those of a graph are next to each other.
        cluster = 5 * index + np.random.default_rng(0).integers(0, 4, len(index))
    given = torch.tensor(x, requires_grad=True)
    expected, graphs = theirs(
        *map(torch.tensor, (cluster,)), given, torch.tensor(index), GRAPHS, clusters
    )
    torch.sin(expected).sum().backward()
    with jax.enable_x64(True):
        nodes = NODES - len(x)
        padded = jnp.pad(jnp.asarray(x), ((0, nodes), (0, 0)), constant_values=np.nan)
        batch = BatchVector(jnp.pad(jnp.asarray(index), (0, nodes), constant_values=GRAPHS), GRAPHS)
        cluster = jnp.pad(jnp.asarray(cluster), (0, nodes))

        @jax.jit
        def program(x):
            def loss(x):
                out = ours(cluster, x, batch, clusters)
                return jnp.sum(jnp.sin(out[0])), out

            return jax.grad(loss, has_aux=True)(x)

        gradient, (rows, found) = program(padded)
    number = len(expected)
    np.testing.assert_allclose(rows[:number], expected.detach(), rtol=1e-12)
    assert not np.any(rows[number:]) and not np.any(gradient[len(x) :])
    np.testing.assert_allclose(gradient[: len(x)], given.grad, rtol=1e-12)
    if clusters is None:
        np.testing.assert_array_equal(found.index[:number], graphs)
    else:
        assert found is None and graphs is None


@pytest.mark.parametrize("name", POOLS)
def test_features_of_neighbours(name):
    ours, theirs = (getattr(module, f"{name}_pool_neighbor_x") for module in (pool, pyg))
    x, _, edge_index, _, index, _ = random_batch(1)
    data = pyg_data.Data(x=torch.tensor(x), edge_index=torch.tensor(edge_index))
    expected = theirs(data).x
    with jax.enable_x64(True):
        batch = Batch(x, edge_index, batch=BatchVector(jnp.asarray(index), GRAPHS))
        found = ours(batch.pad(NODES, EDGES, GRAPHS + 1)).x
    np.testing.assert_allclose(found[: len(x)], expected, rtol=1e-12)


def test_normalized_cuts_and_edges_of_clusters():
    _, _, edge_index, attr, index, _ = random_batch(2)
    edges, padded = (
        torch.tensor(edge_index),
        np.pad(edge_index, ((0, 0), (0, 3)), constant_values=99),
    )
    cut = normalized_cut(edges, torch.tensor(attr[:, 0]), len(index))
    cluster = np.arange(len(index)) // 2
    expected = pool_edge(torch.tensor(cluster), edges, torch.tensor(attr), "max")
    with jax.enable_x64(True):
        padded_attr = np.pad(attr, ((0, 3), (0, 0)), constant_values=np.nan)
        found = pool.normalized_cut(padded, padded_attr[:, 0], num_nodes=len(index))
        np.testing.assert_allclose(found[: len(attr)], cut, rtol=1e-12)
        edges, values = pool.pool_edge(cluster, padded, padded_attr, "max")
    number = expected[0].shape[1]
    np.testing.assert_array_equal(np.asarray(edges)[:, :number], expected[0])
    np.testing.assert_allclose(np.asarray(values)[:number], expected[1], rtol=1e-12)
    assert np.all(np.asarray(edges)[:, number:] == len(index))
