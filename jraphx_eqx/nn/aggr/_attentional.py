from collections.abc import Callable

from jaxtyping import Array, Float, PRNGKeyArray

from ..._twin import part, twin
from ...data import BatchVector
from ...ops import mask_rows
from ...ops._attend import segment_attend
from .._check import check_features
from .._layer import apply_layer, split_key
from .._mlp import MLP
from .._picklable import picklable
from ._aggregation import AbstractAggregation


class AttentionalAggregation(AbstractAggregation):
    r"""The sum of the rows, weighted by the softmax of what a network makes of them.

    $$\sum_i \mathrm{softmax}(h_{\mathrm{gate}}(\mathbf{x}))_i \odot h(\mathbf{x}_i)$$

    Equal to `torch_geometric.nn.AttentionalAggregation`, which was `GlobalAttention`. As there, a
    network that is an [`MLP`][jraphx_eqx.nn.models.MLP] is called `gate_mlp` or `mlp` in state
    dicts and is given the batch; others are called `gate_nn` and `nn`, and their norms take all
    rows for one graph. 0 where there are no rows.

    ??? cite

        [Graph Matching Networks for Learning the Similarity of Graph Structured
        Objects](https://arxiv.org/abs/1904.12787), Li et al., 2019
    """

    gate_nn: Callable | None
    gate_mlp: MLP | None
    nn: Callable | None
    mlp: MLP | None

    def __init__(self, gate_nn: Callable, nn: Callable | None = None):
        r"""**Arguments:**

        - `gate_nn`: $h_{\mathrm{gate}}$, a layer or function from `(rows, features)` to
            `(rows, 1)`, or to `(rows, out_features)` for a weight of each feature.
        - `nn`: $h$, from `(rows, features)` to `(rows, out_features)`. `None` leaves rows as they
            are.
        """
        self.gate_nn, self.gate_mlp = by_kind("gate_nn", gate_nn)
        self.nn, self.mlp = by_kind("nn", nn)

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
        gate_key, key = split_key(key, 2)
        x = mask_rows(x, batch.node_mask)
        gate = applied(self.gate_nn, self.gate_mlp, x, batch, gate_key)
        x = applied(self.nn, self.mlp, x, batch, key)
        if gate.shape not in ((x.shape[0], 1), x.shape):
            raise ValueError(
                f"gate_nn must return shape {(x.shape[0], 1)} or {x.shape}, got {gate.shape}"
            )
        return segment_attend(gate, x, batch.index, batch.num_graphs)


def by_kind(name: str, network: Callable | None) -> tuple[Callable | None, MLP | None]:
    """A network, and an `MLP`, of which one is `None`: PyG has two names for them."""
    if isinstance(network, MLP):
        return None, network
    if network is None:
        return None, None
    if isinstance(network, type) or not callable(network):
        raise ValueError(f"{name} must be a module or a function, got {network!r}")
    return picklable(network), None


def applied(
    network: Callable | None,
    mlp: MLP | None,
    x: Float[Array, "rows features"],
    batch: BatchVector,
    key: PRNGKeyArray | None,
) -> Float[Array, "rows out_features"]:
    """What the one of both that is there makes of the rows; `x` itself if there is none."""
    if mlp is not None:
        return apply_layer(mlp, x, batch, key=key)
    if network is None:
        return x
    return apply_layer(network, x, node_mask=batch.node_mask, key=key)


twin(
    AttentionalAggregation,
    ("torch_geometric.nn.aggr.AttentionalAggregation", "torch_geometric.nn.glob.GlobalAttention"),
    part("gate_nn", ("gate_nn", "gate_mlp")),
    part("nn", ("nn", "mlp")),
)
