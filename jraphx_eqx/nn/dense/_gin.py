from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import twin
from .._check import check_positive, check_rows
from .._entry import one_program
from .._layer import apply_layer
from ..conv._conv import NETWORK, TRAIN_EPS
from ._dense_conv import AbstractDenseConv, dense_arguments


class DenseGINConv(AbstractDenseConv):
    r"""The graph isomorphism operator of [`GINConv`][jraphx_eqx.nn.conv.GINConv], by adjacency
    matrices.

    $$\mathbf{X}' = h\left(\mathbf{A} \mathbf{X} + (1 + \epsilon) \mathbf{X}\right)$$

    Equal to `torch_geometric.nn.DenseGINConv`. $h$ is `nn`, which gets the nodes of all graphs as
    rows; $\epsilon$ is `eps`, of shape `(1,)`, which gets no gradient unless `train_eps`.
    """

    nn: Callable
    eps: Float[Array, " one"]
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    train_eps: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        nn: Callable,
        eps: float | int = 0.0,
        train_eps: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:** as [`GINConv`][jraphx_eqx.nn.conv.GINConv], without `aggr`."""
        check_positive(in_features=in_features, out_features=out_features)
        if isinstance(nn, type) or not callable(nn):
            raise ValueError(f"nn must be a module or a function, got {nn!r}")
        self.nn = nn
        self.eps = jnp.full(1, eps, jnp.result_type(float) if dtype is None else dtype)
        self.in_features = in_features
        self.out_features = out_features
        self.train_eps = train_eps

    @property
    def untrained(self) -> tuple[str, ...]:
        """`("eps",)` unless `train_eps`; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return () if self.train_eps else ("eps",)

    @one_program
    def __call__(
        self,
        x: Float[Array, "... nodes features"],
        adj: Float[Array, "... _rows _columns"],
        mask: Bool[Array, "..."] | None = None,
        add_loop: bool = True,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "graphs nodes out_features"]:
        """As [`AbstractDenseConv`][jraphx_eqx.nn.dense.AbstractDenseConv]; `add_loop` is whether a
        node is added to its neighbours."""
        x, adj, mask = dense_arguments(x, adj, mask, self.in_features, self.eps.dtype)
        eps = self.eps if self.train_eps else jax.lax.stop_gradient(self.eps)
        out = adj @ x
        if add_loop:
            out = out + (1 + eps[:, None, None]) * x
        rows = out.reshape(-1, self.in_features)
        rows = apply_layer(self.nn, rows, node_mask=mask.reshape(-1), key=key)
        check_rows(rows, mask.size, "what nn returns", "nodes")
        return jnp.where(mask, rows.reshape(*mask.shape[:2], -1), 0)


twin(DenseGINConv, "torch_geometric.nn.DenseGINConv", *NETWORK, TRAIN_EPS)
