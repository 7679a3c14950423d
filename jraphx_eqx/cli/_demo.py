"""A training from beginning to end, on graphs that come with scikit-learn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..data import Batch, Data
from ..loading import Loader, budget, digits, graph_mean, mean_over
from ..nn.conv import GraphConv
from ..nn.pool import PoolOutput, TopKPooling, global_max_pool, global_mean_pool
from ._problem import Problem, told
from ._write import check_place

WIDTH, DRAWN, TEST = 32, 3, 297


class Net(eqx.Module):
    """Twice a convolution, a pooling and a readout, and two linear layers."""

    convs: list[GraphConv]
    pools: list[TopKPooling]
    out: eqx.nn.MLP

    def __init__(self, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)
        self.convs = [GraphConv(n, WIDTH, key=k) for n, k in zip((3, WIDTH), keys, strict=False)]
        self.pools = [TopKPooling(WIDTH, ratio=0.6, key=k) for k in keys[2:4]]
        self.out = eqx.nn.MLP(4 * WIDTH, 10, 2 * WIDTH, depth=1, key=keys[4])

    def __call__(self, batch: Any) -> tuple[Float[Array, "graphs 10"], list[PoolOutput]]:
        x, edge_index, graph = batch.x, batch.edge_index, batch.batch
        outputs, readouts = [], []
        for conv, pool in zip(self.convs, self.pools, strict=True):
            outputs.append(pool(jax.nn.relu(conv(x, edge_index)), edge_index, batch=graph))
            x, edge_index, _, graph, _ = outputs[-1]
            readouts += [global_mean_pool(x, graph), global_max_pool(x, graph)]
        return jax.vmap(self.out)(jnp.concatenate(readouts, axis=-1)), outputs


def run(
    picture: Path, epochs: int, seed: int, follow: Callable[[int, float, float], None]
) -> tuple[float, int]:
    """Trains, draws, and returns the accuracy and the number of graphs that it is of.

    `follow` is told the loss and the accuracy after each epoch.
    """
    try:
        import networkx  # noqa: F401
        import optax
        import sklearn  # noqa: F401
        from matplotlib.figure import Figure
    except ImportError as error:
        needs = 'pip install "jraphx_eqx[examples,viz]"'
        raise Problem(f"demo needs the package {error.name}: {needs}") from error
    figure = Figure(figsize=(9, 9), layout="constrained")
    endings = figure.canvas.get_supported_filetypes()
    if picture.suffix[1:] not in endings:
        raise Problem(f"{picture} must end in one of {', '.join(map('.{}'.format, endings))}")
    check_place(picture)
    graphs = [_centred(graph) for graph in digits()]
    room = budget(graphs, batch_size=64)
    test, train = np.split(np.random.default_rng(seed).permutation(len(graphs)), [TEST])
    loader = Loader(graphs, room, seed=seed, sampler=lambda rng: rng.permutation(train))
    for_test = Loader(graphs, room, sampler=lambda rng: test)
    model = Net(key=jax.random.key(seed))
    steps = epochs * len(loader)
    optimiser = optax.adam(optax.cosine_decay_schedule(5e-3, steps))
    state = optimiser.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model, state, batch):
        def loss_fn(model):
            logits, _ = model(batch)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
            return graph_mean(losses, batch)

        loss, gradients = eqx.filter_value_and_grad(loss_fn)(model)
        updates, state = optimiser.update(gradients, state)
        return eqx.apply_updates(model, updates), state, loss

    call = eqx.filter_jit(lambda model, batch: model(batch))

    def accuracy(model):
        def is_right(batch):
            return call(model, batch)[0].argmax(axis=-1) == batch.y

        return float(mean_over(for_test, is_right))

    for epoch in range(epochs):
        loss = jnp.nan
        for batch in loader:
            model, state, loss = step(model, state, batch)
        follow(epoch + 1, float(loss), accuracy(model))
    share = accuracy(model)
    by_digit = {int(graphs[index].y): graphs[index] for index in test}
    drawn = Batch.from_data_list(list(by_digit.values())[:DRAWN]).pad(**room.sizes)
    logits, outputs = call(model, drawn)
    _draw(drawn, logits, outputs, figure)
    with told(OSError):
        figure.savefig(picture, dpi=120)
    return share, len(test)


def _centred(graph: Data) -> Data:
    """The same with features around 0, and each pixel where it is in the image."""
    x = np.asarray(graph.x)
    pos = np.stack([x[:, 2], -x[:, 1]], axis=1)
    return Data(4 * x - 2, graph.edge_index, y=graph.y, pos=pos)


def _draw(batch: Any, logits: Any, outputs: list[PoolOutput], figure: Any) -> None:
    from ..viz import draw_levels

    for number, axes in enumerate(figure.subplots(DRAWN, len(outputs) + 1)):
        draw_levels(batch, outputs, number=number, axes=axes)
        seen = f"{batch.y[number]}, taken for {logits[number].argmax()}"
        axes[0].set_title(f"{seen}: {axes[0].get_title()}", fontsize=9)
