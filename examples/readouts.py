"""Compares readouts on scikit-learn's digits: each in the same network, trained for the same time.

python examples/readouts.py
python examples/readouts.py --readouts mean set2set --seconds 20 --picture readouts.svg
"""

import argparse
import functools
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from jraphx_eqx.data import Batch
from jraphx_eqx.loading import Loader, budget, digits, graph_mean, mean_over
from jraphx_eqx.nn import Linear, aggr
from jraphx_eqx.nn.conv import GraphConv

WIDTH, CLASSES, BATCH = 32, 10, 64
# Each is made for nodes of `WIDTH` features, and returns this many times as many.
READOUTS: dict[str, tuple[Callable[[PRNGKeyArray], aggr.AbstractAggregation], int]] = {
    "mean": (lambda key: aggr.MeanAggregation(), 1),
    "max": (lambda key: aggr.MaxAggregation(), 1),
    "softmax": (lambda key: aggr.SoftmaxAggregation(learn=True, channels=WIDTH), 1),
    "attentional": (lambda key: aggr.AttentionalAggregation(Linear(WIDTH, WIDTH, key=key)), 1),
    "set2set": (lambda key: aggr.Set2Set(WIDTH, processing_steps=3, key=key), 2),
    "sort": (lambda key: aggr.SortAggregation(k=16), 16),
    "multi": (lambda key: aggr.MultiAggregation(["mean", "max", "std"]), 3),
    "gmt": (lambda key: aggr.GraphMultisetTransformer(WIDTH, k=8, heads=4, key=key), 1),
}


class Classifier(eqx.Module):
    """Two convolutions, a readout, and two linear layers."""

    conv1: GraphConv
    conv2: GraphConv
    readout: aggr.AbstractAggregation
    hidden: Linear
    out: Linear

    def __init__(self, in_features: int, readout: str, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)
        make, times = READOUTS[readout]
        self.conv1 = GraphConv(in_features, WIDTH, aggr="mean", key=keys[0])
        self.conv2 = GraphConv(WIDTH, WIDTH, aggr="mean", key=keys[1])
        self.readout = make(keys[2])
        self.hidden = Linear(times * WIDTH, WIDTH, key=keys[3])
        self.out = Linear(WIDTH, CLASSES, key=keys[4])

    def __call__(self, batch: Batch) -> Float[Array, "graphs classes"]:
        x = jax.nn.relu(self.conv1(batch.x, batch.edge_index))
        x = jax.nn.relu(self.conv2(x, batch.edge_index))
        return self.out(jax.nn.relu(self.hidden(self.readout(x, batch.batch))))


class Found(NamedTuple):
    """What came of one readout: accuracies after some seconds of training, and times of a step."""

    name: str
    parameters: int
    milliseconds: float
    curve: list[tuple[float, float]]


def train(name: str, loaders: tuple[Loader, Loader], seconds: float) -> Found:
    """Trains a network with this readout. Compiling does not count."""
    for_training, for_test = loaders
    first = next(iter(for_test))
    model = Classifier(first.x.shape[1], name, key=jax.random.key(0))
    optimiser = optax.adam(3e-3)
    state = optimiser.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model, state, batch):
        def loss(model):
            logits = model(batch)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
            return graph_mean(losses, batch)

        gradients = eqx.filter_grad(loss)(model)
        updates, state = optimiser.update(gradients, state)
        return eqx.apply_updates(model, updates), state

    @eqx.filter_jit
    def is_right(model, batch):
        return jnp.argmax(model(batch), axis=-1) == batch.y

    jax.block_until_ready((step(model, state, first), is_right(model, first)))
    curve, spent, steps = [], 0.0, 0
    while spent < seconds:
        start = time.perf_counter()
        for batch in for_training:
            model, state = step(model, state, batch)
            steps += 1
        jax.block_until_ready(model)
        spent += time.perf_counter() - start
        share = mean_over(for_test, functools.partial(is_right, model))
        curve.append((spent, float(share)))
    readout = jax.tree.leaves(eqx.filter(model.readout, eqx.is_inexact_array))
    return Found(name, sum(leaf.size for leaf in readout), 1e3 * spent / steps, curve)


def table(found: list[Found]) -> str:
    """A row for each readout, the best first."""
    lines = ["readout       accuracy   ms a step   parameters"]
    for one in sorted(found, key=lambda one: -one.curve[-1][1]):
        share, ms = f"{100 * one.curve[-1][1]:.1f} %", f"{one.milliseconds:.1f}"
        lines.append(f"{one.name:12}{share:>10}{ms:>12}{one.parameters:>13}")
    return "\n".join(lines)


def picture(found: list[Found], path: pathlib.Path) -> None:
    """Accuracy against the time of training."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for one in found:
        axes.plot(*zip(*one.curve, strict=True), label=one.name)
    axes.set(xlabel="seconds of training", ylabel="accuracy on other digits")
    axes.legend(ncols=2)
    figure.savefig(path)
    plt.close(figure)


def parse(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readouts", nargs="+", choices=READOUTS, default=[*READOUTS])
    parser.add_argument("--seconds", type=float, default=5, help="of training, for each")
    parser.add_argument("--graphs", type=int, default=1797)
    parser.add_argument("--picture", type=pathlib.Path, help="a file to draw into")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> list[Found]:
    options = parse(given)
    graphs = [eqx.tree_at(lambda g: g.x, graph, 4 * graph.x - 2) for graph in digits()]
    graphs = graphs[: options.graphs]
    room = budget(graphs, BATCH)
    order = np.random.default_rng(0).permutation(len(graphs))
    test, rest = np.split(order, [len(graphs) // 5])
    loaders = (
        Loader(graphs, room, sampler=lambda rng: rng.permutation(rest)),
        Loader(graphs, room, sampler=lambda rng: test),
    )
    found = []
    for name in options.readouts:
        found.append(train(name, loaders, options.seconds))
        print(f"{name} is trained", flush=True)
    print(table(found))
    if options.picture:
        picture(found, options.picture)
    return found


if __name__ == "__main__":
    main()
