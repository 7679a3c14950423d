"""Running statistics: how training moves them, in a layer and in a model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, state_dict
from jraphx_eqx.nn.norm import call_and_update

from .test_interop_modules import EDGES, seeded

STEPS = [np.random.default_rng(seed).normal(size=(7, 4)) for seed in range(3)]
NORMS = {
    "torch": lambda: torch.nn.BatchNorm1d(4),
    "momentum": lambda: torch.nn.BatchNorm1d(4, momentum=0.7),
    "cumulative": lambda: torch.nn.BatchNorm1d(4, momentum=None, affine=False),
    "untracked": lambda: torch.nn.BatchNorm1d(4, track_running_stats=False),
    "frozen": lambda: torch.nn.BatchNorm1d(4).eval(),
    "pyg": lambda: pyg.BatchNorm(4, momentum=0.3, allow_single_element=True),
}


@pytest.fixture(autouse=True)
def doubles():
    with jax.enable_x64(True):
        yield


def padded(x):
    rows = jnp.concatenate([jnp.asarray(x), jnp.full((2, x.shape[1]), jnp.nan)])
    return rows, BatchVector(jnp.asarray([0] * len(x) + [1, 1]), 1)


def assert_same_statistics(ours, theirs):
    expected = theirs.state_dict()
    found = state_dict(ours)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", NORMS)
def test_training_moves_the_statistics_as_pytorch_does(name):
    theirs = seeded(NORMS[name])
    ours = from_pyg(theirs)
    before = ours
    for x in STEPS:
        expected = theirs(torch.tensor(x)).detach().numpy()
        out, ours = eqx.filter_jit(call_and_update)(ours, *padded(x))
        np.testing.assert_allclose(out[:7], expected, rtol=0, atol=1e-12)
        assert not np.any(out[7:])
    assert_same_statistics(ours, theirs)
    assert bool(eqx.tree_equal(ours, before)) == (name in ("untracked", "frozen"))
    # A call alone changes nothing, and the statistics are those of evaluation.
    expected = theirs.eval()(torch.tensor(STEPS[0])).detach().numpy()
    out = eqx.nn.inference_mode(ours)(jnp.asarray(STEPS[0]))
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["torch", "cumulative"])
def test_update_is_what_the_call_of_a_model_does(name):
    ours = from_pyg(seeded(NORMS[name]))
    _, expected = call_and_update(ours, *padded(STEPS[0]))
    assert bool(eqx.tree_equal(ours.update(*padded(STEPS[0])), expected))
    frozen = eqx.nn.inference_mode(ours)
    assert frozen.update(*padded(STEPS[0])) is frozen


def test_one_node_is_normalised_by_the_running_statistics_and_does_not_count():
    theirs = seeded(NORMS["pyg"])
    ours = from_pyg(theirs)
    x = STEPS[0][:1]
    out, after = call_and_update(ours, *padded(x))
    np.testing.assert_allclose(out[:1], theirs(torch.tensor(x)).detach().numpy(), atol=1e-14)
    assert_same_statistics(after, theirs)
    assert bool(eqx.tree_equal(after, ours))


def test_a_model_trains_as_in_pytorch_in_values_gradients_and_statistics():
    theirs = seeded(lambda: pyg.GIN(4, 6, 3, out_channels=2, norm="batch_norm", jk="cat"))
    ours = from_pyg(theirs)
    edges = torch.tensor(EDGES)

    @eqx.filter_jit
    @eqx.filter_grad(has_aux=True)
    def gradient(model, x, edge_index, batch):
        out, model = call_and_update(model, x, edge_index, batch=batch)
        return jnp.sum(jnp.sin(out)), model

    for x in STEPS:
        theirs.zero_grad()
        torch.sin(theirs(torch.tensor(x), edges)).sum().backward()
        rows, batch = padded(x)
        found, ours = gradient(ours, rows, jnp.asarray(EDGES), batch)
    assert_same_statistics(ours, theirs)
    found = state_dict(found)
    for name, parameter in theirs.named_parameters():
        scale = max(1, parameter.grad.abs().max().item())
        assert np.abs(found[name] - parameter.grad.numpy()).max() <= 1e-12 * scale, name
    for name in theirs.state_dict():
        if "running" in name:
            assert not np.any(found[name]), name
