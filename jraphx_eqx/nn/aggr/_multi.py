from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import Option, part, twin
from ...data import BatchVector
from .._check import check_positive
from .._layer import split_key
from .._linear import Linear
from .._multihead_attention import MultiheadAttention
from ._aggregation import AbstractAggregation
from ._resolver import aggregation_resolver

_COMBINED = ("cat", "proj", "attn", "sum", "mean", "max", "min", "logsumexp", "std", "var")


class LinearHeads(eqx.Module):
    """A linear map for each of several inputs."""

    lins: list[Linear]


class MultiAggregation(AbstractAggregation):
    """Several aggregations of the same rows, combined.

    Equal to `torch_geometric.nn.MultiAggregation`, except that PyG computes simple aggregations
    together, and then gets a wrong result for an aggregation that is there twice, and ignores the
    `semi_grad` of deviations. Its parameters are those of `aggrs`, and `lin`, or `lin_heads` and
    `multihead_attn`.

    ??? cite

        [Principal Neighbourhood Aggregation for Graph Nets](https://arxiv.org/abs/2004.05718),
        Corso et al., 2020
    """

    aggrs: list[AbstractAggregation]
    lin: Linear | None
    lin_heads: LinearHeads | None
    multihead_attn: MultiheadAttention | None
    mode: str = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        aggrs: Sequence[AbstractAggregation | str],
        aggrs_kwargs: Sequence[Mapping[str, Any]] | None = None,
        mode: str = "cat",
        mode_kwargs: Mapping[str, Any] | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        """**Arguments:**

        - `aggrs`: aggregations, or PyG's names of them.
        - `aggrs_kwargs`: for each of these the options of one that is a name.
        - `mode`: how to combine the results: `"cat"` puts them side by side, `"proj"` takes a
            linear map of that, `"attn"` lets them attend to each other and averages; `"sum"`,
            `"mean"`, `"max"`, `"min"`, `"logsumexp"`, `"std"` and `"var"` are what they are called.
        - `mode_kwargs`: for `"proj"` and `"attn"` the `in_features`, one number or one for each,
            and the `out_features`; for `"proj"` `bias`; for `"attn"` `num_heads`, `dropout` and
            `bias`.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation. Needed with `"proj"` and `"attn"` only.

        **Raises:** `ValueError` for no aggregations, an unknown name or `mode`, and options that
            are missing.
        """
        if isinstance(aggrs, str) or not aggrs:
            raise ValueError(f"aggrs must hold at least one aggregation, got {aggrs!r}")
        options = [{}] * len(aggrs) if aggrs_kwargs is None else aggrs_kwargs
        if len(options) != len(aggrs):
            raise ValueError(
                f"aggrs_kwargs must have one entry for each of {len(aggrs)} aggrs, "
                f"got {len(options)}"
            )
        if mode not in _COMBINED:
            raise ValueError(f"mode must be one of {', '.join(map(repr, _COMBINED))}, got {mode!r}")
        pairs = zip(aggrs, options, strict=True)
        self.aggrs = [aggregation_resolver(aggr, **option) for aggr, option in pairs]
        self.lin = self.lin_heads = self.multihead_attn = None
        self.mode = mode
        if mode in ("proj", "attn"):
            self._make(dict(mode_kwargs or {}), dtype, key)

    def _make(self, options, dtype, key):
        number = len(self.aggrs)
        widths, out = options.pop("in_features", None), options.pop("out_features", None)
        if number == 1 or widths is None or out is None or key is None:
            raise ValueError(
                f"mode={self.mode!r} needs at least two aggrs, key, and in_features and "
                "out_features in mode_kwargs"
            )
        widths = [widths] * number if isinstance(widths, int) else list(widths)
        check_positive(out_features=out)
        if self.mode == "proj":
            self.lin = Linear(sum(widths), out, **options, dtype=dtype, key=key)
            return
        *keys, key = jax.random.split(key, number + 1)
        lins = [Linear(w, out, dtype=dtype, key=k) for w, k in zip(widths, keys, strict=True)]
        self.lin_heads = LinearHeads(lins)
        heads = options.pop("num_heads", 1)
        self.multihead_attn = MultiheadAttention(out, heads, **options, dtype=dtype, key=key)

    @property
    def takes_rows(self) -> bool:
        """Whether one of them does."""
        return any(aggr.takes_rows for aggr in self.aggrs)

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments out_features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        *keys, key = split_key(key, len(self.aggrs) + 1)
        outs = [
            aggr.aggregate(x, batch, max_rows=max_rows, key=one)
            for aggr, one in zip(self.aggrs, keys, strict=True)
        ]
        if len(outs) == 1:
            return outs[0]
        if self.mode == "cat":
            return jnp.concatenate(outs, axis=-1)
        if self.lin is not None:
            return self.lin(jnp.concatenate(outs, axis=-1))
        if self.lin_heads is not None:
            lins = self.lin_heads.lins
            outs = [lin(out) for lin, out in zip(lins, outs, strict=True)]
        shapes = {out.shape for out in outs}
        if len(shapes) > 1:
            raise ValueError(f"aggrs must return one shape for mode={self.mode!r}, got {shapes}")
        stacked = jnp.stack(outs, axis=1)
        if self.multihead_attn is not None:
            return jnp.mean(self.multihead_attn(stacked, stacked, stacked, key=key), axis=1)
        return combined(stacked, self.mode)


def combined(x: Float[Array, "sets rows *features"], name: str) -> Float[Array, "sets *features"]:
    """The second axis reduced by a function of torch, with the gradient of torch: that of an
    extremum goes to the first, and that of a deviation of 0 is 0."""
    if name in ("max", "min"):
        search = jnp.argmax if name == "max" else jnp.argmin
        return jnp.take_along_axis(x, search(x, axis=1, keepdims=True), axis=1)[:, 0]
    if name == "logsumexp":
        return jax.nn.logsumexp(x, axis=1)
    if name in ("sum", "mean"):
        return getattr(jnp, name)(x, axis=1)
    variance = jnp.var(x, axis=1, ddof=1)
    if name == "var":
        return variance
    return jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))


def _pyg_options(module):
    options = {"in_features": module.in_channels, "out_features": module.out_channels}
    if module.mode == "proj":
        options["bias"] = module.lin.bias is not None
    elif module.mode == "attn":
        attention = module.multihead_attn
        options |= {"num_heads": attention.num_heads, "dropout": attention.dropout}
        options["bias"] = attention.in_proj_bias is not None
    return options


def _options_for_pyg(layer):
    if layer.lin is not None:
        # PyG needs to know their sum only.
        others = [1] * (len(layer.aggrs) - 1)
        widths = [layer.lin.in_features - len(others), *others]
        sizes = {"in_channels": widths, "out_channels": layer.lin.out_features}
        return {**sizes, "bias": layer.lin.bias is not None}
    if layer.lin_heads is None:
        return {}
    attention = layer.multihead_attn
    return {
        "in_channels": [lin.in_features for lin in layer.lin_heads.lins],
        "out_channels": attention.features,
        "num_heads": attention.heads,
        "dropout": attention.dropout.p,
        "bias": attention.in_proj_bias is not None,
    }


twin(
    MultiAggregation,
    "torch_geometric.nn.aggr.MultiAggregation",
    part("aggrs"),
    "mode",
    Option("mode_kwargs", at="", theirs_at="", read=_pyg_options, write=_options_for_pyg),
    inference="multihead_attn.dropout.inference",
)
