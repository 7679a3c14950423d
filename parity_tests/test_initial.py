"""New layers start as PyG's do: each parameter is drawn from the same distribution."""

import functools

import equinox as eqx
import jax
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from scipy.stats import ks_2samp

from jraphx_eqx import nn
from jraphx_eqx.interop import from_pyg

from .catalogue import OPERATORS

pytestmark = pytest.mark.usefixtures("quick_compile")

DRAWS = 200
WIDTH, OUT = 12, 10


MADE = {
    operator.name: operator.made[0]
    for operator in OPERATORS.values()
    if operator.made and operator.made[0].pyg
}
# The same layer twice: PyG's, and ours for a key.
LAYERS = {
    **{name: (made.pyg, made.ours) for name, made in MADE.items()},
    "torch LayerNorm": (torch.nn.LayerNorm, lambda width, key: nn.LayerNorm(width)),
    "Linear": (
        lambda width: torch.nn.Linear(width, OUT),
        lambda width, key: nn.Linear(width, OUT, key=key),
    ),
    "Embedding": (
        lambda width: torch.nn.Embedding(width, OUT, padding_idx=1),
        lambda width, key: nn.Embedding(width, OUT, padding_idx=1, key=key),
    ),
    "GRUCell": (
        lambda width: torch.nn.GRUCell(width, OUT),
        lambda width, key: nn.GRUCell(width, OUT, key=key),
    ),
    "LSTMCell": (
        lambda width: torch.nn.LSTMCell(width, OUT),
        lambda width, key: nn.LSTMCell(width, OUT, key=key),
    ),
    "PReLU": (lambda width: torch.nn.PReLU(width), lambda width, key: nn.PReLU(width)),
    "JumpingKnowledge": (
        lambda width: pyg.JumpingKnowledge("lstm", width, 3),
        lambda width, key: nn.models.JumpingKnowledge("lstm", width, 3, key=key),
    ),
}
# Models of layers that are drawn by themselves as well.
MODELS = ("GCN", "GraphUNet")
NAMES = [pytest.param(name, marks=pytest.mark.full) if name in MODELS else name for name in LAYERS]
# What is not drawn as PyG does, by choice; the page "From PyG" has the reason.
OTHERWISE = {("SAGPooling", ".select.weight")}


def parameters(module):
    return eqx.filter(module, eqx.is_inexact_array)


@functools.cache
def drawn(name):
    """Each parameter by its path: all draws of PyG's, and all of ours."""
    theirs, ours = LAYERS[name]
    torch.manual_seed(0)
    made = [parameters(from_pyg(theirs(WIDTH))) for _ in range(DRAWS)]
    theirs = jax.tree.map(lambda *leaves: np.stack(leaves), *made)
    keys = jax.random.split(jax.random.key(0), DRAWS)
    ours = eqx.filter_vmap(lambda key: parameters(ours(WIDTH, key=key)), axis_size=DRAWS)(keys)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    pairs = zip(jax.tree.leaves(theirs), jax.tree_util.tree_leaves_with_path(ours), strict=True)
    return {jax.tree_util.keystr(path): (one, np.asarray(other)) for one, (path, other) in pairs}


def are_alike(one, other):
    """Whether two samples may be of one distribution; of a million such pairs one is not."""
    return ks_2samp(one.ravel(), other.ravel()).pvalue > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_drawn_from_pygs_distributions(name):
    for path, (theirs, ours) in drawn(name).items():
        assert theirs.shape == ours.shape and theirs.dtype == ours.dtype, path
        if (name, path) in OTHERWISE:
            assert np.all(ours == 1) and theirs.min() < -0.9 and theirs.max() > 0.9
        elif np.all(theirs == theirs[0]):
            np.testing.assert_array_equal(ours, theirs, err_msg=path)
        else:
            assert are_alike(theirs, ours), path
            # Bounds show more sharply than all that is between them.
            edges = [np.quantile(np.abs(sample), 0.999) for sample in (theirs, ours)]
            assert abs(edges[0] / edges[1] - 1) < 0.05, path


@pytest.mark.parametrize("name", NAMES)
def test_no_parameter_repeats_the_random_numbers_of_another(name):
    numbers = []
    for _, ours in drawn(name).values():
        ours = ours.reshape(DRAWS, -1)[:, :8]
        numbers += list(ours[:, np.ptp(ours, axis=0) > 0].T)
    if numbers:
        related = np.abs(np.atleast_2d(np.corrcoef(numbers))) - np.eye(len(numbers))
        assert np.max(related) < 6 / np.sqrt(DRAWS)


def test_other_bounds_and_other_shapes_of_distributions_are_seen():
    rng = np.random.default_rng(0)
    uniform = rng.uniform(-1, 1, 4000)
    assert are_alike(uniform, rng.uniform(-1, 1, 4000))
    for other in (
        rng.uniform(-0.8, 0.8, 4000),
        rng.normal(0, 1 / np.sqrt(3), 4000),
        rng.uniform(0, 1, 4000),
        np.zeros(4000),
    ):
        assert not are_alike(uniform, other)
