"""ASAPooling, PANPooling, ClusterPooling and their convolutions beside PyG's.

PyG has no gradients of ASAPooling's edge weights on a CPU, so they are compared with those of its
formula on dense matrices. `PANConv` needs torch-sparse, which is not installed here; its oracle is
the formula on dense matrices as well.
"""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from torch_geometric.utils import add_remaining_self_loops, scatter, softmax

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, load_state_dict, state_dict, to_pyg
from jraphx_eqx.nn.conv import LEConv, PANConv
from jraphx_eqx.nn.pool import ASAPooling, ClusterPooling, PANPooling
from jraphx_eqx.parity import stable_sort

pytestmark = pytest.mark.usefixtures("quick_compile")

BATCHES, WIDTH = 15, 3
GRAPHS, LARGEST, EDGES, NODES = 3, 7, 60, 22


@contextlib.contextmanager
def in_float64():
    """PyG makes some tensors in the default dtype, whatever it is given."""
    torch.set_default_dtype(torch.float64)
    with jax.enable_x64(True):
        yield
    torch.set_default_dtype(torch.float32)


def random_batch(seed):
    """Graphs with some loops and double edges, the nodes in any order."""
    rng = np.random.default_rng([seed, 61])
    index = rng.permutation(np.repeat(np.arange(GRAPHS), rng.integers(1, LARGEST + 1, GRAPHS)))
    nodes = [np.flatnonzero(index == graph) for graph in range(GRAPHS)]
    edges = [rng.choice(some, (2, rng.integers(0, EDGES // GRAPHS))) for some in nodes]
    edge_index = np.concatenate(edges, axis=1).astype(np.int64)
    # One loop for a node: of several PyG gives each the gradient of the last.
    loops = np.where(edge_index[0] == edge_index[1], edge_index[0], -1)
    _, first = np.unique(loops, return_index=True)
    edge_index = edge_index[:, np.isin(np.arange(len(loops)), first) | (loops < 0)]
    weight = rng.uniform(0.5, 2, edge_index.shape[1])
    return rng.normal(size=(len(index), WIDTH)), edge_index, weight, index


def padded(x, edge_index, weight, index):
    nodes, edges = NODES - len(x), EDGES - len(weight)
    fill = {"constant_values": np.nan}
    arrays = (
        np.pad(x, ((0, nodes), (0, 0)), **fill),
        np.pad(edge_index, ((0, 0), (0, edges)), constant_values=NODES),
        np.pad(weight, (0, edges), **fill),
        np.pad(index, (0, nodes), constant_values=GRAPHS),
    )
    x, edge_index, weight, index = map(jnp.asarray, arrays)
    return x, edge_index, weight, BatchVector(index, GRAPHS, LARGEST)


def loss_of(xp, x, weight):
    return xp.sin(x).sum() + (xp.sin(weight).sum() if weight is not None else 0)


@eqx.filter_jit
def ours(pool, x, edge_index, weight, batch):
    def loss(given):
        pool, x, weight = given
        out = pool(x, edge_index, weight, batch)
        return loss_of(jnp, out.x, out.edge_attr), out

    return eqx.filter_grad(loss, has_aux=True)((pool, x, weight))


def assert_same_edges(out, edges, weight):
    """In any order."""
    order = np.lexsort((edges[1], edges[0]))
    np.testing.assert_array_equal(out.edge_index, edges[:, order])
    if weight is not None:
        np.testing.assert_allclose(out.edge_attr, weight.detach()[order], rtol=1e-10, atol=1e-13)


def assert_same_gradients(gradients, module, *given):
    pool_gradient, *gradients = gradients
    for left, right in zip(gradients, given, strict=True):
        np.testing.assert_allclose(left[: len(right)], right.grad, rtol=1e-8, atol=1e-10)
        assert not np.any(left[len(right) :])
    ported = state_dict(pool_gradient)
    for key, parameter in module.named_parameters():
        theirs = 0 if parameter.grad is None else parameter.grad
        np.testing.assert_allclose(ported[key], theirs, rtol=1e-8, atol=1e-10, err_msg=key)


def dense_asap(module, x, edge_index, weight, batch):
    """PyG's forward pass, with dense matrices in place of sparse ones."""
    n = len(x)
    edges, weight = add_remaining_self_loops(edge_index, weight, 1.0, n)
    seen = x
    if module.gnn_intra_cluster is not None:
        seen = module.gnn_intra_cluster(x=x, edge_index=edges, edge_weight=weight)
    seen = seen[edges[0]]
    query = module.lin(scatter(seen, edges[1], reduce="max"))[edges[1]]
    score = torch.nn.functional.leaky_relu(
        module.att(torch.cat([query, seen], dim=-1)).view(-1), module.negative_slope
    )
    score = softmax(score, edges[1], num_nodes=n)
    clusters = scatter(x[edges[0]] * score.view(-1, 1), edges[1], reduce="sum")
    fitness = module.gnn_score(clusters, edges).sigmoid().view(-1)
    perm = module.select(fitness, batch).node_index
    matrix = torch.zeros(n, n).index_put(tuple(edges), weight, accumulate=True)
    shares = torch.zeros(n, n).index_put(tuple(edges), score, accumulate=True)[:, perm]
    return clusters[perm] * fitness[perm].view(-1, 1), shares.T @ matrix @ shares


@pytest.mark.parametrize("options", [{}, {"GNN": pyg.GCNConv, "add_self_loops": True, "ratio": 3}])
def test_asap(options):
    with in_float64():
        torch.manual_seed(2)
        module = pyg.ASAPooling(WIDTH, **options)
        pool = from_pyg(module)
        for seed in range(BATCHES):
            given = random_batch(seed)
            x, weight = (torch.tensor(value, requires_grad=True) for value in given[::2])
            edges, batch = torch.tensor(given[1]), torch.tensor(given[3])
            module.zero_grad()
            with stable_sort():
                found, dense = dense_asap(module, x, edges, weight, batch)
                expected = module(x, edges, weight, batch)
            np.testing.assert_allclose(found.detach(), expected[0].detach(), rtol=1e-12)
            (torch.sin(found).sum() + torch.sin(dense[tuple(expected[1])]).sum()).backward()
            gradients, out = ours(pool, *padded(*given))
            out = out.trim()
            np.testing.assert_array_equal(out.perm, expected[4])
            np.testing.assert_array_equal(out.batch.index, expected[3])
            np.testing.assert_allclose(out.x, expected[0].detach(), rtol=1e-10, atol=1e-12)
            assert_same_edges(out, expected[1], expected[2])
            assert_same_gradients(gradients, module, x, weight)


def test_asap_without_weights():
    with in_float64():
        torch.manual_seed(3)
        module = pyg.ASAPooling(WIDTH, 0.7)
        x, edges, _, index = given = random_batch(0)
        with stable_sort():
            expected = module(*map(torch.tensor, (x, edges)), None, torch.tensor(index))
        x, edges, _, batch = padded(*given)
        out = from_pyg(module)(x, edges, batch=batch).trim()
        assert expected[2] is None and out.edge_attr is None
        assert_same_edges(out, expected[1], None)
        np.testing.assert_allclose(out.x, expected[0].detach(), rtol=1e-10)


class Matrix:
    """What PANPooling needs of torch-sparse's."""

    def __init__(self, edge_index, weight):
        self.entries = edge_index[1], edge_index[0], weight

    def coo(self):
        return self.entries


@pytest.mark.parametrize("options", [{"multiplier": 2.0}, {"min_score": 0.2, "ratio": None}])
def test_pan_pooling(options):
    with in_float64():
        torch.manual_seed(4)
        module = pyg.PANPooling(WIDTH, **options)
        pool = from_pyg(module)
        for seed in range(BATCHES):
            given = random_batch(seed)
            x, weight = (torch.tensor(value, requires_grad=True) for value in given[::2])
            matrix = Matrix(torch.tensor(given[1]), weight)
            module.zero_grad()
            with stable_sort():
                expected = module(x, matrix, torch.tensor(given[3]))
            loss_of(torch, expected[0], expected[2]).backward()
            gradients, out = ours(pool, *padded(*given))
            out = out.trim()
            found = (out.x, out.edge_index, out.edge_attr, out.batch.index, out.perm, out.score)
            for left, right in zip(found, expected, strict=True):
                np.testing.assert_allclose(left, right.detach(), rtol=1e-10, atol=1e-13)
            if "min_score" not in options:  # There PyG's gradient of the sign is rounding.
                module.select.weight.grad = None
            assert_same_gradients(gradients, module, x, weight)


@pytest.mark.parametrize("method", ["tanh", "sigmoid", "log_softmax"])
def test_cluster_pooling(method):
    threshold = {"threshold": -3.0} if method == "log_softmax" else {}
    with in_float64():
        torch.manual_seed(5)
        module = pyg.ClusterPooling(WIDTH, method, **threshold)
        pool, merged = from_pyg(module), 0
        for seed in range(BATCHES):
            given = random_batch(seed)
            x, edges = torch.tensor(given[0], requires_grad=True), torch.tensor(given[1])
            module.zero_grad()
            *expected, info = module(x, edges, torch.tensor(given[3]))
            torch.sin(expected[0]).sum().backward()
            x_padded, edges, _, batch = padded(*given)
            gradients, out = ours(pool, x_padded, edges, None, batch)
            cluster, out = out.select.labels[: len(x)], out.trim()
            np.testing.assert_array_equal(cluster, info.cluster)
            found = (out.x, out.edge_index, out.batch.index)
            for left, right in zip(found, expected, strict=True):
                np.testing.assert_allclose(left, right.detach(), rtol=1e-10, atol=1e-13)
            assert_same_gradients(gradients[:2], module, x)
            merged += len(x) - len(out.x)
        assert merged > 2 * BATCHES


def test_le_conv():
    with in_float64():
        torch.manual_seed(6)
        module = pyg.LEConv(WIDTH, 2)
        layer = from_pyg(module)
        given = random_batch(1)
        x, weight = (torch.tensor(value, requires_grad=True) for value in given[::2])
        expected = module(x, torch.tensor(given[1]), weight)
        torch.sin(expected).sum().backward()
        x_padded, edges, weights, batch = padded(*given)

        @eqx.filter_jit
        def program(layer, x, weights):
            def loss(given):
                out = given[0](given[1], edges, given[2], node_mask=batch.node_mask)
                return jnp.sum(jnp.where(batch.node_mask[:, None], jnp.sin(out), 0)), out

            return eqx.filter_grad(loss, has_aux=True)((layer, x, weights))

        gradients, out = program(layer, x_padded, weights)
        np.testing.assert_allclose(out[: len(x)], expected.detach(), rtol=1e-12)
        assert_same_gradients(gradients, module, x, weight)
        again = from_pyg(to_pyg(LEConv(3, 2, False, key=jax.random.key(0))))
        assert again.lin1.bias is None


def test_pan_conv_by_dense_matrices():
    with in_float64():
        torch.manual_seed(7)
        module = pyg.PANConv(WIDTH, 2, 3)
        with torch.no_grad():
            module.weight.copy_(torch.tensor([0.5, 1.5, 0.75, 2.0]))
        layer = from_pyg(module)
        assert eqx.tree_equal(layer, load_state_dict(layer, to_pyg(layer).state_dict()))
        given = random_batch(2)
        x = torch.tensor(given[0], requires_grad=True)
        n, (source, target) = len(x), torch.tensor(given[1])
        adjacency = torch.zeros(n, n).index_put((target, source), torch.ones(()), accumulate=True)
        power, matrix = torch.eye(n), torch.eye(n) * module.weight[0]
        for step in range(1, 4):
            power = power @ adjacency
            matrix = matrix + power * module.weight[: step + 1].prod()
        degree = (matrix != 0).sum(dim=1) ** -0.5
        matrix = degree.view(1, -1) * matrix * degree.view(-1, 1)
        expected = module.lin(matrix @ x)
        (torch.sin(expected).sum() + torch.sin(matrix).sum()).backward()
        x_padded, edges, _, batch = padded(*given)

        @eqx.filter_jit
        def program(layer, x):
            def loss(given):
                out, edges, weight = given[0](given[1], edge_index, batch)
                rows = jnp.where(batch.node_mask[:, None], jnp.sin(out), 0)
                return jnp.sum(rows) + jnp.sum(jnp.sin(weight)), (out, edges, weight)

            return eqx.filter_grad(loss, has_aux=True)((layer, x))

        edge_index = edges
        gradients, (out, edges, weight) = program(layer, x_padded)
        np.testing.assert_allclose(out[:n], expected.detach(), rtol=1e-10)
        found = np.zeros((NODES + 1, NODES + 1))
        found[edges[1], edges[0]] = weight
        assert np.sum(np.asarray(edges[0]) < NODES) == np.count_nonzero(matrix.detach())
        np.testing.assert_allclose(found[:n, :n], matrix.detach(), rtol=1e-10, atol=1e-13)
        assert_same_gradients(gradients, module, x)


def test_twins_have_the_same_options_and_weights():
    key = jax.random.key(3)
    for layer in (
        ASAPooling(3, 0.7, "gcn", 0.25, 0.1, True, key=key),
        ASAPooling(3, 2, key=key),
        PANPooling(3, None, 0.1, 2.0, "sigmoid", key=key),
        ClusterPooling(3, "sigmoid", 0.25, 0.75, key=key),
        LEConv(3, 2, key=key),
        PANConv(3, 2, 2, key=key),
    ):
        assert eqx.tree_equal(layer, from_pyg(to_pyg(layer)))
