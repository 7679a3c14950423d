"""EdgePooling beside PyG's, whose sort is made stable: the same edges are merged, in one order."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_geometric.nn import EdgePooling as PyGEdgePooling

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, to_pyg
from jraphx_eqx.nn.pool import EdgePooling
from jraphx_eqx.parity import stable_sort

pytestmark = pytest.mark.usefixtures("quick_compile")

BATCHES, WIDTH = 40, 3
NODES, EDGES, GRAPHS = 41, 161, 6
METHODS = ("softmax", "tanh", "sigmoid")


def random_batch(seed):
    """Graphs with loops, double edges and nodes alone, the nodes in any order."""
    rng = np.random.default_rng([seed, 18])
    sizes = rng.integers(0, 9, rng.integers(1, GRAPHS))
    index = np.repeat(np.arange(len(sizes)), sizes)
    graphs = [np.flatnonzero(index == graph) for graph in range(len(sizes)) if sizes[graph]]
    edges = [rng.choice(nodes, (2, rng.integers(0, 4 * len(nodes)))) for nodes in graphs]
    edge_index = np.concatenate([np.zeros((2, 0), np.int64), *edges], axis=1)
    order = rng.permutation(len(index))
    place = np.argsort(order)
    return rng.normal(size=(len(index), WIDTH)), place[edge_index].astype(np.int64), index[order]


def padded(x, edge_index, index):
    nodes, edges = NODES - len(x), EDGES - edge_index.shape[1]
    return (
        jnp.asarray(np.pad(x, ((0, nodes), (0, 0)), constant_values=np.nan)),
        jnp.asarray(np.pad(edge_index, ((0, 0), (0, edges)), constant_values=NODES)),
        BatchVector(jnp.asarray(np.pad(index, (0, nodes), constant_values=GRAPHS)), GRAPHS),
    )


def theirs(module, x, edge_index, index):
    x = torch.tensor(x, requires_grad=True)
    with stable_sort():
        out, edges, batch, info = module(x, torch.tensor(edge_index), torch.tensor(index))
    back = module.unpool(torch.sin(out), info)[0]
    loss = torch.sin(out).sum() + torch.cos(back).sum()
    loss.backward()
    found = (out, edges, batch, info.cluster, info.new_edge_score, back)
    gradients = [x.grad, *(parameter.grad for parameter in module.parameters())]
    return [value.detach().numpy() for value in found], [value.numpy() for value in gradients]


@eqx.filter_jit
def ours(pool, x, edge_index, batch):
    def loss(pool_and_x):
        pool, x = pool_and_x
        out = pool(x, edge_index, batch=batch)
        back = pool.lift(jnp.sin(out.x), out.select)
        real = jnp.where(batch.node_mask[:, None], jnp.cos(back), 0)
        return jnp.sum(jnp.sin(out.x)) + jnp.sum(real), (out, back)

    gradient, (out, back) = eqx.filter_grad(loss, has_aux=True)((pool, x))
    return out, back, gradient


@pytest.mark.parametrize("method", METHODS)
def test_values_edges_clusters_and_gradients_of_random_batches(method):
    names = {name: getattr(PyGEdgePooling, f"compute_edge_score_{name}") for name in METHODS}
    torch.manual_seed(0)
    module = PyGEdgePooling(WIDTH, names[method], add_to_edge_score=0.25).double()
    merged = 0
    with jax.enable_x64(True):
        pool = from_pyg(module)
        for seed in range(BATCHES):
            given = random_batch(seed)
            module.zero_grad()
            expected, gradients = theirs(module, *given)
            out, back, (pool_gradient, x_gradient) = ours(pool, *padded(*given))
            num_nodes = len(given[0])
            trimmed = out.trim()
            scores = np.ones(trimmed.x.shape[0])
            scores[np.asarray(trimmed.select.cluster_index)] = trimmed.select.weight
            found = (
                *(trimmed.x, trimmed.edge_index, trimmed.batch.index),
                *(trimmed.select.cluster_index, scores, back[:num_nodes]),
            )
            for left, right in zip(found, expected, strict=True):
                assert left.shape == right.shape
                np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)
            lin = pool_gradient.lin
            assert np.all(x_gradient[num_nodes:] == 0)
            for left, right in zip(
                (x_gradient[:num_nodes], lin.weight, lin.bias), gradients, strict=True
            ):
                np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-11)
            merged += num_nodes - len(scores)
    assert merged > 3 * BATCHES


@pytest.mark.parametrize("method", METHODS)
def test_twins_have_the_same_options_and_weights(method):
    options = {"dropout": 0.25, "add_to_edge_score": 2.0}
    layer = EdgePooling(WIDTH, method, **options, key=jax.random.key(3))
    module = to_pyg(layer)
    assert module.compute_edge_score is getattr(PyGEdgePooling, f"compute_edge_score_{method}")
    assert (module.dropout, module.add_to_edge_score, module.training) == (0.25, 2.0, True)
    again = from_pyg(module.eval())
    assert again.dropout.inference and eqx.tree_equal(eqx.nn.inference_mode(layer), again)


def test_functions_of_ones_own_have_no_twin():
    def squared(raw, edge_index, num_nodes):
        return raw**2

    message = r"EdgePooling with edge_score_method=.*squared.*has no twin"
    with pytest.raises(ValueError, match=message):
        from_pyg(PyGEdgePooling(WIDTH, squared))
    with pytest.raises(ValueError, match=message):
        to_pyg(EdgePooling(WIDTH, squared, key=jax.random.key(0)))
