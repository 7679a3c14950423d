from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from ..._number import python_numbers
from ..._twin import IN, Option, part, twin
from .._check import check_positive
from .._layer import make_dropout
from .._linear import Linear
from .._mlp import MLP, takes_batch
from .._parts import make_activation, make_norms
from ..conv import GATConv, GATv2Conv, GCNConv, GINConv, SAGEConv
from ._gnn import AbstractGNN
from ._jumping_knowledge import JumpingKnowledge


class GCN(AbstractGNN):
    """Layers of [`GCNConv`][jraphx_eqx.nn.conv.GCNConv], with norms, activations and dropout in
    between.

    Equal to `torch_geometric.nn.GCN`.
    """

    convs: list[GCNConv]
    norms: list[Callable]
    act: Callable | None
    dropout: eqx.nn.Dropout
    jk: JumpingKnowledge | None
    lin: Linear | None
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    act_first: bool = eqx.field(static=True)
    jk_mode: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int,
        out_features: int | None = None,
        dropout: float | int = 0.0,
        act: str | Callable | None = "relu",
        act_first: bool = False,
        act_kwargs: Mapping[str, Any] | None = None,
        norm: str | None = None,
        norm_kwargs: Mapping[str, Any] | None = None,
        jk: str | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
        **kwargs: Any,
    ):
        """**Arguments:**

        - `in_features`, `hidden_features`: the number of features of a node, before and between the
            layers.
        - `num_layers`: the number of convolutions.
        - `out_features`: the number of features at the end; `hidden_features` if it is `None`.
        - `dropout`: the probability in [0, 1) that a feature is dropped in training.
        - `act`: the activation, by name or as a callable; `None` for none.
        - `act_first`: whether the activation comes before the norm.
        - `act_kwargs`: options of an activation that is a name.
        - `norm`: `"batch_norm"`, `"graph_norm"`, `"layer_norm"` (those of PyG), or `None`.
        - `norm_kwargs`: options of the norm.
        - `jk`: `"cat"`, `"max"` or `"lstm"`, for a
            [`JumpingKnowledge`][jraphx_eqx.nn.models.JumpingKnowledge] of all layers and a linear
            map; `"last"` for the linear map alone.
        - `dtype`: of the parameters. Default: JAX's default float dtype.
        - `key`: for the initialisation.
        - `kwargs`: options of the convolutions.

        **Raises:** `ValueError` for an option that is unknown.
        """
        conv_key, rest_key = jax.random.split(key)
        widths = _widths(in_features, hidden_features, num_layers, out_features, jk)
        self.convs = [
            GCNConv(before, after, **kwargs, dtype=dtype, key=one)
            for before, after, one in _layers(widths, conv_key)
        ]
        self.norms = _norms(hidden_features, num_layers, jk, norm, norm_kwargs, dtype)
        self.act = make_activation(act, act_kwargs)
        self.dropout = make_dropout(dropout)
        self.out_features = hidden_features if out_features is None else out_features
        self.jk, self.lin = _ending(widths[1:], jk, self.out_features, dtype, rest_key)
        self.in_features, self.hidden_features = in_features, hidden_features
        self.act_first, self.jk_mode = act_first, jk


class GraphSAGE(AbstractGNN):
    """Layers of [`SAGEConv`][jraphx_eqx.nn.conv.SAGEConv], with norms, activations and dropout in
    between.

    Equal to `torch_geometric.nn.GraphSAGE`.
    """

    convs: list[SAGEConv]
    norms: list[Callable]
    act: Callable | None
    dropout: eqx.nn.Dropout
    jk: JumpingKnowledge | None
    lin: Linear | None
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    act_first: bool = eqx.field(static=True)
    jk_mode: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int,
        out_features: int | None = None,
        dropout: float | int = 0.0,
        act: str | Callable | None = "relu",
        act_first: bool = False,
        act_kwargs: Mapping[str, Any] | None = None,
        norm: str | None = None,
        norm_kwargs: Mapping[str, Any] | None = None,
        jk: str | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
        **kwargs: Any,
    ):
        """**Arguments:** as [`GCN`][jraphx_eqx.nn.models.GCN]."""
        conv_key, rest_key = jax.random.split(key)
        widths = _widths(in_features, hidden_features, num_layers, out_features, jk)
        self.convs = [
            SAGEConv(before, after, **kwargs, dtype=dtype, key=one)
            for before, after, one in _layers(widths, conv_key)
        ]
        self.norms = _norms(hidden_features, num_layers, jk, norm, norm_kwargs, dtype)
        self.act = make_activation(act, act_kwargs)
        self.dropout = make_dropout(dropout)
        self.out_features = hidden_features if out_features is None else out_features
        self.jk, self.lin = _ending(widths[1:], jk, self.out_features, dtype, rest_key)
        self.in_features, self.hidden_features = in_features, hidden_features
        self.act_first, self.jk_mode = act_first, jk


