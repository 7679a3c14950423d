"""Batches of graphs that are good at finding faults, in numpy alone.

Every generator returns a `Case` with the arrays `x` (nodes, features), `edge_index` (2, edges),
`edge_attr` (edges, edge_features), `edge_weight` (edges,), `attn` (nodes, features), `batch`
(nodes,) and the integer `num_graphs`. Equal seeds give equal cases.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ._case import Case


def random(
    seed: int,
    *,
    graphs: int = 6,
    features: int = 4,
    max_nodes: int = 12,
    degree: float | int = 3.0,
) -> Case:
    """Graphs of 1 to `max_nodes` nodes with normal features and random directed edges."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, max_nodes + 1, graphs)
    return assemble(f"random:{seed}", rng, sizes, features=features, degree=degree)


def dyadic(seed: int, *, features: int = 4) -> Case:
    """Features and weights in eighths: sums of products are exact in float32."""
    case = random(seed, features=features)
    rng = np.random.default_rng(seed + 1)
    x = rng.integers(-16, 17, np.shape(case["x"])) / 8
    weight = rng.integers(1, 17, np.shape(case["edge_weight"])) / 8
    return _replace(case, f"dyadic:{seed}", ["ties", "zeros"], x=_f32(x), edge_weight=_f32(weight))


def onehot(seed: int, *, features: int = 4) -> Case:
    """One-hot features, as atom types are: most nodes are in a tie."""
    case = random(seed, features=features, max_nodes=20)
    kinds = np.random.default_rng(seed + 1).integers(0, features, len(np.asarray(case["x"])))
    x = np.eye(features, dtype=np.float32)[kinds]
    return _replace(case, f"onehot:{seed}", ["ties", "zeros"], x=x, attn=x)


def ties(seed: int, *, features: int = 4) -> Case:
    """Features of -2, -1, 1 or 2: many are equal, none is zero."""
    case = random(seed, features=features)
    values = np.random.default_rng(seed + 1).integers(0, 4, np.shape(case["x"]))
    x = np.asarray([-2, -1, 1, 2], np.float32)[values]
    return _replace(case, f"ties:{seed}", ["ties"], x=x, attn=x)


def near_ties(seed: int, *, features: int = 4) -> Case:
    """Nodes in pairs of one unit in the last place: both orders of a pair are right in float32."""
    case = random(seed, features=features)
    x = np.array(case["x"])
    half = len(x) // 2
    x[half : 2 * half] = np.nextafter(x[:half], np.float32(np.inf))
    return _replace(case, f"near_ties:{seed}", ["ties", "near_ties"], x=x, attn=x.copy())


def saturated(seed: int, *, features: int = 4) -> Case:
    """Features of size 50: a squashing activation returns exactly 1 for many nodes."""
    case = random(seed, features=features, max_nodes=20)
    x = np.asarray(case["x"]) * np.float32(50)
    return _replace(case, f"saturated:{seed}", ["ties", "saturated"], x=x)


def scales(
    seed: int,
    smallest: float | int = 1e-3,
    largest: float | int = 1e3,
    *,
    features: int = 4,
) -> Case:
    """Each graph has features of its own magnitude, from `smallest` to `largest`."""
    case = random(seed, graphs=5, features=features)
    factors = np.geomspace(smallest, largest, 5)[np.asarray(case["batch"])]
    x = _f32(np.asarray(case["x"]) * factors[:, None])
    return _replace(case, f"scales:{seed}", ["scales", "saturated", "ties"], x=x)


def empty_graphs(seed: int, *, features: int = 4) -> Case:
    """Graphs without nodes first, in the middle and last."""
    rng = np.random.default_rng(seed)
    return assemble(f"empty_graphs:{seed}", rng, [0, 5, 0, 0, 7, 1, 0], features=features)


def no_nodes(seed: int, *, features: int = 4) -> Case:
    """Two graphs, neither of which has a node."""
    rng = np.random.default_rng(seed)
    return assemble(f"no_nodes:{seed}", rng, [0, 0], features=features, tags=["no_nodes"])


def single_nodes(seed: int, *, features: int = 4) -> Case:
    """Graphs of one node, with and without a loop."""
    rng = np.random.default_rng(seed)
    return assemble(f"single_nodes:{seed}", rng, [1] * 5, features=features, degree=0.6)


def no_edges(seed: int, *, features: int = 4) -> Case:
    """Graphs whose nodes are all isolated."""
    rng = np.random.default_rng(seed)
    return assemble(f"no_edges:{seed}", rng, [4, 1, 6], features=features, degree=0)


def self_loops(seed: int, *, features: int = 4) -> Case:
    """Every second node has a loop, some have two."""
    case = random(seed, graphs=4, features=features)
    nodes = np.arange(0, len(np.asarray(case["x"])), 2)
    loops = np.concatenate([nodes, nodes[::3]])
    return _with_edges(case, f"self_loops:{seed}", np.stack([loops, loops]), seed)


