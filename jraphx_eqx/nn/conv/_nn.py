from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import OUT, part, present, twin, width
from ...ops import edge_mask, gather, masked_edges
from .._check import (
    check_callable,
    check_dtype,
    check_edge_attr,
    check_edge_index,
    check_features,
    check_positive,
)
from .._entry import one_program
from .._layer import apply_layer
from .._linear import add_bias, apply_linear, linear
from ..aggr import AbstractAggregation
from ._conv import (
    AGGR,
    MESSAGES,
    AbstractConv,
    aggregate_at_nodes,
    aggregated_width,
    check_network_output,
    resolve_aggregation,
)


class NNConv(AbstractConv):
    r"""The convolution whose matrix a network makes of the attributes of each edge.

    $$\mathbf{x}'_i = \mathbf{W} \mathbf{x}_i + \mathrm{aggr}_{j \in \mathcal{N}(i)} \,
    \mathbf{x}_j^\top h(\mathbf{e}_{j,i}) + \mathbf{b}$$

    Equal to `torch_geometric.nn.NNConv`, also known as `ECConv`. $h$ is `nn`, whose results become
    matrices of shape `(in_features, out_features)`; $\mathbf{W}$ is `lin`, and $\mathbf{b}$ `bias`.
    As in PyG, all these matrices are held at once.

    ??? cite

        [Neural Message Passing for Quantum Chemistry](https://arxiv.org/abs/1704.01212), Gilmer et
        al., 2017
    """

    nn: Callable
    lin: eqx.nn.Linear | None
    bias: Float[Array, " all_features"] | None
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    aggr_module: AbstractAggregation | None
    aggr: str = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        nn: Callable,
        aggr: str | AbstractAggregation | Sequence[str | AbstractAggregation] = "add",
        root_weight: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `nn`: $h$, a module or function from `(edges, edge_features)` to
            `(edges, in_features * out_features)`, such as an [`MLP`][jraphx_eqx.nn.models.MLP] or
            [`Sequential`][jraphx_eqx.nn.Sequential].
        - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`; or another
            [aggregation][jraphx_eqx.nn.aggr.AbstractAggregation] of the same width, by name or as
            an object, which is kept in `aggr_module`.
        - `root_weight`: whether to add $\mathbf{W} \mathbf{x}_i$.
        - `bias`: whether to add a learnable bias.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation of $\mathbf{W}$.

        **Raises:** `ValueError` for a size below 1, an unknown or wider `aggr`, and an `nn` that
        cannot be called.
        """
        check_positive(in_features=in_features, out_features=out_features)
        check_callable(nn=nn)
        self.aggr, self.aggr_module = resolve_aggregation(aggr)
        width = aggregated_width(self.aggr_module, out_features, dtype)
        if width != out_features:
            raise ValueError(f"aggr must keep the {out_features} features, but makes {width}")
        made = linear(in_features, out_features, False, dtype=dtype, key=key)
        self.nn = nn
        self.lin = made if root_weight else None
        self.bias = jnp.zeros(out_features, made.weight.dtype) if bias else None
        self.in_features = in_features
        self.out_features = out_features

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Float[Array, "edges edge_features"] | None = None,
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding, which does not count in norms of `nn` either.
        - `edge_attr`: what `nn` takes, shape `(edges, edge_features)`. It must be given.
        - `node_mask`: which rows of `x` are nodes; see
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default.
        - `key`: for dropout in `nn`.

        **Returns:** shape `(nodes, out_features)`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, None if self.lin is None else self.lin.weight.dtype)
        check_edge_index(edge_index)
        if edge_attr is None or edge_attr.ndim != 2:
            got = None if edge_attr is None else edge_attr.shape
            raise ValueError(f"edge_attr must have shape (edges, edge_features), got {got}")
        check_edge_attr(edge_attr, edge_index)
        check_dtype(edge_attr, x.dtype, "edge_attr")
        num_nodes = x.shape[0]
        mask = edge_mask(edge_index, num_nodes)
        (source, target), edge_attr = masked_edges(edge_index, edge_attr, mask, num_nodes)
        entries = apply_layer(self.nn, edge_attr, node_mask=mask, key=key)
        size = self.in_features * self.out_features
        check_network_output(entries, len(mask), size, "edges", "in_features * out_features")
        matrices = entries.reshape(-1, self.in_features, self.out_features)
        messages = jnp.einsum("ei,eio->eo", gather(x, source), matrices)
        aggr = self.aggr_module or self.aggr
        out = aggregate_at_nodes(messages, target, num_nodes, aggr)
        if self.lin is not None:
            out = out + apply_linear(self.lin, x, node_mask)
        return add_bias(out, self.bias)


twin(
    NNConv,
    "torch_geometric.nn.NNConv",
    width("lin.in_channels"),
    OUT,
    part("nn"),
    AGGR,
    present("root_weight", "lin"),
    present("bias"),
    only=MESSAGES,
)
