from collections.abc import Callable

from jaxtyping import Array, Float, PRNGKeyArray

from ..._twin import part, twin
from ...data import BatchVector
from ...ops import mask_rows, segment_sum
from .._check import check_features
from .._layer import apply_layer, split_key
from .._mlp import MLP
from ._aggregation import AbstractAggregation
from ._attentional import applied, by_kind


class DeepSetsAggregation(AbstractAggregation):
    r"""A network of the sum of what another network makes of each row.

    $$\rho\left(\sum_i \phi(\mathbf{x}_i)\right)$$

    Equal to `torch_geometric.nn.DeepSetsAggregation`. As there, a network that is an
    [`MLP`][jraphx_eqx.nn.models.MLP] is called `local_mlp` or `global_mlp` in state dicts, others
    `local_nn` and `global_nn`; and norms in $\rho$ count graphs without rows. It is not
    0 where there are no rows, but $\rho(0)$.

    ??? cite

        [Graph Neural Networks with Adaptive Readouts](https://arxiv.org/abs/2211.04952), Buterez
        et al., 2022
    """

    local_nn: Callable | None
    local_mlp: MLP | None
    global_nn: Callable | None
    global_mlp: MLP | None

    def __init__(self, local_nn: Callable | None = None, global_nn: Callable | None = None):
        r"""**Arguments:**

        - `local_nn`: $\phi$, a layer or function from `(rows, features)` to `(rows, out_features)`.
            `None` leaves rows as they are.
        - `global_nn`: $\rho$, a layer or function of the sums.
        """
        self.local_nn, self.local_mlp = by_kind("local_nn", local_nn)
        self.global_nn, self.global_mlp = by_kind("global_nn", global_nn)

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments out_features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        check_features(x, None, None)
        local_key, global_key = split_key(key, 2)
        x = mask_rows(x, batch.node_mask)
        x = applied(self.local_nn, self.local_mlp, x, batch, local_key)
        total = segment_sum(x, batch.index, batch.num_graphs)
        network = self.global_nn if self.global_mlp is None else self.global_mlp
        return total if network is None else apply_layer(network, total, key=global_key)


twin(
    DeepSetsAggregation,
    "torch_geometric.nn.aggr.DeepSetsAggregation",
    part("local_nn", ("local_nn", "local_mlp")),
    part("global_nn", ("global_nn", "global_mlp")),
)
