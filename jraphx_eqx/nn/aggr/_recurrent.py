import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import Option, inside, twin
from ...data import BatchVector
from .._check import check_features
from .._sequences import GRU, LSTM
from ._aggregation import AbstractAggregation, rows_by_graph


class LSTMAggregation(AbstractAggregation):
    """The last output of an LSTM that reads the rows in their order.

    Equal to `torch_geometric.nn.LSTMAggregation` with `max_rows`. PyG's reads the zeros that follow
    the rows of all but the largest graph of a batch, so that the result for a graph depends on the
    others; without `max_rows` it ends with the last row here, and is 0 where there are none. Its
    parameters are those of `lstm`, an [`LSTM`][jraphx_eqx.nn.LSTM].

    ??? cite

        [Inductive Representation Learning on Large Graphs](https://arxiv.org/abs/1706.02216),
        Hamilton et al., 2017
    """

    lstm: LSTM

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `out_features`: the number of features of a row, and of the state.
        - `num_layers`, `bias`, `bidirectional`: of the [`LSTM`][jraphx_eqx.nn.LSTM].
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        """
        options = num_layers, bias, bidirectional
        self.lstm = LSTM(in_features, out_features, *options, dtype=dtype, key=key)

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
        return _last_output(self.lstm, x, batch, max_rows)


class GRUAggregation(AbstractAggregation):
    """The last output of a GRU that reads the rows in their order.

    Equal to `torch_geometric.nn.GRUAggregation` with `max_rows`; apart from the unit as
    [`LSTMAggregation`][jraphx_eqx.nn.aggr.LSTMAggregation]. Its parameters are those of `gru`, a
    [`GRU`][jraphx_eqx.nn.GRU].

    ??? cite

        [Graph Neural Networks with Adaptive Readouts](https://arxiv.org/abs/2211.04952), Buterez
        et al., 2022
    """

    gru: GRU

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as [`LSTMAggregation`][jraphx_eqx.nn.aggr.LSTMAggregation]."""
        options = num_layers, bias, bidirectional
        self.gru = GRU(in_features, out_features, *options, dtype=dtype, key=key)

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
        return _last_output(self.gru, x, batch, max_rows)


def _last_output(unit, x, batch, max_rows):
    check_features(x, unit.in_features, unit.parameters["weight_ih_l0"].dtype)
    rows, mask = rows_by_graph(x, batch, max_rows)
    if max_rows is not None:
        return unit(rows)[:, -1]
    if not rows.shape[1]:
        width = unit.hidden_features * (2 if unit.bidirectional else 1)
        return jnp.zeros((batch.num_graphs, width), x.dtype)
    out = unit(rows, mask)
    last = jnp.maximum(jnp.sum(mask, axis=1, dtype=jnp.int32) - 1, 0)
    return jnp.take_along_axis(out, last[:, None, None], axis=1)[:, 0]


# What a twin says of its LSTM or GRU.
UNIT = (
    Option(
        "bias",
        at="parameters",
        theirs_at="bias",
        write=lambda parameters: "bias_ih_l0" in parameters,
    ),
    "num_layers",
)
for _ours, _unit in ((LSTMAggregation, "lstm"), (GRUAggregation, "gru")):
    twin(
        _ours,
        f"torch_geometric.nn.aggr.{_ours.__name__}",
        Option("in_features", "in_channels", at=f"{_unit}.in_features"),
        Option("out_features", "out_channels", at=f"{_unit}.hidden_features"),
        *inside(_unit, *UNIT, "bidirectional"),
        only={f"{_unit}.dropout": (0,), f"{_unit}.proj_size": (0,)},
    )
