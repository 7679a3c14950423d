import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, OUT, present, twin
from .._check import check_positive
from .._entry import one_program
from .._linear import apply_linear, linear
from ..conv._sage import unit_rows
from ._dense_conv import AbstractDenseConv, degree_from_1, dense_arguments


class DenseSAGEConv(AbstractDenseConv):
    r"""The GraphSAGE operator of [`SAGEConv`][jraphx_eqx.nn.conv.SAGEConv], by adjacency matrices.

    $$\mathbf{X}' = \mathbf{D}^{-1} \mathbf{A} \mathbf{X} \mathbf{W}_1 + \mathbf{X} \mathbf{W}_2 +
    \mathbf{b}$$

    $\mathbf{D}$ has the sums of the rows of $\mathbf{A}$, 1 at least. Equal to
    `torch_geometric.nn.DenseSAGEConv`. $\mathbf{W}_1$ is `lin_rel`, and $\mathbf{W}_2, \mathbf{b}$
    are `lin_root`.
    """

    lin_rel: eqx.nn.Linear
    lin_root: eqx.nn.Linear
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    normalize: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        normalize: bool = False,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `normalize`: whether to divide each row of the result by its Euclidean norm.
        - `bias`: whether to add a learnable bias.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1.
        """
        check_positive(in_features=in_features, out_features=out_features)
        rel_key, root_key = jax.random.split(key)
        self.lin_rel = linear(in_features, out_features, False, dtype=dtype, key=rel_key)
        self.lin_root = linear(in_features, out_features, bias, dtype=dtype, key=root_key)
        self.in_features = in_features
        self.out_features = out_features
        self.normalize = normalize

    @one_program
    def __call__(
        self,
        x: Float[Array, "... nodes features"],
        adj: Float[Array, "... _rows _columns"],
        mask: Bool[Array, "..."] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "graphs nodes out_features"]:
        """As [`AbstractDenseConv`][jraphx_eqx.nn.dense.AbstractDenseConv]."""
        x, adj, mask = dense_arguments(x, adj, mask, self.in_features, self.lin_rel.weight.dtype)
        out = apply_linear(self.lin_rel, adj @ x / degree_from_1(adj))
        out = out + apply_linear(self.lin_root, x)
        return jnp.where(mask, unit_rows(out) if self.normalize else out, 0)


twin(
    DenseSAGEConv,
    "torch_geometric.nn.DenseSAGEConv",
    IN,
    OUT,
    "normalize",
    present("bias", "lin_root.bias"),
)
