"""A compiled function that pools and classifies, traced once for batches of different graphs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.nn.pool import TopKPooling, global_mean_pool

traces = 0


@eqx.filter_jit
def pool_and_classify(pool: TopKPooling, classifier: eqx.nn.Linear, batch: Batch):
    global traces
    traces += 1  # runs when the function is traced, not when the compiled program runs
    out = pool(batch.x, batch.edge_index, batch=batch.batch)
    graph_features = global_mean_pool(out.x, out.batch)
    return jax.vmap(classifier)(graph_features)


def random_graph(rng: np.random.Generator) -> Data:
    num_nodes = int(rng.integers(1, 20))
    edge_index = rng.integers(0, num_nodes, (2, 2 * num_nodes), dtype=np.int32)
    x = rng.normal(size=(num_nodes, 4)).astype(np.float32)
    return Data(x=x, edge_index=edge_index)


def main():
    pool_key, classifier_key = jax.random.split(jax.random.key(0))
    pool = TopKPooling(4, ratio=0.5, key=pool_key)
    classifier = eqx.nn.Linear(4, 3, key=classifier_key)
    rng = np.random.default_rng(0)
    for num_graphs in (8, 8, 8, 5):
        batch = Batch.from_data_list([random_graph(rng) for _ in range(num_graphs)])
        batch = batch.pad(num_nodes=8 * 20, num_edges=8 * 40, num_graphs=8)
        logits = pool_and_classify(pool, classifier, batch)
        predictions = jnp.argmax(logits, axis=-1)[batch.graph_mask]
        print(len(predictions), "graphs classified")
    print("traces:", traces)
    assert traces == 1


if __name__ == "__main__":
    main()
