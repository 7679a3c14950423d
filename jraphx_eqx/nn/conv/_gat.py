from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import DROPOUT, OUT, Option, Rename, number, present, twin, width
from ...ops import (
    add_self_loops,
    aggregation,
    edge_mask,
    gather,
    masked_edges,
    remove_self_loops,
    segment_softmax,
)
from .._activation import leaky_relu
from .._check import (
    check_dtype,
    check_edge_attr,
    check_edge_index,
    check_features,
    check_positive,
)
from .._entry import one_program
from .._layer import apply_dropout, make_dropout
from .._linear import add_bias, apply_linear, glorot, linear
from ._conv import ADDS, AbstractConv


class GATConv(AbstractConv):
    r"""The graph attention of Veličković et al.

    $$\mathbf{x}'_i = \sum_{j \in \mathcal{N}(i) \cup \{i\}} \alpha_{j,i} \mathbf{W} \mathbf{x}_j +
    \mathbf{b}, \qquad
    \alpha_{j,i} = \mathrm{softmax}_{j \in \mathcal{N}(i) \cup \{i\}} \,
    \mathrm{leakyrelu}(\mathbf{a}_s^\top \mathbf{W} \mathbf{x}_j +
    \mathbf{a}_t^\top \mathbf{W} \mathbf{x}_i + \mathbf{a}_e^\top \mathbf{W}_e \mathbf{e}_{j,i})$$

    for each head, with heads side by side or averaged. Self-loops in the graph are replaced, their
    attributes too.

    Equal to `torch_geometric.nn.GATConv`, except that `edge_attr` without `edge_dim` is an error:
    PyG ignores it. $\mathbf{W}$ is `lin`; $\mathbf{a}_s, \mathbf{a}_t, \mathbf{a}_e$ are `att_src`,
    `att_dst`, `att_edge`, of shape `(1, heads, out_features)`; $\mathbf{W}_e$ is `lin_edge`, the
    skip connection `res`, and $\mathbf{b}$ `bias`. Dropout is an `equinox.nn.Dropout`, which
    `equinox.nn.inference_mode` switches off.

    ??? cite

        [Graph Attention Networks](https://arxiv.org/abs/1710.10903), Veličković et al., 2018
    """

    lin: eqx.nn.Linear
    att_src: Float[Array, "1 heads out_features"]
    att_dst: Float[Array, "1 heads out_features"]
    lin_edge: eqx.nn.Linear | None
    att_edge: Float[Array, "1 heads out_features"] | None
    res: eqx.nn.Linear | None
    bias: Float[Array, " all_features"] | None
    dropout: eqx.nn.Dropout
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    heads: int = eqx.field(static=True)
    concat: bool = eqx.field(static=True)
    negative_slope: float = eqx.field(static=True)
    add_self_loops: bool = eqx.field(static=True)
    edge_dim: int | None = eqx.field(static=True)
    fill_value: float | str = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float | int = 0.2,
        dropout: float | int = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: float | int | str = "mean",
        bias: bool = True,
        residual: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node.
        - `out_features`: the number of new features per head.
        - `heads`: the number of heads.
        - `concat`: whether heads are put side by side, which makes `heads * out_features` features,
            or averaged.
        - `negative_slope`: of the leaky relu.
        - `dropout`: the probability in [0, 1) that an attention coefficient is dropped in training.
        - `add_self_loops`: whether to replace the self-loops of the graph by one for each node.
        - `edge_dim`: the number of attributes of an edge, if there are any to use.
        - `fill_value`: the attributes of the new self-loops: a number, or how to reduce those of
            the edges that point at the node, `"mean"`, `"add"` or `"sum"`, `"max"`, `"min"`.
        - `bias`: whether to add a learnable bias.
        - `residual`: whether to add a learnable linear map of $\mathbf{x}_i$.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1, an unknown `fill_value`, and a `dropout`
        outside [0, 1).
        """
        check_positive(in_features=in_features, out_features=out_features, heads=heads)
        if edge_dim is not None:
            check_positive(edge_dim=edge_dim)
        if isinstance(fill_value, str):
            aggregation(fill_value, argument="fill_value")
        keys = jax.random.split(key, 6)
        width = heads * out_features
        att_shape = (1, heads, out_features)
        all_features = width if concat else out_features
        self.lin = linear(in_features, width, False, "glorot", dtype, key=keys[0])
        self.att_src = glorot(att_shape, dtype, key=keys[1])
        self.att_dst = glorot(att_shape, dtype, key=keys[2])
        self.lin_edge = self.att_edge = self.res = self.bias = None
        if edge_dim is not None:
            self.lin_edge = linear(edge_dim, width, False, "glorot", dtype, key=keys[3])
            self.att_edge = glorot(att_shape, dtype, key=keys[4])
        if residual:
            self.res = linear(in_features, all_features, False, "glorot", dtype, key=keys[5])
        if bias:
            self.bias = jnp.zeros(all_features, self.lin.weight.dtype)
        self.dropout = make_dropout(dropout)
        self.in_features = in_features
        self.out_features = out_features
        self.heads = heads
        self.concat = concat
        self.negative_slope = float(negative_slope)
        self.add_self_loops = add_self_loops
        self.edge_dim = edge_dim
        self.fill_value = fill_value if isinstance(fill_value, str) else float(fill_value)

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Float[Array, "edges *edge_features"] | None = None,
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes all_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding.
        - `edge_attr`: edge attributes, shape `(edges, edge_dim)`, or `(edges,)` if `edge_dim` is 1.
            Without them, edges do not count in the attention, even if `edge_dim` is given.
        - `node_mask`: which rows of `x` are nodes; see
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default.
        - `key`: for dropout. Needed in training if there is any.

        **Returns:** shape `(nodes, heads * out_features)`, or `(nodes, out_features)` without
        `concat`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer, and if `key` is
        missing.
        """
        check_features(x, self.in_features, self.lin.weight.dtype)
        edge_attr = checked_attr(edge_index, edge_attr, self.edge_dim, x.dtype)
        edge_index, edge_attr = with_loops(self, edge_index, edge_attr, x.shape[0])
        heads = self._by_head(self.lin, x, node_mask)
        alpha = self._attention(heads, edge_index, edge_attr)
        out = self.propagate(heads, edge_index, apply_dropout(self.dropout, alpha, key))
        return joined_heads(self, out, x, node_mask)

    def _attention(self, heads, edge_index, edge_attr):
        source, target = edge_index
        logits = gather(jnp.sum(heads * self.att_src, axis=-1), source)
        logits = logits + gather(jnp.sum(heads * self.att_dst, axis=-1), target)
        if edge_attr is not None and self.att_edge is not None:
            edges = self._by_head(self.lin_edge, edge_attr)
            logits = logits + jnp.sum(edges * self.att_edge, axis=-1)
        return segment_softmax(leaky_relu(logits, self.negative_slope), target, heads.shape[0])

    def _by_head(self, lin, rows, mask=None):
        return apply_linear(lin, rows, mask).reshape(rows.shape[0], self.heads, self.out_features)


