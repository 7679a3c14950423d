"""Greedy matching: the same edges as the loop over all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.ops import _matching, consecutive_cluster, greedy_matching

pytestmark = pytest.mark.usefixtures("quick_compile")


def by_loop(edges, score, num_nodes):
    """PyG's loop, with a stable order."""
    free, taken = np.ones(num_nodes, bool), []
    for edge in np.argsort(-score, kind="stable"):
        source, target = edges[:, edge]
        if source < num_nodes and target < num_nodes and free[source] and free[target]:
            free[[source, target]] = False
            taken.append(edge)
    return taken


def matched(edges, score, num_nodes):
    program = jax.jit(greedy_matching, static_argnums=2)
    found = np.asarray(program(jnp.asarray(edges), jnp.asarray(score), num_nodes))
    assert found.shape == (min(edges.shape[1], num_nodes),)
    count = int(np.sum(found < edges.shape[1]))
    assert np.all(found[count:] == edges.shape[1])
    return found[:count].tolist()


@pytest.mark.parametrize("rounds", [64, 1, 0])
@pytest.mark.parametrize("values", [3, 10_000])
def test_the_edges_are_those_of_the_loop(rounds, values, monkeypatch):
    monkeypatch.setattr(_matching, "_ROUNDS", rounds)
    jax.clear_caches()
    for seed in range(40):
        random = np.random.default_rng(seed)
        edges = random.integers(0, 13, (2, 30)).astype(np.int32)
        score = random.integers(-values, values, 30).astype(np.float32)
        assert matched(edges, score, 12) == by_loop(edges, score, 12)
    jax.clear_caches()


def test_a_long_path_of_equal_scores_takes_every_second_edge():
    nodes = np.arange(1001, dtype=np.int32)
    edges = np.stack([nodes[:-1], nodes[1:]])
    assert matched(edges, np.ones(1000, np.float32), 1001) == list(range(0, 1000, 2))


def test_no_edges_no_nodes_and_padding_only():
    none = np.zeros((2, 0), np.int32)
    assert matched(none, np.zeros(0, np.float32), 3) == []
    assert matched(none, np.zeros(0, np.float32), 0) == []
    assert matched(np.full((2, 4), 3, np.int32), np.ones(4, np.float32), 3) == []


def test_clusters_are_numbered_in_the_order_of_their_ids():
    mask = jnp.array([True, True, True, False, True, True])
    cluster = jnp.array([7, -3, 7, 99, 2_000_000_000, -2_000_000_000], jnp.int32)
    label, total = consecutive_cluster(cluster, mask)
    np.testing.assert_array_equal(label, [2, 1, 2, 6, 3, 0])
    assert total == 4
    label, total = consecutive_cluster(cluster)
    np.testing.assert_array_equal(label, [2, 1, 2, 3, 4, 0])
    assert total == 5


def test_ids_of_64_bits_are_told_apart():
    with jax.enable_x64(True):
        cluster = jnp.array([2**40, 1, 2**40 + 1, -(2**40), 1])
        label, total = consecutive_cluster(cluster)
        np.testing.assert_array_equal(label, [2, 1, 3, 0, 1])
        assert total == 4


def test_no_nodes_have_no_clusters():
    label, total = consecutive_cluster(jnp.zeros(0, jnp.int32))
    assert label.shape == (0,) and total == 0
    label, total = consecutive_cluster(jnp.zeros(2, jnp.int32), jnp.zeros(2, bool))
    np.testing.assert_array_equal(label, [2, 2])
    assert total == 0
