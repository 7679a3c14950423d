"""ASAPooling, PANPooling, ClusterPooling and PANConv beside PyG's, as far as the catalogue has not.

There PyG's code runs on dense matrices, and is beside its sparse ones here.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import from_pyg, to_pyg
from jraphx_eqx.nn.conv import LEConv, PANConv
from jraphx_eqx.nn.pool import ASAPooling, ClusterPooling, PANPooling
from jraphx_eqx.parity import stable_sort

from .families.common import WIDTH, few_cases
from .operators.asa_pooling import call_pyg

pytestmark = pytest.mark.usefixtures("quick_compile")

CASES = few_cases(3)


def tensors(case):
    names = ("x", "edge_index", "edge_weight", "batch")
    return {name: torch.tensor(case[name]) for name in names}


@pytest.mark.parametrize("options", [{}, {"GNN": pyg.GCNConv, "add_self_loops": True, "ratio": 3}])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_asap_on_dense_matrices_is_what_it_is_on_sparse_ones(case, options):
    torch.manual_seed(2)
    module = pyg.ASAPooling(WIDTH, **options)
    given = tensors(case)
    x, edges, weight, batch, perm = module(*given.values())
    found = call_pyg(module, given)
    order = np.lexsort(edges.numpy()[::-1])
    expected = {"x": x, "edge_index": edges[:, order], "edge_attr": weight[order]}
    for name, right in {**expected, "batch": batch, "perm": perm}.items():
        torch.testing.assert_close(found[name], right)


def test_asap_without_weights():
    torch.manual_seed(3)
    module, case = pyg.ASAPooling(WIDTH, 0.7), CASES[0]
    given = tensors(case)
    with stable_sort():
        expected = module(given["x"], given["edge_index"], None, given["batch"])
    batch = BatchVector(jnp.asarray(case["batch"]), case["num_graphs"])
    out = from_pyg(module)(jnp.asarray(case["x"]), jnp.asarray(case["edge_index"]), batch=batch)
    out = out.trim()
    assert expected[2] is None and out.edge_attr is None
    edges = expected[1].numpy()
    np.testing.assert_array_equal(out.edge_index, edges[:, np.lexsort(edges[::-1])])
    np.testing.assert_array_equal(out.perm, expected[4])
    np.testing.assert_allclose(out.x, expected[0].detach(), rtol=1e-5)


def test_twins_have_the_same_options_and_weights():
    key = jax.random.key(3)
    for layer in (
        ASAPooling(3, 0.7, "gcn", 0.25, 0.1, True, key=key),
        ASAPooling(3, 2, key=key),
        PANPooling(3, None, 0.1, 2.0, "sigmoid", key=key),
        ClusterPooling(3, "sigmoid", 0.25, 0.75, key=key),
        LEConv(3, 2, key=key),
        PANConv(3, 2, 2, key=key),
    ):
        assert eqx.tree_equal(layer, from_pyg(to_pyg(layer)))
