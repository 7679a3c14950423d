"""Trains classifiers with several poolings on TU data sets, three of them in PyG as well.

    python -m benchmarks.evidence DATA results.jsonl --data-set PROTEINS --epochs 100

`DATA` is a folder of `NAME.npz`, as `jraphx_eqx.loading.read_tu` reads them, and of
`splits_errica2020.npz`: for each set ten folds, in which a graph is for training (0), validation
(1) or testing (2). Each run appends a line to the results. A run that is there already, with the
same number of epochs, is left out, so the same command goes on where it was stopped. In the end it
prints a table of all results in the file: mean and standard deviation over the folds, and seconds
of processor time.

All networks are alike: twice a GraphConv (mean) and a pooling, which halves the nodes or makes 16
clusters and then 4; after each the mean and the maximum of all nodes; two linear layers. Adam,
batches of 32. What counts is the accuracy on the test graphs after the epoch with the best accuracy
on the validation graphs, and among those the lowest loss there.
"""

import json
import pathlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import typer

from jraphx_eqx.data import Data
from jraphx_eqx.loading import read_tu

WIDTH, BATCH, RATE = 64, 32, 1e-3
OURS = ("flat", "topk", "sag", "edge", "asap", "diff", "mincut")
PYG = ("flat", "topk", "sag")
Epoch = tuple[float, float, float]
"""Loss and accuracy on the validation graphs, and accuracy on the test graphs."""


