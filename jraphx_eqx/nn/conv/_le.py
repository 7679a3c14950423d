import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import OUT, present, twin, width
from ...ops import degree, edge_mask
from .._check import check_features, check_positive
from .._entry import one_program
from .._linear import apply_linear, linear
from ._conv import ADDS, AbstractConv
from ._weight import checked_weight


class LEConv(AbstractConv):
    r"""The local extremum operator, which compares a node with its neighbours.

    $$\mathbf{x}'_i = \mathbf{W}_3 \mathbf{x}_i + \mathbf{b}_3 + \sum_{j \in \mathcal{N}(i)} e_{j,i}
    \left(\mathbf{W}_1 \mathbf{x}_j + \mathbf{b}_1 - \mathbf{W}_2 \mathbf{x}_i\right)$$

    Equal to `torch_geometric.nn.LEConv`, whose `lin1`, `lin2` and `lin3` it has. The bias
    $\mathbf{b}_1$ counts once for each edge.

    ??? cite

        [ASAP: Adaptive Structure Aware Pooling for Learning Hierarchical Graph
        Representations](https://arxiv.org/abs/1911.07979), Ranjan et al., 2020
    """

    lin1: eqx.nn.Linear
    lin2: eqx.nn.Linear
    lin3: eqx.nn.Linear
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `bias`: whether to add $\mathbf{b}_1$ and $\mathbf{b}_3$.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1.
        """
        check_positive(in_features=in_features, out_features=out_features)
        first, second, third = jax.random.split(key, 3)
        self.lin1 = linear(in_features, out_features, bias, dtype=dtype, key=first)
        self.lin2 = linear(in_features, out_features, False, dtype=dtype, key=second)
        self.lin3 = linear(in_features, out_features, bias, dtype=dtype, key=third)
        self.in_features = in_features
        self.out_features = out_features

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_weight: Float[Array, "edges *one"] | None = None,
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding.
        - `edge_weight`: one number for each edge, shape `(edges,)` or `(edges, 1)`. 1 by default.
        - `node_mask`: which rows of `x` are nodes; see
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default.
        - `key`: ignored; all convolutions take one.

        **Returns:** shape `(nodes, out_features)`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, self.lin1.weight.dtype)
        edge_weight = checked_weight(edge_index, edge_weight, x.dtype)
        num_nodes = x.shape[0]
        near, own, root = (
            apply_linear(lin, x, node_mask) for lin in (self.lin1, self.lin2, self.lin3)
        )
        target = jnp.where(edge_mask(edge_index, num_nodes), edge_index[1], num_nodes)
        total = degree(target, num_nodes, edge_weight, x.dtype)
        return self.propagate(near, edge_index, edge_weight) - total[:, None] * own + root


twin(
    LEConv,
    "torch_geometric.nn.LEConv",
    width("lin1.in_channels"),
    OUT,
    present("bias", "lin1.bias"),
    **ADDS,
)
