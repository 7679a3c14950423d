from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np

from ..nn.aggr import (
    AttentionalAggregation,
    DeepSetsAggregation,
    DegreeScalerAggregation,
    EquilibriumAggregation,
    GraphMultisetTransformer,
    GRUAggregation,
    LCMAggregation,
    LSTMAggregation,
    MaxAggregation,
    MeanAggregation,
    MedianAggregation,
    MinAggregation,
    MLPAggregation,
    MulAggregation,
    MultiAggregation,
    PatchTransformerAggregation,
    PowerMeanAggregation,
    QuantileAggregation,
    Set2Set,
    SetTransformerAggregation,
    SoftmaxAggregation,
    SortAggregation,
    StdAggregation,
    SumAggregation,
    VarAggregation,
    VariancePreservingAggregation,
)
from ..nn.pool import global_sort_pool
from ._layer import register_layer
from ._twins import part_from_pyg, qualified_name, register_function, resolve, to_pyg


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


def _recurrent_from_pyg(ours, name):
    def convert(module, **kwargs):
        unit = getattr(module, name)
        check_recurrent(module, unit)
        options = unit.num_layers, unit.bias, unit.bidirectional
        return ours(module.in_channels, module.out_channels, *options, **kwargs)

    return convert


def _recurrent_to_pyg(name):
    def convert(kind, layer):
        unit = getattr(layer, name)
        return kind(unit.in_features, unit.hidden_features, **recurrent_options(unit))

    return convert


def _mlp_from_pyg(module, **kwargs):
    sizes = module.in_channels, module.out_channels, module.max_num_elements
    mlp = part_from_pyg("mlp", module.mlp)
    return eqx.tree_at(lambda layer: layer.mlp, MLPAggregation(*sizes, **kwargs), mlp)


def _mlp_to_pyg(kind, layer):
    sizes = layer.in_features, layer.mlp.features[-1], layer.max_num_elements
    module = kind(*sizes, num_layers=1)
    module.mlp = to_pyg(layer.mlp)
    return module


def _deep_sets_from_pyg(module, dtype, key):
    local = network_from_pyg(module, "local_nn", "local_mlp")
    return DeepSetsAggregation(local, network_from_pyg(module, "global_nn", "global_mlp"))


def _deep_sets_to_pyg(kind, layer):
    local = network_to_pyg(layer.local_nn, layer.local_mlp)
    return kind(local, network_to_pyg(layer.global_nn, layer.global_mlp))


def _lcm_from_pyg(module, **kwargs):
    return LCMAggregation(module.in_channels, module.out_channels, module.project, **kwargs)


def _lcm_to_pyg(kind, layer):
    return kind(layer.in_features, layer.out_features, layer.lin is not None)


def _set_transformer_from_pyg(module, **kwargs):
    layer = SetTransformerAggregation(
        module.channels,
        module.num_seed_points,
        len(module.encoders),
        len(module.decoders),
        module.heads,
        module.concat,
        module.layer_norm,
        module.dropout,
        **kwargs,
    )
    return eqx.nn.inference_mode(layer, value=not module.training)


def _set_transformer_to_pyg(kind, layer):
    blocks = len(layer.encoders), len(layer.decoders)
    options = _block_options(layer.pma.mab)
    seeds = layer.pma.seed.shape[1]
    module = kind(layer.features, seeds, *blocks, concat=layer.concat, **options)
    return module.train(not layer.pma.mab.attn.dropout.inference)


def _gmt_from_pyg(module, **kwargs):
    options = module.heads, module.layer_norm, module.dropout
    blocks = len(module.encoders)
    layer = GraphMultisetTransformer(module.channels, module.k, blocks, *options, **kwargs)
    return eqx.nn.inference_mode(layer, value=not module.training)


def _gmt_to_pyg(kind, layer):
    block = layer.pma1.mab
    blocks, seeds = len(layer.encoders), layer.pma1.seed.shape[1]
    module = kind(layer.features, seeds, blocks, **_block_options(block))
    return module.train(not block.attn.dropout.inference)


def _block_options(block):
    return {
        "heads": block.attn.heads,
        "layer_norm": block.layer_norm1 is not None,
        "dropout": block.attn.dropout.p,
    }


def _multi_from_pyg(module, **kwargs):
    aggrs = [part_from_pyg(f"aggrs.{i}", aggr) for i, aggr in enumerate(module.aggrs)]
    options = {"in_features": module.in_channels, "out_features": module.out_channels}
    if module.mode == "proj":
        options["bias"] = module.lin.bias is not None
    elif module.mode == "attn":
        attention = module.multihead_attn
        options |= {"num_heads": attention.num_heads, "dropout": attention.dropout}
        options["bias"] = attention.in_proj_bias is not None
    layer = MultiAggregation(aggrs, mode=module.mode, mode_kwargs=options, **kwargs)
    return eqx.nn.inference_mode(layer, value=not module.training)


