"""Conversions of layers between PyTorch Geometric and this package, bit by bit and in what they
compute."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx._twin import TWINS
from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, load_state_dict, state_dict, to_pyg
from jraphx_eqx.nn.conv import GATConv, GCNConv
from jraphx_eqx.nn.pool import (
    SAGPooling,
    SelectTopK,
    TopKPooling,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
    global_min_pool,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyG's import warns of what PyTorch has deprecated.
    import torch
    import torch_geometric.data as pyg_data
    import torch_geometric.nn as pyg
    from torch_geometric.nn.pool.select import SelectTopK as PygSelectTopK
    from torch_geometric.nn.resolver import swish

from .catalogue import SPECS

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(7, 4))
EDGES = np.array([[0, 1, 2, 3, 4, 5, 2, 6, 1, 3], [1, 2, 0, 4, 5, 3, 2, 5, 0, 3]])
BATCH = np.array([0, 0, 0, 1, 1, 1, 1])

# Options that no grid of the catalogue has.
LAYERS = {
    "gcn": lambda: pyg.GCNConv(4, 3, normalize=False, cached=True),
    "gat": lambda: pyg.GATConv(4, 3, heads=2, dropout=0.4, fill_value=torch.ones(1)),
    "sage": lambda: pyg.SAGEConv(4, 3, aggr=pyg.aggr.SumAggregation()),
    "graph": lambda: pyg.GraphConv(4, 3, aggr="min", node_dim=0),
    "sage several": lambda: pyg.SAGEConv(4, 3, aggr=["mean", "std", "median"]),
    "graph softmax": lambda: pyg.GraphConv(4, 3, "softmax", aggr_kwargs={"learn": True}),
    "select": lambda: PygSelectTopK(4, ratio=2, act="sigmoid"),
    "select min_score": lambda: PygSelectTopK(4, ratio=None, min_score=0.2),
    "topk": lambda: pyg.TopKPooling(4, 2, multiplier=3, nonlinearity=torch.sigmoid),
    "sag gcn": lambda: pyg.SAGPooling(4, 0.8, GNN=pyg.GCNConv, improved=True),
    "sag gat": lambda: pyg.SAGPooling(4, GNN=pyg.GATConv, heads=3, nonlinearity="relu"),
    "sag sage": lambda: pyg.SAGPooling(4, GNN=pyg.SAGEConv, min_score=0.1, aggr="max"),
}
# PyG's own: no function, and no module that a spec writes around one.
MODULES = [
    name
    for name, spec in SPECS.items()
    if type(spec.pyg(**spec.grid[0].options)).__module__.startswith("torch_geometric.nn")
]
# Written by the user, with no twin.
OTHERS = {("gnn", "linear"), ("nonlinearity", "sin")}


OTHER_ACTIVATIONS = (
    *("celu", "elu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "logsigmoid", "mish"),
    *("relu6", "selu", "softplus", "softshrink", "softsign", "tanhshrink"),
)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def seeded(make, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make()
        for parameter in module.parameters():  # biases start at 0, which would hide mistakes
            parameter.data.uniform_(-1, 1)
    return module


def assert_same_state(ours, theirs):
    theirs = theirs.state_dict()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        tensor = theirs[name]
        assert str(tensor.dtype) == f"torch.{array.dtype.name}", name
        assert array.shape == tuple(tensor.shape), name
        assert np.asarray(array).tobytes() == tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def outputs(layer, arrays):
    """What a layer of either side returns for the graphs above, without padding."""
    x, edge_index, batch = arrays
    if isinstance(layer, SelectTopK):
        out = layer(layer.score(x, batch), batch)
        real = out.node_index < x.shape[0]
        return [out.node_index[real], out.weight[real]]
    if isinstance(layer, PygSelectTopK):
        out = layer(x, batch)
        return [out.node_index, out.weight]
    if isinstance(layer, TopKPooling | SAGPooling):
        out = layer(x, edge_index, batch=batch).trim()
        return [out.x, out.edge_index, out.perm, out.score]
    if isinstance(layer, pyg.TopKPooling | pyg.SAGPooling):
        out = layer(x, edge_index, batch=batch)
        return [out[0], out[1], out[4], out[5]]
    return [layer(x, edge_index)]


def assert_equal_outputs(ours, theirs):
    for mine, other in zip(outputs_of(ours), outputs_of(theirs), strict=True):
        assert mine.shape == other.shape
        assert np.abs(mine - other).max() <= 1e-12 * max(1, np.abs(other).max())


def outputs_of(layer):
    to_array = torch.tensor if isinstance(layer, torch.nn.Module) else jnp.asarray
    found = outputs(layer, [to_array(array) for array in (X, EDGES, BATCH)])
    return [(out.detach().numpy() if torch.is_tensor(out) else np.asarray(out)) for out in found]


@pytest.mark.parametrize("name", MODULES)
def test_every_configuration_of_the_catalogue_is_converted_both_ways(name, x64):
    """What it computes is compared by the harness."""
    for config in SPECS[name].grid:
        if OTHERS & {(key, str(value)) for key, value in config.options.items()}:
            continue
        theirs = seeded(lambda config=config: SPECS[name].pyg(**config.options))
        ours, options = from_pyg(theirs.double().eval()), dict(config.options)
        if options.get("aggr") == "sum":
            options["aggr"] = "add"  # the same by another name
        made = eqx.nn.inference_mode(SPECS[name].eqx(**options))
        for option, (value, _) in TWINS[type(made)].only_ours.items():
            object.__setattr__(made, option, value)
        assert bool(eqx.tree_equal(ours, load_state_dict(made, theirs.state_dict())))
        back = to_pyg(ours)
        assert type(back) is type(theirs)
        assert_same_state(state_dict(ours), back)
        assert bool(eqx.tree_equal(from_pyg(back), ours))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_goes_there_and_back_with_every_bit_and_computes_the_same(name, x64):
    theirs = seeded(LAYERS[name]).double().eval()
    ours = from_pyg(theirs)
    assert type(ours).__name__ == type(theirs).__name__
    assert_same_state(state_dict(ours), theirs)
    assert_equal_outputs(ours, theirs)
    back = to_pyg(ours).eval()
    assert type(back) is type(theirs)
    assert_same_state(state_dict(ours), back)
    for mine, other in zip(outputs_of(back), outputs_of(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)
    again = from_pyg(back)
    assert bool(eqx.tree_equal(again, ours))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_dtype_of_the_parameters_is_kept(dtype):
    theirs = seeded(LAYERS["sag gat"]).to(dtype)
    ours = from_pyg(theirs)
    assert_same_state(state_dict(ours), theirs)
    assert_same_state(state_dict(ours), to_pyg(ours))


def test_training_mode_is_inference_off():
    module = pyg.GATConv(4, 3, dropout=0.5)
    assert not from_pyg(module).dropout.inference
    assert from_pyg(module.eval()).dropout.inference
    assert not to_pyg(from_pyg(module)).training
    assert to_pyg(from_pyg(module.train())).training


def test_a_count_that_is_not_whole_is_truncated_as_pyg_does_and_one_stays_a_count():
    assert from_pyg(pyg.TopKPooling(4, ratio=2.9)).select.ratio == 2
    assert from_pyg(pyg.TopKPooling(4, ratio=1.0)).select.ratio == 1


@pytest.mark.parametrize("number", [np.float32, np.float64, torch.tensor])
def test_options_may_be_numbers_of_numpy_and_torch(number):
    ours = from_pyg(pyg.TopKPooling(4, number(0.5), multiplier=number(2.0)))
    assert type(ours.select.ratio) is type(ours.multiplier) is float
    assert (ours.select.ratio, ours.multiplier) == (0.5, 2)
    assert from_pyg(pyg.SAGPooling(4, ratio=number(3.0))).select.ratio == 3
    ours = from_pyg(pyg.SAGPooling(4, min_score=number(0.25)))
    assert type(ours.select.min_score) is float and ours.select.min_score == 0.25


def test_a_lazy_layer_is_converted_with_the_width_it_has_seen():
    module = pyg.GCNConv(-1, 3)
    with pytest.raises(ValueError, match=r"GCNConv has no lin.weight yet.*call it once"):
        from_pyg(module)
    module(torch.ones(2, 5), torch.tensor([[0], [1]]))
    assert from_pyg(module).in_features == 5


def test_to_pyg_leaves_the_random_numbers_of_the_caller_alone():
    before = torch.get_rng_state()
    to_pyg(SAGPooling(4, key=KEY))
    assert torch.equal(before, torch.get_rng_state())


def test_tensors_of_both_sides_share_no_memory():
    module = seeded(LAYERS["gcn"])
    ours = from_pyg(module)
    before = np.array(ours.lin.weight)
    back = to_pyg(ours)
    with torch.no_grad():
        module.lin.weight.zero_()
        back.lin.weight.zero_()
    np.testing.assert_array_equal(ours.lin.weight, before)


@pytest.mark.parametrize(
    "act, name",
    [
        ("tanh", "tanh"),
        ("leaky_relu", "leakyrelu"),
        ("swish", "silu"),
        (swish, "silu"),
        (torch.relu_, "relu"),
        (torch.Tensor.relu_, "relu"),
        (torch.nn.functional.elu_, "elu"),
        (torch.relu, "relu"),
        (torch.nn.functional.gelu, "gelu"),
        (torch.Tensor.sigmoid, "sigmoid"),
        (torch.nn.ReLU(inplace=True), "relu"),
        (torch.nn.Identity(), "identity"),
        *[(name, name) for name in OTHER_ACTIVATIONS],
    ],
)
def test_activations_keep_their_meaning_both_ways(act, name):
    ours = from_pyg(pyg.TopKPooling(2, nonlinearity=act))
    assert (
        ours.select.nonlinearity == TopKPooling(2, nonlinearity=name, key=KEY).select.nonlinearity
    )
    back = to_pyg(ours).select.act
    y = torch.tensor([-4.0, -0.3, 0.2, 2.5])
    theirs = pyg.TopKPooling(2, nonlinearity=act).select.act
    torch.testing.assert_close(back(y.clone()), theirs(y.clone()))
    mine = ours.select.nonlinearity(jnp.asarray(y.numpy()))
    np.testing.assert_allclose(mine, back(y.clone()), rtol=1e-5, atol=1e-6)


def test_functions_map_to_functions():
    pairs = [
        (pyg.global_add_pool, global_add_pool),
        (pyg.global_mean_pool, global_mean_pool),
        (pyg.global_max_pool, global_max_pool),
    ]
    for theirs, ours in pairs:
        assert from_pyg(theirs) is ours
        assert to_pyg(ours) is theirs


class MyConv(pyg.GCNConv):
    pass


def my_activation(x):
    return x


def hooked():
    module = pyg.SAGPooling(4)
    module.gnn.lin_rel.register_forward_hook(lambda *_: None)
    return module


def replaced(module, name, value):
    setattr(module, name, value)
    return module


def normed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nn.utils.parametrizations.weight_norm(pyg.GCNConv(4, 3).lin)


REFUSED = {
    "flow": (
        lambda: pyg.GCNConv(4, 3, flow="target_to_source"),
        r"torch_geometric\.nn\.conv\.gcn_conv\.GCNConv with flow='target_to_source' has no twin: "
        "it must be 'source_to_target'",
    ),
    "node_dim": (lambda: pyg.GraphConv(4, 3, node_dim=1), "node_dim=1 has no twin"),
    "decomposed": (lambda: pyg.GCNConv(4, 4, decomposed_layers=2), "decomposed_layers=2 has no"),
    "bipartite sage": (lambda: pyg.SAGEConv((4, 2), 3), r"in_channels=\(4, 2\) has no.*bipartite"),
    "bipartite gat": (lambda: pyg.GATConv((4, 2), 3), r"in_channels=\(4, 2\) has no.*bipartite"),
    "gcn aggr": (lambda: pyg.GCNConv(4, 3, aggr="mean"), "aggr='mean' has no twin: it must be 'a"),
    "fill": (
        lambda: pyg.GATConv(4, 3, edge_dim=2, fill_value=torch.ones(2)),
        "fill_value of 2 numbers has no twin",
    ),
    "fill name": (lambda: pyg.GATConv(4, 3, edge_dim=2, fill_value="mul"), "fill_value"),
    "lin": (
        lambda: replaced(pyg.GCNConv(4, 3), "lin", torch.nn.Linear(4, 3, bias=False)),
        r"lin=torch\.nn\.modules\.linear\.Linear has no twin",
    ),
    "hooks": (hooked, "has hooks at 'gnn.lin_rel'"),
    "dtypes": (
        lambda: replaced(pyg.GCNConv(4, 3), "lin", pyg.Linear(4, 3, bias=False).half()),
        r"parameters of one dtype, got torch\.float16, torch\.float32",
    ),
    "float64": (lambda: pyg.GCNConv(4, 3).double(), "float64 parameters.*jax_enable_x64"),
    "connect": (
        lambda: replaced(pyg.TopKPooling(4), "connect", torch.nn.Identity()),
        r"connect=torch\.nn\..*Identity has no twin",
    ),
    "act": (
        lambda: pyg.TopKPooling(4, nonlinearity=my_activation),
        r"nonlinearity .*my_activation has no known twin; make our layer with nonlinearity=",
    ),
    "act None": (lambda: pyg.TopKPooling(4, nonlinearity=None), "NoneType has no known twin"),
    "act slope": (
        lambda: pyg.TopKPooling(4, nonlinearity=torch.nn.LeakyReLU(0.2)),
        r"LeakyReLU has negative_slope=0\.2",
    ),
    "act parameters": (lambda: pyg.TopKPooling(4, nonlinearity="prelu"), "PReLU has no known"),
    "act gelu": (
        lambda: pyg.TopKPooling(4, nonlinearity=torch.nn.GELU("tanh")),
        "GELU has approximate=tanh",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_without_a_twin_are_refused_with_the_reason(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        from_pyg(make())


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: pyg.TransformerConv(4, 4),
            r"nn\.conv\.transformer_conv\.TransformerConv; it converts .*TopKPooling",
        ),
        (lambda: torch.nn.Conv1d(4, 3, 1), r"conv\.Conv1d; .*load_state_dict\(network"),
        (lambda: MyConv(4, 3), r"MyConv \(a subclass of torch_geometric\.nn\.GCNConv, which may"),
        (normed, r"ParametrizedLinear"),
        (
            lambda: pyg.SAGPooling(4, GNN=pyg.TransformerConv),
            r"transformer_conv\.TransformerConv; it converts",
        ),
        (pyg_data.HeteroData, r"HeteroData \(it has nodes of several types; convert data\.to_h"),
        (lambda: 3, r"builtins\.int; it converts"),
    ],
)
def test_unknown_types_are_refused_with_what_is_known(make, message):
    with pytest.raises(TypeError, match=message):
        from_pyg(make())


@pytest.mark.parametrize(
    "make, error, message",
    [
        (
            lambda: eqx.nn.Linear(2, 2, key=KEY),
            TypeError,
            "Linear; it converts .*GCNConv, .*TopKPo",
        ),
        (lambda: global_min_pool, TypeError, "global_min_pool; it converts"),
        (lambda: SAGPooling(4, gnn=lambda x, e: x[:, 0], key=KEY), TypeError, "<lambda>; it conve"),
        (
            lambda: TopKPooling(4, nonlinearity=jnp.sin, key=KEY),
            ValueError,
            r"nonlinearity .*sin has no known twin in PyTorch; make PyG's layer",
        ),
        (
            lambda: eqx.tree_at(
                lambda c: c.bias, GCNConv(2, 2, key=KEY), jnp.zeros(2, jnp.float16)
            ),
            ValueError,
            r"GCNConv must have parameters of one dtype, got torch\.float16, torch\.float32",
        ),
    ],
)
def test_what_pyg_does_not_have_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        to_pyg(make())


def test_a_gat_with_any_options_of_ours_survives_the_way_there_and_back():
    layer = GATConv(4, 3, 2, False, 0.1, 0.25, False, 5, 0.5, bias=False, residual=True, key=KEY)
    assert bool(eqx.tree_equal(from_pyg(to_pyg(layer)), layer))


class PygNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = pyg.GCNConv(4, 8)
        self.pool1 = pyg.TopKPooling(8, ratio=0.6)
        self.conv2 = pyg.GCNConv(8, 8)
        self.classifier = torch.nn.Linear(8, 3)

    def forward(self, x, edge_index, batch):
        x = self.conv1(x, edge_index).relu()
        x, edge_index, _, batch, _, _ = self.pool1(x, edge_index, batch=batch)
        x = self.conv2(x, edge_index).relu()
        return self.classifier(pyg.global_mean_pool(x, batch))


class Network(eqx.Module):
    conv1: GCNConv
    pool1: TopKPooling
    conv2: GCNConv
    classifier: eqx.nn.Linear

    def __init__(self, *, dtype, key):
        keys = jax.random.split(key, 4)
        self.conv1 = GCNConv(4, 8, dtype=dtype, key=keys[0])
        self.pool1 = TopKPooling(8, ratio=0.6, dtype=dtype, key=keys[1])
        self.conv2 = GCNConv(8, 8, dtype=dtype, key=keys[2])
        self.classifier = eqx.nn.Linear(8, 3, dtype=dtype, key=keys[3])

    def __call__(self, x, edge_index, batch):
        x = jax.nn.relu(self.conv1(x, edge_index))
        x, edge_index, _, batch, _ = self.pool1(x, edge_index, batch=batch)
        x = jax.nn.relu(self.conv2(x, edge_index))
        return jax.vmap(self.classifier)(global_mean_pool(x, batch))


def test_a_network_of_the_users_own_is_ported_by_its_names(x64):
    theirs = seeded(PygNetwork).double()
    ours = load_state_dict(Network(dtype=jnp.float64, key=KEY), theirs.state_dict())
    assert_same_state(state_dict(ours), theirs)
    expected = theirs(torch.tensor(X), torch.tensor(EDGES), torch.tensor(BATCH)).detach().numpy()
    batch = BatchVector(jnp.asarray(BATCH), 2)
    logits = eqx.filter_jit(ours)(jnp.asarray(X), jnp.asarray(EDGES), batch)
    assert logits.shape == (2, 3) and np.abs(expected).max() > 0.1
    assert np.abs(np.asarray(logits) - expected).max() <= 1e-12 * np.abs(expected).max()
    # And back, into a network with other weights.
    back = seeded(PygNetwork, seed=1).double()
    back.load_state_dict(to_pyg(state_dict(ours)))
    assert_same_state(state_dict(ours), back)


def test_parameters_that_require_gradients_and_bfloat16_tensors_load():
    theirs = seeded(PygNetwork).bfloat16()
    ours = load_state_dict(Network(dtype=jnp.bfloat16, key=KEY), dict(theirs.named_parameters()))
    assert_same_state(state_dict(ours), theirs)


def test_a_network_of_another_dtype_or_width_is_refused_with_every_name():
    theirs = PygNetwork().double().state_dict()
    theirs["conv2.lin.weight"] = torch.ones(8, 9)
    with pytest.raises(ValueError, match="does not fit Network") as caught:
        load_state_dict(Network(dtype=jnp.float32, key=KEY), theirs)
    message = str(caught.value)
    assert message.count("must have dtype float32, got float64") == 6
    assert "'conv2.lin.weight' must have shape (8, 8), got (8, 9)" in message


def test_the_tanh_of_jax_is_that_of_torch():
    ours = TopKPooling(2, nonlinearity=jnp.tanh, key=jax.random.key(0))
    assert isinstance(to_pyg(ours).select.act, torch.nn.Tanh)
