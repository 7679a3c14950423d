import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import DROPOUT, IN, OUT, present, twin
from .._activation import leaky_relu
from .._check import check_positive
from .._entry import one_program
from .._layer import apply_dropout, make_dropout
from .._linear import add_bias, glorot, linear, product
from ._dense_conv import AbstractDenseConv, dense_arguments, with_loops


class DenseGATConv(AbstractDenseConv):
    r"""The graph attention of [`GATConv`][jraphx_eqx.nn.conv.GATConv], by adjacency matrices.

    $$\mathbf{x}'_i = \sum_j \alpha_{ij} \mathbf{W} \mathbf{x}_j + \mathbf{b}, \qquad
    \alpha_{ij} = \mathrm{softmax}_j\left(\mathrm{LeakyReLU}\left(\mathbf{a}_s^\top \mathbf{W}
    \mathbf{x}_j + \mathbf{a}_t^\top \mathbf{W} \mathbf{x}_i\right)\right)$$

    $j$ are the nodes with a weight in row $i$ of the matrix, and $i$ itself; the weights play no
    part. Equal to `torch_geometric.nn.DenseGATConv`, except that a node without any neighbour,
    without `add_loop`, has no attention here, where PyG's row is NaN, also outside of the mask.
    """

    lin: eqx.nn.Linear
    att_src: Float[Array, "1 1 heads out_features"]
    att_dst: Float[Array, "1 1 heads out_features"]
    bias: Float[Array, " all_features"] | None
    dropout: eqx.nn.Dropout
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)
    concat: bool = eqx.field(static=True)
    negative_slope: float | int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float | int = 0.2,
        dropout: float | int = 0.0,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:** as [`GATConv`][jraphx_eqx.nn.conv.GATConv], which has some more."""
        check_positive(in_features=in_features, out_features=out_features, heads=heads)
        keys, width = jax.random.split(key, 3), heads * out_features
        self.lin = linear(in_features, width, False, "glorot", dtype, key=keys[0])
        self.att_src = glorot((1, 1, heads, out_features), dtype, key=keys[1])
        self.att_dst = glorot((1, 1, heads, out_features), dtype, key=keys[2])
        all_features = width if concat else out_features
        self.bias = jnp.zeros(all_features, self.lin.weight.dtype) if bias else None
        self.dropout = make_dropout(dropout)
        self.in_features = in_features
        self.out_features = out_features
        self.heads = heads
        self.concat = concat
        self.negative_slope = negative_slope

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
            adj = with_loops(adj, 1)
        x = product(self.lin, x).reshape(*x.shape[:2], self.heads, self.out_features)
        source, target = (jnp.sum(x * att, axis=3) for att in (self.att_src, self.att_dst))
        score = leaky_relu(source[:, None] + target[:, :, None], self.negative_slope)
        share = _softmax(score, (adj != 0)[:, :, :, None])
        share = apply_dropout(self.dropout, share, key)
        out = jnp.einsum("gijh,gjhf->gihf", share, x)
        out = out.reshape(*out.shape[:2], -1) if self.concat else jnp.mean(out, axis=2)
        return jnp.where(mask, add_bias(out, self.bias), 0)


def _softmax(score, joined):
    """Over the third axis, of what is joined; 0 where nothing is."""
    score = jnp.where(joined, score, -jnp.inf)
    largest = jax.lax.stop_gradient(jnp.max(score, axis=2, keepdims=True))
    largest = jnp.where(jnp.isfinite(largest), largest, 0)
    weight = jnp.exp(score - largest)
    total = jnp.sum(weight, axis=2, keepdims=True)
    return weight / jnp.where(total > 0, total, 1)


twin(
    DenseGATConv,
    "torch_geometric.nn.DenseGATConv",
    IN,
    OUT,
    "heads",
    "concat",
    "negative_slope",
    DROPOUT,
    present("bias"),
    inference="dropout.inference",
)
