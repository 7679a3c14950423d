"""Modules of PyTorch and models of PyG, both ways: names, bits, and what they compute."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from torch_geometric.nn.models.mlp import MLP
from torch_geometric.nn.resolver import swish

from jraphx_eqx import nn
from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, load_state_dict, state_dict, to_pyg

from .test_interop import assert_same_state

pytestmark = pytest.mark.usefixtures("quick_compile")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 4))
EDGES = np.array([[0, 1, 2, 3, 4, 5, 2, 6, 1, 3], [1, 2, 0, 4, 5, 3, 2, 5, 0, 3]])
WEIGHTS = RNG.uniform(0.5, 1.5, 10)
ATTRIBUTES = RNG.normal(size=(10, 2))
BATCH = np.array([0, 0, 0, 1, 1, 1, 1])
GRAPH = {"x": X, "edge_index": EDGES}
ROWS = {"x": X}


def gnn(cls, inputs=GRAPH, **options):
    return lambda: cls(4, 6, 3, **options), inputs


def nested():
    lin = torch.nn.Linear
    return torch.nn.Sequential(
        lin(4, 5), torch.nn.BatchNorm1d(5), torch.nn.ReLU(), torch.nn.Sequential(lin(5, 3))
    )


def graph_sequential():
    return pyg.Sequential(
        "x, edge_index, batch",
        [
            (pyg.GCNConv(4, 6), "x, edge_index -> x1"),
            torch.nn.ReLU(inplace=True),
            pyg.BatchNorm(6),
            (
                pyg.TopKPooling(6, ratio=0.6),
                "x1, edge_index, edge_attr, batch -> x1, edge_index, edge_attr, batch, perm, score",
            ),
            (pyg.GraphConv(6, 6), "x1, edge_index -> x2"),
            (pyg.global_mean_pool, "x2, batch -> x"),
            (torch.tanh, "x -> x"),
            torch.nn.Linear(6, 2),
        ],
    )


def norm_sequential():
    """Norms that are not told the graphs, and one that is."""
    return pyg.Sequential(
        "x, edge_index, batch",
        [
            (pyg.GINConv(MLP([4, 6, 6], norm="layer_norm")), "x, edge_index -> x"),
            pyg.LayerNorm(6),
            (pyg.GraphNorm(6), "x, batch -> x"),
            MLP([6, 6, 2], norm="graph_norm"),
        ],
    )


def named_sequential():
    modules = {"conv": (pyg.GCNConv(4, 6), "x, edge_index -> x"), "act": torch.nn.ReLU()}
    return pyg.Sequential("x, edge_index", modules)


def two_in_parallel():
    return pyg.Sequential(
        "x, edge_index",
        [
            (pyg.GCNConv(4, 6), "x, edge_index -> x1"),
            (pyg.SAGEConv(6, 6), "x1, edge_index -> x2"),
            (pyg.JumpingKnowledge("cat"), "xs -> x"),
        ],
    )


WITH_BATCH = {**GRAPH, "batch": BATCH}
LAYERS = {
    "linear": (lambda: torch.nn.Linear(4, 3), ROWS),
    "linear plain": (lambda: torch.nn.Linear(4, 3, bias=False), ROWS),
    "linear 3d": (lambda: torch.nn.Linear(4, 3), {"x": RNG.normal(size=(2, 3, 4))}),
    "pyg linear": (lambda: pyg.Linear(4, 3), ROWS),
    "pyg lazy linear": (lambda: called(pyg.Linear(-1, 3)), ROWS),
    "embedding": (lambda: torch.nn.Embedding(5, 3), {"x": np.array([[0, 4], [2, 2]])}),
    "embedding padded": (lambda: torch.nn.Embedding(5, 3, padding_idx=2), {"x": np.arange(5)}),
    "layer norm": (lambda: torch.nn.LayerNorm(4), ROWS),
    "layer norm options": (lambda: torch.nn.LayerNorm((4,), eps=0.1, bias=False), ROWS),
    "layer norm plain": (lambda: torch.nn.LayerNorm(4, elementwise_affine=False), ROWS),
    "gru cell": (lambda: torch.nn.GRUCell(4, 3), ROWS),
    "gru cell state": (lambda: torch.nn.GRUCell(4, 4, bias=False), {"x": X, "hidden": X[::-1]}),
    "lstm cell": (lambda: torch.nn.LSTMCell(4, 3), ROWS),
    "lstm cell state": (lambda: torch.nn.LSTMCell(4, 4, bias=False), {"x": X, "state": (X, -X)}),
    "batch norm": (lambda: torch.nn.BatchNorm1d(4), ROWS),
    "batch norm options": (
        lambda: torch.nn.BatchNorm1d(4, eps=0.1, momentum=None, affine=False),
        ROWS,
    ),
    "batch norm untracked": (lambda: torch.nn.BatchNorm1d(4, track_running_stats=False), ROWS),
    "pyg batch norm": (lambda: pyg.BatchNorm(4), ROWS),
    "pyg batch norm single": (lambda: pyg.BatchNorm(4, allow_single_element=True), {"x": X[:1]}),
    "graph norm": (lambda: pyg.GraphNorm(4), {"x": X, "batch": BATCH}),
    "graph norm one graph": (lambda: pyg.GraphNorm(4, eps=0.1), ROWS),
    "pyg layer norm": (lambda: pyg.LayerNorm(4), {"x": X, "batch": BATCH}),
    "pyg layer norm one graph": (lambda: pyg.LayerNorm(4, affine=False), ROWS),
    "pyg layer norm nodes": (lambda: pyg.LayerNorm(4, 0.1, mode="node"), ROWS),
    "prelu": (lambda: torch.nn.PReLU(), ROWS),
    "prelu features": (lambda: torch.nn.PReLU(4, init=0.1), ROWS),
    "sequential": (nested, ROWS),
    "gin conv": (lambda: pyg.GINConv(nested(), eps=0.3), GRAPH),
    "gin conv trained": (
        lambda: pyg.GINConv(MLP([4, 5, 3], norm=None), train_eps=True, aggr="max"),
        GRAPH,
    ),
    "mlp": (lambda: MLP([4, 5, 5, 3]), ROWS),
    "mlp options": (
        lambda: MLP(
            [4, 5, 3],
            act="leaky_relu",
            act_kwargs={"negative_slope": 0.2},
            act_first=True,
            norm="graph_norm",
            plain_last=False,
            bias=[True, False],
        ),
        {"x": X, "batch": BATCH},
    ),
    "mlp one layer": (lambda: MLP([4, 3], norm="layer_norm", act=None), ROWS),
    "jk cat": (lambda: pyg.JumpingKnowledge("cat"), {"xs": [X, X[:, :2]]}),
    "jk max": (lambda: pyg.JumpingKnowledge("max"), {"xs": [X, -X, X[::-1]]}),
    "jk lstm": (lambda: pyg.JumpingKnowledge("lstm", 4, 3), {"xs": [X, -X, X[::-1]]}),
    "gcn": gnn(pyg.GCN),
    "gcn weighted": gnn(pyg.GCN, {**GRAPH, "edge_weight": WEIGHTS}, out_channels=2, improved=True),
    "gcn same width": gnn(pyg.GCN, out_channels=6),
    "gcn jk": gnn(pyg.GCN, jk="lstm", norm="batch_norm", out_channels=2),
    "gcn last": gnn(pyg.GCN, WITH_BATCH, jk="last", norm="GraphNorm", act="elu", act_first=True),
    "sage": gnn(pyg.GraphSAGE, out_channels=2, jk="cat", aggr="max"),
    "sage plain": gnn(pyg.GraphSAGE, act=None, norm="layer_norm"),
    "gin": gnn(pyg.GIN, out_channels=2, norm="batch_norm"),
    "gin layer norm": gnn(pyg.GIN, WITH_BATCH, norm="layer_norm"),
    "gin graph norm": gnn(pyg.GIN, WITH_BATCH, norm="graph_norm", out_channels=2, jk="cat"),
    "gin jk": gnn(pyg.GIN, jk="max", train_eps=True, act="tanh"),
    "gat": gnn(pyg.GAT, out_channels=3, heads=2),
    "gat attributes": gnn(pyg.GAT, {**GRAPH, "edge_attr": ATTRIBUTES}, heads=3, edge_dim=2),
    "gat jk": gnn(pyg.GAT, out_channels=3, heads=2, jk="cat", concat=False),
    "pyg sequential": (graph_sequential, {**WITH_BATCH, "edge_attr": None}),
    "pyg sequential norms": (norm_sequential, WITH_BATCH),
    "pyg sequential named": (named_sequential, GRAPH),
}


def called(module):
    module(torch.ones(1, 4))
    return module


def seeded(make, seed=0):
    """A module with weights, running statistics and counts that are not the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make().double()
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                low = 0.5 if "var" in name else -1
                tensor.data.uniform_(low, 1)
            else:
                tensor.data.fill_(3)
    return module


