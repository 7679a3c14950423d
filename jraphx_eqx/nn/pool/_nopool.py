from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ...data import BatchVector, resolve_batch
from ...ops import edge_mask, mask_rows, masked_edges
from ._choice import Choice
from ._pool import AbstractPool
from ._selection import SelectOutput


class NoPool(AbstractPool):
    """Pools nothing: each node is a cluster, and the graph stays as it is.

    A baseline that takes the place of a pooling. Rows and edges keep their places. The same as
    torch-geometric-pool's.
    """

    in_features: int | None = eqx.field(static=True, default=None)
    relabels_edges: ClassVar[bool] = True

    @property
    def dtype(self) -> None:
        """Any."""
        return None

    def assign(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
        *,
        choice: Choice = None,
        max_nodes: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> SelectOutput:
        """Each node is a cluster."""
        num_nodes = x.shape[0]
        if choice is not None:
            raise ValueError("select must be a selection: NoPool keeps all nodes")
        if max_nodes is not None and max_nodes < num_nodes:
            raise ValueError(f"max_nodes must be at least {num_nodes}, the nodes, got {max_nodes}")
        mask = resolve_batch(batch, num_nodes).node_mask
        node = jnp.where(mask, jnp.arange(num_nodes, dtype=jnp.int32), num_nodes)
        weight = mask.astype(x.dtype)
        return SelectOutput(
            node, node, weight, num_nodes=num_nodes, num_clusters=num_nodes, keeps_nodes=True
        )

    def reduce(
        self, x: Float[Array, "nodes features"], select: SelectOutput
    ) -> Float[Array, "clusters features"]:
        """The features; 0 in padding."""
        return mask_rows(x, select.node_index < select.num_nodes)

    def connect(
        self,
        select: SelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        batch: BatchVector | None = None,
    ) -> tuple[Int[Array, "2 pooled_edges"], Shaped[Array, "pooled_edges ..."] | None, BatchVector]:
        """The edges, in their places, and the graph of each node."""
        real = edge_mask(edge_index, select.num_nodes)
        edges = masked_edges(edge_index, edge_attr, real, select.num_nodes)
        return *edges, resolve_batch(batch, select.num_nodes)

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput
    ) -> Float[Array, "nodes features"]:
        """The features; 0 in padding."""
        return select.lift(x)

    def losses(
        self,
        select: SelectOutput,
        edge_index: Int[Array, "2 edges"],
        edge_attr: Shaped[Array, "edges ..."] | None,
        batch: BatchVector,
    ) -> dict[str, Float[Array, ""]]:
        """None."""
        return {}
