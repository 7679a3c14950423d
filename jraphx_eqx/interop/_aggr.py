from collections.abc import Callable, Mapping
from typing import Any

from ..nn.aggr import (
    AttentionalAggregation,
    MaxAggregation,
    MeanAggregation,
    MedianAggregation,
    MinAggregation,
    MulAggregation,
    PowerMeanAggregation,
    QuantileAggregation,
    Set2Set,
    SoftmaxAggregation,
    SortAggregation,
    StdAggregation,
    SumAggregation,
    VarAggregation,
    VariancePreservingAggregation,
)
from ..nn.pool import global_sort_pool
from ._layer import register_layer
from ._twins import part_from_pyg, qualified_name, register_function, to_pyg


def _register(
    ours: type, options: Mapping[str, tuple[str, str]] | None = None, takes_dtype: bool = False
) -> None:
    """Registers an aggregation by its options: their names as arguments of PyG's class, and the
    attributes that hold them, in PyG and here. Ours has the same arguments in the same order."""
    options = options or {}

    def make_ours(module, dtype, key):
        values = [_read(module, theirs) for theirs, _ in options.values()]
        return ours(*values, dtype=dtype) if takes_dtype else ours(*values)

    def make_theirs(kind, layer):
        return kind(**{name: _read(layer, held) for name, (_, held) in options.items()})

    register_layer(f"torch_geometric.nn.aggr.{ours.__name__}", ours, make_ours, make_theirs)


def _read(layer, path):
    for name in path.split("."):
        layer = getattr(layer, name)
    return layer


def _quantile_from_pyg(module, dtype, key):
    q = module.q.flatten().tolist()
    return QuantileAggregation(q, module.interpolation, module.fill_value, dtype=dtype)


def _quantile_to_pyg(kind, layer):
    return kind(layer.q[:, 0].tolist(), layer.interpolation, layer.fill_value)


def _set2set_from_pyg(module, **kwargs):
    check_recurrent(module, module.lstm, bidirectional=False)
    sizes = module.in_channels, module.processing_steps
    return Set2Set(*sizes, module.lstm.num_layers, module.lstm.bias, **kwargs)


def _set2set_to_pyg(kind, layer):
    options = recurrent_options(layer.lstm)
    return kind(layer.in_features, layer.processing_steps, **options)


def recurrent_options(layer: Any) -> dict[str, Any]:
    """The options of torch's twin of an LSTM or GRU of ours."""
    return {
        "num_layers": layer.num_layers,
        "bias": "bias_ih_l0" in layer.parameters,
        "bidirectional": layer.bidirectional,
    }


def check_recurrent(owner: Any, module: Any, **more: Any) -> None:
    """Raises for options of an LSTM or GRU that ours do not have."""
    for name, allowed in {"dropout": 0, "proj_size": 0, **more}.items():
        value = getattr(module, name, allowed)
        if value != allowed:
            raise ValueError(
                f"{qualified_name(owner)} with {name}={value} has no twin: it must be {allowed}"
            )


def network_from_pyg(module: Any, *names: str) -> Any:
    """The network that PyG has under one of two names, by whether it is an `MLP`."""
    for name in names:
        if getattr(module, name) is not None:
            return part_from_pyg(name, getattr(module, name))
    return None


def network_to_pyg(*networks: Any) -> Any:
    """The one that is not `None`, if there is one."""
    return next((to_pyg(network) for network in networks if network is not None), None)


def _attentional_from_pyg(module, dtype, key):
    gate = network_from_pyg(module, "gate_nn", "gate_mlp")
    return AttentionalAggregation(gate, network_from_pyg(module, "nn", "mlp"))


def _attentional_to_pyg(kind, layer):
    gate = network_to_pyg(layer.gate_nn, layer.gate_mlp)
    return kind(gate, network_to_pyg(layer.nn, layer.mlp))


_PLAIN: tuple[Callable[..., Any], ...] = (
    SumAggregation,
    MeanAggregation,
    MaxAggregation,
    MinAggregation,
    MulAggregation,
    VariancePreservingAggregation,
)
for _ours in _PLAIN:
    _register(_ours)
_register(VarAggregation, {"semi_grad": ("semi_grad", "semi_grad")})
_register(StdAggregation, {"semi_grad": ("var_aggr.semi_grad", "var_aggr.semi_grad")})
_register(SortAggregation, {"k": ("k", "k")})
_register(MedianAggregation, {"fill_value": ("fill_value", "fill_value")}, takes_dtype=True)
_register(
    SoftmaxAggregation,
    {
        "t": ("_init_t", "initial_t"),
        "learn": ("learn", "learn"),
        "semi_grad": ("semi_grad", "semi_grad"),
        "channels": ("channels", "channels"),
    },
    takes_dtype=True,
)
_register(
    PowerMeanAggregation,
    {
        "p": ("_init_p", "initial_p"),
        "learn": ("learn", "learn"),
        "channels": ("channels", "channels"),
        "clamp_min": ("min_value", "clamp_min"),
        "clamp_max": ("max_value", "clamp_max"),
    },
    takes_dtype=True,
)
register_layer(
    "torch_geometric.nn.aggr.QuantileAggregation",
    QuantileAggregation,
    _quantile_from_pyg,
    _quantile_to_pyg,
)
register_layer("torch_geometric.nn.aggr.Set2Set", Set2Set, _set2set_from_pyg, _set2set_to_pyg)
for _name in ("aggr.AttentionalAggregation", "glob.GlobalAttention"):
    register_layer(
        f"torch_geometric.nn.{_name}",
        AttentionalAggregation,
        _attentional_from_pyg,
        _attentional_to_pyg,
    )
register_function("torch_geometric.nn.glob.global_sort_pool", global_sort_pool)