def double_edges(seed: int, *, features: int = 4) -> Case:
    """Every edge occurs twice, the second time with other attributes."""
    case = random(seed, graphs=4, features=features)
    return _with_edges(case, f"double_edges:{seed}", np.asarray(case["edge_index"]), seed)


def asymmetric(seed: int, *, features: int = 4) -> Case:
    """Every edge points from a lower to a higher node, so no edge has its reverse."""
    case = random(seed, graphs=4, features=features)
    edges = np.asarray(case["edge_index"])
    keep = edges[0] < edges[1]
    kept = {name: np.asarray(case[name])[keep] for name in ("edge_attr", "edge_weight")}
    return _replace(case, f"asymmetric:{seed}", [], edge_index=edges[:, keep], **kept)


def unsorted(seed: int, *, features: int = 4) -> Case:
    """Nodes of different graphs are interleaved, and some ids are missing."""
    rng = np.random.default_rng(seed)
    case = assemble(f"unsorted:{seed}", rng, [6, 0, 9, 3, 0, 5], features=features)
    order = rng.permutation(len(np.asarray(case["x"])))
    place = np.argsort(order)
    nodes = {name: np.asarray(case[name])[order] for name in ("x", "attn", "batch")}
    edge_index = place[np.asarray(case["edge_index"])]
    return _replace(case, case.name, ["unsorted"], edge_index=edge_index, **nodes)


def linked_pairs(seed: int, *, features: int = 4) -> Case:
    """Nodes in pairs, linked both ways and to no other: a sum over a node and its neighbours is the
    same for both, to the last bit, as it has only two terms."""
    rng = np.random.default_rng(seed)
    sizes = 2 * rng.integers(1, 7, 6)
    nodes = rng.permutation(sizes.sum())
    case = assemble(f"linked_pairs:{seed}", rng, sizes, features=features, degree=0)
    more = np.stack([nodes, nodes ^ 1])
    return _replace(_with_edges(case, case.name, more, seed), case.name, ["symmetric"])


CORNERS: tuple[Callable[..., Case], ...] = (
    dyadic,
    onehot,
    ties,
    near_ties,
    saturated,
    scales,
    empty_graphs,
    no_nodes,
    single_nodes,
    no_edges,
    self_loops,
    double_edges,
    asymmetric,
    unsorted,
    linked_pairs,
)


def corners(seed: int, *, features: int = 4) -> list[Case]:
    """One case of every special kind above."""
    return [make(seed, features=features) for make in CORNERS]


def assemble(
    name: str,
    rng: np.random.Generator,
    sizes: Sequence[int] | np.ndarray,
    *,
    features: int = 4,
    degree: float | int = 3.0,
    tags: Sequence[str] = (),
) -> Case:
    """Draws features and edges for graphs of the given sizes, in a sorted batch.

    **Arguments:**

    - `name`: the name of the case.
    - `rng`: the source of randomness.
    - `sizes`: the nodes of each graph.
    - `features`: the width of `x`.
    - `degree`: edges per node. Both ends are drawn uniformly, so loops and double edges occur.
    - `tags`: the tags of the case.
    """
    sizes = np.asarray(sizes, np.int64)
    nodes, batch = int(sizes.sum()), np.repeat(np.arange(len(sizes)), sizes)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    edges_of = rng.poisson(degree, nodes)
    source = np.repeat(np.arange(nodes), edges_of)
    target = first[source] + rng.integers(0, np.maximum(sizes[batch[source]], 1))
    order = rng.permutation(len(source))
    edge_index = np.stack([source, target])[:, order].astype(np.int64)
    arrays = {
        "x": normal(rng, (nodes, features)),
        "attn": normal(rng, (nodes, features)),
        "edge_index": edge_index,
        "edge_attr": normal(rng, (len(source), 2)),
        "edge_weight": np.abs(normal(rng, (len(source),))),
        "batch": batch.astype(np.int64),
        "num_graphs": len(sizes),
    }
    return Case(name, arrays, frozenset(tags))


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal float32 numbers away from 0, so that no product of a few of them is subnormal."""
    values = rng.normal(size=shape)
    return _f32(np.where(np.abs(values) < 1e-3, 1e-3, values))


def _f32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _replace(case: Case, name: str, tags: Sequence[str], **arrays: np.ndarray) -> Case:
    return Case(name, {**case.arrays, **arrays}, case.tags | set(tags), case.capacity)


def _with_edges(case: Case, name: str, more: np.ndarray, seed: int) -> Case:
    rng = np.random.default_rng(seed + 1)
    edge_index = np.concatenate([np.asarray(case["edge_index"]), more], axis=1)
    attr = np.concatenate([np.asarray(case["edge_attr"]), normal(rng, (more.shape[1], 2))])
    weight = np.abs(normal(rng, (more.shape[1],)))
    weight = np.concatenate([np.asarray(case["edge_weight"]), weight])
    return _replace(case, name, [], edge_index=edge_index, edge_attr=attr, edge_weight=weight)
