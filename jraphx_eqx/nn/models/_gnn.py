from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ...data import BatchVector, EdgeIndex
from ...ops import mask_rows
from .._entry import one_program
from .._layer import apply_dropout, apply_layer, resolve_rows, split_key
from .._linear import Linear
from ..conv import AbstractConv, GATConv, GATv2Conv, GCNConv, GINConv
from ._jumping_knowledge import JumpingKnowledge


class AbstractGNN(eqx.Module):
    """Convolutions one after the other, with norms, activations and dropout in between.

    Optionally the outputs of all layers are combined at the end, by a
    [`JumpingKnowledge`][jraphx_eqx.nn.models.JumpingKnowledge] `jk` and a linear map `lin`.

    The twin of PyG's `BasicGNN`, whose names it has: `convs.0.lin.weight`,
    `norms.0.module.weight`, `jk.att.weight`, `lin.weight`.
    """

    convs: eqx.AbstractVar[list[AbstractConv]]
    norms: eqx.AbstractVar[list[Callable]]
    act: eqx.AbstractVar[Callable | None]
    dropout: eqx.AbstractVar[eqx.nn.Dropout]
    jk: eqx.AbstractVar[JumpingKnowledge | None]
    lin: eqx.AbstractVar[Linear | None]
    in_features: eqx.AbstractVar[int]
    out_features: eqx.AbstractVar[int]
    act_first: eqx.AbstractVar[bool]

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"] | EdgeIndex,
        edge_weight: Float[Array, "edges *one"] | None = None,
        edge_attr: Float[Array, "edges *edge_features"] | None = None,
        batch: BatchVector | Int[Array, " nodes"] | None = None,
        *,
        size: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding. An [`EdgeIndex`][jraphx_eqx.data.EdgeIndex] is quicker.
        - `edge_weight`: one number for each edge, used only by a `GCN`.
        - `edge_attr`: attributes of each edge, used only by a `GAT` with `edge_dim`.
        - `batch`: the graph of each node, for norms and padding.
        - `size`: the number of graphs. Needed only for a bare `batch` under tracing.
        - `key`: for dropout. Needed in training if there is any.

        **Returns:** shape `(nodes, out_features)`, with zeros in rows of padding, as marked by
        `batch`.

        **Raises:** `ValueError` for edge weights or attributes that the model does not use. PyG
        ignores them.
        """
        batch, mask = resolve_rows(batch, x.shape[0], size)
        x = mask_rows(x, mask)
        keys = split_key(key, 2 * len(self.convs))
        xs = []
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = self._convolve(conv, x, edge_index, edge_weight, edge_attr, mask, keys.pop())
            one = keys.pop()
            if i == len(self.convs) - 1 and self.lin is None:
                break
            if self.act is not None and self.act_first:
                x = apply_layer(self.act, x)
            x = apply_layer(norm, x, batch)
            if self.act is not None and not self.act_first:
                x = apply_layer(self.act, x)
            x = apply_dropout(self.dropout, x, one)
            xs.append(x)
        if self.lin is not None:
            x = self.lin(x if self.jk is None else self.jk(xs))
        return mask_rows(x, mask)

    def _convolve(self, conv, x, edge_index, edge_weight, edge_attr, mask, key):
        given = {"edge_weight": edge_weight, "edge_attr": edge_attr}
        takes = {GCNConv: "edge_weight", GATConv: "edge_attr", GATv2Conv: "edge_attr"}.get(
            type(conv)
        )
        for name, value in given.items():
            if value is not None and name != takes:
                raise ValueError(f"{name} must be None: a {type(self).__name__} has no use for it")
        if isinstance(conv, GINConv):
            return conv(x, edge_index, node_mask=mask, key=key)
        more = [] if takes is None else [given[takes]]
        # Rows of padding stay finite, but no longer zero: a bias is added to them.
        return mask_rows(conv(x, edge_index, *more, key=key), mask)
