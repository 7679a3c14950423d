from collections.abc import Callable

import equinox as eqx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import IN, Rename, twin
from ...data import BatchVector
from .._entry import takes_numpy
from ._keep import AbstractKeepPool
from ._select_topk import KEEPS, STAGES, SelectTopK


class TopKPooling(AbstractKeepPool):
    r"""Keeps the nodes with the largest projection on a learnable vector.

    $$\mathbf{y} = \sigma\left(\frac{\mathbf{X}\mathbf{p}}{\|\mathbf{p}\|}\right), \qquad
    \mathbf{i} = \mathrm{top}_k(\mathbf{y}), \qquad
    \mathbf{X}' = (\mathbf{X} \odot \mathbf{y})_{\mathbf{i}}, \qquad
    \mathbf{A}' = \mathbf{A}_{\mathbf{i},\mathbf{i}}$$

    With `min_score` $\tilde{\alpha}$, $\mathbf{y}$ is the softmax of $\mathbf{X}\mathbf{p}$ over
    each graph, and nodes with $y_i > \tilde{\alpha}$ are kept, or those at the maximum of a graph
    that has none.

    Equal to `torch_geometric.nn.TopKPooling`, except that ties go to the lowest index. Made of
    [`SelectTopK`][jraphx_eqx.nn.pool.SelectTopK], as `select`, which holds the parameter
    `select.weight` of shape `(1, in_features)`.

    ??? cite

        [Graph U-Nets](https://arxiv.org/abs/1905.05178), Gao and Ji, 2019;
        [Towards Sparse Hierarchical Graph Classifiers](https://arxiv.org/abs/1811.01287),
        Cangea et al., 2018;
        [Understanding Attention and Generalization in Graph Neural
        Networks](https://arxiv.org/abs/1905.02850), Knyazev et al., 2019
    """

    select: SelectTopK
    in_features: int = eqx.field(static=True)
    multiplier: float | int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        ratio: float | int | None = 0.5,
        min_score: float | int | None = None,
        multiplier: float | int = 1.0,
        nonlinearity: str | Callable = "tanh",
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_features`: the number of features of a node.
        - `ratio`: the fraction of each graph's nodes to keep, in (0, 1), rounded up; or from 1 on
            their number. As in PyG the value decides, not its type, so `1.0` keeps one node of each
            graph; that warns. Not used with `min_score`.
        - `min_score`: keep the nodes that score above it.
        - `multiplier`: multiplies the kept features after the gate, but not the scores.
        - `nonlinearity`: $\\sigma$, by PyG's name or as a callable, which may have parameters. Not
            used with `min_score`.
        - `dtype`: of the parameter. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a `ratio` that is not positive, or above 1 and not whole, for
        an unknown `nonlinearity`, and if both `ratio` and `min_score` are `None`.
        """
        self.select = SelectTopK(in_features, ratio, min_score, nonlinearity, dtype=dtype, key=key)
        self.in_features = in_features
        self.multiplier = multiplier

    @takes_numpy
    def score(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"] | None = None,
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " nodes"]:
        """The projection of each node, after the nonlinearity or softmax. Edges play no part."""
        return self.select.score(x, batch, size=size)


twin(
    TopKPooling,
    "torch_geometric.nn.TopKPooling",
    IN,
    *KEEPS,
    holds=STAGES,
    renames=(Rename("2.4", {"select.weight": "weight"}),),
)
