"""Layers and models go through pickle, cloudpickle, joblib and copies, and come out equal."""

import copy
import inspect
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx import nn
from jraphx_eqx.data import Batch, Data
from jraphx_eqx.nn._activation import _ACTIVATIONS, activation
from jraphx_eqx.nn.conv import GATConv, GCNConv
from jraphx_eqx.nn.models import MLP, GraphUNet
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling

KEY = jax.random.key(0)
EVERY = {
    "Activation": lambda cls: cls("leaky_relu", negative_slope=0.2),
    "PReLU": lambda cls: cls(3),
    "Embedding": lambda cls: cls(5, 3, key=KEY),
    "nn.LayerNorm": lambda cls: cls(3),
    "Linear": lambda cls: cls(3, 2, key=KEY),
    "GRUCell": lambda cls: cls(3, 2, key=KEY),
    "LSTMCell": lambda cls: cls(3, 2, key=KEY),
    "Sequential": lambda cls: cls([nn.Linear(3, 2, key=KEY), nn.Activation("gelu"), jax.nn.relu]),
    "GATConv": lambda cls: cls(3, 2, heads=2, edge_dim=2, key=KEY),
    "GATv2Conv": lambda cls: cls(3, 2, heads=2, edge_dim=2, residual=True, key=KEY),
    "GINEConv": lambda cls: cls(3, 2, nn.Linear(3, 2, key=KEY), edge_dim=2, key=KEY),
    "EdgeConv": lambda cls: cls(3, 2, MLP([6, 4, 2], key=KEY), ["max", "std"]),
    "DynamicEdgeConv": lambda cls: cls(3, 2, MLP([6, 4, 2], key=KEY), 4),
    "NNConv": lambda cls: cls(3, 2, nn.Linear(2, 6, key=KEY), "mean", key=KEY),
    "PointNetConv": lambda cls: cls(MLP([5, 4, 2], key=KEY), nn.Linear(2, 2, key=KEY)),
    "PNAConv": lambda cls: cls(3, 2, ["mean", "std"], ["linear"], np.ones(3, int), 2, 2, key=KEY),
    "LEConv": lambda cls: cls(3, 2, key=KEY),
    "PANConv": lambda cls: cls(3, 2, 2, key=KEY),
    "GCNConv": lambda cls: cls(3, 2, key=KEY),
    "GINConv": lambda cls: cls(3, 2, MLP([3, 4, 2], act="elu", key=KEY), train_eps=True),
    "GraphConv": lambda cls: cls(3, 2, key=KEY),
    "SAGEConv": lambda cls: cls(3, 2, project=True, key=KEY),
    "GAT": lambda cls: cls(3, 4, 2, 2, act="silu", norm="layer_norm", jk="lstm", key=KEY),
    "GCN": lambda cls: cls(3, 4, 2, act=jax.nn.relu, jk="cat", key=KEY),
    "GIN": lambda cls: cls(3, 4, 2, act="elu", act_kwargs={"alpha": 2.0}, key=KEY),
    "GraphSAGE": lambda cls: cls(3, 4, 2, dropout=0.5, norm="batch_norm", key=KEY),
    "JumpingKnowledge": lambda cls: cls("lstm", 3, 2, key=KEY),
    "MLP": lambda cls: cls([3, 4, 2], dropout=0.5, key=KEY),
    "GraphSequential": lambda cls: cls(
        "x, edge_index", [(GCNConv(3, 2, key=KEY), "x, edge_index -> x"), jnp.sin]
    ),
    "GraphUNet": lambda cls: cls(3, 4, 2, 2, key=KEY),
    "BatchNorm": lambda cls: cls(3),
    "BatchNorm1d": lambda cls: cls(3),
    "GraphNorm": lambda cls: cls(3),
    "norm.LayerNorm": lambda cls: cls(3, mode="node"),
    "SAGPooling": lambda cls: cls(3, gnn=GATConv(3, 1, heads=2, key=KEY), key=KEY),
    "EdgePooling": lambda cls: cls(3, dropout=0.5, key=KEY),
    "ASAPooling": lambda cls: cls(3, 0.5, "gcn", 0.5, key=KEY),
    "PANPooling": lambda cls: cls(3, key=KEY),
    "ClusterPooling": lambda cls: cls(3, dropout=0.5, key=KEY),
    "DenseGATConv": lambda cls: cls(3, 2, 2, dropout=0.5, key=KEY),
    "DenseGCNConv": lambda cls: cls(3, 2, key=KEY),
    "DenseGINConv": lambda cls: cls(3, 2, MLP([3, 4, 2], key=KEY), train_eps=True),
    "DenseGraphConv": lambda cls: cls(3, 2, key=KEY),
    "DenseSAGEConv": lambda cls: cls(3, 2, key=KEY),
    "GRU": lambda cls: cls(3, 4, key=KEY),
    "LSTM": lambda cls: cls(3, 4, 2, bidirectional=True, key=KEY),
    "MultiheadAttention": lambda cls: cls(4, 2, 0.5, key=KEY),
    "AsymCheegerCutPooling": lambda cls: cls([3, 4], 2, "relu", 0.5, key=KEY),
    "BNPool": lambda cls: cls(3, 2, key=KEY),
    "DiffPooling": lambda cls: cls(3, 2, key=KEY),
    "HOSCPooling": lambda cls: cls(3, 2, key=KEY),
    "JustBalancePooling": lambda cls: cls(3, 2, key=KEY),
    "KMISPooling": lambda cls: cls(3, key=KEY),
    "EdgeContractionPooling": lambda cls: cls(3, dropout=0.5, key=KEY),
    "GraclusPooling": lambda cls: cls(),
    "LaPooling": lambda cls: cls(shortest_path_reg=True),
    "MaxCutPooling": lambda cls: cls(3, mp_units=(4,), key=KEY),
    "DMoNPooling": lambda cls: cls([3, 4], 2, 0.5, key=KEY),
    "MemPooling": lambda cls: cls(3, 2, 2, 2, key=KEY),
    "MinCutPooling": lambda cls: cls(3, 2, "gcn", key=KEY),
    "NoPool": lambda cls: cls(),
    "NDPPooling": lambda cls: cls(0.1),
    "EigenPooling": lambda cls: cls(3, 2),
    "NMFPooling": lambda cls: cls(3),
    "SEPPooling": lambda cls: cls(),
    "SelectTopK": lambda cls: cls(3, key=KEY),
    "TopKPooling": lambda cls: cls(3, min_score=0.1, key=KEY),
}
PACKAGES = [nn, nn.dense, nn.conv, nn.models, nn.norm, nn.pool]
WAYS = {
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "cloudpickle": lambda module: _by("cloudpickle", module),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


def public_layers():
    """The classes, by names that tell the two layer norms apart."""
    for package in PACKAGES:
        for name, value in vars(package).items():
            if inspect.isclass(value) and "__call__" in dir(value) and not _is_abstract(value):
                place = package.__name__.rpartition(".")[2]
                yield f"{place}.{name}" if name == "LayerNorm" else name, value


def _is_abstract(cls):
    return inspect.isabstract(cls) or cls.__name__.startswith("Abstract")


def _by(package, module):
    return pickle.loads(pytest.importorskip(package).dumps(module))


def assert_equal(found, module):
    # Functions are compared, too, and static fields, on which programs depend.
    assert eqx.tree_equal(found, module)
    assert jax.tree.structure(found) == jax.tree.structure(module)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EVERY)
