"""Whole networks of PyG, whose ports are in `whole_ours`."""

import torch
import torch_geometric.nn as pyg

IN, WIDTH, CLASSES = 4, 6, 3


class TheirPools(torch.nn.Module):
    """Three poolings in a row, by ratio, by score and by attention; readouts are added."""

    def __init__(self):
        super().__init__()
        self.first = pyg.GraphConv(IN, WIDTH)
        self.convs = torch.nn.ModuleList(pyg.GraphConv(WIDTH, WIDTH) for _ in range(3))
        self.pools = torch.nn.ModuleList(
            [
                pyg.TopKPooling(WIDTH, 0.8),
                pyg.TopKPooling(WIDTH, min_score=0.08),
                pyg.SAGPooling(WIDTH, 0.7),
            ]
        )
        self.lin = torch.nn.Linear(2 * WIDTH, CLASSES)

    def forward(self, x, edge_index, batch):
        x, total = self.first(x, edge_index).relu(), 0
        for conv, pool in zip(self.convs, self.pools, strict=True):
            x = conv(x, edge_index).relu()
            x, edge_index, _, batch, _, _ = pool(x, edge_index, batch=batch)
            parts = [pyg.global_max_pool(x, batch), pyg.global_mean_pool(x, batch)]
            total = total + torch.cat(parts, dim=1)
        return self.lin(total).log_softmax(dim=-1)


class TheirIsomorphism(torch.nn.Module):
    """GIN with batch norms inside and outside, with a fixed and a learned epsilon."""

    def __init__(self):
        super().__init__()

        def mlp(width):
            parts = [torch.nn.Linear(width, WIDTH), torch.nn.BatchNorm1d(WIDTH)]
            return torch.nn.Sequential(*parts, torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH))

        self.convs = torch.nn.ModuleList(
            [pyg.GINConv(mlp(IN), 0.3), pyg.GINConv(mlp(WIDTH), 0.2, train_eps=True)]
        )
        self.norms = torch.nn.ModuleList(pyg.BatchNorm(WIDTH) for _ in range(2))
        self.dropout = torch.nn.Dropout(0.5)
        self.lin = torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, x, edge_index, batch):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.dropout(norm(conv(x, edge_index)).relu())
        return self.lin(pyg.global_add_pool(x, batch)).log_softmax(dim=-1)


class TheirUNet(torch.nn.Module):
    """A Graph U-Net on several graphs, whose nodes are averaged."""

    def __init__(self):
        super().__init__()
        self.unet = pyg.GraphUNet(IN, WIDTH, WIDTH, 2, pool_ratios=0.6)
        self.lin = torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, x, edge_index, batch):
        x = self.unet(x, edge_index, batch).relu()
        return self.lin(pyg.global_mean_pool(x, batch)).log_softmax(dim=-1)


class TheirAttention(torch.nn.Module):
    """Graph attention with residuals, norms of graphs and dropout."""

    def __init__(self):
        super().__init__()
        self.first = pyg.GATConv(IN, WIDTH // 2, heads=2)
        self.convs = torch.nn.ModuleList(pyg.GATConv(WIDTH, WIDTH // 2, heads=2) for _ in range(2))
        self.norms = torch.nn.ModuleList(pyg.LayerNorm(WIDTH) for _ in range(2))
        self.lin = torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, x, edge_index, batch):
        x = self.first(x, edge_index).relu()
        for conv, norm in zip(self.convs, self.norms, strict=True):
            new = norm(conv(x, edge_index), batch).relu()
            x = torch.nn.functional.dropout(new, training=self.training) + x
        return self.lin(pyg.global_mean_pool(x, batch)).log_softmax(dim=-1)


class TheirJumps(torch.nn.Module):
    """All layers side by side, then a pooling by GCN scores. It takes one `data`."""

    def __init__(self):
        super().__init__()
        widths = [IN, WIDTH, WIDTH]
        self.convs = torch.nn.ModuleList(pyg.GCNConv(width, WIDTH) for width in widths)
        self.jump = pyg.JumpingKnowledge("cat")
        self.pool = pyg.SAGPooling(3 * WIDTH, 0.6, GNN=pyg.GCNConv)
        self.lin = torch.nn.Linear(3 * WIDTH, CLASSES)

    def forward(self, data):
        x, edge_index, batch, xs = data.x, data.edge_index, data.batch, []
        for conv in self.convs:
            x = conv(x, edge_index).relu()
            xs.append(x)
        x, _, _, batch, _, _ = self.pool(self.jump(xs), edge_index, batch=batch)
        return self.lin(pyg.global_max_pool(x, batch)).log_softmax(dim=-1)


class TheirResiduals(torch.nn.Module):
    """GraphSAGE with batch norms and residuals, and a pooling by the attention of a GAT."""

    def __init__(self):
        super().__init__()
        self.first = pyg.SAGEConv(IN, WIDTH)
        self.convs = torch.nn.ModuleList(pyg.SAGEConv(WIDTH, WIDTH) for _ in range(2))
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm1d(WIDTH) for _ in range(2))
        self.pool = pyg.SAGPooling(WIDTH, GNN=pyg.GATConv, min_score=0.1)
        self.lin = torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, x, edge_index, batch):
        x = self.first(x, edge_index).relu()
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x, edge_index)).relu() + x
        x, edge_index, _, batch, _, _ = self.pool(x, edge_index, batch=batch)
        return self.lin(pyg.global_mean_pool(x, batch)).log_softmax(dim=-1)