def with_loops(
    layer: Any, edge_index: Array, edge_attr: Array | None, num_nodes: int
) -> tuple[Array, Array | None]:
    """The edges that a layer attends to: with one loop for each node, if it asks for them."""
    mask = edge_mask(edge_index, num_nodes)
    edge_index, edge_attr = masked_edges(edge_index, edge_attr, mask, num_nodes)
    if not layer.add_self_loops:
        return edge_index, edge_attr
    edge_index, edge_attr = remove_self_loops(edge_index, edge_attr, num_nodes)
    return add_self_loops(edge_index, edge_attr, num_nodes, layer.fill_value)


def joined_heads(
    layer: Any, out: Array, x: Array, node_mask: Array | None
) -> Float[Array, "nodes all_features"]:
    """Heads side by side or averaged, the skip connection and the bias of a layer."""
    nodes, heads, features = out.shape
    rows = out.reshape(nodes, heads * features) if layer.concat else jnp.mean(out, axis=1)
    if layer.res is not None:
        rows = rows + apply_linear(layer.res, x, node_mask)
    return add_bias(rows, layer.bias)


def checked_attr(
    edge_index: Array, edge_attr: Array | None, edge_dim: int | None, dtype: np.dtype
) -> Float[Array, "edges edge_features"] | None:
    """`edge_attr` as `(edges, edge_dim)`; raises unless it fits the edges and the layer."""
    check_edge_index(edge_index)
    check_edge_attr(edge_attr, edge_index)
    if edge_attr is None:
        return None
    if edge_dim is None:
        raise ValueError(
            "edge_attr must be None for a layer without edge_dim; give edge_dim= when the layer is "
            "made"
        )
    columns = edge_attr[:, None] if edge_attr.ndim == 1 else edge_attr
    if columns.shape[1:] != (edge_dim,):
        raise ValueError(
            f"edge_attr must have shape (edges, {edge_dim}), as given by edge_dim, "
            f"got {edge_attr.shape}"
        )
    check_dtype(columns, dtype, "edge_attr")
    return columns


ATTENTION = (
    OUT,
    "heads",
    "concat",
    "negative_slope",
    DROPOUT,
    "add_self_loops",
    Option("edge_dim", theirs_at="lin_edge.in_channels"),
    number("fill_value"),
    present("bias"),
    present("residual", "res"),
)


def _half(start):
    # The first half was for the target of an edge.
    def of(att):
        half = att.shape[-1] // 2
        return att[..., start * half : (start + 1) * half]

    return of


twin(
    GATConv,
    "torch_geometric.nn.GATConv",
    width("lin.in_channels"),
    *ATTENTION,
    **ADDS,
    inference="dropout.inference",
    renames=(
        Rename(
            "1.5",
            {
                "lin.weight": ("weight", lambda weight: weight.T),
                "att_src": ("att", _half(1)),
                "att_dst": ("att", _half(0)),
            },
        ),
        Rename("1.6", {"att_dst": "att_i", "att_src": "att_j"}),
        # One layer under two names, unless it was made for bipartite graphs.
        Rename(
            "2.0",
            {"lin.weight": "lin_l.weight", "att_src": "att_l", "att_dst": "att_r"},
            same={"lin_r.weight": "lin_l.weight"},
        ),
        Rename("2.5", {"lin.weight": "lin_src.weight"}, same={"lin_dst.weight": "lin_src.weight"}),
    ),
)
