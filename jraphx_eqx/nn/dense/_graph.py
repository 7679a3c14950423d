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
from ._dense_conv import AbstractDenseConv, degree_from_1, dense_arguments


class DenseGraphConv(AbstractDenseConv):
    r"""The operator of [`GraphConv`][jraphx_eqx.nn.conv.GraphConv], by adjacency matrices.

    $$\mathbf{x}'_i = \mathbf{W}_1 \, \mathrm{aggr}_j \, a_{ij} \mathbf{x}_j + \mathbf{b} +
    \mathbf{W}_2 \mathbf{x}_i$$

    Equal to `torch_geometric.nn.DenseGraphConv`, including that the maximum, which looks at where
    weights are not 0 alone, goes over the columns of the matrix and not its rows: over $a_{ji}$. A
    mean divides by the sum of the weights, 1 at least. $\mathbf{W}_1, \mathbf{b}$ are `lin_rel`,
    and $\mathbf{W}_2$ is `lin_root`.
    """

    lin_rel: eqx.nn.Linear
    lin_root: eqx.nn.Linear
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    aggr: str = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        aggr: str = "add",
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `aggr`: `"add"`, `"mean"` or `"max"`.
        - `bias`: whether to add a learnable bias.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1 and an unknown `aggr`.
        """
        check_positive(in_features=in_features, out_features=out_features)
        if aggr not in ("add", "mean", "max"):
            raise ValueError(f"aggr must be one of 'add', 'mean', 'max', got {aggr!r}")
        rel_key, root_key = jax.random.split(key)
        self.lin_rel = linear(in_features, out_features, bias, dtype=dtype, key=rel_key)
        self.lin_root = linear(in_features, out_features, False, dtype=dtype, key=root_key)
        self.in_features = in_features
        self.out_features = out_features
        self.aggr = aggr

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
        out = _maximum(x, adj) if self.aggr == "max" else adj @ x
        if self.aggr == "mean":
            out = out / degree_from_1(adj)
        out = apply_linear(self.lin_rel, out) + apply_linear(self.lin_root, x)
        return jnp.where(mask, out, 0)


def _maximum(x, adj):
    """Over the rows that each column is joined with. Of equal ones the first has the gradient."""
    joined = (adj != 0)[:, :, :, None]
    first = jnp.argmax(jnp.where(joined, x[:, :, None], -jnp.inf), axis=1)
    out = jnp.take_along_axis(x, first, axis=1)
    return jnp.where(jnp.any(joined, axis=1), out, 0)


twin(
    DenseGraphConv,
    "torch_geometric.nn.DenseGraphConv",
    IN,
    OUT,
    "aggr",
    present("bias", "lin_rel.bias"),
)
