import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from ...data import BatchVector, register_serialization
from ...data._batch_vector import bounded_batch, most_nodes
from ...ops import (
    first_true,
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
    - `used`: which of its `K` clusters a graph has, where these are not the same for all. The
        others have no members, and are padding.
    - `num_used`: how many clusters there are in all, where only those that are used have a row.
        Static.
    - `modes`: factors of each node, 0 in padding, for
        [`EigenPooling`][jraphx_eqx.nn.pool.EigenPooling]. Features are pooled times the first of
        them, then times the second, and so on, beside each other.
    """

    matrix: Float[Array, "nodes clusters"]
    batch: BatchVector
    extra: Float[Array, "nodes parameters"] | None
    used: Bool[Array, "graphs clusters"] | None
    num_used: int | None = eqx.field(static=True)
    modes: Float[Array, "nodes modes"] | None

    def __init__(
        self,
        matrix: Float[Array, "nodes clusters"],
        batch: BatchVector,
        extra: Float[Array, "nodes parameters"] | None = None,
        used: Bool[Array, "graphs clusters"] | None = None,
        num_used: int | None = None,
        modes: Float[Array, "nodes modes"] | None = None,
    ):
        self.matrix, self.batch, self.extra = matrix, batch, extra
        self.used, self.num_used, self.modes = used, num_used, modes

    @property
    def num_nodes(self) -> int:
        """The number of nodes that were pooled, padding included."""
        return self.matrix.shape[-2]

    @property
    def num_clusters(self) -> int:
        """The number of clusters of all graphs."""
        if self.num_used is not None:
            return self.num_used
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
        shape = x.shape[1:]
        if self.modes is not None:
            rows = self.modes[:, :, None] * mask_rows(flat, self.batch.node_mask)[:, None]
            shape = (self.modes.shape[1] * flat.shape[1],)
            flat = rows.reshape(x.shape[0], *shape)
        rows = self.product(flat).reshape(-1, *shape)
        return rows if self.num_used is None else rows[self._rows()]

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
        shape = (self.batch.num_graphs, self.matrix.shape[1], x.shape[1])
        if self.num_used is not None:
            every = jnp.zeros((math.prod(shape[:2]), shape[2]), x.dtype)
            x = every.at[self._rows()].set(x)
        rows = x.reshape(shape)

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
        """The graph of each cluster. Those that are not used, as those of a graph without nodes,
        are padding."""
        used = segment_count(batch.index, batch.num_graphs) > 0
        graph = jnp.arange(batch.num_graphs, dtype=batch.index.dtype)
        clusters = self.matrix.shape[1]
        used, graph = (jnp.repeat(array, clusters) for array in (used, graph))
        if self.used is not None:
            used = used & self.used.ravel()
        index = jnp.where(used, graph, batch.num_graphs)
        index = index if self.num_used is None else index[self._rows()]
        return bounded_batch(index, batch.num_graphs, clusters)

    def trim(self) -> "DenseSelectOutput":
        """Without padding nodes, without graphs that have no node and without clusters that are not
        used; graphs that are left are numbered anew."""
        out = untraced(self, self.batch.index)
        real = out.batch.index < self.batch.num_graphs
        graphs, index = np.unique(out.batch.index[real], return_inverse=True)
        index = index.astype(out.batch.index.dtype)
        rows = [None if rows is None else rows[real] for rows in (out.matrix, out.extra, out.modes)]
        used = None if out.used is None else out.used[graphs]
        number = None if used is None else int(np.sum(used))
        index, used, (matrix, extra, modes) = on_device_as_they_are((index, used, rows))
        batch = BatchVector(index, len(graphs))
        return DenseSelectOutput(matrix, batch, extra, used, number, modes)

    def _rows(self):
        """Where the clusters that are used are among all."""
        assert self.used is not None and self.num_used is not None
        return first_true(self.used.ravel(), self.num_used)[0]

    def _kept(self, name):
        raise not_nodes(name)


def similarities(
    x: Float[Array, "nodes features"],
    rows: Float[Array, "graphs clusters features"],
    batch: BatchVector,
) -> Float[Array, "nodes clusters"]:
    """The products of each node's features with the rows of its graph."""
    if batch.num_graphs == 1:
        return x @ rows[0].T

    # One row of each graph at a time, and again on the way back.
    @jax.checkpoint
    def column(row):
        return jnp.sum(x * gather(row, batch.index), axis=1)

    return jax.lax.map(column, jnp.swapaxes(rows, 0, 1)).T


def _products(rows, x):
    wide = wide_dtype(x.dtype)
    out = jnp.einsum("bnk,bnf->bkf", rows, x, preferred_element_type=wide)
    return out.astype(x.dtype)


register_serialization(DenseSelectOutput, "jraphx_eqx.nn.pool.DenseSelectOutput")