class GIN(AbstractGNN):
    """Layers of [`GINConv`][jraphx_eqx.nn.conv.GINConv], each with an
    [`MLP`][jraphx_eqx.nn.models.MLP] of two maps, with norms, activations and dropout in between.

    Equal to `torch_geometric.nn.GIN`. As there, `batch` reaches the norms between the layers only;
    those in the MLPs take all nodes for one graph. Unlike there, an activation with parameters,
    given as a module, becomes one of its own in each layer.
    """

    convs: list[GINConv]
    norms: list[Callable]
    act: Callable | None
    dropout: eqx.nn.Dropout
    jk: JumpingKnowledge | None
    lin: Linear | None
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    act_first: bool = eqx.field(static=True)
    jk_mode: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int,
        out_features: int | None = None,
        dropout: float | int = 0.0,
        act: str | Callable | None = "relu",
        act_first: bool = False,
        act_kwargs: Mapping[str, Any] | None = None,
        norm: str | None = None,
        norm_kwargs: Mapping[str, Any] | None = None,
        jk: str | None = None,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
        **kwargs: Any,
    ):
        """**Arguments:** as [`GCN`][jraphx_eqx.nn.models.GCN]. The MLPs have the same activation
        and norm."""
        conv_key, rest_key = jax.random.split(key)
        widths = _widths(in_features, hidden_features, num_layers, out_features, jk)
        of_mlp = {
            "act": act,
            "act_first": act_first,
            "act_kwargs": act_kwargs,
            "norm": norm,
            "norm_kwargs": norm_kwargs,
        }
        self.convs = [
            GINConv(
                before,
                after,
                MLP([before, after, after], **of_mlp, dtype=dtype, key=one),
                **kwargs,
                dtype=dtype,
            )
            for before, after, one in _layers(widths, conv_key)
        ]
        self.norms = _norms(hidden_features, num_layers, jk, norm, norm_kwargs, dtype)
        self.act = make_activation(act, act_kwargs)
        self.dropout = make_dropout(dropout)
        self.out_features = hidden_features if out_features is None else out_features
        self.jk, self.lin = _ending(widths[1:], jk, self.out_features, dtype, rest_key)
        self.in_features, self.hidden_features = in_features, hidden_features
        self.act_first, self.jk_mode = act_first, jk


