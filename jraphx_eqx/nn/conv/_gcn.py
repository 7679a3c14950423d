import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import OUT, Rename, present, twin, width
from ...data import EdgeIndex, as_array
from ...ops import (
    degree,
    edge_mask,
    masked_edges,
    remove_self_loops,
    self_loop_weights,
    wide_dtype,
    without_self_loops,
)
from .._check import check_features, check_positive
from .._entry import one_program
from .._linear import add_bias, apply_linear, linear
from ._conv import ADDS, AbstractConv
from ._weight import checked_weight


class GCNConv(AbstractConv):
    r"""The graph convolution of Kipf and Welling.

    $$\mathbf{x}'_i = \mathbf{W} \sum_{j \in \mathcal{N}(i) \cup \{i\}}
    \frac{e_{j,i}}{\sqrt{d_j d_i}} \, \mathbf{x}_j + \mathbf{b}, \qquad
    d_i = \sum_{j \in \mathcal{N}(i) \cup \{i\}} e_{j,i}$$

    Nodes with a self-loop keep its weight (of several, the last counts); the others get one of
    weight 1.

    Equal to `torch_geometric.nn.GCNConv`, except for two gradients. A weight of 0 whose target has
    degree 0 gets 0, not NaN. Of several self-loops of a node, those that do not count get 0; PyG
    gives each the gradient of the one that does. PyG's `cached` is left out: under `jit` a graph
    that is a constant is normalised when it is compiled.

    $\mathbf{W}$ is `lin`, and $\mathbf{b}$ is `bias`.

    ??? cite

        [Semi-supervised Classification with Graph Convolutional
        Networks](https://arxiv.org/abs/1609.02907), Kipf and Welling, 2017
    """

    lin: eqx.nn.Linear
    bias: Float[Array, " out_features"] | None
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    improved: bool = eqx.field(static=True)
    add_self_loops: bool = eqx.field(static=True)
    normalize: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        improved: bool = False,
        add_self_loops: bool | None = None,
        normalize: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `improved`: whether new self-loops have weight 2. As in PyG, this has an effect only on
            calls with `edge_weight`.
        - `add_self_loops`: whether to add the missing self-loops. By default the same as
            `normalize`.
        - `normalize`: whether to divide by the degrees. If not, weights are taken as they are.
        - `bias`: whether to add a learnable bias.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1, and for `add_self_loops` without `normalize`.
        """
        check_positive(in_features=in_features, out_features=out_features)
        if add_self_loops and not normalize:
            raise ValueError(
                "add_self_loops=True needs normalize=True; without it, add the self-loops to "
                "edge_index, for example with jraphx_eqx.ops.add_self_loops"
            )
        self.lin = linear(in_features, out_features, False, "glorot", dtype, key=key)
        self.bias = jnp.zeros(out_features, self.lin.weight.dtype) if bias else None
        self.in_features = in_features
        self.out_features = out_features
        self.improved = improved
        self.add_self_loops = normalize if add_self_loops is None else add_self_loops
        self.normalize = normalize

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"] | EdgeIndex,
        edge_weight: Float[Array, "edges *one"] | None = None,
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding. An [`EdgeIndex`][jraphx_eqx.data.EdgeIndex] is quicker.
        - `edge_weight`: one number for each edge, shape `(edges,)` or `(edges, 1)`. 1 by default.
        - `node_mask`: which rows of `x` are nodes; see
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default.
        - `key`: ignored; all convolutions take one.

        **Returns:** shape `(nodes, out_features)`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, self.lin.weight.dtype)
        edge_weight = checked_weight(edge_index, edge_weight, x.dtype)
        x = apply_linear(self.lin, x, node_mask)
        if not self.normalize:
            return add_bias(self.propagate(x, edge_index, edge_weight), self.bias)
        # Self-loops are a separate term instead of more edges, and 1 / sqrt(d_j d_i) is two factors
        # of rows instead of a weight of each edge.
        edges, edge_weight, loop_weight, degrees = self._with_degrees(
            as_array(edge_index), edge_weight, x.shape[0], x.dtype
        )
        if isinstance(edge_index, EdgeIndex):
            neighbours = edge_index.neighbours
            if loop_weight is not None:
                neighbours = without_self_loops(neighbours)
            edges = EdgeIndex(edges, neighbours)
        rows = _divided_by_root(x, degrees)
        out = self.propagate(rows, edges, edge_weight)
        if loop_weight is not None:
            out = out + loop_weight[:, None] * rows
        return add_bias(_divided_by_root(out, degrees).astype(x.dtype), self.bias)

    def _with_degrees(self, edge_index, edge_weight, num_nodes, dtype):
        """The edges, without the self-loops if these are added, the weights of the edges and of one
        self-loop per node, and the degrees. Half precision is normalised in float32."""
        mask = edge_mask(edge_index, num_nodes)
        edge_index, edge_weight = masked_edges(edge_index, edge_weight, mask, num_nodes)
        wide = wide_dtype(dtype)
        edge_weight = None if edge_weight is None else edge_weight.astype(wide)
        loop_weight = None
        if self.add_self_loops:
            loop_weight = self._loop_weights(edge_index, edge_weight, num_nodes, wide)
            edge_index, edge_weight = remove_self_loops(edge_index, edge_weight, num_nodes)
        degrees = degree(edge_index[1], num_nodes, edge_weight, wide)
        if loop_weight is not None:
            degrees = degrees + loop_weight
        return edge_index, edge_weight, loop_weight, degrees

    def _loop_weights(self, edge_index, edge_weight, num_nodes, dtype):
        if edge_weight is None:
            return jnp.ones(num_nodes, dtype)
        return self_loop_weights(edge_index, edge_weight, num_nodes, 2 if self.improved else 1)


def _divided_by_root(x, degrees):
    """`x / sqrt(degrees)`, row by row, and 0 where the degree is 0.

    The choice between the two comes last, so that no compiler can fuse the product with the sum
    that follows and skip the rounding in between. Messages along an edge are rounded, so two
    nodes that are linked with each other only would otherwise no longer tie.
    """
    degrees = degrees[:, None]
    # Double `where`: the gradient at 0 would be infinite, and NaN in the end.
    root = jnp.sqrt(jnp.where(degrees == 0, 1, degrees))
    return jnp.where(degrees == 0, 0, 1 / root * x)


twin(
    GCNConv,
    "torch_geometric.nn.GCNConv",
    width("lin.in_channels"),
    OUT,
    "improved",
    "add_self_loops",
    "normalize",
    present("bias"),
    **ADDS,
    # Before 1.6 it took the degrees of the sources of edges, which on directed graphs is something
    # else; its parameters do not show the difference.
    renames=(Rename("2.0", {"lin.weight": ("weight", lambda weight: weight.T)}),),
)
