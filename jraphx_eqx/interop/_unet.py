import equinox as eqx

from ..nn.models import GraphUNet
from ._layer import register_layer
from ._nonlinearity import nonlinearity_from_pyg, nonlinearity_to_pyg
from ._twins import from_pyg, qualified_name, resolve, to_pyg

_PARTS = {
    "down_convs": "torch_geometric.nn.GCNConv",
    "pools": "torch_geometric.nn.TopKPooling",
    "up_convs": "torch_geometric.nn.GCNConv",
}


def _unet_from_pyg(module, **kwargs):
    unet = GraphUNet(
        module.down_convs[0].lin.in_channels,
        module.hidden_channels,
        module.out_channels,
        module.depth,
        sum_res=module.sum_res,
        act=nonlinearity_from_pyg(module.act),
        **kwargs,
    )
    for name, theirs in _PARTS.items():
        for part in getattr(module, name):
            # A scorer that looks at the edges would have to see all of the augmented ones.
            if type(part) is not resolve(theirs):
                raise ValueError(
                    f"{qualified_name(module)} with {qualified_name(part)} in {name} has no twin: "
                    f"it must be a {theirs}"
                )
    parts = [[from_pyg(part) for part in getattr(module, name)] for name in _PARTS]
    return eqx.tree_at(lambda unet: [getattr(unet, name) for name in _PARTS], unet, parts)


def _unet_to_pyg(kind, layer):
    import torch

    module = kind(
        layer.in_features,
        layer.hidden_features,
        layer.out_features,
        layer.depth,
        [pool.select.ratio for pool in layer.pools],
        layer.sum_res,
        nonlinearity_to_pyg(layer.act),
    )
    for name in _PARTS:
        parts = [to_pyg(part) for part in getattr(layer, name)]
        setattr(module, name, torch.nn.ModuleList(parts))
    return module


register_layer("torch_geometric.nn.GraphUNet", GraphUNet, _unet_from_pyg, _unet_to_pyg)
