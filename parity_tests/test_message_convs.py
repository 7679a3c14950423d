"""Convolutions with networks in their messages beside PyG's, in float64, with NaN in padding:
GINEConv, EdgeConv and NNConv with a batch norm in training, whose statistics leave out padding; the
catalogue has the rest of them. DynamicEdgeConv and PointNetConv; a GAT of GATv2Conv.

`DynamicEdgeConv` needs compiled extras, which are not installed here; its neighbours are found by
brute force instead.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, load_state_dict, state_dict, to_pyg

pytestmark = pytest.mark.usefixtures("quick_compile")

WIDTH, OUT, ATTR = 3, 2, 2
NODES, EDGES, ROOM, EDGE_ROOM = 7, 14, 9, 17


def network(before, after=OUT):
    layers = torch.nn.Linear(before, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh()
    return torch.nn.Sequential(*layers, torch.nn.Linear(4, after))


LAYERS = {
    "gine": (lambda: pyg.GINEConv(network(WIDTH)), WIDTH),
    "edge": (lambda: pyg.EdgeConv(network(2 * WIDTH)), None),
    "nn": (lambda: pyg.NNConv(WIDTH, OUT, network(ATTR, WIDTH * OUT)), ATTR),
}


def given(attr=None):
    rng = np.random.default_rng(7)
    edge_index = rng.integers(0, NODES - 1, (2, EDGES))  # The last node has no edge.
    edge_index[:, -1] = edge_index[0, -1]
    attrs = None if attr is None else rng.normal(size=(EDGES, attr))
    return rng.normal(size=(NODES, WIDTH)), edge_index, attrs


def with_room(array, rows, fill=np.nan):
    pad = ((0, rows - len(array)), *[(0, 0)] * (array.ndim - 1))
    return jnp.asarray(np.pad(array, pad, constant_values=fill))


def made(make):
    """In training, so that norms take the statistics of the rows there are."""
    torch.manual_seed(1)
    module = make().double()
    with torch.no_grad():  # Biases begin as zeros.
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@eqx.filter_jit
def ours(layer, leaves, call):
    def loss(given):
        out = call(*given)
        return jnp.sum(jnp.sin(out[:NODES])), out

    return eqx.filter_grad(loss, has_aux=True)((layer, leaves))


def compare(module, layer, leaves, padded, call_theirs, call_ours):
    """Values and all gradients; padding gets none."""
    assert eqx.tree_equal(layer, from_pyg(to_pyg(layer)))
    arrays, rest = eqx.partition(layer, eqx.is_array)
    empty = eqx.combine(jax.tree.map(jnp.zeros_like, arrays), rest)
    loaded = load_state_dict(empty, module.state_dict())
    assert eqx.tree_equal(layer, loaded)
    tensors = [torch.tensor(leaf, requires_grad=True) for leaf in leaves]
    expected = call_theirs(*tensors)
    torch.sin(expected).sum().backward()
    (gradients, inputs), out = ours(layer, padded, call_ours)
    np.testing.assert_allclose(out[: len(expected)], expected.detach(), rtol=1e-11, atol=1e-12)
    for gradient, tensor in zip(inputs, tensors, strict=True):
        theirs = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad
        np.testing.assert_allclose(gradient[: len(theirs)], theirs, rtol=1e-9, atol=1e-11)
        assert not np.any(gradient[len(theirs) :])
    ported = state_dict(gradients)
    for key, parameter in module.named_parameters():
        theirs = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad
        np.testing.assert_allclose(ported[key], theirs, rtol=1e-9, atol=1e-11, err_msg=key)


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients(name):
    make, attr = LAYERS[name]
    x, edge_index, attrs = given(attr)
    leaves = [x] if attr is None else [x, attrs]
    module = made(make)
    with jax.enable_x64(True):
        edges = with_room(edge_index.T, EDGE_ROOM, ROOM).T
        padded = [with_room(leaf, n) for leaf, n in zip(leaves, (ROOM, EDGE_ROOM), strict=False)]
        mask = jnp.arange(ROOM) < NODES

        def call(layer, given):
            return layer(given[0], edges, *given[1:], node_mask=mask)

        def theirs(x, *more):
            return module(x, torch.tensor(edge_index), *more)

        compare(module, from_pyg(module), leaves, padded, theirs, call)


@pytest.mark.parametrize("k", [3, 5])
def test_dynamic_edge_conv(monkeypatch, k):
    index = np.array([0, 0, 0, 0, 1, 1, 1])

    def knn(x, y, ptr_x, ptr_y, k, cosine, workers):
        far = torch.cdist(y, x) + 1e9 * torch.tensor(index[:, None] != index[None])
        found = [(i, j) for i, row in enumerate(far) for j in row.argsort()[:k] if row[j] < 1e9]
        return torch.tensor(found).T

    monkeypatch.setattr("torch_geometric.typing.WITH_KNN", True)
    monkeypatch.setattr(torch.ops.pyg, "knn", knn, raising=False)
    module = made(lambda: pyg.DynamicEdgeConv(network(2 * WIDTH), k, "mean"))
    x, _, _ = given()
    with jax.enable_x64(True):
        batch = BatchVector(with_room(index, ROOM, 2), 2, 5)
        padded = [with_room(x, ROOM)]
        compare(
            module,
            from_pyg(module),
            [x],
            padded,
            lambda x: module(x, torch.tensor(index)),
            lambda layer, given: layer(given[0], batch),
        )


@pytest.mark.parametrize("loops", [True, False])
@pytest.mark.parametrize("features", [True, False])
def test_point_net_conv(loops, features):
    width = (WIDTH if features else 0) + 2
    module = made(lambda: pyg.PointNetConv(network(width), network(OUT, 3), loops))
    x, edge_index, pos = given()[0], given()[1], np.random.default_rng(2).normal(size=(NODES, 2))
    centres = NODES if loops else 4
    edge_index[1] %= centres
    leaves = [x, pos] if features else [pos]
    if not loops:
        leaves.append(pos[:centres] + 1)
    with jax.enable_x64(True):
        # Past the last point or the last centre.
        edges = with_room(edge_index.T, EDGE_ROOM, ROOM).T
        padded = [with_room(leaf, ROOM if len(leaf) == NODES else 6) for leaf in leaves]
        mask = jnp.arange(len(padded[-1])) < centres

        def arguments(given):
            x, *pos = given if features else [None, *given]
            return x, pos[0] if loops else tuple(pos)

        def theirs(*given):
            x, pos = arguments(given)
            return module((x, None) if x is not None else None, pos, torch.tensor(edge_index))

        def call(layer, given):
            out = layer(*arguments(given), edges, node_mask=mask)
            return jnp.where(mask[:, None], out, 0)

        compare(module, from_pyg(module), leaves, padded, theirs, call)


def test_point_net_conv_of_two_sets_has_no_loops():
    points, centres = jnp.zeros((3, 2)), jnp.zeros((2, 2))
    with pytest.raises(ValueError, match="pos must be one array with add_self_loops=True"):
        from_pyg(pyg.PointNetConv())(None, (points, centres), jnp.zeros((2, 1), int))


def test_a_gat_of_the_second_version():
    torch.manual_seed(2)
    module = pyg.GAT(WIDTH, 4, 2, OUT, heads=2, v2=True, edge_dim=ATTR)
    x, edge_index, attrs = given(ATTR)
    theirs = module(
        *map(torch.tensor, (np.float32(x), edge_index)), edge_attr=torch.tensor(attrs).float()
    )
    model = from_pyg(module)
    assert eqx.tree_equal(model, from_pyg(to_pyg(model)))
    out = model(jnp.float32(x), jnp.asarray(edge_index), edge_attr=jnp.float32(attrs))
    np.testing.assert_allclose(out, theirs.detach(), rtol=1e-5, atol=1e-6)
