import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._check import check_last_axis


class AbstractDenseConv(eqx.Module):
    """A layer that updates each node from its row of an adjacency matrix.

    For graphs that are padded to the same number of nodes, as
    [`to_dense_batch`][jraphx_eqx.ops.to_dense_batch] and
    [`to_dense_adj`][jraphx_eqx.ops.to_dense_adj] make them, or as poolings by memberships return
    them. Rows outside `mask` may hold anything.
    """

    in_features: eqx.AbstractVar[int]
    out_features: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(
        self,
        x: Float[Array, "... nodes features"],
        adj: Float[Array, "... _rows _columns"],
        mask: Bool[Array, "..."] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "graphs nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(graphs, nodes, in_features)`, or `(nodes, in_features)` for
            one graph.
        - `adj`: the adjacency matrix, shape `(graphs, nodes, nodes)`; one for all has 1 graph. Its
            rows are the nodes that are updated. It is not masked, so it must be 0 in padding.
        - `mask`: False for padding nodes, shape `(graphs, nodes)`. None by default.
        - `key`: for dropout, where there is any.

        **Returns:** shape `(graphs, nodes, out_features)`, 0 outside `mask`.

        **Raises:** `ValueError` for inputs that do not fit the layer.
        """


class Dense(NamedTuple):
    """The arguments, with an axis for graphs, and a mask."""

    x: Float[Array, "graphs nodes features"]
    adj: Float[Array, "some nodes nodes"]
    mask: Bool[Array, "graphs nodes 1"]


def dense_arguments(
    x: Float[Array, "..."],
    adj: Float[Array, "..."],
    mask: Bool[Array, "..."] | None,
    in_features: int,
    dtype: np.dtype,
) -> Dense:
    """The arguments of a dense layer, checked, with 0 in padding."""
    check_last_axis(x, in_features, dtype)
    x, adj = (array[None] if array.ndim == 2 else array for array in (x, adj))
    graphs, nodes = x.shape[:2]
    if adj.shape not in ((graphs, nodes, nodes), (1, nodes, nodes)) or adj.dtype != dtype:
        raise ValueError(
            f"adj must have shape ({graphs}, {nodes}, {nodes}) or (1, {nodes}, {nodes}) and the "
            f"dtype {dtype.name}, got {adj.dtype.name} of shape {adj.shape}"
        )
    column = (graphs, nodes, 1)
    mask = jnp.ones(column, bool) if mask is None else mask.reshape(column)
    return Dense(jnp.where(mask, x, 0), adj, mask)


def with_loops(
    adj: Float[Array, "graphs nodes nodes"], value: float | int
) -> Float[Array, "graphs nodes nodes"]:
    """The matrix with `value` on its diagonal."""
    return jnp.where(jnp.eye(adj.shape[1], dtype=bool)[None], value, adj)


def degree_from_1(
    adj: Float[Array, "graphs nodes nodes"],
) -> Float[Array, "graphs nodes 1"]:
    """The sums of the rows, 1 at least, with the gradient of PyTorch's `clamp`."""
    degree = jnp.sum(adj, axis=2, keepdims=True)
    return jnp.where(degree < 1, 1, degree)
