from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import part, twin
from ...ops import add_self_loops, gather, mask_rows, remove_self_loops
from .._check import (
    check_callable,
    check_dtype,
    check_edge_index,
    check_features,
    check_rows,
)
from .._entry import one_program
from .._layer import apply_layer, split_key
from ..aggr import AbstractAggregation
from ._conv import AGGR, MESSAGES, aggregate_at_nodes, resolve_aggregation


class PointNetConv(eqx.Module):
    r"""The set layer of PointNet++: a network of neighbours and of where they lie.

    $$\mathbf{x}'_i = \gamma\left(\mathrm{aggr}_{j \in \mathcal{N}(i) \cup \{i\}} \,
    h(\mathbf{x}_j, \mathbf{p}_j - \mathbf{p}_i)\right)$$

    Self-loops in the graph are replaced.

    Equal to `torch_geometric.nn.PointNetConv`, also known as `PointConv`, except that
    `add_self_loops` is refused for two sets of points: PyG joins the points of equal position in
    both, whatever they are. $h$ is `local_nn`, and $\gamma$ is `global_nn`.

    ??? cite

        [PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric
        Space](https://arxiv.org/abs/1706.02413), Qi et al., 2017
    """

    local_nn: Callable | None
    global_nn: Callable | None
    aggr_module: AbstractAggregation | None
    aggr: str = eqx.field(static=True)
    add_self_loops: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        local_nn: Callable | None = None,
        global_nn: Callable | None = None,
        add_self_loops: bool = True,
        aggr: str | AbstractAggregation | Sequence[str | AbstractAggregation] = "max",
        *,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `local_nn`: $h$, a module or function from `(edges, features + dimensions)`, such as an
            [`MLP`][jraphx_eqx.nn.models.MLP] or [`Sequential`][jraphx_eqx.nn.Sequential]. The
            identity by default.
        - `global_nn`: $\gamma$, a module or function of what is aggregated. The identity by
            default.
        - `add_self_loops`: whether to replace the self-loops of the graph by one for each node.
        - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`; another
            [aggregation][jraphx_eqx.nn.aggr.AbstractAggregation], by name or as an object, which is
            kept in `aggr_module`; or a list of them, side by side.
        - `key`: ignored; nothing is random but what is in the networks.

        **Raises:** `ValueError` for an unknown `aggr`, and a network that cannot be called.
        """
        networks = {"local_nn": local_nn, "global_nn": global_nn}
        check_callable(**{name: nn for name, nn in networks.items() if nn is not None})
        self.aggr, self.aggr_module = resolve_aggregation(aggr)
        self.local_nn = local_nn
        self.global_nn = global_nn
        self.add_self_loops = add_self_loops

    @one_program
    def __call__(
        self,
        x: Float[Array, "points features"] | None,
        pos: Float[Array, "_points dimensions"]
        | tuple[Float[Array, "_points dimensions"], Float[Array, "_centres dimensions"]],
        edge_index: Int[Array, "2 edges"],
        *,
        node_mask: Bool[Array, " centres"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "centres out_features"]:
        """**Arguments:**

        - `x`: features of the points, or `None`.
        - `pos`: positions of the points; or those of the points, and those of the centres at which
            they are aggregated, such as `(pos, pos[kept])` of
            [`fps`][jraphx_eqx.nn.pool.fps]. PyG's `(x, x_centres)` is just `x` here.
        - `edge_index`: the point and the centre of each edge, shape `(2, edges)`. An edge with a
            point past the last, or a centre past the last, is padding, which does not count in
            norms of `local_nn` either. The rows of [`radius`][jraphx_eqx.nn.pool.radius] and
            [`knn`][jraphx_eqx.nn.pool.knn] are the other way round.
        - `node_mask`: which centres are no padding. All by default. Rows of `pos` and `x` outside
            may hold anything. Norms in the networks need it.
        - `key`: for dropout in the networks.

        **Returns:** shape `(centres, out_features)`. A centre without edges has `global_nn` of
        what the aggregation makes of nothing, which mostly is 0.

        **Raises:** `ValueError` for inputs that do not fit each other, and for two sets of points
        with `add_self_loops`.
        """
        pos, centres = pos if isinstance(pos, tuple) else (pos, None)
        self._check(x, pos, centres, edge_index)
        if self.add_self_loops:
            edge_index, _ = remove_self_loops(edge_index, None, len(pos))
            edge_index, _ = add_self_loops(edge_index, None, len(pos))
        if centres is None:
            x, pos = (None if x is None else mask_rows(x, node_mask)), mask_rows(pos, node_mask)
            centres = pos
        source, target = edge_index
        mask = (source < len(pos)) & (target < len(centres))
        if node_mask is not None:
            mask = mask & gather(node_mask, target)
        source = jnp.where(mask, source, len(pos))
        target = jnp.where(mask, target, len(centres))
        messages = gather(pos, source) - gather(centres, target)
        if x is not None:
            messages = jnp.concatenate([gather(x, source), messages], axis=1)
        local_key, global_key = split_key(key, 2)
        if self.local_nn is not None:
            messages = apply_layer(self.local_nn, messages, node_mask=mask, key=local_key)
            check_rows(messages, len(mask), "what local_nn returns", "edges")
        aggr = self.aggr_module or self.aggr
        out = aggregate_at_nodes(messages, target, len(centres), aggr)
        if self.global_nn is None:
            return out
        return apply_layer(self.global_nn, out, node_mask=node_mask, key=global_key)

    def _check(self, x, pos, centres, edge_index):
        check_features(pos, None, None, "pos")
        check_edge_index(edge_index)
        if x is not None:
            check_features(x, None, pos.dtype)
            check_rows(x, len(pos), "x", "rows of pos")
        if centres is None:
            return
        check_features(centres, pos.shape[1], None, "pos")
        check_dtype(centres, pos.dtype, "pos")
        if self.add_self_loops:
            raise ValueError(
                "pos must be one array with add_self_loops=True; for two sets of points make the "
                "layer with add_self_loops=False"
            )


twin(
    PointNetConv,
    "torch_geometric.nn.PointNetConv",
    part("local_nn"),
    part("global_nn"),
    "add_self_loops",
    AGGR,
    only=MESSAGES,
)
