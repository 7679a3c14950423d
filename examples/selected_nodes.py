"""Marking the nodes that a pooling has selected, and their scores, in the original graph."""

import jax
import jax.numpy as jnp
from jraphx_eqx.data import Batch, Data
from jraphx_eqx.nn.pool import TopKPooling


def main():
    graphs = [
        Data(x=jnp.array([[3.0], [1.0], [2.0]]), edge_index=jnp.array([[0, 1], [1, 2]])),
        Data(x=jnp.array([[1.0], [5.0]]), edge_index=jnp.array([[0], [1]])),
    ]
    batch = Batch.from_data_list(graphs)
    pool = TopKPooling(1, ratio=0.5, nonlinearity="sigmoid", key=jax.random.key(1))
    out = pool(batch.x, batch.edge_index, batch=batch.batch)
    print("perm:    ", out.perm)

    # There are 5 nodes, so an entry of 5 is padding. `mode="drop"` leaves it out; read with
    # `.get(mode="fill", fill_value=0)`, because `x[perm]` takes the last row for it.
    selected = jnp.zeros(batch.num_nodes).at[out.perm].set(1.0, mode="drop")
    print("selected:", selected)

    score = jnp.zeros(batch.num_nodes).at[out.perm].set(out.score, mode="drop")
    print("score:   ", score)

    # The same for features: what `out.lift` does, for Graph U-Nets and pictures.
    print("lifted:  ", out.lift(out.x)[:, 0])


if __name__ == "__main__":
    main()
