"""Records one release: `python record.py RELEASE FOLDER`, with that release on the path.

The files hold float64 arrays: the state dict as `state/NAME`, the inputs as `input/NAME`, and what
the network returns in evaluation mode as `output/x`.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

BATCH = [0, 0, 0, 0, 1, 1, 1, 1, 1]
# In both directions: before PyG 1.6, a GCNConv took the degrees of the sources.
ENDS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 2, 5], [1, 2, 3, 0, 5, 6, 7, 8, 4, 0, 8]
EDGES = [[*ENDS[0], *ENDS[1]], [*ENDS[1], *ENDS[0]]]


def networks(pyg):
    """By name: a network, and how it is called."""

    class Net(torch.nn.Module):
        def __init__(self, conv, pool, norm=True):
            super().__init__()
            self.conv = conv
            width = conv.heads * conv.out_channels if hasattr(conv, "heads") else conv.out_channels
            self.norm = pyg.BatchNorm(width) if norm else None
            self.pool = pool(width)
            self.lin = torch.nn.Linear(width, 2)

        def forward(self, x, edge_index, batch):
            x = self.conv(x, edge_index)
            x = torch.relu(x if self.norm is None else self.norm(x))
            x, edge_index, _, batch, *_ = self.pool(x, edge_index, batch=batch)
            return self.lin(pyg.global_mean_pool(x, batch))

    def sag(gnn):
        return lambda width: pyg.SAGPooling(width, 0.6, gnn)

    return {
        "gcn-topk": lambda: Net(pyg.GCNConv(4, 6), lambda width: pyg.TopKPooling(width, 0.5)),
        "gat-sag": lambda: Net(pyg.GATConv(4, 3, heads=2), sag(pyg.GCNConv)),
        "graph-sag": lambda: Net(pyg.GraphConv(4, 4), sag(pyg.GraphConv)),
    }


def record(release: str, folder: Path) -> None:
    """Writes one file for each network."""
    if release < "2.3":
        from _shim import install

        install(release)
    import torch_geometric
    import torch_geometric.nn as pyg

    assert torch_geometric.__version__ == release, torch_geometric.__version__
    torch.set_num_threads(1)
    # Up to 2.0.4, a GCNConv normalised in the default dtype.
    torch.set_default_dtype(torch.float64)
    for number, (name, make) in enumerate(networks(pyg).items()):
        torch.manual_seed(number)
        network = make().double().eval()
        for key, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5 if key.endswith("running_var") else -1, 1)
        x = torch.randn(len(BATCH), 4, dtype=torch.float64)
        edge_index, batch = torch.tensor(EDGES), torch.tensor(BATCH)
        with torch.no_grad():
            out = network(x, edge_index, batch)
        arrays = {f"state/{key}": value for key, value in network.state_dict().items()}
        arrays |= {"input/x": x, "input/edge_index": edge_index, "input/batch": batch}
        arrays["output/x"] = out
        np.savez(folder / f"{release}-{name}.npz", **{k: v.numpy() for k, v in arrays.items()})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    record(sys.argv[1], Path(sys.argv[2]))
