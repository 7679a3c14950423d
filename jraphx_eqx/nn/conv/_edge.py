from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._twin import twin
from ...data import BatchVector, resolve_batch
from ...ops import edge_mask, gather, masked_edges
from .._check import check_callable, check_edge_index, check_features, check_positive
from .._entry import one_program
from .._layer import apply_layer
from ..aggr import AbstractAggregation
from ._conv import (
    AGGR,
    MESSAGES,
    NETWORK,
    AbstractConv,
    aggregate_at_nodes,
    check_network_output,
    resolve_aggregation,
)


class EdgeConv(AbstractConv):
    r"""The edge convolution, a network of a node and of how its neighbours differ from it.

    $$\mathbf{x}'_i = \mathrm{aggr}_{j \in \mathcal{N}(i)} \, h(\mathbf{x}_i, \mathbf{x}_j -
    \mathbf{x}_i)$$

    Equal to `torch_geometric.nn.EdgeConv`. $h$ is `nn`.

    ??? cite

        [Dynamic Graph CNN for Learning on Point Clouds](https://arxiv.org/abs/1801.07829), Wang et
        al., 2019
    """

    nn: Callable
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    aggr_module: AbstractAggregation | None
    aggr: str = eqx.field(static=True)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        nn: Callable,
        aggr: str | AbstractAggregation | Sequence[str | AbstractAggregation] = "max",
        *,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node.
        - `out_features`: that of a message.
        - `nn`: $h$, a module or function from `(edges, 2 * in_features)` to
            `(edges, out_features)`, such as an [`MLP`][jraphx_eqx.nn.models.MLP] or
            [`Sequential`][jraphx_eqx.nn.Sequential].
        - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`; another
            [aggregation][jraphx_eqx.nn.aggr.AbstractAggregation], by name or as an object, which is
            kept in `aggr_module`; or a list of them, side by side.
        - `key`: ignored; nothing is random but what is in `nn`.

        **Raises:** `ValueError` for a size below 1, an unknown `aggr`, and an `nn` that cannot be
        called.
        """
        check_positive(in_features=in_features, out_features=out_features)
        check_callable(nn=nn)
        self.aggr, self.aggr_module = resolve_aggregation(aggr)
        self.nn = nn
        self.in_features = in_features
        self.out_features = out_features

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes all_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding, which does not count in norms of `nn` either.
        - `node_mask`: ignored, as only nodes with edges are looked at.
        - `key`: for dropout in `nn`.

        **Returns:** shape `(nodes, out_features)`, or wider with several aggregations.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        aggr = self.aggr_module or self.aggr
        return _edge_conv(self.nn, self.in_features, self.out_features, aggr, x, edge_index, key)


class DynamicEdgeConv(eqx.Module):
    r"""The edge convolution over the nearest neighbours in feature space.

    [`EdgeConv`][jraphx_eqx.nn.conv.EdgeConv], whose edges lead to each node from its `k` nearest
    nodes in the same graph, itself included, as they are found by
    [`knn_graph`][jraphx_eqx.nn.pool.knn_graph].

    Equal to `torch_geometric.nn.DynamicEdgeConv`, which needs compiled extras, for one kind of
    nodes. Of equally near nodes the first count.

    ??? cite

        [Dynamic Graph CNN for Learning on Point Clouds](https://arxiv.org/abs/1801.07829), Wang et
        al., 2019
    """

    nn: Callable
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    k: int = eqx.field(static=True)
    aggr_module: AbstractAggregation | None
    aggr: str = eqx.field(static=True)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        nn: Callable,
        k: int,
        aggr: str | AbstractAggregation | Sequence[str | AbstractAggregation] = "max",
        *,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`, `nn`, `aggr`: as for
            [`EdgeConv`][jraphx_eqx.nn.conv.EdgeConv].
        - `k`: the number of neighbours. Of a graph with fewer nodes all are taken.
        - `key`: ignored; nothing is random but what is in `nn`.

        **Raises:** `ValueError` for a size or `k` below 1, an unknown `aggr`, and an `nn` that
        cannot be called.
        """
        check_positive(in_features=in_features, out_features=out_features, k=k)
        check_callable(nn=nn)
        self.aggr, self.aggr_module = resolve_aggregation(aggr)
        self.nn = nn
        self.in_features = in_features
        self.out_features = out_features
        self.k = k

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes all_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`. Padding rows may hold anything.
        - `batch`: the graph of each node. `None` is one graph. Where its `max_count` is known, only
            distances within a graph are computed.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `key`: for dropout in `nn`.

        **Returns:** shape `(nodes, out_features)`, or wider with several aggregations.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        from ..pool import knn_graph  # Poolings are made of convolutions.

        check_features(x, self.in_features, None)
        edge_index = knn_graph(x, self.k, resolve_batch(batch, x.shape[0], size), loop=True)
        aggr = self.aggr_module or self.aggr
        return _edge_conv(self.nn, self.in_features, self.out_features, aggr, x, edge_index, key)


def _edge_conv(nn, in_features, out_features, aggr, x, edge_index, key):
    check_features(x, in_features, None)
    check_edge_index(edge_index)
    num_nodes = x.shape[0]
    mask = edge_mask(edge_index, num_nodes)
    (source, target), _ = masked_edges(edge_index, None, mask, num_nodes)
    own = gather(x, target)
    pairs = jnp.concatenate([own, gather(x, source) - own], axis=1)
    messages = apply_layer(nn, pairs, node_mask=mask, key=key)
    check_network_output(messages, len(mask), out_features, "edges")
    return aggregate_at_nodes(messages, target, num_nodes, aggr)


# The network takes the features of both ends.
_PAIRS = (NETWORK[0]._replace(read=lambda width: width // 2), *NETWORK[1:])
twin(EdgeConv, "torch_geometric.nn.EdgeConv", *_PAIRS, AGGR, only=MESSAGES)
twin(DynamicEdgeConv, "torch_geometric.nn.DynamicEdgeConv", *_PAIRS, "k", AGGR, only=MESSAGES)
