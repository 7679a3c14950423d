"""Differences from PyG that the docs list, of inputs that the catalogue does not draw.

Those of inputs that it draws are in `operators`. Both sides are looked at.
"""

import re
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from torch_geometric.data import Batch as PygBatch

from jraphx_eqx import nn, ops
from jraphx_eqx.data import Batch
from jraphx_eqx.interop import from_pyg
from jraphx_eqx.nn.pool import global_add_pool

DOCS = Path(__file__).parents[1] / "docs" / "from-pyg.md"


def test_what_the_docs_say_is_not_here_is_in_pyg_and_not_here():
    section = DOCS.read_text().split("## What is not here")[1].split("\n## ")[0]
    names = set(re.findall(r"`(\w+)`", section)) - {"from_pyg", "lambda", "GraphUNet", "PReLU"}
    assert len(names) > 10
    for name in names - {"SAGEConv"}:
        theirs = (pyg, pyg.aggr, pyg.pool, torch.nn)
        assert any(hasattr(module, name) for module in theirs), name
        ours = (nn, nn.aggr, nn.conv, nn.models, nn.norm, nn.pool, ops)
        assert not any(hasattr(module, name) for module in ours), name


def two_best(features, weight):
    """Which two of the nodes TopK keeps, and their scores, on both sides."""
    x, edges = np.array([[one, 0] for one in features], np.float32), np.zeros((2, 0), np.int64)
    theirs = pyg.TopKPooling(2, ratio=2, nonlinearity=torch.nn.Identity())
    torch.nn.init.constant_(theirs.select.weight, weight)
    found = theirs(torch.tensor(x), torch.tensor(edges))
    ours = from_pyg(theirs)(jnp.asarray(x), jnp.asarray(edges, jnp.int32))
    return (found[4].tolist(), found[5].tolist()), (ours.perm.tolist(), ours.score.tolist())


def test_a_projection_whose_square_overflows_has_scores_here_and_zeros_in_pyg():
    theirs, ours = two_best([0.25, 0.5, 1.0], 1e20)
    assert theirs[1] == [0, 0]
    assert ours[0] == [2, 1]
    np.testing.assert_allclose(ours[1], np.sqrt([0.5, 0.125]), rtol=1e-6)


def test_subnormal_features_tie_here_and_do_not_in_pyg():
    theirs, ours = two_best([1e-40, 2e-40, 3e-40], 1.0)
    assert theirs[0] == [2, 1]
    assert ours == ([0, 1], [0, 0])


def test_the_gradient_of_a_sign_is_exactly_zero_here_and_what_rounding_leaves_of_it_in_pyg():
    rng = np.random.default_rng(0)
    x, edges = rng.normal(size=(2000, 4)).astype(np.float32), rng.integers(0, 2000, (2, 8000))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = pyg.SAGPooling(4)
    ours = from_pyg(theirs)
    theirs(torch.tensor(x), torch.tensor(edges))[0].square().sum().backward()
    left = theirs.select.weight.grad.item()
    assert 0 < abs(left) < 1e-2
    loss = lambda layer: jnp.sum(layer(jnp.asarray(x), jnp.asarray(edges, jnp.int32)).x ** 2)  # noqa: E731
    assert eqx.filter_jit(eqx.filter_grad(loss))(ours).select.weight.item() == 0


def test_no_graphs_are_a_batch_without_fields_here_and_an_error_in_pyg():
    with pytest.raises(IndexError):
        PygBatch.from_data_list([])
    padded = Batch.from_data_list([]).pad(num_nodes=8, num_edges=8, num_graphs=4)
    assert padded.num_graphs == 4 and padded.x is None


def test_what_is_batch_size_in_pyg_is_size_here():
    theirs, x = pyg.GraphNorm(1), np.array([[0.0], [1.0], [2.0], [5.0]], np.float32)
    expected = theirs(torch.tensor(x), torch.tensor([0, 0, 1, 1]), batch_size=3)
    ours, batch = from_pyg(theirs), jnp.array([0, 0, 1, 1])
    found = ours(jnp.asarray(x), batch, size=3)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5)
    with pytest.raises(TypeError, match="batch_size"):
        ours(jnp.asarray(x), batch, batch_size=3)


def test_a_sum_of_booleans_is_refused_here_and_two_things_in_pyg():
    x = torch.tensor([[True], [True]])
    assert pyg.global_add_pool(x, None).tolist() == [[2]]
    assert pyg.global_add_pool(x, torch.zeros(2, dtype=torch.long)).tolist() == [[True]]
    for batch in (None, jnp.zeros(2, jnp.int32)):
        with pytest.raises((TypeError, ValueError), match="x"):
            global_add_pool(jnp.array([[True], [True]]), batch)


@pytest.mark.parametrize("norm", ["layer_norm", "graph_norm"])
def test_a_sequence_of_torch_gives_its_norms_no_batch(norm):
    """Here a `Sequential` hands `batch` on; with `node_mask` it is PyTorch's."""
    kind = {"layer_norm": pyg.LayerNorm, "graph_norm": pyg.GraphNorm}[norm]
    theirs = torch.nn.Sequential(kind(1))
    ours, x = from_pyg(theirs), np.array([[0.0], [1.0], [2.0], [5.0]], np.float32)
    expected = theirs(torch.tensor(x)).detach().numpy()
    masked = ours(jnp.asarray(x), node_mask=jnp.ones(4, bool))
    np.testing.assert_allclose(masked, expected, rtol=1e-5)
    by_graph = theirs[0](torch.tensor(x), torch.tensor([0, 0, 1, 1])).detach().numpy()
    handed_on = ours(jnp.asarray(x), jnp.array([0, 0, 1, 1]))
    np.testing.assert_allclose(handed_on, by_graph, rtol=1e-5)
    assert np.abs(by_graph - expected).max() > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_nodes_of_a_complete_graph_have_scores_that_differ_by_rounding_only(seed):
    """Exactly equal ones are promised of linked pairs alone; PyG's are not equal either."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        theirs = pyg.SAGPooling(8, GNN=pyg.GCNConv)
        x = torch.randn(4, 8)
    edges = torch.tensor([[i, j] for i in range(4) for j in range(4) if i != j]).T
    ours = from_pyg(theirs)
    found = ours.score(jnp.asarray(x.numpy()), jnp.asarray(edges.numpy(), jnp.int32))
    expected = torch.tanh(theirs.gnn(x, edges)).detach().numpy().ravel()
    for scores in (np.asarray(found), expected):
        assert np.ptp(scores) <= 4 * np.finfo(np.float32).eps * np.abs(scores).max()
