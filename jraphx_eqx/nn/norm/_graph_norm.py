import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, twin
from ...data import BatchVector, resolve_batch
from ...ops import gather, segment_mean
from .._check import check_positive
from .._entry import one_program
from .._layer import resolve_rows
from ._norm import AbstractNorm, entering, leaving


class GraphNorm(AbstractNorm):
    r"""Normalises each feature over the nodes of each graph, keeping a learnable part of the mean.

    $$\mathbf{x}'_i = \gamma \odot \frac{\mathbf{x}_i - \alpha \odot \mathrm{E}[\mathbf{x}]}
    {\sqrt{\mathrm{E}[(\mathbf{x} - \alpha \odot \mathrm{E}[\mathbf{x}])^2] + \epsilon}} + \beta$$

    Equal to `torch_geometric.nn.GraphNorm`. $\gamma$ is `weight`, $\beta$ is `bias`, and $\alpha$
    is `mean_scale`.

    ??? cite

        [GraphNorm: A Principled Approach to Accelerating Graph Neural Network
        Training](https://arxiv.org/abs/2009.03294), Cai et al., 2021
    """

    weight: Float[Array, " features"]
    bias: Float[Array, " features"]
    mean_scale: Float[Array, " features"]
    in_features: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        eps: float | int = 1e-5,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        r"""**Arguments:**

        - `in_features`: the number of features of a node.
        - `eps`: $\epsilon$.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: ignored; nothing is random.
        """
        check_positive(in_features=in_features)
        dtype = jnp.result_type(float) if dtype is None else dtype
        self.weight = jnp.ones(in_features, dtype)
        self.bias = jnp.zeros(in_features, dtype)
        self.mean_scale = jnp.ones(in_features, dtype)
        self.in_features = in_features
        self.eps = float(eps)

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
        if batch is None:
            batch = _one_graph(x.shape[0], mask)
        wide = entering(x, mask, self.in_features, self.weight)
        mean = gather(segment_mean(wide, batch.index, batch.num_graphs), batch.index)
        centred = wide - mean * self.mean_scale.astype(wide.dtype)[None]
        variance = segment_mean(centred**2, batch.index, batch.num_graphs)
        # Use 1 for padding: the gradient of the root at 0 would be NaN if `eps` is 0.
        variance = gather(variance + self.eps, batch.index, fill_value=1)
        return leaving(centred / jnp.sqrt(variance), x, mask, self.weight, self.bias)


def _one_graph(num_nodes, mask):
    if mask is None:
        return resolve_batch(None, num_nodes)
    return BatchVector(jnp.where(mask, 0, 1), 1)


twin(GraphNorm, "torch_geometric.nn.GraphNorm", IN, "eps")
