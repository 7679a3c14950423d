from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import Option, twin
from ...ops import edge_mask, gather, mask_rows, masked_edges, segment_reduce_by_block
from .._check import check_callable, check_features, check_positive
from .._entry import one_program
from .._layer import apply_layer
from .._linear import apply_linear, linear
from ..aggr import AbstractAggregation
from ._conv import (
    AGGR,
    MESSAGES,
    NETWORK,
    TRAIN_EPS,
    AbstractConv,
    aggregate_at_nodes,
    check_network_output,
    given_attr,
    resolve_aggregation,
)


class GINEConv(AbstractConv):
    r"""The graph isomorphism operator with attributes of edges.

    $$\mathbf{x}'_i = h\left((1 + \epsilon) \, \mathbf{x}_i + \mathrm{aggr}_{j \in \mathcal{N}(i)}
    \, \mathrm{relu}(\mathbf{x}_j + \mathbf{e}_{j,i})\right)$$

    With `edge_dim`, attributes go through $\mathbf{e}_{j,i} \leftarrow \mathbf{W} \mathbf{e}_{j,i}
    + \mathbf{b}$ first.

    Equal to `torch_geometric.nn.GINEConv`. $h$ is `nn`; $\mathbf{W}, \mathbf{b}$ are `lin`;
    $\epsilon$ is `eps`, of shape `(1,)`, which gets no gradient unless `train_eps`.

    ??? cite

        [Strategies for Pre-training Graph Neural Networks](https://arxiv.org/abs/1905.12265), Hu et
        al., 2020
    """

    nn: Callable
    eps: Float[Array, " one"]
    lin: eqx.nn.Linear | None
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    train_eps: bool = eqx.field(static=True)
    edge_dim: int | None = eqx.field(static=True)
    aggr_module: AbstractAggregation | None
    aggr: str = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        nn: Callable,
        eps: float | int = 0.0,
        train_eps: bool = False,
        edge_dim: int | None = None,
        aggr: str | AbstractAggregation | Sequence[str | AbstractAggregation] = "add",
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `nn`: $h$, a module or function from `(nodes, in_features)` to `(nodes, out_features)`,
            such as an [`MLP`][jraphx_eqx.nn.models.MLP] or
            [`Sequential`][jraphx_eqx.nn.Sequential].
        - `eps`: the initial $\epsilon$.
        - `train_eps`: whether $\epsilon$ is learnt.
        - `edge_dim`: the number of attributes of an edge, which a linear map makes as many as
            `in_features`. By default there are so many already.
        - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`; or another
            [aggregation][jraphx_eqx.nn.aggr.AbstractAggregation] of the same width, by name or as
            an object, which is kept in `aggr_module`.
        - `dtype`: of `eps` and `lin`. Default: JAX's default float dtype.
        - `key`: for the initialisation. Needed with `edge_dim` only.

        **Raises:** `ValueError` for a size below 1, an unknown `aggr`, an `nn` that cannot be
        called, and `edge_dim` without a `key`.
        """
        check_positive(in_features=in_features, out_features=out_features)
        self.aggr, self.aggr_module = resolve_aggregation(aggr)
        check_callable(nn=nn)
        self.lin = None
        if edge_dim is not None:
            check_positive(edge_dim=edge_dim)
            if key is None:
                raise ValueError("key must be given with edge_dim, for the linear map of edge_attr")
            self.lin = linear(edge_dim, in_features, dtype=dtype, key=key)
        self.nn = nn
        self.eps = jnp.full(1, eps, jnp.result_type(float) if dtype is None else dtype)
        self.in_features = in_features
        self.out_features = out_features
        self.train_eps = train_eps
        self.edge_dim = edge_dim

    @property
    def untrained(self) -> tuple[str, ...]:
        """`("eps",)` without `train_eps`; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return () if self.train_eps else ("eps",)

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
            the last node is padding.
        - `edge_attr`: edge attributes, shape `(edges, edge_dim)`, or `(edges, in_features)` without
            `edge_dim`. They must be given.
        - `node_mask`: which rows of `x` are nodes; see
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default. Norms in `nn` need
            it, because padding would count in their statistics.
        - `key`: for dropout in `nn`.

        **Returns:** shape `(nodes, out_features)`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, self.eps.dtype)
        width = self.in_features if self.edge_dim is None else self.edge_dim
        edge_attr = given_attr(edge_index, edge_attr, width, x.dtype)
        num_nodes = x.shape[0]
        x = mask_rows(x, node_mask)
        mask = edge_mask(edge_index, num_nodes)
        (source, target), edge_attr = masked_edges(edge_index, edge_attr, mask, num_nodes)

        def messages(edges):
            source, edge_attr = edges
            if self.lin is not None:
                edge_attr = apply_linear(self.lin, edge_attr)
            return jax.nn.relu(gather(x, source) + edge_attr)

        edges = source, edge_attr
        if self.aggr_module is None:
            out = segment_reduce_by_block(messages, edges, target, num_nodes, self.aggr)
        else:
            out = aggregate_at_nodes(messages(edges), target, num_nodes, self.aggr_module)
        eps = self.eps if self.train_eps else jax.lax.stop_gradient(self.eps)
        out = apply_layer(self.nn, out + (1 + eps)[None] * x, node_mask=node_mask, key=key)
        check_network_output(out, num_nodes, self.out_features)
        return out


twin(
    GINEConv,
    "torch_geometric.nn.GINEConv",
    *NETWORK,
    TRAIN_EPS,
    Option("edge_dim", theirs_at="lin.in_channels"),
    AGGR,
    only=MESSAGES,
)
