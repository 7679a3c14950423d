import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import twin, width
from ...ops import (
    aggregation,
    gather,
    segment_softmax,
)
from .._activation import leaky_relu
from .._check import check_features, check_positive
from .._entry import one_program
from .._layer import apply_dropout, make_dropout
from .._linear import apply_linear, glorot, linear
from ._conv import ADDS, AbstractConv
from ._gat import ATTENTION, checked_attr, joined_heads, with_loops


class GATv2Conv(AbstractConv):
    r"""The graph attention of Brody et al., whose order of neighbours depends on the node.

    $$\mathbf{x}'_i = \sum_{j \in \mathcal{N}(i) \cup \{i\}} \alpha_{j,i} \mathbf{W}_l \mathbf{x}_j
    + \mathbf{b}, \qquad
    \alpha_{j,i} = \mathrm{softmax}_{j \in \mathcal{N}(i) \cup \{i\}} \, \mathbf{a}^\top
    \mathrm{leakyrelu}(\mathbf{W}_l \mathbf{x}_j + \mathbf{W}_r \mathbf{x}_i +
    \mathbf{W}_e \mathbf{e}_{j,i})$$

    for each head, with heads side by side or averaged. Self-loops in the graph are replaced, their
    attributes too.

    Equal to `torch_geometric.nn.GATv2Conv`, except that `edge_attr` without `edge_dim` is an
    error, and that there is no `share_weights`: make $\mathbf{W}_r$ the same as $\mathbf{W}_l$ by
    `equinox.nn.Shared`. $\mathbf{W}_l, \mathbf{W}_r$ are `lin_l`, `lin_r`, each with a bias of its
    own; $\mathbf{a}$ is `att`, of shape `(1, heads, out_features)`; $\mathbf{W}_e$ is `lin_edge`,
    the skip connection `res`, and $\mathbf{b}$ `bias`. Dropout is an `equinox.nn.Dropout`, which
    `equinox.nn.inference_mode` switches off.

    ??? cite

        [How Attentive are Graph Attention Networks?](https://arxiv.org/abs/2105.14491), Brody et
        al., 2022
    """

    lin_l: eqx.nn.Linear
    lin_r: eqx.nn.Linear
    att: Float[Array, "1 heads out_features"]
    lin_edge: eqx.nn.Linear | None
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
        - `bias`: whether to add learnable biases: $\mathbf{b}$, and those of `lin_l` and `lin_r`.
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
        keys = jax.random.split(key, 5)
        width = heads * out_features
        all_features = width if concat else out_features
        self.lin_l = linear(in_features, width, bias, "glorot", dtype, key=keys[0])
        self.lin_r = linear(in_features, width, bias, "glorot", dtype, key=keys[1])
        self.att = glorot((1, heads, out_features), dtype, key=keys[2])
        self.lin_edge = self.res = self.bias = None
        if edge_dim is not None:
            self.lin_edge = linear(edge_dim, width, False, "glorot", dtype, key=keys[3])
        if residual:
            self.res = linear(in_features, all_features, False, "glorot", dtype, key=keys[4])
        if bias:
            self.bias = jnp.zeros(all_features, self.lin_l.weight.dtype)
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
        check_features(x, self.in_features, self.lin_l.weight.dtype)
        edge_attr = checked_attr(edge_index, edge_attr, self.edge_dim, x.dtype)
        edge_index, edge_attr = with_loops(self, edge_index, edge_attr, x.shape[0])
        near, own = (self._by_head(lin, x, node_mask) for lin in (self.lin_l, self.lin_r))
        alpha = self._attention(near, own, edge_index, edge_attr)
        out = self.propagate(near, edge_index, apply_dropout(self.dropout, alpha, key))
        return joined_heads(self, out, x, node_mask)

    def _attention(self, near, own, edge_index, edge_attr):
        source, target = edge_index
        seen = gather(near, source) + gather(own, target)
        if edge_attr is not None:
            seen = seen + self._by_head(self.lin_edge, edge_attr)
        logits = jnp.sum(leaky_relu(seen, self.negative_slope) * self.att, axis=-1)
        return segment_softmax(logits, target, near.shape[0])

    def _by_head(self, lin, rows, mask=None):
        return apply_linear(lin, rows, mask).reshape(rows.shape[0], self.heads, self.out_features)


twin(
    GATv2Conv,
    "torch_geometric.nn.GATv2Conv",
    width("lin_l.in_channels"),
    *ATTENTION,
    **ADDS,
    inference="dropout.inference",
)
