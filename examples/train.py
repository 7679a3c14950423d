"""Trains a graph classifier with three poolings, and goes on where it was killed.

    python examples/train.py                      scikit-learn's digits
    python examples/train.py PROTEINS/            a TU data set, as published
    python examples/train.py graphs/              a folder of .npz files, one a graph

With `--checkpoint`, one is written every few steps, also in the middle of an epoch. The same
command goes on from there, and ends with the same numbers, bit for bit.
"""

import argparse
import pathlib
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jraphx_eqx.data import Batch, Data
from jraphx_eqx.loading import (
    Folder,
    Loader,
    LoaderState,
    accuracy,
    budget,
    digits,
    graph_mean,
    mean_over,
    read_tu,
)
from jraphx_eqx.nn.conv import GraphConv
from jraphx_eqx.nn.pool import TopKPooling, global_max_pool, global_mean_pool


class Classifier(eqx.Module):
    """Three times a convolution, a pooling and a readout, and two linear layers."""

    convs: list[GraphConv]
    pools: list[TopKPooling]
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, in_features: int, num_classes: int, width: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 8)
        widths = [in_features, width, width]
        self.convs = [
            GraphConv(features, width, aggr="mean", key=k)
            for features, k in zip(widths, keys[:3], strict=True)
        ]
        self.pools = [TopKPooling(width, ratio=0.8, key=k) for k in keys[3:6]]
        self.hidden = eqx.nn.Linear(6 * width, width, key=keys[6])
        self.out = eqx.nn.Linear(width, num_classes, key=keys[7])
        self.dropout = eqx.nn.Dropout(0.2)

    def __call__(
        self, batch: Batch, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "graphs classes"]:
        x, edge_index, graph = batch.x, batch.edges, batch.batch
        readouts = []
        for conv, pool in zip(self.convs, self.pools, strict=True):
            x = jax.nn.relu(conv(x, edge_index))
            x, edge_index, _, graph, _ = pool(x, edge_index, batch=graph)
            readouts += [global_mean_pool(x, graph), global_max_pool(x, graph)]
        x = jax.nn.relu(jax.vmap(self.hidden)(jnp.concatenate(readouts, axis=-1)))
        return jax.vmap(self.out)(self.dropout(x, key=key))


class Training(NamedTuple):
    """All that a checkpoint holds."""

    model: Classifier
    state: Any
    position: LoaderState
    best: Classifier
    best_accuracy: float
    best_epoch: int


def losses(logits: Float[Array, "graphs classes"], batch: Batch) -> Float[Array, " graphs"]:
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)


def make_step(optimiser: optax.GradientTransformation, seed: int):
    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def step(model, state, batch, at):
        # A key that follows from the number of the step needs no place in the checkpoint.
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), at[0]), at[1])

        def loss_fn(model):
            logits = model(batch, key=key)
            return graph_mean(losses(logits, batch), batch), accuracy(logits, batch)

        (loss, share), gradients = eqx.filter_value_and_grad(loss_fn, has_aux=True)(model)
        updates, state = optimiser.update(gradients, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), state, loss, share

    return step


@eqx.filter_jit
def _judge(model, batch):
    logits = model(batch)
    return losses(logits, batch), jnp.argmax(logits, axis=-1) == batch.y


def evaluate(model: Classifier, loader: Loader) -> tuple[float, float]:
    """Loss and accuracy over all graphs."""
    model = eqx.nn.inference_mode(model)
    loss, share = mean_over(loader, lambda batch: _judge(model, batch))
    return float(loss), float(share)


def save(path: pathlib.Path, training: Training) -> None:
    new = path.with_suffix(".new.eqx")
    eqx.tree_serialise_leaves(new, training)
    new.replace(path)  # at once: whoever is killed leaves the old checkpoint or the new one


