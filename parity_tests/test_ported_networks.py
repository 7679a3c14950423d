"""Networks that nobody here has seen before: made of supported parts, with PyG's attribute names,
they are ported by `load_state_dict` alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx import nn
from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import (
    load_state_dict,
    read_state_dict,
    state_dict,
    to_pyg,
    write_state_dict,
)
from jraphx_eqx.nn.conv import GATConv, GCNConv, GINConv, GraphConv, SAGEConv
from jraphx_eqx.nn.models import MLP, JumpingKnowledge
from jraphx_eqx.nn.norm import BatchNorm, GraphNorm, LayerNorm
from jraphx_eqx.nn.pool import (
    SAGPooling,
    TopKPooling,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
)

from .test_interop import assert_same_state
from .test_interop_modules import seeded

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
BATCH = np.repeat([0, 1, 2], [5, 4, 6])
RNG = np.random.default_rng(3)
EDGES = np.concatenate(
    [
        np.stack([nodes, np.roll(nodes, 1 + k)])
        for nodes in np.split(np.arange(15), [5, 9])
        for k in range(2)
    ],
    axis=1,
)
X = RNG.normal(size=(15, 4))
ATOMS = RNG.integers(0, 6, 15)


class TheirHierarchy(torch.nn.Module):
    """Three rounds of convolution, norm and pooling; readouts of all rounds are added."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(6, 8)
        self.convs = torch.nn.ModuleList(
            [pyg.GCNConv(8, 8), pyg.GATConv(8, 4, heads=2), pyg.GraphConv(8, 8)]
        )
        self.norms = torch.nn.ModuleList([pyg.BatchNorm(8), pyg.GraphNorm(8), pyg.LayerNorm(8)])
        self.pools = torch.nn.ModuleDict(
            {
                "first": pyg.TopKPooling(8, 0.8),
                "second": pyg.SAGPooling(8, 0.7, GNN=pyg.GCNConv),
                "third": pyg.SAGPooling(8, min_score=0.1),
            }
        )
        self.head = torch.nn.Sequential(
            torch.nn.Linear(16, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
        )

    def forward(self, x, atoms, edge_index, batch):
        x = self.embedding(atoms)
        total = 0
        for i, (conv, norm, pool) in enumerate(
            zip(self.convs, self.norms, self.pools.values(), strict=True)
        ):
            x = conv(x, edge_index)
            x = torch.relu(norm(x) if i == 0 else norm(x, batch))
            x, edge_index, _, batch, _, _ = pool(x, edge_index, batch=batch)
            total = total + torch.cat(
                [pyg.global_mean_pool(x, batch), pyg.global_max_pool(x, batch)], dim=1
            )
        return torch.log_softmax(self.head(total), dim=-1)


class OurHierarchy(eqx.Module):
    embedding: nn.Embedding
    convs: list
    norms: list
    pools: dict
    head: nn.Sequential

    def __init__(self, dtype):
        at = {"dtype": dtype, "key": KEY}
        self.embedding = nn.Embedding(6, 8, **at)
        self.convs = [GCNConv(8, 8, **at), GATConv(8, 4, heads=2, **at), GraphConv(8, 8, **at)]
        self.norms = [norm(8, **at) for norm in (BatchNorm, GraphNorm, LayerNorm)]
        self.pools = {
            "first": TopKPooling(8, 0.8, **at),
            "second": SAGPooling(8, 0.7, "gcn", **at),
            "third": SAGPooling(8, gnn="graph", min_score=0.1, **at),
        }
        self.head = nn.Sequential(
            [
                nn.Linear(16, 8, **at),
                nn.norm.BatchNorm1d(8, **at),
                jax.nn.relu,
                nn.Linear(8, 3, **at),
            ]
        )

    def __call__(self, x, atoms, edge_index, batch):
        x = self.embedding(atoms)
        total = 0
        for conv, norm, name in zip(self.convs, self.norms, self.pools, strict=True):
            x = jax.nn.relu(norm(conv(x, edge_index), batch))
            x, edge_index, _, batch, _ = self.pools[name](x, edge_index, batch=batch)
            readouts = [global_mean_pool(x, batch), global_max_pool(x, batch)]
            total = total + jnp.concatenate(readouts, axis=1)
        return jax.nn.log_softmax(self.head(total))


class TheirJumping(torch.nn.Module):
    """GIN layers with an LSTM over them, then a recurrent cell that pools twice."""

    def __init__(self):
        super().__init__()
        self.encoder = pyg.Linear(4, 6)
        self.layers = torch.nn.ModuleList(
            [pyg.GINConv(pyg.MLP([6, 6, 6], norm="layer_norm"), train_eps=True) for _ in range(3)]
        )
        self.jump = pyg.JumpingKnowledge("lstm", 6, 3)
        self.pool = pyg.TopKPooling(6, 2)
        self.sage = pyg.SAGEConv(6, 6, aggr="max")
        self.cell = torch.nn.GRUCell(6, 6)
        self.norm = torch.nn.LayerNorm(6)
        self.act = torch.nn.PReLU()
        self.out = torch.nn.Linear(6, 2, bias=False)

    def forward(self, x, atoms, edge_index, batch):
        x, xs = self.encoder(x), []
        for layer in self.layers:
            x = self.act(layer(x, edge_index))
            xs.append(x)
        x = self.jump(xs)
        state = self.cell(pyg.global_add_pool(x, batch))
        x, edge_index, _, batch, _, _ = self.pool(x, edge_index, batch=batch)
        x = self.sage(x, edge_index)
        state = self.cell(pyg.global_add_pool(x, batch), state)
        return self.out(self.norm(state))


class OurJumping(eqx.Module):
    encoder: nn.Linear
    layers: list
    jump: JumpingKnowledge
    pool: TopKPooling
    sage: SAGEConv
    cell: nn.GRUCell
    norm: nn.LayerNorm
    act: nn.PReLU
    out: nn.Linear

    def __init__(self, dtype):
        at = {"dtype": dtype, "key": KEY}
        self.encoder = nn.Linear(4, 6, **at)
        self.layers = [
            GINConv(6, 6, MLP([6, 6, 6], norm="layer_norm", **at), train_eps=True, dtype=dtype)
            for _ in range(3)
        ]
        self.jump = JumpingKnowledge("lstm", 6, 3, **at)
        self.pool = TopKPooling(6, 2, **at)
        self.sage = SAGEConv(6, 6, aggr="max", **at)
        self.cell = nn.GRUCell(6, 6, **at)
        self.norm = nn.LayerNorm(6, dtype=dtype)
        self.act = nn.PReLU(dtype=dtype)
        self.out = nn.Linear(6, 2, bias=False, **at)

    def __call__(self, x, atoms, edge_index, batch):
        x, xs = self.encoder(x), []
        for layer in self.layers:
            # PyG's MLP is not told the graphs by a GINConv, so its norm is over all nodes.
            x = self.act(layer(x, edge_index))
            xs.append(x)
        x = self.jump(xs)
        state = self.cell(global_add_pool(x, batch))
        x, edge_index, _, batch, _ = self.pool(x, edge_index, batch=batch)
        x = self.sage(x, edge_index)
        state = self.cell(global_add_pool(x, batch), state)
        return self.out(self.norm(state))


NETWORKS = {"hierarchy": (TheirHierarchy, OurHierarchy), "jumping": (TheirJumping, OurJumping)}


def expected_of(theirs):
    x = torch.tensor(X, dtype=next(theirs.parameters()).dtype)
    at = [torch.tensor(array) for array in (ATOMS, EDGES, BATCH)]
    return theirs(x, *at).detach().numpy()


@eqx.filter_jit
def run(network, dtype):
    batch = BatchVector(jnp.asarray(BATCH, jnp.int32), 3)
    at = [jnp.asarray(array, jnp.int32) for array in (ATOMS, EDGES)]
    return network(jnp.asarray(X, dtype), *at, batch)


@pytest.fixture(params=NETWORKS)
def pair(request, tmp_path):
    """PyG's network in float64, and ours with its state dict, by way of a file."""
    make_theirs, make_ours = NETWORKS[request.param]
    with jax.enable_x64(True):
        theirs = seeded(make_theirs).eval()
        torch.save({"epoch": 1, "model": theirs.state_dict()}, tmp_path / "net.pt")
        network = eqx.nn.inference_mode(make_ours(jnp.float64))
        yield theirs, load_state_dict(network, read_state_dict(tmp_path / "net.pt"))


def test_the_logits_agree_in_float64(pair):
    theirs, ours = pair
    expected = expected_of(theirs)
    assert np.abs(expected).max() > 0.1 and np.ptp(expected, axis=0).max() > 1e-3
    error = np.abs(np.asarray(run(ours, jnp.float64)) - expected).max()
    assert error <= 1e-12 * np.abs(expected).max()


def test_the_logits_agree_in_float32_within_pygs_own_error(pair):
    theirs, ours = pair
    exact = expected_of(theirs)
    single = eqx.nn.inference_mode(type(ours)(jnp.float32))
    weights = {name: array.float() for name, array in to_pyg(state_dict(ours)).items()}
    weights = {n: w.long() if "num_batches" in n else w for n, w in weights.items()}
    out = np.asarray(run(load_state_dict(single, weights), jnp.float32))
    pyg_error = np.abs(expected_of(theirs.float()) - exact).max()
    assert out.dtype == np.float32
    # Of two programs that round differently, either may be the one with more luck.
    assert 0 < np.abs(out - exact).max() <= 8 * max(pyg_error, 1e-7 * np.abs(exact).max())


def test_the_state_dict_goes_back_with_every_bit(pair, tmp_path):
    theirs, ours = pair
    assert_same_state(state_dict(ours), theirs)
    write_state_dict(ours, tmp_path / "back.safetensors")
    write_state_dict(read_state_dict(tmp_path / "back.safetensors"), tmp_path / "back.pt")
    other = seeded(type(theirs), seed=1)
    other.load_state_dict(torch.load(tmp_path / "back.pt", weights_only=True))
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_swapped_weights_of_one_shape_load_and_are_found_by_what_is_computed():
    with jax.enable_x64(True):
        theirs = seeded(TheirHierarchy).eval()
        state = theirs.state_dict()
        first, third = "convs.0.bias", "convs.1.bias"
        state[first], state[third] = state[third].clone(), state[first].clone()
        ours = load_state_dict(eqx.nn.inference_mode(OurHierarchy(jnp.float64)), state)
        expected = expected_of(theirs)
        error = np.abs(np.asarray(run(ours, jnp.float64)) - expected).max()
        assert error > 1e-6 * np.abs(expected).max()


def test_all_that_does_not_fit_is_listed_with_similar_names():
    state = TheirHierarchy().state_dict()
    state["norms.0.module.running_means"] = state.pop("norms.0.module.running_mean")
    state["head.0.weight"] = state["head.0.weight"].T
    state["extra"] = torch.ones(1)
    del state["pools.first.select.weight"]
    with pytest.raises(ValueError) as caught:
        load_state_dict(OurHierarchy(jnp.float32), state)
    assert set(str(caught.value).split("\n  - ")[1:]) == {
        "missing: 'norms.0.module.running_mean' (similar: 'norms.0.module.running_means')",
        "missing: 'pools.first.select.weight'",
        "unexpected: 'extra'",
        "unexpected: 'norms.0.module.running_means' (similar: 'norms.0.module.running_mean')",
        "'head.0.weight' must have shape (8, 16), got (16, 8); it looks transposed",
    }
