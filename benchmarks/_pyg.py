import torch
import torch_geometric.nn as pyg
from torch_geometric.utils import scatter

from ._inputs import Inputs, Operations


def operations(inputs: Inputs) -> Operations:
    """As in `_ours`, in PyG's eager mode, which is how it is used."""
    x = torch.from_numpy(inputs.x).requires_grad_()
    edge_index = torch.from_numpy(inputs.edge_index).long()
    batch = torch.from_numpy(inputs.batch).long()
    size, features = inputs.num_graphs, x.shape[1]
    pools = {
        "TopKPooling": pyg.TopKPooling(features),
        "SAGPooling (graph)": pyg.SAGPooling(features),
        "SAGPooling (gcn)": pyg.SAGPooling(features, GNN=pyg.GCNConv),
    }
    forward = {
        "global_add_pool": lambda: pyg.global_add_pool(x, batch, size),
        "global_mean_pool": lambda: pyg.global_mean_pool(x, batch, size),
        "global_max_pool": lambda: pyg.global_max_pool(x, batch, size),
        "global_min_pool": lambda: scatter(x, batch, dim_size=size, reduce="min"),
    }
    for name, pool in pools.items():
        forward[name] = lambda pool=pool: pool(x, edge_index, batch=batch)[0]
    out = {}
    for name, function in forward.items():
        out[name, "forward"] = lambda function=function: _without_grad(function)
        out[name, "forward + backward"] = lambda function=function: function().sum().backward()
    return out


def _without_grad(function):
    with torch.no_grad():
        return function()
