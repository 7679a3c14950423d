from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import OUT, Option, twin, width
from ...data import BatchVector, is_traced, resolve_batch
from ...data._batch_vector import bounded_batch, largest_count, most_nodes
from ...ops import (
    augment_edges,
    augment_edges_by_graph,
    edge_mask,
    error_if,
    gather,
    path_capacity,
)
from .._activation import activation
from .._check import check_features, check_positive
from .._entry import takes_numpy
from ..conv import GCNConv
from ..conv._weight import checked_weight
from ..pool import TopKPooling

# A path takes the memory of so many entries of a table, and more time.
_ENTRIES = 8
# More of them than this, some gigabytes, are made only if they were asked for.
_MOST_PATHS = 2**26


class GraphUNet(eqx.Module):
    r"""The Graph U-Net of Gao and Ji: convolutions and poolings down, unpoolings and convolutions
    up, with a connection across at each level.

    At each of `depth` levels, nodes that one or two steps join are joined
    ([`augment_edges`][jraphx_eqx.ops.augment_edges]), a
    [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling] keeps some of the nodes, and a
    [`GCNConv`][jraphx_eqx.nn.conv.GCNConv] with `improved=True` follows. On the way up,
    [`lift`][jraphx_eqx.nn.pool.SelectOutput.lift] puts the nodes back where they were, the features
    of the same level on the way down are added (or joined, if not `sum_res`), and another such
    `GCNConv` follows, on the edges of that level.

    Equal to `torch_geometric.nn.GraphUNet`. Its edges after an augmentation are not all written
    out here: only those between nodes that the pooling keeps, as the others play no part.

    The parameters are in `down_convs`, `pools` and `up_convs`.

    ??? cite

        [Graph U-Nets](https://arxiv.org/abs/1905.05178), Gao and Ji, 2019
    """

    down_convs: list[GCNConv]
    pools: list[TopKPooling]
    up_convs: list[GCNConv]
    act: Callable
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    sum_res: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        out_features: int,
        depth: int,
        pool_ratios: float | int | Sequence[float | int] = 0.5,
        sum_res: bool = True,
        act: str | Callable = "relu",
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `hidden_features`, `out_features`: the number of features of a node before,
            between and after.
        - `depth`: the number of poolings.
        - `pool_ratios`: the ratio of each [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling], or one
            for all. As in PyG, the last of too few is repeated, and of too many the first count.
        - `sum_res`: whether features across are added; otherwise they are joined.
        - `act`: the nonlinearity after each convolution but the last, by PyG's name or as a
            callable, which may have parameters.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1, for an empty list of ratios, and for an unknown
        `act`.
        """
        check_positive(
            in_features=in_features,
            hidden_features=hidden_features,
            out_features=out_features,
            depth=depth,
        )
        hidden = hidden_features
        ratios = _ratios(pool_ratios, depth)
        keys = iter(jax.random.split(key, 3 * depth + 1))

        def conv(features, out_features):
            return GCNConv(features, out_features, improved=True, dtype=dtype, key=next(keys))

        self.down_convs = [conv(in_features, hidden), *(conv(hidden, hidden) for _ in ratios)]
        self.pools = [TopKPooling(hidden, ratio, dtype=dtype, key=next(keys)) for ratio in ratios]
        across = hidden if sum_res else 2 * hidden
        widths = [hidden] * (depth - 1) + [out_features]
        self.up_convs = [conv(across, width) for width in widths]
        self.act = activation(act, "act")
        self.in_features = in_features
        self.hidden_features = hidden_features
        self.out_features = out_features
        self.depth = depth
        self.sum_res = sum_res

    @takes_numpy
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        edge_weight: Float[Array, "edges *one"] | None = None,
        *,
        size: int | None = None,
        max_paths: int | Sequence[int] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`. Padding rows may hold anything.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding.
        - `batch`, `size`: the graph of each node; see
            [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling]. No edge may leave its graph. Memory and
            time follow from the nodes of the largest graph: `max_count` of a
            [`BatchVector`][jraphx_eqx.data.BatchVector], which
            [`Batch.from_data_list`][jraphx_eqx.data.Batch.from_data_list] gives. Without it they
            are counted where `batch` has a value, and under tracing one graph may have all.
        - `edge_weight`: one number for each edge, shape `(edges,)` or `(edges, 1)`. 1 by default.
        - `max_paths`: room for this many paths of two edges at each augmentation, or a number for
            each. Static. For large graphs with few edges, whose paths are written out one by one;
            by default there is room for as many as there can be. To need more is an error at run
            time. Where a table for each graph is not much larger than this room, tables are used,
            and no path needs a room.
        - `key`: ignored.

        **Returns:** shape `(nodes, out_features)`; 0 in padding. All NaN if, under tracing, an edge
        leaves its graph, or a graph has more nodes than the `max_count` of a `BatchVector` whose
        `index` was replaced.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer, and under
        tracing without `max_count` and `max_paths` if there would have to be room for more than
        67 million paths; an error at run time if `max_paths` is exceeded.
        """
        x, totals, capacities = self._run(x, edge_index, batch, edge_weight, size, max_paths)
        for level, (total, (capacity, needed)) in enumerate(zip(totals, capacities, strict=True)):
            if capacity is not None and capacity < needed:
                message = (
                    f"there are more paths of two edges at level {level} than max_paths={capacity} "
                    "has room for; raise max_paths (GraphUNet.count_paths counts them)"
                )
                x = error_if(x, total > capacity, message)
        return x

    def count_paths(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        max_paths: int | Sequence[int] | None = None,
    ) -> Int[Array, " depth"]:
        """How many paths of two edges each augmentation finds between the nodes that are kept.

        They depend on what is kept, and so on the parameters. Nearly equal scores, as of symmetric
        nodes, are even ranked differently in eager and compiled calls, which then find other
        numbers: leave some room above.

        **Arguments:** as for a call. A `max_paths` is not checked here. Where it is too small, the
        number is right for the first level that exceeds it, and too small for those after.
        """
        _, totals, _ = self._run(x, edge_index, batch, None, size, max_paths)
        return jnp.stack(totals)

    def _run(self, x, edge_index, batch, edge_weight, size, max_paths):
        """The result, and for each augmentation the number of paths, and for how many there is
        room and for how many there would have to be."""
        check_features(x, self.in_features, self.down_convs[0].lin.weight.dtype)
        edge_weight = checked_weight(edge_index, edge_weight, x.dtype)
        if edge_weight is None:
            edge_weight = jnp.ones(edge_index.shape[1], x.dtype)
        batch = _bounded(resolve_batch(batch, x.shape[0], size))
        node_mask, sound = batch.node_mask[:, None], _are_within(edge_index, batch)
        x = self.act(self.down_convs[0](jnp.where(node_mask, x, 0), edge_index, edge_weight))
        levels, totals, capacities = [], [], []
        rooms = _rooms(max_paths, self.depth)
        for pool, conv, room in zip(self.pools, self.down_convs[1:], rooms, strict=True):
            # Scores do not depend on the edges, so the nodes to keep are known before these.
            select = pool.assign(x, edge_index, None, batch)
            levels.append((x, edge_index, edge_weight, select))
            _, _, pooled_batch = pool.connect(select, edge_index, None, batch)
            capacities.append(_capacity(edge_index.shape[1], batch, pooled_batch, room))
            edge_index, edge_weight, total = _augmented(
                edge_index, edge_weight, select.node_index, batch, pooled_batch, capacities[-1][0]
            )
            totals.append(total)
            x = self.act(conv(pool.reduce(x, select), edge_index, edge_weight))
            batch = pooled_batch
        acts = [self.act] * (self.depth - 1) + [lambda x: x]
        for level, conv, act in zip(reversed(levels), self.up_convs, acts, strict=True):
            across, edge_index, edge_weight, select = level
            up = self.pools[0].lift(x, select)
            x = across + up if self.sum_res else jnp.concatenate([across, up], axis=1)
            x = act(conv(x, edge_index, edge_weight))
        return jnp.where(sound, jnp.where(node_mask, x, 0), jnp.nan), totals, capacities


