import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from jraphx_eqx.nn.conv import GCNConv, GraphConv
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling, global_max_pool, global_mean_pool

WIDTH = 64


class Classifier(eqx.Module):
    """Three convolutions with two poolings between them, a readout after each, two linears."""

    convs: tuple[GCNConv | GraphConv, ...]
    topk: TopKPooling
    sag: SAGPooling
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear

    def __init__(self, features: int, classes: int, scorer: str, dtype: str, *, key):
        keys = jax.random.split(key, 7)
        conv = {"gcn": GCNConv, "graph": GraphConv}[scorer]
        widths = (features, WIDTH, WIDTH)
        self.convs = tuple(
            conv(width, WIDTH, dtype=dtype, key=k)
            for width, k in zip(widths, keys[:3], strict=True)
        )
        self.topk = TopKPooling(WIDTH, 0.8, dtype=dtype, key=keys[3])
        self.sag = SAGPooling(WIDTH, 0.8, scorer, dtype=dtype, key=keys[4])
        self.hidden = eqx.nn.Linear(6 * WIDTH, WIDTH, dtype=dtype, key=keys[5])
        self.out = eqx.nn.Linear(WIDTH, classes, dtype=dtype, key=keys[6])

    def __call__(self, x, edge_index, batch):
        readouts = []
        for conv, pool in zip(self.convs, (self.topk, self.sag, None), strict=True):
            x = jax.nn.relu(conv(x, edge_index))
            readouts += [global_mean_pool(x, batch), global_max_pool(x, batch)]
            if pool is not None:
                x, edge_index, _, batch, _ = pool(x, edge_index, batch=batch)
        hidden = jax.nn.relu(jax.vmap(self.hidden)(jnp.concatenate(readouts, axis=-1)))
        return jax.vmap(self.out)(hidden)


def training_step(name, inputs, x, edge_index, batch):
    """A function that takes one step of Adam each time it is called."""
    scorer = name.removeprefix("classifier (").removesuffix(")")
    key = jax.random.key(0)
    model = Classifier(x.shape[1], inputs.num_classes, scorer, inputs.dtype, key=key)
    optimiser = optax.adam(1e-3)
    state = optimiser.init(eqx.filter(model, eqx.is_array))
    y = jnp.asarray(inputs.y)

    def loss_fn(model, x, edge_index, batch, y):
        logits = model(x, edge_index, batch)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @eqx.filter_jit
    def step(model, state, x, edge_index, batch, y):
        loss, gradients = eqx.filter_value_and_grad(loss_fn)(model, x, edge_index, batch, y)
        updates, state = optimiser.update(gradients, state)
        return eqx.apply_updates(model, updates), state, loss

    def call():
        nonlocal model, state
        model, state, loss = jax.block_until_ready(step(model, state, x, edge_index, batch, y))
        return loss

    return call
