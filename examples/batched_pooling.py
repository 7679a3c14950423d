"""Pooling a whole batch of graphs at once, with and without padding."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.nn.pool import SAGPooling


def path(num_nodes: int) -> Data:
    """Nodes in a line. The features of a node are its position and 1."""
    node = jnp.arange(num_nodes)
    edge_index = jnp.stack([node[:-1], node[1:]])
    edge_index = jnp.concatenate([edge_index, edge_index[::-1]], axis=1)
    x = jnp.stack([node.astype(jnp.float32), jnp.ones(num_nodes)], axis=1)
    return Data(x=x, edge_index=edge_index, edge_attr=jnp.ones(edge_index.shape[1]))


def main():
    batch = Batch.from_data_list([path(4), path(6), path(2)])
    pool = SAGPooling(in_features=2, ratio=0.5, key=jax.random.key(0))

    pool_batch = eqx.filter_jit(pool)
    out = pool_batch(batch.x, batch.edge_index, batch.edge_attr, batch.batch)
    print("nodes of each graph, before:", batch.batch.counts)
    print("nodes of each graph, after: ", out.batch.counts)

    # Half of 12 nodes, and room for one more node for each graph, because halves round up.
    print("rows:", out.x.shape[0], "of which real:", out.num_kept)
    trimmed = out.trim()  # outside of `jit`: PyG's exact shapes
    print("rows after trim:", trimmed.x.shape[0])

    # Graphs do not influence each other: each is pooled as it would be alone. Padded to one size,
    # the single graphs need one more compiled program only.
    alone = []
    for graph in batch.to_data_list():
        single = graph.pad(num_nodes=6, num_edges=10)
        out = pool_batch(single.x, single.edge_index, single.edge_attr, single.batch)
        alone.append(out.trim().x)
    print("the same one by one:", np.allclose(np.concatenate(alone), trimmed.x, atol=1e-6))


if __name__ == "__main__":
    main()
