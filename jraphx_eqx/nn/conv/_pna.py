from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, OUT, Option, twin
from ...ops import edge_mask, gather, mask_rows, masked_edges
from .._check import check_features, check_positive
from .._entry import one_program
from .._linear import Linear, apply_linear, linear
from .._parts import make_activation
from .._sequential import Sequential
from ..aggr import DegreeScalerAggregation
from ..aggr._degree_scaler import ONE_NODE
from ._conv import MESSAGES, AbstractConv, aggregate_at_nodes
from ._gat import checked_attr


class PNAConv(AbstractConv):
    r"""Principal neighbourhood aggregation: several aggregations, each times functions of the
    number of neighbours.

    $$\mathbf{x}'_i = \mathbf{W} \, h\left(\mathbf{x}_i,
    \bigoplus_{j \in \mathcal{N}(i)} m(\mathbf{x}_i, \mathbf{x}_j, \mathbf{e}_{j,i})\right) +
    \mathbf{b}$$

    where $\bigoplus$ is a
    [`DegreeScalerAggregation`][jraphx_eqx.nn.aggr.DegreeScalerAggregation]. There is one $m$ and
    one $h$ for each tower, whose results are put side by side.

    Equal to `torch_geometric.nn.PNAConv`, except that `edge_attr` must be given if, and only if,
    there is an `edge_dim`. $m$ and $h$ are in `pre_nns` and `post_nns`, one for each tower;
    $\mathbf{W}, \mathbf{b}$ are `lin`; `edge_encoder` is a linear map that attributes go through
    first.

    ??? cite

        [Principal Neighbourhood Aggregation for Graph Nets](https://arxiv.org/abs/2004.05718),
        Corso et al., 2020
    """

    aggr_module: DegreeScalerAggregation
    edge_encoder: eqx.nn.Linear | None
    pre_nns: list[Sequential]
    post_nns: list[Sequential]
    lin: eqx.nn.Linear
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    edge_dim: int | None = eqx.field(static=True)
    towers: int = eqx.field(static=True)
    divide_input: bool = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        out_features: int,
        aggregators: Sequence[str],
        scalers: Sequence[str],
        deg: Int[Array, " degrees"] | Int[np.ndarray, " degrees"],
        edge_dim: int | None = None,
        towers: int = 1,
        pre_layers: int = 1,
        post_layers: int = 1,
        divide_input: bool = False,
        act: str | Callable = "relu",
        act_kwargs: Mapping[str, Any] | None = None,
        train_norm: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        r"""**Arguments:**

        - `in_features`, `out_features`: the number of features of a node, before and after.
        - `aggregators`: PyG's names of aggregations without options, such as `"mean"`, `"max"`,
            `"std"`.
        - `scalers`, `deg`, `train_norm`: `scaler`, `deg` and `train_norm` of the
            [`DegreeScalerAggregation`][jraphx_eqx.nn.aggr.DegreeScalerAggregation].
        - `edge_dim`: the number of attributes of an edge, if there are any to use.
        - `towers`: how many networks there are side by side. Must divide `out_features`.
        - `pre_layers`, `post_layers`: the number of linear layers of each $m$, and of each $h$.
        - `divide_input`: whether each tower sees its share of the features, not all.
        - `act`, `act_kwargs`: the activation between those layers, by PyG's name with its options,
            or a function.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.

        **Raises:** `ValueError` for a size below 1, an unknown name, and `towers` that do not
        divide the features.
        """
        check_positive(in_features=in_features, out_features=out_features, towers=towers)
        check_positive(pre_layers=pre_layers, post_layers=post_layers)
        if edge_dim is not None:
            check_positive(edge_dim=edge_dim)
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if size % towers and (divide_input or name == "out_features"):
                raise ValueError(f"towers must divide {name}={size}, got {towers}")
        aggregators, scalers = list(aggregators), list(scalers)
        self.aggr_module = DegreeScalerAggregation(
            aggregators, scalers, deg, train_norm, dtype=dtype
        )
        seen = in_features // towers if divide_input else in_features
        made = out_features // towers
        wide = (len(aggregators) * len(scalers) + 1) * seen
        pairs = (2 if edge_dim is None else 3) * seen
        function = make_activation(act, act_kwargs)

        def network(widths, key):
            keys = jax.random.split(key, len(widths) - 1)
            layers: list[Any] = []
            for before, after, one in zip(widths[:-1], widths[1:], keys, strict=True):
                layers += [function] * bool(layers) + [Linear(before, after, dtype=dtype, key=one)]
            return Sequential(layers)

        edge_key, lin_key, pre_key, post_key = jax.random.split(key, 4)
        keys = jax.random.split(pre_key, towers), jax.random.split(post_key, towers)
        self.edge_encoder = None
        if edge_dim is not None:
            self.edge_encoder = linear(edge_dim, seen, dtype=dtype, key=edge_key)
        self.pre_nns = [network([pairs, *[seen] * pre_layers], one) for one in keys[0]]
        self.post_nns = [network([wide, *[made] * post_layers], one) for one in keys[1]]
        self.lin = linear(out_features, out_features, dtype=dtype, key=lin_key)
        self.in_features = in_features
        self.out_features = out_features
        self.edge_dim = edge_dim
        self.towers = towers
        self.divide_input = divide_input

    @one_program
    def __call__(
        self,
        x: Float[Array, "nodes features"],
        edge_index: Int[Array, "2 edges"],
        edge_attr: Float[Array, "edges *edge_features"] | None = None,
        *,
        node_mask: Bool[Array, " nodes"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "nodes out_features"]:
        """**Arguments:**

        - `x`: node features, shape `(nodes, in_features)`.
        - `edge_index`: source and target of each edge, shape `(2, edges)`. An edge with an end past
            the last node is padding.
        - `edge_attr`: edge attributes, shape `(edges, edge_dim)`, or `(edges,)` if `edge_dim` is 1.
        - `node_mask`: which rows of `x` are nodes; see
            [`AbstractConv`][jraphx_eqx.nn.conv.AbstractConv]. All by default.
        - `key`: ignored; all convolutions take one.

        **Returns:** shape `(nodes, out_features)`.

        **Raises:** `ValueError` for inputs that do not fit each other or the layer.
        """
        check_features(x, self.in_features, self.lin.weight.dtype)
        edge_attr = checked_attr(edge_index, edge_attr, self.edge_dim, x.dtype)
        if edge_attr is None and self.edge_dim is not None:
            raise ValueError(f"edge_attr must have shape (edges, {self.edge_dim}), got None")
        num_nodes = x.shape[0]
        x = mask_rows(x, node_mask)
        mask = edge_mask(edge_index, num_nodes)
        (source, target), edge_attr = masked_edges(edge_index, edge_attr, mask, num_nodes)
        if self.edge_encoder is not None and edge_attr is not None:
            edge_attr = apply_linear(self.edge_encoder, edge_attr)
        seen = jnp.split(x, self.towers, axis=1) if self.divide_input else [x] * self.towers

        def messages(network, x):
            parts = [gather(x, target), gather(x, source)]
            parts += [] if edge_attr is None else [edge_attr]
            return network(jnp.concatenate(parts, axis=1))

        # Every aggregation is of each column alone, so one serves all towers.
        rows = [messages(*one) for one in zip(self.pre_nns, seen, strict=True)]
        out = aggregate_at_nodes(jnp.concatenate(rows, axis=1), target, num_nodes, self.aggr_module)
        out = out.reshape(num_nodes, -1, self.towers, rows[0].shape[1])
        towers = []
        for i, (network, own) in enumerate(zip(self.post_nns, seen, strict=True)):
            aggregated = out[:, :, i].reshape(num_nodes, -1)
            towers.append(network(jnp.concatenate([own, aggregated], axis=1)))
        return apply_linear(self.lin, jnp.concatenate(towers, axis=1))


def _names(aggregations):
    return [type(one).__name__ for one in aggregations]


def _number_of_maps(network):
    return len(getattr(network, "layers", network)[::2])


def _layers(ours, networks):
    first = f"{networks}.0"
    return Option(ours, None, first, first, read=_number_of_maps, write=_number_of_maps)


_AGGRS = "aggr_module.aggr.aggrs"
_SCALER = "aggr_module.scaler"
twin(
    PNAConv,
    "torch_geometric.nn.PNAConv",
    IN,
    OUT,
    Option("aggregators", at=_AGGRS, theirs_at=_AGGRS, read=_names, write=_names),
    Option("scalers", at=_SCALER, theirs_at=_SCALER, write=list),
    "edge_dim",
    "towers",
    _layers("pre_layers", "pre_nns"),
    _layers("post_layers", "post_nns"),
    "divide_input",
    Option(
        "act",
        at=("pre_nns.0.layers.1", "post_nns.0.layers.1"),
        theirs_at=("pre_nns.0.1", "post_nns.0.1"),
        kind="part",
        read=lambda act: act or "relu",
    ),
    Option(
        "train_norm",
        at="aggr_module.train_norm",
        theirs_at="aggr_module.avg_deg_lin",
        kind="trained",
    ),
    only=MESSAGES,
    holds={"aggr_module": "torch_geometric.nn.aggr.DegreeScalerAggregation"},
    fixed={"deg": ONE_NODE},
)
