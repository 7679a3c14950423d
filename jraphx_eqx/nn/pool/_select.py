import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...data import register_serialization
from ...ops import gather, gather_once, segment_sum
from .._check import check_rows


def _false():
    return jnp.zeros((), bool)


class SelectOutput(eqx.Module):
    """Which node goes to which cluster, with which weight: the decision of a pooling.

    The same as `torch_geometric.nn.pool.select.SelectOutput`, with room for padding.

    **Arguments:**

    - `node_index`: a node, for each pair of node and cluster. Entries `>= num_nodes` are padding.
    - `cluster_index`: its cluster. Entries `>= num_clusters` are padding.
    - `weight`: its weight in the cluster; 0 in padding. For a
        [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling] the score.
    - `num_nodes`: the number of nodes that were pooled, padding included. Static.
    - `num_clusters`: the number of clusters, padding included. Static.
    - `overflow`: whether there were more clusters to make than `num_clusters`.
    - `max_count`: no graph has more clusters than this; `None` where nothing is known. Static.
    """

    node_index: Int[Array, " pairs"]
    cluster_index: Int[Array, " pairs"]
    weight: Float[Array, " pairs"]
    num_nodes: int = eqx.field(static=True)
    num_clusters: int = eqx.field(static=True)
    overflow: Bool[Array, ""] = eqx.field(default_factory=_false)
    max_count: int | None = eqx.field(static=True, default=None)


def select_nodes(
    perm: Int[Array, " pooled_nodes"],
    score: Float[Array, " nodes"],
    overflow: Bool[Array, ""] | None = None,
    max_count: int | None = None,
) -> SelectOutput:
    """The selection that keeps the nodes in `perm`, each a cluster of its own.

    **Arguments:**

    - `perm`: the nodes to keep. Entries past the last node are padding.
    - `score`: the score of each node, which becomes the weight of those kept.
    - `overflow`: whether `perm` was too short for the nodes to keep. No by default.
    - `max_count`: no graph keeps more nodes than this. By default nothing is known.
    """
    num_nodes, num_kept = score.shape[0], perm.shape[0]
    clusters = jnp.arange(num_kept, dtype=jnp.int32)
    return SelectOutput(
        node_index=perm,
        cluster_index=jnp.where(perm < num_nodes, clusters, num_kept),
        weight=gather_once(score, perm),
        num_nodes=num_nodes,
        num_clusters=num_kept,
        overflow=_false() if overflow is None else overflow,
        max_count=max_count,
    )


def lift(
    x: Float[Array, "clusters features"], select: SelectOutput
) -> Float[Array, "nodes features"]:
    """Brings features of clusters back to their nodes, and 0 to nodes without a cluster.

    What Graph U-Nets call unpooling; PyG writes it as `up[perm] = x`. Weights are not applied. A
    node of several clusters gets their sum.
    """
    check_rows(x, select.num_clusters, "x", "clusters of select")
    return segment_sum(gather(x, select.cluster_index), select.node_index, select.num_nodes)


register_serialization(SelectOutput, "jraphx_eqx.nn.pool.SelectOutput")