class GAT(AbstractGNN):
    """Layers of [`GATConv`][jraphx_eqx.nn.conv.GATConv] or
    [`GATv2Conv`][jraphx_eqx.nn.conv.GATv2Conv], with norms, activations and dropout in between.

    Equal to `torch_geometric.nn.GAT`.
    """

    convs: list[GATConv | GATv2Conv]
    norms: list[Callable]
    act: Callable | None
    dropout: eqx.nn.Dropout
    jk: JumpingKnowledge | None
    lin: Linear | None
    in_features: int = eqx.field(static=True)
    hidden_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)
    act_first: bool = eqx.field(static=True)
    jk_mode: str | None = eqx.field(static=True)

    @python_numbers
    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_layers: int,
        out_features: int | None = None,
        dropout: float | int = 0.0,
        act: str | Callable | None = "relu",
        act_first: bool = False,
        act_kwargs: Mapping[str, Any] | None = None,
        norm: str | None = None,
        norm_kwargs: Mapping[str, Any] | None = None,
        jk: str | None = None,
        heads: int = 1,
        concat: bool = True,
        v2: bool = False,
        *,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
        **kwargs: Any,
    ):
        """**Arguments:**

        - `heads`: the number of heads of each convolution.
        - `concat`: whether heads are put side by side, so that their number must divide the
            features, or averaged. Those of a last layer that makes `out_features` are averaged.
        - `v2`: whether the convolutions are [`GATv2Conv`][jraphx_eqx.nn.conv.GATv2Conv].
        - the others: as [`GCN`][jraphx_eqx.nn.models.GCN]. As in PyG, `dropout` is also that of the
            attention.
        """
        conv_key, rest_key = jax.random.split(key)
        widths = _widths(in_features, hidden_features, num_layers, out_features, jk)
        self.convs = []
        for i, (before, after, one) in enumerate(_layers(widths, conv_key)):
            last = i == num_layers - 1 and out_features is not None and jk is None
            side_by_side = concat and not last
            if side_by_side and after % heads:
                raise ValueError(f"heads must divide {after} features, got {heads}")
            width = after // heads if side_by_side else after
            options = {"heads": heads, "concat": side_by_side, "dropout": dropout, **kwargs}
            conv = GATv2Conv if v2 else GATConv
            self.convs.append(conv(before, width, **options, dtype=dtype, key=one))
        self.norms = _norms(hidden_features, num_layers, jk, norm, norm_kwargs, dtype)
        self.act = make_activation(act, act_kwargs)
        self.dropout = make_dropout(dropout)
        self.out_features = hidden_features if out_features is None else out_features
        self.jk, self.lin = _ending(widths[1:], jk, self.out_features, dtype, rest_key)
        self.in_features, self.hidden_features = in_features, hidden_features
        self.act_first, self.jk_mode = act_first, jk


def _widths(in_features, hidden_features, num_layers, out_features, jk):
    check_positive(in_features=in_features, hidden_features=hidden_features, num_layers=num_layers)
    last = hidden_features if out_features is None or jk is not None else out_features
    return [in_features, *[hidden_features] * (num_layers - 1), last]


def _layers(widths, key):
    keys = jax.random.split(key, len(widths) - 1)
    return zip(widths[:-1], widths[1:], keys, strict=True)


def _norms(width, num_layers, jk, norm, options, dtype):
    made = make_norms(norm, options, [width] * (num_layers - (jk is None)), dtype)
    return [*made, *[eqx.nn.Identity()] * (jk is None)]


def _ending(widths, jk, out_features, dtype, key):
    if jk is None:
        return None, None
    jk_key, lin_key = jax.random.split(key)
    jump = None
    if jk != "last":
        jump = JumpingKnowledge(jk, widths[-1], len(widths), dtype=dtype, key=jk_key)
    width = sum(widths) if jk == "cat" else widths[-1]
    return jump, Linear(width, out_features, dtype=dtype, key=lin_key)


def _pyg_outputs(module):
    # Where the last convolution makes the outputs, there is no other trace of it.
    ends = getattr(module, "_is_conv_to_out", False) or module.jk_mode is not None
    return module.out_channels if ends else None


def _outputs_for_pyg(model):
    same = model.jk_mode is None and model.out_features == model.hidden_features
    return None if same else model.out_features


for _model in (GCN, GraphSAGE, GIN, GAT):
    twin(
        _model,
        f"torch_geometric.nn.{_model.__name__}",
        IN,
        Option("hidden_features", "hidden_channels"),
        Option("num_layers", at="convs", write=len),
        Option(
            "out_features",
            "out_channels",
            at="",
            theirs_at="",
            read=_pyg_outputs,
            write=_outputs_for_pyg,
        ),
        part("act"),
        "act_first",
        Option("jk", at="jk_mode", theirs_at="jk_mode"),
        fixed={"norm": None},
        parts=("convs", "norms", "dropout", "jk", "lin"),
        inference="dropout.inference",
        finish=takes_batch,
    )
