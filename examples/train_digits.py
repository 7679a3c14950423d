"""Trains a graph classifier with two poolings on handwritten digits, in one compiled program.

Every batch is padded to the same size, so the training step is traced once. Run with
`python examples/train_digits.py [--epochs EPOCHS]`.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from jraphx_eqx.data import Batch, BatchVector, Data
from jraphx_eqx.loading import digits
from jraphx_eqx.nn.conv import GraphConv
from jraphx_eqx.nn.pool import TopKPooling, global_max_pool, global_mean_pool

BATCH_SIZE = 32
traces = 0


class DigitClassifier(eqx.Module):
    conv1: GraphConv
    pool1: TopKPooling
    conv2: GraphConv
    pool2: TopKPooling
    conv3: GraphConv
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, width: int = 64, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 7)
        self.conv1 = GraphConv(3, width, aggr="mean", key=keys[0])
        self.pool1 = TopKPooling(width, ratio=0.8, key=keys[1])
        self.conv2 = GraphConv(width, width, aggr="mean", key=keys[2])
        self.pool2 = TopKPooling(width, ratio=0.8, key=keys[3])
        self.conv3 = GraphConv(width, width, aggr="mean", key=keys[4])
        self.hidden = eqx.nn.Linear(6 * width, width, key=keys[5])
        self.out = eqx.nn.Linear(width, 10, key=keys[6])
        self.dropout = eqx.nn.Dropout(0.2)

    def __call__(
        self, batch: Batch, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "graphs classes"]:
        x, edge_index, graph = 4 * batch.x - 2, batch.edge_index, batch.batch
        x = jax.nn.relu(self.conv1(x, edge_index))
        scale1 = readout(x, graph)
        x, edge_index, _, graph, _ = self.pool1(x, edge_index, batch=graph)
        x = jax.nn.relu(self.conv2(x, edge_index))
        scale2 = readout(x, graph)
        x, edge_index, _, graph, _ = self.pool2(x, edge_index, batch=graph)
        x = jax.nn.relu(self.conv3(x, edge_index))
        scale3 = readout(x, graph)
        x = jnp.concatenate([scale1, scale2, scale3], axis=-1)
        x = jax.nn.relu(jax.vmap(self.hidden)(x))
        return jax.vmap(self.out)(self.dropout(x, key=key))


def readout(x: Float[Array, "nodes features"], batch: BatchVector) -> Float[Array, "graphs both"]:
    return jnp.concatenate([global_mean_pool(x, batch), global_max_pool(x, batch)], axis=-1)


def loss_fn(model: DigitClassifier, batch: Batch, key: PRNGKeyArray) -> Float[Array, ""]:
    logits = model(batch, key=key)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
    return jnp.mean(loss, where=batch.graph_mask)


@eqx.filter_jit
def train_step(model, state, batch, optimiser, key):
    global traces
    traces += 1  # runs when the function is traced, not when the compiled program runs
    loss, gradients = eqx.filter_value_and_grad(loss_fn)(model, batch, key)
    updates, state = optimiser.update(gradients, state, eqx.filter(model, eqx.is_array))
    return eqx.apply_updates(model, updates), state, loss


@eqx.filter_jit
def count_correct(model, batch):
    correct = jnp.argmax(model(batch), axis=-1) == batch.y
    return jnp.sum(correct & batch.graph_mask)


def capacity(graphs: list[Data]) -> dict[str, int]:
    """Room for any `BATCH_SIZE` of the graphs."""
    nodes = sorted(graph.num_nodes for graph in graphs)
    edges = sorted(graph.num_edges for graph in graphs)
    return {
        "num_nodes": sum(nodes[-BATCH_SIZE:]),
        "num_edges": sum(edges[-BATCH_SIZE:]),
        "num_graphs": BATCH_SIZE,
    }


def batches(graphs: list[Data], size: dict[str, int]) -> list[Batch]:
    """The graphs in batches of one padded size; the last one may hold fewer graphs."""
    starts = range(0, len(graphs), BATCH_SIZE)
    return [Batch.from_data_list(graphs[i : i + BATCH_SIZE]).pad(**size) for i in starts]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    epochs = parser.parse_args().epochs

    start = time.perf_counter()
    graphs = digits()
    size = capacity(graphs)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(graphs))
    test, train = ([graphs[i] for i in part] for part in np.split(order, [360]))

    model_key, dropout_key = jax.random.split(jax.random.key(0))
    model = DigitClassifier(key=model_key)
    steps = epochs * -(-len(train) // BATCH_SIZE)
    optimiser = optax.adam(optax.warmup_cosine_decay_schedule(3e-4, 3e-3, steps // 10, steps))
    state = optimiser.init(eqx.filter(model, eqx.is_array))

    history = []
    for epoch in range(epochs):
        losses = []
        for batch in batches([train[i] for i in rng.permutation(len(train))], size):
            dropout_key, key = jax.random.split(dropout_key)
            model, state, loss = train_step(model, state, batch, optimiser, key)
            losses.append(loss)
        history.append(float(jnp.stack(losses).mean()))
        if epoch % 10 == 0 or epoch == epochs - 1:
            print(f"epoch {epoch + 1:3d}  loss {history[-1]:.4f}")
    assert traces == 1, f"the training step was traced {traces} times"

    model = eqx.nn.inference_mode(model)
    correct = sum(int(count_correct(model, batch)) for batch in batches(test, size))
    print(f"test accuracy {100 * correct / len(test):.1f} % on {len(test)} held-out digits")
    print(f"traces of the training step: {traces}, seconds: {time.perf_counter() - start:.0f}")
    return history


if __name__ == "__main__":
    main()
