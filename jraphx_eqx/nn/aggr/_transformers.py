import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import Option, counted, twin
from ...data import BatchVector
from .._check import check_features
from .._layer import split_key
from ._aggregation import AbstractAggregation, rows_by_graph
from ._blocks import PoolingByMultiheadAttention, SetAttentionBlock


class SetTransformerAggregation(AbstractAggregation):
    """Attention of the rows to each other, of learnt rows to these, and of the learnt ones to each
    other; the result is that of the learnt rows.

    Equal to `torch_geometric.nn.SetTransformerAggregation`. Its parameters are `encoders`, `pma`
    and `decoders`. A graph without rows is not 0: learnt rows attend to nothing.

    ??? cite

        [Graph Neural Networks with Adaptive Readouts](https://arxiv.org/abs/2211.04952), Buterez
        et al., 2022
    """

    encoders: list[SetAttentionBlock]
    pma: PoolingByMultiheadAttention
    decoders: list[SetAttentionBlock]
    features: int = eqx.field(static=True)
    concat: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        features: int,
        num_seed_points: int = 1,
        num_encoder_blocks: int = 1,
        num_decoder_blocks: int = 1,
        heads: int = 1,
        concat: bool = True,
        layer_norm: bool = False,
        dropout: float | int = 0.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `features`: the number of features of a row.
        - `num_seed_points`: the number of learnt rows.
        - `num_encoder_blocks`, `num_decoder_blocks`: how often rows attend to each other, before
            and after.
        - `heads`: the number of heads of each attention.
        - `concat`: whether the learnt rows come side by side. Otherwise they are averaged.
        - `layer_norm`: whether blocks normalise.
        - `dropout`: of the weights of attention, in training.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        """
        options = heads, layer_norm, dropout
        keys = jax.random.split(key, 3)
        self.encoders = _blocks(num_encoder_blocks, features, options, dtype, keys[0])
        self.pma = PoolingByMultiheadAttention(
            features, num_seed_points, *options, dtype=dtype, key=keys[1]
        )
        self.decoders = _blocks(num_decoder_blocks, features, options, dtype, keys[2])
        self.features = features
        self.concat = concat

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
        check_features(x, self.features, self.pma.lin.weight.dtype)
        rows, mask = rows_by_graph(x, batch, max_rows)
        first, key, last = split_key(key, 3)
        rows = _applied(self.encoders, rows, mask, first)
        rows = self.pma(rows, mask, key=key)
        rows = jnp.nan_to_num(_applied(self.decoders, rows, None, last))
        return rows.reshape(rows.shape[0], -1) if self.concat else jnp.mean(rows, axis=1)


class GraphMultisetTransformer(AbstractAggregation):
    """Attention of `k` learnt rows to those of the graph, of these to each other, and of one more
    learnt row, the result, to them.

    Equal to `torch_geometric.nn.aggr.GraphMultisetTransformer`. Its parameters are `pma1`,
    `encoders` and `pma2`. A graph without rows is not 0: learnt rows attend to nothing.

    ??? cite

        [Accurate Learning of Graph Representations with Graph Multiset
        Pooling](https://arxiv.org/abs/2102.11533), Baek et al., 2021
    """

    pma1: PoolingByMultiheadAttention
    encoders: list[SetAttentionBlock]
    pma2: PoolingByMultiheadAttention
    features: int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        features: int,
        k: int,
        num_encoder_blocks: int = 1,
        heads: int = 1,
        layer_norm: bool = False,
        dropout: float | int = 0.0,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `features`: the number of features of a row.
        - `k`: the number of learnt rows.
        - `num_encoder_blocks`: how often these attend to each other.
        - `heads`: the number of heads of each attention.
        - `layer_norm`: whether blocks normalise.
        - `dropout`: of the weights of attention, in training.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        """
        options = heads, layer_norm, dropout
        keys = jax.random.split(key, 3)
        pool, more = PoolingByMultiheadAttention, {"dtype": dtype}
        self.pma1 = pool(features, k, *options, **more, key=keys[0])
        self.encoders = _blocks(num_encoder_blocks, features, options, dtype, keys[1])
        self.pma2 = pool(features, 1, *options, **more, key=keys[2])
        self.features = features

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
    ) -> Float[Array, "segments features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        check_features(x, self.features, self.pma1.lin.weight.dtype)
        rows, mask = rows_by_graph(x, batch, max_rows)
        first, key, last = split_key(key, 3)
        rows = self.pma1(rows, mask, key=first)
        rows = _applied(self.encoders, rows, None, key)
        return self.pma2(rows, key=last)[:, 0]


def _blocks(number, features, options, dtype, key):
    keys = jax.random.split(key, number)
    return [SetAttentionBlock(features, *options, dtype=dtype, key=one) for one in keys]


def _applied(blocks, rows, mask, key):
    for block, one in zip(blocks, split_key(key, len(blocks)), strict=True):
        rows = block(rows, mask, key=one)
    return rows


def _block_options(block):
    return (
        Option("heads", at=f"{block}.attn.heads"),
        Option("layer_norm", at=f"{block}.layer_norm1", write=lambda norm: norm is not None),
        Option("dropout", at=f"{block}.attn.dropout.p"),
    )


def _width(seed):
    return seed.shape[1]


twin(
    SetTransformerAggregation,
    "torch_geometric.nn.aggr.SetTransformerAggregation",
    Option("features", "channels"),
    Option("num_seed_points", at="pma.seed", write=_width),
    counted("num_encoder_blocks", "encoders"),
    counted("num_decoder_blocks", "decoders"),
    "concat",
    *_block_options("pma.mab"),
    inference="pma.mab.attn.dropout.inference",
)
twin(
    GraphMultisetTransformer,
    "torch_geometric.nn.aggr.GraphMultisetTransformer",
    Option("features", "channels"),
    Option("k", at="pma1.seed", write=_width),
    counted("num_encoder_blocks", "encoders"),
    *_block_options("pma1.mab"),
    inference="pma1.mab.attn.dropout.inference",
)
