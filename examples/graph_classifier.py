"""A graph classifier: three convolutions with two poolings between them, a readout, dropout."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jraphx_eqx.data import Batch, BatchVector, Data
from jraphx_eqx.nn.conv import GCNConv
from jraphx_eqx.nn.pool import TopKPooling, global_mean_pool


class GraphClassifier(eqx.Module):
    conv1: GCNConv
    pool1: TopKPooling
    conv2: GCNConv
    pool2: TopKPooling
    conv3: GCNConv
    dropout: eqx.nn.Dropout
    linear: eqx.nn.Linear

    def __init__(self, in_features: int, num_classes: int, hidden: int = 64, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 6)
        self.conv1 = GCNConv(in_features, hidden, key=keys[0])
        self.pool1 = TopKPooling(hidden, ratio=0.8, key=keys[1])
        self.conv2 = GCNConv(hidden, hidden, key=keys[2])
        self.pool2 = TopKPooling(hidden, ratio=0.8, key=keys[3])
        self.conv3 = GCNConv(hidden, hidden, key=keys[4])
        self.dropout = eqx.nn.Dropout(0.5)
        self.linear = eqx.nn.Linear(hidden, num_classes, key=keys[5])

    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "graphs classes"]:
        x = jax.nn.relu(self.conv1(x, edge_index))
        x, edge_index, _, batch, _ = self.pool1(x, edge_index, batch=batch)
        x = jax.nn.relu(self.conv2(x, edge_index))
        x, edge_index, _, batch, _ = self.pool2(x, edge_index, batch=batch)
        x = jax.nn.relu(self.conv3(x, edge_index))
        x = global_mean_pool(x, batch)
        x = self.dropout(x, key=key)
        # `eqx.nn.Linear` takes one graph's features, so it is mapped over the graphs.
        return jax.vmap(self.linear)(x)


def ring(num_nodes: int, *, key: PRNGKeyArray) -> Data:
    """Nodes in a circle, with random features."""
    node = jnp.arange(num_nodes)
    edge_index = jnp.stack([node, (node + 1) % num_nodes])
    edge_index = jnp.concatenate([edge_index, edge_index[::-1]], axis=1)
    return Data(x=jax.random.normal(key, (num_nodes, 16)), edge_index=edge_index)


def main():
    model_key, graph_key, dropout_key = jax.random.split(jax.random.key(0), 3)
    model = GraphClassifier(in_features=16, num_classes=10, key=model_key)
    sizes = [5, 8, 3, 12]
    keys = jax.random.split(graph_key, len(sizes))
    batch = Batch.from_data_list(
        [ring(size, key=key) for size, key in zip(sizes, keys, strict=True)]
    )

    forward = eqx.filter_jit(lambda model, *args, key=None: model(*args, key=key))
    logits = forward(model, batch.x, batch.edge_index, batch.batch, key=dropout_key)
    print("training: ", logits.shape)

    model = eqx.nn.inference_mode(model)  # no dropout, so no key
    logits = forward(model, batch.x, batch.edge_index, batch.batch)
    print("inference:", logits.shape)

    # Padding changes no real graph's logits.
    padded = batch.pad(num_nodes=40, num_edges=80, num_graphs=6)
    padded_logits = forward(model, padded.x, padded.edge_index, padded.batch)
    difference = jnp.max(jnp.abs(padded_logits[padded.graph_mask] - logits))
    print("padding changes the logits by less than 1e-5:", bool(difference < 1e-5))


if __name__ == "__main__":
    main()
