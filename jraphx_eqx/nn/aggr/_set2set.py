import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, inside, twin
from ...data import BatchVector
from ...ops import gather, mask_rows
from ...ops._attend import segment_attend
from .._check import check_features, check_positive
from .._sequences import LSTM
from ._aggregation import AbstractAggregation
from ._recurrent import UNIT


class Set2Set(AbstractAggregation):
    r"""Attends to the rows again and again, with an LSTM that asks for what it has not seen.

    $$\begin{aligned}
    \mathbf{q}_t &= \mathrm{LSTM}(\mathbf{q}_{t-1} \Vert \mathbf{r}_{t-1}) \\
    \mathbf{r}_t &= \sum_i \mathrm{softmax}(\mathbf{x}_i \cdot \mathbf{q}_t) \, \mathbf{x}_i
    \end{aligned}$$

    The result is $\mathbf{q}_T \Vert \mathbf{r}_T$, twice as wide as a row.

    Equal to `torch_geometric.nn.Set2Set`. Its parameters are those of `lstm`, an
    [`LSTM`][jraphx_eqx.nn.LSTM]. Where there are no rows $\mathbf{r}$ is 0, but $\mathbf{q}$ is
    not.

    ??? cite

        [Order Matters: Sequence to sequence for sets](https://arxiv.org/abs/1511.06391), Vinyals
        et al., 2015
    """

    lstm: LSTM
    in_features: int = eqx.field(static=True)
    processing_steps: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        processing_steps: int,
        num_layers: int = 1,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a row.
        - `processing_steps`: $T$.
        - `num_layers`, `bias`: of the [`LSTM`][jraphx_eqx.nn.LSTM].
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        """
        check_positive(in_features=in_features, processing_steps=processing_steps)
        sizes = 2 * in_features, in_features, num_layers, bias
        self.lstm = LSTM(*sizes, dtype=dtype, key=key)
        self.in_features = in_features
        self.processing_steps = processing_steps

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments out_features"]:
        """Shape `(graphs, 2 * in_features)`; see
        [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        check_features(x, self.in_features, self.lstm.parameters["weight_ih_l0"].dtype)
        x = mask_rows(x, batch.node_mask)
        shape = (batch.num_graphs, self.in_features)
        states = [self.lstm.start(shape, x.dtype) for _ in range(self.lstm.num_layers)]
        out = jnp.zeros((batch.num_graphs, 2 * self.in_features), x.dtype)
        for _ in range(self.processing_steps):
            states = self.lstm.advance(out, states)
            query = states[-1][0]
            score = jnp.sum(x * gather(query, batch.index), axis=1, keepdims=True)
            found = segment_attend(score, x, batch.index, batch.num_graphs)
            out = jnp.concatenate([query, found], axis=1)
        return out


twin(
    Set2Set,
    "torch_geometric.nn.aggr.Set2Set",
    IN,
    "processing_steps",
    *inside("lstm", *UNIT),
    only={"lstm.dropout": (0,), "lstm.proj_size": (0,), "lstm.bidirectional": (False,)},
)
