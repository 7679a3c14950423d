import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ...data import BatchVector, resolve_batch
from ...ops import gather
from ._choice import Choice, settle
from ._cluster import (
    AbstractClusterPool,
    check_edges,
    check_lift,
    join_pairs,
    lift_by_weights,
    select_clusters,
)
from ._clusterings import heaviest_edges
from ._dense import edge_weights
from ._selection import SelectOutput


class GraclusPooling(AbstractClusterPool):
    r"""Merges the ends of heavy edges, as [`graclus`][jraphx_eqx.nn.pool.graclus] finds them.

    $$\mathbf{x}'_c = \sum_{n \in c} \mathbf{x}_n$$

    Clusters come in the order of the smaller of their nodes. Equal edges between clusters become
    one, their attributes added, and loops are removed, unless options say otherwise. Nothing is
    learnt, so that a selection can be used again, as `select=`.

    The same as torch-geometric-pool's, except that its `graclus` visits the nodes in a random order
    and joins each with the heaviest neighbour that is left.

    ??? cite

        [Weighted Graph Cuts without Eigenvectors](https://ieeexplore.ieee.org/document/4302760),
        Dhillon et al., 2007
    """

    in_features: int | None = eqx.field(static=True)
    lift_by: str = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)
    edge_aggr: str = eqx.field(static=True)
    edge_norm: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        lift_by: str = "transpose",
        keep_loops: bool = False,
        edge_aggr: str = "add",
        edge_norm: str | None = None,
    ):
        """**Arguments:** as [`KMISPooling`][jraphx_eqx.nn.pool.KMISPooling], with scores of 1."""
        check_lift(lift_by)
        check_edges(edge_aggr, edge_norm)
        self.in_features = None
        self.lift_by = lift_by
        self.keeps_loops = keep_loops
        self.edge_aggr = edge_aggr
        self.edge_norm = edge_norm

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
        """Merges the ends of the heaviest edges, or of those in `choice`. A `key` breaks ties at
        random."""
        batch, num_nodes = resolve_batch(batch, x.shape[0]), x.shape[0]
        weight = edge_weights(edge_index, edge_attr, num_nodes, x.dtype)
        merged = settle(heaviest_edges(edge_index, weight, num_nodes, key), weight, choice)
        ends = gather(edge_index.T, merged, fill_value=num_nodes)
        first, second = jnp.min(ends, axis=1), jnp.max(ends, axis=1)
        cluster, total = join_pairs(first, second, batch)
        return select_clusters(cluster, total, batch.node_mask.astype(x.dtype), max_nodes)

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput
    ) -> Float[Array, "nodes features"]:
        """The features of the cluster of each node, by `"inverse"` divided by its number of nodes;
        0 in padding."""
        return lift_by_weights(x, select, self.lift_by)
