"""The ports of the networks in `whole_theirs`: with the same attributes, and with steps between the
layers that faults replace."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp

from jraphx_eqx import nn
from jraphx_eqx.nn.conv import GATConv, GCNConv, GINConv, GraphConv, SAGEConv
from jraphx_eqx.nn.models import GraphUNet, JumpingKnowledge
from jraphx_eqx.nn.norm import BatchNorm, BatchNorm1d, LayerNorm
from jraphx_eqx.nn.pool import (
    SAGPooling,
    TopKPooling,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)

from .whole_theirs import CLASSES, IN, WIDTH

KEY = jax.random.key(0)


def pooled(pool, x, edge_index, batch):
    x, edge_index, _, batch, _ = pool(x, edge_index, batch=batch)
    return x, edge_index, batch


@dataclass(frozen=True)
class Steps:
    """What our networks do between and with their layers. A fault replaces some of it."""

    act: Callable = jax.nn.relu
    hidden: Callable = lambda x: x
    edges: Callable = lambda edge_index: edge_index
    layers: Callable = lambda layers: layers
    conv: Callable = lambda conv, x, edge_index: conv(x, edge_index)
    norm: Callable = lambda norm, x: norm(x)
    dropout: Callable = lambda x: x
    residual: Callable = lambda x, before: x + before
    pool: Callable = pooled
    pool_first: bool = False
    jump: Callable = lambda jump, xs: jump(xs)
    readout: Callable = lambda right, x, batch: right(x, batch)
    linear: Callable = lambda linear, x: linear(x)
    head: Callable = lambda x: jax.nn.log_softmax(x, axis=-1)


class Base(eqx.Module):
    """The parts that all of our networks have."""

    steps: eqx.AbstractVar[Steps]
    lin: eqx.AbstractVar[nn.Linear]

    def conv(self, conv, x, edge_index):
        edge_index = self.steps.edges(edge_index)
        return self.steps.hidden(self.steps.conv(conv, x, edge_index))

    def finish(self, x):
        return self.steps.head(self.steps.linear(self.lin, x))


class OurPools(Base):
    first: GraphConv
    convs: list
    pools: list
    lin: nn.Linear
    steps: Steps

    def __init__(self, steps, ratio=0.8, min_score=0.08, aggr="add"):
        self.first = GraphConv(IN, WIDTH, aggr, key=KEY)
        self.convs = [GraphConv(WIDTH, WIDTH, key=KEY) for _ in range(3)]
        self.pools = [
            TopKPooling(WIDTH, ratio, key=KEY),
            TopKPooling(WIDTH, min_score=min_score, key=KEY),
            SAGPooling(WIDTH, 0.7, "graph", key=KEY),
        ]
        self.lin = nn.Linear(2 * WIDTH, CLASSES, key=KEY)
        self.steps = steps

    def __call__(self, x, edge_index, batch):
        s = self.steps
        x, total = s.act(self.conv(self.first, x, edge_index)), 0
        for conv, pool in zip(s.layers(self.convs), self.pools, strict=False):
            if s.pool_first:
                x, edge_index, batch = s.pool(pool, x, edge_index, batch)
            x = s.act(self.conv(conv, x, edge_index))
            if not s.pool_first:
                x, edge_index, batch = s.pool(pool, x, edge_index, batch)
            parts = [s.readout(read, x, batch) for read in (global_max_pool, global_mean_pool)]
            total = total + jnp.concatenate(parts, axis=1)
        return self.finish(total)


class OurIsomorphism(Base):
    convs: list
    norms: list
    lin: nn.Linear
    steps: Steps

    def __init__(self, steps):
        def mlp(width):
            parts = [nn.Linear(width, WIDTH, key=KEY), BatchNorm1d(WIDTH)]
            return nn.Sequential([*parts, nn.Activation("relu"), nn.Linear(WIDTH, WIDTH, key=KEY)])

        self.convs = [
            GINConv(IN, WIDTH, mlp(IN)),
            GINConv(WIDTH, WIDTH, mlp(WIDTH), train_eps=True),
        ]
        self.norms = [BatchNorm(WIDTH) for _ in range(2)]
        self.lin = nn.Linear(WIDTH, CLASSES, key=KEY)
        self.steps = steps

    def __call__(self, x, edge_index, batch):
        s = self.steps
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = s.dropout(s.act(s.norm(norm, self.conv(conv, x, edge_index))))
        return self.finish(s.readout(global_add_pool, x, batch))


class OurUNet(Base):
    unet: GraphUNet
    lin: nn.Linear
    steps: Steps

    def __init__(self, steps, ratio=0.6, act="relu"):
        self.unet = GraphUNet(IN, WIDTH, WIDTH, 2, ratio, act=act, key=KEY)
        self.lin = nn.Linear(WIDTH, CLASSES, key=KEY)
        self.steps = steps

    def __call__(self, x, edge_index, batch):
        s = self.steps
        x = s.act(s.hidden(self.unet(x, s.edges(edge_index), batch)))
        return self.finish(s.readout(global_mean_pool, x, batch))


class OurAttention(Base):
    first: GATConv
    convs: list
    norms: list
    lin: nn.Linear
    steps: Steps

    def __init__(self, steps, slope=0.2):
        self.first = GATConv(IN, WIDTH // 2, heads=2, negative_slope=slope, key=KEY)
        self.convs = [GATConv(WIDTH, WIDTH // 2, heads=2, key=KEY) for _ in range(2)]
        self.norms = [LayerNorm(WIDTH) for _ in range(2)]
        self.lin = nn.Linear(WIDTH, CLASSES, key=KEY)
        self.steps = steps

    def __call__(self, x, edge_index, batch):
        s = self.steps
        x = s.act(self.conv(self.first, x, edge_index))
        for conv, norm in zip(s.layers(self.convs), self.norms, strict=False):
            new = s.act(norm(self.conv(conv, x, edge_index), batch))
            x = s.residual(s.dropout(new), x)
        return self.finish(s.readout(global_mean_pool, x, batch))


class OurJumps(Base):
    convs: list
    jump: JumpingKnowledge
    pool: SAGPooling
    lin: nn.Linear
    steps: Steps

    def __init__(self, steps, ratio=0.6, gnn="gcn"):
        self.convs = [GCNConv(width, WIDTH, key=KEY) for width in (IN, WIDTH, WIDTH)]
        self.jump = JumpingKnowledge("cat")
        self.pool = SAGPooling(3 * WIDTH, ratio, gnn, key=KEY)
        self.lin = nn.Linear(3 * WIDTH, CLASSES, key=KEY)
        self.steps = steps

    def __call__(self, data):
        s, x, xs = self.steps, data.x, []
        for conv in [self.convs[0], *s.layers(self.convs[1:])]:
            x = s.act(self.conv(conv, x, data.edge_index))
            xs.append(x)
        x, _, batch = s.pool(self.pool, s.jump(self.jump, xs), data.edge_index, data.batch)
        return self.finish(s.readout(global_max_pool, x, batch))


class OurResiduals(Base):
    first: SAGEConv
    convs: list
    norms: list
    pool: SAGPooling
    lin: nn.Linear
    steps: Steps

    def __init__(self, steps, min_score=0.1, aggr="mean"):
        self.first = SAGEConv(IN, WIDTH, aggr, key=KEY)
        self.convs = [SAGEConv(WIDTH, WIDTH, key=KEY) for _ in range(2)]
        self.norms = [BatchNorm1d(WIDTH) for _ in range(2)]
        self.pool = SAGPooling(WIDTH, gnn="gat", min_score=min_score, key=KEY)
        self.lin = nn.Linear(WIDTH, CLASSES, key=KEY)
        self.steps = steps

    def __call__(self, x, edge_index, batch):
        s = self.steps
        x = s.act(self.conv(self.first, x, edge_index))
        for conv, norm in zip(s.layers(self.convs), self.norms, strict=False):
            x = s.residual(s.act(s.norm(norm, self.conv(conv, x, edge_index))), x)
        x, edge_index, batch = s.pool(self.pool, x, edge_index, batch)
        return self.finish(s.readout(global_mean_pool, x, batch))