def as_both(value):
    if isinstance(value, list | tuple):
        pairs = [as_both(one) for one in value]
        return type(value)(a for a, _ in pairs), type(value)(b for _, b in pairs)
    if value is None:
        return None, None
    if isinstance(value, jax.Array | jax.core.Tracer):
        return None, value
    array = np.ascontiguousarray(value)
    return torch.tensor(array), jnp.asarray(array)


def call_theirs(module, inputs):
    given = {name: as_both(value)[0] for name, value in inputs.items()}
    if isinstance(module, torch.nn.GRUCell | torch.nn.LSTMCell):
        return module(*given.values())
    return module(*[given.pop(name) for name in ("x", "xs") if name in given], **given)


def call_ours(module, inputs):
    given = {name: as_both(value)[1] for name, value in inputs.items()}
    if "batch" in given:
        given["batch"] = BatchVector(given["batch"], 2)
    return module(*[given.pop(name) for name in ("x", "xs") if name in given], **given)


def arrays(out):
    out = out if isinstance(out, tuple) else (out,)
    return [one.detach().numpy() if torch.is_tensor(one) else np.asarray(one) for one in out]


def assert_equal_outputs(ours, theirs, inputs):
    for mine, other in zip(
        arrays(call_ours(ours, inputs)), arrays(call_theirs(theirs, inputs)), strict=True
    ):
        assert mine.shape == other.shape
        scale = max(1, np.abs(other).max(initial=0))
        assert np.abs(mine - other).max(initial=0) <= 1e-12 * scale


