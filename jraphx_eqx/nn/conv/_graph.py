from collections.abc import Sequence

import equinox as eqx
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import OUT, Rename, present, twin, width
from ...data import EdgeIndex
from .._check import check_features, check_positive
from .._entry import one_program
from .._linear import apply_linear, linear
from ..aggr import AbstractAggregation
from ._conv import AGGR, LINEAR_MAPS, AbstractConv, aggregated_width, resolve_aggregation
from ._weight import checked_weight


class GraphConv(AbstractConv):
    r"""The graph neural network operator of Morris et al.

    $$\mathbf{x}'_i = \mathbf{W}_1 \, \mathrm{aggr}_{j \in \mathcal{N}(i)} \, e_{j,i} \,
    \mathbf{x}_j + \mathbf{b} + \mathbf{W}_2 \mathbf{x}_i$$

    Equal to `torch_geometric.nn.GraphConv`. $\mathbf{W}_1, \mathbf{b}$ are `lin_rel`, and
    $\mathbf{W}_2$ is `lin_root`.

    ??? cite

        [Weisfeiler and Leman Go Neural: Higher-order Graph Neural
        Networks](https://arxiv.org/abs/1810.02244), Morris et al., 2019
    """

    lin_rel: eqx.nn.Linear
    lin_root: eqx.nn.Linear
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    aggr_module: AbstractAggregation | None
    aggr: str = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        aggr: str | AbstractAggregation | Sequence[str | AbstractAggregation] = "add",
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`; another
            [aggregation][jraphx_eqx.nn.aggr.AbstractAggregation], by name or as an object, which is
            kept in `aggr_module`; or a list of them, side by side.
        - `bias`: whether to add a learnable bias.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1 and an unknown `aggr`.
        """
        check_positive(in_features=in_features, out_features=out_features)
        self.aggr, self.aggr_module = resolve_aggregation(aggr)
        rel_key, root_key = jax.random.split(key)
        width = aggregated_width(self.aggr_module, in_features, dtype)
        self.lin_rel = linear(width, out_features, bias, dtype=dtype, key=rel_key)
        self.lin_root = linear(in_features, out_features, False, dtype=dtype, key=root_key)
        self.in_features = in_features
        self.out_features = out_features

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"] | EdgeIndex,
        edge_weight: Float[Array, "edges *one"] | None = None,
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding. An [`EdgeIndex`][jraphx_eqx.data.EdgeIndex] is quicker.
        - `edge_weight`: one number for each edge, shape `(edges,)` or `(edges, 1)`. 1 by default.
        - `node_mask`: which rows of `x` are nodes; see
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default.
        - `key`: ignored; all convolutions take one.

        **Returns:** shape `(nodes, out_features)`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, self.lin_rel.weight.dtype)
        edge_weight = checked_weight(edge_index, edge_weight, x.dtype)
        out = self.propagate_and_project(
            self.lin_rel, x, edge_index, edge_weight, self.aggr_module or self.aggr, node_mask
        )
        return out + apply_linear(self.lin_root, x, node_mask)


twin(
    GraphConv,
    "torch_geometric.nn.GraphConv",
    width("lin_root.in_channels"),
    OUT,
    AGGR,
    present("bias", "lin_rel.bias"),
    **LINEAR_MAPS,
    renames=(
        Rename(
            "1.6",
            {
                "lin_rel.weight": ("weight", lambda weight: weight.T),
                "lin_root.weight": "lin.weight",
            },
            optional={"lin_rel.bias": "lin.bias"},
            # It aggregated what the weight had been applied to.
            allowed=lambda layer: layer.aggr in ("add", "sum", "mean"),
        ),
        Rename(
            "2.0",
            {"lin_rel.weight": "lin_l.weight", "lin_root.weight": "lin_r.weight"},
            optional={"lin_rel.bias": "lin_l.bias"},
        ),
    ),
)
