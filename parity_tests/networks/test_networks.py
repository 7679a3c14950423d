"""Trained networks, ported: the same predictions, logits, gradients, and further training."""

import functools
import json
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from jraphx_eqx.data import BatchVector
from jraphx_eqx.fit import Network, verify
from jraphx_eqx.interop import load_state_dict, read_state_dict, state_dict, to_pyg
from jraphx_eqx.parity import describe

from .catalogue import FOLDER, NETWORKS, TU, batches, graphs
from .forced import forced, padded, watched
from .train import accuracy, tensors

pytestmark = pytest.mark.usefixtures("quick_compile")

# Largest distance of a parameter from PyTorch's after ten steps in float64, over the largest
# parameter. Measured: see docs/from-pyg.md.
BOUND = 1e-9
CHANCE = {"digits": 0.1, "ENZYMES": 1 / 6}
OPTIMIZERS = {
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.05), optax.sgd(0.05)),
    "adam": (lambda p: torch.optim.Adam(p, lr=1e-3), optax.adam(1e-3)),
}


BRIEFLY = ("topk", "gat-scores", "unet")


def _marked(network):
    marks = () if network.name in BRIEFLY else pytest.mark.full
    return pytest.param(network, id=network.name, marks=marks)


@pytest.fixture(params=map(_marked, NETWORKS))
def network(request):
    if request.param.data != "digits" and TU not in os.environ:
        pytest.skip(f"needs {request.param.data}.npz; set {TU} to its folder")
    return request.param


def theirs_of(network):
    module = network.theirs()
    module.load_state_dict(to_pyg(read_state_dict(network.checkpoint)))
    return module.eval()


def ours_of(network):
    return load_state_dict(network.ours(), read_state_dict(network.checkpoint))


def recorded(network):
    return json.loads((FOLDER / "accuracies.json").read_text())[network.name]


@eqx.filter_jit
def logits_of(module, batch, kept):
    return forced(module, kept)(batch.x, batch.edge_index, batch.batch)


def test_all_graphs_it_was_not_trained_on_get_the_same_prediction(network):
    found = graphs(network.data)[1]
    theirs, ours = theirs_of(network), ours_of(network)
    assert recorded(network) > 3 * CHANCE[network.data]
    assert accuracy(theirs, found) == pytest.approx(recorded(network), abs=0.01)
    same = 0
    for batch, whole in zip(batches(found, 120), padded_batches(found, 120), strict=True):
        x, edge_index, index, _ = tensors(batch)
        with torch.no_grad(), watched(theirs) as kept:
            expected = theirs(x, edge_index, index).numpy()
        perms = padded(kept, ours, whole.num_nodes, whole.num_graphs)
        logits = np.asarray(logits_of(ours, whole, perms))[: batch.num_graphs]
        np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))
        assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()
        own = np.asarray(logits_of(ours, whole, []))[: batch.num_graphs]
        same += int((own.argmax(axis=1) == expected.argmax(axis=1)).sum())
    # Where scores are equal the sides choose other nodes, as PyG does from one dtype to the next.
    assert same >= 0.99 * len(found)


def padded_batches(found, size):
    made = batches(found, size)
    nodes = max(batch.num_nodes for batch in made) + 1
    edges = max(batch.num_edges for batch in made) + 1
    return [batch.pad(num_nodes=nodes, num_edges=edges, num_graphs=size) for batch in made]


def test_what_pyg_keeps_is_right_by_our_scores(network):
    """The choice that the other tests force on both sides."""
    theirs, ours = theirs_of(network), ours_of(network)
    if not hasattr(ours, "pools"):
        pytest.skip("a U-Net pools other edges than it gets; the catalogue compares its choices")
    [batch, *_] = batches(graphs(network.data)[1], 60)
    given, scores = [], []

    def watch(pool, arguments, named, output):
        x, edge_index = arguments
        given.append([np.asarray(value) for value in (x, edge_index, named["batch"])])
        scores.append(output[4].numpy())

    for pool in theirs.pools:
        pool.register_forward_hook(watch, with_kwargs=True)
    with torch.no_grad():
        theirs(*tensors(batch)[:3])
    for pool, (x, edge_index, index), perm in zip(ours.pools, given, scores, strict=True):
        vector = BatchVector(jnp.asarray(index), batch.num_graphs)
        score = np.asarray(pool.score(jnp.asarray(x), jnp.asarray(edge_index), vector))
        kept = np.isin(np.arange(len(x)), perm)
        for graph in range(batch.num_graphs):
            worst = score[kept & (index == graph)].min()
            assert score[~kept & (index == graph)].max(initial=-np.inf) <= worst + 1e-5