@pytest.fixture(autouse=True)
def doubles():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", LAYERS)
def test_a_module_goes_there_and_back_and_computes_the_same(name):
    make, inputs = LAYERS[name]
    theirs = seeded(make).eval()
    ours = from_pyg(theirs)
    assert_same_state(state_dict(ours), theirs)
    assert_equal_outputs(ours, theirs, inputs)
    back = to_pyg(ours)
    assert not any(module.training for module in back.modules() if has_state(module))
    assert_same_state(state_dict(ours), back)
    for mine, other in zip(
        arrays(call_theirs(back.eval(), inputs)), arrays(call_theirs(theirs, inputs)), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
    again = from_pyg(back)
    assert bool(eqx.tree_equal(again, ours))


def has_state(module):
    return isinstance(module, torch.nn.BatchNorm1d | torch.nn.Dropout)


@pytest.mark.parametrize("name", LAYERS)
def test_in_training_values_and_gradients_are_the_same_too(name):
    make, inputs = LAYERS[name]
    theirs = seeded(make).train()
    ours = from_pyg(theirs)
    given = {key: as_both(value)[0] for key, value in inputs.items()}
    floats = {key: value for key, value in given.items() if key in ("x", "xs")}
    floats = [t for t in flat(floats.values()) if t.is_floating_point()]
    for tensor in floats:
        tensor.requires_grad_(True)
    if isinstance(theirs, torch.nn.GRUCell | torch.nn.LSTMCell):
        out = theirs(*given.values())
    else:
        out = theirs(*[given.pop(key) for key in ("x", "xs") if key in given], **given)
    sum(torch.sin(one).sum() for one in flat([out])).backward()

    @eqx.filter_jit
    def run(ours, arrays):
        def loss(both):
            model, arrays = both
            out = call_ours(model, inputs | arrays)
            return sum(jnp.sum(jnp.sin(one)) for one in flat([out])), out

        return eqx.filter_grad(loss, has_aux=True)((ours, arrays))

    arrays = {key: as_both(inputs[key])[1] for key in ("x", "xs") if key in inputs}
    (of_module, of_inputs), values = run(ours, arrays)
    for mine, other in zip(flat([values]), flat([out]), strict=True):
        assert_near(mine, other, "out")
    for mine, other in zip(jax.tree.leaves(of_inputs), floats, strict=True):
        assert_near(mine, other.grad, "x")
    found = state_dict(of_module)
    parameters = dict(theirs.named_parameters())
    for name in found:
        # Nothing is differentiated by a buffer; what has no part in the result has no gradient.
        grad = parameters[name].grad if name in parameters else None
        assert_near(
            found[name], torch.zeros_like(theirs.state_dict()[name]) if grad is None else grad, name
        )
    assert parameters.keys() <= found.keys()


def flat(values):
    """The arrays in nested lists and tuples."""
    found = []
    for value in values:
        found += flat(value) if isinstance(value, list | tuple) else [value]
    return found


def assert_near(mine, other, what):
    other = other.detach().numpy()
    assert mine.shape == other.shape, what
    scale = max(1, np.abs(other).max(initial=0))
    assert np.abs(np.asarray(mine) - other).max(initial=0) <= 1e-12 * scale, what


ACTIVATIONS = [
    torch.nn.ReLU(),
    torch.nn.LeakyReLU(0.3),
    torch.nn.ELU(0.7),
    torch.nn.CELU(0.7),
    torch.nn.GELU(),
    torch.nn.GELU("tanh"),
    torch.nn.Softmax(dim=-1),
    torch.nn.LogSoftmax(dim=1),
    torch.nn.SiLU(),
    torch.nn.Tanh(),
    torch.nn.Softplus(),
    torch.nn.Sigmoid(),
]


@pytest.mark.parametrize("theirs", ACTIVATIONS, ids=repr)
def test_activations_with_their_options(theirs):
    ours = from_pyg(torch.nn.Sequential(theirs))[0]
    x = np.linspace(-4, 4, 24).reshape(6, 4)
    expected = theirs(torch.tensor(x)).numpy()
    np.testing.assert_allclose(ours(jnp.asarray(x)), expected, rtol=0, atol=1e-12)
    back = to_pyg(ours)
    assert type(back) is type(theirs) and repr(back) == repr(theirs)


IN_PLACE = {
    torch.relu_: "relu",
    torch.Tensor.relu_: "relu",
    torch.nn.functional.elu_: "elu",
    torch.sigmoid_: "sigmoid",
    swish: "silu",
}


@pytest.mark.parametrize("model", [pyg.GCN, pyg.GraphSAGE, pyg.GIN, pyg.GAT])
@pytest.mark.parametrize("act", IN_PLACE)
def test_models_take_the_functions_that_overwrite_their_argument(model, act):
    assert from_pyg(model(4, 4, 2, act=act)).act.name == IN_PLACE[act]


def test_swish_is_a_name_for_silu_in_models_too():
    ours = from_pyg(pyg.GCN(4, 4, 2, act="swish"))
    assert ours.act.name == "silu"
    assert type(to_pyg(ours).act) is torch.nn.SiLU


def test_lists_and_dictionaries_of_modules():
    theirs = torch.nn.ModuleDict(
        {"convs": torch.nn.ModuleList([pyg.GCNConv(4, 4), pyg.GINConv(nested())])}
    ).double()
    ours = from_pyg(theirs)
    assert type(ours) is dict and type(ours["convs"]) is list
    assert_same_state(state_dict(ours), theirs)
    back = to_pyg(ours)
    assert type(back) is torch.nn.ModuleDict and type(back["convs"]) is torch.nn.ModuleList
    assert_same_state(state_dict(ours), back)


def test_training_and_inference_of_each_part_are_kept():
    theirs = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(4).eval())
    ours = from_pyg(theirs)
    assert not ours[0].inference and ours[1].inference
    back = to_pyg(ours)
    assert back[0].training and not back[1].training
    mlp = from_pyg(MLP([4, 4, 4], dropout=0.5).eval())
    assert all(dropout.inference for dropout in mlp.dropouts)
    assert not any(dropout.inference for dropout in from_pyg(to_pyg(mlp).train()).dropouts)


