"""The networks in Equinox. Those in `theirs` have the same attributes."""

import equinox as eqx
import jax
import jax.numpy as jnp

from jraphx_eqx.nn import Linear
from jraphx_eqx.nn.conv import GCNConv, GraphConv
from jraphx_eqx.nn.models import GraphUNet, JumpingKnowledge
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling, global_max_pool, global_mean_pool


class Hierarchical(eqx.Module):
    conv1: GraphConv
    convs: list[GraphConv]
    pools: list[TopKPooling] | list[SAGPooling]
    jump: JumpingKnowledge
    lin1: Linear
    lin2: Linear

    def __init__(self, kind, in_features, classes, layers, hidden=32, ratio=0.8, *, dtype, key):
        keys = iter(jax.random.split(key, 2 * layers + 2))

        def conv(width):
            return GraphConv(width, hidden, aggr="mean", dtype=dtype, key=next(keys))

        def pool():
            if kind == "topk":
                return TopKPooling(hidden, ratio, dtype=dtype, key=next(keys))
            return SAGPooling(hidden, ratio, gnn="graph", dtype=dtype, key=next(keys))

        self.conv1 = conv(in_features)
        self.convs = [conv(hidden) for _ in range(layers - 1)]
        self.pools = [pool() for _ in range((layers - 1) // 2)]
        self.jump = JumpingKnowledge("cat")
        self.lin1 = Linear(layers * hidden, hidden, dtype=dtype, key=next(keys))
        self.lin2 = Linear(hidden, classes, dtype=dtype, key=next(keys))

    def __call__(self, x, edge_index, batch):
        x = jax.nn.relu(self.conv1(x, edge_index))
        xs = [global_mean_pool(x, batch)]
        for i, conv in enumerate(self.convs):
            x = jax.nn.relu(conv(x, edge_index))
            xs.append(global_mean_pool(x, batch))
            if i % 2 == 0 and i < len(self.convs) - 1:
                x, edge_index, _, batch, _ = self.pools[i // 2](x, edge_index, batch=batch)
        return self.lin2(jax.nn.relu(self.lin1(self.jump(xs))))


class SumOfReadouts(eqx.Module):
    convs: list[GCNConv]
    pools: list[TopKPooling] | list[SAGPooling]
    lin1: Linear
    lin2: Linear

    def __init__(self, kind, in_features, classes, hidden=32, ratio=0.5, *, dtype, key):
        keys = iter(jax.random.split(key, 8))
        widths = [in_features, hidden, hidden]
        self.convs = [GCNConv(width, hidden, dtype=dtype, key=next(keys)) for width in widths]
        if kind == "gat":
            pools = [SAGPooling(hidden, ratio, "gat", dtype=dtype, key=next(keys)) for _ in widths]
        else:
            pools = [TopKPooling(hidden, ratio, dtype=dtype, key=next(keys)) for _ in widths]
        self.pools = pools
        self.lin1 = Linear(2 * hidden, hidden, dtype=dtype, key=next(keys))
        self.lin2 = Linear(hidden, classes, dtype=dtype, key=next(keys))

    def __call__(self, x, edge_index, batch):
        total = 0
        for conv, pool in zip(self.convs, self.pools, strict=True):
            x = jax.nn.relu(conv(x, edge_index))
            x, edge_index, _, batch, _ = pool(x, edge_index, batch=batch)
            readouts = [global_max_pool(x, batch), global_mean_pool(x, batch)]
            total = total + jnp.concatenate(readouts, axis=1)
        return self.lin2(jax.nn.relu(self.lin1(total)))


class UNetClassifier(eqx.Module):
    unet: GraphUNet
    lin: Linear
    max_paths: int | None = eqx.field(static=True)

    def __init__(self, in_features, classes, hidden=32, depth=2, max_paths=None, *, dtype, key):
        unet_key, lin_key = jax.random.split(key)
        self.unet = GraphUNet(in_features, hidden, hidden, depth, 0.5, dtype=dtype, key=unet_key)
        self.lin = Linear(hidden, classes, dtype=dtype, key=lin_key)
        self.max_paths = max_paths

    def __call__(self, x, edge_index, batch):
        x = jax.nn.relu(self.unet(x, edge_index, batch, max_paths=self.max_paths))
        return self.lin(global_mean_pool(x, batch))
