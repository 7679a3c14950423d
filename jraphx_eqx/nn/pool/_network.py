"""The networks inside of poolings."""

from collections.abc import Callable

from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ...data import BatchVector
from ...ops import mask_rows
from .._linear import Linear
from ..conv import AbstractConv, GCNConv, GraphConv, LEConv
from ._dense import edge_weights

_GNNS = {"graph": GraphConv, "gcn": GCNConv, "linear": Linear}


def made_network(
    gnn: str | Callable,
    in_features: int,
    clusters: int,
    dtype: DTypeLike | None,
    key: PRNGKeyArray,
) -> Callable:
    """The network of that name, or the callable itself."""
    if isinstance(gnn, type) or not (callable(gnn) or gnn in _GNNS):
        names = ", ".join(repr(name) for name in _GNNS)
        raise ValueError(f"gnn must be one of {names}, or a callable that is no class, got {gnn!r}")
    if isinstance(gnn, str):
        return _GNNS[gnn](in_features, clusters, dtype=dtype, key=key)
    return gnn


def network_logits(
    gnn: Callable,
    clusters: int,
    x: Float[Array, "nodes features"],
    edge_index: Int[Array, "2 edges"],
    edge_attr: Shaped[Array, "edges ..."] | None,
    batch: BatchVector,
    key: PRNGKeyArray | None,
) -> Float[Array, "nodes clusters"]:
    """What the network returns, which is given the weights of edges where it takes them."""
    weight = None
    if edge_attr is not None:
        weight = edge_weights(edge_index, edge_attr, x.shape[0], x.dtype)
    logits = call_network(gnn, mask_rows(x, batch.node_mask), edge_index, weight, batch, key)
    if logits.shape != (x.shape[0], clusters):
        raise ValueError(
            f"gnn must return {clusters} numbers for each of the {x.shape[0]} nodes, got shape "
            f"{logits.shape}"
        )
    return logits


def call_network(
    gnn: Callable,
    x: Float[Array, "nodes features"],
    edge_index: Int[Array, "2 edges"],
    weight: Float[Array, " edges"] | None,
    batch: BatchVector,
    key: PRNGKeyArray | None,
) -> Float[Array, "nodes out_features"]:
    """What a network returns, given no more than it takes. Padding rows of `x` must be finite."""
    if isinstance(gnn, Linear):
        return gnn(x)
    if isinstance(gnn, GCNConv | GraphConv | LEConv):
        return gnn(x, edge_index, weight, node_mask=batch.node_mask, key=key)
    if isinstance(gnn, AbstractConv):
        return gnn(x, edge_index, node_mask=batch.node_mask, key=key)
    return gnn(x, edge_index, weight)
