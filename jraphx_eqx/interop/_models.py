"""Models are made from their options, and their parts are converted separately."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from ..nn.models import GAT, GCN, GIN, MLP, GraphSAGE, JumpingKnowledge
from ._layer import check_hooks, dtype_of, register_layer
from ._twins import Twin, part_from_pyg, register, resolve, to_pyg


def _mlp_from_pyg(module):
    options = {"act_first": module.act_first, "plain_last": module.plain_last, "norm": None}
    options["bias"] = [lin.bias is not None for lin in module.lins]
    options["dropout"] = [float(p) for p in module.dropout]
    layer = _made(MLP, module, module.channel_list, **options)
    parts = {name: _list(module, name) for name in ("lins", "norms")}
    layer = _with_parts(layer, act=_act(module), **parts)
    dropouts = eqx.nn.inference_mode(layer.dropouts, value=not module.training)
    return _with_parts(layer, dropouts=dropouts)


def _mlp_to_pyg(layer):
    kind = resolve("torch_geometric.nn.MLP")
    dropout = [one.p for one in layer.dropouts]
    options = {"act_first": layer.act_first, "plain_last": layer.plain_last, "norm": None}
    with _quiet():
        module = kind(list(layer.features), dropout=dropout, act=_act_back(layer), **options)
    _put_lists(module, layer, "lins", "norms")
    takes = resolve("torch_geometric.nn.GraphNorm"), resolve("torch_geometric.nn.LayerNorm")
    module.supports_norm_batch = any(isinstance(norm, takes) for norm in module.norms)
    module.training = not all(one.inference for one in layer.dropouts)
    return module


def _gnn_from_pyg(ours):
    def convert(module):
        widths = (module.in_channels, module.hidden_channels, module.num_layers)
        # Where the last convolution makes the outputs, there is no other trace of it.
        to_out = getattr(module, "_is_conv_to_out", False) or module.jk_mode is not None
        out = module.out_channels if to_out else None
        options = {"act_first": module.act_first, "jk": module.jk_mode, "norm": None}
        layer = _made(ours, module, *widths, out, **options)
        parts = {"convs": _list(module, "convs"), "norms": _list(module, "norms")}
        parts["dropout"] = part_from_pyg("dropout", module.dropout)
        for name in ("jk", "lin"):
            if hasattr(module, name):
                parts[name] = part_from_pyg(name, getattr(module, name))
        return _with_parts(layer, act=_act(module), **parts)

    return convert


def _gnn_to_pyg(theirs):
    def convert(layer):
        kind = resolve(theirs)
        out = layer.out_features
        if layer.jk_mode is None and out == layer.hidden_features:
            out = None
        options = {"dropout": layer.dropout.p, "act_first": layer.act_first, "jk": layer.jk_mode}
        widths = (layer.in_features, layer.hidden_features, len(layer.convs))
        with _quiet():
            module = kind(*widths, out, act=_act_back(layer), **options)
        _put_lists(module, layer, "convs", "norms")
        takes = resolve("torch_geometric.nn.GraphNorm"), resolve("torch_geometric.nn.LayerNorm")
        module.supports_norm_batch = any(isinstance(norm, takes) for norm in module.norms)
        for name in ("jk", "lin"):
            if getattr(layer, name) is not None:
                setattr(module, name, to_pyg(getattr(layer, name)))
        module.dropout = to_pyg(layer.dropout)
        module.training = not layer.dropout.inference
        return module

    return convert


def _jk_from_pyg(module, **kwargs):
    return JumpingKnowledge(module.mode, module.channels, module.num_layers, **kwargs)


def _jk_to_pyg(kind, layer):
    return kind(layer.mode, layer.in_features, layer.num_layers)


def _made(ours: Callable, module: Any, *args: Any, **options: Any) -> Any:
    check_hooks(module)
    return ours(*args, **options, dtype=dtype_of(module), key=jax.random.key(0))


def _with_parts(layer, **parts):
    return eqx.tree_at(
        lambda tree: [getattr(tree, name) for name in parts],
        layer,
        list(parts.values()),
        is_leaf=lambda leaf: leaf is None,
    )


def _list(module, name):
    children = getattr(module, name)
    return [part_from_pyg(f"{name}.{i}", child) for i, child in enumerate(children)]


def _act(module):
    return None if module.act is None else part_from_pyg("act", module.act)


def _act_back(layer):
    return None if layer.act is None else to_pyg(layer.act)


def _put_lists(module, layer, *names):
    for name in names:
        children = [to_pyg(child) for child in getattr(layer, name)]
        setattr(module, name, resolve("torch.nn.ModuleList")(children))


def _quiet():
    """A context in which the initial values do not disturb the caller's random numbers."""
    import torch

    return torch.random.fork_rng(devices=[])


register(Twin("torch_geometric.nn.MLP", MLP, _mlp_from_pyg, _mlp_to_pyg))
register_layer("torch_geometric.nn.JumpingKnowledge", JumpingKnowledge, _jk_from_pyg, _jk_to_pyg)
for _ours in (GCN, GraphSAGE, GIN, GAT):
    _theirs = f"torch_geometric.nn.{_ours.__name__}"
    register(Twin(_theirs, _ours, _gnn_from_pyg(_ours), _gnn_to_pyg(_theirs)))
