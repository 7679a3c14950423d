from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import twin
from ...data import EdgeIndex
from ...ops import mask_rows
from .._check import check_callable, check_edge_index, check_features, check_positive
from .._entry import one_program
from .._layer import apply_layer
from ..aggr import AbstractAggregation
from ._conv import (
    AGGR,
    MESSAGES,
    NETWORK,
    TRAIN_EPS,
    AbstractConv,
    check_network_output,
    resolve_aggregation,
)


class GINConv(AbstractConv):
    r"""The graph isomorphism operator.

    $$\mathbf{x}'_i = h\left((1 + \epsilon) \, \mathbf{x}_i + \mathrm{aggr}_{j \in \mathcal{N}(i)}
    \, \mathbf{x}_j\right)$$

    Equal to `torch_geometric.nn.GINConv`. $h$ is `nn`; $\epsilon$ is `eps`, of shape `(1,)`, which
    gets no gradient unless `train_eps`.

    ??? cite

        [How Powerful are Graph Neural Networks?](https://arxiv.org/abs/1810.00826), Xu et al., 2019
    """

    nn: Callable
    eps: Float[Array, " one"]
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    train_eps: bool = eqx.field(static=True)
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
        - `aggr`: `"add"` or `"sum"`, `"mean"`, `"max"`, `"min"`; another
            [aggregation][jraphx_eqx.nn.aggr.AbstractAggregation], by name or as an object, which is
            kept in `aggr_module`; or a list of them, side by side.
        - `dtype`: of `eps`. Default: JAX's default float dtype.
        - `key`: ignored; nothing is random but what is in `nn`.

        **Raises:** `ValueError` for a size below 1, an unknown `aggr`, and an `nn` that cannot be
        called.
        """
        check_positive(in_features=in_features, out_features=out_features)
        self.aggr, self.aggr_module = resolve_aggregation(aggr)
        check_callable(nn=nn)
        dtype = jnp.result_type(float) if dtype is None else dtype
        self.nn = nn
        self.eps = jnp.full(1, eps, dtype)
        self.in_features = in_features
        self.out_features = out_features
        self.train_eps = train_eps

    @property
    def untrained(self) -> tuple[str, ...]:
        """`("eps",)` without `train_eps`; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return () if self.train_eps else ("eps",)

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
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default. Norms in `nn` need
            it, because padding would count in their statistics. As in PyG they take all nodes for
            one graph.
        - `key`: for dropout in `nn`.

        **Returns:** shape `(nodes, out_features)`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, self.eps.dtype)
        check_edge_index(edge_index)
        x = mask_rows(x, node_mask)
        eps = self.eps if self.train_eps else jax.lax.stop_gradient(self.eps)
        out = (
            self.propagate(x, edge_index, aggr=self.aggr_module or self.aggr) + (1 + eps)[None] * x
        )
        out = apply_layer(self.nn, out, node_mask=node_mask, key=key)
        check_network_output(out, x.shape[0], self.out_features)
        return out


twin(GINConv, "torch_geometric.nn.GINConv", *NETWORK, TRAIN_EPS, AGGR, only=MESSAGES)
