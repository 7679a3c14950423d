from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..._number import python_numbers
from ..._twin import Option, twin, width
from ...data import BatchVector, resolve_batch
from ...ops import mask_rows
from .._check import check_dtype
from .._entry import takes_numpy
from ..conv import AbstractConv, GATConv, GCNConv, GraphConv, SAGEConv
from ._keep import AbstractKeepPool
from ._select_topk import KEEPS, SIGN, STAGES, SelectTopK

_SCORERS = {"gcn": GCNConv, "gat": GATConv, "sage": SAGEConv, "graph": GraphConv}


class SAGPooling(AbstractKeepPool):
    r"""Self-attention pooling: keeps the nodes that a graph convolution scores highest.

    $$\mathbf{y} = \sigma(\mathrm{GNN}(\mathbf{X}, \mathbf{A})), \qquad
    \mathbf{i} = \mathrm{top}_k(\mathbf{y}), \qquad
    \mathbf{X}' = (\mathbf{X} \odot \mathbf{y})_{\mathbf{i}}, \qquad
    \mathbf{A}' = \mathbf{A}_{\mathbf{i},\mathbf{i}}$$

    With `min_score`, $\mathbf{y}$ is a softmax over each graph, as in
    [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling]. Edge attributes do not reach the GNN.

    Equal to `torch_geometric.nn.SAGPooling`, except that ties go to the lowest index, and for
    choices of ours: the default scorer is `"gcn"` (PyG: `"graph"`, its `GraphConv`); and PyG's
    `select.weight` of shape `(1, 1)`, whose sign multiplies the scores, starts at 1. In PyG it is
    drawn from $\mathcal{U}(-1, 1)$, and a negative one, which no gradient can mend, keeps the nodes
    with the lowest scores. Loaded weights keep their sign, and so does training: without
    `min_score` the gradient of this weight is exactly 0 (PyG: up to rounding, of which Adam makes
    steps of full size). Weight decay alone makes it smaller, which changes no score until it is 0,
    and then all are NaN; [`trainable`][jraphx_eqx.nn.trainable] keeps it out of the optimiser.

    Where the GNN has several heads, they are added, as PyG does without saying so.

    ??? cite

        [Self-Attention Graph Pooling](https://arxiv.org/abs/1904.08082), Lee et al., 2019
    """

    gnn: Callable
    select: SelectTopK
    in_features: int = eqx.field(static=True)
    multiplier: float | int = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        ratio: float | int | None = 0.5,
        gnn: str | Callable = "gcn",
        min_score: float | int | None = None,
        multiplier: float | int = 1.0,
        nonlinearity: str | Callable = "tanh",
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `gnn`: `"gcn"`, `"gat"`, `"sage"` or `"graph"`; or a callable `(x, edge_index) -> scores`
            with one score or several heads for each node. Padding nodes reach it as rows of zeros,
            for which it must return finite numbers with finite gradients. An
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv] is given `node_mask` instead, and the
            `key`.
        - the others: as [`TopKPooling`][jraphx_eqx.nn.pool.TopKPooling].
        """
        if isinstance(gnn, type) or not (callable(gnn) or gnn in _SCORERS):
            names = ", ".join(repr(name) for name in _SCORERS)
            raise ValueError(
                f"gnn must be one of {names}, or a callable that is not a class, got {gnn!r}"
            )
        if isinstance(gnn, str):
            self.gnn = _SCORERS[gnn](in_features, 1, dtype=dtype, key=key)
        else:
            self.gnn = gnn
        select = SelectTopK(1, ratio, min_score, nonlinearity, dtype=dtype, key=key)
        self.select = eqx.tree_at(lambda s: s.weight, select, replace_fn=jnp.ones_like)
        self.in_features = in_features
        self.multiplier = multiplier

    @takes_numpy
    def score(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        edge_attr: Shaped[Array, "edges ..."] | None = None,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " nodes"]:
        """The scorer's output, its heads added, after the nonlinearity or softmax. Attributes of
        edges play no part."""
        batch = resolve_batch(batch, x.shape[0], size)
        if isinstance(self.gnn, AbstractConv):
            heads = self.gnn(x, edge_index, node_mask=batch.node_mask, key=key)
        else:
            heads = self.gnn(mask_rows(x, batch.node_mask), edge_index)
        if heads.ndim not in (1, 2) or heads.shape[0] != x.shape[0]:
            raise ValueError(
                f"gnn must return one score or several heads for each of the {x.shape[0]} nodes, "
                f"got shape {heads.shape}"
            )
        check_dtype(heads, self.select.weight.dtype, "what gnn returns")
        heads = heads[:, None] if heads.ndim == 1 else heads
        return self.select.score(jnp.sum(heads, axis=1, keepdims=True), batch)


twin(
    SAGPooling,
    "torch_geometric.nn.SAGPooling",
    width("gnn.lin.in_channels", "gnn.lin_l.in_channels", "gnn.lin_root.in_channels"),
    Option("gnn", "GNN", theirs_at="gnn", kind="made"),
    *KEEPS,
    holds=STAGES,
    renames=(SIGN,),
)