def _bounded(batch):
    """The batch vector with the nodes of its largest graph, if they can be counted."""
    if batch.max_count is not None or is_traced(batch.index):
        return batch
    return bounded_batch(batch.index, batch.num_graphs, largest_count(batch))


def _are_within(edge_index, batch):
    """Whether no edge leaves its graph, and no graph has more nodes than it may."""
    source, target = gather(batch.index, edge_index)
    leaves = edge_mask(edge_index, batch.index.shape[0]) & (source != target)
    if not is_traced(leaves) and leaves.any():
        raise ValueError(
            f"edge_index must not join nodes of two graphs, got edge {leaves.argmax()}"
        )
    return ~jnp.any(leaves) & (jnp.max(batch.counts, initial=0) <= most_nodes(batch))


def _capacity(num_edges, batch, pooled_batch, room):
    """For how many paths there is room, and for how many there would have to be; `None` for both
    where tables take less memory."""
    most, most_kept = most_nodes(batch), most_nodes(pooled_batch)
    needed = path_capacity(num_edges, most, most_kept)
    capacity = needed if room is None else min(room, needed)
    if batch.num_graphs * most * most_kept <= _ENTRIES * capacity:
        return None, None
    if room is None and capacity > _MOST_PATHS:
        raise ValueError(
            f"there may be {capacity} paths of two edges, for which there is no room. Give batch "
            "as a BatchVector with max_count, the nodes of the largest graph (batch.batch of "
            "Batch.from_data_list has it), or for large graphs max_paths (GraphUNet.count_paths "
            "counts them)"
        )
    return capacity, needed


