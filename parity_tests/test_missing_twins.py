"""A layer of PyG that has no twin is named by the weights that a checkpoint has of it."""

import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.interop import from_pyg, load_state_dict

from .catalogue import SPECS

LAYERS = {
    "torch_geometric.nn.TransformerConv": lambda: pyg.TransformerConv(4, 4),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("path", ["readout", "blocks.0.readout"])
def test_a_layer_without_a_twin_is_named_once_and_where_it_is(name, path):
    state = {f"{path}.{key}": value for key, value in LAYERS[name]().state_dict().items()}
    with pytest.raises(ValueError, match="has no twin here") as caught:
        load_state_dict({}, state)
    [line] = [line for line in str(caught.value).splitlines() if "no twin" in line]
    assert name in line and f"{path!r} has the weights of" in line
    with pytest.raises(TypeError, match="from_pyg cannot convert"):  # or the line is wrong
        from_pyg(LAYERS[name]())


IN_CATALOGUE = [spec.pyg(**spec.grid[0].options) for spec in SPECS.values()]
WITH_TWINS = [
    *(one for one in IN_CATALOGUE if isinstance(one, torch.nn.Module) and one.state_dict()),
    pyg.GATConv(4, 4, edge_dim=2, residual=True),
    pyg.GATv2Conv(4, 4),
    pyg.SAGEConv(4, 4, project=True),
    pyg.GIN(4, 4, 2, norm="batch_norm"),
    pyg.MemPooling(4, 4, 2, 2),
    pyg.ASAPooling(4),
    pyg.PANPooling(4),
    pyg.aggr.GraphMultisetTransformer(4, 2),
    pyg.Set2Set(4, 2),
    pyg.aggr.AttentionalAggregation(torch.nn.Sequential(torch.nn.Linear(4, 1))),
    torch.nn.GRUCell(4, 4),
    torch.nn.LSTMCell(4, 4),
    torch.nn.Embedding(4, 4),
]


@pytest.mark.parametrize("module", WITH_TWINS, ids=lambda module: type(module).__name__)
def test_a_layer_with_a_twin_is_taken_for_no_other(module):
    state = {f"more.{key}": value for key, value in module.state_dict().items()}
    with pytest.raises(ValueError, match="unexpected") as caught:
        load_state_dict({}, state)
    assert "no twin" not in str(caught.value)