def test_dropout_in_training_needs_a_key():
    for theirs in (MLP([4, 4, 4], dropout=0.5), torch.nn.Sequential(torch.nn.Dropout(0.5))):
        ours = from_pyg(theirs.double())
        with pytest.raises(ValueError, match=r"key must be given in training with dropout=0\.5"):
            ours(jnp.asarray(X))
        assert np.isfinite(ours(jnp.asarray(X), key=jax.random.key(0))).all()


class Mine(torch.nn.Module):
    def forward(self, x):
        return x


def tied():
    layers = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 4), "b": torch.nn.Linear(4, 4)})
    layers["b"].weight = layers["a"].weight
    return layers


def hooked():
    module = MLP([4, 4, 4])
    module.lins[1].register_forward_hook(lambda *_: None)
    return module


REFUSED = {
    "inside": (
        lambda: torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Sequential(Mine())),
        TypeError,
        "at '1': at '0': from_pyg cannot convert parity_tests.test_interop_modules.Mine; it conv",
    ),
    "conv": (
        lambda: torch.nn.ModuleDict({"a": torch.nn.Conv1d(2, 2, 1)}),
        TypeError,
        "at 'a': from_pyg cannot convert torch.nn.modules.conv.Conv1d",
    ),
    "shared weights of a gat v2": (
        lambda: pyg.GAT(4, 4, 2, v2=True, share_weights=True),
        ValueError,
        "GAT has one tensor at 'convs.0.lin_l.weight' and 'convs.0.lin_r.weight'",
    ),
    "norm": (
        lambda: pyg.GCN(4, 4, 2, norm="pair_norm"),
        TypeError,
        "at 'norms.0': from_pyg cannot convert torch_geometric.nn.norm.pair_norm.PairNorm",
    ),
    "model": (
        lambda: pyg.PNA(
            4, 4, 2, aggregators=["sum"], scalers=["identity"], deg=torch.ones(2).long()
        ),
        TypeError,
        "cannot convert torch_geometric.nn.models",
    ),
    "lambda": (
        lambda: pyg.Sequential("x", [(lambda x: x, "x -> x")]),
        TypeError,
        "at 'module_0': from_pyg cannot convert",
    ),
    "shared slope": (
        lambda: pyg.GIN(4, 4, 2, act="prelu"),
        ValueError,
        "GIN has one tensor at 'act.weight' and 'convs.0.nn.act.weight'; here they would be two",
    ),
    "shared layer": (
        lambda: torch.nn.Sequential(*[torch.nn.Linear(4, 4)] * 2),
        ValueError,
        "Sequential has one tensor at '0.weight' and '1.weight'",
    ),
    "shared weight": (tied, ValueError, "ModuleDict has one tensor at 'a.weight' and 'b.weight'"),
    "shared statistics": (
        lambda: torch.nn.Sequential(*[torch.nn.BatchNorm1d(4, affine=False)] * 2),
        ValueError,
        "Sequential has one tensor at '0.running_mean' and '1.running_mean'",
    ),
    "hook": (hooked, ValueError, "has hooks at 'lins.1'"),
    "embedding": (
        lambda: torch.nn.Embedding(3, 2, max_norm=1.0),
        ValueError,
        "torch.nn.modules.sparse.Embedding with max_norm=1.0 has no twin: it must be None",
    ),
    "layer norm": (
        lambda: torch.nn.LayerNorm((2, 3)),
        ValueError,
        "normalized_shape=(2, 3) has no",
    ),
    "softplus": (lambda: torch.nn.Softplus(beta=2), ValueError, "Softplus with beta=2"),
    "softmax": (lambda: torch.nn.Softmax(dim=0), ValueError, "along dim=0 mixes all nodes"),
    "softmax none": (lambda: torch.nn.Softmax(), ValueError, "must have a dim; make it dim=-1"),
    "lazy": (lambda: pyg.Linear(-1, 3), ValueError, "has no weight yet"),
    "gin": (
        lambda: pyg.GINConv(torch.nn.Identity()),
        ValueError,
        "Identity in GINConv must have a linear map",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_twin_is_refused_by_name_and_place(name):
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=re.escape(message)):
        from_pyg(make())


