"""Digits as graphs of pixels, made smaller twice: by a grid, and by joining neighbours."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.loading import digits
from jraphx_eqx.nn import Linear
from jraphx_eqx.nn.conv import GraphConv
from jraphx_eqx.nn.pool import global_mean_pool, graclus, max_pool, voxel_grid


class DigitClassifier(eqx.Module):
    conv1: GraphConv
    conv2: GraphConv
    conv3: GraphConv
    linear: Linear

    def __init__(self, hidden: int = 24, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 4)
        self.conv1 = GraphConv(3, hidden, key=keys[0])
        self.conv2 = GraphConv(hidden, hidden, key=keys[1])
        self.conv3 = GraphConv(hidden, hidden, key=keys[2])
        self.linear = Linear(hidden, 10, key=keys[3])

    def __call__(self, data: Batch) -> tuple[Float[Array, "graphs 10"], list[Batch]]:
        """The logits, and the graphs at each level."""
        data = self._after(self.conv1, data)
        # Two by two pixels become one node ...
        by_grid = max_pool(voxel_grid(data.pos, 0.25, data.batch, 0.0, 1.2), data)
        by_grid = self._after(self.conv2, by_grid)
        # ... and then the ends of edges, each with one other.
        cluster = graclus(by_grid.edge_index, num_nodes=by_grid.x.shape[0])
        joined = self._after(self.conv3, max_pool(cluster, by_grid))
        logits = self.linear(global_mean_pool(joined.x, joined.batch))
        return logits, [data, by_grid, joined]

    def _after(self, conv, data):
        x = jax.nn.relu(conv(data.x, data.edge_index, node_mask=data.node_mask))
        return eqx.tree_at(lambda data: data.x, data, x)


@eqx.filter_jit
def step(model, state, data):
    def loss(model):
        logits, levels = model(data)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, data.y)
        return jnp.mean(losses), [jnp.sum(level.node_mask) for level in levels]

    found, gradient = eqx.filter_value_and_grad(loss, has_aux=True)(model)
    updates, state = OPTIMISER.update(gradient, state)
    return eqx.apply_updates(model, updates), state, *found


OPTIMISER = optax.adam(1e-2)


def main():
    graphs = [Data(x=g.x, edge_index=g.edge_index, pos=g.x[:, 1:], y=g.y) for g in digits()[:32]]
    data = Batch.from_data_list(graphs)
    model = DigitClassifier(key=jax.random.key(0))
    state = OPTIMISER.init(eqx.filter(model, eqx.is_inexact_array))
    losses = []
    for _ in range(25):
        model, state, loss, nodes = step(model, state, data)
        losses.append(loss)
    print("nodes at each level:", [int(number) for number in nodes])
    print("the loss falls by half:", bool(losses[-1] < losses[0] / 2))


if __name__ == "__main__":
    main()
