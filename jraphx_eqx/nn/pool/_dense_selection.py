import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from ...data import BatchVector, register_serialization
from ...data._batch_vector import bounded_batch, most_nodes
from ...ops import (
    gather,
    mask_rows,
    segment_count,
    segment_reduce_by_block,
    to_dense_batch,
    wide_dtype,
)
from .._check import check_rows
from ..aggr import AbstractAggregation
from ._selection import AbstractSelection, not_nodes, on_device_as_they_are, untraced

_PADDED = 2  # as many rows, at most, as there are nodes


class DenseSelectOutput(AbstractSelection):
    """A row of memberships for each node, in the `K` clusters of its graph.

    Cluster `k` of graph `b` is row `b * K + k` of what is pooled.

    **Arguments:**

    - `matrix`: the memberships, shape `(nodes, K)`; 0 in padding.
    - `batch`: the graph of each node.
    - `extra`: a row for each node of what the losses of a pooling need besides; for
        [`BNPool`][jraphx_eqx.nn.pool.BNPool] the parameters of its distributions.
    - `modes`: factors of each node, 0 in padding, for
        [`EigenPooling`][jraphx_eqx.nn.pool.EigenPooling]. Features are pooled times the first of
        them, then times the second, and so on, beside each other.
    """

    matrix: Float[Array, "nodes clusters"]
    batch: BatchVector
    extra: Float[Array, "nodes parameters"] | None
    modes: Float[Array, "nodes modes"] | None

    def __init__(
        self,
        matrix: Float[Array, "nodes clusters"],
        batch: BatchVector,
        extra: Float[Array, "nodes parameters"] | None = None,
        modes: Float[Array, "nodes modes"] | None = None,
    ):
        self.matrix, self.batch, self.extra, self.modes = matrix, batch, extra, modes

    @property
    def num_nodes(self) -> int:
        """The number of nodes that were pooled, padding included."""
        return self.matrix.shape[-2]

    @property
    def num_clusters(self) -> int:
        """The number of clusters of all graphs."""
        return self.batch.num_graphs * self.matrix.shape[-1]

    @property
    def overflow(self) -> Bool[Array, ""]:
        """False: there is always room."""
        return jnp.zeros((), bool)

    @property
    def keeps_nodes(self) -> bool:
        """False."""
        return False

    def reduce(
        self, x: Num[Array, "nodes *features"], aggr: str | AbstractAggregation = "add"
    ) -> Num[Array, "clusters *_pooled"]:
        r"""$\mathbf{S}^\top \mathbf{X}$ of each graph. `aggr` must be `"add"` or `"sum"`."""
        check_rows(x, self.num_nodes, "x", "nodes of select")
        if aggr not in ("add", "sum"):
            raise ValueError(f"aggr must be 'add' or 'sum' for memberships, got {aggr!r}")
        flat = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        if self.modes is None:
            return self.product(flat).reshape(self.num_clusters, *x.shape[1:])
        rows = self.modes[:, :, None] * mask_rows(flat, self.batch.node_mask)[:, None]
        features = self.modes.shape[1] * flat.shape[1]
        pooled = self.product(rows.reshape(x.shape[0], features))
        return pooled.reshape(self.num_clusters, features)

    def product(
        self, x: Float[Array, "nodes features"]
    ) -> Float[Array, "graphs clusters features"]:
        r"""$\mathbf{S}^\top \mathbf{X}$, graph by graph.

        By products of matrices where graphs have about as many nodes as the largest; otherwise the
        products of a row of the memberships and a row of `x` are added up, and never all held at
        once. Neither takes more memory than the memberships and `x`.
        """
        matrix, batch, x = self.matrix, self.batch, mask_rows(x, self.batch.node_mask)
        room = most_nodes(batch)
        if batch.num_graphs == 1:
            return _products(matrix[None], x[None])
        if batch.num_graphs * room <= _PADDED * self.num_nodes:
            rows, x = (to_dense_batch(array, batch, max_nodes=room)[0] for array in (matrix, x))
            return _products(rows, x)

        def products(rows):
            memberships, features = rows
            return memberships[:, :, None] * features[:, None, :]

        return segment_reduce_by_block(products, (matrix, x), batch.index, batch.num_graphs)

    def lift(self, x: Float[Array, "clusters features"]) -> Float[Array, "nodes _features"]:
        r"""$\mathbf{S} \mathbf{X}$: each node gets the features of its clusters, by membership."""
        check_rows(x, self.num_clusters, "x", "clusters of select")
        if self.modes is not None and x.shape[1] % self.modes.shape[1]:
            modes = self.modes.shape[1]
            raise ValueError(
                f"x must have features for each of the {modes} modes, got {x.shape[1]}"
            )
        rows = x.reshape(self.batch.num_graphs, self.matrix.shape[1], x.shape[1])

        # One cluster at a time, and again on the way back, so that no array has nodes times
        # clusters times features.
        @jax.checkpoint
        def part(memberships, rows):
            return memberships[:, None] * gather(rows, self.batch.index)

        by_cluster = self.matrix.T, jnp.swapaxes(rows, 0, 1)
        first, others = ([array[k] for array in by_cluster] for k in (0, np.s_[1:]))
        total, _ = jax.lax.scan(
            lambda total, given: (total + part(*given), None), part(*first), tuple(others)
        )
        if self.modes is None:
            return total
        modes = self.modes.shape[1]
        total = total.reshape(self.num_nodes, modes, x.shape[1] // modes)
        return jnp.sum(self.modes[:, :, None] * total, axis=1)

    def graphs(self, batch: BatchVector) -> BatchVector:
        """The graph of each cluster. The clusters of a graph without nodes are padding."""
        used = segment_count(batch.index, batch.num_graphs) > 0
        graph = jnp.arange(batch.num_graphs, dtype=batch.index.dtype)
        index = jnp.where(used, graph, batch.num_graphs)
        clusters = self.matrix.shape[1]
        return bounded_batch(jnp.repeat(index, clusters), batch.num_graphs, clusters)

    def trim(self) -> "DenseSelectOutput":
        """Without padding nodes and without graphs that have no node; those left are numbered
        anew."""
        out = untraced(self, self.batch.index)
        real = out.batch.index < self.batch.num_graphs
        graphs, index = np.unique(out.batch.index[real], return_inverse=True)
        index = index.astype(out.batch.index.dtype)
        rows = [None if rows is None else rows[real] for rows in (out.extra, out.modes)]
        matrix, index, rows = on_device_as_they_are((out.matrix[real], index, rows))
        return DenseSelectOutput(matrix, BatchVector(index, len(graphs)), *rows)

    def _kept(self, name):
        raise not_nodes(name)


def _products(rows, x):
    wide = wide_dtype(x.dtype)
    out = jnp.einsum("bnk,bnf->bkf", rows, x, preferred_element_type=wide)
    return out.astype(x.dtype)


register_serialization(DenseSelectOutput, "jraphx_eqx.nn.pool.DenseSelectOutput")
