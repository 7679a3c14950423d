"""A network that reads out a graph at three scales, made by one pooling layer used twice."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jraphx_eqx.data import Batch, BatchVector, Data
from jraphx_eqx.nn.conv import GCNConv
from jraphx_eqx.nn.pool import TopKPooling, global_mean_pool


class MultiScaleGNN(eqx.Module):
    conv1: GCNConv
    conv2: GCNConv
    conv3: GCNConv
    pool: TopKPooling
    linear: eqx.nn.Linear

    def __init__(self, in_features: int, out_features: int, hidden: int = 64, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)
        self.conv1 = GCNConv(in_features, hidden, key=keys[0])
        self.conv2 = GCNConv(hidden, hidden, key=keys[1])
        self.conv3 = GCNConv(hidden, hidden, key=keys[2])
        self.pool = TopKPooling(hidden, ratio=0.5, key=keys[3])
        self.linear = eqx.nn.Linear(3 * hidden, out_features, key=keys[4])

    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | None = None,
    ) -> Float[Array, "graphs out_features"]:
        x = jax.nn.relu(self.conv1(x, edge_index))
        scale1 = global_mean_pool(x, batch)

        x, edge_index, _, batch, _ = self.pool(x, edge_index, batch=batch)
        x = jax.nn.relu(self.conv2(x, edge_index))
        scale2 = global_mean_pool(x, batch)

        x, edge_index, _, batch, _ = self.pool(x, edge_index, batch=batch)
        x = jax.nn.relu(self.conv3(x, edge_index))
        scale3 = global_mean_pool(x, batch)

        readout = jnp.concatenate([scale1, scale2, scale3], axis=-1)
        return jax.vmap(self.linear)(readout)


def star(num_leaves: int, *, key: PRNGKeyArray) -> Data:
    """Node 0 joined to all the others."""
    leaf = jnp.arange(1, num_leaves + 1)
    edge_index = jnp.stack([jnp.zeros_like(leaf), leaf])
    edge_index = jnp.concatenate([edge_index, edge_index[::-1]], axis=1)
    return Data(x=jax.random.normal(key, (num_leaves + 1, 8)), edge_index=edge_index)


def main():
    model_key, *graph_keys = jax.random.split(jax.random.key(0), 4)
    model = MultiScaleGNN(in_features=8, out_features=2, key=model_key)
    graphs = [
        star(num_leaves, key=key) for num_leaves, key in zip([7, 3, 15], graph_keys, strict=True)
    ]
    batch = Batch.from_data_list(graphs)
    out = eqx.filter_jit(model)(batch.x, batch.edge_index, batch.batch)
    print("one row for each graph:", out.shape)

    # The same layer twice: 8, 4 and 16 nodes become 4, 2 and 8, then 2, 1 and 4.
    x = jax.nn.relu(eqx.filter_jit(model.conv1)(batch.x, batch.edge_index))
    pool = eqx.filter_jit(model.pool)
    once = pool(x, batch.edge_index, batch=batch.batch)
    twice = pool(once.x, once.edge_index, batch=once.batch)
    print("nodes at each scale:", batch.batch.counts, once.batch.counts, twice.batch.counts)


if __name__ == "__main__":
    main()
