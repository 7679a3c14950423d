import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, OUT, present, twin
from ...data import BatchVector
from ...ops import mask_rows
from .._check import check_features, check_positive
from .._linear import Linear
from .._recurrent import GRUCell, gates_of, gru_step
from ._aggregation import AbstractAggregation, rows_by_graph


class LCMAggregation(AbstractAggregation):
    r"""Joins neighbouring rows in pairs, and what comes of them in pairs, until one row is left.

    A pair is joined by a learnt commutative operation,
    $\frac{1}{2} (\mathrm{GRU}(\mathbf{a}, \mathbf{b}) + \mathrm{GRU}(\mathbf{b}, \mathbf{a}))$. A
    row that has no partner goes on as it is. The result depends on the order of the rows.

    Equal to `torch_geometric.nn.LCMAggregation` with `max_rows`. PyG's joins the zeros that follow
    the rows of all but the largest graph of a batch, so that the result for a graph depends on the
    others; without `max_rows` it does not here, and is 0 where there are no rows. Its parameters
    are `lin` and `gru_cell`.

    ??? cite

        [Learnable Commutative Monoids for Graph Neural
        Networks](https://arxiv.org/abs/2212.08541), Ong and Veličković, 2022
    """

    lin: Linear | None
    gru_cell: GRUCell
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        project: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `out_features`: the number of features of a row, before and after.
        - `project`: whether rows go through a linear map and ReLU first.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for different numbers of features without `project`.
        """
        check_positive(in_features=in_features, out_features=out_features)
        if in_features != out_features and not project:
            raise ValueError(
                f"project must be True where in_features and out_features differ, got "
                f"{in_features} and {out_features}"
            )
        lin_key, gru_key = jax.random.split(key)
        made = Linear(in_features, out_features, dtype=dtype, key=lin_key) if project else None
        self.lin = made
        self.gru_cell = GRUCell(out_features, out_features, dtype=dtype, key=gru_key)
        self.in_features = in_features
        self.out_features = out_features

    @property
    def takes_rows(self) -> bool:
        """True."""
        return True

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments out_features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        check_features(x, self.in_features, self.gru_cell.weight_ih.dtype)
        x = mask_rows(x, batch.node_mask)
        if self.lin is not None:
            x = jax.nn.relu(self.lin(x))
        rows, mask = rows_by_graph(x, batch, max_rows)
        if not rows.shape[1]:
            return jnp.zeros((batch.num_graphs, self.out_features), x.dtype)
        while rows.shape[1] > 1:
            pairs = rows.shape[1] // 2
            joined = self._joined(rows[:, : 2 * pairs])
            if max_rows is None:
                left, is_pair = rows[:, : 2 * pairs : 2], mask[:, 1 : 2 * pairs : 2, None]
                joined = jnp.where(is_pair, joined, left)
            rows = jnp.concatenate([joined, rows[:, 2 * pairs :]], axis=1)
            mask = jnp.concatenate([mask[:, : 2 * pairs : 2], mask[:, 2 * pairs :]], axis=1)
        return rows[:, 0]

    def _joined(self, rows):
        """Neighbours, both in both roles, in one call."""
        cell = self.gru_cell
        pairs = rows.reshape(rows.shape[0], -1, 2, rows.shape[2])
        from_x = gates_of(pairs, cell.weight_ih, cell.bias_ih)
        others = jnp.flip(pairs, axis=2)
        from_h = gates_of(others, cell.weight_hh, cell.bias_hh)
        return jnp.mean(gru_step(from_x, from_h, others), axis=2)


twin(
    LCMAggregation,
    "torch_geometric.nn.aggr.LCMAggregation",
    IN,
    OUT,
    present("project", "lin"),
)
