import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jraphx.nn.conv import GCNConv
from jraphx.nn.pool import SAGPooling, TopKPooling, global_max_pool, global_mean_pool

WIDTH = 64


class Classifier(nnx.Module):
    """As ours."""

    def __init__(self, features: int, classes: int, rngs: nnx.Rngs):
        self.conv1 = GCNConv(features, WIDTH, rngs=rngs)
        self.conv2 = GCNConv(WIDTH, WIDTH, rngs=rngs)
        self.conv3 = GCNConv(WIDTH, WIDTH, rngs=rngs)
        self.topk = TopKPooling(WIDTH, 0.8, rngs=rngs)
        self.sag = SAGPooling(WIDTH, 0.8, "gcn", rngs=rngs)
        self.hidden = nnx.Linear(6 * WIDTH, WIDTH, rngs=rngs)
        self.out = nnx.Linear(WIDTH, classes, rngs=rngs)

    def __call__(self, x, edge_index, batch, size):
        readouts = []
        blocks = ((self.conv1, self.topk), (self.conv2, self.sag), (self.conv3, None))
        for conv, pool in blocks:
            x = jax.nn.relu(conv(x, edge_index))
            readouts += [global_mean_pool(x, batch, size), global_max_pool(x, batch, size)]
            if pool is not None:
                x, edge_index, _, batch, _ = pool(x, edge_index, batch=batch)
        return self.out(jax.nn.relu(self.hidden(jnp.concatenate(readouts, axis=-1))))


def training_step(inputs, x, edge_index, batch):
    """As ours, but only the update is jitted: the poolings cannot be."""
    model = Classifier(x.shape[1], inputs.num_classes, nnx.Rngs(0))
    graph, parameters, rest = nnx.split(model, nnx.Param, ...)
    parameters = jax.tree.map(lambda leaf: leaf.astype(inputs.dtype), parameters)
    optimiser = optax.adam(1e-3)
    state = optimiser.init(parameters)
    y = jnp.asarray(inputs.y)

    def loss_fn(parameters):
        logits = nnx.merge(graph, parameters, rest)(x, edge_index, batch, inputs.num_graphs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def update(parameters, gradients, state):
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(parameters, updates), state

    def call():
        nonlocal parameters, state
        loss, gradients = jax.value_and_grad(loss_fn)(parameters)
        parameters, state = update(parameters, gradients, state)
        return jax.block_until_ready((loss, parameters, state))[0]

    return call
