import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import twin
from ...data import BatchVector
from ...ops import descending_order, gather, gather_once
from .._check import check_positive
from ._aggregation import AbstractAggregation, check_matrix


class SortAggregation(AbstractAggregation):
    """The first `k` rows by their last feature, in descending order, side by side; zeros follow
    where there are fewer.

    Equal to `torch_geometric.nn.SortAggregation`, with ties by lowest index. Unlike there, rows may
    come in any order, and features are kept whatever they are: PyG pads with the smallest number of
    the batch minus 1, and makes zeros of it in the end; in float32 that is the smallest number
    itself if it is large.

    ??? cite

        [An End-to-End Deep Learning Architecture for Graph
        Classification](https://ojs.aaai.org/index.php/AAAI/article/view/11782), Zhang et al., 2018
    """

    k: int = eqx.field(static=True)

    @python_numbers
    def __init__(self, k: int):
        """**Arguments:**

        - `k`: the number of rows to keep.
        """
        check_positive(k=k)
        self.k = k

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments k_features"]:
        """Shape `(graphs, k * features)`; see
        [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        check_matrix(x)
        if not x.shape[1]:
            raise ValueError("x must have a feature to sort by, got none")
        order = descending_order(x[:, -1], batch)
        counts = batch.counts
        first = jnp.cumsum(counts) - counts
        place = jnp.arange(self.k, dtype=counts.dtype)[None]
        slot = jnp.where(place < counts[:, None], first[:, None] + place, x.shape[0])
        rows = gather(order, slot.reshape(-1), fill_value=x.shape[0])
        return gather_once(x, rows).reshape(batch.num_graphs, self.k * x.shape[1])


twin(SortAggregation, "torch_geometric.nn.aggr.SortAggregation", "k")