def test_every_layer_and_model_comes_out_equal(name, way):
    module = EVERY[name](dict(public_layers())[name])
    assert_equal(WAYS[way](module), module)


def test_no_public_layer_is_left_out():
    assert set(EVERY) == {name for name, _ in public_layers()}


def named(function):
    """A test id without the address of a function, which is another in each process."""
    return getattr(function, "__name__", function)


@pytest.mark.parametrize("name", [*_ACTIVATIONS, jnp.tanh, jax.nn.gelu], ids=named)
def test_a_pool_with_any_activation_comes_out_equal(name):
    pool = TopKPooling(3, nonlinearity=name, key=KEY)
    for way in WAYS.values():
        assert_equal(way(pool), pool)


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_runs_the_program_that_is_there(way):
    pool, traces = SAGPooling(3, key=KEY), []

    @eqx.filter_jit
    def run(pool, x):
        traces.append(x)
        return pool(x, jnp.array([[0, 1], [1, 2]])).x

    x = jnp.arange(12.0).reshape(4, 3)
    first, second = run(pool, x), run(WAYS[way](pool), x)
    assert len(traces) == 1
    assert jnp.array_equal(first, second)


def test_joblib_writes_and_reads_a_model(tmp_path):
    joblib = pytest.importorskip("joblib")
    model = GraphUNet(3, 4, 2, 2, act=jax.nn.elu, key=KEY)
    joblib.dump(model, tmp_path / "model.joblib")
    assert_equal(joblib.load(tmp_path / "model.joblib"), model)


def test_batches_and_what_a_pool_returns_come_out_equal():
    graph = Data(x=np.ones((3, 3), np.float32), edge_index=np.array([[0, 1], [1, 2]]))
    batch = Batch.from_data_list([graph, graph]).pad(num_nodes=8, num_edges=6, num_graphs=3)
    out = TopKPooling(3, key=KEY)(batch.x, batch.edge_index, batch=batch.batch)
    for way in WAYS.values():
        assert_equal(way(batch), batch)
        assert_equal(way(out), out)


@pytest.mark.parametrize("function", [jax.nn.silu, jax.nn.gelu, jnp.sin, jax.lax.tanh], ids=named)
def test_a_function_of_jax_is_held_by_its_name_and_computes_the_same(function):
    held = activation(function)
    x = jnp.linspace(-3, 3, 13)
    assert held.name == function.__name__
    assert jnp.array_equal(held(x), function(x))
    assert held is activation(held)


def test_other_functions_are_held_as_they_are():
    def own(x):
        return x

    compiled = jax.jit(own)
    assert activation(own) is own
    assert activation(compiled) is compiled
