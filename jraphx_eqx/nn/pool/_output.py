from collections.abc import Iterator

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from ...data import BatchVector, EdgeIndex, as_array, register_serialization
from ...data._batch_vector import bounded_batch
from ._selection import AbstractSelection, on_device_as_they_are, untraced


class PoolOutput(eqx.Module):
    """A pooled batch of graphs: what every pooling returns.

    It iterates over five: `x, edge_index, edge_attr, batch, perm = pool(...)`, and the fifth is
    `select` where clusters are not single nodes. PyG's poolings return a sixth, the scores of the
    kept nodes; here they are `.score`.

    Shapes are static, so there can be padding: rows of `x` and `batch` whose graph is
    `batch.num_graphs`, edges whose ends are the number of rows of `x`, entries of `perm` that are
    the number of nodes that were pooled. Real nodes come first, except in dense poolings,
    where all graphs have as many rows. Edges of poolings that keep nodes keep their places.
    [`trim`][jraphx_eqx.nn.pool.PoolOutput.trim] removes the padding.

    `loss` has the losses that a pooling adds to that of the model, by PyG's names.
    """

    x: Float[Array, "pooled_nodes features"]
    edge_index: Int[Array, "2 pooled_edges"] | EdgeIndex
    edge_attr: Shaped[Array, "pooled_edges ..."] | None
    batch: BatchVector
    select: AbstractSelection
    loss: dict[str, Float[Array, ""]] = eqx.field(default_factory=dict)
    edge_overflow: Bool[Array, ""] = eqx.field(default_factory=lambda: jnp.zeros((), bool))

    def __iter__(self) -> Iterator:
        decision = self.perm if self.select.keeps_nodes else self.select
        return iter((self.x, self.edge_index, self.edge_attr, self.batch, decision))

    @property
    def perm(self) -> Int[Array, "*stacked pooled_nodes"]:
        """The node that each row was. Padding entries are the number of nodes pooled.

        **Raises:** `AttributeError` where clusters are not single nodes; so do `score` and
        `num_kept`.
        """
        return self.select.perm

    @property
    def score(self) -> Float[Array, "*stacked pooled_nodes"]:
        """The scores of the kept nodes; 0 in padding."""
        return self.select.score

    @property
    def num_kept(self) -> Int[Array, "*stacked"]:
        """The number of nodes kept, padding not counted."""
        return self.select.num_kept

    @property
    def overflow(self) -> Bool[Array, "*stacked"]:
        """Whether `max_nodes` or `max_edges` was too small."""
        return self.select.overflow | self.edge_overflow

    def lift(self, x: Float[Array, "pooled_nodes features"]) -> Float[Array, "nodes _features"]:
        """Brings features of clusters back to their nodes, and 0 to nodes without a cluster.

        By the selection alone. A pooling whose weights are to be undone has a `lift` of its own.
        """
        return self.select.lift(x)

    def trim(self) -> "PoolOutput":
        """The same without padding, in the exact shapes that PyG returns, and without lists of
        neighbours.

        The shapes depend on values, so this does not work under tracing.
        """
        out = untraced(self, self.batch.index)
        nodes = out.batch.index < self.batch.num_graphs
        edge_index = as_array(out.edge_index)
        edges = np.all(edge_index < out.x.shape[0], axis=0)
        label = (np.cumsum(nodes) - 1).astype(edge_index.dtype)
        x, index, edge_index, edge_attr = on_device_as_they_are(
            (
                out.x[nodes],
                out.batch.index[nodes],
                label[edge_index[:, edges]],
                None if out.edge_attr is None else out.edge_attr[edges],
            )
        )
        return PoolOutput(
            x=x,
            edge_index=edge_index,
            edge_attr=edge_attr,
            batch=bounded_batch(index, self.batch.num_graphs, self.batch.max_count),
            select=self.select.trim(),
            loss=self.loss,
            edge_overflow=self.edge_overflow,
        )


register_serialization(PoolOutput, "jraphx_eqx.nn.pool.PoolOutput")
