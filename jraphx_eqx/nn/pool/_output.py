from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from ...data import BatchVector, bounded_batch, is_traced, register_serialization
from ...data._transfer import on_device
from ._select import SelectOutput, lift


class PoolOutput(eqx.Module):
    """A pooled batch of graphs: what every pooling returns.

    It iterates over five: `x, edge_index, edge_attr, batch, perm = pool(...)`. PyG's poolings
    return a sixth, the scores of the kept nodes; here they are `.score`.

    Shapes are static, so there can be padding: rows of `x` and `batch` whose graph is
    `batch.num_graphs`, edges whose ends are the number of rows of `x`, entries of `perm` that are
    the number of nodes that were pooled. Real nodes come first. Edges keep their places.
    [`trim`][jraphx_eqx.nn.pool.PoolOutput.trim] removes the padding.
    """

    x: Float[Array, "pooled_nodes features"]
    edge_index: Int[Array, "2 pooled_edges"]
    edge_attr: Shaped[Array, "pooled_edges ..."] | None
    batch: BatchVector
    select: SelectOutput
    loss: dict[str, Float[Array, ""]] = eqx.field(default_factory=dict)
    edge_overflow: Bool[Array, ""] = eqx.field(default_factory=lambda: jnp.zeros((), bool))

    def __iter__(self) -> Iterator:
        return iter((self.x, self.edge_index, self.edge_attr, self.batch, self.perm))

    @property
    def perm(self) -> Int[Array, "*stacked pooled_nodes"]:
        """The node that each row was. Padding entries are the number of nodes pooled."""
        return self.select.node_index

    @property
    def score(self) -> Float[Array, "*stacked pooled_nodes"]:
        """The scores of the kept nodes; 0 in padding."""
        return self.select.weight

    @property
    def num_kept(self) -> Int[Array, "*stacked"]:
        """The number of nodes kept, padding not counted."""
        return jnp.sum(self.perm < self.select.num_nodes, axis=-1, dtype=jnp.int32)

    @property
    def overflow(self) -> Bool[Array, "*stacked"]:
        """Whether `max_nodes` or `max_edges` was too small."""
        return self.select.overflow | self.edge_overflow

    def lift(self, x: Float[Array, "pooled_nodes features"]) -> Float[Array, "nodes features"]:
        """Brings features of kept nodes back to where they were, and 0 to all other nodes."""
        return lift(x, self.select)

    def trim(self) -> "PoolOutput":
        """The same without padding, in the exact shapes that PyG returns.

        They depend on values, so this does not work under tracing.
        """
        if is_traced(*jax.tree.leaves(self)):
            raise ValueError("trim() needs values for its shapes: call it outside jit, vmap, grad")
        if self.x.ndim != 2:
            raise ValueError(
                "trim() needs one pooled batch, and this one is several stacked ones (by vmap, "
                "say): take one first, jax.tree.map(lambda array: array[i], out)"
            )
        # An eager slice of a JAX array would compile a program for each number of nodes.
        out = jax.tree.map(np.asarray, self)
        kept = int(np.sum(out.select.node_index < out.select.num_nodes))
        edges = np.all(out.edge_index < out.x.shape[0], axis=0)
        # What was computed with 64-bit types keeps them, though they be switched off now.
        with jax.enable_x64(True):
            return PoolOutput(
                x=on_device(out.x[:kept]),
                edge_index=on_device(out.edge_index[:, edges]),
                edge_attr=None if out.edge_attr is None else on_device(out.edge_attr[edges]),
                batch=bounded_batch(
                    on_device(out.batch.index[:kept]), self.batch.num_graphs, self.batch.max_count
                ),
                select=SelectOutput(
                    on_device(out.select.node_index[:kept]),
                    on_device(out.select.cluster_index[:kept]),
                    on_device(out.select.weight[:kept]),
                    num_nodes=self.select.num_nodes,
                    num_clusters=kept,
                    overflow=self.select.overflow,
                    max_count=self.select.max_count,
                ),
                loss=self.loss,
                edge_overflow=self.edge_overflow,
            )


register_serialization(PoolOutput, "jraphx_eqx.nn.pool.PoolOutput")
