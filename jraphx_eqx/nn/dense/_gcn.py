import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, OUT, present, twin
from .._check import check_positive
from .._entry import one_program
from .._linear import add_bias, linear, product
from ._dense_conv import AbstractDenseConv, degree_from_1, dense_arguments, with_loops


class DenseGCNConv(AbstractDenseConv):
    r"""The graph convolution of [`GCNConv`][jraphx_eqx.nn.conv.GCNConv], by adjacency matrices.

    $$\mathbf{X}' = \mathbf{D}^{-1/2} \hat{\mathbf{A}} \mathbf{D}^{-1/2} \mathbf{X} \mathbf{W} +
    \mathbf{b}$$

    $\hat{\mathbf{A}}$ has 1 on its diagonal, whatever was there, and $\mathbf{D}$ has the sums of
    its rows, 1 at least. Equal to `torch_geometric.nn.DenseGCNConv`.
    """

    lin: eqx.nn.Linear
    bias: Float[Array, " out_features"] | None
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    improved: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        improved: bool = False,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `improved`: whether the diagonal is 2 instead of 1.
        - `bias`: whether to add a learnable bias.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1.
        """
        check_positive(in_features=in_features, out_features=out_features)
        self.lin = linear(in_features, out_features, False, "glorot", dtype, key=key)
        self.bias = jnp.zeros(out_features, self.lin.weight.dtype) if bias else None
        self.in_features = in_features
        self.out_features = out_features
        self.improved = improved

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
        """As [`AbstractDenseConv`][jraphx_eqx.nn.dense.AbstractDenseConv]; without `add_loop` the
        diagonal stays as it is."""
        x, adj, mask = dense_arguments(x, adj, mask, self.in_features, self.lin.weight.dtype)
        if add_loop:
            adj = with_loops(adj, 2 if self.improved else 1)
        scale = degree_from_1(adj) ** -0.5
        adj = scale * adj * jnp.swapaxes(scale, 1, 2)
        return jnp.where(mask, add_bias(adj @ product(self.lin, x), self.bias), 0)


twin(DenseGCNConv, "torch_geometric.nn.DenseGCNConv", IN, OUT, "improved", present("bias"))
