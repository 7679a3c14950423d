from typing import Any

import equinox as eqx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, Option, twin
from ...data import BatchVector
from .._check import check_features, check_positive
from .._mlp import MLP
from ._aggregation import AbstractAggregation, rows_by_graph


class MLPAggregation(AbstractAggregation):
    """A multi-layer perceptron of all rows of a graph side by side, with zeros after them.

    The result depends on the order of the rows.

    Equal to `torch_geometric.nn.aggr.MLPAggregation`, but a graph with too many rows is an error;
    PyG drops the last ones. Its norms take graphs for rows of one graph; those of PyG that take a
    batch fail. Its parameters are those of `mlp`.

    ??? cite

        [Graph Neural Networks with Adaptive Readouts](https://arxiv.org/abs/2211.04952), Buterez
        et al., 2022
    """

    mlp: MLP
    in_features: int = eqx.field(static=True)
    max_num_elements: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        max_num_elements: int,
        hidden_features: int | None = None,
        num_layers: int = 1,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
        **options: Any,
    ):
        """**Arguments:**

        - `in_features`, `out_features`: the number of features of a row, and of the result.
        - `max_num_elements`: room for the rows of each graph.
        - `hidden_features`: the number of features between layers. Needed with several.
        - `num_layers`: the number of layers.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        - `options`: others of the [`MLP`][jraphx_eqx.nn.models.MLP].
        """
        check_positive(max_num_elements=max_num_elements, num_layers=num_layers)
        if num_layers > 1 and hidden_features is None:
            raise ValueError(f"hidden_features must be given with num_layers={num_layers}")
        widths = [in_features * max_num_elements, *[hidden_features] * (num_layers - 1)]
        self.mlp = MLP([*widths, out_features], **options, dtype=dtype, key=key)
        self.in_features = in_features
        self.max_num_elements = max_num_elements

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
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]. The room is
        `max_num_elements`, whatever `max_rows`."""
        check_features(x, self.in_features, self.mlp.lins[0].weight.dtype)
        rows, _ = rows_by_graph(x, batch, self.max_num_elements)
        return self.mlp(rows.reshape(rows.shape[0], -1), key=key)


twin(
    MLPAggregation,
    "torch_geometric.nn.aggr.MLPAggregation",
    IN,
    Option("out_features", "out_channels", at="mlp.features", write=lambda features: features[-1]),
    "max_num_elements",
    fixed={"num_layers": 1},
    parts=("mlp",),
)
