"""Poolings by memberships from the edge list, beside PyG's functions of dense batches.

`python -m benchmarks.memberships [part ...]` prints a table for each part: `time`, `memory`,
`growth`. One core and processor seconds, by turns, so that a busy machine matters little. Memory of
ours is what the compiled program needs besides its inputs; PyG's is what the process took beyond
what it had before the call.
"""

import os
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np

FEATURES, REPEATS = 32, 3
FREE_SHARE = 0.5
"""A call that needs more than this share of the free memory is not run."""


def random_graphs(graphs, nodes, edges, seed=0):
    """Nodes' graph and the edge list, with so many edges for each graph, in both directions."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, nodes, (2, graphs, edges // 2))
    ends = (ends + nodes * np.arange(graphs)[None, :, None]).reshape(2, -1)
    edge_index = np.concatenate([ends, ends[::-1]], axis=1)
    return np.repeat(np.arange(graphs), nodes), edge_index


def reddit(number):
    """The first graphs of REDDIT-BINARY, shuffled."""
    from ._datasets import real_batch

    found = real_batch("REDDIT-BINARY", number, os.environ["TU_DATASETS"])
    return found["batch"], found["edge_index"]


CASES = {
    "128 x 32": lambda: random_graphs(128, 32, 128),
    "1,024 x 32": lambda: random_graphs(1024, 32, 128),
    "128 of REDDIT-BINARY": lambda: reddit(128),
    "1 x 8,000, 1 % density": lambda: random_graphs(1, 8000, 640_000),
    "1 x 50,000": lambda: random_graphs(1, 50_000, 200_000),
    **{
        f"{edges:,} edges": lambda edges=edges: random_graphs(16, edges // 64, edges // 16)
        for edges in (16_000, 1_024_000)
    },
}


def ours(name, clusters, index, edge_index):
    """The compiled program, forward + backward, and its arguments."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from jraphx_eqx.data import BatchVector
    from jraphx_eqx.nn import pool as nn

    graphs = int(index[-1]) + 1
    x = np.random.default_rng(1).normal(size=(len(index), FEATURES)).astype(np.float32)
    made = getattr(nn, name)(FEATURES, clusters, "linear", key=jax.random.key(0))
    batch = BatchVector(jnp.asarray(index, jnp.int32), graphs, int(np.bincount(index).max()))
    static = eqx.filter(made, eqx.is_array, inverse=True)

    @jax.jit
    def program(parameters, x, edge_index, batch):
        def loss(parameters, x):
            out = eqx.combine(parameters, static)(x, edge_index, batch=batch)
            return jnp.sum(out.x) + jnp.sum(out.edge_attr) + sum(out.loss.values())

        return jax.value_and_grad(loss, argnums=(0, 1))(parameters, x)

    given = eqx.filter(made, eqx.is_array), jnp.asarray(x), jnp.asarray(edge_index, jnp.int32)
    return program.lower(*given, batch).compile(), (*given, batch)


def theirs(name, clusters, index, edge_index, from_edges=True):
    """A function of no arguments: forward + backward of PyG's."""
    import torch
    import torch_geometric.nn as pyg
    from torch_geometric.utils import to_dense_adj, to_dense_batch

    torch.set_num_threads(1)
    function = {"DiffPooling": pyg.dense_diff_pool, "MinCutPooling": pyg.dense_mincut_pool}[name]
    linear = torch.nn.Linear(FEATURES, clusters)
    x = torch.randn(len(index), FEATURES, requires_grad=True)
    batch, edges = torch.tensor(index, dtype=torch.long), torch.tensor(edge_index, dtype=torch.long)

    def dense():
        return *to_dense_batch(x, batch), to_dense_adj(edges, batch)

    with torch.no_grad():
        kept = None if from_edges else dense()

    def call():
        rows, mask, adj = dense() if kept is None else kept
        rows = rows if kept is None else rows.detach().requires_grad_()
        out, pooled, *losses = function(rows, adj, linear(rows), mask)
        (out.sum() + pooled.sum() + sum(losses)).backward()

    return call


