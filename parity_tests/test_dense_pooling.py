"""dense_diff_pool beside PyG's, and DiffPooling from the edge list beside both."""

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
GRAPHS, LARGEST, EDGES = 3, 7, 90
NODES = GRAPHS * LARGEST + 1


def random_batch(seed, equal=False):
    rng = np.random.default_rng([seed, 31])
    sizes = np.full(GRAPHS, LARGEST) if equal else rng.integers(1, LARGEST + 1, GRAPHS)
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


@pytest.mark.parametrize("equal", [True, False])
def test_the_edge_list_gives_the_same_graph_and_gradients_and_losses_of_what_is_real(equal):
    pool = DiffPooling(CLUSTERS, CLUSTERS, lambda s, edges, weight: s, key=jax.random.key(0))

    @jax.jit
    def ours(x, s, edge_index, weight, batch):
        def loss(x, s, weight):
            out = pool(x, edge_index, weight, batch, attn=s)
            losses = (out.loss["link_loss"], out.loss["entropy_loss"])
            return loss_of(jnp, out.x, out.edge_attr, *losses), out

        return jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(x, s, weight)

    with jax.enable_x64(True):
        for seed in range(BATCHES):
            x, s, edge_index, weight, index = random_batch(seed, equal)
            given = [torch.tensor(value, requires_grad=True) for value in (x, s, weight)]
            batch, edges = torch.tensor(index), torch.tensor(edge_index)
            size = {"batch_size": GRAPHS, "max_num_nodes": LARGEST}
            (rows, mask), (logits, _) = (to_dense_batch(v, batch, **size) for v in given[:2])
            adj = to_dense_adj(edges, batch, given[2], **size)
            expected = list(pyg_dense_diff_pool(rows, adj, logits, mask))
            # From the padded sizes to those that are real.
            counts = np.bincount(index, minlength=GRAPHS)
            expected[2] = expected[2] * (GRAPHS * LARGEST**2 / float(np.sum(counts**2)))
            expected[3] = expected[3] * (GRAPHS * LARGEST / len(index))
            loss_of(torch, *expected).backward()
            nodes, more = NODES - len(x), EDGES - len(weight)
            fill = {"constant_values": np.nan}
            arrays = (
                np.pad(x, ((0, nodes), (0, 0)), **fill),
                np.pad(s, ((0, nodes), (0, 0)), **fill),
                np.pad(edge_index, ((0, 0), (0, more)), constant_values=NODES),
                np.pad(weight, (0, more), **fill),
                np.pad(index, (0, nodes), constant_values=GRAPHS),
            )
            *arrays, padded = map(jnp.asarray, arrays)
            gradients, out = ours(*arrays, BatchVector(padded, GRAPHS))
            losses = [out.loss[name] for name in ("link_loss", "entropy_loss")]
            found = (out.x, out.edge_attr, *losses)
            for left, right in zip(found, expected, strict=True):
                right = right.detach().numpy().reshape(left.shape)
                np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-13)
            for left, right in zip(gradients, given, strict=True):
                rows = len(right)
                np.testing.assert_allclose(left[:rows], right.grad, rtol=1e-9, atol=1e-11)
                assert not np.any(left[rows:])


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
