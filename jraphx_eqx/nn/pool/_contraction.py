from collections.abc import Callable

import equinox as eqx
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ...data import BatchVector, resolve_batch
from ...ops import gather, gather_once, greedy_matching
from .._entry import takes_numpy
from ._choice import Choice, settle
from ._cluster import (
    AbstractClusterPool,
    check_edges,
    check_lift,
    join_pairs,
    lift_by_weights,
    select_clusters,
)
from ._edge import EdgePooling
from ._selection import SelectOutput


class EdgeContractionPooling(AbstractClusterPool):
    r"""[`EdgePooling`][jraphx_eqx.nn.pool.EdgePooling] as torch-geometric-pool has it.

    The scores and the edges that are merged are the same. But clusters come in the order of the
    sources of these edges and of the nodes that are left; loops are removed, unless options say
    otherwise; and [`lift`][jraphx_eqx.nn.pool.EdgeContractionPooling.lift] multiplies features by
    the scores, by which PyG's `unpool` divides them.

    The same as `EdgeContractionPooling` there, except that ties go to the first edge (its sort is
    not stable).

    ??? cite

        [Revisiting Edge Pooling in Graph Neural
        Networks](https://www.esann.org/sites/default/files/proceedings/2022/ES2022-92.pdf),
        Landolfi, 2022
    """

    edges: EdgePooling
    in_features: int = eqx.field(static=True)
    lift_by: str = eqx.field(static=True)
    keeps_loops: bool = eqx.field(static=True)
    edge_aggr: str = eqx.field(static=True)
    edge_norm: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        edge_score_method: str | Callable = "softmax",
        dropout: float | int = 0.0,
        add_to_edge_score: float | int = 0.5,
        lift_by: str = "transpose",
        keep_loops: bool = False,
        edge_aggr: str = "add",
        edge_norm: str | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `lift_by`, `keep_loops`, `edge_aggr`, `edge_norm`: as
            [`KMISPooling`][jraphx_eqx.nn.pool.KMISPooling].
        - the others: as [`EdgePooling`][jraphx_eqx.nn.pool.EdgePooling], which is `edges`.
        """
        check_lift(lift_by)
        check_edges(edge_aggr, edge_norm)
        options = (edge_score_method, dropout, add_to_edge_score)
        self.edges = EdgePooling(in_features, *options, dtype=dtype, key=key)
        self.in_features = in_features
        self.lift_by = lift_by
        self.keeps_loops = keep_loops
        self.edge_aggr = edge_aggr
        self.edge_norm = edge_norm

    @property
    def dtype(self) -> np.dtype:
        """That of the parameters."""
        return self.edges.dtype

    @takes_numpy
    def score(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " edges"]:
        """The score of each edge; those of padding mean nothing."""
        return self.edges.score(x, edge_index, batch, size=size, key=key)

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
        """Scores the edges and merges the best, or those in `choice`, with their scores."""
        batch, num_nodes = resolve_batch(batch, x.shape[0]), x.shape[0]
        score = self.score(x, edge_index, batch, key=key)
        merged = settle(greedy_matching(edge_index, score, num_nodes), score, choice)
        source, target = gather(edge_index.T, merged, fill_value=num_nodes).T
        cluster, total = join_pairs(source, target, batch)
        weight, own = batch.node_mask.astype(score.dtype), gather_once(score, merged)
        for end in (source, target):
            weight = weight.at[end].set(own, mode="drop")
        return select_clusters(cluster, total, weight, max_nodes)

    def lift(
        self, x: Float[Array, "clusters features"], select: SelectOutput
    ) -> Float[Array, "nodes features"]:
        """The features of the cluster of each node, times its score; 0 in padding."""
        return lift_by_weights(x, select, self.lift_by)
