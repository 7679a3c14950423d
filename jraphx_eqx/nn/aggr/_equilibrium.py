from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import Option, twin
from ...data import BatchVector
from ...ops import gather, mask_rows, segment_mean
from .._activation_layer import Activation
from .._check import check_features, check_positive
from .._layer_norm import LayerNorm
from .._linear import Linear
from .._sequential import Sequential
from ._aggregation import AbstractAggregation


class ResNetPotential(eqx.Module):
    """A number for each row and a candidate for the result, by a network with residuals.

    Equal to that of PyG, with its parameters `layers` and `res_trans`.
    """

    layers: list[Sequential | Linear]
    res_trans: list[Linear]

    def __init__(
        self,
        in_features: int,
        num_layers: Sequence[int],
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`: the number of features of a row and a candidate.
        - `num_layers`: the numbers of features of the layers, as PyG calls them.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        """
        sizes = [in_features, *num_layers, 1]
        keys = jax.random.split(key, (2, len(sizes) - 1))
        *lins, last = (
            Linear(sizes[i], sizes[i + 1], dtype=dtype, key=one) for i, one in enumerate(keys[0])
        )
        hidden = [
            Sequential([lin, LayerNorm(lin.out_features, dtype=dtype), Activation("tanh")])
            for lin in lins
        ]
        self.layers = [*hidden, last]
        pairs = zip(sizes[1:], keys[1], strict=True)
        self.res_trans = [Linear(in_features, size, dtype=dtype, key=one) for size, one in pairs]

    def __call__(
        self,
        x: Float[Array, "rows features"],
        y: Float[Array, "segments out_features"],
        batch: BatchVector,
    ) -> Float[Array, ""]:
        """The sum over graphs of the mean over their rows."""
        given = jnp.concatenate([x, gather(y, batch.index)], axis=1)
        out = given
        for layer, residual in zip(self.layers, self.res_trans, strict=True):
            out = residual(given) + layer(out)
        return jnp.sum(segment_mean(out, batch.index, batch.num_graphs))


class MomentumOptimizer(eqx.Module):
    """The learnt step and momentum of a descent."""

    _lr: Float[Array, " 1"]
    _mom: Float[Array, " 1"]


class EquilibriumAggregation(AbstractAggregation):
    r"""The rows decide the result by what it costs: a few steps towards

    $$\arg\min_{\mathbf{y}} \; \frac{1}{n} \sum_i F(\mathbf{x}_i, \mathbf{y}) +
    \mathrm{softplus}(\lambda) \, \lVert \mathbf{y} \rVert^2$$

    by gradient descent with momentum from 0, through which gradients go.

    Equal to `torch_geometric.nn.aggr.EquilibriumAggregation` with `batch_mean=True`. PyG's divides
    the second term by the number of graphs, but not the first, so that the result for a graph
    depends on how many there are. Its parameters are `potential`, `optimizer` and `lamb`. PyG's
    computes $\mathbf{y}$ in float32 whatever the dtype.

    ??? cite

        [Equilibrium Aggregation: Encoding Sets via Optimization](https://arxiv.org/abs/2202.12795),
        Bartunov et al., 2022
    """

    potential: ResNetPotential
    optimizer: MomentumOptimizer
    lamb: Float[Array, " 1"]
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    grad_iter: int = eqx.field(static=True)
    batch_mean: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        num_layers: Sequence[int],
        grad_iter: int = 5,
        lamb: float | int = 0.1,
        batch_mean: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a row, and of the result.
        - `num_layers`: the numbers of features of the hidden layers of $F$, as PyG calls them.
        - `grad_iter`: the number of steps.
        - `lamb`: the initial $\lambda$.
        - `batch_mean`: whether to divide the second term by the number of graphs, as PyG does.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        """
        check_positive(in_features=in_features, out_features=out_features, grad_iter=grad_iter)
        dtype = jnp.result_type(float) if dtype is None else dtype
        features = in_features + out_features
        self.potential = ResNetPotential(features, num_layers, dtype=dtype, key=key)
        self.optimizer = MomentumOptimizer(jnp.full(1, 0.1, dtype), jnp.full(1, 0.9, dtype))
        self.lamb = jnp.full(1, lamb, dtype)
        self.in_features = in_features
        self.out_features = out_features
        self.grad_iter = grad_iter
        self.batch_mean = batch_mean

    def aggregate(
        self,
        x: Float[Array, "rows features"],
        batch: BatchVector,
        *,
        max_rows: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "segments out_features"]:
        """See [`AbstractAggregation`][jraphx_eqx.nn.aggr.AbstractAggregation]."""
        check_features(x, self.in_features, self.lamb.dtype)
        x = mask_rows(x, batch.node_mask)
        share = max(batch.num_graphs, 1) if self.batch_mean else 1

        def cost(y):
            penalty = jax.nn.softplus(self.lamb[0]) * jnp.sum(y**2) / share
            return self.potential(x, y, batch) + penalty

        rate = jax.nn.softplus(self.optimizer._lr)[None]
        momentum = jax.nn.sigmoid(self.optimizer._mom)[None]
        y = velocity = jnp.zeros((batch.num_graphs, self.out_features), x.dtype)
        for _ in range(self.grad_iter):
            velocity = momentum * velocity - rate * jax.grad(cost)(y)
            y = y + velocity
        return y


def _pyg_width(module):
    return module.potential.res_trans[0].in_features - module.output_dim


twin(
    EquilibriumAggregation,
    "torch_geometric.nn.aggr.EquilibriumAggregation",
    Option("in_features", "in_channels", theirs_at="", read=_pyg_width),
    Option("out_features", "out_channels", theirs_at="output_dim"),
    Option(
        "num_layers",
        at="potential.res_trans",
        theirs_at="potential.layers",
        read=lambda layers: [layer[0].out_features for layer in layers[:-1]],
        write=lambda residuals: [residual.out_features for residual in residuals[:-1]],
    ),
    "grad_iter",
    only_ours={"batch_mean": (True, "PyG takes the mean over the batch")},
)
