import numpy as np
from jaxtyping import Array, Float

from ...data import EdgeIndex
from .._check import check_dtype, check_edge_attr, check_edge_index


def checked_weight(
    edge_index: Array | EdgeIndex, edge_weight: Array | None, dtype: np.dtype
) -> Float[Array, " edges"] | None:
    """`edge_weight` as `(edges,)`, from that or `(edges, 1)`; raises unless the edges fit."""
    check_edge_index(edge_index)
    check_edge_attr(edge_weight, edge_index, name="edge_weight")
    if edge_weight is None:
        return None
    if edge_weight.shape[1:] not in ((), (1,)):
        raise ValueError(
            f"edge_weight must be one number for each edge, got shape {edge_weight.shape}"
        )
    check_dtype(edge_weight, dtype, "edge_weight")
    return edge_weight.reshape(-1)
