from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, Option, Rename, inside, present, twin
from ...data import BatchVector
from ...ops import mask_rows
from .._check import check_positive
from .._entry import one_program
from .._layer import resolve_rows
from ._norm import AbstractNorm, entering, leaving
from ._statistics import latest, remember


class BatchNorm1d(AbstractNorm):
    r"""Normalises each feature over all nodes of a batch, or by running statistics.

    $$\mathbf{x}'_i = \frac{\mathbf{x}_i - \mathrm{E}[\mathbf{x}]}
    {\sqrt{\mathrm{Var}[\mathbf{x}] + \epsilon}} \odot \gamma + \beta$$

    Equal to `torch.nn.BatchNorm1d` on `(nodes, features)`. $\gamma$ is `weight`, $\beta$ is `bias`;
    `running_mean`, `running_var` and `num_batches_tracked` are arrays of the module, under their
    names in PyTorch. Unlike there, a batch of one node in training is not an error, because the
    number of nodes may be known at run time only: its variance is 0.

    In training the statistics are those of the nodes. After `equinox.nn.inference_mode` they are
    the running ones, if there are any. A call changes no running statistic; that is done by
    [`update`][jraphx_eqx.nn.norm.BatchNorm1d.update], which returns a new layer, or for a whole
    model by [`call_and_update`][jraphx_eqx.nn.norm.call_and_update]. No gradient reaches them. As
    arrays of the module they should be hidden from optimisers with weight decay, by
    [`trainable`][jraphx_eqx.nn.trainable].

    ??? cite

        [Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
        Shift](https://arxiv.org/abs/1502.03167), Ioffe and Szegedy, 2015
    """

    weight: Float[Array, " features"] | None
    bias: Float[Array, " features"] | None
    running_mean: Float[Array, " features"] | None
    running_var: Float[Array, " features"] | None
    num_batches_tracked: Int[Array, ""] | None
    inference: bool
    in_features: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)
    momentum: float | None = eqx.field(static=True)
    slot: int | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        eps: float | int = 1e-5,
        momentum: float | int | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        inference: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node.
        - `eps`: $\epsilon$.
        - `momentum`: the weight of a batch in the running statistics; `None` weighs all batches
            evenly.
        - `affine`: whether there are $\gamma$ and $\beta$.
        - `track_running_stats`: whether there are running statistics. Without, those of the nodes
            are used in inference too.
        - `inference`: whether to use the running statistics.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: ignored; nothing is random.
        """
        check_positive(in_features=in_features)
        dtype = jnp.result_type(float) if dtype is None else dtype
        self.weight = jnp.ones(in_features, dtype) if affine else None
        self.bias = jnp.zeros(in_features, dtype) if affine else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean = jnp.zeros(in_features, dtype)
            self.running_var = jnp.ones(in_features, dtype)
            self.num_batches_tracked = jnp.zeros((), jnp.result_type(int))
        self.inference = inference
        self.in_features = in_features
        self.eps = float(eps)
        self.momentum = None if momentum is None else float(momentum)
        self.slot = None

    @property
    def untrained(self) -> tuple[str, ...]:
        """The running statistics; see [`trainable`][jraphx_eqx.nn.trainable]."""
        return () if self.running_mean is None else ("running_mean", "running_var")

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `batch`: the graph of each node, which marks padding; all nodes count together. Without
            it, there is no padding.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `node_mask`: instead of `batch`, which rows of `x` are nodes; all are of one graph then.
        - `key`: ignored.

        **Returns:** an array like `x`.
        """
        return self.normalise(x, batch, size, node_mask)

    def normalise(
        self,
        x: Float[Array, "nodes features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        size: int | None = None,
        node_mask: Bool[Array, " nodes"] | None = None,
        allow_single_element: bool = False,
    ) -> Float[Array, "nodes features"]:
        """The call; with `allow_single_element` a batch of one node is normalised by the running
        statistics, and does not count in them."""
        _, mask = resolve_rows(batch, x.shape[0], size, node_mask)
        wide = entering(x, mask, self.in_features, self._some_array())
        if self.running_mean is None or not self.inference:
            mean, variance, count = _statistics(wide, mask)
            if self.running_mean is not None:
                before = latest(self)
                after = _updated(before, mean, variance, count)
                if allow_single_element:
                    after = _choose(count > 1, after, before)
                    running_mean, running_var = _running(before, wide.dtype)
                    mean = jnp.where(count > 1, mean, running_mean)
                    variance = jnp.where(count > 1, variance, running_var)
                remember(self, after)
        else:
            mean, variance = _running(self, wide.dtype)
        normalised = (wide - mean[None]) / jnp.sqrt(variance + self.eps)[None]
        return leaving(normalised, x, mask, self.weight, self.bias)

    def update(
        self,
        x: Float[Array, "nodes features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        node_mask: Bool[Array, " nodes"] | None = None,
    ) -> "BatchNorm1d":
        r"""The layer after a batch of training.

        With momentum $m$ and $n$ nodes, $\mu \leftarrow (1 - m) \mu + m \mathrm{E}[\mathbf{x}]$
        and $\sigma^2 \leftarrow (1 - m) \sigma^2 + m \frac{n}{n - 1} \mathrm{Var}[\mathbf{x}]$.

        **Arguments:** as the call.

        **Returns:** a layer with other running statistics; in inference, or without running
        statistics, the same.
        """
        if self.inference or self.running_mean is None:
            return self
        _, mask = resolve_rows(batch, x.shape[0], size, node_mask)
        wide = entering(x, mask, self.in_features, self._some_array())
        return _updated(self, *_statistics(wide, mask))

    def _some_array(self):
        return self.running_mean if self.weight is None else self.weight


class BatchNorm(AbstractNorm):
    """[`BatchNorm1d`][jraphx_eqx.nn.norm.BatchNorm1d] under the names that PyG gives it.

    Equal to `torch_geometric.nn.BatchNorm`, which holds a layer of PyTorch as `module`: the names
    are `module.weight`, `module.running_mean`, and so on.
    """

    module: BatchNorm1d
    in_features: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)
    allow_single_element: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        eps: float | int = 1e-5,
        momentum: float | int | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        allow_single_element: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        """**Arguments:**

        - `allow_single_element`: whether a batch of one node is also normalised by the
            running statistics in training, and does not count in them.
        - the others: as [`BatchNorm1d`][jraphx_eqx.nn.norm.BatchNorm1d].
        """
        if allow_single_element and not track_running_stats:
            raise ValueError("allow_single_element needs track_running_stats")
        options = (eps, momentum, affine, track_running_stats)
        self.module = BatchNorm1d(in_features, *options, dtype=dtype)
        self.in_features = in_features
        self.eps = float(eps)
        self.allow_single_element = allow_single_element

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes features"]:
        """**Arguments** and **Returns:** as [`BatchNorm1d`][jraphx_eqx.nn.norm.BatchNorm1d]."""
        return self.module.normalise(x, batch, size, node_mask, self.allow_single_element)


def _statistics(x, mask):
    """Mean, biased variance and number of the real rows; `x` is 0 in the others."""
    rows = x.shape[0]
    count = jnp.asarray(rows, x.dtype)
    if mask is not None:
        count = jnp.sum(mask).astype(x.dtype)
    number = jnp.maximum(count, 1)
    mean = jnp.sum(x, axis=0) / number
    centred = mask_rows(x - mean[None], mask)
    return mean, jnp.sum(centred**2, axis=0) / number, count


def _updated(norm, mean, variance, count):
    number = norm.num_batches_tracked + 1
    weight = norm.momentum
    if weight is None:
        weight = 1 / number.astype(mean.dtype)
    unbiased = variance * (count / jnp.maximum(count - 1, 1))

    def moved(old, new):
        out = (1 - weight) * old.astype(new.dtype) + weight * new
        return jax.lax.stop_gradient(out).astype(old.dtype)

    new = (moved(norm.running_mean, mean), moved(norm.running_var, unbiased), number)
    after = eqx.tree_at(_arrays, norm, new)
    # A batch of padding alone has no statistics.
    return _choose(count > 0, after, norm)


def _choose(condition, after, before):
    chosen = [
        jnp.where(condition, new, old)
        for new, old in zip(_arrays(after), _arrays(before), strict=True)
    ]
    return eqx.tree_at(_arrays, before, chosen)


def _running(norm, dtype):
    values = (norm.running_mean, norm.running_var)
    return [jax.lax.stop_gradient(value).astype(dtype) for value in values]


def _arrays(norm: Any) -> list[Any]:
    return [norm.running_mean, norm.running_var, norm.num_batches_tracked]


twin(
    BatchNorm1d,
    "torch.nn.BatchNorm1d",
    Option("in_features", "num_features"),
    "eps",
    "momentum",
    present("affine", "weight"),
    present("track_running_stats", "running_mean"),
    inference="inference",
)

_AFFINE = {f"module.{name}": name for name in ("weight", "bias")}
_STATISTICS = {
    f"module.{name}": name for name in ("running_mean", "running_var", "num_batches_tracked")
}
twin(
    BatchNorm,
    "torch_geometric.nn.BatchNorm",
    IN,
    Option("eps", theirs_at="module.eps"),
    *inside("module", "momentum"),
    present("affine", "module.weight"),
    present("track_running_stats", "module.running_mean"),
    "allow_single_element",
    inference="module.inference",
    training="module",
    renames=tuple(Rename("1.6", names) for names in (_AFFINE | _STATISTICS, _AFFINE, _STATISTICS)),
)
