"""dense_diff_pool beside PyG's. The catalogue has DiffPooling, which takes the edge list."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_geometric.nn import dense_diff_pool as pyg_dense_diff_pool
from torch_geometric.utils import to_dense_adj, to_dense_batch

from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn.pool import DiffPooling, dense_diff_pool

pytestmark = pytest.mark.usefixtures("quick_compile")

BATCHES, WIDTH, CLUSTERS = 60, 3, 4
GRAPHS, LARGEST = 3, 7


def random_batch(seed):
    rng = np.random.default_rng([seed, 31])
    sizes = rng.integers(1, LARGEST + 1, GRAPHS)
    index = np.repeat(np.arange(GRAPHS), sizes)
    first = np.cumsum(sizes) - sizes
    edges = [
        rng.integers(0, n, (2, rng.integers(0, 4 * n))) + f
        for n, f in zip(sizes, first, strict=True)
    ]
    edge_index = np.concatenate(edges, axis=1)
    weight = rng.uniform(0.5, 2, edge_index.shape[1])
    features = (rng.normal(size=(len(index), width)) for width in (WIDTH, CLUSTERS))
    return *features, edge_index, weight, index


def dense(x, s, edge_index, weight, index):
    edges, batch = torch.tensor(edge_index), torch.tensor(index)
    size = {"batch_size": GRAPHS, "max_num_nodes": LARGEST}
    adj = to_dense_adj(edges, batch, torch.tensor(weight), **size)
    x, mask = to_dense_batch(torch.tensor(x), batch, **size)
    return x, adj, to_dense_batch(torch.tensor(s), batch, **size)[0], mask


def loss_of(xp, x, adj, link, entropy):
    return xp.sin(x).sum() + xp.cos(adj).sum() + 3 * link + 5 * entropy


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_the_dense_function_has_the_values_and_gradients_of_pyg(masked, normalize):
    @jax.jit
    def ours(x, adj, s, mask):
        def loss(*given):
            out = dense_diff_pool(*given, mask if masked else None, normalize)
            return loss_of(jnp, *out), out

        gradients, out = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(x, adj, s)
        return out, gradients

    with jax.enable_x64(True):
        for seed in range(BATCHES):
            x, adj, s, mask = dense(*random_batch(seed))
            given = [value.clone().requires_grad_() for value in (x, adj, s)]
            expected = pyg_dense_diff_pool(*given, mask if masked else None, normalize)
            loss_of(torch, *expected).backward()
            out, gradients = ours(*(jnp.asarray(value.numpy()) for value in (x, adj, s, mask)))
            for left, right in zip(out, expected, strict=True):
                np.testing.assert_allclose(left, right.detach(), rtol=1e-12, atol=1e-13)
            for left, right in zip(gradients, given, strict=True):
                np.testing.assert_allclose(left, right.grad, rtol=1e-10, atol=1e-12)


def test_the_loss_goes_through_a_training_step():
    x, _, edge_index, _, index = random_batch(0)
    pool = DiffPooling(WIDTH, CLUSTERS, key=jax.random.key(0))
    batch = BatchVector(jnp.asarray(index), GRAPHS)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(pool):
        out = pool(jnp.asarray(x, jnp.float32), jnp.asarray(edge_index), batch=batch)
        return out.loss["link_loss"] + out.loss["entropy_loss"]

    leaves = jax.tree.leaves(gradient(pool))
    assert leaves and all(np.all(np.isfinite(leaf)) and np.any(leaf) for leaf in leaves)
