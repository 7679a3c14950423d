from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import OUT, present, twin, width
from ...data import EdgeIndex
from ...ops import wide_dtype
from .._check import check_edge_index, check_features, check_positive
from .._entry import one_program
from .._linear import apply_linear, linear
from ..aggr import AbstractAggregation
from ._conv import AGGR, LINEAR_MAPS, AbstractConv, aggregated_width, resolve_aggregation


class SAGEConv(AbstractConv):
    r"""The GraphSAGE operator.

    $$\mathbf{x}'_i = \mathbf{W}_1 \, \mathrm{aggr}_{j \in \mathcal{N}(i)} \, \mathbf{x}_j +
    \mathbf{b} + \mathbf{W}_2 \mathbf{x}_i$$

    With `project`, neighbours go through $\mathbf{x}_j \leftarrow
    \mathrm{relu}(\mathbf{W}_3 \mathbf{x}_j + \mathbf{c})$ first.

    Equal to `torch_geometric.nn.SAGEConv`. $\mathbf{W}_1, \mathbf{b}$ are `lin_l`, $\mathbf{W}_2$
    is `lin_r`, and $\mathbf{W}_3, \mathbf{c}$ are `lin`.

    ??? cite

        [Inductive Representation Learning on Large Graphs](https://arxiv.org/abs/1706.02216),
        Hamilton et al., 2017
    """

    lin: eqx.nn.Linear | None
    lin_l: eqx.nn.Linear
    lin_r: eqx.nn.Linear | None
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    aggr_module: AbstractAggregation | None
    aggr: str = eqx.field(static=True)
    normalize: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        aggr: str | AbstractAggregation | Sequence[str | AbstractAggregation] = "mean",
        normalize: bool = False,
        root_weight: bool = True,
        project: bool = False,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`; another
            [aggregation][jraphx_eqx.nn.aggr.AbstractAggregation], by name or as an object, which is
            kept in `aggr_module`; or a list of them, side by side.
        - `normalize`: whether to divide each $\mathbf{x}'_i$ by its Euclidean norm, or by 1e-12 if
            that is larger.
        - `root_weight`: whether to add $\mathbf{W}_2 \mathbf{x}_i$.
        - `project`: whether to transform the neighbours before the aggregation.
        - `bias`: whether to add a learnable bias.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1 and an unknown `aggr`.
        """
        check_positive(in_features=in_features, out_features=out_features)
        self.aggr, self.aggr_module = resolve_aggregation(aggr)
        key, l_key, r_key = jax.random.split(key, 3)
        self.lin = linear(in_features, in_features, dtype=dtype, key=key) if project else None
        width = aggregated_width(self.aggr_module, in_features, dtype)
        self.lin_l = linear(width, out_features, bias, dtype=dtype, key=l_key)
        self.lin_r = (
            linear(in_features, out_features, False, dtype=dtype, key=r_key)
            if root_weight
            else None
        )
        self.in_features = in_features
        self.out_features = out_features
        self.normalize = normalize

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"] | EdgeIndex,
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding. An [`EdgeIndex`][jraphx_eqx.data.EdgeIndex] is quicker.
        - `node_mask`: which rows of `x` are nodes; see
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default.
        - `key`: ignored; all convolutions take one.

        **Returns:** shape `(nodes, out_features)`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, self.lin_l.weight.dtype)
        check_edge_index(edge_index)
        neighbours = x
        if self.lin is not None:
            neighbours = jax.nn.relu(apply_linear(self.lin, x, node_mask))
        out = self.propagate_and_project(
            self.lin_l,
            neighbours,
            edge_index,
            aggr=self.aggr_module or self.aggr,
            node_mask=node_mask,
        )
        if self.lin_r is not None:
            out = out + apply_linear(self.lin_r, x, node_mask)
        return unit_rows(out) if self.normalize else out


def unit_rows(x: Float[Array, "... features"], eps: float = 1e-12) -> Float[Array, "... features"]:
    """Each row divided by its Euclidean norm, or by `eps` if that is larger."""
    # eps is 0 in float16.
    wide = x.astype(wide_dtype(x.dtype))
    square = jnp.sum(wide**2, axis=-1, keepdims=True)
    # The root's gradient at 0 is infinite; the one of torch's norm is 0.
    norm = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
    return (wide / jnp.where(norm < eps, eps, norm)).astype(x.dtype)


twin(
    SAGEConv,
    "torch_geometric.nn.SAGEConv",
    # Several aggregations make wider rows for `lin_l`.
    width("lin_r.in_channels", "lin_l.in_channels"),
    OUT,
    AGGR,
    "normalize",
    present("root_weight", "lin_r"),
    present("project", "lin"),
    present("bias", "lin_l.bias"),
    **LINEAR_MAPS,
)