def read(path: str | None) -> list[Data] | Folder:
    """Graphs with features; those without get the logarithm of their degree."""
    if path is None:  # with features around 0
        return [eqx.tree_at(lambda g: g.x, graph, 4 * graph.x - 2) for graph in digits()]
    folder = pathlib.Path(path)
    if folder.suffix != ".npz" and not any(folder.glob("*_A.txt")):
        return Folder(folder)
    graphs = read_tu(folder, use_node_attr=True)
    return [graph if graph.x is not None else _with_degree(graph) for graph in graphs]


def _with_degree(graph: Data) -> Data:
    degree = np.bincount(graph.edge_index[1], minlength=graph.num_nodes)
    return Data(np.log1p(degree, dtype=np.float32)[:, None], graph.edge_index, y=graph.y)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--patience", type=int, default=20, help="epochs without a better one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--neighbours", action="store_true", help="lists of neighbours, for large batches"
    )
    parser.add_argument("--checkpoint", type=pathlib.Path, help="a file to write and go on from")
    parser.add_argument("--every", type=int, default=50, help="steps from checkpoint to checkpoint")
    return parser.parse_args()


def main() -> Training:
    options = parse()
    graphs = read(options.data)
    room = budget(graphs, options.batch_size, neighbours=options.neighbours)
    print(room)
    order = np.random.default_rng(options.seed).permutation(len(graphs))
    tenth = max(1, len(graphs) // 10)
    test, validation, train = np.split(order, [tenth, 2 * tenth])
    loader = Loader(
        graphs,
        room,
        seed=options.seed,
        sampler=lambda rng: rng.permutation(train),
        check_finite=True,
    )
    for_validation = Loader(graphs, room, sampler=lambda rng: validation)
    for_test = Loader(graphs, room, sampler=lambda rng: test)

    classes = 1 + max(int(graphs[index].y) for index in range(len(graphs)))
    key = jax.random.key(options.seed)
    model = Classifier(graphs[0].x.shape[1], classes, options.width, key=key)
    steps = options.epochs * len(loader)
    optimiser = optax.adam(
        optax.warmup_cosine_decay_schedule(0, options.learning_rate, steps // 10, steps)
    )
    step = make_step(optimiser, options.seed)
    state = optimiser.init(eqx.filter(model, eqx.is_array))
    best, best_accuracy, best_epoch = model, 0.0, 0
    path = options.checkpoint
    if path and path.exists():
        training = Training(model, state, loader.state(), best, best_accuracy, best_epoch)
        training = eqx.tree_deserialise_leaves(path, training)
        model, state, position, best, best_accuracy, best_epoch = training
        loader.restore(position)
        print(f"goes on in epoch {position.epoch}, after {position.batch} of its steps")

    def checkpoint() -> Training:
        training = Training(model, state, loader.state(), best, best_accuracy, best_epoch)
        if path:
            save(path, training)
        return training

    text = TextColumn("{task.description}")
    with Progress(text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        while (epoch := loader.state().epoch) < options.epochs:
            if epoch - best_epoch > options.patience:
                print(f"no better epoch for {options.patience}: stops")
                break
            task = bar.add_task(f"epoch {epoch}", total=len(loader))
            for batch in loader:
                at = loader.state()
                model, state, loss, share = step(model, state, batch, np.array(at))
                if at.batch % 10 == 0:
                    told = f"epoch {epoch}  loss {loss:.3f}  accuracy {share:.3f}"
                    bar.update(task, completed=at.batch, description=told)
                if at.batch % options.every == 0:
                    checkpoint()
            loss, share = evaluate(model, for_validation)
            told = f"epoch {epoch}  validation loss {loss:.3f}  accuracy {share:.3f}"
            bar.update(task, completed=at.batch, description=told)
            if share > best_accuracy:
                best, best_accuracy, best_epoch = model, share, epoch
            training = checkpoint()

    _, share = evaluate(best, for_test)
    print(f"test accuracy {100 * share:.1f} % on {len(test)} graphs, by epoch {best_epoch}")
    return training


if __name__ == "__main__":
    main()
