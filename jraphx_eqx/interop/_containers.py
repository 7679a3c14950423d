"""Containers of layers, each of which is converted separately."""

import equinox as eqx

from ..data import Data
from ..nn import Sequential
from ..nn.models import GraphSequential
from ._layer import check_hooks
from ._twins import Conversion, part_from_pyg, register, resolve, to_pyg


def _parts(module):
    check_hooks(module)
    return {name: part_from_pyg(name, child) for name, child in module.named_children()}


def _list_to_pyg(layers):
    if layers and all(isinstance(one, Data) for one in layers):
        return [to_pyg(one) for one in layers]
    return resolve("torch.nn.ModuleList")([to_pyg(layer) for layer in layers])


def _dict_to_pyg(layers):
    made = {name: to_pyg(layer) for name, layer in layers.items()}
    return resolve("torch.nn.ModuleDict")(made)


def _sequential_to_pyg(sequential):
    return resolve("torch.nn.Sequential")(*map(to_pyg, sequential.layers))


def _graph_sequential_from_pyg(module):
    check_hooks(module)
    modules = {}
    for child in module._children:
        signature = f"{', '.join(child.param_names)} -> {', '.join(child.return_names)}"
        layer = part_from_pyg(child.name, getattr(module, child.name))
        modules[child.name] = (layer, signature)
    return GraphSequential(", ".join(module.signature.param_dict), modules)


def _graph_sequential_to_pyg(sequential):
    modules = {
        name: (to_pyg(sequential.modules[name]), f"{', '.join(taken)} -> {', '.join(returned)}")
        for name, (taken, returned) in zip(sequential.order, sequential.signatures, strict=True)
    }
    kind = resolve("torch_geometric.nn.Sequential")
    return kind(", ".join(sequential.arguments), modules)


def _dropout_from_pyg(module):
    return eqx.nn.Dropout(float(module.p), inference=not module.training)


def _dropout_to_pyg(layer):
    return resolve("torch.nn.Dropout")(layer.p).train(not layer.inference)


register(
    Conversion(
        "torch.nn.Sequential",
        Sequential,
        lambda module: Sequential(list(_parts(module).values())),
        _sequential_to_pyg,
    )
)
register(
    Conversion(
        "torch.nn.ModuleList", list, lambda module: list(_parts(module).values()), _list_to_pyg
    )
)
register(Conversion("torch.nn.ModuleDict", dict, _parts, _dict_to_pyg))
register(
    Conversion(
        "torch_geometric.nn.Sequential",
        GraphSequential,
        _graph_sequential_from_pyg,
        _graph_sequential_to_pyg,
    )
)
register(Conversion("torch.nn.Dropout", eqx.nn.Dropout, _dropout_from_pyg, _dropout_to_pyg))
register(
    Conversion(
        "torch.nn.Identity",
        eqx.nn.Identity,
        lambda _: eqx.nn.Identity(),
        lambda _: resolve("torch.nn.Identity")(),
    )
)