def _augmented(edge_index, edge_weight, node_index, batch, pooled_batch, capacity):
    if capacity is None:
        return augment_edges_by_graph(edge_index, edge_weight, node_index, batch, pooled_batch)
    edge_index, edge_weight, total = augment_edges(
        edge_index, edge_weight, batch.index.shape[0], capacity, node_index
    )
    room = node_index.shape[0] * max(most_nodes(pooled_batch) - 1, 0)
    return edge_index[:, :room], edge_weight[:room], total


def _ratios(pool_ratios, depth):
    if isinstance(pool_ratios, float | int):
        return [pool_ratios] * depth
    if not pool_ratios:
        raise ValueError("pool_ratios must be one ratio or several, got none")
    return [pool_ratios[min(level, len(pool_ratios) - 1)] for level in range(depth)]


def _rooms(max_paths, depth):
    if max_paths is None or isinstance(max_paths, int):
        return [max_paths] * depth
    if len(max_paths) != depth:
        raise ValueError(
            f"max_paths must be one number, or one for each of the {depth} levels, got "
            f"{len(max_paths)}"
        )
    return list(max_paths)


_CONV = "torch_geometric.nn.GCNConv"
twin(
    GraphUNet,
    "torch_geometric.nn.GraphUNet",
    width("down_convs.0.lin.in_channels"),
    Option("hidden_features", "hidden_channels"),
    OUT,
    "depth",
    # Ours come with the poolings.
    Option("", "pool_ratios", "pools", write=lambda pools: [pool.select.ratio for pool in pools]),
    "sum_res",
    Option("act", kind="activation"),
    # A scorer that looks at the edges would have to see all of the augmented ones.
    holds={"down_convs": _CONV, "pools": "torch_geometric.nn.TopKPooling", "up_convs": _CONV},
    parts=("down_convs", "pools", "up_convs"),
)