def test_logits_and_gradients_are_within_the_policy(network):
    [batch, *_] = batches(graphs(network.data)[1], 24)
    theirs, ours = theirs_of(network), ours_of(network)
    given = [np.asarray(value) for value in tensors(batch)[:3]]
    arguments = Network(given, ("x", "edge_index", "batch"), batch.num_graphs)
    result = verify(ours, theirs, arguments, layers=False).result
    assert result.exit_code == 0, "\n".join(map(describe, result.records))
    parameters = {f"d.{name}" for name in state_dict(ours)}
    assert {record.tensor for record in result.records} >= {"out.0", "d.arg0", *parameters}


@functools.cache
def _loss_and_gradients():
    def loss(parameters, static, kept, x, edge_index, batch, y):
        logits = forced(eqx.combine(parameters, static), kept)(x, edge_index, batch)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    return eqx.filter_jit(jax.value_and_grad(loss))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_along_the_same_path(network, name):
    make_theirs, optimizer = OPTIMIZERS[name]
    made = batches(graphs(network.data)[0][:120], 24)
    whole = padded_batches(graphs(network.data)[0][:120], 24)
    theirs = theirs_of(network).double()
    theirs_optimizer = make_theirs(theirs.parameters())
    with jax.enable_x64(True):
        ours = load_state_dict(network.ours(jnp.float64), theirs.state_dict())
        parameters, static = eqx.partition(ours, eqx.is_inexact_array)
        state = optimizer.init(parameters)
        update = jax.jit(optimizer.update)
        for step in range(10):
            x, edge_index, index, y = tensors(made[step % 5])
            theirs_optimizer.zero_grad()
            with watched(theirs) as kept:
                logits = theirs(x.double(), edge_index, index)
            expected = torch.nn.functional.cross_entropy(logits, y)
            expected.backward()
            batch = whole[step % 5]
            x = jnp.asarray(batch.x, jnp.float64)
            perms = padded(kept, ours, batch.num_nodes, batch.num_graphs)
            at = (static, perms, x, batch.edge_index, batch.batch, batch.y)
            loss, gradients = _loss_and_gradients()(parameters, *at)
            assert float(loss) == pytest.approx(expected.item(), rel=1e-9)
            if step == 0:
                assert_same_gradients(gradients, theirs)
            changes, state = update(gradients, state, parameters)
            parameters = optax.apply_updates(parameters, changes)
            theirs_optimizer.step()
        before, after = theirs_of(network).state_dict(), theirs.state_dict()
        for key, value in state_dict(parameters).items():
            # The gradient of SAGPooling's sign is 0. What rounding makes of that, up to 1e-15, Adam
            # divides by 1e-8, so its distance is measured against 1 and not against itself.
            sign = key.endswith("select.weight") and value.shape == (1, 1)
            scale = 1.0 if sign else float(after[key].abs().max())
            distance = float(np.abs(np.asarray(value) - after[key].numpy()).max())
            assert distance <= BOUND * scale, (key, distance / scale)
        moved = [float((after[key] - before[key].double()).abs().max()) for key in after]
        assert max(moved) > 1e-3


def assert_same_gradients(gradients, theirs):
    found = state_dict(gradients)
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    assert set(found) == set(expected)
    expected = {name: gradient.numpy() for name, gradient in expected.items()}
    # What cancels, as for the sign of a scorer, is only as exact as the terms of its sum.
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in expected.items():
        atol = 1e-10 * np.abs(gradient).max() + 1e-13 * largest
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=atol, err_msg=name)
