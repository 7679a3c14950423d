"""Checkpoints of PyG from 1.4 on: they load, say so, and compute what they did.

The files are recorded by `nox -s old_releases`, which runs the releases themselves.
"""

import pathlib
import re
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import load_state_dict, state_dict
from jraphx_eqx.nn import Linear
from jraphx_eqx.nn.conv import GATConv, GCNConv, GraphConv
from jraphx_eqx.nn.norm import BatchNorm
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling, global_mean_pool

pytestmark = pytest.mark.usefixtures("quick_compile")
FILES = sorted((pathlib.Path(__file__).parent / "old_checkpoints").glob("*.npz"))
KEY = jax.random.key(0)
CONVS = {
    "gcn-topk": lambda: GCNConv(4, 6, key=KEY),
    "gat-sag": lambda: GATConv(4, 3, heads=2, key=KEY),
    "graph-sag": lambda: GraphConv(4, 4, key=KEY),
}
POOLS = {
    "gcn-topk": lambda: TopKPooling(6, 0.5, key=KEY),
    "gat-sag": lambda: SAGPooling(6, 0.6, "gcn", key=KEY),
    "graph-sag": lambda: SAGPooling(4, 0.6, "graph", key=KEY),
}


class Network(eqx.Module):
    conv: eqx.Module
    norm: BatchNorm
    pool: eqx.Module
    lin: Linear

    def __init__(self, name):
        self.conv = CONVS[name]()
        self.pool = POOLS[name]()
        self.norm = BatchNorm(self.pool.in_features)
        self.lin = Linear(self.pool.in_features, 2, key=KEY)

    def __call__(self, x, edge_index, batch):
        x = jax.nn.relu(self.norm(self.conv(x, edge_index), batch))
        x, _, _, batch, _ = self.pool(x, edge_index, batch=batch)
        return self.lin(global_mean_pool(x, batch))


def parts(file):
    with np.load(file) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    split = {"state": {}, "input": {}, "output": {}}
    for name, array in found.items():
        kind, name = name.split("/", 1)
        split[kind][name] = array
    return split["state"], split["input"], split["output"]["x"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_checkpoint_of_an_older_release_loads_and_computes_the_same(file, x64):
    release, name = file.stem.split("-", 1)
    state, inputs, expected = parts(file)
    network = eqx.nn.inference_mode(Network(name))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = load_state_dict(network, state)
    assert bool(caught) == (release < "2.5")
    batch = BatchVector(jnp.asarray(inputs["batch"]), 2)
    out = jax.jit(lambda x, e: network(x, e, batch))(
        jnp.asarray(inputs["x"]), jnp.asarray(inputs["edge_index"])
    )
    assert np.abs(expected).max() > 0.01
    assert np.abs(np.asarray(out) - expected).max() <= 1e-12 * np.abs(expected).max()


def test_all_releases_are_there():
    assert {file.stem.split("-")[0] for file in FILES} == {
        *("1.4.3", "1.5.0", "1.6.3", "1.7.2", "2.0.4", "2.3.1", "2.5.3")
    }
    assert len(FILES) == 7 * 3


def test_the_notice_says_what_was_done():
    state = {"weight": np.ones((4, 3), np.float32), "bias": np.zeros(3, np.float32)}
    with pytest.warns(UserWarning) as caught:
        conv = load_state_dict(GCNConv(4, 3, key=KEY), state)
    assert conv.lin.weight.shape == (3, 4)
    assert str(caught[0].message) == (
        "the state dict was loaded under other names:\n  - weight (before PyG 2.0) as lin.weight"
    )
    assert caught[0].filename == __file__


def test_a_square_weight_is_transposed_by_its_name():
    weight = np.arange(9, dtype=np.float32).reshape(3, 3)
    layer = GCNConv(3, 3, bias=False, key=KEY)
    with pytest.warns(UserWarning, match="before PyG 2"):
        old = load_state_dict(layer, {"weight": weight})
    np.testing.assert_array_equal(old.lin.weight, weight.T)
    np.testing.assert_array_equal(load_state_dict(layer, {"lin.weight": weight}).lin.weight, weight)


def renamed(layer, names, **extra):
    state = state_dict(layer)
    return {names.get(name, name): value for name, value in state.items()} | extra


REFUSED = {
    "unknown": (
        lambda: TopKPooling(3, key=KEY),
        {"select.weight": "wait"},
        {},
        "unexpected: 'wait'",
    ),
    "bipartite": (
        lambda: GATConv(3, 2, key=KEY),
        {"lin.weight": "lin_src.weight"},
        {"lin_dst.weight": np.zeros((2, 3), np.float32)},
        "unexpected: 'lin_dst.weight'",
    ),
    "both": (
        lambda: TopKPooling(3, key=KEY),
        {},
        {"weight": np.zeros((1, 3), np.float32)},
        "unexpected: 'weight'",
    ),
    "max": (
        lambda: GraphConv(3, 3, aggr="max", key=KEY),
        {"lin_rel.weight": "weight", "lin_root.weight": "lin.weight", "lin_rel.bias": "lin.bias"},
        {},
        "missing: 'lin_rel.weight'",
    ),
    "no scorer": (
        lambda: SAGPooling(3, key=KEY),
        {"gnn.lin.weight": "a", "gnn.bias": "b", "select.weight": "c"},
        {},
        "missing: 'select.weight'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_no_release_had_or_that_meant_something_else_fail(name):
    make, names, extra, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        load_state_dict(make(), renamed(make(), names, **extra))


def test_weights_saved_from_data_parallel_load():
    layer = GCNConv(3, 2, key=KEY)
    state = {f"module.{name}": value for name, value in state_dict(layer).items()}
    with pytest.warns(UserWarning, match=r"of the checkpoint without 'module\.'"):
        loaded = load_state_dict(GCNConv(3, 2, key=jax.random.key(1)), state)
    assert bool(eqx.tree_equal(loaded, layer))


def test_names_of_today_load_without_a_word():
    for layer in (GATConv(3, 2, edge_dim=2, key=KEY), BatchNorm(3), SAGPooling(3, key=KEY)):
        assert bool(eqx.tree_equal(load_state_dict(layer, state_dict(layer)), layer))