def main(
    data: Annotated[pathlib.Path, typer.Argument(help="The folder of data sets and folds.")],
    results: Annotated[pathlib.Path, typer.Argument(help="A file of lines of JSON.")],
    data_set: Annotated[list[str], typer.Option(help="For example PROTEINS; several times.")],
    pool: Annotated[list[str] | None, typer.Option(help="By default all.")] = None,
    fold: Annotated[list[int] | None, typer.Option(help="0 to 9, by default all.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 100,
    pyg: Annotated[bool, typer.Option(help="Whether PyG takes part.")] = True,
) -> None:
    done = (
        [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    )
    there = {tuple(run[name] for name in _KEY) for run in done}
    for name in data_set:
        graphs = [_with_features(graph) for graph in read_tu(data / f"{name}.npz")]
        with np.load(data / "splits_errica2020.npz") as folds:
            roles = folds[name]
        for number in range(10) if fold is None else fold:
            parts = [np.flatnonzero(roles[number] == role) for role in range(3)]
            for framework, kinds in (("ours", OURS), ("pyg", PYG if pyg else ())):
                for kind in kinds:
                    key = (name, framework, kind, number, epochs)
                    if key in there or (pool is not None and kind not in pool):
                        continue
                    run = dict(zip(_KEY, key, strict=True)) | _trained(graphs, parts, *key[1:])
                    with results.open("a") as file:
                        print(json.dumps(run), file=file)
                    print(json.dumps(run), flush=True)
                    done.append(run)
    print(table(done))


_KEY = ("data_set", "framework", "pool", "fold", "epochs")


def table(runs: list[dict[str, Any]]) -> str:
    """Markdown: one line for each data set and pooling, with both frameworks side by side."""
    lines = [
        "| | pooling | test accuracy, % | PyG's, % | parameters | s an epoch | PyG's |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups = defaultdict(lambda: defaultdict(list))
    for run in runs:
        groups[run["data_set"], run["epochs"], run["pool"]][run["framework"]].append(run)
    before = None
    for (name, epochs, pool), group in groups.items():
        folds = max(len(runs) for runs in group.values())
        title = f"{name}, {folds} {'fold' if folds == 1 else 'folds'}, {epochs} epochs"
        (ours, seconds), (theirs, their_seconds) = (
            _share_and_seconds(group[framework]) for framework in ("ours", "pyg")
        )
        parameters = (group["ours"] or group["pyg"])[0]["parameters"]
        lines.append(
            f"| {'' if title == before else title} | {pool} | {ours} | {theirs} | "
            f"{parameters:,} | {seconds} | {their_seconds} |"
        )
        before = title
    return "\n".join(lines)


def _share_and_seconds(runs):
    if not runs:
        return "", ""
    share = 100 * np.array([run["accuracy"] for run in runs])
    spread = f" ± {share.std(ddof=1):.1f}" if len(share) > 1 else ""
    return f"{share.mean():.1f}{spread}", f"{np.median([run['cpu'] for run in runs]):.2f}"


def _trained(graphs, parts, framework, kind, fold, epochs):
    make = {"ours": _ours, "pyg": _pyg}[framework]
    parameters, run = make(kind, graphs, parts, fold)
    found: list[Epoch] = []
    wall, cpu = [], []
    for _ in range(epochs):
        began, worked = time.perf_counter(), time.process_time()
        found.append(next(run))
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
    best = max(range(epochs), key=lambda epoch: (found[epoch][1], -found[epoch][0]))
    return {
        "accuracy": found[best][2],
        "best_epoch": best,
        "parameters": parameters,
        "wall": float(np.median(wall)),
        "cpu": float(np.median(cpu)),
    }


def _with_features(graph: Data) -> Data:
    if graph.x is not None:
        return graph
    degree = np.bincount(graph.edge_index[1], minlength=graph.num_nodes)
    return Data(np.log1p(degree, dtype=np.float32)[:, None], graph.edge_index, y=graph.y)


def _sizes(graphs: list[Data]) -> tuple[int, int]:
    return graphs[0].x.shape[1], 1 + max(int(graph.y) for graph in graphs)


def _ours(kind: str, graphs: list[Data], parts: Any, seed: int) -> tuple[int, Iterator[Epoch]]:
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax

    from jraphx_eqx.loading import Loader, budget, graph_mean, mean_over
    from jraphx_eqx.nn import pool as pools
    from jraphx_eqx.nn.conv import GraphConv

    makers: dict[str, Callable[..., Any]] = {
        "flat": lambda level, key: None,
        "topk": lambda level, key: pools.TopKPooling(WIDTH, 0.5, key=key),
        "sag": lambda level, key: pools.SAGPooling(WIDTH, 0.5, key=key),
        "edge": lambda level, key: pools.EdgePooling(WIDTH, key=key),
        "asap": lambda level, key: pools.ASAPooling(WIDTH, 0.5, key=key),
        "diff": lambda level, key: pools.DiffPooling(WIDTH, (16, 4)[level], key=key),
        "mincut": lambda level, key: pools.MinCutPooling(WIDTH, (16, 4)[level], key=key),
    }

    class Net(eqx.Module):
        convs: list[GraphConv]
        pools: list[Any]
        hidden: eqx.nn.Linear
        out: eqx.nn.Linear

        def __init__(self, in_features, num_classes, *, key):
            keys = jax.random.split(key, 6)
            widths = (in_features, WIDTH)
            self.convs = [
                GraphConv(w, WIDTH, "mean", key=k) for w, k in zip(widths, keys[:2], strict=True)
            ]
            self.pools = [makers[kind](level, keys[2 + level]) for level in range(2)]
            self.hidden = eqx.nn.Linear(4 * WIDTH, WIDTH, key=keys[4])
            self.out = eqx.nn.Linear(WIDTH, num_classes, key=keys[5])

        def __call__(self, batch):
            x, edge_index, weight, graph = batch.x, batch.edge_index, None, batch.batch
            readouts, more = [], jnp.zeros(())
            for conv, pool in zip(self.convs, self.pools, strict=True):
                x = jax.nn.relu(conv(x, edge_index, weight))
                if pool is not None:
                    room = {"max_edges": 16 * len(batch.x)} if kind == "asap" else {}
                    out = pool(x, edge_index, weight, batch=graph, **room)
                    x, edge_index, weight, graph, _ = out
                    more += sum(out.loss.values())
                readouts += [pools.global_mean_pool(x, graph), pools.global_max_pool(x, graph)]
            x = jax.nn.relu(jax.vmap(self.hidden)(jnp.concatenate(readouts, axis=-1)))
            return jax.vmap(self.out)(x), more

    def losses(logits, batch):
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)

    @eqx.filter_jit
    def step(model, state, batch):
        def loss_fn(model):
            logits, more = model(batch)
            return graph_mean(losses(logits, batch), batch) + more

        gradients = eqx.filter_grad(loss_fn)(model)
        updates, state = optimiser.update(gradients, state)
        return eqx.apply_updates(model, updates), state

    @eqx.filter_jit
    def judge(model, batch):
        logits, _ = model(batch)
        return losses(logits, batch), logits.argmax(axis=-1) == batch.y

    room = budget(graphs, BATCH)
    train = Loader(graphs, room, seed=seed, sampler=lambda rng: rng.permutation(parts[0]))
    validation, test = (Loader(graphs, room, sampler=lambda _, p=p: p) for p in parts[1:])
    model = Net(*_sizes(graphs), key=jax.random.key(seed))
    optimiser = optax.adam(RATE)
    parameters = eqx.filter(model, eqx.is_inexact_array)

    def epochs():
        net, state = model, optimiser.init(parameters)
        while True:
            for batch in train:
                net, state = step(net, state, batch)
            loss, right = mean_over(validation, lambda batch, net=net: judge(net, batch))
            _, tested = mean_over(test, lambda batch, net=net: judge(net, batch))
            yield float(loss), float(right), float(tested)

    return sum(array.size for array in jax.tree.leaves(parameters)), epochs()


def _pyg(kind: str, graphs: list[Data], parts: Any, seed: int) -> tuple[int, Iterator[Epoch]]:
    import torch
    import torch_geometric.nn as gnn
    from torch.nn.functional import cross_entropy
    from torch_geometric.data import Data as PyGData
    from torch_geometric.loader import DataLoader

    makers: dict[str, Callable[[], Any]] = {
        "flat": torch.nn.Identity,
        "topk": lambda: gnn.TopKPooling(WIDTH, 0.5),
        "sag": lambda: gnn.SAGPooling(WIDTH, 0.5, GNN=gnn.GCNConv),
    }

    class Net(torch.nn.Module):
        def __init__(self, in_features, num_classes):
            super().__init__()
            widths = (in_features, WIDTH)
            self.convs = torch.nn.ModuleList(gnn.GraphConv(w, WIDTH, "mean") for w in widths)
            self.pools = torch.nn.ModuleList(makers[kind]() for _ in widths)
            self.hidden = torch.nn.Linear(4 * WIDTH, WIDTH)
            self.out = torch.nn.Linear(WIDTH, num_classes)

        def forward(self, data):
            x, edge_index, batch = data.x, data.edge_index, data.batch
            readouts = []
            for conv, pool in zip(self.convs, self.pools, strict=True):
                x = conv(x, edge_index).relu()
                if kind != "flat":
                    x, edge_index, _, batch, _, _ = pool(x, edge_index, batch=batch)
                readouts.append(gnn.global_mean_pool(x, batch, data.num_graphs))
                readouts.append(gnn.global_max_pool(x, batch, data.num_graphs))
            return self.out(self.hidden(torch.cat(readouts, dim=-1)).relu())

    torch.manual_seed(seed)
    whole = [
        PyGData(
            x=torch.tensor(graph.x),
            edge_index=torch.tensor(graph.edge_index).long(),
            y=torch.tensor(int(graph.y)),
        )
        for graph in graphs
    ]
    train, validation, test = (
        DataLoader([whole[index] for index in part], BATCH, shuffle=number == 0)
        for number, part in enumerate(parts)
    )
    net = Net(*_sizes(graphs))
    optimiser = torch.optim.Adam(net.parameters(), RATE)

    def judged(loader):
        net.eval()
        with torch.no_grad():
            pairs = [(net(data), data.y) for data in loader]
        logits, y = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return float(cross_entropy(logits, y)), float((logits.argmax(-1) == y).float().mean())

    def epochs():
        while True:
            net.train()
            for data in train:
                optimiser.zero_grad()
                cross_entropy(net(data), data.y).backward()
                optimiser.step()
            loss, right = judged(validation)
            yield loss, right, judged(test)[1]

    return sum(parameter.numel() for parameter in net.parameters()), epochs()


if __name__ == "__main__":
    typer.run(main)
