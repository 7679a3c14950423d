from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, Option, counted, twin
from ...data import BatchVector
from ...data._batch_vector import most_nodes
from ...ops import mask_rows
from .._check import check_features, check_positive
from .._layer import split_key
from .._linear import Linear
from ._aggregation import AbstractAggregation, rows_by_graph
from ._blocks import MultiheadAttentionBlock
from ._multi import combined

_REDUCTIONS = ("sum", "mean", "min", "max", "var", "std")


class PositionalEncoding(eqx.Module):
    """Sines and cosines of positions.

    Equal to `torch_geometric.nn.PositionalEncoding`, with its buffer `frequency`.
    """

    frequency: Float[Array, " half"]

    @python_numbers
    def __init__(self, out_features: int, *, dtype: DTypeLike | None = None):
        """**Arguments:**

        - `out_features`: the number of sines and cosines, which must be even.
        - `dtype`: of the frequencies, from 1 down to 1e-4. Default: JAX's default float dtype.
        """
        check_positive(out_features=out_features)
        if out_features % 2:
            raise ValueError(f"out_features must be even, got {out_features}")
        dtype = jnp.result_type(float) if dtype is None else dtype
        exponent = jnp.linspace(0, -4, out_features // 2, dtype=dtype)
        self.frequency = 10**exponent

    @property
    def untrained(self) -> tuple[str, ...]:
        """`("frequency",)`; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return ("frequency",)

    def __call__(self, position: Float[Array, " positions"]) -> Float[Array, "positions features"]:
        """A row for each position."""
        angle = position[:, None] * jax.lax.stop_gradient(self.frequency)[None]
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1)


class PatchTransformerAggregation(AbstractAggregation):
    """Attention among patches of neighbouring rows, which are then reduced.

    The result depends on the order of the rows.

    Equal to `torch_geometric.nn.aggr.PatchTransformerAggregation` with a `max_rows` that all rows
    fit into; it is rounded down to whole patches. PyG's own choice leaves rows out, gives NaN where
    all graphs are smaller than a patch, and lets the patches of zeros that follow the rows of
    smaller graphs take part. Without `max_rows` patches hold all rows here, and those without a row
    take no part.

    Its parameters are `lin`, `pad_projector`, `blocks` and `fc`, and the buffer `pe.frequency`.

    ??? cite

        [Simplifying Temporal Heterogeneous Network for Continuous-Time Link
        Prediction](https://doi.org/10.1145/3583780.3615059), Cong et al., 2023
    """

    lin: Linear
    pad_projector: Linear
    pe: PositionalEncoding
    blocks: list[MultiheadAttentionBlock]
    fc: Linear
    in_features: int = eqx.field(static=True)
    patch_size: int = eqx.field(static=True)
    aggrs: tuple[str, ...] = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        patch_size: int,
        hidden_features: int,
        num_transformer_blocks: int = 1,
        heads: int = 1,
        dropout: float | int = 0.0,
        aggr: str | Sequence[str] = "mean",
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`, `out_features`: the number of features of a row, and of the result.
        - `patch_size`: the number of rows in a patch.
        - `hidden_features`: the number of features in between; an even number.
        - `num_transformer_blocks`: how often patches attend to each other.
        - `heads`: the number of heads of each attention.
        - `dropout`: of the weights of attention, in training.
        - `aggr`: how patches are reduced: `"sum"`, `"mean"`, `"min"`, `"max"`, `"var"` or `"std"`,
            or several of them.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for an unknown `aggr` and an odd `hidden_features`.
        """
        check_positive(in_features=in_features, patch_size=patch_size)
        aggrs = (aggr,) if isinstance(aggr, str) else tuple(aggr)
        for name in aggrs or ("",):
            if name not in _REDUCTIONS:
                expected = ", ".join(map(repr, _REDUCTIONS))
                raise ValueError(f"aggr must hold some of {expected}, got {aggr!r}")
        *keys, blocks_key = jax.random.split(key, 4)
        widths = (
            (in_features, hidden_features),
            (patch_size * hidden_features, hidden_features),
            (hidden_features * len(aggrs), out_features),
        )
        self.lin, self.pad_projector, self.fc = (
            Linear(*pair, dtype=dtype, key=one) for pair, one in zip(widths, keys, strict=True)
        )
        self.pe = PositionalEncoding(hidden_features, dtype=dtype)
        options = hidden_features, heads, True, dropout
        self.blocks = [
            MultiheadAttentionBlock(*options, dtype=dtype, key=one)
            for one in jax.random.split(blocks_key, num_transformer_blocks)
        ]
        self.in_features = in_features
        self.patch_size = patch_size
        self.aggrs = aggrs

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
        check_features(x, self.in_features, self.lin.weight.dtype)
        x = self.lin(mask_rows(x, batch.node_mask))
        size = self.patch_size
        if max_rows is None:
            rows, mask = rows_by_graph(x, batch)
            more = -most_nodes(batch) % size or (size if not rows.shape[1] else 0)
            rows = jnp.pad(rows, ((0, 0), (0, more), (0, 0)))
            mask = jnp.pad(mask, ((0, 0), (0, more)))[:, ::size]
        else:
            if max_rows < size:
                raise ValueError(
                    f"max_rows must be at least the patch_size of {size}, got {max_rows}"
                )
            rows, _ = rows_by_graph(x, batch, max_rows // size * size)
            mask = None
        patches = self.pad_projector(rows.reshape(rows.shape[0], -1, size * rows.shape[2]))
        patches = patches + self.pe(jnp.arange(patches.shape[1], dtype=x.dtype))[None]
        for block, one in zip(self.blocks, split_key(key, len(self.blocks)), strict=True):
            patches = block(patches, patches, None, mask, key=one)
        reduce = combined if mask is None else lambda x, name: _masked(x, mask, name)
        return self.fc(jnp.concatenate([reduce(patches, name) for name in self.aggrs], axis=1))


def _masked(x: Float[Array, "sets rows features"], mask: Bool[Array, "sets rows"], name: str):
    """`combined` of the real rows; 0 where there are none. A single one has the variance 0."""
    real = mask[:, :, None]
    count = jnp.sum(mask, axis=1, keepdims=True).astype(x.dtype)
    if name in ("max", "min"):
        worst = -jnp.inf if name == "max" else jnp.inf
        return jnp.where(mask[:, :1], combined(jnp.where(real, x, worst), name), 0)
    total = jnp.sum(jnp.where(real, x, 0), axis=1)
    if name == "sum":
        return total
    mean = total / jnp.maximum(count, 1)
    if name == "mean":
        return mean
    squares = jnp.where(real, x - mean[:, None], 0) ** 2
    variance = jnp.sum(squares, axis=1) / jnp.maximum(count - 1, 1)
    if name == "var":
        return variance
    return jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))


twin(
    PatchTransformerAggregation,
    "torch_geometric.nn.aggr.PatchTransformerAggregation",
    IN,
    Option("out_features", "out_channels", at="fc.out_features"),
    "patch_size",
    Option(
        "hidden_features", "hidden_channels", at="lin.out_features", theirs_at="lin.out_features"
    ),
    counted("num_transformer_blocks", "blocks"),
    Option("heads", at="blocks.0.attn.heads", theirs_at="blocks.0.heads"),
    Option("dropout", at="blocks.0.attn.dropout.p", theirs_at="blocks.0.dropout"),
    Option("aggr", at="aggrs", theirs_at="aggrs", write=list),
    inference="blocks.0.attn.dropout.inference",
)
