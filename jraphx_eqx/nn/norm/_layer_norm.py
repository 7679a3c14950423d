import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, present, twin
from ...data import BatchVector
from ...ops import gather, mask_rows, segment_count, segment_sum
from .._check import check_positive
from .._entry import one_program
from .._layer import resolve_rows
from .._layer_norm import normalised_rows
from ._norm import AbstractNorm, entering, leaving


class LayerNorm(AbstractNorm):
    r"""Normalises each graph, over all its nodes and features together, or each node.

    $$\mathbf{x}'_i = \frac{\mathbf{x}_i - \mathrm{E}[\mathbf{x}]}
    {\sqrt{\mathrm{Var}[\mathbf{x}] + \epsilon}} \odot \gamma + \beta$$

    Equal to `torch_geometric.nn.LayerNorm`. As there, with `mode="graph"` and no `batch` the
    denominator is $\sqrt{\mathrm{Var}[\mathbf{x}]} + \epsilon$, which is not the same number.
    $\gamma$ is `weight`, $\beta$ is `bias`.

    ??? cite

        [Layer Normalization](https://arxiv.org/abs/1607.06450), Ba et al., 2016
    """

    weight: Float[Array, " features"] | None
    bias: Float[Array, " features"] | None
    in_features: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)
    mode: str = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        eps: float | int = 1e-5,
        affine: bool = True,
        mode: str = "graph",
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node.
        - `eps`: $\epsilon$.
        - `affine`: whether there are $\gamma$ and $\beta$.
        - `mode`: `"graph"` or `"node"`.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: ignored; nothing is random.
        """
        check_positive(in_features=in_features)
        if mode not in ("graph", "node"):
            raise ValueError(f"mode must be 'graph' or 'node', got {mode!r}")
        dtype = jnp.result_type(float) if dtype is None else dtype
        self.weight = jnp.ones(in_features, dtype) if affine else None
        self.bias = jnp.zeros(in_features, dtype) if affine else None
        self.in_features = in_features
        self.eps = float(eps)
        self.mode = mode

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
        - `batch`: the graph of each node. `None` is one graph.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `node_mask`: instead of `batch`, which rows of `x` are nodes; all are of one graph then.
        - `key`: ignored.

        **Returns:** an array like `x`.
        """
        batch, mask = resolve_rows(batch, x.shape[0], size, node_mask)
        wide = entering(x, mask, self.in_features, self.weight)
        if self.mode == "node":
            normalised = normalised_rows(wide, self.eps)
        elif batch is None:
            normalised = _whole(wide, mask, self.eps)
        else:
            normalised = _by_graph(wide, batch, self.eps)
        return leaving(normalised, x, mask, self.weight, self.bias)


def _whole(x, mask, eps):
    if not x.shape[0]:
        return x
    nodes = None if mask is None else mask[:, None]
    centred = mask_rows(x - _mean(x, nodes), mask)
    variance = _mean(centred**2, nodes)
    # Double `where`: the gradient of the root at 0 is infinite; that of torch's `std` is 0.
    deviation = jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))
    return centred / (deviation + eps)


def _mean(x, nodes):
    if nodes is None:
        return jnp.mean(x)
    number = jnp.maximum(jnp.sum(nodes), 1) * x.shape[1]
    return jnp.sum(x) / number.astype(x.dtype)


def _by_graph(x, batch, eps):
    count = jnp.maximum(segment_count(batch.index, batch.num_graphs), 1) * x.shape[1]
    count = count.astype(x.dtype)

    def mean(rows):
        total = segment_sum(rows, batch.index, batch.num_graphs)
        return jnp.sum(total, axis=1) / count

    centred = x - gather(mean(x), batch.index)[:, None]
    centred = jnp.where(batch.node_mask[:, None], centred, 0)
    # Use 1 for padding, because it is a divisor.
    variance = gather(mean(centred**2) + eps, batch.index, fill_value=1)
    return centred / jnp.sqrt(variance)[:, None]


twin(LayerNorm, "torch_geometric.nn.LayerNorm", IN, "eps", present("affine", "weight"), "mode")
