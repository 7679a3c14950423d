"""The networks in PyG. Those in `ours` have the same attributes."""

import torch
from torch import nn
from torch_geometric.nn import (
    GATConv,
    GCNConv,
    GraphConv,
    GraphUNet,
    JumpingKnowledge,
    SAGPooling,
    TopKPooling,
    global_max_pool,
    global_mean_pool,
)


class Hierarchical(nn.Module):
    """As in PyG's benchmark suite: convolutions with a pooling after every second one, a readout
    after each, and all readouts side by side."""

    def __init__(self, kind, in_features, classes, layers, hidden=32, ratio=0.8):
        super().__init__()
        pooling = {"topk": TopKPooling, "sag": SAGPooling}[kind]
        self.conv1 = GraphConv(in_features, hidden, aggr="mean")
        convs = [GraphConv(hidden, hidden, aggr="mean") for _ in range(layers - 1)]
        self.convs = nn.ModuleList(convs)
        # The suite makes one more pooling where the number of layers is even, and never calls it.
        self.pools = nn.ModuleList(pooling(hidden, ratio) for _ in range((layers - 1) // 2))
        self.jump = JumpingKnowledge("cat")
        self.lin1 = nn.Linear(layers * hidden, hidden)
        self.lin2 = nn.Linear(hidden, classes)

    def forward(self, x, edge_index, batch):
        x = self.conv1(x, edge_index).relu()
        xs = [global_mean_pool(x, batch)]
        for i, conv in enumerate(self.convs):
            x = conv(x, edge_index).relu()
            xs.append(global_mean_pool(x, batch))
            if i % 2 == 0 and i < len(self.convs) - 1:
                x, edge_index, _, batch, _, _ = self.pools[i // 2](x, edge_index, batch=batch)
        return self.lin2(self.lin1(self.jump(xs)).relu())


class SumOfReadouts(nn.Module):
    """As in the paper on SAGPool: after each pooling the maximum beside the mean, and their sum."""

    def __init__(self, kind, in_features, classes, hidden=32, ratio=0.5):
        super().__init__()
        widths = [in_features, hidden, hidden]
        self.convs = nn.ModuleList(GCNConv(width, hidden) for width in widths)
        if kind == "gat":
            pools = [SAGPooling(hidden, ratio, GNN=GATConv) for _ in widths]
        else:
            pools = [TopKPooling(hidden, ratio) for _ in widths]
        self.pools = nn.ModuleList(pools)
        self.lin1 = nn.Linear(2 * hidden, hidden)
        self.lin2 = nn.Linear(hidden, classes)

    def forward(self, x, edge_index, batch):
        total = 0
        for conv, pool in zip(self.convs, self.pools, strict=True):
            x = conv(x, edge_index).relu()
            x, edge_index, _, batch, _, _ = pool(x, edge_index, batch=batch)
            readouts = [global_max_pool(x, batch), global_mean_pool(x, batch)]
            total = total + torch.cat(readouts, dim=1)
        return self.lin2(self.lin1(total).relu())


class UNetClassifier(nn.Module):
    """A Graph U-Net whose nodes are averaged."""

    def __init__(self, in_features, classes, hidden=32, depth=2, max_paths=None):
        super().__init__()
        self.unet = GraphUNet(in_features, hidden, hidden, depth, pool_ratios=0.5)
        self.lin = nn.Linear(hidden, classes)

    def forward(self, x, edge_index, batch):
        x = self.unet(x, edge_index, batch).relu()
        return self.lin(global_mean_pool(x, batch))
