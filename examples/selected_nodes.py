"""Marking the nodes that a pooling has selected, and their scores, in the original graph."""

import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.interop import load_state_dict
from jraphx_eqx.nn.pool import TopKPooling


def main():
    graphs = [
        Data(x=jnp.array([[3.0], [1.0], [2.0]]), edge_index=jnp.array([[0, 1], [1, 2]])),
        Data(x=jnp.array([[1.0], [5.0]]), edge_index=jnp.array([[0], [1]])),
    ]
    batch = Batch.from_data_list(graphs)
    pool = TopKPooling(1, ratio=0.5, nonlinearity="sigmoid", key=jax.random.key(0))
    # A weight of 1, so that the highest features win.
    pool = load_state_dict(pool, {"select.weight": jnp.ones((1, 1))})
    out = pool(batch.x, batch.edge_index, batch=batch.batch)
    print("perm:    ", out.perm)

    # There are 5 nodes, so the 5 in `perm` is padding. Writing leaves it out with `mode="drop"`;
    # reading needs `x.at[perm].get(mode="fill", fill_value=0)`: `x[perm]` takes the last row.
    selected = jnp.zeros(batch.num_nodes).at[out.perm].set(1.0, mode="drop")
    print("selected:", selected)

    score = jnp.zeros(batch.num_nodes).at[out.perm].set(out.score, mode="drop")
    print("score:   ", np.asarray(score).round(2))

    # The same for features is `lift`, what Graph U-Nets call unpooling.
    print("lifted:  ", np.asarray(out.lift(out.x))[:, 0].round(2))


if __name__ == "__main__":
    main()