def _multi_to_pyg(kind, layer):
    options = {}
    if layer.lin is not None:
        # PyG needs to know their sum only.
        others = [1] * (len(layer.aggrs) - 1)
        widths = [layer.lin.in_features - len(others), *others]
        options = {"in_channels": widths, "out_channels": layer.lin.out_features}
        options["bias"] = layer.lin.bias is not None
    elif layer.lin_heads is not None:
        attention = layer.multihead_attn
        options = {
            "in_channels": [lin.in_features for lin in layer.lin_heads.lins],
            "out_channels": attention.features,
            "num_heads": attention.heads,
            "dropout": attention.dropout.p,
            "bias": attention.in_proj_bias is not None,
        }
    module = kind([to_pyg(aggr) for aggr in layer.aggrs], mode=layer.mode, mode_kwargs=options)
    if layer.multihead_attn is not None:
        module.train(not layer.multihead_attn.dropout.inference)
    return module


# The means of degrees come with the weights.
_ONE_NODE = (0, 1)


def _scaler_from_pyg(module, dtype, key):
    train_norm = isinstance(module.avg_deg_lin, resolve("torch.nn.Parameter"))
    aggr = part_from_pyg("aggr", module.aggr)
    degrees = np.asarray(_ONE_NODE)
    return DegreeScalerAggregation(aggr, module.scaler, degrees, train_norm, dtype=dtype)


def _scaler_to_pyg(kind, layer):
    degrees = resolve("torch.tensor")(_ONE_NODE)
    return kind(to_pyg(layer.aggr), list(layer.scaler), degrees, layer.train_norm)


def _equilibrium_from_pyg(module, **kwargs):
    *hidden, _ = module.potential.layers
    in_features = module.potential.res_trans[0].in_features - module.output_dim
    sizes = in_features, module.output_dim, [layer[0].out_features for layer in hidden]
    options = module.grad_iter, module.initial_lamb
    return EquilibriumAggregation(*sizes, *options, batch_mean=True, **kwargs)


def _equilibrium_to_pyg(kind, layer):
    if not layer.batch_mean:
        raise ValueError("EquilibriumAggregation with batch_mean=False has no twin")
    hidden = [residual.out_features for residual in layer.potential.res_trans[:-1]]
    return kind(layer.in_features, layer.out_features, hidden, layer.grad_iter)


def _patches_from_pyg(module, **kwargs):
    block = module.blocks[0]
    layer = PatchTransformerAggregation(
        module.in_channels,
        module.out_channels,
        module.patch_size,
        module.lin.out_features,
        len(module.blocks),
        block.heads,
        block.dropout,
        module.aggrs,
        **kwargs,
    )
    return eqx.nn.inference_mode(layer, value=not module.training)


def _patches_to_pyg(kind, layer):
    attention = layer.blocks[0].attn
    sizes = layer.in_features, layer.fc.out_features, layer.patch_size, layer.lin.out_features
    options = len(layer.blocks), attention.heads, attention.dropout.p, list(layer.aggrs)
    return kind(*sizes, *options).train(not attention.dropout.inference)


for _ours, _unit in ((LSTMAggregation, "lstm"), (GRUAggregation, "gru")):
    register_layer(
        f"torch_geometric.nn.aggr.{_ours.__name__}",
        _ours,
        _recurrent_from_pyg(_ours, _unit),
        _recurrent_to_pyg(_unit),
    )
for _ours, _from, _to in (
    (MLPAggregation, _mlp_from_pyg, _mlp_to_pyg),
    (DeepSetsAggregation, _deep_sets_from_pyg, _deep_sets_to_pyg),
    (LCMAggregation, _lcm_from_pyg, _lcm_to_pyg),
    (SetTransformerAggregation, _set_transformer_from_pyg, _set_transformer_to_pyg),
    (GraphMultisetTransformer, _gmt_from_pyg, _gmt_to_pyg),
    (MultiAggregation, _multi_from_pyg, _multi_to_pyg),
    (DegreeScalerAggregation, _scaler_from_pyg, _scaler_to_pyg),
    (EquilibriumAggregation, _equilibrium_from_pyg, _equilibrium_to_pyg),
    (PatchTransformerAggregation, _patches_from_pyg, _patches_to_pyg),
):
    register_layer(f"torch_geometric.nn.aggr.{_ours.__name__}", _ours, _from, _to)