@pytest.mark.parametrize(
    "make",
    [
        *(
            lambda norm=norm: pyg.GIN(4, 6, 2, out_channels=3, norm=norm)
            for norm in ("batch_norm", "layer_norm", "graph_norm")
        ),
        norm_sequential,
    ],
)
def test_padding_changes_nothing_in_a_model_with_norms(make):
    theirs = seeded(make).train()
    expected = call_theirs(theirs, WITH_BATCH).detach().numpy()
    x = jnp.concatenate([jnp.asarray(X), jnp.full((3, 4), jnp.nan)])
    edges = jnp.concatenate([jnp.asarray(EDGES), jnp.full((2, 2), 10)], axis=1)
    batch = BatchVector(jnp.asarray([*BATCH, 2, 2, 2]), 2)
    out = np.asarray(from_pyg(theirs)(x, edges, batch=batch))
    assert np.abs(out[:7] - expected).max() <= 1e-12 * np.abs(expected).max()
    assert not out[7:].any()


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_layers_are_those_of_torch(kind):
    options = {"num_layers": 2, "bidirectional": True}
    theirs = getattr(torch.nn, kind)(3, 4, batch_first=True, **options).double()
    ours = getattr(nn, kind)(3, 4, **options, key=jax.random.key(0))
    ours = load_state_dict(ours, theirs.state_dict())
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    expected = theirs(torch.tensor(x))[0].detach()
    np.testing.assert_allclose(ours(jnp.asarray(x)), expected, rtol=1e-12, atol=1e-12)