def seconds(calls):
    """Processor seconds of each, the fewest of several turns."""
    least = [np.inf] * len(calls)
    for turn in range(REPEATS + 1):  # The first one warms up.
        for i, call in enumerate(calls):
            before = time.process_time()
            call()
            if turn:
                least[i] = min(least[i], time.process_time() - before)
    return least


def compiled(name, clusters, case):
    """A function of no arguments, and the MiB that the program needs besides its inputs."""
    import jax

    program, given = ours(name, clusters, *CASES[case]())
    found = program.memory_analysis()
    need = (found.temp_size_in_bytes + found.output_size_in_bytes) / 2**20
    return lambda: jax.block_until_ready(program(*given)), need


def time_table():
    """Ours over PyG's time."""
    print(
        "| pooling | graphs | clusters | ours, ms | PyG, ms | ratio | PyG, dense before | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in ("DiffPooling", "MinCutPooling"):
        for case in ("128 x 32", "1,024 x 32"):
            for clusters in (10, 30):
                graphs = CASES[case]()
                calls = [compiled(name, clusters, case)[0], theirs(name, clusters, *graphs)]
                calls.append(theirs(name, clusters, *graphs, from_edges=False))
                mine, whole, function = seconds(calls)
                print(
                    f"| `{name}` | {case} | {clusters} | {1e3 * mine:.1f} | {1e3 * whole:.1f} | "
                    f"{mine / whole:.2f} | {1e3 * function:.1f} | {mine / function:.2f} |",
                    flush=True,
                )


def peak_of_theirs(name, case):
    """MiB, measured in a process of its own; `None` if that would need too much."""
    import psutil

    counts = np.bincount(CASES[case]()[0])
    adjacency = 4 * len(counts) * int(counts.max()) ** 2
    # The adjacency, its product with memberships, and what the losses make of it.
    if 5 * adjacency > FREE_SHARE * psutil.virtual_memory().available:
        return adjacency / 2**20, None
    command = [sys.executable, "-m", "benchmarks.memberships", "peak", name, case]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return adjacency / 2**20, float(done.stdout)


def print_peak(name, case):
    """In a process of its own."""
    call = theirs(name, 10, *CASES[case]())
    small = theirs(name, 10, *random_graphs(2, 8, 8))
    small()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)


def memory_table():
    """Of 10 clusters."""
    print("| pooling | graphs | ours, MiB | PyG's adjacency, MiB | PyG at its peak, MiB | ratio |")
    print("|---|---|---|---|---|---|")
    for name in ("DiffPooling", "MinCutPooling"):
        for case in ("128 of REDDIT-BINARY", "1 x 8,000, 1 % density", "1 x 50,000"):
            _, mine = compiled(name, 10, case)
            adjacency, peak = peak_of_theirs(name, case)
            of = f"{mine / peak:.3f}" if peak else f"{mine / adjacency:.3f} of its adjacency"
            said = f"{peak:,.0f}" if peak else "not run"
            print(
                f"| `{name}` | {case} | {mine:,.0f} | {adjacency:,.0f} | {said} | {of} |",
                flush=True,
            )


def growth_table():
    """Of 10 clusters, 16 graphs, 4 edges for each node."""
    print("| pooling | graphs | ours, ms | ours, MiB |")
    print("|---|---|---|---|")
    for name in ("DiffPooling", "MinCutPooling"):
        for case in CASES:
            if case.endswith("edges"):
                call, need = compiled(name, 10, case)
                print(f"| `{name}` | {case} | {1e3 * seconds([call])[0]:.1f} | {need:,.0f} |")


TABLES = {"time": time_table, "memory": memory_table, "growth": growth_table}

if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ.setdefault("TU_DATASETS", str(pathlib.Path.cwd()))
    if sys.argv[1:2] == ["peak"]:
        print_peak(*sys.argv[2:])
    else:
        for part in sys.argv[1:] or TABLES:
            print(f"\n{part}: {TABLES[part].__doc__}\n")
            TABLES[part]()
