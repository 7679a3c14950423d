import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import OUT, twin, width
from ...data import BatchVector, resolve_batch
from ...ops import gather, mask_rows, segment_sum, walks_by_graph
from .._check import check_edge_index, check_features, check_positive
from .._entry import one_program
from .._linear import Linear
from ._conv import ADDS


class PANConv(eqx.Module):
    r"""Path integral convolution: a weight for each number of steps of a walk.

    $$\mathbf{M} = \mathbf{Z}^{-1/2} \left( \sum_{n=0}^{L} w_0 \cdots w_n \mathbf{A}^n \right)
    \mathbf{Z}^{-1/2}, \qquad \mathbf{X}' = \mathbf{M} \mathbf{X} \mathbf{W} + \mathbf{b}$$

    $\mathbf{Z}$ has, for each node, the number of nodes from which at most $L$ steps lead to it,
    itself included. As in PyG, the factor of $\mathbf{A}^n$ is the product of the weights up to
    $w_n$.

    Equal to `torch_geometric.nn.PANConv`, which needs `torch-sparse`. That returns `M` as a matrix,
    and this its entries as edges from each column to each row, with their weights, which is what
    [`PANPooling`][jraphx_eqx.nn.pool.PANPooling] takes.

    There is room for an edge from each node to as many nodes as a graph can have, by
    `batch.max_count`.

    ??? cite

        [Path Integral Based Convolution and Pooling for Graph Neural
        Networks](https://arxiv.org/abs/2006.16811), Ma et al., 2020
    """

    weight: Float[Array, " steps"]
    lin: Linear
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    filter_size: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        filter_size: int,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `filter_size`: $L$, the largest number of steps. 0 looks at no neighbours.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1 and a negative `filter_size`.
        """
        check_positive(in_features=in_features, out_features=out_features)
        if filter_size < 0:
            raise ValueError(f"filter_size must not be negative, got {filter_size}")
        self.lin = Linear(in_features, out_features, dtype=dtype, key=key)
        self.weight = jnp.full(filter_size + 1, 0.5, self.lin.weight.dtype)
        self.in_features = in_features
        self.out_features = out_features
        self.filter_size = filter_size

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[
        Float[Array, "nodes out_features"], Int[Array, "2 all_edges"], Float[Array, " all_edges"]
    ]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`. Padding rows may hold anything.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding. Each counts as often as it is there.
        - `batch`: the graph of each node. `None` is one graph. PyG's takes none.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `key`: ignored.

        **Returns:** `(x, edge_index, edge_weight)`: the new features, and the entries of `M`, by
        source and then by target, with padding in between.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, self.lin.weight.dtype)
        check_edge_index(edge_index)
        batch, num_nodes = resolve_batch(batch, x.shape[0], size), x.shape[0]
        edges, walks = walks_by_graph(edge_index, batch, self.filter_size, x.dtype)
        joined = edges[0] < num_nodes
        degree = segment_sum(joined.astype(x.dtype), edges[1], num_nodes)
        # Each node leads to itself; padding has no edge at all.
        scale = jnp.where(degree > 0, jnp.maximum(degree, 1) ** -0.5, 0)
        weight = jnp.cumprod(self.weight) @ walks
        weight = weight * gather(scale, edges[0]) * gather(scale, edges[1])
        rows = gather(mask_rows(x, batch.node_mask), edges[0]) * weight[:, None]
        return self.lin(segment_sum(rows, edges[1], num_nodes)), edges, weight


twin(
    PANConv,
    "torch_geometric.nn.PANConv",
    width("lin.in_channels"),
    OUT,
    "filter_size",
    **ADDS,
)
