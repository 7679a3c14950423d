"""Hypothesis strategies for batches of graphs, which shrink to the smallest that still fails.

They need Hypothesis, which the extra `parity` installs, and are imported by themselves:
`from jraphx_eqx.parity import strategies`.
"""

from typing import Any

import numpy as np

from ._case import Case
from ._record import describe
from ._run import run
from ._spec import Config, Spec
from .graphs import normal
from .verdicts import FAIL, NOT_VERIFIED

try:
    import hypothesis.strategies as st
    from hypothesis import target
    from hypothesis.extra.numpy import arrays
except ImportError as error:
    raise ImportError(
        "jraphx_eqx.parity.strategies needs Hypothesis: pip install hypothesis"
    ) from error

SMALLEST, LARGEST = 1e-3, 1e3
# Errors above this are failures anyway, and `target` takes no infinities.
WORST = 1e6


def floats(smallest: float = SMALLEST, largest: float = LARGEST) -> st.SearchStrategy[float]:
    """Float32 numbers of a size between `smallest` and `largest`, of both signs, and 0. None is
    subnormal, and neither are products of a few of them."""
    low, high = _inside(smallest, largest)
    sizes = st.floats(low, high, width=32, allow_subnormal=False)
    return st.one_of(st.integers(-2, 2).map(float), sizes, sizes.map(lambda size: -size))


def graph(
    max_nodes: int = 30,
    *,
    min_nodes: int = 0,
    max_edges: int | None = None,
    features: int = 4,
) -> st.SearchStrategy[Case]:
    """One graph: a batch of one.

    **Arguments:**

    - `max_nodes`, `min_nodes`: how many nodes it has.
    - `max_edges`, `features`: as for [`batch`][jraphx_eqx.parity.strategies.batch].
    """
    at = {"min_nodes": min_nodes, "max_edges": max_edges, "features": features}
    return batch(1, max_nodes, min_graphs=1, **at)


@st.composite
def batch(
    draw: st.DrawFn,
    max_graphs: int = 4,
    max_nodes: int = 8,
    *,
    min_graphs: int = 0,
    min_nodes: int = 0,
    max_edges: int | None = None,
    features: int = 4,
    unsorted: bool = False,
) -> Case:
    """A batch of graphs, with the arrays of [`graphs`][jraphx_eqx.parity.graphs].

    Graphs without nodes or edges, loops, edges that occur twice, edges without their reverse and
    equal nodes all occur. All cases have the same capacity, so that a side that pads compiles once.

    **Arguments:**

    - `max_graphs`, `min_graphs`: how many graphs there are.
    - `max_nodes`, `min_nodes`: how many nodes each has.
    - `max_edges`: how many directed edges each has; by default three per node of the largest.
    - `features`: the width of `x` and `attn`.
    - `unsorted`: interleave the nodes of different graphs.
    """
    max_edges = 3 * max_nodes if max_edges is None else max_edges
    graphs = _nodes_and_edges(min_nodes, max_nodes, max_edges)
    drawn = draw(st.lists(graphs, min_size=min_graphs, max_size=max_graphs))
    sizes, edges, start = [size for size, _ in drawn], [], 0
    for size, inside in drawn:
        edges += [(start + source, start + target) for source, target in inside]
        start += size
    edge_index = np.array(edges, np.int64).reshape(-1, 2).T
    index = np.repeat(np.arange(len(sizes)), sizes)
    if unsorted:
        order = np.array(draw(st.permutations(range(start))), np.int64)
        index, edge_index = index[order], np.argsort(order)[edge_index]
    given = {
        "x": draw(_array(start, features)),
        "attn": draw(_array(start, features)),
        "edge_index": edge_index,
        "edge_attr": draw(_array(len(edges), 2)),
        "edge_weight": np.abs(draw(_array(len(edges), 1))[:, 0]),
        "batch": index,
        "num_graphs": len(sizes),
    }
    # Room for one more of each, so that no case fills the capacity.
    capacity = {
        "num_nodes": max_graphs * max_nodes + 1,
        "num_edges": max_graphs * max_edges + 1,
        "num_graphs": max_graphs + 1,
    }
    return Case("drawn", given, frozenset({"ties", "near_ties", "scales", "saturated"}), capacity)


@st.composite
def _nodes_and_edges(
    draw: st.DrawFn, min_nodes: int, max_nodes: int, max_edges: int
) -> tuple[int, list[tuple[int, int]]]:
    """How many nodes a graph has, and its edges. Edges are also drawn for graphs without nodes, and
    then left out: so nodes move from one graph to another, and the empty one goes, while a batch
    shrinks."""
    size = draw(st.integers(min_nodes, max_nodes))
    node = st.integers(0, max(size, 1) - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=max_edges))
    return size, edges if size else []


def _array(rows: int, columns: int) -> st.SearchStrategy[np.ndarray]:
    """Either numbers that are drawn one by one, most of them equal, which shrink; or normal ones,
    all of them different."""

    def spread(seed: int) -> np.ndarray:
        return normal(np.random.default_rng(seed), (rows, columns))

    number = floats()
    drawn = arrays(np.float32, (rows, columns), elements=number, fill=number)
    return st.one_of(drawn, st.integers(0, 2**16 - 1).map(spread))


def _inside(smallest: float, largest: float) -> tuple[float, float]:
    """The least and greatest float32 numbers between these two."""
    low, high = np.float32(smallest), np.float32(largest)
    low = np.nextafter(low, np.float32(np.inf)) if low < smallest else low
    high = np.nextafter(high, np.float32(0)) if high > largest else high
    return float(low), float(high)


def assert_case(spec: Spec, case: Case, config: Config | None = None, **options: Any) -> None:
    """Asserts parity on a drawn case, and leads Hypothesis to cases with a larger error.

    Unlike [`run`][jraphx_eqx.parity.run], which this calls, it does not mistrust a case that alone
    says little, such as one without nodes.

    **Arguments:**

    - `spec`, `case`: what is compared, on what.
    - `config`: one configuration; by default all of the spec's `grid`.
    - `options`: further arguments of `run`, for example `lanes`.

    **Raises:** `AssertionError` with one line for each tensor that differs or was not compared.
    """
    configs = None if config is None else [config]
    result = run(spec, [case], configs=configs, **options)
    bad = result.of(FAIL, NOT_VERIFIED)
    if bad:
        raise AssertionError("\n".join(["no parity", *map(describe, bad)]))
    for lane in dict.fromkeys(record.lane for record in result.records if record.lane):
        worst = max(r.excess for r in result.records if r.lane == lane)
        target(min(worst, WORST), label=f"error / tolerance in lane {lane}")
